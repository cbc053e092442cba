# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""The scanner: one loop over JSON, driven by one table per kind of object.

Theory. A table lists an object's keys in the order in which the exchange usually sends them. At each key the *expected
next* row is tried first, by one or two masked 8-byte compares; on a miss the key is read properly (white space,
escapes) and looked up by name, and what the table does not know is checked and skipped. Nothing about order is
assumed and everything is checked, so the same loop is the fast path and the general one. A new channel is a new table.

Scanning is pure: it fills records and touches no store. The whole text must be one JSON value with nothing behind it;
duplicate keys, missing required keys, nesting beyond DEPTH_MAX and counts beyond their bounds are refused. One
leniency: `123.` is taken as a number, because pairs without decimals may be written so.

Functions take the place in the text and return the place behind what they read, or NULL after `_fail`.

SAFE, once for all: the text ends in a NUL, no state accepts a NUL, so no loop passes the end; compares read at most 24
bytes beyond the place they stand at, and 64 readable bytes lie behind the NUL.

Bench: benchmarks/bench_decode.py.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset, strlen

from .book cimport RawLevel
from .defs cimport (
    CHANNEL_BOOK, CHANNEL_HEARTBEAT, CHANNEL_INSTRUMENT, CHANNEL_OHLC, CHANNEL_STATUS, CHANNEL_TICKER,
    CHANNEL_TRADE, CHANNEL_UNKNOWN, OK, REFUSED, Channel, Status,
)


cdef enum:
    DEPTH_MAX = 32               # nesting; the exchange's deepest message has 6
    LEVELS_MAX = 10_000          # a snapshot of depth 1,000 has 2,000
    RECORDS_MAX = 20_000         # an instrument snapshot has about 1,700
    TEXT_MAX = 4_096             # bytes of one string that we keep
    DIGITS_MAX = 38              # significant digits of one number
    DECIMALS_MAX = 400           # beyond, a number is noise

cdef extern from *:
    """
    #include <string.h>
    #include <stdint.h>
    static inline uint64_t kf_load8(const char *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    typedef unsigned __int128 kf_uint128;
    """
    uint64_t kf_load8(const char* p) noexcept nogil
    ctypedef unsigned long long kf_uint128     # 128 bits wide in C


# ---------------------------------------------------------------------------------------------- tables

cdef Table HEAD, LEVEL, BOOK, TICKER, TRADE, OHLC, INSTRUMENT, PAIR, ASSET, STATUS


cdef void _pack(Row* row, const char* name, int kind, int slot, const Table* table) noexcept:
    cdef char[24] text
    cdef int size = <int>strlen(name)
    cdef int i
    memset(text, 0, 24)
    memset(row, 0, sizeof(Row))
    row.name = name
    row.name_size = size
    row.key_size = size + 3
    row.kind = kind
    row.slot = slot
    row.table = table
    text[0] = c'"'
    memcpy(text + 1, name, min(size, 22))
    if size <= 20:
        text[size + 1] = c'"'
        text[size + 2] = c':'
    for i in range(2):
        row.key[i] = kf_load8(text + 8 * i)
        row.mask[i] = _low_bytes(row.key_size - 8 * i)


cdef uint64_t _low_bytes(int count) noexcept:
    if count <= 0:
        return 0
    return <uint64_t>-1 if count >= 8 else (<uint64_t>1 << (8 * count)) - 1


cdef void _end(Table* table, int count, uint32_t required) noexcept:
    table.count = count
    table.required = required
    memset(&table.rows[count], 0, sizeof(Row))
    table.rows[count].key[0] = 1             # no key begins with byte 1: the row behind the last never matches
    table.rows[count].mask[0] = <uint64_t>-1


cdef void _add(Table* table, const char* name, int kind, int slot, const Table* rows) noexcept:
    _pack(&table.rows[table.count], name, kind, slot, rows)
    _end(table, table.count + 1, table.required)


cdef void _define(Table* table, list rows, uint32_t required):
    """rows: (name as a bytes literal, kind) in wire order; slots count from 0."""
    cdef int slot
    table.count = 0
    for slot, (name, kind) in enumerate(rows):
        _names.append(name)                  # keeps the bytes alive for as long as the tables
        _add(table, <const char*>(<bytes>name), kind, slot, NULL)
    table.required = required


cdef list _names = []

