"""The exchange's time is known within what is claimed, whatever the network does."""

from __future__ import annotations

from random import Random

import pytest

from kraken_fast.policy import SECOND_NS
from kraken_fast.rest.exchange_time import DRIFT_PPM, ExchangeTime

MS = 1_000_000
OFFSET_NS = 1_767_225_600_123_456_789


def told(at_ns: int, offset_ns: int = OFFSET_NS) -> int:
    """Give the second that the exchange tells at a monotonic time."""
    return (at_ns + offset_ns) // SECOND_NS * SECOND_NS


@pytest.mark.parametrize("seed", range(50))
def test_the_truth_is_always_within_the_error(seed: int) -> None:
    rng, time, now_ns = Random(seed), ExchangeTime(), 0
    drift = rng.uniform(-DRIFT_PPM, DRIFT_PPM) / 1e6
    before_ns = SECOND_NS
    for _ in range(200):
        now_ns += rng.randrange(100 * MS)
        sent_ns, there_ns = now_ns, now_ns + rng.randrange(300 * MS)
        now_ns = there_ns + rng.randrange(300 * MS)
        time.note(told(there_ns, OFFSET_NS + round(there_ns * drift)), sent_ns=sent_ns, recv_ns=now_ns)
        truth_ns = now_ns + OFFSET_NS + round(now_ns * drift)
        assert abs(time.now_ns(now_ns) - truth_ns) <= time.error_ns(now_ns)
        before_ns = min(before_ns, time.error_ns(now_ns))
    assert before_ns < 300 * MS
    assert time.contradictions == 0


@pytest.mark.parametrize("trip_ms", [1, 50, 150])
def test_calls_at_the_end_of_a_second_halve_the_error(trip_ms: int) -> None:
    time, now_ns, trip_ns = ExchangeTime(), 7 * SECOND_NS // 3, trip_ms * MS
    errors = []
    for _ in range(6):
        if time.is_known:
            now_ns += time.halving_wait_ns(now_ns, trip_ns)
        time.note(told(now_ns + trip_ns // 2), sent_ns=now_ns, recv_ns=now_ns + trip_ns)
        now_ns += trip_ns
        errors.append(time.error_ns(now_ns))
        assert abs(time.now_ns(now_ns) - now_ns - OFFSET_NS) <= errors[-1]
    assert errors[0] == pytest.approx((SECOND_NS + trip_ns) / 2, rel=0.01)
    assert errors[-1] <= 20 * MS + trip_ns


def test_what_is_not_told_anew_is_known_the_worse_the_older_it_is() -> None:
    time = ExchangeTime()
    time.note(told(0), sent_ns=0, recv_ns=0)
    begin_ns = time.error_ns(0)
    assert time.error_ns(100 * SECOND_NS) - begin_ns == pytest.approx(100 * SECOND_NS * DRIFT_PPM / 1e6)


def test_an_answer_that_contradicts_the_older_ones_wins() -> None:
    time = ExchangeTime()
    time.note(told(0), sent_ns=0, recv_ns=0)
    time.note(told(SECOND_NS) + 90 * SECOND_NS, sent_ns=SECOND_NS, recv_ns=SECOND_NS)
    assert time.contradictions == 1
    assert abs(time.now_ns(SECOND_NS) - told(SECOND_NS) - 90 * SECOND_NS) <= SECOND_NS


def test_finer_times_are_taken_as_such() -> None:
    time = ExchangeTime()
    time.note(OFFSET_NS, sent_ns=0, recv_ns=2 * MS, resolution_ns=1000)
    assert time.error_ns(2 * MS) <= 1_001_000
