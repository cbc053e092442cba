"""Limits of our own, asked before an order leaves: size, number, distance from the book, and the kill switch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from ..errors import InvalidOrderError, OrderBlockedError
from .settings import OrderLimits
from .table import OrderTable


class Quote(NamedTuple):
    """The best prices of a live book; None where a side is empty."""

    bid: Decimal | None
    ask: Decimal | None

    def opposite(self, side: str) -> Decimal | None:
        """What an order of this side would meet."""
        return self.ask if side == "buy" else self.bid


Quotes = Callable[[str], Quote | None]
"""Gives the quote of a symbol, None when no live book is at hand: a stale one is none."""


def check_limits(
    params: Mapping[str, Any], symbol: str, quote: Quote | None, limits: OrderLimits, table: OrderTable
) -> None:
    """Check one order against the limits.

    Raises:
        InvalidOrderError: the order breaks one, and says by how much.
        OrderBlockedError: too many are open, or it cannot be judged without a quote.
    """
    most = table.budget.open_orders_max
    if limits.open_orders_max is not None and limits.open_orders_max < most:
        most = limits.open_orders_max
    if table.open_count(symbol) >= most:
        raise OrderBlockedError(f"{table.open_count(symbol)} orders of {symbol} are open, {most} may be")
    if limits.collar is None and limits.order_notional_max is None and limits.open_notional_max is None:
        return
    meets = None if quote is None else quote.opposite(params["side"])
    if meets is None and limits.needs_quote:
        raise OrderBlockedError(f"no live quote of {symbol} to judge the order by")
    limit = params.get("limit_price") if params.get("limit_price_type", "static") == "static" else None
    if limits.collar is not None and meets is not None and limit is not None:
        _check_collar(params["side"], limit, meets, limits.collar)
    _check_notional(params, meets if limit is None else limit, limits, table)


def _check_collar(side: str, limit: Decimal, meets: Decimal, collar: Decimal) -> None:
    edge = meets * (1 + collar) if side == "buy" else meets * (1 - collar)
    if limit > edge if side == "buy" else limit < edge:
        beyond = "above" if side == "buy" else "below"
        rule = f"{beyond} the collar: {edge:f} is {collar:%} through the book's {meets:f}"
        raise InvalidOrderError("limit_price", format(limit, "f"), rule)


def _check_notional(
    params: Mapping[str, Any], price: Decimal | None, limits: OrderLimits, table: OrderTable
) -> None:
    cash, qty = params.get("cash_order_qty"), params.get("order_qty")
    notional = cash if cash is not None else None if price is None or qty is None else price * qty
    if notional is None:
        return
    if limits.order_notional_max is not None and notional > limits.order_notional_max:
        rule = f"worth {notional:f}, above order_notional_max {limits.order_notional_max:f}"
        raise InvalidOrderError("order_qty", format(qty or cash, "f"), rule)
    if limits.open_notional_max is not None:
        together = notional + table.open_notional()
        if together > limits.open_notional_max:
            rule = f"open orders would be worth {together:f}, above open_notional_max {limits.open_notional_max:f}"
            raise InvalidOrderError("order_qty", format(qty or cash, "f"), rule)
