# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""The scanner: one loop over JSON, driven by one table per kind of object.

Theory. A table lists an object's keys. At each key the *expected* row is tried first, by one or two masked 8-byte
compares: the one that came last behind the same path, which is the keys of the object so far (`_next`, by a hash of
them). Messages come in a few shapes, so each shape is guessed right from where it parts from the others. On a miss the
key is read properly (white space, escapes) and looked up by the hash of its name, and what the table does not know is
checked and skipped. Nothing about order is assumed and everything is checked, so the same loop is the fast path and
the general one. A new channel is a new table.

Scanning is pure: it fills records and touches no store. The whole text must be one JSON value with nothing behind it;
duplicate keys, missing required keys, nesting beyond DEPTH_MAX and counts beyond their bounds are refused. One
leniency: `123.` is taken as a number, because pairs without decimals may be written so.

Functions take the place in the text and return the place behind what they read, or NULL after `fail`.

SAFE, once for all: the text ends in a NUL, no state accepts a NUL, so no loop passes the end; compares read at most 24
bytes beyond the place they stand at, and 64 readable bytes lie behind the NUL.

Bench: benchmarks/bench_decode.py.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove

from .book cimport RawLevel, digits_of
from .defs cimport CHANNEL_INSTRUMENT, CHANNEL_UNKNOWN, OK, REFUSED, Status
from .grammar cimport fail, hex4, number, past_space, simple_escape, skip, uint, write_utf8
from .load cimport load8
from .plain cimport plain_number, plain_text, plain_uint
from .rfc3339 cimport plain_time, rfc3339
from .tables cimport (
    HEAD_CHANNEL, HEAD_TYPE, KIND_AMOUNT, KIND_BOOL, KIND_CHANNEL, KIND_CHECKSUM, KIND_COUNT, KIND_DATA,
    KIND_DECIMAL, KIND_ITEMS, KIND_LEVELS, KIND_ROWS, KIND_TEXT, KIND_TIME, KIND_UINT, NUMBER_WIDE, Item, Record, Row,
    Table, Value, channel_named, head_table, instrument_table, level_table, row_named, row_tables,
)


cdef enum:
    LEVELS_MAX = 10_000          # a snapshot of depth 1,000 has 2,000
    RECORDS_MAX = 20_000         # an instrument snapshot has about 1,700
    ITEMS_MAX = 100_000          # orders of a level-3 snapshot of depth 1,000
    TEXT_MAX = 4_096             # bytes of one string that we keep


# ---------------------------------------------------------------------------------------------- small steps

cdef inline bint _matches(const Row* row, const char* p) noexcept nogil:
    if (load8(p) & row.mask[0]) != row.key[0]:
        return False
    if row.key_size <= 8:
        return True
    if (load8(p + 8) & row.mask[1]) != row.key[1]:
        return False
    if row.key_size <= 16:
        return True
    return (memcmp(p + 1, row.name, row.name_size) == 0
            and p[row.name_size + 1] == c'"' and p[row.name_size + 2] == c':')


cdef inline const char* _plain_level(const char* p, const Table* table, RawLevel* level) noexcept nogil:
    """A level as the exchange usually writes it, `{"price":1.0,"qty":2.0}`; NULL for any other writing."""
    cdef int digits
    if p[0] != c'{' or not _matches(&table.rows[0], p + 1):
        return NULL
    p = plain_number(p + 1 + table.rows[0].key_size, &level.price, &digits)
    if p is NULL or p[0] != c',' or not _matches(&table.rows[1], p + 1):
        return NULL
    level.price_digits = digits
    p = plain_number(p + 1 + table.rows[1].key_size, &level.qty, &digits)
    if p is NULL or p[0] != c'}':
        return NULL
    level.qty_digits = digits
    return p + 1


cdef inline const char* _ended(const char* p) noexcept nogil:
    """The place behind a number if the number ends there, as far as a comma or a closing brace tells."""
    return p if p is not NULL and (p[0] == c',' or p[0] == c'}') else NULL


