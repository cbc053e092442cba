"""What a second hot line costs, and what it costs to tell its copies from news."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kraken_fast.core.arbiter import Arbiter
from kraken_fast.core.book import OrderBook
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks, Handler
from kraken_fast.core.line import Line

from . import corpus
from .effort import Effort
from .timing import Contestant, race, ratio

CHUNK = 16
"""Frames that a line hands over at a time: fewer than an arbiter remembers."""

LINES = {"none": 0, "one": 1, "two": 2, "three": 3}


def _empty(_book: OrderBook) -> None:
    pass


def _chunks(frames: list[bytes]) -> list[list[bytes]]:
    return [frames[at : at + CHUNK] for at in range(0, len(frames), CHUNK)]


def lines(count: int, *, symbols: int = 1) -> Callable[[], None]:
    """Make so many lines that tell the same to one empty callback, one shortly after the other; 0 has no arbiter."""
    frames = corpus.books(symbols)
    callbacks = Callbacks()
    callbacks.book = _empty
    clock = SystemClock()
    arbiter = Arbiter(callbacks, clock)
    decoders: list[Decoder] = []
    for name in "ABC"[: max(1, count)]:
        line = Line(clock, name=name)
        handler: Handler = arbiter.leg(line) if count else callbacks
        decoder = Decoder(line, handler, create=True)
        decoder.feed_all(frames.opening)
        decoders.append(decoder)
    chunks = _chunks(frames.frames)

    def run() -> None:
        for chunk in chunks:
            for decoder in decoders:
                decoder.feed_all(chunk)

    return run


def silent(with_arbiter: bool) -> Callable[[], None]:
    """Make a line all of whose messages are copies; or one that nobody listens to, for comparison."""
    frames = corpus.books()
    clock = SystemClock()
    arbiter = Arbiter(Handler(), clock)
    first, second = (Line(clock, name=name) for name in "AB")
    leader = Decoder(first, arbiter.leg(first), create=True)
    follower = Decoder(second, arbiter.leg(second) if with_arbiter else Handler(), create=True)
    for decoder in (leader, follower):
        decoder.feed_all(frames.opening)
    chunks = _chunks(frames.frames)

    def run() -> None:
        for chunk in chunks:
            leader.feed_all(chunk)
            follower.feed_all(chunk)

    return run


def figures(effort: Effort) -> dict[str, float]:
    """Measure by ratio and by difference."""
    count = len(corpus.books().frames)
    timings = race(
        {
            **{name: Contestant(lines(number), count) for name, number in LINES.items()},
            "copies": Contestant(silent(True), count),
            "unheard": Contestant(silent(False), count),
        },
        rounds=effort.rounds,
        round_ms=effort.round_ms,
    )

    def more(name: str, than: str) -> float:
        pairs = zip(timings[name].rounds_ns, timings[than].rounds_ns, strict=True)
        return sorted(a - b for a, b in pairs)[effort.rounds // 2]

    return {
        "two_lines_vs_one": ratio(timings, "two", "one"),
        "three_lines_vs_one": ratio(timings, "three", "one"),
        "arbiter_ns": more("one", "none"),
        "copy_ns": more("copies", "unheard"),
    }


@pytest.mark.parametrize("name", LINES)
def test_lines(benchmark: Any, name: str) -> None:
    benchmark(lines(LINES[name]))


def test_a_copy_is_told_from_news(benchmark: Any) -> None:
    benchmark(silent(True))
