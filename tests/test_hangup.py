"""A socket's failure is told once, in both orders of noticing, and costs its descriptor back."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest

from kraken_fast.errors import ConnectionLostError
from kraken_fast.hangup import HangupWatch
from kraken_fast.transport import LineState

from .wire import HEARTBEAT, TEXT, Peer, each_loop, frame, line_to


def pair() -> tuple[socket.socket, socket.socket]:
    """Give two connected TCP sockets: only TCP knows resets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@each_loop
async def test_a_reset_is_told_once_and_what_came_before_it_stays_readable() -> None:
    ours, theirs = pair()
    told: list[str] = []
    watch = HangupWatch(ours, told.append)
    theirs.send(b"last")
    await asyncio.sleep(0.02)
    assert told == [], "data is no failure"
    reset(theirs)
    await asyncio.sleep(0.02)
    assert len(told) == 1 and "reset by peer" in told[0]
    assert ours.recv(10) == b"last"
    watch.close()
    ours.close()


@each_loop
async def test_an_end_of_stream_is_the_transports_business() -> None:
    ours, theirs = pair()
    told: list[str] = []
    watch = HangupWatch(ours, told.append)
    theirs.close()
    await asyncio.sleep(0.02)
    assert told == []
    watch.close()
    ours.close()


@each_loop
async def test_who_closed_the_socket_is_told_nothing() -> None:
    ours, theirs = pair()
    told: list[str] = []
    HangupWatch(ours, told.append)
    reset(theirs)
    asyncio.get_running_loop().call_soon(ours.close)
    await asyncio.sleep(0.02)
    assert told == []


@each_loop
async def test_its_descriptor_goes_with_it() -> None:
    ours, theirs = pair()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        watch = HangupWatch(ours, lambda _: None)
        watch.close()
        watch.close()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before
    ours.close()
    theirs.close()


@each_loop
@pytest.mark.fault("N01", kind="L")
async def test_a_line_notices_a_reset_right_behind_data() -> None:
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            host, port = server.getsockname()
            async with line_to(f"ws://{host}:{port}") as (_line, owner):
                sock, _ = await loop.sock_accept(server)
                peer = Peer(asyncio.StreamReader(), None)  # type: ignore[arg-type]  # it only answers the upgrade
                peer.request = await loop.sock_recv(sock, 4096)
                await loop.sock_sendall(sock, peer.agreement())
                await asyncio.sleep(0.02)
                sock.send(frame(TEXT, HEARTBEAT))
                reset(sock)  # in the same turn: the line hears of both at once
                at = loop.time()
                await owner.until(lambda: owner.downs)  # noqa: B023
                waits.append(next(time for time, state in owner.times if state is LineState.DOWN) - at)
                reason = owner.downs[0][0]
        assert owner.texts == [HEARTBEAT], "what came before it was read"
        assert isinstance(reason, ConnectionLostError) and "reset by peer" in reason.reason
    assert min(waits) < 0.05, "at once, not with the next write, nor by silence; 5 ms, and a busy machine"
