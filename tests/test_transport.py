"""The line against servers under full control, on real sockets: asyncio and uvloop, plain and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import resource
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
from kraken_fast.core.sink import MessageSink, PySink
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
    BINARY,
    CLOSE,
    CONTINUATION,
    HEARTBEAT,
    PING,
    PONG,
    TEXT,
    Owner,
    Peer,
    close_payload,
    each_loop,
    frame,
    line_to,
    serve,
)

QUICK = LineSettings(suspect_s=0.15, dead_s=0.3, connect_s=0.5, close_s=0.2)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(params=["plain", "tls"])
def wire(request: pytest.FixtureRequest, authority: trustme.CA, ca_file: str) -> dict[str, Any]:
    """Arguments of `serve` and `line_to` for a plain and for a secure line."""
    if request.param == "plain":
        return {"serve": {}, "line": {}}
    return {"serve": {"tls": authority.issue_cert("localhost")}, "line": {"ca_file": ca_file}}


async def heartbeats(peer: Peer, *, every_s: float = 0.05, count: int = 10_000) -> None:
    for _ in range(count):
        peer.send_text(HEARTBEAT)
        await peer.writer.drain()
        await asyncio.sleep(every_s)


async def quiet_peer(peer: Peer) -> None:
    await peer.upgrade()
    await peer.until_gone()


def lost_codes(owner: Owner) -> list[int]:
    return [reason.code for reason, _ in owner.downs if isinstance(reason, ConnectionLostError)]


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
        assert owner.ups == [1] and line.state is LineState.LIVE and line.epoch == 1
        line.send(b'{"method":"ping"}')
        await owner.until(lambda: got)
        assert got == [(TEXT, b'{"method":"ping"}')]
        assert line.listener.messages == 2 and line.listener.message_bytes == 14
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
        assert b"Origin" not in requests[0] and b"Extensions" not in requests[0]


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
    assert owner.ups == [1, 2] and [epoch for _, epoch in owner.downs] == [1, 2]


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
        assert isinstance(reason, ConnectionLostError) and reason.code == 1006 and epoch == 1
        assert "end of stream" in reason.reason, "an eof is no clean stop"
        assert down_at - fins[0] < 0.055
        await owner.until(lambda: len(owner.ups) == 2)
        up_at = [at for at, state in owner.times if state is LineState.LIVE][1]
        assert up_at - down_at < 1.0


@each_loop
async def test_reset_is_named() -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.sleep(0.02)
        peer.reset()

    async with serve(script) as server, line_to(server.url) as (_line, owner):
        await owner.until(lambda: owner.downs)
        reason = owner.downs[0][0]
        assert isinstance(reason, ConnectionLostError) and "reset" in reason.reason.lower()


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
        assert isinstance(reason, HeartbeatTimeoutError) and reason.silent_ms >= 799
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
        assert isinstance(owner.downs[0][0], ConnectError) and "0.5 s" in str(owner.downs[0][0])
        assert gone[0] < 0.7 and owner.ups == []


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
        leaf = authority.issue_cert("localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    elif flaw == "wrong name":
        leaf = authority.issue_cert("other.example")
    else:
        leaf = trustme.CA().issue_cert("localhost")
    async with serve(script, tls=leaf) as server, line_to(server.url, ca_file=ca_file) as (line, owner):
        await owner.until(lambda: owner.downs)
        assert isinstance(owner.downs[0][0], TlsError) and not owner.downs[0][0].retryable
        await asyncio.sleep(0.3)
        assert line.epoch == 1 and line.state is LineState.BACKOFF, "the next attempt is a minute away"
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
        assert set(server.server_names) == {"localhost"} and len(server.server_names) >= 3


@each_loop
async def test_old_tls_is_refused(authority: trustme.CA, ca_file: str) -> None:
    line = Connection(
        Endpoints(ws_url="wss://localhost:1", ca_file=ca_file),
        Owner(),
        MessageSink(),
        clock=SystemClock(),
        rng=Random(1),
    )
    line.start()
    context = line._dialer._ssl_context
    assert context is not None and context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
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

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
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
        assert isinstance(owner.downs[0][0], ConnectError) and "resolve" in str(owner.downs[0][0])
        assert len(owner.downs) == 1, "one backoff step after the name resolves"
        assert len(lookups) == 2, "resolved anew for each attempt"
        await line.close()


def _resolver(getaddrinfo: Any) -> Any:
    async def resolve(address: tuple[Any, Any], **options: Any) -> Any:
        return await getaddrinfo(*address)

    return resolve


# 2.2 WebSocket ---------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes, int, str]] = {
    "W01 top bit of a 64-bit length": (b"\x81\x7f" + b"\xff" * 8 + b"x" * 100, 1002, "W01"),
    "W01 length 2^40": (b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"x" * 100, 1009, "W01"),
    "W01 64 bits for a small length": (frame(TEXT, b"{}", length="64"), 1002, "W01"),
    "W01 16 bits for a small length": (frame(TEXT, b"{}", length="16"), 1002, "W01"),
    "W05 continuation of nothing": (frame(CONTINUATION, b"{}"), 1002, "W05"),
    "W05 text inside a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"{}"), 1002, "W05"),
    "W06 reserved bit 1": (frame(TEXT, b"{}", rsv=4), 1002, "W06"),
    "W06 reserved bit 3 on a ping": (frame(PING, rsv=1), 1002, "W06"),
    "W06 unknown opcode": (frame(5, b"{}"), 1002, "W06"),
    "W06 unknown control opcode": (frame(11, b"{}"), 1002, "W06"),
    "W06 masked": (frame(TEXT, b"{}", mask=True), 1002, "W06"),
    "W06 fragmented ping": (frame(PING, fin=False), 1002, "W06"),
    "W07 not UTF-8": (frame(TEXT, b'"\xff"'), 1007, "W07"),
    "W07 not UTF-8 across fragments": (
        frame(TEXT, b"\xed", fin=False) + frame(CONTINUATION, b"\xa0\x80"),
        1007,
        "W07",
    ),
    "W07 ends inside a character": (
        frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82"),
        1007,
        "W07",
    ),
    "W09 close code 0": (frame(CLOSE, close_payload(0)), 1002, "W09"),
    "W09 close code 1005": (frame(CLOSE, close_payload(1005)), 1002, "W09"),
    "W09 close code 1006": (frame(CLOSE, close_payload(1006)), 1002, "W09"),
    "W09 close code 1015": (frame(CLOSE, close_payload(1015)), 1002, "W09"),
    "W09 close code 2999": (frame(CLOSE, close_payload(2999)), 1002, "W09"),
    "W09 close code 5000": (frame(CLOSE, close_payload(5000)), 1002, "W09"),
    "W09 close frame of one byte": (frame(CLOSE, b"\x03"), 1002, "W09"),
    "W09 close reason not UTF-8": (frame(CLOSE, close_payload(1000, b"\xff")), 1007, "W09"),
}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.fault(BROKEN[name][2], kind="L")) for name in BROKEN]
)
@each_loop
async def test_broken_frames_end_the_connection(case: str, wire: dict[str, Any]) -> None:
    data, code, _ = BROKEN[case]
    codes: list[int] = []
    sent_at: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        if codes:
            await peer.until_gone()
            return
        peer.send_text(HEARTBEAT)
        await peer.writer.drain()
        await asyncio.sleep(0.02)
        sent_at.append(asyncio.get_running_loop().time())
        peer.send(data + frame(TEXT, b"after the end"))
        with contextlib.suppress(asyncio.IncompleteReadError):
            codes.append(await peer.read_close_code())
            peer.send_text(b"after the close frame")
            await peer.until_gone()

    # Little memory is needed for the claim of a terabyte.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = LineSettings(message_bytes_max=1 << 20)
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=settings, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: owner.downs)
        down_at = next(at for at, state in owner.times if state is LineState.DOWN)
        assert down_at - sent_at[0] < 0.1
        assert lost_codes(owner) == [code], owner.downs
        await owner.until(lambda: codes == [code])
        await owner.until(lambda: len(owner.ups) == 2, 1.0)
        assert owner.texts == [HEARTBEAT], "nothing broken is delivered, nor anything after it"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@each_loop
@pytest.mark.fault("W01", kind="L")
async def test_a_broken_frame_from_a_peer_that_does_not_read() -> None:
    """picows closes gracefully and would wait for ever for its close frame to leave."""

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send_text(HEARTBEAT)
        await asyncio.sleep(0.2)
        peer.send(frame(5))
        await asyncio.sleep(10)

    async with serve(script) as server, line_to(server.url, settings=QUICK) as (line, owner):
        await owner.until(lambda: owner.texts)
        with contextlib.suppress(TransportError):
            for _ in range(10_000):
                line.send(b"x" * 100_000)
        assert line.listener.unsent_bytes > 0
        await owner.until(lambda: owner.downs, 2.0)


@each_loop
@pytest.mark.fault("W02", kind="L")
async def test_messages_over_the_cap(wire: dict[str, Any]) -> None:
    cap = 256 << 10
    codes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        kind = len(codes)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if kind == 0:
                peer.send(frame(TEXT, b"x" * (cap + 1)))
            elif kind == 1:
                peer.send(frame(TEXT, b"x" * 1000, fin=False))
                for _ in range(cap // 1000 + 10):
                    peer.send(frame(CONTINUATION, b"x" * 1000, fin=False))
            elif kind == 2:
                peer.send(frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 2000)
            codes.append(await peer.read_close_code())
        await peer.until_gone()

    settings = LineSettings(message_bytes_max=cap)
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=settings, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: len(owner.downs) == 3)
        assert lost_codes(owner) == [1009, 1009, 1009]
        await owner.until(lambda: codes == [1009, 1009, 1009])
        assert owner.texts == []


@each_loop
@pytest.mark.fault("W03", kind="L")
async def test_a_snapshot_of_twenty_megabytes(wire: dict[str, Any]) -> None:
    big = b'{"x":"' + b"y" * (20 << 20) + b'"}'

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send_text(HEARTBEAT)
        await asyncio.sleep(0.1)
        peer.send_text(big, HEARTBEAT)
        await heartbeats(peer)

    settings = LineSettings(suspect_s=1.5, dead_s=3.0)
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, settings=settings, **wire["line"]) as (line, owner),
    ):
        await owner.until(lambda: owner.texts)
        line.arm()
        await owner.until(lambda: len(owner.texts) > 5, 8.0)
        assert owner.texts[1] == big and owner.downs == []
        assert not owner.reached(LineState.SUSPECT)


@each_loop
@pytest.mark.fault("W04", kind="L")
async def test_fragments_with_a_ping_between_them(wire: dict[str, Any]) -> None:
    pongs: list[tuple[int, bytes]] = []
    euro = "€".encode()

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send(frame(TEXT, b'{"a":"' + euro[:1], fin=False))
        peer.send(frame(PING, b"are you there"))
        peer.send(frame(CONTINUATION, euro[1:], fin=False) + frame(CONTINUATION, b'"}'))
        pongs.append(await peer.read_frame())
        await peer.until_gone()

    async with serve(script, **wire["serve"]) as server, line_to(server.url, **wire["line"]) as (line, owner):
        await owner.until(lambda: owner.texts and pongs)
        assert owner.texts == ['{"a":"€"}'.encode()] and pongs == [(PONG, b"are you there")]
        assert line.listener.messages == 1 and line.listener.pings == 1


@each_loop
@pytest.mark.fault("W08", kind="L")
async def test_binary_is_counted_and_ignored(wire: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send(
            frame(BINARY, b'{"channel":"book"}')
            + frame(BINARY, b"\xff", fin=False)
            + frame(CONTINUATION, b"\x00")
        )
        peer.send_text(HEARTBEAT)
        await peer.until_gone()

    async with serve(script, **wire["serve"]) as server, line_to(server.url, **wire["line"]) as (line, owner):
        await owner.until(lambda: owner.texts)
        assert owner.texts == [HEARTBEAT] and line.listener.binary_ignored == 2
        assert line.state is LineState.LIVE


@pytest.mark.parametrize(
    ("code", "floor_s"), [(1000, 0), (1001, 0), (1008, 5), (1011, 0), (1012, 0), (1013, 5)]
)
@each_loop
@pytest.mark.fault("W09", kind="L")
async def test_close_codes_decide_when_to_come_back(code: int, floor_s: int) -> None:
    answers: list[tuple[int, bytes]] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        if not answers:
            peer.send(frame(CLOSE, close_payload(code, b"proxy restarting")))
            answers.append(await peer.read_frame())
        await peer.until_gone()

    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: owner.downs and answers)
        reason = owner.downs[0][0]
        assert isinstance(reason, ConnectionLostError)
        assert (reason.code, reason.reason) == (code, "proxy restarting")
        assert answers == [(CLOSE, close_payload(code))]
        wait_s = float(owner.states[-1][2].split()[-2]) if line.state is LineState.BACKOFF else 0.0
        assert floor_s <= wait_s <= floor_s + 0.1
        if floor_s == 0:
            await owner.until(lambda: len(owner.ups) == 2, 0.5)


@each_loop
@pytest.mark.fault("W10", kind="L")
async def test_two_close_frames_data_after_close_and_a_peer_that_stays(wire: dict[str, Any]) -> None:
    gone_after: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        if gone_after:
            await peer.until_gone()
            return
        peer.send(frame(CLOSE, close_payload(1001)))
        await peer.writer.drain()
        started = time.monotonic()
        await asyncio.sleep(0.02)
        peer.send(frame(TEXT, b"after") + frame(CLOSE, close_payload(1001)) + frame(TEXT, b"after"))
        await peer.until_gone()  # never closes its side
        gone_after.append(time.monotonic() - started)

    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: gone_after)
        assert gone_after[0] <= 1.2 and owner.texts == []
        assert lost_codes(owner)[0] == 1001 and len(owner.downs) == 1


@each_loop
@pytest.mark.fault("W10", kind="L")
async def test_no_reply_to_our_close(wire: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await asyncio.sleep(5)

    async with serve(script, **wire["serve"]) as server, line_to(server.url, **wire["line"]) as (line, owner):
        await owner.until(lambda: owner.ups)
        started = time.monotonic()
        await line.close()
        assert time.monotonic() - started < 1.0


@each_loop
@pytest.mark.fault("W11", kind="L")
async def test_ping_flood_is_bounded_and_data_still_served() -> None:
    pongs = [0]
    delays: list[float] = []

    async def count_pongs(peer: Peer) -> None:
        while True:
            opcode, _ = await peer.read_frame()
            pongs[0] += opcode == PONG

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        counting = asyncio.create_task(count_pongs(peer))
        try:
            for _ in range(100):  # 10,000 pings a second, and a text every 10 ms
                peer.send(frame(PING, b"flood") * 100)
                peer.send_text(b"%d" % time.monotonic_ns())
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        finally:
            counting.cancel()

    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: owner.downs, 5.0)
        delays = sorted((at - int(text)) / 1e6 for text, at in zip(owner.texts, owner.recv_ns, strict=True))
        assert len(owner.texts) == 100 and line.listener.pings == 10_000
        assert delays[98] < 15.0, f"p99 {delays[98]:.1f} ms"  # 5 ms, and room for a busy test machine
        assert 16 <= line.listener.pongs_sent <= 16 + 100 * 3


@each_loop
@pytest.mark.fault("W11", kind="L")
async def test_pings_alone_do_not_keep_a_line_fresh() -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send_text(HEARTBEAT)
        for _ in range(200):
            peer.send(frame(PING, b"alive!"))
            await asyncio.sleep(0.01)

    async with serve(script) as server, line_to(server.url, settings=QUICK) as (line, owner):
        await owner.until(lambda: owner.texts)
        line.arm()
        await owner.until(lambda: owner.downs)
        assert isinstance(owner.downs[0][0], HeartbeatTimeoutError)
        suspect_at = next(at for at, state in owner.times if state is LineState.SUSPECT)
        assert suspect_at - owner.recv_ns[0] / SECOND_NS == pytest.approx(0.15, abs=0.06)


def answering(*parts: bytes) -> Any:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.send(b"\r\n".join(parts))
        await peer.until_gone()

    return script


HTML = b"<html><title>Just a moment...</title></html>"


@pytest.mark.parametrize(
    ("status", "header", "low_s", "high_s"),
    [
        (b"429 Too Many Requests", b"X: y", 60, 60.2),
        (b"429 Too Many Requests", b"Retry-After: 90", 90, 90.2),
        (b"403 Forbidden", b"Retry-After: 7", 60, 60.2),
        (b"503 Service Unavailable", b"Retry-After: 12", 12, 12.2),
        (b"503 Service Unavailable", b"X: y", 0, 0.2),
        (b"520 Web server is down", b"retry-after: 3", 3, 3.2),
    ],
)
@each_loop
@pytest.mark.fault("W13", kind="L")
async def test_refused_upgrades_are_waited_out(
    status: bytes, header: bytes, low_s: float, high_s: float
) -> None:
    script = answering(b"HTTP/1.1 " + status, header, b"Content-Length: %d" % len(HTML), b"", HTML)
    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: line.state is LineState.BACKOFF and owner.downs)
        reason = owner.downs[0][0]
        assert isinstance(reason, HandshakeError) and reason.status == int(status[:3])
        assert low_s <= float(owner.states[-1][2].split()[-2]) <= high_s
        await asyncio.sleep(0.1)
        assert server.accepted == 1 or low_s == 0, "no attempt before its time"


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"404 Not Found"])
@each_loop
async def test_a_wrong_address_is_given_up(status: bytes) -> None:
    script = answering(b"HTTP/1.1 " + status, b"Content-Length: 0", b"", b"")
    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: line.state is LineState.CLOSED)
        assert isinstance(line.error, HandshakeError) and line.error.status == int(status[:3])
        with pytest.raises(ClosedError):
            line.send(b"{}")
        assert server.accepted == 1


@each_loop
@pytest.mark.fault("W14", kind="L")
async def test_wrong_accept_key_plain_200_and_redirects(wire: dict[str, Any]) -> None:
    elsewhere: list[bytes] = []
    after: list[bytes] = []

    async def trap(peer: Peer) -> None:
        elsewhere.append(await peer.reader.read(100))

    async with serve(trap) as other:
        answers = [
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
            ),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: "
            + other.url.encode()
            + b"\r\nContent-Length: 0\r\n\r\n",
        ]
        for answer in answers:

            async def script(peer: Peer, answer: bytes = answer) -> None:
                await peer.read_request()
                peer.send(answer)
                after.append(await peer.reader.read(1000))

            async with (
                serve(script, **wire["serve"]) as server,
                line_to(server.url, **wire["line"]) as (_, owner),
            ):
                await owner.until(lambda owner=owner: owner.downs)  # type: ignore[misc]
                assert isinstance(owner.downs[0][0], HandshakeError) and owner.ups == []
                await owner.until(lambda: len(after) >= 1)
    assert elsewhere == [], "a redirect is not followed"
    assert b"".join(after) == b"", "0 frames sent"


@each_loop
@pytest.mark.fault("W15", kind="L")
async def test_a_flood_of_headers_is_refused(wire: dict[str, Any]) -> None:
    sent = [0]

    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
        with contextlib.suppress(OSError):
            for _ in range(4000):
                peer.send(b"X-Flood: " + b"y" * 1000 + b"\r\n")
                await peer.writer.drain()
                sent[0] += 1011
                if peer.writer.is_closing() or peer.reader.at_eof():
                    break

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: owner.downs)
        assert isinstance(owner.downs[0][0], HandshakeError) and "16384" in str(owner.downs[0][0])
        assert owner.ups == []
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000
    )  # KiB, the server's buffers included


@pytest.mark.parametrize(
    "header", [b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Protocol: v10.stomp"]
)
@each_loop
@pytest.mark.fault("W16", kind="L")
async def test_what_nobody_offered_is_refused(header: bytes, wire: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade(header)
        peer.send_text(HEARTBEAT)
        await peer.until_gone()

    async with (
        serve(script, **wire["serve"]) as server,
        line_to(server.url, **wire["line"]) as (_line, owner),
    ):
        await owner.until(lambda: owner.downs)
        reason = owner.downs[0][0]
        assert isinstance(reason, HandshakeError) and "nobody offered" in str(reason)
        assert owner.ups == [] and owner.texts == []


@each_loop
@pytest.mark.fault("W17", kind="L")
async def test_an_exception_of_the_sink_is_counted_and_the_line_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def explode(text: bytes, _recv_ns: int) -> None:
        seen.append(text)
        if text == b"bad":
            raise RuntimeError("in the callback")

    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send_text(b"1", *[b"bad"] * 25, b"2")
        await heartbeats(peer)

    async with serve(script) as server, line_to(server.url, sink=PySink(explode)) as (line, owner):
        await owner.until(lambda: HEARTBEAT in seen)
        assert seen[:27] == [b"1", *[b"bad"] * 25, b"2"] and owner.downs == []
        assert line.listener.sink_errors == 25 == len(owner.sink_errors)
        logged = [r for r in caplog.records if r.name == "kraken_fast.listener"]
        assert [r.args[0] for r in logged if isinstance(r.args, tuple)] == ["1", "10"], (
            "logged once, then by powers of ten"
        )
        line.recycle("state is doubtful")
        assert line.state is LineState.DOWN and str(owner.downs[0][0]) == "state is doubtful"
        await owner.until(lambda: len(owner.ups) == 2, 0.5)


@each_loop
async def test_an_exception_of_the_owner_changes_nothing() -> None:
    class Clumsy(Owner):
        def on_up(self, epoch: int) -> None:
            super().on_up(epoch)
            raise RuntimeError("owner")

        def on_down(self, reason: TransportError, epoch: int) -> None:
            super().on_down(reason, epoch)
            raise RuntimeError("owner")

    async def script(peer: Peer) -> None:
        await peer.upgrade()

    async with serve(script) as server:
        owner = Clumsy()
        line = Connection(
            Endpoints(ws_url=server.url), owner, MessageSink(), clock=SystemClock(), rng=Random(1)
        )
        line.start()
        await owner.until(lambda: len(owner.ups) >= 2 and len(owner.downs) >= 2)
        await line.close()


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
        with pytest.raises(TransportError, match="nothing was sent"):
            for _ in range(100_000):
                line.send(b"x" * 10_000)
                sent += 1
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
        return len(os.listdir("/proc/self/fd"))

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
