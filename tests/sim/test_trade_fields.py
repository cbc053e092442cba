"""Every method and parameter of trading over the WebSocket, by what it does to the account."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.limits import TIERS
from kraken_fast.sim.texts import rfc3339
from kraken_fast.sim.trade_fields import FIELDS, rest_order

D = Decimal
S = 1_000_000_000
BTC = "BTC/USD"
CATALOGUE: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())[
        "messages"
    ]
}
LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": BTC, "limit_price": 1000.0}
SELL = {**LIMIT, "side": "sell", "limit_price": 1100.0}
_VARIABLE = re.compile(r'"(time_in|time_out|order_id|original_order_id|amend_id|currentTime|triggerTime)":"[^"]*"')


def form(text: str) -> str:
    return re.sub(r'"req_id":\d+', '"req_id":0', _VARIABLE.sub(r'"\1":""', text))


@pytest.fixture
def box(make_box: Any) -> Any:
    """A market without a crowd, in which two accounts trade; in the end the money is all there."""
    accounts = [NewAccount(name, {"USD": 100_000, "BTC": 10}) for name in ("main", "other")]
    made = make_box([BTC], accounts=accounts)
    for side in ("buy", "sell"):
        made.core.market(BTC).clear(side)
    yield made
    made.core.desk._check()
    check_money(made.core, {"USD": D(200_000), "BTC": D(20)})


@pytest.fixture
def trader(box: Any) -> Any:
    return box.trader()


@pytest.fixture
def other(box: Any) -> Any:
    return box.trader("other")


def reply(trader: Any) -> str:
    return next(text for text in reversed(trader.texts) if '"method"' in text)


def the(box: Any, number: int = -1) -> Any:
    return list(box.account.orders.values())[number]


def told(trader: Any) -> list[str]:
    """Give the steps that the trader was told since the last time."""
    trader.poll()
    steps = [row["exec_type"] for row in trader.rows()]
    trader.texts.clear()
    return steps


# Amend and edit ----------------------------------------------------------------------------------------------


def test_amending_is_answered_with_the_recorded_bytes(box: Any, trader: Any) -> None:
    order_id = trader.done("add_order", cl_ord_id="mine", **LIMIT)["order_id"]
    trader.order("amend_order", order_id=order_id, limit_price=999.5, order_qty=0.4, post_only=True)
    assert form(reply(trader)) == form(CATALOGUE["resp.amend"])
    trader.order("amend_order", cl_ord_id="mine", order_qty=0.3)
    assert form(reply(trader)) == form(CATALOGUE["resp.amend.cl"]).replace(
        "6d1b345e-2821-40e2-ad83-4ecb18a06876", "mine"
    )
    order = the(box)
    assert (order.order_id, order.qty, order.limit_price, order.flag("post")) == (order_id, D("0.3"), D("999.5"), True)
    assert trader.refused("amend_order", cl_ord_id="yours", order_qty=1) == "EOrder:Unknown order"
    assert trader.refused("amend_order", cl_ord_id="mine", order_qty=0.3) == "EGeneral:Invalid arguments"
    amends = box.result("OrderAmends", order_id=order_id)["amends"]
    assert [amend["order_qty"] for amend in amends] == ["0.50000000", "0.40000000", "0.30000000"]


def test_an_amend_below_what_is_filled_cancels_the_rest(box: Any, trader: Any, other: Any) -> None:
    trader.done("add_order", cl_ord_id="mine", **LIMIT)
    other.done("add_order", **{**LIMIT, "side": "sell", "order_qty": 0.2})
    trader.done("amend_order", cl_ord_id="mine", order_qty=0.1)
    assert (the(box).status, the(box).filled) == ("canceled", D("0.2"))


def test_an_amended_trigger(box: Any, trader: Any) -> None:
    stop = {"order_type": "stop-loss", "side": "sell", "order_qty": 0.01, "symbol": BTC, "triggers": {"price": 900.0}}
    trader.done("add_order", cl_ord_id="stop", **stop)
    trader.done("amend_order", cl_ord_id="stop", trigger_price=-10.0, trigger_price_type="pct")
    last = box.core.market(BTC).trades[-1].price
    assert the(box).price == (last * D("0.9")).quantize(D("0.1"))


def test_an_edit_is_a_new_order(box: Any, trader: Any) -> None:
    old = trader.done("add_order", order_userref=5, **LIMIT)["order_id"]
    changes = {"limit_price": 990.0, "order_userref": 6, "fee_preference": "base", "post_only": True}
    trader.order("edit_order", order_id=old, symbol=BTC, **changes)
    assert form(reply(trader)) == form(CATALOGUE["resp.edit"])
    new = the(box)
    assert (new.limit_price, new.qty, new.userref, new.oflags) == (990, D("0.5"), 6, "fcib,post")
    assert box.account.orders[old].status == "canceled"
    assert trader.refused("edit_order", order_id=old, symbol=BTC, order_qty=1) == "EOrder:Unknown order"
    checked = trader.done("edit_order", order_id=new.order_id, symbol=BTC, order_qty=0.6, validate=True)
    assert checked == {"order_id": "", "original_order_id": new.order_id}
    assert the(box).qty == D("0.5")
    trader.done("add_order", cl_ord_id="mine", **LIMIT)
    assert trader.refused("edit_order", order_id=the(box).order_id, symbol=BTC, order_qty=1) == "EOrder:Invalid order"


# Batches -----------------------------------------------------------------------------------------------------


def of(order: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Give an order as it stands in a batch."""
    return {name: value for name, value in {**order, **changes}.items() if name != "symbol"}


