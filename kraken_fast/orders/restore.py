"""What an earlier run's journal left open: its orders, ready to be looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from .live_order import Amending, Order

_NO_TERMS = frozenset({"order_id", "cl_ord_id", "deadline", "symbol"})
_NUMBERS = ("order_qty", "cash_order_qty", "limit_price", "display_qty")


def restored(records: Iterable[Mapping[str, Any]]) -> list[Order]:
    """Give the orders of a journal that have no end in it, in the order in which they were written."""
    open_orders: dict[str, Order] = {}
    for record in records:
        kind = record.get("k")
        if kind in ("add", "edit", "batch"):
            inherited = _terms_of(record.get("r"), open_orders.values())
            for name, params in zip(record["n"], _params_of(record), strict=True):
                open_orders[name] = _order(name, {**inherited, **params}, record)
        elif kind == "ack" and record["n"] in open_orders:
            open_orders[record["n"]].order_id = record["o"]
        elif kind == "amend" and record["n"] in open_orders:
            open_orders[record["n"]].amending = _amending(open_orders[record["n"]], record)
        elif kind == "amended" and record["n"] in open_orders:
            _end_amend(open_orders[record["n"]], is_done=bool(record["done"]))
        elif kind == "nameless" and record["n"] in open_orders:
            open_orders[record["n"]] = _nameless(open_orders[record["n"]], record["p"])
        elif kind == "end":
            open_orders.pop(record["n"], None)
    return list(open_orders.values())


def _terms_of(order_id: str | None, orders: Iterable[Order]) -> dict[str, Any]:
    """Give the terms of the order that an edit replaces, of which it names only those that change."""
    old = next((order for order in orders if order_id and order.order_id == order_id), None)
    if old is None:
        return {}
    now = {"order_qty": old.order_qty, "limit_price": old.limit_price}
    terms = {**old.params, **{name: value for name, value in now.items() if value is not None}}
    return {name: value for name, value in terms.items() if name not in ("cl_ord_id", "conditional")}


def _params_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    params = record["p"]
    if record["k"] != "batch":
        return [params]
    return [{"symbol": params["symbol"], **each} for each in params["orders"]]


def _nameless(order: Order, params: Mapping[str, Any]) -> Order:
    """Give an edit that went by REST, with all the terms by which it is found."""
    whole = _order(order.name, params, {"t": order.sent_epoch_ns, "d": order.deadline_epoch_ns, "r": order.replaces})
    whole.is_nameless, whole.order_id = True, order.order_id
    return whole


def _amending(order: Order, record: Mapping[str, Any]) -> Amending:
    new = {key: value for key, value in record["p"].items() if key not in _NO_TERMS}
    new = {key: Decimal(value) if type(value) is int else value for key, value in new.items()}
    now = {**order.params, "order_qty": order.order_qty, "limit_price": order.limit_price}
    return Amending({key: now.get(key) for key in new}, new, 0, 0, record["d"], "unknown")


def _end_amend(order: Order, *, is_done: bool) -> None:
    """Take over what became of the last change of terms."""
    if order.amending is not None and is_done:
        order.order_qty = order.amending.visible.get("order_qty", order.order_qty)
        order.limit_price = order.amending.visible.get("limit_price", order.limit_price)
    order.amending = None


def _order(name: str, params: Mapping[str, Any], record: Mapping[str, Any]) -> Order:
    exact: dict[str, Any] = {key: Decimal(value) if key in _NUMBERS else value for key, value in params.items()}
    order = Order(name, exact["symbol"], exact)
    order.sent_epoch_ns = record["t"]
    order.deadline_epoch_ns = record["d"]
    order.replaces = record.get("r")
    return order
