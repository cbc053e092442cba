"""What the decoder must tell about a message, from `json`, `Decimal` and `datetime` alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from kraken_fast.core.book import Book, OrderBook
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.market import Candle, LiveTicker, Trade
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import ReferenceBook
from kraken_fast.types import Ack, Gap, InstrumentUpdate, SystemStatus

Event = tuple[str, dict[str, Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
TICKER_NUMBERS = [
    "bid",
    "bid_qty",
    "ask",
    "ask_qty",
    "last",
    "volume",
    "vwap",
    "low",
    "high",
    "change",
    "change_pct",
    "volume_usd",
]
PAIR_NUMBERS = [
    "qty_increment",
    "cost_min",
    "margin_initial",
    "position_limit_long",
    "position_limit_short",
    "qty_min",
    "price_increment",
]


def time_ns(text: str) -> int:
    """Nanoseconds since epoch of an RFC 3339 text; decimals beyond nine are cut, second 60 is the next minute."""
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    if second > 60:
        raise ValueError(f"{text!r}: second {second}")
    whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - EPOCH
    if match[8]:
        if int(match[9]) > 23 or int(match[10]) > 59:
            raise ValueError(f"{text!r}: offset")
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        whole += offset if match[8] == "-" else -offset
    seconds = whole.days * 86_400 + whole.seconds + (second == 60)
    return seconds * 10**9 + int((match[7] or "0")[:9].ljust(9, "0"))


def same(ours: Any, theirs: Any) -> bool:
    """Whether two structures are equal, Decimals to the last zero behind the point."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, Decimal) and isinstance(theirs, Decimal):
        return ours == theirs and min(_exponent(ours), 0) == min(_exponent(theirs), 0)
    return type(ours) is type(theirs) and bool(ours == theirs)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


