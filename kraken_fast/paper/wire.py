"""The way between a client and an exchange without I/O in the same process: no socket, no port, no other host.

`create_connection` stands in for the event loop's, `fetch` is an HTTP port. Both carry bytes to `ExchangeCore` and
back, so that everything above is the client as it is. Nothing is delivered from within the call that caused it, as with
real sockets; what was sent first arrives first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from ..errors import ConnectError
from ..rest.http import HttpRequest, HttpResponse
from ..sim.core import ExchangeCore
from ..sim.line import Line
from ..sim.transport import SocketlessTransport

S = 1_000_000_000

PAUSE_S = 0.001
"""The least time between two looks of the pump: a deadline that stands still must not keep the loop busy."""

UNREAD_MAX = 100_000
"""Segments that may wait for a client that does not read, before its connection ends. At some 300 bytes, 30 MB."""


class PaperWire:
    """See the module's text.

    Args:
        latency_s: of each way.
    """

    def __init__(self, *, latency_s: float = 0.0) -> None:
        self._core: ExchangeCore | None = None
        self._before: Callable[[], None] = lambda: None
        self._latency_s = latency_s
        self._transports: dict[PaperTransport, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._woken: asyncio.Handle | None = None
        self._is_closed = False

    def attach(self, core: ExchangeCore, before: Callable[[], None]) -> None:
        """Put the exchange at the other end.

        Args:
            core: the exchange.
            before: called before it does anything: brings its market up to date.
        """
        self._core, self._before = core, before

    @property
    def core(self) -> ExchangeCore:
        """The exchange.

        Raises:
            ConnectionRefusedError: there is none, or no more.
        """
        if self._core is None or self._is_closed:
            raise ConnectionRefusedError("there is no paper exchange")
        return self._core

    async def create_connection(
        self, factory: Callable[[], asyncio.BaseProtocol], *_where: object, **_how: object
    ) -> tuple[PaperTransport, asyncio.BaseProtocol]:
        """Connect to the exchange, whatever address is named.

        Raises:
            ConnectionRefusedError: there is no exchange.
        """
        line = self.core.connect()
        protocol = factory()
        transport = PaperTransport(self, line, protocol)
        self._transports[transport] = None
        protocol.connection_made(transport)
        self.wake()
        return transport, protocol

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """See `HttpPort`."""
        parts = urlsplit(request.url)
        await asyncio.sleep(self._latency_s)
        if self._core is None or self._is_closed:
            raise ConnectError("there is no paper exchange")
        self._before()
        self.core.advance()
        answer = self.core.http(request.method, parts.path, parts.query, request.body, request.headers)
        self.wake()
        await asyncio.sleep(self._latency_s)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, headers, answer.body)

    async def close(self) -> None:
        """End everything."""
        for transport in tuple(self._transports):
            transport.abort()
        self._is_closed = True
        for handle in (self._timer, self._woken):
            if handle is not None:
                handle.cancel()

    def wake(self) -> None:
        """Let the exchange look, next."""
        if self._woken is None and not self._is_closed:
            self._woken = asyncio.get_running_loop().call_soon(self._pump)

    def later(self, action: Callable[[], None]) -> None:
        """Do something when what is sent now arrives."""
        loop = asyncio.get_running_loop()
        if self._latency_s:
            loop.call_later(self._latency_s, action)
        else:
            loop.call_soon(action)

    def forget(self, transport: PaperTransport) -> None:
        """A connection ended."""
        if transport in self._transports:
            del self._transports[transport]
            self.core.disconnect(transport.line)

    def take(self, transport: PaperTransport, data: bytes) -> None:
        """Bytes of a client arrive."""
        if transport in self._transports:
            self._before()
            self.core.advance()
            transport.line.receive(data)
            self.wake()

    def _pump(self) -> None:
        self._woken = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_closed:
            return
        self._before()
        self.core.advance()
        for transport in tuple(self._transports):
            transport.flush()
        deadline_ns = self.core.deadline_ns
        if deadline_ns is not None:
            pause_s = max(PAUSE_S, (deadline_ns - self.core.now_ns()) / S)
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._pump)


class PaperTransport(SocketlessTransport):
    """The client's end of a connection."""

    def __init__(self, wire: PaperWire, line: Line, protocol: asyncio.BaseProtocol) -> None:
        super().__init__(line.number, protocol, peername=("paper", 0))
        self.line = line
        self._wire = wire
        self._up: deque[bytes] = deque()
        self._down: deque[bytes | None] = deque()

    def flush(self) -> None:
        """Send what the exchange has to say."""
        for segment in self.line.poll():
            self._send_down(segment)
        if self.line.finished:
            self._send_down(None)
            self._wire.forget(self)
        elif len(self._down) > UNREAD_MAX:
            self.abort()

    def _send_down(self, data: bytes | None) -> None:
        self._down.append(data)
        self._wire.later(self._read)

    def _read(self) -> None:
        if not self._down or not self.is_reading():
            return
        data = self._down.popleft()
        if data is None:
            self.close()
        else:
            self.deliver(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; after `close` they are dropped."""
        if data and not self._is_closing:
            self._up.append(bytes(data))
            self._wire.later(self._arrive)

    def _arrive(self) -> None:
        self._wire.take(self, self._up.popleft())

    def get_write_buffer_size(self) -> int:
        """Give the unsent bytes: none, the exchange takes everything."""
        return 0

    def resume_reading(self) -> None:
        """Read again, all that came meanwhile."""
        if not self._is_reading:
            self._is_reading = True
            for _ in self._down:
                self._wire.later(self._read)

    def close(self) -> None:
        """End the connection; what was written goes first."""
        if self._is_closing:
            return
        self._is_closing = True
        self._down.clear()
        self._wire.later(lambda: self._wire.forget(self))
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """End the connection at once."""
        self._wire.forget(self)
        self.close()
