"""The end of a coordinator: what the arbiter tells goes on through `fanout`; REST and notices come in here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.arbiter import Arbiter
from ..core.book import Book, BookSnapshot, OrderBook
from ..core.handler import Callbacks
from ..core.market import LiveTicker, Ticker, TickerSnapshot
from ..errors import KrakenFastError
from ..events import Event, EventStream
from ..fanout import Fanout
from ..types import Gap, InstrumentUpdate

_log = logging.getLogger("kraken_fast.events")


class Delivery(Callbacks):
    """The end of the arbiter: tells callables and streams.

    Attributes:
        on_notice: called with everything that happens, besides market data.
        arbiter: whose news this tells, once there is one.
        counts: what happened, by kind.
        python_failures: exceptions of callables that this file called.
    """

    def __init__(self, events_max: int) -> None:
        self._fanout = Fanout(self, events_max, self._read_later)
        self._told: dict[tuple[str, str], tuple[object, ...]] = {}
        self.arbiter: Arbiter | None = None
        self.on_notice: Callable[[Event], None] | None = None
        self.counts: Counter[str] = Counter()
        self.python_failures = 0

    def choose(self, kind: str, callback: Callable[[Any], None] | None) -> None:
        """Set or remove a callable.

        Raises:
            ConfigError: it cannot be called.
        """
        self._fanout.choose(kind, callback)

    def chosen(self, kind: str) -> Callable[[Any], None] | None:
        """Give the callable."""
        return self._fanout.chosen[kind]

    def stream(self, size: int | None = None) -> EventStream:
        """Make a stream of events from now on."""
        return self._fanout.stream(size)

    def finish(self, error: KrakenFastError | None = None) -> None:
        """End all streams."""
        for stream in tuple(self._fanout.streams):
            stream.finish(error)

    # What does not come through the core -----------------------------------------------------------------------

    def notice(self, event: Event) -> None:
        """Tell what happened."""
        self.counts[type(event).__name__] += 1
        if isinstance(event, InstrumentUpdate):
            _log.info("%d pairs and %d assets were told", len(event.pairs), len(event.assets))
        else:
            _log.info("%s", event)
        self._fanout.put(event)
        if self.on_notice is not None:
            try:
                self.on_notice(event)
            except Exception as error:  # noqa: BLE001 - whatever a user's callback raises
                self._failed("notice", error)

    def on_gap(self, gap: Gap) -> None:
        """The arbiter gave trades up."""
        self.notice(gap)

    def rest_value(self, channel: str, symbol: str, value: Book | Ticker) -> None:
        """Tell a value from REST, unless it says what the last one did and no line told anything since."""
        facts: tuple[object, ...]
        if isinstance(value, BookSnapshot):
            facts = (value.bids_raw, value.asks_raw, value.price_scale, value.qty_scale)
        elif isinstance(value, TickerSnapshot):
            facts = (value.bid, value.ask, value.last, value.volume, value.trades)
        else:
            return
        if self.arbiter is not None:
            posts = self.arbiter.books if channel == "book" else self.arbiter.tickers
            facts = (*facts, symbol in posts and posts[symbol].count)
        if self._told.get((channel, symbol)) == facts:
            return
        self._told[channel, symbol] = facts
        for stream in self._fanout.streams:
            stream.put_latest((channel, symbol), lambda: value)
        callback = self._fanout.chosen[channel]
        if callback is not None:
            try:
                callback(value)
            except Exception as error:  # noqa: BLE001 - whatever a user's callback raises
                self._failed(channel, error)

    def _read_later(self, store: OrderBook | LiveTicker) -> Callable[[], Any]:
        """Give how an iterator copies this when its turn comes: of whichever line is best by then."""
        if self.arbiter is None:
            return store.snapshot
        read = self.arbiter.read_book if isinstance(store, OrderBook) else self.arbiter.read_ticker
        return partial(read, store.symbol)

    def _failed(self, channel: str, error: Exception) -> None:
        self.python_failures += 1
        _log.error("callback for %s raised; all else goes on", channel, exc_info=error)

