# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, auto_pickle=False
"""Clocks: time is passed in, so that the same code runs on the system's time and on a simulation's."""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline int64_t _read(int which) noexcept:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t>t.tv_sec * 1_000_000_000 + t.tv_nsec


cdef class Clock:
    """Base of all clocks; stands still at 0."""

    cdef int64_t now_ns(self) noexcept:
        return 0

    cdef int64_t wall_ns(self) noexcept:
        return 0

    @property
    def monotonic_ns(self):
        """Monotonic time in nanoseconds; never steps back."""
        return self.now_ns()

    @property
    def epoch_ns(self):
        """Wall time in nanoseconds since 1970-01-01 UTC; may step."""
        return self.wall_ns()


cdef class SystemClock(Clock):
    """The clock of the operating system. Cost: one vDSO call, about 25 ns."""

    cdef int64_t now_ns(self) noexcept:
        return _read(CLOCK_MONOTONIC)

    cdef int64_t wall_ns(self) noexcept:
        return _read(CLOCK_REALTIME)


cdef class ManualClock(Clock):
    """A clock that moves only when told to.

    >>> clock = ManualClock(monotonic_ns=5)
    >>> clock.advance(10)
    >>> clock.monotonic_ns
    15
    """

    def __init__(self, *, int64_t monotonic_ns=0, int64_t epoch_ns=0):
        self._now_ns = monotonic_ns
        self._wall_ns = epoch_ns

    cdef int64_t now_ns(self) noexcept:
        return self._now_ns

    cdef int64_t wall_ns(self) noexcept:
        return self._wall_ns

    def advance(self, int64_t delta_ns):
        """Move both times forward by `delta_ns`, which must not be negative."""
        if delta_ns < 0:
            raise ValueError(f"delta_ns={delta_ns}: monotonic time never steps back; use step_wall()")
        self._now_ns += delta_ns
        self._wall_ns += delta_ns

    def step_wall(self, int64_t delta_ns):
        """Step wall time alone, in either direction."""
        self._wall_ns += delta_ns
