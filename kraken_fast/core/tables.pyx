# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What the exchange's objects look like: one table for each kind, which drives the scanner.

A row holds its key packed for masked compares, as the wire writes it: `"name":`. Slots count in the order of the rows,
so the enums in tables.pxd name them; `required` is a mask of slots. A new channel is a new table.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strlen

from .defs cimport (
    CHANNEL_BALANCES, CHANNEL_BOOK, CHANNEL_COUNT, CHANNEL_EXECUTIONS, CHANNEL_HEARTBEAT, CHANNEL_INSTRUMENT,
    CHANNEL_LEVEL3, CHANNEL_OHLC, CHANNEL_STATUS, CHANNEL_TICKER, CHANNEL_TRADE, CHANNEL_UNKNOWN, Channel,
)
from .load cimport load8


cdef Table HEAD, LEVEL, BOOK, TICKER, TRADE, OHLC, INSTRUMENT, PAIR, ASSET, STATUS
cdef Table EXECUTION, FEE, BALANCE, WALLET, LEVEL3, QUEUED


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
    row.bit = <uint64_t>1 << slot
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


cdef void _end(Table* table, int count, uint64_t required) noexcept:
    cdef int i
    table.count = count
    table.required = required
    for i in range(count, ROWS_MAX + 1):
        memset(&table.rows[i], 0, sizeof(Row))
        table.rows[i].key[0] = 1             # no key begins with byte 1: the rows behind the last never match
        table.rows[i].mask[0] = <uint64_t>-1


cdef void _add(Table* table, const char* name, int kind, int slot, const Table* rows) noexcept:
    cdef Row* row = &table.rows[table.count]
    cdef char[32] padded
    cdef uint8_t* place
    _pack(row, name, kind, slot, rows)
    memset(padded, 0, 32)
    memcpy(padded, name, min(row.name_size, 32))
    place = &table.named[name_hash(padded, row.name_size)]
    row.alike = place[0]
    place[0] = table.count + 1
    _end(table, table.count + 1, table.required)


