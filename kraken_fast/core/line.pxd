cimport cython
from libc.stdint cimport int64_t, uint32_t

from .clock cimport Clock


@cython.final
cdef class Line:
    """What all stores of one connection share: its clock, its epoch and when it was last heard."""
    cdef readonly Clock clock
    cdef readonly str name
    cdef int64_t heard_ns          # arrival of the last whole text message, monotonic; 0 before the first
    cdef int64_t suspect_ns        # silence after which nothing of this line is called live
    cdef readonly uint32_t epoch   # connections so far; what an older one sent is never applied

    cdef bint is_fresh(self) noexcept
