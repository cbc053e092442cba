"""The exchange on real sockets: loopback, TLS, and the faults that need a kernel."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kraken_fast.errors import ConfigError, UnknownSymbolError
from kraken_fast.sim import Exchange
from kraken_fast.sim.reference import ReferenceBook, loads

# picows or another client would do as well: aiohttp is a dependency anyway, and strict about the protocol.
BOOK = {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def _books(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        text = await socket.receive_str(timeout=5)
        if text.startswith('{"channel":"book"'):
            found.append(text)
    return found


async def test_a_client_follows_the_book_to_the_truth(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, rate=0, levels=40) as ex, http.ws_connect(ex.ws_url) as socket:
        await socket.send_json(BOOK)
        book = ReferenceBook(10)
        book.apply_raw((await _books(socket, 1))[0])
        ex.advance(200)
        while (book.bids, book.asks) != tuple(map(list, ex.book("BTC/USD").top(10))):
            (text,) = await _books(socket, 1)
            assert book.apply_raw(text) == book.checksum()
        assert book.checksum() == ex.book("BTC/USD").checksum
        assert len(ex.sessions) == 1
    assert socket.closed or (await socket.receive()).type in (
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.CLOSE,
    )


async def test_the_crowd_acts_by_itself_at_its_rate(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, rate=300) as ex, http.ws_connect(ex.ws_url) as socket:
        await socket.send_json(BOOK)
        began = time.monotonic()
        texts = await _books(socket, 200)
        took = time.monotonic() - began
        assert took > 0.4, "never faster; slower on a busy machine"
        book = ReferenceBook(10)
        assert all(book.apply_raw(text) == book.checksum() for text in texts)
        # Time stamps are the exchange's wall clock.
        stamp = loads(texts[-1])["data"][0]["timestamp"]
        assert stamp.startswith(time.strftime("%Y-%m-%dT%H:", time.gmtime()))


async def test_rest_answers_from_the_same_markets(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, rate=0) as ex:
        async with http.get(f"{ex.rest_url}/0/public/Depth", params={"pair": "XBTUSD", "count": 1}) as answer:
            assert answer.content_type == "application/json"
            book = (await answer.json())["result"]["XXBTZUSD"]
        assert float(book["bids"][0][0]) == float(ex.book("BTC/USD").bids[0][0])
        async with http.get(f"{ex.rest_url}/anything") as answer:
            assert (answer.status, await answer.json()) == (200, {"error": ["EGeneral:Unknown method"]})


async def test_tls_on_localhost_with_its_own_authority(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, tls=True) as ex:
        assert ex.ca_file is not None
        assert ex.ws_url.startswith("wss://localhost:")
        trusted = ssl.create_default_context(cafile=ex.ca_file)
        async with http.ws_connect(ex.ws_url, ssl=trusted) as socket:
            assert "status" in await socket.receive_str()
        async with http.get(f"{ex.rest_url}/0/public/Time", ssl=trusted) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.ws_connect(ex.ws_url)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("expired", "certificate has expired"),
        ("wrong_name", "Hostname mismatch"),
        ("self_signed", "unable to get local issuer|self-signed"),
    ],
)
async def test_bad_certificates(http: aiohttp.ClientSession, problem: str, words: str) -> None:
    async with Exchange(["BTC/USD"], seed=7, tls=True) as ex:
        trusted = ssl.create_default_context(cafile=ex.ca_file)
        ex.faults.inject("cert", problem=problem, count=1)
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match=words):
            await http.ws_connect(ex.ws_url, ssl=trusted)
        assert ex.faults.fired["cert"] == 1
        async with http.ws_connect(ex.ws_url, ssl=trusted) as socket:
            assert "status" in await socket.receive_str(), "the next handshake is good again"


async def test_a_closed_port_refuses_and_opens_again_at_the_same_number(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7) as ex:
        with ex.faults.inject("refuse"):
            await asyncio.sleep(0.05)
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.ws_connect(ex.ws_url)
        await asyncio.sleep(0.05)
        assert ex.faults.fired["refuse"] == 1
        async with http.ws_connect(ex.ws_url) as socket:
            assert "status" in await socket.receive_str()


async def _open(ex: Exchange) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = ex.ws_url.removeprefix("ws://").removesuffix("/v2").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return reader, writer


def test_it_runs_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(test_a_reset_is_a_reset_and_an_end_is_an_end())
    uvloop.run(test_slow_lines_are_slow_on_real_sockets())


async def test_a_reset_is_a_reset_and_an_end_is_an_end() -> None:
    async with Exchange(["BTC/USD"], seed=7) as ex:
        reader, writer = await _open(ex)
        await reader.readuntil(b"\r\n\r\n")
        ex.faults.inject("rst")
        with pytest.raises(ConnectionResetError):
            while await asyncio.wait_for(reader.read(1000), 2):
                pass
        writer.close()
        reader, writer = await _open(ex)
        await reader.readuntil(b"\r\n\r\n")
        ex.faults.inject("fin")
        while await asyncio.wait_for(reader.read(1000), 2):
            pass
        writer.close()


async def test_slow_lines_are_slow_on_real_sockets() -> None:
    async with Exchange(["BTC/USD"], seed=7) as ex:
        with ex.faults.inject("drip", interval_ms=20):
            reader, writer = await _open(ex)
            assert await reader.readexactly(1) == b"H"
            began = time.monotonic()
            await reader.readexactly(10)
            assert time.monotonic() - began > 0.15
        writer.close()


async def test_what_is_not_read_is_answered_later(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, rate=0) as ex, http.ws_connect(ex.ws_url) as socket:
        await socket.receive_str()
        with ex.faults.inject("stall_read"):
            await asyncio.sleep(0.05)
            await socket.send_json({"method": "ping"})
            with pytest.raises(TimeoutError):
                await socket.receive_str(timeout=0.2)
        assert '"method":"pong"' in await socket.receive_str(timeout=2)
        assert ex.faults.fired["stall_read"] == 1


async def test_a_session_that_leaves_is_forgotten(http: aiohttp.ClientSession) -> None:
    async with Exchange(["BTC/USD"], seed=7, rate=0) as ex:
        socket = await http.ws_connect(ex.ws_url)
        await socket.send_json(BOOK)
        await _books(socket, 1)
        await socket.close()
        await asyncio.sleep(0.05)
        assert ex.sessions == []
        assert ex.core.lines == {}


def test_wrong_arguments_are_refused_with_help() -> None:
    with pytest.raises(UnknownSymbolError, match=r"XBT/USD'; did you mean BTC/USD"):
        Exchange(["XBT/USD"])
    with pytest.raises(ConfigError, match="symbols='BTC/USD': must be a list"):
        Exchange("BTC/USD")
    with pytest.raises(ConfigError, match="rate=-1"):
        Exchange(rate=-1)
    with pytest.raises(RuntimeError, match="not running"):
        _ = Exchange().ws_url


def test_it_runs_as_a_program() -> None:
    script = (
        "import asyncio, json\n"
        "from kraken_fast.sim import Exchange, serve\n"
        "asyncio.run(serve(Exchange(['BTC/USD'], seed=1), lambda a: print(json.dumps(a), flush=True)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses: dict[str, Any] = json.loads(process.stdout.readline())
        process.terminate()
    assert set(addresses) == {"ws_url", "ws_auth_url", "ws_l3_url", "rest_url", "api_key", "api_secret"}


def test_the_reference_costs_no_server() -> None:
    script = "import sys, kraken_fast.sim as s; s.ReferenceBook(10); print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


async def test_tls_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.delitem(sys.modules, "kraken_fast.sim.tls", raising=False)
    with pytest.raises(ConfigError, match="pip install"):
        async with Exchange(["BTC/USD"], tls=True):
            pass
