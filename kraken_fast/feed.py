"""`connect(...)`: verified market data of one line, by callback, by iteration, or by reading the latest.

The wiring, in one look:

    socket -> LineListener -> Decoder -> stores -> Callbacks      in C, one call stack a message
                                 |                    |
                                 |                    +-> on_book, on_ticker ... and EventStreams
                                 +-> _Wiring (this file): acks, snapshots, losses -> Subscriptions -> requests
    Connection: epochs, reconnects, silence

Nothing here touches a hot message. `Subscriptions` decides what to ask for; this file carries its requests out, keeps
its timer, and tells readers what happened.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Self, TypeVar

from .config import (
    PUBLIC_REST_URL,
    PUBLIC_WS_URL,
    Endpoints,
    LineSettings,
    SubscriptionSettings,
    check_book_depth,
    check_number,
    check_ohlc_interval,
    check_symbols,
)
from .core.book import Book, BookSnapshot, OrderBook
from .core.capture import CaptureWriter
from .core.clock import Clock, SystemClock
from .core.decode import Decoder
from .core.handler import Callbacks, Handler
from .core.latency import Histogram
from .core.line import Line
from .core.market import Candle, LiveTicker, Ticker, TickerSnapshot, Trade
from .dial import FileAttempts
from .errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    DecodeError,
    KrakenFastError,
    StaleDataError,
    SubscriptionError,
    TransportError,
    UnknownSymbolError,
)
from .events import Event, EventStream, LineChange, Refused
from .policy import AttemptBudget
from .subscription_records import EventKind
from .subscriptions import Subscriptions
from .transport import Connection, LineState
from .types import Ack, Gap, Instrument, InstrumentUpdate, SystemStatus

_log = logging.getLogger("kraken_fast.feed")

_Store = TypeVar("_Store")

CHANNELS = ("book", "ticker", "trade", "ohlc")

STATUS_GRACE_S = 1.0
"""The exchange sends `status` at once on connecting; subscribing waits for it no longer than this."""

REFUSALS_MAX, REFUSALS_S = 10, 1.0
"""So many refused messages within so many seconds make a line doubtful as a whole. Source: faults.md D15."""

CROSSED_S = 1.0
"""A book that stays crossed this long is asked for anew. Source: faults.md D12."""

WATCH_S = 0.25


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
    record: str | Path | None = None,
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
        ws_url, rest_url: the exchange; plain ws:// and http:// only for a loopback host.
        ca_file: the only authorities to trust, for an exchange in a box with TLS.
        ready_s: how long opening may take until every symbol delivers or was refused.
        events_max: one-by-one events that may wait for a slow iterator before the oldest are dropped and counted.
        record: a file, made anew, that gets every message as it came.
        handler: a Handler subclass, told of hot events in C before any Python callback.
        advanced: `clock`, `rng`, `line`, `subscription`, `budget`, `ssl_context`, `use_aiofastnet`; see `Feed`.

    Raises:
        ConfigError: a setting is wrong; nothing was sent.

    Example:
        async with kraken_fast.connect(["BTC/USD"]) as feed:
            async for event in feed:
                print(event)
    """
    check_number("ready_s", ready_s, 0.001, 3600.0)
    check_number("events_max", events_max, 1, whole=True)
    if ticker_trigger not in ("trades", "bbo"):
        raise ConfigError("ticker_trigger", ticker_trigger, "trades or bbo")
    if handler is not None and not isinstance(handler, Handler):
        raise ConfigError("handler", handler, "an instance of a Handler subclass, or None")
    return Feed(
        symbols=check_symbols(symbols),
        channels=_check_channels(channels),
        book_depth=check_book_depth(book_depth),
        ohlc_interval=check_ohlc_interval(ohlc_interval),
        ticker_trigger=ticker_trigger,
        endpoints=Endpoints(ws_url=ws_url, rest_url=rest_url, ca_file=ca_file),
        ready_s=ready_s,
        events_max=events_max,
        record=record,
        handler=handler,
        **advanced,
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

    Args (beyond those of `connect`):
        clock: monotonic and wall time. rng: jitter of reconnects.
        line, subscription: LineSettings, SubscriptionSettings.
        budget: bound on connection attempts; None counts those of all this user's processes on this machine.
        ssl_context: must verify, unless the host is loopback. use_aiofastnet: picows' faster transports.
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
        record: str | Path | None,
        handler: Handler | None,
        clock: Clock | None = None,
        rng: Random | None = None,
        line: LineSettings | None = None,
        subscription: SubscriptionSettings | None = None,
        budget: AttemptBudget | None = None,
        ssl_context: ssl.SSLContext | None = None,
        use_aiofastnet: bool = True,
    ) -> None:
        self.symbols = symbols
        self.channels = channels
        self._parameters: dict[str, Any] = {
            "book": book_depth, "ohlc": ohlc_interval, "ticker": ticker_trigger, "trade": None, "instrument": None,
        }  # fmt: skip
        self._ready_s = ready_s
        self._events_max = events_max
        self._clock = clock or SystemClock()
        settings = line or LineSettings()
        self._line = Line(self._clock, suspect_ns=round(settings.suspect_s * 1e9))
        self._wiring = _Wiring(self)
        self._wiring.forward = handler
        self._decoder = Decoder(self._line, self._wiring)
        self._subscriptions = Subscriptions(subscription)
        self._record = record
        self._capture: CaptureWriter | None = None
        self._make_connection = partial(
            Connection,
            endpoints,
            self._wiring,
            self._decoder,
            clock=self._clock,
            rng=rng or SystemRandom(),
            settings=settings,
            budget=budget or AttemptBudget(FileAttempts.of_user()),
            ssl_context=ssl_context,
            use_aiofastnet=use_aiofastnet,
        )
        self._connection: Connection | None = None
        self._streams: list[EventStream] = []
        self._callbacks: dict[str, Callable[[Any], None] | None] = dict.fromkeys(("book", "ticker", "trade", "candle"))
        self.on_notice: Callable[[Event], None] | None = None
        """Called with every LineChange, Refused, Gap, SystemStatus and InstrumentUpdate."""
        self.refused: dict[tuple[str, str], SubscriptionError] = {}
        """What the exchange refused or never served, by (channel, symbol)."""
        self.status: SystemStatus | None = None
        """The engine's state as last told."""
        self._awaited: set[tuple[str, str]] = set()
        self._ready: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._is_pumping = False
        self._refusals: deque[int] = deque(maxlen=REFUSALS_MAX + 1)
        self._crossed_since: dict[str, int] = {}
        self._connections = 0

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
        """
        if self._connection is not None:
            raise ClosedError("a feed is opened once; make a new one")
        if self._record is not None:
            self._capture = CaptureWriter(self._record, self._clock)
        self._connection = self._make_connection(tee=self._capture)
        self._ready = asyncio.get_running_loop().create_future()
        self._want("instrument", ())
        for channel in self.channels:
            self._want(channel, self.symbols)
        self._connection.start()
        try:
            async with asyncio.timeout(self._ready_s):
                await self._ready
        except TimeoutError:
            await self._give_up(self._not_ready())
        except KrakenFastError as error:
            await self._give_up(error)
        except asyncio.CancelledError:
            await self.close()
            raise
        self._watch()

    async def _give_up(self, error: KrakenFastError) -> None:
        await self.close()
        raise error

    def _not_ready(self) -> KrakenFastError:
        assert self._connection is not None
        if self._connection.state not in (LineState.LIVE, LineState.SUSPECT):
            return self._connection.error or ConnectError(f"no connection within {self._ready_s:g} s")
        channel, symbol = next(iter(self._awaited))
        return SubscriptionError(channel, symbol, f"nothing delivered within {self._ready_s:g} s")

    async def close(self) -> None:
        """End the feed. Prompt, and may be called again; iterators end, reads keep giving the last values as stale."""
        for timer in (self._timer, self._watch_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._watch_timer = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ClosedError("closed while it was opening"))
            self._ready.exception()  # retrieved: nobody may be waiting any more
        if self._connection is not None:
            await self._connection.close()
        for stream in tuple(self._streams):
            stream.finish(None)
        if self._capture is not None:
            self._capture.close()

    def subscribe(self, symbols: Iterable[str], channels: Iterable[str] | None = None) -> None:
        """Want more symbols, with the parameters of this feed. What comes of it is told by events and `refused`."""
        names = check_symbols(symbols)
        for channel in self.channels if channels is None else _check_channels(channels):
            self._want(channel, names)
        self._pump()

    def unsubscribe(self, symbols: Iterable[str], channels: Iterable[str] | None = None) -> None:
        """Want symbols no more; their stores are dropped."""
        names = check_symbols(symbols)
        for channel in self.channels if channels is None else _check_channels(channels):
            self._subscriptions.unwant(channel, names)
            for name in names:
                self._decoder.unwant(channel, name, self._parameters["ohlc"])
                self._awaited.discard((channel, name))
        self._pump()

    def _want(self, channel: str, symbols: Iterable[str]) -> None:
        parameter = self._parameters[channel]
        for symbol in symbols:
            if channel == "book":
                self._decoder.want_book(symbol, parameter)
            elif channel == "ticker":
                self._decoder.want_ticker(symbol)
            elif channel == "trade":
                self._decoder.want_trades(symbol)
            else:
                self._decoder.want_candles(symbol, parameter)
        name = {"book": "depth", "ohlc": "interval", "ticker": "event_trigger"}.get(channel)
        extra: dict[str, Any] = {name: parameter} if name else {}
        for key in self._subscriptions.want(channel, symbols, **extra):
            self.refused.pop(key, None)
            self._awaited.add(key)

    # ---------------------------------------------------------------------------------------- callbacks

    @property
    def on_book(self) -> Callable[[OrderBook], None] | None:
        """Called with the live OrderBook after each of its messages; it is reused, valid during the call."""
        return self._callbacks["book"]

    @on_book.setter
    def on_book(self, callback: Callable[[OrderBook], None] | None) -> None:
        self._set_callback("book", callback)

    @property
    def on_ticker(self) -> Callable[[LiveTicker], None] | None:
        """Called with the LiveTicker after each of its messages; it is reused, valid during the call."""
        return self._callbacks["ticker"]

    @on_ticker.setter
    def on_ticker(self, callback: Callable[[LiveTicker], None] | None) -> None:
        self._set_callback("ticker", callback)

    @property
    def on_trade(self) -> Callable[[Trade], None] | None:
        """Called with each Trade, once, in order."""
        return self._callbacks["trade"]

    @on_trade.setter
    def on_trade(self, callback: Callable[[Trade], None] | None) -> None:
        self._set_callback("trade", callback)

    @property
    def on_candle(self) -> Callable[[Candle], None] | None:
        """Called with each change of a Candle."""
        return self._callbacks["candle"]

    @on_candle.setter
    def on_candle(self, callback: Callable[[Candle], None] | None) -> None:
        self._set_callback("candle", callback)

    def _set_callback(self, kind: str, callback: Callable[[Any], None] | None) -> None:
        if callback is not None and not callable(callback):
            raise ConfigError(f"on_{kind}", callback, "callable, or None")
        self._callbacks[kind] = callback
        self._rewire()

    def _rewire(self) -> None:
        """Let the core call users directly, and through us only while somebody iterates."""
        for kind, callback in self._callbacks.items():
            offer = getattr(self, f"_offer_{kind}") if self._streams else None
            if offer is not None and callback is not None:
                setattr(self._wiring, kind, partial(_both, offer, callback))
            else:
                setattr(self._wiring, kind, offer or callback)

    # ---------------------------------------------------------------------------------------- iteration

    def events(self, *, size: int | None = None) -> EventStream:
        """A new stream of events from now on; iterate over it once. `size` bounds it, see `connect`'s events_max."""
        if self._connection is None or self._connection.state is LineState.CLOSED:
            raise ClosedError("this feed is not open; use `async with`")
        stream = EventStream(self._events_max if size is None else size, self._forget_stream)
        self._streams.append(stream)
        self._rewire()
        return stream

    def __aiter__(self) -> EventStream:
        return self.events()

    def _forget_stream(self, stream: EventStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
            self._rewire()

    def _offer_book(self, book: OrderBook) -> None:
        for stream in self._streams:
            stream.put_latest(("book", book.symbol), book.snapshot)

    def _offer_ticker(self, ticker: LiveTicker) -> None:
        for stream in self._streams:
            stream.put_latest(("ticker", ticker.symbol), ticker.snapshot)

    def _offer_trade(self, trade: Trade) -> None:
        for stream in self._streams:
            stream.put(trade)

    def _offer_candle(self, candle: Candle) -> None:
        for stream in self._streams:
            if candle.closed:
                stream.put(candle)
            else:
                stream.put_latest(("ohlc", candle.symbol), lambda: candle)

    def _notice(self, event: Event) -> None:
        for stream in self._streams:
            stream.put(event)
        if self.on_notice is not None:
            try:
                self.on_notice(event)
            except Exception:  # noqa: BLE001 - whatever a user's callback raises
                _log.exception("on_notice raised; the feed goes on")

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
        return self._kept(self._decoder.book(symbol), symbol)

    def ticker(self, symbol: str, *, strict: bool = False) -> TickerSnapshot:
        """Copy the latest ticker of a symbol; raises as `book` does."""
        ticker = self.live_ticker(symbol)
        if strict:
            _require_live(ticker, f"ticker {symbol}")
        return ticker.snapshot()

    def live_ticker(self, symbol: str) -> LiveTicker:
        """The store itself, for hot code."""
        return self._kept(self._decoder.ticker(symbol), symbol)

    def trades(self, symbol: str) -> tuple[Trade, ...]:
        """The last trades of a symbol, oldest first, at most 50."""
        return self._kept(self._decoder.trades(symbol), symbol).recent()

    def candles(self, symbol: str) -> tuple[Candle, ...]:
        """The last candles of a symbol, oldest first, at most 24; the last one is still running."""
        return self._kept(self._decoder.candles(symbol, self._parameters["ohlc"]), symbol).recent()

    def instrument(self, symbol: str) -> Instrument:
        """The rules of a pair, as the exchange's `instrument` channel tells them."""
        return self._kept(self._decoder.instruments.get(symbol), symbol)

    @property
    def instruments(self) -> dict[str, Instrument]:
        """All pairs that the exchange lists, by symbol; a copy."""
        return dict(self._decoder.instruments)

    def _kept(self, store: _Store | None, symbol: str) -> _Store:
        if store is None:
            known = self._decoder.instruments or dict.fromkeys(self.symbols)
            raise UnknownSymbolError.among(symbol, known)
        return store

    @property
    def state(self) -> str:
        """Of the line: down, backoff, connecting, live, suspect, closed."""
        return "down" if self._connection is None else self._connection.state.value

    @property
    def latency(self) -> Histogram:
        """Time from a book message's arrival to the end of its callback; counted from the first look at it on."""
        if self._wiring.latency is None:
            self._wiring.latency = Histogram()
        return self._wiring.latency

    def stats(self) -> FeedStats:
        """Give the counters. Cost: O(symbols)."""
        books = [book for name in self._decoder.kept_symbols() if (book := self._decoder.book(name)) is not None]
        listener = None if self._connection is None else self._connection.listener
        return FeedStats(
            messages=self._decoder.messages,
            message_bytes=0 if listener is None else listener.message_bytes,
            books_verified=sum(book.verified for book in books),
            books_mismatched=sum(book.mismatched for book in books),
            malformed=self._decoder.malformed,
            unknown=self._decoder.unknown,
            unwanted=self._decoder.unwanted,
            resyncs=self._subscriptions.resyncs,
            connections=self._connections,
            attempts=0 if self._connection is None else self._connection.epoch,
            callback_failures=self._wiring.failures,
        )

    # ---------------------------------------------------------------------------------------- what happens

    def _pump(self) -> None:
        """Send what is due, tell what happened, and come back when more is due."""
        connection = self._connection
        if connection is None or connection.state is LineState.CLOSED or self._is_pumping:
            return
        self._is_pumping = True
        try:
            for request in self._subscriptions.poll(self._clock.monotonic_ns):
                try:
                    connection.send(request)
                except TransportError as error:
                    _log.debug("request not sent, its time-out will repeat it: %s", error)
            self._take_subscription_events()
        finally:
            self._is_pumping = False
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._clock.monotonic_ns
        due_ns = self._subscriptions.deadline_ns(now_ns)
        if due_ns is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, (due_ns - now_ns) / 1e9), self._pump)

    def _pump_soon(self) -> None:
        """Pump after the present message: requests are never written from within the decoder's call stack."""
        asyncio.get_running_loop().call_soon(self._pump)

    def _take_subscription_events(self) -> None:
        for event in self._subscriptions.take_events():
            key = (event.channel, event.symbol)
            if event.kind in (EventKind.REFUSED, EventKind.LOST):
                _log.warning("%s: %s", event.kind.value, event.error)
                self.refused[key] = event.error
                self._awaited.discard(key)
                self._notice(Refused(event.error))
            elif event.kind is EventKind.DELIVERING:
                self.refused.pop(key, None)
                self._awaited.discard(key)
            elif event.kind is EventKind.UNVERIFIED:
                _log.warning("book %s is unverified: %s", event.symbol, event.reason)
                book = self._decoder.book(event.symbol)
                if book is not None:
                    book.give_up_verifying()
            elif event.kind is EventKind.RECYCLE and self._connection is not None:
                self._connection.recycle(f"{event.channel} {event.symbol}: {event.reason}")
            elif event.kind is EventKind.WARNED:
                _log.info("the exchange warns about %s: %s", event.channel, event.reason)
        if self._ready is not None and not self._ready.done() and not self._awaited:
            self._settle_ready()

    def _settle_ready(self) -> None:
        assert self._ready is not None
        market = [key for key in self._subscriptions.wanted() if key[0] != "instrument"]
        if market and all(key in self.refused for key in market):
            self._ready.set_exception(self.refused[market[0]])
        else:
            self._ready.set_result(None)

    def _line_ready(self) -> None:
        """The connection is up and its status came, or is late: subscribe."""
        if self._timer is not None:
            self._timer.cancel()
        self._subscriptions.line_up(self._clock.monotonic_ns)
        self._pump()

    def _watch(self) -> None:
        """Look for books that stay crossed though their checksum agrees."""
        now_ns = self._clock.monotonic_ns
        for symbol in self._decoder.kept_symbols():
            book = self._decoder.book(symbol)
            if book is None or not book.is_valid or not book.crossed:
                self._crossed_since.pop(symbol, None)
            elif now_ns - self._crossed_since.setdefault(symbol, now_ns) >= CROSSED_S * 1e9:
                del self._crossed_since[symbol]
                book.invalidate()
                self._subscriptions.resync("book", symbol, "crossed", now_ns)
                self._pump()
        self._watch_timer = asyncio.get_running_loop().call_later(WATCH_S, self._watch)


