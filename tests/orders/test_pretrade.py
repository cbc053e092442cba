"""Limits of our own on the edge."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import InvalidOrderError
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.pretrade import Quote, check_limits
from kraken_fast.orders.rate import TradingBudget
from kraken_fast.orders.settings import OrderLimits
from kraken_fast.orders.table import OrderTable

D = Decimal


def table() -> OrderTable:
    return OrderTable(Journal(MemoryStorage(), ManualClock()), TradingBudget())


@pytest.mark.parametrize(
    ("side", "limit", "is_fine"), [("buy", "105", True), ("buy", "105.1", False), ("sell", "94", False),
                                   ("sell", "94.05", True), ("buy", "1", True), ("sell", "9999", True)],
)  # fmt: skip
def test_the_collar_is_measured_from_what_the_order_meets(side: str, limit: str, is_fine: bool) -> None:
    params = {"side": side, "order_qty": D(1), "limit_price": D(limit)}
    limits = OrderLimits(collar=D("0.05"))
    quote = Quote(bid=D(99), ask=D(100))
    if is_fine:
        check_limits(params, "X/Y", quote, limits, table())
    else:
        with pytest.raises(InvalidOrderError, match="collar"):
            check_limits(params, "X/Y", quote, limits, table())


def test_notional_on_the_edge() -> None:
    limits = OrderLimits(order_notional_max=D(100))
    check_limits({"side": "buy", "order_qty": D(1), "limit_price": D(100)}, "X/Y", None, limits, table())
    check_limits({"side": "buy", "cash_order_qty": D(100)}, "X/Y", None, limits, table())
    with pytest.raises(InvalidOrderError):
        check_limits({"side": "buy", "cash_order_qty": D("100.01")}, "X/Y", None, limits, table())
    check_limits({"side": "buy", "order_qty": D(5)}, "X/Y", None, limits, table())  # nothing tells its price
    with pytest.raises(InvalidOrderError):
        check_limits({"side": "sell", "order_qty": D(5)}, "X/Y", Quote(D(99), None), limits, table())
