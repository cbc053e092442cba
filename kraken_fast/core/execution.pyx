# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""One report about an order: every member of the protocol by its name, from the wire or from a REST answer.

Most reports name neither symbol nor side; what never changes in an order's life is then that of its first report
(`origin`), so a report is complete wherever it ends up.
Source: websocket-v2 channel executions.
"""

import json
from decimal import Decimal

from .packed import as_decimal, as_integer
from ..types import Contingent, Fee, Triggers

from libc.stdint cimport uint64_t

cimport cython

from .defs cimport CHANNEL_EXECUTIONS
from .packed cimport Fields, Packed, value_number, value_text
from .tables cimport (
    EXEC_AMENDED, EXEC_AVG_PRICE, EXEC_CANCEL_REASON, EXEC_CASH_ORDER_QTY, EXEC_CL_ORD_ID, EXEC_CONTINGENT,
    EXEC_COST, EXEC_CUM_COST, EXEC_CUM_QTY, EXEC_DISPLAY_QTY, EXEC_DISPLAY_QTY_REMAIN, EXEC_EFFECTIVE_TIME,
    EXEC_EXEC_ID, EXEC_EXEC_TYPE, EXEC_EXPIRE_TIME, EXEC_EXT_EXEC_ID, EXEC_EXT_ORD_ID, EXEC_FEES, EXEC_FEE_CCY_PREF,
    EXEC_FEE_USD_EQUIV, EXEC_LAST_PRICE, EXEC_LAST_QTY, EXEC_LIMIT_PRICE, EXEC_LIMIT_PRICE_TYPE, EXEC_LIQUIDATED,
    EXEC_LIQUIDITY_IND, EXEC_MARGIN, EXEC_MARGIN_BORROW, EXEC_NO_MPP, EXEC_ORDER_ID, EXEC_ORDER_QTY,
    EXEC_ORDER_STATUS, EXEC_ORDER_TYPE, EXEC_ORDER_USERREF, EXEC_ORD_REF_ID, EXEC_POSITION_STATUS, EXEC_POST_ONLY,
    EXEC_RATECOUNT, EXEC_REASON, EXEC_REDUCE_ONLY, EXEC_SENDER_SUB_ID, EXEC_SIDE, EXEC_STOP_PRICE, EXEC_SYMBOL,
    EXEC_TIMESTAMP, EXEC_TIME_IN_FORCE, EXEC_TRADE_ID, EXEC_TRIGGER, EXEC_TRIGGERED_PRICE, EXEC_TRIGGERS, EXEC_USER,
    FEE_ASSET, FEE_QTY, Item, Record, row_tables,
)


cdef enum:
    FEE_SLOTS = 2


cdef Execution new_execution(
    Record* row, const Item* items, bint snapshot, uint64_t sequence, Execution origin,
):
    cdef Execution execution = Execution.__new__(Execution)
    cdef int count = 0
    if row.seen >> EXEC_FEES & 1:
        count = row.values[<int>EXEC_FEES].size
        row.values[<int>EXEC_FEES].size = 0              # a list has no text
        items += row.values[<int>EXEC_FEES].num
    execution.pack(row, items, count, FEE_SLOTS)
    execution.snapshot = snapshot
    execution.number = sequence
    execution.origin = origin
    return execution


cdef dict _json(str text):
    """A nested object; every number a Decimal. Raises ValueError or ArithmeticError when it is none."""
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return value


cdef int slot_of(str name):
    return FIELDS.slots.get(name, -1)


def _no_constant(text):
    raise ValueError(f"{text} is not a number")


cdef object _filled(object kind, dict value):
    """A record of what `value` tells; what the record does not know is left out."""
    cdef dict told = {}
    for name, allowed in kind.__annotations__.items():
        member = value.get(name)
        if member is not None and type(member) is not (Decimal if "Decimal" in allowed else str):
            raise ValueError(f"{name} is not what it should be")
        told[name] = member
    return kind(**told)


cdef object nested(int slot, str text):
    return _filled(Triggers if slot == EXEC_TRIGGERS else Contingent, _json(text))


@cython.no_gc
cdef class Execution(Packed):
    """One report about an order; immutable. What was not sent is None; numbers are Decimals with the decimals sent.

    Args:
        order_id, exec_type: of the order, and what happened to it.
        timestamp_ns: when, ns since epoch.
        snapshot, recovered: see Packed; built by hand, it is recovered unless said otherwise.
        sequence: of the message, if there was one.
        **fields: any member of the protocol by its name; numbers as Decimal or int.

    Raises:
        TypeError: a name or a type that the protocol does not know; a float is never right.
    """

    def __init__(
        self, *, order_id, exec_type, timestamp_ns=None, bint snapshot=False, bint recovered=True, sequence=None,
        **fields,
    ):
        self.give(FIELDS, {"order_id": order_id, "exec_type": exec_type, "timestamp_ns": timestamp_ns, **fields})
        self.snapshot = snapshot
        self.recovered = recovered
        self.number = 0 if sequence is None else sequence

    def marked_recovered(self):
        """Give a copy that says it was found out afterwards."""
        cdef Execution copy = Execution.__new__(Execution)
        copy.copy_from(self)
        copy.recovered = True
        return copy

    @property
    def key(self):
        """What makes it the only one of its kind: exec_id, else (order_id, exec_type, timestamp_ns, cum_qty)."""
        if self.seen >> EXEC_EXEC_ID & 1:
            return self.exec_id
        return (self.order_id, self.exec_type, self.timestamp_ns, self.cum_qty)

    @property
    def timestamp_ns(self):
        """When the exchange says it happened, ns since epoch."""
        return self.time_ns(EXEC_TIMESTAMP)

    @property
    def fees(self):
        """Fees of this trade, a tuple of Fee(asset, qty)."""
        cdef list fees = []
        cdef int i
        if self.values is NULL:
            return self.given.get(<int>EXEC_FEES, ())
        for i in range(self.item_count):
            fees.append(Fee(
                value_text(self.item_value(i, FEE_SLOTS, FEE_ASSET)),
                value_number(self.item_value(i, FEE_SLOTS, FEE_QTY)),
            ))
        return tuple(fees)

    @property
    def triggers(self):
        """What sets it off, a types.Triggers."""
        return self._nested(EXEC_TRIGGERS)

    @property
    def contingent(self):
        """Template of its conditional close, a types.Contingent."""
        return self._nested(EXEC_CONTINGENT)

    @property
    def order_id(self):
        """The exchange's id of the order."""
        return self.text(EXEC_ORDER_ID)

    @property
    def cl_ord_id(self):
        """Our id of the order; that of its order where the row has none."""
        return self._joined(EXEC_CL_ORD_ID)

    @property
    def order_userref(self):
        """Our free tag of the order, 0 and None for none; that of its order where the row has none."""
        return self._joined(EXEC_ORDER_USERREF)

    @property
    def exec_id(self):
        """Id of the trade, of trades alone."""
        return self.text(EXEC_EXEC_ID)

    @property
    def exec_type(self):
        """pending_new, new, trade, filled, amended, restated, canceled, expired, iceberg_refill or status."""
        return self.text(EXEC_EXEC_TYPE)

    @property
    def trade_id(self):
        """Number of the trade within its symbol, as in channel trade."""
        return self.integer(EXEC_TRADE_ID)

    @property
    def symbol(self):
        """As on WebSocket v2; that of its order where the row has none."""
        return self._joined(EXEC_SYMBOL)

    @property
    def order_qty(self):
        """Quantity of the order, in base units."""
        return self.decimal(EXEC_ORDER_QTY)

    @property
    def side(self):
        """buy or sell; that of its order where the row has none."""
        return self._joined(EXEC_SIDE)

    @property
    def last_qty(self):
        """Quantity of this trade."""
        return self.decimal(EXEC_LAST_QTY)

    @property
    def last_price(self):
        """Price of this trade."""
        return self.decimal(EXEC_LAST_PRICE)

    @property
    def liquidity_ind(self):
        """m for maker, t for taker."""
        return self.text(EXEC_LIQUIDITY_IND)

    @property
    def cost(self):
        """Value of this trade, in quote units."""
        return self.decimal(EXEC_COST)

    @property
    def order_type(self):
        """As in add_order; that of its order where the row has none."""
        return self._joined(EXEC_ORDER_TYPE)

    @property
    def order_status(self):
        """State of the order as the exchange says; a trade that completes it still says partially_filled."""
        return self.text(EXEC_ORDER_STATUS)

    @property
    def cum_qty(self):
        """Quantity filled so far."""
        return self.decimal(EXEC_CUM_QTY)

    @property
    def cum_cost(self):
        """Value filled so far, in quote units."""
        return self.decimal(EXEC_CUM_COST)

    @property
    def avg_price(self):
        """Average price so far, rounded by the exchange."""
        return self.decimal(EXEC_AVG_PRICE)

    @property
    def time_in_force(self):
        """GTC, GTD, IOC or FOK, in capitals."""
        return self.text(EXEC_TIME_IN_FORCE)

    @property
    def limit_price_type(self):
        """static, pct or quote."""
        return self.text(EXEC_LIMIT_PRICE_TYPE)

    @property
    def limit_price(self):
        """Limit price."""
        return self.decimal(EXEC_LIMIT_PRICE)

    @property
    def stop_price(self):
        """Deprecated: see triggers."""
        return self.decimal(EXEC_STOP_PRICE)

    @property
    def post_only(self):
        """Whether the order may only make."""
        return self.flag(EXEC_POST_ONLY)

    @property
    def fee_usd_equiv(self):
        """All fees so far, in USD."""
        return self.decimal(EXEC_FEE_USD_EQUIV)

    @property
    def fee_ccy_pref(self):
        """fcib for base, fciq for quote."""
        return self.text(EXEC_FEE_CCY_PREF)

    @property
    def amended(self):
        """Whether the order was ever amended."""
        return self.flag(EXEC_AMENDED)

    @property
    def reason(self):
        """Why it was canceled or amended."""
        return self.text(EXEC_REASON)

    @property
    def cancel_reason(self):
        """Deprecated: see reason."""
        return self.text(EXEC_CANCEL_REASON)

    @property
    def display_qty(self):
        """What an iceberg shows at most."""
        return self.decimal(EXEC_DISPLAY_QTY)

    @property
    def display_qty_remain(self):
        """What it shows now."""
        return self.decimal(EXEC_DISPLAY_QTY_REMAIN)

    @property
    def cash_order_qty(self):
        """Quantity in quote units, if it was ordered so."""
        return self.decimal(EXEC_CASH_ORDER_QTY)

    @property
    def reduce_only(self):
        """Whether the order may only reduce a position."""
        return self.flag(EXEC_REDUCE_ONLY)

    @property
    def margin(self):
        """Whether it trades on margin."""
        return self.flag(EXEC_MARGIN)

    @property
    def margin_borrow(self):
        """Whether funds were borrowed for it."""
        return self.flag(EXEC_MARGIN_BORROW)

    @property
    def liquidated(self):
        """Whether it is a liquidation."""
        return self.flag(EXEC_LIQUIDATED)

    @property
    def no_mpp(self):
        """Whether market price protection was off."""
        return self.flag(EXEC_NO_MPP)

    @property
    def position_status(self):
        """opened, closing or closed."""
        return self.text(EXEC_POSITION_STATUS)

    @property
    def effective_time(self):
        """When it starts, RFC 3339."""
        return self.text(EXEC_EFFECTIVE_TIME)

    @property
    def expire_time(self):
        """When it expires, RFC 3339."""
        return self.text(EXEC_EXPIRE_TIME)

    @property
    def ord_ref_id(self):
        """Order that created this one by its conditional close."""
        return self.text(EXEC_ORD_REF_ID)

    @property
    def ext_ord_id(self):
        """Order id of a partner."""
        return self.text(EXEC_EXT_ORD_ID)

    @property
    def ext_exec_id(self):
        """Execution id of a partner."""
        return self.text(EXEC_EXT_EXEC_ID)

    @property
    def trigger(self):
        """Deprecated: see triggers."""
        return self.text(EXEC_TRIGGER)

    @property
    def triggered_price(self):
        """Deprecated: see triggers."""
        return self.decimal(EXEC_TRIGGERED_PRICE)

    @property
    def sender_sub_id(self):
        """Tag of an institution's trader."""
        return self.text(EXEC_SENDER_SUB_ID)

    @property
    def user(self):
        """User of a master account."""
        return self.text(EXEC_USER)

    @property
    def ratecount(self):
        """Rate counter of the pair, if it was subscribed to."""
        return self.decimal(EXEC_RATECOUNT)

    def fields(self):
        """Give every member that is there, by its name; the time as `timestamp_ns`."""
        return self.taken(FIELDS)

    cdef object _joined(self, int slot):
        if self.origin is not None and not self.seen >> slot & 1:
            return (<Execution>self.origin)._joined(slot)
        if slot != EXEC_ORDER_USERREF or self.given is not None:
            return self.text(slot)
        return int(self.decimal(slot)) if self.seen >> slot & 1 else None

    cdef object _nested(self, int slot):
        if self.values is NULL:
            return self.given.get(slot)
        return nested(slot, self.text(slot)) if self.seen >> slot & 1 else None

    def __repr__(self):
        cdef str which = f" {self.last_qty} at {self.last_price}" if self.exec_id is not None else ""
        return f"<Execution {self.exec_type} {self.order_id} {self.side}{which} {self.symbol}>"


# ---------------------------------------------------------------------------------------------- built by hand

def _as_fees(name, value):
    return tuple([Fee(asset, as_decimal(name, qty)) for asset, qty in value])


def _as_triggers(name, value):
    if not isinstance(value, Triggers):
        raise TypeError(f"{name}={value!r}: must be a Triggers")
    return value


def _as_contingent(name, value):
    if not isinstance(value, Contingent):
        raise TypeError(f"{name}={value!r}: must be a Contingent")
    return value


cdef Fields FIELDS = Fields()
FIELDS.learn(row_tables()[<int>CHANNEL_EXECUTIONS], {
    "order_userref": as_integer, "fees": _as_fees, "triggers": _as_triggers, "contingent": _as_contingent,
})
