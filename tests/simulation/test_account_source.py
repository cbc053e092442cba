"""The account's data: shared for seconds, never called live, with holds of open orders."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace

import pytest

from kraken_fast import StaleDataError

from .coordination import World


def test_readers_within_seconds_share_a_call_and_see_what_orders_hold() -> None:
    world = World(["BTC/USD"], seed=71)

    async def main() -> None:
        async with world.coordinator(key=True, check_s=0) as coordinator:
            before = await coordinator.get_balance("USD")
            calls = len(world.http.calls)
            for _ in range(20):
                await coordinator.get_balance("ZUSD")
            assert len(world.http.calls) == calls
            await coordinator.client.add_order(
                symbol="BTC/USD", side="buy", ord_type="limit", qty=Decimal("0.01"), price=Decimal(1000)
            )
            await asyncio.sleep(4)
            after = await coordinator.get_balance("USD")
            assert after.hold > before.hold
            assert after.total == before.total
            assert after.free == before.free - (after.hold - before.hold)
            orders = await coordinator.get_open_orders(max_age_ms=1)
            assert len(orders.orders) == 1
            kept = await coordinator.get_open_orders()
            assert kept.orders == orders.orders

    world.run(main())


class Stream:
    """Stands in for an account's stream: what it says and how good it is are set by hand."""

    def __init__(self) -> None:
        self.quality = "live"
        self.age_ms: float | None = 20.0
        self.hold: Decimal | None = Decimal(4)

    def balances(self) -> dict[str, SimpleNamespace]:
        told = SimpleNamespace(
            total=Decimal(10), hold=self.hold, hold_source="orders", quality=self.quality, age_ms=self.age_ms
        )
        return {"USD": told}

    def open_orders(self) -> tuple[str, ...]:
        return ("an order",)


def test_the_stream_comes_first_and_only_while_it_is_live() -> None:
    world, stream = World(["BTC/USD"], seed=72), Stream()

    async def main() -> None:
        async with world.coordinator(key=True, check_s=0, account=stream) as coordinator:
            calls = len(world.http.calls)
            balance = await coordinator.get_balance("USD", strict=True)
            assert (balance.total, balance.free, balance.source, balance.quality) == (10, 6, "websocket", "live")
            assert balance.hold_source == "orders"
            orders = await coordinator.get_open_orders(strict=True)
            assert (orders.orders, orders.source) == (("an order",), "websocket")
            assert len(world.http.calls) == calls
            assert (await coordinator.get_balance("USD", max_age_ms=10)).source == "rest", "too old"
            stream.hold = None
            assert (await coordinator.get_balance("USD")).source == "rest", "nobody says what is held"
            stream.hold, stream.quality = Decimal(4), "stale"
            assert (await coordinator.get_balance("USD")).source == "rest"
            assert (await coordinator.get_open_orders()).source == "rest"
            with pytest.raises(StaleDataError):
                await coordinator.get_balance("USD", strict=True)

    world.run(main())
