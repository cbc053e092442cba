"""Who is told what a coordinator has: callables, in the same call stack, and iterators, at their own pace.

The core calls users directly, and through this file only while somebody iterates, or when a value came from REST.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.book import Book, BookSnapshot, OrderBook
from ..core.handler import Callbacks
from ..core.market import Candle, LiveTicker, Ticker, TickerSnapshot, Trade
from ..errors import ConfigError, KrakenFastError
from ..events import Event, EventStream
from ..types import Gap, InstrumentUpdate

_log = logging.getLogger("kraken_fast.events")

KINDS = ("book", "ticker", "trade", "candle")


class Delivery(Callbacks):
    """The end of the arbiter: tells callables and streams.

    Attributes:
        on_notice: called with everything that happens, besides market data.
        rest_deliveries: values from REST that were told.
        counts: what happened, by kind.
        python_failures: exceptions of callables that this file called.
    """

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._streams: list[EventStream] = []
        self._chosen: dict[str, Callable[[Any], None] | None] = dict.fromkeys(KINDS)
        self._told: dict[tuple[str, str], tuple[object, ...]] = {}
        self.on_notice: Callable[[Event], None] | None = None
        self.rest_deliveries = 0
        self.counts: Counter[str] = Counter()
        self.python_failures = 0

    def choose(self, kind: str, callback: Callable[[Any], None] | None) -> None:
        """Set or remove a callable.

        Raises:
            ConfigError: it cannot be called.
        """
        if callback is not None and not callable(callback):
            raise ConfigError(f"on_{kind}", callback, "callable, or None")
        self._chosen[kind] = callback
        self._rewire()

    def chosen(self, kind: str) -> Callable[[Any], None] | None:
        """Give the callable."""
        return self._chosen[kind]

    def _rewire(self) -> None:
        for kind, callback in self._chosen.items():
            offer = getattr(self, f"_offer_{kind}") if self._streams else None
            if offer is not None and callback is not None:
                setattr(self, kind, partial(_both, offer, callback))
            else:
                setattr(self, kind, offer or callback)

    # Streams -------------------------------------------------------------------------------------------------

    def stream(self, size: int | None = None) -> EventStream:
        """Make a stream of events from now on."""
        stream = EventStream(self._events_max if size is None else size, self._forget)
        self._streams.append(stream)
        self._rewire()
        return stream

    def _forget(self, stream: EventStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
            self._rewire()

    def finish(self, error: KrakenFastError | None = None) -> None:
        """End all streams."""
        for stream in tuple(self._streams):
            stream.finish(error)

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

    # What does not come through the core -----------------------------------------------------------------------

    def notice(self, event: Event) -> None:
        """Tell what happened."""
        self.counts[type(event).__name__] += 1
        if isinstance(event, InstrumentUpdate):
            _log.info("%d pairs and %d assets were told", len(event.pairs), len(event.assets))
        else:
            _log.info("%s", event)
        for stream in tuple(self._streams):
            stream.put(event)
        if self.on_notice is not None:
            try:
                self.on_notice(event)
            except Exception as error:  # noqa: BLE001 - whatever a user's callback raises
                self._failed("notice", error)

    def on_gap(self, gap: Gap) -> None:
        """The arbiter gave trades up."""
        self.notice(gap)

    def rest_value(self, channel: str, symbol: str, value: Book | Ticker) -> None:
        """Tell a value from REST, unless it says what the last one did."""
        if isinstance(value, BookSnapshot):
            facts: tuple[object, ...] = (value.bids_raw, value.asks_raw, value.price_scale, value.qty_scale)
        elif isinstance(value, TickerSnapshot):
            facts = (value.bid, value.ask, value.last, value.volume, value.trades)
        else:
            return
        if self._told.get((channel, symbol)) == facts:
            return
        self._told[channel, symbol] = facts
        self.rest_deliveries += 1
        for stream in self._streams:
            stream.put_latest((channel, symbol), lambda: value)
        callback = self._chosen[channel]
        if callback is not None:
            try:
                callback(value)
            except Exception as error:  # noqa: BLE001 - whatever a user's callback raises
                self._failed(channel, error)

    def _failed(self, channel: str, error: Exception) -> None:
        self.python_failures += 1
        _log.error("callback for %s raised; all else goes on", channel, exc_info=error)


def _both(first: Callable[[Any], None], second: Callable[[Any], None], value: Any) -> None:
    first(value)
    second(value)
