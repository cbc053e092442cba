cimport cython
from libc.stdint cimport int64_t, uint64_t


cdef enum:
    BUCKETS = 976            # 61 powers of two of 16 steps each


@cython.final
cdef class Histogram:
    cdef uint64_t[BUCKETS] counts
    cdef readonly uint64_t count
    cdef readonly int64_t max_ns
    cdef double _sum_ns                # of int64 the sum may be none; a mean needs no more than 53 bits

    cdef void add(self, int64_t ns) noexcept
