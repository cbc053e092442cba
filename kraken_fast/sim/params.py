"""The parameters of a REST call, whichever way they came.

A private body is a form or JSON; both are official. A form nests by brackets (`close[price]`), lists too
(`orders[0][price]`, `orders[]`). Unknown parameters are ignored, as on the real exchange.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from .refusals import RestError

DIGITS_MAX = 40
"""Longest number understood: no price, quantity, time or id of the exchange comes near."""

WORTH_MAX = Decimal(10) ** 14
"""More than this no order is about: so every sum and product here stays within 28 exact digits."""

_NESTED_MAX = 4


class Params:
    """The parameters of one call.

    Args:
        values: by name; each is text, or what JSON makes of it.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self.text(name) not in (None, "")

    def text(self, name: str, default: str | None = None) -> str | None:
        """Give a parameter as text, as it would stand in a form."""
        value = self._values.get(name)
        return default if value is None else as_text(value)

    def required(self, name: str) -> str:
        """Give a parameter that must be there.

        Raises:
            RestError: it is missing or empty.
        """
        text = self.text(name)
        if not text:
            raise invalid(name)
        return text

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """Give a yes or no; anything but `true` and `1` is no."""
        text = self.text(name)
        return default if not text else text.lower() in ("true", "1")

    def integer(self, name: str, default: int) -> int:
        """Give a whole number.

        Raises:
            RestError: it is none.
        """
        text = self.text(name)
        if not text:
            return default
        if len(text) > DIGITS_MAX or not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
            raise invalid(name)
        return int(text)

    def decimal(self, name: str) -> Decimal | None:
        """Give a plain decimal number, None when it is missing.

        Raises:
            RestError: it is not a number written without exponent.
        """
        text = self.text(name)
        return plain_decimal(text, name) if text else None

    def names(self, name: str) -> list[str]:
        """Give a comma-separated list, or the members of a JSON one."""
        value = self._values.get(name)
        if isinstance(value, (list, tuple)):
            return [as_text(member) for member in value]
        return [part.strip() for part in as_text(value or "").split(",") if part.strip()]

    def nested(self, name: str) -> Params | None:
        """Give the parameters below a name, None when there are none.

        Raises:
            RestError: it is something else.
        """
        value = self._values.get(name)
        if not value:
            return None
        if not isinstance(value, Mapping):
            raise invalid(name)
        return Params(value)

    def listed(self, name: str) -> list[Any]:
        """Give a list as it came.

        Raises:
            RestError: it is none.
        """
        value = self._values.get(name, [])
        if isinstance(value, str):
            return [part for part in value.split(",") if part]
        if isinstance(value, Mapping):  # a form's orders[0], orders[1], ...
            return list(value.values())
        if not isinstance(value, list):
            raise invalid(name)
        return value


def invalid(name: str = "") -> RestError:
    """Build the refusal of a parameter."""
    return RestError(f"EGeneral:Invalid arguments:{name}" if name else "EGeneral:Invalid arguments")


def plain_decimal(text: str, name: str) -> Decimal:
    """Read a decimal without exponent.

    Raises:
        RestError: it is none.
    """
    if len(text) > DIGITS_MAX or not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", text, re.ASCII):
        raise invalid(name)
    return Decimal(text)


def as_text(value: object) -> str:
    """Write a value of JSON as a form would."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal) and abs(value.adjusted()) < DIGITS_MAX:
        return format(value, "f")
    return str(value)  # a number with a huge exponent keeps it, and is refused for it


def parse_body(body: bytes, content_type: str) -> Params:
    """Read a body.

    Args:
        body: as it came.
        content_type: of the request; a body that begins with a brace is JSON whatever it says.

    Raises:
        RestError: it is neither a form nor a JSON object.
    """
    if "json" not in content_type and not body.lstrip().startswith(b"{"):
        try:
            return Params(_nest(parse_qsl(body.decode(), keep_blank_values=True)))
        except ValueError:
            raise RestError("EAPI:Bad request") from None
    try:
        values = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        raise RestError("EAPI:Bad request") from None
    if not isinstance(values, dict):
        raise RestError("EAPI:Bad request")
    return Params(values)


def _nest(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Build what bracketed names describe.

    >>> _nest([("pair", "XBTUSD"), ("close[price]", "1"), ("ids[]", "a"), ("ids[]", "b")])
    {'pair': 'XBTUSD', 'close': {'price': '1'}, 'ids': {'0': 'a', '1': 'b'}}
    """
    values: dict[str, Any] = {}
    for name, value in fields:
        head, *inner = re.split(r"\]?\[", name.removesuffix("]"))[:_NESTED_MAX]
        at, key = values, head
        for part in inner:
            below = at.setdefault(key, {})
            if not isinstance(below, dict):
                below = at[key] = {}
            at, key = below, part or str(len(below))
        at[key] = value
    return values
