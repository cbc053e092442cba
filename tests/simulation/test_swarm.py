"""The swarm: many seeds, each a minute with its own faults, then healing. See `swarm.py` for how to replay one."""

from __future__ import annotations

import os

import pytest

from kraken_fast.sim.plan import Plan, draw

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