def test_a_batch_is_answered_row_by_row(box: Any, trader: Any) -> None:
    orders = [of(LIMIT, cl_ord_id="grid-0001"), of(SELL, cl_ord_id="grid-0002", stp_type="cancel_both")]
    trader.order("batch_add", symbol=BTC, orders=orders)
    assert form(reply(trader)) == form(CATALOGUE["resp.batch_add"])
    assert [order.cl_ord_id for order in box.account.live_orders()] == ["grid-0001", "grid-0002"]
    trader.order("batch_add", symbol=BTC, orders=[of(LIMIT, cl_ord_id="grid-0003"), of(SELL, cl_ord_id="grid-0002")])
    rows = json.loads(reply(trader))["result"]
    assert rows[1] == {"cl_ord_id": "grid-0002", "error": "EGeneral:Invalid arguments:cl_ord_id"}
    trader.texts.clear()
    orders = [of(LIMIT, cl_ord_id="grid-0001x"), of(LIMIT, cl_ord_id="grid-0002x", order_qty=99.0)]
    trader.order("batch_add", symbol=BTC, orders=orders)
    assert form(reply(trader)).replace("x", "") == form(CATALOGUE["resp.batch_add.partial"])


def test_a_batch_that_is_not_well_formed_is_refused_whole(box: Any, trader: Any) -> None:
    trader.order("batch_add", symbol=BTC, orders=[of(LIMIT), of(LIMIT, order_qty=0.00001)])
    assert form(reply(trader)) == form(CATALOGUE["resp.batch_add.err"])
    for orders in ([of(LIMIT)], [of(LIMIT)] * 16):
        assert trader.refused("batch_add", symbol=BTC, orders=orders) == "EGeneral:Invalid arguments:orders"
    assert trader.refused("batch_add", symbol=BTC, orders=[LIMIT, LIMIT]).startswith("Unsupported field: 'symbol'")
    assert trader.refused("batch_add", symbol=BTC, orders=[1, 2]) == "Orders field must be an array"
    assert not box.account.orders
    rows = trader.done("batch_add", symbol=BTC, orders=[of(LIMIT)] * 2, validate=True)
    assert rows == [{"order_id": ""}] * 2
    assert not box.account.orders


