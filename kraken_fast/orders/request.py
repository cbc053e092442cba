"""From an order as a caller says it to the bytes of a request: exact numbers, checked combinations, nothing else.

Theory of operation. Parameters are written once, without the token: those bytes go into the journal as they are and,
with token and request number around them, onto the wire. Numbers are JSON numbers in plain decimals, digit for digit
what the caller gave, always with a point, for the exchange refuses otherwise ("must be a number_float").

What is checked here needs no instrument: types, words, and what goes together. `rules` has the rest.

Source: websocket-v2.md sections 7, 14 and 15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import orjson

from ..errors import InvalidOrderError
from ..policy import SECOND_NS
from .records import (
    Amount,
    Conditional,
    FeePreference,
    NewOrder,
    OrderType,
    PriceType,
    Reference,
    Side,
    StpType,
    TimeInForce,
    Triggers,
)

DIGITS_MAX = 30
"""No price or quantity has more digits before or after its point; more would be a mistake, and a very long message."""

CL_ORD_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}")
"""Source: websocket-v2.md section 14; rest.md section 9, AddOrder."""

USERREF_MAX = 2**31 - 1
ORDER_TYPES = frozenset(get_args(OrderType))
TRIGGERED = frozenset(name for name in ORDER_TYPES if name.startswith(("stop-loss", "take-profit", "trailing")))
LIMIT_PRICED = frozenset({"limit", "iceberg"} | {name for name in ORDER_TYPES if name.endswith("-limit")})
CLOSES = frozenset({"limit"} | TRIGGERED)
"""Types of a conditional close."""

_WORDS: dict[str, frozenset[str]] = {
    "order_type": ORDER_TYPES,
    "side": frozenset(get_args(Side)),
    "time_in_force": frozenset(get_args(TimeInForce)),
    "limit_price_type": frozenset(get_args(PriceType)),
    "trigger_price_type": frozenset(get_args(PriceType)),
    "price_type": frozenset(get_args(PriceType)),
    "reference": frozenset(get_args(Reference)),
    "fee_preference": frozenset(get_args(FeePreference)),
    "stp_type": frozenset(get_args(StpType)),
}
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def exact(field: str, value: Amount) -> Decimal:
    """Read a number without ever rounding it.

    >>> exact("limit_price", "0.00001230"), exact("order_qty", 5)
    (Decimal('0.00001230'), Decimal('5'))

    Raises:
        InvalidOrderError: it is a float, no number, or beyond all measure; with the text to write instead.
    """
    if type(value) is Decimal:
        number = value
    elif type(value) is str:
        if not _PLAIN.fullmatch(value):
            raise InvalidOrderError(field, value, "must be a plain decimal number, such as 0.05")
        number = Decimal(value)
    elif type(value) is int:
        number = Decimal(value)
    else:
        raise InvalidOrderError(field, value, f"must be Decimal, str or int{_instead(value)}")
    text = str(number)
    if not number.is_finite() or not -DIGITS_MAX <= number.adjusted() <= DIGITS_MAX or len(text) > 2 * DIGITS_MAX:
        raise InvalidOrderError(field, text[:60], f"must be a finite number of at most {DIGITS_MAX} digits a side")
    return number


def _instead(value: object) -> str:
    """Say how to write what was given as a float."""
    if not isinstance(value, float):
        return ""
    try:
        shown = format(Decimal(repr(float(value))), "f")
    except InvalidOperation:
        return ""
    return f', for a float is not exact: write "{shown}"'


def plain(number: Decimal) -> str:
    """Write a number in plain decimals, with a point.

    >>> plain(Decimal("1E+3")), plain(Decimal("0.010")), plain(Decimal("9.7E-7"))
    ('1000.0', '0.010', '0.00000097')
    """
    text = str(number)
    if "E" in text:
        text = format(number, "f")
    return text if "." in text else f"{text}.0"


class Stamps:
    """Writes times of the protocol; the part down to the second is kept, for most orders of one second share it.

    >>> Stamps().ms(1_790_000_000_123_999_999), seconds_text("expire_time", datetime(2026, 11, 22, tzinfo=UTC))
    ('2026-09-21T14:13:20.123Z', '2026-11-22T00:00:00Z')
    """

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def ms(self, epoch_ns: int) -> str:
        """RFC 3339 with milliseconds, rounded down: a deadline is never later than it was meant."""
        second, rest_ns = divmod(epoch_ns, SECOND_NS)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{rest_ns // 1_000_000:03d}Z"


def seconds_text(field: str, moment: datetime) -> str:
    """Write a moment in whole seconds.

    Raises:
        InvalidOrderError: it has no time zone, or is no moment.
    """
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidOrderError(field, moment, "must be a datetime with a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_params(order: NewOrder, *, symbol: str = "", now_epoch_ns: int = 0) -> dict[str, Any]:
    """Check an order as far as it can be checked alone, and give its parameters: numbers as Decimal, no token.

    Args:
        order: as asked for.
        symbol: of the batch it is in; within one, orders name none.
        now_epoch_ns: the present, for what must lie ahead; 0 leaves that unchecked.

    Raises:
        InvalidOrderError: names field, value and rule.
    """
    order_type = order.order_type
    _check_word("order_type", order_type)
    _check_word("side", order.side)
    params: dict[str, Any] = {"order_type": order_type, "side": order.side}
    if not symbol:
        params["symbol"] = _symbol(order.symbol)
    elif order.symbol and order.symbol != symbol:
        raise InvalidOrderError("symbol", order.symbol, f"{symbol}, as the whole batch")
    _add_sizes(order, params)
    _add_prices(order, params)
    if order.time_in_force is not None or order.expire_time is not None or order.effective_time is not None:
        _add_times(order, params, now_epoch_ns)
    if order.post_only is not None:
        if order.post_only and (order_type not in LIMIT_PRICED or order.time_in_force in ("ioc", "fok")):
            raise InvalidOrderError("post_only", True, "only of orders with a limit price that may rest")
        params["post_only"] = _flag("post_only", order.post_only)
    for name in ("reduce_only", "margin", "no_mpp"):
        value = getattr(order, name)
        if value is not None:
            params[name] = _flag(name, value)
    if order.fee_preference is not None:
        params["fee_preference"] = _check_word("fee_preference", order.fee_preference)
    if order.stp_type is not None:
        params["stp_type"] = _check_word("stp_type", order.stp_type)
    _add_ids(order, params)
    return params


def _add_sizes(order: NewOrder, params: dict[str, Any]) -> None:
    if order.order_qty is not None:
        params["order_qty"] = _positive("order_qty", order.order_qty)
        if order.cash_order_qty is not None:
            raise InvalidOrderError("cash_order_qty", order.cash_order_qty, "not together with order_qty")
    elif order.cash_order_qty is not None:
        if order.order_type != "market" or order.side != "buy" or order.margin:
            raise InvalidOrderError("cash_order_qty", order.cash_order_qty, "only of market buys without margin")
        params["cash_order_qty"] = _positive("cash_order_qty", order.cash_order_qty)
    else:
        raise InvalidOrderError("order_qty", None, "must be given")
    if order.display_qty is not None:
        if order.order_type != "iceberg":
            raise InvalidOrderError("display_qty", order.display_qty, "only of iceberg orders")
        display, qty = _positive("display_qty", order.display_qty), params["order_qty"]
        if not qty <= 15 * display or display > qty:
            least = format(qty / 15, "f")
            raise InvalidOrderError("display_qty", display, f"must be a fifteenth of order_qty ({least}) to all of it")
        params["display_qty"] = display
    elif order.order_type == "iceberg":
        raise InvalidOrderError("display_qty", None, "must be given for iceberg orders")


def _add_prices(order: NewOrder, params: dict[str, Any]) -> None:
    order_type = order.order_type
    is_trailing_limit = order_type == "trailing-stop-limit"
    if order_type in LIMIT_PRICED:
        if order.limit_price is None:
            raise InvalidOrderError("limit_price", None, f"must be given for {order_type} orders")
        # Of a trailing stop it is an offset from the trigger, and may be 0 or negative.
        params["limit_price"] = (
            exact("limit_price", order.limit_price)
            if is_trailing_limit
            else _positive("limit_price", order.limit_price)
        )
    elif order.limit_price is not None:
        raise InvalidOrderError("limit_price", order.limit_price, f"not given for {order_type} orders")
    if order.limit_price_type is not None:
        if not is_trailing_limit and order.limit_price_type != "static":
            raise InvalidOrderError("limit_price_type", order.limit_price_type, "only of trailing-stop-limit orders")
        params["limit_price_type"] = _check_word("limit_price_type", order.limit_price_type)
    if order_type in TRIGGERED:
        if order.triggers is None:
            raise InvalidOrderError("triggers", None, f"must be given for {order_type} orders")
        params["triggers"] = _triggers(order.triggers, is_trailing=order_type.startswith("trailing"))
    elif order.triggers is not None:
        raise InvalidOrderError("triggers", order.triggers, f"not given for {order_type} orders")


def _triggers(triggers: Triggers, *, is_trailing: bool = False) -> dict[str, Any]:
    kind = triggers.price_type
    if kind is not None:
        _check_word("price_type", kind)
    if is_trailing and kind not in ("pct", "quote"):
        raise InvalidOrderError("triggers.price_type", kind, "must be pct or quote: a trailing price is a distance")
    is_relative = kind in ("pct", "quote") and not is_trailing
    price = exact("triggers.price", triggers.price) if is_relative else _positive("triggers.price", triggers.price)
    written: dict[str, Any] = {"price": price}
    if triggers.reference is not None:
        written["reference"] = _check_word("reference", triggers.reference)
    if kind is not None:
        written["price_type"] = kind
    return written


def _add_times(order: NewOrder, params: dict[str, Any], now_epoch_ns: int) -> None:
    tif = order.time_in_force
    if tif is not None:
        params["time_in_force"] = _check_word("time_in_force", tif)
        if tif == "fok" and order.order_type != "limit":
            raise InvalidOrderError("time_in_force", tif, "fok only of limit orders")
    if order.expire_time is not None:
        if tif != "gtd":
            raise InvalidOrderError("expire_time", order.expire_time, "only with time_in_force gtd")
        params["expire_time"] = seconds_text("expire_time", order.expire_time)
        ahead_s = order.expire_time.timestamp() - now_epoch_ns / SECOND_NS
        if now_epoch_ns and not 0 < ahead_s <= 31 * 86_400:
            raise InvalidOrderError("expire_time", order.expire_time, "must be ahead, by a month at most")
    elif tif == "gtd":
        raise InvalidOrderError("expire_time", None, "must be given with time_in_force gtd")
    if order.effective_time is not None:
        params["effective_time"] = seconds_text("effective_time", order.effective_time)


def _add_ids(order: NewOrder, params: dict[str, Any]) -> None:
    if order.cl_ord_id is not None:
        check_cl_ord_id(order.cl_ord_id)
        if order.order_userref is not None:
            raise InvalidOrderError("order_userref", order.order_userref, "not together with cl_ord_id")
        if order.conditional is not None:
            raise InvalidOrderError("conditional", order.conditional, "not together with cl_ord_id: use order_userref")
        params["cl_ord_id"] = order.cl_ord_id
    if order.order_userref is not None:
        params["order_userref"] = _userref(order.order_userref)
    if order.conditional is not None:
        params["conditional"] = _conditional(order.conditional)
    if order.sender_sub_id is not None:
        check_cl_ord_id(order.sender_sub_id, "sender_sub_id")
        params["sender_sub_id"] = order.sender_sub_id


def _conditional(close: Conditional) -> dict[str, Any]:
    if close.order_type not in CLOSES:
        raise InvalidOrderError("conditional.order_type", close.order_type, f"one of {', '.join(sorted(CLOSES))}")
    written: dict[str, Any] = {"order_type": close.order_type}
    for name, is_needed in (
        ("trigger_price", close.order_type in TRIGGERED),
        ("limit_price", close.order_type in LIMIT_PRICED),
    ):
        value = getattr(close, name)
        if (value is not None) != is_needed:
            rule = f"{'must be given' if is_needed else 'not given'} for a close of type {close.order_type}"
            raise InvalidOrderError(f"conditional.{name}", value, rule)
        if value is not None:
            written[name] = _positive(f"conditional.{name}", value)
    return written


def amend_params(
    *,
    order_qty: Amount | None = None,
    limit_price: Amount | None = None,
    limit_price_type: str | None = None,
    display_qty: Amount | None = None,
    post_only: bool | None = None,
    trigger_price: Amount | None = None,
    trigger_price_type: str | None = None,
    symbol: str | None = None,
) -> dict[str, Any]:
    """Check the terms of an amend and give them, without the name of the order.

    Raises:
        InvalidOrderError: names field, value and rule.
    """
    params: dict[str, Any] = {}
    for name, value in (("order_qty", order_qty), ("display_qty", display_qty)):
        if value is not None:
            params[name] = _positive(name, value)
    for name, value, kind in (
        ("limit_price", limit_price, limit_price_type),
        ("trigger_price", trigger_price, trigger_price_type),
    ):
        if value is not None:
            params[name] = exact(name, value) if kind in ("pct", "quote") else _positive(name, value)
        if kind is not None:
            if value is None:
                raise InvalidOrderError(f"{name}_type", kind, f"only with {name}")
            params[f"{name}_type"] = _check_word(f"{name}_type", kind)
    if not params:
        raise InvalidOrderError("order_qty", None, "must be given, or another term to change")
    if post_only is not None:
        params["post_only"] = _flag("post_only", post_only)
    if symbol is not None:
        params["symbol"] = _symbol(symbol)
    return params


def edit_params(
    *,
    symbol: str,
    order_qty: Amount | None = None,
    limit_price: Amount | None = None,
    display_qty: Amount | None = None,
    post_only: bool | None = None,
    reduce_only: bool | None = None,
    triggers: Triggers | None = None,
    order_userref: int | None = None,
    fee_preference: str | None = None,
) -> dict[str, Any]:
    """Check the terms of an edit and give them, without the id of the order.

    Raises:
        InvalidOrderError: names field, value and rule.
    """
    params: dict[str, Any] = {"symbol": _symbol(symbol)}
    for name, value in (("order_qty", order_qty), ("limit_price", limit_price), ("display_qty", display_qty)):
        if value is not None:
            params[name] = _positive(name, value)
    if triggers is not None:
        params["triggers"] = _triggers(triggers)
    if len(params) == 1:
        raise InvalidOrderError("order_qty", None, "must be given, or another term to change")
    for name, flag in (("post_only", post_only), ("reduce_only", reduce_only)):
        if flag is not None:
            params[name] = _flag(name, flag)
    if order_userref is not None:
        params["order_userref"] = _userref(order_userref)
    if fee_preference is not None:
        params["fee_preference"] = _check_word("fee_preference", fee_preference)
    return params


def check_cl_ord_id(text: str, field: str = "cl_ord_id") -> None:
    """Check a name of ours by the exchange's rule.

    Raises:
        InvalidOrderError: it is neither a UUID nor short ASCII.
    """
    if type(text) is not str or not CL_ORD_ID.fullmatch(text):
        raise InvalidOrderError(field, text, "must be a UUID of 36 or 32 characters, or up to 18 of printable ASCII")


# Bytes -----------------------------------------------------------------------------------------------------------


def encode_params(params: Mapping[str, Any], deadline: str = "") -> bytes:
    """Write parameters as JSON, Decimals in plain digits; with a deadline, as `Stamps` writes it, if there is one.

    >>> encode_params({"order_qty": Decimal("0.10"), "triggers": {"price": Decimal(5)}})
    b'{"order_qty":0.10,"triggers":{"price":5.0}}'
    >>> encode_params({"order_id": "O1"}, "2026-11-22T10:15:09.500Z")
    b'{"order_id":"O1","deadline":"2026-11-22T10:15:09.500Z"}'
    """
    text = orjson.dumps(params, default=_number)
    return b'%b,"deadline":"%b"}' % (text[:-1], deadline.encode()) if deadline else text


def _number(value: Decimal) -> orjson.Fragment:
    """Give what orjson calls for: all else in parameters it knows."""
    return orjson.Fragment(plain(value))


def encode_request(method: str, params: bytes, token: str, req_id: int) -> bytes:
    """Put method, token and number around parameters that were written before.

    >>> encode_request("cancel_all", b"{}", "t", 5)
    b'{"method":"cancel_all","params":{"token":"t"},"req_id":5}'
    """
    comma = b"," if len(params) > 2 else b""
    return b'{"method":"%b","params":%b%b"token":%b},"req_id":%d}' % (
        method.encode(), params[:-1], comma, orjson.dumps(token), req_id,
    )  # fmt: skip


# Words -----------------------------------------------------------------------------------------------------------


def _check_word(field: str, value: str) -> str:
    if value not in _WORDS[field]:
        raise InvalidOrderError(field, value, f"must be one of {', '.join(sorted(_WORDS[field]))}")
    return value


def _positive(field: str, value: Amount) -> Decimal:
    number = exact(field, value)
    if number <= 0:
        raise InvalidOrderError(field, value, "must be above 0")
    return number


def _symbol(symbol: str) -> str:
    if type(symbol) is not str or "/" not in symbol or not symbol.isprintable():
        raise InvalidOrderError("symbol", symbol, "must be a pair such as BTC/USD")
    return symbol


def _flag(field: str, value: bool) -> bool:
    if type(value) is not bool:
        raise InvalidOrderError(field, value, "must be True or False")
    return value


def _userref(value: int) -> int:
    if type(value) is not int or not 0 < value <= USERREF_MAX:
        raise InvalidOrderError("order_userref", value, f"must be a whole number from 1 to {USERREF_MAX}")
    return value
