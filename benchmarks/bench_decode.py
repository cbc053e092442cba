"""From bytes to a verified book: the headline, on every path and over every number of symbols."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.latency import Histogram

from . import corpus, rivals
from .corpus import Corpus
from .effort import Effort
from .timing import race, ratio

CASES = {
    "recorded": corpus.recorded,
    "1 symbol": corpus.books,
    "200 symbols": lambda: corpus.books(200),
    "1000 symbols": lambda: corpus.books(1000),
}


def figures(effort: Effort) -> dict[str, float]:
    """Measure what the gates promise."""
    one, thousand = corpus.books(), corpus.books(1000)
    alone = race(
        {
            "book": rivals.ours(one),
            "portable": rivals.ours(one, portable=True),
            "orjson": rivals.orjson_alone(one),
            "idiomatic": rivals.idiomatic(one),
        },
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )
    mixed = race(
        {"book": rivals.ours(thousand), "orjson": rivals.orjson_alone(thousand)},
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )
    return {
        "book_ns": alone["book"].median_ns,
        "book_best_ns": alone["book"].best_ns,
        "orjson_ns": alone["orjson"].median_ns,
        "book_vs_orjson": ratio(alone, "orjson", "book"),
        "book_vs_idiomatic": ratio(alone, "idiomatic", "book"),
        "book_p99_ns": percentile(one, 99.0),
        "portable_ns": alone["portable"].median_ns,
        "portable_vs_orjson": ratio(alone, "orjson", "portable"),
        "symbols_1000_ns": mixed["book"].median_ns,
        "symbols_1000_vs_orjson": ratio(mixed, "orjson", "book"),
    }


def percentile(frames: Corpus, q: float) -> float:
    """Give a percentile of the time of one message, two clock readings included, in the quickest of five passes."""
    best = float("inf")
    for _ in range(5):
        histogram = latencies(frames)
        best = min(best, histogram.percentile(q) or 0)
    return best


def latencies(frames: Corpus) -> Histogram:
    """Feed message by message and collect how long each took, from its arrival to after its callback."""
    callbacks = Callbacks()
    decoder = Decoder(handler=callbacks, create=True, create_depth=frames.depth)
    decoder.feed_all(frames.opening)
    feed = decoder.feed
    for frame in frames.frames:
        feed(frame)
    callbacks.latency = histogram = Histogram()
    for frame in frames.frames:
        feed(frame)
    return histogram


@pytest.mark.parametrize("portable", [False, True], ids=["best path", "portable"])
@pytest.mark.parametrize("case", CASES)
def test_decode_apply_verify(benchmark: Any, case: str, portable: bool) -> None:
    frames = CASES[case]()
    decoder = Decoder(create=True, create_depth=frames.depth, portable=portable)
    if case == "recorded":  # it does not go round: every pass begins with its snapshot
        frames = Corpus(frames.name, [], frames.opening + frames.frames, frames.symbols)
    decoder.feed_all(frames.opening)
    benchmark.extra_info["messages"] = len(frames.frames)
    assert benchmark(decoder.feed_all, frames.frames) == len(frames.frames)
    assert all(book.mismatched == 0 for name in frames.symbols if (book := decoder.book(name)))


def test_orjson_alone(benchmark: Any) -> None:
    benchmark(rivals.orjson_alone(corpus.books()).run)
