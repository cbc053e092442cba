"""Trades over REST with krakenex, python-kraken-sdk or ccxt: prints what each call came to as JSON.

    python rest_clients.py krakenex|sdk|ccxt '{"rest_url": ..., "api_key": ..., "api_secret": ...}'

Unchanged but for address and key. Run by test_foreign_clients.py in an interpreter that has the packages. The output
is one object: for each call `ok`, or what the client raised. What a later call needs is passed on; what a client
itself gets wrong is left out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

PLACES = json.loads(sys.argv[2])
came: dict[str, str] = {}


def step(name: str, call: Callable[[], Any]) -> Any:
    """Make a call, keep what it came to, and give its answer, or None."""
    assert name not in came, name
    time.sleep(0.002)  # krakenex counts its nonces in milliseconds, and the box answers sooner
    try:
        answer = call()
        if isinstance(answer, dict) and answer.get("error"):
            raise RuntimeError(str(answer["error"]))
    except Exception as error:
        came[name] = f"{type(error).__name__}: {error}"
        return None
    came[name] = "ok"
    return answer


def krakenex() -> None:
    import krakenex as library

    api = library.API(PLACES["api_key"], PLACES["api_secret"])
    api.uri = PLACES["rest_url"]
    public: dict[str, dict[str, str]] = {
        "Time": {}, "SystemStatus": {}, "Assets": {}, "Ticker": {"pair": "XBTUSD"},
        "AssetPairs": {"pair": "XBTUSD,ETHUSD", "info": "fees"}, "OHLC": {"pair": "XBTUSD", "interval": "60"},
        "Depth": {"pair": "XBTUSD", "count": "3"}, "Trades": {"pair": "XBTUSD", "count": "2"},
        "Spread": {"pair": "XBTUSD"}, "GroupedBook": {"pair": "BTC/USD"}, "PreTrade": {"symbol": "BTC/USD"},
        "PostTrade": {"symbol": "BTC/USD", "count": "2"}, "MaintenanceSchedule": {},
    }  # fmt: skip
    answers = {
        name: step(name, lambda: api.query_public(name, fields))  # noqa: B023
        for name, fields in public.items()
    }
    bid = float(answers["Ticker"]["result"]["XXBTZUSD"]["b"][0])

    def ask(method: str, **fields: Any) -> Any:
        return step(" ".join([method, *fields]), lambda: api.query_private(method, fields))

    def sell(kind: str, **fields: str) -> Any:
        label = " ".join(["AddOrder", kind, *(f"{name}={text}" for name, text in fields.items())])
        order = {"pair": "XXBTZUSD", "type": "sell", "ordertype": kind, "volume": "0.01", **fields}
        return step(label, lambda: api.query_private("AddOrder", order))

    def price(part: float) -> str:
        return f"{bid * part:.1f}"

    sell("limit", price=price(1.1), **{"close[ordertype]": "limit", "close[price]": "#5%"})
    placed = sell("limit", price=price(1.1))
    txid = placed["result"]["txid"][0]
    ask("OpenOrders", trades=True)
    ask("QueryOrders", txid=txid)
    ask("AmendOrder", txid=txid, limit_price=price(1.2))
    ask("CancelOrder", txid=txid)
    sell("market")
    sell("stop-loss", price=price(0.8))
    sell("take-profit", price=price(1.2))
    sell("stop-loss-limit", price=price(0.8), price2=price(0.79))
    sell("take-profit-limit", price=price(1.2), price2=price(1.19))
    sell("iceberg", price=price(1.2), displayvol="0.002")
    sell("trailing-stop", price="+5%")
    sell("trailing-stop-limit", price="+5%", price2="-1%")
    sell("limit", price="+5%")
    sell("limit", price=price(1.2), timeinforce="GTD", expiretm="+60")
    sell("limit", price=price(1.2), starttm="+30")
    sell("limit", price=price(1.2), stptype="cancel-both", userref="7")
    sell("market", validate="true")
    step("CancelOrder by userref", lambda: api.query_private("CancelOrder", {"txid": "7"}))
    ask("CancelAll")
    for method in (
        "TradesHistory", "ClosedOrders", "Balance", "BalanceEx", "TradeBalance", "OpenPositions", "TradeVolume",
        "GetApiKeyInfo", "CreditLines", "GetWebSocketsToken",
    ):  # fmt: skip
        ask(method)
    ask("Ledgers", asset="XBT")
    ask("Level3", pair="XBTUSD")
    far = {"pair": "XXBTZUSD", "type": "sell", "ordertype": "limit", "volume": "100000", "price": price(1.2)}
    step("AddOrder beyond the funds", lambda: api.query_private("AddOrder", far))


def sdk() -> None:
    from kraken.spot import Market, Trade, User

    key = {"key": PLACES["api_key"], "secret": PLACES["api_secret"], "url": PLACES["rest_url"]}
    market, user, trade = Market(url=PLACES["rest_url"]), User(**key), Trade(**key)
    for name in ("get_assets", "get_asset_pairs", "get_system_status"):
        step(name, getattr(market, name))
    for name in ("get_ohlc", "get_order_book", "get_recent_trades", "get_recent_spreads"):
        step(name, lambda: getattr(market, name)(pair="XBTUSD"))  # noqa: B023
    bid = float(step("get_ticker", lambda: market.get_ticker(pair="XBTUSD"))["XXBTZUSD"]["b"][0])
    for name in ("get_account_balance", "get_balances", "get_trade_balance", "get_open_positions", "get_closed_orders"):
        step(name, getattr(user, name))
    step("get_balance", lambda: user.get_balance(currency="XBT"))

    def limit(part: float, qty: float = 0.01) -> dict[str, Any]:
        return {"ordertype": "limit", "side": "buy", "volume": qty, "price": round(bid * part, 1)}

    order = step("create_order", lambda: trade.create_order(**limit(0.9), pair="XBTUSD", oflags=["post"]))
    txid = order["txid"][0]
    step("get_open_orders", lambda: user.get_open_orders(trades=True)["open"][txid])
    step("get_orders_info", lambda: user.get_orders_info(txid=txid)[txid])
    step("amend_order", lambda: trade.amend_order(extra_params={"txid": txid, "limit_price": f"{bid * 0.88:.1f}"}))
    step("get_order_amends", lambda: user.get_order_amends(order_id=txid)["count"])
    more = {"volume": 0.02, "price": round(bid * 0.85, 1)}
    edited = step("edit_order", lambda: trade.edit_order(txid=txid, pair="XBTUSD", **more))
    step("cancel_order", lambda: trade.cancel_order(txid=edited["txid"]))
    step("market", lambda: trade.create_order(ordertype="market", side="sell", pair="XBTUSD", volume=0.01))
    pair_of = [
        {"ordertype": "limit", "type": "buy", "price": round(bid * part, 1), "volume": 0.01} for part in (0.8, 0.79)
    ]
    batch = step("create_order_batch", lambda: trade.create_order_batch(orders=pair_of, pair="XBTUSD"))
    step("cancel_order_batch", lambda: trade.cancel_order_batch(orders=[each["txid"] for each in batch["orders"]]))
    step("cancel_all_orders", trade.cancel_all_orders)
    step("cancel_all_orders_after_x", lambda: trade.cancel_all_orders_after_x(60))
    trades = step("get_trades_history", user.get_trades_history)
    step("get_trades_info", lambda: user.get_trades_info(txid=next(iter(trades["trades"]))))
    ledger = step("get_ledgers_info", user.get_ledgers_info)
    step("get_ledgers", lambda: user.get_ledgers(id_=next(iter(ledger["ledger"]))))
    step("get_trade_volume", lambda: user.get_trade_volume(pair="XBTUSD"))
    report = step(
        "request_export_report", lambda: user.request_export_report(report="ledgers", description="x", format_="CSV")
    )
    step("get_export_report_status", lambda: user.get_export_report_status(report="ledgers"))
    time.sleep(5.2)  # a report takes the box some seconds, as it does the exchange
    step("retrieve_export", lambda: b"".join(user.retrieve_export(id_=report["id"]).iter_content(512)))
    step("delete_export_report", lambda: user.delete_export_report(id_=report["id"], type_="delete"))
    step("insufficient", lambda: trade.create_order(**limit(1, 10_000), pair="XBTUSD"))  # refused


def ccxt() -> None:
    import ccxt as library

    api = library.kraken({"apiKey": PLACES["api_key"], "secret": PLACES["api_secret"], "requests_trust_env": True})
    api.urls["api"] = {
        name: PLACES["rest_url"] if "kraken" in str(url) else url for name, url in api.urls["api"].items()
    }
    pair, since = "BTC/USD", int(time.time() * 1000) - 600_000
    for name in ("load_markets", "fetch_time", "fetch_status", "fetch_currencies", "fetch_balance", "fetch_positions"):
        step(name, getattr(api, name))
    for name in ("fetch_order_book", "fetch_ohlcv", "fetch_trades", "fetch_trading_fee"):
        step(name, lambda: getattr(api, name)(pair))  # noqa: B023
    step("fetch_tickers", lambda: api.fetch_tickers([pair, "ETH/USD"]))
    step("fetch_ohlcv since", lambda: api.fetch_ohlcv(pair, "5m", since=since, limit=5))
    bid = step("fetch_ticker", lambda: api.fetch_ticker(pair))["bid"]

    def order(label: str, kind: str, side: str, part: float | None, **params: Any) -> Any:
        price = None if part is None else round(bid * part, 1)
        return step(label, lambda: api.create_order(pair, kind, side, 0.01, price, params))

    first = order("create limit", "limit", "buy", 0.9, clientOrderId="ccxt-1", postOnly=True)["id"]
    step("fetch_order", lambda: api.fetch_order(first))
    step("fetch_open_orders", lambda: api.fetch_open_orders(pair))
    step("edit_order", lambda: api.edit_order(first, pair, "limit", "buy", 0.02, round(bid * 0.89, 1)))
    step("cancel_order", lambda: api.cancel_order(first, pair))
    market = order("create market", "market", "buy", None)["id"]
    step("market by cost", lambda: api.create_market_order_with_cost(pair, "buy", 100))
    order("stop loss", "market", "sell", None, stopLossPrice=round(bid * 0.9, 1))
    order("take profit limit", "limit", "sell", 1.19, takeProfitPrice=round(bid * 1.2, 1))
    order("stop loss limit", "limit", "sell", 0.79, stopLossPrice=round(bid * 0.8, 1))
    order("with stop", "limit", "buy", 0.8, stopLoss={"triggerPrice": round(bid * 0.7, 1)})
    order("expiring", "limit", "buy", 0.8, expiretm="+60")
    order("ioc", "limit", "sell", 1.2, timeInForce="IOC")
    two = [
        {"symbol": pair, "type": "limit", "side": "buy", "amount": 0.01, "price": round(bid * part, 1)}
        for part in (0.8, 0.81)
    ]
    step("create_orders", lambda: api.create_orders(two))
    order("by client id", "limit", "buy", 0.7, clientOrderId="ccxt-9")
    step("cancel by client id", lambda: api.cancel_order("", pair, {"clientOrderId": "ccxt-9"}))
    step("fetch_my_trades", lambda: api.fetch_my_trades(pair, since=since, limit=5))
    step("fetch_closed_orders", lambda: api.fetch_closed_orders(pair, since=since))
    traded = {"trades": api.fetch_order(market)["info"].get("trades")}
    step("fetch_order_trades", lambda: api.fetch_order_trades(market, pair, None, None, traded))
    step("fetch_ledger", lambda: api.fetch_ledger("BTC"))
    step("cancel_orders", lambda: api.cancel_orders([each["id"] for each in api.fetch_open_orders(pair)][:2]))
    step("cancel_all_orders", api.cancel_all_orders)
    step("cancel_all_orders_after", lambda: api.cancel_all_orders_after(60_000))
    step("insufficient", lambda: api.create_order(pair, "limit", "buy", 10_000, round(bid, 1)))  # refused
    step("fetch unknown", lambda: api.fetch_order("OAAAAA-BBBBB-CCCCCC"))  # refused


{"krakenex": krakenex, "sdk": sdk, "ccxt": ccxt}[sys.argv[1]]()
print(json.dumps(came))
