"""The exchange's time, from its own answers: deadlines are written in it, whatever our clock says.

Theory of operation. An answer carries when the exchange received the request and when it sent the answer. With our
monotonic times of both, the offset between its clock and our monotonic one lies within half the travel time; of the
samples of the last minutes the one that travelled least is the best. Our wall clock is not asked, so its steps and
errors change nothing.

Source: RFC 5905 section 8, the clock filter; faults.md A11.
"""

from __future__ import annotations

from collections import deque

from .errors import OrderBlockedError

SAMPLES_MAX = 16
DRIFT_PPM = 100
"""What two clocks may part in a second is added to a sample's error as it ages."""

TRAVEL_MAX_NS = 2_000_000_000
"""A sample that travelled longer says too little."""


class ExchangeClock:
    """Knows the exchange's time within an error that it tells.

    >>> clock = ExchangeClock()
    >>> clock.note(sent_ns=0, time_in_ns=5_000_000_010, time_out_ns=5_000_000_030, got_ns=40)
    >>> clock.epoch_ns(100), clock.error_ns(100)
    (5000000100, 10)
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=SAMPLES_MAX)
        self._best: tuple[int, int, int] | None = None

    @property
    def is_known(self) -> bool:
        """Whether any answer has come yet."""
        return self._best is not None

    def note(self, *, sent_ns: int, time_in_ns: int, time_out_ns: int, got_ns: int) -> None:
        """Learn from an answer: our monotonic times of request and answer, the exchange's wall times between."""
        travel_ns = (got_ns - sent_ns) - (time_out_ns - time_in_ns)
        if not 0 <= travel_ns <= TRAVEL_MAX_NS:
            return
        offset_ns = (time_in_ns + time_out_ns - sent_ns - got_ns) // 2
        self._samples.append((got_ns, offset_ns, travel_ns // 2))
        self._best = min(self._samples, key=lambda sample: _error_ns(sample, got_ns))

    def forget(self) -> None:
        """Start anew: the monotonic clock stood still, as in a machine that slept."""
        self._samples.clear()
        self._best = None

    def epoch_ns(self, now_ns: int) -> int:
        """Give the exchange's time at a monotonic time of ours, ns since epoch.

        Raises:
            OrderBlockedError: nothing is known yet.
        """
        if self._best is None:
            raise OrderBlockedError("the exchange's time is not known yet, and a deadline needs it")
        return now_ns + self._best[1]

    def monotonic_ns(self, epoch_ns: int) -> int:
        """Give our monotonic time of a time of the exchange. Raises as `epoch_ns`."""
        return epoch_ns - self.epoch_ns(0)

    def error_ns(self, now_ns: int) -> int:
        """Bound the error of `epoch_ns`. Raises as `epoch_ns`."""
        self.epoch_ns(now_ns)
        assert self._best is not None
        return _error_ns(self._best, now_ns)


def _error_ns(sample: tuple[int, int, int], now_ns: int) -> int:
    at_ns, _, half_travel_ns = sample
    return half_travel_ns + (now_ns - at_ns) * DRIFT_PPM // 1_000_000
