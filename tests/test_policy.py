"""Backoff, budget and pacer as arithmetic: time and randomness go in, durations come out."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from kraken_fast.policy import (
    SECOND_NS,
    AttemptBudget,
    Backoff,
    CircuitBreaker,
    MemoryAttempts,
    Pacer,
    RetryBudget,
    ns_until_free,
    retry_wait_s,
)


def test_three_instant_tries_then_full_jitter_that_doubles_to_thirty_seconds() -> None:
    ceilings = [0.1] * 3 + [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    longest = [0.0] * len(ceilings)
    for seed in range(400):
        backoff = Backoff(Random(seed))
        for i, ceiling in enumerate(ceilings):
            wait = backoff.after_loss(0)
            assert 0.0 <= wait <= ceiling
            longest[i] = max(longest[i], wait)
    assert all(most > 0.95 * ceiling for most, ceiling in zip(longest, ceilings, strict=True)), (
        "jitter is full"
    )


@pytest.mark.fault("N12", kind="U")
def test_only_thirty_stable_seconds_are_forgiven() -> None:
    backoff = Backoff(Random(1))
    now = 0
    for _ in range(10):
        backoff.line_up(now)
        now += 29 * SECOND_NS
        backoff.after_loss(now)
    assert backoff.tries == 10
    backoff.line_up(now)
    now += 30 * SECOND_NS
    assert backoff.after_loss(now) <= 0.1
    assert backoff.tries == 1


def test_a_floor_is_never_undercut_and_the_jitter_comes_on_top() -> None:
    backoff = Backoff(Random(2))
    waits = [backoff.after_loss(0, floor_s=5.0) for _ in range(50)]
    assert min(waits) >= 5.0
    assert max(waits) <= 35.0
    assert len(set(waits)) == 50


@pytest.mark.fault("W13", kind="U")
def test_refusals_climb_from_one_minute_to_ten() -> None:
    backoff = Backoff(Random(3))
    floors = [60, 120, 240, 480, 600, 600]
    for floor in floors:
        assert floor <= backoff.after_refusal(0) <= floor + 0.1
    assert 900 <= backoff.after_refusal(0, floor_s=900.0) <= 900.1, "Retry-After is obeyed"
    backoff.line_up(0)
    assert backoff.after_refusal(31 * SECOND_NS) < 61


def test_a_line_down_for_a_year_does_not_overflow() -> None:
    backoff = Backoff(Random(4))
    for _ in range(100_000):
        backoff.after_loss(0)
        backoff.after_refusal(0)
    assert backoff.after_loss(0) <= 30.0
    assert backoff.after_refusal(0) <= 600.1


@pytest.mark.parametrize("seed", range(10))
def test_no_window_ever_holds_more_than_the_limit(seed: int) -> None:
    rng = Random(seed)
    budget = AttemptBudget(MemoryAttempts(), limit=7, window_s=60)
    now, made = 0, []
    for _ in range(2000):
        wait = budget.take("h", now)
        if wait == 0.0:
            made.append(now)
        elif rng.random() < 0.5:
            now += round(wait * SECOND_NS)
            assert budget.take("h", now) == 0.0, "the wait told is the wait needed"
            made.append(now)
        now += rng.randrange(20 * SECOND_NS)
    assert all(sum(t - 60 * SECOND_NS < other <= t for other in made) <= 7 for t in made)


def test_hosts_have_budgets_of_their_own_and_a_reboot_frees() -> None:
    budget = AttemptBudget(MemoryAttempts(), limit=1)
    assert budget.take("a", 10**15) == 0.0
    assert budget.take("b", 10**15) == 0.0
    assert budget.take("a", 10**15) == 600.0
    assert budget.take("a", 5) == 0.0, "times of a former boot lie ahead and do not count"


def test_ns_until_free_sorts_what_it_is_given() -> None:
    attempts = deque([90, 10, 500, 50])
    assert ns_until_free(attempts, 100, limit=3, window_ns=95) == 5
    assert list(attempts) == [10, 50, 90]


@pytest.mark.parametrize("seed", range(10))
def test_the_pacer_keeps_rate_and_burst(seed: int) -> None:
    rng = Random(seed)
    pacer = Pacer(rate_per_s=20, burst=10)
    now, sent = 0, []
    for _ in range(3000):
        wait = pacer.wait_ns(now)
        assert pacer.take(now) == (wait == 0)
        if wait == 0:
            sent.append(now)
        elif rng.random() < 0.5:
            now += wait
            assert pacer.wait_ns(now) == 0
        now += rng.randrange(30_000_000)
    for i, at in enumerate(sent):
        assert sum(at <= other < at + SECOND_NS for other in sent[i:]) <= 30, "20 a second and a burst of 10"


def test_complaints_slow_down_and_are_forgiven() -> None:
    pacer = Pacer(rate_per_s=20, burst=10)
    now = 7 * SECOND_NS
    for expected in (10, 5, 2.5, 1.25, 1, 1):
        pacer.slow_down(now)
        pacer.slow_down(now)
        assert pacer.rate_per_s == expected
        assert pacer.wait_ns(now) == SECOND_NS
        assert not pacer.take(now)
        now += SECOND_NS
        assert pacer.take(now)
        assert not pacer.take(now)
    now += 29 * SECOND_NS - 1
    assert pacer.wait_ns(now) == 0
    assert pacer.rate_per_s == 1
    now += 1
    assert pacer.wait_ns(now) == 0
    assert pacer.rate_per_s == 2
    now += 3600 * SECOND_NS
    assert [pacer.take(now) for _ in range(11)] == [True] * 10 + [False]
    assert pacer.rate_per_s == 20


# REST ----------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("L08", kind="D")
@pytest.mark.parametrize("calls_per_s", [0.05, 0.5, 5, 50])
def test_repeats_stay_within_a_tenth_in_every_minute(calls_per_s: float) -> None:
    budget = RetryBudget()
    events: list[tuple[int, bool]] = []
    for number in range(2000):
        now_ns = round(number / calls_per_s * SECOND_NS)
        budget.note_call(now_ns)
        events.append((now_ns, False))
        for _ in range(3):
            if budget.take(now_ns):
                events.append((now_ns, True))
    first = 0
    calls = retries = 0
    for now_ns, is_retry in events:
        calls, retries = calls + (not is_retry), retries + is_retry
        while now_ns - events[first][0] > 60 * SECOND_NS:
            calls, retries = calls - (not events[first][1]), retries - events[first][1]
            first += 1
        if calls >= 10:
            assert retries <= 0.1 * calls


def test_the_wait_before_a_repeat_is_drawn_from_a_growing_range() -> None:
    rng = Random(1)
    for attempt, ceiling in ((0, 0.25), (1, 0.5), (2, 1.0), (9, 2.0)):
        waits = [retry_wait_s(attempt, rng) for _ in range(500)]
        assert 0 <= min(waits) < ceiling / 10
        assert 0.9 * ceiling < max(waits) <= ceiling


@pytest.mark.fault("R09", kind="D")
def test_a_breaker_opens_probes_and_closes() -> None:
    breaker = CircuitBreaker(Random(1))
    now_ns = 0
    for _ in range(5):
        assert breaker.wait_ns(now_ns) == 0
        breaker.begin()
        breaker.failed(now_ns)
    assert breaker.state == "open"
    expected_s = 1.0
    for _ in range(8):
        wait_ns = breaker.wait_ns(now_ns)
        assert expected_s * SECOND_NS <= wait_ns <= min(30.0, 1.1 * expected_s) * SECOND_NS
        now_ns += wait_ns
        assert breaker.wait_ns(now_ns) == 0
        breaker.begin()
        assert breaker.state == "half-open"
        assert breaker.wait_ns(now_ns) > 0  # one probe at a time
        breaker.failed(now_ns)
        expected_s = min(30.0, 2 * expected_s)
    now_ns += breaker.wait_ns(now_ns)
    breaker.begin()
    breaker.dropped()  # its caller gave up: the next one probes
    breaker.begin()
    breaker.succeeded(now_ns)
    assert (breaker.state, breaker.wait_ns(now_ns)) == ("closed", 0)


def test_a_breaker_opens_when_half_of_many_fail() -> None:
    breaker = CircuitBreaker(Random(1))
    for number in range(20):
        assert breaker.state == "closed"
        breaker.begin()
        (breaker.failed if number % 2 else breaker.succeeded)(number * SECOND_NS // 10)
    assert breaker.state == "open"


def test_old_failures_are_forgotten() -> None:
    breaker = CircuitBreaker(Random(1))
    for number in range(100):
        breaker.begin()
        (breaker.failed if number % 2 else breaker.succeeded)(number * SECOND_NS)
    assert breaker.state == "closed"
