# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Orders as the exchange tells them: by their ids, from the first report to the end, with their fills.

Theory. A report changes an order in three ways. It moves it along its life, by the table below: a live order only goes
forward, a closed one stays what it is, and whatever comes late is counted and changes nothing but quantities. It tells
values: the last report that told a member is held for it, so nothing is copied and every number stays as it was sent;
the filled quantity never falls. And a trade is a fill, once.

A completing trade does not close an order: `filled` does. An order that is open here and missing in a new snapshot has
ended, and how is not known until a report says so (`missing`): the owner looks it up by REST and applies what it finds.

What is kept is bounded: the last closed orders, and the last fills of each order beside the exact sums of all of them.
Source: websocket-v2 channel executions.
Bench: benchmarks/bench_account.py.
"""

from collections import deque
from decimal import Context, Decimal, Inexact, InvalidOperation

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memset

from .defs cimport FAILED, IGNORED, OK, Status
from .execution cimport Execution, slot_of
from .line cimport Line
from .packed cimport Borrowed, Ring
from .sequenced cimport Sequenced
from .tables cimport (
    EXEC_AVG_PRICE, EXEC_CL_ORD_ID, EXEC_COUNT, EXEC_CUM_COST, EXEC_CUM_QTY, EXEC_EXEC_TYPE, EXEC_LIMIT_PRICE,
    EXEC_ORDER_QTY, EXEC_ORDER_STATUS, EXEC_ORDER_TYPE, EXEC_ORDER_USERREF, EXEC_REASON, EXEC_SIDE, EXEC_SYMBOL,
    EXEC_TIMESTAMP, NUMBER_CUT, NUMBER_WIDE, Value, name_hash,
)


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef enum:
    ORDERS_MAX = 20_000          # open or missing; the exchange allows 225 for each pair
    FILLS_MAX = 1_000            # kept of one order
    KEYS_MAX = 10_000            # of fills that are kept no more: that they are not counted twice
    RECENT = 256                 # reports among which a copy is looked for

cdef enum Event:
    EVENT_PENDING_NEW = 0
    EVENT_NEW = 1
    EVENT_TRADE = 2
    EVENT_FILLED = 3
    EVENT_CANCELED = 4
    EVENT_EXPIRED = 5
    EVENT_OTHER = 6              # amended, restated, iceberg_refill, status, and what we do not know: order_status says
    EVENTS = 7

ctypedef const char* Text

cdef Text[6] EVENT_NAMES
EVENT_NAMES[:] = [b"pending_new", b"new", b"trade", b"filled", b"canceled", b"expired"]
cdef int[6] EVENT_SIZES
EVENT_SIZES[:] = [11, 3, 5, 6, 8, 7]
cdef Text[7] STATE_TEXTS
STATE_TEXTS[:] = [b"unknown", b"pending_new", b"new", b"partially_filled", b"filled", b"canceled", b"expired"]
cdef int[7] STATE_SIZES
STATE_SIZES[:] = [7, 11, 3, 16, 6, 8, 7]

TRANSITIONS = {
    # event:         from unknown, pending_new, new, partially_filled; filled, canceled and expired are the end
    "pending_new": ("pending_new", "pending_new", "new", "partially_filled"),
    "new": ("new", "new", "new", "partially_filled"),
    "trade": ("partially_filled", "partially_filled", "partially_filled", "partially_filled"),
    "filled": ("filled", "filled", "filled", "filled"),
    "canceled": ("canceled", "canceled", "canceled", "canceled"),
    "expired": ("expired", "expired", "expired", "expired"),
    "other": ("unknown", "pending_new", "new", "partially_filled"),
}
"""What an event makes of an order's status. Besides, a trade, a snapshot and an "other" event may carry it further by
their `order_status`, never back."""

STATUSES = ("unknown", "pending_new", "new", "partially_filled", "filled", "canceled", "expired")

cdef int[EVENTS][ORDER_STATES] TABLE
cdef uint64_t SUMS = <uint64_t>1 << EXEC_CUM_QTY | <uint64_t>1 << EXEC_CUM_COST | <uint64_t>1 << EXEC_AVG_PRICE


cdef void _fill_table():
    cdef int event, state
    for event, row in enumerate(TRANSITIONS.values()):
        for state in range(<int>ORDER_STATES):
            TABLE[event][state] = STATUSES.index(row[state]) if state < <int>ORDER_FILLED else state


_fill_table()

_EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation])     # sums and products never round
_ROUNDED = Context(prec=28)


cdef int _event_of(Execution execution) except -1:
    cdef const Value* value = execution.value(EXEC_EXEC_TYPE)
    cdef int i
    if value is NULL:
        return _EVENTS.get(execution.exec_type, <int>EVENT_OTHER)
    for i in range(<int>EVENT_OTHER):
        if value.size == EVENT_SIZES[i] and memcmp(value.text, EVENT_NAMES[i], value.size) == 0:
            return i
    return EVENT_OTHER


cdef int _told_state(Execution execution) except -1:
    """What `order_status` says; ORDER_UNKNOWN for what we do not know."""
    cdef const Value* value = execution.value(EXEC_ORDER_STATUS)
    cdef int i
    if value is NULL:
        return _STATES.get(execution.order_status, <int>ORDER_UNKNOWN)
    for i in range(1, <int>ORDER_STATES):
        if value.size == STATE_SIZES[i] and memcmp(value.text, STATE_TEXTS[i], value.size) == 0:
            return i
    return ORDER_UNKNOWN


cdef dict _EVENTS = {name: number for number, name in enumerate(TRANSITIONS)}
cdef dict _STATES = {name: number for number, name in enumerate(STATUSES)}


cdef int _compare(Execution ours, Execution theirs, int slot) except -2:
    """-1, 0 or 1 as the first number is less, equal or more."""
    cdef const Value* a = ours.value(slot)
    cdef const Value* b = theirs.value(slot)
    if a is not NULL and b is not NULL and a.digits == b.digits and not (a.form | b.form) & (NUMBER_WIDE | NUMBER_CUT):
        return (a.num > b.num) - (a.num < b.num)
    first, second = ours.decimal(slot), theirs.decimal(slot)
    return (first > second) - (first < second)


# ---------------------------------------------------------------------------------------------- one order

@cython.no_gc                            # reports know nothing of orders: there are no circles
cdef class AccountOrder:
    """An order as the exchange told it so far; the same object all its life. Numbers are Decimals, None if not told.

    Attributes:
        order_id: the exchange's id.
        fill_count: trades so far, those beyond the kept ones too.
    """

    def __cinit__(self):
        self._fills = []

    def __init__(self, str order_id not None):
        self.order_id = order_id

    def __dealloc__(self):
        cdef int i
        for i in range(self.teller_count):
            Py_XDECREF(self.tellers[i].report)
        PyMem_Free(self.tellers)

    cdef Status learn(self, Execution execution) except FAILED:
        """Hold the report for every member that it tells; a filled quantity that falls, and what goes with it, not."""
        cdef uint64_t slots = execution.seen
        cdef Execution held
        cdef Teller* more
        cdef Borrowed[EXEC_COUNT] gone           # SAFE: tellers share no slot, so there are at most that many
        cdef int i, kept = 0, gone_count = 0
        if slots & SUMS and self.all_told >> EXEC_CUM_QTY & 1:
            held = self.told_at(EXEC_CUM_QTY)
            if not slots >> EXEC_CUM_QTY & 1 or _compare(execution, held, EXEC_CUM_QTY) < 0:
                slots &= ~SUMS
        if self.teller_count == self.teller_capacity:
            more = <Teller*>PyMem_Realloc(self.tellers, (self.teller_capacity + 4) * sizeof(Teller))
            if more is NULL:
                raise MemoryError()
            self.tellers = more
            self.teller_capacity += 4
        for i in range(self.teller_count):
            self.tellers[i].slots &= ~slots
            if self.tellers[i].slots:
                self.tellers[kept] = self.tellers[i]
                kept += 1
            else:
                gone[gone_count] = self.tellers[i].report
                gone_count += 1
        self.teller_count = kept
        if slots:                        # SAFE: there was room for one more
            Py_INCREF(execution)
            self.tellers[kept].report = <PyObject*>execution
            self.tellers[kept].slots = slots
            self.teller_count += 1
        self.all_told |= slots
        for i in range(gone_count):              # last: what a caller put into a report may call us as it goes
            Py_XDECREF(gone[i])
        return OK

    cdef Execution told_at(self, int slot):
        cdef int i
        for i in range(self.teller_count):
            if self.tellers[i].slots >> slot & 1:
                return <Execution>self.tellers[i].report
        return None

    cdef bint has_fill(self, Execution execution) except -1:
        """Whether this trade is known. One whose cum_qty is beyond all that we heard of cannot be."""
        cdef Execution fill
        if not self._fills:
            return False
        if self.all_told & execution.seen & <uint64_t>1 << EXEC_CUM_QTY and (
                _compare(execution, self.told_at(EXEC_CUM_QTY), EXEC_CUM_QTY) > 0):
            return False
        key = execution.key
        for fill in self._fills:
            if fill.key == key:
                return True
        return self._folded is not None and key in self._folded["keys"]

    cdef Status add_fill(self, Execution execution) except FAILED:
        self._fills.append(execution)
        self.fill_count += 1
        if len(self._fills) > FILLS_MAX:
            self._fold()
        return OK

    cdef Status _fold(self) except FAILED:
        """Turn the older half of the fills into sums, so that an order of very many fills stays small."""
        cdef list older = self._fills[:FILLS_MAX // 2]
        self._folded = _sums(older, self._folded)
        self._folded["keys"].extend([(<Execution>fill).key for fill in older])
        del self._fills[:FILLS_MAX // 2]
        return OK

    cdef dict _totals(self):
        return _sums(self._fills, self._folded)

    cdef object _last(self, int slot, str name):
        cdef Execution teller = self.told_at(slot)
        return None if teller is None else getattr(teller, name)

    def told(self, str name not None):
        """Give the last value told of any member of an Execution by its name, None if none ever was."""
        cdef int slot = slot_of(name)
        if slot < 0:
            raise KeyError(name)
        return self._last(slot, name)

    @property
    def status(self):
        """unknown (known by its id alone), pending_new, new, partially_filled, filled, canceled or expired."""
        return STATUSES[self._state]

    @property
    def is_open(self):
        """Whether it may still trade, as far as we heard."""
        return self._state < ORDER_FILLED and not self.is_missing

    @property
    def symbol(self):
        """As on WebSocket v2."""
        return self._last(EXEC_SYMBOL, "symbol")

    @property
    def side(self):
        """buy or sell."""
        return self._last(EXEC_SIDE, "side")

    @property
    def order_type(self):
        """As in add_order."""
        return self._last(EXEC_ORDER_TYPE, "order_type")

    @property
    def cl_ord_id(self):
        """Our id."""
        return self._last(EXEC_CL_ORD_ID, "cl_ord_id")

    @property
    def order_userref(self):
        """Our free tag; 0, as the exchange writes it for none, is None."""
        return self._last(EXEC_ORDER_USERREF, "order_userref") or None

    @property
    def order_qty(self):
        """Quantity ordered, amendments included."""
        return self._last(EXEC_ORDER_QTY, "order_qty")

    @property
    def limit_price(self):
        """Limit price, amendments included."""
        return self._last(EXEC_LIMIT_PRICE, "limit_price")

    @property
    def cum_qty(self):
        """Quantity filled: what the exchange told, or the sum of the fills where that is more. It never falls."""
        told = self._last(EXEC_CUM_QTY, "cum_qty")
        if told is not None and not self._fills:
            return told
        summed = self._totals()["qty"]
        return summed if told is None or summed > told else told

    @property
    def cum_cost(self):
        """Value filled in quote units, told or summed as `cum_qty`; None when neither is known."""
        cdef Execution by = self.told_at(EXEC_CUM_QTY)
        summed = self._totals()
        if by is None or summed["qty"] > by.cum_qty:
            return summed["cost"]
        if by.cum_cost is not None:
            return by.cum_cost
        return summed["cost"] if summed["qty"] == by.cum_qty else self._last(EXEC_CUM_COST, "cum_cost")

    @property
    def avg_price(self):
        """Average price: exactly from the fills where all of them are known, rounded only to 28 digits.

        Else as the exchange told it, rounded to the pair's decimals. None before the first fill.
        """
        cdef dict summed = self._totals()
        told = self._last(EXEC_CUM_QTY, "cum_qty")
        if summed["qty"] and (told is None or summed["qty"] >= told):
            return _ROUNDED.divide(summed["value"], summed["qty"])
        return self._last(EXEC_AVG_PRICE, "avg_price") if told else None

    @property
    def remaining(self):
        """Quantity still to be filled, None while the order's quantity is not known."""
        ordered = self.order_qty
        return None if ordered is None else max(_EXACT.subtract(ordered, self.cum_qty), Decimal(0))

    @property
    def fees(self):
        """Fees of all fills, a dict of asset to sum."""
        return self._totals()["fees"]

    @property
    def fills(self):
        """The fills that are kept, by time, a tuple of Execution; see `fill_count`."""
        return tuple(sorted(self._fills, key=_time_of))

    @property
    def reason(self):
        """Why it was canceled or amended last."""
        return self._last(EXEC_REASON, "reason")

    @property
    def updated_ns(self):
        """Exchange time of the last report, ns since epoch."""
        return self._last(EXEC_TIMESTAMP, "timestamp_ns")

    def __repr__(self):
        cdef str how = f"{self.side} {self.order_qty} {self.symbol} filled {self.cum_qty}"
        return f"<AccountOrder {self.order_id} {self.status}{' missing' if self.is_missing else ''} {how}>"


