"""The line against servers under full control, on real sockets: asyncio and uvloop, plain and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.sink import MessageSink
from kraken_fast.errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    HandshakeError,
    HeartbeatTimeoutError,
    TlsError,
    TransportError,
)
from kraken_fast.policy import SECOND_NS, AttemptBudget, MemoryAttempts
from kraken_fast.transport import Connection, LineState

from .wire import (
    CLOSE,
    HEARTBEAT,
    QUICK,
    TEXT,
    Owner,
    Peer,
    close_payload,
    each_loop,
    heartbeats,
    line_to,
    serve,
)


async def quiet_peer(peer: Peer) -> None:
    await peer.upgrade()
    await peer.until_gone()


# The ordinary course ---------------------------------------------------------------------------------------------


@each_loop
async def test_messages_go_to_the_sink_and_ours_to_the_peer(wire: dict[str, Any]) -> None:
    got: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send_text(b'{"a":1}', b'{"b":2}')
        got.append(await peer.read_frame())
        got.append(await peer.read_frame())

    async with serve(script, **wire["serve"]) as server, line_to(server.url, **wire["line"]) as (line, owner):
        await owner.until(lambda: len(owner.texts) == 2)
        assert owner.texts == [b'{"a":1}', b'{"b":2}']
        assert owner.ups == [1]
        assert line.state is LineState.LIVE
        assert line.epoch == 1
        line.send(b'{"method":"ping"}')
        await owner.until(lambda: got)
        assert got == [(TEXT, b'{"method":"ping"}')]
        assert line.listener.messages == 2
        assert line.listener.message_bytes == 14
    assert got[1] == (CLOSE, close_payload(1000))


@each_loop
async def test_the_request_names_host_and_path() -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        requests.append(peer.request)
        await peer.until_gone()

    async with serve(script) as server, line_to(f"{server.url}/v2?x=1") as (_line, owner):
        await owner.until(lambda: owner.ups)
        host = server.url.removeprefix("ws://")
        assert requests[0].startswith(b"GET /v2?x=1 HTTP/1.1\r\n")
        assert f"Host: {host}\r\n".encode() in requests[0]
        assert b"Origin" not in requests[0]
        assert b"Extensions" not in requests[0]


@each_loop
async def test_states_follow_the_table_and_epochs_count_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.sleep(0.02)

    async with serve(script) as server, line_to(server.url) as (_line, owner):
        await owner.until(lambda: len(owner.downs) == 2)
    names = [new.value for _, new, _ in owner.states]
    assert names[:8] == ["backoff", "connecting", "live", "down"] * 2
    assert names[-1] == "closed"
    assert owner.ups == [1, 2]
    assert [epoch for _, epoch in owner.downs] == [1, 2]


# 2.1 Network -----------------------------------------------------------------------------------------------------


@each_loop
@pytest.mark.fault("N02", kind="L")
async def test_end_of_stream_without_close_frame(wire: dict[str, Any]) -> None:
    fins: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send_text(HEARTBEAT)
        await peer.writer.drain()
        await asyncio.sleep(0.05)
        fins.append(asyncio.get_running_loop().time())

    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: owner.downs)
        down_at = next(at for at, state in owner.times if state is LineState.DOWN)
        reason, epoch = owner.downs[0]
        assert isinstance(reason, ConnectionLostError)
        assert reason.code == 1006
        assert epoch == 1
        assert "end of stream" in reason.reason, "an eof is no clean stop"
        assert down_at - fins[0] < 0.055
        await owner.until(lambda: len(owner.ups) == 2)
        up_at = [at for at, state in owner.times if state is LineState.LIVE][1]
        assert up_at - down_at < 1.0


@pytest.mark.parametrize("after_request", [False, True])
@each_loop
async def test_a_socket_that_closes_before_the_upgrade(after_request: bool) -> None:
    async def script(peer: Peer) -> None:
        if after_request:
            await peer.read_request()

    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: len(owner.downs) >= 2)
        assert all(isinstance(reason, (HandshakeError, ConnectError)) for reason, _ in owner.downs)
        assert owner.ups == []
        assert line.state is not LineState.CLOSED


@each_loop
async def test_reset_is_named() -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.sleep(0.02)
        peer.reset()

    async with serve(script) as server, line_to(server.url) as (_line, owner):
        await owner.until(lambda: owner.downs)
        reason = owner.downs[0][0]
        assert isinstance(reason, ConnectionLostError)
        assert "reset" in reason.reason.lower()


@each_loop
@pytest.mark.fault("N03", kind="L")
async def test_silent_hole(wire: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await heartbeats(peer, count=4)
        await peer.until_gone()

    settings = LineSettings(suspect_s=0.4, dead_s=0.8)
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=settings, **wire["line"]) as (line, owner),
    ):
        await owner.until(lambda: owner.texts)
        line.arm()
        await owner.until(lambda: owner.downs)
        last = owner.recv_ns[-1] / SECOND_NS
        suspect_at = next(at for at, state in owner.times if state is LineState.SUSPECT)
        down_at = next(at for at, state in owner.times if state is LineState.DOWN)
        assert suspect_at - last == pytest.approx(0.4, abs=0.08)
        assert down_at - last == pytest.approx(0.8, abs=0.16)
        reason = owner.downs[0][0]
        assert isinstance(reason, HeartbeatTimeoutError)
        assert reason.silent_ms >= 799
        await owner.until(lambda: len(owner.ups) == 2)


@each_loop
@pytest.mark.fault("N14", kind="L")
async def test_a_connect_that_hangs_is_abandoned() -> None:
    # A listening socket with a full backlog drops further SYNs, as a hole in the network does.
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(hole.getsockname())
        fillers.append(filler)
    started = time.monotonic()
    try:
        async with line_to(f"ws://127.0.0.1:{hole.getsockname()[1]}", settings=QUICK) as (line, owner):
            await owner.until(lambda: owner.downs)
            assert isinstance(owner.downs[0][0], ConnectError)
            assert time.monotonic() - started == pytest.approx(0.5, abs=0.15)
            await owner.until(lambda: line.epoch == 2, 0.5)
    finally:
        for sock in (*fillers, hole):
            sock.close()


@each_loop
@pytest.mark.fault("N15", kind="L")
async def test_a_dripping_upgrade_is_abandoned_with_its_socket(wire: dict[str, Any]) -> None:
    gone: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.read_request()
        started = time.monotonic()
        reading = asyncio.create_task(peer.until_gone())
        for byte in peer.agreement():
            if reading.done():
                break
            peer.send(bytes([byte]))
            await asyncio.sleep(0.02)
        reading.cancel()
        gone.append(time.monotonic() - started)

    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=QUICK, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: gone)
        assert isinstance(owner.downs[0][0], ConnectError)
        assert "0.5 s" in str(owner.downs[0][0])
        assert gone[0] < 0.7
        assert owner.ups == []


@pytest.mark.parametrize("flaw", ["expired", "wrong name", "self-signed"])
@each_loop
@pytest.mark.fault("N16", kind="L")
async def test_bad_certificates_get_nothing_and_no_storm(
    flaw: str, authority: trustme.CA, ca_file: str
) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.reader.read(1000))

    if flaw == "expired":
        leaf = authority.issue_cert("localhost", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    elif flaw == "wrong name":
        leaf = authority.issue_cert("other.example")
    else:
        leaf = trustme.CA().issue_cert("localhost")
    async with serve(script, tls=leaf) as server, line_to(server.url, ca_file=ca_file) as (line, owner):
        await owner.until(lambda: owner.downs)
        assert isinstance(owner.downs[0][0], TlsError)
        assert not owner.downs[0][0].retryable
        await asyncio.sleep(0.3)
        assert line.epoch == 1
        assert line.state is LineState.BACKOFF, "the next attempt is a minute away"
        assert float(owner.states[-1][2].split()[-2]) >= 60.0
        assert b"".join(seen) == b"", "0 bytes of payload"


@each_loop
@pytest.mark.fault("N17", kind="L")
async def test_the_server_name_is_sent_on_every_connect(authority: trustme.CA, ca_file: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()

    async with (
        serve(script, tls=authority.issue_cert("localhost")) as server,
        line_to(server.url, ca_file=ca_file) as (_line, owner),
    ):
        await owner.until(lambda: len(owner.downs) >= 3)
        assert set(server.server_names) == {"localhost"}
        assert len(server.server_names) >= 3


@each_loop
async def test_old_tls_is_refused(ca_file: str) -> None:
    line = Connection(
        Endpoints(ws_url="wss://localhost:1", ca_file=ca_file),
        Owner(),
        MessageSink(),
        clock=SystemClock(),
        rng=Random(1),
    )
    line.start()
    context = line._dialer._ssl_context
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    await line.close()


def test_what_does_not_verify_or_is_no_authority_is_a_config_error(tmp_path: Path) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    arguments: dict[str, Any] = {"clock": SystemClock(), "rng": Random(1)}
    with pytest.raises(ConfigError, match="verifies"):
        Connection(Endpoints(), Owner(), MessageSink(), ssl_context=lax, **arguments)
    Connection(Endpoints(ws_url="wss://127.0.0.1"), Owner(), MessageSink(), ssl_context=lax, **arguments)
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigError, match="ca_file"):
            Connection(Endpoints(ca_file=tmp_path / name), Owner(), MessageSink(), **arguments).start()


@each_loop
@pytest.mark.fault("N13", kind="L")
async def test_a_dead_address_first_and_names_that_do_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    lookups: list[str] = []
    broken = [True]
    real = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **_options: Any) -> Any:
        lookups.append(host)
        if broken.pop() if broken else False:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        # 127.0.0.2 has nobody listening: the dead address comes first.
        dead = await real("127.0.0.2", port, type=socket.SOCK_STREAM)
        return dead + await real("127.0.0.1", port, type=socket.SOCK_STREAM)

    async with serve(quiet_peer) as server:
        port = server.url.rsplit(":", 1)[1]
        owner = Owner()
        line = Connection(
            Endpoints(ws_url=f"ws://localhost:{port}"),
            owner,
            MessageSink(),
            clock=SystemClock(),
            rng=Random(3),
        )
        monkeypatch.setattr("aiofastnet.api_create_connection._ensure_resolved", _resolver(getaddrinfo))
        line.start()
        await owner.until(lambda: owner.ups)
        assert isinstance(owner.downs[0][0], ConnectError)
        assert "resolve" in str(owner.downs[0][0])
        assert len(owner.downs) == 1, "one backoff step after the name resolves"
        assert len(lookups) == 2, "resolved anew for each attempt"
        await line.close()


def _resolver(getaddrinfo: Any) -> Any:
    async def resolve(address: tuple[Any, Any], **_options: Any) -> Any:
        return await getaddrinfo(*address)

    return resolve


# Sending, closing, budget ----------------------------------------------------------------------------------------


@each_loop
async def test_a_peer_that_does_not_read_is_refused_locally(wire: dict[str, Any]) -> None:
    received: list[int] = []
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go_on.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                _, payload = await peer.read_frame()
                received.append(len(payload))

    settings = LineSettings(unsent_bytes_max=128 << 10)
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=settings, **wire["line"]) as (line, owner),
    ):
        await owner.until(lambda: owner.ups)
        sent = 0

        def send_on() -> None:
            nonlocal sent
            for _ in range(100_000):
                line.send(b"x" * 10_000)
                sent += 1

        with pytest.raises(TransportError, match="nothing was sent"):
            send_on()
        assert line.listener.unsent_bytes <= (128 << 10) + 1000
        assert not line.is_writable
        go_on.set()
        await owner.until(lambda: len(received) == sent, 5.0)
        assert line.is_writable
        line.send(b"again")


@each_loop
@pytest.mark.parametrize("moment", ["never started", "connecting", "upgrading", "live", "backoff", "twice"])
async def test_close_is_prompt_and_leaves_nothing(moment: str, wire: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        if moment == "upgrading":
            await asyncio.sleep(5)
        elif moment == "backoff":
            peer.send(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 100\r\n\r\n")
            await peer.until_gone()
        else:
            peer.send(peer.agreement())
            await peer.read_close_code()

    def fds() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with serve(script, **wire["serve"]) as server:
        before = fds()
        started = moment != "never started"
        async with line_to(server.url, start=started, **wire["line"]) as (line, owner):
            if moment in ("live", "twice"):
                await owner.until(lambda: owner.ups)
            elif moment == "upgrading":
                await asyncio.sleep(0.1)
            elif moment == "backoff":
                await owner.until(lambda: line.state is LineState.BACKOFF and owner.downs)
            if moment == "twice":
                await asyncio.gather(line.close(), line.close())
        with pytest.raises(ClosedError):
            line.send(b"{}")
        with pytest.raises(ClosedError):
            line.start()
        await asyncio.sleep(0.02)
        assert fds() <= before + 1, "the server's end may still be open"


@each_loop
async def test_sending_on_a_line_that_is_down_is_refused() -> None:
    async with line_to("ws://127.0.0.1:9", start=False) as (line, _):
        with pytest.raises(TransportError, match="nothing was sent"):
            line.send(b"{}")


@each_loop
async def test_refused_connections_climb_the_backoff() -> None:
    async with line_to("ws://127.0.0.1:9") as (_line, owner):
        await owner.until(lambda: len(owner.downs) >= 3)
        assert all(isinstance(reason, ConnectError) for reason, _ in owner.downs)


@each_loop
async def test_loopback_asks_no_budget() -> None:
    async with (
        serve(quiet_peer) as server,
        line_to(server.url, budget=AttemptBudget(MemoryAttempts(), limit=0)) as (_line, owner),
    ):
        await owner.until(lambda: owner.ups)
