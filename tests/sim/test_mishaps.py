"""What happens to orders without their owner: fills in a gap, fills that race a cancel, acts of the exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money

D = Decimal
BTC = "BTC/USD"
LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": BTC, "limit_price": 1000.0}


@pytest.fixture
def box(make_box: Any) -> Any:
    """A market without a crowd; whatever a test does to it, the books agree in the end."""
    made = make_box([BTC], accounts=[NewAccount("main", {"USD": 100_000, "BTC": 10})])
    for side in ("buy", "sell"):
        made.core.market(BTC).clear(side)
    yield made
    made.core.desk._check()
    check_money(made.core, {"USD": D(100_000), "BTC": D(10)})


@pytest.fixture
def trader(box: Any) -> Any:
    return box.trader()


def live(box: Any) -> int:
    return len(box.account.live_orders())


def kinds(messages: list[Any]) -> list[str]:
    """Give what messages are: `answer`, or the kind of an event."""
    return [
        "answer" if "method" in message else row["exec_type"]
        for message in messages
        for row in (message.get("data") or [{}])
        if "method" in message or message["channel"] == "executions"
    ]


def inject(box: Any, kind: str, **how: Any) -> Any:
    return box.faults.inject(kind, **how)


@pytest.mark.parametrize("share", ["0.5", 1])
def test_a_fill_races_a_cancel(box: Any, trader: Any, share: Any) -> None:
    order_id = trader.done("add_order", **LIMIT)["order_id"]
    trader.done("add_order", **{**LIMIT, "limit_price": 1001.0})
    inject(box, "cancel_race_fill", share=share)
    messages = trader.order("cancel_order", order_id=[order_id])
    order = box.account.orders[order_id]
    if share == 1:
        assert kinds(messages)[:1] == ["answer"]
        assert messages[0]["error"] == "EOrder:Unknown order"
        assert (order.status, order.filled) == ("closed", D("0.5"))
    else:
        own = [message for message in messages if order_id in str(message) or "method" in message]
        assert kinds(own) == ["answer", "trade", "canceled"]
        assert messages[0]["result"] == {"order_id": order_id}
        assert (order.status, order.filled) == ("canceled", D("0.25"))


@pytest.mark.parametrize("crowd", [False, True])
def test_fills_happen_while_nobody_listens(make_box: Any, crowd: bool) -> None:
    box = make_box([BTC])
    if not crowd:
        for side in ("buy", "sell"):
            box.core.market(BTC).clear(side)
    trader = box.trader()
    price = float(box.core.market(BTC).trades[-1].price) - 300 if crowd else 1000.0
    order_id = trader.done("add_order", **{**LIMIT, "limit_price": round(price, 1)})["order_id"]
    fault = inject(box, "fill_during_gap", fills=60)
    box.core.disconnect(trader.line)
    assert fault.fired == 1
    order = box.account.orders[order_id]
    assert len(order.trades) == 60
    assert order.live
    client = box.open("/auth/v2")
    client.subscribe("executions", token=box.token(), snap_trades=True)
    (snapshot,) = client.messages("executions")
    fills = [row for row in snapshot["data"] if row["exec_type"] == "trade"]
    assert [row["exec_id"] for row in fills] == list(order.trades)[:9:-1], "the snapshot holds fifty"


def test_no_fill_happens_in_a_gap_without_orders(box: Any, trader: Any) -> None:
    fault = inject(box, "fill_during_gap")
    box.core.disconnect(trader.line)
    assert fault.fired == 0


def test_orders_change_without_their_owner(box: Any, trader: Any) -> None:
    order_id = trader.done("add_order", **LIMIT)["order_id"]
    trader.texts.clear()
    inject(box, "external_order", order={"userref": 9})
    box.run(0.1)
    assert [row["exec_type"] for row in trader.rows()] == ["pending_new", "new"]
    assert trader.rows()[0]["order_userref"] == 9
    trader.texts.clear()
    inject(box, "unsolicited_cancel", reason="Halted")
    box.run(0.1)
    (row,) = trader.rows()
    assert (row["order_id"], row["exec_type"], row["reason"]) == (order_id, "canceled", "Halted")
    trader.done("cancel_all_orders_after", timeout=60)
    inject(box, "dms_fire")
    box.run(0.1)
    assert live(box) == 0
    assert box.account.cancel_at_ns is None
    assert trader.rows()[-1]["reason"] == "Cancel all orders after timeout"
