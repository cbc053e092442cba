# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What the exchange's objects look like: one table for each kind, which drives the scanner.

A row holds its key packed for masked compares, as the wire writes it: `"name":`. Slots count in the order of the rows,
so the enums in tables.pxd name them; `required` is a mask of slots. A new channel is a new table.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen

from .defs cimport (
    CHANNEL_BOOK, CHANNEL_COUNT, CHANNEL_HEARTBEAT, CHANNEL_INSTRUMENT, CHANNEL_OHLC, CHANNEL_STATUS, CHANNEL_TICKER,
    CHANNEL_TRADE, CHANNEL_UNKNOWN, Channel,
)
from .load cimport load8


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
    row.bit = <uint32_t>1 << slot
    row.table = table
    text[0] = c'"'
    memcpy(text + 1, name, min(size, 22))
    if size <= 20:
        text[size + 1] = c'"'
        text[size + 2] = c':'
    for i in range(2):
        row.key[i] = load8(text + 8 * i)
        row.mask[i] = _low_bytes(<int>row.key_size - 8 * i)


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


cdef const Table* head_table() noexcept:
    return &HEAD


cdef const Table* level_table() noexcept:
    return &LEVEL


cdef const Table* instrument_table() noexcept:
    return &INSTRUMENT


cdef const Table* pair_table() noexcept:
    return &PAIR


cdef Channel channel_named(const char* name, int size) noexcept:
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


cdef const Table* ROW_TABLES[CHANNEL_COUNT]
ROW_TABLES[<int>CHANNEL_BOOK] = &BOOK
ROW_TABLES[<int>CHANNEL_TICKER] = &TICKER
ROW_TABLES[<int>CHANNEL_TRADE] = &TRADE
ROW_TABLES[<int>CHANNEL_OHLC] = &OHLC
ROW_TABLES[<int>CHANNEL_STATUS] = &STATUS


cdef const Table** row_tables() noexcept:
    return ROW_TABLES
