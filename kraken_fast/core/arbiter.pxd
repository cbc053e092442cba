cimport cython
from libc.stdint cimport int64_t, uint64_t

from .book cimport OrderBook
from .clock cimport Clock
from .defs cimport FAILED, Status
from .handler cimport Handler
from .latency cimport Histogram
from .line cimport Line
from .market cimport CandleEvent, CandleLog, LiveTicker, Trade, TradeData, TradeLog, Words
from .posts cimport Post, Seat


@cython.final
cdef class TradeSeat:
    """How far one line has come with the trades of one symbol."""
    cdef readonly Line line
    cdef readonly str name
    cdef readonly int64_t last_id
    cdef readonly int64_t said_ns
    cdef TradePost post
    cdef int64_t behind_ns               # for whoever watches: since when it was found behind; 0 if it was not


@cython.final
cdef class TradePost:
    """The trades of one symbol as they were published, and those that wait for one before them."""
    cdef readonly str symbol
    cdef readonly TradeLog log
    cdef readonly uint64_t copies
    cdef readonly uint64_t filled        # of those published: missing on the line that went ahead
    cdef readonly list seats
    cdef dict held                       # trade_id -> Trade
    cdef readonly int64_t held_ns        # since when something waits; 0 if nothing does


@cython.final
cdef class CandlePost:
    """The candles of one symbol and interval as they were published."""
    cdef readonly Post post
    cdef readonly CandleLog log


@cython.final
cdef class Leg(Handler):
    """One line's way into the arbiter."""
    cdef readonly Arbiter arbiter
    cdef readonly Line line
    cdef readonly str name


cdef class Arbiter:
    cdef readonly Handler handler
    cdef readonly Clock clock
    cdef readonly dict books             # symbol -> Post
    cdef readonly dict tickers           # symbol -> Post
    cdef readonly dict trades            # symbol -> TradePost
    cdef readonly dict candles           # (symbol, interval) -> CandlePost
    cdef readonly list legs
    cdef readonly uint64_t news          # deliveries
    cdef readonly uint64_t copies        # messages told apart from news
    cdef readonly uint64_t compared      # books compared level by level
    cdef readonly uint64_t diverged
    cdef public object on_missing        # called with (symbol, first, last): trades that no line has told yet
    cdef public object on_divergence     # called with (symbol, line, reason): its book needs a new snapshot
    cdef public Histogram decoding       # arrival to decoded, of what is delivered; or None
    cdef public Histogram delivering     # decoded to delivered; or None
    cdef public Histogram travelling     # exchange time to arrival, by the wall clock; or None
    cdef Words words
    cdef dict queues                     # Seat -> OrderBooks that wait, oldest first

    cdef int code_of(self, Words words, int code) except -1
    cdef Status deliver_book(self, OrderBook book) except FAILED
    cdef Status waiting_book(self, Post post, Seat seat, OrderBook book, int64_t recv_ns) except FAILED
    cdef Status join(self, Post post) except FAILED
    cdef Status take(self, Post post, Seat seat) except FAILED
    cdef Status settle(self, int64_t now_ns) except FAILED
    cdef Status compare(self, Post post, Seat seat, int64_t recv_ns) except FAILED
    cdef Status offer_trade(self, TradePost post, const TradeData* trade) except FAILED
    cdef Status publish_trade(self, TradePost post, const TradeData* trade) except FAILED
    cdef Status release(self, TradePost post) except FAILED
    cdef Status tell(self, object listener, tuple args) except FAILED