def test_a_batch_of_cancels(box: Any, trader: Any) -> None:
    ids = [trader.done("add_order", order_userref=at, **LIMIT)["order_id"] for at in (1, 2, 3)]
    trader.done("add_order", cl_ord_id="mine", **LIMIT)
    trader.order("batch_cancel", orders=[ids[0], "2"], cl_ord_id=["mine"])
    assert form(reply(trader)) == form(CATALOGUE["resp.batch_cancel"])
    assert [order.order_id for order in box.account.live_orders()] == [ids[2]]
    assert trader.refused("batch_cancel", orders=[ids[2]]) == "EGeneral:Invalid arguments:orders"
    assert trader.refused("cancel_order") == "EGeneral:Invalid arguments"


# The dead man's switch ---------------------------------------------------------------------------------------


def test_the_dead_mans_switch(box: Any, trader: Any) -> None:
    trader.order("cancel_all_orders_after", timeout=60)
    assert form(reply(trader)) == form(CATALOGUE["resp.cancel_after"])
    result = json.loads(reply(trader))["result"]
    assert result == {
        "currentTime": rfc3339(box.clock.time_ns, 0),
        "triggerTime": rfc3339(box.clock.time_ns + 60 * S, 0),
    }
    trader.done("add_order", **LIMIT)
    box.run(59)
    assert the(box).status == "open"
    trader.done("cancel_all_orders_after", timeout=60)
    box.run(59)
    assert the(box).status == "open"
    box.run(2)
    assert (the(box).status, the(box).reason) == ("canceled", "Cancel all orders after timeout")
    assert told(trader)[-1] == "canceled"
    trader.done("add_order", **LIMIT)
    box.run(200)
    assert the(box).status == "open", "one shot"
    trader.done("cancel_all_orders_after", timeout=5)
    trader.order("cancel_all_orders_after", timeout=0)
    assert json.loads(reply(trader))["result"]["triggerTime"] == "0"
    box.run(10)
    assert the(box).status == "open"
    assert trader.refused("cancel_all_orders_after", timeout=86_400) == "EGeneral:Invalid arguments:timeout"
    assert trader.refused("cancel_all_orders_after", timeout=1.5) == "Timeout field must be a number_integer"


# What an order can say ---------------------------------------------------------------------------------------


def test_time_in_force(box: Any, trader: Any, other: Any) -> None:
    other.done("add_order", **{**SELL, "order_qty": 0.2})
    taker = {**LIMIT, "limit_price": 1100.0}
    trader.done("add_order", time_in_force="fok", **taker)
    assert told(trader) == ["pending_new", "new", "canceled"]
    trader.done("add_order", time_in_force="ioc", **taker)
    assert trader.rows()[0]["time_in_force"] == "IOC"
    assert told(trader) == ["pending_new", "new", "trade", "canceled"]
    assert the(box).filled == D("0.2")
    expiry = rfc3339(box.clock.time_ns + 60 * S, 0)
    trader.done("add_order", time_in_force="gtd", expire_time=expiry, **LIMIT)
    row = trader.rows()[0]
    assert (row["time_in_force"], row["expire_time"]) == ("GTD", rfc3339(the(box).expire_ns))
    box.run(61)
    assert told(trader)[-1] == "expired"
    for wrong in ("2026-11-18", "tomorrow"):
        assert trader.refused("add_order", expire_time=wrong, **LIMIT) == "EGeneral:Invalid arguments:expire_time"


def test_a_scheduled_start(box: Any, trader: Any) -> None:
    start = rfc3339(box.clock.time_ns + 60 * S, 0)
    trader.done("add_order", effective_time=start, **LIMIT)
    assert told(trader) == ["pending_new"]
    box.run(61)
    assert told(trader) == ["new"]


