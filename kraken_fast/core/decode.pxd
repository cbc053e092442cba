cimport cython
from libc.stdint cimport int64_t, uint64_t

from .defs cimport CHANNEL_COUNT, FAILED, Channel, Status
from .book cimport OrderBook
from .handler cimport Handler
from .line cimport Line
from .scan cimport Scanner
from .tables cimport Record
from .sink cimport MessageSink
from .symbols cimport Slot, SymbolTable
from .market cimport CandleLog, TradeData, Words


@cython.final
cdef class Decoder(MessageSink):
    cdef readonly Line line
    cdef readonly dict instruments             # symbol -> types.Instrument
    cdef readonly dict assets                  # id -> types.Asset
    cdef readonly uint64_t messages            # whole text messages taken in
    cdef readonly uint64_t malformed           # of a known channel, or not JSON at all
    cdef readonly uint64_t unknown             # well formed, of a channel that we do not know
    cdef readonly uint64_t unwanted            # of symbols that nobody here asked for
    cdef readonly object last_error            # the last DecodeError
    cdef Handler handler
    cdef Scanner scanner
    cdef SymbolTable symbols
    cdef Words words
    cdef char* buffer
    cdef Py_ssize_t capacity
    cdef Py_ssize_t size                       # of the message in hand
    cdef bint busy                             # telling a handler about the message in the buffer
    cdef bint create
    cdef int create_depth
    cdef bint portable
    cdef uint64_t[CHANNEL_COUNT] counts

    cdef Status understand(self, int64_t recv_ns) except FAILED
    cdef Status _book(self, bint snapshot, int64_t recv_ns) except FAILED
    cdef Status _ticker(self, bint snapshot, int64_t recv_ns) except FAILED
    cdef Status _trade(self, bint snapshot, int64_t recv_ns) except FAILED
    cdef Status _ohlc(self, bint snapshot, int64_t recv_ns) except FAILED
    cdef Status _fill_trade(self, TradeData* trade, const Record* record, int64_t recv_ns) except FAILED
    cdef CandleLog _candle_log(self, Slot slot, int interval)
    cdef Status _instrument(self, bint snapshot) except FAILED
    cdef Status _rescale(self, str symbol, int price_scale, int qty_scale) except FAILED
    cdef Status _status(self) except FAILED
    cdef Status _ack(self) except FAILED
    cdef Status _refuse(self, const char* at, const char* reason, str symbol) except FAILED
    cdef Status _reserve(self, Py_ssize_t size) except FAILED
    cdef Slot _slot(self, const char* name, int size)
    cdef Slot _new_slot(self, str symbol)
    cdef Slot _find(self, str symbol)
    cdef Status _tell(self, object method, tuple args) except FAILED
    cdef Status _distrust(self, str channel, list symbols) except FAILED
    cdef Status _lose_book(self, OrderBook book, str reason) except FAILED
