"""Which texts are messages: an independent reading of the protocol, over texts parsed by `json`.

Documented leniencies and bounds of ours appear as `EITHER`: `123.`, half surrogate pairs, sizes beyond our limits, and
channels that have a judge of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from corpus import Members, Number, parse
from judge import time_ns

ACCEPT, REFUSE, UNKNOWN, EITHER = "accept", "refuse", "unknown", "either"

NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII)


class BeyondBoundsError(Exception):
    """Beyond a limit of ours: refusing and accepting are both right."""


def parts(value: str) -> tuple[int, int]:
    """Mantissa and decimals of a number's text."""
    match = NUMBER.fullmatch(value)
    assert match is not None
    digits = match[2] + (match[3] or "")
    exponent = match[4] or "0"
    if len(exponent) > 5 or abs(int(exponent)) > 400 or len(match[3] or "") > 400:
        raise BeyondBoundsError
    if len(digits.lstrip("0")) > 38:
        raise BeyondBoundsError
    return int(match[1] + digits), len(match[3] or "") - int(exponent)


def _decimal(value: Any) -> bool:
    return isinstance(value, Number) and parts(value) is not None


def _amount(value: Any) -> bool:
    if not isinstance(value, Number) or value.startswith("-"):
        return False
    mantissa, decimals = parts(value)
    while mantissa and mantissa % 10 == 0 and (decimals > 0 or mantissa >= 2**63):
        mantissa, decimals = mantissa // 10, decimals - 1
    return bool(mantissa * 10 ** max(0, -decimals) < 2**63)


def _integer(limit: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, Number) and value.isascii() and value.isdigit() and int(value[:21]) < limit

    return check


def _text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _time(value: Any) -> bool:
    if not _text(value):
        return False
    if value.startswith("0000"):
        raise BeyondBoundsError  # year 0 is beyond datetime, not beyond us
    try:
        time_ns(value)
    except (ValueError, OverflowError):
        return False
    return True


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _anything(_value: Any) -> bool:
    return True


def _rows(table: dict[str, Any]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return (
            isinstance(value, list)
            and not isinstance(value, Members)
            and all(_object(row, table) for row in value)
        )

    return check


def _object(value: Any, table: dict[str, Any]) -> bool:
    """Whether `value` is an object as `table` has it: `name!` is required, `null` is as good as absent."""
    if not isinstance(value, Members):
        return False
    known = [name for name, _ in value if name in table or f"{name}!" in table]
    if len(known) != len(set(known)):
        return False
    held = dict(value)
    for name, check in table.items():
        got = held.get(name.rstrip("!"))
        if (got is None and name.endswith("!")) or (got is not None and not check(got)):
            return False
    return not any(name in held and held[name] is None for name in ("bids", "asks", "assets", "pairs"))


UINT, COUNT = _integer(2**64), _integer(2**63)
LEVELS = _rows({"price!": _amount, "qty!": _amount})
BOOK = {"symbol!": _text, "bids!": LEVELS, "asks!": LEVELS, "checksum!": _integer(2**32), "timestamp": _time}
TICKER = {
    "symbol!": _text, "bid!": _decimal, "bid_qty!": _decimal, "ask!": _decimal, "ask_qty!": _decimal, "last!": _decimal,
    "volume": _decimal, "vwap": _decimal, "low": _decimal, "high": _decimal, "change": _decimal, "change_pct": _decimal,
    "volume_usd": _decimal, "trades": COUNT, "timestamp": _time,
}  # fmt: skip
TRADE = {
    "symbol!": _text, "side!": _text, "price!": _amount, "qty!": _amount, "ord_type": _text, "timestamp!": _time,
    "trade_id!": lambda value: COUNT(value) and int(value) > 0,
}  # fmt: skip
OHLC = {
    "symbol!": _text, "open!": _decimal, "high!": _decimal, "low!": _decimal, "close!": _decimal, "vwap": _decimal,
    "volume!": _decimal, "trades": COUNT, "interval_begin!": _time, "timestamp": _time,
    "interval!": lambda value: COUNT(value) and 0 < int(value) <= 1_000_000,
}  # fmt: skip
PRECISION = _integer(19)
PAIR = {
    "symbol!": _text, "base!": _text, "quote!": _text, "status!": _text, "qty_precision!": PRECISION,
    "price_precision!": PRECISION, "cost_precision": COUNT, "marginable": _boolean, "has_index": _boolean,
    **dict.fromkeys(("qty_increment", "cost_min", "margin_initial", "position_limit_long", "position_limit_short",
                     "tick_size", "price_increment", "qty_min"), _decimal),
}  # fmt: skip
ASSET = {
    "id!": _text, "status!": _text, "precision!": COUNT, "precision_display": COUNT, "borrowable": _boolean,
    "class": _text, **dict.fromkeys(("collateral_value", "margin_rate", "multiplier"), _decimal),
}  # fmt: skip
STATUS = {
    "system!": _text, "version": _text, "api_version": _text, "connection_id": UINT, "upcoming_maintenance": _anything,
    "emergency": _anything,
}  # fmt: skip
INSTRUMENT = {"assets": _rows(ASSET), "pairs": _rows(PAIR)}
HEAD = {
    "channel": _text, "type": _text, "timestamp": _time, "sequence": UINT, "method": _text, "req_id": UINT,
    "success": _boolean, "error": _text, "symbol": _text, "time_in": _time, "time_out": _time, "data": _anything,
    "result": _anything,
}  # fmt: skip
ROWS = {"book": BOOK, "ticker": TICKER, "trade": TRADE, "ohlc": OHLC, "status": STATUS}


def verdict(raw: bytes) -> str:
    """What must become of a text: accept, refuse, unknown, or either."""
    try:
        text = raw.decode()
        if text.startswith("\ufeff"):
            return REFUSE
        message = parse(raw)
    except (ValueError, RecursionError):
        return EITHER if re.search(rb"\d\.\s*[,}\]]", raw) else REFUSE
    if (
        re.search(rb"\\u[dD][89a-fA-F]", raw)
        or re.search(rb"NaN|Infinity", raw)
        or b"000000000000000000000" in raw
    ):
        return EITHER
    try:
        return _judge(message)
    except BeyondBoundsError:
        return EITHER


def _judge(message: Any) -> str:
    if not _object(message, HEAD):
        return REFUSE
    head = dict(message)
    channel = head.get("channel")
    if channel == "heartbeat":
        return ACCEPT
    if channel is None and (head.get("method") is not None or head.get("error") is not None):
        return ACCEPT
    if channel in ("level3", "executions", "balances"):
        return EITHER  # judged elsewhere, see fuzz/targets.py
    if channel not in ROWS and channel != "instrument":
        return UNKNOWN
    if head.get("type") not in ("snapshot", "update") or head.get("data") is None:
        return REFUSE
    data = head["data"]
    good = _object(data, INSTRUMENT) if channel == "instrument" else _rows(ROWS[channel])(data)
    return ACCEPT if good else REFUSE
