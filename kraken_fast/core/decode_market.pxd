from libc.stdint cimport int64_t

from .defs cimport FAILED, Status
from .stores cimport Stores


cdef Status take_book(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
cdef Status take_level3(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
cdef Status take_ticker(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
cdef Status take_trade(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
cdef Status take_ohlc(Stores stores, bint snapshot, int64_t recv_ns) except FAILED
