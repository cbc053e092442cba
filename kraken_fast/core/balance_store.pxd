cimport cython
from libc.stdint cimport uint64_t

from .defs cimport FAILED, Status
from .packed cimport Packed
from .sequenced cimport Sequenced
from .tables cimport Item, Record


@cython.final
cdef class BalanceUpdate(Packed):
    pass


@cython.final
cdef class AssetBalance:
    cdef str asset
    cdef BalanceUpdate last
    cdef dict wallets            # (type, id) -> Decimal, as of the row before the first pending one
    cdef list pending            # rows since

    cdef Status settle(self) except FAILED


@cython.final
cdef class BalanceStore(Sequenced):
    cdef readonly uint64_t copies
    cdef readonly uint64_t dropped
    cdef dict _assets            # asset -> AssetBalance
    cdef object _entries         # deque of BalanceUpdate, oldest first
    cdef AssetBalance _last      # of the last row

    # OK, or IGNORED for a copy; in_sequence: it cannot be one.
    cdef Status take(self, BalanceUpdate update, bint in_sequence) except FAILED
    cdef AssetBalance _find(self, BalanceUpdate update)
    cdef bint _is_copy(self, BalanceUpdate update) except -1
    cdef Status begin_snapshot(self) except FAILED


cdef BalanceUpdate new_balance_update(const Record* row, const Item* items, bint snapshot, uint64_t sequence)
