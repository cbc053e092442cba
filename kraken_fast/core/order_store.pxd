cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from .defs cimport FAILED, Status
from .execution cimport Execution
from .packed cimport Borrowed, Ring
from .sequenced cimport Sequenced


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

cdef enum:
    ORDERS_NEAR = 64             # orders that are tried first


cdef struct Teller:
    # A report, owned, and the members that it was the last to tell.
    PyObject* report
    uint64_t slots


@cython.final
cdef class AccountOrder:
    cdef readonly str order_id
    cdef int _state                          # an OrderState
    cdef readonly bint is_missing            # open as far as we heard, and not in the exchange's last snapshot
    cdef uint64_t generation                 # of the snapshot that last named it
    cdef Teller* tellers                     # no slot stands in two of them
    cdef int teller_count
    cdef int teller_capacity
    cdef uint64_t all_told                   # slots that any of them told
    cdef str client                          # its first cl_ord_id
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
    cdef Ring _recent                        # reports, for telling copies
    cdef Borrowed[ORDERS_NEAR] _near               # orders of the last reports, by a hash of their ids
    cdef uint64_t _generation
    cdef readonly int open_count

    # The order of this id, a new one if there is none; None if there are too many.
    cdef AccountOrder named(self, const char* order_id, int size)
    # OK, or IGNORED for a copy; in_sequence: it cannot be a copy.
    cdef Status take(self, Execution execution, AccountOrder order, bint in_sequence) except FAILED
    cdef AccountOrder open(self, str order_id)
    cdef void begin_snapshot(self) noexcept
    cdef Status end_snapshot(self) except FAILED
    cdef bint _is_copy(self, Execution execution) except -1
    cdef Status _set_missing(self, AccountOrder order, bint is_missing) except FAILED
    cdef Status _reopen(self, AccountOrder order) except FAILED
    cdef Status _move(self, AccountOrder order, Execution execution, int event) except FAILED
    cdef Status _close(self, AccountOrder order) except FAILED
    cdef Status _forget(self, AccountOrder order) except FAILED
