"""Trailing stops: a trigger that follows the best price since the order came, at a distance.

For a sell the trigger stands below the highest price, for a buy above the lowest; it moves only in the order's
favour. The limit of a `trailing-stop-limit` stands at an offset from the trigger and moves with it.

Source: https://docs.kraken.com/api/docs/websocket-v2/add_order and .../rest-api/add-order, read 2026-08. Whether a
positive offset of a sell's limit lies above the trigger was not recorded: here the sign is taken as it stands.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from .instruments import Pair
from .params import WORTH_MAX, invalid, plain_decimal
from .records import ZERO, Order

_OFFSET = re.compile(r"([+-])([0-9.]+)(%?)")


def check_trail(text: str, name: str, *, positive: bool) -> str:
    """Give the text of a distance or an offset if it can be read.

    Raises:
        RestError: it has no sign, is no number, or must be positive and is not.
    """
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise invalid(name)
    number = plain_decimal(found[2], name)
    if number >= WORTH_MAX or (positive and (found[1] == "-" or not number)):
        raise invalid(name)
    return text


def followed(order: Order, last: Decimal, pair: Pair) -> Order:
    """Give a trailing order as it is after a trade at this price, the same one if nothing moves.

    Raises:
        RestError: the trigger or the limit would not be a price.
    """
    if not order.trail:
        return order
    buys = order.side == "buy"
    if order.peak and (last >= order.peak if buys else last <= order.peak):
        return order
    price = _away(last, order.trail, 1 if buys else -1, pair, "price")
    limit = _away(price, order.trail_limit, 1, pair, "price2") if order.trail_limit else ZERO
    return replace(order, peak=last, price=price, price2=limit)


def _away(reference: Decimal, text: str, direction: int, pair: Pair, name: str) -> Decimal:
    """Give the price at a distance from another."""
    distance = Decimal(text[1:].rstrip("%"))
    if text.endswith("%"):
        distance = reference * distance / 100
    if text.startswith("-"):
        distance = -distance
    price = (reference + direction * distance).quantize(pair.price_increment, rounding=ROUND_HALF_UP)
    if not 0 < price < WORTH_MAX:
        raise invalid(name)
    return price
