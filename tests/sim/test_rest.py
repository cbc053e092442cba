"""The public REST API: Kraken's shapes, names and errors."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest


def test_time_and_status(box: Any) -> None:
    assert box.rest("Time")["result"] == {
        "unixtime": 1_795_000_000,
        "rfc1123": "Wed, 18 Nov 26 11:06:40 +0000",
    }
    status = box.rest("SystemStatus")["result"]
    assert status == {
        "status": "online",
        "timestamp": "2026-11-18T11:06:40Z",
        "upcoming_maintenance": [],
        "emergency": [],
    }


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("Nothing", "", "EGeneral:Unknown method"),
        ("Ticker", "pair=NOPE", "EQuery:Unknown asset pair"),
        ("AssetPairs", "pair=XBTUSD,NOPE", "EQuery:Unknown asset pair"),
        ("Assets", "asset=NOPE", "EQuery:Unknown asset"),
        ("Depth", "", "EGeneral:Invalid arguments"),
        ("Depth", "pair=XBTUSD&count=501", "EGeneral:Invalid arguments"),
        ("OHLC", "pair=XBTUSD&interval=2", "EGeneral:Invalid arguments"),
        ("OHLC", "pair=XBTUSD&interval=x", "EGeneral:Invalid arguments"),
        ("Trades", "pair=XBTUSD&since=x", "EGeneral:Invalid arguments"),
    ],
)
def test_refusals_come_with_status_200_and_without_result(
    box: Any, path: str, query: str, error: str
) -> None:
    assert box.rest(path, query) == {"error": [error]}
    assert box.core.http("GET", f"/0/public/{path}", query).status == 200


def test_posting_to_a_public_endpoint_and_private_ones_are_refused(box: Any) -> None:
    assert box.core.http("POST", "/0/public/Time").body == b'{"error":["EGeneral:Unknown method"]}'
    assert box.core.http("POST", "/0/private/Balance").body == b'{"error":["EAPI:Invalid key"]}'


@pytest.mark.parametrize("name", ["XXBTZUSD", "XBTUSD", "BTCUSD"])
@pytest.mark.parametrize("path", ["AssetPairs", "Ticker", "Depth", "OHLC", "Trades", "Spread"])
def test_answers_are_keyed_by_the_pair_id_whatever_was_asked(box: Any, path: str, name: str) -> None:
    assert next(iter(box.rest(path, f"pair={name}")["result"])) == "XXBTZUSD"


def test_a_name_with_a_slash_answers_as_asked_and_asset_version_1_by_symbol(box: Any) -> None:
    assert list(box.rest("AssetPairs", "pair=BTC/USD")["result"]) == ["BTC/USD"]
    assert list(box.rest("Ticker", "pair=XBTUSD&assetVersion=1")["result"]) == ["BTC/USD"]
    assert list(box.rest("Assets", "assetVersion=1")["result"]) == ["USD", "BTC", "ETH"]


def test_assets_and_pairs_have_the_documented_members(make_box: Any) -> None:
    box = make_box(["BTC/USD", "DOGE/BTC", "SHIB/USD"])
    assets = box.rest("Assets")["result"]
    assert set(assets) == {"XXBT", "ZUSD", "XXDG", "SHIB"}
    assert assets["XXBT"] == {
        "aclass": "currency",
        "altname": "XBT",
        "decimals": 10,
        "display_decimals": 5,
        "collateral_value": 1,
        "status": "enabled",
        "margin_rate": "0.01",
    }
    pairs = box.rest("AssetPairs")["result"]
    assert list(pairs) == ["XXBTZUSD", "XXDGXXBT", "SHIBUSD"]
    btc, shib = pairs["XXBTZUSD"], pairs["SHIBUSD"]
    assert (btc["altname"], btc["wsname"], btc["base"], btc["quote"]) == ("XBTUSD", "XBT/USD", "XXBT", "ZUSD")
    assert (btc["tick_size"], btc["ordermin"], btc["costmin"]) == ("0.1", "0.0001", "0.5")
    assert btc["leverage_buy"] == [2, 3, 4, 5]
    assert (btc["long_position_limit"], "long_position_limit" in shib) == (300, False)
    assert (shib["lot"], shib["lot_decimals"], shib["tick_size"]) == ("unit5", 5, "0.00000001")
    assert box.rest("AssetPairs", "pair=XBTUSD&info=margin")["result"] == {
        "XXBTZUSD": {"margin_call": 80, "margin_level": 40}
    }
    assert set(box.rest("AssetPairs", "pair=XBTUSD&info=fees")["result"]["XXBTZUSD"]) == {
        "fees",
        "fees_maker",
        "fee_volume_currency",
    }


def test_all_683_pairs_have_distinct_ids_and_38_odd_ones_are_known(make_box: Any) -> None:
    pairs = make_box("all").rest("AssetPairs")["result"]
    assert len(pairs) == 683
    for key in ("XETHXXBT", "XXDGXXBT", "ZEURZUSD", "ZUSDZJPY", "XBTUSDT", "XDGUSD", "XTZUSD", "ETHAUD"):
        assert key in pairs, key


def test_the_ticker_is_the_streams_with_its_oddities(box: Any) -> None:
    box.step(300)
    row = box.rest("Ticker", "pair=XBTUSD")["result"]["XXBTZUSD"]
    truth = box.core.market("BTC/USD").ticker()
    assert Decimal(row["a"][0]) == truth.ask
    assert Decimal(row["b"][0]) == truth.bid
    assert row["a"][1:] == ["1", "1.000"], "whole lots, never none"
    assert Decimal(row["c"][0]) == truth.last
    assert len(row["c"][0].split(".")[1]) == 5
    assert (Decimal(row["v"][1]), row["t"][1]) == (truth.volume, truth.trades)
    assert (Decimal(row["l"][1]), Decimal(row["h"][1])) == (truth.low, truth.high)


def test_without_names_the_ticker_opens_no_market(make_box: Any) -> None:
    box = make_box("all")
    box.core.market("BTC/USD")
    rows = box.rest("Ticker")["result"]
    assert len(rows) == 683
    assert rows["XETHZUSD"]["a"] == ["0.00000", "0", "0.000"]
    assert rows["XXBTZUSD"]["a"][0] != "0.00000"
    assert list(box.core.opened) == ["BTC/USD"]


def test_depth_is_the_book_with_three_decimals_of_quantity(box: Any) -> None:
    book = box.rest("Depth", "pair=XBTUSD&count=5")["result"]["XXBTZUSD"]
    truth = box.core.market("BTC/USD").truth()
    assert [Decimal(row[0]) for row in book["bids"]] == [price for price, _ in truth.bids[:5]]
    assert [Decimal(row[0]) for row in book["asks"]] == [price for price, _ in truth.asks[:5]]
    assert all(len(row[1].split(".")[1]) == 3 and isinstance(row[2], int) for row in book["asks"])


def test_candles_are_gapless_and_last_is_the_newest_committed_one(box: Any) -> None:
    box.step(50)
    box.clock.sleep(300)
    result = box.rest("OHLC", "pair=XBTUSD")["result"]
    rows, last = result["XXBTZUSD"], result["last"]
    assert all(after[0] - before[0] == 60 for before, after in pairwise(rows))
    assert last == rows[-2][0]
    assert rows[-1][0] <= box.clock.time_ns // 10**9 < rows[-1][0] + 60
    empty = rows[-1]
    assert empty[1:5] == [empty[4]] * 4
    assert empty[5:] == ["0.0", "0.00000000", 0]
    later = box.rest("OHLC", f"pair=XBTUSD&since={rows[3][0]}")["result"]["XXBTZUSD"]
    assert later[0] == rows[3], "inclusive"


def test_a_page_of_candles_has_721_rows(box: Any) -> None:
    box.clock.sleep(2 * 24 * 3600)
    assert len(box.rest("OHLC", "pair=XBTUSD")["result"]["XXBTZUSD"]) == 721


def test_trades_page_without_loss_or_repeat(box: Any) -> None:
    box.step(500)
    truth = list(box.core.market("BTC/USD").trades)
    since, found = "0", []
    while True:
        result = box.rest("Trades", f"pair=XBTUSD&since={since}&count=20")["result"]
        since = result["last"]
        if not result["XXBTZUSD"]:
            break
        found += result["XXBTZUSD"]
    assert isinstance(since, str)
    assert [row[6] for row in found] == [trade.trade_id for trade in truth]
    assert Decimal(found[-1][0]) == truth[-1].price
    assert box.rest("Trades", "pair=XBTUSD&count=7")["result"]["XXBTZUSD"][-1][6] == truth[-1].trade_id


def test_spread_tells_changes_of_the_best_prices(box: Any) -> None:
    box.step(300)
    result = box.rest("Spread", "pair=XBTUSD")["result"]
    rows = result["XXBTZUSD"]
    quote = box.core.market("BTC/USD").quote()
    assert [Decimal(rows[-1][1]), Decimal(rows[-1][2])] == [quote.bid, quote.ask]
    assert result["last"] == rows[-1][0]
    assert len(rows) <= 200
