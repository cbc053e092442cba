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


cdef void _define(Table* table, uint64_t required, str rows):
    """rows: `name kind` in wire order, slots count from 0. A text: lists of tuples would be 90 KB of code."""
    cdef int slot
    table.count = 0
    table.seed = len(_names) * 2             # no two tables begin their paths at the same place
    memset(table.named, 0, NAMES)
    for slot, row in enumerate(rows.split("; ")):
        name, kind = row.split()
        _names.append(name.encode())         # keeps the bytes alive for as long as the tables
        _add(table, <const char*>(<bytes>_names[len(_names) - 1]), KINDS[kind], slot, NULL)
    table.required = required


cdef list _names = []
cdef dict KINDS = {
    "amount": KIND_AMOUNT, "bool": KIND_BOOL, "channel": KIND_CHANNEL, "checksum": KIND_CHECKSUM, "count": KIND_COUNT,
    "data": KIND_DATA, "decimal": KIND_DECIMAL, "items": KIND_ITEMS, "levels": KIND_LEVELS, "raw": KIND_RAW,
    "text": KIND_TEXT, "time": KIND_TIME, "uint": KIND_UINT,
}

_define(&HEAD, 0, (
    "channel channel; type text; data data; timestamp time; sequence uint; method text; req_id uint; result raw; "
    "success bool; error text; symbol text; time_in time; time_out time"
))
_define(&LEVEL, 0b11, (
    "price amount; qty amount"
))
_define(&BOOK, 0b1111, (
    "symbol text; bids levels; asks levels; checksum checksum; timestamp time"
))
_define(&TICKER, 0b111111, (
    "symbol text; bid decimal; bid_qty decimal; ask decimal; ask_qty decimal; last decimal; volume decimal; "
    "vwap decimal; low decimal; high decimal; change decimal; change_pct decimal; volume_usd decimal; "
    "trades count; timestamp time"
))
_define(&TRADE, 0b1101111, (
    "symbol text; side text; price amount; qty amount; ord_type text; trade_id count; timestamp time"
))
_define(&OHLC, 0b1101011111, (
    "symbol text; open decimal; high decimal; low decimal; close decimal; vwap decimal; volume decimal; "
    "trades count; interval_begin time; interval count; timestamp time"
))
_define(&PAIR, 0b1011111, (
    "symbol text; base text; quote text; status text; qty_precision count; qty_increment decimal; "
    "price_precision count; cost_precision count; marginable bool; has_index bool; cost_min decimal; "
    "margin_initial decimal; position_limit_long decimal; position_limit_short decimal; tick_size decimal; "
    "price_increment decimal; qty_min decimal"
))
_define(&ASSET, 0b111, (
    "id text; status text; precision count; precision_display count; borrowable bool; collateral_value decimal; "
    "margin_rate decimal; class text; multiplier decimal"
))
_define(&STATUS, 0b1, (
    "system text; version text; api_version text; connection_id uint; upcoming_maintenance raw; emergency raw"
))
_define(&FEE, 0b11, (
    "asset text; qty decimal"
))
_define(&EXECUTION, 1 << EXEC_ORDER_ID | 1 << EXEC_EXEC_TYPE, (
    "order_id text; cl_ord_id text; order_userref decimal; exec_id text; exec_type text; trade_id count; "
    "symbol text; order_qty decimal; side text; last_qty decimal; last_price decimal; liquidity_ind text; "
    "cost decimal; order_type text; timestamp time; order_status text; cum_qty decimal; cum_cost decimal; "
    "avg_price decimal; time_in_force text; limit_price_type text; limit_price decimal; stop_price decimal; "
    "post_only bool; fee_usd_equiv decimal; fee_ccy_pref text; fees items; amended bool; reason text; "
    "cancel_reason text; display_qty decimal; display_qty_remain decimal; cash_order_qty decimal; "
    "reduce_only bool; margin bool; margin_borrow bool; liquidated bool; no_mpp bool; position_status text; "
    "effective_time text; expire_time text; ord_ref_id text; ext_ord_id text; ext_exec_id text; triggers raw; "
    "contingent raw; trigger text; triggered_price decimal; sender_sub_id text; user text; ratecount decimal"
))
_define(&WALLET, 0b111, (
    "type text; id text; balance decimal"
))
_define(&BALANCE, 1 << BALANCE_ASSET | 1 << BALANCE_BALANCE, (
    "ledger_id text; ref_id text; timestamp time; type text; subtype text; asset text; asset_class text; "
    "category text; wallet_type text; wallet_id text; amount decimal; fee decimal; wallets items; "
    "balance decimal; user text"
))
_define(&QUEUED, 0b1110, (
    "event text; order_id text; limit_price amount; order_qty amount; timestamp time"
))
_define(&LEVEL3, 0b1111, (
    "symbol text; checksum checksum; bids items; asks items; timestamp time"
))
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