cdef inline const char* _usual(Scanner self, const char* p, const Row* row, Value* value) noexcept:
    """A value in its usual writing; NULL after `fail`, or for any other writing, which `_value` reads or refuses."""
    cdef int digits
    cdef int kind = row.kind
    cdef bint negative
    value.size = 0                           # but of what is kept as text
    if kind == KIND_AMOUNT or kind == KIND_DECIMAL:
        negative = kind == KIND_DECIMAL and p[0] == c'-'
        p = _ended(plain_number(p + negative, &value.num, &digits))
        value.digits = digits
        value.form = 0
        if negative:
            value.num = -value.num
    elif kind == KIND_LEVELS:
        p = self._levels_list(p, value)
    elif kind == KIND_TEXT:
        p = plain_text(p, value)
    elif kind == KIND_TIME:
        p = plain_time(p, value, &self._dates)
    elif kind == KIND_CHECKSUM or kind == KIND_COUNT or kind == KIND_UINT:
        p = _ended(plain_uint(p, &value.num))
        if kind == KIND_CHECKSUM and value.num > <int64_t>0xFFFFFFFF:
            return NULL
    elif kind == KIND_CHANNEL:
        p = plain_text(p, value)
        if p is not NULL:
            self.channel = channel_named(value.text, value.size)
    elif kind == KIND_DATA:
        p = self._data(p)
    elif kind == KIND_ITEMS and p[0] == c'[':
        p = self._items(p, row.table, value)
    else:
        return NULL
    return p


# ---------------------------------------------------------------------------------------------- the scanner

