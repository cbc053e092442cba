"""The book by itself: what depth costs, and a snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.core.book import OrderBook

from . import corpus, rivals
from .effort import Effort
from .timing import race, ratio

DEPTHS = (10, 25, 100, 1000)


def figures(effort: Effort) -> dict[str, float]:
    """Measure what depth costs, decoding included: the frames of all depths are alike."""
    timings = race(
        {str(depth): rivals.ours(corpus.books(depth=depth)) for depth in DEPTHS},
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )
    return {
        **{f"depth_{depth}_ns": timings[str(depth)].median_ns for depth in DEPTHS},
        "depth_1000_vs_10": ratio(timings, "1000", "10"),
    }


def _levels(depth: int, best: int, step: int) -> list[tuple[int, int]]:
    return [(best + step * rank, 100_000_000 + rank) for rank in range(depth)]


@pytest.mark.parametrize("depth", DEPTHS)
def test_update_of_one_level(benchmark: Any, depth: int) -> None:
    """Two calls from Python, each with a change of quantity at the best bid; nothing compared."""
    book = OrderBook("BTC/USD", depth, price_scale=1, qty_scale=8)
    book.apply_snapshot(_levels(depth, 640_000, -3), _levels(depth, 640_010, 3))

    def update() -> None:
        book.apply_update([(640_000, 1)], [])
        book.apply_update([(640_000, 2)], [])

    benchmark(update)


@pytest.mark.parametrize("depth", DEPTHS)
def test_snapshot(benchmark: Any, depth: int) -> None:
    book = OrderBook("BTC/USD", depth, price_scale=1, qty_scale=8)
    bids, asks = _levels(depth, 640_000, -3), _levels(depth, 640_010, 3)
    benchmark(book.apply_snapshot, bids, asks)
    assert len(book.bids) == depth


@pytest.mark.parametrize("depth", DEPTHS)
def test_frames(benchmark: Any, depth: int) -> None:
    benchmark(rivals.ours(corpus.books(depth=depth)).run)
