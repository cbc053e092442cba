from libc.stdint cimport int64_t


cdef class Clock:
    """Where time comes from. Monotonic nanoseconds for ages and timers, wall nanoseconds for what people read."""
    cdef int64_t now_ns(self) noexcept
    cdef int64_t wall_ns(self) noexcept


cdef class SystemClock(Clock):
    pass


cdef class ManualClock(Clock):
    cdef int64_t _now_ns
    cdef int64_t _wall_ns
