"""Numbers and times as Kraken writes them.

Everything here is text made from exact values: a `Decimal` or an integer count of nanoseconds goes in, never
a float.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

NS_PER_S = 1_000_000_000
NS_PER_US = 1_000
NS_PER_MS = 1_000_000


def padded(number: Decimal, places: int) -> str:
    """Write a number with exactly `places` decimals, filled with zeros or rounded half even.

    >>> padded(Decimal("0.5"), 8), padded(Decimal("84210"), 0)
    ('0.50000000', '84210')
    """
    return format(number, f".{places}f")


def shortest(number: Decimal) -> str:
    """Write a number as `instrument` has done since August 2026: no padding, exponents below 1e-4.

    >>> shortest(Decimal("0.00000001")), shortest(Decimal("0.00005000")), shortest(Decimal("0.50"))
    ('1e-08', '5e-05', '0.5')
    >>> shortest(Decimal("200.00000")), shortest(Decimal("0.0001"))
    ('200.0', '0.0001')
    """
    if number == 0:
        return "0.0"
    sign, digits, exponent = number.normalize().as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number}: must be finite")
    leading = exponent + len(digits) - 1  # power of ten of the first digit
    if leading >= -4:
        text = format(number.normalize(), "f")
        return text if "." in text else f"{text}.0"
    head = str(digits[0])
    tail = "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{head}{'.' + tail if tail else ''}e-{-leading:02d}"


def rfc3339(time_ns: int, places: int = 6) -> str:
    """Write a time since the epoch as UTC with `places` decimals, cut, not rounded.

    >>> rfc3339(1_700_000_000_123_456_789), rfc3339(1_700_000_000_123_456_789, 9)
    ('2023-11-14T22:13:20.123456Z', '2023-11-14T22:13:20.123456789Z')
    >>> rfc3339(1_700_000_000_000_000_000, 0)
    '2023-11-14T22:13:20Z'
    """
    seconds, rest = divmod(time_ns, NS_PER_S)
    whole = _second(seconds)
    return f"{whole}.{rest:09d}"[: 20 + places] + "Z" if places else f"{whole}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Write a whole second: most times of one moment share it, and `strftime` is slow."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
