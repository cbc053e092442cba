cimport cython
from libc.stdint cimport uint64_t

from .packed cimport Packed
from .tables cimport Item, Record


@cython.final
cdef class Execution(Packed):
    cdef object _joined(self, int slot)
    cdef object _nested(self, int slot)


cdef Execution new_execution(
    Record* row, const Item* items, bint snapshot, uint64_t sequence, Execution origin,
)
# triggers or contingent from their text; raises ValueError or ArithmeticError when it is not what it should be.
cdef object nested(int slot, str text)
cdef int slot_of(str name)           # of a member, -1 for what is none
