"""The same frames through what else there is: `python -m benchmarks.rivals [--json] [--symbols N]`.

All contestants run in this process, in turns, five rounds each. Some only parse and apply nothing, which is said;
ours and those that "verify" end with a book whose checksum was compared with the exchange's after every message. A
library that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from sortedcontainers import SortedDict

from kraken_fast.core.decode import Decoder

from . import corpus
from .corpus import Corpus
from .timing import Contestant, Timing, machine, race, ratio

OURS = "kraken_fast: decode, apply, verify"
PORTABLE = "kraken_fast, portable path"
ORJSON = "orjson.loads alone, nothing applied"
IDIOMATIC = "orjson + SortedDict + zlib, verified"


def ours(frames: Corpus, *, portable: bool = False) -> Contestant:
    """Decode, apply and verify every message with the compiled core."""
    decoder = Decoder(create=True, create_depth=frames.depth, portable=portable)
    decoder.feed_all(frames.opening)
    assert decoder.feed_all(frames.frames) == len(frames.frames)
    _require_verified(decoder, frames)
    return Contestant(lambda: decoder.feed_all(frames.frames), len(frames.frames))


def _require_verified(decoder: Decoder, frames: Corpus) -> None:
    """A speed of wrong books is none."""
    books = [book for name in frames.symbols if (book := decoder.book(name)) is not None]
    if books:
        assert sum(book.mismatched for book in books) == 0
        assert sum(book.verified for book in books) == len(frames.opening) + len(frames.frames)


def orjson_alone(frames: Corpus) -> Contestant:
    """Parse, and throw the result away."""
    return Contestant(lambda: deque(map(orjson.loads, frames.frames), maxlen=0), len(frames.frames))


class IdiomaticBook:
    """A book as a careful Python client keeps it: sorted dicts of floats, formatted for the checksum."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: SortedDict[float, float] = SortedDict()
        self.asks: SortedDict[float, float] = SortedDict()

    def apply(self, data: dict[str, Any], price_digits: int, qty_digits: int) -> bool:
        """Apply the rows of one message, truncate, and compare the checksum."""
        bids, asks = self.bids, self.asks
        for side, rows in ((bids, data["bids"]), (asks, data["asks"])):
            for row in rows:
                if row["qty"] == 0:
                    side.pop(row["price"], None)
                else:
                    side[row["price"]] = row["qty"]
        while len(bids) > self.depth:
            bids.popitem(0)
        while len(asks) > self.depth:
            asks.popitem()
        parts = []
        for price, qty in [*asks.items()[:10], *reversed(bids.items()[-10:])]:
            parts.append(f"{price:.{price_digits}f}".replace(".", "").lstrip("0"))
            parts.append(f"{qty:.{qty_digits}f}".replace(".", "").lstrip("0"))
        return zlib.crc32("".join(parts).encode()) == data["checksum"]


def idiomatic(frames: Corpus, parse: Callable[[bytes], Any] = orjson.loads) -> Contestant:
    """The way it is usually done, without its mistakes."""
    digits = {
        symbol: (reel.pair.price_precision, reel.pair.qty_precision)
        for symbol, reel in corpus.tape(len(frames.symbols), frames.depth, len(frames.frames)).reels.items()
    }
    books = {symbol: IdiomaticBook(frames.depth) for symbol in frames.symbols}

    def feed(texts: list[bytes]) -> bool:
        right = True
        for text in texts:
            message = parse(text)
            if message["channel"] == "book":
                data = message["data"][0]
                symbol = data["symbol"]
                right &= books[symbol].apply(data, *digits[symbol])
        return right

    assert feed(frames.opening)
    assert feed(frames.frames)
    return Contestant(lambda: feed(frames.frames), len(frames.frames))


def _msgspec(frames: Corpus) -> Contestant:
    import msgspec

    level = msgspec.defstruct("Level", [("price", Decimal), ("qty", Decimal)])
    row = msgspec.defstruct(
        "Row",
        [("symbol", str), ("bids", list[level]), ("asks", list[level]), ("checksum", int), ("timestamp", str, "")],
    )
    message = msgspec.defstruct("Message", [("channel", str), ("type", str), ("data", list[row])])
    decode = msgspec.json.Decoder(message).decode
    return Contestant(lambda: deque(map(decode, frames.frames), maxlen=0), len(frames.frames))


def _order_book(frames: Corpus) -> Contestant:
    """Feed the C book of cryptofeed, which knows Kraken's checksum and wants Decimals."""
    from order_book import OrderBook

    books = {symbol: OrderBook(max_depth=frames.depth, checksum_format="KRAKEN") for symbol in frames.symbols}
    loads = json.loads

    def feed(texts: list[bytes]) -> bool:
        right = True
        for text in texts:
            data = loads(text, parse_float=Decimal)["data"][0]
            book = books[data["symbol"]]
            for side, rows in ((book.bids, data["bids"]), (book.asks, data["asks"])):
                for level in rows:
                    price, qty = level["price"], level["qty"]
                    if qty:
                        side[price] = qty
                    elif price in side:
                        del side[price]
            right &= book.checksum() == data["checksum"]
        return right

    feed(frames.opening)
    feed(frames.frames)
    return Contestant(lambda: feed(frames.frames), len(frames.frames))


