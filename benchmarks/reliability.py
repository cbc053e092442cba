"""What was done to break it, on one page: seeds, faults, invariants, planted bugs, fuzzing, load.

    python -m benchmarks.reliability                    the table, from the results that the long runs left
    python -m benchmarks.reliability --run              the long runs first, an hour or more; each also stands alone
    python -m benchmarks.reliability --json

Every long run appends a line to reliability.jsonl: what, when, on how many processors, and what came of it.
Of runs of one kind the table shows the last, of fuzzing the sum of each target.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from . import ROOT

RESULTS = ROOT / "benchmarks" / "reliability.jsonl"
RUNS = (
    ("tests/simulate.py", "--seeds", "200"),
    *(("tests/simulate.py", "--seeds", "200", "--who", who) for who in ("trader", "orders", "lines")),
    ("tests/planted.py",),
    ("tests/libfuzzer.py", "all", "--runs", "10000000", "--quiet"),
    ("-m", "benchmarks.soak"),
    ("-m", "benchmarks.soak", "--rate", "100000", "--seconds", "10"),
    ("tests/survival.py", "--run", "-q"),
)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read all results, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rows(lines: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Give what, how much, and when, of each row of the table."""
    last = {line["what"]: line for line in lines}
    if run := last.get("simulation"):
        for name, text in (
            ("seeds run", f"{run['seeds']:,}, {run['simulated_s']:,} simulated seconds"),
            ("steps", f"{run['steps']:,}"),
            ("faults injected", f"{run['faults_injected']:,} of {run['fault_kinds']} kinds"),
            ("invariants checked", f"{run['checks']:,} times, {len(run['invariants'])} of them"),
            ("violations", f"{run['violations']}"),
        ):
            yield name, text, run["at"]
    for what, run in last.items():
        if what.startswith("simulation of "):
            text = f"{run['seeds']:,} seeds, {run['steps']:,} steps, {run['violations']} violations"
            yield what, text, run["at"]
    names = {bug["name"] for bug in tomllib.loads((ROOT / "tests" / "planted_bugs.toml").read_text())["bug"]}
    planted = {line["bug"]: line for line in lines if line["what"] == "planted bug" and line["bug"] in names}
    if planted:
        caught = [line for line in planted.values() if line["seed"] is not None]
        seeds_max = max((line["seed"] + 1 for line in caught), default=0)
        text = f"{len(caught)} of {len(planted)}, within {seeds_max} seeds; tests/planted.py --list names them"
        if left := len(names) - len(planted):
            text += f" and {left} more, not hunted since they were written"
        yield "planted bugs caught", text, min(line["at"] for line in planted.values())
    targets: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line["what"] == "fuzz":
            targets.setdefault(line["target"], []).append(line)
    for name, runs in sorted(targets.items()):
        text = f"{sum(run['executions'] for run in runs):,}, crashes {sum(run['crashed'] for run in runs)}"
        if (judged := runs[-1].get("judged", 1)) > 1:
            text += f"; one in {judged} before the slow judge, and all that found something"
        yield f"fuzz executions, {name}", text, runs[-1]["at"]
    if run := last.get("survival"):
        text = f"{run['survived']} of {run['faults']}, of severity 1 {run['severity_1']} of 86"
        yield "faults survived", text, run["at"]
    for line in {line["rate"]: line for line in lines if line["what"] == "load"}.values():
        held = "held" if not line["problems"] else "; ".join(line["problems"])
        text = (
            f"{line['rate']:,}/s for {line['seconds']:g} s over {line['lines']} lines: {held}; "
            f"lost {line['lost']}, p99 age {line['age_p99_ms']} ms, memory +{line['growth_mib']} MiB"
        )
        if "load_average" in line:
            text += f" (load average {line['load_average']}{', run before all else' * line['is_real_time']})"
        yield "load", text, line["at"]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.run:
        for command in RUNS:
            print(" ".join(command), flush=True)
            subprocess.run([sys.executable, *command, "--results", str(options.results)], cwd=ROOT, check=False)
    found = list(rows(lines_of(options.results)))
    if options.json:
        print(json.dumps([{"what": what, "how much": text, "at": at} for what, text, at in found]))
        return 0
    table = Table(title="reliability")
    for name in ("what", "how much", "when (UTC)"):
        table.add_column(name)
    for row in found:
        table.add_row(row[0], row[1], row[2][:16])
    Console(width=160).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
