cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from .book cimport Stamp
from .defs cimport FAILED, Status
from .line cimport Line
from .tables cimport Value


cdef struct Number:
    # Exact decimal of its own scale; form NUMBER_ABSENT, NUMBER_FITS, or NUMBER_HELD (kept as a Decimal elsewhere).
    int64_t mantissa
    int16_t digits
    uint8_t form


cdef enum:
    NUMBER_ABSENT = 0
    NUMBER_FITS = 1
    NUMBER_HELD = 2

    TICKER_NUMBERS = 12


cdef class Ticker:
    cdef readonly str symbol
    cdef Number[TICKER_NUMBERS] numbers     # at TICKER_BID + i
    cdef dict _held                         # slot -> Decimal, of what does not fit an int64; None until needed
    cdef int64_t _trades                    # -1: absent
    cdef Stamp stamp
    cdef int64_t changed_ns


@cython.final
cdef class LiveTicker(Ticker):
    cdef readonly Line line
    cdef readonly uint64_t messages
    cdef uint32_t epoch
    cdef object seat                        # what an arbiter of several lines knows of this ticker, or None

    cdef Status apply(self, const Value* values, uint64_t seen, int64_t recv_ns) except FAILED


@cython.final
cdef class TickerSnapshot(Ticker):
    cdef readonly str quality
    cdef readonly object age_ms
    cdef readonly str source


cdef struct TradeData:
    int64_t trade_id
    int64_t price
    int64_t qty
    int64_t recv_ns
    Stamp stamp
    int16_t price_digits
    int16_t qty_digits
    uint8_t side             # codes of Words
    uint8_t ord_type


@cython.final
cdef class Words:
    """Small texts of the exchange as codes; what is new gets the next one, up to 255."""
    cdef list texts
    cdef int code(self, const char* text, int size) except -1
    cdef str text(self, int code)


@cython.final
cdef class Trade:
    cdef readonly str symbol
    cdef readonly str side
    cdef readonly str ord_type
    cdef TradeData data


@cython.final
cdef class TradeLog:
    cdef readonly str symbol
    cdef readonly Line line
    cdef Words words
    cdef TradeData* ring
    cdef int32_t capacity
    cdef int32_t kept
    cdef uint64_t received           # distinct trades
    cdef readonly uint64_t duplicates
    cdef readonly uint64_t missed    # ids that were never delivered
    cdef int64_t last_id             # 0 before the first
    cdef object seat                 # what an arbiter of several lines knows of this log, or None

    # IGNORED for a copy of a known trade; gap_first is set to the first missing id, 0 when none is missing.
    cdef Status add(self, const TradeData* trade, int64_t* gap_first) except FAILED
    cdef Trade trade(self, const TradeData* data)
    cdef Status _grow(self) except FAILED
    cdef str _ord_type(self, int code)


cdef struct CandleData:
    Number open
    Number high
    Number low
    Number close
    Number vwap
    Number volume
    int64_t trades           # -1: absent
    int64_t begin_us
    int64_t recv_ns
    int32_t interval         # minutes


@cython.final
cdef class Candle:
    cdef readonly str symbol
    cdef CandleData data
    cdef readonly bint closed
    cdef readonly bint correction
    cdef dict _held


cdef enum CandleEvent:
    CANDLE_SAME              # nothing new
    CANDLE_UPDATED           # the running candle
    CANDLE_OPENED            # a later interval: the one before it is closed
    CANDLE_CORRECTED         # a closed candle changed after all


@cython.final
cdef class CandleLog:
    cdef readonly str symbol
    cdef readonly int interval
    cdef readonly Line line
    cdef CandleData[24] ring
    cdef list held_at                # dict of Decimals that do not fit, or None, a place of the ring
    cdef uint64_t count              # intervals seen; the running one stands at (count - 1) % 24
    cdef object seat                 # what an arbiter of several lines knows of this log, or None
    cdef readonly uint64_t messages

    cdef CandleEvent add(self, const CandleData* candle, dict held) except *
    cdef void _put(self, uint64_t position, const CandleData* candle, dict held)
    cdef uint64_t position_of(self, int64_t begin_us) noexcept
    cdef Candle candle(self, uint64_t position, bint closed, bint correction)


cdef object value_decimal(const Value* value)
cdef object number_decimal(const Number* number, dict held, int slot)
cdef void set_number(Number* number, const Value* value, bint seen) noexcept
