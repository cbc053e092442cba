cimport cython
from libc.stdint cimport int64_t

from .defs cimport FAILED, Status
from .stores cimport Stores


@cython.final
cdef class Decoder(Stores):
    cdef bint busy                             # telling a handler about the message in the buffer

    cdef Status understand(self, int64_t recv_ns) except FAILED
