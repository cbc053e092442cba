"""What each message proves: answers of every documented shape, strays, externals, bounds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from order_story import told

from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import OrderRejectedError, OutcomeUnknownError
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.live_order import Order
from kraken_fast.orders.rate import TradingBudget
from kraken_fast.orders.records import OrderState
from kraken_fast.orders.table import OrderTable, Pending, classify
from kraken_fast.types import Ack

DATA = Path(__file__).parent.parent / "data"
MESSAGES = {each["id"]: each for each in json.loads((DATA / "messages-v2.json").read_text())["messages"]}
ERRORS = json.loads((DATA / "errors.json").read_text())["errors"]


def table() -> OrderTable:
    return OrderTable(Journal(MemoryStorage(), ManualClock()), TradingBudget())


def sent(desk: OrderTable, *names: str, method: str = "add_order", req_id: int = 1) -> list[Order]:
    orders = []
    for name in names:
        order = Order(name, "BTC/USD", {"symbol": "BTC/USD", "cl_ord_id": name, "order_qty": Decimal(1)})
        desk.write_intents(b"add", (order,), b"{}", 1, 1)
        orders.append(order)
    desk.begin(req_id, Pending(method, 1, tuple(orders), "BTC/USD", 1, 1.0))
    desk.sent(orders, 1, "written")
    return orders


def ack_of(name: str, req_id: int = 1) -> Ack:
    raw = json.loads(MESSAGES[name]["raw"])
    return Ack(raw["method"], req_id, raw["success"], raw.get("error"), None, raw.get("result"), None, None)


def test_every_error_is_a_proven_no_or_unknown_by_the_table() -> None:
    for text, row in ERRORS.items():
        error = classify(text, "add_order", "x")
        if row["order_outcome"] == "unknown":
            assert isinstance(error, OutcomeUnknownError), text
        elif row["order_outcome"] == "no":
            assert not isinstance(error, OutcomeUnknownError) and not error.sent, text


@pytest.mark.parametrize("text", ["EService:Something new", "EWhat:Ever", "", "gibberish", "EDatabase:Internal error"])
def test_what_is_listed_nowhere_is_unknown(text: str) -> None:
    assert isinstance(classify(text, "add_order", None), OutcomeUnknownError)


@pytest.mark.parametrize("text", ["Unsupported field: 'x' for the given msg type: add order",
                                  "Limit_price field must be a number_float", "Token(s) not found"])  # fmt: skip
def test_what_the_gate_refused_was_no_order(text: str) -> None:
    assert isinstance(classify(text, "add_order", None), OrderRejectedError)


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("resp.add.") and "validate" not in name])
def test_every_documented_answer_to_an_order(name: str) -> None:
    desk = table()
    (order,) = sent(desk, "6d1b345e-2821-40e2-ad83-4ecb18a06876")
    ack = ack_of(name)
    desk.on_reply(ack, 2)
    if ack.success:
        assert order.state is OrderState.ACKED and order.order_id == ack.result["order_id"]
    elif "Deadline" in (ack.error or ""):
        assert order.state is OrderState.UNKNOWN
    else:
        assert order.state is OrderState.REJECTED


@pytest.mark.parametrize("form", ["rows", "object", "unsuccessful"])
def test_batches_in_every_form(form: str) -> None:
    desk = table()
    good, bad = sent(desk, "grid-0001", "grid-0002", method="batch_add")
    rows: Any = json.loads(MESSAGES["resp.batch_add.partial"]["raw"])["result"]
    result = {"orders": rows} if form == "object" else rows
    desk.on_reply(Ack("batch_add", 1, form != "unsuccessful", None, None, result, None, None), 2)
    assert good.state is OrderState.ACKED and bad.state is OrderState.REJECTED


def test_a_batch_that_names_nothing() -> None:
    for success, error, state in (
        (False, "EGeneral:Invalid arguments:volume minimum not met", OrderState.REJECTED),
        (False, "EService:Busy", OrderState.UNKNOWN),
        (True, None, OrderState.UNKNOWN),
    ):
        desk = table()
        orders = sent(desk, "a", "b", method="batch_add")
        desk.on_reply(Ack("batch_add", 1, success, error, None, None, None, None), 2)
        assert {order.state for order in orders} == {state}


def test_an_answer_that_names_another_order_is_none() -> None:
    desk = table()
    (order,) = sent(desk, "mine")
    desk.on_reply(Ack("add_order", 1, True, None, None, {"order_id": "O", "cl_ord_id": "other"}, None, None), 2)
    assert order.state is OrderState.UNKNOWN and order.order_id is None


def test_a_close_order_with_the_number_of_its_parent_is_not_its_parent() -> None:
    desk = table()
    order = Order("#5", "BTC/USD", {"symbol": "BTC/USD", "order_userref": 5, "order_qty": Decimal(1)})
    desk.write_intents(b"add", (order,), b"{}", 1, 1)
    desk.sent((order,), 1, "written")
    desk.on_execution(told(exec_type="new", order_status="new", order_id="OP", order_userref=5), 2)
    desk.on_execution(told(exec_type="pending_new", order_status="pending_new", order_id="OC", order_userref=5), 3)
    assert order.order_id == "OP" and set(desk.external) == {"OC"}


def test_tables_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import kraken_fast.orders.table as module

    monkeypatch.setattr(module, "ENDED_MAX", 50)
    monkeypatch.setattr(module, "EXTERNAL_MAX", 50)
    monkeypatch.setattr(module, "PENDING_MAX", 50)
    desk = table()
    for number in range(500):
        sent(desk, f"n{number}", req_id=number)
        desk.on_reply(Ack("add_order", number, False, "EOrder:Insufficient funds", None, None, None, None), 2)
        desk.on_execution(told(exec_type="new", order_status="new", order_id=f"O{number}"), 3)
    assert len(desk._names) <= 51 and len(desk.external) <= 50 and len(desk._pending) <= 50
    assert desk.open_count("BTC/USD") == 0