def test_post_only(box: Any, trader: Any, other: Any) -> None:
    other.done("add_order", **SELL)
    trader.order("add_order", post_only=True, **{**LIMIT, "limit_price": 1100.0})
    assert form(reply(trader)) == form(CATALOGUE["resp.add.err.post_only"])
    trader.texts.clear()
    trader.done("add_order", post_only=True, **LIMIT)
    assert [row["post_only"] for row in trader.rows()] == [True, True]


def test_reduce_only_and_margin_have_nothing_to_work_on(box: Any, trader: Any) -> None:
    assert trader.refused("add_order", reduce_only=True, **LIMIT) == "EOrder:Reduce only:No position exists"
    assert trader.refused("add_order", margin=True, **LIMIT) == "EOrder:Cannot open position"
    trader.done("add_order", reduce_only=False, margin=False, **LIMIT)


@pytest.mark.parametrize(
    ("stp_type", "statuses"),
    [("cancel_newest", "oc"), ("cancel_oldest", "co"), ("cancel_both", "cc"), (None, "oc")],
)
def test_self_trade_prevention(box: Any, trader: Any, stp_type: str | None, statuses: str) -> None:
    trader.done("add_order", **LIMIT)
    stp = {} if stp_type is None else {"stp_type": stp_type}
    trader.done("add_order", **{**SELL, "limit_price": 1000.0}, **stp)
    assert "".join(order.status[0] for order in box.account.orders.values()) == statuses
    assert not box.account.executions


def test_an_amount_of_the_quote_asset(box: Any, trader: Any, other: Any) -> None:
    other.done("add_order", **SELL)
    trader.done("add_order", order_type="market", side="buy", cash_order_qty=110.0, symbol=BTC)
    assert the(box).cost == 110
    assert trader.refused("add_order", cash_order_qty=110.0, **LIMIT) == "EGeneral:Invalid arguments:viqc"


def test_fee_in_base(box: Any, trader: Any, other: Any) -> None:
    other.done("add_order", **SELL)
    trader.done("add_order", **{**LIMIT, "limit_price": 1100.0, "fee_preference": "base"})
    rows = trader.rows()
    assert rows[0]["fee_ccy_pref"] == "fcib"
    (fee,) = next(row["fees"] for row in rows if row["exec_type"] == "trade")
    assert fee == {"asset": "BTC", "qty": D("0.0020000000")}


