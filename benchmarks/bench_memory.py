"""What a thousand symbols weigh: book, ticker and last trade of each. Measured in fresh processes, by weigh.py."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from . import ROOT, corpus
from .effort import Effort

SYMBOLS = 1_000
FLOOR_MB = 5.0


@cache
def _input(depth: int) -> bytes:
    """Write what weigh.py reads: two updates of each book, and a ticker and a trade at least of each symbol."""
    books = corpus.books(SYMBOLS, depth, 2 * SYMBOLS)
    each = {channel: {} for channel in ("ticker", "trade")}
    for channel, frames in (("ticker", corpus.tickers(SYMBOLS, 20_000)), ("trade", corpus.trades(SYMBOLS, 20_000))):
        for frame in frames.frames:
            each[channel].setdefault(json.loads(frame)["data"][0]["symbol"], frame)
        assert len(each[channel]) == SYMBOLS
    lines = [json.dumps(books.symbols).encode(), *books.opening, *books.frames]
    return b"\n".join([*lines, *each["ticker"].values(), *each["trade"].values(), b""])


def weigh(depth: int, *, traced: bool = False) -> dict[str, float]:
    """Weigh in a fresh process; traced, what the stores asked the allocator for, else by what the process grew."""
    command = [sys.executable, "-m", f"{__package__}.weigh", str(depth), *(["traced"] if traced else [])]
    told = subprocess.run(command, cwd=ROOT, input=_input(depth), capture_output=True, check=True)
    weight: dict[str, float] = json.loads(told.stdout)
    return weight


def figures(_effort: Effort) -> dict[str, float]:
    """Measure depth 10 and depth 100."""
    grown = weigh(10)["grown_mb"]
    return {
        "stores_depth_10_mb": weigh(10, traced=True)["stored_mb"],
        "stores_depth_100_mb": weigh(100, traced=True)["stored_mb"],
        "process_depth_10_mb": grown,
        "process_depth_100_mb": weigh(100)["grown_mb"],
        "process_vs_floor": FLOOR_MB / grown,
    }


@pytest.mark.parametrize("depth", [10, 25, 100, 1000])
def test_a_thousand_symbols(benchmark: Any, depth: int) -> None:
    weight = benchmark.pedantic(weigh, args=(depth,), rounds=1)
    benchmark.extra_info["grown_mb"] = weight["grown_mb"]
