"""What time it is at the exchange, and how sure that is: for the deadlines of orders, whatever the local clock says.

Theory of operation. REST tells whole seconds alone, in `Date` and in `Time`. An answer that says second D, asked for at
monotonic time t0 and here at t1, proves that the exchange's clock minus our monotonic clock lies between D - t1 and
D + 1 s - t0. Each answer gives such an interval, and what is true lies in all of them. A call that is sent so that it
arrives as a second ends there halves the interval, so a few calls suffice to know far more than one of them tells.
With time the interval widens, by as much as two quartz clocks may drift apart.

The base is the monotonic clock: a local wall clock that is wrong, or is set, changes nothing.

Invariant: `error_ns` bounds the error as long as the exchange tells the truth. An answer that contradicts what was
known wins over it: then the older ones, or a clock, were wrong.
"""

from __future__ import annotations

from ..policy import SECOND_NS

DRIFT_PPM = 500
"""Largest rate at which the two clocks drift apart: what NTP slews by at most. Source: faults.md P07; adjtimex(2)."""


class ExchangeTime:
    """Follows the exchange's clock.

    >>> time = ExchangeTime()
    >>> time.note(1_767_225_600 * SECOND_NS, sent_ns=0, recv_ns=100_000_000)
    >>> time.error_ns(100_000_000) / 1e6
    550.0
    >>> (time.now_ns(100_000_000) - 1_767_225_600 * SECOND_NS) / 1e6
    550.0
    """

    def __init__(self) -> None:
        self._low_ns = 0
        self._high_ns = 0
        self._at_ns: int | None = None
        self.samples = 0
        self.contradictions = 0

    @property
    def is_known(self) -> bool:
        """Whether the exchange has told any time yet."""
        return self._at_ns is not None

    def note(self, told_ns: int, *, sent_ns: int, recv_ns: int, resolution_ns: int = SECOND_NS) -> None:
        """Take an answer into account.

        Args:
            told_ns: the exchange's time, ns since epoch, cut down to its resolution.
            sent_ns, recv_ns: monotonic time of request and answer; at some moment between them it was told.
            resolution_ns: of what was told.
        """
        low_ns, high_ns = told_ns - recv_ns, told_ns + resolution_ns - sent_ns
        self.samples += 1
        if self._at_ns is not None:
            before_low_ns, before_high_ns = self._bounds(recv_ns)
            if max(low_ns, before_low_ns) <= min(high_ns, before_high_ns):
                low_ns, high_ns = max(low_ns, before_low_ns), min(high_ns, before_high_ns)
            else:
                self.contradictions += 1
        self._low_ns, self._high_ns, self._at_ns = low_ns, high_ns, recv_ns

    def now_ns(self, monotonic_ns: int) -> int:
        """Give the exchange's time, ns since epoch; `is_known` says whether there is one."""
        low_ns, high_ns = self._bounds(monotonic_ns)
        return monotonic_ns + (low_ns + high_ns) // 2

    def error_ns(self, monotonic_ns: int) -> int:
        """Give the most by which `now_ns` may be wrong."""
        low_ns, high_ns = self._bounds(monotonic_ns)
        return (high_ns - low_ns + 1) // 2

    def halving_wait_ns(self, monotonic_ns: int, round_trip_ns: int) -> int:
        """Give how long to wait so that a call arrives there as a second ends: whichever is told halves the error."""
        arrives_ns = self.now_ns(monotonic_ns) + round_trip_ns // 2
        return -arrives_ns % SECOND_NS

    def _bounds(self, monotonic_ns: int) -> tuple[int, int]:
        assert self._at_ns is not None, "ask is_known first"
        drift_ns = max(0, monotonic_ns - self._at_ns) * DRIFT_PPM // 1_000_000
        return self._low_ns - drift_ns, self._high_ns + drift_ns
