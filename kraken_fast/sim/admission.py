"""Which orders the engine accepts: what states, limits and post-only allow. Funds are the desk's part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from .drafts import LIMITS, SCHEDULE_AHEAD_NS
from .instruments import Pair
from .limits import Tier
from .market import Market
from .params import invalid
from .records import ZERO, Order
from .refusals import RestError


def check_state(order: Order, system_status: str, pair: Pair) -> None:
    """Refuse what the states of exchange and pair do not allow.

    Raises:
        RestError: with Kraken's words for that state.
    """
    if pair.status in ("delisted", "work_in_progress"):
        raise RestError("EQuery:Unknown asset pair")
    states = {system_status, pair.status}
    if "maintenance" in states:
        raise RestError("EService:Unavailable")
    if "cancel_only" in states:
        raise RestError("EService:Market in cancel_only mode")
    if "post_only" in states and not order.flag("post"):
        raise RestError("EService:Market in post_only mode")
    if "limit_only" in states and order.order_type not in LIMITS:
        raise RestError("EService:Market in limit_only mode")
    if "reduce_only" in states:
        raise RestError("EOrder:Reduce only:Non-PC")


def check_client_id(order: Order, live: Sequence[Order]) -> None:
    """Refuse a client's id that one of its open orders has; Kraken's words for that are not established.

    Raises:
        RestError: it is in use.
    """
    if order.cl_ord_id is not None and order.cl_ord_id in [other.cl_ord_id for other in live]:
        raise invalid("cl_ord_id")


def check_ceilings(order: Order, live: Sequence[Order], tier: Tier, now_ns: int) -> None:
    """Refuse one order more than the tier may have open on a pair, or scheduled.

    Raises:
        RestError: the ceiling is reached.
    """
    if order.order_type == "market":
        return
    if sum(other.symbol == order.symbol for other in live) >= tier.open_orders_max:
        raise RestError("EOrder:Orders limit exceeded")
    if order.start_ns - now_ns < SCHEDULE_AHEAD_NS:
        return
    if sum(other.start_ns - now_ns >= SCHEDULE_AHEAD_NS for other in live) >= tier.scheduled_max:
        raise RestError("EOrder:Scheduled orders limit exceeded")


def check_post_only(order: Order, market: Market) -> None:
    """Refuse a post-only order that would trade at once.

    Raises:
        RestError: it would.
    """
    resting = market.engine.opposite(order.side)
    if order.flag("post") and len(resting) and resting.reaches(resting.at(0).price, order.limit_price):
        raise RestError("EOrder:Post only order")


def sized(order: Order, market: Market) -> Order:
    """Turn an amount of the quote asset (`viqc`) into the quantity that it buys from the book as it is.

    Raises:
        RestError: that is less than the pair's minimum.
    """
    if not order.flag("viqc"):
        return order
    qty, budget = ZERO, order.qty
    for level in market.engine.asks:
        qty += min(level.qty, budget / level.price)
        budget -= min(level.qty * level.price, budget)
        if not budget:
            break
    unit: Decimal = market.pair.qty_increment
    qty = qty // unit * unit
    if qty < market.pair.qty_min:
        raise RestError("EOrder:Order minimum not met")
    return replace(order, qty=qty.quantize(unit))
