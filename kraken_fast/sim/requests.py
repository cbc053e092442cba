"""What a client may ask over the WebSocket, and the exact words in which it is refused.

Texts and forms: observed 2024 to 2026 unless marked *inferred*, where nothing was recorded and the nearest
recorded text is used. Keys of answers stand in alphabetical order, as on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from .candles import INTERVALS
from .faces import PUBLIC, Face
from .feed import Parameter
from .feedbook import DEPTHS
from .trade_fields import FIELDS, FieldError, check_fields

METHODS = frozenset({"subscribe", "unsubscribe", "ping"})
LEVEL3_DEPTHS = (10, 100, 1000)
EVENT_TRIGGERS = ("trades", "bbo")

_TOP_LEVEL = frozenset({"method", "params", "req_id"})
_PARAMS = {
    "book": frozenset({"channel", "symbol", "snapshot", "depth"}),
    "ticker": frozenset({"channel", "symbol", "snapshot", "event_trigger"}),
    "trade": frozenset({"channel", "symbol", "snapshot"}),
    "ohlc": frozenset({"channel", "symbol", "snapshot", "interval"}),
    # The channel has no symbol; kraken-cli sends one and is served.
    "instrument": frozenset({"channel", "symbol", "snapshot", "include_tokenized_assets", "execution_venue"}),
    "executions": frozenset(
        {
            "channel",
            "token",
            "snap_orders",
            "snap_trades",
            "order_status",
            "ratecounter",
            "rebased",
            "users",
            "snapshot",
            "snapshot_trades",
        }
    ),
    "balances": frozenset({"channel", "token", "snapshot", "users", "rebased"}),
    "level3": frozenset({"channel", "symbol", "depth", "snapshot", "token"}),
}
CHANNELS = frozenset(_PARAMS)

ACCOUNT_CHANNELS = ("executions", "balances")
"""Channels of an account: they have no symbol."""

_WITHOUT_SYMBOL = ("instrument", *ACCOUNT_CHANNELS)
_WITH_TOKEN = (*ACCOUNT_CHANNELS, "level3")

PARAMETER_NAMES = {"book": "depth", "ticker": "event_trigger", "ohlc": "interval", "level3": "depth"}
"""The parameter that is part of a subscription's identity."""

_DEFAULTS: Mapping[str, Parameter] = {"book": 10, "ticker": "trades", "ohlc": 1, "level3": 10}

_OPTIONS = {"snap_orders": True, "snap_trades": False, "order_status": True, "ratecounter": False}
"""What else `executions` can be told, and what holds otherwise."""

WARNINGS = {
    "ohlc": ["timestamp is deprecated, use interval_begin"],
    "instrument": ["tick_size is deprecated, use price_increment"],
    # The last two lack the comma on the wire as well.
    "executions": [
        "cancel_reason is deprecated, use reason",
        "stop_price is deprecated, use triggers.price",
        "trigger is deprecated use triggers.reference",
        "triggered_price is deprecated use triggers.last_price",
    ],
}
"""What the acknowledgement of a channel warns of."""


