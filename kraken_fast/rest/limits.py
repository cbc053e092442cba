"""Kraken's REST limits, kept on our side so that its own are never reached: counters, spacing, and who goes first.

Theory of operation. A *pace* answers one question: how long until a call of this cost may be sent?
`CallCounter` is Kraken's private counter (each call adds its cost, time takes away, above the maximum calls are
refused), `PublicPace` is spacing and a token bucket, for public calls are limited by address and no figure is
published. A *lane* is the queue in front of a pace: the most urgent call goes first, equals in the order in
which they came.

The counter of the exchange rises when a call arrives there, ours when its answer came back: later, so ours is
never below the other, and while a call is under way its cost is reserved. That is why full pace needs no
margin.

Points can be *reserved*: a call that would leave too few of them at the time for which they are wanted waits until
then. What is urgent passes, for it is what they are kept for.

Nothing sleeps here but a lane's timer; every pace is arithmetic on the time that it is given.

Source: rest.md section 4; https://docs.kraken.com/exchange/guides/general/ratelimits; support article 206548367.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..core.clock import Clock
from ..errors import RateLimitError
from ..policy import SECOND_NS
from .catalogue import Priority

_log = logging.getLogger("kraken_fast.limits")


@dataclass(frozen=True, slots=True)
class Tier:
    """Kraken's private REST counter for one verification level."""

    name: str
    points_max: float
    decay_per_s: float


TIERS = {
    "starter": Tier("starter", 15, 0.33),
    "intermediate": Tier("intermediate", 20, 0.5),
    "pro": Tier("pro", 20, 1.0),
}
"""From the lowest. Nothing in REST tells which it is: `maxratecount` of the `executions` channel does."""


RESERVED_AGAIN_NS = SECOND_NS // 10
"""Whoever waits for points that are reserved for now looks again after so long."""


class Pace(Protocol):
    """Says when a call may be sent."""

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """Nanoseconds until a call of this cost may be sent; 0 means now."""
        ...

    def begin(self, cost: float, now_ns: int) -> None:
        """A call is sent."""
        ...

    def end(self, cost: float, now_ns: int) -> None:
        """Its answer came, or will not come."""
        ...

    def refused(self, now_ns: int, retry_after_s: float) -> None:
        """The exchange says that it was too fast."""
        ...


class DecayingPoints:
    """Points that count against a threshold and decay with time: the private counter of REST, the engine's of a pair.

    Those of a call that is under way count whole, and decay from its answer on: so this is never below the exchange's
    own count, which begins when the call arrives there.

    >>> points = DecayingPoints(Tier("some", 60, 1.0))
    >>> points.begin(60); points.end(60, 0)
    >>> points.wait_ns(1, 0), points.wait_ns(1, 2 * SECOND_NS)
    (1000000001, 0)
    """

    __slots__ = ("_level", "_level_ns", "_under_way", "tier")

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._level = 0.0
        self._level_ns = 0
        self._under_way = 0.0

    def level(self, now_ns: int) -> float:
        """Points that count now, calls under way included."""
        decayed = self._level - (now_ns - self._level_ns) * self.tier.decay_per_s / SECOND_NS
        return max(0.0, decayed) + self._under_way

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """Nanoseconds until a call of this cost keeps below the threshold; 0 means now."""
        if self._level + self._under_way + cost <= self.tier.points_max:
            return 0  # even if nothing had decayed
        over = self.level(now_ns) + cost - self.tier.points_max
        # Whole nanoseconds, rounded up: one too early is one too many.
        return int(over * SECOND_NS / self.tier.decay_per_s) + 1 if over > 1e-9 else 0

    def begin(self, cost: float, now_ns: int = 0) -> None:
        """A call is sent."""
        del now_ns
        self._under_way += cost

    def end(self, cost: float, now_ns: int) -> None:
        """Its answer came, or will not come; from now on its points decay."""
        self._under_way = max(0.0, self._under_way - cost)
        self._set(self.level(now_ns) - self._under_way + cost, now_ns)

    def _set(self, level: float, now_ns: int) -> None:
        self._level = level
        self._level_ns = now_ns


