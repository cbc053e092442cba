# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""The decoder: one whole text message in, one line's stores updated, one handler told. All in one call stack.

Order of things: copy into a buffer of our own (padded and ended by a NUL, so that the scanner needs no bounds), scan,
apply, tell. Until the whole message was understood no store is touched. A message that is refused is counted, told as a
DecodeError, and the book it was meant for is distrusted until its next snapshot; if its symbol cannot be told, all
books of the line count as proven to ten levels only, since a lost change below those shows in no checksum.
"""

import json
import re
import sys
from decimal import Decimal
from itertools import islice

from ..errors import DecodeError, UsageError, printable
from ..types import Ack, Asset, BOOK_DEPTHS, Gap, Instrument, InstrumentUpdate, SystemStatus

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from .book cimport OrderBook, Stamp
from .defs cimport (
    BOOK_EMPTY, BOOK_INVALID, BOOK_UNVERIFIED, BOOK_VALID, CHANNEL_BOOK, CHANNEL_HEARTBEAT,
    CHANNEL_INSTRUMENT, CHANNEL_OHLC, CHANNEL_TICKER, CHANNEL_TRADE, CHANNEL_UNKNOWN,
    FAILED, IGNORED, MISMATCH, OK, REFUSED, Channel, Status,
)
from .handler cimport Handler
from .line cimport Line
from .market cimport (
    CANDLE_SAME, CandleData, CandleEvent, CandleLog, LiveTicker, Number, NUMBER_HELD, TradeData, TradeLog, Words,
    number_decimal, set_number, value_decimal,
)
from .tables cimport (
    ASSET_BORROWABLE, ASSET_CLASS, ASSET_COLLATERAL, ASSET_ID, ASSET_MARGIN_RATE, ASSET_MULTIPLIER, ASSET_PRECISION,
    ASSET_PRECISION_DISPLAY, ASSET_STATUS, BOOK_ASKS, BOOK_BIDS, BOOK_CHECKSUM, BOOK_SYMBOL, BOOK_TIMESTAMP,
    HEAD_CHANNEL, HEAD_DATA, HEAD_ERROR, HEAD_METHOD, HEAD_REQ_ID, HEAD_RESULT, HEAD_SUCCESS, HEAD_SYMBOL,
    HEAD_TIME_IN, HEAD_TIME_OUT, HEAD_TYPE, OHLC_BEGIN, OHLC_INTERVAL, OHLC_OPEN, OHLC_SYMBOL,
    OHLC_TRADES, PAIR_BASE, PAIR_COST_MIN, PAIR_COST_PRECISION, PAIR_HAS_INDEX, PAIR_LIMIT_LONG, PAIR_LIMIT_SHORT,
    PAIR_MARGIN_INITIAL, PAIR_MARGINABLE, PAIR_PRICE_INCREMENT, PAIR_PRICE_PRECISION, PAIR_QTY_INCREMENT,
    PAIR_QTY_MIN, PAIR_QTY_PRECISION, PAIR_QUOTE, PAIR_STATUS, PAIR_SYMBOL, PAIR_TICK_SIZE, STATUS_API_VERSION,
    STATUS_CONNECTION_ID, STATUS_EMERGENCY, STATUS_MAINTENANCE, STATUS_SYSTEM, STATUS_VERSION, TICKER_SYMBOL,
    TRADE_ID, TRADE_ORD_TYPE, TRADE_PRICE, TRADE_QTY, TRADE_SIDE, TRADE_SYMBOL, TRADE_TIMESTAMP,
    Record, Value, pair_table,
)
from .scan cimport Scanner
from .sink cimport MessageSink
from .symbols cimport SYMBOL_MAX, Slot, SymbolTable
from .utf8 cimport is_ascii, valid_utf8


cdef enum:
    PADDING = 64                     # readable bytes behind a message, zeroed
    RESTING = 65_536                 # capacity that is kept between messages
    SCALE_LIMIT = 18
    SYMBOLS_MAX = 10_000             # in create mode, where the peer names the symbols
    SEARCHED_MAX = 100               # symbols looked for in a broken message, which usually names one

cdef tuple CHANNEL_NAMES = ("", "book", "ticker", "trade", "ohlc", "instrument", "status", "heartbeat")

_CHANNEL = re.compile(rb'"channel"\s*:\s*"(\w+)"')
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,32})"')


# ---------------------------------------------------------------------------------------------- values to Python

cdef str _str(const Value* value):
    return value.text[:value.size].decode()


cdef object _opt_str(const Record* record, int slot):
    return _str(&record.values[slot]) if record.seen >> slot & 1 else None


cdef object _word(const Record* record, int slot):
    """A string that many records share, once."""
    return sys.intern(_str(&record.values[slot]))


cdef object _opt_decimal(const Record* record, int slot, dict known):
    """A number's Decimal, None if it was not sent. `known` holds those of this message: steps and minimums repeat."""
    cdef Number number
    if not record.seen >> slot & 1:
        return None
    set_number(&number, &record.values[slot], True)
    if number.form == NUMBER_HELD:
        return value_decimal(&record.values[slot])
    key = (number.mantissa, number.digits)
    made = known.get(key)
    if made is None:
        made = known[key] = number_decimal(&number, None, 0)
    return made


