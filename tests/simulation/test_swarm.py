"""The swarm: many seeds, each a minute with its own faults, then healing. See `swarm.py` for how to replay one."""

from __future__ import annotations

import os

import pytest

from .swarm import run_seed

SEEDS_DEFAULT = 15


def seeds() -> range:
    """Read KRAKEN_FAST_SEEDS: a number, of the first so many, or `first-last`."""
    text = os.environ.get("KRAKEN_FAST_SEEDS", str(SEEDS_DEFAULT))
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


@pytest.mark.parametrize("seed", seeds())
def test_seed(seed: int) -> None:
    sim = run_seed(seed)
    assert sim.oracle.books_checked > 20
