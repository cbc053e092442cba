"""One run of the swarm: a minute with the faults of a plan, then healing, within bounds, to nothing left over.

`python tests/simulate.py --seeds 200` runs the first 200 seeds in parallel, cuts down the plan of each that fails and
prints how to replay it; `KRAKEN_FAST_SEEDS=17-17 python -m pytest tests/simulation/test_swarm.py` runs seed 17 alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kraken_fast import Feed
from kraken_fast.sim.acts import Stage
from kraken_fast.sim.plan import Plan, draw

from .harness import Simulation
from .user import User

LINE_S, BOOKS_S = 35.0, 5.0
"""V01 and V02: the line is live within so long after the faults, all its books so long after the line."""

RETRY_S = 61.0
"""What is declared lost or unverified is tried again once a minute."""

OPEN_S = 65.0
"""A restart under way when the faults end: 30 s until the attempt fails, then one that does not."""

IDLE_TURNS_MAX = 50
"""V08: turns of an idle client's loop a second."""


class RunError(AssertionError):
    """An invariant or a bound did not hold.

    Attributes:
        word: which: the first word of what was said, such as S01.
    """

    def __init__(self, word: str, text: str) -> None:
        self.word = word
        super().__init__(text)


def run_seed(seed: int) -> Simulation:
    """Run one seed; see `run_plan`."""
    return run_plan(draw(seed))


def run_plan(plan: Plan, make: type[Simulation] = Simulation) -> Simulation:
    """Run one plan, in a simulation of some kind.

    Raises:
        RunError: an invariant or a bound did not hold; the text holds the plan and the command that replays it.
    """
    sim = make(
        plan.symbols,
        seed=plan.seed,
        rate=plan.rate,
        route=lambda _number: plan.route,
        timers_first=plan.timers_first,
    )
    with _explained(plan, sim):
        sim.run(_live(sim, plan))
    return sim


def failing_word(plan: Plan) -> str:
    """Run a plan for `shrink`: the word of its failure, empty when it holds."""
    try:
        run_plan(plan)
    except RunError as error:
        return error.word
    return ""


def word_of(error: BaseException) -> str:
    """Give the first word of what was said, or the error's type where nothing of ours was said."""
    first = str(error).split(maxsplit=1)
    return first[0].rstrip(":") if isinstance(error, AssertionError) and first else type(error).__name__


@contextmanager
def _explained(plan: Plan, sim: Simulation) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        last = "\n".join(sim.log.tail)
        raise RunError(
            word_of(error),
            f"{error}\n\n{plan}\n\nThe last events:\n{last}\n\nAt {sim.now_s:.6f} s, step {sim.oracle.checks}: {error}"
            f"\nReplay: KRAKEN_FAST_SEEDS={plan.seed}-{plan.seed} python -m pytest tests/simulation/test_swarm.py",
        ) from error


async def _live(sim: Simulation, plan: Plan) -> None:
    user = User(sim, plan)
    stage = Stage(plan, sim.loop, sim.core, sim.network)
    stage.on_user_act = user.act
    sim.stage = stage
    await user.feed.open()
    try:
        stage.begin()
        await sim.sleep(plan.faults_s)
        stage.heal()
        await asyncio.wait_for(user.settle(), OPEN_S)
        await _converge(sim, user.feed)
        await _idle(sim)
    finally:
        await user.feed.close()
    await _left_over(sim)


def _states(feed: Feed) -> dict[str, str]:
    return {symbol: feed.live_book(symbol).quality for symbol in feed.symbols}


async def _converge(sim: Simulation, feed: Feed) -> None:
    def is_settled(symbol: str) -> bool:
        declared = ("book", symbol) in feed.refused or feed.live_book(symbol).quality == "unverified"
        return declared or feed.live_book(symbol).quality == "live"

    await sim.until(lambda: feed.state == "live", LINE_S, step_s=0.05, name="V01")
    # A line that heals may yet be recycled, once, for what was acknowledged before and never served.
    await sim.until(lambda: all(map(is_settled, feed.symbols)), LINE_S + BOOKS_S, step_s=0.05, name="V02")
    # What was declared is live again after its next try.
    await sim.until(lambda: set(_states(feed).values()) == {"live"}, RETRY_S, step_s=0.05, name="V02")
    sim.oracle.counts.update(("V01", "V02"))


async def _idle(sim: Simulation) -> None:
    """V08: the markets stand still, and so does the client but for heartbeats."""
    for symbol in sim.symbols:
        market = sim.core.market(symbol)
        market.may_add = market.may_trade = False
    await sim.sleep(1)
    turns, reads = sim.loop.turns, sim.wire.count
    await sim.sleep(5)
    assert sim.loop.turns - turns <= 5 * IDLE_TURNS_MAX, f"V08: {sim.loop.turns - turns} turns in 5 s"
    assert sim.wire.count - reads >= 4, "V08: no heartbeats were heard"
    sim.oracle.counts["V08"] += 1


async def _left_over(sim: Simulation) -> None:
    """V07: tasks 0, timers 0, connections 0."""
    assert asyncio.all_tasks() == {asyncio.current_task()}, f"V07: {asyncio.all_tasks()}"
    timers = [timer for timer in sim.loop.pending_timers if "kraken_fast" in repr(timer)]
    assert not timers, f"V07: {timers}"
    await sim.sleep(1)
    assert not sim.network.connections, f"V07: {sim.network.connections}"
    sim.oracle.counts["V07"] += 1
