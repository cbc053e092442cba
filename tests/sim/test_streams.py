"""The channels of an account: snapshots, sequences, and rows as on the wire."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount

D = Decimal
BTC = "BTC/USD"
CATALOGUE: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())[
        "messages"
    ]
}
LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.02, "symbol": BTC, "limit_price": 64000.0}
CLIENT_ID = "6d1b345e-2821-40e2-ad83-4ecb18a06876"


_TIME = re.compile(r'"time_(in|out)":"[^"]+"')


def timeless(text: str) -> str:
    return _TIME.sub("", text)


def shape(text: str) -> Any:
    """Give the keys of a message in their order, at every depth, with the number of decimals of every number."""

    def look(value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            return [(name, look(inner)) for name, inner in value]
        if isinstance(value, list):
            return [look(inner) for inner in value]
        if isinstance(value, D):
            return -int(value.as_tuple().exponent)
        return type(value).__name__

    return look(json.loads(text, object_pairs_hook=list, parse_float=D, parse_int=int))


@pytest.fixture
def alone(make_box: Any) -> Any:
    """A market without a crowd."""
    box = make_box([BTC])
    for side in ("buy", "sell"):
        box.core.market(BTC).clear(side)
    return box


def fill(box: Any, qty: str, price: str = "64000.0", side: str = "sell") -> None:
    """Let the crowd take from an account's order."""
    box.core.market(BTC).submit(side, D(qty), D(price), box.clock.time_ns)
    box.poll()


@pytest.mark.parametrize("channel", ["executions", "balances"])
def test_subscribing_is_acknowledged_with_the_recorded_bytes(make_box: Any, channel: str) -> None:
    box = make_box(accounts=[NewAccount(tier="pro")])
    client = box.open("/auth/v2")
    recorded = json.loads(CATALOGUE[f"req.sub.{channel}"])
    client.send(json.dumps(recorded).replace(recorded["params"]["token"], box.token()))
    assert timeless(client.texts[1]) == timeless(CATALOGUE[f"ack.sub.{channel}"])
    recorded = json.loads(CATALOGUE[f"req.unsub.{channel}"])
    client.send(json.dumps(recorded).replace(recorded["params"]["token"], box.token()))
    assert timeless(client.texts[-1]) == timeless(CATALOGUE[f"ack.unsub.{channel}"])
    assert not box.account.listeners


def test_a_snapshot_comes_even_if_there_is_nothing(box: Any) -> None:
    client = box.open("/auth/v2")
    client.subscribe("executions", token=box.token())
    assert client.texts[-1] == CATALOGUE["exec.snapshot.empty"]


def test_the_balances_snapshot_has_the_recorded_form(box: Any) -> None:
    client = box.open("/auth/v2")
    client.subscribe("balances", token=box.token())
    message = json.loads(CATALOGUE["bal.snapshot"])
    del message["data"][1]  # an asset that is not listed here
    recorded = json.dumps(message, separators=(",", ":")).replace("80595.4943", "1.0000")
    ours = re.sub(r'\{"asset":"ETH".*?\]?,"balance":[0-9.]+\},', "", client.texts[-1])
    assert shape(ours)[:2] == shape(recorded)[:2]
    rows = client.messages("balances")[0]["data"]
    assert [(row["asset"], row["balance"]) for row in rows] == sorted(box.account.balances.items())
    wallets = '"wallets":[{"type":"spot","id":"main","balance":100000.0000}]'
    assert f'"asset":"USD","asset_class":"currency",{wallets}' in ours


