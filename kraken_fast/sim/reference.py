"""The level-2 book and its checksum, slow and obvious: the oracle of property tests.

Every number stays a `Decimal` made from the text of the wire, so its trailing zeros survive; `SortedDict`
keeps the prices, `zlib` computes the CRC. Nothing is cached and nothing is clever. What this class says about
a book is right by inspection; whatever is fast is compared with it.

Source: https://docs.kraken.com/api/docs/guides/spot-ws-book-v2, read 2026-11.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sortedcontainers import SortedDict

CHECKSUM_LEVELS = 10
"""Levels of each side that the checksum covers, whatever the depth of the subscription."""

Level = tuple[Decimal, Decimal]
"""Price and quantity, both with the exponent that the wire gave them."""


def loads(raw: str | bytes) -> Any:
    """Parse JSON without losing a digit: every number becomes a `Decimal`, integers too.

    >>> loads('{"qty":0.00100000}')
    {'qty': Decimal('0.00100000')}
    """
    return json.loads(raw, parse_float=Decimal, parse_int=Decimal)


def token(number: Decimal) -> str:
    """Give the checksum token of a number: its text without the point and without leading zeros.

    >>> token(Decimal("0.00100000")), token(Decimal("45285.2"))
    ('100000', '452852')
    """
    return format(number, "f").replace(".", "").lstrip("0")


def checksum_text(asks: Sequence[Level], bids: Sequence[Level]) -> str:
    """Concatenate the tokens of the best ten asks, then of the best ten bids; both come best first."""
    levels = [*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS]]
    return "".join(token(price) + token(qty) for price, qty in levels)


def checksum(asks: Sequence[Level], bids: Sequence[Level]) -> int:
    """Compute the CRC-32 that Kraken sends with a book.

    >>> checksum([], [])
    0
    """
    return zlib.crc32(checksum_text(asks, bids).encode("ascii"))


class ReferenceBook:
    """One level-2 book as a careful client keeps it.

    Args:
        depth: depth of the subscription; both sides are cut to it after every message.
        price_precision: decimals of the pair's prices, or None to keep those of the wire. Needed only for
            text that lost its trailing zeros (exponents, or numbers that went through a float).
        qty_precision: the same for quantities.
    """

    def __init__(
        self, depth: int, price_precision: int | None = None, qty_precision: int | None = None
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth={depth}: must be at least 1")
        self.depth = depth
        self.price_precision = price_precision
        self.qty_precision = qty_precision
        self._bids: SortedDict[Decimal, Level] = SortedDict()
        self._asks: SortedDict[Decimal, Level] = SortedDict()

    @property
    def bids(self) -> list[Level]:
        """All bids, best (highest) first."""
        return list(reversed(self._bids.values()))

    @property
    def asks(self) -> list[Level]:
        """All asks, best (lowest) first."""
        return list(self._asks.values())

    def apply(self, message: Mapping[str, Any]) -> None:
        """Apply one `book` message, snapshot or update, and truncate.

        Args:
            message: the parsed message. Prices and quantities are `Decimal`, or text, or `int`; a float is
                refused, because it has already lost what the checksum needs.

        Raises:
            TypeError: a number is a float.
            ValueError: the message is not a book message, or a number is negative or not finite.
        """
        kind = message.get("type")
        if message.get("channel") != "book" or kind not in ("snapshot", "update"):
            raise ValueError(f"not a book message: channel={message.get('channel')!r}, type={kind!r}")
        if kind == "snapshot":
            self._bids.clear()
            self._asks.clear()
        (data,) = message["data"]
        for side, rows in ((self._bids, data.get("bids", ())), (self._asks, data.get("asks", ()))):
            for row in rows:
                self._set(side, row["price"], row["qty"])
        while len(self._bids) > self.depth:
            self._bids.popitem(0)
        while len(self._asks) > self.depth:
            self._asks.popitem(-1)

    def apply_raw(self, raw: str | bytes) -> int | None:
        """Apply one message as it came from the wire and give the checksum it carried, if any."""
        message = loads(raw)
        self.apply(message)
        carried = message["data"][0].get("checksum")
        return None if carried is None else int(carried)

    def checksum_text(self) -> str:
        """Give the text whose CRC is the checksum: what to look at when two books disagree."""
        return checksum_text(self.asks, self.bids)

    def checksum(self) -> int:
        """Compute the checksum over the best ten levels of each side."""
        return checksum(self.asks, self.bids)

    def crossed(self) -> bool:
        """Tell whether the best bid reaches the best ask, which no settled book does."""
        return bool(self._bids and self._asks) and self._bids.peekitem(-1)[0] >= self._asks.peekitem(0)[0]

    def _set(self, side: SortedDict[Decimal, Level], price: Any, qty: Any) -> None:
        exact_price = _exact(price, self.price_precision)
        exact_qty = _exact(qty, self.qty_precision)
        if exact_qty == 0:
            side.pop(exact_price, None)
        else:
            side[exact_price] = (exact_price, exact_qty)


def _exact(number: Any, precision: int | None) -> Decimal:
    if isinstance(number, (float, bool)):
        raise TypeError(f"{number!r}: a price or quantity must come as Decimal or text")
    value = Decimal(number)
    if not value.is_finite() or value < 0:
        raise ValueError(f"{number!r}: a price or quantity must be finite and not negative")
    if precision is None:
        return value
    padded = value.quantize(Decimal(1).scaleb(-precision))
    if padded != value:
        raise ValueError(f"{number!r}: has more than {precision} decimals")
    return padded
