"""Outage after outage: what a coordinator holds is as much after the hundredth as after the tenth."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from itertools import pairwise
from pathlib import Path

from report import note

import kraken_fast
from kraken_fast import sim

from .coordination import World

PACKAGE, EXCHANGE = Path(kraken_fast.__file__).parent, Path(sim.__file__).parent
BETWEEN = ("network.py",)
"""Of the exchange in a box, whose markets grow, only this: what the compiled core allocates is put down to them."""

CLIENT = [
    tracemalloc.Filter(True, f"{PACKAGE}/*"),
    *(tracemalloc.Filter(False, str(path)) for path in EXCHANGE.glob("*.py") if path.name not in BETWEEN),
]

STRETCHES, ROUNDS = 2, 4
"""Of each stretch the growth is taken; what came to stay in one of them is no leak, what came in all of them is. Five
an outage come and stay anyway: texts in caches of Python's own, numbers that grew out of its small ones."""


def _forget(world: World) -> None:
    """Empty what the judge has gathered: it is the client that is weighed."""
    for told in (world.told, world.told_s, world.trade_ids):
        for facts in told.values():
            facts.clear()
    for truth in world.truth.values():
        truth.facts.clear()
        truth.at.clear()
    world.events.clear()
    world.rest_told.clear()
    world.http.calls.clear()


def _client_blocks(world: World) -> int:
    """Count what was allocated by the client's code, and by the bytes that the network hands it."""
    _forget(world)
    gc.collect()
    return sum(each.count for each in tracemalloc.take_snapshot().filter_traces(CLIENT).statistics("filename"))


async def _outage(world: World, number: int) -> None:
    """Strike one line, then all at once for longer than REST needs to tell everything, and wait for their return."""
    kinds = ("rst", "fin", "half_open", "close", "bad_checksum", "drop")
    world.faults.inject(kinds[number % len(kinds)], session=min(world.core.lines))
    await asyncio.sleep(5)
    for line in tuple(world.core.lines):
        world.faults.inject(("rst", "fin")[number % 2], session=line)
    with world.faults.inject("refuse", count=None):
        await asyncio.sleep(8)
    await asyncio.sleep(125)


def test_outages_leave_nothing_behind() -> None:
    world = World(["BTC/USD", "ETH/USD", "SOL/USD"], seed=93, rate=1)
    figures: list[int] = []

    async def main() -> None:
        async with world.coordinator(check_s=10) as coordinator:
            for stretch in range(STRETCHES + 1):
                for number in range(ROUNDS):
                    await _outage(world, stretch * ROUNDS + number)
                await world.until(lambda: coordinator.metrics().sources["websocket"] == len(world.symbols), 60)
                figures.append(_client_blocks(world))

    tracemalloc.start(1)
    try:
        world.run(main())
    finally:
        tracemalloc.stop()
    grown = [b - a for a, b in pairwise(figures)]
    note(f"allocations that {ROUNDS} outages left behind, stretch by stretch", grown)
    assert min(grown) < 10 * ROUNDS, figures