class Witness(Callbacks):
    """Keeps all that a decoder tells, as plain values."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.errors: list[DecodeError] = []
        self.gaps: list[Gap] = []
        self.lost: list[tuple[str, str]] = []
        self.disowned: list[dict[str, Any]] = []
        self.snapshots: list[tuple[str, str]] = []
        self.book = lambda book: self.events.append(("book", book_facts(book)))
        self.ticker = lambda ticker: self.events.append(("ticker", _ticker(ticker)))
        self.trade = lambda trade: self.events.append(("trade", _trade(trade)))
        self.closed: list[Candle] = []
        self.candle = self._on_candle

    def _on_candle(self, candle: Candle) -> None:
        if candle.closed and not candle.correction:
            self.closed.append(candle)  # the closing of one that was told before
        else:
            self.events.append(("candle", candle_facts(candle)))

    def on_snapshot(self, channel: str, symbol: str) -> None:
        self.snapshots.append((channel, symbol))

    def on_book_lost(self, book: OrderBook, reason: str) -> None:
        self.lost.append((book.symbol, reason))
        if reason in ("checksum", "snapshot"):  # applied, and disowned by its checksum
            self.disowned.append(book_facts(book))

    def on_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def on_refused(self, error: DecodeError) -> None:
        self.errors.append(error)

    def on_ack(self, ack: Ack) -> None:
        self.events.append(("ack", {name: getattr(ack, name) for name in Ack.__slots__}))

    def on_status(self, status: SystemStatus) -> None:
        self.events.append(("status", {name: getattr(status, name) for name in SystemStatus.__slots__}))

    def on_instruments(self, update: InstrumentUpdate) -> None:
        entries: tuple[Any, ...] = (*update.assets, *update.pairs)
        for entry in entries:
            self.events.append(
                (type(entry).__name__, {name: getattr(entry, name) for name in entry.__slots__})
            )


def book_facts(book: Book) -> dict[str, Any]:
    return {
        "symbol": book.symbol, "bids": book.bids, "asks": book.asks, "checksum": book.checksum,
        "exch_ns": book.exch_ns,
    }  # fmt: skip


def _ticker(ticker: LiveTicker) -> dict[str, Any]:
    return {name: getattr(ticker, name) for name in ["symbol", "trades", "exch_ns", *TICKER_NUMBERS]}


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        name: getattr(trade, name)
        for name in ["symbol", "side", "price", "qty", "ord_type", "trade_id", "exch_ns"]
    }


def candle_facts(candle: Candle) -> dict[str, Any]:
    names = ["symbol", "open", "high", "low", "close", "vwap", "volume", "trades", "interval", "begin_ns"]
    return {name: getattr(candle, name) for name in names}


class Oracle:
    """Understands messages slowly. Books live on from message to message, as those of the decoder."""

    def __init__(self, depth: int = 10) -> None:
        self.depth = depth
        self.books: dict[str, ReferenceBook] = {}

    def events(self, message: Any) -> list[Event]:
        """What `message`, parsed by `sim.reference.loads`, must be told as."""
        if "method" in message and "channel" not in message:
            return [("ack", self._ack(message))]
        channel, data = message["channel"], message.get("data", [])
        if channel == "instrument":
            assets = [("Asset", self._asset(asset)) for asset in data["assets"]]
            return assets + [("Instrument", self._pair(pair)) for pair in data["pairs"]]
        if channel == "book":
            return [("book", self._book(message, row)) for row in data]
        tell = {"ticker": self._ticker, "trade": self._trade, "ohlc": self._candle, "status": self._status}
        name = {"ohlc": "candle"}.get(channel, channel)
        return [(name, tell[channel](row)) for row in data]

    def _book(self, message: Any, row: Any) -> dict[str, Any]:
        book = self.books.setdefault(row["symbol"], ReferenceBook(self.depth))
        book.apply(message)
        assert book.checksum() == row["checksum"]
        return {
            "symbol": row["symbol"], "bids": tuple(book.bids), "asks": tuple(book.asks),
            "checksum": int(row["checksum"]), "exch_ns": _time(row),
        }  # fmt: skip

    def _ticker(self, row: Any) -> dict[str, Any]:
        numbers = {name: row.get(name) for name in TICKER_NUMBERS}
        return {"symbol": row["symbol"], "trades": _integer(row, "trades"), "exch_ns": _time(row), **numbers}

    def _trade(self, row: Any) -> dict[str, Any]:
        told = {name: row.get(name) for name in ("symbol", "side", "price", "qty", "ord_type")}
        return {**told, "trade_id": int(row["trade_id"]), "exch_ns": _time(row)}

    def _candle(self, row: Any) -> dict[str, Any]:
        told = {name: row.get(name) for name in ("symbol", "open", "high", "low", "close", "vwap", "volume")}
        begin_ns = (
            time_ns(row["interval_begin"]) // 1000 * 1000
        )  # kept to the microsecond: it is a whole minute
        return {
            **told,
            "trades": _integer(row, "trades"),
            "interval": int(row["interval"]),
            "begin_ns": begin_ns,
        }

    def _status(self, row: Any) -> dict[str, Any]:
        told = {name: row.get(name) for name in ("system", "version", "api_version")}
        lists = {name: tuple(_plain(row.get(name) or ())) for name in ("upcoming_maintenance", "emergency")}
        return {**told, "connection_id": _integer(row, "connection_id"), **lists}

    def _ack(self, message: Any) -> dict[str, Any]:
        return {
            "method": message["method"], "req_id": _integer(message, "req_id"),
            "success": message.get("success", "error" not in message), "error": message.get("error"),
            "symbol": message.get("symbol"), "result": _plain(message.get("result")),
            "time_in_ns": _time(message, "time_in"), "time_out_ns": _time(message, "time_out"),
        }  # fmt: skip

    def _pair(self, row: Any) -> dict[str, Any]:
        told = {name: row[name] for name in ("symbol", "base", "quote", "status")}
        scales = {
            name: _integer(row, name) for name in ("price_precision", "qty_precision", "cost_precision")
        }
        flags = {name: row.get(name, False) for name in ("marginable", "has_index")}
        numbers = {name: row.get(name) for name in PAIR_NUMBERS}
        return {**told, **scales, **flags, **numbers}

    def _asset(self, row: Any) -> dict[str, Any]:
        return {
            "id": row["id"], "status": row["status"], "precision": _integer(row, "precision"),
            "precision_display": _integer(row, "precision_display"), "borrowable": row.get("borrowable", False),
            "collateral_value": row.get("collateral_value"), "margin_rate": row.get("margin_rate"),
            "asset_class": row.get("class"), "multiplier": row.get("multiplier"),
        }  # fmt: skip


def _integer(row: Any, name: str) -> int | None:
    return None if row.get(name) is None else int(row[name])


def _time(row: Any, name: str = "timestamp") -> int | None:
    return None if row.get(name) is None else time_ns(row[name])


def _plain(value: Any) -> Any:
    """Integers as int: `loads` makes every number a Decimal, the decoder only those with a point or exponent."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, Decimal) and _exponent(value) == 0 else value
