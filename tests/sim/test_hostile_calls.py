"""Whatever a client sends, the box answers in its envelope, keeps its books, and goes on."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.gate import PERMISSIONS_NEEDED
from kraken_fast.sim.signing import sign

VALUES: tuple[Any, ...] = (
    "",
    "0",
    "-1",
    "1",
    "0.5",
    "1e5",
    "NaN",
    "Infinity",
    "9" * 39,
    "9" * 5000,
    "0." + "0" * 37 + "1",
    "+5%",
    "#-5",
    "%",
    "\x00",
    "\ud800",
    "\u202e",
    "\u0661",
    "a,b,,c",
    "true",
    "XBTUSD",
    "buy",
    "limit",
    "stop-loss-limit",
    "OAAAAA-AAAAA-AAAAAA",
    "2026-11-18T11:06:45Z",
    "0001-01-01T00:00:00+14:00",
    [],
    ["x"],
    [[]],
    {},
    {"0": {}},
    {"ordertype": "limit", "price": "1"},
    None,
    True,
    -1,
    10**30,
    0.1,
)
# fmt: off
NAMES = [
    "pair", "asset", "id", "txid", "order_id", "cl_ord_id", "cl_ord_ids", "orders", "userref", "type",
    "ordertype", "volume", "price", "price2", "oflags", "timeinforce", "starttm", "expiretm",
    "deadline", "stptype", "leverage", "reduce_only", "trigger", "validate", "close", "start", "end",
    "ofs", "limit", "closetime", "trades", "ledgers", "consolidate_taker", "timeout", "order_qty",
    "limit_price", "trigger_price", "post_only", "depth", "report", "format", "description", "endtm",
    "displayvol", "display_qty",
]
# fmt: on
GOOD = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "60000.0"}


@pytest.mark.parametrize("seed", range(4))
def test_every_call_is_answered_in_the_envelope(make_box: Any, seed: int) -> None:
    accounts = [NewAccount(balances={"USD": 10**6, "BTC": 100})]
    box = make_box(["BTC/USD"], seed=seed, accounts=accounts, limit_calls=False, limit_orders=False)
    rng = random.Random(seed)
    key = box.account.keys[0]
    words = set()
    for at in range(1, 1500):
        name = rng.choice([*PERMISSIONS_NEEDED, *["AddOrder"] * 10, *["AmendOrder"] * 5])
        params = dict(GOOD) if rng.random() < 0.7 else {}
        live = box.account.live_orders()
        if live and rng.random() < 0.7:
            params["txid"] = params["order_id"] = rng.choice(live).order_id
        for field in rng.sample(NAMES, rng.randint(0, 3)):
            params[field] = rng.choice(VALUES)
        body = json.dumps({**params, "nonce": at}).encode()
        path = f"/0/private/{name}"
        headers = {"API-Key": key.key, "API-Sign": sign(key.secret, path, str(at), body)}
        response = box.core.http("POST", path, "", body, headers)
        if response.headers["Content-Type"] == "application/zip":
            continue
        answer = json.loads(response.body)
        assert isinstance(answer["error"], list)
        assert ("result" in answer) == (not answer["error"])
        words.update(answer["error"])
        box.clock.sleep(0.01)
        if at % 100 == 0:
            box.step(10)
            box.core.desk._check()
            check_money(box.core, {"USD": Decimal(10**6), "BTC": Decimal(100)})
    assert len(words) > 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"nonce":"\\ud800"}',
        b'{"nonce":1e999999999}',
        b'{"nonce":' + b"9" * 5000 + b"}",
        b'{"nonce":' + b"[" * 100_000,
        b"nonce=%ff",
        b"nonce[]=1&nonce[=2&[]=3&=4",
        b"\xff",
    ],
)
def test_bodies_that_nobody_would_send(box: Any, body: bytes) -> None:
    headers = {"API-Key": box.account.keys[0].key, "API-Sign": "\udcff", "Content-Type": "application/json"}
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        headers["Content-Type"] = kind
        answer = json.loads(box.core.http("POST", "/0/private/Balance", "", body, headers).body)
        assert answer in ({"error": ["EAPI:Bad request"]}, {"error": ["EAPI:Invalid signature"]})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "9" * 5000, "-1", "\u0661", "1e999"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Trades", "since"),
        ("Trades", "count"),
        ("OHLC", "since"),
        ("OHLC", "interval"),
        ("Depth", "count"),
        ("Spread", "since"),
        ("GroupedBook", "depth"),
        ("GroupedBook", "grouping"),
        ("PostTrade", "count"),
        ("PostTrade", "from_ts"),
    ],
)
def test_public_parameters_that_nobody_would_send(box: Any, path: str, name: str, value: str) -> None:
    answer = box.rest(path, f"pair=XBTUSD&{name}={value}")
    assert answer["error"] == [] or answer["error"][0].startswith("EGeneral:Invalid arguments")
