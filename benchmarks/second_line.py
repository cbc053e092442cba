"""What a second hot line costs end to end: processor time of the client, sockets and event loop included.

    python -m benchmarks.second_line            # one line and two in turn, against one exchange in a box
    python -m benchmarks.second_line --tls

The exchange in a box runs in a process of its own. Rounds of one line and of two lines alternate in this process, so
that whatever else the machine does falls on both; of each round the processor time for a delivered state is taken, of
the rounds the median. The goal is 2.2 at most: twice the messages, and telling copies from news.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import uvloop

from kraken_fast import Endpoints, UnifiedDataCoordinator
from kraken_fast.cli.boxed import BoxProcess

SYMBOLS = ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"]
RATIO_MAX = 2.2


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


async def measure(options: argparse.Namespace) -> dict[int, list[float]]:
    """Run all rounds."""
    found: dict[int, list[float]] = {1: [], 2: []}
    arguments = ["--symbols", ",".join(SYMBOLS), "--rate", f"{options.rate:g}", *(["--tls"] if options.tls else [])]
    async with BoxProcess(*arguments) as box:
        where = Endpoints(box.ws_url, box.rest_url, box.ca_file or None)
        for _ in range(options.rounds):
            for lines, rounds in found.items():
                rounds.append(await round_us(where, lines, options.seconds))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_line", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--rate", type=float, default=500.0, help="actions of the crowd per second and symbol")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(options))
    ratio = statistics.median(two / one for one, two in zip(found[1], found[2], strict=True))
    for lines, rounds in found.items():
        print(f"lines {lines}: {statistics.median(rounds):.1f} us of processor time a delivered state")
    print(f"ratio {ratio:.2f}, {RATIO_MAX} at most")
    return int(ratio > RATIO_MAX)


if __name__ == "__main__":
    raise SystemExit(main())
