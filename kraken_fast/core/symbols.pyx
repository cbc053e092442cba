# cython: language_level=3, boundscheck=False, wraparound=False, binding=True, auto_pickle=False
"""From a symbol's bytes to its stores, without making a Python string.

Open addressing over the first 16 bytes of the name, compared as two integers; names longer than that are compared
whole. The table holds only what was subscribed to, so a peer cannot fill it.
Bench: benchmarks/bench_decode.py.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp


cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    /* The first 16 bytes of a name, zeros behind its end. Names lie in buffers with 16 readable bytes behind them. */
    static inline void kf_load_name(const char *name, int size, uint64_t out[2]) {
        uint64_t a, b;
        memcpy(&a, name, 8);
        memcpy(&b, name + 8, 8);
        if (size < 8) { a &= ((uint64_t)1 << (8 * size)) - 1; b = 0; }
        else if (size < 16) { b &= ((uint64_t)1 << (8 * (size - 8))) - 1; }
        out[0] = a; out[1] = b;
    }
    """
    void kf_load_name(const char* name, int size, uint64_t* out) noexcept nogil


cdef inline uint32_t _hash(const uint64_t* name) noexcept nogil:
    cdef uint64_t h = (name[0] ^ (name[1] * <uint64_t>0x9E3779B97F4A7C15)) * <uint64_t>0xD6E8FEB86659FD93
    return <uint32_t>(h >> 32)


cdef class Slot:
    """All that one line keeps of one symbol."""

    def __init__(self, str symbol):
        self.symbol = symbol
        self.price_scale = -1
        self.qty_scale = -1


cdef class SymbolTable:
    """The symbols of one line."""

    def __cinit__(self):
        self.slots = []
        self.mask = 63
        self.entries = <Entry*>PyMem_Calloc(self.mask + 1, sizeof(Entry))
        if self.entries is NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_Free(self.entries)

    cdef void* find(self, const char* name, int size) noexcept:
        cdef uint64_t[2] head
        cdef uint32_t place
        cdef Entry* entry
        if size <= 0 or size > SYMBOL_MAX:
            return NULL
        kf_load_name(name, size, head)
        if (self.last.size == size and self.last.name[0] == head[0] and self.last.name[1] == head[1]
                and (size <= 16 or self._whole(self.last.index, name, size))):
            return <void*>self.slots[self.last.index]
        place = _hash(head) & self.mask
        while True:
            entry = &self.entries[place]
            if entry.size == 0:
                return NULL
            if (entry.size == size and entry.name[0] == head[0] and entry.name[1] == head[1]
                    and (size <= 16 or self._whole(entry.index, name, size))):
                self.last = entry[0]
                return <void*>self.slots[entry.index]
            place = (place + 1) & self.mask

    cdef bint _whole(self, int index, const char* name, int size) noexcept:
        cdef bytes known = (<Slot>self.slots[index]).symbol.encode()
        return memcmp(<const char*>known, name, size) == 0

    cdef Slot add(self, str symbol):
        """Give the symbol's slot, a new one if it has none."""
        cdef bytes name = symbol.encode() + b"\0" * 16
        cdef void* known = self.find(name, len(name) - 16)
        cdef Slot slot
        if known is not NULL:
            return <Slot>known
        if not 0 < len(name) - 16 <= SYMBOL_MAX:
            raise ValueError(f"symbol {symbol!r}: must have 1 to {SYMBOL_MAX} bytes")
        slot = Slot(symbol)
        self.slots.append(slot)
        if 2 * len(self.slots) > self.mask:
            self._grow()
        self._insert(len(self.slots) - 1)
        return slot

    cdef void _insert(self, int index) noexcept:
        cdef bytes name = (<Slot>self.slots[index]).symbol.encode() + b"\0" * 16
        cdef Entry entry
        cdef uint32_t place
        entry.size = len(name) - 16
        entry.index = index
        kf_load_name(name, entry.size, entry.name)
        place = _hash(entry.name) & self.mask
        while self.entries[place].size:
            place = (place + 1) & self.mask
        self.entries[place] = entry

    cdef int _grow(self) except -1:
        cdef uint32_t size = 4 * (self.mask + 1)
        cdef Entry* larger = <Entry*>PyMem_Calloc(size, sizeof(Entry))
        cdef int index
        if larger is NULL:
            raise MemoryError()
        PyMem_Free(self.entries)
        self.entries = larger
        self.mask = size - 1
        for index in range(len(self.slots) - 1):
            self._insert(index)
        return 0
