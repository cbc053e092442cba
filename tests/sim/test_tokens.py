"""WebSocket tokens, and the hosts on which they are good for something."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.faces import LEVEL3, PRIVATE, PUBLIC, face_of

ELSEWHERE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"


def subscribe(client: Any, token: str, channel: str = "executions") -> Any:
    return client.subscribe(channel, token=token)[0]


@pytest.mark.parametrize(
    ("path", "host", "face"),
    [
        ("/v2", "localhost:1", PUBLIC),
        ("/v2", "ws.kraken.com", PUBLIC),
        ("/v2", "ws-auth.kraken.com", PRIVATE),
        ("/v2", "WS-L3.kraken.com", LEVEL3),
        ("/auth/v2", "localhost", PRIVATE),
        ("/l3/v2", "127.0.0.1:80", LEVEL3),
        ("/v1", "ws-auth.kraken.com", None),
    ],
)
def test_path_and_host_tell_the_face(path: str, host: str, face: Any) -> None:
    assert face_of(path, host) is face


def test_the_private_host_is_found_by_its_name_too(box: Any) -> None:
    client = box.connect()
    client.line.receive(box.upgrade.replace(b"Host: localhost", b"Host: ws-auth.exchange.test"))
    client.poll()
    assert client.line.session.face is PRIVATE
    assert subscribe(client, box.token())["success"]


def test_each_host_refuses_what_belongs_to_another(box: Any) -> None:
    token = box.token()
    public, private, level3 = box.open(), box.open("/auth/v2"), box.open("/l3/v2")
    assert subscribe(public, token)["error"] == ELSEWHERE
    order = {"method": "cancel_all", "params": {"token": token}, "req_id": 3}
    for client in (public, level3):
        (answer,) = client.ask(order)
        assert (answer["method"], answer["req_id"]) == ("cancel_all", 3)
        assert "unavailable" in answer["error"] or "not available" in answer["error"]
    (answer,) = private.subscribe("book", ["BTC/USD"])
    assert answer["error"] == "Public channels not available in this endpoint"


def test_a_request_without_a_token_and_one_with_a_wrong_one(box: Any) -> None:
    client = box.open("/auth/v2")
    assert client.subscribe("executions")[0]["error"] == "Token(s) not found"
    (answer,) = client.ask({"method": "cancel_all", "params": {}, "req_id": 31})
    assert (answer["error"], answer["method"], answer["req_id"]) == ("Token(s) not found", "cancel_all", 31)
    answer = subscribe(client, "nonsense")
    assert (answer["error"], answer["success"]) == ("EAPI:Invalid token", False)
    assert subscribe(client, box.token())["success"], "the session is none the worse for it"


def test_a_token_must_be_used_first_within_fifteen_minutes(box: Any) -> None:
    early, late = box.token(), box.token()
    client = box.open("/auth/v2")
    box.clock.sleep(899)
    assert subscribe(client, early)["success"]
    box.clock.sleep(2)
    assert subscribe(client, late, "balances")["error"] == "ESession:Invalid session"


def test_a_token_lives_as_long_as_a_subscription_made_with_it(box: Any) -> None:
    token = box.token()
    one = box.open("/auth/v2")
    assert subscribe(one, token)["success"]
    box.run(3600)
    other = box.open("/auth/v2")
    assert subscribe(other, token, "balances")["success"], "it serves many connections"
    box.core.disconnect(one.line)
    request = {"method": "cancel_all", "params": {"token": token}, "req_id": 1}
    assert other.ask(request)[0]["success"]
    other.ask({"method": "unsubscribe", "params": {"channel": "balances", "token": token}})
    assert other.ask(request)[0]["error"] == "ESession:Invalid session"


def test_orders_alone_do_not_prolong_a_token(box: Any) -> None:
    token = box.token()
    client = box.open("/auth/v2")
    request = {"method": "cancel_all", "params": {"token": token}}
    assert client.ask(request)[0]["success"]
    box.clock.sleep(900)
    assert client.ask(request)[0]["error"] == "ESession:Invalid session"


def test_a_key_sees_and_does_only_what_it_may(make_box: Any) -> None:
    box = make_box(accounts=[NewAccount(permissions=["create-ws-token", "query-funds"])])
    client = box.open("/auth/v2")
    token = box.token()
    assert subscribe(client, token, "balances")["success"]
    assert subscribe(client, token)["error"] == "EGeneral:Permission denied"
    answer = client.ask({"method": "cancel_all", "params": {"token": token}})[-1]
    assert (answer["error"], answer["method"]) == ("EGeneral:Permission denied", "cancel_all")


def test_accounts_are_kept_apart(make_box: Any) -> None:
    box = make_box(accounts=[NewAccount("alice"), NewAccount("bob")])
    alice, bob = box.trader("alice"), box.trader("bob")
    limit = {"order_type": "limit", "side": "buy", "order_qty": 1, "symbol": "BTC/USD", "limit_price": 1.0}
    order_id = alice.done("add_order", **limit)["order_id"]
    assert bob.poll() == [] == bob.texts
    assert bob.refused("cancel_order", order_id=[order_id]) == "EOrder:Unknown order"
    assert alice.done("cancel_order", order_id=[order_id]) == {"order_id": order_id}


def test_a_session_shows_no_token(box: Any) -> None:
    trader = box.trader()
    trader.refused("add_order", symbol="BTC/USD")
    assert trader.token not in repr(trader.line.session) + "".join(trader.texts)
