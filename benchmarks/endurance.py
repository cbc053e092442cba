"""A coordinator for a long time under a plan of faults, on real sockets: was it there, was it true, did it grow?

    python -m benchmarks.endurance --seconds 1800        # the 30 minutes of the promise
    python -m benchmarks.endurance                       # a minute, as the tests run it

The exchange in a box runs in a process of its own. The plan: every 3 to 9 s a line is reset, ended, frozen for good, or
gets a wrong checksum or a lost message; once in twenty times both lines go and nobody can connect for up to 3 s.
What is called live is compared with the clock: the markets of the box change many times a second, so a proven book
whose last change is older than the tolerated silence would be stale served as live.

Figures: availability within `max_age_ms` of tickers and books (worst symbol), messages a second of all lines together,
growth of resident memory and of allocated blocks after a warm-up of a third, tasks and descriptors at most.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from kraken_fast import Endpoints, StaleDataError, UnifiedDataCoordinator
from kraken_fast.cli.boxed import BoxProcess
from kraken_fast.config import RestSettings

SYMBOLS = [f"{base}/USD" for base in ("BTC", "ETH", "SOL", "DOGE", "XRP", "ADA", "LTC", "DOT", "LINK", "ATOM")]
STRIKE_S, DOUBLE_SHARE, OUTAGE_S, MAX_AGE_MS = (3.0, 9.0), 0.05, (0.2, 3.0), 5_000.0
STALE_S = 1.5 + 0.6
"""The tolerated silence, and what a busy machine adds."""


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
    blocks_per_h: float
    tasks_max: int
    descriptors_max: int
    descriptors_end: int
    websocket_share: float
    rest_share: float


async def _strike(box: BoxProcess, rng: Random) -> bool:
    """Do what the plan says once; tells whether both lines were struck."""
    if rng.random() < DOUBLE_SHARE:
        await box.inject("refuse")
        await box.inject(rng.choice(["rst", "fin"]), count=2)
        await asyncio.sleep(rng.uniform(*OUTAGE_S))
        await box.clear("refuse")
        return True
    kind = rng.choice(["rst", "fin", "half_open", "bad_checksum", "drop", "close"])
    await box.inject(kind)
    return False


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


def _slope_per_h(samples: list[tuple[float, float]]) -> float:
    if len(samples) < 3:
        return 0.0
    return statistics.linear_regression([at for at, _ in samples], [value for _, value in samples]).slope * 3600


async def run(seconds: float, rate: float, seed: int = 1) -> Figures:
    """Run the plan."""
    rng, counts = Random(seed), {"live": 0, "refused": 0, "stale": 0}
    rss: list[tuple[float, float]] = []
    blocks: list[tuple[float, float]] = []
    tasks = descriptors = strikes = doubles = 0
    async with BoxProcess("--symbols", ",".join(SYMBOLS), "--rate", f"{rate}", "--seed", f"{seed}") as box:
        coordinator = UnifiedDataCoordinator(
            symbols=SYMBOLS,
            endpoints=Endpoints(box.ws_url, box.rest_url),
            max_age_ms=MAX_AGE_MS,
            rest_options={"settings": RestSettings(limits=False)},
        )
        coordinator.on_book = coordinator.on_ticker = coordinator.on_trade = lambda _: None
        async with coordinator:
            await asyncio.sleep(1)
            begun = time.monotonic()
            next_strike = begun + rng.uniform(*STRIKE_S)
            struck: asyncio.Task[bool] | None = None
            before = sum(line.messages for line in coordinator.lines_health())
            while (now := time.monotonic()) < begun + seconds:
                _read(coordinator, counts)
                if now >= next_strike and (struck is None or struck.done()):
                    doubles += bool(struck is not None and struck.result())
                    strikes += 1
                    struck = asyncio.create_task(_strike(box, rng))
                    next_strike = now + rng.uniform(*STRIKE_S)
                tasks = max(tasks, len(asyncio.all_tasks()))
                descriptors = max(descriptors, _descriptors())
                if now - begun > seconds / 3 and (not rss or now - rss[-1][0] >= max(1.0, seconds / 200)):
                    gc.collect()
                    rss.append((now, _rss_mib()))
                    blocks.append((now, float(sys.getallocatedblocks())))
                await asyncio.sleep(0.1)
            if struck is not None:
                await struck
            took = time.monotonic() - begun
            messages = sum(line.messages for line in coordinator.lines_health()) - before
            shares = coordinator.shares(whole=True)
            return Figures(
                seconds=took,
                strikes=strikes,
                doubles=doubles,
                messages_per_s=messages / took,
                deliveries=coordinator.metrics().deliveries,
                ticker_availability=min(coordinator.availability("ticker").values()),
                book_availability=min(coordinator.availability("book").values()),
                live_reads=counts["live"],
                refused_reads=counts["refused"],
                stale_as_live=counts["stale"],
                rss_mib=rss[-1][1],
                rss_mib_per_h=_slope_per_h(rss),
                blocks_per_h=_slope_per_h(blocks),
                tasks_max=tasks,
                descriptors_max=descriptors,
                descriptors_end=_descriptors(),
                websocket_share=shares.websocket_share,
                rest_share=shares.rest_share,
            )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=30.0, help="actions of the crowd per second and symbol")
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
