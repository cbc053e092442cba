"""Trades with ccxt pro: argv is one line of JSON with the addresses; prints what it saw as JSON.

Unchanged but for address and key. Run by test_foreign_clients.py in an interpreter that has the package.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import ccxt.pro

PLACES = json.loads(sys.argv[1])


async def main() -> None:
    exchange = ccxt.pro.kraken({"apiKey": PLACES["api_key"], "secret": PLACES["api_secret"], "newUpdates": True})
    if "ca_file" in PLACES:
        exchange.cafile = PLACES["ca_file"]
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = PLACES["rest_url"]
    exchange.urls["api"]["ws"] |= {"publicV2": PLACES["ws_url"], "privateV2": PLACES["ws_auth_url"]}
    seen: dict[str, Any] = {"orders": [], "trades": []}

    async def watch_orders() -> None:
        while True:
            seen["orders"] += [dict(order) for order in await exchange.watch_orders()]

    async def watch_trades() -> None:
        while True:
            seen["trades"] += [dict(trade) for trade in await exchange.watch_my_trades()]

    try:
        seen["book"] = (await exchange.watch_order_book("BTC/USD"))["bids"][:1]
        balance = asyncio.create_task(exchange.watch_balance())
        watching = [asyncio.create_task(watch_orders()), asyncio.create_task(watch_trades())]
        seen["balance"] = (await balance)["total"]
        limit = await exchange.create_order_ws("BTC/USD", "limit", "buy", 0.01, 100.0)
        seen["limit"] = limit
        seen["edited"] = await exchange.edit_order_ws(limit["id"], "BTC/USD", "limit", "buy", 0.02, 101.0)
        seen["canceled"] = await exchange.cancel_order_ws(limit["id"])
        seen["market"] = await exchange.create_order_ws("BTC/USD", "market", "buy", 0.01)
        other = await exchange.create_order_ws("BTC/USD", "limit", "buy", 0.01, 100.0, {"postOnly": True})
        stop = await exchange.create_order_ws("BTC/USD", "market", "sell", 0.01, None, {"stopLossPrice": 50.0})
        seen["canceled_both"] = await exchange.cancel_orders_ws([other["id"], stop["id"]])
        seen["all"] = await exchange.cancel_all_orders_ws()
        try:
            await exchange.create_order_ws("BTC/USD", "limit", "buy", 1000.0, 1000.0)
        except ccxt.ExchangeError as error:
            seen["refused"] = f"{type(error).__name__}: {error}"
        for _ in range(100):
            if any(order["status"] == "closed" for order in seen["orders"]):
                break
            await asyncio.sleep(0.02)
        for task in watching:
            task.cancel()
    finally:
        await exchange.close()
    print(json.dumps(seen))


asyncio.run(main())
