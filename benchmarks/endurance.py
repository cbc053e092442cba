"""A coordinator for a long time under a plan of faults, on real sockets: was it there, was it true, did it grow?

    python -m benchmarks.endurance --seconds 1800        # the 30 minutes of the promise
    python -m benchmarks.endurance                       # a minute, as the tests run it

The exchange in a box runs in a process of its own; ten true markets, 10,000 messages a second over both lines. The
plan: every 10 to 20 s a line is reset, ended, frozen for good, or gets a wrong checksum or a lost message; every
120th time, the 60th first, all lines go and nobody can connect for up to 3 s. REST keeps Kraken's limits: then
it brings all tickers at once, four books in the first half second, and one a second after that.

What is called live is compared with the clock: the markets of the box change many times a second, so a proven book
whose last change is older than the tolerated silence would be stale served as live.

Figures: availability within `max_age_ms` of tickers and books (worst symbol), messages a second of all lines together,
tasks and descriptors at most, and what memory grew by after a warm-up of a third: resident, and in bytes by the
allocators' own counters. A slope goes through the least value of each twentieth of the run, so that what comes and goes
(an outage's values, a connection being made) is no growth.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from kraken_fast import Endpoints, StaleDataError, UnifiedDataCoordinator
from kraken_fast.cli.boxed import BoxProcess

SYMBOLS = [f"{base}/USD" for base in ("BTC", "ETH", "SOL", "DOGE", "XRP", "ADA", "LTC", "DOT", "LINK", "ATOM")]
STRIKE_S, DOUBLE_EVERY, OUTAGE_S, MAX_AGE_MS = (10.0, 20.0), 120, (0.2, 3.0), 5_000.0
STALE_S = 1.5 + 0.6
"""The tolerated silence, and what a busy machine adds."""

Sample = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came out."""

    seconds: float
    strikes: int
    doubles: int
    messages_per_s: float
    deliveries: int
    ticker_availability: float
    book_availability: float
    live_reads: int
    refused_reads: int
    stale_as_live: int
    rss_mib: float
    rss_mib_per_h: float
    allocated_mib_per_h: float
    blocks_per_h: float
    allocated_kib: float
    tasks_max: int
    descriptors_max: int
    descriptors_end: int
    websocket_share: float
    rest_share: float


async def _strike(box: BoxProcess, rng: Random, *, double: bool) -> None:
    """Do what the plan says once."""
    if double:
        await box.inject("refuse")
        await box.inject(rng.choice(["rst", "fin"]), count=2)
        await asyncio.sleep(rng.uniform(*OUTAGE_S))
        await box.clear("refuse")
        return
    kind = rng.choice(["rst", "fin", "half_open", "bad_checksum", "drop", "close"])
    await box.inject(kind)


def _read(coordinator: UnifiedDataCoordinator, counts: dict[str, int]) -> None:
    for symbol in coordinator.symbols:
        try:
            book = coordinator.book(symbol, strict=True)
        except StaleDataError:
            counts["refused"] += 1
            continue
        counts["live"] += 1
        assert book.exch_ns is not None
        counts["stale"] += time.time_ns() - book.exch_ns > STALE_S * 1e9


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _MallInfo(ctypes.Structure):
    """Source: mallinfo(3), glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
                     "keepcost")
    )  # fmt: skip


class Allocators:
    """The counters of Python's allocator and of the C library's: blocks of the one, bytes in use of both."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.mallinfo2.restype = _MallInfo

    def look(self) -> tuple[float, float]:
        """Give blocks of Python's allocator, and bytes in use: its blocks and what the C library gave to others."""
        gc.collect()
        info = self._libc.mallinfo2()
        return float(sys.getallocatedblocks()), float(info.uordblks + info.hblkhd) + _arena_bytes()


