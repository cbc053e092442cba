"""Faults of REST through the whole client: on real sockets, and against the exchange's own counters in virtual time."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
import report
from rest_box import Boxed, World

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import (
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseError,
    UnavailableError,
)
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import KeyState, MemoryNonces
from kraken_fast.sim.account import NewAccount

KEY_INFO = b'{"error":[],"result":{"permissions":["query-funds","modify-trades"]}}'
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "1", "cl_ord_id": "kf-7"}


class Edge:
    """An HTTP server that answers the key's check properly, and anything else as its script says."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.heads: list[bytes] = []
        self.connections = 0
        self.script: list[str] = []

    async def __aenter__(self) -> Edge:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self.answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
        name = head.split(b" ")[1].rpartition(b"/")[2].decode()
        self.heads.append(head)
        if name == "GetApiKeyInfo":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(KEY_INFO) + KEY_INFO)
            return True
        self.seen.append(name)
        how = self.script.pop(0) if self.script else "ok"
        match how:
            case "ok":
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"error":[],"result":{}}')
                return True
            case "close":  # the request arrived, and the connection ends
                return False
            case "silence":
                await asyncio.sleep(30)
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(1000):
                    writer.write(b" ")
                    await asyncio.sleep(0.05)
            case "cut":
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"error":[]')
            case "page":
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>")
                return True
            case "bomb":
                body = gzip.compress(bytes(300 << 20), 1)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )
            case _:
                writer.write(f"HTTP/1.1 307 X\r\nLocation: {how}/x\r\nContent-Length: 0\r\n\r\n".encode())
                return True
        await writer.drain()
        return False


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with Edge() as made:
        yield made


def client_of(edge: Edge, **settings: Any) -> RestClient:
    return RestClient(
        Credentials("SIMKEYfaults", "c2VjcmV0"),
        endpoints=Endpoints(rest_url=edge.url),
        settings=RestSettings(limits=False, **settings),
        nonces=MemoryNonces(KeyState(unit="ns", confirmed=True)),
    )


@pytest.mark.fault("R07", kind="L")
async def test_a_kept_connection_that_closes_as_we_send(edge: Edge) -> None:
    edge.script = ["ok", "close", "ok", "ok", "close"]
    async with client_of(edge) as client:
        await client.call("Balance")
        assert await client.call("Balance") == {}  # one transparent repeat
        assert edge.seen == ["Balance"] * 3
        await client.call("Balance")
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.call("AddOrder", ORDER)
        assert caught.value.cl_ord_id == "kf-7"
    assert edge.seen.count("AddOrder") == 1


@pytest.mark.fault("R03", kind="L")
@pytest.mark.parametrize("how", ["cut", "page", "silence", "drip", "close"])
async def test_an_order_whose_answer_is_lost_is_unknown_and_sent_once(edge: Edge, how: str) -> None:
    edge.script = [how]
    async with client_of(edge, order_s=0.4) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.call("AddOrder", ORDER)
    assert edge.seen == ["AddOrder"]


@pytest.mark.fault("R03", kind="L")
async def test_a_read_whose_answer_is_cut_is_repeated_within_the_budget(edge: Edge) -> None:
    edge.script = ["cut", "cut", "cut"]
    async with client_of(edge) as client:
        with pytest.raises(ResponseError):
            await client.call("Balance")
    assert len(edge.seen) == 2


@pytest.mark.fault("R02", kind="L")
async def test_a_page_is_unavailable_with_its_status(edge: Edge) -> None:
    edge.script = ["page", "page"]
    async with client_of(edge) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.call("Balance")
    assert caught.value.status == 502
    assert caught.value.detail == "<html>"


@pytest.mark.fault("R04", kind="L")
@pytest.mark.parametrize("how", ["drip", "silence"])
async def test_a_drip_ends_with_the_time_of_the_call(edge: Edge, how: str) -> None:
    edge.script = [how]
    async with client_of(edge, read_s=0.5) as client:
        begin_s = asyncio.get_running_loop().time()
        with pytest.raises(RequestTimeoutError):
            await client.call("Balance")
        assert asyncio.get_running_loop().time() - begin_s < 0.7
    assert len(edge.seen) == 1


@pytest.mark.fault("R05", kind="L")
async def test_a_bomb_is_refused_at_the_bound(edge: Edge) -> None:
    edge.script = ["bomb"]
    async with client_of(edge) as client:
        with pytest.raises(ResponseError, match="67108864"):
            await client.call("Balance")
    assert len(edge.seen) == 1


@pytest.mark.fault("R06", kind="L")
async def test_a_key_never_follows_a_redirect(edge: Edge) -> None:
    async with Edge() as other:
        edge.script = [other.url, other.url]
        async with client_of(edge) as client:
            with pytest.raises(UnavailableError, match="not followed"):
                await client.call("Balance")
        assert other.connections == 0
    assert edge.seen == ["Balance"]
    assert all(b"API-Key: SIMKEYfaults" in head for head in edge.heads)


# Against the exchange's own counters ------------------------------------------------------------------------------


@pytest.mark.fault("L01", kind="D")
@pytest.mark.parametrize(
    ("tier", "most", "decay"), [("starter", 15, 0.33), ("intermediate", 20, 0.5), ("pro", 20, 1.0)]
)
def test_an_hour_at_the_limit_of_each_tier_is_never_refused(tier: str, most: int, decay: float) -> None:
    world = World()
    boxed = Boxed(world, accounts=[NewAccount(tier=tier)])  # type: ignore[arg-type]
    port = boxed.port

    async def main() -> None:
        client = boxed.client(RestClient, settings=RestSettings(tier=tier))
        begin = world.seconds
        async with client:
            while world.seconds - begin < 3600:
                await client.fetch_balances()
            seconds = world.seconds - begin
            used = port.answered / (most + decay * seconds)
            report.note(f"REST allowance used against the box, {tier}", f"{used:.1%}, {port.refused} refused")
            assert port.refused == 0
            assert client.stats().retries == 0
            assert used >= 0.9

    world.run(main())
