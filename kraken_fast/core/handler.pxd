from libc.stdint cimport uint64_t

from .balance_store cimport BalanceUpdate
from .book cimport OrderBook
from .defs cimport FAILED, Status
from .execution cimport Execution
from .latency cimport Histogram
from .level3 cimport Level3Book
from .market cimport Candle, CandleData, CandleEvent, CandleLog, LiveTicker, TradeData, TradeLog
from .order_store cimport AccountOrder


cdef class Handler:
    """What a decoder tells. Subclass it in Cython and be called without crossing into Python.

    Stores and structs are valid during the call; copy what you keep.
    """

    cdef readonly uint64_t failures    # exceptions out of plain methods and callables

    cdef Status on_book(self, OrderBook book) except FAILED
    cdef Status on_level3(self, Level3Book book) except FAILED
    cdef Status on_ticker(self, LiveTicker ticker) except FAILED
    cdef Status on_trade(self, TradeLog log, const TradeData* trade) except FAILED
    cdef Status on_candle(self, CandleLog log, uint64_t position, CandleEvent event) except FAILED
    cdef Status on_execution(self, Execution execution, AccountOrder order) except FAILED
    cdef Status on_balance(self, BalanceUpdate update) except FAILED
    cdef Status failed(self, str channel, object error) except FAILED


cdef class Callbacks(Handler):
    cdef public Handler forward        # told first, in C; or None
    cdef public Histogram latency      # arrival to the end of the book callback is counted here; or None
    cdef public object book            # called with the live OrderBook, or None
    cdef public object level3          # with the live Level3Book
    cdef public object ticker          # with the LiveTicker
    cdef public object trade           # with a Trade
    cdef public object candle          # with a Candle
    cdef public object execution       # with an Execution
    cdef public object balance         # with a BalanceUpdate

    cdef Status _tell_candle(self, Candle candle) except FAILED