_define(&HEAD, [
    (b"channel", KIND_CHANNEL), (b"type", KIND_TEXT), (b"data", KIND_DATA), (b"timestamp", KIND_TIME),
    (b"sequence", KIND_UINT), (b"method", KIND_TEXT), (b"req_id", KIND_UINT), (b"result", KIND_RAW),
    (b"success", KIND_BOOL), (b"error", KIND_TEXT), (b"symbol", KIND_TEXT), (b"time_in", KIND_TIME),
    (b"time_out", KIND_TIME),
], 0)
_define(&LEVEL, [(b"price", KIND_AMOUNT), (b"qty", KIND_AMOUNT)], 0b11)
_define(&BOOK, [
    (b"symbol", KIND_TEXT), (b"bids", KIND_LEVELS), (b"asks", KIND_LEVELS), (b"checksum", KIND_CHECKSUM),
    (b"timestamp", KIND_TIME),
], 0b1111)
_define(&TICKER, [
    (b"symbol", KIND_TEXT), (b"bid", KIND_DECIMAL), (b"bid_qty", KIND_DECIMAL), (b"ask", KIND_DECIMAL),
    (b"ask_qty", KIND_DECIMAL), (b"last", KIND_DECIMAL), (b"volume", KIND_DECIMAL), (b"vwap", KIND_DECIMAL),
    (b"low", KIND_DECIMAL), (b"high", KIND_DECIMAL), (b"change", KIND_DECIMAL), (b"change_pct", KIND_DECIMAL),
    (b"volume_usd", KIND_DECIMAL), (b"trades", KIND_COUNT), (b"timestamp", KIND_TIME),
], 0b111111)
_define(&TRADE, [
    (b"symbol", KIND_TEXT), (b"side", KIND_TEXT), (b"price", KIND_AMOUNT), (b"qty", KIND_AMOUNT),
    (b"ord_type", KIND_TEXT), (b"trade_id", KIND_COUNT), (b"timestamp", KIND_TIME),
], 0b1101111)
_define(&OHLC, [
    (b"symbol", KIND_TEXT), (b"open", KIND_DECIMAL), (b"high", KIND_DECIMAL), (b"low", KIND_DECIMAL),
    (b"close", KIND_DECIMAL), (b"vwap", KIND_DECIMAL), (b"volume", KIND_DECIMAL), (b"trades", KIND_COUNT),
    (b"interval_begin", KIND_TIME), (b"interval", KIND_COUNT), (b"timestamp", KIND_TIME),
], 0b1101011111)
_define(&PAIR, [
    (b"symbol", KIND_TEXT), (b"base", KIND_TEXT), (b"quote", KIND_TEXT), (b"status", KIND_TEXT),
    (b"qty_precision", KIND_COUNT), (b"qty_increment", KIND_DECIMAL), (b"price_precision", KIND_COUNT),
    (b"cost_precision", KIND_COUNT), (b"marginable", KIND_BOOL), (b"has_index", KIND_BOOL),
    (b"cost_min", KIND_DECIMAL), (b"margin_initial", KIND_DECIMAL), (b"position_limit_long", KIND_DECIMAL),
    (b"position_limit_short", KIND_DECIMAL), (b"tick_size", KIND_DECIMAL), (b"price_increment", KIND_DECIMAL),
    (b"qty_min", KIND_DECIMAL),
], 0b1011111)
_define(&ASSET, [
    (b"id", KIND_TEXT), (b"status", KIND_TEXT), (b"precision", KIND_COUNT), (b"precision_display", KIND_COUNT),
    (b"borrowable", KIND_BOOL), (b"collateral_value", KIND_DECIMAL), (b"margin_rate", KIND_DECIMAL),
    (b"class", KIND_TEXT), (b"multiplier", KIND_DECIMAL),
], 0b111)
_define(&STATUS, [
    (b"system", KIND_TEXT), (b"version", KIND_TEXT), (b"api_version", KIND_TEXT), (b"connection_id", KIND_UINT),
    (b"upcoming_maintenance", KIND_RAW), (b"emergency", KIND_RAW),
], 0b1)
INSTRUMENT.count = 0
_add(&INSTRUMENT, b"assets", KIND_ROWS, 0, &ASSET)
_add(&INSTRUMENT, b"pairs", KIND_ROWS, 1, &PAIR)


cdef const Table* pair_table() noexcept:
    return &PAIR


cdef Channel _channel_named(const char* name, int size) noexcept:
    # Ordered by how often they come.
    if size == 4 and memcmp(name, b"book", 4) == 0:
        return CHANNEL_BOOK
    if size == 6 and memcmp(name, b"ticker", 6) == 0:
        return CHANNEL_TICKER
    if size == 5 and memcmp(name, b"trade", 5) == 0:
        return CHANNEL_TRADE
    if size == 9 and memcmp(name, b"heartbeat", 9) == 0:
        return CHANNEL_HEARTBEAT
    if size == 4 and memcmp(name, b"ohlc", 4) == 0:
        return CHANNEL_OHLC
    if size == 10 and memcmp(name, b"instrument", 10) == 0:
        return CHANNEL_INSTRUMENT
    if size == 6 and memcmp(name, b"status", 6) == 0:
        return CHANNEL_STATUS
    return CHANNEL_UNKNOWN