@pytest.mark.parametrize("kind", ["stop-loss", "take-profit", "stop-loss-limit", "take-profit-limit"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_triggers(box: Any, trader: Any, other: Any, kind: str, side: str) -> None:
    market = box.core.market(BTC)
    market.submit("sell", D(1), D("1000.0"))
    market.submit("buy", D("0.5"), D("1000.0"))
    rises = (side == "buy") == kind.startswith("stop-loss")
    trigger = 1050.0 if rises else 950.0
    limit = {"limit_price": 1060.0 if side == "buy" else 940.0} if kind.endswith("limit") else {}
    trader.done(
        "add_order", order_type=kind, side=side, order_qty=0.1, symbol=BTC, triggers={"price": trigger}, **limit
    )
    row = trader.rows()[0]
    assert (row["triggers"]["status"], row["triggers"]["price"]) == ("untriggered", D(str(trigger)))
    assert told(trader) == ["pending_new", "new"]
    market.clear("sell")
    price = D(str(trigger))
    market.submit("sell", D("0.1"), price, box.clock.time_ns)
    market.submit("buy", D("0.1"), price, box.clock.time_ns)
    rows = trader.poll() and trader.rows()
    assert rows[0]["exec_type"] == "status"
    assert rows[0]["triggers"]["status"] == "triggered"
    assert [row["exec_type"] for row in rows][1:] == ([] if limit else ["canceled"]), "the market is empty"


def test_a_conditional_close(box: Any, trader: Any, other: Any) -> None:
    close = {"order_type": "stop-loss-limit", "trigger_price": 900.0, "limit_price": 890.0}
    trader.done("add_order", conditional=close, order_userref=4, **LIMIT)
    assert trader.rows()[0]["contingent"] == {
        "order_type": "stop-loss-limit",
        "trigger_price": D("900.0"),
        "trigger_price_type": "static",
        "limit_price": D("890.0"),
        "limit_price_type": "static",
    }
    other.done("add_order", **{**SELL, "limit_price": 1000.0, "order_qty": 0.2})
    trader.poll()
    parent, child = box.account.orders.values()
    assert (child.side, child.order_type, child.qty) == ("sell", "stop-loss-limit", D("0.2"))
    assert child.ref_id == parent.order_id
    row = next(row for row in trader.rows() if row["order_id"] == child.order_id)
    assert row["ord_ref_id"] == parent.order_id
    assert trader.refused("add_order", conditional=close, cl_ord_id="mine", **LIMIT).startswith("EGeneral:Invalid")
    limit = {"order_type": "limit", "limit_price": 10.0, "limit_price_type": "pct"}
    trader.done("add_order", conditional=limit, **LIMIT)
    assert the(box).close.price == "+10.0%"


def test_an_iceberg_shows_a_part(box: Any, trader: Any) -> None:
    trader.done("add_order", **{**SELL, "order_type": "iceberg", "order_qty": 1.5, "display_qty": 0.1})
    row = trader.rows()[0]
    assert (row["display_qty"], row["display_qty_remain"]) == (D("0.1"), D("0.1"))
    assert box.core.market(BTC).truth().asks == ((D("1100.0"), D("0.1")),)
    error = trader.refused("add_order", **{**SELL, "order_type": "iceberg", "order_qty": 1.6, "display_qty": 0.1})
    assert error == "EGeneral:Invalid arguments:display-volume"


def test_deadlines(box: Any, trader: Any) -> None:
    ahead = rfc3339(box.clock.time_ns + S, 3)
    for method, params in {
        "add_order": LIMIT,
        "batch_add": {"symbol": BTC, "orders": [of(LIMIT)] * 2},
        "amend_order": {"order_id": "", "order_qty": 0.4},
        "edit_order": {"order_id": "", "order_qty": 0.4, "symbol": BTC},
    }.items():
        order_id = trader.done("add_order", **LIMIT)["order_id"]
        if "order_id" in params:
            params["order_id"] = order_id
        error = trader.refused(method, deadline=rfc3339(box.clock.time_ns - 1, 3), **params)
        assert error == "EService:Deadline elapsed", method
        assert trader.answers(method, deadline=ahead, **params)[0]["success"]
    far = rfc3339(box.clock.time_ns + 61 * S, 3)
    assert trader.refused("add_order", deadline=far, **LIMIT) == "EGeneral:Invalid arguments:deadline"


def test_a_check_places_nothing(box: Any, trader: Any) -> None:
    trader.order("add_order", validate=True, **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add.validate"])
    assert trader.refused("add_order", validate=True, **{**LIMIT, "order_qty": 0.00001}).endswith("not met")
    assert not box.account.orders


def test_client_ids(box: Any, trader: Any, other: Any) -> None:
    trader.done("add_order", cl_ord_id="mine", **LIMIT)
    assert trader.refused("add_order", cl_ord_id="mine", **LIMIT) == "EGeneral:Invalid arguments:cl_ord_id"
    other.done("add_order", cl_ord_id="mine", **LIMIT)
    trader.done("cancel_all")
    trader.done("add_order", cl_ord_id="mine", **LIMIT)
    error = trader.refused("add_order", cl_ord_id="yours", order_userref=1, **LIMIT)
    assert error == "EGeneral:Invalid arguments:cl_ord_id"
    for good in ("6d1b345e282140e2ad834ecb18a06876", "6d1b345e-2821-40e2-ad83-4ecb18a06876", "x" * 18, 'quo"te\\'):
        trader.done("add_order", cl_ord_id=good, **LIMIT)
        assert the(box).cl_ord_id == good
        assert trader.rows()[-1]["cl_ord_id"] == good


def test_deprecated_names_are_understood_and_warned_of(box: Any, trader: Any) -> None:
    stop = {"order_type": "stop-loss", "side": "sell", "order_qty": 0.01, "symbol": BTC}
    result = trader.done("add_order", stop_price=900.0, trigger="last", **stop)
    assert list(result) == ["order_id", "warnings"]
    assert result["warnings"] == [
        "stop_price is deprecated, use triggers.price",
        "trigger is deprecated use triggers.reference",
    ]
    assert the(box).price == 900


# Limits ------------------------------------------------------------------------------------------------------


def test_the_documented_sums_of_the_rate_counter(box: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trader = box.trader(ratecounter=True)

    def count() -> int:
        return int(trader.rows()[-1]["ratecount"])

    with monkeypatch.context() as still:  # the first example leaves the decay out
        still.setitem(TIERS, "intermediate", TIERS["intermediate"]._replace(engine_decay=D(0)))
        trader.done("add_order", cl_ord_id="mine", **LIMIT)
        box.clock.sleep(7)
        trader.done("amend_order", cl_ord_id="mine", order_qty=0.6)
        assert count() == 1 + 1 + 2
        box.clock.sleep(36)
        trader.done("cancel_order", cl_ord_id=["mine"])
        assert count() == 1 + 1 + 2 + 4
    box.clock.sleep(60)
    for _ in range(50):
        trader.done("add_order", **LIMIT)
    assert count() == 50
    box.clock.sleep(10)
    points = box.account.engine_points[BTC].points(box.account.tier.engine_decay, box.clock.time_ns)
    assert points == D("26.6")


def test_above_the_threshold_orders_are_refused_and_batch_cancels_are_not(box: Any, trader: Any) -> None:
    ids = []
    for _ in range(4):
        for _ in range(31):
            ids.append(trader.done("add_order", **{**LIMIT, "order_qty": 0.01})["order_id"])
            box.core.desk.cancel(box.account, the(box), box.clock.time_ns, "by the test")
    kept = [trader.done("add_order", **LIMIT)["order_id"]]
    trader.order("add_order", **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add.err.rate"])
    assert trader.refused("cancel_order", order_id=kept) == "EOrder:Rate limit exceeded"
    assert trader.done("batch_cancel", orders=[*kept, "OAAAAA-AAAAA-AAAAAA"]) == {"count": 1}
    box.clock.sleep(60)
    trader.done("add_order", **LIMIT)


def test_the_ceiling_of_open_orders(box: Any, trader: Any) -> None:
    for _ in range(80):
        trader.done("add_order", **{**LIMIT, "order_qty": 0.01})
    trader.order("add_order", **LIMIT)
    assert form(reply(trader)) == form(CATALOGUE["resp.add.err.open_limit"])


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("req.") and "sub" not in name])
def test_every_request_of_the_catalogue_is_understood(box: Any, trader: Any, name: str) -> None:
    request = json.loads(CATALOGUE[name])
    if request["method"] not in FIELDS:
        return
    request["params"]["token"] = trader.token
    trader.send(json.dumps(request))
    for message in trader.messages():
        assert "Unsupported field" not in str(message.get("error"))
        assert "field must be" not in str(message.get("error"))
        assert "Malformed" not in str(message.get("error"))


def test_what_rest_is_told() -> None:
    order = {
        "order_type": "trailing-stop-limit",
        "side": "sell",
        "order_qty": D("0.01"),
        "limit_price": D("50.0"),
        "triggers": {"reference": "index", "price": D("1.5"), "price_type": "pct"},
        "margin": True,
        "effective_time": "2026-11-22T10:16:00+01:00",
    }
    assert rest_order(order, leverage="5") == {
        "ordertype": "trailing-stop-limit",
        "type": "sell",
        "volume": D("0.01"),
        "oflags": [],
        "price": "+1.5%",
        "price2": "+50.0",
        "trigger": "index",
        "leverage": "5",
        "starttm": "1795338960.000000",
    }
