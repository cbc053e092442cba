"""The HTTP port on real sockets: what an edge can do to an answer, and to a request."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from kraken_fast.errors import ConfigError, ConnectError, KrakenFastError, ResponseError, TlsError
from kraken_fast.rest.http import AioHttp, HttpRequest, HttpResponse

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST_HEADERS = {"API-Key": "CANARY-key", "API-Sign": "CANARY-sign"}


class Edge:
    """A server of one script: each connection is given to it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.script: Script = self.fine
        self.server: asyncio.Server

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        return head

    async def fine(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.request(reader)
            writer.write(answer(b"fine"))


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    lines = [
        b"HTTP/1.1 " + status,
        b"Content-Length: %d" % (len(body) if length is None else length),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def always(*parts: bytes, end: bool = True) -> Callable[[Edge], Script]:
    def make(edge: Edge) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await edge.request(reader)
            for part in parts:
                writer.write(part)
            await writer.drain()
            if not end:
                await asyncio.sleep(60)

        return script

    return make


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    made = Edge()
    await made.start()
    yield made
    made.server.close()


@pytest.fixture
async def http() -> AsyncIterator[AioHttp]:
    made = AioHttp(connect_s=1.0, body_bytes_max=1 << 20)
    yield made
    await made.close()


async def post(http: AioHttp, edge: Edge, body: bytes = b"nonce=1") -> HttpResponse:
    return await http.fetch(HttpRequest("POST", edge.url + "/0/private/X", REQUEST_HEADERS, body))


async def test_connections_are_used_again_and_gzip_is_asked_for(http: AioHttp, edge: Edge) -> None:
    for _ in range(5):
        assert (await post(http, edge)).body == b"fine"
    assert edge.connections == 1
    assert b"Accept-Encoding: gzip" in edge.heads[0]
    assert b"User-Agent: kraken_fast" in edge.heads[0]


@pytest.mark.parametrize(("name", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
async def test_compressed_answers_are_decoded(
    http: AioHttp, edge: Edge, name: bytes, pack: Callable[[bytes], bytes]
) -> None:
    edge.script = always(answer(pack(b"x" * 5000), b"Content-Encoding: " + name))(edge)
    assert (await post(http, edge)).body == b"x" * 5000


@pytest.mark.fault("R03", kind="L")
@pytest.mark.parametrize(
    "parts",
    [
        (answer(b"cut", length=100),),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",),
        (answer(gzip.compress(b"x" * 5000)[:-10], b"Content-Encoding: gzip"),),
        (answer(b"no gzip at all", b"Content-Encoding: gzip"),),
        (answer(b"what", b"Content-Encoding: br"),),
        (b"",),
        (b"HTTP/1.1 2",),
        (b"rubbish\r\n\r\n",),
    ],
)
async def test_an_answer_that_is_cut_or_damaged(http: AioHttp, edge: Edge, parts: tuple[bytes, ...]) -> None:
    edge.script = always(*parts)(edge)
    with pytest.raises(ResponseError) as caught:
        await post(http, edge)
    assert caught.value.sent
    assert caught.value.retryable
    assert caught.value.__context__ is None
    assert edge.connections == 1  # a POST is never sent again by the HTTP library


@pytest.mark.fault("R05", kind="L")
@pytest.mark.parametrize("bomb", [False, True])
async def test_an_answer_that_is_too_long_is_refused_at_the_bound(
    http: AioHttp, edge: Edge, bomb: bool
) -> None:
    if bomb:
        edge.script = always(answer(gzip.compress(bytes(200 << 20)), b"Content-Encoding: gzip"))(edge)
    else:
        edge.script = always(answer(b"", length=1 << 30), *([bytes(1 << 16)] * 40), end=False)(edge)
    with pytest.raises(ResponseError, match="more than 1048576 bytes") as caught:
        await post(http, edge)
    assert not caught.value.retryable


@pytest.mark.fault("R06", kind="L")
@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
async def test_a_redirect_is_an_answer_and_not_followed(http: AioHttp, edge: Edge, status: bytes) -> None:
    other = Edge()
    await other.start()
    edge.script = always(answer(b"", b"Location: " + other.url.encode(), status=status))(edge)
    assert (await post(http, edge)).status == int(status[:3])
    assert other.connections == 0
    other.server.close()


@pytest.mark.fault("R07", kind="L")
async def test_a_kept_connection_that_was_closed_is_said_for_posts_and_repeated_for_gets(
    http: AioHttp, edge: Edge
) -> None:
    first = True

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        await edge.request(reader)
        writer.write(answer(b"fine"))
        await edge.request(reader)  # the second request of this connection arrives, and is never answered
        first = False

    edge.script = once
    await post(http, edge)
    with pytest.raises(ResponseError) as caught:
        await post(http, edge)
    assert caught.value.sent
    assert len(edge.heads) == 2
    get = HttpRequest("GET", edge.url + "/0/public/Time")
    assert (await http.fetch(get)).body == b"fine"
    assert (await http.fetch(get)).body == b"fine"


async def test_a_host_that_refuses_or_does_not_exist(http: AioHttp) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for url in (f"http://127.0.0.1:{bound.getsockname()[1]}", "http://nobody.invalid"):
            with pytest.raises(ConnectError) as caught:
                await http.fetch(HttpRequest("POST", url, REQUEST_HEADERS, b"x"))
            assert not caught.value.sent


@pytest.mark.fault("N16", kind="L")
async def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    edge = Edge()
    await edge.start(tls)
    url = edge.url.replace("http://127.0.0.1", "https://localhost")
    strict, trusting = AioHttp(), AioHttp(ca_file=tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with pytest.raises(TlsError) as caught:
        await strict.fetch(HttpRequest("POST", url, REQUEST_HEADERS, b"x"))
    assert not caught.value.retryable
    assert not edge.heads
    assert (await trusting.fetch(HttpRequest("GET", url))).body == b"fine"
    with pytest.raises(TlsError):  # the right authority, the wrong name
        await trusting.fetch(HttpRequest("GET", url.replace("localhost", "127.0.0.1")))
    for http in (strict, trusting):
        await http.close()
    edge.server.close()


async def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca_file"):
        await AioHttp(ca_file=tmp_path / "nothing").fetch(HttpRequest("GET", "https://localhost"))


async def test_nothing_of_a_request_is_in_its_errors_or_logs(
    http: AioHttp, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    edge.script = always(answer(b"cut", length=100))(edge)
    request = HttpRequest("POST", edge.url, REQUEST_HEADERS, b"CANARY-body")
    with pytest.raises(KrakenFastError) as caught:
        await http.fetch(request)
    assert "CANARY" not in f"{caught.value!r} {caught.value} {request!r} {caplog.text}"
    assert "CANARY" not in repr(HttpResponse(200, {"x": "CANARY"}, b"CANARY"))
