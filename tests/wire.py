"""A peer under full control: a plain asyncio server that speaks WebSocket by hand, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import inspect
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
import trustme
import uvloop

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.clock import Clock, SystemClock
from kraken_fast.core.sink import PySink
from kraken_fast.errors import TransportError
from kraken_fast.transport import Connection, LineState

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

HEARTBEAT = b'{"channel":"heartbeat"}'

LOOPS = {"asyncio": asyncio.DefaultEventLoopPolicy, "uvloop": uvloop.EventLoopPolicy}


def each_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine test once on each event loop; it must leave no task behind."""

    async def watched(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(60):
            await test(*args, **kwargs)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    @functools.wraps(test)
    def run(*args: Any, loop_name: str, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop_name]().new_event_loop) as runner:
            runner.run(watched(*args, **kwargs))

    signature = inspect.signature(test)
    name = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    parameters = [*signature.parameters.values(), name]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    marked: Callable[..., None] = pytest.mark.parametrize("loop_name", LOOPS)(run)
    return marked


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = False, length: str = ""
) -> bytes:
    """Build one frame; `length` "16" or "64" forces a form that may be too long for the payload."""
    first = bytes([(fin << 7) | (rsv << 4) | opcode])
    flag = 0x80 if mask else 0
    if length == "64" or (not length and len(payload) >= 1 << 16):
        size = bytes([flag | 127]) + struct.pack(">Q", len(payload))
    elif length == "16" or len(payload) >= 126:
        size = bytes([flag | 126]) + struct.pack(">H", len(payload))
    else:
        size = bytes([flag | len(payload)])
    return first + size + (bytes(4) if mask else b"") + payload


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack(">H", code) + reason


class Peer:
    """One accepted connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.request = b""

    async def read_request(self) -> None:
        self.request = await self.reader.readuntil(b"\r\n\r\n")

    def accept_key(self) -> bytes:
        for line in self.request.split(b"\r\n"):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":", 1)[1].strip()
                magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                return base64.b64encode(hashlib.sha1(key + magic).digest())
        raise AssertionError("no key in the request")

    def agreement(self, *headers: bytes, accept: bytes | None = None) -> bytes:
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: upgrade",
            b"Sec-WebSocket-Accept: " + (accept or self.accept_key()),
            *headers,
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    async def upgrade(self, *headers: bytes) -> None:
        await self.read_request()
        self.send(self.agreement(*headers))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def send_text(self, *texts: bytes) -> None:
        self.send(b"".join(frame(TEXT, text) for text in texts))

    async def read_frame(self) -> tuple[int, bytes]:
        """Read and unmask one frame of the client. IncompleteReadError at the end of the stream."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
        assert second & 0x80, "clients mask"
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        return first & 0xF, bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))

    async def read_close_code(self) -> int:
        """Read up to the client's close frame."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == CLOSE:
                return int(struct.unpack(">H", payload[:2])[0])

    async def until_gone(self) -> None:
        """Wait until the client closed the socket."""
        with contextlib.suppress(OSError, ssl.SSLError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER, on, 0 s
        self.writer.transport.abort()


class Server:
    """Counts connections and keeps what went wrong in the script."""

    def __init__(self) -> None:
        self.url = ""
        self.accepted = 0
        self.accepted_at: list[float] = []
        self.errors: list[BaseException] = []
        self.server_names: list[str | None] = []


Script = Callable[[Peer], Awaitable[Any]]


@contextlib.asynccontextmanager
async def serve(
    script: Script, *, tls: trustme.LeafCert | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Serve `script` on loopback; whatever it raises, but for the client's going away, fails the test."""
    server = Server()
    context: ssl.SSLContext | None = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.configure_cert(context)
        context.sni_callback = lambda _sock, name, _context: server.server_names.append(name)
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.accepted += 1
        server.accepted_at.append(time.monotonic())
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(Peer(reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as error:  # noqa: BLE001 - the test raises it
            server.errors.append(error)
        finally:
            tasks.discard(task)
            writer.close()

    listening = await asyncio.start_server(handle, host, 0, ssl=context, limit=1 << 26)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"wss://localhost:{port}" if tls is not None else f"ws://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.sleep(0.01)
    if server.errors:
        raise server.errors[0]


class Owner:
    """Writes down what a connection tells, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.ups: list[int] = []
        self.downs: list[tuple[TransportError, int]] = []
        self.states: list[tuple[LineState, LineState, str]] = []
        self.sink_errors: list[Exception] = []
        self.times: list[tuple[float, LineState]] = []
        self.texts: list[bytes] = []
        self.recv_ns: list[int] = []
        self._changed = asyncio.Event()

    def on_up(self, epoch: int) -> None:
        self.ups.append(epoch)

    def on_down(self, reason: TransportError, epoch: int) -> None:
        self.downs.append((reason, epoch))

    def on_state(self, old: LineState, new: LineState, reason: str) -> None:
        self.states.append((old, new, reason))
        self.times.append((asyncio.get_running_loop().time(), new))
        self._changed.set()

    def on_error(self, error: Exception, _count: int) -> None:
        self.sink_errors.append(error)

    def on_text(self, text: bytes, recv_ns: int) -> None:
        self.texts.append(text)
        self.recv_ns.append(recv_ns)
        self._changed.set()

    async def until(self, condition: Callable[[], object], within_s: float = 3.0) -> None:
        """Wait until the condition holds; checked at every event, and now and then without one."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self._changed.wait()

    def reached(self, state: LineState) -> bool:
        return any(new is state for _, new, _ in self.states)


@contextlib.asynccontextmanager
async def line_to(
    url: str,
    *,
    settings: LineSettings | None = None,
    clock: Clock | None = None,
    ca_file: str | None = None,
    start: bool = True,
    **options: Any,
) -> AsyncIterator[tuple[Connection, Owner]]:
    """A started connection and its owner; at the end it must close promptly and leave nothing behind."""
    owner = Owner()
    sink = options.pop("sink", None) or PySink(owner.on_text)
    connection = Connection(
        Endpoints(ws_url=url, ca_file=ca_file),
        owner,
        sink,
        clock=clock or SystemClock(),
        rng=Random(7),
        settings=settings,
        **options,
    )
    if start:
        connection.start()
    try:
        yield connection, owner
    finally:
        started = time.monotonic()
        await connection.close()
        assert time.monotonic() - started < 1.2, "close() must be prompt"
        assert connection.state is LineState.CLOSED


QUICK = LineSettings(suspect_s=0.15, dead_s=0.3, connect_s=0.5, close_s=0.2)


async def heartbeats(peer: Peer, *, every_s: float = 0.05, count: int = 10_000) -> None:
    """Send heartbeats until the client is gone."""
    for _ in range(count):
        peer.send_text(HEARTBEAT)
        await peer.writer.drain()
        await asyncio.sleep(every_s)
