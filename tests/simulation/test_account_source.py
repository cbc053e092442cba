"""The account's data: shared for seconds, never called live, with holds of open orders."""

from __future__ import annotations

import asyncio
from decimal import Decimal

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
