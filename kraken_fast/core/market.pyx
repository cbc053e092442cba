# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Stores of one line for ticker, trades and candles, and the immutable records made from them.

A number keeps the decimals that the wire gave it, so what is read equals what was sent to the last zero. One that does
not fit an int64 is held as a Decimal beside the store.

Trades are numbered without gaps within a symbol: a repeated id is a copy and dropped, a jump is a loss and told.
A candle is closed by the first row of a later interval; a closed one changes only with `correction` set.
"""

from decimal import Decimal

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint64_t
from libc.string cimport memcmp

from .book cimport Stamp
from .defs cimport FAILED, IGNORED, OK, Status
from .fixed cimport SCALE_MAX, fixed_decimal, fixed_float
from .line cimport Line
from .tables cimport NUMBER_CUT, NUMBER_WIDE, TICKER_BID, TICKER_TIMESTAMP, TICKER_TRADES, Value


cdef enum:
    RING = 24               # candles kept a symbol and interval; a snapshot brings about a dozen
    TRADES_KEPT = 50        # as many as the exchange's own snapshot


cdef void set_number(Number* number, const Value* value, bint seen) noexcept:
    if not seen:
        number.form = NUMBER_ABSENT
        return
    number.mantissa = value.num
    number.digits = value.digits
    # A mantissa with more decimals than an int64 has digits is rare enough to be held like one that is too wide.
    number.form = NUMBER_HELD if value.form & (NUMBER_WIDE | NUMBER_CUT) or value.digits > SCALE_MAX else NUMBER_FITS


cdef object number_decimal(const Number* number, dict held, int slot):
    if number.form == NUMBER_FITS:
        return fixed_decimal(number.mantissa, number.digits)
    return None if number.form == NUMBER_ABSENT else held[slot]


cdef object _number_float(const Number* number, dict held, int slot):
    if number.form == NUMBER_FITS:
        return fixed_float(number.mantissa, number.digits)
    return None if number.form == NUMBER_ABSENT else float(held[slot])


cdef object value_decimal(const Value* value):
    """The Decimal of a scanned number that set_number calls held."""
    return Decimal(PyUnicode_DecodeASCII(value.text, value.size, NULL))


cdef object _stamp_ns(const Stamp* stamp):
    return None if stamp.us == INT64_MIN else <object>stamp.us * 1000 + stamp.ns


# ---------------------------------------------------------------------------------------------- ticker

cdef class Ticker:
    """Best prices and 24-hour figures of a symbol. Every number is a Decimal as sent, None where it was not sent."""

    @property
    def bid(self):
        """Best bid price."""
        return number_decimal(&self.numbers[0], self._held, 0)

    @property
    def bid_qty(self):
        """Quantity at the best bid."""
        return number_decimal(&self.numbers[1], self._held, 1)

    @property
    def ask(self):
        """Best ask price."""
        return number_decimal(&self.numbers[2], self._held, 2)

    @property
    def ask_qty(self):
        """Quantity at the best ask."""
        return number_decimal(&self.numbers[3], self._held, 3)

    @property
    def last(self):
        """Price of the last trade; only reliable if there was one within 24 hours."""
        return number_decimal(&self.numbers[4], self._held, 4)

    @property
    def volume(self):
        """Base volume of the last 24 hours."""
        return number_decimal(&self.numbers[5], self._held, 5)

    @property
    def vwap(self):
        """Volume-weighted average price of the last 24 hours."""
        return number_decimal(&self.numbers[6], self._held, 6)

    @property
    def low(self):
        """Lowest trade price of the last 24 hours."""
        return number_decimal(&self.numbers[7], self._held, 7)

    @property
    def high(self):
        """Highest trade price of the last 24 hours."""
        return number_decimal(&self.numbers[8], self._held, 8)

    @property
    def change(self):
        """Last price minus the one 24 hours ago; signed."""
        return number_decimal(&self.numbers[9], self._held, 9)

    @property
    def change_pct(self):
        """The same in percent; signed."""
        return number_decimal(&self.numbers[10], self._held, 10)

    @property
    def volume_usd(self):
        """24-hour volume in USD; sent in early 2026 only."""
        return number_decimal(&self.numbers[11], self._held, 11)

    @property
    def bid_float(self):
        """`bid` as float, for signals."""
        return _number_float(&self.numbers[0], self._held, 0)

    @property
    def ask_float(self):
        """`ask` as float, for signals."""
        return _number_float(&self.numbers[2], self._held, 2)

    @property
    def last_float(self):
        """`last` as float, for signals."""
        return _number_float(&self.numbers[4], self._held, 4)

    @property
    def trades(self):
        """Number of trades of the last 24 hours; sent since late 2026."""
        return self._trades if self._trades >= 0 else None

    @property
    def exch_ns(self):
        """Exchange time of the message, ns since epoch; None when it carried none."""
        return _stamp_ns(&self.stamp)

    @property
    def updated_ns(self):
        """Arrival of the message, monotonic ns; None before the first."""
        return self.changed_ns if self.changed_ns else None

    def __repr__(self):
        return f"<{type(self).__name__} {self.symbol} bid {self.bid} ask {self.ask} last {self.last}>"


cdef class LiveTicker(Ticker):
    """The ticker as one line keeps it: read it inside a callback or between awaits, copy it with `snapshot()`."""

    def __init__(self, str symbol, Line line):
        self.symbol = symbol
        self.line = line
        self._trades = -1
        self.stamp.us = INT64_MIN

    cdef Status apply(self, const Value* values, uint64_t seen, int64_t recv_ns) except FAILED:
        cdef int i
        cdef const Value* value
        for i in range(TICKER_NUMBERS):
            value = &values[TICKER_BID + i]
            set_number(&self.numbers[i], value, seen >> (TICKER_BID + i) & 1)
            if self.numbers[i].form == NUMBER_HELD:
                if self._held is None:
                    self._held = {}
                self._held[i] = value_decimal(value)
        self._trades = values[TICKER_TRADES].num if seen >> TICKER_TRADES & 1 else -1
        self.stamp.us = INT64_MIN
        if seen >> TICKER_TIMESTAMP & 1:
            self.stamp.us = values[TICKER_TIMESTAMP].num
            self.stamp.ns = values[TICKER_TIMESTAMP].digits
        self.changed_ns = recv_ns
        self.epoch = self.line.epoch
        self.messages += 1
        return OK

    def await_snapshot(self):
        """Note that its subscription begins anew: what it holds is stale until the next message."""
        self.epoch = 0

    @property
    def quality(self):
        """live: of the present connection, which was heard within 1.5 s. Else stale, or none before the first."""
        if not self.changed_ns:
            return "none"
        return "live" if self.epoch == self.line.epoch and self.line.is_fresh() else "stale"

    @property
    def age_ms(self):
        """Milliseconds since the line last proved this value current; None before the first."""
        cdef int64_t proven = self.changed_ns
        if not proven:
            return None
        if self.epoch == self.line.epoch and self.line.heard_ns > proven:
            proven = self.line.heard_ns
        return max(0.0, (self.line.clock.now_ns() - proven) / 1e6)

    @property
    def source(self):
        """Where the values come from."""
        return "websocket"

    def snapshot(self):
        """Copy into an immutable TickerSnapshot."""
        cdef TickerSnapshot copy = TickerSnapshot.__new__(TickerSnapshot)
        copy.symbol = self.symbol
        copy.numbers = self.numbers
        copy._held = None if self._held is None else dict(self._held)
        copy._trades = self._trades
        copy.stamp = self.stamp
        copy.changed_ns = self.changed_ns
        copy.quality = self.quality
        copy.age_ms = self.age_ms
        copy.source = self.source
        return copy


cdef class TickerSnapshot(Ticker):
    """An immutable copy of a ticker.

    Attributes:
        quality: live, stale, rest or none, at the moment of the copy.
        age_ms: how long before the copy the values were last proven current; None if never.
        source: where the values come from.
    """

    def __init__(self):
        raise TypeError("TickerSnapshot is made by LiveTicker.snapshot()")


# ---------------------------------------------------------------------------------------------- trades

cdef class Words:
    def __init__(self):
        self.texts = [b"buy", b"sell", b"limit", b"market"]

    cdef int code(self, const char* text, int size) except -1:
        cdef int i
        cdef bytes word
        for i in range(len(self.texts)):
            word = <bytes>self.texts[i]
            if len(word) == size and memcmp(<const char*>word, text, size) == 0:
                return i
        if len(self.texts) > 254:
            return 255                       # a hostile peer shall not grow us without end
        self.texts.append(text[:size])
        return len(self.texts) - 1

    cdef str text(self, int code):
        return "other" if code >= len(self.texts) else self.texts[code].decode()


@cython.freelist(64)
cdef class Trade:
    """One public trade; immutable.

    Attributes:
        symbol: as on WebSocket v2.
        side: buy or sell, of the taker.
        ord_type: limit or market, of the taker; None when it was not sent.
    """

    def __init__(self):
        raise TypeError("Trade is made by the decoder")

    @property
    def price(self):
        """Price as Decimal, as sent."""
        return fixed_decimal(self.data.price, self.data.price_digits)

    @property
    def qty(self):
        """Base quantity as Decimal, as sent."""
        return fixed_decimal(self.data.qty, self.data.qty_digits)

    @property
    def price_float(self):
        """Price as float, for signals."""
        return fixed_float(self.data.price, self.data.price_digits)

    @property
    def qty_float(self):
        """Quantity as float, for signals."""
        return fixed_float(self.data.qty, self.data.qty_digits)

    @property
    def trade_id(self):
        """Number of the trade, consecutive within its symbol."""
        return self.data.trade_id

    @property
    def exch_ns(self):
        """Exchange time, ns since epoch."""
        return _stamp_ns(&self.data.stamp)

    @property
    def recv_ns(self):
        """Arrival, monotonic ns."""
        return self.data.recv_ns

    def __repr__(self):
        return f"<Trade {self.symbol} {self.trade_id} {self.side} {self.qty} at {self.price}>"


cdef class TradeLog:
    """The last trades of a symbol, each once and in order."""

    def __init__(self, str symbol, Line line, Words words):
        self.symbol = symbol
        self.line = line
        self.words = words

    def __dealloc__(self):
        PyMem_Free(self.ring)

    cdef Status add(self, const TradeData* trade, int64_t* gap_first) except FAILED:
        gap_first[0] = 0
        if trade.trade_id <= self.last_id:
            self.duplicates += 1
            return IGNORED
        if self.last_id and trade.trade_id > self.last_id + 1:
            gap_first[0] = self.last_id + 1
            self.missed += trade.trade_id - self.last_id - 1
        self.last_id = trade.trade_id
        if self.kept == self.capacity and self.capacity < TRADES_KEPT:
            self._grow()
        self.ring[self.received % self.capacity] = trade[0]
        self.received += 1
        if self.kept < self.capacity:
            self.kept += 1
        return OK

    cdef Status _grow(self) except FAILED:
        cdef int32_t capacity = min(max(4, 4 * self.capacity), TRADES_KEPT)
        cdef TradeData* larger = <TradeData*>PyMem_Malloc(capacity * sizeof(TradeData))
        cdef uint64_t position
        if larger is NULL:
            raise MemoryError()
        for position in range(self.received - self.kept, self.received):
            larger[position % capacity] = self.ring[position % self.capacity]
        PyMem_Free(self.ring)
        self.ring = larger
        self.capacity = capacity
        return OK

    cdef Trade trade(self, const TradeData* data):
        cdef Trade trade = Trade.__new__(Trade)
        trade.symbol = self.symbol
        trade.side = "buy" if data.side == 0 else "sell" if data.side == 1 else self.words.text(data.side)
        trade.ord_type = self._ord_type(data.ord_type)
        trade.data = data[0]
        return trade

    cdef str _ord_type(self, int code):
        if code == 2:
            return "limit"
        if code == 3:
            return "market"
        return None if code == 0 else self.words.text(code)

    @property
    def last_trade_id(self):
        """Id of the newest trade, None before the first."""
        return self.last_id if self.last_id else None

    @property
    def count(self):
        """Distinct trades received so far."""
        return self.received

    def recent(self):
        """The last trades as a tuple of Trade, oldest first; at most 50."""
        cdef int i
        return tuple([
            self.trade(&self.ring[(self.received - self.kept + i) % self.capacity]) for i in range(self.kept)
        ])


# ---------------------------------------------------------------------------------------------- candles

cdef class Candle:
    """One candle; immutable.

    Attributes:
        symbol: as on WebSocket v2.
        closed: a later interval has begun.
        correction: it was closed before and has changed after all.
    """

    def __init__(self):
        raise TypeError("Candle is made by the decoder")

    @property
    def open(self):
        """First price of the interval."""
        return number_decimal(&self.data.open, self._held, 0)

    @property
    def high(self):
        """Highest price of the interval."""
        return number_decimal(&self.data.high, self._held, 1)

    @property
    def low(self):
        """Lowest price of the interval."""
        return number_decimal(&self.data.low, self._held, 2)

    @property
    def close(self):
        """Last price of the interval so far."""
        return number_decimal(&self.data.close, self._held, 3)

    @property
    def vwap(self):
        """Volume-weighted average price of the interval."""
        return number_decimal(&self.data.vwap, self._held, 4)

    @property
    def volume(self):
        """Base volume of the interval."""
        return number_decimal(&self.data.volume, self._held, 5)

    @property
    def trades(self):
        """Trades in the interval; None when not sent."""
        return self.data.trades if self.data.trades >= 0 else None

    @property
    def interval(self):
        """Length in minutes."""
        return self.data.interval

    @property
    def begin_ns(self):
        """Start of the interval, ns since epoch."""
        return <object>self.data.begin_us * 1000

    @property
    def end_ns(self):
        """End of the interval, ns since epoch."""
        return <object>self.data.begin_us * 1000 + self.data.interval * <int64_t>60_000_000_000

    @property
    def recv_ns(self):
        """Arrival, monotonic ns."""
        return self.data.recv_ns

    def __repr__(self):
        return (f"<Candle {self.symbol} {self.interval}m at {self.begin_ns // 10**9} open {self.open} high {self.high} "
                f"low {self.low} close {self.close} volume {self.volume}{' closed' if self.closed else ''}>")


cdef bint _same(const CandleData* a, const CandleData* b) noexcept:
    return (
        _equal(&a.open, &b.open) and _equal(&a.high, &b.high) and _equal(&a.low, &b.low)
        and _equal(&a.close, &b.close) and _equal(&a.vwap, &b.vwap) and _equal(&a.volume, &b.volume)
        and a.trades == b.trades
    )


cdef bint _equal(const Number* a, const Number* b) noexcept:
    # Decimals held beside are compared by whoever holds them.
    return a.form == b.form and (a.form != NUMBER_FITS or (a.mantissa == b.mantissa and a.digits == b.digits))


cdef class CandleLog:
    """The last candles of a symbol and interval."""

    def __init__(self, str symbol, int interval, Line line):
        self.symbol = symbol
        self.interval = interval
        self.line = line
        self.held_at = [None] * RING

    cdef CandleEvent add(self, const CandleData* candle, dict held) except *:
        cdef uint64_t position = self.count
        cdef CandleData* known = NULL
        self.messages += 1
        while position > 0 and position + RING > self.count:
            known = &self.ring[(position - 1) % RING]
            if known.begin_us <= candle.begin_us:
                break
            position -= 1
        if position == self.count and (position == 0 or self.ring[(position - 1) % RING].begin_us < candle.begin_us):
            self._put(self.count, candle, held)
            self.count += 1
            return CANDLE_OPENED
        if position == 0 or position + RING <= self.count or known.begin_us != candle.begin_us:
            return CANDLE_SAME                 # older than all we hold, or an interval that we never saw begin
        if _same(known, candle) and self.held_at[(position - 1) % RING] == held:
            return CANDLE_SAME
        self._put(position - 1, candle, held)
        return CANDLE_UPDATED if position == self.count else CANDLE_CORRECTED

    cdef void _put(self, uint64_t position, const CandleData* candle, dict held):
        self.ring[position % RING] = candle[0]
        self.held_at[position % RING] = held

    cdef uint64_t position_of(self, int64_t begin_us) noexcept:
        cdef uint64_t position = self.count - 1
        while self.ring[position % RING].begin_us != begin_us:     # SAFE: add() has just put it there
            position -= 1
        return position

    cdef Candle candle(self, uint64_t position, bint closed, bint correction):
        cdef Candle candle = Candle.__new__(Candle)
        candle.symbol = self.symbol
        candle.data = self.ring[position % RING]
        candle._held = self.held_at[position % RING]
        candle.closed = closed
        candle.correction = correction
        return candle

    def recent(self):
        """The last candles as a tuple of Candle, oldest first; at most 24, the last one still running."""
        cdef uint64_t first = self.count - RING if self.count > RING else 0
        return tuple([self.candle(i, i + 1 < self.count, False) for i in range(first, self.count)])
