from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from libc.string cimport memcmp

from .defs cimport Channel
from .load cimport load8


cdef enum:
    ROWS_MAX = 52            # keys in one table, besides the row that matches nothing
    VALUES_MAX = 52          # slots in one record
    ITEM_VALUES = 5          # slots in one item
    NAMES = 128              # places for names by their hash
    NUMBER_WIDE = 1          # form: the number does not fit an int64; its text is kept instead
    NUMBER_CUT = 2           # form: num and digits are exact, but not all zeros at the end found room; text has them


cdef enum Kind:
    KIND_AMOUNT = 0          # number, not negative, within int64: num, digits
    KIND_LEVELS = 1          # list of {price, qty}: num is the first index in `levels`, size the count
    KIND_TEXT = 2            # string: text, size
    KIND_TIME = 3            # RFC 3339: num is microseconds since epoch, digits the nanoseconds beyond
    KIND_UINT = 4            # integer 0 to 2**64-1, bit pattern in num
    KIND_DECIMAL = 5         # number: num, digits; or NUMBER_WIDE with text, size
    KIND_BOOL = 6            # num 0 or 1
    KIND_ROWS = 7            # list of objects of the row's table, appended to `records`
    KIND_RAW = 8             # any value, checked and kept as text, size
    KIND_CHANNEL = 9         # string that decides how `data` is read
    KIND_DATA = 10           # the channel's data
    KIND_COUNT = 11          # integer 0 to 2**63-1: num
    KIND_CHECKSUM = 12       # integer 0 to 2**32-1: num
    KIND_ITEMS = 13          # list of small objects of the row's table, appended to `items`: num and size as LEVELS


cdef struct Value:
    int64_t num
    const char* text         # into the message or the unescaped strings; valid until the next scan
    int32_t size
    int16_t digits
    uint8_t form


cdef struct Row:
    uint64_t[2] key          # the first 16 bytes of `"name":`
    uint64_t[2] mask
    int64_t key_size         # with quotes and colon
    uint64_t bit             # 1 << slot
    uint8_t kind
    uint8_t slot
    const Table* table       # of KIND_ROWS and KIND_ITEMS
    const char* name
    int32_t name_size
    uint8_t alike            # 1 + the next row whose name has the same hash, 0 behind the last


cdef struct Table:
    # Keys of one object; the rows behind the last match nothing.
    int32_t count
    uint32_t seed            # where its paths begin, see Scanner
    uint64_t required        # slots without which a record is refused
    uint8_t[NAMES] named     # by the hash of a name: 1 + its first row, 0 if there is none
    Row[ROWS_MAX + 1] rows


cdef struct Record:
    uint64_t seen            # slots that hold a value
    const Table* table
    Value[VALUES_MAX] values


cdef struct Item:
    # A Record cut short: what is filled through a pointer to either lies at the same place.
    uint64_t seen
    const Table* table
    Value[ITEM_VALUES] values


cdef enum:                   # slots of the envelope
    HEAD_CHANNEL
    HEAD_TYPE
    HEAD_DATA
    HEAD_TIMESTAMP
    HEAD_SEQUENCE
    HEAD_METHOD
    HEAD_REQ_ID
    HEAD_RESULT
    HEAD_SUCCESS
    HEAD_ERROR
    HEAD_SYMBOL
    HEAD_TIME_IN
    HEAD_TIME_OUT

cdef enum:                   # book
    BOOK_SYMBOL
    BOOK_BIDS
    BOOK_ASKS
    BOOK_CHECKSUM
    BOOK_TIMESTAMP

cdef enum:                   # ticker; every number between BID and CHANGE_PCT is a KIND_DECIMAL
    TICKER_SYMBOL
    TICKER_BID
    TICKER_BID_QTY
    TICKER_ASK
    TICKER_ASK_QTY
    TICKER_LAST
    TICKER_VOLUME
    TICKER_VWAP
    TICKER_LOW
    TICKER_HIGH
    TICKER_CHANGE
    TICKER_CHANGE_PCT
    TICKER_VOLUME_USD
    TICKER_TRADES
    TICKER_TIMESTAMP

cdef enum:                   # trade
    TRADE_SYMBOL
    TRADE_SIDE
    TRADE_PRICE
    TRADE_QTY
    TRADE_ORD_TYPE
    TRADE_ID
    TRADE_TIMESTAMP

cdef enum:                   # ohlc
    OHLC_SYMBOL
    OHLC_OPEN
    OHLC_HIGH
    OHLC_LOW
    OHLC_CLOSE
    OHLC_VWAP
    OHLC_VOLUME
    OHLC_TRADES
    OHLC_BEGIN
    OHLC_INTERVAL
    OHLC_TIMESTAMP

cdef enum:                   # instrument, pairs
    PAIR_SYMBOL
    PAIR_BASE
    PAIR_QUOTE
    PAIR_STATUS
    PAIR_QTY_PRECISION
    PAIR_QTY_INCREMENT
    PAIR_PRICE_PRECISION
    PAIR_COST_PRECISION
    PAIR_MARGINABLE
    PAIR_HAS_INDEX
    PAIR_COST_MIN
    PAIR_MARGIN_INITIAL
    PAIR_LIMIT_LONG
    PAIR_LIMIT_SHORT
    PAIR_TICK_SIZE
    PAIR_PRICE_INCREMENT
    PAIR_QTY_MIN

