"""What an order costs on our side: from the call of `add_order` to its bytes on the socket, and its parts.

The line is a picows connection over loopback whose peer reads and says nothing; answers are given by hand between the
measured calls. The journal is a file that is written and not synced, for a killed process loses nothing of it. Times
are the thread's own, so that a neighbour who takes the core is not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time_ns
from typing import Any

import picows

from kraken_fast.core.clock import SystemClock
from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.journal import FileStorage, Journal, Sync
from kraken_fast.orders.records import NewOrder
from kraken_fast.orders.request import add_params, encode_params, encode_request
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.types import Ack, Instrument, SystemStatus

from .effort import Effort

TOKEN = "HmV7qk0pXo3Yd1r9sT/4nB+ZcLw8eUj2GfRaQ5xIt6k"
BTC = Instrument(
    "BTC/USD", "BTC", "USD", "online", 1, 8, 5, Decimal("0.1"), Decimal("1e-8"), Decimal("0.00005"), Decimal("0.5")
)
TERMS: dict[str, Any] = {
    "symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": Decimal("0.02"),
    "limit_price": Decimal("84190.0"),
}  # fmt: skip
WARM = 200


class _Deaf(picows.WSListener):
    """A peer that reads and says nothing."""


class SocketLine:
    """A trading line on a socket; it keeps the time at which the last write returned."""

    is_up = True
    token = TOKEN

    def __init__(self, transport: picows.WSTransport) -> None:
        self.sent_ns = 0
        self.req_id = 0
        self.listener: Any = None
        self._transport = transport

    def listen(self, listener: Any) -> None:
        """Have everything told to a listener."""
        self.listener = listener

    def gapless_since(self, _ns: int) -> bool:
        """Tell that nothing was missed."""
        return True

    def send(self, text: bytes) -> str:
        """Write to the socket."""
        self._transport.send(picows.WSMsgType.TEXT, text)
        self.sent_ns = thread_time_ns()
        return "written"

    def pong(self) -> None:
        """Tell the exchange's time."""
        for req_id in list(self.listener._pings):
            self.listener.on_reply(Ack("pong", req_id, True, None, None, None, SystemClock().epoch_ns, None))


async def microseconds(orders: int, sync: Sync) -> list[float]:
    """Give the times of orders from the call to the bytes on the socket."""
    server = await picows.ws_create_server(lambda _request: _Deaf(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await picows.ws_connect(_Deaf, f"ws://127.0.0.1:{port}/")
    line = SocketLine(transport)
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(FileStorage(Path(folder) / "journal"), clock, sync=sync, compact_bytes=1 << 30)
        entry = OrderEntry(
            line,  # type: ignore[arg-type]
            journal=journal,
            instruments={"BTC/USD": BTC}.get,
            settings=OrderSettings(tier="pro"),
            clock=clock,
            rng=Random(1),
        )
        starting = asyncio.ensure_future(entry.start())
        await asyncio.sleep(0)
        entry.on_status(SystemStatus("online", None, None, None))
        entry.on_executions((), snapshot=True)
        entry.on_up()
        while not starting.done():
            await asyncio.sleep(0.001)
            line.pong()
        times = [await _one(entry, line) for _ in range(WARM + orders)]
        await entry.close()
    transport.disconnect()
    server.close()
    return times[WARM:]


async def _one(entry: OrderEntry, line: SocketLine) -> float:
    entry.table.budget.pair("BTC/USD").correct(0, 0)
    call = entry.add_order(**TERMS)
    began_ns = thread_time_ns()
    waiting = call.send(None)  # runs until it waits for its acknowledgement
    took_us = (line.sent_ns - began_ns) / 1000
    waiting.cancel()
    call.close()
    name = next(reversed(entry.table._names))
    req_id = next(reversed(entry.table._pending))
    line.listener.on_reply(Ack("add_order", req_id, False, "EOrder:Insufficient funds", None, None, None, None))
    assert entry.table.find(name) is not None
    if not req_id % 16:
        await asyncio.sleep(0)
    return took_us


def encode_us(rounds: int) -> float:
    """Give the time of writing one order's request, from its parameters."""
    order = NewOrder(**TERMS, cl_ord_id="6d1b345e-2821-40e2-ad83-4ecb18a06876")
    params = {**add_params(order), "deadline": "2026-11-22T10:15:09.500Z"}
    return _best(lambda: encode_request("add_order", encode_params(params), TOKEN, 41), rounds)


def check_us(rounds: int) -> float:
    """Give the time of reading and checking one order by itself."""
    return _best(lambda: add_params(NewOrder(**TERMS, cl_ord_id="grid-0001")), rounds)


def _best(run: Callable[[], object], rounds: int) -> float:
    count = 2000
    times = []
    for _ in range(rounds):
        began_ns = thread_time_ns()
        for _ in range(count):
            run()
        times.append((thread_time_ns() - began_ns) / count / 1000)
    return min(times)


def figures(effort: Effort) -> dict[str, float]:
    """Measure all."""
    orders = 1000 if effort.round_ms > 50 else 200
    rounds = [asyncio.run(microseconds(orders, Sync.NEVER)) for _ in range(effort.rounds)]
    return {
        "add_order_us": min(median(times) for times in rounds),
        "encode_us": encode_us(effort.rounds),
        "check_us": check_us(effort.rounds),
    }


def bench_add_order(benchmark: Any) -> None:
    benchmark.pedantic(lambda: asyncio.run(microseconds(200, Sync.NEVER)), rounds=1)


def bench_encode(benchmark: Any) -> None:
    benchmark.pedantic(lambda: encode_us(1), rounds=3)


def bench_journal(benchmark: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(FileStorage(Path(folder) / "journal"), SystemClock(), sync=Sync.NEVER, compact_bytes=1 << 30)
        record = b'{"k":"add","n":["x"],"t":1,"d":2,"p":%s}' % (b'"' + b"x" * 350 + b'"')
        benchmark(lambda: journal.append(record))
        journal.close()