class CallCounter(DecayingPoints):
    """The private REST counter of one key; with other `tiers`, the engine's counter of one pair.

    After a refusal the counter counts as full, and nothing is sent for as long as the exchange asked, doubling
    with each further refusal. A second refusal within ten minutes means that the tier is lower than was
    thought: the next lower is assumed until told otherwise.

    >>> counter = CallCounter(TIERS["pro"])
    >>> for _ in range(20):
    ...     counter.begin(1, 0)
    ...     counter.end(1, 0)
    >>> counter.wait_ns(1, 0), counter.wait_ns(0, 0)
    (1000000001, 0)
    """

    PAUSE_S = 5.0
    PAUSE_MAX_S = 900.0
    FORGIVE_NS = 600 * SECOND_NS

    def __init__(self, tier: Tier, *, tiers: Mapping[str, Tier] = TIERS) -> None:
        super().__init__(tier)
        self.refusals = 0
        self.reserved: Sequence[tuple[int, float]] = ()
        """Monotonic times in their order, and the points that will be wanted then."""
        self._tiers = tiers
        self._silent_until_ns = 0
        self._refused_ns = 0

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """See `Pace`. What costs nothing, orders and cancels, never waits."""
        if cost <= 0:
            return 0
        return max(0, self._silent_until_ns - now_ns, super().wait_ns(cost, now_ns))

    def reserved_wait_ns(self, cost: float, now_ns: int) -> int:
        """Nanoseconds until a call leaves what is reserved for others; 0 means now."""
        level, before_ns = self.level(now_ns) + cost, now_ns
        for wanted_ns, points in self.reserved if cost > 0 else ():
            due_ns = max(wanted_ns, now_ns)
            level = max(0.0, level - (due_ns - before_ns) * self.tier.decay_per_s / SECOND_NS) + points
            before_ns = due_ns
            if level > self.tier.points_max:
                return max(due_ns - now_ns, RESERVED_AGAIN_NS)
        return 0

    def refused(self, now_ns: int, retry_after_s: float) -> None:
        """See `Pace`."""
        again = bool(self.refusals) and now_ns - self._refused_ns < self.FORGIVE_NS
        self.refusals = self.refusals + 1 if again else 1
        self._refused_ns = now_ns
        names = list(self._tiers)
        if again and self.tier.name in names[1:]:
            self.tier = self._tiers[names[names.index(self.tier.name) - 1]]
            _log.warning("refused twice: the key's tier is taken to be %s", self.tier.name)
        self._set(self.tier.points_max, now_ns)
        pause_s = max(retry_after_s, min(self.PAUSE_MAX_S, self.PAUSE_S * 2 ** (self.refusals - 1)))
        self._silent_until_ns = max(self._silent_until_ns, now_ns + round(pause_s * SECOND_NS))


class PublicPace:
    """Spacing of public calls: never closer than `spacing_s`, `burst` of them at once, `rate_per_s` in the long run.

    No figure is published. One a second with a small burst is what careful clients keep to; 100 ms, which a
    page of the docs suggests, is too fast for long. A refusal empties the bucket and halves the rate for ten
    minutes.

    >>> pace = PublicPace(rate_per_s=1, burst=2, spacing_s=0.1)
    >>> pace.begin(1, 0), pace.wait_ns(1, 0), pace.begin(1, 100_000_000), pace.wait_ns(1, 100_000_000)
    (None, 100000000, None, 900000000)
    """

    PAUSE_S = 5.0
    PAUSE_MAX_S = 300.0
    FORGIVE_NS = 600 * SECOND_NS

    def __init__(self, *, rate_per_s: float = 1.0, burst: int = 5, spacing_s: float = 0.1) -> None:
        self._interval_ns = round(SECOND_NS / rate_per_s)
        self._burst = burst
        self._spacing_ns = round(spacing_s * SECOND_NS)
        # The bucket as one time: when it will be full. Each call moves it on by one interval.
        self._full_at_ns: int | None = None
        self._next_ns: int | None = None
        self.refusals = 0
        self._refused_ns = 0

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """See `Pace`."""
        del cost
        if self._full_at_ns is None or self._next_ns is None:
            return 0
        if self.refusals and now_ns - self._refused_ns >= self.FORGIVE_NS:
            self.refusals = 0
        bucket_ns = self._full_at_ns - now_ns - (self._allowed - 1) * self._interval
        return max(0, bucket_ns, self._next_ns - now_ns)

    def begin(self, cost: float, now_ns: int) -> None:
        """See `Pace`."""
        del cost
        full_at_ns = now_ns if self._full_at_ns is None else max(now_ns, self._full_at_ns)
        self._full_at_ns = full_at_ns + self._interval
        self._next_ns = now_ns + self._spacing_ns

    def end(self, cost: float, now_ns: int) -> None:
        """See `Pace`."""

    def refused(self, now_ns: int, retry_after_s: float) -> None:
        """See `Pace`."""
        self.refusals += 1
        self._refused_ns = now_ns
        pause_s = max(retry_after_s, min(self.PAUSE_MAX_S, self.PAUSE_S * 2 ** (self.refusals - 1)))
        self._next_ns = self._full_at_ns = now_ns + round(pause_s * SECOND_NS)

    @property
    def _interval(self) -> int:
        return self._interval_ns * (2 if self.refusals else 1)

    @property
    def _allowed(self) -> int:
        return 1 if self.refusals else self._burst


