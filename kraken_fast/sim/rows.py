"""Orders, trades and ledger entries as REST writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .drafts import close_prose, prose
from .instruments import Pair, asset_id
from .records import Amend, Execution, LedgerEntry, Order
from .texts import NS_PER_MS, NS_PER_S, NS_PER_US, padded

ZERO = Decimal(0)


def seconds(time_ns: int) -> int | float:
    """Write a time as a JSON number of seconds with six decimals; 0 is no time."""
    if not time_ns:
        return 0
    whole, rest_ns = divmod(time_ns, NS_PER_S)
    return float(f"{whole}.{rest_ns // NS_PER_US:06d}")


def long_price(price: Decimal, pair: Pair) -> str:
    """Write a price in the long form: five decimals, or two more than the pair has."""
    return padded(price, max(5, pair.price_precision + 2))


def order_row(order: Order, pair: Pair, *, trades: bool) -> dict[str, Any]:
    """Write an order as OpenOrders, ClosedOrders and QueryOrders do.

    Args:
        order: what.
        pair: its pair.
        trades: whether to name its trades.
    """
    average = order.cost / order.filled if order.filled else ZERO
    row: dict[str, Any] = {
        "refid": order.ref_id,
        "userref": order.userref,
        "cl_ord_id": order.cl_ord_id,
        "status": order.status,
        "opentm": seconds(order.created_ns),
        "starttm": seconds(order.start_ns),
        "expiretm": seconds(order.expire_ns),
        "descr": _descr(order, pair),
        "time_in_force": order.time_in_force,
        "vol": padded(order.qty, pair.qty_precision),
        "vol_exec": padded(order.filled, pair.qty_precision),
        "cost": padded(order.cost, pair.cost_precision),
        "fee": padded(order.fee, pair.cost_precision),
        "price": padded(average, pair.price_precision) if order.filled else long_price(ZERO, pair),
        "stopprice": long_price(order.price if order.triggered_ns else ZERO, pair),
        "limitprice": long_price(order.price2 if order.triggered_ns else ZERO, pair),
        "margin": False,
        "misc": _misc(order),
        "oflags": order.oflags,
    }
    if order.has_trigger:
        row["trigger"] = order.reference
    if trades:
        row["trades"] = list(order.trades)
    if not order.live:
        row["reason"] = order.reason
        row["closetm"] = seconds(order.closed_ns)
    return row


def trade_row(execution: Execution, order: Order, pair: Pair, *, ledgers: bool) -> dict[str, Any]:
    """Write a trade as TradesHistory and QueryTrades do; `pair` is the id here."""
    row: dict[str, Any] = {
        "ordertxid": execution.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair.rest_id,
        "aclass": "forex",
        "time": seconds(execution.time_ns),
        "type": execution.side,
        "ordertype": order.order_type,
        "tradeordertype": "market" if order.limit_price is None else "limit",
        "price": long_price(execution.price, pair),
        "cost": padded(execution.cost, pair.cost_precision),
        "fee": padded(execution.fee, pair.cost_precision),
        "vol": padded(execution.qty, pair.qty_precision),
        "margin": padded(ZERO, pair.cost_precision),
        "leverage": "0",
        "misc": "",
        "trade_id": execution.trade_id,
        "maker": execution.maker,
    }
    if ledgers:
        row["ledgers"] = list(execution.ledger_ids)
    return row


def ledger_row(entry: LedgerEntry, precision: int) -> dict[str, Any]:
    """Write a ledger entry with the decimals of its asset."""
    return {
        "refid": entry.ref_id,
        "time": seconds(entry.time_ns),
        "type": entry.type,
        "subtype": "",
        "aclass": "currency",
        "asset": asset_id(entry.asset),
        "amount": padded(entry.amount, precision),
        "fee": padded(entry.fee, precision),
        "balance": padded(entry.balance, precision),
    }


def amend_row(amend: Amend, pair: Pair) -> dict[str, Any]:
    """Write one amendment; times are milliseconds, as captured, though the docs say nanoseconds."""
    row: dict[str, Any] = {
        "amend_id": amend.amend_id,
        "amend_type": amend.kind,
        "order_qty": padded(amend.qty, pair.qty_precision),
        "remaining_qty": padded(amend.left, pair.qty_precision),
    }
    if amend.display:
        row["display_qty"] = padded(amend.display, pair.qty_precision)
    if amend.limit_price is not None:
        row["limit_price"] = padded(amend.limit_price, pair.price_precision)
    if amend.trigger_price is not None:
        row["trigger_price"] = padded(amend.trigger_price, pair.price_precision)
    if amend.reason is not None:
        row["reason"] = amend.reason
    row["post_only"] = amend.post_only
    row["timestamp"] = amend.time_ns // NS_PER_MS
    return row


def _descr(order: Order, pair: Pair) -> dict[str, Any]:
    def price(number: Decimal) -> str:
        return padded(number, pair.price_precision) if number else "0"

    return {
        "pair": pair.altname,
        "aclass": "forex",
        "type": order.side,
        "ordertype": order.order_type,
        "price": order.trail or price(order.price),
        "price2": order.trail_limit or price(order.price2),
        "leverage": "none",
        "order": prose(order, pair),
        "close": "" if order.close is None else close_prose(order.close),
    }


def _misc(order: Order) -> str:
    notes = {
        "stopped": order.triggered_ns and not order.order_type.startswith("take-profit"),
        "touched": order.triggered_ns and order.order_type.startswith("take-profit"),
        "partial": order.filled and order.left,
        "amended": order.amended,
    }
    return ",".join(note for note, holds in notes.items() if holds)
