"""The histogram: percentiles right to a sixteenth, whatever the range, in fixed space."""

from __future__ import annotations

import random
import sys

import pytest

from kraken_fast.core.latency import Histogram


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_right_to_a_sixteenth(seed: int) -> None:
    rng = random.Random(seed)
    values = [int(2 ** rng.uniform(0, 40)) for _ in range(5000)]
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    values.sort()
    for q in (0.1, 1, 25, 50, 90, 99, 99.9, 100):
        exact = values[max(0, -(-len(values) * q // 100).__floor__() - 1)]
        measured = histogram.percentile(q)
        assert measured is not None and exact <= measured <= exact * (1 + 1 / 16) + 1
    assert histogram.max_ns == values[-1] and histogram.count == len(values)
    assert histogram.mean_ns == pytest.approx(sum(values) / len(values))


def test_small_values_have_buckets_of_their_own() -> None:
    histogram = Histogram()
    for value in range(16):
        histogram.record(value)
    assert histogram.buckets() == [(value, 1) for value in range(16)]


def test_extremes() -> None:
    histogram = Histogram()
    assert histogram.percentile(50) is None and histogram.mean_ns is None and histogram.buckets() == []
    histogram.record(-5)
    histogram.record(2**63 - 1)
    assert histogram.percentile(1) == 0 and histogram.percentile(100) == 2**63 - 1
    with pytest.raises(ValueError, match="0 to 100"):
        histogram.percentile(101)
    histogram.reset()
    assert histogram.count == histogram.max_ns == 0 and histogram.percentile(50) is None


def test_space_does_not_grow() -> None:
    histogram = Histogram()
    before = sys.getsizeof(histogram)
    for exponent in range(63):
        histogram.record(2**exponent)
    assert sys.getsizeof(histogram) == before and len(histogram.buckets()) == 63
