"""Orders of accounts: how they live, what they cost, and with which words they are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money

D = Decimal
ALICE = NewAccount("alice", {"USD": 100_000, "BTC": 10})
BOB = NewAccount("bob", {"USD": 100_000, "BTC": 10})


@pytest.fixture
def empty(make_box: Any) -> Any:
    """A market without a crowd: only accounts trade."""
    box = make_box(["BTC/USD"], accounts=[ALICE, BOB], limit_calls=False)
    for side in ("buy", "sell"):
        box.core.market("BTC/USD").clear(side)
    return box


def place(box: Any, who: str = "alice", **params: Any) -> Any:
    """Place an order that must be accepted, and give the account's order."""
    account = box.core.accounts[who]
    fields = {
        "pair": "XBTUSD",
        "type": "buy",
        "ordertype": "limit",
        "volume": "1",
        "price": "1000.0",
        **params,
    }
    answer = box.answer(box.post("AddOrder", fields, key=account.keys[0]))
    assert answer["error"] == [], answer
    return account.orders[answer["result"]["txid"][0]]


def refused(box: Any, who: str = "alice", **params: Any) -> str:
    account = box.core.accounts[who]
    fields = {
        "pair": "XBTUSD",
        "type": "buy",
        "ordertype": "limit",
        "volume": "1",
        "price": "1000.0",
        **params,
    }
    before = len(account.orders)
    answer = box.answer(box.post("AddOrder", fields, key=account.keys[0]))
    assert "result" not in answer
    assert len(account.orders) == before
    (text,) = answer["error"]
    return str(text)


def now(box: Any, order: Any) -> Any:
    """Give an order as it is by now."""
    return next(
        account.orders[order.order_id]
        for account in box.core.accounts.values()
        if order.order_id in account.orders
    )


def check(box: Any) -> None:
    box.core.desk._check()
    check_money(box.core, {"USD": D(200_000), "BTC": D(20)})


def test_a_limit_order_rests_and_binds_what_it_may_cost(empty: Any) -> None:
    order = place(empty, volume="0.5")
    assert (order.status, order.filled, order.limit_price) == ("open", 0, 1000)
    assert empty.account.hold("USD") == D("502.0000"), "500 and 0.4 %"
    assert empty.core.market("BTC/USD").truth().bids == ((D("1000.0"), D("0.50000000")),)
    assert empty.result("BalanceEx")["ZUSD"] == {"balance": "100000.0000", "hold_trade": "502.0000"}
    check(empty)


def test_two_accounts_trade_and_every_cent_is_found_again(empty: Any) -> None:
    maker = place(empty, "alice", volume="0.5")
    taker = place(empty, "bob", type="sell", volume="0.2", price="990.0")
    assert (now(empty, maker).filled, taker.filled, taker.status) == (D("0.2"), D("0.2"), "closed")
    assert now(empty, maker).cost == taker.cost == 200, "at the maker's price"
    assert (now(empty, maker).fee, taker.fee) == (D("0.5000"), D("0.8000"))
    alice, bob = empty.core.accounts["alice"], empty.core.accounts["bob"]
    assert alice.balances == {"USD": D("99799.5000"), "BTC": D("10.2")}
    assert bob.balances == {"USD": D("100199.2000"), "BTC": D("9.8")}
    clearing = empty.core.desk.clearing
    assert clearing.fees["USD"] == D("1.3")
    assert not any(clearing.crowd.values())
    assert [event.exec_type for event in bob.events] == ["pending_new", "new", "trade", "filled"]
    assert [event.exec_type for event in alice.events] == ["pending_new", "new", "trade"]
    (mine,), (theirs,) = alice.executions.values(), bob.executions.values()
    assert (mine.maker, theirs.maker, mine.trade_id) == (True, False, theirs.trade_id)
    check(empty)