class Refusal(Exception):
    """The exchange refuses a request.

    Attributes:
        error: its words.
        method: the method that the answer names, which is not always the one asked for.
        symbol: the symbol that the answer names, if any.
        req_id: echoed, if any.
    """

    def __init__(
        self, error: str, method: str = "subscribe", symbol: str | None = None, req_id: int | None = None
    ) -> None:
        self.error = error
        self.method = method
        self.symbol = symbol
        self.req_id = req_id
        super().__init__(error)


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose form is right. `symbols` were not looked up yet; `instrument` has none.

    Attributes:
        token: of a private channel or a trading request, not looked up yet.
        params: of a trading request, without the token; of `executions` and `balances`, their options.
    """

    method: str
    req_id: int | None
    channel: str = ""
    symbols: tuple[str, ...] = ()
    parameter: Parameter = None
    snapshot: bool = True
    token: str = field(default="", repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)


def parse_request(raw: bytes, face: Face = PUBLIC) -> Request:
    """Read a request that came to a host.

    Raises:
        Refusal: it is answered with an error, and nothing else happens.
    """
    try:
        message = json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        raise Refusal("Malformed request", "error") from None
    req_id = message.get("req_id") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str) or not _is_req_id(req_id):
        raise Refusal("Malformed request", "error")
    try:
        if message["method"] in FIELDS:
            return _parse_trade(message, req_id, face)
        return _parse(message, req_id, face)
    except Refusal as refusal:
        refusal.req_id = req_id
        raise


def _parse_trade(message: dict[str, Any], req_id: int | None, face: Face) -> Request:
    method = message["method"]
    if not face.trades:
        raise Refusal(face.elsewhere, method)
    _refuse_others(message, _TOP_LEVEL, method)
    params = message.get("params")
    if not isinstance(params, dict):
        raise Refusal("Malformed request", "error")
    try:
        check_fields(method, params)
    except FieldError as error:
        raise Refusal(str(error), method) from None
    token = _token(params, method)
    return Request(
        method, req_id, token=token, params={key: value for key, value in params.items() if key != "token"}
    )


def _parse(message: dict[str, Any], req_id: int | None, face: Face) -> Request:
    method = message["method"]
    if method not in METHODS:
        # Inferred: the text was recorded, its cause was not.
        raise Refusal("Unsupported event")
    allowed = {"method", "req_id"} if method == "ping" else _TOP_LEVEL
    _refuse_others(message, allowed, method)
    if method == "ping":
        return Request(method, req_id)
    params = message.get("params")
    if not isinstance(params, dict) or not isinstance(params.get("channel"), str):
        raise Refusal("Malformed request", "error")
    channel = params["channel"]
    if channel == "status":
        raise Refusal("Symbol(s) not found", method)
    if channel not in CHANNELS:
        raise Refusal("Subscription name invalid", method)
    if channel not in face.channels:
        raise Refusal(face.elsewhere, method)
    _refuse_others(params, _PARAMS[channel], method)
    snapshot = _flag(params, "snapshot", method, default=channel != "trade")
    symbols = () if channel in _WITHOUT_SYMBOL else _symbols(params.get("symbol"), method)
    return Request(
        method,
        req_id,
        channel,
        symbols,
        _parameter(channel, params, method),
        snapshot,
        token=_token(params, method) if channel in _WITH_TOKEN else "",
        params=_options(params, method) if channel in ACCOUNT_CHANNELS else {},
    )


def _token(params: Mapping[str, Any], method: str) -> str:
    token = params.get("token")
    if not token or not isinstance(token, str):
        raise Refusal("Token(s) not found", method)
    return token


def _flag(params: Mapping[str, Any], name: str, method: str, *, default: bool) -> bool:
    value = params.get(name, default)
    if not isinstance(value, bool):
        raise Refusal(f"{name.capitalize()} field must be a boolean", method)  # inferred
    return value


def _options(params: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Read the options of an account's channel; two of them still have their former names as well."""
    options: dict[str, Any] = {
        name: _flag(params, name, method, default=default) for name, default in _OPTIONS.items()
    }
    for former, name in (("snapshot", "snap_orders"), ("snapshot_trades", "snap_trades")):
        if former in params and name not in params:
            options[name] = _flag(params, former, method, default=True)
    users = params.get("users")
    if users not in (None, "all"):
        raise Refusal("Users field must be all", method)  # inferred
    return {**options, "users": users}


