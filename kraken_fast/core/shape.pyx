# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What REST answered, in the shape that the lines give: the same records, marked `rest`.

Nothing here is on a hot path. Numbers stay exact: a Decimal becomes a mantissa and its decimals, or is refused.
"""

from cpython.mem cimport PyMem_Malloc
from libc.stdint cimport INT64_MIN, int64_t
from libc.string cimport memcpy

from .book cimport BookSnapshot, PriceQty, Side
from .defs cimport BOOK_UNVERIFIED, FAILED, OK, Status
from .fixed cimport SCALE_MAX
from .market cimport NUMBER_ABSENT, NUMBER_FITS, TICKER_NUMBERS, Candle, Number, TickerSnapshot


cdef Status set_decimal(Number* number, object value) except FAILED:
    number.form = NUMBER_ABSENT
    if value is None:
        return OK
    exponent = value.as_tuple().exponent
    number.digits = max(0, -exponent)
    number.mantissa = int(value.scaleb(number.digits))
    number.form = NUMBER_FITS
    return OK


cdef Status _fill_side(Side* side, object levels, int sign, int price_scale, int qty_scale) except FAILED:
    cdef int count = len(levels)
    cdef int i
    side.levels = <PriceQty*>PyMem_Malloc(max(count, 1) * sizeof(PriceQty))
    if side.levels is NULL:
        raise MemoryError()
    side.lo = 0
    side.hi = side.capacity = count
    side.sign = sign
    for i in range(count):
        price, qty = levels[i]
        side.levels[count - 1 - i].key = sign * <int64_t>int(price.scaleb(price_scale))
        side.levels[count - 1 - i].qty = int(qty.scaleb(qty_scale))
    return OK


def _scale_of(numbers):
    scale = max((-number.as_tuple().exponent for number in numbers), default=0)
    if scale > SCALE_MAX:
        raise ValueError(f"{scale} decimals: at most {SCALE_MAX}")
    return max(0, scale)


def book_of(str symbol, int depth, bids, asks, *, int64_t asked_ns, age_ms):
    """Make a BookSnapshot of what REST said.

    Args:
        symbol: as on WebSocket v2.
        depth: levels a side as asked for; what is beyond is cut off.
        bids: (price, qty) as Decimal, best first.
        asks: the same.
        asked_ns: when it was asked for, monotonic: what it says is no older than the exchange's own cache.
        age_ms: how long ago that is.

    Returns:
        A snapshot of quality and source `rest`, unverified: REST sends no checksum.

    Raises:
        ValueError, OverflowError: a number has too many digits.
    """
    cdef BookSnapshot book = BookSnapshot.__new__(BookSnapshot)
    bids, asks = [tuple(level) for level in bids[:depth]], [tuple(level) for level in asks[:depth]]
    book.symbol = symbol
    book.depth = depth
    book.price_scale = _scale_of([price for price, _ in (*bids, *asks)])
    book.qty_scale = _scale_of([qty for _, qty in (*bids, *asks)])
    _fill_side(&book.bid_side, bids, 1, book.price_scale, book.qty_scale)
    _fill_side(&book.ask_side, asks, -1, book.price_scale, book.qty_scale)
    book._state = BOOK_UNVERIFIED
    book.stamp.us = INT64_MIN
    book.changed_ns = asked_ns
    book.quality = book.source = "rest"
    book.age_ms = age_ms
    return book


def ticker_of(str symbol, values, *, trades=None, int64_t asked_ns, age_ms):
    """Make a TickerSnapshot of what REST said.

    Args:
        symbol: as on WebSocket v2.
        values: bid, bid_qty, ask, ask_qty, last, volume, vwap, low, high, change, change_pct, volume_usd as Decimal,
            None for what REST does not tell.
        trades: of the last 24 hours.
        asked_ns: when it was asked for, monotonic.
        age_ms: how long ago that is.

    Raises:
        OverflowError: a number has too many digits.
    """
    cdef TickerSnapshot ticker = TickerSnapshot.__new__(TickerSnapshot)
    cdef int i
    if len(values) != TICKER_NUMBERS:
        raise ValueError(f"{len(values)} values: a ticker has {TICKER_NUMBERS}")
    ticker.symbol = symbol
    for i in range(TICKER_NUMBERS):
        set_decimal(&ticker.numbers[i], values[i])
    ticker._trades = -1 if trades is None else trades
    ticker.stamp.us = INT64_MIN
    ticker.changed_ns = asked_ns
    ticker.quality = ticker.source = "rest"
    ticker.age_ms = age_ms
    return ticker


def candle_of(str symbol, int interval, values, *, trades, int64_t begin_ns, bint closed, int64_t asked_ns):
    """Make a Candle of what REST said; `values` are open, high, low, close, vwap, volume as Decimal.

    Raises:
        OverflowError: a number has too many digits.
    """
    cdef Candle candle = Candle.__new__(Candle)
    cdef Number* numbers = &candle.data.open        # open, high, low, close, vwap, volume lie in this order
    cdef int i
    for i in range(6):
        set_decimal(&numbers[i], values[i])
    candle.symbol = symbol
    candle.data.trades = -1 if trades is None else trades
    candle.data.begin_us = begin_ns // 1000
    candle.data.recv_ns = asked_ns
    candle.data.interval = interval
    candle.closed = closed
    return candle


def aged_book(BookSnapshot book, age_ms):
    """Give the same book, older."""
    cdef BookSnapshot copy = BookSnapshot.__new__(BookSnapshot)
    copy.symbol = book.symbol
    copy.depth = book.depth
    copy.price_scale = book.price_scale
    copy.qty_scale = book.qty_scale
    copy.checksum = book.checksum
    copy._state = book._state
    copy.stamp = book.stamp
    copy.changed_ns = book.changed_ns
    copy.quality = book.quality
    copy.source = book.source
    copy.age_ms = age_ms
    _copy_side(&copy.bid_side, &book.bid_side)
    _copy_side(&copy.ask_side, &book.ask_side)
    return copy


cdef Status _copy_side(Side* copy, const Side* side) except FAILED:
    cdef PriceQty* levels = <PriceQty*>PyMem_Malloc(max(side.capacity, 1) * sizeof(PriceQty))
    if levels is NULL:
        raise MemoryError()
    copy[0] = side[0]
    copy.levels = levels
    memcpy(levels, side.levels, side.capacity * sizeof(PriceQty))
    return OK


def aged_ticker(TickerSnapshot ticker, age_ms):
    """Give the same ticker, older."""
    cdef TickerSnapshot copy = TickerSnapshot.__new__(TickerSnapshot)
    copy.symbol = ticker.symbol
    copy.numbers = ticker.numbers
    copy._held = ticker._held
    copy._trades = ticker._trades
    copy.stamp = ticker.stamp
    copy.changed_ns = ticker.changed_ns
    copy.quality = ticker.quality
    copy.source = ticker.source
    copy.age_ms = age_ms
    return copy
