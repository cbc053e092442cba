"""Trades with python-kraken-sdk: argv is one line of JSON with the addresses; prints what it saw as JSON.

Unchanged but for address and key. Run by test_foreign_clients.py in an interpreter that has the package.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from kraken.spot import SpotWSClient

PLACES = json.loads(sys.argv[1])
ORDER = {"order_type": "limit", "side": "buy", "order_qty": 0.01, "symbol": "BTC/USD", "limit_price": 100.0}


class Client(SpotWSClient):
    """Keeps what it got."""

    def __init__(self, auth_url: str) -> None:
        self.seen: list[Any] = []
        super().__init__(
            key=PLACES["api_key"],
            secret=PLACES["api_secret"],
            rest_url=PLACES["rest_url"],
            ws_url=PLACES["ws_url"].removesuffix("/v2"),
            auth_ws_url=auth_url.removesuffix("/v2"),
        )

    async def on_message(self, message: Any) -> None:
        self.seen.append(message)

    def rows(self, channel: str) -> list[Any]:
        return [row for message in self.seen if message.get("channel") == channel for row in message["data"]]

    async def until(self, found: Callable[[Any], bool]) -> Any:
        for _ in range(500):
            for message in self.seen:
                if found(message):
                    return message
            await asyncio.sleep(0.01)
        raise TimeoutError(json.dumps(self.seen)[-2000:])

    async def do(self, method: str, req_id: int, **params: Any) -> Any:
        await self.send_message({"method": method, "params": params, "req_id": req_id})
        return await self.until(lambda message: message.get("req_id") == req_id and "success" in message)


async def main() -> None:
    client = Client(PLACES["ws_auth_url"])
    await client.start()
    await client.subscribe(params={"channel": "ticker", "symbol": ["BTC/USD"]})
    await client.subscribe(params={"channel": "executions", "snap_trades": True})
    await client.subscribe(params={"channel": "balances"})
    await client.until(lambda message: message.get("channel") == "balances")
    await client.until(lambda message: message.get("channel") == "ticker")
    answers = {
        "add": await client.do("add_order", 11, cl_ord_id="sdk-1", **ORDER),
        "amend": await client.do("amend_order", 12, cl_ord_id="sdk-1", order_qty=0.02),
        "cancel": await client.do("cancel_order", 13, cl_ord_id=["sdk-1"]),
        "market": await client.do("add_order", 14, order_type="market", side="buy", order_qty=0.01, symbol="BTC/USD"),
        "batch": await client.do(
            "batch_add",
            15,
            symbol="BTC/USD",
            orders=[{name: value for name, value in ORDER.items() if name != "symbol"}] * 2,
        ),
        "after": await client.do("cancel_all_orders_after", 16, timeout=60),
        "all": await client.do("cancel_all", 17),
        "refused": await client.do("add_order", 18, **{**ORDER, "order_qty": 0.0000001}),
    }
    await client.until(lambda message: "filled" in str(message))
    executions, balances = client.rows("executions"), client.rows("balances")
    failed = client.exception_occur
    await client.close()
    level3 = Client(PLACES["ws_l3_url"])
    await level3.start()
    await level3.subscribe(params={"channel": "level3", "symbol": ["BTC/USD"]})
    book = await level3.until(lambda message: message.get("channel") == "level3")
    await level3.close()
    seen = {"answers": answers, "executions": executions, "balances": balances, "failed": failed, "book": book}
    print(json.dumps(seen))


asyncio.run(main())
