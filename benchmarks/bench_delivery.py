"""What a bot pays for hearing of a book in Python, and for reading it there."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import pytest

from kraken_fast.core.book import OrderBook
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks

from . import corpus
from .bench_decode import percentile
from .effort import Effort
from .timing import Contestant, race

READS = 2_000
UPDATES_FLOOR = 10_000
MESSAGE_FLOOR_NS = 1_000_000


def _empty(_book: OrderBook) -> None:
    pass


def _read_float(book: OrderBook) -> float | None:
    return book.best_bid_float


def _read_raw(book: OrderBook) -> int | None:
    return book.best_bid_raw


def _read_decimal(book: OrderBook) -> object:
    return book.best_bid


CALLBACKS = {"none": None, "empty": _empty, "float": _read_float, "raw": _read_raw, "decimal": _read_decimal}


def decoder_with(callback: Any) -> Decoder:
    """Make a decoder of the one-symbol corpus that calls back after every message."""
    callbacks = Callbacks()
    callbacks.book = callback
    decoder = Decoder(handler=callbacks, create=True)
    decoder.feed_all(corpus.books().opening)
    return decoder


def figures(effort: Effort) -> dict[str, float]:
    """Measure by difference: what the callback adds to a message, what reading adds to the callback."""
    frames = corpus.books().frames

    def contestant(callback: Any) -> Contestant:
        decoder = decoder_with(callback)
        return Contestant(lambda: decoder.feed_all(frames), len(frames))

    timings = race(
        {name: contestant(callback) for name, callback in CALLBACKS.items()},
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )

    def more(name: str, than: str) -> float:
        pairs = zip(timings[name].rounds_ns, timings[than].rounds_ns, strict=True)
        return sorted(a - b for a, b in pairs)[effort.rounds // 2]

    return {
        "callback_ns": more("empty", "none"),
        "read_float_ns": more("float", "empty"),
        "read_raw_ns": more("raw", "empty"),
        "read_decimal_ns": more("decimal", "empty"),
        "updates_per_s": 1e9 / timings["empty"].median_ns,
        "updates_vs_floor": 1e9 / timings["empty"].median_ns / UPDATES_FLOOR,
        "message_vs_floor": MESSAGE_FLOOR_NS / percentile(corpus.books(), 99.0),
    }


@pytest.mark.parametrize("name", CALLBACKS)
def test_message_with_callback(benchmark: Any, name: str) -> None:
    benchmark(decoder_with(CALLBACKS[name]).feed_all, corpus.books().frames)


@pytest.mark.parametrize(
    "attribute", ["best_bid_float", "best_bid_raw", "best_bid", "mid_float", "spread", "bids", "bids_raw"]
)
def test_read(benchmark: Any, attribute: str) -> None:
    book = decoder_with(None).book("BTC/USD")

    def read() -> None:
        for one in repeat(book, READS):
            getattr(one, attribute)

    benchmark.extra_info["reads"] = READS
    benchmark(read)
