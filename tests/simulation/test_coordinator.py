"""The coordinator's face: the contract word for word, what it refuses, what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from kraken_fast import (
    BookSnapshot,
    Candle,
    ClosedError,
    ConfigError,
    EventStream,
    NoSourceError,
    SourceChange,
    StaleDataError,
    SubscriptionError,
    Trade,
    UnifiedDataCoordinator,
    UnknownSymbolError,
)

from .coordination import World


def test_the_contract_word_for_word() -> None:
    world = World(["BTC/USDT", "SHIB/USDT"], seed=51)
    account = next(iter(world.core.accounts.values()))

    async def main() -> None:
        coordinator = world.coordinator(key=True, symbols=["BTC/USDT", "SHIB/USDT"])
        await coordinator.start()
        balance = await coordinator.get_balance("USDT")
        ticker = await coordinator.get_ticker("BTC/USDT")
        assert balance.total == account.balances["USDT"]
        assert balance.free + balance.hold == balance.total
        assert (balance.source, balance.quality) == ("rest", "rest")
        assert (ticker.source, ticker.quality) == ("websocket", "live")
        assert ticker.bid == world.core.market("BTC/USDT").quote().bid
        book = await coordinator.get_order_book("SHIB/USDT")
        assert (book.quality, book.source, book.depth) == ("live", "websocket", 10)
        assert book.age_ms is not None
        trades = await coordinator.get_trades("BTC/USDT")
        assert (trades.source, trades.quality, len(trades.trades)) == ("websocket", "live", 50)
        candles = await coordinator.get_ohlc("BTC/USDT")
        assert (candles.source, candles.quality, candles.interval) == ("websocket", "live", 1)
        orders = await coordinator.get_open_orders()
        assert orders.orders == ()
        everything = await coordinator.get_balances()
        assert everything["USDT"].total == balance.total
        assert "USDT" in list(everything)
        assert len(everything) > 1
        nothing = await coordinator.get_balance("XLM2")
        assert nothing.total == Decimal(0)
        assert coordinator.book("BTC/USDT").quality == "live"
        assert coordinator.ticker("XBT/USDT").symbol == "BTC/USDT"
        assert coordinator.live_book("BTC/USDT").symbol == "BTC/USDT"
        assert coordinator.live_ticker("XBTUSDT").symbol == "BTC/USDT"
        assert coordinator.instrument("BTC/USDT").base == "BTC"
        assert coordinator.client.has_key
        with pytest.raises(ConfigError, match="connect_trading"):
            _ = coordinator.orders
        await coordinator.close()
        await coordinator.close()
        with pytest.raises(ClosedError):
            await coordinator.start()
        assert coordinator.book("BTC/USDT").quality == "stale", "the last value stays readable, as what it is"

    world.run(main())


def test_what_is_private_needs_a_key() -> None:
    world = World(["BTC/USD"])

    async def main() -> None:
        async with world.coordinator() as coordinator:
            with pytest.raises(ConfigError, match="private"):
                await coordinator.get_balance("USD")
        async with world.coordinator(key=True) as coordinator:
            with pytest.raises(StaleDataError):
                await coordinator.get_balance("USD", strict=True)
            world.http.is_down = True
            with pytest.raises(NoSourceError):
                await coordinator.get_balances()
            with pytest.raises(NoSourceError):
                await coordinator.get_open_orders()

    world.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"symbols": []},
        {"symbols": "BTC/USD"},
        {"websocket_ratio": 0.9, "rest_ratio": 0.2},
        {"websocket_ratio": 2},
        {"channels": ["level3"]},
        {"channels": "book"},
        {"book_depth": 11},
        {"ohlc_interval": 7},
        {"ticker_trigger": "all"},
        {"handler": print},
        {"depth": 10},
        {"lines": 0},
        {"lines": 9},
        {"lines": []},
        {"lines": ["ws://example.com/v2"]},
        {"max_age_ms": 0},
        {"check_s": -1},
        {"tolerance": 2},
        {"events_max": 0},
        {"exchange_client": object()},
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        UnifiedDataCoordinator(**{"symbols": ["BTC/USD"], **settings})


def test_what_was_not_asked_for_is_not_invented() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=52)

    async def main() -> None:
        coordinator = world.coordinator(symbols=["BTC/USD"], channels=["book"])
        with pytest.raises(ClosedError):
            await coordinator.get_ticker("BTC/USD")
        with pytest.raises(ClosedError):
            coordinator.events()
        async with coordinator:
            for read in (coordinator.get_order_book, coordinator.get_trades, coordinator.get_ohlc):
                with pytest.raises(UnknownSymbolError if read != coordinator.get_trades else ConfigError):
                    await read("ETH/USD")
            with pytest.raises(ConfigError, match="channels"):
                await coordinator.get_ticker("BTC/USD")
            with pytest.raises(StaleDataError):
                coordinator.live_ticker("BTC/USD")
            with pytest.raises(UnknownSymbolError):
                coordinator.book("DOGE/USD")
            with pytest.raises(ConfigError):
                coordinator.on_book = 5  # type: ignore[assignment]

    world.run(main())


def test_a_symbol_that_the_exchange_refuses() -> None:
    world = World(["BTC/USD"], seed=53)

    async def main() -> None:
        with pytest.raises(SubscriptionError):
            await world.coordinator(symbols=["NO/SUCH"], channels=["book"]).start()
        async with world.coordinator(symbols=["BTC/USD", "NO/SUCH"], channels=["book"], check_s=0) as coordinator:
            assert (await coordinator.get_order_book("BTC/USD")).quality == "live"
            with pytest.raises(NoSourceError) as caught:
                await coordinator.get_order_book("NO/SUCH")
            assert "NO/SUCH" in caught.value.reasons["line A"]

    world.run(main())


def test_freshness_is_served_or_refused() -> None:
    world = World(["BTC/USD"], seed=54, rate=5)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(30)
            young = await coordinator.get_order_book("BTC/USD", max_age_ms=1500)
            assert young.quality == "live"
            await world.until(lambda: (coordinator.book("BTC/USD").age_ms or 0) > 60, 5)
            fresh = await coordinator.get_ticker("BTC/USD", max_age_ms=50)
            assert fresh.age_ms is not None
            assert fresh.age_ms <= 50
            with pytest.raises(StaleDataError):
                for _ in range(50):
                    await coordinator.get_ticker("BTC/USD", max_age_ms=0.001)
            assert coordinator.shares().rest_share <= 0.05

    world.run(main())


def test_candles_of_another_interval_come_from_rest() -> None:
    world = World(["BTC/USD"], seed=55)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            hour = await coordinator.get_ohlc("BTC/USD", 60)
            assert (hour.source, hour.quality, hour.interval) == ("rest", "rest", 60)
            assert hour.candles
            assert isinstance(hour.candles[0], Candle)
            with pytest.raises(StaleDataError):
                await coordinator.get_ohlc("BTC/USD", 60, strict=True)
            with pytest.raises(ConfigError):
                await coordinator.get_ohlc("BTC/USD", 7)
            world.http.is_down = True
            with pytest.raises(NoSourceError):
                await coordinator.get_ohlc("BTC/USD", 240)

    world.run(main())


def test_callbacks_and_iteration_tell_the_same() -> None:
    world = World(["BTC/USD"], seed=56, rate=20)
    heard: list[Any] = []

    async def listen(coordinator: UnifiedDataCoordinator) -> None:
        async for event in coordinator:
            heard.append(event)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            candles: list[Candle] = []
            coordinator.on_candle = candles.append
            task = asyncio.create_task(listen(coordinator))
            before = len(world.trade_ids["BTC/USD"])
            await asyncio.sleep(5)
            assert coordinator.on_candle is not None
            assert coordinator.on_notice is not None
            assert coordinator.on_book is not None
            assert coordinator.on_ticker is not None
            assert coordinator.on_trade is not None
            trades = [event.trade_id for event in heard if isinstance(event, Trade)]
            assert trades == world.trade_ids["BTC/USD"][before:]
            assert candles
            coordinator.measure_stages()
            await asyncio.sleep(1)
            assert {name: stage.count > 0 for name, stage in coordinator.stages.items()} == dict.fromkeys(
                ("travelling", "decoding", "delivering"), True
            )
        await task

    world.run(main())
    assert not any(isinstance(event, SourceChange) for event in heard)


def test_a_callback_that_raises_harms_nobody() -> None:
    world = World(["BTC/USD"], seed=57)

    async def main() -> None:
        def raising(_: object) -> None:
            raise RuntimeError

        async with world.coordinator(check_s=0) as coordinator:
            coordinator.on_ticker = coordinator.on_notice = raising
            await asyncio.sleep(3)
            world.faults.inject("refuse", count=None)
            for number in list(world.core.lines):
                world.faults.inject("rst", session=number)
            await asyncio.sleep(3)
            assert (await coordinator.get_ticker("BTC/USD")).source == "rest"

    world.run(main())
    assert world.told["BTC/USD"]


@pytest.mark.fault("P09", kind="D")
def test_closing_at_any_moment_is_prompt_and_leaves_nothing() -> None:
    for ms in (0, 1, 15, 22, 30, 100, 2000):
        world = World(["BTC/USD"], seed=58)

        async def main(world: World = world, ms: int = ms) -> None:
            coordinator = world.coordinator()
            start = asyncio.ensure_future(coordinator.start())
            await asyncio.sleep(ms / 1000)
            at_s = world.now_s
            start.cancel()
            await asyncio.wait([start])
            await coordinator.close()
            assert world.now_s - at_s <= 1.0
            await asyncio.sleep(0.1)
            assert len(asyncio.all_tasks()) == 1
            assert not world.loop.pending_timers

        world.run(main())


def test_an_idle_coordinator_does_not_keep_the_loop_busy() -> None:
    world = World(["BTC/USD"], seed=59, rate=0)

    async def main() -> None:
        async with world.coordinator(check_s=0):
            await asyncio.sleep(5)
            turns = world.loop.turns
            await asyncio.sleep(20)
            assert (world.loop.turns - turns) / 20 <= 50, "V08"

    world.run(main())


def test_an_iterator_reads_the_line_that_lives() -> None:
    world = World(["BTC/USD"], seed=61, rate=0.3)

    async def main() -> None:
        async with world.coordinator(channels=["book"], check_s=0) as coordinator:
            for name in "ABAB":
                stream, told = coordinator.events(), len(world.told["BTC/USD"])
                await world.until(lambda told=told: len(world.told["BTC/USD"]) > told, 60)
                await asyncio.sleep(0.1)
                world.faults.inject("rst", session=world.session_of(coordinator, name))
                await asyncio.sleep(0.03)
                assert coordinator.book("BTC/USD").quality == "live"
                books = [event async for event in _first(stream, 3) if isinstance(event, BookSnapshot)]
                assert [book.quality for book in books] == ["live"]
                await stream.aclose()
                await world.until(lambda: all(line.state == "live" for line in coordinator.lines_health()), 35)

    world.run(main())


async def _first(stream: EventStream, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(stream)