cdef object _opt_json(const Record* record, int slot):
    cdef const Value* value = &record.values[slot]
    return json.loads(value.text[:value.size], parse_float=Decimal) if record.seen >> slot & 1 else None


cdef tuple _announcements(const Record* record, int slot):
    value = _opt_json(record, slot)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


cdef bint _flag(const Record* record, int slot) noexcept:
    return record.seen >> slot & 1 and record.values[slot].num == 1


cdef object _opt_time(const Record* record, int slot):
    cdef const Value* value = &record.values[slot]
    return <object>value.num * 1000 + value.digits if record.seen >> slot & 1 else None


cdef inline bint _is(const Value* value, const char* text, int size) noexcept:
    return value.size == size and memcmp(value.text, text, size) == 0


cdef inline Stamp _stamp(const Record* record, int slot) noexcept:
    cdef Stamp stamp
    stamp.us = INT64_MIN
    stamp.ns = 0
    if record.seen >> slot & 1:
        stamp.us = record.values[slot].num
        stamp.ns = record.values[slot].digits
    return stamp


# ---------------------------------------------------------------------------------------------- the decoder

cdef class Decoder(MessageSink):
    """Understands the messages of one line.

    Args:
        line: clock and epoch shared with the stores; None makes one of its own.
        handler: who is told; None tells nobody.
        create: take in every symbol that comes (recordings), instead of only those wanted.
        create_depth: depth of books made so; 0 takes the smallest that the exchange offers and the snapshot fits.
        portable: never use carry-less multiplication.

    Attributes:
        messages, malformed, unknown, unwanted: counters, see decode.pxd.
        instruments, assets: what the `instrument` channel told, by symbol and id. Do not change them.
    """

    def __init__(
        self, Line line=None, Handler handler=None, *, bint create=False, int create_depth=0, bint portable=False,
    ):
        self.line = Line() if line is None else line
        self.handler = Handler() if handler is None else handler
        self.scanner = Scanner()
        self.symbols = SymbolTable()
        self.words = Words()
        self.instruments = {}
        self.assets = {}
        self.create = create
        self.create_depth = create_depth
        self.portable = portable
        self._reserve(4096)

    def __dealloc__(self):
        PyMem_Free(self.buffer)

    # ------------------------------------------------------------------------------------------ wanting

    def want_book(self, str symbol, int depth):
        """Keep a book for `symbol` at `depth` levels a side; give it. A book of another depth is replaced."""
        cdef Slot slot = self._new_slot(symbol)
        if slot.book is None or slot.book.depth != depth:
            slot.book = OrderBook(
                symbol, depth, line=self.line, price_scale=slot.price_scale, qty_scale=slot.qty_scale,
                portable=self.portable,
            )
        return slot.book

    def want_ticker(self, str symbol):
        """Keep a ticker for `symbol`; give it."""
        cdef Slot slot = self._new_slot(symbol)
        if slot.ticker is None:
            slot.ticker = LiveTicker(symbol, self.line)
        return slot.ticker

    def want_trades(self, str symbol):
        """Keep the last trades of `symbol`; give their log."""
        cdef Slot slot = self._new_slot(symbol)
        if slot.trades is None:
            slot.trades = TradeLog(symbol, self.line, self.words)
        return slot.trades

    def want_candles(self, str symbol, int interval):
        """Keep the last candles of `symbol` of `interval` minutes; give their log."""
        cdef Slot slot = self._new_slot(symbol)
        if slot.candles is None:
            slot.candles = {}
        if interval not in slot.candles:
            slot.candles[interval] = CandleLog(symbol, interval, self.line)
        return slot.candles[interval]

    def unwant(self, str channel, str symbol, int interval=0):
        """Stop keeping a store; messages for it are dropped and counted from now on."""
        cdef Slot slot = self._find(symbol)
        if slot is None:
            return
        if channel == "book":
            slot.book = None
        elif channel == "ticker":
            slot.ticker = None
        elif channel == "trade":
            slot.trades = None
        elif channel == "ohlc" and slot.candles is not None:
            slot.candles.pop(interval, None)

    def book(self, str symbol):
        """The live OrderBook of `symbol`, None if none is kept."""
        cdef Slot slot = self._find(symbol)
        return None if slot is None else slot.book

    def ticker(self, str symbol):
        """The LiveTicker of `symbol`, None if none is kept."""
        cdef Slot slot = self._find(symbol)
        return None if slot is None else slot.ticker

    def trades(self, str symbol):
        """The TradeLog of `symbol`, None if none is kept."""
        cdef Slot slot = self._find(symbol)
        return None if slot is None else slot.trades

    def candles(self, str symbol, int interval):
        """The CandleLog of `symbol` and `interval`, None if none is kept."""
        cdef Slot slot = self._find(symbol)
        return None if slot is None or slot.candles is None else slot.candles.get(interval)

    def kept_symbols(self):
        """All symbols for which something is or was kept, in the order in which they came."""
        return [(<Slot>slot).symbol for slot in self.symbols.slots]

    def count_of(self, str channel):
        """Messages of one channel that were understood."""
        return self.counts[CHANNEL_NAMES.index(channel)]

    def new_epoch(self):
        """Begin a new connection: all books are distrusted until a snapshot of it, and keep what they hold as stale."""
        cdef Slot slot
        self.line.epoch += 1
        for slot in self.symbols.slots:
            if slot.book is not None and slot.book._state != BOOK_EMPTY:
                slot.book.invalidate_to(BOOK_INVALID)

    cdef Slot _find(self, str symbol):
        cdef bytes name = symbol.encode() + b"\0" * 16
        cdef void* slot = self.symbols.find(PyBytes_AS_STRING(name), <int>PyBytes_GET_SIZE(name) - 16)
        return None if slot is NULL else <Slot>slot

    cdef Slot _new_slot(self, str symbol):
        cdef Slot slot = self.symbols.add(symbol)
        if slot.price_scale < 0 and symbol in self.instruments:
            slot.price_scale = self.instruments[symbol].price_precision
            slot.qty_scale = self.instruments[symbol].qty_precision
        return slot

    cdef Slot _slot(self, const char* name, int size):
        cdef void* slot = self.symbols.find(name, size)
        if slot is not NULL:
            return <Slot>slot
        if self.create and 0 < size <= SYMBOL_MAX and len(self.symbols.slots) < SYMBOLS_MAX:
            return self._new_slot(name[:size].decode())
        return None

    # ------------------------------------------------------------------------------------------ taking in

    def feed(self, message, *, recv_ns=None, bint strict=False):
        """Take in one whole text message.

        Args:
            message: bytes-like, as on the wire.
            recv_ns: arrival, monotonic ns; None reads the line's clock.
            strict: raise what is otherwise only counted and told to the handler.

        Returns:
            True if it was understood, well formed and of a known kind.

        Raises:
            DecodeError: strict, and the message was refused; no store has changed.
            UsageError: called by a handler that this decoder is calling.
        """
        cdef bytes data = message if type(message) is bytes else bytes(memoryview(message))
        cdef uint64_t before = self.malformed + self.unknown
        cdef int64_t now = self.line.clock.now_ns() if recv_ns is None else recv_ns
        if self.on_message(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now) == REFUSED:
            self._refuse(self.buffer, b"not UTF-8", "")
        if strict and self.malformed + self.unknown != before and self.last_error is not None:
            raise self.last_error
        return self.malformed + self.unknown == before

    def feed_all(self, list messages, *, recv_ns=None):
        """Take in many messages, each a bytes object, without coming back to Python between them.

        Returns:
            How many were understood.
        """
        cdef uint64_t before = self.malformed + self.unknown
        cdef int64_t now = self.line.clock.now_ns() if recv_ns is None else recv_ns
        cdef bytes data
        for data in messages:
            if self.on_message(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), now) == REFUSED:
                self._refuse(self.buffer, b"not UTF-8", "")
        return len(messages) - (self.malformed + self.unknown - before)

    cdef Status on_message(self, const char* data, Py_ssize_t size, int64_t recv_ns) except FAILED:
        if self.busy:
            raise UsageError("a handler cannot feed the decoder that is calling it")
        self.messages += 1
        self.last_error = None
        self.scanner.channel = CHANNEL_UNKNOWN
        if size + PADDING > self.capacity:
            self._reserve(size)
        memcpy(self.buffer, data, size)
        memset(self.buffer + size, 0, PADDING)
        self.size = size
        if not is_ascii(self.buffer, size) and not valid_utf8(self.buffer, size):
            return REFUSED
        self.line.heard_ns = recv_ns
        self.busy = True
        try:
            self.understand(recv_ns)
        finally:
            self.busy = False
        if self.capacity > 4 * RESTING:
            self._reserve(RESTING)
            self.scanner.shrink()
        return OK

    cdef Status _reserve(self, Py_ssize_t size) except FAILED:
        PyMem_Free(self.buffer)
        self.capacity = 0                # of a buffer that may not come
        self.buffer = <char*>PyMem_Malloc(size + PADDING)
        if self.buffer is NULL:
            raise MemoryError()
        self.capacity = size + PADDING
        return OK

    cdef Status understand(self, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Channel channel
        cdef Record* head = &scan.head
        cdef bint snapshot
        cdef Status result
        if scan.scan(self.buffer, self.size) != OK:
            return self._refuse(scan.fault.at, scan.fault.reason, "")
        channel = scan.channel
        if channel == CHANNEL_HEARTBEAT:
            self.counts[<int>channel] += 1
            return OK
        if channel == CHANNEL_UNKNOWN:
            if head.seen & (1 << HEAD_METHOD | 1 << HEAD_ERROR) and not head.seen >> HEAD_CHANNEL & 1:
                return self._ack()
            self.unknown += 1
            return IGNORED
        if not head.seen >> HEAD_DATA & 1:
            return self._refuse(self.buffer + self.size, b"data is missing", "")
        if head.seen >> HEAD_TYPE & 1 and _is(&head.values[HEAD_TYPE], b"update", 6):
            snapshot = False
        elif head.seen >> HEAD_TYPE & 1 and _is(&head.values[HEAD_TYPE], b"snapshot", 8):
            snapshot = True
        else:
            return self._refuse(self.buffer + self.size, b"type is neither snapshot nor update", "")
        if channel == CHANNEL_BOOK:
            result = self._book(snapshot, recv_ns)
        elif channel == CHANNEL_TICKER:
            result = self._ticker(snapshot, recv_ns)
        elif channel == CHANNEL_TRADE:
            result = self._trade(snapshot, recv_ns)
        elif channel == CHANNEL_OHLC:
            result = self._ohlc(snapshot, recv_ns)
        elif channel == CHANNEL_INSTRUMENT:
            result = self._instrument(snapshot)
        else:
            result = self._status()
        if result == OK:
            self.counts[<int>channel] += 1
        return result

    # ------------------------------------------------------------------------------------------ market data

    cdef Status _book(self, bint snapshot, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Record* record
        cdef Value* bids
        cdef Value* asks
        cdef Slot slot
        cdef OrderBook book
        cdef Status result, whole = OK
        cdef int i
        for i in range(scan.record_count):
            record = &scan.records[i]
            bids = &record.values[BOOK_BIDS]
            asks = &record.values[BOOK_ASKS]
            slot = self._slot(record.values[BOOK_SYMBOL].text, record.values[BOOK_SYMBOL].size)
            if slot is not None and slot.book is None and self.create:
                self.want_book(slot.symbol, self._depth_for(max(bids.size, asks.size)))
            if slot is None or slot.book is None:
                self.unwanted += 1
                continue
            book = slot.book
            result = book.apply(
                snapshot, scan.levels + bids.num, bids.size, scan.levels + asks.num, asks.size,
                record.values[BOOK_CHECKSUM].num, recv_ns, _stamp(record, BOOK_TIMESTAMP),
            )
            if result == OK:
                if snapshot:
                    self._tell(self.handler.on_snapshot, ("book", book.symbol))
                self.handler.on_book(book)
            elif result == MISMATCH:
                if snapshot or book._state == BOOK_INVALID:
                    self._tell(self.handler.on_book_lost, (book, "snapshot" if snapshot else "checksum"))
                    book.drop_if_invalid()
                if book._state == BOOK_UNVERIFIED:
                    self.handler.on_book(book)
            elif result == REFUSED:
                whole = self._refuse(NULL, b"a number does not fit the pair's precision", book.symbol)
        return whole

    def _depth_for(self, int levels):
        if self.create_depth:
            return self.create_depth
        return next((depth for depth in BOOK_DEPTHS if depth >= levels), max(BOOK_DEPTHS))

    cdef Status _ticker(self, bint snapshot, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Record* record
        cdef Slot slot
        cdef LiveTicker ticker
        cdef int i
        for i in range(scan.record_count):
            record = &scan.records[i]
            slot = self._slot(record.values[TICKER_SYMBOL].text, record.values[TICKER_SYMBOL].size)
            if slot is not None and slot.ticker is None and self.create:
                self.want_ticker(slot.symbol)
            if slot is None or slot.ticker is None:
                self.unwanted += 1
                continue
            ticker = slot.ticker             # the handler may take it out of its slot
            ticker.apply(record.values, record.seen, recv_ns)
            if snapshot:
                self._tell(self.handler.on_snapshot, ("ticker", slot.symbol))
            self.handler.on_ticker(ticker)
        return OK

    cdef Status _trade(self, bint snapshot, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Record* record
        cdef Slot slot
        cdef TradeLog log
        cdef TradeData trade
        cdef int64_t gap_first
        cdef int i
        for i in range(scan.record_count):
            if scan.records[i].values[TRADE_ID].num <= 0:
                return self._refuse(NULL, b"trade_id is out of range", _str(&scan.records[i].values[TRADE_SYMBOL]))
        for i in range(scan.record_count):
            record = &scan.records[i]
            slot = self._slot(record.values[TRADE_SYMBOL].text, record.values[TRADE_SYMBOL].size)
            if slot is not None and slot.trades is None and self.create:
                self.want_trades(slot.symbol)
            if slot is None or slot.trades is None:
                self.unwanted += 1
                continue
            log = slot.trades                # the handler may take it out of its slot
            self._fill_trade(&trade, record, recv_ns)
            if log.add(&trade, &gap_first) != OK:
                continue
            if gap_first:
                self._tell(self.handler.on_gap, (Gap(slot.symbol, gap_first, trade.trade_id - 1),))
            self.handler.on_trade(log, &trade)
        if snapshot and scan.record_count:
            self._tell(self.handler.on_snapshot, ("trade", _str(&scan.records[0].values[TRADE_SYMBOL])))
        return OK

    cdef Status _fill_trade(self, TradeData* trade, const Record* record, int64_t recv_ns) except FAILED:
        cdef const Value* values = &record.values[0]
        trade.trade_id = values[TRADE_ID].num
        trade.price = values[TRADE_PRICE].num
        trade.price_digits = values[TRADE_PRICE].digits
        trade.qty = values[TRADE_QTY].num
        trade.qty_digits = values[TRADE_QTY].digits
        trade.recv_ns = recv_ns
        trade.stamp = _stamp(record, TRADE_TIMESTAMP)
        trade.side = self.words.code(values[TRADE_SIDE].text, values[TRADE_SIDE].size)
        trade.ord_type = 0               # the code of "buy", which no order type is: not sent
        if record.seen >> TRADE_ORD_TYPE & 1:
            trade.ord_type = self.words.code(values[TRADE_ORD_TYPE].text, values[TRADE_ORD_TYPE].size)
        return OK

    cdef Status _ohlc(self, bint snapshot, int64_t recv_ns) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Record* record
        cdef Slot slot
        cdef CandleLog log
        cdef CandleData candle
        cdef CandleEvent event
        cdef dict held
        cdef int i
        for i in range(scan.record_count):
            if not 0 < scan.records[i].values[OHLC_INTERVAL].num <= 1_000_000:
                return self._refuse(NULL, b"interval is out of range", _str(&scan.records[i].values[OHLC_SYMBOL]))
        for i in range(scan.record_count):
            record = &scan.records[i]
            slot = self._slot(record.values[OHLC_SYMBOL].text, record.values[OHLC_SYMBOL].size)
            log = None
            if slot is not None:
                log = self._candle_log(slot, <int>record.values[OHLC_INTERVAL].num)
            if log is None:
                self.unwanted += 1
                continue
            held = _fill_candle(&candle, record, recv_ns)
            event = log.add(&candle, held)
            if event != CANDLE_SAME:
                self.handler.on_candle(log, log.position_of(candle.begin_us), event)
        if snapshot and scan.record_count:
            self._tell(self.handler.on_snapshot, ("ohlc", _str(&scan.records[0].values[OHLC_SYMBOL])))
        return OK

    cdef CandleLog _candle_log(self, Slot slot, int interval):
        if slot.candles is not None and interval in slot.candles:
            return slot.candles[interval]
        return self.want_candles(slot.symbol, interval) if self.create else None

    # ------------------------------------------------------------------------------------------ rarer things

    cdef Status _instrument(self, bint snapshot) except FAILED:
        cdef Scanner scan = self.scanner
        cdef Record* record
        cdef list pairs = []
        cdef list assets = []
        cdef dict known = {}
        cdef int i
        for i in range(scan.record_count):
            record = &scan.records[i]
            if record.table == pair_table():
                if <uint64_t>record.values[PAIR_PRICE_PRECISION].num > SCALE_LIMIT or (
                        <uint64_t>record.values[PAIR_QTY_PRECISION].num > SCALE_LIMIT):
                    return self._refuse(NULL, b"precision is beyond 18", _str(&record.values[PAIR_SYMBOL]))
                pairs.append(_instrument_of(record, known))
            else:
                assets.append(_asset_of(record, known))
        for asset in assets:
            self.assets[asset.id] = asset
        for instrument in pairs:
            self.instruments[instrument.symbol] = instrument
            self._rescale(instrument.symbol, instrument.price_precision, instrument.qty_precision)
        if snapshot:
            self._tell(self.handler.on_snapshot, ("instrument", ""))
        self._tell(self.handler.on_instruments, (InstrumentUpdate(snapshot, tuple(pairs), tuple(assets)),))
        return OK

    cdef Status _rescale(self, str symbol, int price_scale, int qty_scale) except FAILED:
        """Take over a pair's precision; a book that was built on another one is distrusted."""
        cdef Slot slot = self._find(symbol)
        cdef OrderBook book
        if slot is None or (slot.price_scale == price_scale and slot.qty_scale == qty_scale):
            return OK
        slot.price_scale = price_scale
        slot.qty_scale = qty_scale
        book = slot.book
        if book is None or (book.price_scale == price_scale and book.qty_scale == qty_scale):
            return OK
        book.set_scales(price_scale, qty_scale)
        if book._state == BOOK_VALID or book._state == BOOK_UNVERIFIED:
            return self._lose_book(book, "precision")
        return OK

    cdef Status _status(self) except FAILED:
        cdef Record* record
        cdef list told = []
        cdef int i
        for i in range(self.scanner.record_count):
            record = &self.scanner.records[i]
            try:
                told.append(SystemStatus(
                    system=_str(&record.values[STATUS_SYSTEM]),
                    version=_opt_str(record, STATUS_VERSION),
                    api_version=_opt_str(record, STATUS_API_VERSION),
                    connection_id=<uint64_t>record.values[STATUS_CONNECTION_ID].num
                    if record.seen >> STATUS_CONNECTION_ID & 1 else None,
                    upcoming_maintenance=_announcements(record, STATUS_MAINTENANCE),
                    emergency=_announcements(record, STATUS_EMERGENCY),
                ))
            except (ValueError, ArithmeticError):
                return self._refuse(NULL, b"a number is beyond what Python reads", "")
        for status in told:
            self._tell(self.handler.on_status, (status,))
        return OK

    cdef Status _ack(self) except FAILED:
        cdef Record* head = &self.scanner.head
        cdef str method = _str(&head.values[HEAD_METHOD]) if head.seen >> HEAD_METHOD & 1 else "error"
        cdef str error = _opt_str(head, HEAD_ERROR)
        success = error is None
        if head.seen >> HEAD_SUCCESS & 1:
            success = head.values[HEAD_SUCCESS].num == 1
        try:
            result = _opt_json(head, HEAD_RESULT)
        except (ValueError, ArithmeticError):
            return self._refuse(head.values[HEAD_RESULT].text, b"a number is beyond what Python reads", "")
        self._tell(self.handler.on_ack, (Ack(
            method=method,
            req_id=<uint64_t>head.values[HEAD_REQ_ID].num if head.seen >> HEAD_REQ_ID & 1 else None,
            success=success,
            error=error,
            symbol=_opt_str(head, HEAD_SYMBOL),
            result=result,
            time_in_ns=_opt_time(head, HEAD_TIME_IN),
            time_out_ns=_opt_time(head, HEAD_TIME_OUT),
        ),))
        return OK

    cdef Status _tell(self, object method, tuple args) except FAILED:
        """Call a plain method of the handler. What it raises is counted and told, and keeps us from nothing."""
        try:
            method(*args)
        except Exception as error:
            self.handler.failed(method.__name__, error)
        return OK

    # ------------------------------------------------------------------------------------------ refusing

    cdef Status _refuse(self, const char* at, const char* reason, str symbol) except FAILED:
        """Count a message that could not be understood and distrust what it was meant for. Cold: Python all through.

        `at` is where understanding ended, NULL when the whole was read; `symbol` is "" when it must be searched for.
        """
        cdef bytes text = PyBytes_FromStringAndSize(self.buffer, self.size)
        cdef Py_ssize_t offset = at - self.buffer if at is not NULL else 0
        cdef str channel = CHANNEL_NAMES[<int>self.scanner.channel]
        cdef bint foreign = False
        cdef list symbols = [symbol] if symbol else _symbols_in(text)
        if not channel:
            found = _CHANNEL.search(text)
            channel = found[1].decode() if found and found[1].decode() in CHANNEL_NAMES else ""
            foreign = found is not None and not channel
        self.malformed += 1
        excerpt = printable(text[max(0, offset - 20):offset + 40].decode(errors="replace"))
        self.last_error = DecodeError(channel, offset, excerpt, reason.decode(), symbols[0] if symbols else "")
        if channel or (b"{" in text and not foreign):       # else it is none of ours: a proxy's text, say
            self._distrust(channel, symbols)
        self._tell(self.handler.on_refused, (self.last_error,))
        return REFUSED

    cdef Status _distrust(self, str channel, list symbols) except FAILED:
        """A change was lost: of `channel`, or of any when that is "", and of `symbols`, or of any when none is kept."""
        cdef Slot slot
        cdef list named = []
        for symbol in symbols:
            slot = self._find(symbol)
            if slot is not None:
                named.append(slot)
        for slot in named or self.symbols.slots:
            if slot.ticker is not None and channel in ("", "ticker"):
                slot.ticker.epoch = self.line.epoch - 1      # stale until the next
            if slot.book is not None and channel in ("", "book"):
                if named:
                    self._lose_book(slot.book, "malformed")
                else:
                    slot.book._doubtful = True
        return OK

    cdef Status _lose_book(self, OrderBook book, str reason) except FAILED:
        if book._state != BOOK_UNVERIFIED:
            book.invalidate_to(BOOK_INVALID)
        self._tell(self.handler.on_book_lost, (book, reason))
        return OK


cdef list _symbols_in(bytes text):
    """The symbols that a broken message names; none when they are too many to be one message's."""
    cdef list found = [match[1].decode(errors="replace") for match in islice(_SYMBOL.finditer(text), SEARCHED_MAX)]
    return list(dict.fromkeys(found)) if len(found) < SEARCHED_MAX else []


cdef dict _fill_candle(CandleData* candle, const Record* record, int64_t recv_ns):
    """Fill `candle` from a row; gives the Decimals that do not fit it, None when all do."""
    cdef const Value* values = &record.values[0]
    cdef Number* numbers = &candle.open        # open, high, low, close, vwap, volume lie in the table's order
    cdef dict held = None
    cdef int i
    for i in range(6):
        set_number(&numbers[i], &values[OHLC_OPEN + i], record.seen >> (OHLC_OPEN + i) & 1)
        if numbers[i].form == NUMBER_HELD:
            held = {} if held is None else held
            held[i] = value_decimal(&values[OHLC_OPEN + i])
    candle.trades = values[OHLC_TRADES].num if record.seen >> OHLC_TRADES & 1 else -1
    candle.begin_us = values[OHLC_BEGIN].num
    candle.interval = <int>values[OHLC_INTERVAL].num
    candle.recv_ns = recv_ns
    return held


cdef object _filled(object kind, tuple setters, tuple values):
    """Make a frozen record from values in the order of its fields.

    Setting the slots directly takes a quarter of what `__init__` of a frozen dataclass takes, and a snapshot of 1,700
    pairs must not hold up the line. Bound: 20 ms a MB, faults.md W03; bench: benchmarks/bench_stores.py.
    """
    cdef object record = kind.__new__(kind)
    cdef int i
    for i in range(len(values)):
        setters[i](record, values[i])
    return record


cdef tuple _INSTRUMENT_SETTERS = tuple([getattr(Instrument, name).__set__ for name in Instrument.__slots__])


cdef object _instrument_of(const Record* record, dict known):
    cdef const Value* values = &record.values[0]
    step = _opt_decimal(record, PAIR_PRICE_INCREMENT, known)
    return _filled(Instrument, _INSTRUMENT_SETTERS, (
        _word(record, PAIR_SYMBOL),
        _word(record, PAIR_BASE),
        _word(record, PAIR_QUOTE),
        _word(record, PAIR_STATUS),
        values[PAIR_PRICE_PRECISION].num,
        values[PAIR_QTY_PRECISION].num,
        values[PAIR_COST_PRECISION].num if record.seen >> PAIR_COST_PRECISION & 1 else None,
        _opt_decimal(record, PAIR_TICK_SIZE, known) if step is None else step,
        _opt_decimal(record, PAIR_QTY_INCREMENT, known),
        _opt_decimal(record, PAIR_QTY_MIN, known),
        _opt_decimal(record, PAIR_COST_MIN, known),
        _flag(record, PAIR_MARGINABLE),
        _flag(record, PAIR_HAS_INDEX),
        _opt_decimal(record, PAIR_MARGIN_INITIAL, known),
        _opt_decimal(record, PAIR_LIMIT_LONG, known),
        _opt_decimal(record, PAIR_LIMIT_SHORT, known),
    ))


cdef object _asset_of(const Record* record, dict known):
    cdef const Value* values = &record.values[0]
    return Asset(
        id=_word(record, ASSET_ID),
        status=_word(record, ASSET_STATUS),
        precision=values[ASSET_PRECISION].num,
        precision_display=values[ASSET_PRECISION_DISPLAY].num
        if record.seen >> ASSET_PRECISION_DISPLAY & 1 else values[ASSET_PRECISION].num,
        borrowable=_flag(record, ASSET_BORROWABLE),
        collateral_value=_opt_decimal(record, ASSET_COLLATERAL, known),
        margin_rate=_opt_decimal(record, ASSET_MARGIN_RATE, known),
        asset_class=_opt_str(record, ASSET_CLASS),
        multiplier=_opt_decimal(record, ASSET_MULTIPLIER, known),
    )
