# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What comes rarely: instruments, the engine's state, answers to requests. Python records, made at leisure."""

from ..types import Ack, Asset, Instrument, InstrumentUpdate, SystemStatus

from libc.stdint cimport uint64_t

from .book cimport OrderBook
from .defs cimport BOOK_UNVERIFIED, BOOK_VALID, FAILED, OK, Status
from .fields cimport flag_of, opt_decimal, opt_json, opt_text, opt_time, text_of, word_of
from .level3 cimport Level3Book
from .scan cimport Scanner
from .stores cimport Stores
from .symbols cimport Slot
from .tables cimport (
    ASSET_BORROWABLE, ASSET_CLASS, ASSET_COLLATERAL, ASSET_ID, ASSET_MARGIN_RATE, ASSET_MULTIPLIER, ASSET_PRECISION,
    ASSET_PRECISION_DISPLAY, ASSET_STATUS, HEAD_ERROR, HEAD_METHOD, HEAD_REQ_ID, HEAD_RESULT, HEAD_SUCCESS,
    HEAD_SYMBOL, HEAD_TIME_IN, HEAD_TIME_OUT, PAIR_BASE, PAIR_COST_MIN, PAIR_COST_PRECISION, PAIR_HAS_INDEX,
    PAIR_LIMIT_LONG, PAIR_LIMIT_SHORT, PAIR_MARGIN_INITIAL, PAIR_MARGINABLE, PAIR_PRICE_INCREMENT,
    PAIR_PRICE_PRECISION, PAIR_QTY_INCREMENT, PAIR_QTY_MIN, PAIR_QTY_PRECISION, PAIR_QUOTE, PAIR_STATUS, PAIR_SYMBOL,
    PAIR_TICK_SIZE, STATUS_API_VERSION, STATUS_CONNECTION_ID, STATUS_EMERGENCY, STATUS_MAINTENANCE, STATUS_SYSTEM,
    STATUS_VERSION, Record, Value, pair_table,
)


cdef enum:
    SCALE_LIMIT = 18


cdef Status take_instrument(Stores stores, bint snapshot) except FAILED:
    cdef Scanner scan = stores.scanner
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
                return stores.refuse(NULL, b"precision is beyond 18", text_of(&record.values[PAIR_SYMBOL]))
            pairs.append(_instrument_of(record, known))
        else:
            assets.append(_asset_of(record, known))
    for asset in assets:
        stores.assets[asset.id] = asset
    for instrument in pairs:
        stores.instruments[instrument.symbol] = instrument
        _rescale(stores, instrument.symbol, instrument.price_precision, instrument.qty_precision)
    if snapshot:
        stores.tell(stores.handler.on_snapshot, ("instrument", ""))
    stores.tell(stores.handler.on_instruments, (InstrumentUpdate(snapshot, tuple(pairs), tuple(assets)),))
    return OK


cdef Status _rescale(Stores stores, str symbol, int price_scale, int qty_scale) except FAILED:
    """Take over a pair's precision; a book that was built on another one is distrusted."""
    cdef Slot slot = stores.find(symbol)
    cdef OrderBook book
    if slot is None or (slot.price_scale == price_scale and slot.qty_scale == qty_scale):
        return OK
    slot.price_scale = price_scale
    slot.qty_scale = qty_scale
    _rescale_level3(stores, slot.level3, price_scale, qty_scale)
    book = slot.book
    if book is None or (book.price_scale == price_scale and book.qty_scale == qty_scale):
        return OK
    book.set_scales(price_scale, qty_scale)
    if book._state == BOOK_VALID or book._state == BOOK_UNVERIFIED:
        return stores.lose_book(book, "precision")
    return OK


cdef Status _rescale_level3(Stores stores, Level3Book book, int price_scale, int qty_scale) except FAILED:
    cdef bint trusted
    if book is None or (book.price_scale == price_scale and book.qty_scale == qty_scale):
        return OK
    trusted = book._state == BOOK_VALID or book._state == BOOK_UNVERIFIED
    book.set_scales(price_scale, qty_scale)
    return stores.lose_level3(book, "precision") if trusted else OK


