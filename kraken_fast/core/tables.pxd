from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .defs cimport Channel


cdef enum:
    ROWS_MAX = 24            # keys in one table
    VALUES_MAX = 20          # slots in one record
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
    uint32_t bit             # 1 << slot
    uint8_t kind
    uint8_t slot
    const Table* table       # of KIND_ROWS
    const char* name
    int32_t name_size


cdef struct Table:
    # Keys of one object in the order in which the wire usually sends them; a last row matches nothing.
    int32_t count
    uint32_t required        # slots without which a record is refused
    Row[ROWS_MAX] rows


cdef struct Record:
    uint32_t seen            # slots that hold a value
    const Table* table
    Value[VALUES_MAX] values


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


cdef const Table* head_table() noexcept            # of the envelope
cdef const Table* level_table() noexcept           # of {price, qty}
cdef const Table* instrument_table() noexcept      # of the object that is `data` of instrument
cdef const Table* pair_table() noexcept            # of its rows
cdef const Table** row_tables() noexcept           # of the rows of `data`, by Channel; NULL for channels without
cdef Channel channel_named(const char* name, int size) noexcept