cdef const Table* _table_of(Channel channel) noexcept:
    if channel == CHANNEL_BOOK:
        return &BOOK
    if channel == CHANNEL_TICKER:
        return &TICKER
    if channel == CHANNEL_TRADE:
        return &TRADE
    if channel == CHANNEL_OHLC:
        return &OHLC
    if channel == CHANNEL_STATUS:
        return &STATUS
    return NULL


# ---------------------------------------------------------------------------------------------- small steps

cdef inline bint _is_space(char c) noexcept nogil:
    return c == c' ' or c == c'\n' or c == c'\r' or c == c'\t'


cdef inline const char* _past_space(const char* p) noexcept nogil:
    while _is_space(p[0]):
        p += 1
    return p


cdef inline bint _matches(const Row* row, const char* p) noexcept nogil:
    if (kf_load8(p) & row.mask[0]) != row.key[0]:
        return False
    if row.key_size <= 8:
        return True
    if (kf_load8(p + 8) & row.mask[1]) != row.key[1]:
        return False
    if row.key_size <= 16:
        return True
    return (memcmp(p + 1, row.name, row.name_size) == 0
            and p[row.name_size + 1] == c'"' and p[row.name_size + 2] == c':')


cdef inline unsigned int _digit(char c) noexcept nogil:
    return <unsigned int>(<uint8_t>c) - 48       # above 9 for anything but a digit


cdef inline const char* _plain(const char* p, Value* value) noexcept nogil:
    """A number without sign and exponent, of at most 18 digits: all that the exchange usually sends. Else NULL."""
    cdef const char* begin = p
    cdef const char* point
    cdef int64_t mantissa = 0
    cdef unsigned int digit
    value.form = 0
    value.digits = 0
    while p - begin < 18:
        digit = _digit(p[0])
        if digit > 9:
            break
        mantissa = mantissa * 10 + digit
        p += 1
    if p == begin or (begin[0] == c'0' and p - begin > 1):
        return NULL
    if p[0] == c'.':
        point = p
        p += 1
        while p - begin < 19:                            # 18 digits and the point: nothing overflows
            digit = _digit(p[0])
            if digit > 9:
                break
            mantissa = mantissa * 10 + digit
            p += 1
        value.digits = <int>(p - point) - 1
    if _digit(p[0]) <= 9 or p[0] == c'e' or p[0] == c'E':
        return NULL
    value.num = mantissa
    return p


cdef inline const char* _plain_level(const char* p, Value* values) noexcept nogil:
    """A level as the exchange usually writes it, `{"price":1.0,"qty":2.0}`; NULL for any other writing.

    A look ahead, not a second grammar: what it passes over, `_object` reads. It earns a third of a message's scan.
    """
    if p[0] != c'{' or not _matches(&LEVEL.rows[0], p + 1):
        return NULL
    p = _plain(p + 1 + LEVEL.rows[0].key_size, &values[0])
    if p is NULL or p[0] != c',' or not _matches(&LEVEL.rows[1], p + 1):
        return NULL
    p = _plain(p + 1 + LEVEL.rows[1].key_size, &values[1])
    if p is NULL or p[0] != c'}':
        return NULL
    return p + 1


cdef int64_t _days_from_civil(int64_t year, int month, int day) noexcept nogil:
    """Days since 1970-01-01 of a date in the Gregorian calendar, years from March so that leap days come last."""
    cdef int64_t y = year - (1 if month <= 2 else 0)
    cdef int64_t era = (y if y >= 0 else y - 399) // 400
    cdef int64_t year_of_era = y - era * 400
    cdef int64_t day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


