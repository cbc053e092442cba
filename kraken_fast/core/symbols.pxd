cimport cython
from libc.stdint cimport int32_t, uint32_t, uint64_t

from .book cimport OrderBook
from .level3 cimport Level3Book
from .market cimport LiveTicker, TradeLog


cdef enum:
    SYMBOL_MAX = 32          # bytes of a symbol


@cython.final
cdef class Slot:
    """All that one line keeps of one symbol."""
    cdef readonly str symbol
    cdef readonly int price_scale      # as the instrument channel says, -1 before it did
    cdef readonly int qty_scale
    cdef OrderBook book                # None until wanted
    cdef Level3Book level3
    cdef LiveTicker ticker
    cdef TradeLog trades
    cdef dict candles                  # interval -> CandleLog


cdef struct Entry:
    uint64_t[2] name         # the first 16 bytes, zeros behind a shorter one
    int32_t size             # 0: free
    int32_t index            # into slots


@cython.final
cdef class SymbolTable:
    cdef list slots
    cdef Entry* entries
    cdef uint32_t mask       # entries - 1, a power of two less one
    cdef Entry last          # nearly every message asks for the symbol of the one before it

    # Borrowed; NULL when not held.
    cdef void* find(self, const char* name, int size) noexcept
    cdef Slot add(self, str symbol)
    cdef void _insert(self, int index) noexcept
    cdef bint _whole(self, int index, const char* name, int size) noexcept
    cdef int _grow(self) except -1
