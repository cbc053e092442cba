"""Trades that lines did not tell: filled from the other line, from REST, or declared lost, each id in one place."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from report import note

from kraken_fast import Filled, Gap
from kraken_fast.rest.answers import TradePage
from kraken_fast.sim.network import Route

from .coordination import World


@pytest.mark.fault("K21", kind="D")
@pytest.mark.fault("K22", kind="D")
def test_trades_lost_on_one_line_come_from_the_other_and_nobody_hears_of_it() -> None:
    world = World(["BTC/USD"], seed=31, rate=60, route=lambda number: Route(down_ms=5 + 150 * (number % 2)))

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            for number in range(30):
                session = world.session_of(coordinator, "AB"[number % 2])
                world.faults.inject("drop", session=session, channel="trade", count=1 + number % 3)
                await asyncio.sleep(3)
                if number % 10 == 9:
                    world.faults.inject("rst", session=session)
                    await asyncio.sleep(5)
            health = coordinator.lines_health()
            assert all(line.gaps > 10 for line in health)
            assert coordinator._arbiter.trades["BTC/USD"].filled > 5

    world.run(main())
    ids = world.trade_ids["BTC/USD"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert not world.changes(Gap)
    assert not world.changes(Filled)
    note("trades told while 60 losses struck one line or the other: told, missing", (len(ids), 0))


@pytest.mark.fault("K21", kind="D")
def test_trades_that_no_line_told_come_from_rest_within_five_seconds() -> None:
    world = World(["BTC/USD"], seed=32, rate=40)
    took: list[float] = []

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            for _ in range(8):
                rules = [
                    world.faults.inject("drop", session=world.session_of(coordinator, line), channel="trade")
                    for line in "AB"
                ]
                await world.until(lambda rules=rules: all(rule.fired for rule in rules), 20)
                at_s = world.now_s
                await asyncio.sleep(4.9)
                assert coordinator._arbiter.trades["BTC/USD"].missing is None
                took.extend(when - at_s for when, event in world.changes(Filled) if when >= at_s)

    world.run(main())
    ids = world.trade_ids["BTC/USD"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert took
    assert max(took) < 5
    assert not world.changes(Gap)


@pytest.mark.fault("K21", kind="D")
def test_what_nobody_can_tell_is_declared_once() -> None:
    world = World(["BTC/USD"], seed=33, rate=40)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            world.http.is_down = True
            rules = [
                world.faults.inject("drop", session=world.session_of(coordinator, line), channel="trade")
                for line in "AB"
            ]
            await world.until(lambda: all(rule.fired for rule in rules), 20)
            await asyncio.sleep(6)
            assert coordinator._arbiter.trades["BTC/USD"].missing is None

    world.run(main())
    gaps = [event for _, event in world.changes(Gap)]
    ids = world.trade_ids["BTC/USD"]
    assert gaps
    missing = sorted(set(range(ids[0], ids[-1] + 1)) - set(ids))
    assert missing == [number for gap in gaps for number in range(gap.first, gap.last + 1)]
    assert ids == sorted(set(ids))


@pytest.mark.fault("N06", kind="D")
def test_trades_of_an_outage_are_told_by_rest_while_it_lasts() -> None:
    world = World(["BTC/USD"], seed=34, rate=20)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            before = len(world.trade_ids["BTC/USD"])
            world.faults.inject("refuse", count=None)
            for number in list(world.core.lines):
                world.faults.inject("rst", session=number)
            await asyncio.sleep(12)
            got = await coordinator.get_trades("BTC/USD")
            assert (got.source, got.quality) == ("rest", "rest")
            assert len(world.trade_ids["BTC/USD"]) > before
            world.faults.clear()
            await asyncio.sleep(35)
            got = await coordinator.get_trades("BTC/USD")
            assert (got.source, got.quality) == ("websocket", "live")
            assert got.trades[-1].trade_id == world.trade_ids["BTC/USD"][-1]

    world.run(main())
    ids = world.trade_ids["BTC/USD"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.fault("K21", kind="D")
def test_holes_that_the_other_line_fills_in_turn_are_not_given_up_for_the_first_of_them() -> None:
    world = World(["BTC/USD"], seed=35, rate=150, route=lambda number: Route(down_ms=5 + 1500 * (number % 2)))

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            world.http.is_down = True
            ahead = world.session_of(coordinator, "B")
            for _ in range(60):
                world.faults.inject("drop", session=ahead, channel="trade")
                await asyncio.sleep(0.2)
            await asyncio.sleep(2)
            assert coordinator._arbiter.trades["BTC/USD"].filled > 10

    world.run(main())
    assert not world.changes(Gap)
    ids = world.trade_ids["BTC/USD"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.fault("K21", kind="D")
def test_what_rest_filled_is_told_for_what_it_was() -> None:
    world = World(["BTC/USD"], seed=36, rate=40)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            fetch = coordinator.client.fetch_trades

            async def fetch_few(**options: Any) -> TradePage:
                """A page is a thousand trades; of three the same is seen sooner."""
                page = await fetch(**options)
                return replace(page, trades=page.trades[:4])  # the first is the last one known

            coordinator.client.fetch_trades = fetch_few  # type: ignore[method-assign]
            for line in "AB":
                number = world.session_of(coordinator, line)
                world.faults.inject("drop", session=number, channel="trade", count=6)
            await world.until(lambda: len(world.changes(Filled)) > 1, 30)
            await asyncio.sleep(2)

    world.run(main())
    fills = [event for _, event in world.changes(Filled)]
    assert fills[0].last - fills[0].first + 1 == 3
    for earlier, later in pairwise(fills):
        assert earlier.last < later.first
    ids = world.trade_ids["BTC/USD"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_hole_that_opens_as_the_last_one_closes_is_looked_after() -> None:
    world = World(["BTC/USD"], seed=37)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            coordinator._gaps.on_missing("BTC/USD", 1, 1)
            await asyncio.sleep(0)  # nothing is missing: its task ends before this goes on, its callbacks do not
            assert not coordinator._gaps._tasks

    world.run(main())