def _time_of(fill):
    return fill.timestamp_ns or 0


cdef dict _sums(list fills, dict folded):
    """Exact sums over fills: quantity, value (price times quantity), cost as told, fees by asset."""
    cdef Execution fill
    cdef dict fees = {} if folded is None else dict(folded["fees"])
    zero = Decimal(0)
    qty, value, cost = (zero, zero, zero) if folded is None else (folded["qty"], folded["value"], folded["cost"])
    for fill in fills:
        last_qty, last_price = fill.last_qty or zero, fill.last_price or zero
        qty = _EXACT.add(qty, last_qty)
        worth = _EXACT.multiply(last_qty, last_price)
        value = _EXACT.add(value, worth)
        told = fill.cost
        cost = _EXACT.add(cost, worth if told is None else told)
        for asset, fee in fill.fees:
            fees[asset] = _EXACT.add(fees.get(asset, zero), fee)
    keys = deque(maxlen=KEYS_MAX) if folded is None else folded["keys"]
    return {"qty": qty, "value": value, "cost": cost, "fees": fees, "keys": keys}


# ---------------------------------------------------------------------------------------------- all of them

cdef class OrderStore(Sequenced):
    """The orders of one account, as one line heard of them.

    Args:
        line: the connection that fills it; None makes one of its own.
        closed_max: closed orders that are kept, for late reports and for whoever asks.

    Attributes:
        open_count: orders that may still trade.
        copies: reports that had been taken in before, and were not told again.
        late: reports that the order's life had already passed; what they say of quantities counts.
        corrections: orders that were closed here and that a snapshot calls open: open again.
        dropped: reports of orders beyond the bound.
    """

    def __init__(self, Line line=None, *, int closed_max=1_000):
        if closed_max < 1:
            raise ValueError(f"closed_max={closed_max}: must be at least 1")
        Sequenced.__init__(self, "executions", Line() if line is None else line)
        memset(self._near, 0, sizeof(self._near))        # before what they point to goes, should this be called twice
        self.open_count = 0
        self._orders = {}
        self._by_cl_ord_id = {}
        self._closed = deque()
        self._closed_max = closed_max
        self._recent = Ring(<int>RECENT)

    # ------------------------------------------------------------------------------------------ reading

    def get(self, str order_id not None):
        """The order of this id: open, missing, or among the last closed ones; else None."""
        return self._orders.get(order_id)

    def by_cl_ord_id(self, str cl_ord_id not None):
        """The last order of this client id, which is unique among open orders; None if there is none."""
        return self._by_cl_ord_id.get(cl_ord_id)

    def by_userref(self, order_userref):
        """All known orders with this tag, which is not unique, oldest first. Cost: O(orders kept)."""
        return tuple([order for order in self._orders.values() if order.order_userref == order_userref])

    @property
    def open_orders(self):
        """Orders that may still trade, oldest first. Cost: O(orders kept)."""
        return tuple([order for order in self._orders.values() if (<AccountOrder>order).is_open])

    @property
    def missing(self):
        """Orders that were open and that the last snapshot did not name: how they ended is not known yet."""
        return tuple([order for order in self._orders.values() if (<AccountOrder>order).is_missing])

    @property
    def closed_orders(self):
        """The last closed orders, oldest first."""
        return tuple([self._orders[order_id] for order_id in self._closed])

    # ------------------------------------------------------------------------------------------ taking in

    def apply(self, Execution execution not None):
        """Take in a report that did not come from the stream: a fill found by REST, the end of a missing order.

        Returns:
            The order, or None if the report was known before, or is one too many.
        """
        cdef str order_id = execution.order_id
        cdef AccountOrder order = self._orders.get(order_id)
        if order is None:
            order = self.open(order_id)
        if order is None or self.take(execution, order, False) != OK:
            return None
        return order

    cdef AccountOrder named(self, const char* order_id, int size):
        """Reports come in runs about a few orders, so the last ones are tried first, without making a str."""
        cdef PyObject** near = &self._near[name_hash(order_id, size) % ORDERS_NEAR]
        cdef AccountOrder order
        cdef Py_ssize_t length
        cdef const char* text
        cdef str name
        if near[0] is not NULL:
            text = PyUnicode_AsUTF8AndSize((<AccountOrder>near[0]).order_id, &length)
            if length == size and memcmp(text, order_id, size) == 0:
                return <AccountOrder>near[0]
        name = order_id[:size].decode()
        order = self._orders.get(name)
        if order is None:
            order = self.open(name)
        if order is not None:
            near[0] = <PyObject*>order           # borrowed: it is in `_orders`, and `_close` clears the place
        return order

    cdef AccountOrder open(self, str order_id):
        """A new order, None when there are too many."""
        cdef AccountOrder order
        if len(self._orders) - len(self._closed) >= ORDERS_MAX:
            self.dropped += 1
            return None
        order = AccountOrder(order_id)
        self._orders[order_id] = order
        self.open_count += 1
        return order

    cdef Status take(self, Execution execution, AccountOrder order, bint in_sequence) except FAILED:
        cdef int event = _event_of(execution)
        cdef bint trade = event == EVENT_TRADE
        if trade:
            if order.has_fill(execution):
                self.copies += 1
                return IGNORED
        elif not in_sequence and self._is_copy(execution):
            self.copies += 1
            return IGNORED
        if trade:
            order.add_fill(execution)
        if execution.seen >> EXEC_CL_ORD_ID & 1 and order.client is None:
            order.client = execution.cl_ord_id
            self._by_cl_ord_id[order.client] = order
        order.learn(execution)
        self._recent.add(execution)
        return self._move(order, execution, event)

    cdef bint _is_copy(self, Execution execution) except -1:
        cdef Execution known
        key = execution.key
        for known in self._recent.records():
            if known.key == key:
                return True
        return False

    cdef Status _move(self, AccountOrder order, Execution execution, int event) except FAILED:
        cdef int before = order._state
        cdef int after = TABLE[event][before]
        cdef int told = _told_state(execution)
        if event == EVENT_OTHER or event == EVENT_TRADE or execution.snapshot:
            if before >= ORDER_FILLED and ORDER_UNKNOWN < told < ORDER_FILLED and event != EVENT_TRADE and (
                    execution.snapshot and not execution.recovered):
                self._reopen(order)
                before = ORDER_UNKNOWN
                after = told
            elif before < ORDER_FILLED and told > after:
                after = told
        if before >= ORDER_FILLED or (event <= EVENT_NEW and before > event + 1 and not execution.snapshot):
            self.late += 1
        if not (execution.recovered or (execution.snapshot and event == EVENT_TRADE)):
            order.generation = self._generation          # REST may lag: what it calls open may have ended
            self._set_missing(order, False)
        order._state = after
        if before < ORDER_FILLED <= after:
            self._set_missing(order, False)
            self._close(order)
        return OK

    cdef Status _set_missing(self, AccountOrder order, bint is_missing) except FAILED:
        if order.is_missing != is_missing:
            order.is_missing = is_missing
            self.open_count += -1 if is_missing else 1
        return OK

    cdef Status _reopen(self, AccountOrder order) except FAILED:
        self.corrections += 1
        self._closed.remove(order.order_id)
        self.open_count += 1
        return OK

    cdef Status _close(self, AccountOrder order) except FAILED:
        cdef AccountOrder oldest
        self.open_count -= 1
        self._closed.append(order.order_id)
        if len(self._closed) > self._closed_max:
            oldest = self._orders.pop(self._closed.popleft())
            if oldest.client is not None and self._by_cl_ord_id.get(oldest.client) is oldest:
                del self._by_cl_ord_id[oldest.client]
            self._forget(oldest)
        return OK

    cdef Status _forget(self, AccountOrder order) except FAILED:
        """Take an order that is kept no more out of those that are tried first."""
        cdef int i
        for i in range(<int>ORDERS_NEAR):
            if self._near[i] is <PyObject*>order:
                self._near[i] = NULL
        return OK

    cdef void begin_snapshot(self) noexcept:
        self._generation += 1

    cdef Status end_snapshot(self) except FAILED:
        """Every open order stands in a snapshot: those that do not have ended."""
        cdef AccountOrder order
        for order in self._orders.values():
            if order._state < ORDER_FILLED and order.generation != self._generation:
                self._set_missing(order, True)
        return OK

    def _check(self):
        """Assert every invariant; for tests."""
        cdef AccountOrder order
        assert self.open_count == len(self.open_orders) >= 0
        assert len(self._closed) == len(set(self._closed)) <= self._closed_max
        for order_id, order in self._orders.items():
            assert order.order_id == order_id
            assert (order._state >= ORDER_FILLED) == (order_id in self._closed)
            assert not (order.is_missing and order._state >= ORDER_FILLED)
            assert len(order._fills) <= FILLS_MAX
            assert order.cl_ord_id is None or order.cl_ord_id in self._by_cl_ord_id
        for order in self._by_cl_ord_id.values():
            assert self._orders[order.order_id] is order
