"""What a peer can do wrong with WebSocket frames and upgrades, on real sockets: faults.md section 2.2."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from random import Random
from typing import Any

import pytest

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.sink import MessageSink, PySink
from kraken_fast.errors import (
    ClosedError,
    ConnectionLostError,
    HandshakeError,
    HeartbeatTimeoutError,
    TransportError,
)
from kraken_fast.policy import SECOND_NS
from kraken_fast.transport import Connection, LineState

from .wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HEARTBEAT,
    PING,
    PONG,
    QUICK,
    TEXT,
    Owner,
    Peer,
    close_payload,
    each_loop,
    frame,
    heartbeats,
    line_to,
    serve,
)


def lost_codes(owner: Owner) -> list[int]:
    return [reason.code for reason, _ in owner.downs if isinstance(reason, ConnectionLostError)]


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
    """A graceful close, as picows makes it, would wait for ever for its close frame to leave."""

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
        assert owner.texts[1] == big
        assert owner.downs == []
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
        assert owner.texts == ['{"a":"€"}'.encode()]
        assert pongs == [(PONG, b"are you there")]
        assert line.listener.messages == 1
        assert line.listener.pings == 1


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
        assert owner.texts == [HEARTBEAT]
        assert line.listener.binary_ignored == 2
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
    peers: list[Peer] = []
    gone_after: list[float] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.upgrade()
        if len(peers) > 1:
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
        assert gone_after[0] <= 1.2
        assert owner.texts == []
        assert lost_codes(owner)[0] == 1001
        assert len(owner.downs) == 1


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
        assert len(owner.texts) == 100
        assert line.listener.pings == 10_000
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
        assert isinstance(reason, HandshakeError)
        assert reason.status == int(status[:3])
        assert low_s <= float(owner.states[-1][2].split()[-2]) <= high_s
        await asyncio.sleep(0.1)
        assert server.accepted == 1 or low_s == 0, "no attempt before its time"


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"404 Not Found"])
@each_loop
async def test_a_wrong_address_is_given_up(status: bytes) -> None:
    script = answering(b"HTTP/1.1 " + status, b"Content-Length: 0", b"", b"")
    async with serve(script) as server, line_to(server.url) as (line, owner):
        await owner.until(lambda: line.state is LineState.CLOSED)
        assert isinstance(line.error, HandshakeError)
        assert line.error.status == int(status[:3])
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
                assert isinstance(owner.downs[0][0], HandshakeError)
                assert owner.ups == []
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
        assert isinstance(owner.downs[0][0], HandshakeError)
        assert "16384" in str(owner.downs[0][0])
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
        assert isinstance(reason, HandshakeError)
        assert "nobody offered" in str(reason)
        assert owner.ups == []
        assert owner.texts == []


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
        assert seen[:27] == [b"1", *[b"bad"] * 25, b"2"]
        assert owner.downs == []
        assert line.listener.sink_errors == 25 == len(owner.sink_errors)
        logged = [r for r in caplog.records if r.name == "kraken_fast.listener"]
        assert [r.args[0] for r in logged if isinstance(r.args, tuple)] == ["1", "10"], (
            "logged once, then by powers of ten"
        )
        line.recycle("state is doubtful")
        assert line.state is LineState.DOWN
        assert str(owner.downs[0][0]) == "state is doubtful"
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
