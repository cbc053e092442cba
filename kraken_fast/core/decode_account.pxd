from libc.stdint cimport int64_t

from .defs cimport FAILED, Status
from .stores cimport Stores


cdef Status take_executions(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
cdef Status take_balances(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
