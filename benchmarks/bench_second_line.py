"""What a second hot line costs end to end: processor time of the client, sockets and event loop included.

    python -m benchmarks.gates --only second_line
    python -m benchmarks.bench_second_line --tls

The exchange in a box runs in a process of its own. Rounds of one line and of two lines alternate in this process, so
that whatever else the machine does falls on both; of each round the processor time for a delivered state is taken, of
the rounds the median. The goal is 2.2 at most: twice the messages, and telling copies from news.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import median
from typing import Any

import uvloop

from kraken_fast import Endpoints, UnifiedDataCoordinator
from kraken_fast.cli.boxed import BoxProcess

from .effort import SMOKE, Effort

SYMBOLS = ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"]
RATE = 500
"""Actions of the crowd per second and symbol."""


async def round_us(where: Endpoints, lines: int, seconds: float) -> float:
    """Give the microseconds of processor time for each delivered state."""
    coordinator = UnifiedDataCoordinator(symbols=SYMBOLS, lines=lines, endpoints=where, check_s=0)
    coordinator.on_book = coordinator.on_ticker = coordinator.on_trade = lambda _: None
    async with coordinator:
        await asyncio.sleep(0.5)
        begun_ns, before = time.process_time_ns(), coordinator.metrics().deliveries
        await asyncio.sleep(seconds)
        spent_ns = time.process_time_ns() - begun_ns
        return spent_ns / 1000 / (coordinator.metrics().deliveries - before)


async def _measure(rounds: int, seconds: float, *, tls: bool) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {1: [], 2: []}
    arguments = ["--symbols", ",".join(SYMBOLS), "--rate", f"{RATE}", *(["--tls"] if tls else [])]
    async with BoxProcess(*arguments) as box:
        where = Endpoints(box.ws_url, box.rest_url, box.ca_file or None)
        for _ in range(rounds):
            for lines, times in found.items():
                times.append(await round_us(where, lines, seconds))
    return found


def measure(rounds: int, seconds: float, *, tls: bool = False) -> dict[str, float]:
    """Give the microseconds of one line and of two, and what two cost of one."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one, two = runner.run(_measure(rounds, seconds, tls=tls)).values()
    ratio = median(both / alone for alone, both in zip(one, two, strict=True))
    return {"one_us": median(one), "two_us": median(two), "ratio": ratio}


def figures(effort: Effort) -> dict[str, float]:
    """Measure over a plain socket."""
    return measure(3, 1.0) if effort is SMOKE else measure(5, 3.0)


def test_second_line(benchmark: Any) -> None:
    benchmark.extra_info.update(benchmark.pedantic(lambda: measure(1, 0.5), rounds=1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_second_line", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    for name, value in measure(options.rounds, options.seconds, tls=options.tls).items():
        print(f"{name}: {value:.2f}")


if __name__ == "__main__":
    main()
