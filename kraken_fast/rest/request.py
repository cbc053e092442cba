"""From parameters to bytes: what Kraken reads, signed as it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson

from ..auth import Credentials
from ..errors import ConfigError, InvalidOrderError
from .catalogue import Endpoint
from .error_table import CallFacts
from .http import HttpRequest


def public_request(url: str, endpoint: Endpoint, fields: Mapping[str, Any]) -> HttpRequest:
    """Make a public request: GET, parameters in the query."""
    query = f"?{urlencode(fields)}" if fields else ""
    return HttpRequest("GET", f"{url}{endpoint.path}{query}")


def signed_request(
    credentials: Credentials, url: str, endpoint: Endpoint, fields: Mapping[str, Any], *, nonce: str
) -> HttpRequest:
    """Make a private request: encode once, sign those bytes, send those bytes."""
    otp = {} if (password := credentials.otp) is None else {"otp": password}
    everything = {"nonce": nonce, **fields, **otp}
    if endpoint.is_json or any(isinstance(value, (list, dict)) for value in fields.values()):
        body, kind = orjson.dumps(everything), "application/json"
    else:
        body, kind = urlencode(everything).encode(), "application/x-www-form-urlencoded"
    return HttpRequest(
        "POST",
        url + endpoint.path,
        {
            "API-Key": credentials.api_key.reveal().decode(),
            "API-Sign": credentials.sign(endpoint.path, nonce, body),
            "Content-Type": kind,
        },
        body,
    )


def plain_fields(
    params: Mapping[str, Any], *, is_order: bool = False, is_json: bool = False
) -> dict[str, Any]:
    """Write parameters as Kraken reads them; decimals never with an exponent. None is left out.

    Args:
        params: left as they are; a nonce or one-time password in them is not used.
        is_order: decides the error's class.
        is_json: lists, whole numbers and booleans stay what they are; in a form they become text.

    Raises:
        InvalidOrderError, ConfigError: a float, or what is no number; the text to write instead is in the message.

    >>> plain_fields({"pair": ["A", "B"], "volume": Decimal("1E-8"), "trades": True, "start": None, "nonce": 1})
    {'pair': 'A,B', 'volume': '0.00000001', 'trades': 'true'}
    """
    return {
        name: _plain(name, value, is_order=is_order, is_json=is_json)
        for name, value in params.items()
        if value is not None and name not in ("nonce", "otp")
    }


def facts_of(endpoint: Endpoint, params: Mapping[str, Any]) -> CallFacts:
    """Tell what of a call decides which error it becomes, and which orders it is about."""
    if not endpoint.acts:
        return CallFacts(endpoint.name, permission=endpoint.permission)
    rows = params.get("orders") or ()
    named = [params.get("txid"), params.get("order_id")]
    named += [row for row in rows if not isinstance(row, Mapping)]
    added = [row.get("cl_ord_id") for row in rows if isinstance(row, Mapping)]
    return CallFacts(
        endpoint.name,
        permission=endpoint.permission,
        acts=True,
        repeatable=endpoint.kind == "cancel",
        cl_ord_id=params.get("cl_ord_id"),
        cl_ord_ids=tuple(added) or tuple(params.get("cl_ord_ids") or ()),
        order_ids=tuple(str(name) for name in named if name is not None),
    )


def holds_objects(params: Mapping[str, Any]) -> bool:
    """Tell whether parameters can only be written as JSON."""
    return any(
        isinstance(value, Mapping)
        or (isinstance(value, (list, tuple)) and any(isinstance(each, Mapping) for each in value))
        for value in params.values()
    )


def rfc3339_ms(at: datetime) -> str:
    """Write a time with a time zone as UTC, to the millisecond.

    >>> rfc3339_ms(datetime.fromisoformat("2026-01-01T01:00:00.0015+01:00"))
    '2026-01-01T00:00:00.001Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(name: str, value: Any, *, is_order: bool, is_json: bool) -> Any:
    if isinstance(value, bool):
        return value if is_json else str(value).lower()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, timedelta) and name == "deadline":
        return value  # becomes a time as it leaves
    if isinstance(value, int):
        return int(value) if is_json else str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, Mapping):
        return plain_fields(value, is_order=is_order, is_json=is_json)
    if isinstance(value, (list, tuple)):
        items = [_plain(name, each, is_order=is_order, is_json=is_json) for each in value]
        return items if is_json else ",".join(items)
    rule = (
        f"write it as text or Decimal: {str(value)!r}"
        if isinstance(value, float)
        else "a text or an exact number"
    )
    raise InvalidOrderError(name, value, rule) if is_order else ConfigError(name, value, rule)