def test_the_life_of_a_resting_order_has_the_recorded_rows(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", cl_ord_id=CLIENT_ID, **LIMIT)
    alone.clock.sleep(1)
    trader.order("amend_order", cl_ord_id=CLIENT_ID, limit_price=63999.5, order_qty=0.02)
    alone.clock.sleep(1)
    trader.order("cancel_order", cl_ord_id=[CLIENT_ID])
    told = [text for text in trader.texts if '"executions"' in text]
    recorded = ["exec.pending_new", "exec.new", "exec.amended", "exec.canceled"]
    assert [shape(text) for text in told] == [shape(CATALOGUE[name]) for name in recorded]
    assert [row["exec_type"] for row in trader.rows()] == ["pending_new", "new", "amended", "canceled"]
    assert [message["sequence"] for message in trader.messages("executions")] == [2, 3, 4, 5]


def test_fills_have_the_documented_rows_and_the_last_one_is_followed_by_filled(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", cl_ord_id=CLIENT_ID, **LIMIT)
    trader.texts.clear()
    fill(alone, "0.005")
    fill(alone, "0.015")
    told = [text for text in trader.texts if '"executions"' in text]
    recorded = ["exec.trade.partial", "exec.trade.last", "exec.filled"]
    assert [shape(text) for text in told] == [shape(CATALOGUE[name]) for name in recorded]
    rows = trader.rows()
    assert [row["order_status"] for row in rows] == ["partially_filled", "partially_filled", "filled"]
    assert [row["cum_qty"] for row in rows] == [D("0.005"), D("0.02"), D("0.02")]
    assert rows[1]["fee_usd_equiv"] == D("3.2000"), "of both fills"
    assert sum(row["fees"][0]["qty"] for row in rows[:2]) == D("3.2")


def test_a_fill_is_two_balance_messages_with_one_reference(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", **LIMIT)
    fill(alone, "0.005")
    told = [text for text in trader.texts if '"balances"' in text]
    recorded = ["bal.update.trade.base", "bal.update.trade.quote"]
    assert [shape(text) for text in told] == [shape(CATALOGUE[name]) for name in recorded]
    rows = trader.rows("balances")
    execution = next(iter(alone.account.executions.values()))
    assert {row["ref_id"] for row in rows} == {execution.exec_id}
    assert [row["balance"] for row in rows] == [
        alone.account.balances["BTC"],
        alone.account.balances["USD"],
    ]
    assert [message["sequence"] for message in trader.messages("balances")] == [2, 3]


def test_placing_an_order_changes_no_balance(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", **LIMIT)
    assert trader.messages("balances") == []


def test_a_snapshot_of_fills_is_newest_first_and_has_no_sums(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", order_userref=0, **LIMIT)
    for _ in range(60):
        fill(alone, "0.0001")
    client = alone.open("/auth/v2")
    client.subscribe("executions", token=alone.token(), snap_trades=True, snap_orders=False)
    (snapshot,) = client.messages("executions")
    ids = [row["exec_id"] for row in snapshot["data"]]
    assert ids == list(alone.account.executions)[:9:-1]
    assert "cum_qty" not in snapshot["data"][0]
    maker = shape(CATALOGUE["exec.snapshot.trades"])
    ours = shape(client.texts[-1])
    assert ours[2][1][0] == maker[2][1][0]


def test_a_snapshot_of_open_orders_tells_what_is_filled_and_amended(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", cl_ord_id=CLIENT_ID, **LIMIT)
    trader.order("amend_order", cl_ord_id=CLIENT_ID, order_qty=0.03)
    fill(alone, "0.005")
    client = alone.open("/auth/v2")
    client.subscribe("executions", token=alone.token())
    assert shape(client.texts[-1]) == shape(CATALOGUE["exec.snapshot.open"])
    (row,) = client.messages("executions")[0]["data"]
    assert (row["order_status"], row["cum_qty"], row["order_qty"]) == ("partially_filled", D("0.005"), D("0.03"))


def test_without_order_status_only_begin_end_and_fills_are_told(alone: Any) -> None:
    trader = alone.trader(order_status=False)
    trader.order("add_order", cl_ord_id=CLIENT_ID, **LIMIT)
    trader.order("amend_order", cl_ord_id=CLIENT_ID, order_qty=0.03)
    fill(alone, "0.005")
    trader.order("cancel_all")
    assert [row["exec_type"] for row in trader.rows()] == ["new", "trade", "canceled"]
    assert [message["sequence"] for message in trader.messages("executions")] == [2, 3, 4]


def test_the_rate_counter_is_told_when_asked_for(alone: Any) -> None:
    trader, silent = alone.trader(ratecounter=True), alone.trader()
    for _ in range(3):
        trader.order("add_order", **LIMIT)
    rows = trader.rows()
    assert [row["ratecount"] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert shape(next(text for text in trader.texts if '"new"' in text))[2][1][0][-1] == ("ratecount", "int")
    silent.poll()
    assert "ratecount" not in "".join(silent.texts)


def test_a_master_account_gets_no_snapshot_and_the_name_of_the_user(alone: Any) -> None:
    client = alone.open("/auth/v2")
    token = alone.token()
    client.subscribe("executions", token=token, users="all")
    client.subscribe("balances", token=token, users="all")
    assert client.messages("executions") == [] == client.messages("balances")
    trader = alone.trader()
    trader.order("add_order", **LIMIT)
    fill(alone, "0.005")
    for channel in ("executions", "balances"):
        messages = client.messages(channel)
        assert [message["sequence"] for message in messages] == list(range(1, len(messages) + 1))
        assert {message["data"][0]["user"] for message in messages} == {"main"}


def test_the_former_names_of_the_options_are_understood(alone: Any) -> None:
    trader = alone.trader()
    trader.order("add_order", **LIMIT)
    fill(alone, "0.005")
    client = alone.open("/auth/v2")
    ack, snapshot = client.subscribe("executions", token=alone.token(), snapshot_trades=True)
    assert ack["result"]["snap_trades"] is True
    assert [row["exec_type"] for row in snapshot["data"]] == ["trade", "new"]
    client = alone.open("/auth/v2")
    (ack,) = client.subscribe("executions", token=alone.token(), snapshot=False)
    assert (ack["result"]["snap_orders"], ack["result"]["snapshot"]) == (False, False)


def test_each_subscription_numbers_for_itself(alone: Any) -> None:
    early = alone.trader()
    early.order("add_order", **LIMIT)
    late = alone.trader()
    early.order("cancel_all")
    late.poll()
    assert early.messages("executions")[-1]["sequence"] == 4
    assert late.messages("executions")[-1]["sequence"] == 2


def test_subscribing_twice_is_refused(alone: Any) -> None:
    trader = alone.trader()
    (answer,) = trader.subscribe("executions", token=trader.token)
    assert answer["error"] == "Already subscribed"
    assert len(alone.account.listeners) == 2


def test_a_session_that_is_gone_hears_nothing(alone: Any) -> None:
    trader = alone.trader()
    alone.core.disconnect(trader.line)
    assert alone.account.listeners == []
    alone.result("AddOrder", pair="XBTUSD", type="buy", ordertype="limit", volume="1", price="1.0")


def test_orders_of_rest_are_told_as_well(alone: Any) -> None:
    trader = alone.trader()
    alone.result("AddOrder", pair="XBTUSD", type="buy", ordertype="limit", volume="1", price="1.0")
    trader.poll()
    assert [row["exec_type"] for row in trader.rows()] == ["pending_new", "new"]
