"""Names, both ways; what is unknown or ambiguous is refused with what is near."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.errors import UnknownSymbolError
from kraken_fast.rest.instruments import IDS, InstrumentRegistry, split_suffix

EXAMPLES = json.loads((Path(__file__).parent.parent / "data" / "rest-examples.json").read_text())["spot"]


def pair(altname: str, wsname: str | None, base: str, quote: str) -> dict[str, Any]:
    row = {"altname": altname, "base": base, "quote": quote}
    return row if wsname is None else {**row, "wsname": wsname}


@pytest.fixture
def names() -> InstrumentRegistry:
    made = InstrumentRegistry()
    made.add_pairs(
        {
            "XXBTZUSD": pair("XBTUSD", "XBT/USD", "XXBT", "ZUSD"),
            "XXDGXXBT": pair("XDGXBT", "XDG/XBT", "XXDG", "XXBT"),
            "XTZUSD": pair("XTZUSD", "XTZ/USD", "XTZ", "ZUSD"),
            "XXTZZUSD": pair("XTZZUSD", "XTZZ/USD", "XTZZ", "ZUSD"),
            "ZUSDZCAD": pair("USDCAD", "USD/CAD", "ZUSD", "ZCAD"),
            "USD_CREDITZUSD": pair("USD_CREDITUSD", None, "USD_CREDIT", "ZUSD"),
            "ABCD": pair("ABCD", "AB/CD", "AB", "CD"),
            "ABCD2": pair("ABCD", "ABC/D", "ABC", "D"),
        }
    )
    return made


@pytest.mark.parametrize("name", ["BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "BTCUSD"])
def test_every_spelling_is_one_symbol(names: InstrumentRegistry, name: str) -> None:
    assert names.symbol(name) == "BTC/USD"
    assert names.pair_id(name) == "XXBTZUSD"
    assert names.symbol_or_name(name) == "BTC/USD"


def test_odd_names(names: InstrumentRegistry) -> None:
    assert names.symbol("XDGXBT") == "DOGE/BTC"
    assert names.symbol("XTZUSD") == "XTZ/USD"  # a leading X is not always one to strip
    assert names.symbol("USD_CREDITZUSD") == "USD_CREDIT/USD"
    assert names.symbol_or_name("DELISTED") == "DELISTED"
    assert names.symbols_of(["XBTUSD", "BTC/USD"]) == ("BTC/USD",)
    assert "USD/CAD" in names.symbols


@pytest.mark.parametrize("name", ["XBT-USD", "btc/usd", "BTC/USDD", "BTC USD"])
def test_an_unknown_name_is_refused_with_what_is_near(names: InstrumentRegistry, name: str) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        names.symbol(name)
    assert "BTC/USD" in caught.value.suggestions
    assert "did you mean" in str(caught.value)


def test_an_ambiguous_name_is_refused_with_all_that_it_may_mean(names: InstrumentRegistry) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        names.symbol("ABCD")
    assert caught.value.suggestions == ("AB/CD", "ABC/D")
    assert names.symbol_or_name("ABCD") == "ABCD"


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("XXBT", "BTC", "XXBT"),
        ("XBT", "BTC", "XXBT"),
        ("BTC", "BTC", "XXBT"),
        ("XXDG", "DOGE", "XXDG"),
        ("ZUSD", "USD", "ZUSD"),
        ("USDT", "USDT", "USDT"),
        ("XTZ", "XTZ", "XTZ"),
        ("XBT.F", "BTC.F", "XBT.F"),
        ("ETH2.S", "ETH2.S", "ETH2.S"),
        ("USD.HOLD", "USD.HOLD", "USD.HOLD"),
        ("NEWCOIN", "NEWCOIN", "NEWCOIN"),
    ],
)
def test_assets(names: InstrumentRegistry, name: str, ours: str, theirs: str) -> None:
    assert names.asset(name) == ours
    assert names.asset_id(name) == theirs


def test_assets_are_learnt_from_their_list() -> None:
    names = InstrumentRegistry()
    names.add_assets({"XNEW": {"altname": "NEW"}, "USD.M": {"altname": "USD.M"}})
    assert (names.asset("XNEW"), names.asset_id("NEW")) == ("NEW", "XNEW")
    assert names.asset("USD.M") == "USD.M"


def test_the_examples_agree() -> None:
    assert len(IDS) == 21
    names = InstrumentRegistry()
    names.add_pairs(next(e for e in EXAMPLES if e["name"] == "AssetPairs")["response"]["result"])
    assert names.symbols == ("BTC/USD", "SHIB/USD")
    assert split_suffix("XBT.B") == ("XBT", "B")
