"""Virtual time: an event loop that waits for nothing, and the world around it.

    timeline = Timeline()
    loop = VirtualLoop(timeline)
    network = Network(loop, ExchangeCore(["BTC/USD"], seed=7, now_ns=timeline.wall_ns))     # see network.py
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())          # hours pass in seconds, and every run of one seed is the same

Theory of operation. There are two machines. The *world* (the exchange and the network) is a heap of actions, each
due at a nanosecond; `Timeline` runs them in order. The *client's machine* is an asyncio event loop whose selector,
instead of waiting, lets the world go on until something can be read or the loop's next timer is due. So a client that
blocks its loop (`VirtualLoop.block`) finds afterwards what the world sent meanwhile, sent when it was and not later.

Invariants. Time moves only here, by `Timeline`, and never back. At equal times actions and timers run in the order in
which they were made. Nothing real is waited for: what would need a real socket, a thread or a process is refused with
`RealWorldError`. A loop that turns and turns within one instant, or that would sleep for ever, ends the run with an
error that says so instead of hanging.

Who keeps a clock of his own is told each step of time by `Timeline.on_advance`.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import socket
from asyncio.staggered import staggered_race
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

from .texts import NS_PER_S

MONOTONIC_START_NS = 1_000 * NS_PER_S
"""Not zero, which code may take for "never"."""

WALL_START_NS = 1_790_000_000 * NS_PER_S
"""2026-09-21 13:33:20 UTC."""

TURNS_MAX = 10_000
"""Turns of the loop within one instant, in which nothing is read, before it is called busy."""

_T = TypeVar("_T")


class RealWorldError(RuntimeError):
    """Something would leave virtual time: a real socket, a thread, a process."""


class StuckError(RuntimeError):
    """Time cannot go on: the loop is busy within one instant, or nothing will ever happen again."""


class Timeline:
    """The world's time and what is due in it.

    Attributes:
        now_ns: monotonic time.
        on_advance: each is called with the nanoseconds by which time moved, after it moved.
    """

    def __init__(self, *, monotonic_ns: int = MONOTONIC_START_NS, wall_ns: int = WALL_START_NS) -> None:
        self.now_ns = monotonic_ns
        self.on_advance: list[Callable[[int], None]] = []
        self._wall_offset_ns = wall_ns - monotonic_ns
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def wall_ns(self) -> int:
        """Give the world's wall clock: what an exchange stamps its messages with."""
        return self.now_ns + self._wall_offset_ns

    def at_wall(self, wall_ns: int) -> int:
        """Give the monotonic time of a time of the wall clock."""
        return wall_ns - self._wall_offset_ns

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        """Let an action happen at a time; what is due in the past happens at once, that is next."""
        self._count += 1
        heapq.heappush(self._due, (max(due_ns, self.now_ns), self._count, action))

    def run(self, until_ns: int | None, is_enough: Callable[[], bool]) -> None:
        """Let the world go on until a time, or until the end of the instant in which `is_enough` says so.

        Raises:
            StuckError: there is no bound, and nothing will ever happen.
        """
        while True:
            if self._due and self._due[0][0] <= self.now_ns:
                heapq.heappop(self._due)[2]()
            elif is_enough():
                return
            elif self._due and (until_ns is None or self._due[0][0] <= until_ns):
                due_ns, _, action = heapq.heappop(self._due)
                self._move(due_ns)
                action()
            elif until_ns is None:
                raise StuckError("everybody waits for ever: no timer is set and nothing is on its way")
            else:
                self._move(until_ns)
                return

    def _move(self, to_ns: int) -> None:
        step_ns = to_ns - self.now_ns
        if step_ns > 0:
            self.now_ns = to_ns
            for tell in self.on_advance:
                tell(step_ns)


class Pipe(Protocol):
    """A connection that was accepted and has no transport yet."""

    def open(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Give it a protocol; its `connection_made` has been called when this returns."""


class Wiring(Protocol):
    """What a virtual loop is wired to: see `network.Network`."""

    async def resolve(self, host: str) -> list[str]:
        """Give the addresses of a host name. Raises OSError."""

    async def connect(self, address: str, port: int) -> Pipe:
        """Connect to an address. Raises OSError, or never returns."""


class _Instant(float):
    """A timer's time that knows the order in which timers were set: a heap alone does not keep it."""

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Instant) and float(self) == float(other):
            return self.order < other.order
        return float(self) < float(other)


