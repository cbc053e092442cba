"""What the oracle knows by itself: the books as the exchange published them, and what the client read off the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import islice

from kraken_fast.sim.candles import Trade as ExchangeTrade
from kraken_fast.sim.engine import Step
from kraken_fast.sim.feed import MarketFeed, Parameter, Subscriber
from kraken_fast.sim.feedbook import book_checksum

STATES_MAX = 4_000
"""Published states kept of each market: minutes of them, more than any message is ever late."""

State = tuple[list[Decimal], list[Decimal], int]
"""Bids and asks, best first, price and quantity alternating; and the checksum."""

_SYMBOL = re.compile(rb'"symbol":"([^"]+)"')


class Recorder:
    """Stands between a market and its feed and keeps what was published of the book, event by event."""

    def __init__(self, feed: MarketFeed, depth: int, count_lossy: Callable[[], int]) -> None:
        self.lossy_at: dict[object, int] = {}
        """How many messages faults had struck when a session's book subscription began."""
        self._count_lossy = count_lossy
        self.states: dict[int, list[State]] = {}
        """By time stamp in microseconds; a change of precision writes one state anew."""
        self.trades: dict[int, tuple[object, ...]] = {}
        """Facts of the trades made since this began, by id."""
        self._feed = feed
        self._depth = depth
        self.record()
        feed.market.listener = self
        feed.subscribe = self._subscribe  # type: ignore[method-assign]

    def _subscribe(self, subscriber: Subscriber, channel: str, parameter: Parameter) -> None:
        if channel == "book":
            self.lossy_at[subscriber] = self._count_lossy()
        MarketFeed.subscribe(self._feed, subscriber, channel, parameter)

    def on_step(self, step: Step) -> None:
        """Pass on."""
        self._feed.on_step(step)

    def on_event(self, trades: list[ExchangeTrade], *, quote_changed: bool) -> None:
        """Keep the state that is about to be published, and pass on."""
        self.record()
        for trade in trades:
            # The exchange publishes microseconds.
            stamp_ns = trade.time_ns // 1000 * 1000
            self.trades[trade.trade_id] = (trade.side, trade.price, trade.qty, trade.ord_type, stamp_ns)
        self._feed.on_event(trades, quote_changed=quote_changed)

    def record(self) -> None:
        """Keep the state as it is, under the time of its last change."""
        engine = self._feed.market.engine
        bids, asks = [
            [number for level in islice(side, self._depth) for number in (level.price, level.qty)]
            for side in (engine.bids, engine.asks)
        ]
        state = bids, asks, book_checksum(engine)
        # A snapshot bears the time of its own depth's last change, an update that of the event.
        for stamp_ns in {
            self._feed.market.changed_ns,
            *(book.changed_ns for book in self._feed._books.values()),
        }:
            kept = self.states.setdefault(stamp_ns // 1000, [])
            if state not in kept:
                kept.append(state)
        while len(self.states) > STATES_MAX:
            del self.states[next(iter(self.states))]

    def published(self, exch_ns: int) -> list[State]:
        """Give what was published with a time stamp; nothing if nothing was, or too long ago."""
        return self.states.get(exch_ns // 1000, [])


class Downstream:
    """What of one connection the client has read: whole texts and snapshots. Plain RFC 6455, no checks."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.named: set[str] = set()
        """Symbols that occur in what was read since this was last emptied."""
        self._names = [(symbol, symbol.encode()) for symbol in symbols]
        self.text_ns: int | None = None
        self.begun: set[tuple[str, str]] = set()
        self._bytes = bytearray()
        self._has_head = False
        self._parts: list[bytes] = []

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes as they arrive."""
        self._bytes += data
        if not self._has_head:
            at = self._bytes.find(b"\r\n\r\n")
            if at < 0:
                return
            del self._bytes[: at + 4]
            self._has_head = True
        while (frame := self._next()) is not None:
            opcode, is_final, payload = frame
            if opcode >= 8:
                continue
            self._parts.append(payload)
            if is_final:
                text, self._parts = b"".join(self._parts), []
                if opcode != 2:
                    self._take(text, now_ns)

    def _next(self) -> tuple[int, bool, bytes] | None:
        buffer = self._bytes
        if len(buffer) < 2:
            return None
        at, size = 2, buffer[1] & 0x7F
        if size >= 126:
            width = 2 if size == 126 else 8
            at += width
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return None
        frame = buffer[0] & 0x0F, bool(buffer[0] & 0x80), bytes(buffer[at : at + size])
        del buffer[: at + size]
        return frame

    def _take(self, text: bytes, now_ns: int) -> None:
        self.text_ns = now_ns
        self.named.update(symbol for symbol, name in self._names if name in text)
        if text.startswith(b'{"channel":"ticker","type":"update"'):
            self.begun.update(
                ("ticker", symbol.decode()) for symbol in _SYMBOL.findall(text)
            )  # each is complete
        if b'"update"' in text[:60] or text.startswith(b'{"channel":"heartbeat"'):
            return
        try:
            message = json.loads(text)
            if message.get("success") and message["method"] == "unsubscribe":
                self.begun.discard((message["result"]["channel"], message["result"].get("symbol", "")))
            elif message.get("type") == "snapshot":
                for row in message["data"]:
                    self.begun.add((message["channel"], row["symbol"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # damaged by a fault: it proves nothing but that somebody speaks
