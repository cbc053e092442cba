# cython: language_level=3, binding=True, auto_pickle=False
"""One live connection, as its stores see it."""

from libc.stdint cimport int64_t

from .clock cimport Clock, SystemClock


cdef class Line:
    """What all stores of one connection share: its clock, its epoch and when it was last heard.

    Args:
        clock: source of monotonic time.
        name: for people and logs.
        suspect_ns: silence after which values of this line are stale; the exchange sends a heartbeat a second.
    """

    def __init__(self, Clock clock=None, *, str name="A", int64_t suspect_ns=1_500_000_000):
        self.clock = SystemClock() if clock is None else clock
        self.name = name
        self.suspect_ns = suspect_ns

    cdef bint is_fresh(self) noexcept:
        return self.heard_ns != 0 and self.clock.now_ns() - self.heard_ns <= self.suspect_ns

    @property
    def last_heard_ns(self):
        """Monotonic arrival time of the last whole text message, None before the first."""
        return self.heard_ns if self.heard_ns else None
