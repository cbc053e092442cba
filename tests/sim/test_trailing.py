"""Trailing stops, the index as a reference, and icebergs that show their next part."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.instruments import Listing

D = Decimal
BTC = "BTC/USD"
STOP = {"order_type": "trailing-stop", "order_qty": 0.1, "symbol": BTC}


@pytest.fixture
def box(make_box: Any) -> Any:
    made = make_box([BTC], accounts=[NewAccount("main", {"USD": 100_000, "BTC": 10})])
    for side in ("buy", "sell"):
        made.core.market(BTC).clear(side)
    last(made, 1000)
    yield made
    made.core.desk._check()
    check_money(made.core, {"USD": D(100_000), "BTC": D(10)})


@pytest.fixture
def trader(box: Any) -> Any:
    return box.trader()


def last(box: Any, price: int) -> None:
    """Let the crowd trade at a price, and leave nothing behind."""
    market = box.core.market(BTC)
    market.submit("sell", D("0.001"), D(price), box.clock.time_ns)
    market.submit("buy", D("0.001"), D(price), box.clock.time_ns)
    box.poll()


def the(box: Any) -> Any:
    return list(box.account.orders.values())[-1]


@pytest.mark.parametrize(
    ("side", "prices", "triggers"),
    [
        ("sell", [1010, 1005, 1020, 971], [960, 960, 970, 970]),
        ("buy", [990, 995, 980, 1029], [1040, 1040, 1030, 1030]),
    ],
)
def test_the_trigger_follows_the_best_price(
    box: Any, trader: Any, side: str, prices: list[int], triggers: list[int]
) -> None:
    trader.done("add_order", side=side, triggers={"price": 50.0, "price_type": "quote"}, **STOP)
    assert the(box).price == (950 if side == "sell" else 1050)
    seen = []
    for price in prices:
        last(box, price)
        seen.append(the(box).price)
        assert the(box).waiting
    assert seen == triggers
    moved = [row["triggers"]["actual_price"] for row in trader.rows() if row["exec_type"] == "status"]
    assert moved == sorted(set(triggers), reverse=side == "buy")
    trader.texts.clear()
    box.core.market(BTC).submit("buy" if side == "sell" else "sell", D(1), D(triggers[-1]))
    last(box, triggers[-1])
    assert the(box).triggered_ns
    assert [row["exec_type"] for row in trader.rows()] == ["status", "trade", "filled"]
    assert the(box).status == "closed"


def test_a_percentage_and_a_limit_that_moves_along(box: Any, trader: Any) -> None:
    trader.done(
        "add_order",
        **{**STOP, "order_type": "trailing-stop-limit"},
        side="sell",
        limit_price=-5.0,
        triggers={"price": 1.0, "price_type": "pct"},
    )
    row = trader.rows()[0]
    assert row["triggers"] == {
        "price": D("1.0"),
        "price_type": "pct",
        "reference": "last",
        "actual_price": D("990.0"),
        "peak_price": D("1000.0"),
        "status": "untriggered",
    }
    assert (row["stop_price"], row["limit_price"]) == (D("990.0"), D("985.0"))
    last(box, 1100)
    assert (the(box).price, the(box).price2) == (1089, 1084)
    assert box.result("OpenOrders")["open"][the(box).order_id]["descr"]["price"] == "+1.0%"
    last(box, 1089)
    assert (the(box).status, the(box).limit_price) == ("open", 1084)
    assert box.core.market(BTC).truth().asks == ((D("1084.0"), D("0.10000000")),)


def test_a_trailing_stop_can_be_amended(box: Any, trader: Any) -> None:
    trader.done("add_order", side="sell", cl_ord_id="mine", triggers={"price": 50.0, "price_type": "quote"}, **STOP)
    trader.done("amend_order", cl_ord_id="mine", trigger_price=2.0, trigger_price_type="pct")
    assert (the(box).price, the(box).trail) == (980, "+2.0%")
    error = trader.refused("amend_order", cl_ord_id="mine", trigger_price=2.0)
    assert error == "EGeneral:Invalid arguments:trigger_price"
    assert trader.refused("amend_order", cl_ord_id="mine", limit_price=2.0) == "EGeneral:Invalid arguments:limit_price"
    trader.done("cancel_all")
    limit = {**STOP, "order_type": "trailing-stop-limit", "limit_price": 0.0}
    trader.done("add_order", side="sell", cl_ord_id="mine", triggers={"price": 50.0, "price_type": "quote"}, **limit)
    trader.done("amend_order", cl_ord_id="mine", limit_price=7.0, limit_price_type="quote")
    assert the(box).price2 == 957


def test_what_a_buy_binds_falls_with_its_trigger(box: Any, trader: Any) -> None:
    trader.done("add_order", side="buy", triggers={"price": 50.0, "price_type": "quote"}, **STOP)
    bound = the(box).hold
    last(box, 900)
    assert the(box).hold < bound


@pytest.mark.parametrize("price", [0.0, -1.0, 1e15])
def test_a_distance_is_positive(box: Any, trader: Any, price: float) -> None:
    error = trader.refused("add_order", side="sell", triggers={"price": price, "price_type": "pct"}, **STOP)
    assert error.startswith("EGeneral:Invalid arguments:price")
    assert trader.refused("add_order", side="sell", triggers={"price": 5.0}, **STOP).endswith(":price")


def test_the_index_is_a_reference_where_there_is_one(make_box: Any) -> None:
    without = next(symbol for symbol, pair in Listing(None).pairs.items() if not pair.has_index)
    box = make_box([BTC, without])
    trader = box.trader()
    stop = {"order_type": "stop-loss", "side": "sell", "order_qty": 0.01, "symbol": BTC}
    stop["triggers"] = {"price": 100.0, "reference": "index"}
    trader.done("add_order", **stop)
    row = trader.rows()[0]
    assert (row["trigger"], row["triggers"]["reference"]) == ("index", "index")
    order_id = the(box).order_id
    assert box.result("OpenOrders")["open"][order_id]["trigger"] == "index"
    error = trader.refused("add_order", **{**stop, "symbol": without, "order_qty": 100.0})
    assert error == "EGeneral:Invalid arguments:Index unavailable"


def test_an_iceberg_tells_when_it_shows_its_next_part(box: Any, trader: Any) -> None:
    iceberg = {"order_type": "iceberg", "side": "sell", "order_qty": 0.25, "display_qty": 0.1, "symbol": BTC}
    trader.done("add_order", limit_price=1100.0, **iceberg)
    trader.texts.clear()
    market = box.core.market(BTC)
    steps = []
    for qty in ("0.05", "0.05", "0.12", "0.03"):
        market.submit("buy", D(qty), D(1100), box.clock.time_ns)
        trader.poll()
        steps.append([row["exec_type"] for row in trader.rows()])
        if qty == "0.12":
            row = trader.rows()[1]
            assert (row["display_qty"], row["display_qty_remain"], row["cum_qty"]) == (D("0.1"), D("0.05"), D("0.2"))
        trader.texts.clear()
    assert steps == [
        ["trade"],
        ["trade", "iceberg_refill"],
        ["trade", "iceberg_refill", "trade"],
        ["trade", "filled"],
    ]
