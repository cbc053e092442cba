"""The network between a client in virtual time and an exchange without I/O: names, connections, delays.

Theory of operation. A `Connection` carries bytes both ways between the transport of a client (`VirtualTransport`, on
the `VirtualLoop`) and a `Line` of the exchange. TCP's promise holds: bytes of a connection arrive in order or not at
all. What a `Route` adds is delay and jitter for each direction, and how reads are cut; what goes wrong inside a
connection (reset, end, hole, half-open peer, slices, bandwidth) are the faults of `faults.py`, which `Line` carries out
itself. What goes wrong before there is a line is here: names that do not resolve (`dns_down`), addresses where nobody
answers (not in `listening`), packets that vanish (`syn_lost`).

The exchange is pumped as its face on sockets does it: `advance` at its own deadline, whenever bytes come, and whenever
a fault changes; then each line is polled and what it says is sent.

TLS is not simulated.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .core import ExchangeCore
from .faces import FACES
from .line import Line
from .texts import NS_PER_MS
from .transport import SocketlessTransport
from .virtual import VirtualLoop

HOST = "exchange.test"
"""A name that no real network has. Source: RFC 6761 section 6.2."""

PORT = 443
ADDRESS = "192.0.2.1"
DEAD_ADDRESS = "192.0.2.254"
"""Addresses for documentation. Source: RFC 5737."""

WINDOW_BYTES = 65_536
"""What a peer that does not read takes before the client's transport has to hold the rest."""


@dataclass(frozen=True, slots=True)
class Route:
    """What the bytes of a connection go through.

    Attributes:
        up_ms, down_ms: delay to the exchange and back.
        jitter_ms: at most so much more, drawn evenly for each segment; order is kept.
        coalesce_ms: what arrives within such a span arrives together, as one read.
    """

    up_ms: float = 5.0
    down_ms: float = 5.0
    jitter_ms: float = 0.0
    coalesce_ms: float = 0.0


class Network:
    """The network of one client's machine and one exchange.

    Args:
        loop: the client's machine; it is wired to this network.
        core: the exchange; its clock must be the timeline's wall clock.
        seed: of jitter.
        route: gives the route of the n-th connection, from 1; by default 5 ms each way.

    Attributes:
        hosts: the addresses of each name.
        listening: the addresses at which the exchange answers; at others packets vanish.
        dns_down: names do not resolve.
        syn_lost: connecting hangs.
        attempts_ns: when each connection was attempted.
        on_send: hears (connection number, bytes) of everything that the client writes, as it does.
        on_wire: hears (direction, connection number, bytes) of every segment as it is read; None is an end.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        core: ExchangeCore,
        *,
        seed: int = 0,
        route: Callable[[int], Route] = lambda _number: Route(),
    ) -> None:
        self.loop = loop
        self.core = core
        self.hosts: dict[str, list[str]] = {face.prefix + HOST: [ADDRESS] for face in FACES}
        self.hosts[HOST] = [ADDRESS]
        self.listening = {ADDRESS}
        self.dns_ms = 1.0
        self.dns_down = False
        self.syn_lost = False
        self.attempts_ns: list[int] = []
        self.lookups = 0
        self.on_wire: Callable[[str, int, bytes | None], None] = lambda _direction, _number, _data: None
        self.on_send: Callable[[int, bytes], None] = lambda _number, _data: None
        self.connections: dict[int, Connection] = {}
        self._timeline = loop.timeline
        self._seed = seed
        self._route = route
        self._pump_ns: int | None = None
        loop.wiring = self
        core.faults.on_change = self.wake
        self._plan()

    async def resolve(self, host: str) -> list[str]:
        """Give the addresses of a name.

        Raises:
            socket.gaierror: no such name, or names do not resolve at present.
        """
        self.lookups += 1
        await asyncio.sleep(self.dns_ms / 1e3)
        if self.dns_down:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return list(self.hosts[host])

    async def connect(self, address: str, port: int) -> Connection:
        """Connect to an address.

        Raises:
            ConnectionRefusedError: the exchange refuses.
        """
        self.attempts_ns.append(self._timeline.now_ns)
        number = len(self.attempts_ns)
        answer: asyncio.Future[Line] = self.loop.create_future()
        if self.syn_lost or address not in self.listening or port != PORT:
            await answer  # for ever: whoever waits has to give up
        connection = Connection(
            self, number, self._route(number), random.Random(f"{self._seed}/route {number}")
        )
        connection.up.send(lambda: self._accept(connection, answer))
        try:
            connection.line = await answer
        except BaseException:
            connection.drop()
            raise
        return connection

    def wake(self) -> None:
        """Let the exchange look now, that is as the next thing that happens."""
        self._set_pump(self._timeline.now_ns)

    def lose_machine(self) -> None:
        """End all connections as when the client's process is killed: its kernel resets them, nobody says good-bye."""
        for connection in tuple(self.connections.values()):
            connection.lose()

    def _accept(self, connection: Connection, answer: asyncio.Future[Line]) -> None:
        def arrive(line: Line | Exception) -> None:
            self.loop.set_readable(lambda: _settle(answer, line))

        try:
            line = self.core.connect(ADDRESS)
        except ConnectionRefusedError as error:
            refusal = error
            connection.down.send(lambda: arrive(refusal))
            return
        connection.line = line
        self.connections[connection.number] = connection
        connection.down.send(lambda: arrive(line))
        self.wake()

    def _set_pump(self, due_ns: int) -> None:
        if self._pump_ns is None or due_ns < self._pump_ns:
            self._pump_ns = due_ns
            self._timeline.at(due_ns, lambda: self._pump(due_ns))

    def _pump(self, due_ns: int) -> None:
        if due_ns == self._pump_ns:  # else an earlier one took its place
            self._pump_ns = None
            self.core.advance()
            for connection in list(self.connections.values()):
                connection.flush()
            self._plan()

    def _plan(self) -> None:
        deadline_ns = self.core.deadline_ns
        if deadline_ns is not None:
            # Never within the same instant: a deadline that stands still must not stop the world.
            self._set_pump(max(self._timeline.at_wall(deadline_ns), self._timeline.now_ns + 1))


