"""The way to the exchange in this process: bytes there and back, in order, never from within the call that sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import pytest

from kraken_fast.errors import ConnectError
from kraken_fast.paper import wire as paper_wire
from kraken_fast.paper.wire import PaperTransport, PaperWire
from kraken_fast.rest.http import HttpRequest
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.frames import OP_TEXT, encode_frame

UPGRADE = (
    b"GET /auth/v2 HTTP/1.1\r\nHost: paper\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Client(asyncio.Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.head, self.data = b"", b""
        self.is_lost = False
        self.inside = False

    def data_received(self, data: bytes) -> None:
        assert not self.inside, "delivered from within a call of the client's"
        self.data += data
        if not self.head and b"\r\n\r\n" in self.data:
            self.head, _, self.data = self.data.partition(b"\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.is_lost = True

    def texts(self) -> list[dict[str, object]]:
        found, at = [], 0
        while len(self.data) >= at + 4:
            size, skip = self.data[at + 1], 2
            if size == 126:
                size, skip = int.from_bytes(self.data[at + 2 : at + 4], "big"), 4
            assert self.data[at] == 0x80 | OP_TEXT
            found.append(json.loads(self.data[at + skip : at + skip + size]))
            at += skip + size
        return found


async def connected(wire: PaperWire) -> tuple[PaperTransport, Client]:
    transport, client = await wire.create_connection(Client, "anywhere", 1, ssl=None)
    assert isinstance(client, Client)
    client.inside = True
    transport.write(UPGRADE)
    client.inside = False
    await until(lambda: client.head)
    return transport, client


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)


def core() -> ExchangeCore:
    return ExchangeCore(["BTC/USD"], seed=1, now_ns=time.time_ns, rate=0.0)


def frame(request: dict[str, object]) -> bytes:
    return encode_frame(OP_TEXT, json.dumps(request).encode(), mask=b"\1\2\3\4")


@pytest.mark.both_loops
async def test_bytes_go_there_and_back() -> None:
    wire, looks = PaperWire(), []
    exchange = core()
    wire.attach(exchange, lambda: looks.append(1))
    transport, client = await connected(wire)
    assert client.head.startswith(b"HTTP/1.1 101")
    for number in range(3):
        transport.write(frame({"method": "ping", "req_id": number}))
    await until(lambda: len(client.texts()) == 4)
    assert [text.get("req_id") for text in client.texts()[1:]] == [0, 1, 2]
    assert len(looks) >= 3  # the market is brought up to date before anything is carried out
    transport.close()
    await until(lambda: client.is_lost and not exchange.lines)
    await wire.close()


async def test_what_happens_by_itself_is_delivered_when_it_is_due() -> None:
    wire, exchange = PaperWire(), core()
    wire.attach(exchange, lambda: None)
    transport, client = await connected(wire)
    transport.write(frame({"method": "cancel_order", "params": {}, "req_id": 1}))
    exchange.lines[1].session.poll()
    exchange.faults.inject("text", text='{"channel":"heartbeat"}')
    wire.wake()
    await until(lambda: any(text.get("channel") == "heartbeat" for text in client.texts()))
    await wire.close()
    assert transport.is_closing()


async def test_a_client_that_stops_reading_gets_all_of_it_later_and_is_cut_when_too_much_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire, exchange = PaperWire(), core()
    wire.attach(exchange, lambda: None)
    transport, client = await connected(wire)
    transport.pause_reading()
    for number in range(5):
        transport.write(frame({"method": "ping", "req_id": number}))
    await asyncio.sleep(0.02)
    before = len(client.texts())
    transport.resume_reading()
    await until(lambda: len(client.texts()) == before + 5)
    monkeypatch.setattr(paper_wire, "UNREAD_MAX", 3)
    transport.pause_reading()
    for number in range(5):
        transport.write(frame({"method": "ping", "req_id": number}))
        await asyncio.sleep(0.005)
    await until(lambda: client.is_lost)
    assert not exchange.lines
    await wire.close()


async def test_latency_is_each_ways() -> None:
    wire, exchange = PaperWire(latency_s=0.02), core()
    wire.attach(exchange, lambda: None)
    transport, client = await connected(wire)
    began = time.monotonic()
    transport.write(frame({"method": "ping", "req_id": 1}))
    await until(lambda: any(text.get("req_id") == 1 for text in client.texts()))
    assert time.monotonic() - began >= 0.04
    answer = await wire.fetch(HttpRequest("GET", "http://127.0.0.1/0/public/Time"))
    assert time.monotonic() - began >= 0.08
    assert json.loads(answer.body)["error"] == []
    await wire.close()


async def test_without_an_exchange_nobody_connects() -> None:
    wire = PaperWire()
    with pytest.raises(ConnectionRefusedError):
        await wire.create_connection(Client)
    with pytest.raises(ConnectError):
        await wire.fetch(HttpRequest("GET", "http://127.0.0.1/0/public/Time"))
    wire.attach(core(), lambda: None)
    await wire.close()
    with pytest.raises(ConnectionRefusedError):
        await wire.create_connection(Client)
