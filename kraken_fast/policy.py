"""When to try again, how often at most, and how fast to ask: decisions without I/O, sleep or a clock of their own.

Every method takes the time (monotonic nanoseconds, from the line's `Clock`) and answers with a duration or a verdict;
randomness comes in through the constructor. So each curve can be tested as arithmetic, and a simulation runs the same
code as a live line.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

SECOND_NS = 1_000_000_000


class Backoff:
    """How long to wait before the next connection attempt.

    The first three tries after a loss come within 100 ms each, for losses at random are the common ones. Then the wait
    is drawn from (0, min(30 s, 0.5 s * 2^n)): full jitter, so that many clients do not return in step. The count
    falls back to zero only after a line was stable for 30 s; a line that comes up and dies again goes on climbing.
    A `floor_s` is never undercut: the jitter comes on top of it.

    Refusals at the upgrade (429, 403) and rejected certificates climb a ladder of their own, 60 s doubling to 600 s,
    until a line was stable: the edge bans addresses that hammer it.

    Source: faults.md section 0; "a handful of instant retries", then 5 s at the least after maintenance:
    https://docs.kraken.com/api/docs/guides/spot-ws-intro; full jitter: AWS Builders' Library.

    >>> backoff = Backoff(Random(1))
    >>> [backoff.after_loss(0) < 0.1 for _ in range(3)]
    [True, True, True]
    >>> backoff.after_refusal(0) >= 60.0, backoff.after_refusal(0) >= 120.0
    (True, True)
    """

    INSTANT_TRIES = 3
    INSTANT_JITTER_S = 0.1
    BASE_S = 0.5
    CAP_S = 30.0
    STABLE_NS = 30 * SECOND_NS
    REFUSED_BASE_S = 60.0
    REFUSED_CAP_S = 600.0

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._tries = 0
        self._refusals = 0
        self._up_since_ns: int | None = None

    @property
    def tries(self) -> int:
        """Waits given since the line was last stable."""
        return self._tries

    def line_up(self, now_ns: int) -> None:
        """Note that a connection is open; it has to last before anything is forgiven."""
        self._up_since_ns = now_ns

    def after_loss(self, now_ns: int, *, floor_s: float = 0.0) -> float:
        """Seconds to wait after a loss or a failed attempt, never less than `floor_s`."""
        self._settle(now_ns)
        if self._tries < self.INSTANT_TRIES:
            ceiling = self.INSTANT_JITTER_S
        else:
            # The exponent is bounded: a line that was down for a week must not shift by thousands.
            ceiling = min(self.CAP_S, self.BASE_S * (1 << min(self._tries - self.INSTANT_TRIES, 16)))
        self._tries += 1
        return floor_s + self._rng.uniform(0.0, ceiling)

    def after_refusal(self, now_ns: int, *, floor_s: float = 0.0) -> float:
        """Seconds to wait after the peer asked us to stay away, never less than `floor_s`."""
        self._settle(now_ns)
        wait_s = min(self.REFUSED_CAP_S, self.REFUSED_BASE_S * (1 << min(self._refusals, 16)))
        self._refusals += 1
        self._tries += 1
        return max(floor_s, wait_s) + self._rng.uniform(0.0, self.INSTANT_JITTER_S)

    def _settle(self, now_ns: int) -> None:
        if self._up_since_ns is not None and now_ns - self._up_since_ns >= self.STABLE_NS:
            self._tries = 0
            self._refusals = 0
        self._up_since_ns = None


class AttemptStore(Protocol):
    """Where the times of past attempts are kept, shared by whoever must share the budget."""

    def record(self, host: str, now_ns: int, *, limit: int, window_ns: int) -> int:
        """Record an attempt if fewer than `limit` lie in the window; else change nothing.

        Returns:
            0 when it was recorded, else the nanoseconds after which it is worth asking again.
        """
        ...


BURST_MAX = 5
"""Attempts of all lines together within a second: an exchange that comes back is not met by a wall. Source: L05."""


def ns_until_free(attempts: deque[int], now_ns: int, *, limit: int, window_ns: int) -> int:
    """Drop what left the window, then say how long until one more fits; 0 means now.

    Another process may have read the clock after us and been faster with its attempt, so times a little ahead of
    `now_ns` count. Those ahead by more than a window were written before a reboot set the clock back to zero, and are
    dropped.

    >>> ns_until_free(deque([10, 20]), 30, limit=2, window_ns=100)
    80
    """
    kept = sorted(t for t in attempts if now_ns - window_ns < t <= now_ns + window_ns)
    attempts.clear()
    attempts.extend(kept)
    if len(kept) >= limit:
        return kept[len(kept) - limit] + window_ns - now_ns
    if len(kept) >= BURST_MAX:
        return max(0, kept[-BURST_MAX] + min(SECOND_NS, window_ns) - now_ns)
    return 0


class MemoryAttempts:
    """Attempts of this process alone; for tests, simulations, and where no file may be written."""

    def __init__(self) -> None:
        self._attempts: dict[str, deque[int]] = {}

    def record(self, host: str, now_ns: int, *, limit: int, window_ns: int) -> int:
        """See `AttemptStore`."""
        attempts = self._attempts.setdefault(host, deque())
        wait_ns = ns_until_free(attempts, now_ns, limit=limit, window_ns=window_ns)
        if wait_ns == 0:
            attempts.append(now_ns)
        return wait_ns


class AttemptBudget:
    """At most so many connection attempts to a host in any window, whoever on this machine makes them.

    Kraken's edge refuses an address for ten minutes after about 150 attempts in ten; its own command line tool allows
    itself 120. We stay at 100. Loopback hosts are free: nobody bans there, and tests connect a lot.

    Source: https://docs.kraken.com/api/docs/guides/spot-ws-intro; krakenfx/kraken-cli:src/commands/websocket.rs.

    >>> budget = AttemptBudget(MemoryAttempts(), limit=1)
    >>> budget.take("ws.kraken.com", 0), budget.take("ws.kraken.com", SECOND_NS)
    (0.0, 599.0)
    """

    def __init__(self, store: AttemptStore, *, limit: int = 100, window_s: float = 600.0) -> None:
        self._store = store
        self._limit = limit
        self._window_ns = round(window_s * SECOND_NS)

    def take(self, host: str, now_ns: int) -> float:
        """Take one attempt. Returns 0.0 when it may be made now, else the seconds after which to ask again."""
        return self._store.record(host, now_ns, limit=self._limit, window_ns=self._window_ns) / SECOND_NS


class Pacer:
    """A token bucket for what we send: `burst` at once, `rate_per_s` in the long run.

    The client message rate that Kraken accepts is unpublished and varies with load. The defaults are those of the
    nautilus adapter for subscriptions. After a complaint the bucket is emptied for a second and its rate halved, down
    to one a second; 30 s without a complaint double it again.

    Source: websocket-v2.md section 2, "Client message rate".

    >>> pacer = Pacer(rate_per_s=10, burst=2)
    >>> pacer.take(0), pacer.take(0), pacer.take(0), pacer.wait_ns(0)
    (True, True, False, 100000000)
    """

    PAUSE_NS = SECOND_NS
    FORGIVE_NS = 30 * SECOND_NS
    RATE_MIN = 1.0

    def __init__(self, *, rate_per_s: float = 20.0, burst: int = 10) -> None:
        self._rate_max = rate_per_s
        self._rate = rate_per_s
        self._burst_max = burst
        self._burst = burst
        # The bucket as one time: when it will be full. Each message moves it on by one interval.
        self._full_at_ns: int | None = None
        self._slowed_at_ns = 0

    @property
    def rate_per_s(self) -> float:
        """The present rate."""
        return self._rate

    @property
    def _interval_ns(self) -> int:
        return round(SECOND_NS / self._rate)

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until `take` succeeds; 0 means now."""
        self._forgive(now_ns)
        if self._full_at_ns is None:
            return 0
        return max(0, self._full_at_ns - now_ns - (self._burst - 1) * self._interval_ns)

    def take(self, now_ns: int) -> bool:
        """Take the right to send one message now."""
        if self.wait_ns(now_ns) > 0:
            return False
        full_at_ns = now_ns if self._full_at_ns is None else max(now_ns, self._full_at_ns)
        self._full_at_ns = full_at_ns + self._interval_ns
        return True

    def slow_down(self, now_ns: int) -> None:
        """The exchange complained. Complaints within one pause are one complaint."""
        if self._rate < self._rate_max and now_ns - self._slowed_at_ns < self.PAUSE_NS:
            return
        self._slowed_at_ns = now_ns
        self._rate = max(min(self.RATE_MIN, self._rate_max), self._rate / 2)
        self._burst = 1
        self._full_at_ns = now_ns + self.PAUSE_NS

    def _forgive(self, now_ns: int) -> None:
        while self._rate < self._rate_max and now_ns - self._slowed_at_ns >= self.FORGIVE_NS:
            self._slowed_at_ns += self.FORGIVE_NS
            self._rate = min(self._rate_max, self._rate * 2)
            if self._rate == self._rate_max:
                self._burst = self._burst_max


