"""Faults of REST: what the client sees, and whether the call was carried out."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from typing import Any

import aiohttp
import pytest

from kraken_fast.sim import Exchange
from kraken_fast.sim.rest_faults import damaged, page
from kraken_fast.sim.signing import sign

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "1000.0"}


def add(box: Any) -> Any:
    """Place an order and give the raw answer."""
    return box.post("AddOrder", ORDER)


@pytest.mark.parametrize(
    ("kind", "params", "status", "head"),
    [
        ("status", {"code": 503}, 503, b"<html>"),
        ("status", {"code": 403, "body": "go away"}, 403, b"go away"),
        ("redirect", {"location": "https://example.org/"}, 302, b""),
        ("retry_after", {"seconds": 7}, 429, b"<html>"),
        ("errors", {"errors": ["EService:Busy"]}, 200, b'{"error": ["EService:Busy"]}'),
        ("errors", {"result": "null"}, 200, b'{"error": ["EService:Unavailable"], "result": null}'),
        ("errors", {"result": "empty"}, 200, b'{"error": ["EService:Unavailable"], "result": {}}'),
        ("idle_close", {}, 200, b""),
    ],
)
def test_calls_that_are_not_carried_out(box: Any, kind: str, params: Any, status: int, head: bytes) -> None:
    with box.faults.inject(kind, endpoint="AddOrder", **params) as fault:
        answer = add(box)
        box.result("Balance")
    assert (answer.status, answer.body[: len(head)]) == (status, head)
    assert (fault.fired, box.faults.fired[kind]) == (1, 1), "only the endpoint that was named"
    assert not box.account.orders
    assert answer.headers.get("Location", "https://example.org/") == "https://example.org/"
    assert answer.headers.get("Retry-After", "7") == "7"
    assert (answer.cut_at == 0) == (kind == "idle_close")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("act_then_fail", {"code": 520}),
        ("act_then_fail", {"code": 0}),
        ("body", {"form": "html"}),
        ("body", {"form": "empty"}),
        ("body", {"form": "truncated"}),
        ("body", {"form": "cut"}),
        ("body", {"form": "wrong_type"}),
        ("slow_drip", {"interval_ms": 10}),
        ("late", {"ms": 5000}),
        ("deliver_twice", {}),
        ("warnings", {}),
    ],
)
def test_calls_that_are_carried_out(box: Any, kind: str, params: Any) -> None:
    with box.faults.inject(kind, endpoint=("AddOrder", "AddOrderBatch"), **params):
        answer = add(box)
    assert box.faults.fired[kind] == 1
    assert len(box.account.live_orders()) == 1, "once, whatever the answer says"
    good = answer.body.startswith(b'{"error":[],"result":{') and answer.body.endswith(b"}}")
    if kind == "deliver_twice":
        assert box.answer(answer) == {"error": ["EAPI:Invalid nonce"]}
    elif kind == "warnings":
        assert box.answer(answer)["error"] == ["WGeneral:Example warning"]
        assert box.answer(answer)["result"]["txid"]
    elif kind in ("slow_drip", "late"):
        assert good
        assert answer.drip_ns + answer.delay_ns in (10 * 10**6, 5 * 10**9)
    elif params.get("code") == 0 or params.get("form") == "cut":
        assert answer.cut_at is not None
    else:
        assert not good
        assert answer.status == params.get("code", 200)


def test_large_bodies() -> None:
    good = page(200)
    assert len(damaged(good, "huge", 1000).body) > 1000
    bomb = damaged(good, "gzip_bomb", 3 << 20)
    assert bomb.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(bomb.body)) == 3 << 20
    assert len(bomb.body) < 10_000
    with pytest.raises(ValueError, match="no such damage"):
        damaged(good, "nothing", 0)


def test_a_lagging_query_does_not_show_a_new_order(box: Any) -> None:
    with box.faults.inject("lag", seconds=30, endpoint="OpenOrders"):
        add(box)
        assert box.result("OpenOrders") == {"open": {}}
        box.clock.sleep(31)
        assert len(box.result("OpenOrders")["open"]) == 1
        box.result("CancelAll")
        assert len(box.result("OpenOrders")["open"]) == 1, "and shows one that is gone"


def test_faults_switch_while_running_and_count(box: Any) -> None:
    box.faults.inject("status", code=500, count=2, after=1)
    statuses = [box.core.http("GET", "/0/public/Time").status for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]


def test_the_three_answers_to_cancelling_what_is_gone(box: Any) -> None:
    txid = box.answer(add(box))["result"]["txid"][0]
    with box.faults.inject("cancel_pending"):
        assert box.result("CancelOrder", txid=txid) == {"count": 1, "pending": True}
    assert box.refusal("CancelOrder", txid=txid) == "EOrder:Unknown order"
    with box.faults.inject("cancel_gone"):
        assert box.result("CancelOrder", txid=txid) == {"count": 0}
    with box.faults.inject("cancel_gone", error="EOrder:Invalid order"):
        assert box.refusal("CancelOrder", txid=txid) == "EOrder:Invalid order"


async def test_what_the_faults_look_like_on_a_socket() -> None:
    async with Exchange(["BTC/USD"], seed=1, rate=0) as ex, aiohttp.ClientSession(ex.rest_url) as http:
        with ex.faults.inject("slow_drip", interval_ms=1):
            async with http.get("/0/public/Time") as answer:
                assert (await answer.json())["error"] == []
        with ex.faults.inject("late", ms=50):
            async with http.get("/0/public/Time") as answer:
                assert answer.status == 200
        with ex.faults.inject("body", form="cut"), pytest.raises(aiohttp.ClientPayloadError):
            async with http.get("/0/public/Time") as answer:
                await answer.read()
        for fault in ("idle_close", "act_then_fail"):
            # Without a code nothing is answered at all.
            code: dict[str, Any] = {"code": 0} if fault == "act_then_fail" else {}
            with ex.faults.inject(fault, **code), pytest.raises(aiohttp.ServerDisconnectedError):
                await http.post("/0/private/Balance", data=b"")
        with ex.faults.inject("body", form="gzip_bomb", size_bytes=1 << 20):
            async with http.get("/0/public/Time") as answer:
                assert len(await answer.read()) == 1 << 20
        async with http.get("/0/public/Time") as answer:
            assert answer.status == 200


async def test_private_calls_over_sockets_and_tls() -> None:
    async with Exchange(["BTC/USD"], seed=1, rate=0, tls=True) as ex:
        assert ex.addresses()["api_key"] == ex.api_key == ex.account.keys[0].key
        path, body = (
            "/0/private/AddOrder",
            "nonce=1&pair=XBTUSD&type=buy&ordertype=limit&volume=1&price=1000.0",
        )
        headers = {"API-Key": ex.api_key, "API-Sign": sign(ex.api_secret, path, "1", body.encode())}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        context = ssl.create_default_context(cafile=ex.ca_file)
        async with aiohttp.ClientSession(headers=headers) as http:
            answer = await http.post(ex.rest_url + path, data=body, ssl=context)
            result = json.loads(await answer.read())
        assert list(ex.account.orders) == result["result"]["txid"]


async def test_a_late_request_is_overtaken_and_its_nonce_is_stale() -> None:
    async with Exchange(["BTC/USD"], seed=1, rate=0) as ex, aiohttp.ClientSession(ex.rest_url) as http:

        async def ask(name: str, nonce: str) -> Any:
            path = f"/0/private/{name}"
            body = f"nonce={nonce}"
            signed = sign(ex.api_secret, path, nonce, body.encode())
            async with http.post(
                path, data=body, headers={"API-Key": ex.api_key, "API-Sign": signed}
            ) as answer:
                return (await answer.json())["error"]

        ex.faults.inject("arrive_late", endpoint="Balance", ms=100, count=1)
        first, second = await asyncio.gather(ask("Balance", "1"), ask("BalanceEx", "2"))
    assert (first, second) == (["EAPI:Invalid nonce"], [])
