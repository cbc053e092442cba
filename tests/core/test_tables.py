"""The tables, seen through the scanner that they drive: order is a prediction, names decide."""

from __future__ import annotations

import itertools
import json

import pytest

from kraken_fast.core.decode import Decoder

TRADE = {
    "symbol": "BTC/USD",
    "side": "buy",
    "price": 64000.5,
    "qty": 0.25,
    "ord_type": "limit",
    "trade_id": 7,
    "timestamp": "2026-11-22T10:15:01.310559Z",
}


def feed(rows: list[tuple[str, object]]) -> bool:
    data = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in rows) + "}"
    decoder = Decoder(create=True)
    understood = decoder.feed(b'{"channel":"trade","type":"update","data":[' + data.encode() + b"]}")
    log = decoder.trades("BTC/USD")
    assert understood == (log is not None and log.last_trade_id == 7)
    return understood


def test_any_order_of_keys_means_the_same() -> None:
    items = list(TRADE.items())
    for order in itertools.islice(itertools.permutations(items), 0, 5040, 37):
        assert feed(list(order))


@pytest.mark.parametrize("key", TRADE)
def test_only_ord_type_may_be_missing(key: str) -> None:
    assert feed([item for item in TRADE.items() if item[0] != key]) == (key == "ord_type")


@pytest.mark.parametrize("name", ["trade_i", "trade_idd", "Trade_id", "trade id", "", "t" * 40, "timestamp_of_it"])
def test_names_that_resemble_are_not_taken(name: str) -> None:
    assert feed([*TRADE.items(), (name, 1)]), "an unknown key is passed over"
    assert not feed([(name if key == "trade_id" else key, value) for key, value in TRADE.items()])


@pytest.mark.parametrize("key", TRADE)
def test_a_key_comes_once(key: str) -> None:
    assert not feed([*TRADE.items(), (key, TRADE[key])])