class _Direction:
    """One way of a connection: each thing sent arrives after its delay, in order."""

    def __init__(self, network: Network, delay_ms: float, route: Route, rng: random.Random) -> None:
        self._timeline = network.loop.timeline
        self._delay_ns = round(delay_ms * NS_PER_MS)
        self._jitter_ns = round(route.jitter_ms * NS_PER_MS)
        self._coalesce_ns = round(route.coalesce_ms * NS_PER_MS)
        self._rng = rng
        self._last_ns = 0

    def send(self, arrive: Callable[[], None]) -> None:
        due_ns = self._timeline.now_ns + self._delay_ns
        if self._jitter_ns:
            due_ns += int(self._rng.random() * self._jitter_ns)
        if self._coalesce_ns:
            due_ns = -(-due_ns // self._coalesce_ns) * self._coalesce_ns
        self._last_ns = max(self._last_ns, due_ns)
        self._timeline.at(self._last_ns, arrive)


class Connection:
    """One TCP connection, seen from the middle."""

    def __init__(self, network: Network, number: int, route: Route, rng: random.Random) -> None:
        self.number = number
        self.up = _Direction(network, route.up_ms, route, rng)
        self.down = _Direction(network, route.down_ms, route, rng)
        self.line: Line | None = None
        self.unread_bytes = 0
        self._unread: deque[bytes] = deque()
        self._coalesces = route.coalesce_ms > 0
        self._network = network
        self._transport: VirtualTransport | None = None

    def open(self, protocol: asyncio.BaseProtocol) -> VirtualTransport:
        """Give the client's end its protocol."""
        self._transport = VirtualTransport(self._network.loop, self, protocol, joins=self._coalesces)
        protocol.connection_made(self._transport)
        return self._transport

    def send_up(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._network.on_send(self.number, data)
        self.unread_bytes += len(data)
        self.up.send(lambda: self._arrive_up(data))

    def note_read(self, data: bytes | Exception | None) -> None:
        """The client reads what came."""
        self._network.on_wire("down", self.number, data if isinstance(data, bytes) else None)

    def drop(self) -> None:
        """The client closed its end."""
        self._transport = None
        self.up.send(self._leave)

    def lose(self) -> None:
        """The client's process is gone: what it still has to read and to send is lost."""
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Send what the line has to say; read what it may not have read so far."""
        line = self.line
        if line is None or self.number not in self._network.connections:
            return
        if line.reading:
            while self._unread:
                self._read(self._unread.popleft())
        for segment in line.poll():
            if segment:
                self._send_down(segment)
        if line.finished:
            self._send_down(
                ConnectionResetError("Connection reset by peer") if line.ending == "rst" else None
            )
            self._leave()

    def _send_down(self, data: bytes | Exception | None) -> None:
        self.down.send(lambda: self._arrive_down(data))

    def _arrive_down(self, data: bytes | Exception | None) -> None:
        if self._transport is not None:
            self._transport.arrive(data)

    def _arrive_up(self, data: bytes) -> None:
        self._network.on_wire("up", self.number, data)
        if self.line is not None and self.number in self._network.connections:
            self._unread.append(data)
            self._network.wake()

    def _read(self, data: bytes) -> None:
        assert self.line is not None
        self.unread_bytes -= len(data)
        self.line.receive(data)

    def _leave(self) -> None:
        if self._network.connections.pop(self.number, None) is not None and self.line is not None:
            self._network.core.disconnect(self.line)
            self._network.wake()


class VirtualTransport(SocketlessTransport):
    """The client's end of a connection: what asyncio's socket transport does, without the socket.

    One read takes one segment, as if each had come alone, unless `joins`: then it takes all that is there.
    """

    def __init__(
        self, loop: VirtualLoop, connection: Connection, protocol: asyncio.BaseProtocol, *, joins: bool
    ) -> None:
        number = connection.number
        super().__init__(number, protocol, peername=(ADDRESS, PORT), sockname=("192.0.2.100", 40_000 + number))
        self._loop = loop
        self._connection = connection
        self._joins = joins
        self._arrived: deque[bytes | Exception | None] = deque()

    def arrive(self, data: bytes | Exception | None) -> None:
        """Something came: bytes, the end (None), or a reset."""
        self._arrived.append(data)
        if len(self._arrived) == 1 and self._is_reading:
            self._loop.set_readable(self._read)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; after `close` they are dropped."""
        if data and not self._is_closing:
            self._connection.send_up(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Give the bytes that the peer's window had no room for."""
        return max(0, self._connection.unread_bytes - WINDOW_BYTES)

    def resume_reading(self) -> None:
        """Read again."""
        if not self._is_reading:
            self._is_reading = True
            if self._arrived:
                self._loop.set_readable(self._read)

    def close(self) -> None:
        """End the connection; what was written goes first."""
        self._end(None)

    def abort(self) -> None:
        """End the connection."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._arrived.clear()
        self._connection.drop()
        self._loop.call_soon(self._protocol.connection_lost, error)

    def _read(self) -> None:
        """Take one segment, and come again while there are more."""
        if self._is_closing or not self._is_reading or not self._arrived:
            return
        data = self._take()
        self._connection.note_read(data)
        if isinstance(data, Exception):
            self._end(data)
        elif data is None:
            assert isinstance(self._protocol, (asyncio.Protocol, asyncio.BufferedProtocol))
            if not self._protocol.eof_received():
                self.close()
        else:
            try:
                self.deliver(data)
            except Exception as error:  # noqa: BLE001 - as asyncio's own transports: the connection is lost
                self._loop.call_exception_handler(
                    {"message": "a protocol failed on what it read", "exception": error, "transport": self}
                )
                self._end(error)
        if self._arrived and not self._is_closing:
            self._loop.set_readable(self._read)

    def _take(self) -> bytes | Exception | None:
        data = self._arrived.popleft()
        if not self._joins or not isinstance(data, bytes):
            return data
        parts = [data]
        while self._arrived and isinstance(self._arrived[0], bytes):
            parts.append(self._arrived.popleft())  # type: ignore[arg-type]  # just looked at
        return b"".join(parts)


def _settle(answer: asyncio.Future[Line], outcome: Line | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
