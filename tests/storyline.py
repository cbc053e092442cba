"""A story told by several lines: one sequence of states of a book, and lines that tell it at their own pace."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from kraken_fast.core.arbiter import Arbiter
from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.line import Line
from kraken_fast.sim.reference import ReferenceBook, loads
from kraken_fast.types import Gap

SYMBOL = "A/B"
MS = 1_000_000
Fact = tuple[int, int]
"""Exchange time in ns and checksum: which state it was."""


def stamp_text(us: int) -> str:
    """Write a time of this story, `us` microseconds after its beginning.

    >>> stamp_text(1_000_007)
    '2026-11-22T10:00:01.000007Z'
    """
    seconds, micro = divmod(us, 1_000_000)
    return f"2026-11-22T10:{seconds // 60:02}:{seconds % 60:02}.{micro:06}Z"


class Story:
    """The states of one book in order, with the messages that tell each.

    Args:
        length: states, the first one included.
        seed: of what happens.
        ties: how likely a state has the time of the one before it.
        depth: levels a side.
    """

    def __init__(self, length: int, seed: int, *, ties: float = 0.0, depth: int = 10) -> None:
        rng = Random(seed)
        self.depth = depth
        self.updates: list[bytes] = []
        self.snapshots: list[bytes] = []
        self.facts: list[Fact] = []
        book, stamp = ReferenceBook(depth), 0
        rows = {
            "bids": [(100 - i, i + 1) for i in range(depth)],
            "asks": [(101 + i, i + 1) for i in range(depth)],
        }
        for number in range(length):
            book.apply(loads(_message("snapshot" if number == 0 else "update", rows, 0, stamp)))
            checksum = book.checksum()
            self.facts.append((stamp, checksum))
            self.updates.append(_message("update", rows, checksum, stamp))
            held = {
                name: [(int(price), int(qty)) for price, qty in side]
                for name, side in (("bids", book.bids), ("asks", book.asks))
            }
            self.snapshots.append(_message("snapshot", held, checksum, stamp))
            side, place = rng.choice(["bids", "asks"]), rng.randrange(depth)
            rows = {"bids": [], "asks": []}
            price = held[side][place][0]
            rows[side] = [(price, held[side][place][1] % 1000 + rng.randrange(1, 999))]
            if number and rng.random() >= ties:
                stamp += rng.randrange(1, 5)
            elif number == 0:
                stamp += 1


def _message(kind: str, rows: dict[str, Sequence[tuple[int, int]]], checksum: int, stamp: int) -> bytes:
    sides = (
        f'"{name}":[{",".join(f"{{{chr(34)}price{chr(34)}:{p},{chr(34)}qty{chr(34)}:{q}}}" for p, q in side)}]'
        for name, side in rows.items()
    )
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{SYMBOL}",{",".join(sides)},'
        f'"checksum":{checksum},"timestamp":"{stamp_text(stamp)}"}}]}}'
    ).encode()


class _Reader(Callbacks):
    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def on_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)


class Table:
    """An arbiter with its lines, what it told, and what the lines were told.

    Attributes:
        told: the states that were delivered. heard: the verified states that some line told, in order of arrival.
    """

    def __init__(self, names: str = "AB", depth: int = 10) -> None:
        self.clock = ManualClock(monotonic_ns=1_000 * MS)
        self.callbacks = _Reader()
        self.gaps = self.callbacks.gaps
        self.arbiter = Arbiter(self.callbacks, self.clock)
        self.told: list[Fact] = []
        self.by: list[str] = []
        self.trades: list[int] = []
        self.tickers: list[str] = []
        self.candles: list[tuple[int, int | None, bool]] = []
        self.diverged: list[tuple[str, str, str]] = []
        self.missing: list[tuple[str, int, int]] = []
        self.callbacks.book = self._on_book
        self.callbacks.trade = lambda trade: self.trades.append(trade.trade_id)
        self.callbacks.ticker = lambda ticker: self.tickers.append(str(ticker.last))
        self.callbacks.candle = lambda candle: self.candles.append(
            (candle.begin_ns // 60_000_000_000, candle.trades, candle.closed)
        )
        self.arbiter.on_divergence = lambda *what: self.diverged.append(what)
        self.arbiter.on_missing = lambda *what: self.missing.append(what)
        self.decoders: dict[str, Decoder] = {}
        for name in names:
            line = Line(self.clock, name=name)
            decoder = self.decoders[name] = Decoder(line, self.arbiter.leg(line))
            decoder.want_book(SYMBOL, depth)
            decoder.want_ticker(SYMBOL)
            decoder.want_trades(SYMBOL)
            decoder.want_candles(SYMBOL, 1)

    def _on_book(self, book: Any) -> None:
        self.told.append((_us(book.exch_ns), book.checksum))
        self.by.append(book.line.name)
        book._check()

    def say(self, name: str, message: bytes) -> None:
        """Let one line tell one message."""
        assert self.decoders[name].feed(message, strict=True)

    def cut(self, name: str) -> None:
        """Lose a line: nothing it holds is proven any more."""
        self.decoders[name].new_epoch()
        self.arbiter.settle_waiting()

    def pass_ms(self, ms: float) -> None:
        """Let time pass."""
        self.clock.advance(round(ms * MS))

    def hear(self) -> None:
        """Heartbeats on all lines."""
        for decoder in self.decoders.values():
            decoder.feed(b'{"channel":"heartbeat"}')


_BEGIN_NS = 1_795_341_600_000_000_000
"""2026-11-22T10:00:00Z."""


def _us(exch_ns: int | None) -> int:
    assert exch_ns is not None
    return (exch_ns - _BEGIN_NS) // 1000


def trade_message(*ids: int, kind: str = "update", ord_type: str = "limit") -> bytes:
    """A `trade` message with these ids."""
    rows = ",".join(
        f'{{"symbol":"{SYMBOL}","side":"buy","price":1.5,"qty":2,"ord_type":"{ord_type}","trade_id":{each},'
        f'"timestamp":"{stamp_text(each)}"}}'
        for each in ids
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()


def ticker_message(last: str, stamp: int | None, kind: str = "update") -> bytes:
    """A `ticker` message; without a time as in captures before 2026 if `stamp` is None."""
    time = "" if stamp is None else f',"timestamp":"{stamp_text(stamp)}"'
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{SYMBOL}","bid":1,"bid_qty":1,"ask":2,'
        f'"ask_qty":1,"last":{last},"volume":1,"vwap":1,"low":1,"high":1,"change":0,"change_pct":0{time}}}]}}'
    ).encode()


def candle_message(*rows: tuple[int, int], kind: str = "update") -> bytes:
    """An `ohlc` message; each row is the minute in which it begins, and its trades."""
    text = ",".join(
        f'{{"symbol":"{SYMBOL}","open":1,"high":2,"low":1,"close":2,"trades":{trades},"volume":{trades},"vwap":1,'
        f'"interval_begin":"{stamp_text(minute * 60_000_000)}","interval":1,'
        f'"timestamp":"{stamp_text(minute * 60_000_000)}"}}'
        for minute, trades in rows
    )
    return (
        f'{{"channel":"ohlc","type":"{kind}","timestamp":"{stamp_text(0)}","data":[{text}]}}'
    ).encode()
