"""Whatever a bot has, as our client: its key is taken, its addresses are honoured, nothing else is believed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kraken_fast import Credentials, Endpoints, MemoryNonces, RestClient
from kraken_fast.coordination.clients import ccxt_endpoints, resolve_client
from kraken_fast.errors import ConfigError

KEY, SECRET = "SIMKEYkeyQ7v2mC0nNotReal", "S0ZURVNULXNlY3JldC1ieXRlcy1ub3QtcmVhbA=="


def ccxt_like(**others: Any) -> SimpleNamespace:
    """What a ccxt kraken instance has, of all that it has."""
    rest = {"public": "https://api.kraken.com", "private": "https://api.kraken.com"}
    lines = {"public": "wss://ws.kraken.com", "publicV2": "wss://ws.kraken.com/v2"}
    urls = {"api": {**rest, "ws": lines}, "www": "https://www.kraken.com"}
    return SimpleNamespace(**{"id": "kraken", "apiKey": KEY, "secret": SECRET, "urls": urls, **others})


def test_nothing_is_public_data() -> None:
    found = resolve_client(None)
    assert (found.has_key, found.is_ours, found.endpoints) == (False, True, Endpoints())


def test_what_is_ours_is_used_as_it_is() -> None:
    client = RestClient()
    found = resolve_client(client)
    assert found.client is client
    assert (found.is_ours, found.has_key) == (False, False)
    found = resolve_client(Credentials(KEY, SECRET), nonces=MemoryNonces())
    assert (found.is_ours, found.has_key) == (True, True)


def test_a_ccxt_instance_hands_over_its_key_and_its_addresses() -> None:
    found = resolve_client(ccxt_like(), nonces=MemoryNonces())
    assert (found.has_key, found.endpoints) == (True, Endpoints())
    rest = "http://127.0.0.1:81"
    box = {"api": {"public": rest + "/", "private": rest, "ws": {"publicV2": "ws://127.0.0.1:82/v2"}}}
    found = resolve_client(ccxt_like(urls=box), nonces=MemoryNonces())
    assert found.endpoints == Endpoints(ws_url="ws://127.0.0.1:82/v2", rest_url="http://127.0.0.1:81")
    assert found.client.host == "127.0.0.1"
    mine = Endpoints(rest_url="http://127.0.0.1:9")
    assert resolve_client(ccxt_like(urls=box), mine, nonces=MemoryNonces()).endpoints == mine
    assert not resolve_client(ccxt_like(apiKey="", secret="")).has_key
    assert "ccxt" not in sys.modules


def test_the_private_line_belongs_to_the_public_one() -> None:
    key = Credentials(KEY, SECRET)
    assert resolve_client(key, nonces=MemoryNonces()).account_url == "wss://ws-auth.kraken.com/v2"
    assert resolve_client(key, Endpoints(ws_url="wss://elsewhere.test/v2"), nonces=MemoryNonces()).account_url is None
    assert resolve_client(ccxt_like(), nonces=MemoryNonces()).account_url == "wss://ws-auth.kraken.com/v2"
    lines = {"publicV2": "ws://127.0.0.1:82/v2", "privateV2": "ws://127.0.0.1:82/auth/v2"}
    box = ccxt_like(urls={"api": {"public": "http://127.0.0.1:81", "ws": lines}})
    assert resolve_client(box, nonces=MemoryNonces()).account_url == "ws://127.0.0.1:82/auth/v2"
    del lines["privateV2"]
    assert resolve_client(box, nonces=MemoryNonces()).account_url is None, "a token is shown to no guess"


@pytest.mark.parametrize(
    ("urls", "rest", "ws"),
    [
        ({}, "https://api.kraken.com", "wss://ws.kraken.com/v2"),
        ({"api": "https://api.{hostname}/0"}, "https://api.kraken.com", "wss://ws.kraken.com/v2"),
        ({"api": {"public": "http://localhost:1/0"}}, "http://localhost:1", "wss://ws.kraken.com/v2"),
        ({"api": {"ws": {"public": "wss://ws.kraken.com"}}}, "https://api.kraken.com", "wss://ws.kraken.com/v2"),
        ({"api": {"ws": {"public": "ws://localhost:2/v2/"}}}, "https://api.kraken.com", "ws://localhost:2/v2"),
        (None, "https://api.kraken.com", "wss://ws.kraken.com/v2"),
    ],
)
def test_addresses_of_any_form(urls: Any, rest: str, ws: str) -> None:
    assert ccxt_endpoints(ccxt_like(urls=urls)) == Endpoints(ws_url=ws, rest_url=rest)


@pytest.mark.parametrize("given", [42, "key", object(), SimpleNamespace(apiKey="x"), ccxt_like(id="binance")])
def test_anything_else_is_refused_before_anything_is_sent(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_client(given)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_key_is_shown_to_nobody_else() -> None:
    urls = {"api": {"private": "https://evil.example"}}
    with pytest.raises(ConfigError, match="host"):
        resolve_client(ccxt_like(urls=urls))
