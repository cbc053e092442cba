"""The same order by REST: WebSocket parameters in REST's words. Only for what certainly never left by the line.

What REST cannot say as it was meant is refused rather than sent otherwise: unknown parameters are ignored there.

Source: rest.md section 9; websocket-v2.md section 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from ..errors import OrderBlockedError

_UNSAID = ("margin", "sender_sub_id")
"""REST wants a leverage where WebSocket says margin, and has no sub-account in the open documentation of AddOrder."""


def add_fields(params: Mapping[str, Any], symbol: str, deadline: str | None) -> dict[str, Any]:
    """Give the fields of AddOrder.

    Raises:
        OrderBlockedError: REST cannot say this.
    """
    for name in _UNSAID:
        if params.get(name):
            raise OrderBlockedError(f"the line is down, and REST cannot say {name}")
    fields: dict[str, Any] = {
        "pair": symbol,
        "type": params["side"],
        "ordertype": params["order_type"],
        "volume": params.get("order_qty", params.get("cash_order_qty")),
        **_prices(params),
        "displayvol": params.get("display_qty"),
        "cl_ord_id": params.get("cl_ord_id"),
        "userref": params.get("order_userref"),
        "reduce_only": params.get("reduce_only"),
        "oflags": ",".join(_flags(params)) or None,
        "stptype": params["stp_type"].replace("_", "-") if "stp_type" in params else None,
        "timeinforce": params["time_in_force"].upper() if "time_in_force" in params else None,
        "expiretm": _seconds(params.get("expire_time")),
        "starttm": _seconds(params.get("effective_time")),
        "deadline": deadline,
    }
    close = params.get("conditional")
    if close is not None:
        fields["close[ordertype]"] = close["order_type"]
        first, second = close.get("trigger_price"), close.get("limit_price")
        fields["close[price]"] = second if first is None else first
        fields["close[price2]"] = None if first is None else second
    return {name: value for name, value in fields.items() if value is not None}


def batch_fields(orders: list[dict[str, Any]], symbol: str, deadline: str | None) -> dict[str, Any]:
    """Give the fields of AddOrderBatch. Raises as `add_fields`."""
    rows = [add_fields(params, symbol, None) for params in orders]
    for row in rows:
        del row["pair"]
        close = {name[6:-1]: row.pop(name) for name in list(row) if name.startswith("close[")}
        if close:
            row["close"] = close
    return {"pair": symbol, "orders": rows, "deadline": deadline}


def edit_fields(params: Mapping[str, Any], order_id: str, deadline: str | None) -> dict[str, Any]:
    """Give the fields of EditOrder. It keeps no user reference of ours. Raises as `add_fields`."""
    for name in ("reduce_only", "triggers", "fee_preference"):
        if params.get(name):
            raise OrderBlockedError(f"the line is down, and REST cannot edit {name}")
    fields: dict[str, Any] = {
        "txid": order_id,
        "pair": params["symbol"],
        "volume": params.get("order_qty"),
        "displayvol": params.get("display_qty"),
        "price": params.get("limit_price"),
        "oflags": "post" if params.get("post_only") else None,
        "deadline": deadline,
    }
    return {name: value for name, value in fields.items() if value is not None}


def amend_fields(params: Mapping[str, Any], deadline: str | None) -> dict[str, Any]:
    """Give the fields of AmendOrder."""
    fields: dict[str, Any] = {
        "txid": params.get("order_id"),
        "cl_ord_id": params.get("cl_ord_id"),
        "order_qty": params.get("order_qty"),
        "display_qty": params.get("display_qty"),
        "limit_price": _typed(params, "limit_price"),
        "trigger_price": _typed(params, "trigger_price"),
        "post_only": params.get("post_only"),
        "deadline": deadline,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _typed(params: Mapping[str, Any], name: str) -> Any:
    value = params.get(name)
    return value if value is None else _relative(value, params.get(f"{name}_type", "static"))


def _prices(params: Mapping[str, Any]) -> dict[str, Any]:
    triggers, limit = params.get("triggers"), params.get("limit_price")
    if triggers is None:
        return {"price": limit}
    is_trailing = params["order_type"].startswith("trailing")
    trigger = _relative(triggers["price"], triggers.get("price_type", "static"))
    if is_trailing and limit is not None:
        limit = _relative(limit, params.get("limit_price_type", "quote"))
    return {"price": trigger, "price2": limit, "trigger": triggers.get("reference")}


def _relative(value: Decimal, kind: str) -> Decimal | str:
    if kind == "static":
        return value
    sign = "+" if value >= 0 else "-"
    return f"{sign}{abs(value):f}{'%' if kind == 'pct' else ''}"


def _flags(params: Mapping[str, Any]) -> list[str]:
    flags = []
    if params.get("post_only"):
        flags.append("post")
    if "fee_preference" in params:
        flags.append({"base": "fcib", "quote": "fciq"}[params["fee_preference"]])
    if "cash_order_qty" in params:
        flags.append("viqc")
    return flags


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
