"""`connect(...)`: verified market data of one line, by callback, by iteration, or by reading the latest.

    socket -> LineListener -> Decoder -> stores -> Callbacks -> on_book, on_ticker ...     in C, one call stack
                                 |                     +-----> EventStreams, while somebody iterates
                                 +-> Session: what is rare; keeps the line subscribed

A `Feed` is what users hold; the line itself is kept by its `Session`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from .config import (
    PUBLIC_REST_URL,
    PUBLIC_WS_URL,
    Endpoints,
    check_book_depth,
    check_ohlc_interval,
    check_symbols,
    check_ticker_trigger,
)
from .core.book import BookSnapshot, OrderBook
from .core.capture import CaptureWriter
from .core.decode import Decoder
from .core.handler import Callbacks, Handler
from .core.latency import Histogram
from .core.market import Candle, LiveTicker, TickerSnapshot, Trade
from .errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    KrakenFastError,
    StaleDataError,
    SubscriptionError,
    UnknownSymbolError,
)
from .events import Event, EventStream, LineChange
from .fanout import Fanout
from .names import canonical_symbol
from .session import Session, SessionSettings, check_handler, settings_of
from .transport import LineState
from .types import Instrument, SystemStatus

_log = logging.getLogger("kraken_fast.feed")

CHANNELS = ("book", "ticker", "trade", "ohlc")

_Store = TypeVar("_Store")


@dataclass(frozen=True, slots=True)
class FeedStats:
    """Counters of a feed since it was made."""

    messages: int
    message_bytes: int
    books_verified: int
    books_mismatched: int
    malformed: int
    unknown: int
    unwanted: int
    resyncs: int
    connections: int
    attempts: int
    callback_failures: int


def connect(
    symbols: Iterable[str],
    *,
    channels: Iterable[str] = ("book",),
    book_depth: int = 10,
    ohlc_interval: int = 1,
    ticker_trigger: str = "trades",
    ws_url: str = PUBLIC_WS_URL,
    rest_url: str = PUBLIC_REST_URL,
    ca_file: str | Path | None = None,
    ready_s: float = 15.0,
    events_max: int = 10_000,
    record: str | Path | CaptureWriter | None = None,
    handler: Handler | None = None,
    **advanced: Any,
) -> Feed:
    """Prepare a feed; `async with` opens it.

    Args:
        symbols: as on WebSocket v2, `BTC/USD`.
        channels: of book, ticker, trade, ohlc.
        book_depth: 10, 25, 100, 500 or 1000 levels a side.
        ohlc_interval: minutes.
        ticker_trigger: `trades`, or `bbo` for every change of the best prices.
        ws_url: the exchange; plain ws:// only for a loopback host.
        rest_url: its REST address, likewise.
        ca_file: the only authorities to trust, for an exchange in a box with TLS.
        ready_s: how long opening may take until every symbol delivers or was refused.
        events_max: one-by-one events that may wait for a slow iterator before the oldest are dropped and counted.
        record: a file, made anew, that gets every message as it came; or a CaptureWriter, closed with the feed.
        handler: a Handler subclass, told of hot events in C before any Python callback.
        advanced: fields of `session.SessionSettings`: clock, rng, line, subscription, budget, ssl_context ...

    Raises:
        ConfigError: a setting is wrong; nothing was sent.

    Example:
        async with kraken_fast.connect(["BTC/USD"]) as feed:
            async for event in feed:
                print(event)
    """
    settings = settings_of("A", advanced, ready_s=ready_s, events_max=events_max)
    check_handler(handler)
    return Feed(
        symbols=check_symbols(symbols),
        channels=_check_channels(channels),
        book_depth=check_book_depth(book_depth),
        ohlc_interval=check_ohlc_interval(ohlc_interval),
        ticker_trigger=check_ticker_trigger(ticker_trigger),
        endpoints=Endpoints(ws_url=ws_url, rest_url=rest_url, ca_file=ca_file),
        ready_s=ready_s,
        events_max=events_max,
        record=record,
        handler=handler,
        settings=settings,
    )


def _check_channels(channels: Iterable[str]) -> tuple[str, ...]:
    names = (channels,) if isinstance(channels, str) else tuple(dict.fromkeys(channels))
    for name in names:
        if name not in CHANNELS:
            raise ConfigError("channels", name, f"among {', '.join(CHANNELS)}")
    if not names:
        raise ConfigError("channels", names, f"at least one of {', '.join(CHANNELS)}")
    return names


class Feed:
    """Verified market data of one line. Made by `connect`; an async context manager, and iterable while open.

    The three ways work on the same data:
      - callbacks (`on_book`, `on_ticker`, `on_trade`, `on_candle`): called within the message; books and tickers are
        the live stores, valid during the call.
      - iteration (`async for event in feed`): immutable copies, trades, candles, and what happens to the line.
      - reading (`book`, `ticker`, `trades`, `candles`): immutable copies of the latest, telling their quality and age.
        `live_book` and `live_ticker` give the stores themselves, for hot code between awaits.
    """

    def __init__(
        self,
        *,
        symbols: tuple[str, ...],
        channels: tuple[str, ...],
        book_depth: int,
        ohlc_interval: int,
        ticker_trigger: str,
        endpoints: Endpoints,
        ready_s: float,
        events_max: int,
        record: str | Path | CaptureWriter | None,
        handler: Handler | None,
        settings: SessionSettings,
    ) -> None:
        self.symbols = symbols
        self.channels = channels
        self._ohlc_interval = ohlc_interval
        self._parameters: dict[str, dict[str, Any]] = {
            "book": {"depth": book_depth},
            "ticker": {"event_trigger": ticker_trigger},
            "ohlc": {"interval": ohlc_interval},
        }
        self._ready_s = ready_s
        self._record = record
        self._session = Session(endpoints, settings, self._on_notice)
        self._session.forward = handler
        self._fanout = Fanout(self._session, events_max)
        self.on_notice: Callable[[Event], None] | None = None
        """Called with every LineChange, Refused, Gap, SystemStatus and InstrumentUpdate."""

    def __repr__(self) -> str:
        return f"<Feed {' '.join(self.symbols)}: {self.state}>"

    # ---------------------------------------------------------------------------------------- opening, closing

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, subscribe, and wait until every symbol delivers or was refused.

        Raises:
            ConnectError, TlsError, HandshakeError: no connection within `ready_s`, with the last reason.
            SubscriptionError: every symbol was refused; if only some were, see `refused`.
            ClosedError: it was opened before, or closed meanwhile.
        """
        if self._session.connection is not None:
            raise ClosedError("a feed is opened once; make a new one")
        self._session.want("instrument")
        for channel in self.channels:
            self._want(channel, self.symbols)
        ready = self._session.start(self._record)
        try:
            async with asyncio.timeout(self._ready_s):
                await ready
        except TimeoutError:
            error = self._not_ready()
            await self.close()
            raise error from None
        except (KrakenFastError, asyncio.CancelledError):
            await self.close()
            raise

    def _not_ready(self) -> KrakenFastError:
        connection = self._session.connection
        assert connection is not None
        if connection.state not in (LineState.LIVE, LineState.SUSPECT):
            return connection.error or ConnectError(f"no connection within {self._ready_s:g} s")
        channel, symbol = self._session.awaited or ("", "")
        return SubscriptionError(channel, symbol, f"nothing delivered within {self._ready_s:g} s")

    async def close(self) -> None:
        """End the feed. Prompt, and may be called again; iterators end, reads keep giving the last values as stale."""
        self._session.require_own_loop()
        await self._session.close()
        for stream in tuple(self._fanout.streams):
            stream.finish(None)

    def subscribe(self, symbols: Iterable[str], channels: Iterable[str] | None = None) -> None:
        """Want more symbols, with the parameters of this feed. What comes of it is told by events and `refused`."""
        self._session.require_own_loop()
        names = check_symbols(symbols)
        for channel in self.channels if channels is None else _check_channels(channels):
            self._want(channel, names)

    def unsubscribe(self, symbols: Iterable[str], channels: Iterable[str] | None = None) -> None:
        """Want symbols no more; their stores are dropped."""
        self._session.require_own_loop()
        names = check_symbols(symbols)
        for channel in self.channels if channels is None else _check_channels(channels):
            self._session.unwant(channel, names)
            for name in names:
                self._session.decoder.unwant(channel, name, self._ohlc_interval)

    def _want(self, channel: str, symbols: tuple[str, ...]) -> None:
        self._session.want(channel, symbols, **self._parameters.get(channel, {}))

    def tap(self, callbacks: Callbacks) -> None:
        """Have somebody told of books, tickers, trades and candles besides the feed's own callbacks, before them."""
        callbacks.forward, self._session.forward = self._session.forward, callbacks

    def untap(self, callbacks: Callbacks) -> None:
        """Tell somebody no more, who was told by `tap`."""
        before: Handler | None = self._session
        while isinstance(before, Callbacks):
            if before.forward is callbacks:
                before.forward, callbacks.forward = callbacks.forward, None
                return
            before = before.forward

    @property
    def decoder(self) -> Decoder:
        """The decoder with the live stores, for code that reads them as they are."""
        return self._session.decoder

    @property
    def refused(self) -> dict[tuple[str, str], SubscriptionError]:
        """What the exchange refused or never served, by (channel, symbol); a copy."""
        return dict(self._session.refused)

    @property
    def status(self) -> SystemStatus | None:
        """The engine's state as last told."""
        return self._session.status

    # ---------------------------------------------------------------------------------------- callbacks

    @property
    def on_book(self) -> Callable[[OrderBook], None] | None:
        """Called with the live OrderBook after each of its messages; it is reused, valid during the call."""
        return self._fanout.chosen["book"]

    @on_book.setter
    def on_book(self, callback: Callable[[OrderBook], None] | None) -> None:
        self._fanout.choose("book", callback)

    @property
    def on_ticker(self) -> Callable[[LiveTicker], None] | None:
        """Called with the LiveTicker after each of its messages; it is reused, valid during the call."""
        return self._fanout.chosen["ticker"]

    @on_ticker.setter
    def on_ticker(self, callback: Callable[[LiveTicker], None] | None) -> None:
        self._fanout.choose("ticker", callback)

    @property
    def on_trade(self) -> Callable[[Trade], None] | None:
        """Called with each Trade, once, in order."""
        return self._fanout.chosen["trade"]

    @on_trade.setter
    def on_trade(self, callback: Callable[[Trade], None] | None) -> None:
        self._fanout.choose("trade", callback)

    @property
    def on_candle(self) -> Callable[[Candle], None] | None:
        """Called with each change of a Candle."""
        return self._fanout.chosen["candle"]

    @on_candle.setter
    def on_candle(self, callback: Callable[[Candle], None] | None) -> None:
        self._fanout.choose("candle", callback)

    # ---------------------------------------------------------------------------------------- iteration

    def events(self, *, size: int | None = None) -> EventStream:
        """A new stream of events from now on; iterate over it once. `size` bounds it, see `connect`'s events_max."""
        if not self._session.is_open:
            raise ClosedError("this feed is not open; use `async with`")
        return self._fanout.stream(size)

    def __aiter__(self) -> EventStream:
        return self.events()

    def _on_notice(self, event: Event) -> None:
        self._fanout.put(event)
        if isinstance(event, LineChange) and event.new == "closed":
            for stream in tuple(self._fanout.streams):
                stream.finish(self._ending(event))
        if self.on_notice is not None:
            try:
                self.on_notice(event)
            except Exception:  # noqa: BLE001 - whatever a user's callback raises
                _log.exception("on_notice raised; the feed goes on")

    def _ending(self, event: LineChange) -> KrakenFastError | None:
        """Why the line was given up; None when we closed it."""
        connection = self._session.connection
        return None if connection is None or event.reason == "closed by us" else connection.error

    # ---------------------------------------------------------------------------------------- reading

    def book(self, symbol: str, *, strict: bool = False) -> BookSnapshot:
        """Copy the latest book of a symbol. Its `quality` tells how far to trust it.

        Raises:
            UnknownSymbolError: not subscribed to.
            StaleDataError: strict, and the book is not live, or crossed.
        """
        book = self.live_book(symbol)
        if strict:
            _require_live(book, f"book {symbol}")
            if book.crossed:
                raise StaleDataError(f"book {symbol}", "crossed", book.age_ms)
        return book.snapshot()

    def live_book(self, symbol: str) -> OrderBook:
        """The store itself, for hot code: no copy, changes with the next message.

        Raises:
            UnknownSymbolError: not subscribed to.
        """
        return self._kept(self._session.decoder.book, symbol)

    def ticker(self, symbol: str, *, strict: bool = False) -> TickerSnapshot:
        """Copy the latest ticker of a symbol; raises as `book` does."""
        ticker = self.live_ticker(symbol)
        if strict:
            _require_live(ticker, f"ticker {symbol}")
        return ticker.snapshot()

    def live_ticker(self, symbol: str) -> LiveTicker:
        """The store itself, for hot code."""
        return self._kept(self._session.decoder.ticker, symbol)

    def trades(self, symbol: str) -> tuple[Trade, ...]:
        """The last trades of a symbol, oldest first, at most 50."""
        return self._kept(self._session.decoder.trades, symbol).recent()

    def candles(self, symbol: str) -> tuple[Candle, ...]:
        """The last candles of a symbol, oldest first, at most 24; the last one is still running."""
        candles = self._session.decoder.candles
        return self._kept(lambda name: candles(name, self._ohlc_interval), symbol).recent()

    def instrument(self, symbol: str) -> Instrument:
        """The rules of a pair, as the exchange's `instrument` channel tells them."""
        return self._kept(self._session.decoder.instruments.get, symbol)

    @property
    def instruments(self) -> dict[str, Instrument]:
        """All pairs that the exchange lists, by symbol; a copy."""
        return dict(self._session.decoder.instruments)

    def _kept(self, find: Callable[[str], _Store | None], symbol: str) -> _Store:
        store = find(symbol)
        if store is None:
            store = find(canonical_symbol(symbol))  # only on a miss: hot code uses the one name
        if store is None and self._session.connection is None:
            raise ClosedError("this feed is not open; use `async with`")
        if store is None:
            raise UnknownSymbolError.among(symbol, self._session.decoder.instruments or dict.fromkeys(self.symbols))
        return store

    @property
    def state(self) -> str:
        """Of the line: down, backoff, connecting, live, suspect, closed."""
        return "down" if self._session.connection is None else self._session.connection.state.value

    @property
    def latency(self) -> Histogram:
        """Time from a book message's arrival to the end of its callback; counted from the first look at it on."""
        if self._session.latency is None:
            self._session.latency = Histogram()
        return self._session.latency

    def stats(self) -> FeedStats:
        """Give the counters. Cost: O(symbols)."""
        decoder, connection = self._session.decoder, self._session.connection
        books = [book for name in decoder.kept_symbols() if (book := decoder.book(name)) is not None]
        return FeedStats(
            messages=decoder.messages,
            message_bytes=0 if connection is None else connection.listener.message_bytes,
            books_verified=sum(book.verified for book in books),
            books_mismatched=sum(book.mismatched for book in books),
            malformed=decoder.malformed,
            unknown=decoder.unknown,
            unwanted=decoder.unwanted,
            resyncs=self._session.subscriptions.resyncs,
            connections=self._session.connections,
            attempts=0 if connection is None else connection.epoch,
            callback_failures=self._session.failures,
        )


def _require_live(store: OrderBook | LiveTicker, what: str) -> None:
    quality = store.quality
    if quality != "live":
        raise StaleDataError(what, quality, store.age_ms)
