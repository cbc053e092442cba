"""One seed, one run: the same events to the byte, in this process and in any other (S31)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Simulation
from .swarm import run_seed
from .trader_swarm import run_trader_seed

CHANNELS = ("book", "ticker", "trade", "ohlc")


def minute(seed: int) -> Simulation:
    """A quiet minute: three symbols, all channels, no faults."""
    sim = Simulation(["BTC/USD", "ETH/USD", "DOGE/USD"], seed=seed, rate=20.0)

    async def main() -> None:
        async with sim.connect(channels=CHANNELS) as feed:
            await sim.sleep(60)
            stats = feed.stats()
            assert stats.books_mismatched == stats.malformed == stats.unknown == stats.callback_failures == 0
            assert stats.connections == stats.attempts == 1
            assert stats.books_verified > 1000

    sim.run(main())
    return sim


def digests(seed: int) -> tuple[str, str]:
    """What a seed makes of a minute: the hashes of what was delivered and of what was on the wire."""
    sim = minute(seed)
    return sim.log.digest(), sim.wire.digest()


def test_same_seed_same_log() -> None:
    assert digests(7) == digests(7)
    assert digests(7)[0] != digests(8)[0]


def storms() -> str:
    """What became of a run full of faults, and of a trader's: the hashes of their logs."""
    return f"{run_seed(3).log.digest()} {run_trader_seed(2).log.digest()}"


def told_by_another_process(call: str, hash_seed: str) -> str:
    here = Path(__file__).resolve()
    code = f"from {here.parent.name}.{here.stem} import digests, storms; print({call})"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    paths = [str(here.parents[1]), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_same_seed_same_log_in_other_processes() -> None:
    """Neither the order of sets nor addresses in memory decide anything."""
    assert {told_by_another_process("digests(7)[0]", seed) for seed in ("1", "2")} == {digests(7)[0]}


@pytest.mark.fault("S30", kind="D")
@pytest.mark.fault("S31", kind="D")
def test_no_clock_or_chance_but_the_injected_ones_decides_anything() -> None:
    """At another real time, with other real randomness, in another process: the same, whatever goes wrong."""
    assert told_by_another_process("storms()", "3") == storms()
