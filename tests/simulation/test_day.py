"""A day in virtual time: what a client holds on to does not grow. The half hour on sockets: test_endurance.py, soak.

`KRAKEN_FAST_DAY_H=24` runs the whole day; a tenth of it otherwise.
"""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import pytest
from report import note

from .harness import Simulation, is_live

HOURS = float(os.environ.get("KRAKEN_FAST_DAY_H", "2.4"))
WARM_H = 0.6
MIB = 1 << 20


def rss() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.fault("P14", kind="D")
def test_a_day_leaves_nothing_behind() -> None:
    sim = Simulation(["BTC/USD", "ETH/USD"], rate=0.2)
    held: list[tuple[float, int, int, int, int]] = []

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade")) as feed:
            stream = feed.events(size=100)
            while sim.now_s < HOURS * 3600:
                await sim.sleep(600)
                sim.notices.clear()
                for recorder in sim.oracle._recorders.values():  # the judge's memory is none of the client's
                    recorder.trades.clear()
                    for stamp in list(recorder.states)[:-100]:
                        del recorder.states[stamp]
                subscriptions = feed._session.subscriptions
                sizes = len(asyncio.all_tasks()), len(subscriptions._requests), len(subscriptions._timers)
                held.append((sim.now_s / 3600, rss(), *sizes))
            assert is_live(feed)
            assert feed.stats().connections == 1
            await stream.aclose()

    sim.run(main())
    warm = [each for each in held if each[0] >= WARM_H]
    slope = (warm[-1][1] - warm[0][1]) / MIB / (warm[-1][0] - warm[0][0])
    note(f"{HOURS:g} h of virtual time: MiB of memory more an hour", round(slope, 2))
    assert slope <= 1.0
    assert len({each[2:] for each in warm}) <= 2, "tasks, requests and timers stay as they are"
