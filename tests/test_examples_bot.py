"""The example bot, as its users run it: against the exchange in a box, handed a ccxt instance."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kraken_fast import MemoryNonces
from kraken_fast.examples.bot import SYMBOLS, watch
from kraken_fast.sim import Exchange


def settings() -> dict[str, object]:
    return {"rest_options": {"nonces": MemoryNonces()}}


@pytest.mark.both_loops
async def test_the_bot_takes_the_ccxt_instance_that_it_is_given() -> None:
    async with Exchange(SYMBOLS, seed=3, rate=40) as box:
        addresses = box.addresses()
        lines = {"publicV2": box.ws_url, "privateV2": box.ws_auth_url}
        urls = {"api": {"public": box.rest_url, "private": box.rest_url, "ws": lines}}
        exchange = SimpleNamespace(
            id="kraken", apiKey=addresses["api_key"], secret=addresses["api_secret"], urls=urls
        )
        found = await watch(exchange, seconds=1.5, settings=settings())
        account = next(iter(box.core.accounts.values()))
        assert found.balance is not None
        assert found.balance.total == account.balances["USDT"]
        assert (found.balance.source, found.balance.quality) == ("websocket", "live")
    assert set(found.mids) == set(SYMBOLS)
    assert found.quotes >= 8
    assert found.refused <= 2


async def test_the_bot_refuses_to_quote_while_nothing_is_proven() -> None:
    async with Exchange(SYMBOLS, seed=4, rate=40) as box:
        urls = {"api": {"public": box.rest_url, "ws": {"publicV2": box.ws_url}}}
        exchange = SimpleNamespace(id="kraken", apiKey=None, secret=None, urls=urls)
        box.faults.inject("bad_checksum", count=None, after=200)
        found = await watch(exchange, seconds=3, settings=settings())
    assert found.balance is None
    assert found.quotes > 0
    assert found.refused > 0


async def test_a_real_ccxt_instance_where_there_is_one() -> None:
    ccxt = pytest.importorskip("ccxt")
    async with Exchange(SYMBOLS, seed=5, rate=40) as box:
        addresses = box.addresses()
        exchange = ccxt.kraken({"apiKey": addresses["api_key"], "secret": addresses["api_secret"]})
        lines = {"publicV2": box.ws_url, "privateV2": box.ws_auth_url}
        exchange.urls["api"] = {"public": box.rest_url, "private": box.rest_url, "ws": lines}
        found = await watch(exchange, seconds=1, settings=settings())
    assert found.balance is not None
    assert found.balance.source == "websocket"
    assert found.quotes > 0
