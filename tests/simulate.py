"""Runs the swarm: many seeds in parallel; a failing plan is cut down to the smallest that still fails.

    python tests/simulate.py --seeds 200            the first 200
    python tests/simulate.py --seeds 300-499        these
    python tests/simulate.py --plan plan.json       one plan, as a failure left it
    python tests/simulate.py --who trader           account, orders and REST instead of a feed
    python tests/simulate.py --who orders           torture of orders alone; `lines` of a coordinator

Prints what ran; of each failure the seed, the step, the smallest plan and one command that runs that plan again. The
sum goes to a line of --results, which benchmarks/reliability.py reads.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from results import append
from simulation.swarm import RunError, run_plan
from simulation.trader_swarm import run_trader

from kraken_fast.sim.plan import Plan, draw
from kraken_fast.sim.shrink import shrink
from kraken_fast.sim.trader_plan import draw_trader

DRAWS = {"feed": draw, "trader": draw_trader}
"""Swarms whose runs are plans, which can be cut down and run again."""


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    steps: int = 0
    simulated_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    injected: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    word: str = ""
    text: str = ""


def run_one(plan: Plan) -> Outcome:
    """Run a plan; a failure is an outcome too."""
    try:
        sim = run_plan(plan) if plan.who == "feed" else run_trader(plan)
    except RunError as error:
        return Outcome(plan.seed, word=error.word, text=str(error))
    assert sim.stage is not None
    faults = Counter({kind: count for kind, count in sim.faults.fired.items() if count}) + sim.stage.done
    return Outcome(plan.seed, sim.oracle.checks, sim.now_s, faults, sim.stage.injected, sim.oracle.counts)


def run_seed(who: str, seed: int) -> Outcome:
    """Run a seed; what runs in each process."""
    return run_one(DRAWS[who](seed))


def failing_word(plan: Plan) -> str:
    """Run a plan for `shrink`."""
    return run_one(plan).word


def run_other(who: str, seed: int) -> Outcome:
    """Run a seed of another swarm; its failure is not shrunk, for it is short."""
    from simulation.others import run_lines, run_orders

    try:
        steps = {"lines": run_lines, "orders": run_orders}[who](seed)
    except RunError as error:
        return Outcome(seed, word=error.word, text=str(error))
    return Outcome(seed, steps)


def seeds_of(text: str) -> range:
    """Read `200`, the first so many, or `300-499`."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


def explain(who: str, outcome: Outcome, folder: Path, runs_max: int) -> None:
    """Print a failure, cut its plan down, and keep what is left of it."""
    print(f"\nseed {outcome.seed} FAILED: {outcome.word}\n{outcome.text}\n", flush=True)
    smallest = shrink(DRAWS[who](outcome.seed), failing_word, runs_max=runs_max)
    path = folder / f"plan-{who}-{outcome.seed}.json"
    path.write_text(smallest.to_json() + "\n")
    again = run_one(smallest)
    print(f"The smallest plan that fails with {outcome.word}:\n{smallest}\n{again.text.splitlines()[0]}")
    print(f"Replay: python tests/simulate.py --plan {path}\n", flush=True)


def summary(outcomes: list[Outcome], took_s: float) -> dict[str, Any]:
    """Add it all up."""
    counts = sum((outcome.counts for outcome in outcomes), Counter())
    faults = sum((outcome.faults for outcome in outcomes), Counter())
    return {
        "seeds": len(outcomes),
        "steps": sum(outcome.steps for outcome in outcomes),
        "simulated_s": round(sum(outcome.simulated_s for outcome in outcomes)),
        "faults_injected": sum(outcome.injected for outcome in outcomes),
        "fault_kinds": len(faults),
        "checks": counts.total(),
        "invariants": dict(sorted(counts.items())),
        "violations": sum(bool(outcome.word) for outcome in outcomes),
        "failing_seeds": [outcome.seed for outcome in outcomes if outcome.word],
        "seconds": round(took_s, 1),
    }


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="50", help="how many, or first-last")
    parser.add_argument("--who", choices=("feed", "trader", "lines", "orders"), default="feed")
    parser.add_argument("--plan", type=Path, help="run this plan instead")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    parser.add_argument("--shrink-runs", type=int, default=150, help="runs to spend on each failure, 0 for none")
    parser.add_argument("--plans", type=Path, default=Path("build"), help="where plans of failures are kept")
    parser.add_argument("--results", type=Path, help="append the sum to this file, a line of JSON")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # of processes that are forked from here, too
    if options.plan is not None:
        outcome = run_one(Plan.from_json(options.plan.read_text()))
        print(outcome.text or f"holds: {outcome.steps} steps, {outcome.injected} faults, {dict(outcome.counts)}")
        return int(bool(outcome.word))
    begun = time.perf_counter()
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        run = partial(run_seed if options.who in DRAWS else run_other, options.who)
        for outcome in pool.map(run, seeds_of(options.seeds)):
            outcomes.append(outcome)
            if outcome.word and options.fail_fast:
                pool.shutdown(cancel_futures=True)
                break
    found = summary(outcomes, time.perf_counter() - begun)
    for outcome in outcomes:
        if outcome.word and options.shrink_runs and options.who in DRAWS:
            options.plans.mkdir(parents=True, exist_ok=True)
            explain(options.who, outcome, options.plans, options.shrink_runs)
        elif outcome.word:
            print(f"seed {outcome.seed} FAILED: {outcome.word}")
            if options.who not in DRAWS:
                again = f"--who {options.who} --seeds {outcome.seed}-{outcome.seed}"
                print(f"{outcome.text}\nReplay: python tests/simulate.py {again}")
    print(json.dumps(found))
    if options.results is not None:
        append(options.results, "simulation" if options.who == "feed" else f"simulation of {options.who}", **found)
    return int(bool(found["violations"]))


if __name__ == "__main__":
    sys.exit(main())
