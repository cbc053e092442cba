"""The HTTP port: a request in, a response out. Above it nothing knows a socket, so all of it runs in virtual time.

`AioHttp` is the port on aiohttp, and the only place that imports it for the client.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from ..errors import ConfigError, ConnectError, KrakenFastError, ResponseError, TlsError, printable

USER_AGENT = "kraken_fast"
"""An empty one may be refused at the edge. Source: rest.md section 1."""

KEEP_ALIVE_S = 60.0
CONNECTIONS_MAX = 8
CHUNK_BYTES = 64 * 1024
BODY_BYTES_MAX = 64 << 20
"""Largest answer, as received and as decoded. All tickers, the largest seen, have 0.5 MB."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. It shows neither headers nor body: they hold the key, the signature and the nonce."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer, its body decoded, header names in lower case. The body is not shown: it may hold a token."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class HttpPort(Protocol):
    """Whatever carries requests."""

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give its answer, whatever its status; redirects are answers too.

        Raises:
            ConnectError, TlsError: nothing was sent.
            ResponseError: no whole answer came; `sent` tells whether the request may have arrived.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class AioHttp:
    """The port on one aiohttp session: connections are reused, certificates verified, redirects not followed.

    Answers are decompressed here, within a bound, rather than by aiohttp: a few kilobytes can expand to gigabytes.

    Args:
        ca_file: PEM file of the only authorities to trust, instead of the system's.
        connect_s: for name resolution, TCP and TLS together.
        body_bytes_max: bound of an answer, as received and as decoded.

    Raises:
        ConfigError: `ca_file` cannot be used.
    """

    def __init__(
        self,
        *,
        ca_file: str | Path | None = None,
        connect_s: float = 2.0,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._ca_file = ca_file
        self._connect_s = connect_s
        self._body_bytes_max = body_bytes_max
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """See `HttpPort`."""
        failure: KrakenFastError
        try:
            return await self._exchange(request)
        except (aiohttp.ClientError, TimeoutError, OSError, zlib.error) as error:
            failure = self._named(error)
        # Outside the except clause: aiohttp's errors lead to the request, and to its headers.
        raise failure

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        session = self._session or self._open()
        async with session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            body = await self._read(answer.content, headers.get("content-encoding", "identity"))
            return HttpResponse(answer.status, headers, body)

    async def _read(self, content: aiohttp.StreamReader, encoding: str) -> bytes:
        if encoding not in ("identity", "gzip", "deflate"):
            raise aiohttp.ClientPayloadError(f"content-encoding {encoding}, which nobody offered")
        # 32 + 15: a gzip or zlib header, whichever comes.
        unpack = None if encoding == "identity" else zlib.decompressobj(wbits=47)
        body = bytearray()
        received = 0
        while chunk := await content.read(CHUNK_BYTES):
            received += len(chunk)
            # One byte more than is allowed, so that the bound is seen to be crossed.
            body += (
                chunk if unpack is None else unpack.decompress(chunk, self._body_bytes_max + 1 - len(body))
            )
            if len(body) > self._body_bytes_max or received > self._body_bytes_max:
                raise _TooLongError(f"an answer of more than {self._body_bytes_max} bytes")
        if unpack is not None and received and not unpack.eof:
            raise aiohttp.ClientPayloadError("the compressed answer was cut")
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        tls = self._tls or self._make_tls()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S, ssl=tls, ttl_dns_cache=60
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    def _make_tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
        except OSError as error:
            raise ConfigError("ca_file", self._ca_file, "a readable file of PEM certificates") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls = context
        return context

    def _named(self, error: Exception) -> KrakenFastError:
        """Say in our words what went wrong, without anything of the request."""
        if isinstance(error, _TooLongError):
            return ResponseError(str(error), retryable=False)
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
            return TlsError(printable(str(error.os_error if hasattr(error, "os_error") else error), 200))
        if isinstance(error, aiohttp.ClientConnectorError):
            return ConnectError(f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return ConnectError(f"no connection within {self._connect_s:g} s")
        if isinstance(error, zlib.error):
            return ResponseError("the compressed answer is damaged")
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return ResponseError("the connection was closed before the answer")
        return ResponseError(
            f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"
        )

    async def close(self) -> None:
        """Close all connections; the port can be used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # lets transports without TLS see their end


class _TooLongError(aiohttp.ClientError):
    pass