class RetryBudget:
    """How many calls may be made again: one in ten of those of the last minute, so that retries never pile up.

    In every window of a minute with ten calls or more at most a tenth are repeats; a lone call may be repeated once.
    Source: Google SRE, "Handling Overload"; faults.md L08 and S23.

    >>> budget = RetryBudget()
    >>> budget.note_call(0); budget.take(0), budget.take(0)
    (True, False)
    """

    WINDOW_NS = 60 * SECOND_NS

    def __init__(self, ratio: float = 0.1) -> None:
        self._ratio = ratio
        self._calls: deque[int] = deque()
        self._retries: deque[int] = deque()

    def note_call(self, now_ns: int) -> None:
        """Count a call that is no repeat."""
        self._forget(now_ns)
        self._calls.append(now_ns)

    def take(self, now_ns: int) -> bool:
        """Take the right to repeat a call now."""
        self._forget(now_ns)
        if self._ratio <= 0 or len(self._retries) + 1 > max(1, int(self._ratio * len(self._calls))):
            return False
        self._retries.append(now_ns)
        return True

    def _forget(self, now_ns: int) -> None:
        for times in (self._calls, self._retries):
            while times and now_ns - times[0] > self.WINDOW_NS:
                times.popleft()


def retry_wait_s(attempt: int, rng: Random) -> float:
    """Draw the wait before repeat number `attempt`, from 0: full jitter over 0.25 s doubling to 2 s."""
    return rng.uniform(0.0, min(2.0, 0.25 * 2**attempt))