def _is_req_id(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _refuse_others(members: Mapping[str, Any], allowed: frozenset[str] | set[str], method: str) -> None:
    for name in members:
        if name not in allowed:
            text = f"Unsupported field: '{name}' for the given msg type: {method.replace('_', ' ')}"
            symbol = members.get("symbol")
            if isinstance(symbol, list) and len(symbol) == 1:
                symbol = symbol[0]
            raise Refusal(text, method, symbol if isinstance(symbol, str) else None)


def _symbols(value: object, method: str) -> tuple[str, ...]:
    if value is None or value == []:
        raise Refusal("Symbol(s) not found", method)  # inferred
    if not isinstance(value, list) or not all(isinstance(symbol, str) for symbol in value):
        raise Refusal("Symbol field must be an array", method)  # inferred from "Pair field must be an array"
    return tuple(value)


def _parameter(channel: str, params: Mapping[str, Any], method: str) -> Parameter:
    name = PARAMETER_NAMES.get(channel)
    if name is None:
        return None
    value = params.get(name, _DEFAULTS[channel])
    known = {"book": DEPTHS, "ticker": EVENT_TRIGGERS, "ohlc": INTERVALS, "level3": LEVEL3_DEPTHS}[channel]
    if isinstance(value, (bool, Decimal)) or value not in known:
        text = {
            "book": "Subscription depth not supported",
            "level3": "Subscription depth not supported",
            "ticker": "Event(s) not found",  # inferred from the list of the first API
            "ohlc": "Subscription ohlc interval not supported",
        }[channel]
        raise Refusal(text, method)
    return value  # type: ignore[no-any-return]


def check_symbol(symbol: str, request: Request, *, tradable: bool) -> None:
    """Refuse a symbol that cannot be subscribed.

    Raises:
        Refusal: it has no slash, or is not traded here; REST's names, such as XBT/USD, are not.
    """
    if "/" not in symbol:
        text = f"Currency pair not in ISO 4217-A3 format {symbol}"
    elif not tradable:
        text = f"Currency pair not supported {symbol}"
    else:
        return
    raise Refusal(text, request.method, symbol, request.req_id)


def error_text(refusal: Refusal, time_in: str, time_out: str) -> str:
    """Write the answer to a refused request."""
    answer: dict[str, Any] = {"error": refusal.error, "method": refusal.method}
    if refusal.req_id is not None:
        answer["req_id"] = refusal.req_id
    answer["success"] = False
    if refusal.symbol is not None:
        answer["symbol"] = refusal.symbol
    return _dumps({**answer, "time_in": time_in, "time_out": time_out})


def ack_text(
    request: Request, symbol: str | None, time_in: str, time_out: str, extra: Mapping[str, Any] | None = None
) -> str:
    """Write the acknowledgement of a subscribe or unsubscribe for one symbol.

    Args:
        request: what is acknowledged.
        symbol: the symbol, if the channel has one.
        time_in: when it came.
        time_out: when the answer leaves.
        extra: what else the channel says when it is subscribed.
    """
    result: dict[str, Any] = {"channel": request.channel}
    name = PARAMETER_NAMES.get(request.channel)
    if name is not None:
        result[name] = request.parameter
    if request.method == "subscribe":
        result |= {**(extra or {}), "snapshot": request.snapshot}
    if symbol is not None:
        result["symbol"] = symbol
    if request.method == "subscribe" and request.channel in WARNINGS:
        result["warnings"] = WARNINGS[request.channel]
    answer: dict[str, Any] = {"method": request.method}
    if request.req_id is not None:
        answer["req_id"] = request.req_id
    answer |= {"result": result, "success": True, "time_in": time_in, "time_out": time_out}
    return _dumps(answer)


def result_text(request: Request, result: Any, time_in: str, time_out: str) -> str:
    """Write the answer to a trading request that was carried out."""
    answer: dict[str, Any] = {"method": request.method}
    if request.req_id is not None:
        answer["req_id"] = request.req_id
    return _dumps({**answer, "result": result, "success": True, "time_in": time_in, "time_out": time_out})


def pong_text(req_id: int | None, time_in: str, time_out: str) -> str:
    """Write the answer to a ping, which says neither `success` nor `result`."""
    answer: dict[str, Any] = {"method": "pong"}
    if req_id is not None:
        answer["req_id"] = req_id
    return _dumps({**answer, "time_in": time_in, "time_out": time_out})


def _dumps(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":"))
