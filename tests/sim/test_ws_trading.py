"""Orders over the WebSocket: the recorded forms of answers, refusals in Kraken's words, one desk with REST."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money

D = Decimal
BTC = "BTC/USD"
CATALOGUE: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())[
        "messages"
    ]
}
LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": BTC, "limit_price": 1000.0}
_VARIABLE = re.compile(r'"(time_in|time_out|order_id|original_order_id|amend_id|currentTime|triggerTime)":"[^"]*"')


def form(text: str) -> str:
    """Take out of an answer what differs from case to case."""
    return re.sub(r'"req_id":\d+', '"req_id":0', _VARIABLE.sub(r'"\1":""', text))


@pytest.fixture
def box(make_box: Any) -> Any:
    """A market without a crowd."""
    made = make_box([BTC], accounts=[NewAccount("main", {"USD": 100_000, "BTC": 10})])
    for side in ("buy", "sell"):
        made.core.market(BTC).clear(side)
    return made


@pytest.fixture
def trader(box: Any) -> Any:
    return box.trader()


def reply(trader: Any) -> str:
    """Give the text of the last answer."""
    return next(text for text in reversed(trader.texts) if '"method"' in text)


def the(box: Any) -> Any:
    """Give the account's last order as it is by now."""
    return list(box.account.orders.values())[-1]


def check(box: Any) -> None:
    box.core.desk._check()
    check_money(box.core, {"USD": D(100_000), "BTC": D(10)})


def test_adding_and_cancelling_is_answered_with_the_recorded_bytes(box: Any, trader: Any) -> None:
    cl_ord_id = "6d1b345e-2821-40e2-ad83-4ecb18a06876"
    trader.order("add_order", cl_ord_id=cl_ord_id, **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add"])
    order = the(box)
    assert (order.status, order.qty, order.limit_price) == ("open", D("0.5"), 1000)
    trader.order("cancel_order", cl_ord_id=[cl_ord_id])
    assert form(reply(trader)) == form(CATALOGUE["resp.cancel.cl"])
    trader.order("cancel_order", cl_ord_id=[cl_ord_id])
    assert form(reply(trader)) == form(CATALOGUE["resp.cancel.err"])
    trader.order("add_order", order_userref=100054, **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add.userref"])
    trader.order("add_order", **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add.plain"])
    trader.order("cancel_all")
    assert form(reply(trader)) == form(CATALOGUE["resp.cancel_all"])
    assert box.account.live_orders() == []
    check(box)


def test_each_cancelled_order_has_its_own_answer(box: Any, trader: Any) -> None:
    ids = [trader.done("add_order", order_userref=7, **LIMIT)["order_id"] for _ in range(3)]
    answers = trader.answers("cancel_order", order_id=[ids[0], "OAAAAA-AAAAA-AAAAAA"], order_userref=[7])
    assert [answer.get("result") for answer in answers] == [
        {"order_id": ids[0]},
        None,
        {"order_id": ids[1]},
        {"order_id": ids[2]},
    ]
    assert {answer["req_id"] for answer in answers} == {7}
    assert answers[1] == {
        "error": "EOrder:Unknown order",
        "method": "cancel_order",
        "req_id": 7,
        "success": False,
    }


def test_answer_and_first_event_come_in_either_order(box: Any, trader: Any) -> None:
    firsts = set()
    for _ in range(20):
        firsts.add("method" in trader.order("add_order", **LIMIT)[0])
        trader.order("cancel_all")
    assert firsts == {True, False}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"price": 1.0}, "Unsupported field: 'price' for the given msg type: add order"),
        ({"limit_price": "1000.0"}, "Limit_price field must be a number_float"),
        ({"order_qty": True}, "Order_qty field must be a number_float"),
        ({"post_only": 1}, "Post_only field must be a boolean"),
        ({"side": 1}, "Side field must be a string"),
        ({"order_userref": 1.5}, "Order_userref field must be a number_integer"),
        ({"triggers": []}, "Triggers field must be an object"),
        ({"triggers": {"cost": 1}}, "Unsupported field: 'cost' for the given msg type: add order"),
        ({"symbol": "XBT/USD"}, "EQuery:Unknown asset pair"),
        ({"order_qty": 0.00001}, "EGeneral:Invalid arguments:volume minimum not met"),
        ({"order_qty": 100.0}, "EOrder:Insufficient funds"),
        ({"limit_price": 1000.01}, "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."),
        ({"cl_ord_id": "n" * 19}, "EGeneral:Invalid arguments"),
        ({"order_type": "limitless"}, "EGeneral:Invalid arguments:ordertype"),
        ({"side": "both"}, "EGeneral:Invalid arguments:type"),
        ({"stp_type": "cancel_none"}, "EGeneral:Invalid arguments:stptype"),
        ({"limit_price_type": "ticks"}, "EGeneral:Invalid arguments:price_type"),
        ({"fee_preference": "both"}, "EGeneral:Invalid arguments:fee_preference"),
    ],
)
def test_what_is_wrong_is_refused_in_its_words_and_leaves_no_order(
    box: Any, trader: Any, changes: dict[str, Any], error: str
) -> None:
    assert trader.refused("add_order", **{**LIMIT, **changes}) == error
    assert not box.account.orders
    assert trader.rows() == []


def test_a_number_that_is_an_integer_is_accepted(box: Any, trader: Any) -> None:
    trader.done("add_order", **{**LIMIT, "limit_price": 1000, "order_qty": 1})
    assert the(box).qty == 1


def test_numbers_are_exact(box: Any, trader: Any) -> None:
    text = json.dumps({"method": "add_order", "params": {**LIMIT, "token": trader.token}})
    trader.send(text.replace("0.5", "0.10000001").replace("1000.0", "1000.1"))
    assert (the(box).qty, the(box).limit_price) == (D("0.10000001"), D("1000.1"))
    trader.send(text.replace("0.5", "1e-3"))
    assert the(box).qty == D("0.001")


def test_both_apis_lead_to_one_desk(box: Any, trader: Any) -> None:
    order_id = trader.done("add_order", cl_ord_id="mine", **LIMIT)["order_id"]
    assert list(box.result("OpenOrders")["open"]) == [order_id]
    box.result("CancelOrder", cl_ord_id="mine")
    trader.poll()
    assert trader.rows()[-1]["exec_type"] == "canceled"


def test_maintenance_and_other_states_refuse(box: Any, trader: Any) -> None:
    for status, error in {
        "maintenance": "EService:Unavailable",
        "cancel_only": "EService:Market in cancel_only mode",
        "post_only": "EService:Market in post_only mode",
    }.items():
        box.core.set_system_status(status)
        assert trader.refused("add_order", **LIMIT) == error
    box.core.set_system_status("limit_only")
    assert trader.refused("add_order", **{**LIMIT, "order_type": "market"}).endswith("limit_only mode")
    trader.done("add_order", **LIMIT)
    box.core.set_system_status("cancel_only")
    assert trader.done("cancel_all") == {"count": 1}