cdef int _days_in_month(int year, int month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef const char* _settle(
    const char* p, Value* value, kf_uint128 mantissa, int zeros, int decimals, bint negative,
) noexcept nogil:
    """Write mantissa * 10**zeros / 10**decimals into `value`, with as many of the zeros as fit."""
    value.form = 0
    if mantissa == 0:
        value.num = 0
        value.digits = <int>max(0, min(decimals, 18))
        value.form = NUMBER_CUT if decimals > 18 else 0
        return p
    while zeros and (decimals < zeros or mantissa <= <kf_uint128>(INT64_MAX // 10)):
        # Zeros before the point must be taken, zeros behind it only keep the number of decimals.
        if mantissa > <kf_uint128>INT64_MAX:
            break
        mantissa *= 10
        zeros -= 1
    decimals -= zeros
    while decimals < 0 and mantissa <= <kf_uint128>INT64_MAX:
        mantissa *= 10
        decimals += 1
    if mantissa > <kf_uint128>INT64_MAX or decimals < 0:
        value.form = NUMBER_WIDE
        return p
    if zeros:
        value.form = NUMBER_CUT
    value.num = -<int64_t>mantissa if negative else <int64_t>mantissa
    value.digits = decimals
    return p


# ---------------------------------------------------------------------------------------------- the scanner

cdef class Scanner:
    """Reads one message at a time; owned by one decoder, since its result lives in it."""

    def __dealloc__(self):
        PyMem_Free(self.records)
        PyMem_Free(self.levels)
        PyMem_Free(self._unescaped)

    def __init__(self):
        self._record_capacity = 4
        self.records = <Record*>PyMem_Malloc(self._record_capacity * sizeof(Record))
        self._level_capacity = 64
        self.levels = <RawLevel*>PyMem_Malloc(self._level_capacity * sizeof(RawLevel))
        if self.records is NULL or self.levels is NULL:
            raise MemoryError()

    cdef Status scan(self, const char* message, Py_ssize_t size) noexcept:
        cdef const char* p
        self.channel = CHANNEL_UNKNOWN
        self.record_count = 0
        self.level_count = 0
        self._unescaped_size = 0
        self._data_later = NULL
        p = self._object(message, &HEAD, &self.head)
        if p is NULL:
            return REFUSED
        if p - message != size:
            p = _past_space(p)
            if p - message != size:
                self._fail(p, b"more text behind the message")
                return REFUSED
        if self._data_later is not NULL and self.channel != CHANNEL_UNKNOWN:
            if self._data(self._data_later) is NULL:      # data came before channel
                return REFUSED
        return OK

    cdef void shrink(self) noexcept:
        """Give back what an unusually large message took, so that a line rests at a few KB."""
        if self._record_capacity > 64:
            self._record_capacity = 4
            self.records = <Record*>PyMem_Realloc(self.records, self._record_capacity * sizeof(Record))
            self.record_count = 0
        if self._level_capacity > 4096:
            self._level_capacity = 64
            self.levels = <RawLevel*>PyMem_Realloc(self.levels, self._level_capacity * sizeof(RawLevel))
            self.level_count = 0
        if self._unescaped_capacity > 65_536:
            PyMem_Free(self._unescaped)
            self._unescaped = NULL
            self._unescaped_capacity = 0

    cdef const char* _fail(self, const char* p, const char* reason) noexcept:
        self.failed_at = p
        self.reason = reason
        return NULL

    cdef const char* _object(self, const char* p, const Table* table, Record* record) noexcept:
        cdef const Row* row = &table.rows[0]
        cdef uint32_t named = 0
        cdef uint32_t bit
        record.seen = 0
        record.table = table
        if p[0] != c'{':
            p = _past_space(p)
            if p[0] != c'{':
                return self._fail(p, b"an object was expected")
        p += 1
        if p[0] != c'"':
            p = _past_space(p)
            if p[0] == c'}':
                if table.required:
                    return self._fail(p, b"a required key is missing")
                return p + 1
        while True:
            if _matches(row, p):
                p += row.key_size
            else:
                p = self._key(p, table, &row)
                if p is NULL:
                    return NULL
            if row is NULL:
                p = self._skip(p)
                row = &table.rows[table.count]
            else:
                bit = <uint32_t>1 << row.slot
                if named & bit:
                    return self._fail(p, b"a key comes twice")
                named |= bit
                p = self._value(p, row, record)
                row += 1
            if p is NULL:
                return NULL
            if p[0] != c',' and p[0] != c'}':
                p = _past_space(p)
            if p[0] == c',':
                p += 1
                continue
            if p[0] != c'}':
                return self._fail(p, b"a comma or the end of the object was expected")
            if (record.seen & table.required) != table.required:
                return self._fail(p, b"a required key is missing")
            return p + 1

    cdef const char* _key(self, const char* p, const Table* table, const Row** row) noexcept:
        """Read a key the careful way; *row is its row, NULL for a key that the table does not know."""
        cdef Value name
        cdef Py_ssize_t kept = self._unescaped_size
        cdef int i
        p = _past_space(p)
        if p[0] != c'"':
            return self._fail(p, b"a key was expected")
        p = self._text(p, &name)
        if p is NULL:
            return NULL
        p = _past_space(p)
        if p[0] != c':':
            return self._fail(p, b"a colon was expected")
        row[0] = NULL
        for i in range(table.count):
            if table.rows[i].name_size == name.size and memcmp(table.rows[i].name, name.text, name.size) == 0:
                row[0] = &table.rows[i]
                break
        self._unescaped_size = kept          # the name is not needed any more
        return _past_space(p + 1)

    cdef const char* _value(self, const char* p, const Row* row, Record* record) noexcept:
        cdef Value* value = &record.values[row.slot]
        cdef int kind = row.kind
        cdef const char* begin
        if _is_space(p[0]):
            p = _past_space(p)
        if p[0] == c'n' and kind != KIND_AMOUNT and kind != KIND_LEVELS and kind != KIND_ROWS and kind != KIND_DATA:
            p = self._skip(p)                        # null: the key is there, the value is not
            return p
        if kind == KIND_AMOUNT:
            p = self._amount(p, value)
        elif kind == KIND_LEVELS:
            p = self._levels_list(p, value)
        elif kind == KIND_TEXT:
            p = self._text(p, value)
        elif kind == KIND_TIME:
            begin = p
            p = self._time(begin, value)
            if p is NULL:
                p = self._escaped_time(begin, value)
        elif kind == KIND_UINT or kind == KIND_COUNT or kind == KIND_CHECKSUM:
            begin = p
            p = self._uint(begin, value)
            if p is not NULL and kind != KIND_UINT and <uint64_t>value.num > (
                    <uint64_t>INT64_MAX if kind == KIND_COUNT else <uint64_t>0xFFFFFFFF):
                return self._fail(begin, b"an integer is too large")
        elif kind == KIND_DECIMAL:
            p = self._decimal(p, value)
        elif kind == KIND_BOOL:
            value.num = p[0] == c't'
            if p[0] != c't' and p[0] != c'f':
                return self._fail(p, b"true or false was expected")
            p = self._skip(p)
        elif kind == KIND_CHANNEL:
            p = self._text(p, value)
            if p is not NULL:
                self.channel = _channel_named(value.text, value.size)
        elif kind == KIND_DATA:
            if self.channel == CHANNEL_UNKNOWN:
                self._data_later = p
                p = self._skip(p)
            else:
                p = self._data(p)
        elif kind == KIND_ROWS:
            p = self._rows(p, row.table, value)
        else:
            begin = p
            p = self._skip(p)
            if p is not NULL:
                value.text = begin
                value.size = <int32_t>(p - begin)
        if p is not NULL:
            record.seen |= <uint32_t>1 << row.slot
        return p

    cdef const char* _data(self, const char* p) noexcept:
        cdef Record whole
        cdef Value rows
        cdef const Table* table
        if self.channel == CHANNEL_INSTRUMENT:
            return self._object(p, &INSTRUMENT, &whole)
        table = _table_of(self.channel)
        if table is NULL:
            return self._skip(p)
        return self._rows(p, table, &rows)

    cdef const char* _rows(self, const char* p, const Table* table, Value* value) noexcept:
        cdef Record* larger
        value.num = self.record_count
        if p[0] != c'[':
            return self._fail(p, b"a list was expected")
        p += 1
        if p[0] != c'{':
            p = _past_space(p)
            if p[0] == c']':
                value.size = 0
                return p + 1
        while True:
            if self.record_count == self._record_capacity:
                if self.record_count >= RECORDS_MAX:
                    return self._fail(p, b"too many entries in a list")
                larger = <Record*>PyMem_Realloc(self.records, 2 * self._record_capacity * sizeof(Record))
                if larger is NULL:
                    return self._fail(p, b"out of memory")
                self.records = larger
                self._record_capacity *= 2
            p = self._object(p, table, &self.records[self.record_count])
            if p is NULL:
                return NULL
            self.record_count += 1
            if p[0] != c']' and p[0] != c',':
                p = _past_space(p)
            if p[0] == c']':
                value.size = <int32_t>(self.record_count - value.num)
                return p + 1
            if p[0] != c',':
                return self._fail(p, b"a comma or the end of the list was expected")
            p = _past_space(p + 1)

    cdef const char* _levels_list(self, const char* p, Value* value) noexcept:
        cdef Record pair
        cdef const char* q
        cdef RawLevel* larger
        cdef RawLevel* level
        value.num = self.level_count
        if p[0] != c'[':
            return self._fail(p, b"a list of levels was expected")
        p += 1
        if p[0] != c'{':
            p = _past_space(p)
            if p[0] == c']':
                value.size = 0
                return p + 1
        while True:
            if self.level_count == self._level_capacity:
                if self.level_count >= LEVELS_MAX:
                    return self._fail(p, b"too many levels")
                larger = <RawLevel*>PyMem_Realloc(self.levels, 2 * self._level_capacity * sizeof(RawLevel))
                if larger is NULL:
                    return self._fail(p, b"out of memory")
                self.levels = larger
                self._level_capacity *= 2
            q = _plain_level(p, pair.values)
            if q is NULL:
                q = self._object(p, &LEVEL, &pair)
                if q is NULL:
                    return NULL
            p = q
            level = &self.levels[self.level_count]
            level.price = pair.values[0].num
            level.qty = pair.values[1].num
            level.price_digits = pair.values[0].digits
            level.qty_digits = pair.values[1].digits
            self.level_count += 1
            if p[0] == c',':
                p += 1
                continue
            if p[0] != c']':
                p = _past_space(p)
            if p[0] == c']':
                value.size = <int32_t>(self.level_count - value.num)
                return p + 1
            if p[0] != c',':
                return self._fail(p, b"a comma or the end of the list was expected")
            p += 1

    # ------------------------------------------------------------------------------------------ numbers

    cdef const char* _amount(self, const char* p, Value* value) noexcept:
        cdef const char* end = _plain(p, value)
        if end is not NULL:
            return end
        if p[0] == c'-':
            return self._fail(p, b"a price or quantity is negative")
        end = self._number(p, value)
        if end is not NULL and value.form & NUMBER_WIDE:
            return self._fail(p, b"a number does not fit 63 bits")
        return end

    cdef const char* _decimal(self, const char* p, Value* value) noexcept:
        cdef bint negative = p[0] == c'-'
        cdef const char* end = _plain(p + negative, value)
        if end is NULL:
            return self._number(p, value)
        if negative:
            value.num = -value.num
        return end

    cdef const char* _number(self, const char* p, Value* value) noexcept:
        """Any JSON number, exactly: mantissa and decimals, or its text when it does not fit an int64."""
        cdef const char* begin = p
        cdef kf_uint128 mantissa = 0
        cdef bint negative = p[0] == c'-'
        cdef int significant = 0, decimals = 0, zeros = 0, exponent = 0, count = 0
        cdef bint down = False
        cdef unsigned int digit
        p += negative
        if p[0] == c'0' and _digit(p[1]) <= 9:
            return self._fail(p, b"a number begins with a zero too many")
        while True:                                      # digits before and behind the point, as one run
            digit = _digit(p[0])
            if digit > 9:
                if p[0] != c'.' or decimals or count == 0:
                    break
                decimals = 1                             # counted from one while the point is behind us
                p += 1
                continue
            count += 1
            if decimals:
                decimals += 1
            p += 1
            if digit == 0:
                zeros += 1                               # held back: trailing ones may not be needed to fit
                continue
            if significant:
                significant += zeros
            significant += 1
            if significant > DIGITS_MAX or decimals > DECIMALS_MAX:
                return self._fail(begin, b"a number has too many digits")
            while zeros:
                mantissa *= 10
                zeros -= 1
            mantissa = mantissa * 10 + digit
        if count == 0:
            return self._fail(p, b"a number was expected")
        if (significant and significant + zeros > DIGITS_MAX) or decimals > DECIMALS_MAX:
            return self._fail(begin, b"a number has too many digits")
        if (p - 1)[0] == c'.' and (p[0] | 32) == c'e':      # SAFE: at least one digit lies before p
            return self._fail(p, b"a digit was expected")
        if decimals:
            decimals -= 1
        if p[0] == c'e' or p[0] == c'E':
            p += 1
            down = p[0] == c'-'
            if p[0] == c'-' or p[0] == c'+':
                p += 1
            if _digit(p[0]) > 9:
                return self._fail(p, b"an exponent was expected")
            while _digit(p[0]) <= 9:
                exponent = min(exponent * 10 + <int>_digit(p[0]), 9 * DECIMALS_MAX)
                p += 1
            if exponent > DECIMALS_MAX:
                return self._fail(begin, b"a number has too many digits")
            decimals += exponent if down else -exponent
        value.text = begin
        value.size = <int32_t>(p - begin)
        return _settle(p, value, mantissa, zeros, decimals, negative)

    cdef const char* _uint(self, const char* p, Value* value) noexcept:
        cdef const char* begin = p
        cdef uint64_t number = 0
        cdef unsigned int digit
        if p[0] == c'0' and _digit(p[1]) <= 9:
            return self._fail(p, b"a number begins with a zero too many")
        while True:
            digit = _digit(p[0])
            if digit > 9:
                break
            if p - begin >= 19 and (number > <uint64_t>-1 // 10 or (number == <uint64_t>-1 // 10 and digit > 5)):
                return self._fail(begin, b"an integer does not fit 64 bits")
            number = number * 10 + digit
            p += 1
        if p == begin or p[0] == c'.' or p[0] == c'e' or p[0] == c'E':
            return self._fail(p, b"an integer was expected")
        value.num = <int64_t>number
        return p

    # ------------------------------------------------------------------------------------------ texts

    cdef const char* _text(self, const char* p, Value* value) noexcept:
        cdef const char* q
        if p[0] != c'"':
            return self._fail(p, b"a string was expected")
        q = p + 1
        while q[0] != c'"':
            if <uint8_t>q[0] < 32:
                return self._fail(q, b"a string does not end")
            if q[0] == c'\\':
                return self._unescape(p, value)
            q += 1
        if q - p > TEXT_MAX:
            return self._fail(p, b"a string is too long")
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
            return self._fail(p, b"too much escaped text")
        first = out = self._unescaped + self._unescaped_size
        p += 1
        while p[0] != c'"':
            if <uint8_t>p[0] < 32:
                return self._fail(p, b"a string does not end")
            if out - first > TEXT_MAX:
                return self._fail(begin, b"a string is too long")
            if p[0] != c'\\':
                out[0] = p[0]
                out += 1
                p += 1
                continue
            p += 1
            if p[0] != c'u':
                code = _simple_escape(p[0])
                if code == 0:
                    return self._fail(p, b"an unknown escape")
                out[0] = <char>code
                out += 1
                p += 1
                continue
            if not _hex4(p + 1, &code):
                return self._fail(p, b"an unknown escape")
            p += 5
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or p[0] != c'\\' or p[1] != c'u' or not _hex4(p + 2, &low) or low >> 10 != 0x37:
                    return self._fail(p, b"half a surrogate pair")
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                p += 6
            out += _write_utf8(out, code)
        value.text = first
        value.size = <int32_t>(out - first)
        self._unescaped_size += out - first
        return p + 1

    cdef bint _reserve_unescaped(self, Py_ssize_t size) noexcept:
        # Never grown within a scan, since earlier values point into it: 16 long strings are all that one may hold.
        if self._unescaped is NULL:
            self._unescaped_capacity = 16 * (TEXT_MAX + 8)
            self._unescaped = <char*>PyMem_Malloc(self._unescaped_capacity)
            if self._unescaped is NULL:
                return False
        return self._unescaped_size + size <= self._unescaped_capacity

    cdef const char* _time(self, const char* p, Value* value) noexcept:
        """RFC 3339: `2026-11-22T10:15:01.310559Z`, any number of decimals (those beyond 9 are cut), any offset."""
        cdef const char* begin = p
        cdef unsigned int bad = 0, digit
        cdef int hour, minute, second, decimals = 0
        cdef int64_t nanos = 0, us, offset
        if p[0] != c'"':
            return self._fail(p, b"a time was expected")
        p += 1
        if kf_load8(p) == self._date_text[0] and kf_load8(p + 2) == self._date_text[1]:
            us = self._date_us
        elif not self._date(p, &us):
            return self._fail(begin, b"not a date")
        hour = _two(p + 11, &bad)
        minute = _two(p + 14, &bad)
        second = _two(p + 17, &bad)
        if (bad or hour > 23 or minute > 59 or second > 60 or (p[10] | 32) != c't'
                or p[13] != c':' or p[16] != c':'):
            return self._fail(begin, b"not a time")
        us += (hour * 3600 + minute * 60 + second) * <int64_t>1_000_000
        p += 19
        if p[0] == c'.':
            p += 1
            while True:
                digit = _digit(p[0])
                if digit > 9:
                    break
                if decimals < 9:
                    nanos = nanos * 10 + digit
                    decimals += 1
                p += 1
            if decimals == 0:
                return self._fail(begin, b"not a time")
            if decimals == 6:
                nanos *= 1000
            else:
                while decimals < 9:
                    nanos *= 10
                    decimals += 1
        if (p[0] | 32) == c'z':
            p += 1
        elif p[0] == c'+' or p[0] == c'-':
            hour = _two(p + 1, &bad)
            minute = _two(p + 4, &bad)
            if bad or p[3] != c':' or hour > 23 or minute > 59:
                return self._fail(begin, b"not a time")
            offset = (hour * 3600 + minute * 60) * <int64_t>1_000_000
            us += offset if p[0] == c'-' else -offset
            p += 6
        else:
            return self._fail(begin, b"a time without zone")
        if p[0] != c'"':
            return self._fail(begin, b"not a time")
        value.num = us + nanos // 1000
        value.digits = nanos % 1000
        return p + 1

    cdef const char* _escaped_time(self, const char* p, Value* value) noexcept:
        """A time that was refused, once more without its escapes if it has any."""
        cdef Py_ssize_t kept = self._unescaped_size
        cdef Value text
        cdef char* plain
        cdef const char* end = self._text(p, &text)
        if end is NULL or text.text == p + 1:
            return NULL
        # SAFE: _reserve_unescaped leaves 8 bytes beyond TEXT_MAX, of which _unescape takes at most 4 and the quotes 2.
        plain = self._unescaped + kept
        memmove(plain + 1, plain, text.size)
        plain[0] = plain[text.size + 1] = c'"'
        self._unescaped_size = kept
        if self._time(plain, value) is NULL:
            return self._fail(p, b"not a time")
        return end

    cdef bint _date(self, const char* p, int64_t* us) noexcept:
        """Midnight of `2026-11-22` in microseconds, remembered because nearly all messages share their date."""
        cdef unsigned int bad = 0
        cdef int year = 100 * _two(p, &bad)
        cdef int month, day
        if bad:
            return False
        year += _two(p + 2, &bad)
        month = _two(p + 5, &bad)
        day = _two(p + 8, &bad)
        if bad or p[4] != c'-' or p[7] != c'-' or not 1 <= month <= 12 or not 1 <= day <= _days_in_month(year, month):
            return False
        us[0] = self._date_us = _days_from_civil(year, month, day) * <int64_t>86_400_000_000
        self._date_text[0] = kf_load8(p)
        self._date_text[1] = kf_load8(p + 2)
        return True

    # ------------------------------------------------------------------------------------------ anything

    cdef const char* _skip(self, const char* p) noexcept:
        """Check any JSON value and pass over it. `kinds` holds a bit for each open bracket: 1 for an object."""
        cdef uint64_t kinds = 0
        cdef int depth = 0
        cdef Value unused
        while True:
            p = _past_space(p)
            if p[0] == c'{' or p[0] == c'[':
                if depth == DEPTH_MAX:
                    return self._fail(p, b"nested too deeply")
                kinds = kinds << 1 | (p[0] == c'{')
                depth += 1
                p = _past_space(p + 1)
                if p[0] != (c'}' if kinds & 1 else c']'):
                    if kinds & 1:
                        p = self._skip_key(p)
                        if p is NULL:
                            return NULL
                    continue
            elif p[0] == c'"':
                p = self._skip_string(p)
                if p is NULL:
                    return NULL
            elif memcmp(p, b"true", 4) == 0 or memcmp(p, b"null", 4) == 0:
                p += 4
            elif memcmp(p, b"false", 5) == 0:
                p += 5
            else:
                p = self._skip_number(p)
                if p is NULL:
                    return NULL
            while depth:                                  # a value has ended: close what ends with it
                p = _past_space(p)
                if p[0] == c',':
                    p += 1
                    if kinds & 1:
                        p = self._skip_key(_past_space(p))
                        if p is NULL:
                            return NULL
                    break
                if p[0] != (c'}' if kinds & 1 else c']'):
                    return self._fail(p, b"a comma or a closing bracket was expected")
                p += 1
                kinds >>= 1
                depth -= 1
            else:
                return p

    cdef const char* _skip_key(self, const char* p) noexcept:
        if p[0] != c'"':
            return self._fail(p, b"a key was expected")
        p = self._skip_string(p)
        if p is NULL:
            return NULL
        p = _past_space(p)
        if p[0] != c':':
            return self._fail(p, b"a colon was expected")
        return p + 1

    cdef const char* _skip_string(self, const char* p) noexcept:
        cdef uint32_t code
        p += 1
        while p[0] != c'"':
            if <uint8_t>p[0] < 32:
                return self._fail(p, b"a string does not end")
            if p[0] == c'\\':
                p += 1
                if p[0] == c'u':
                    if not _hex4(p + 1, &code):
                        return self._fail(p, b"an unknown escape")
                    p += 4
                elif not _simple_escape(p[0]):
                    return self._fail(p, b"an unknown escape")
            p += 1
        return p + 1

    cdef const char* _skip_number(self, const char* p) noexcept:
        cdef const char* begin
        if p[0] == c'-':
            p += 1
        if _digit(p[0]) > 9 or (p[0] == c'0' and _digit(p[1]) <= 9):
            return self._fail(p, b"a value was expected")
        while _digit(p[0]) <= 9:
            p += 1
        if p[0] == c'.':
            begin = p + 1
            p += 1
            while _digit(p[0]) <= 9:
                p += 1
            if p == begin:
                return self._fail(p, b"a digit was expected")
        if p[0] == c'e' or p[0] == c'E':
            p += 1
            if p[0] == c'-' or p[0] == c'+':
                p += 1
            if _digit(p[0]) > 9:
                return self._fail(p, b"an exponent was expected")
            while _digit(p[0]) <= 9:
                p += 1
        return p


cdef inline int _two(const char* p, unsigned int* bad) noexcept nogil:
    cdef unsigned int tens = _digit(p[0])
    cdef unsigned int units = _digit(p[1])
    bad[0] |= (tens > 9) | (units > 9)
    return <int>(tens * 10 + units)


cdef uint32_t _simple_escape(char c) noexcept nogil:
    if c == c'"' or c == c'\\' or c == c'/':
        return <uint8_t>c
    if c == c'n':
        return 10
    if c == c't':
        return 9
    if c == c'r':
        return 13
    if c == c'b':
        return 8
    if c == c'f':
        return 12
    return 0


cdef bint _hex4(const char* p, uint32_t* code) noexcept nogil:
    cdef int i
    cdef uint32_t c
    code[0] = 0
    for i in range(4):
        c = <uint8_t>p[i]
        if 48 <= c <= 57:
            c -= 48
        elif 97 <= (c | 32) <= 102:
            c = (c | 32) - 87
        else:
            return False
        code[0] = code[0] << 4 | c
    return True


cdef int _write_utf8(char* out, uint32_t code) noexcept nogil:
    if code < 0x80:
        out[0] = <char>code
        return 1
    if code < 0x800:
        out[0] = <char>(0xC0 | code >> 6)
        out[1] = <char>(0x80 | (code & 63))
        return 2
    if code < 0x10000:
        out[0] = <char>(0xE0 | code >> 12)
        out[1] = <char>(0x80 | (code >> 6 & 63))
        out[2] = <char>(0x80 | (code & 63))
        return 3
    out[0] = <char>(0xF0 | code >> 18)
    out[1] = <char>(0x80 | (code >> 12 & 63))
    out[2] = <char>(0x80 | (code >> 6 & 63))
    out[3] = <char>(0x80 | (code & 63))
    return 4
