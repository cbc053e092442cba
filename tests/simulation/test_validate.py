"""Lines against REST: healthy sources agree, one that does not is found, told and healed."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from random import Random

import pytest
from report import note

from kraken_fast import Degraded, UnifiedDataCoordinator
from kraken_fast.coordination.validate import first_difference, outside
from kraken_fast.rest.answers import RestBook, RestLevel
from kraken_fast.sim.texts import rfc3339

from .coordination import World


@pytest.mark.fault("D20", kind="D")
def test_a_healthy_exchange_agrees_with_itself() -> None:
    world = World(["BTC/USD", "ETH/USD", "DOGE/USD"], seed=41, rate=20)

    async def main() -> UnifiedDataCoordinator:
        async with world.coordinator(check_s=5) as coordinator:
            await asyncio.sleep(300)
            summary = coordinator.checks()
            shares = coordinator.shares()
            assert summary.rounds > 25
            assert summary.breaches == 0
            assert summary.difference_max < 0.01
            assert shares.rest_share <= 0.05
            assert shares.websocket_share >= 0.95
            note(
                "healthy exchange, 300 s: numbers compared with REST, largest variance, share of REST",
                (summary.compared, summary.difference_max, round(shares.rest_share, 4)),
            )
            return coordinator

    world.run(main())
    assert not world.changes(Degraded)


@pytest.mark.fault("D22", kind="D")
@pytest.mark.fault("D20", kind="D")
def test_a_line_that_tells_wrong_prices_is_found_told_of_and_healed() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=42, rate=20)

    async def main() -> None:
        async with world.coordinator(channels=["ticker"], lines=1, check_s=0) as coordinator:
            await asyncio.sleep(30)
            with world.faults.inject("heartbeat_only"):
                wrong = (
                    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1,"bid_qty":1,"ask":2,'
                    '"ask_qty":1,"last":1.5,"volume":1,"vwap":1,"low":1,"high":1,"change":0,"change_pct":0,'
                    f'"timestamp":"{rfc3339(world.timeline.wall_ns())}"}}]}}'
                )
                world.faults.inject("text", text=wrong)
                await asyncio.sleep(0.1)
                at_s = world.now_s
                assert await coordinator.check() > 0
            told = [(when, event) for when, event in world.changes(Degraded) if "variance" in str(event)]
            assert {event.component for _, event in told} >= {"line A BTC/USD"}
            assert any("variance of bid: websocket 1, rest 6" in event.reason for _, event in told)
            assert told[0][0] - at_s <= 2.0 + 1.0, "the span looked at, and a second"
            await asyncio.sleep(12)
            assert await coordinator.check() == 0
            assert coordinator.checks().breaches > 0

    world.run(main())


def test_rest_is_not_asked_beyond_its_share() -> None:
    world = World(["BTC/USD"], seed=43, rate=0.05)

    async def main() -> None:
        async with world.coordinator(check_s=1) as coordinator:
            await asyncio.sleep(120)
            summary = coordinator.checks()
            assert summary.skipped > 10
            assert coordinator.shares(whole=True).rest_share <= 0.05
            assert coordinator.shares(whole=True).calls["probe"] > 2, "a market that stands still is looked at"

    world.run(main())


@pytest.mark.parametrize(
    ("value", "values", "far"),
    [(100, [99, 101], 0.0), (99, [99, 99], 0.0), (102, [99, 101], 0.01), (98, [99, 101], 0.01), (1, [0], float("inf"))],
)
def test_how_far_a_value_lies_outside(value: int, values: list[int], far: float) -> None:
    assert outside(Decimal(value), [Decimal(each) for each in values]) == pytest.approx(far)


def test_the_first_quantity_that_differs() -> None:
    rng = Random(1)
    rows = [(Decimal(100 - i), Decimal(rng.randrange(1, 9))) for i in range(12)]
    levels = tuple(RestLevel(price=price, qty=qty) for price, qty in rows)
    book = RestBook(symbol="A/B", bids=levels, asks=(), recv_ns=1)
    assert first_difference(rows, [], book) is None
    rows[10] = (rows[10][0], Decimal(99))
    assert first_difference(rows, [], book) is None, "beyond the ten best"
    rows[3] = (rows[3][0], Decimal("0.5"))
    assert first_difference(rows, [], book) == (Decimal("0.5"), levels[3].qty)
    rows[2] = (Decimal(50), rows[2][1])
    assert first_difference(rows, [], book) == (Decimal(50), levels[2].price)