class NoPace:
    """Never waits: for an exchange without limits."""

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """See `Pace`."""
        del cost, now_ns
        return 0

    def begin(self, cost: float, now_ns: int) -> None:
        """See `Pace`."""

    def end(self, cost: float, now_ns: int) -> None:
        """See `Pace`."""

    def refused(self, now_ns: int, retry_after_s: float) -> None:
        """See `Pace`."""


@dataclass(order=True, slots=True)
class _Waiter:
    priority: Priority
    number: int
    cost: float = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class Lane:
    """The queue in front of a pace.

    Args:
        name: shown in errors.
        pace: says when a call may be sent.
        clock: monotonic time.
        parallel: calls under way at once.
        waiting_max: calls in the queue; one more is refused.
        reserved_wait_ns: how long a call that is not urgent has to wait besides; None for not at all.
    """

    def __init__(
        self,
        name: str,
        pace: Pace,
        clock: Clock,
        *,
        parallel: int,
        waiting_max: int = 1000,
        reserved_wait_ns: Callable[[float, int], int] | None = None,
    ) -> None:
        self.name = name
        self.pace = pace
        self._clock = clock
        self._parallel = parallel
        self._waiting_max = waiting_max
        self._reserved_wait_ns = reserved_wait_ns
        self._waiting: list[_Waiter] = []
        self._count = 0
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return sum(not waiter.turn.done() for waiter in self._waiting)

    def wait_s(self, cost: float = 1, priority: Priority = Priority.QUERY) -> float:
        """Seconds that a call of this cost would wait if nothing else did."""
        return self._wait_ns(cost, priority) / SECOND_NS

    def _wait_ns(self, cost: float, priority: Priority) -> int:
        now_ns = self._clock.monotonic_ns
        wait_ns = self.pace.wait_ns(cost, now_ns)
        if self._reserved_wait_ns is None or priority <= Priority.URGENT:
            return wait_ns
        return max(wait_ns, self._reserved_wait_ns(cost, now_ns))

    async def enter(self, priority: Priority, cost: float, *, wait_max_s: float) -> None:
        """Wait for a turn; `leave` has to follow.

        Raises:
            RateLimitError: it would take longer than `wait_max_s`, or the queue is full. Nothing was sent.
        """
        if not self._waiting and self._may_go(cost, priority):
            return
        wait_s = self.wait_s(cost, priority)
        if wait_s > wait_max_s or len(self._waiting) >= self._waiting_max:
            raise self._too_slow(wait_s)
        self._count += 1
        waiter = _Waiter(priority, self._count, cost, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        self._pump()
        try:
            async with asyncio.timeout(wait_max_s):
                await waiter.turn
        except BaseException as error:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.leave(cost)  # the turn and the cancellation came together
            waiter.turn.cancel()
            self._pump()
            if isinstance(error, TimeoutError):
                raise self._too_slow(self.wait_s(cost, priority)) from None
            raise

    def leave(self, cost: float) -> None:
        """End a turn."""
        self._under_way -= 1
        self.pace.end(cost, self._clock.monotonic_ns)
        self._pump()

    def refused(self, retry_after_s: float) -> None:
        """The exchange says that it was too fast."""
        self.pace.refused(self._clock.monotonic_ns, retry_after_s)

    def _may_go(self, cost: float, priority: Priority) -> bool:
        if self._under_way >= self._parallel or self._wait_ns(cost, priority) > 0:
            return False
        self._under_way += 1
        self.pace.begin(cost, self._clock.monotonic_ns)
        return True

    def _pump(self) -> None:
        """Give turns to whoever may go now, and set the timer for the first who may not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            first = self._waiting[0]
            if first.turn.done() or self._may_go(first.cost, first.priority):
                heapq.heappop(self._waiting)
                if not first.turn.done():
                    first.turn.set_result(None)
            else:
                break
        if self._waiting and self._under_way < self._parallel:
            wait_s = self.wait_s(self._waiting[0].cost, self._waiting[0].priority)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._pump)

    def _too_slow(self, wait_s: float) -> RateLimitError:
        error = RateLimitError(
            "EKrakenFast:Not sent", detail=f"{self.name} lane, {self.waiting} waiting", retryable=True
        )
        error.retry_after_s = wait_s
        return error
