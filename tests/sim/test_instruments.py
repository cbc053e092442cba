"""The recorded instruments, and the names that REST has for them."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import json
import pkgutil
from decimal import Decimal
from importlib import resources

import pytest

import kraken_fast.sim
from kraken_fast.errors import UnknownSymbolError
from kraken_fast.sim.instruments import LEGACY_ASSET_IDS, LEGACY_PAIRS, Listing, start_price
from kraken_fast.sim.reference import loads


def test_the_recording_is_the_one_that_the_index_names() -> None:
    folder = resources.files("kraken_fast.sim").joinpath("data")
    for name, facts in json.loads(folder.joinpath("index.json").read_text()).items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == facts["sha256"]


def test_every_recorded_pair_is_listed_and_written_without_loss() -> None:
    listing = Listing()
    message = loads(listing.message("snapshot"))
    assert (len(listing.pairs), len(listing.assets)) == (683, 296)
    for row in message["data"]["pairs"]:
        pair = listing.pairs[row["symbol"]]
        assert row["price_increment"] == row["tick_size"] == Decimal(1).scaleb(-pair.price_precision)
        assert row["qty_increment"] == Decimal(1).scaleb(-pair.qty_precision)
        assert (row["qty_min"], row["cost_min"]) == (pair.qty_min, pair.cost_min)
        assert start_price(pair) >= 1000
    assert {pair.status for pair in listing.pairs.values()} == {"online", "reduce_only", "cancel_only"}


def test_unknown_symbols_come_with_the_names_that_look_like_them() -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        Listing(["XDG/USD"])
    assert caught.value.suggestions[0] == "DOGE/USD"


def test_rest_names() -> None:
    listing = Listing()
    assert len(LEGACY_ASSET_IDS) == 21
    named = {symbol: (pair.rest_id, pair.altname, pair.wsname) for symbol, pair in listing.pairs.items()}
    assert named["BTC/USD"] == ("XXBTZUSD", "XBTUSD", "XBT/USD")
    assert named["DOGE/BTC"] == ("XXDGXXBT", "XDGXBT", "XDG/XBT")
    assert named["DOGE/USD"] == ("XDGUSD", "XDGUSD", "XDG/USD")
    assert named["EUR/USD"] == ("ZEURZUSD", "EURUSD", "EUR/USD")
    assert named["SOL/USD"] == ("SOLUSD", "SOLUSD", "SOL/USD")
    assert len({rest_id for rest_id, _, _ in named.values()}) == 683
    odd = {symbol for symbol, (rest_id, altname, _) in named.items() if rest_id != altname}
    assert odd == LEGACY_PAIRS & set(listing.pairs)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(kraken_fast.sim.__path__)])
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"kraken_fast.sim.{name}")).failed == 0
