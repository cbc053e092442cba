"""Virtual time: an event loop that jumps from timer to timer, and a network that exists only in it.

The code under test is the real one, picows included: only the loop's clock, selector and `create_connection` are
replaced. Ten minutes of flapping take some milliseconds, and every bound can be checked exactly.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from kraken_fast.core.clock import ManualClock
from kraken_fast.sim.transport import SocketlessTransport

from .wire import TEXT, frame

SECOND = 1_000_000_000


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: moves the clock on by the time that the loop would have waited."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing is scheduled: the program would wait for ever")
        if timeout > 0:
            self._clock.advance(math.ceil(timeout * SECOND))
        return []


class VirtualTransport(SocketlessTransport):
    """The client's end of a virtual connection."""

    def __init__(self, loop: VirtualLoop, protocol: Any, peer: VirtualPeer) -> None:
        super().__init__(1, protocol)
        self.loop = loop
        self.peer = peer

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self.peer.from_client(bytes(data))

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.peer.on_gone()
            self.loop.call_soon(self._protocol.connection_lost, error)


class VirtualPeer:
    """The server's end: upgrades by itself, then does what its script says."""

    def __init__(self, loop: VirtualLoop, script: Callable[[VirtualPeer], None]) -> None:
        self.loop = loop
        self.received = b""
        self.is_upgraded = False
        self.is_gone = False
        self.transport: VirtualTransport
        self._script = script
        self._free_at = 0.0
        self._under_way: deque[bytes] = deque()

    def from_client(self, data: bytes) -> None:
        self.received += data
        if not self.is_upgraded and b"\r\n\r\n" in self.received:
            self.is_upgraded = True
            key = self.received.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            self.received = b""
            self.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._script(self)

    def send(self, data: bytes, *, delay_s: float = 0.0) -> None:
        """Send bytes; they arrive in order, `delay_s` later or when the earlier ones have."""
        self._free_at = max(self._free_at, self.loop.time() + delay_s)
        self._under_way.append(
            data
        )  # a loop may swap timers of the same instant, a stream does not swap bytes
        self.loop.call_at(self._free_at, self._arrive)

    def _arrive(self) -> None:
        self.transport.deliver(self._under_way.popleft())

    def text(self, text: bytes, *, delay_s: float = 0.0) -> None:
        self.send(frame(TEXT, text), delay_s=delay_s)

    def every(self, interval_s: float, action: Callable[[], None]) -> None:
        """Repeat an action until the connection is gone."""
        if not self.is_gone:
            action()
            self.loop.call_later(interval_s, self.every, interval_s, action)

    def reset(self) -> None:
        self.transport.lose(ConnectionResetError(104, "Connection reset by peer"))

    def on_gone(self) -> None:
        self.is_gone = True


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is a `ManualClock`, and whose network is the function `network`."""

    def __init__(self) -> None:
        self.clock = ManualClock(epoch_ns=1_780_000_000 * SECOND)
        super().__init__(_JumpingSelector(self.clock))
        self.connects_at: list[float] = []
        self.peers: list[VirtualPeer] = []
        self.script: Callable[[VirtualPeer], None] = lambda _peer: None
        self.is_reachable: Callable[[], bool] = lambda: True

    def time(self) -> float:
        return self.clock.monotonic_ns / SECOND

    async def create_connection(self, protocol_factory: Any, *_where: Any, **_options: Any) -> Any:
        self.connects_at.append(self.time())
        await asyncio.sleep(0.001)
        if not self.is_reachable():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        protocol = protocol_factory()
        peer = VirtualPeer(self, self.script)
        peer.transport = VirtualTransport(self, protocol, peer)
        self.peers.append(peer)
        protocol.connection_made(peer.transport)
        return peer.transport, protocol

    def block(self, seconds: float) -> None:
        """Stop the world for the client: time passes while nothing runs."""
        self.clock.advance(round(seconds * SECOND))


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine under virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main(loop))
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left behind: {left}"
    finally:
        loop.close()