class CircuitBreaker:
    """Stops calls that only fail, and lets one through from time to time to see whether they still do.

    Opens after 5 failures in a row, or when half of 20 or more calls within 10 s failed. Stays open for 1 s, doubling
    to 30 s while probes fail, with up to a tenth more by chance, so that clients do not probe in step. Then one probe
    at a time is let through: its success closes the breaker, its failure opens it again.

    Source: faults.md section 0.

    >>> breaker = CircuitBreaker(Random(1))
    >>> for _ in range(5):
    ...     breaker.failed(0)
    >>> breaker.wait_ns(0) >= SECOND_NS, breaker.wait_ns(2 * SECOND_NS)
    (True, 0)
    """

    IN_A_ROW = 5
    WINDOW_NS = 10 * SECOND_NS
    CALLS_MIN = 20
    OPEN_NS = SECOND_NS
    OPEN_MAX_NS = 30 * SECOND_NS

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._recent: deque[tuple[int, bool]] = deque()
        self._failed_in_a_row = 0
        self._open_ns = 0  # the length of the present opening, 0 while closed
        self._until_ns = 0
        self._is_probing = False

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half-open` while a probe is under way."""
        if not self._open_ns:
            return "closed"
        return "half-open" if self._is_probing else "open"

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until a call may be made; 0 means now."""
        if not self._open_ns:
            return 0
        if self._is_probing:
            return max(self.OPEN_NS, self._until_ns - now_ns)
        return max(0, self._until_ns - now_ns)

    def begin(self) -> None:
        """A call is made; `wait_ns` said 0. Its end is told by `succeeded`, `failed` or `dropped`."""
        self._is_probing = self._open_ns > 0

    def succeeded(self, now_ns: int) -> None:
        """A call was answered."""
        self._failed_in_a_row = 0
        if self._is_probing:
            self._is_probing = False
            self._open_ns = 0
            self._recent.clear()
        self._note(now_ns, is_failure=False)

    def failed(self, now_ns: int) -> None:
        """A call failed."""
        self._failed_in_a_row += 1
        self._note(now_ns, is_failure=True)
        failures = sum(is_failure for _, is_failure in self._recent)
        many = len(self._recent) >= self.CALLS_MIN and 2 * failures >= len(self._recent)
        if self._is_probing or (not self._open_ns and (self._failed_in_a_row >= self.IN_A_ROW or many)):
            self._open(now_ns)

    def dropped(self) -> None:
        """A call ended without telling anything: its caller gave up."""
        self._is_probing = False

    def _open(self, now_ns: int) -> None:
        self._is_probing = False
        self._open_ns = min(self.OPEN_MAX_NS, 2 * self._open_ns) if self._open_ns else self.OPEN_NS
        self._until_ns = now_ns + min(self.OPEN_MAX_NS, round(self._open_ns * self._rng.uniform(1.0, 1.1)))

    def _note(self, now_ns: int, *, is_failure: bool) -> None:
        self._recent.append((now_ns, is_failure))
        while now_ns - self._recent[0][0] > self.WINDOW_NS:
            self._recent.popleft()
