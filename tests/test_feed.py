"""The feed end to end: the real client, real sockets, the exchange in a box with its faults."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kraken_fast
from kraken_fast import (
    BookSnapshot,
    Candle,
    ClosedError,
    ConfigError,
    ConnectError,
    Feed,
    Gap,
    HandshakeError,
    LineChange,
    Refused,
    StaleDataError,
    SubscriptionError,
    TickerSnapshot,
    TlsError,
    Trade,
    UnknownSymbolError,
)
from kraken_fast.core.capture import CaptureReader
from kraken_fast.core.decode import Decoder
from kraken_fast.events import Dropped
from kraken_fast.sim import Exchange

SYMBOLS = ["BTC/USD", "ETH/USD", "SHIB/USD"]

pytestmark = pytest.mark.both_loops


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    async with Exchange(SYMBOLS, seed=11, rate=100.0, tls=request.param) as ex:
        yield ex


def connect(ex: Exchange, symbols: list[str] | None = None, **settings: Any) -> Feed:
    settings.setdefault("ready_s", 10.0)
    return kraken_fast.connect(
        symbols or SYMBOLS, ws_url=ex.ws_url, rest_url=ex.rest_url, ca_file=ex.ca_file, **settings
    )


async def until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


def assert_equals_truth(feed: Feed, ex: Exchange, symbol: str) -> None:
    book, truth = feed.book(symbol), ex.book(symbol)
    bids, asks = truth.top(book.depth)
    assert [tuple(level) for level in book.bids] == list(bids)
    assert [tuple(level) for level in book.asks] == list(asks)


async def settle(feed: Feed, ex: Exchange, symbols: list[str]) -> None:
    """Let the market go on a little, since only the next message shows a loss; stop the crowd, then compare."""
    await asyncio.sleep(0.4)
    for symbol in SYMBOLS:
        ex.market(symbol).next_step_ns = None
    for _ in range(200):
        await asyncio.sleep(0.01)
        try:
            for symbol in symbols:
                assert feed.book(symbol).quality == "live"
                assert_equals_truth(feed, ex, symbol)
        except AssertionError:
            continue
        return
    for symbol in symbols:
        assert feed.book(symbol).quality == "live"
        assert_equals_truth(feed, ex, symbol)


async def test_three_ways_on_the_same_data(exchange: Exchange) -> None:
    """Callback, iteration and reading agree, for all four channels."""
    seen: list[Any] = []
    async with connect(exchange, channels=("book", "ticker", "trade", "ohlc")) as feed:
        feed.on_book = lambda book: seen.append((book.symbol, book.checksum))
        feed.on_trade = lambda trade: seen.append(trade.trade_id)
        events: dict[type, list[Any]] = {}
        async for event in feed:
            events.setdefault(type(event), []).append(event)
            if all(len(events.get(kind, ())) >= 3 for kind in (BookSnapshot, TickerSnapshot, Trade, Candle)):
                break
        assert {(b.symbol, b.checksum) for b in events[BookSnapshot]} <= set(seen)
        assert {t.trade_id for t in events[Trade]} <= set(seen)
        for symbol in SYMBOLS:
            assert feed.ticker(symbol).last is not None
            assert feed.trades(symbol)
            assert feed.candles(symbol)
            assert feed.instrument(symbol).symbol == symbol
        await settle(feed, exchange, SYMBOLS)
        stats = feed.stats()
        assert stats.books_mismatched == stats.malformed == stats.unknown == stats.callback_failures == 0


async def test_read_tells_what_it_is_worth(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        book = feed.book("BTC/USD", strict=True)
        assert (book.quality, book.source) == ("live", "websocket")
        assert book.age_ms is not None and 0 <= book.age_ms < 1500
        assert isinstance(book.best_bid, Decimal)
        before = (book.bids, book.checksum)
        live = feed.live_book("BTC/USD")
        await until(lambda: live.checksum != before[1])
        assert (book.bids, book.checksum) == before, "a read is a copy"
        with pytest.raises(AttributeError):
            book.depth = 3  # type: ignore[misc]
        with pytest.raises(UnknownSymbolError, match="did you mean"):
            feed.book("BTC/USDD")
        assert repr(feed) == "<Feed BTC/USD ETH/USD SHIB/USD: live>"
    assert feed.book("BTC/USD").quality == "stale"
    with pytest.raises(StaleDataError):
        feed.book("BTC/USD", strict=True)


async def test_a_feed_that_is_not_open_says_so(exchange: Exchange) -> None:
    with pytest.raises(ClosedError, match="async with"):
        connect(exchange).book("BTC/USD")


async def test_refused_symbol_harms_no_other(exchange: Exchange) -> None:
    async with connect(exchange, ["BTC/USD", "NO/SUCH", "ETH/USD"]) as feed:
        assert list(feed.refused) == [("book", "NO/SUCH")]
        assert "Currency pair not supported" in str(feed.refused["book", "NO/SUCH"])
        await settle(feed, exchange, ["BTC/USD", "ETH/USD"])


async def test_only_wrong_symbols_is_an_error(exchange: Exchange) -> None:
    with pytest.raises(SubscriptionError, match="Currency pair not supported NO/SUCH"):
        async with connect(exchange, ["NO/SUCH"]):
            pass


@pytest.mark.fault("D03", kind="L")
async def test_one_wrong_checksum_heals_alone(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        states: dict[str, set[str]] = {symbol: set() for symbol in SYMBOLS}
        feed.on_book = lambda book: states[book.symbol].add(book.state)
        other = feed.live_book("ETH/USD")
        with exchange.faults.inject("bad_checksum", symbol="BTC/USD", count=1) as fault:
            await until(lambda: fault.fired == 1)
            await until(lambda: feed.live_book("BTC/USD").mismatched == 1)
        await until(lambda: feed.book("BTC/USD").quality == "live", 2.0)
        assert states["BTC/USD"] == {"valid"}, "nobody was called with a book that is not verified"
        assert other.mismatched == 0 and other.is_valid
        assert feed.stats().resyncs == 1
        await settle(feed, exchange, SYMBOLS)


@pytest.mark.fault("D04", kind="L")
async def test_checksum_wrong_for_ever_is_unverified_without_a_storm(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        with exchange.faults.inject("bad_checksum", symbol="BTC/USD", count=None) as fault:
            await until(lambda: feed.live_book("BTC/USD").state == "unverified", 10.0)
            fired, resyncs = fault.fired, feed.stats().resyncs
            assert resyncs <= 3
            await until(lambda: fault.fired > fired + 20)
            assert feed.stats().resyncs == resyncs
            book = feed.book("BTC/USD")
            assert book.quality == "unverified" and book.best_bid is not None
            with pytest.raises(StaleDataError, match="unverified"):
                feed.book("BTC/USD", strict=True)
            assert feed.book("ETH/USD", strict=True).is_valid


@pytest.mark.parametrize("kind", ["rst", "fin"])
@pytest.mark.fault("N02", kind="L")
@pytest.mark.fault("K22", kind="L")
async def test_lost_connection_comes_back(exchange: Exchange, kind: str) -> None:
    """Books of the dead line are distrusted at once; after the reconnect all is verified and no trade comes twice."""
    ids: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    async with connect(exchange, channels=("book", "trade")) as feed:
        feed.on_trade = lambda trade: ids[trade.symbol].append(trade.trade_id)
        changes: list[LineChange] = []
        qualities: list[str] = []

        def note(event: Any) -> None:
            if isinstance(event, LineChange):
                changes.append(event)
                if event.new == "down":
                    qualities.extend(feed.book(symbol).quality for symbol in SYMBOLS)

        feed.on_notice = note
        await asyncio.sleep(0.2)
        exchange.faults.inject(kind)
        await until(lambda: feed.stats().connections == 2)
        await until(lambda: all(feed.book(symbol).quality == "live" for symbol in SYMBOLS), 5.0)
        assert set(qualities) == {"stale"}
        assert [c.new for c in changes][:3] == ["down", "backoff", "connecting"]
        await settle(feed, exchange, SYMBOLS)
        for symbol in SYMBOLS:
            assert ids[symbol] == sorted(set(ids[symbol]))


@pytest.mark.fault("N03", kind="L")
async def test_silent_line_is_stale_then_replaced(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        began = time.monotonic()
        with exchange.faults.inject("hole"):
            await until(lambda: feed.book("BTC/USD").quality == "stale", 2.0)
            stale_s = time.monotonic() - began
            with pytest.raises(StaleDataError):
                feed.book("BTC/USD", strict=True)
            await until(lambda: feed.state in ("down", "backoff", "connecting"), 4.0)
            down_s = time.monotonic() - began
        assert stale_s <= 1.5 * 1.2 + 0.1
        assert down_s <= 3.0 * 1.2 + 0.1
        await until(lambda: all(feed.book(symbol).quality == "live" for symbol in SYMBOLS), 8.0)
        await settle(feed, exchange, SYMBOLS)


@pytest.mark.fault("D15", kind="L")
async def test_damaged_messages_are_counted_and_healed(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        for _ in range(3):
            fault = exchange.faults.inject("mutate", symbol="BTC/USD", channel="book")
            await until(lambda fault=fault: fault.fired == 1)
            await asyncio.sleep(0.3)
        await settle(feed, exchange, SYMBOLS)
        assert feed.stats().connections == 1


@pytest.mark.parametrize("kind", ["drop", "swap"])
@pytest.mark.fault("D14", kind="L")
async def test_lost_or_swapped_updates(exchange: Exchange, kind: str) -> None:
    async with connect(exchange) as feed:
        fault = exchange.faults.inject(kind, symbol="BTC/USD", channel="book", message="update", count=3)
        await until(lambda: fault.fired == 3)
        await settle(feed, exchange, SYMBOLS)
        assert feed.live_book("ETH/USD").mismatched == 0


@pytest.mark.fault("D13", kind="L")
async def test_repeated_updates_change_nothing_and_are_told_apart(exchange: Exchange) -> None:
    async with connect(exchange) as feed:
        book = feed.live_book("BTC/USD")
        fault = exchange.faults.inject("duplicate", symbol="BTC/USD", channel="book", message="update", count=3)
        await until(lambda: fault.fired == 3)
        await settle(feed, exchange, SYMBOLS)
        assert (book.duplicates, book.mismatched, feed.stats().resyncs) == (3, 0, 0)
        assert book.verified == book.messages, "a copy is verified like any other message, and counted as a copy"


@pytest.mark.fault("K15", kind="L")
async def test_precision_changes_while_running(exchange: Exchange) -> None:
    async with connect(exchange, ["BTC/USD"]) as feed:
        exchange.set_pair("BTC/USD", price_precision=2, qty_precision=8)
        await until(lambda: feed.live_book("BTC/USD").price_scale == 2)
        await until(lambda: feed.book("BTC/USD").quality == "live")
        assert feed.stats().resyncs <= 1
        await settle(feed, exchange, ["BTC/USD"])


async def test_slow_iterator_is_told_what_it_lost(exchange: Exchange) -> None:
    async with connect(exchange, channels=("book", "trade"), events_max=5) as feed:
        stream = feed.events()
        trades: list[int] = []
        feed.on_trade = lambda trade: trades.append(trade.trade_id)
        await until(lambda: len(trades) > 20)
        for symbol in SYMBOLS:
            exchange.market(symbol).next_step_ns = None
        await asyncio.sleep(0.2)
        feed.on_trade = None
        got: list[Any] = []
        while len(got) < 1 + 5 + len(SYMBOLS):
            got.append(await asyncio.wait_for(anext(stream), 1.0))
        dropped = [event for event in got if isinstance(event, Dropped)]
        kept = [event for event in got if isinstance(event, Trade)]
        books = [event for event in got if isinstance(event, BookSnapshot)]
        assert len(dropped) == 1 and dropped[0].count == stream.dropped == len(trades) - len(kept)
        assert len(kept) == 5 and len(books) == len(SYMBOLS) and stream.coalesced > 0


async def test_callback_that_raises_harms_nobody(exchange: Exchange) -> None:
    async with connect(exchange, channels=("book", "trade")) as feed:
        def broken(_: object) -> None:
            raise RuntimeError("mine")

        feed.on_book = broken
        trades: list[Trade] = []
        feed.on_trade = trades.append
        await until(lambda: feed.stats().callback_failures > 5 and len(trades) > 3)
        assert feed.stats().connections == 1
        await settle(feed, exchange, SYMBOLS)


async def test_subscribe_and_unsubscribe_later(exchange: Exchange) -> None:
    async with connect(exchange, ["BTC/USD"]) as feed:
        feed.subscribe(["ETH/USD"])
        await until(lambda: feed.book("ETH/USD").quality == "live")
        feed.unsubscribe(["BTC/USD"])
        with pytest.raises(UnknownSymbolError):
            feed.book("BTC/USD")
        await settle(feed, exchange, ["ETH/USD"])


async def test_recording_replays_to_the_same_state(exchange: Exchange, tmp_path: Path) -> None:
    path = tmp_path / "line.capture"
    async with connect(exchange, record=path) as feed:
        await until(lambda: feed.stats().messages > 200)
        await settle(feed, exchange, SYMBOLS)
        last = {symbol: feed.book(symbol) for symbol in SYMBOLS}
    replay = Decoder()
    for symbol in SYMBOLS:
        replay.want_book(symbol, 10)
    frames = [payload for kind, _, payload in CaptureReader(path) if kind == "frame"]
    replay.feed_all(frames)
    for symbol in SYMBOLS:
        book = replay.book(symbol)
        assert book is not None
        assert (book.bids, book.asks, book.checksum) == (last[symbol].bids, last[symbol].asks, last[symbol].checksum)


async def test_refused_connection_is_one_clear_error(unused_tcp_port: int) -> None:
    url = f"ws://127.0.0.1:{unused_tcp_port}/v2"
    with pytest.raises(ConnectError, match="127.0.0.1"):
        async with kraken_fast.connect(["BTC/USD"], ws_url=url, rest_url="http://127.0.0.1:9", ready_s=1.0):
            pass


@pytest.mark.parametrize("problem", ["expired", "wrong_name", "self_signed"])
@pytest.mark.fault("N16", kind="L")
async def test_bad_certificate_is_final(problem: str) -> None:
    async with Exchange(["BTC/USD"], tls=True) as ex:
        with ex.faults.inject("cert", problem=problem), pytest.raises(TlsError):
            async with connect(ex, ["BTC/USD"], ready_s=3.0):
                pass
        assert not ex.sessions


async def test_wrong_address_is_final(exchange: Exchange) -> None:
    with exchange.faults.inject("upgrade_status", status=404), pytest.raises(HandshakeError, match="404"):
        async with connect(exchange, ready_s=5.0):
            pass


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"book_depth": 11}, "book_depth"),
        ({"channels": ("books",)}, "channels"),
        ({"ohlc_interval": 2, "channels": ("ohlc",)}, "ohlc_interval"),
        ({"ws_url": "ws://ws.kraken.com/v2"}, "ws_url"),
        ({"symbols": []}, "symbols"),
        ({"ready_s": 0}, "ready_s"),
        ({"events_max": 0}, "events_max"),
        ({"ticker_trigger": "all"}, "ticker_trigger"),
        ({"handler": object()}, "handler"),
    ],
)
def test_wrong_settings_are_named_before_any_io(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kraken_fast.connect(**{"symbols": ["BTC/USD"], **settings})
    assert caught.value.field == field


async def test_close_leaves_nothing(exchange: Exchange) -> None:
    before = asyncio.all_tasks()
    feed = connect(exchange)
    async with feed:
        stream = feed.events()
    await feed.close()
    with pytest.raises(ClosedError):
        feed.events()
    with pytest.raises(ClosedError):
        await feed.open()
    async for _ in stream:
        pass
    await until(lambda: not exchange.sessions)
    gc.collect()
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


async def test_notices_tell_refusals_and_states(exchange: Exchange) -> None:
    notices: list[Any] = []
    feed = connect(exchange, ["BTC/USD", "NO/SUCH"])
    feed.on_notice = notices.append
    async with feed:
        kinds = {type(notice) for notice in notices}
        assert {LineChange, Refused, kraken_fast.SystemStatus, kraken_fast.InstrumentUpdate} <= kinds
        assert Gap not in kinds
