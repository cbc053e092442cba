"""The histogram: percentiles right to one sixteenth, whatever was recorded."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken_fast.core import latency
from kraken_fast.core.latency import Histogram


def test_the_example() -> None:
    assert doctest.testmod(latency, extraglobs={"Histogram": Histogram}).failed == 0


def test_the_mean_of_what_no_int64_sums_up() -> None:
    histogram = Histogram()
    for ns in (2**63 - 1, 2**63 - 1, 1, 1):
        histogram.record(ns)
    assert histogram.mean_ns == 2.0**62


def test_empty() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.max_ns, histogram.mean_ns, histogram.percentile(50)) == (0, 0, None, None)
    assert histogram.buckets() == []


@given(st.lists(st.integers(0, 2**62), min_size=1), st.sampled_from([0.0, 1.0, 50.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_never_too_small_and_right_to_a_sixteenth(times: list[int], q: float) -> None:
    histogram = Histogram()
    for ns in times:
        histogram.record(ns)
    exact = sorted(times)[max(0, math.ceil(q / 100 * len(times) - 1e-9) - 1)]
    told = histogram.percentile(q)
    assert told is not None
    assert exact <= told <= exact + exact // 16
    assert (histogram.count, histogram.max_ns) == (len(times), max(times))
    assert sum(count for _, count in histogram.buckets()) == len(times)


def test_negative_counts_as_zero_and_reset_forgets() -> None:
    histogram = Histogram()
    histogram.record(-5)
    assert histogram.buckets() == [(0, 1)]
    histogram.record(2**63 - 1)
    assert histogram.percentile(100) == 2**63 - 1
    histogram.reset()
    assert (histogram.count, histogram.max_ns, histogram.percentile(99)) == (0, 0, None)


@pytest.mark.parametrize("q", [-0.1, 100.1, math.nan])
def test_there_is_no_such_percentile(q: float) -> None:
    with pytest.raises(ValueError, match="must be 0 to 100"):
        Histogram().percentile(q)