def _ccxt(frames: Corpus) -> Contestant:
    """Feed ccxt pro's own handler, which applies to float books and compares the checksum."""
    import ccxt.pro

    exchange = ccxt.pro.kraken({"enableRateLimit": False})
    for symbol, reel in corpus.tape(len(frames.symbols), frames.depth, len(frames.frames)).reels.items():
        exchange.markets = exchange.markets or {}
        exchange.markets[symbol] = {
            "symbol": symbol,
            "precision": {"price": float(reel.pair.price_increment), "amount": float(reel.pair.qty_increment)},
        }
    failures: list[object] = []

    class Client:
        def resolve(self, *_: object) -> None:
            pass

        def reject(self, *found: object) -> None:
            failures.append(found)

        subscriptions: dict[str, Any] = {}  # noqa: RUF012 - the shape that ccxt expects

    client = Client()

    def feed(texts: list[bytes]) -> None:
        for text in texts:
            exchange.handle_order_book(client, json.loads(text))

    feed(frames.opening)
    feed(frames.frames)
    if failures:
        raise RuntimeError(f"its books do not verify: {failures[0]}")
    return Contestant(lambda: feed(frames.frames), len(frames.frames))


def _kraken_sdk(frames: Corpus) -> Contestant:
    """Feed python-kraken-sdk's order book client, without its connection; its messages come through orjson."""
    from kraken.spot import SpotOrderBookClient

    pairs = corpus.tape(len(frames.symbols), frames.depth, len(frames.frames)).reels

    class Market:
        @staticmethod
        def get_asset_pairs(pair: str) -> dict[str, dict[str, int]]:
            listed = pairs[pair].pair
            return {pair: {"pair_decimals": listed.price_precision, "lot_decimals": listed.qty_precision}}

    client = SpotOrderBookClient.__new__(SpotOrderBookClient)
    private = "_SpotOrderBookClient__"
    facts = {"book": {}, "depth": frames.depth, "callback": lambda **_: None, "market": Market}
    for name, value in facts.items():
        setattr(client, private + name, value)

    def feed(texts: list[bytes]) -> None:
        for text in texts:
            try:
                client.on_message(orjson.loads(text)).send(None)
            except StopIteration:
                continue
            raise RuntimeError("it wants to subscribe again: its book does not verify")

    feed(frames.opening)
    feed(frames.frames)
    return Contestant(lambda: feed(frames.frames), len(frames.frames))


RIVALS: dict[str, Callable[[Corpus], Contestant]] = {
    "msgspec with Decimal, nothing applied": _msgspec,
    "json + Decimal + order_book (cryptofeed), verified": _order_book,
    "ccxt pro handle_order_book, verified": _ccxt,
    "python-kraken-sdk on_message, verified": _kraken_sdk,
}
"""Libraries that may be installed or not."""


def field(frames: Corpus) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Give all contestants for a corpus of books, and why others are missing."""
    found = {
        OURS: ours(frames),
        PORTABLE: ours(frames, portable=True),
        ORJSON: orjson_alone(frames),
        IDIOMATIC: idiomatic(frames),
    }
    missing = {}
    for name, make in RIVALS.items():
        try:
            found[name] = make(frames)
        except ImportError as error:
            missing[name] = f"not installed: {error.name}"
        except Exception as error:  # noqa: BLE001 - a rival that fails is told, not a failure of ours
            missing[name] = f"{type(error).__name__}: {error}"
    return found, missing


def _table(title: str, timings: dict[str, Timing], missing: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2))
    table.add_column("", no_wrap=True)
    for heading in ("ns a message", "best", "spread", "ours faster"):
        table.add_column(heading, justify="right")
    for name, timing in timings.items():
        times = ratio(timings, name, OURS)
        table.add_row(
            name,
            f"{timing.median_ns:,.0f}",
            f"{timing.best_ns:,.0f}",
            f"{timing.spread:.0%}",
            "" if name == OURS else f"{times:.1f}x",
        )
    for name, reason in missing.items():
        table.add_row(name, f"[dim]{reason}[/]")
    return table


def main() -> int:
    """Run the race and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("--symbols", type=int, default=1, help="books, interleaved (1)")
    parser.add_argument("--depth", type=int, default=10, help="levels a side (10)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    frames = corpus.books(options.symbols, options.depth)
    contestants, missing = field(frames)
    timings = race(contestants, rounds=options.rounds)
    if options.json:
        facts = {name: timing.facts() for name, timing in timings.items()}
        print(json.dumps({"corpus": frames.name, "machine": machine(), "timings": facts, "missing": missing}))
    else:
        Console(width=110).print(_table(f"{frames.name}, {frames.mean_bytes:.0f} bytes a message", timings, missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
