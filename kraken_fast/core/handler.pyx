# cython: language_level=3, binding=True, auto_pickle=False
"""The seam between decoding and whoever wants to know.

Hot events (book, ticker, trade, candle) are C methods; what happens rarely (acknowledgements, states, losses) are plain
methods that a Python subclass overrides.
"""

import logging

from libc.stdint cimport uint64_t

from .balance_store cimport BalanceUpdate
from .book cimport OrderBook
from .defs cimport FAILED, OK, Status
from .execution cimport Execution
from .level3 cimport Level3Book
from .market cimport CANDLE_CORRECTED, CANDLE_OPENED, Candle, CandleEvent, CandleLog, LiveTicker, TradeData, TradeLog
from .order_store cimport AccountOrder

_log = logging.getLogger("kraken_fast.callbacks")


cdef class Handler:
    """Hears everything that a decoder has to tell, and does nothing with it.

    A method or callable written in Python that raises harms nobody else: the exception is counted, logged with its
    traceback, and told to `on_callback_error`. A C method that fails ends the reading of its message.

    Attributes:
        failures: exceptions so far.
    """

    cdef Status on_book(self, OrderBook book) except FAILED:
        return OK

    cdef Status on_level3(self, Level3Book book) except FAILED:
        return OK

    cdef Status on_ticker(self, LiveTicker ticker) except FAILED:
        return OK

    cdef Status on_trade(self, TradeLog log, const TradeData* trade) except FAILED:
        return OK

    cdef Status on_candle(self, CandleLog log, uint64_t position, CandleEvent event) except FAILED:
        return OK

    cdef Status on_execution(self, Execution execution, AccountOrder order) except FAILED:
        return OK

    cdef Status on_balance(self, BalanceUpdate update) except FAILED:
        return OK

    def on_snapshot(self, channel, symbol):
        """A snapshot of `channel` was applied; symbol is "" for instrument, executions and balances."""

    def on_book_lost(self, book, reason):
        """`book` can no longer be trusted and awaits a new snapshot.

        `reason` is checksum (of an update), snapshot (its checksum), malformed or precision. After the first two,
        what the book holds is dropped when this returns, unless `book.give_up_verifying()` was called.
        """

    def on_level3_lost(self, book, reason):
        """The same of a Level3Book."""

    def on_gap(self, gap):
        """Trades were missed; `gap` is a types.Gap."""

    def on_sequence_gap(self, channel, expected, got):
        """Messages of `channel` (executions or balances) were lost; its store is not live until the next snapshot.

        `got` is the number that came instead of `expected`: larger after a loss, smaller for a copy or a restart;
        None when a message could not be understood. The next gap is told although the store is not live.
        """

    def on_refused(self, error):
        """A message was not understood; `error` is a DecodeError and was counted."""

    def on_ack(self, ack):
        """The exchange answered a request; `ack` is a types.Ack."""

    def on_status(self, status):
        """The engine's state was told; `status` is a types.SystemStatus."""

    def on_instruments(self, update):
        """Pairs or assets were told; `update` is a types.InstrumentUpdate."""

    def on_callback_error(self, channel, error):
        """A callback raised `error`; what was decoded is in the stores all the same.

        `channel` is that of the callback (book, level3, ticker, trade, ohlc, executions, balances), else the name of
        the method that raised.
        """

    cdef Status failed(self, str channel, object error) except FAILED:
        cdef bint rare
        self.failures += 1
        rare = self.failures & (self.failures - 1) == 0      # the 1st, 2nd, 4th, 8th ...: a log that cannot flood
        if rare:
            _log.error("callback for %s raised (%d so far)", channel, self.failures, exc_info=error)
        try:
            self.on_callback_error(channel, error)
        except Exception:
            if rare:
                _log.exception("on_callback_error raised")
        return OK


cdef class Callbacks(Handler):
    """Hands hot events to Python callables.

    Attributes:
        forward: a Handler that is told first, without crossing into Python when it is written in Cython.
        latency: a Histogram of the time from a book message's arrival to the end of its callback.
        book, level3, ticker: called with the live store, which is reused: valid during the call.
        trade, candle: called with an immutable Trade or Candle.
        execution, balance: called with an immutable Execution or BalanceUpdate.
    """

    cdef Status on_book(self, OrderBook book) except FAILED:
        if self.forward is not None:
            self.forward.on_book(book)
        if self.book is not None:
            try:
                self.book(book)
            except Exception as error:
                self.failed("book", error)
        if self.latency is not None:
            self.latency.add(book.line.clock.now_ns() - book.changed_ns)
        return OK

    cdef Status on_ticker(self, LiveTicker ticker) except FAILED:
        if self.forward is not None:
            self.forward.on_ticker(ticker)
        if self.ticker is not None:
            try:
                self.ticker(ticker)
            except Exception as error:
                self.failed("ticker", error)
        return OK

    cdef Status on_trade(self, TradeLog log, const TradeData* trade) except FAILED:
        if self.forward is not None:
            self.forward.on_trade(log, trade)
        if self.trade is not None:
            try:
                self.trade(log.trade(trade))
            except Exception as error:
                self.failed("trade", error)
        return OK

    cdef Status on_candle(self, CandleLog log, uint64_t position, CandleEvent event) except FAILED:
        if self.forward is not None:
            self.forward.on_candle(log, position, event)
        if self.candle is None:
            return OK
        if event == CANDLE_OPENED and position > 0:
            self._tell_candle(log.candle(position - 1, True, False))
        self._tell_candle(log.candle(position, event == CANDLE_CORRECTED, event == CANDLE_CORRECTED))
        return OK

    cdef Status _tell_candle(self, Candle candle) except FAILED:
        try:
            self.candle(candle)
        except Exception as error:
            self.failed("ohlc", error)
        return OK

    cdef Status on_execution(self, Execution execution, AccountOrder order) except FAILED:
        if self.forward is not None:
            self.forward.on_execution(execution, order)
        if self.execution is not None:
            try:
                self.execution(execution)
            except Exception as error:
                self.failed("executions", error)
        return OK

    cdef Status on_balance(self, BalanceUpdate update) except FAILED:
        if self.forward is not None:
            self.forward.on_balance(update)
        if self.balance is not None:
            try:
                self.balance(update)
            except Exception as error:
                self.failed("balances", error)
        return OK

    cdef Status on_level3(self, Level3Book book) except FAILED:
        if self.forward is not None:
            self.forward.on_level3(book)
        if self.level3 is not None:
            try:
                self.level3(book)
            except Exception as error:
                self.failed("level3", error)
        return OK
