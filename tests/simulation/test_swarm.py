"""The swarm: many seeds, each a minute with its own faults, then healing. See `swarm.py` for how to replay one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kraken_fast import Feed
from kraken_fast.replay import EventHash, Replayer, parts_of, read
from kraken_fast.sim.plan import Plan, draw

from .harness import Simulation
from .swarm import run_plan, run_seed

SEEDS_DEFAULT = 50


def seeds() -> range:
    """Read KRAKEN_FAST_SEEDS: a number, of the first so many, or `first-last`."""
    text = os.environ.get("KRAKEN_FAST_SEEDS", str(SEEDS_DEFAULT))
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


@pytest.mark.parametrize("seed", seeds())
def test_seed(seed: int) -> None:
    sim = run_seed(seed)
    assert sim.oracle.books_checked > 20


def test_a_plan_that_was_written_down_runs_as_its_seed_did() -> None:
    written = run_plan(Plan.from_json(draw(3).to_json()))
    assert written.log.digest() == run_seed(3).log.digest()


UNRECORDED = {"unsubscribe", "late_subscribe", "delay", "late_ack", "raise"}
"""A recording tells what came and not what was asked for: how deep a book is, its replay learns from the answer."""


class Recorded(Simulation):
    """Records every feed, and hashes what it tells."""

    folder: Path

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recordings: list[tuple[Path, EventHash]] = []

    def connect(self, symbols: Iterable[str] | None = None, **settings: Any) -> Feed:
        path, heard = self.folder / f"{self.seed}-{len(self.recordings)}", EventHash()
        feed = super().connect(symbols, record=path, **settings)
        self.recordings.append((path, heard))
        for name in ("book", "ticker", "trade", "candle"):
            setattr(feed, f"on_{name}", _both(getattr(heard, name), getattr(feed, f"on_{name}")))
        return feed


def _both(first: Any, second: Any) -> Any:
    def tell(record: Any) -> None:
        first(record)
        second(record)

    return tell


@pytest.mark.fault("S32", kind="D")
def test_the_recording_of_a_run_tells_the_same_events(tmp_path: Path) -> None:
    Recorded.folder = tmp_path
    plans = [plan for plan in map(draw, range(24)) if not UNRECORDED & {act.kind for act in plan.acts}]
    assert len(plans) >= 8
    for plan in plans[:8]:
        sim = run_plan(plan, Recorded)
        assert isinstance(sim, Recorded)
        for path, heard in sim.recordings:
            again = EventHash()
            replayer = Replayer(again)
            for record in read(parts_of(path)):
                replayer.take(record)
            assert (again.events, again.value) == (heard.events, heard.value), f"seed {plan.seed}"
