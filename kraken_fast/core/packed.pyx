# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Immutable records that are made on every message and read now and then: one allocation, Python values on demand.

A row of the scanner is copied with the texts it points to: the values that are there, in the order of their slots, then
those of its small objects, then the texts. A value of the scanner has a size if and only if it has a text. A str or a
Decimal is only made when it is asked for.
Bench: benchmarks/bench_account.py.
"""

from decimal import Decimal

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .defs cimport FAILED, OK, Status
from .fixed cimport SCALE_MAX, fixed_decimal
from .load cimport count_bits, low_bit
from .market cimport value_decimal
from .tables cimport (
    KIND_BOOL, KIND_DECIMAL, KIND_TEXT, KIND_TIME, NUMBER_CUT, NUMBER_WIDE, Item, Record, Row, Table, Value,
)


cdef inline bint _is_held(const Value* value) noexcept nogil:
    """Whether a number is kept as its text, because an int64 does not hold all of it."""
    return value.form & (NUMBER_WIDE | NUMBER_CUT) or value.digits > SCALE_MAX


cdef inline char* _keep(Value* kept, const Value* value, char* end) noexcept nogil:
    """Copy a value, and its text to `end`. SAFE: up to 15 bytes too many are read and written; both sides have them."""
    cdef int done = 0
    kept[0] = value[0]
    if value.size:
        kept.text = end
        while done < value.size:
            memcpy(end + done, value.text + done, 16)
            done += 16
        end += value.size
    return end


cdef str value_text(const Value* value):
    return PyUnicode_DecodeUTF8(value.text, value.size, NULL)


cdef object value_number(const Value* value):
    return value_decimal(value) if _is_held(value) else fixed_decimal(value.num, value.digits)


@cython.freelist(64)
@cython.no_gc                            # what it refers to is older than itself: there are no circles
cdef class Packed:
    """What one row of a message told; immutable.

    Attributes:
        snapshot: whether it came in a snapshot.
        recovered: whether it was found out afterwards (by REST, or by a snapshot after a loss).
    """

    def __dealloc__(self):
        PyMem_Free(self.values)

    @property
    def sequence(self):
        """Number of the message within its subscription; None for what did not come from the stream."""
        return self.number if self.number else None

    cdef Status pack(self, const Record* record, const Item* items, int count, int width) except FAILED:
        cdef Py_ssize_t size = 0
        cdef uint64_t rest = record.seen
        cdef int held = count_bits(rest) + count * width
        cdef Value* kept
        cdef char* end
        cdef int slot, i
        while rest:
            size += record.values[low_bit(rest)].size
            rest &= rest - 1
        for i in range(count):
            for slot in range(width):
                size += items[i].values[slot].size
        self.block = held * sizeof(Value) + size + 16
        self.values = kept = <Value*>PyMem_Malloc(self.block)
        if kept is NULL:
            raise MemoryError()
        end = <char*>(kept + held)       # SAFE: both passes count the same values, so all texts fit behind them
        self.seen = rest = record.seen
        self.item_count = count
        self.value_count = held
        while rest:
            end = _keep(kept, &record.values[low_bit(rest)], end)
            rest &= rest - 1
            kept += 1
        for i in range(count):
            for slot in range(width):
                end = _keep(kept, &items[i].values[slot], end)
                kept += 1
        return OK

    cdef Status copy_from(self, Packed other) except FAILED:
        cdef int i
        self.snapshot = other.snapshot
        self.recovered = other.recovered
        self.number = other.number
        self.seen = other.seen
        self.item_count = other.item_count
        self.given = other.given
        self.origin = other.origin
        if other.values is NULL:
            return OK
        self.block = other.block
        self.values = <Value*>PyMem_Malloc(self.block)
        if self.values is NULL:
            raise MemoryError()
        memcpy(self.values, other.values, self.block)
        self.value_count = other.value_count
        for i in range(self.value_count):
            if self.values[i].size:          # it has a text, at the same place of the block
                self.values[i].text = <char*>self.values + (other.values[i].text - <const char*>other.values)
        return OK

    cdef const Value* value(self, int slot) noexcept:
        if self.values is NULL or not self.seen >> slot & 1:
            return NULL
        return self.values + count_bits(self.seen & ((<uint64_t>1 << slot) - 1))

    cdef const Value* item_value(self, int item, int width, int slot) noexcept:
        return self.values + count_bits(self.seen) + item * width + slot

    cdef object text(self, int slot):
        cdef const Value* value = self.value(slot)
        if value is NULL:
            return None if self.given is None else self.given.get(slot)
        return value_text(value)

    cdef object decimal(self, int slot):
        cdef const Value* value = self.value(slot)
        if value is NULL:
            return None if self.given is None else self.given.get(slot)
        return value_number(value)

    cdef object integer(self, int slot):
        cdef const Value* value = self.value(slot)
        if value is NULL:
            return None if self.given is None else self.given.get(slot)
        return value.num

    cdef object flag(self, int slot):
        cdef const Value* value = self.value(slot)
        if value is NULL:
            return None if self.given is None else self.given.get(slot)
        return value.num == 1

    cdef object time_ns(self, int slot):
        cdef const Value* value = self.value(slot)
        if value is NULL:
            return None if self.given is None else self.given.get(slot)
        return <object>value.num * 1000 + value.digits

    cdef Status give(self, Fields fields, dict told) except FAILED:
        """Fill a record that a caller builds. Raises TypeError or ValueError for what the protocol does not know."""
        if self.values is not NULL or self.given is not None:
            raise TypeError("a record does not change")
        self.given = {}
        for name, value in told.items():
            slot = fields.slots.get(name)
            if slot is None:
                raise TypeError(f"there is no {name!r}")
            if value is not None:
                self.given[slot] = fields.checks[slot](name, value)
                self.seen |= <uint64_t>1 << <int>slot
        return OK

    cdef dict taken(self, Fields fields):
        """Every member that is there, by its name."""
        return {name: getattr(self, name) for name, slot in fields.slots.items() if self.seen >> <int>slot & 1}


cdef class Ring:
    """The last records of many, in the order in which they came."""

    def __cinit__(self, int size):
        self._held = <PyObject**>PyMem_Calloc(size, sizeof(PyObject*))
        if self._held is NULL:
            raise MemoryError()
        self._size = size

    def __dealloc__(self):
        cdef int i
        if self._held is not NULL:
            for i in range(self._size):
                Py_XDECREF(self._held[i])
        PyMem_Free(self._held)

    cdef void add(self, Packed record) noexcept:
        cdef PyObject** place = &self._held[self._added % <uint64_t>self._size]
        cdef PyObject* oldest = place[0]
        Py_INCREF(record)
        place[0] = <PyObject*>record
        self._added += 1
        Py_XDECREF(oldest)

    cdef list records(self):
        cdef uint64_t i
        cdef uint64_t first = 0 if self._added < <uint64_t>self._size else self._added - self._size
        return [<object>self._held[i % <uint64_t>self._size] for i in range(first, self._added)]


# ---------------------------------------------------------------------------------------------- built by hand

def _as_text(name, value):
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a str")
    return str.__str__(value)                # of a subclass too (an enum's member, say): the text alone


def as_decimal(name, value):
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        raise TypeError(f"{name}={value!r}: must be a Decimal or an int")
    if not Decimal(value).is_finite():
        raise ValueError(f"{name}={value!r}: must be finite")
    return Decimal(value)


def as_integer(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: must be an int")
    return value


def _as_flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: must be a bool")
    return value


cdef class Fields:
    """The members of a record by name: their slots, and what a value given for them must be."""

    cdef Status learn(self, const Table* table, dict special) except FAILED:
        cdef const Row* row
        cdef int i
        self.slots = {}
        self.checks = {}
        for i in range(table.count):
            row = &table.rows[i]
            name = row.name[:row.name_size].decode()
            if row.kind == KIND_TIME:
                name += "_ns"
            self.slots[name] = row.slot
            self.checks[row.slot] = special.get(name) or (
                _as_text if row.kind == KIND_TEXT else _as_flag if row.kind == KIND_BOOL
                else as_decimal if row.kind == KIND_DECIMAL else as_integer
            )
        return OK
