"""Reads of each kind, by what there is: strict, live, held, asked for, stale, nothing. More in test_fallback.py."""

from __future__ import annotations

import asyncio

import pytest

from kraken_fast import NoSourceError, StaleDataError

from .coordination import World


@pytest.mark.fault("D12", kind="D")
def test_a_crossed_book_is_never_served_strictly() -> None:
    world = World(["BTC/USD"], seed=61, rate=0)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(1)
            for session in coordinator._lines.sessions.values():
                book = session.decoder.book("BTC/USD")
                assert book is not None
                ask, bid = book.best_ask_raw, book.best_bid_raw
                assert ask is not None
                assert bid is not None
                assert book.apply_update([(ask + 10, 1)], [])
            assert coordinator.book("BTC/USD").crossed
            with pytest.raises(StaleDataError, match="crossed"):
                await coordinator.get_order_book("BTC/USD", strict=True)

    world.run(main())


def test_readers_without_waiting_get_what_there_is() -> None:
    world = World(["BTC/USD"], seed=62)

    async def main() -> None:
        async with world.coordinator(channels=["book", "ticker", "trade"], check_s=0) as coordinator:
            await asyncio.sleep(2)
            world.faults.inject("refuse", count=None)
            for number in list(world.core.lines):
                world.faults.inject("rst", session=number)
            await asyncio.sleep(0.011)
            assert coordinator.book("BTC/USD").quality == "stale", "what the lines told last"
            with pytest.raises(StaleDataError):
                coordinator.book("BTC/USD", strict=True)
            await asyncio.sleep(0.5)
            assert coordinator.book("BTC/USD").quality == "rest"
            assert coordinator.ticker("BTC/USD").quality == "rest"
            shares = coordinator.shares()
            assert shares.emergency == 2
            assert shares.rest == 0
            world.http.is_down = True
            await asyncio.sleep(10)
            with pytest.raises(NoSourceError):
                await coordinator.get_trades("BTC/USD")

    world.run(main())


def test_reads_of_trades_and_candles_stay_within_the_share_of_rest() -> None:
    world = World(["BTC/USD"], seed=62)

    async def main() -> None:
        async with world.coordinator(channels=["book", "trade"], check_s=0) as coordinator:
            await asyncio.sleep(10)
            refused = 0
            for _ in range(40):
                try:
                    await coordinator.get_trades("BTC/USD", max_age_ms=0.001)
                except StaleDataError:
                    refused += 1
                await asyncio.sleep(0.717)
            assert refused
            assert coordinator.shares().rest_share <= 0.05
            await coordinator.get_ohlc("BTC/USD")
            assert coordinator.shares().calls["read"], "what no line was asked for is no emergency"
            assert not coordinator.shares().calls["emergency"]

    world.run(main())
