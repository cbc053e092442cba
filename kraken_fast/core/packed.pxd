cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from .defs cimport FAILED, Status
from .tables cimport Item, Record, Table, Value


ctypedef PyObject* Borrowed          # a reference that is not counted


cdef class Fields:
    cdef dict slots          # name -> slot
    cdef dict checks         # slot -> (name, value) -> the value to keep

    # special: name -> check, for what the kind of a row does not tell.
    cdef Status learn(self, const Table* table, dict special) except FAILED


cdef class Packed:
    cdef readonly bint snapshot      # of a snapshot, not an update
    cdef readonly bint recovered     # found out afterwards, not heard when it happened
    cdef uint64_t number             # the message's sequence; 0: none
    cdef uint64_t seen               # slots that hold a value
    cdef Py_ssize_t block            # bytes at `values`
    cdef Value* values               # of these slots, in their order; then those of the items
    cdef int value_count             # at `values`, those of the items included
    cdef int item_count
    cdef Packed origin               # told what never changes in an order's life; None: nobody but this one
    cdef dict given                  # slot -> object, of one that a caller built; else None

    # Take over a scanned row: `items` are `count` small objects of `width` slots each, all present.
    cdef Status pack(self, const Record* record, const Item* items, int count, int width) except FAILED
    cdef Status copy_from(self, Packed other) except FAILED
    cdef const Value* value(self, int slot) noexcept         # NULL when absent, or given
    cdef const Value* item_value(self, int item, int width, int slot) noexcept
    cdef object text(self, int slot)
    cdef object decimal(self, int slot)
    cdef object integer(self, int slot)
    cdef object flag(self, int slot)
    cdef object time_ns(self, int slot)
    cdef Status give(self, Fields fields, dict told) except FAILED
    cdef dict taken(self, Fields fields)


@cython.final
cdef class Ring:
    """The last records of many."""
    cdef PyObject** _held    # owned
    cdef int _size
    cdef uint64_t _added

    cdef void add(self, Packed record) noexcept
    cdef list records(self)              # oldest first


cdef str value_text(const Value* value)
cdef object value_number(const Value* value)
