"""The listener between picows and a sink, without a network: frames made by hand, the owner's calls written down."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import picows
import pytest
from picows.picows import _make_test_ws_frame

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.listener import PICOWS_VERSION, LineListener
from kraken_fast.core.sink import MessageSink, PySink
from kraken_fast.core.tee import Tee

from ..virtual import VirtualLoop, VirtualPeer, run_virtual
from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, frame

MS = 1_000_000


class Owner:
    """Writes the listener's calls down."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_open(self, _listener: LineListener) -> None:
        self.calls.append(("open",))

    def on_closed(self, code: int, reason: str, was_clean: bool) -> None:
        self.calls.append(("closed", code, reason, was_clean))

    def on_writable(self, writable: bool) -> None:
        self.calls.append(("writable", writable))

    def on_error(self, error: Exception, count: int) -> None:
        self.calls.append(("error", str(error), count))


class Bench:
    """A listener on a real picows transport over a virtual socket."""

    def __init__(self, loop: VirtualLoop, **options: Any) -> None:
        self.loop = loop
        self.owner = Owner()
        self.texts: list[bytes] = []
        self.recv_ns: list[int] = []
        sink = options.pop("sink", None) or PySink(self.on_text)
        self.listener = LineListener(sink, loop.clock, self.owner, **options)
        self.peer: VirtualPeer

    def on_text(self, text: bytes, recv_ns: int) -> None:
        self.texts.append(text)
        self.recv_ns.append(recv_ns)

    async def connect(self) -> None:
        await picows.ws_connect(
            lambda *_: self.listener, "ws://127.0.0.1:1", enable_auto_pong=False, use_aiofastnet=False
        )
        self.peer = self.loop.peers[-1]

    async def receive(self, *frames: bytes) -> None:
        """Deliver frames in one read."""
        self.peer.transport.deliver(b"".join(frames))
        await asyncio.sleep(0)

    def answers(self) -> list[tuple[int, bytes]]:
        """Frames that the client sent, unmasked."""
        data, frames = self.peer.received, []
        while data:
            size = data[1] & 0x7F
            frames.append((data[0] & 0xF, _unmask(data[6 : 6 + size], data[2:6])))
            data = data[6 + size :]
        return frames