def _arena_bytes() -> float:
    """Bytes in use of Python's arenas; it gets those from the system, not from the C library."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            sys._debugmallocstats()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        found = re.search(rb"# bytes in allocated blocks\s+=\s+([\d,]+)", file.read())
    assert found is not None
    return float(found[1].replace(b",", b""))


def _least(samples: list[Sample]) -> list[Sample]:
    """Give the least of each twentieth of the time, figure by figure."""
    if not samples:
        return []
    begin_s, end_s = samples[0][0], samples[-1][0]
    parts: dict[int, list[Sample]] = {}
    for sample in samples:
        parts.setdefault(min(19, int(20 * (sample[0] - begin_s) / (end_s - begin_s + 1e-9))), []).append(sample)
    return [(part[0][0], *(min(values) for values in list(zip(*part, strict=True))[1:])) for part in parts.values()]


def _slope_per_h(samples: list[Sample], column: int) -> float:
    if len(samples) < 3:
        return 0.0
    return statistics.linear_regression([each[0] for each in samples], [each[column] for each in samples]).slope * 3600


class Watch:
    """Looks at what must not grow, and keeps the looks where they take no room of their own."""

    def __init__(self, begun: float, seconds: float) -> None:
        self._warm = begun + seconds / 3
        self._pause = max(1.0, seconds / 200)
        self._allocators = Allocators()
        self._looks = array("d")
        self._next = self._warm
        self.tasks = self.descriptors = 0

    def look(self, now: float) -> None:
        """Look, if it is time."""
        self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        self.descriptors = max(self.descriptors, _descriptors())
        if now >= self._next:
            self._next = now + self._pause
            blocks, allocated = self._allocators.look()
            self._looks.extend((now, _rss_mib(), blocks, allocated))

    def samples(self) -> list[Sample]:
        """Give time, resident MiB, blocks and bytes of each look, thinned to the least ones."""
        looks = self._looks.tolist()
        return _least([tuple(looks[at : at + 4]) for at in range(0, len(looks), 4)])


async def run(seconds: float, rate: float, seed: int = 1) -> Figures:
    """Run the plan."""
    async with BoxProcess("--symbols", ",".join(SYMBOLS), "--rate", f"{rate}", "--seed", f"{seed}") as box:
        coordinator = UnifiedDataCoordinator(
            symbols=SYMBOLS, endpoints=Endpoints(box.ws_url, box.rest_url), max_age_ms=MAX_AGE_MS
        )
        coordinator.on_book = coordinator.on_ticker = coordinator.on_trade = lambda _: None
        async with coordinator:
            await asyncio.sleep(1)
            return await _endure(box, coordinator, seconds, Random(seed))


async def _endure(box: BoxProcess, coordinator: UnifiedDataCoordinator, seconds: float, rng: Random) -> Figures:
    counts = {"live": 0, "refused": 0, "stale": 0}
    strikes = doubles = 0
    begun = time.monotonic()
    watch, next_strike = Watch(begun, seconds), begun + rng.uniform(*STRIKE_S)
    struck: asyncio.Task[None] | None = None
    before = sum(line.messages for line in coordinator.lines_health())
    while (now := time.monotonic()) < begun + seconds:
        _read(coordinator, counts)
        if now >= next_strike and (struck is None or struck.done()):
            if struck is not None:
                struck.result()
            strikes += 1
            is_double = strikes % DOUBLE_EVERY == DOUBLE_EVERY // 2
            doubles += is_double
            struck = asyncio.create_task(_strike(box, rng, double=is_double))
            next_strike = now + rng.uniform(*STRIKE_S)
        watch.look(now)
        await asyncio.sleep(0.1)
    if struck is not None:
        await struck
    took = time.monotonic() - begun
    samples, shares = watch.samples(), coordinator.shares(whole=True)
    return Figures(
        seconds=took,
        strikes=strikes,
        doubles=doubles,
        messages_per_s=(sum(line.messages for line in coordinator.lines_health()) - before) / took,
        deliveries=coordinator.metrics().deliveries,
        ticker_availability=min(coordinator.availability("ticker").values()),
        book_availability=min(coordinator.availability("book").values()),
        live_reads=counts["live"],
        refused_reads=counts["refused"],
        stale_as_live=counts["stale"],
        rss_mib=samples[-1][1],
        rss_mib_per_h=_slope_per_h(samples, 1),
        allocated_mib_per_h=_slope_per_h(samples, 3) / 2**20,
        allocated_kib=(samples[-1][3] - samples[0][3]) / 2**10,
        blocks_per_h=_slope_per_h(samples, 2),
        tasks_max=watch.tasks,
        descriptors_max=watch.descriptors,
        descriptors_end=_descriptors(),
        websocket_share=shares.websocket_share,
        rest_share=shares.rest_share,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=650.0, help="actions of the crowd per second and symbol")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asdict(asyncio.run(run(options.seconds, options.rate, options.seed)))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name}: {value:,.4f}" if isinstance(value, float) else f"{name}: {value:,}")


if __name__ == "__main__":
    main()
