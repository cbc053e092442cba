"""The level-3 channel: every order in its place, at every depth, equal to the engine and to level 2."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.reference import ReferenceBook
from kraken_fast.sim.reference3 import ReferenceLevel3

D = Decimal
BTC = "BTC/USD"
CATALOGUE: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())[
        "messages"
    ]
}


def watch(box: Any, depth: int = 10, symbol: str = BTC) -> Any:
    client = box.open("/l3/v2")
    client.subscribe("level3", [symbol], depth=depth, token=box.token())
    return client


def texts(client: Any) -> list[str]:
    return [text for text in client.texts if text.startswith('{"channel":"level3"')]


def truth(box: Any, depth: int) -> Any:
    engine = box.core.market(BTC).engine
    return tuple(
        [
            [(box.core.order_name(BTC, order), order.price, order.qty) for order in level.orders.values()]
            for level in side.best(depth)
        ]
        for side in (engine.bids, engine.asks)
    )


def held(book: ReferenceLevel3) -> Any:
    return tuple(
        [[(order.order_id, order.price, order.qty) for order in queue] for queue in side]
        for side in (book.bids, book.asks)
    )


def test_acknowledgements_have_the_documented_bytes(box: Any) -> None:
    times = re.compile(r'"time_(in|out)":"[^"]*"')
    client = box.open("/l3/v2")
    for kind in ("sub", "unsub"):
        request = json.loads(CATALOGUE[f"req.{kind}.level3"])
        request["params"]["token"] = box.token()
        answer = client.ask(request)
        text = next(text for text in client.texts[::-1] if '"method"' in text)
        assert times.sub("", text) == times.sub("", CATALOGUE[f"ack.{kind}.level3"])
        assert len(answer) == (2 if kind == "sub" else 1)
    told = len(client.texts)
    box.step(100)
    assert len(client.texts) == told


def test_keys_and_decimals_are_those_of_the_catalogue(box: Any) -> None:
    client = watch(box)
    box.step(200)

    def keys(text: str, event: str = "") -> Any:
        """Give the keys of a message, of its data and of a row, and the decimals of the row's numbers."""
        message = json.loads(text, object_pairs_hook=list, parse_float=D)
        ((_, (data,)),) = [member for member in message if member[0] == "data"]
        rows = [row for side in ("bids", "asks") for row in dict(data)[side]]
        row = next(row for row in rows if not event or row[0] == ("event", event))
        decimals = [value.as_tuple().exponent for _, value in row if isinstance(value, D)]
        places = [len(value) for member, value in row if member == "timestamp"]
        tops = [member for member, _ in message]
        return tops, [member for member, _ in data], [member for member, _ in row], decimals, places

    told = texts(client)
    assert keys(told[0]) == keys(CATALOGUE["level3.snapshot"])
    for event in ("add", "modify", "delete"):
        ours = next(text for text in told[1:] if f'"{event}"' in text)
        assert keys(ours, event) == keys(CATALOGUE[f"level3.update.{event}"], event)


@pytest.mark.parametrize("depth", [10, 100, 1000])
def test_every_message_verifies_and_level_2_follows(make_box: Any, depth: int) -> None:
    box = make_box([BTC], levels=150)
    client, two = watch(box, depth), box.open()
    two.subscribe("book", [BTC], depth=depth)
    book, reference = ReferenceLevel3(depth), ReferenceBook(depth)
    seen = told = 0
    for _ in range(600):
        box.step()
        for text in texts(client)[seen:]:
            seen += 1
            assert book.apply_raw(text) == book.checksum(), text
        for message in two.messages("book")[told:]:
            told += 1
            reference.apply(message)
        assert held(book) == truth(box, depth)
        assert book.levels() == (tuple(reference.bids), tuple(reference.asks))
    assert seen > 100


