# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What one line's decoder keeps: a store for each symbol and channel that is wanted, and how far it can be trusted.

The functions that understand a channel's messages (decode_market.pyx and its siblings) are given one of these. A
message that is refused is counted, told as a DecodeError, and the book it was meant for is distrusted until its next
snapshot; if its symbol cannot be told, all books of the line count as proven to ten levels only, since a lost change
below those shows in no checksum.
"""

import re
from itertools import islice

from ..errors import DecodeError, printable

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from .balance_store cimport BalanceStore
from .book cimport OrderBook
from .defs cimport BOOK_EMPTY, BOOK_INVALID, BOOK_UNVERIFIED, FAILED, OK, REFUSED, Status
from .handler cimport Handler
from .level3 cimport Level3Book
from .line cimport Line
from .market cimport CandleLog, LiveTicker, TradeLog, Words
from .order_store cimport OrderStore
from .scan cimport Scanner
from .sequenced cimport Sequenced
from .sink cimport MessageSink
from .symbols cimport SYMBOL_MAX, Slot, SymbolTable


cdef enum:
    SYMBOLS_MAX = 10_000             # in create mode, where the peer names the symbols
    SEARCHED_MAX = 100               # symbols looked for in a broken message, which usually names one

cdef tuple CHANNEL_NAMES = (
    "", "book", "ticker", "trade", "ohlc", "instrument", "status", "heartbeat",
    "executions", "balances", "level3",
)

_CHANNEL = re.compile(rb'"channel"\s*:\s*"(\w+)"')
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,32})"')


cdef class Stores(MessageSink):
    """The stores of one line; a Decoder fills them.

    Attributes:
        line: clock and epoch shared with the stores.
        orders, balances: the stores of the private channels, None until wanted.
        instruments, assets: what the `instrument` channel told, by symbol and id. Do not change them.
        messages, malformed, unknown, unwanted: counters, see stores.pxd.
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
        self.reserve(4096)

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

    def want_level3(self, str symbol, int depth):
        """Keep a level-3 book for `symbol` at `depth` price levels a side; give it. One of another depth goes."""
        cdef Slot slot = self._new_slot(symbol)
        if slot.level3 is None or slot.level3.depth != depth:
            slot.level3 = Level3Book(
                symbol, depth, line=self.line, price_scale=slot.price_scale, qty_scale=slot.qty_scale,
                portable=self.portable,
            )
        return slot.level3

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

    def want_executions(self):
        """Keep the account's orders; give their store."""
        if self.orders is None:
            self.orders = OrderStore(self.line)
        return self.orders

    def want_balances(self):
        """Keep the account's balances; give their store."""
        if self.balances is None:
            self.balances = BalanceStore(self.line)
        return self.balances

    def unwant(self, str channel, str symbol="", int interval=0):
        """Stop keeping a store; messages for it are dropped and counted from now on."""
        if channel == "executions":
            self.orders = None
        elif channel == "balances":
            self.balances = None
        cdef Slot slot = self.find(symbol)
        if slot is None:
            return
        if channel == "book":
            slot.book = None
        elif channel == "level3":
            slot.level3 = None
        elif channel == "ticker":
            slot.ticker = None
        elif channel == "trade":
            slot.trades = None
        elif channel == "ohlc" and slot.candles is not None:
            slot.candles.pop(interval, None)

    def book(self, str symbol):
        """The live OrderBook of `symbol`, None if none is kept."""
        cdef Slot slot = self.find(symbol)
        return None if slot is None else slot.book

    def level3(self, str symbol):
        """The live Level3Book of `symbol`, None if none is kept."""
        cdef Slot slot = self.find(symbol)
        return None if slot is None else slot.level3

    def ticker(self, str symbol):
        """The LiveTicker of `symbol`, None if none is kept."""
        cdef Slot slot = self.find(symbol)
        return None if slot is None else slot.ticker

    def trades(self, str symbol):
        """The TradeLog of `symbol`, None if none is kept."""
        cdef Slot slot = self.find(symbol)
        return None if slot is None else slot.trades

    def candles(self, str symbol, int interval):
        """The CandleLog of `symbol` and `interval`, None if none is kept."""
        cdef Slot slot = self.find(symbol)
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
            if slot.level3 is not None and slot.level3._state != BOOK_EMPTY:
                slot.level3.invalidate_to(BOOK_INVALID)
        if self.orders is not None:
            self.orders.begin_epoch()
        if self.balances is not None:
            self.balances.begin_epoch()

    cdef Slot find(self, str symbol):
        cdef bytes name = symbol.encode() + b"\0" * 16
        cdef void* slot = self.symbols.find(PyBytes_AS_STRING(name), <int>PyBytes_GET_SIZE(name) - 16)
        return None if slot is NULL else <Slot>slot

    cdef Slot _new_slot(self, str symbol):
        cdef Slot slot = self.symbols.add(symbol)
        if slot.price_scale < 0 and symbol in self.instruments:
            slot.price_scale = self.instruments[symbol].price_precision
            slot.qty_scale = self.instruments[symbol].qty_precision
        return slot

    cdef Slot made_for(self, const char* name, int size):
        if self.create and 0 < size <= SYMBOL_MAX and len(self.symbols.slots) < SYMBOLS_MAX:
            return self._new_slot(name[:size].decode())
        return None

    cdef Status reserve(self, Py_ssize_t size) except FAILED:
        PyMem_Free(self.buffer)
        self.capacity = 0                # of a buffer that may not come
        self.buffer = <char*>PyMem_Malloc(size + PADDING)
        if self.buffer is NULL:
            raise MemoryError()
        self.capacity = size + PADDING
        return OK
    cdef Status tell(self, object method, tuple args) except FAILED:
        """Call a plain method of the handler. What it raises is counted and told, and keeps us from nothing."""
        try:
            method(*args)
        except Exception as error:
            self.handler.failed(method.__name__, error)
        return OK

    # ------------------------------------------------------------------------------------------ refusing

    cdef Status refuse(self, const char* at, const char* reason, str symbol) except FAILED:
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
        self.tell(self.handler.on_refused, (self.last_error,))
        return REFUSED

    cdef Status _distrust(self, str channel, list symbols) except FAILED:
        """A change was lost: of `channel`, or of any when that is "", and of `symbols`, or of any when none is kept."""
        self._doubt(self.orders, channel)
        self._doubt(self.balances, channel)
        cdef Slot slot
        cdef list named = []
        for symbol in symbols:
            slot = self.find(symbol)
            if slot is not None:
                named.append(slot)
        for slot in named or self.symbols.slots:
            if slot.ticker is not None and channel in ("", "ticker"):
                slot.ticker.epoch = self.line.epoch - 1      # stale until the next
            if slot.book is not None and channel in ("", "book"):
                if named:
                    self.lose_book(slot.book, "malformed")
                else:
                    slot.book._doubtful = True
            if slot.level3 is not None and channel in ("", "level3"):
                if named:
                    self.lose_level3(slot.level3, "malformed")
                else:
                    slot.level3._doubtful = True
        return OK

    cdef Status _doubt(self, Sequenced store, str channel) except FAILED:
        if store is not None and channel in ("", store.channel) and store._live:
            store.lose()
            self.tell(self.handler.on_sequence_gap, (store.channel, store.expected_sequence, None))
        return OK

    cdef Status lose_book(self, OrderBook book, str reason) except FAILED:
        if book._state != BOOK_UNVERIFIED:
            book.invalidate_to(BOOK_INVALID)
        self.tell(self.handler.on_book_lost, (book, reason))
        return OK

    cdef Status lose_level3(self, Level3Book book, str reason) except FAILED:
        if book._state != BOOK_UNVERIFIED:
            book.invalidate_to(BOOK_INVALID)
        self.tell(self.handler.on_level3_lost, (book, reason))
        return OK


cdef list _symbols_in(bytes text):
    """The symbols that a broken message names; none when they are too many to be one message's."""
    cdef list found = [match[1].decode(errors="replace") for match in islice(_SYMBOL.finditer(text), SEARCHED_MAX)]
    return list(dict.fromkeys(found)) if len(found) < SEARCHED_MAX else []
