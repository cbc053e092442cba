"""Replaying a recording: the same messages, in the same order, at the same times, through the same decoder.

A recording holds what came in and what its feed did to the books by its own decision (new epochs, books given up). So
a replay tells the same events, and `EventHash`, which sees every hot event with its numbers and times, comes to the
same hash as it did live. Time is the recording's: books and tickers are as old as they were then.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from .core.book import OrderBook
from .core.capture import CaptureReader, part_path
from .core.clock import ManualClock
from .core.decode import Decoder
from .core.handler import Callbacks, Handler
from .core.line import Line
from .core.market import Candle, LiveTicker, Trade
from .types import BOOK_DEPTHS, Ack

BOOK_DECISIONS = {
    "unverified": OrderBook.give_up_verifying,
    "invalidated": OrderBook.invalidate,
    "awaiting": OrderBook.await_snapshot,
}
"""What a session does to a book by its own decision, by the event that notes it."""


class EventHash(Callbacks):
    """Hashes every book, ticker, trade and candle that a decoder tells, in order. Cost: some 2 us an event.

    Attributes:
        events: hashed so far, by kind.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._hash = hashlib.blake2b(digest_size=16)
        self.book = self._on_book
        self.ticker = self._on_ticker
        self.trade = self._on_trade
        self.candle = self._on_candle

    @property
    def value(self) -> str:
        """The hash of everything so far, 32 hexadecimal digits."""
        return self._hash.hexdigest()

    def _add(self, kind: str, *facts: object) -> None:
        self.events[kind] += 1
        self._hash.update(f"{kind} {facts}\n".encode())

    def _on_book(self, book: OrderBook) -> None:
        best = (book.best_bid_raw, book.best_ask_raw)
        self._add("book", book.symbol, book.state, book.checksum, *best, book.exch_ns, book.updated_ns)

    def _on_ticker(self, ticker: LiveTicker) -> None:
        now = ticker.snapshot()
        numbers = (now.bid, now.bid_qty, now.ask, now.ask_qty, now.last, now.volume, now.vwap, now.low, now.high)
        self._add("ticker", now.symbol, *map(str, numbers), now.trades, now.exch_ns, now.updated_ns)

    def _on_trade(self, trade: Trade) -> None:
        self._add("trade", trade.symbol, trade.trade_id, trade.side, str(trade.price), str(trade.qty), trade.exch_ns)

    def _on_candle(self, candle: Candle) -> None:
        numbers = (candle.open, candle.high, candle.low, candle.close, candle.vwap, candle.volume)
        self._add("candle", candle.symbol, candle.begin_ns, *map(str, numbers), candle.trades, candle.closed)


class Record(NamedTuple):
    """One record of a recording; `end` is the offset in its file at which the next one begins."""

    kind: Literal["frame", "event"]
    recv_ns: int
    payload: bytes
    end: int


def parts_of(path: str | Path) -> list[Path]:
    """Give the files of a recording in order, compressed or not: the one named and the parts it was continued in."""
    found: list[Path] = []
    name = str(path).removesuffix(".zst")
    while True:
        part = part_path(name, len(found))
        candidates = [Path(part), Path(f"{part}.zst")]
        if not found:
            candidates.insert(0, Path(path))
        present = next((candidate for candidate in candidates if candidate.exists()), None)
        if present is None:
            return found or [Path(path)]
        found.append(present)


class Replayer:
    """Feeds a recording to a decoder of its own.

    Args:
        handler: who is told of hot events, in C; None for nobody.

    Attributes:
        decoder: with the stores, as they were after the last record.
        frames, events: records so far; events by their name.
        not_understood: messages that were malformed or of an unknown channel.
    """

    def __init__(self, handler: Handler | None = None) -> None:
        self.frames = 0
        self.events: Counter[str] = Counter()
        self._clock = ManualClock()
        self._told = _Told(handler)
        self.decoder = Decoder(Line(self._clock), self._told, create=True)
        self._told.decoder = self.decoder

    @property
    def not_understood(self) -> int:
        """Messages that were refused, or of a channel unknown to this version."""
        return self.decoder.malformed + self.decoder.unknown

    def take(self, record: Record) -> None:
        """Take one record."""
        self._clock.advance(max(0, record.recv_ns - self._clock.monotonic_ns))
        if record.kind == "frame":
            self.frames += 1
            self.decoder.feed(record.payload, recv_ns=record.recv_ns)
        else:
            self._take_event(json.loads(record.payload))

    def _take_event(self, event: dict[str, object]) -> None:
        name, symbol = str(event["event"]), event.get("symbol")
        self.events[name] += 1
        if name in ("opened", "lost"):
            self.decoder.new_epoch()
        elif name in BOOK_DECISIONS and isinstance(symbol, str):
            book = self.decoder.book(symbol)
            if book is not None:
                BOOK_DECISIONS[name](book)


class _Told(Callbacks):
    """Passes hot events on, and learns from acknowledgements how deep the books are."""

    def __init__(self, handler: Handler | None) -> None:
        self.forward = handler
        self.decoder: Decoder | None = None

    def on_ack(self, ack: Ack) -> None:
        result = ack.result
        if self.decoder is None or not ack.success or ack.method != "subscribe" or not isinstance(result, dict):
            return
        symbol, depth = result.get("symbol"), result.get("depth")
        if result.get("channel") == "book" and isinstance(symbol, str) and depth in BOOK_DEPTHS:
            self.decoder.want_book(symbol, depth)


def read(paths: Iterable[str | Path]) -> Iterator[Record]:
    """Give the records of recordings, one after the other; `parts_of` names those of one.

    Raises:
        CaptureError: a file is damaged or cut; all that is intact before its `offset` was given.
        OSError: a file cannot be read.
    """
    for path in paths:
        with CaptureReader(path) as reader:
            for kind, recv_ns, payload in reader:
                yield Record(kind, recv_ns, payload, reader.offset)