class _Selector(selectors.BaseSelector):
    """Waits for nothing. Knows the loop's own wake-up socket, which asyncio insists on, and no other."""

    def __init__(self, wait: Callable[[float | None], None]) -> None:
        self._wait = wait
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self._keys:
            raise RealWorldError(f"{fileobj!r}: no real socket or file is waited for in virtual time")
        key = selectors.SelectorKey(fileobj, _descriptor(fileobj), events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(_descriptor(fileobj))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._wait(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[_descriptor(fileobj)]


def _refuse(name: str, reason: str) -> Callable[..., NoReturn]:
    def refuse(_loop: VirtualLoop, *args: object, **_options: object) -> NoReturn:
        raise RealWorldError(f"{name}{args}: {reason}")

    return refuse


class VirtualLoop(asyncio.SelectorEventLoop):
    """The client's machine: an asyncio event loop in virtual time.

    Args:
        timeline: the world's time.
        timers_first: whether, after a pause, timers run before what can be read, as uvloop does, or after, as
            asyncio does.

    Attributes:
        wiring: makes the connections; a `Network` puts itself here.
        on_quiet: called whenever the loop has nothing more to do in an instant.
        turns: turns of the loop so far.
    """

    def __init__(self, timeline: Timeline, *, timers_first: bool = False) -> None:
        self.timeline = timeline
        self.wiring: Wiring | None = None
        self.on_quiet: Callable[[], None] = lambda: None
        self.turns = 0
        self._timers_first = timers_first
        self._timer_count = 0
        self._readable: deque[Callable[[], None]] = deque()
        self._turns_at_instant = 0
        super().__init__(_Selector(self._wait))

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self.timeline.now_ns / NS_PER_S

    def call_at(  # type: ignore[override]  # its stub ties the arguments to the callback's
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Set a timer; those of equal times run in the order in which they were set."""
        instant = _Instant(when)
        self._timer_count += 1
        instant.order = self._timer_count
        return super().call_at(instant, callback, *args, context=context)

    @property
    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are set and not cancelled."""
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

    def set_readable(self, read: Callable[[], None]) -> None:
        """Say that something arrived for this machine; `read` is called in the loop's next turn."""
        self._readable.append(read)

    def block(self, seconds: float) -> None:
        """Let time pass as if the running callback computed for so long: the world goes on, this loop does not."""
        self.timeline.run(self.timeline.now_ns + round(seconds * NS_PER_S), lambda: False)

    def _wait(self, timeout: float | None) -> None:
        """Stand in for the selector's wait: the world goes on until this machine has something to do."""
        self.turns += 1
        if timeout is None or timeout > 0:
            self.on_quiet()
        before_ns = self.timeline.now_ns
        # Rounded to the nanosecond: within the resolution that asyncio grants its timers.
        until_ns = None if timeout is None else before_ns + round(max(0.0, timeout) * NS_PER_S)
        self.timeline.run(until_ns, lambda: bool(self._readable))
        if self.timeline.now_ns > before_ns or self._readable:
            self._turns_at_instant = 0
        self._turns_at_instant += 1
        if self._turns_at_instant > TURNS_MAX:
            raise StuckError(
                f"the loop turned {TURNS_MAX} times at {self.time():.9f} s without reading anything"
            )
        readable, self._readable = self._readable, deque()
        for read in readable:
            if self._timers_first:
                self.call_soon(self.call_soon, read)
            else:
                self.call_soon(read)

    # Connections -------------------------------------------------------------------------------------------------

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        happy_eyeballs_delay: float | None = None,
        **options: object,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect through the wiring. TLS is not simulated: `ssl` is accepted and the bytes go plain."""
        meant = {name for name, value in options.items() if value is not None} - {"ssl", "server_hostname"}
        if self.wiring is None or host is None or port is None or meant:
            raise RealWorldError(
                f"create_connection({host!r}, {port!r}, {options}): only the wiring's hosts are here"
            )
        addresses = await self.wiring.resolve(host)
        connects = [partial(self.wiring.connect, address, port) for address in addresses]
        pipe, _, errors = await staggered_race(connects, happy_eyeballs_delay)
        if pipe is None:
            failed = [error for error in errors if error is not None]
            raise failed[0] if len(failed) == 1 else OSError("; ".join(map(str, failed)))
        protocol = protocol_factory()
        return pipe.open(protocol), protocol

    async def getaddrinfo(self, host: Any, port: Any, **_hints: int) -> list[Any]:
        """Resolve a name through the wiring."""
        if self.wiring is None:
            raise RealWorldError(f"getaddrinfo({host!r}): no network is wired")
        addresses = await self.wiring.resolve(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    run_in_executor = _refuse("run_in_executor", "threads have no virtual time")  # type: ignore[assignment]
    create_server = _refuse("create_server", "no real socket is listened on in virtual time")
    create_datagram_endpoint = _refuse("create_datagram_endpoint", "no real socket in virtual time")
    create_unix_connection = _refuse("create_unix_connection", "no real socket in virtual time")
    create_unix_server = _refuse("create_unix_server", "no real socket in virtual time")
    sock_connect = _refuse("sock_connect", "no real socket in virtual time")
    subprocess_exec = _refuse("subprocess_exec", "processes have no virtual time")
    subprocess_shell = _refuse("subprocess_shell", "processes have no virtual time")


def _descriptor(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


def run(loop: VirtualLoop, main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end in virtual time, and close the loop."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