cdef class Scanner:
    """Reads one message at a time; owned by one decoder, since its result lives in it."""

    def __dealloc__(self):
        PyMem_Free(self.records)
        PyMem_Free(self.levels)
        PyMem_Free(self.items)
        PyMem_Free(self._unescaped)

    def __init__(self):
        self._head = head_table()
        self._level = level_table()
        self._row_tables = row_tables()
        self._record_capacity = 4
        self.records = <Record*>PyMem_Malloc(self._record_capacity * sizeof(Record))
        self._level_capacity = 64
        self.levels = <RawLevel*>PyMem_Malloc(self._level_capacity * sizeof(RawLevel))
        self._item_capacity = 8
        self.items = <Item*>PyMem_Malloc(self._item_capacity * sizeof(Item))
        if self.records is NULL or self.levels is NULL or self.items is NULL:
            raise MemoryError()

    cdef Status scan(self, const char* message, Py_ssize_t size) noexcept:
        cdef const char* p
        self.channel = CHANNEL_UNKNOWN
        self.record_count = 0
        self.level_count = 0
        self._any_digits = 0
        self._all_digits = <uint32_t>-1
        self.item_count = 0
        self._unescaped_size = 0
        self._data_later = NULL
        self.fault.reason = NULL
        if message == self._opened and memcmp(message, self._opening, self._opening_size) == 0:
            self.channel = self._opening_channel
            p = self._members(
                message + self._opening_size, self._head, &self.head, self._head.seed + 1,
                1 << HEAD_CHANNEL | 1 << HEAD_TYPE,
            )
        else:
            self._opened = NULL
            p = self._object(message, self._head, &self.head)
            if p is not NULL:
                self._learn_opening(message)
        if p is NULL:
            return REFUSED
        if p - message != size:
            p = past_space(p)
            if p - message != size:
                fail(&self.fault, p, b"more text behind the message")
                return REFUSED
        if self._data_later is not NULL and self.channel != CHANNEL_UNKNOWN:
            if self._data(self._data_later) is NULL:      # data came before channel
                return REFUSED
        return OK

    cdef void _learn_opening(self, const char* message) noexcept:
        """Remember how the message began, up to the comma behind its type, for the next that begins in the same way.

        Messages of a channel do: to compare these 34 bytes is quicker than to read them (bench_decode). Channel
        and type, as they were read here, then stand in `head` still, since messages come in one buffer.
        """
        cdef const Value* channel = &self.head.values[HEAD_CHANNEL]
        cdef const Value* kind = &self.head.values[HEAD_TYPE]
        if (self.channel == CHANNEL_UNKNOWN or ~self.head.seen & (1 << HEAD_CHANNEL | 1 << HEAD_TYPE)
                or channel.text != message + 12                            # {"channel":"
                or kind.text != channel.text + channel.size + 10           # ","type":"
                or kind.text[kind.size + 1] != c','):
            return
        self._opening_size = kind.text + kind.size + 2 - message
        if self._opening_size <= OPENING_MAX:
            memcpy(self._opening, message, self._opening_size)
            self._opening_channel = self.channel
            self._opened = message

    cdef int64_t level_digits(self) noexcept:
        return self._any_digits if self._any_digits == self._all_digits else -1

    cdef void shrink(self) noexcept:
        """Give back what an unusually large message took, so that a line rests at a few KB."""
        cdef void* smaller                   # NULL where memory is short: it stays as large as it is then
        if self._record_capacity > 64:
            smaller = PyMem_Realloc(self.records, 4 * sizeof(Record))
            if smaller is not NULL:
                self.records = <Record*>smaller
                self._record_capacity = 4
            self.record_count = 0
        if self._level_capacity > 4096:
            smaller = PyMem_Realloc(self.levels, 64 * sizeof(RawLevel))
            if smaller is not NULL:
                self.levels = <RawLevel*>smaller
                self._level_capacity = 64
            self.level_count = 0
        if self._item_capacity > 1024:
            smaller = PyMem_Realloc(self.items, 8 * sizeof(Item))
            if smaller is not NULL:
                self.items = <Item*>smaller
                self._item_capacity = 8
            self.item_count = 0
        if self._unescaped_capacity > 65_536:
            PyMem_Free(self._unescaped)
            self._unescaped = NULL
            self._unescaped_capacity = 0

    cdef const char* _object(self, const char* p, const Table* table, Record* record) noexcept:
        record.table = table
        if p[0] != c'{':
            p = past_space(p)
            if p[0] != c'{':
                return fail(&self.fault, p, b"an object was expected")
        return self._members(p + 1, table, record, table.seed, 0)

    cdef const char* _members(
        self, const char* p, const Table* table, Record* record, uint32_t path, uint64_t named,
    ) noexcept:
        """An object from a key on, reached by `path`; the keys in `named` were read before."""
        cdef uint64_t empty = 0
        cdef const char* end
        cdef const Row* row
        while True:
            path %= PATHS
            row = &table.rows[self._next[path]]        # SAFE: every table has ROWS_MAX + 1 rows
            if _matches(row, p):
                p += row.key_size
            else:
                p = self._key(p, table, named == 0)
                if p is NULL:
                    return NULL
                row = self._row
                if row is NULL:                              # the object ends here
                    break
                self._next[path] = <uint8_t>(row - &table.rows[0])
            if named & row.bit:
                return fail(&self.fault, p, b"a key comes twice")
            named |= row.bit
            end = _usual(self, p, row, &record.values[row.slot])
            if end is NULL:
                if self.fault.reason is not NULL:
                    return NULL
                end = self._value(p, row, &record.values[row.slot])
                if end is NULL:
                    return NULL
                if self._null:
                    empty |= row.bit
            p = end
            path = path * 37 + row.slot + 1
            if p[0] == c',':
                p += 1
                continue
            if p[0] != c'}':
                p = past_space(p)
                if p[0] == c',':
                    p += 1
                    continue
                if p[0] != c'}':
                    return fail(&self.fault, p, b"a comma or the end of the object was expected")
            break
        record.seen = named & ~empty
        if (record.seen & table.required) != table.required:
            return fail(&self.fault, p, b"a required key is missing")
        return p + 1

    cdef const char* _key(self, const char* p, const Table* table, bint first) noexcept:
        """Read on to the value of the next key that the table knows, and put its row into `_row`.

        At the object's end `_row` is NULL. Keys that the table does not know are passed over with their values.
        """
        cdef Value name
        cdef Py_ssize_t kept = self._unescaped_size
        cdef const char* end = plain_text(p, &name)
        if end is not NULL and end[0] == c':':
            self._row = row_named(table, name.text, name.size)
            if self._row is not NULL:
                return end + 1
        self._row = NULL
        while True:
            p = past_space(p)
            if p[0] == c'}' and first:
                return p
            first = False
            if p[0] != c'"':
                return fail(&self.fault, p, b"a key was expected")
            p = self._text(p, &name)
            if p is NULL:
                return NULL
            p = past_space(p)
            if p[0] != c':':
                return fail(&self.fault, p, b"a colon was expected")
            p = past_space(p + 1)
            self._unescaped_size = kept                      # the name is not needed behind this
            self._row = row_named(table, name.text, name.size)
            if self._row is not NULL:
                return p
            p = skip(p, &self.fault)
            if p is NULL:
                return NULL
            p = past_space(p)
            if p[0] == c'}':
                return p
            if p[0] != c',':
                return fail(&self.fault, p, b"a comma or the end of the object was expected")
            p += 1

    cdef const char* _value(self, const char* p, const Row* row, Value* value) noexcept:
        """Any value, however it is written; `_null` is set for null."""
        cdef int kind = row.kind
        cdef const char* begin
        p = past_space(p)
        self._null = p[0] == c'n' and kind != KIND_AMOUNT and kind != KIND_ROWS
        if self._null:                                       # the key is there, the value is not
            return skip(p, &self.fault)
        if kind == KIND_AMOUNT:
            return self._amount(p, value)
        if kind == KIND_TEXT:
            return self._text(p, value)
        if kind == KIND_TIME:
            begin = p
            p = rfc3339(begin, value, &self._dates, &self.fault)
            return self._escaped_time(begin, value) if p is NULL else p
        if kind == KIND_UINT or kind == KIND_COUNT or kind == KIND_CHECKSUM:
            begin = p
            p = uint(begin, value, &self.fault)
            if p is not NULL and kind != KIND_UINT and <uint64_t>value.num > (
                    <uint64_t>INT64_MAX if kind == KIND_COUNT else <uint64_t>0xFFFFFFFF):
                return fail(&self.fault, begin, b"an integer is too large")
            return p
        if kind == KIND_DECIMAL:
            return number(p, value, &self.fault)
        if kind == KIND_BOOL:
            value.num = p[0] == c't'
            if p[0] != c't' and p[0] != c'f':
                return fail(&self.fault, p, b"true or false was expected")
            return skip(p, &self.fault)
        if kind == KIND_CHANNEL:
            p = self._text(p, value)
            if p is not NULL:
                self.channel = channel_named(value.text, value.size)
            return p
        if kind == KIND_ROWS:
            return self._rows(p, row.table, value)
        if kind == KIND_ITEMS:
            p = self._items(p, row.table, value)
            self._null = False               # which may be of a value in it
            return p
        value.text = p
        p = skip(p, &self.fault)
        if p is not NULL:
            value.size = <int32_t>(p - value.text)
        return p

    cdef const char* _data(self, const char* p) noexcept:
        cdef Record whole
        cdef Value rows
        cdef const Table* table = self._row_tables[<int>self.channel]
        if table is not NULL:
            return self._rows(p, table, &rows)
        if self.channel == CHANNEL_INSTRUMENT:
            return self._object(p, instrument_table(), &whole)
        if self.channel == CHANNEL_UNKNOWN:
            self._data_later = p                             # until the channel is known
        return skip(p, &self.fault)

    cdef const char* _rows(self, const char* p, const Table* table, Value* value) noexcept:
        cdef Record* larger
        value.num = self.record_count
        if p[0] != c'[':
            p = past_space(p)
        if p[0] != c'[':
            return fail(&self.fault, p, b"a list was expected")
        p += 1
        if p[0] != c'{':
            p = past_space(p)
            if p[0] == c']':
                value.size = 0
                return p + 1
        while True:
            if self.record_count == self._record_capacity:
                if self.record_count >= RECORDS_MAX:
                    return fail(&self.fault, p, b"too many entries in a list")
                larger = <Record*>PyMem_Realloc(self.records, 2 * self._record_capacity * sizeof(Record))
                if larger is NULL:
                    return fail(&self.fault, p, b"out of memory")
                self.records = larger
                self._record_capacity *= 2
            p = self._object(p, table, &self.records[self.record_count])
            if p is NULL:
                return NULL
            self.record_count += 1
            if p[0] != c']' and p[0] != c',':
                p = past_space(p)
            if p[0] == c']':
                value.size = <int32_t>(self.record_count - value.num)
                return p + 1
            if p[0] != c',':
                return fail(&self.fault, p, b"a comma or the end of the list was expected")
            p = past_space(p + 1)

    cdef const char* _items(self, const char* p, const Table* table, Value* value) noexcept:
        cdef Item* larger
        value.num = self.item_count
        if p[0] != c'[':
            return fail(&self.fault, p, b"a list was expected")
        p = past_space(p + 1)
        if p[0] == c']':
            value.size = 0
            return p + 1
        while True:
            if self.item_count == self._item_capacity:
                if self.item_count >= ITEMS_MAX:
                    return fail(&self.fault, p, b"too many entries in a list")
                larger = <Item*>PyMem_Realloc(self.items, 2 * self._item_capacity * sizeof(Item))
                if larger is NULL:
                    return fail(&self.fault, p, b"out of memory")
                self.items = larger
                self._item_capacity *= 2
            # SAFE: an item begins as a record does, and no table of items has more than ITEM_VALUES slots.
            p = self._object(p, table, <Record*>&self.items[self.item_count])
            if p is NULL:
                return NULL
            self.item_count += 1
            p = past_space(p)
            if p[0] == c']':
                value.size = <int32_t>(self.item_count - value.num)
                return p + 1
            if p[0] != c',':
                return fail(&self.fault, p, b"a comma or the end of the list was expected")
            p = past_space(p + 1)

    cdef const char* _levels_list(self, const char* p, Value* value) noexcept:
        cdef const char* end
        cdef int count = self.level_count
        cdef uint32_t digits
        cdef RawLevel* level
        value.num = count
        if p[0] != c'[':
            p = past_space(p)
        if p[0] != c'[':
            return fail(&self.fault, p, b"a list of levels was expected")
        p += 1
        if p[0] != c'{':
            p = past_space(p)
            if p[0] == c']':
                value.size = 0
                return p + 1
        while True:
            if count == self._level_capacity and not self._more_levels(p):
                return NULL
            level = &self.levels[count]
            end = _plain_level(p, self._level, level)
            if end is NULL:
                end = self._any_level(p, level)
                if end is NULL:
                    return NULL
            p = end
            count += 1
            digits = digits_of(level.price_digits, level.qty_digits)
            self._any_digits |= digits
            self._all_digits &= digits
            if p[0] == c',':
                p += 1
                continue
            if p[0] != c']':
                p = past_space(p)
            if p[0] == c']':
                value.size = <int32_t>(count - value.num)
                self.level_count = count
                return p + 1
            if p[0] != c',':
                return fail(&self.fault, p, b"a comma or the end of the list was expected")
            p += 1

    cdef bint _more_levels(self, const char* p) noexcept:
        cdef RawLevel* larger
        if self._level_capacity >= LEVELS_MAX:
            fail(&self.fault, p, b"too many levels")
            return False
        larger = <RawLevel*>PyMem_Realloc(self.levels, 2 * self._level_capacity * sizeof(RawLevel))
        if larger is NULL:
            fail(&self.fault, p, b"out of memory")
            return False
        self.levels = larger
        self._level_capacity *= 2
        return True

    cdef const char* _any_level(self, const char* p, RawLevel* level) noexcept:
        cdef Record pair
        p = self._object(p, self._level, &pair)
        if p is not NULL:
            level.price = pair.values[0].num
            level.qty = pair.values[1].num
            level.price_digits = pair.values[0].digits
            level.qty_digits = pair.values[1].digits
        return p

    # ------------------------------------------------------------------------------------------ numbers

    cdef const char* _amount(self, const char* p, Value* value) noexcept:
        cdef const char* end
        if p[0] == c'-':
            return fail(&self.fault, p, b"a price or quantity is negative")
        end = number(p, value, &self.fault)
        if end is not NULL and value.form & NUMBER_WIDE:
            return fail(&self.fault, p, b"a number does not fit 63 bits")
        return end

    # ------------------------------------------------------------------------------------------ texts

    cdef const char* _text(self, const char* p, Value* value) noexcept:
        cdef const char* q
        if p[0] != c'"':
            return fail(&self.fault, p, b"a string was expected")
        q = p + 1
        while q[0] != c'"':
            if <uint8_t>q[0] < 32:
                return fail(&self.fault, q, b"a string does not end")
            if q[0] == c'\\':
                return self._unescape(p, value)
            q += 1
        if q - p > TEXT_MAX:
            return fail(&self.fault, p, b"a string is too long")
        value.text = p + 1
        value.size = <int32_t>(q - p - 1)
        return q + 1

    cdef const char* _unescape(self, const char* p, Value* value) noexcept:
        """A string with escapes, written out into a buffer of our own."""
        cdef const char* begin = p
        cdef char* out
        cdef char* first
        cdef uint32_t code, low
        if not self._reserve_unescaped(TEXT_MAX + 8):
            return fail(&self.fault, p, b"too much escaped text")
        first = out = self._unescaped + self._unescaped_size
        p += 1
        while p[0] != c'"':
            if <uint8_t>p[0] < 32:
                return fail(&self.fault, p, b"a string does not end")
            if out - first > TEXT_MAX:
                return fail(&self.fault, begin, b"a string is too long")
            if p[0] != c'\\':
                out[0] = p[0]
                out += 1
                p += 1
                continue
            p += 1
            if p[0] != c'u':
                code = simple_escape(p[0])
                if code == 0:
                    return fail(&self.fault, p, b"an unknown escape")
                out[0] = <char>code
                out += 1
                p += 1
                continue
            if not hex4(p + 1, &code):
                return fail(&self.fault, p, b"an unknown escape")
            p += 5
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or p[0] != c'\\' or p[1] != c'u' or not hex4(p + 2, &low) or low >> 10 != 0x37:
                    return fail(&self.fault, p, b"half a surrogate pair")
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                p += 6
            out += write_utf8(out, code)
        value.text = first
        value.size = <int32_t>(out - first)
        self._unescaped_size += out - first
        return p + 1

    cdef bint _reserve_unescaped(self, Py_ssize_t size) noexcept:
        # Never grown within a scan, since earlier values point into it: 16 long strings are all that one may hold.
        if self._unescaped is NULL:
            self._unescaped_capacity = 16 * (TEXT_MAX + 8)
            self._unescaped = <char*>PyMem_Malloc(self._unescaped_capacity + 16)     # texts are read 16 bytes at a time
            if self._unescaped is NULL:
                return False
        return self._unescaped_size + size <= self._unescaped_capacity

    cdef const char* _escaped_time(self, const char* p, Value* value) noexcept:
        """A time that was refused, once more without its escapes if it has any."""
        cdef Py_ssize_t kept = self._unescaped_size
        cdef Value text
        cdef char* bare
        cdef const char* end = self._text(p, &text)
        if end is NULL or text.text == p + 1:
            return NULL
        # SAFE: _reserve_unescaped leaves 8 bytes beyond TEXT_MAX, of which _unescape takes at most 4 and the quotes 2.
        bare = self._unescaped + kept
        memmove(bare + 1, bare, text.size)
        bare[0] = bare[text.size + 1] = c'"'
        self._unescaped_size = kept
        if rfc3339(bare, value, &self._dates, &self.fault) is NULL:
            return fail(&self.fault, p, b"not a time")
        self.fault.reason = NULL                             # which the first reading left
        return end
