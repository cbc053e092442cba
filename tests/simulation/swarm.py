"""One run of the swarm: a minute with the faults of a seed's plan, then healing, within bounds, to nothing left over.

`python -m pytest tests/simulation/test_swarm.py` runs the first seeds; KRAKEN_FAST_SEEDS=200 the first 200, and
KRAKEN_FAST_SEEDS=17-17 replays seed 17.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from kraken_fast import Feed

from .harness import Simulation
from .plan import FAULTS_S, Act, Plan, draw

LINE_S, BOOKS_S = 35.0, 5.0
"""V01 and V02: the line is live within so long after the faults, all its books so long after the line."""

RETRY_S = 61.0
"""What is declared lost or unverified is tried again once a minute."""

IDLE_TURNS_MAX = 50
"""V08: turns of an idle client's loop a second."""


def run_seed(seed: int) -> Simulation:
    """Run one seed.

    Raises:
        AssertionError: an invariant or a bound did not hold; the text holds the plan and the command that replays it.
    """
    plan = draw(seed)
    sim = Simulation(
        plan.symbols,
        seed=seed,
        rate=plan.rate,
        route=lambda _number: plan.route,
        timers_first=plan.timers_first,
    )
    with _explained(plan, sim):
        sim.run(_live(sim, plan))
    return sim


@contextmanager
def _explained(plan: Plan, sim: Simulation) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        replay = f"KRAKEN_FAST_SEEDS={plan.seed}-{plan.seed} python -m pytest tests/simulation/test_swarm.py"
        last = "\n".join(sim.log.tail)
        raise AssertionError(
            f"{error}\n\n{plan}\n\nThe last events:\n{last}\n\nAt {sim.now_s:.6f} s, step {sim.oracle.checks}: {error}"
            f"\nReplay: {replay}"
        ) from error


async def _live(sim: Simulation, plan: Plan) -> None:
    feed = sim.connect(channels=plan.channels, book_depth=plan.depth, ready_s=30.0)
    async with feed:
        begun_s = sim.now_s
        for act in plan.acts:
            sim.loop.call_later(act.begin_s, partial(_begin, sim, feed, plan, act))
        await sim.sleep(FAULTS_S)
        assert sim.now_s >= begun_s + FAULTS_S
        _heal(sim, feed)
        await _converge(sim, feed)
        await _idle(sim)
    await _left_over(sim)


def _begin(sim: Simulation, feed: Feed, plan: Plan, act: Act) -> None:
    settings = dict(act.settings)
    later = partial(sim.loop.call_later, act.lasts_s)
    if act.kind in ("dns_down", "syn_lost"):
        setattr(sim.network, act.kind, True)
        later(partial(setattr, sim.network, act.kind, False))
    elif act.kind == "block":
        sim.loop.block(settings["seconds"])
    elif act.kind == "unsubscribe":
        symbol = plan.symbols[settings["pick"] % len(plan.symbols)]
        feed.unsubscribe([symbol])
        sim.oracle.forget_trades(symbol)
        later(partial(feed.subscribe, [symbol]))
    elif act.kind == "precision":
        symbol, price = settings["pair"]
        if symbol in plan.symbols:
            sim.faults.inject("precision", symbol=symbol, price=price, qty=settings["qty"])
    else:
        fault = sim.faults.inject(act.kind, **settings)
        if act.lasts_s:
            later(fault.clear)


def _heal(sim: Simulation, feed: Feed) -> None:
    """Faults off."""
    sim.faults.clear()
    sim.network.dns_down = sim.network.syn_lost = False
    if sim.core.system_status != "online":
        sim.core.set_system_status("online")
    feed.subscribe(feed.symbols)


def _states(feed: Feed) -> dict[str, str]:
    return {symbol: feed.live_book(symbol).quality for symbol in feed.symbols}


async def _converge(sim: Simulation, feed: Feed) -> None:
    def is_settled(symbol: str) -> bool:
        declared = ("book", symbol) in feed.refused or feed.live_book(symbol).quality == "unverified"
        return declared or feed.live_book(symbol).quality == "live"

    # V01
    await sim.until(lambda: feed.state == "live", LINE_S, step_s=0.05)
    # V02. A line that heals may yet be recycled, once, for what was acknowledged before and never served.
    await sim.until(lambda: all(map(is_settled, feed.symbols)), LINE_S + BOOKS_S, step_s=0.05)
    # What was declared is live again after its next try.
    await sim.until(lambda: set(_states(feed).values()) == {"live"}, RETRY_S, step_s=0.05)


async def _idle(sim: Simulation) -> None:
    """V08: the markets stand still, and so does the client but for heartbeats."""
    for symbol in sim.symbols:
        market = sim.core.market(symbol)
        market.may_add = market.may_trade = False
    await sim.sleep(1)
    turns, reads = sim.loop.turns, sim.wire.count
    await sim.sleep(5)
    assert sim.loop.turns - turns <= 5 * IDLE_TURNS_MAX, "V08"
    assert sim.wire.count - reads >= 4, "heartbeats were heard"


async def _left_over(sim: Simulation) -> None:
    """V07: tasks 0, timers 0, connections 0."""
    assert asyncio.all_tasks() == {asyncio.current_task()}, "V07"
    timers = [timer for timer in sim.loop.pending_timers if "kraken_fast" in repr(timer)]
    assert not timers, f"V07: {timers}"
    await sim.sleep(1)
    assert not sim.network.connections, "V07"