def test_hostile_events_are_told_right(make_box: Any) -> None:
    """Sweeps, thin and empty sides, orders that move: by hand, as the crowd rarely does it."""
    box = make_box([BTC], accounts=[NewAccount("main", {"USD": 10_000_000, "BTC": 100})])
    client = watch(box)
    book = ReferenceLevel3(10)
    market, engine = box.core.market(BTC), box.core.market(BTC).engine
    chance = box.core._rng("hostile")
    seen = 0
    for turn in range(400):
        now_ns, act = box.clock.time_ns, chance.randrange(6)
        if act == 0:
            market.submit(chance.choice(["buy", "sell"]), D(chance.randint(1, 60)) / 10, None, now_ns)
        elif act == 1 and engine.orders:
            market.cancel(chance.choice(list(engine.orders)), now_ns)
        elif act == 2 and engine.orders:
            order = engine.orders[chance.choice(list(engine.orders))]
            qty = abs(order.qty + D("0.1") * chance.choice([-1, 1])) or order.qty
            market.amend(order.order_id, qty, now_ns, order.display)
        elif act == 3:
            side = chance.choice(["buy", "sell"])
            price = market.trades[-1].price + chance.randint(-30, 30)
            market.submit(side, D(chance.randint(1, 40)) / 10, price, now_ns, display=D("0.30000000"))
        elif turn == 300:
            market.clear("buy", now_ns)
        else:
            market.step(now_ns)
        box.clock.sleep(0.001)
        box.poll()
        for text in texts(client)[seen:]:
            seen += 1
            assert book.apply_raw(text) == book.checksum(), text
        assert held(book) == truth(box, 10)
    assert seen > 200


def test_an_accounts_order_is_seen_under_its_own_id_and_keeps_its_place(make_box: Any) -> None:
    box = make_box([BTC])
    client, trader = watch(box), box.trader()
    book = ReferenceLevel3(10)
    bid = box.core.market(BTC).quote().bid
    order = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": BTC, "limit_price": float(bid)}
    order_id = trader.done("add_order", **order)["order_id"]
    behind = trader.done("add_order", **order)["order_id"]
    client.poll()
    for text in texts(client):
        book.apply_raw(text)
    before = book.position(order_id)
    assert before is not None
    assert book.position(behind) == (before[0] + 1, before[1] + D("0.5"))
    told = len(texts(client))
    trader.done("amend_order", order_id=order_id, order_qty=0.25)
    client.poll()
    (text,) = texts(client)[told:]
    assert re.findall(r'"event":"(\w+)","order_id":"([\w-]+)"', text) == [("modify", order_id)]
    book.apply_raw(text)
    assert book.position(order_id) == before
    trader.done("amend_order", order_id=order_id, order_qty=0.75)
    client.poll()
    text = texts(client)[-1]
    assert re.findall(r'"event":"(\w+)"', text) == ["delete", "add"], "more goes to the end of the queue"
    book.apply_raw(text)
    position = book.position(order_id)
    assert position is not None
    assert position[0] == before[0] + 1
    told = len(texts(client))
    del order["limit_price"]
    trader.done("add_order", **{**order, "order_type": "stop-loss", "triggers": {"price": 99e3}, "order_qty": 0.1})
    client.poll()
    assert len(texts(client)) == told, "what has not triggered does not stand in the book"


def test_rest_shows_the_same_ids(box: Any) -> None:
    client = watch(box)
    ids = [row["order_id"] for row in client.messages("level3")[0]["data"][0]["bids"]]
    assert [row["order_id"] for row in box.result("Level3", pair="XBTUSD", depth="10")["bids"]] == ids


def test_only_three_depths_one_of_them_for_each_symbol(box: Any) -> None:
    client, token = watch(box), box.token()
    assert client.subscribe("level3", [BTC], depth=100, token=token)[0]["error"] == "Already subscribed"
    (answer,) = client.subscribe("level3", ["ETH/USD"], depth=25, token=token)
    assert answer["error"] == "Subscription depth not supported"
    assert client.subscribe("level3", ["XBT/USD"], token=token)[0]["error"].endswith("not supported XBT/USD")


def test_subscriptions_are_counted_by_the_second(make_box: Any) -> None:
    box = make_box("all")
    symbols = list(box.core.tradable)[:220]
    client, token = box.open("/l3/v2"), box.token()

    def refused(names: list[str], **params: Any) -> list[str]:
        answers = client.subscribe("level3", names, token=token, **params)
        return [answer["error"] for answer in answers if answer.get("success") is False]

    assert refused(symbols[:3], depth=1000) == ["Exceeded msg rate"]
    box.clock.sleep(1)
    assert refused(symbols[3:44]) == ["Exceeded msg rate"]
    for at in range(44, 220, 40):
        box.clock.sleep(1)
        last = refused(symbols[at : at + 40])
    assert last == ["Symbols limit exceeded"] * 16


def test_a_precision_change_is_healed_by_subscribing_again(box: Any) -> None:
    watch(box)
    box.step(20)
    box.core.set_pair(BTC, price_precision=0)
    box.step(20)
    client = watch(box)
    box.step(50)
    book = ReferenceLevel3(10)
    for text in texts(client):
        assert book.apply_raw(text) == book.checksum()
    assert held(book) == truth(box, 10)
