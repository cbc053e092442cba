"""The exchange's faces to the network: a WebSocket port and a REST port on one event loop.

Both are thin. The WebSocket side owns sockets and gives the bytes to `Line`, which needs every byte for its
faults and has to run without sockets too; so it is a plain `asyncio.Protocol` and no WebSocket library. REST
is aiohttp.

One task, the pump, drives everything that happens by itself: it sleeps until the core's deadline, or until a
fault changes, advances the core and writes what the lines have to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, cast

from aiohttp import web

from .rest_faults import Response
from .texts import NS_PER_S
from .wire import BUFFER_MAX_BYTES

if TYPE_CHECKING:
    from .core import ExchangeCore
    from .line import Line

_SLEEP_MAX_S = 0.1
"""The pump looks again at least this often: nobody tells it of what changes by hand."""

_STEPS_MAX = 200
"""Actions of each market in one go, some 20 ms of work: heartbeats and requests do not wait longer."""


class _LineProtocol(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.line: Line | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by class, only by behaviour.
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = (transport.get_extra_info("peername") or ("local",))[0]
        try:
            self.line = self._server.core.connect(address)
        except ConnectionRefusedError:
            self._transport.abort()
            return
        self._server.protocols[self] = None
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.line is not None:
            self.line.receive(data)
            self.flush()
            self._server.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.protocols.pop(self, None)
        if self.line is not None:
            self._server.core.disconnect(self.line)
            self.line = None

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Write what the line has to say, and end the connection if it has ended."""
        line, transport = self.line, self._transport
        if line is None or transport is None or transport.is_closing():
            return
        segments = line.poll()
        if len(segments) == 1 or not self._server.core.faults.armed:
            transport.write(b"".join(segments))
        else:
            for segment in segments:
                transport.write(segment)
        self._pace(line, transport)
        if line.finished:
            self._finish(line, transport)
        elif transport.get_write_buffer_size() > BUFFER_MAX_BYTES:
            transport.abort()

    def _pace(self, line: Line, transport: asyncio.Transport) -> None:
        if line.reading == self._paused:
            self._paused = not self._paused
            if self._paused:
                transport.pause_reading()
            else:
                transport.resume_reading()

    @staticmethod
    def _finish(line: Line, transport: asyncio.Transport) -> None:
        if line.ending == "fin":
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # Lingering for no time makes the kernel reset the connection instead of ending it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        transport.abort()


class Server:
    """Serves one core on two ports.

    Args:
        core: the exchange.
        host: address to bind; loopback unless you know what you do, there is no authentication.
        ws_port: 0 for any.
        rest_port: 0 for any.
        tls: context of both ports, or None for plain text.
    """

    def __init__(
        self, core: ExchangeCore, host: str, ws_port: int, rest_port: int, tls: ssl.SSLContext | None
    ) -> None:
        self.core = core
        self.ws_port = ws_port
        self.rest_port = rest_port
        self.protocols: dict[_LineProtocol, None] = {}
        self._host = host
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    async def start(self) -> None:
        """Bind both ports and begin to trade."""
        await self._listen()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.rest_port, ssl_context=self._tls)
        await site.start()
        self.rest_port = self._runner.addresses[0][1]
        self.core.faults.on_change = self.wake
        self._pump_task = asyncio.create_task(self._pump(), name="exchange in a box")

    async def stop(self) -> None:
        """Close everything; clients see their connections end."""
        self.core.faults.on_change = lambda: None
        if self._pump_task is not None:
            self._pump_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump_task
        self._stop_listening()
        for protocol in list(self.protocols):
            protocol.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    def wake(self) -> None:
        """Let the pump look now."""
        self._woken.set()

    def flush(self) -> None:
        """Write what all lines have to say."""
        for protocol in list(self.protocols):
            protocol.flush()

    async def _pump(self) -> None:
        while True:
            await self._settle_port()
            self.core.advance(_STEPS_MAX)
            self.flush()
            self._woken.clear()
            # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._woken.wait()

    def _pause_s(self) -> float:
        deadline_ns = self.core.deadline_ns
        if deadline_ns is None:
            return _SLEEP_MAX_S
        return min(_SLEEP_MAX_S, max(0.0, (deadline_ns - self.core.now_ns()) / NS_PER_S))

    async def _settle_port(self) -> None:
        """Close the port while a `refuse` fault holds, and open it again afterwards."""
        refusing = bool(self.core.faults.rules("refuse"))
        if refusing and self._listener is not None and self.core.faults.fire("refuse"):
            self._stop_listening()
        elif not refusing and self._listener is None:
            await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _LineProtocol(self), self._host, self.ws_port, ssl=self._tls, backlog=1024
        )
        self.ws_port = self._listener.sockets[0].getsockname()[1]

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        address = request.remote or "local"
        path = request.raw_path.partition("?")[0]
        if delay_ns := self.core.http_delay_ns(path):
            await asyncio.sleep(delay_ns / NS_PER_S)
        self.core.advance(_STEPS_MAX)
        answer = self.core.http(
            request.method, path, request.query_string, body, request.headers, address
        )
        self.flush()
        if answer.delay_ns:
            await asyncio.sleep(answer.delay_ns / NS_PER_S)
        if answer.cut_at is None and not answer.drip_ns:
            return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
        return await _send_badly(request, answer)


async def _send_badly(request: web.Request, answer: Response) -> web.StreamResponse:
    """Send an answer byte by byte, or not to its end."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    if answer.cut_at != 0:
        await response.prepare(request)
    body = answer.body[: answer.cut_at]
    step = 1 if answer.drip_ns else max(1, len(body))
    with contextlib.suppress(ConnectionError):  # a client that has had enough goes
        for at in range(0, len(body), step):
            await response.write(body[at : at + step])
            await asyncio.sleep(answer.drip_ns / NS_PER_S)
    if answer.cut_at is not None and request.transport is not None:
        request.transport.close()
    return response