def test_price_time_priority_holds_between_accounts_and_crowd(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    first = place(empty, "alice", volume="1")
    crowd, _ = market.submit("buy", D(1), D(1000))
    third = place(empty, "bob", volume="1")
    market.submit("sell", D("1.5"), D(1000))
    assert now(empty, first).status == "closed"
    assert market.engine.orders[crowd].qty == D("0.5")
    market.submit("sell", D("1.0"), D(1000))
    assert now(empty, third).filled == D("0.5")
    check(empty)


def test_the_crowd_takes_from_an_account_and_leaves_its_orders_alone(make_box: Any) -> None:
    box = make_box(["BTC/USD"], accounts=[ALICE, BOB])
    bid = box.core.market("BTC/USD").quote().bid
    order = place(box, volume="0.01", price=str(bid))
    box.step(3000)
    assert now(box, order).status == "closed"
    assert box.account.balances["BTC"] == D("10.01")
    assert all(execution.maker for execution in box.account.executions.values())
    check(box)


def test_market_orders_take_what_is_there(empty: Any) -> None:
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    place(empty, "bob", type="sell", volume="1", price="1001.0")
    order = place(empty, ordertype="market", volume="1.5")
    assert (order.status, order.cost) == ("closed", D("1500.5"))
    rest = place(empty, ordertype="market", volume="3")
    assert (rest.status, rest.filled, rest.reason) == ("canceled", D("0.5"), "Insufficient liquidity")
    check(empty)


def test_a_market_order_by_cost(empty: Any) -> None:
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    order = place(empty, ordertype="market", volume="250.00", oflags="viqc")
    assert (order.qty, order.cost, order.status) == (D("0.25"), 250, "closed")
    assert refused(empty, oflags="viqc") == "EGeneral:Invalid arguments:viqc"
    check(empty)


def test_immediate_or_cancel_and_fill_or_kill(empty: Any) -> None:
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    killed = place(empty, volume="2", timeinforce="FOK")
    assert (killed.status, killed.filled, killed.reason) == ("canceled", 0, "Time in force")
    partly = place(empty, volume="2", timeinforce="IOC")
    assert (partly.status, partly.filled) == ("canceled", 1)
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    assert place(empty, volume="1", timeinforce="FOK").status == "closed"
    check(empty)


def test_post_only_never_takes(empty: Any) -> None:
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    assert refused(empty, oflags="post") == "EOrder:Post only order"
    assert place(empty, oflags="post", price="999.9").status == "open"
    check(empty)


@pytest.mark.parametrize(
    ("mode", "old", "new"),
    [
        ("cancel-newest", ("open", 0), ("canceled", D(1))),
        ("cancel-oldest", ("canceled", 0), ("open", D(1))),
        ("cancel-both", ("canceled", 0), ("canceled", D(1))),
    ],
)
def test_self_trade_prevention(empty: Any, mode: str, old: Any, new: Any) -> None:
    place(empty, "bob", type="sell", volume="1", price="1000.0")
    own = place(empty, "alice", type="sell", volume="1", price="1000.0")
    taker = place(empty, "alice", volume="3", price="1000.0", stptype=mode)
    assert (now(empty, own).status, now(empty, own).filled) == old
    assert (taker.status, taker.filled) == new
    check(empty)


def test_orders_expire_start_and_miss_their_deadline(empty: Any) -> None:
    order = place(empty, timeinforce="GTD", expiretm="+10")
    late = place(empty, volume="0.1", starttm="+20")
    assert late.status == "pending"
    assert empty.core.deadline_ns == order.created_ns + 10 * 10**9
    empty.run(9)
    assert now(empty, order).status == "open"
    empty.run(2)
    assert now(empty, order).status == "expired"
    empty.run(10)
    assert now(empty, late).status == "open"
    assert refused(empty, deadline="2020-01-01T00:00:00Z") == "EService:Deadline elapsed"
    assert refused(empty, deadline="2099-01-01T00:00:00Z") == "EGeneral:Invalid arguments:deadline"
    check(empty)


@pytest.mark.parametrize(
    ("order", "fires_at", "not_at"),
    [
        ({"type": "sell", "ordertype": "stop-loss", "price": "900.0"}, "900.0", "900.1"),
        ({"type": "sell", "ordertype": "take-profit", "price": "1100.0"}, "1100.0", "1099.9"),
        ({"type": "buy", "ordertype": "stop-loss", "price": "1100.0"}, "1100.0", "1099.9"),
        ({"type": "buy", "ordertype": "take-profit", "price": "900.0"}, "900.0", "900.1"),
    ],
)
def test_triggers_fire_on_the_last_price(empty: Any, order: Any, fires_at: str, not_at: str) -> None:
    market = empty.core.market("BTC/USD")

    def trade_at(price: str) -> None:
        market.submit("sell", D("0.1"), D(price))
        market.submit("buy", D("0.1"), D(price))

    trade_at("1000.0")
    waiting = place(empty, **order)
    trade_at(not_at)
    assert now(empty, waiting).waiting
    sells = order["type"] == "sell"
    market.submit("buy" if sells else "sell", D(1), D(800 if sells else 1200))
    trade_at(fires_at)
    fired = now(empty, waiting)
    assert (fired.status, fired.filled, fired.triggered_ns > 0) == ("closed", 1, True), fired
    check(empty)


def test_a_triggered_limit_order_rests(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    market.submit("sell", D("0.1"), D(1000))
    market.submit("buy", D("0.1"), D(1000))
    order = place(empty, type="sell", ordertype="stop-loss-limit", price="-10%", price2="910")
    assert (order.price, order.price2) == (D("900.0"), D("910.0"))
    market.submit("buy", D("0.1"), D(900))
    market.submit("sell", D("0.1"), D(900))
    assert empty.core.market("BTC/USD").truth().asks == ((D("910.0"), D("1.00000000")),)
    row = empty.result("OpenOrders")["open"][order.order_id]
    assert (row["misc"], row["stopprice"], row["limitprice"]) == ("stopped", "900.00000", "910.00000")
    assert row["descr"]["order"] == "sell 1.00000000 XBTUSD @ stop loss 900.0 -> limit 910.0"
    check(empty)


def test_each_fill_places_its_conditional_close(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    close = {"close[ordertype]": "stop-loss-limit", "close[price]": "-5%", "close[price2]": "-6%"}
    order = place(empty, volume="1", **close)
    market.submit("sell", D("0.4"), D(1000))
    market.submit("sell", D("0.6"), D(1000))
    closes = [each for each in empty.account.live_orders() if each.ref_id == order.order_id]
    assert [(each.side, each.qty, each.price) for each in closes] == [
        ("sell", D("0.4"), D("950.0")),
        ("sell", D("0.6"), D("950.0")),
    ]
    assert closes[0].price2 == D("893.0")
    assert refused(empty, cl_ord_id="a", **close) == "EGeneral:Invalid arguments:cl_ord_id"
    check(empty)


def test_the_dead_mans_switch(empty: Any) -> None:
    order = place(empty)
    answer = empty.result("CancelAllOrdersAfter", timeout=60)
    assert answer == {"currentTime": "2026-11-18T11:06:40Z", "triggerTime": "2026-11-18T11:07:40Z"}
    empty.run(59)
    empty.result("CancelAllOrdersAfter", timeout=60)
    empty.run(59)
    assert now(empty, order).live
    empty.core.set_system_status("maintenance")
    empty.run(10)
    assert now(empty, order).live, "nothing happens during maintenance"
    empty.core.set_system_status("online")
    empty.core.advance()
    assert now(empty, order).reason == "Cancel all orders after timeout"
    assert empty.account.cancel_at_ns is None
    assert empty.result("CancelAllOrdersAfter", timeout=0)["triggerTime"] == "0"
    assert empty.refusal("CancelAllOrdersAfter", timeout=86400) == "EGeneral:Invalid arguments:timeout"
    check(empty)


def test_a_change_of_precision_cancels_the_orders_of_the_pair(empty: Any) -> None:
    order = place(empty)
    empty.core.set_pair("BTC/USD", price_precision=0)
    assert now(empty, order).status == "canceled"
    check(empty)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"pair": ""}, "EGeneral:Invalid arguments:pair"),
        ({"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "guess"}, "EGeneral:Invalid arguments:ordertype"),
        ({"starttm": "99999999999"}, "EGeneral:Invalid arguments:starttm"),
        ({"ordertype": "settle-position"}, "EOrder:Unknown position"),
        ({"ordertype": "trailing-stop", "price": "500"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop", "price": "-1%"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop-limit", "price": "+1%"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "iceberg"}, "EGeneral:Invalid arguments:display-volume"),
        ({"ordertype": "iceberg", "displayvol": "0.06"}, "EGeneral:Invalid arguments:display-volume"),
        ({"ordertype": "iceberg", "displayvol": "1.1"}, "EGeneral:Invalid arguments:display-volume"),
        ({"volume": ""}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e3"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "-1"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.000000001"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00001"}, "EOrder:Order minimum not met"),
        ({"volume": "0.0001", "price": "1.0"}, "EOrder:Cost minimum not met"),
        ({"price": ""}, "EGeneral:Invalid arguments:price"),
        ({"price": "x"}, "EGeneral:Invalid arguments:price"),
        ({"price": "0"}, "EGeneral:Invalid arguments:price"),
        ({"price": "1000.01"}, "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."),
        ({"ordertype": "stop-loss-limit"}, "EGeneral:Invalid arguments:price2"),
        ({"volume": "1000"}, "EOrder:Insufficient funds"),
        ({"type": "sell", "volume": "10.1"}, "EOrder:Insufficient funds"),
        ({"oflags": "nope"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "post", "ordertype": "market"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "post", "timeinforce": "IOC"}, "EGeneral:Invalid arguments:oflags"),
        ({"timeinforce": "DAY"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"timeinforce": "GTD"}, "EGeneral:Invalid arguments:expiretm"),
        ({"timeinforce": "GTD", "expiretm": "+4"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expiretm": "-1"}, "EGeneral:Invalid arguments:expiretm"),
        ({"stptype": "cancel-none"}, "EGeneral:Invalid arguments:stptype"),
        ({"trigger": "mid"}, "EGeneral:Invalid arguments:trigger"),
        ({"leverage": "2"}, "EOrder:Cannot open position"),
        ({"reduce_only": "true"}, "EOrder:Reduce only:No position exists"),
        ({"cl_ord_id": "nineteen-characters"}, "EGeneral:Invalid arguments"),
        ({"cl_ord_id": "\u00e9"}, "EGeneral:Invalid arguments"),
        ({"cl_ord_id": "a", "userref": "1"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"userref": "2147483648"}, "EGeneral:Invalid arguments:userref"),
        ({"userref": "x"}, "EGeneral:Invalid arguments:userref"),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2026-11-18T11:06:45"}, "EGeneral:Invalid arguments:deadline"),
        ({"close[ordertype]": "market"}, "EGeneral:Invalid arguments:close[ordertype]"),
    ],
)
def test_what_is_wrong_with_an_order_is_named(empty: Any, params: Any, error: str) -> None:
    assert refused(empty, **params) == error
    check(empty)


@pytest.mark.parametrize(
    ("status", "good", "error"),
    [
        ("cancel_only", None, "EService:Market in cancel_only mode"),
        ("post_only", {"oflags": "post"}, "EService:Market in post_only mode"),
        ("limit_only", {}, "EService:Market in limit_only mode"),
        ("maintenance", None, "EService:Unavailable"),
    ],
)
def test_the_state_of_the_exchange_is_named(empty: Any, status: str, good: Any, error: str) -> None:
    empty.core.set_system_status(status)
    assert refused(empty, ordertype="market") == error
    if good is not None:
        assert place(empty, **good).live


def test_a_client_id_is_unique_among_open_orders_only(empty: Any) -> None:
    order = place(empty, cl_ord_id="mine")
    assert refused(empty, cl_ord_id="mine") == "EGeneral:Invalid arguments:cl_ord_id"
    assert place(empty, "bob", cl_ord_id="mine").live, "another account has its own"
    empty.result("CancelOrder", cl_ord_id="mine")
    assert now(empty, order).status == "canceled"
    assert place(empty, cl_ord_id="mine").live
    for good in ("6d1b345e-2821-40e2-ad83-4ecb18a06876", "6d1b345e282140e2ad834ecb18a06876"):
        assert place(empty, cl_ord_id=good).cl_ord_id == good


def test_the_engine_counter_and_the_ceiling_of_open_orders(make_box: Any) -> None:
    box = make_box(["BTC/USD"], accounts=[NewAccount("alice", {"USD": 10**6}, tier="starter")])
    orders = [place(box, volume="0.001") for _ in range(60)]
    box.clock.sleep(30)
    assert refused(box, volume="0.001") == "EOrder:Orders limit exceeded"
    box.result("CancelOrder", txid=orders[0].order_id)
    place(box, volume="0.001")
    for order in orders[1:]:
        answer = box.ask("CancelOrder", txid=order.order_id)
        if answer["error"]:
            break
    assert answer["error"] == ["EOrder:Rate limit exceeded"]
    assert refused(box, volume="0.001") == "EOrder:Rate limit exceeded"
    ids = [order.order_id for order in box.account.live_orders()][:50]
    assert box.result("CancelOrderBatch", orders=",".join(ids)) == {"count": 50}, "beyond the threshold too"
    box.clock.sleep(300)
    assert place(box, volume="0.001").live


def test_the_documented_example_of_the_engine_counter(empty: Any) -> None:
    order = place(empty)
    empty.clock.sleep(7)
    empty.result("AmendOrder", txid=order.order_id, limit_price="999.0")
    empty.clock.sleep(36)
    empty.result("CancelOrder", txid=order.order_id)
    counter = empty.account.engine_points["BTC/USD"]
    decayed = D("2.34") * 36
    assert counter.points(D(0), empty.clock.time_ns) == 4, (
        f"1, then 1 + 2, gone after 36 s ({decayed}), then 4"
    )


def test_amending_keeps_the_place_only_for_less(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    order = place(empty, volume="1")
    behind = place(empty, "bob", volume="1")
    empty.result("AmendOrder", txid=order.order_id, order_qty="0.6")
    market.submit("sell", D("0.5"), D(1000))
    assert (now(empty, order).filled, now(empty, behind).filled) == (D("0.5"), 0)
    empty.result("AmendOrder", txid=order.order_id, order_qty="0.8")
    market.submit("sell", D("0.5"), D(1000))
    assert (now(empty, order).filled, now(empty, behind).filled) == (D("0.5"), D("0.5"))
    amends = empty.result("OrderAmends", order_id=order.order_id)
    assert amends["count"] == 3
    assert [row["amend_type"] for row in amends["amends"]] == ["original", "user", "user"]
    assert [row["order_qty"][:3] for row in amends["amends"]] == ["1.0", "0.6", "0.8"]
    empty.result("AmendOrder", txid=order.order_id, order_qty="0.5")
    assert now(empty, order).status == "canceled", "no more than what is filled: the rest goes"
    check(empty)


def test_amending_the_price_matches_or_is_refused(empty: Any) -> None:
    order = place(empty, cl_ord_id="mine")
    place(empty, "bob", type="sell", price="1010.0", volume="0.3")
    ask = {"cl_ord_id": "mine", "limit_price": "1010.0"}
    assert empty.refusal("AmendOrder", **ask, post_only="true") == "EOrder:Post only order"
    assert empty.refusal("AmendOrder", cl_ord_id="mine", order_qty="1000") == "EOrder:Insufficient funds"
    assert empty.refusal("AmendOrder", cl_ord_id="mine", limit_price="1000.0") == "EGeneral:Invalid arguments"
    assert empty.refusal("AmendOrder", cl_ord_id="other", limit_price="1") == "EOrder:Unknown order"
    assert empty.refusal("AmendOrder", limit_price="1") == "EGeneral:Invalid arguments:txid"
    assert now(empty, order).limit_price == 1000
    empty.result("AmendOrder", **ask)
    assert (now(empty, order).filled, now(empty, order).amended) == (D("0.3"), True)
    assert empty.result("OpenOrders")["open"][order.order_id]["misc"] == "partial,amended"
    check(empty)


def test_editing_cancels_and_places_anew(empty: Any) -> None:
    order = place(empty, volume="90", userref="7")
    assert empty.refusal("EditOrder", txid=order.order_id, pair="XBTUSD", volume="200") == (
        "EOrder:Insufficient funds"
    )
    assert now(empty, order).live, "refused, so it stays"
    answer = empty.result("EditOrder", txid=order.order_id, pair="XBTUSD", price="1001.0")
    assert set(answer) == {
        "status",
        "txid",
        "originaltxid",
        "volume",
        "price",
        "orders_cancelled",
        "descr",
    }
    new = empty.account.orders[answer["txid"]]
    assert (new.qty, new.price, new.userref) == (90, D("1001.0"), 0)
    assert not now(empty, order).live
    mine = place(empty, "bob", cl_ord_id="mine")
    bob = empty.core.accounts["bob"].keys[0]
    fields = {"txid": mine.order_id, "pair": "XBTUSD", "price": "999"}
    assert empty.answer(empty.post("EditOrder", fields, key=bob))["error"] == ["EOrder:Invalid order"]
    check(empty)


def test_cancelling_by_every_name(empty: Any) -> None:
    one, two, three = (place(empty, userref=ref) for ref in (5, 5, 6))
    assert empty.refusal("CancelOrder", txid="OAAAAA-AAAAA-AAAAAA") == "EOrder:Unknown order"
    assert empty.refusal("CancelOrder") == "EGeneral:Invalid arguments:txid"
    assert empty.result("CancelOrder", txid=5) == {"count": 2}
    assert not now(empty, one).live
    assert not now(empty, two).live
    assert empty.refusal("CancelOrder", txid=one.order_id) == "EOrder:Unknown order", "already gone"
    assert empty.result("CancelAll") == {"count": 1}
    assert empty.result("CancelAll") == {"count": 0}
    assert now(empty, three).reason == "User requested"
    check(empty)


def test_nobody_touches_anothers_orders(empty: Any) -> None:
    order = place(empty, "bob")
    assert empty.refusal("CancelOrder", txid=order.order_id) == "EOrder:Unknown order"
    assert empty.refusal("QueryOrders", txid=order.order_id) == "EOrder:Unknown order"
    assert empty.result("CancelAll") == {"count": 0}


def test_validation_places_nothing(empty: Any) -> None:
    answer = empty.result(
        "AddOrder",
        pair="XBTUSD",
        type="buy",
        ordertype="limit",
        volume="0.015",
        price="61000.0",
        validate="true",
    )
    assert answer == {"descr": {"order": "buy 0.01500000 XBTUSD @ limit 61000.0"}}
    assert not empty.account.orders


def test_batches_are_refused_whole_or_order_by_order(empty: Any) -> None:
    def batch(*orders: Any, **more: Any) -> Any:
        fields = {"pair": "XBTUSD", "orders": list(orders), **more}
        return empty.answer(empty.post("AddOrderBatch", fields, as_json=True))

    good = {"ordertype": "limit", "type": "buy", "price": "1000.0", "volume": "1"}
    answer = batch(good, {**good, "volume": "900"}, {**good, "price": 999.5, "volume": 1})
    assert answer["error"] == []
    first, second, third = answer["result"]["orders"]
    assert first["descr"] == {"order": "buy 1.00000000 XBTUSD @ limit 1000.0"}
    assert second == {"error": "EOrder:Insufficient funds"}
    assert empty.account.orders[third["txid"]].price == D("999.5")
    assert batch(good, {**good, "price": "x"})["error"] == ["EGeneral:Invalid arguments:price"]
    assert batch(good)["error"] == ["EGeneral:Invalid arguments:orders"]
    assert batch(*[good] * 16)["error"] == ["EGeneral:Invalid arguments:orders"]
    assert len(empty.account.live_orders()) == 2
    assert "txid" not in batch(good, good, validate=True)["result"]["orders"][0]
    check(empty)


def test_fees_fall_with_the_volume_and_can_be_paid_in_base(empty: Any) -> None:
    place(empty, "bob", type="sell", volume="10", price="1000.0")
    dear = place(empty, volume="10", oflags="fcib")
    assert (dear.fee, empty.account.balances["BTC"]) == (D("0.04"), D("19.96"))
    place(empty, "bob", volume="5", price="1000.0")
    cheap = place(empty, type="sell", volume="5", price="1000.0")
    assert cheap.fee == D("17.5"), "0.35 % from 10,000 on"
    check(empty)


def test_pages_of_history(empty: Any) -> None:
    for _ in range(60):
        place(empty, "alice", volume="0.1")
        empty.clock.sleep(1)
        place(empty, "bob", type="sell", volume="0.1")
    page, rest = empty.result("TradesHistory"), empty.result("TradesHistory", ofs=50)
    assert (len(page["trades"]), len(rest["trades"]), page["count"]) == (50, 10, 60)
    assert {**page["trades"], **rest["trades"]}.keys() == empty.account.executions.keys()
    times = [row["time"] for row in page["trades"].values()]
    assert times == sorted(times, reverse=True)
    middle = list(empty.account.executions.values())[30]
    later = empty.result("TradesHistory", start=middle.exec_id)["trades"]
    assert middle.exec_id not in later
    assert len(later) == 29
    earlier = empty.result("TradesHistory", end=f"{middle.time_ns / 1e9 + 0.5:.6f}")
    assert earlier["count"] == 31
    assert "count" not in empty.result("ClosedOrders", without_count="true")
    assert empty.result("Ledgers")["count"] == 2 + 120
    assert empty.result("Ledgers", asset="XBT", type="trade")["count"] == 60
    assert empty.refusal("Ledgers", asset="NOPE") == "EQuery:Unknown asset"
    ids = list(empty.account.ledger)[:2]
    assert list(empty.result("QueryLedgers", id=",".join(ids))) == ids
    assert empty.refusal("QueryTrades", txid=",".join(["T"] * 21)) == "EGeneral:Invalid arguments:txid"


def test_the_fills_of_one_taker_are_merged_unless_told(empty: Any) -> None:
    for price in ("1000.0", "1001.0"):
        place(empty, "bob", type="sell", volume="1", price=price)
    place(empty, ordertype="market", volume="2")
    (merged,) = empty.result("TradesHistory")["trades"].values()
    assert (merged["vol"], merged["price"], merged["cost"]) == ("2.00000000", "1000.50000", "2001.00000")
    assert empty.result("TradesHistory", consolidate_taker="false")["count"] == 2


def test_what_is_wrong_with_other_calls_is_named(empty: Any) -> None:
    refusals = [
        ("ClosedOrders", {"closetime": "never"}, "EGeneral:Invalid arguments:closetime"),
        ("ClosedOrders", {"ofs": "-1"}, "EGeneral:Invalid arguments:ofs"),
        ("TradesHistory", {"limit": "101"}, "EGeneral:Invalid arguments:limit"),
        ("TradesHistory", {"type": "some"}, "EGeneral:Invalid arguments:type"),
        ("TradesHistory", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("Level3", {"pair": "XBTUSD", "depth": "11"}, "EGeneral:Invalid arguments:depth"),
        ("AddExport", {"report": "trades", "format": "PDF"}, "EGeneral:Invalid arguments:format"),
        ("CancelOrderBatch", {"orders": ""}, "EGeneral:Invalid arguments:orders"),
        ("CancelOrderBatch", {"orders": ",".join(["O"] * 51)}, "EGeneral:Invalid arguments:orders"),
        ("OrderAmends", {"order_id": "O"}, "EOrder:Unknown order"),
        ("EditOrder", {"txid": "O", "pair": "XBTUSD"}, "EOrder:Unknown order"),
    ]
    for name, params, error in refusals:
        assert empty.refusal(name, **params) == error, (name, params)
    order = place(empty)
    for field in ("order_qty", "trigger_price", "limit_price"):
        error = f"EGeneral:Invalid arguments:{field}"
        assert empty.refusal("AmendOrder", txid=order.order_id, **{field: "1e3"}) == error
    stop = place(empty, ordertype="stop-loss", price="70000.0")
    assert empty.refusal("AmendOrder", txid=stop.order_id, limit_price="1") == (
        "EGeneral:Invalid arguments:limit_price"
    )
    negative = empty.refusal("AmendOrder", txid=stop.order_id, order_qty="-1")
    assert negative == "EGeneral:Invalid arguments:order_qty"
    plain = empty.refusal("AmendOrder", txid=order.order_id, trigger_price="1")
    assert plain == "EGeneral:Invalid arguments:trigger_price"
    close = {"close[ordertype]": "limit", "close[price]": "1", "close[price2]": "2"}
    assert refused(empty, **close) == "EGeneral:Invalid arguments:close[price2]"
    empty.core.set_pair("BTC/USD", status="reduce_only")
    assert refused(empty) == "EOrder:Reduce only:Non-PC"
    empty.core.set_pair("BTC/USD", status="delisted")
    assert refused(empty) == "EQuery:Unknown asset pair"


def test_the_ceiling_of_scheduled_orders(empty: Any) -> None:
    for _ in range(25):
        assert place(empty, volume="0.001", starttm="+60").status == "pending"
    assert refused(empty, volume="0.001", starttm="+60") == "EOrder:Scheduled orders limit exceeded"
    assert place(empty, volume="0.001").status == "open"
    check(empty)


def test_a_trigger_can_be_amended_while_it_waits(empty: Any) -> None:
    stop = place(empty, type="sell", ordertype="stop-loss-limit", price="-10%", price2="-1%")
    empty.result("AmendOrder", txid=stop.order_id, trigger_price="900.0", limit_price="890.0")
    amended = now(empty, stop)
    assert (amended.price, amended.price2, amended.waiting) == (D("900.0"), D("890.0"), True)
    last = empty.result("OrderAmends", order_id=stop.order_id)["amends"][-1]
    assert (last["trigger_price"], last["limit_price"]) == ("900.0", "890.0")
    check(empty)


def test_a_listener_hears_every_step_in_order(empty: Any) -> None:
    heard: list[str] = []

    class Listener:
        def on_order(self, event: Any) -> None:
            heard.append(event.exec_type)

        def on_ledger(self, entry: Any) -> None:
            heard.append(f"{entry.asset} {entry.amount:f}")

    empty.account.listeners.append(Listener())
    order = place(empty, volume="0.5")
    place(empty, "bob", type="sell", volume="0.5", price="1000.0")
    assert heard == ["pending_new", "new", "BTC 0.50000000", "USD -500.0000", "trade", "filled"]
    trade = empty.account.events[-2]
    assert (trade.order.status, trade.order.left, trade.execution.order_id) == ("open", 0, order.order_id)


def test_an_iceberg_shows_a_part_and_refills_at_the_end_of_the_queue(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    iceberg = place(empty, ordertype="iceberg", volume="1", displayvol="0.3")
    behind = place(empty, "bob", volume="0.2")
    assert market.truth().bids == ((D("1000.0"), D("0.5")),)
    assert empty.account.hold("USD") == D("1004.0000"), "it binds all of it"
    market.submit("sell", D("0.4"), D(1000))
    assert (now(empty, iceberg).filled, now(empty, behind).filled) == (D("0.3"), D("0.1"))
    assert market.truth().bids == ((D("1000.0"), D("0.4")),)
    taker = place(empty, "bob", type="sell", volume="0.7", price="1000.0", stptype="cancel-oldest")
    assert (taker.filled, now(empty, behind).status) == (D("0.7"), "canceled")
    assert now(empty, iceberg).status == "closed"
    assert not market.engine.orders
    check(empty)


def test_amending_an_iceberg(empty: Any) -> None:
    market = empty.core.market("BTC/USD")
    iceberg = place(empty, ordertype="iceberg", volume="1", displayvol="0.3")
    ask = {"txid": iceberg.order_id}
    assert (
        empty.refusal("AmendOrder", **ask, display_qty="0.01") == "EGeneral:Invalid arguments:display-volume"
    )
    empty.result("AmendOrder", **ask, order_qty="0.8", display_qty="0.5")
    assert market.truth().bids == ((D("1000.0"), D("0.3")),), "until the next part"
    market.submit("sell", D("0.3"), D(1000))
    assert market.truth().bids == ((D("1000.0"), D("0.5")),)
    assert empty.result("OrderAmends", order_id=iceberg.order_id)["amends"][-1]["display_qty"] == "0.50000000"
    other = place(empty, volume="1")
    assert empty.refusal("AmendOrder", txid=other.order_id, display_qty="0.5") == (
        "EGeneral:Invalid arguments:display-volume"
    )
    check(empty)


def test_own_orders_between_the_parts_of_an_iceberg_stop_a_taker(empty: Any) -> None:
    iceberg = place(empty, "bob", ordertype="iceberg", volume="1", displayvol="0.3")
    own = place(empty, "alice", volume="1")
    taker = place(empty, "alice", type="sell", volume="2", price="1000.0")
    assert (taker.filled, taker.status, now(empty, own).filled) == (D("0.3"), "canceled", 0)
    assert now(empty, iceberg).filled == D("0.3")
    check(empty)
