"""Holds: reckoned from open orders between two words of the exchange, and not guessed where they cannot be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.core.execution import Execution
from kraken_fast.core.order_store import AccountOrder, OrderStore
from kraken_fast.private.holds import Hold, Holds, held_by

D = Decimal


def order(order_id: str, **facts: Any) -> AccountOrder:
    facts = {"symbol": "BTC/USD", "side": "buy", "order_qty": D("0.5"), "order_type": "limit", **facts}
    made = OrderStore().apply(Execution(order_id=order_id, exec_type="new", order_status="new", **facts))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        ({"limit_price": D(60_000)}, {"USD": D(30_000)}),
        ({"limit_price": D(60_000), "cum_qty": D("0.2")}, {"USD": D(18_000)}),
        ({"side": "sell", "limit_price": D(60_000), "cum_qty": D("0.2")}, {"BTC": D("0.3")}),
        ({"side": "sell", "order_type": "market"}, {"BTC": D("0.5")}),
        ({"limit_price": D(60_000), "margin": True}, {}),
        ({"order_type": "market"}, {"USD": None}),
    ],
    ids=["buy", "partly filled", "sell", "market sell", "margin", "market buy"],
)
def test_what_one_order_holds(facts: dict[str, Any], held: dict[str, Decimal | None]) -> None:
    assert held_by([order("O1", **facts)]) == held


def test_sums_are_exact_and_one_unknown_makes_the_sum_unknown() -> None:
    small = [order(f"O{i}", order_qty=D("0.1"), limit_price=D("0.1")) for i in range(3)]
    assert held_by(small) == {"USD": D("0.03")}
    assert held_by([*small, order("O9", order_type="market")]) == {"USD": None}


def test_the_exchanges_word_counts_until_an_order_changes() -> None:
    holds, orders = Holds(), [order("O1", limit_price=D(60_000))]
    assert holds.get("USD", None, 5) == Hold(None, "none", None)
    assert holds.get("USD", orders, 5) == Hold(D(30_000), "orders", 5)
    holds.on_orders(10)
    holds.on_told({"USD": D(30_048)}, asked_ns=20)
    assert holds.is_current
    assert holds.get("USD", orders, 25) == Hold(D(30_048), "rest", 20)
    assert holds.get("BTC", orders, 25) == Hold(D(0), "rest", 20)
    holds.on_orders(20)
    assert not holds.is_current, "whether the answer knew of it cannot be told"
    assert holds.get("USD", orders, 25) == Hold(D(30_000), "orders", 25)
    assert holds.get("USD", None, 25).amount is None
