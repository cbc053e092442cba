"""Clocks: the system's and the one that only moves when told to."""

from __future__ import annotations

import time

import pytest

from kraken_fast.core.clock import Clock, ManualClock, SystemClock


def test_the_system_clock_is_the_systems() -> None:
    clock = SystemClock()
    before = time.monotonic_ns(), time.time_ns()
    ours = clock.monotonic_ns, clock.epoch_ns
    after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= ours[0] <= after[0]
    assert before[1] <= ours[1] <= after[1]


def test_a_manual_clock_moves_when_told_to() -> None:
    clock = ManualClock(monotonic_ns=5, epoch_ns=100)
    assert (clock.monotonic_ns, clock.epoch_ns) == (5, 100)
    clock.advance(10)
    clock.step_wall(-50)
    assert (clock.monotonic_ns, clock.epoch_ns) == (15, 60)
    with pytest.raises(ValueError, match="never steps back"):
        clock.advance(-1)
    assert clock.monotonic_ns == 15


def test_the_base_stands_still() -> None:
    assert (Clock().monotonic_ns, Clock().epoch_ns) == (0, 0)
