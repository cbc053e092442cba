"""Who is told what a line or a coordinator has: callables, in the same call stack, and iterators, at their own pace.

The core calls users directly, and goes through this file only while somebody iterates. Books and tickers are coalesced
for iterators, by symbol; trades, closed candles and what happened come one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .core.book import OrderBook
from .core.handler import Callbacks
from .core.market import Candle, LiveTicker, Trade
from .errors import ConfigError
from .events import Event, EventStream

KINDS = ("book", "ticker", "trade", "candle")


class Fanout:
    """Sets the callables of a `Callbacks` so that users and iterators are told.

    Args:
        target: what the core calls.
        events_max: bound of a stream that is given none.
        read_later: gives how a stream copies a book or ticker when its turn comes; as it is then, if nothing is said.

    Attributes:
        chosen: the user's callable of each kind, or None.
        streams: those that are open.
    """

    def __init__(
        self,
        target: Callbacks,
        events_max: int,
        read_later: Callable[[OrderBook | LiveTicker], Callable[[], Event]] = lambda store: store.snapshot,
    ) -> None:
        self.chosen: dict[str, Callable[[Any], None] | None] = dict.fromkeys(KINDS)
        self.streams: list[EventStream] = []
        self._target = target
        self._events_max = events_max
        self._read_later = read_later

    def choose(self, kind: str, callback: Callable[[Any], None] | None) -> None:
        """Set or remove a callable.

        Raises:
            ConfigError: it cannot be called.
        """
        if callback is not None and not callable(callback):
            raise ConfigError(f"on_{kind}", callback, "callable, or None")
        self.chosen[kind] = callback
        self._rewire()

    def stream(self, size: int | None = None) -> EventStream:
        """Make a stream of events from now on."""
        stream = EventStream(self._events_max if size is None else size, self._forget)
        self.streams.append(stream)
        self._rewire()
        return stream

    def put(self, event: Event) -> None:
        """Tell the iterators what happened."""
        for stream in tuple(self.streams):
            stream.put(event)

    def _forget(self, stream: EventStream) -> None:
        if stream in self.streams:
            self.streams.remove(stream)
            self._rewire()

    def _rewire(self) -> None:
        for kind, callback in self.chosen.items():
            offer = getattr(self, f"_offer_{kind}") if self.streams else None
            if offer is not None and callback is not None:
                setattr(self._target, kind, partial(_both, offer, callback))
            else:
                setattr(self._target, kind, offer or callback)

    def _offer_book(self, book: OrderBook) -> None:
        for stream in self.streams:
            stream.put_latest(("book", book.symbol), self._read_later(book))

    def _offer_ticker(self, ticker: LiveTicker) -> None:
        for stream in self.streams:
            stream.put_latest(("ticker", ticker.symbol), self._read_later(ticker))

    def _offer_trade(self, trade: Trade) -> None:
        for stream in self.streams:
            stream.put(trade)

    def _offer_candle(self, candle: Candle) -> None:
        for stream in self.streams:
            if candle.closed:
                stream.put(candle)
            else:
                stream.put_latest(("ohlc", candle.symbol), lambda: candle)


def _both(first: Callable[[Any], None], second: Callable[[Any], None], value: Any) -> None:
    first(value)
    second(value)
