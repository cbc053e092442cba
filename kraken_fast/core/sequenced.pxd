from libc.stdint cimport int64_t, uint64_t

from .line cimport Line


cdef class Sequenced:
    cdef readonly Line line
    cdef readonly str channel
    cdef readonly uint64_t messages      # taken in
    cdef readonly uint64_t gaps          # messages whose number was not the next one, and those not understood
    cdef uint64_t next_number            # 0: nothing of this connection came yet
    cdef int64_t changed_ns              # arrival of the last message
    cdef bint _live

    # Whether the message with this number is the next; else the store is not live until the next snapshot.
    cdef bint follows(self, bint snapshot, uint64_t number, int64_t recv_ns) noexcept
    cdef void lose(self) noexcept
    cdef void begin_epoch(self) noexcept
