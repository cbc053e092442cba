"""The private host on real sockets and in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from kraken_fast.sim import Exchange, ExchangeCore
from kraken_fast.sim.network import HOST, PORT, Network
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run

ORDER = {"order_type": "limit", "side": "buy", "order_qty": 0.01, "symbol": "BTC/USD", "limit_price": 100.0}


async def test_orders_over_loopback() -> None:
    async with (
        Exchange(["BTC/USD"], seed=7, rate=0) as ex,
        aiohttp.ClientSession() as http,
        http.ws_connect(ex.ws_auth_url) as socket,
    ):
        token = ex.core.private.tokens.issue(ex.account, ex.account.keys[0], ex.core.now_ns())[0]
        for channel in ("executions", "balances"):
            await socket.send_json({"method": "subscribe", "params": {"channel": channel, "token": token}})
        await socket.send_json({"method": "add_order", "params": {**ORDER, "token": token}, "req_id": 5})
        kinds = []
        while len(kinds) < 3:
            message = json.loads(await socket.receive_str(timeout=5))
            if message.get("method") == "add_order":
                assert message["result"]["order_id"] in ex.account.orders
                kinds.append("answer")
            elif message.get("channel") == "executions" and message["type"] == "update":
                kinds.append(message["data"][0]["exec_type"])
        assert sorted(kinds) == ["answer", "new", "pending_new"]


def test_the_hosts_have_names_in_virtual_time() -> None:
    timeline = Timeline()
    loop = VirtualLoop(timeline)
    core = ExchangeCore(["BTC/USD"], seed=3, now_ns=timeline.wall_ns, rate=0)
    Network(loop, core, seed=3)
    texts: list[Any] = []

    async def main() -> None:
        host = f"ws-auth.{HOST}"
        reader, writer = await asyncio.open_connection(host, PORT)
        head = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        writer.write(head.encode() + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        frame = await reader.readuntil(b"}]}")
        texts.append(json.loads(frame[frame.index(b"{") :]))
        assert core.sessions[0].face.name == "private"
        writer.close()

    run(loop, main())
    assert texts[0]["channel"] == "status"
