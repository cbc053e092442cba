"""Whatever a client sends over the WebSocket, the box answers in its form, keeps its books, and goes on."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.trade_fields import FIELDS

VALUES: tuple[Any, ...] = (
    "", "0", "limit", "buy", "BTC/USD", "pct", "quote", "gtd", "index", "a\x00b", "\ud800", "\u202e", "9" * 5000,
    "2026-11-18T11:06:45Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "OAAAAA-AAAAA-AAAAAA",
    0, 1, -1, 0.5, -0.0, 1e-300, 1e300, 10**30, 2**63, float("nan"), float("inf"),
    True, None, [], [[]], ["x"], [1, "2"], [None], {}, {"price": 1.0}, {"order_type": "limit", "limit_price": 5.0},
    [{"order_type": "limit", "side": "buy", "order_qty": 1.0, "limit_price": 1.0}] * 2,
)  # fmt: skip
GOOD = {"order_type": "limit", "side": "buy", "order_qty": 0.01, "symbol": "BTC/USD", "limit_price": 60000.0}
TYPES = ("limit", "market", "iceberg", "stop-loss-limit", "trailing-stop", "trailing-stop-limit")


def request(rng: random.Random, token: str, live: list[Any]) -> dict[str, Any]:
    """Make a request that is good in most of its parts."""
    method = rng.choice([*FIELDS, *["add_order"] * 8, *["amend_order"] * 4])
    params: dict[str, Any] = {"token": token}
    if method == "add_order" and rng.random() < 0.8:
        params |= {**GOOD, "order_type": rng.choice(TYPES), "side": rng.choice(["buy", "sell"])}
        if "-" in params["order_type"]:
            params["triggers"] = {"price": 1.0, "price_type": "pct"}
        if params["order_type"].startswith("trailing"):
            params |= {"limit_price": 1.0, "limit_price_type": "pct"}
        if params["order_type"] == "iceberg":
            params["display_qty"] = 0.005
    if live and method in ("amend_order", "edit_order") and rng.random() < 0.8:
        params |= {"order_id": rng.choice(live).order_id, "order_qty": rng.choice([0.005, 0.02, 0.03])}
    if live and method in ("cancel_order", "batch_cancel") and rng.random() < 0.8:
        params["orders" if method == "batch_cancel" else "order_id"] = [order.order_id for order in live[:3]]
    for name in rng.sample([*FIELDS[method], "unknown"], rng.randint(0, 2)):
        if name != "token" or rng.random() < 0.1:
            params[name] = rng.choice(VALUES)
    return {"method": method, "params": params, "req_id": rng.randrange(10**6)}


@pytest.mark.parametrize("seed", range(4))
def test_every_request_is_answered_and_the_books_agree(make_box: Any, seed: int) -> None:
    accounts = [NewAccount(balances={"USD": 10**6, "BTC": 100})]
    box = make_box(["BTC/USD"], seed=seed, accounts=accounts, limit_calls=False, limit_orders=False)
    rng = random.Random(seed)
    trader = box.trader()
    accepted, words = 0, set()
    for at in range(1, 1200):
        asked = request(rng, trader.token, box.account.live_orders())
        trader.texts.clear()
        trader.send(json.dumps(asked))
        answers = [message for message in trader.messages() if "method" in message]
        assert answers, asked
        for answer in answers:
            assert answer["method"] in (asked["method"], "error")
            assert ("error" in answer) != answer["success"]
            accepted += answer["success"]
            words.add(answer.get("error", "").partition(":")[0])
        assert trader.line.ending is None, asked
        if at % 40 == 0:
            box.step()
            box.core.desk._check()
            check_money(box.core, {"USD": Decimal(10**6), "BTC": Decimal(100)})
    assert accepted > 250
    assert {"EOrder", "EGeneral", "Unsupported field"} <= words


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'{"method":"add_order"}',
        b'{"method":"add_order","params":[]}',
        b'{"method":"add_order","params":null}',
        b'{"method":["add_order"],"params":{}}',
        b'{"method":"add_order","params":{},"req_id":"1"}',
        b'{"method":"add_order","params":{"order_qty":1e99999999999999999999}}',
        b'{"method":"subscribe","params":{"channel":"level3","symbol":["BTC/USD"],"depth":10.0,"token":"x"}}',
        b'{"method":"add_order","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    ],
)
def test_what_has_no_form_is_refused(box: Any, raw: bytes) -> None:
    for path in ("/v2", "/auth/v2", "/l3/v2"):
        client = box.open(path)
        client.send(raw)
        assert client.messages()[-1]["success"] is False
        assert client.line.ending is None
