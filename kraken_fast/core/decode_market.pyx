# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""From scanned messages to market data: book, ticker, trade, ohlc.

Each function takes the message that the scanner holds into the stores, and tells the handler.
"""

from ..types import BOOK_DEPTHS, Gap

from libc.stdint cimport int64_t

from .book cimport OrderBook
from .defs cimport BOOK_INVALID, BOOK_UNVERIFIED, FAILED, MISMATCH, OK, REFUSED, Status
from .fields cimport stamp_of, text_of
from .market cimport (
    CANDLE_SAME, NUMBER_HELD, CandleData, CandleEvent, CandleLog, LiveTicker, Number, TradeData, TradeLog, Words,
    set_number, value_decimal,
)
from .scan cimport Scanner
from .stores cimport Stores, slot_named
from .symbols cimport Slot
from .tables cimport (
    BOOK_ASKS, BOOK_BIDS, BOOK_CHECKSUM, BOOK_SYMBOL, BOOK_TIMESTAMP, OHLC_BEGIN, OHLC_INTERVAL, OHLC_OPEN,
    OHLC_SYMBOL, OHLC_TRADES, TICKER_SYMBOL, TRADE_ID, TRADE_ORD_TYPE, TRADE_PRICE, TRADE_QTY, TRADE_SIDE,
    TRADE_SYMBOL, TRADE_TIMESTAMP, Record, Value,
)


cdef Status take_book(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
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
        slot = slot_named(stores, record.values[BOOK_SYMBOL].text, record.values[BOOK_SYMBOL].size)
        if slot is not None and slot.book is None and stores.create:
            stores.want_book(slot.symbol, _depth_for(stores, max(bids.size, asks.size)))
        if slot is None or slot.book is None:
            stores.unwanted += 1
            continue
        book = slot.book
        result = book.apply(
            snapshot, scan.levels + bids.num, bids.size, scan.levels + asks.num, asks.size,
            scan.level_digits(), record.values[BOOK_CHECKSUM].num, recv_ns, stamp_of(record, BOOK_TIMESTAMP),
        )
        if result == OK:
            if snapshot:
                stores.tell(stores.handler.on_snapshot, ("book", book.symbol))
            stores.handler.on_book(book)
        elif result == MISMATCH:
            if snapshot or book._state == BOOK_INVALID:
                stores.tell(stores.handler.on_book_lost, (book, "snapshot" if snapshot else "checksum"))
                book.drop_if_invalid()
            if book._state == BOOK_UNVERIFIED:
                stores.handler.on_book(book)
        elif result == REFUSED:
            whole = stores.refuse(NULL, b"a number does not fit the pair's precision", book.symbol)
    return whole


cdef int _depth_for(Stores stores, int levels) except -1:
    if stores.create_depth:
        return stores.create_depth
    return next((depth for depth in BOOK_DEPTHS if depth >= levels), max(BOOK_DEPTHS))


cdef Status take_ticker(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
    cdef Record* record
    cdef Slot slot
    cdef LiveTicker ticker
    cdef int i
    for i in range(scan.record_count):
        record = &scan.records[i]
        slot = slot_named(stores, record.values[TICKER_SYMBOL].text, record.values[TICKER_SYMBOL].size)
        if slot is not None and slot.ticker is None and stores.create:
            stores.want_ticker(slot.symbol)
        if slot is None or slot.ticker is None:
            stores.unwanted += 1
            continue
        ticker = slot.ticker             # the handler may take it out of its slot
        ticker.apply(record.values, record.seen, recv_ns)
        if snapshot:
            stores.tell(stores.handler.on_snapshot, ("ticker", slot.symbol))
        stores.handler.on_ticker(ticker)
    return OK


cdef Status take_trade(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
    cdef Record* record
    cdef Slot slot
    cdef TradeLog log
    cdef TradeData trade
    cdef int64_t gap_first
    cdef int i
    for i in range(scan.record_count):
        if scan.records[i].values[TRADE_ID].num <= 0:
            return stores.refuse(NULL, b"trade_id is out of range", text_of(&scan.records[i].values[TRADE_SYMBOL]))
    for i in range(scan.record_count):
        record = &scan.records[i]
        slot = slot_named(stores, record.values[TRADE_SYMBOL].text, record.values[TRADE_SYMBOL].size)
        if slot is not None and slot.trades is None and stores.create:
            stores.want_trades(slot.symbol)
        if slot is None or slot.trades is None:
            stores.unwanted += 1
            continue
        log = slot.trades                # the handler may take it out of its slot
        _fill_trade(stores.words, &trade, record, recv_ns)
        if log.add(&trade, &gap_first) != OK:
            continue
        if gap_first:
            stores.tell(stores.handler.on_gap, (Gap(slot.symbol, gap_first, trade.trade_id - 1),))
        stores.handler.on_trade(log, &trade)
    if snapshot and scan.record_count:
        stores.tell(stores.handler.on_snapshot, ("trade", text_of(&scan.records[0].values[TRADE_SYMBOL])))
    return OK


cdef Status _fill_trade(Words words, TradeData* trade, const Record* record, int64_t recv_ns) except FAILED:
    cdef const Value* values = &record.values[0]
    trade.trade_id = values[TRADE_ID].num
    trade.price = values[TRADE_PRICE].num
    trade.price_digits = values[TRADE_PRICE].digits
    trade.qty = values[TRADE_QTY].num
    trade.qty_digits = values[TRADE_QTY].digits
    trade.recv_ns = recv_ns
    trade.stamp = stamp_of(record, TRADE_TIMESTAMP)
    trade.side = words.code(values[TRADE_SIDE].text, values[TRADE_SIDE].size)
    trade.ord_type = 0               # the code of "buy", which no order type is: not sent
    if record.seen >> TRADE_ORD_TYPE & 1:
        trade.ord_type = words.code(values[TRADE_ORD_TYPE].text, values[TRADE_ORD_TYPE].size)
    return OK


cdef Status take_ohlc(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
    cdef Record* record
    cdef Slot slot
    cdef CandleLog log
    cdef CandleData candle
    cdef CandleEvent event
    cdef dict held
    cdef int i
    for i in range(scan.record_count):
        if not 0 < scan.records[i].values[OHLC_INTERVAL].num <= 1_000_000:
            return stores.refuse(NULL, b"interval is out of range", text_of(&scan.records[i].values[OHLC_SYMBOL]))
    for i in range(scan.record_count):
        record = &scan.records[i]
        slot = slot_named(stores, record.values[OHLC_SYMBOL].text, record.values[OHLC_SYMBOL].size)
        log = None
        if slot is not None:
            log = _candle_log(stores, slot, <int>record.values[OHLC_INTERVAL].num)
        if log is None:
            stores.unwanted += 1
            continue
        held = _fill_candle(&candle, record, recv_ns)
        event = log.add(&candle, held)
        if event != CANDLE_SAME:
            stores.handler.on_candle(log, log.position_of(candle.begin_us), event)
    if snapshot and scan.record_count:
        stores.tell(stores.handler.on_snapshot, ("ohlc", text_of(&scan.records[0].values[OHLC_SYMBOL])))
    return OK


cdef CandleLog _candle_log(Stores stores, Slot slot, int interval):
    if slot.candles is not None and interval in slot.candles:
        return slot.candles[interval]
    return stores.want_candles(slot.symbol, interval) if stores.create else None


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