cdef void _define(Table* table, list rows, uint64_t required):
    """rows: (name as a bytes literal, kind) in wire order; slots count from 0."""
    cdef int slot
    table.count = 0
    table.seed = len(_names) * 2             # no two tables begin their paths at the same place
    memset(table.named, 0, NAMES)
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
_define(&FEE, [(b"asset", KIND_TEXT), (b"qty", KIND_DECIMAL)], 0b11)
_define(&EXECUTION, [
    (b"order_id", KIND_TEXT), (b"cl_ord_id", KIND_TEXT), (b"order_userref", KIND_DECIMAL), (b"exec_id", KIND_TEXT),
    (b"exec_type", KIND_TEXT), (b"trade_id", KIND_COUNT), (b"symbol", KIND_TEXT), (b"order_qty", KIND_DECIMAL),
    (b"side", KIND_TEXT), (b"last_qty", KIND_DECIMAL), (b"last_price", KIND_DECIMAL), (b"liquidity_ind", KIND_TEXT),
    (b"cost", KIND_DECIMAL), (b"order_type", KIND_TEXT), (b"timestamp", KIND_TIME), (b"order_status", KIND_TEXT),
    (b"cum_qty", KIND_DECIMAL), (b"cum_cost", KIND_DECIMAL), (b"avg_price", KIND_DECIMAL),
    (b"time_in_force", KIND_TEXT), (b"limit_price_type", KIND_TEXT), (b"limit_price", KIND_DECIMAL),
    (b"stop_price", KIND_DECIMAL), (b"post_only", KIND_BOOL), (b"fee_usd_equiv", KIND_DECIMAL),
    (b"fee_ccy_pref", KIND_TEXT), (b"fees", KIND_ITEMS), (b"amended", KIND_BOOL), (b"reason", KIND_TEXT),
    (b"cancel_reason", KIND_TEXT), (b"display_qty", KIND_DECIMAL), (b"display_qty_remain", KIND_DECIMAL),
    (b"cash_order_qty", KIND_DECIMAL), (b"reduce_only", KIND_BOOL), (b"margin", KIND_BOOL),
    (b"margin_borrow", KIND_BOOL), (b"liquidated", KIND_BOOL), (b"no_mpp", KIND_BOOL),
    (b"position_status", KIND_TEXT), (b"effective_time", KIND_TEXT), (b"expire_time", KIND_TEXT),
    (b"ord_ref_id", KIND_TEXT), (b"ext_ord_id", KIND_TEXT), (b"ext_exec_id", KIND_TEXT), (b"triggers", KIND_RAW),
    (b"contingent", KIND_RAW), (b"trigger", KIND_TEXT), (b"triggered_price", KIND_DECIMAL),
    (b"sender_sub_id", KIND_TEXT), (b"user", KIND_TEXT), (b"ratecount", KIND_DECIMAL),
], 1 << EXEC_ORDER_ID | 1 << EXEC_EXEC_TYPE)
_define(&WALLET, [(b"type", KIND_TEXT), (b"id", KIND_TEXT), (b"balance", KIND_DECIMAL)], 0b111)
_define(&BALANCE, [
    (b"ledger_id", KIND_TEXT), (b"ref_id", KIND_TEXT), (b"timestamp", KIND_TIME), (b"type", KIND_TEXT),
    (b"subtype", KIND_TEXT), (b"asset", KIND_TEXT), (b"asset_class", KIND_TEXT), (b"category", KIND_TEXT),
    (b"wallet_type", KIND_TEXT), (b"wallet_id", KIND_TEXT), (b"amount", KIND_DECIMAL), (b"fee", KIND_DECIMAL),
    (b"wallets", KIND_ITEMS), (b"balance", KIND_DECIMAL), (b"user", KIND_TEXT),
], 1 << BALANCE_ASSET | 1 << BALANCE_BALANCE)
_define(&QUEUED, [
    (b"event", KIND_TEXT), (b"order_id", KIND_TEXT), (b"limit_price", KIND_AMOUNT), (b"order_qty", KIND_AMOUNT),
    (b"timestamp", KIND_TIME),
], 0b1110)
_define(&LEVEL3, [
    (b"symbol", KIND_TEXT), (b"checksum", KIND_CHECKSUM), (b"bids", KIND_ITEMS), (b"asks", KIND_ITEMS),
    (b"timestamp", KIND_TIME),
], 0b1111)
EXECUTION.rows[EXEC_FEES].table = &FEE
BALANCE.rows[BALANCE_WALLETS].table = &WALLET
LEVEL3.rows[LEVEL3_BIDS].table = LEVEL3.rows[LEVEL3_ASKS].table = &QUEUED
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
    if size == 10 and memcmp(name, b"executions", 10) == 0:
        return CHANNEL_EXECUTIONS
    if size == 8 and memcmp(name, b"balances", 8) == 0:
        return CHANNEL_BALANCES
    if size == 6 and memcmp(name, b"level3", 6) == 0:
        return CHANNEL_LEVEL3
    if size == 6 and memcmp(name, b"status", 6) == 0:
        return CHANNEL_STATUS
    return CHANNEL_UNKNOWN


cdef const Table* ROW_TABLES[CHANNEL_COUNT]
ROW_TABLES[<int>CHANNEL_BOOK] = &BOOK
ROW_TABLES[<int>CHANNEL_TICKER] = &TICKER
ROW_TABLES[<int>CHANNEL_TRADE] = &TRADE
ROW_TABLES[<int>CHANNEL_OHLC] = &OHLC
ROW_TABLES[<int>CHANNEL_EXECUTIONS] = &EXECUTION
ROW_TABLES[<int>CHANNEL_BALANCES] = &BALANCE
ROW_TABLES[<int>CHANNEL_LEVEL3] = &LEVEL3
ROW_TABLES[<int>CHANNEL_STATUS] = &STATUS
ROW_TABLES[<int>CHANNEL_EXECUTIONS] = &EXECUTION
ROW_TABLES[<int>CHANNEL_BALANCES] = &BALANCE
ROW_TABLES[<int>CHANNEL_LEVEL3] = &LEVEL3


cdef const Table** row_tables() noexcept:
    return ROW_TABLES
