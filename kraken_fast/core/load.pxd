"""Unaligned loads, header only."""

from libc.stdint cimport uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t kf_load8(const char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    """
    uint64_t load8 "kf_load8"(const char* p) noexcept nogil
