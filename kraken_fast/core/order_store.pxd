cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from .defs cimport FAILED, Status
from .execution cimport Execution
from .sequenced cimport Sequenced
from .tables cimport EXEC_COUNT


cdef enum OrderState:
    # Their order is that of an order's life: a live one never goes back.
    ORDER_UNKNOWN = 0            # known by its id alone
    ORDER_PENDING_NEW = 1
    ORDER_NEW = 2
    ORDER_PARTIALLY_FILLED = 3
    ORDER_FILLED = 4             # from here on it is over
    ORDER_CANCELED = 5
    ORDER_EXPIRED = 6
    ORDER_STATES = 7


ctypedef PyObject* Teller


@cython.final
cdef class AccountOrder:
    cdef readonly str order_id
    cdef int _state                          # an OrderState
    cdef readonly bint is_missing            # open as far as we heard, and not in the exchange's last snapshot
    cdef uint64_t generation                 # of the snapshot that last named it
    cdef Teller[EXEC_COUNT] tellers          # slot -> Execution, owned: the last report that told it
    cdef list _fills
    cdef dict _folded                        # sums of fills that are kept no more; None as long as all are
    cdef readonly uint64_t fill_count

    cdef Status learn(self, Execution execution) except FAILED
    cdef Execution told_at(self, int slot)               # the last report that told it, or None
    cdef bint has_fill(self, Execution execution) except -1
    cdef Status add_fill(self, Execution execution) except FAILED
    cdef Status _fold(self) except FAILED
    cdef dict _totals(self)
    cdef object _last(self, int slot, str name)


@cython.final
cdef class OrderStore(Sequenced):
    cdef readonly uint64_t copies            # reports that were taken in before
    cdef readonly uint64_t late              # reports that the order's state had already passed
    cdef readonly uint64_t corrections       # closed orders that a snapshot calls open
    cdef readonly uint64_t dropped           # orders beyond the bound
    cdef dict _orders                        # order_id -> AccountOrder: open, missing, and the last closed ones
    cdef dict _by_cl_ord_id
    cdef object _closed                      # deque of order ids, oldest first
    cdef int _closed_max
    cdef object _recent                      # deque of the keys' Executions, for telling copies
    cdef AccountOrder _last                  # the order of the last report
    cdef uint64_t _generation
    cdef readonly int open_count

    # OK, or IGNORED for a copy. `order` is set to the order it belongs to; in_sequence: it cannot be a copy.
    cdef AccountOrder find(self, const char* order_id, int size)
    cdef Status take(self, Execution execution, AccountOrder order, bint in_sequence) except FAILED
    cdef AccountOrder open(self, str order_id)
    cdef void begin_snapshot(self) noexcept
    cdef Status end_snapshot(self) except FAILED
    cdef bint _is_copy(self, Execution execution) except -1
    cdef Status _set_missing(self, AccountOrder order, bint is_missing) except FAILED
    cdef Status _reopen(self, AccountOrder order) except FAILED
    cdef Status _move(self, AccountOrder order, Execution execution) except FAILED
    cdef Status _close(self, AccountOrder order) except FAILED
