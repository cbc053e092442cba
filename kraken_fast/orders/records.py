"""What an order is made of: the words of the protocol, its states and which may follow which, fills and evidence.

Theory of operation. A state says what is *known*. Nothing is known between the first byte of a request and its answer
(`SENT`), nor when that answer failed to come (`UNKNOWN`); both end only by evidence that is kept on the order: a
message or a query that names it, or proof that it is nowhere.

    DRAFT -> JOURNALLED -> SENT -> ACKED -> OPEN -> PARTIAL -> FILLED
                 |           |       \\________\\________\\____-> CANCELED, EXPIRED
              NOT_SENT       +-> UNKNOWN -> any of the above, or NOT_PLACED
                             +-> REJECTED

Invariants. Filled quantity never falls. What ended stays ended; a message that contradicts an end opens it again as a
*correction*, which is counted and logged, because money follows the exchange and not our opinion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Literal, NamedTuple

Amount = Decimal | str | int
"""A price or quantity as a caller gives it. Floats are refused: write 0.1 as "0.1"."""

Side = Literal["buy", "sell"]
OrderType = Literal[
    "limit", "market", "iceberg", "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit", "trailing-stop",
    "trailing-stop-limit", "settle-position",
]  # fmt: skip
TimeInForce = Literal["gtc", "gtd", "ioc", "fok"]
PriceType = Literal["static", "pct", "quote"]
Reference = Literal["last", "index"]
FeePreference = Literal["base", "quote"]
StpType = Literal["cancel_newest", "cancel_oldest", "cancel_both"]


@dataclass(slots=True, kw_only=True)
class Triggers:
    """When a stop, take-profit or trailing order fires.

    Attributes:
        price: the level; of trailing orders the distance, positive. Relative forms by `price_type`.
        reference: the last trade, or the index, which falls back to last when its feed is down.
        price_type: static, pct or quote; trailing orders take pct or quote.
    """

    price: Amount
    reference: Reference | None = None
    price_type: PriceType | None = None


@dataclass(slots=True, kw_only=True)
class Conditional:
    """The close that each fill places: opposite side, size of the fill. Not together with `cl_ord_id`."""

    order_type: OrderType
    limit_price: Amount | None = None
    trigger_price: Amount | None = None


@dataclass(slots=True, kw_only=True)
class NewOrder:
    """One order as asked for. See `OrderEntry.add_order` for each field; Source: websocket-v2 method add_order."""

    order_type: OrderType
    side: Side
    symbol: str = ""
    order_qty: Amount | None = None
    cash_order_qty: Amount | None = None
    limit_price: Amount | None = None
    limit_price_type: PriceType | None = None
    triggers: Triggers | None = None
    time_in_force: TimeInForce | None = None
    expire_time: datetime | None = None
    effective_time: datetime | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    margin: bool | None = None
    display_qty: Amount | None = None
    fee_preference: FeePreference | None = None
    stp_type: StpType | None = None
    cl_ord_id: str | None = None
    order_userref: int | None = None
    conditional: Conditional | None = None
    sender_sub_id: str | None = None
    no_mpp: bool | None = None


class OrderState(Enum):
    """What is known of an order."""

    DRAFT = "draft"
    JOURNALLED = "journalled"
    NOT_SENT = "not sent"
    SENT = "sent"
    UNKNOWN = "unknown"
    NOT_PLACED = "not placed"
    REJECTED = "rejected"
    ACKED = "acknowledged"
    OPEN = "open"
    PARTIAL = "partially filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"

    is_final: bool
    """Whether nothing more is expected."""
    is_live: bool
    """Whether the exchange is known to hold it."""
    may_be_live: bool
    """Whether the exchange may hold it."""
    text: str
    """Its value, without Enum's call of Python."""

    # Members are single: their identity is their hash, and Enum's own is a call of Python.
    __hash__ = object.__hash__


_S = OrderState
FINAL = frozenset({_S.NOT_SENT, _S.NOT_PLACED, _S.REJECTED, _S.FILLED, _S.CANCELED, _S.EXPIRED})
for _state in _S:
    _state.text = _state.value
    _state.is_final = _state in FINAL
    _state.is_live = _state in (_S.ACKED, _S.OPEN, _S.PARTIAL)
    _state.may_be_live = _state.is_live or _state in (_S.SENT, _S.UNKNOWN)
_AT_EXCHANGE = frozenset({_S.ACKED, _S.OPEN, _S.PARTIAL, _S.FILLED, _S.CANCELED, _S.EXPIRED})
FOLLOWS: dict[OrderState, frozenset[OrderState]] = {
    _S.DRAFT: frozenset({_S.JOURNALLED}),
    _S.JOURNALLED: frozenset({_S.SENT, _S.NOT_SENT, _S.UNKNOWN}),
    _S.SENT: _AT_EXCHANGE | {_S.UNKNOWN, _S.REJECTED, _S.NOT_SENT},
    _S.UNKNOWN: _AT_EXCHANGE | {_S.REJECTED, _S.NOT_PLACED},
    _S.ACKED: _AT_EXCHANGE - {_S.ACKED},
    _S.OPEN: _AT_EXCHANGE - {_S.ACKED, _S.OPEN},
    _S.PARTIAL: frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED}),
    _S.CANCELED: frozenset({_S.FILLED}),  # the fill that raced the cancel came after it, and completed the order
    _S.EXPIRED: frozenset({_S.FILLED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.NOT_PLACED: frozenset(),
    _S.NOT_SENT: frozenset(),
}
"""Which state may follow which. Everything else is a correction."""


class Evidence(NamedTuple):
    """Why something is known of an order.

    Attributes:
        kind: journal, wire, reply, event, query, absence or correction.
        at_ns: monotonic time of our learning it.
        detail: what was said, without secrets.
    """

    kind: str
    at_ns: int
    detail: str


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order.

    Attributes:
        fees: amount by asset.
        exch_ns: the exchange's time, ns since epoch, or None.
        recovered: learned by a query after a gap rather than streamed.
    """

    exec_id: str
    qty: Decimal
    price: Decimal
    cost: Decimal
    fees: tuple[tuple[str, Decimal], ...]
    liquidity: str
    trade_id: int | None
    exch_ns: int | None
    recovered: bool