cdef enum:                   # instrument, assets
    ASSET_ID
    ASSET_STATUS
    ASSET_PRECISION
    ASSET_PRECISION_DISPLAY
    ASSET_BORROWABLE
    ASSET_COLLATERAL
    ASSET_MARGIN_RATE
    ASSET_CLASS
    ASSET_MULTIPLIER

cdef enum:                   # status
    STATUS_SYSTEM
    STATUS_VERSION
    STATUS_API_VERSION
    STATUS_CONNECTION_ID
    STATUS_MAINTENANCE
    STATUS_EMERGENCY

cdef enum:                   # executions
    EXEC_ORDER_ID
    EXEC_CL_ORD_ID
    EXEC_ORDER_USERREF
    EXEC_EXEC_ID
    EXEC_EXEC_TYPE
    EXEC_TRADE_ID
    EXEC_SYMBOL
    EXEC_ORDER_QTY
    EXEC_SIDE
    EXEC_LAST_QTY
    EXEC_LAST_PRICE
    EXEC_LIQUIDITY_IND
    EXEC_COST
    EXEC_ORDER_TYPE
    EXEC_TIMESTAMP
    EXEC_ORDER_STATUS
    EXEC_CUM_QTY
    EXEC_CUM_COST
    EXEC_AVG_PRICE
    EXEC_TIME_IN_FORCE
    EXEC_LIMIT_PRICE_TYPE
    EXEC_LIMIT_PRICE
    EXEC_STOP_PRICE
    EXEC_POST_ONLY
    EXEC_FEE_USD_EQUIV
    EXEC_FEE_CCY_PREF
    EXEC_FEES
    EXEC_AMENDED
    EXEC_REASON
    EXEC_CANCEL_REASON
    EXEC_DISPLAY_QTY
    EXEC_DISPLAY_QTY_REMAIN
    EXEC_CASH_ORDER_QTY
    EXEC_REDUCE_ONLY
    EXEC_MARGIN
    EXEC_MARGIN_BORROW
    EXEC_LIQUIDATED
    EXEC_NO_MPP
    EXEC_POSITION_STATUS
    EXEC_EFFECTIVE_TIME
    EXEC_EXPIRE_TIME
    EXEC_ORD_REF_ID
    EXEC_EXT_ORD_ID
    EXEC_EXT_EXEC_ID
    EXEC_TRIGGERS
    EXEC_CONTINGENT
    EXEC_TRIGGER
    EXEC_TRIGGERED_PRICE
    EXEC_SENDER_SUB_ID
    EXEC_USER
    EXEC_RATECOUNT
    EXEC_COUNT

cdef enum:                   # fees of an execution
    FEE_ASSET
    FEE_QTY

cdef enum:                   # balances
    BALANCE_LEDGER_ID
    BALANCE_REF_ID
    BALANCE_TIMESTAMP
    BALANCE_TYPE
    BALANCE_SUBTYPE
    BALANCE_ASSET
    BALANCE_ASSET_CLASS
    BALANCE_CATEGORY
    BALANCE_WALLET_TYPE
    BALANCE_WALLET_ID
    BALANCE_AMOUNT
    BALANCE_FEE
    BALANCE_WALLETS
    BALANCE_BALANCE
    BALANCE_USER
    BALANCE_COUNT

cdef enum:                   # wallets of a balance
    WALLET_TYPE
    WALLET_ID
    WALLET_BALANCE

cdef enum:                   # level3
    LEVEL3_SYMBOL
    LEVEL3_CHECKSUM
    LEVEL3_BIDS
    LEVEL3_ASKS
    LEVEL3_TIMESTAMP

cdef enum:                   # orders of level3
    QUEUED_EVENT
    QUEUED_ORDER_ID
    QUEUED_PRICE
    QUEUED_QTY
    QUEUED_TIMESTAMP


cdef inline uint32_t name_hash(const char* name, int size) noexcept nogil:
    """Of the length and the first eight bytes. SAFE: names lie where eight bytes can be read."""
    cdef uint64_t head = load8(name)
    if size < 8:
        head &= (<uint64_t>1 << 8 * size) - 1
    return <uint32_t>((head ^ <uint64_t>size << 56) * <uint64_t>0x9E3779B97F4A7C15 >> 57)     # below NAMES


cdef inline const Row* row_named(const Table* table, const char* name, int size) noexcept nogil:
    """The row of a key, NULL if the table has none."""
    cdef int place = table.named[name_hash(name, size)]
    while place:
        if table.rows[place - 1].name_size == size and memcmp(table.rows[place - 1].name, name, size) == 0:
            return &table.rows[place - 1]
        place = table.rows[place - 1].alike
    return NULL


cdef const Table* head_table() noexcept            # of the envelope
cdef const Table* level_table() noexcept           # of {price, qty}
cdef const Table* instrument_table() noexcept      # of the object that is `data` of instrument
cdef const Table* pair_table() noexcept            # of its rows
cdef const Table** row_tables() noexcept           # of the rows of `data`, by Channel; NULL for channels without
cdef Channel channel_named(const char* name, int size) noexcept
