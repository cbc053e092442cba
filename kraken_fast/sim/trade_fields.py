"""The parameters of WebSocket trading requests: their names, their types, and REST's words for them.

Both APIs lead to one engine, and the box has one reader of orders (`drafts.py`), which speaks REST. So a
request is first checked as the WebSocket does, which is strict where REST is not: an unknown name is refused,
and so is a number that comes as a string. Then it is put into REST's words.

Source: https://docs.kraken.com/api/docs/websocket-v2/add_order and its neighbours, read 2026-08. The form of
the refusals was recorded for unknown names and for numbers; the other types are inferred from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from .params import as_text, invalid
from .texts import NS_PER_S, NS_PER_US

NUMBER, TEXT, FLAG, INTEGER, OBJECT, ARRAY = (
    "number_float",
    "string",
    "boolean",
    "number_integer",
    "object",
    "array",
)

_ORDER = {
    "order_type": TEXT,
    "side": TEXT,
    "order_qty": NUMBER,
    "cash_order_qty": NUMBER,
    "limit_price": NUMBER,
    "limit_price_type": TEXT,
    "triggers": OBJECT,
    "time_in_force": TEXT,
    "expire_time": TEXT,
    "effective_time": TEXT,
    "post_only": FLAG,
    "reduce_only": FLAG,
    "margin": FLAG,
    "display_qty": NUMBER,
    "fee_preference": TEXT,
    "stp_type": TEXT,
    "cl_ord_id": TEXT,
    "order_userref": INTEGER,
    "conditional": OBJECT,
    "sender_sub_id": TEXT,
    "no_mpp": FLAG,
    "stop_price": NUMBER,
    "trigger": TEXT,
}

FIELDS: Mapping[str, Mapping[str, str]] = {
    "add_order": {**_ORDER, "symbol": TEXT, "deadline": TEXT, "validate": FLAG, "token": TEXT},
    "amend_order": {
        "order_id": TEXT,
        "cl_ord_id": TEXT,
        "order_qty": NUMBER,
        "limit_price": NUMBER,
        "limit_price_type": TEXT,
        "display_qty": NUMBER,
        "post_only": FLAG,
        "trigger_price": NUMBER,
        "trigger_price_type": TEXT,
        "deadline": TEXT,
        "symbol": TEXT,
        "token": TEXT,
    },
    "edit_order": {
        "order_id": TEXT,
        "symbol": TEXT,
        "order_qty": NUMBER,
        "limit_price": NUMBER,
        "display_qty": NUMBER,
        "post_only": FLAG,
        "reduce_only": FLAG,
        "triggers": OBJECT,
        "order_userref": INTEGER,
        "fee_preference": TEXT,
        "no_mpp": FLAG,
        "deadline": TEXT,
        "validate": FLAG,
        "token": TEXT,
    },
    "cancel_order": {"order_id": ARRAY, "cl_ord_id": ARRAY, "order_userref": ARRAY, "token": TEXT},
    "cancel_all": {"token": TEXT},
    "cancel_all_orders_after": {"timeout": INTEGER, "token": TEXT},
    "batch_add": {"symbol": TEXT, "orders": ARRAY, "deadline": TEXT, "validate": FLAG, "token": TEXT},
    "batch_cancel": {"orders": ARRAY, "cl_ord_id": ARRAY, "token": TEXT},
}
"""What each method takes."""

_TRIGGERS = {"reference": TEXT, "price": NUMBER, "price_type": TEXT}
_CONDITIONAL = {
    "order_type": TEXT,
    "limit_price": NUMBER,
    "limit_price_type": TEXT,
    "trigger_price": NUMBER,
    "trigger_price_type": TEXT,
    "stop_price": NUMBER,
}

REST_NAMES = {
    "order_type": "ordertype",
    "side": "type",
    "order_qty": "volume",
    "display_qty": "displayvol",
    "time_in_force": "timeinforce",
    "reduce_only": "reduce_only",
    "cl_ord_id": "cl_ord_id",
    "order_userref": "userref",
    "deadline": "deadline",
    "validate": "validate",
}
"""Parameters that only change their names."""

DEPRECATED = {
    "stop_price": "stop_price is deprecated, use triggers.price",
    "trigger": "trigger is deprecated use triggers.reference",
}
"""What an answer warns of; the missing comma is the server's."""


class FieldError(Exception):
    """A parameter has no place here or the wrong type; the text is the exchange's."""


def check_fields(method: str, params: Mapping[str, Any]) -> None:
    """Refuse unknown names and wrong types.

    Raises:
        FieldError: in the exchange's words.
    """
    said = method.replace("_", " ")
    _check(params, FIELDS[method], said)
    if method == "batch_add":
        for order in params.get("orders", ()):
            if not isinstance(order, Mapping):
                raise FieldError("Orders field must be an array")
            _check(order, _ORDER, said)
            _check_nested(order, said)
    _check_nested(params, said)


