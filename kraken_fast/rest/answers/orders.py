"""Orders, and what became of calls about them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..records import (
    flag,
    iso_or_none,
    ns_or_ms,
    number,
    one,
    optional_ref,
    optional_text,
    seconds,
    symbol,
    text,
    whole,
    wire,
    words,
)


def _price(value: Any, names: Any) -> Decimal:
    # Prices that were given relative, such as +5%, come back as they were given until they are fixed.
    stripped = value.strip("+-#%") if isinstance(value, str) else value
    return number(value, names) if stripped == value else number(stripped or "0", names)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What an order says. `price` is the limit, or the trigger of triggered types, which have the limit in `price2`."""

    symbol: str = wire("pair", symbol)
    side: str = wire("type", text)
    ord_type: str = wire("ordertype", text)
    price: Decimal = wire("price", _price, Decimal(0))
    price2: Decimal = wire("price2", _price, Decimal(0))
    leverage: str = wire("leverage", text, "none")
    description: str = wire("order", text, "")
    close_description: str = wire("close", text, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInfo:
    """An order. `status` closed means filled; there is no rejected: a rejection leaves no order.

    Attributes:
        avg_price: of its fills, 0 while there are none. The limit is `terms.price`.
        trades: ids of its fills, only if asked for.
    """

    order_id: str
    status: str = wire("status", text)
    terms: OrderTerms = wire("descr", one(OrderTerms))
    cl_ord_id: str | None = wire("cl_ord_id", optional_text, None)
    userref: int | None = wire("userref", optional_ref, None)
    refid: str | None = wire("refid", optional_text, None)
    link_id: str | None = wire("link_id", optional_text, None)
    opened_ns: int | None = wire("opentm", seconds, None)
    start_ns: int | None = wire("starttm", seconds, None)
    expire_ns: int | None = wire("expiretm", seconds, None)
    closed_ns: int | None = wire("closetm", seconds, None)
    time_in_force: str = wire("time_in_force", text, "")
    qty: Decimal = wire("vol", number)
    filled_qty: Decimal = wire("vol_exec", number)
    cost: Decimal = wire("cost", number)
    fee: Decimal = wire("fee", number)
    avg_price: Decimal = wire("price", number)
    stop_price: Decimal = wire("stopprice", number, Decimal(0))
    limit_price: Decimal = wire("limitprice", number, Decimal(0))
    trigger: str = wire("trigger", text, "")
    margin: bool = wire("margin", flag, False)
    misc: tuple[str, ...] = wire("misc", words, ())
    flags: tuple[str, ...] = wire("oflags", words, ())
    trades: tuple[str, ...] = wire("trades", words, ())
    reason: str | None = wire("reason", optional_text, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """Closed orders, newest first, 50 a page. `count` is that of all pages, None if it was not asked for."""

    orders: tuple[OrderInfo, ...]
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """One state of an order's terms; the first is `original`."""

    amend_id: str = wire("amend_id", text)
    amend_type: str = wire("amend_type", text)
    qty: Decimal | None = wire("order_qty", number, None)
    display_qty: Decimal | None = wire("display_qty", number, None)
    remaining_qty: Decimal | None = wire("remaining_qty", number, None)
    limit_price: Decimal | None = wire("limit_price", number, None)
    trigger_price: Decimal | None = wire("trigger_price", number, None)
    reason: str = wire("reason", text, "")
    post_only: bool = wire("post_only", flag, False)
    exch_ns: int = wire("timestamp", ns_or_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """An order was accepted, not necessarily rests. `order_id` is None if it was only validated."""

    order_id: str | None
    description: str
    close_description: str = ""
    cl_ord_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """What became of one order of a batch: it has an id, or an error."""

    order_id: str | None = wire("txid", text, None)
    error: str | None = wire("error", text, None)
    cl_ord_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """An amend was accepted."""

    amend_id: str = wire("amend_id", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An order was cancelled and another placed instead; what the old one had filled stays with it."""

    order_id: str = wire("txid", text, "")
    original_id: str = wire("originaltxid", text, "")
    status: str = wire("status", text, "ok")
    qty: Decimal | None = wire("volume", number, None)
    price: Decimal | None = wire("price", number, None)
    orders_cancelled: int = wire("orders_cancelled", whole, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Cancels were accepted; `pending` if they wait in a queue. What was filled before, a query tells."""

    count: int = wire("count", whole)
    pending: bool = wire("pending", flag, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMansSwitch:
    """When all orders will be cancelled. `trigger_ns` is None when disarmed."""

    current_ns: int | None = wire("currentTime", iso_or_none, None)
    trigger_ns: int | None = wire("triggerTime", iso_or_none, None)