class _Wiring(Callbacks):
    """Between the decoder, the connection and the subscriptions of one feed. Cold events only."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._may_subscribe = False  # the line is up, and line_up was not called yet

    # From the connection:

    def on_up(self, epoch: int) -> None:
        feed = self._feed
        feed._connections += 1
        feed._decoder.new_epoch()
        self._may_subscribe = True
        self._note("opened", epoch=epoch)
        feed._timer = asyncio.get_running_loop().call_later(STATUS_GRACE_S, self._subscribe)

    def on_down(self, reason: TransportError, epoch: int) -> None:
        feed = self._feed
        self._may_subscribe = False  # the wait for a status may end after the line did
        if feed._timer is not None:
            feed._timer.cancel()
        feed._subscriptions.line_down()
        feed._crossed_since.clear()
        self._note("lost", epoch=epoch, reason=str(reason))
        if not reason.retryable and feed._ready is not None and not feed._ready.done():
            feed._ready.set_exception(reason)

    def on_state(self, old: LineState, new: LineState, reason: str) -> None:
        feed = self._feed
        _log.info("line %s -> %s: %s", old.value, new.value, reason)
        if new in (LineState.DOWN, LineState.CLOSED):
            feed._decoder.new_epoch()  # whoever is told of the loss must find nothing live any more
        feed._notice(LineChange(old.value, new.value, reason))
        if new is LineState.CLOSED and feed._connection is not None:
            error = feed._connection.error if reason != "closed by us" else None
            for stream in tuple(feed._streams):
                stream.finish(error)

    def on_error(self, error: Exception, count: int) -> None:
        _log.error("the core let an exception out (%d so far); the line is recycled", count, exc_info=error)
        if self._feed._connection is not None:
            self._feed._connection.recycle("internal error")

    def _subscribe(self) -> None:
        if self._may_subscribe:
            self._may_subscribe = False
            self._feed._line_ready()

    def _note(self, event: str, **facts: object) -> None:
        if self._feed._capture is not None:
            self._feed._capture.note(event, self._feed._clock.monotonic_ns, **facts)

    # From the decoder:

    def on_ack(self, ack: Ack) -> None:
        feed = self._feed
        if feed._connection is not None and ack.method == "subscribe" and ack.success:
            feed._connection.arm()  # heartbeats come from the first subscription on
        feed._subscriptions.on_ack(asdict(ack), feed._clock.monotonic_ns)
        feed._pump_soon()

    def on_snapshot(self, channel: str, symbol: str) -> None:
        self._feed._subscriptions.on_snapshot(channel, symbol)
        self._feed._pump_soon()

    def on_book_lost(self, book: OrderBook, reason: str) -> None:
        feed = self._feed
        now_ns = feed._clock.monotonic_ns
        if reason in ("checksum", "snapshot"):
            feed._subscriptions.on_checksum_mismatch(book.symbol, now_ns, in_snapshot=reason == "snapshot")
        else:
            feed._subscriptions.resync("book", book.symbol, reason, now_ns)
        feed._take_subscription_events()
        feed._pump_soon()

    def on_refused(self, error: DecodeError) -> None:
        feed = self._feed
        now_ns = feed._clock.monotonic_ns
        _log.warning("message refused: %s", error)
        if error.channel in ("ticker", "trade", "ohlc", "instrument"):
            symbol = "" if error.channel == "instrument" else error.symbol
            feed._subscriptions.resync(error.channel, symbol, "malformed", now_ns)
            feed._pump_soon()
        feed._refusals.append(now_ns)
        if len(feed._refusals) > REFUSALS_MAX and now_ns - feed._refusals[0] <= REFUSALS_S * 1e9:
            feed._refusals.clear()
            if feed._connection is not None:
                feed._connection.recycle(f"more than {REFUSALS_MAX} messages refused within {REFUSALS_S:g} s")

    def on_callback_error(self, channel: str, error: Exception) -> None:
        if channel.startswith("on_") and self._feed._connection is not None:
            # One of the methods below failed, so what was subscribed may not be what we believe.
            self._feed._connection.recycle(f"internal error in {channel}: {error!r}")

    def on_gap(self, gap: Gap) -> None:
        self._feed._notice(gap)

    def on_status(self, status: SystemStatus) -> None:
        feed = self._feed
        feed.status = status
        if feed._connection is not None:
            feed._connection.in_maintenance = status.system == "maintenance"
        feed._notice(status)
        asyncio.get_running_loop().call_soon(self._subscribe)

    def on_instruments(self, update: InstrumentUpdate) -> None:
        feed = self._feed
        if not update.snapshot:
            for pair in update.pairs:
                if pair.status == "online":
                    feed._subscriptions.instrument_online(pair.symbol)
        feed._notice(update)
        feed._pump_soon()


def _both(first: Callable[[Any], None], second: Callable[[Any], None], value: Any) -> None:
    first(value)
    second(value)


def _require_live(store: Book | Ticker, what: str) -> None:
    quality = store.quality  # type: ignore[union-attr]
    if quality != "live":
        raise StaleDataError(what, quality, store.age_ms)  # type: ignore[union-attr]
