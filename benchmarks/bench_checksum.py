"""The checksum by itself, from nothing: what a snapshot pays. Updates pay for what changed; see bench_book.py."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from kraken_fast.core.checksum import book_checksum, has_clmul

from .effort import Effort
from .timing import Contestant, race, ratio

ASKS = [(640_010 + 3 * rank, 12_345_678 + rank) for rank in range(10)]
BIDS = [(640_000 - 3 * rank, 987_654_321 + rank) for rank in range(10)]


def by_text(asks: list[tuple[int, int]], bids: list[tuple[int, int]]) -> int:
    """Compute it the obvious way: write the digits, then zlib."""
    return zlib.crc32("".join([f"{price}{qty}" for price, qty in (*asks, *bids)]).encode())


def figures(effort: Effort) -> dict[str, float]:
    """Measure twenty levels from nothing."""
    timings = race(
        {
            "best": Contestant(lambda: book_checksum(ASKS, BIDS), 1),
            "portable": Contestant(lambda: book_checksum(ASKS, BIDS, portable=True), 1),
            "text": Contestant(lambda: by_text(ASKS, BIDS), 1),
        },
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )
    return {
        "twenty_levels_ns": timings["best"].median_ns,
        "twenty_levels_portable_ns": timings["portable"].median_ns,
        "twenty_levels_vs_text": ratio(timings, "text", "best"),
        "has_clmul": float(has_clmul()),
    }


@pytest.mark.parametrize("portable", [False, True], ids=["best path", "portable"])
def test_twenty_levels(benchmark: Any, portable: bool) -> None:
    assert benchmark(book_checksum, ASKS, BIDS, portable=portable) == by_text(ASKS, BIDS)


def test_twenty_levels_by_text(benchmark: Any) -> None:
    benchmark(by_text, ASKS, BIDS)
