"""Executions, balances and level-3 books: from bytes to their stores."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.core.decode import Decoder

from . import private, rivals
from .corpus import Corpus
from .effort import Effort
from .timing import Contestant, race, ratio

NUMBERED = {"executions": private.executions, "balances": private.balances}


def numbered(frames: Corpus) -> Contestant:
    """Take in a subscription round and round, each beginning with its snapshot, as a store of long standing does.

    What it keeps is full then, and each new order is paid with an old one's going: when an order comes round again, its
    store has long forgotten it.
    """
    decoder = Decoder(create=True)
    texts = frames.opening + frames.frames
    for _ in range(2):
        assert decoder.feed_all(texts) == len(texts)
    store = decoder.orders or decoder.balances
    assert store is not None
    assert (store.gaps, store.copies) == (0, 0)
    if decoder.orders is not None:
        assert decoder.orders.late == decoder.orders.open_count == 0
    return Contestant(lambda: decoder.feed_all(texts), len(texts))


def books(frames: Corpus) -> Contestant:
    """Apply and verify level-3 changes round and round."""
    decoder = Decoder()
    book = decoder.want_level3(frames.symbols[0], frames.depth)
    decoder.feed_all(frames.opening)
    for _ in range(2):
        assert decoder.feed_all(frames.frames) == len(frames.frames)
    assert (book.mismatched, book.verified) == (0, 2 * len(frames.frames) + 1)
    return Contestant(lambda: decoder.feed_all(frames.frames), len(frames.frames))


def figures(effort: Effort) -> dict[str, float]:
    """Measure each channel against `orjson.loads` of the same bytes, and level 3 against a larger book."""
    found: dict[str, float] = {}
    contests = {channel: (numbered(make()), make()) for channel, make in NUMBERED.items()}
    contests["level3"] = (books(private.level3()), private.level3())
    for channel, (ours, frames) in contests.items():
        timings = race(
            {"ours": ours, "orjson": rivals.orjson_alone(frames)}, rounds=effort.rounds, round_ms=effort.round_ms
        )
        found[f"{channel}_ns"] = timings["ours"].median_ns
        found[f"{channel}_vs_orjson"] = ratio(timings, "orjson", "ours")
    sizes = race(
        {"small": books(private.level3()), "large": books(private.level3(1000))},
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )
    found["level3_depth_1000_vs_10"] = ratio(sizes, "large", "small")
    return found


@pytest.mark.parametrize("channel", NUMBERED)
def test_decode_and_store(benchmark: Any, channel: str) -> None:
    frames = NUMBERED[channel]()
    benchmark.extra_info["mean_bytes"] = frames.mean_bytes
    benchmark(numbered(frames).run)


@pytest.mark.parametrize("depth", [10, 100, 1000])
def test_level3(benchmark: Any, depth: int) -> None:
    frames = private.level3(depth)
    benchmark.extra_info["mean_bytes"] = frames.mean_bytes
    benchmark(books(frames).run)


def test_level3_queue_position(benchmark: Any) -> None:
    decoder = Decoder()
    book = decoder.want_level3("BTC/USD", 10)
    decoder.feed_all(private.level3().opening)
    last = book.bid_orders[-1].order_id
    assert benchmark(book.queue_position, last).levels_ahead == 9
