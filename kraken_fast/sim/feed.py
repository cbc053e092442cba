"""What one market tells its subscribers: book, level3, ticker, trade and ohlc.

A message is written only if somebody gets it, and once for all who get the same. The order within an event is
book, level3, trade, ticker, ohlc; Kraken promises none.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Protocol

from .candles import Trade
from .engine import Order, Step
from .feedbook import FeedBook, book_checksum
from .level3 import Level3Book, level3_checksum
from .market import Market
from .message import Message, ohlc_text, ticker_text, trade_text

SNAPSHOT_TRADES = 50
"""Trades in a snapshot. Source: https://docs.kraken.com/api/docs/websocket-v2/trade, read 2026-11."""

_SNAPSHOT_INTERVALS = 12
"""Closed intervals that an ohlc snapshot reaches back, as captured in 2026-10."""

Parameter = int | str | None
"""What tells subscriptions of one channel and symbol apart: depth, interval or event trigger."""


class Subscriber(Protocol):
    """Whoever gets the messages."""

    def deliver(self, message: Message) -> None:
        """Take one message."""


class MarketFeed:
    """The public channels of one market.

    Args:
        market: whose events are told; the feed becomes its listener.
        order_name: gives the id under which the world knows an order.
    """

    def __init__(self, market: Market, order_name: Callable[[Order], str]) -> None:
        self.market = market
        self._order_name = order_name
        self._queues: dict[int, Level3Book] = {}
        self._books: dict[int, FeedBook] = {}
        # Dicts used as ordered sets: who subscribed first is served first, always in the same order.
        self._subscribers: dict[tuple[str, Parameter], dict[Subscriber, None]] = {}
        market.listener = self

    def subscribe(self, subscriber: Subscriber, channel: str, parameter: Parameter) -> None:
        """Begin to tell a subscriber; the snapshot is asked for separately."""
        self._subscribers.setdefault((channel, parameter), {})[subscriber] = None
        if channel == "book" and isinstance(parameter, int) and parameter not in self._books:
            self._books[parameter] = FeedBook(self.market.engine, parameter, self.market.changed_ns)
        if channel == "level3" and isinstance(parameter, int) and parameter not in self._queues:
            self._queues[parameter] = Level3Book(self.market.engine, parameter, self._order_name)

    def unsubscribe(self, subscriber: Subscriber, channel: str, parameter: Parameter) -> None:
        """Tell a subscriber no more. The book of a depth stays: it remembers when it last changed."""
        group = self._subscribers.get((channel, parameter), {})
        group.pop(subscriber, None)
        if channel == "level3" and not group and isinstance(parameter, int):
            self._queues.pop(parameter, None)  # what nobody is shown costs nothing

    def snapshot(self, channel: str, parameter: Parameter, now_ns: int) -> Message:
        """Write the snapshot of a channel as of now."""
        market = self.market
        if channel == "book":
            assert isinstance(parameter, int)
            text = self._books[parameter].snapshot()
        elif channel == "level3":
            assert isinstance(parameter, int)
            text = self._queues[parameter].snapshot(market.changed_ns, level3_checksum(market.engine))
        elif channel == "ticker":
            text = ticker_text("snapshot", market.ticker(), market.pair)
        elif channel == "trade":
            skipped = max(0, len(market.trades) - SNAPSHOT_TRADES)
            text = trade_text("snapshot", islice(market.trades, skipped, None), market.pair)
        else:
            assert isinstance(parameter, int)
            series = market.candles[parameter]
            oldest_ns = series.begin_ns(now_ns) - _SNAPSHOT_INTERVALS * parameter * 60_000_000_000
            candles = [candle for candle in series if candle.begin_ns >= oldest_ns]
            text = ohlc_text("snapshot", candles, series, market.pair, now_ns)
        return Message(text, "snapshot", channel, market.symbol)

    def on_step(self, step: Step) -> None:
        """Show a step to the books."""
        for book in self._books.values():
            book.on_step(step)
        for queues in self._queues.values():
            queues.on_step(step)

    def on_event(self, trades: list[Trade], *, quote_changed: bool) -> None:
        """Tell the event to everyone whom it concerns."""
        self._tell_books()
        if self._queues:
            self._tell_queues()
        if trades:
            self._tell("trade", None, lambda: trade_text("update", trades, self.market.pair))
            self._tell_candles()
        if trades or quote_changed:
            self._tell_tickers(traded=bool(trades), quote_changed=quote_changed)

    def _tell_books(self) -> None:
        changed = [book for book in self._books.values() if book.pending()]
        if not changed:
            return
        checksum = book_checksum(self.market.engine)
        for book in changed:
            group = self._subscribers.get(("book", book.depth))
            if group:
                text = book.update(self.market.changed_ns, checksum)
                self._deliver(group, Message(text, "update", "book", self.market.symbol))
            else:
                book.skip(self.market.changed_ns)

    def _tell_queues(self) -> None:
        market = self.market
        checksum = level3_checksum(market.engine)
        for depth, queues in list(self._queues.items()):
            text = queues.update(market.changed_ns, checksum)
            if text is not None:
                group = self._subscribers[("level3", depth)]
                self._deliver(group, Message(text, "update", "level3", market.symbol))

    def _tell_tickers(self, *, traded: bool, quote_changed: bool) -> None:
        def text() -> str:
            return ticker_text("update", self.market.ticker(), self.market.pair)

        if traded:
            self._tell("ticker", "trades", text)
        if quote_changed:
            self._tell("ticker", "bbo", text)

    def _tell_candles(self) -> None:
        market = self.market
        for interval, series in market.candles.items():
            group = self._subscribers.get(("ohlc", interval))
            if group:
                text = ohlc_text("update", [series.running], series, market.pair, market.changed_ns)
                self._deliver(group, Message(text, "update", "ohlc", market.symbol))

    def _tell(self, channel: str, parameter: Parameter, text: Callable[[], str]) -> None:
        group = self._subscribers.get((channel, parameter))
        if group:
            self._deliver(group, Message(text(), "update", channel, self.market.symbol))

    @staticmethod
    def _deliver(group: dict[Subscriber, None], message: Message) -> None:
        # A copy: a subscriber may be closed, and so leave, while it takes the message.
        for subscriber in list(group):
            subscriber.deliver(message)
