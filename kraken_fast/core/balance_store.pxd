cimport cython
from libc.stdint cimport int64_t, uint64_t

from .defs cimport FAILED, Status
from .packed cimport Borrowed, Packed, Ring
from .sequenced cimport Sequenced
from .tables cimport Item, Record


cdef enum:
    ASSETS_NEAR = 16         # assets that are tried first


@cython.final
cdef class BalanceUpdate(Packed):
    pass


@cython.final
cdef class AssetBalance:
    cdef uint64_t head           # its name as one integer, 0 if it is longer than eight bytes
    cdef BalanceUpdate last
    cdef dict wallets            # (type, id) -> Decimal, without the run; None: those that `listed` lists
    cdef BalanceUpdate listed
    cdef BalanceUpdate run       # first of a run of entries of one wallet; None: there is none
    cdef int64_t total           # of the run, amounts less fees
    cdef int digits              # its decimals, -1 before the first

    cdef Status take(self, BalanceUpdate update) except FAILED
    cdef bint _add(self, BalanceUpdate update) noexcept
    cdef Status _move(self, BalanceUpdate of, object change) except FAILED
    cdef Status settle(self) except FAILED


@cython.final
cdef class BalanceStore(Sequenced):
    cdef readonly uint64_t copies
    cdef readonly uint64_t dropped
    cdef dict _assets            # asset -> AssetBalance
    cdef Ring _entries           # ledger entries
    cdef Borrowed[ASSETS_NEAR] _near   # assets of the last rows, by a hash of their names

    # OK, or IGNORED for a copy; in_sequence: it cannot be one.
    cdef Status take(self, BalanceUpdate update, bint in_sequence) except FAILED
    cdef AssetBalance _find(self, BalanceUpdate update)
    cdef bint _is_copy(self, BalanceUpdate update) except -1
    cdef Status begin_snapshot(self) except FAILED


cdef BalanceUpdate new_balance_update(Record* row, const Item* items, bint snapshot, uint64_t sequence)