cdef Status take_status(Stores stores) except FAILED:
    cdef Record* record
    cdef list told = []
    cdef int i
    for i in range(stores.scanner.record_count):
        record = &stores.scanner.records[i]
        try:
            told.append(SystemStatus(
                system=text_of(&record.values[STATUS_SYSTEM]),
                version=opt_text(record, STATUS_VERSION),
                api_version=opt_text(record, STATUS_API_VERSION),
                connection_id=<uint64_t>record.values[STATUS_CONNECTION_ID].num
                if record.seen >> STATUS_CONNECTION_ID & 1 else None,
                upcoming_maintenance=_announcements(record, STATUS_MAINTENANCE),
                emergency=_announcements(record, STATUS_EMERGENCY),
            ))
        except (ValueError, ArithmeticError):
            return stores.refuse(NULL, b"a number is beyond what Python reads", "")
    for status in told:
        stores.tell(stores.handler.on_status, (status,))
    return OK


cdef Status take_ack(Stores stores) except FAILED:
    cdef Record* head = &stores.scanner.head
    cdef str method = text_of(&head.values[HEAD_METHOD]) if head.seen >> HEAD_METHOD & 1 else "error"
    cdef str error = opt_text(head, HEAD_ERROR)
    success = error is None
    if head.seen >> HEAD_SUCCESS & 1:
        success = head.values[HEAD_SUCCESS].num == 1
    try:
        result = opt_json(head, HEAD_RESULT)
    except (ValueError, ArithmeticError):
        return stores.refuse(head.values[HEAD_RESULT].text, b"a number is beyond what Python reads", "")
    stores.tell(stores.handler.on_ack, (Ack(
        method=method,
        req_id=<uint64_t>head.values[HEAD_REQ_ID].num if head.seen >> HEAD_REQ_ID & 1 else None,
        success=success,
        error=error,
        symbol=opt_text(head, HEAD_SYMBOL),
        result=result,
        time_in_ns=opt_time(head, HEAD_TIME_IN),
        time_out_ns=opt_time(head, HEAD_TIME_OUT),
    ),))
    return OK


cdef tuple _announcements(const Record* record, int slot):
    value = opt_json(record, slot)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


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
    step = opt_decimal(record, PAIR_PRICE_INCREMENT, known)
    return _filled(Instrument, _INSTRUMENT_SETTERS, (
        word_of(record, PAIR_SYMBOL),
        word_of(record, PAIR_BASE),
        word_of(record, PAIR_QUOTE),
        word_of(record, PAIR_STATUS),
        values[PAIR_PRICE_PRECISION].num,
        values[PAIR_QTY_PRECISION].num,
        values[PAIR_COST_PRECISION].num if record.seen >> PAIR_COST_PRECISION & 1 else None,
        opt_decimal(record, PAIR_TICK_SIZE, known) if step is None else step,
        opt_decimal(record, PAIR_QTY_INCREMENT, known),
        opt_decimal(record, PAIR_QTY_MIN, known),
        opt_decimal(record, PAIR_COST_MIN, known),
        flag_of(record, PAIR_MARGINABLE),
        flag_of(record, PAIR_HAS_INDEX),
        opt_decimal(record, PAIR_MARGIN_INITIAL, known),
        opt_decimal(record, PAIR_LIMIT_LONG, known),
        opt_decimal(record, PAIR_LIMIT_SHORT, known),
    ))


cdef object _asset_of(const Record* record, dict known):
    cdef const Value* values = &record.values[0]
    return Asset(
        id=word_of(record, ASSET_ID),
        status=word_of(record, ASSET_STATUS),
        precision=values[ASSET_PRECISION].num,
        precision_display=values[ASSET_PRECISION_DISPLAY].num
        if record.seen >> ASSET_PRECISION_DISPLAY & 1 else values[ASSET_PRECISION].num,
        borrowable=flag_of(record, ASSET_BORROWABLE),
        collateral_value=opt_decimal(record, ASSET_COLLATERAL, known),
        margin_rate=opt_decimal(record, ASSET_MARGIN_RATE, known),
        asset_class=opt_text(record, ASSET_CLASS),
        multiplier=opt_decimal(record, ASSET_MULTIPLIER, known),
    )
