"""The loop of virtual time and its network: time, order, refusals, and TCP's promises."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.network import ADDRESS, DEAD_ADDRESS, HOST, PORT, Network, Route
from kraken_fast.sim.virtual import RealWorldError, StuckError, Timeline, VirtualLoop, run

UPGRADE = b"GET /v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"


def wired(
    *, rate: float = 0.0, timers_first: bool = False, route: Callable[[int], Route] = lambda _n: Route()
) -> tuple[VirtualLoop, Network]:
    """A loop and a network with an exchange of one symbol."""
    timeline = Timeline()
    loop = VirtualLoop(timeline, timers_first=timers_first)
    core = ExchangeCore(["BTC/USD"], seed=3, now_ns=timeline.wall_ns, rate=rate)
    return loop, Network(loop, core, seed=3, route=route)


class Reader(asyncio.Protocol):
    """Keeps what came, when, and how it ended."""

    def __init__(self) -> None:
        self.reads: list[tuple[float, bytes]] = []
        self.eof = False
        self.ended: list[Exception | None] = []

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.reads)

    def data_received(self, data: bytes) -> None:
        self.reads.append((asyncio.get_running_loop().time(), data))

    def eof_received(self) -> bool:
        self.eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.append(exc)


async def dial(loop: VirtualLoop) -> tuple[Any, Reader]:
    """Connect and ask for the upgrade."""
    transport, protocol = await loop.create_connection(Reader, HOST, PORT)
    assert isinstance(protocol, Reader)
    transport.write(UPGRADE)
    return transport, protocol


def test_an_hour_takes_no_time() -> None:
    timeline = Timeline()
    steps: list[int] = []
    timeline.on_advance.append(steps.append)
    begun = time.monotonic()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(3600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await loop.create_future()
        return loop.time() - start

    assert run(VirtualLoop(timeline), main()) == 3600.25
    assert sum(steps) == 3_600_250_000_000
    assert time.monotonic() - begun < 1.0


def test_time_is_exact_to_the_nanosecond() -> None:
    timeline = Timeline()
    start = timeline.now_ns

    async def main() -> None:
        for step in range(1, 1001):
            await asyncio.sleep(0.1)
            assert timeline.now_ns - start == step * 100_000_000

    run(VirtualLoop(timeline), main())


def test_equal_times_keep_their_order() -> None:
    seen: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + 1
        handles = [loop.call_at(at, seen.append, number) for number in range(200)]
        for handle in handles[::3]:
            handle.cancel()
        await asyncio.sleep(2)

    run(VirtualLoop(Timeline()), main())
    assert seen == [number for number in range(200) if number % 3]


@pytest.mark.parametrize(
    "leave",
    [
        lambda loop: loop.run_in_executor(None, print),
        lambda _loop: asyncio.to_thread(print),
        lambda loop: loop.create_server(asyncio.Protocol, "127.0.0.1", 0),
        lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1", 80),
        lambda loop: loop.create_connection(asyncio.Protocol, HOST, 443, local_addr=("127.0.0.1", 0)),
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol),
        lambda loop: loop.getaddrinfo("localhost", 80),
        lambda loop: loop.sock_connect(None, ("127.0.0.1", 1)),
        lambda _loop: asyncio.create_subprocess_exec("true"),
        lambda _loop: asyncio.create_subprocess_shell("true"),
    ],
)
def test_the_real_world_is_refused(leave: Callable[[VirtualLoop], Any]) -> None:
    loop = VirtualLoop(Timeline())

    async def main() -> None:
        with pytest.raises(RealWorldError):
            await leave(loop)
        first, second = socket.socketpair()
        with first, second, pytest.raises(RealWorldError):
            loop.add_reader(first, print)

    run(loop, main())
    assert threading.active_count() == 1


def test_a_busy_loop_is_told() -> None:
    async def main() -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="turned 10000 times at"):
        run(VirtualLoop(Timeline()), main())


def test_waiting_for_ever_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError, match="everybody waits for ever"):
        run(VirtualLoop(Timeline()), main())


def test_bytes_arrive_in_order_after_their_delay() -> None:
    loop, network = wired(route=lambda _n: Route(up_ms=7, down_ms=11))

    async def main() -> None:
        start = loop.time()
        _, reader = await dial(loop)
        assert loop.time() - start == pytest.approx(0.001 + 0.018), "a look-up and a round trip"
        await asyncio.sleep(0.02)
        assert reader.reads[0][0] - start == pytest.approx(0.019 + 0.018)
        assert reader.data.startswith(b"HTTP/1.1 101 ")
        assert b'"channel":"status"' in reader.data

    run(loop, main())
    assert len(network.attempts_ns) == 1


def test_jitter_keeps_the_order() -> None:
    def read(route: Route) -> bytes:
        loop, network = wired(route=lambda _n: route)
        network.core.faults.inject("ping_flood", rate=500)

        async def main() -> bytes:
            transport, reader = await dial(loop)
            await asyncio.sleep(5)
            assert len(reader.reads) > 1000
            times = [at for at, _ in reader.reads]
            assert times == sorted(times)
            transport.abort()
            return reader.data[:20_000]

        return run(loop, main())

    assert (
        read(Route(jitter_ms=300)).split(b"\r\n\r\n")[1][:9000] == read(Route()).split(b"\r\n\r\n")[1][:9000]
    )


@pytest.mark.parametrize(("kind", "error"), [("rst", ConnectionResetError), ("fin", None)])
def test_ends_of_a_connection(kind: str, error: type[Exception] | None) -> None:
    loop, network = wired()

    async def main() -> None:
        transport, reader = await dial(loop)
        await asyncio.sleep(0.1)
        network.core.faults.inject(kind)
        await asyncio.sleep(0.0049)
        assert not reader.ended
        await asyncio.sleep(0.0002)
        assert [type(end) for end in reader.ended] == [error or type(None)]
        assert reader.eof == (error is None)
        assert transport.is_closing()
        assert not network.connections
        assert not network.core.lines

    run(loop, main())


def test_our_end_of_a_connection() -> None:
    loop, network = wired()

    async def main() -> None:
        for end in ("close", "abort"):
            transport, reader = await dial(loop)
            await asyncio.sleep(0.1)
            getattr(transport, end)()
            transport.write(b"to nobody")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert reader.ended == [None]
            assert network.core.lines, "the exchange learns of it later"
            await asyncio.sleep(0.006)
            assert not network.core.lines

    run(loop, main())


def test_a_peer_that_reads_nothing_fills_the_buffer() -> None:
    loop, network = wired()

    async def main() -> None:
        transport, _ = await dial(loop)
        await asyncio.sleep(0.1)
        with network.core.faults.inject("stall_read"):
            transport.write(bytes(100_000))
            await asyncio.sleep(1)
            assert transport.get_write_buffer_size() == 100_000 - 65_536
        await asyncio.sleep(1)
        assert transport.get_write_buffer_size() == 0

    run(loop, main())


@pytest.mark.parametrize("timers_first", [False, True])
def test_a_blocked_loop_finds_what_came_meanwhile(*, timers_first: bool) -> None:
    loop, network = wired(timers_first=timers_first)
    order: list[str] = []

    async def main() -> None:
        transport, reader = await dial(loop)
        await asyncio.sleep(0.1)
        network.core.faults.inject("ping_flood", rate=10)
        reader.data_received = lambda data: order.append("read" if data else "")  # type: ignore[method-assign]
        loop.call_later(0.5, order.append, "timer")
        sent_before = network.core.lines[1]._wire.taken_bytes
        start = loop.time()
        loop.block(2.0)
        assert loop.time() == start + 2.0
        assert network.core.lines[1]._wire.taken_bytes > sent_before, "the world went on"
        assert not order
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert order[0] == ("timer" if timers_first else "read")
        assert "timer" in order
        assert "read" in order
        transport.abort()

    run(loop, main())


def test_connecting_to_several_addresses() -> None:
    """Happy eyeballs if asked for; one after the other if not, and a refusal is no answer."""
    loop, network = wired()
    network.hosts[HOST] = [DEAD_ADDRESS, ADDRESS]

    async def main() -> None:
        start = loop.time()
        await loop.create_connection(Reader, HOST, PORT, happy_eyeballs_delay=0.25)
        assert loop.time() - start == pytest.approx(0.001 + 0.25 + 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await loop.create_connection(Reader, HOST, PORT)
        network.hosts[HOST] = [ADDRESS, ADDRESS]
        network.core.faults.inject("refuse")
        with pytest.raises(OSError, match=r"refuses.*; .*refuses"):
            await loop.create_connection(Reader, HOST, PORT)
        with pytest.raises(socket.gaierror):
            await loop.create_connection(Reader, "elsewhere.test", PORT)

    run(loop, main())


def test_giving_up_on_a_connection_leaves_nothing() -> None:
    loop, network = wired(route=lambda _n: Route(up_ms=100, down_ms=100))

    async def main() -> None:
        for patience_s in (0.05, 0.15, 0.199):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await loop.create_connection(Reader, HOST, PORT)
            await asyncio.sleep(1)
            assert not network.connections
            assert not network.core.lines

    run(loop, main())
