"""Names: every spelling of a pair means one symbol, on the way in and in every question."""

from __future__ import annotations

import pytest

import kraken_fast
from kraken_fast.names import canonical_asset, canonical_symbol
from kraken_fast.sim import Exchange
from kraken_fast.sim.instruments import Listing


@pytest.mark.fault("K16", kind="U")
@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XBTUSD", "BTC/USD"),
        ("XBT/USD", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("XXDGZUSD", "DOGE/USD"),
        ("XDG/EUR", "DOGE/EUR"),
        ("XETHXXBT", "ETH/BTC"),
        ("ZEURZUSD", "EUR/USD"),
        ("XBTUSDT", "BTC/USDT"),
        ("TSLAx/USD", "TSLAx/USD"),
        ("XTZUSD", "XTZ/USD"),
        ("XCNUSD", "XCN/USD"),
        ("btc/usd", "btc/usd"),
        ("USD", "USD"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_every_spelling_means_one_symbol(name: str, symbol: str) -> None:
    assert canonical_symbol(name) == symbol
    assert canonical_symbol(symbol) == symbol


def test_recorded_symbols_are_themselves() -> None:
    symbols = list(Listing(None).pairs)
    assert len(symbols) == 683
    assert [canonical_symbol(symbol) for symbol in symbols] == symbols
    assert all(canonical_asset(leg) == leg for symbol in symbols for leg in symbol.split("/"))


@pytest.mark.fault("K16", kind="L")
async def test_a_feed_takes_any_spelling_and_answers_with_one() -> None:
    async with Exchange(["BTC/USD", "DOGE/USD"], seed=5, rate=50.0) as ex:
        names = ["XXBTZUSD", "XBT/USD", "XDG/USD"]
        async with kraken_fast.connect(names, ws_url=ex.ws_url, rest_url=ex.rest_url) as feed:
            assert feed.symbols == ("BTC/USD", "DOGE/USD"), "spellings of one pair are merged"
            assert feed.book("XBTUSD").symbol == feed.book("BTC/USD").symbol == "BTC/USD"
            assert feed.live_book("XDG/USD") is feed.live_book("DOGE/USD")
            assert feed.instrument("XXBTZUSD").symbol == "BTC/USD"
            assert not feed.refused
            feed.unsubscribe(["XBTUSD"])
            with pytest.raises(kraken_fast.UnknownSymbolError):
                feed.book("BTC/USD")
