"""What an earlier run's journal left open: its orders, ready to be looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from .live_order import Order

_NUMBERS = ("order_qty", "cash_order_qty", "limit_price", "display_qty")


def restored(records: Iterable[Mapping[str, Any]]) -> list[Order]:
    """Give the orders of a journal that have no end in it, in the order in which they were written."""
    open_orders: dict[str, Order] = {}
    for record in records:
        kind = record.get("k")
        if kind in ("add", "edit", "batch"):
            for name, params in zip(record["n"], _params_of(record), strict=True):
                open_orders[name] = _order(name, params, record)
        elif kind == "ack" and record["n"] in open_orders:
            open_orders[record["n"]].order_id = record["o"]
        elif kind == "end":
            open_orders.pop(record["n"], None)
    return list(open_orders.values())


def _params_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    params = record["p"]
    if record["k"] != "batch":
        return [params]
    return [{"symbol": params["symbol"], **each} for each in params["orders"]]


def _order(name: str, params: Mapping[str, Any], record: Mapping[str, Any]) -> Order:
    exact: dict[str, Any] = {key: Decimal(value) if key in _NUMBERS else value for key, value in params.items()}
    order = Order(name, exact["symbol"], exact)
    order.sent_epoch_ns = record["t"]
    order.deadline_epoch_ns = record["d"]
    order.replaces = record.get("r")
    return order
