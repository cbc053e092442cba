from libc.stdint cimport INT64_MIN
from libc.string cimport memcmp

from .book cimport Stamp
from .tables cimport Record, Value


cdef str text_of(const Value* value)
# What was not sent, or sent as null, is None.
cdef object opt_text(const Record* record, int slot)
cdef object opt_decimal(const Record* record, int slot, dict known)
cdef object opt_json(const Record* record, int slot)
cdef object opt_time(const Record* record, int slot)     # ns since epoch
cdef object word_of(const Record* record, int slot)
cdef bint flag_of(const Record* record, int slot) noexcept


cdef inline bint is_text(const Value* value, const char* text, int size) noexcept:
    return value.size == size and memcmp(value.text, text, size) == 0


cdef inline Stamp stamp_of(const Record* record, int slot) noexcept:
    cdef Stamp stamp
    stamp.us = INT64_MIN
    stamp.ns = 0
    if record.seen >> slot & 1:
        stamp.us = record.values[slot].num
        stamp.ns = record.values[slot].digits
    return stamp
