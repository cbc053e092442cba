cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .book cimport RawLevel
from .defs cimport Channel, Status
from .grammar cimport Fault
from .rfc3339 cimport DateCache
from .tables cimport Item, Record, Row, Table, Value


cdef enum:
    OPENING_MAX = 64                # bytes of a message's beginning that are remembered
    PATHS = 2048                    # places for what followed a path


@cython.final
cdef class Scanner:
    # The result of the last scan; pointers in it die with the message.
    cdef Channel channel
    cdef Record head
    cdef Record* records
    cdef int record_count
    cdef RawLevel* levels
    cdef int level_count
    cdef Item* items
    cdef int item_count
    cdef Fault fault               # after REFUSED

    cdef const Table* _head
    cdef const Table* _level
    cdef const Table** _row_tables
    cdef uint32_t _any_digits      # of all levels' digits_of(): bits that any has, bits that all have
    cdef uint32_t _all_digits
    cdef int _record_capacity
    cdef int _level_capacity
    cdef int _item_capacity
    cdef char* _unescaped
    cdef Py_ssize_t _unescaped_size
    cdef Py_ssize_t _unescaped_capacity
    cdef const char* _data_later
    cdef const Row* _row           # whose key `_key` read last; NULL at an object's end
    cdef char[OPENING_MAX] _opening    # how the message before began, channel and type included
    cdef Py_ssize_t _opening_size
    cdef Channel _opening_channel
    cdef const char* _opened       # where it lay; NULL if it began otherwise
    cdef bint _null                # the value read last was null
    cdef uint8_t[PATHS] _next      # row that came last behind a path of keys, by a hash of the path
    cdef DateCache _dates

    # message: size bytes, NUL-terminated, with 64 readable bytes behind the NUL.
    cdef Status scan(self, const char* message, Py_ssize_t size) noexcept
    # digits_of() that all levels have in common, -1 if they differ.
    cdef int64_t level_digits(self) noexcept
    cdef void shrink(self) noexcept

    cdef const char* _object(self, const char* p, const Table* table, Record* record) noexcept
    cdef const char* _members(
        self, const char* p, const Table* table, Record* record, uint32_t path, uint64_t named,
    ) noexcept
    cdef void _learn_opening(self, const char* message) noexcept
    cdef const char* _key(self, const char* p, const Table* table, bint first) noexcept
    cdef const char* _value(self, const char* p, const Row* row, Value* value) noexcept
    cdef const char* _amount(self, const char* p, Value* value) noexcept
    cdef const char* _text(self, const char* p, Value* value) noexcept
    cdef const char* _unescape(self, const char* p, Value* value) noexcept
    cdef const char* _escaped_time(self, const char* p, Value* value) noexcept
    cdef const char* _levels_list(self, const char* p, Value* value) noexcept
    cdef bint _more_levels(self, const char* p) noexcept
    cdef const char* _items(self, const char* p, const Table* table, Value* value) noexcept
    cdef const char* _any_level(self, const char* p, RawLevel* level) noexcept
    cdef const char* _rows(self, const char* p, const Table* table, Value* value) noexcept
    cdef const char* _data(self, const char* p) noexcept
    cdef bint _reserve_unescaped(self, Py_ssize_t size) noexcept
