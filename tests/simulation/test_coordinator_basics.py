"""The coordinator in virtual time, nothing wrong."""

from __future__ import annotations

import asyncio

from .coordination import World


def test_two_lines_one_stream() -> None:
    world = World(["BTC/USD", "ETH/USD"], rate=20)

    async def main() -> None:
        async with world.coordinator() as coordinator:
            await asyncio.sleep(20)
            print(coordinator.lines_health())
            print(coordinator.shares(), coordinator.availability())
            print(await coordinator.get_ticker("BTC/USD"), await coordinator.get_order_book("XBT/USD"))

    world.run(main())
    for symbol in world.symbols:
        assert world.judge(symbol) == (0, 0)
        print(len(world.told[symbol]), len(world.trade_ids[symbol]))
    print(world.events)
    assert 0