def _check_nested(params: Mapping[str, Any], said: str) -> None:
    _check(params.get("triggers", {}), _TRIGGERS, said)
    _check(params.get("conditional", {}), _CONDITIONAL, said)


def _check(members: Mapping[str, Any], known: Mapping[str, str], said: str) -> None:
    for name, value in members.items():
        kind = known.get(name)
        if kind is None:
            raise FieldError(f"Unsupported field: '{name}' for the given msg type: {said}")
        if not _is(value, kind):
            article = "an" if kind in (ARRAY, OBJECT) else "a"
            raise FieldError(f"{name.capitalize()} field must be {article} {kind}")


def _is(value: object, kind: str) -> bool:
    if kind == FLAG:
        return isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    if kind == INTEGER:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {TEXT: str, OBJECT: Mapping, ARRAY: list}[kind])


def rest_order(order: Mapping[str, Any], *, leverage: str) -> dict[str, Any]:
    """Put the parameters of an order into REST's words.

    Args:
        order: checked parameters of `add_order`, or of one order of `batch_add`.
        leverage: what `margin` stands for.

    Raises:
        RestError: a value has no equivalent.
    """
    fields: dict[str, Any] = {REST_NAMES[name]: value for name, value in order.items() if name in REST_NAMES}
    fields["oflags"] = _oflags(order)
    fields |= rest_prices(order)
    if "cash_order_qty" in order:
        fields["volume"] = order["cash_order_qty"]
        fields["oflags"].append("viqc")
    if order.get("margin"):
        fields["leverage"] = leverage
    if "stp_type" in order:
        fields["stptype"] = order["stp_type"].replace("_", "-")
    for ours, theirs in (("expire_time", "expiretm"), ("effective_time", "starttm")):
        if ours in order:
            fields[theirs] = _unix(order[ours], ours)
    conditional = order.get("conditional")
    if conditional is not None:
        fields["close"] = {"ordertype": conditional.get("order_type", ""), **_close_prices(conditional)}
    return fields


def rest_prices(order: Mapping[str, Any]) -> dict[str, str]:
    """Put limit and trigger into REST's `price` and `price2`, whichever the order's type takes."""
    triggers = order.get("triggers", {})
    trigger = triggers.get("price", order.get("stop_price"))
    trigger_type = triggers.get("price_type", "static")
    trails = str(order.get("order_type")).startswith("trailing")
    limit = order.get("limit_price")
    limit_type = order.get("limit_price_type", "quote" if trails else "static")
    if trigger is None:
        return {} if limit is None else {"price": priced(limit, limit_type)}
    fields = {"price": priced(trigger, trigger_type)}
    if limit is not None:
        fields["price2"] = priced(limit, limit_type)
    reference = triggers.get("reference", order.get("trigger"))
    return fields if reference is None else {**fields, "trigger": reference}


def priced(number: Decimal | int, kind: str) -> str:
    """Write a price of one of the three types as REST does.

    >>> priced(Decimal("-2.5"), "pct"), priced(50, "quote"), priced(Decimal("84190.0"), "static")
    ('-2.5%', '+50', '84190.0')

    Raises:
        RestError: there is no such type.
    """
    if kind == "static":
        return as_text(number)
    if kind not in ("pct", "quote"):
        raise invalid("price_type")
    sign = "" if number < 0 else "+"
    return f"{sign}{as_text(number)}{'%' if kind == 'pct' else ''}"


def _close_prices(conditional: Mapping[str, Any]) -> dict[str, str]:
    limit, trigger = (
        priced(conditional[name], conditional.get(f"{name}_type", "static")) if name in conditional else None
        for name in ("limit_price", "trigger_price")
    )
    if trigger is None and "stop_price" in conditional:
        trigger = as_text(conditional["stop_price"])
    prices = [price for price in (trigger, limit) if price is not None]
    return dict(zip(("price", "price2"), prices, strict=False))


def _oflags(order: Mapping[str, Any]) -> list[str]:
    preference = order.get("fee_preference")
    flags = {None: [], "base": ["fcib"], "quote": ["fciq"]}.get(preference)
    if flags is None:
        raise invalid("fee_preference")
    return flags + ["post"] * bool(order.get("post_only"))


def _unix(text: str, name: str) -> str:
    """Turn a time into seconds since the epoch, with six decimals."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(name) from None
    if moment.tzinfo is None:
        raise invalid(name)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return f"{(seconds * NS_PER_S + moment.microsecond * NS_PER_US) // NS_PER_S}.{moment.microsecond:06d}"