def _unmask(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def on_bench(test: Any, **options: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        bench = Bench(loop, **options)
        await bench.connect()
        await test(bench)
        bench.peer.transport.abort()
        await asyncio.sleep(0.1)

    run_virtual(main)


def test_one_stamp_per_read_and_its_counters() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.sleep(1)
        await bench.receive(frame(TEXT, b"1"), frame(TEXT, b"22"), frame(TEXT, b"333"))
        await asyncio.sleep(1)
        await bench.receive(frame(TEXT, b"4"))
        first, second = bench.recv_ns[0], bench.recv_ns[3]
        assert bench.recv_ns == [first, first, first, second]
        assert second - first >= 1000 * MS
        listener = bench.listener
        assert (listener.frames, listener.messages, listener.message_bytes) == (4, 4, 7)
        assert (listener.reads, listener.messages_per_read_max, listener.last_recv_ns) == (2, 3, second)

    on_bench(test)


def test_a_message_in_two_reads_is_stamped_by_the_second() -> None:
    async def test(bench: Bench) -> None:
        data = frame(TEXT, b"abcdef")
        await bench.receive(data[:4])
        await asyncio.sleep(1)
        await bench.receive(data[4:])
        assert bench.recv_ns == [bench.loop.clock.monotonic_ns]
        assert bench.listener.reads == 1

    on_bench(test)


def test_only_text_is_life() -> None:
    async def test(bench: Bench) -> None:
        opened = bench.listener.last_recv_ns
        await asyncio.sleep(1)
        await bench.receive(frame(PING), frame(PONG), frame(BINARY, b"x"), frame(TEXT, b"half", fin=False))
        assert bench.listener.last_recv_ns == opened
        await bench.receive(frame(CONTINUATION, b""))
        assert bench.listener.last_recv_ns == bench.loop.clock.monotonic_ns
        assert bench.texts == [b"half"]

    on_bench(test)


@pytest.mark.fault("W11", kind="D")
def test_pongs_are_bounded_and_the_latest_ping_is_answered_in_the_end() -> None:
    async def test(bench: Bench) -> None:
        await bench.receive(*[frame(PING, b"%d" % i) for i in range(1000)])
        assert bench.listener.pings == 1000
        assert bench.listener.pongs_sent == 16
        assert bench.answers() == [(PONG, b"%d" % i) for i in range(16)]
        await asyncio.sleep(0.5)
        await bench.receive(frame(TEXT, b"x"))
        assert bench.answers()[16:] == [(PONG, b"999")]

    on_bench(test)


@pytest.mark.fault("W17", kind="U")
def test_exceptions_of_sink_and_tee_are_counted_and_do_not_stop_the_rest() -> None:
    seen: list[bytes] = []

    def explode(text: bytes, _recv_ns: int) -> None:
        seen.append(text)
        raise ValueError(text.decode())

    async def test(bench: Bench) -> None:
        await bench.receive(frame(TEXT, b"a"), frame(TEXT, b"b"), frame(BINARY, b"c"))
        assert seen == [b"a", b"b", b"c"]
        assert bench.listener.sink_errors == 3
        assert bench.owner.calls[1:] == [("error", "a", 1), ("error", "b", 2), ("error", "c", 3)]

    on_bench(test, sink=PySink(explode, explode))


def test_an_interrupt_is_not_swallowed() -> None:
    def interrupt(_text: bytes, _recv_ns: int) -> None:
        raise KeyboardInterrupt

    async def test(bench: Bench) -> None:
        transport = bench.listener.transport
        assert transport is not None
        text = _make_test_ws_frame(picows.WSMsgType.TEXT, b"x", True, False)
        with pytest.raises(KeyboardInterrupt):
            bench.listener.on_ws_frame(transport, text)

    on_bench(test, sink=PySink(interrupt))


def test_the_end_is_told_once_whatever_follows() -> None:
    async def test(bench: Bench) -> None:
        await bench.receive(frame(CLOSE, close_payload(1001, b"bye")), frame(TEXT, b"late"))
        await bench.receive(frame(TEXT, b"later"), frame(CLOSE))
        bench.peer.reset()
        await asyncio.sleep(0.1)
        assert bench.owner.calls == [("open",), ("closed", 1001, "bye", True)]
        assert bench.texts == []
        assert bench.answers() == [(CLOSE, close_payload(1001))]
        bench.listener.send(b"too late")
        bench.listener.close()
        assert bench.listener.unsent_bytes == 0
        assert len(bench.answers()) == 1

    on_bench(test)


def test_what_came_before_the_bad_frame_in_the_same_read_is_kept() -> None:
    async def test(bench: Bench) -> None:
        await bench.receive(frame(TEXT, b"good"), frame(CONTINUATION, b"bad"), frame(TEXT, b"after"))
        assert bench.texts == [b"good"]
        assert bench.owner.calls[1:] == [("closed", 1002, "continuation of nothing", False)]

    on_bench(test)


def test_a_failure_found_by_picows_is_told_with_its_reason() -> None:
    async def test(bench: Bench) -> None:
        await bench.receive(frame(6, b"?"), frame(TEXT, b"after"))
        await asyncio.sleep(0.1)
        assert bench.texts == []
        (closed,) = bench.owner.calls[1:]
        assert closed[:2] == ("closed", 1002)
        assert "opcode" in closed[2]
        assert closed[3] is False

    on_bench(test)


def test_a_socket_that_just_ends_is_never_clean() -> None:
    async def test(bench: Bench) -> None:
        bench.peer.transport.lose(None)
        await asyncio.sleep(0.1)
        assert bench.owner.calls[1:] == [("closed", 1006, "", False)]

    on_bench(test)


def test_our_close_waits_for_the_answer_and_drops_data() -> None:
    async def test(bench: Bench) -> None:
        bench.listener.close(1000, "done")
        assert bench.listener.is_closing
        await bench.receive(frame(TEXT, b"late"))
        assert bench.texts == []
        assert bench.listener.frames_ignored == 1
        await bench.receive(frame(CLOSE, close_payload(1000)))
        assert bench.owner.calls[1:] == [("closed", 1000, "", True)]
        assert not bench.listener.is_closing
        assert bench.answers() == [(CLOSE, close_payload(1000, b"done"))]

    on_bench(test)


def test_an_abandoned_connection_is_silent() -> None:
    async def test(bench: Bench) -> None:
        bench.listener.abandon()
        await bench.receive(frame(TEXT, b"late"))
        bench.peer.reset()
        await asyncio.sleep(0.1)
        assert bench.owner.calls == [("open",)]
        assert bench.texts == []

    on_bench(test)


def test_a_new_connection_starts_afresh() -> None:
    async def main(loop: VirtualLoop) -> None:
        bench = Bench(loop)
        await bench.connect()
        old = bench.peer
        await bench.receive(frame(TEXT, b"half of a message", fin=False))
        await bench.connect()
        await bench.receive(frame(TEXT, b"whole"))
        old.transport.deliver(frame(CONTINUATION, b"the other half"))
        old.transport.abort()
        await asyncio.sleep(0.1)
        assert bench.texts == [b"whole"]
        assert bench.listener.frames_ignored == 1
        assert bench.owner.calls == [("open",), ("open",)]
        bench.peer.transport.abort()
        await asyncio.sleep(0.1)

    run_virtual(main)


def test_without_owner_and_with_the_base_classes_it_just_counts() -> None:
    async def main(loop: VirtualLoop) -> None:
        bench = Bench(loop)
        bench.listener = LineListener(MessageSink(), loop.clock, tee=Tee())
        await bench.connect()
        await bench.receive(frame(TEXT, b"1"), frame(BINARY, b"2"))
        assert bench.listener.messages == 1
        assert bench.listener.binary_ignored == 1
        bench.listener.pause_writing()
        bench.listener.resume_writing()
        bench.peer.transport.abort()
        await asyncio.sleep(0.1)

    run_virtual(main)


def test_wrong_arguments_are_refused() -> None:
    wrong: tuple[tuple[Any, Any], ...] = (
        (None, ManualClock()),
        (MessageSink(), None),
        (object(), ManualClock()),
    )
    for arguments in wrong:
        with pytest.raises(TypeError):
            LineListener(*arguments)


def test_the_pins_name_the_release_that_is_compiled_in() -> None:
    assert importlib.metadata.version("picows") == PICOWS_VERSION
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    if pyproject.exists():
        assert set(re.findall(r"picows==([\d.]+)", pyproject.read_text())) == {PICOWS_VERSION}


def test_another_picows_is_refused_at_import() -> None:
    program = "import picows; picows.__version__ = '2.4.0'; import kraken_fast.core.listener"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "2.4.0" in last
    assert "pip install" in last
    assert PICOWS_VERSION in last
