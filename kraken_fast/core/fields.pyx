# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Scanned values as Python objects: what the decoders of all channels share."""

import json
import sys
from decimal import Decimal

from .market cimport NUMBER_HELD, Number, number_decimal, set_number, value_decimal
from .tables cimport Record, Value


cdef str text_of(const Value* value):
    return value.text[:value.size].decode()


cdef object opt_text(const Record* record, int slot):
    return text_of(&record.values[slot]) if record.seen >> slot & 1 else None


cdef object word_of(const Record* record, int slot):
    """A string that many records share, once."""
    return sys.intern(text_of(&record.values[slot]))


cdef object opt_decimal(const Record* record, int slot, dict known):
    """A number's Decimal, None if it was not sent. `known` holds those of this message: steps and minimums repeat."""
    cdef Number number
    if not record.seen >> slot & 1:
        return None
    set_number(&number, &record.values[slot], True)
    if number.form == NUMBER_HELD:
        return value_decimal(&record.values[slot])
    key = (number.mantissa, number.digits)
    made = known.get(key)
    if made is None:
        made = known[key] = number_decimal(&number, None, 0)
    return made


cdef object opt_json(const Record* record, int slot):
    cdef const Value* value = &record.values[slot]
    return json.loads(value.text[:value.size], parse_float=Decimal) if record.seen >> slot & 1 else None


cdef bint flag_of(const Record* record, int slot) noexcept:
    return record.seen >> slot & 1 and record.values[slot].num == 1


cdef object opt_time(const Record* record, int slot):
    cdef const Value* value = &record.values[slot]
    return <object>value.num * 1000 + value.digits if record.seen >> slot & 1 else None
