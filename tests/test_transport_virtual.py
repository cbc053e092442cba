"""The line in virtual time: bounds checked exactly, hours in milliseconds, the real picows underneath."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.sink import MessageSink, PySink
from kraken_fast.errors import ConnectError, ConnectionLostError, HeartbeatTimeoutError
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.transport import PING as APP_PING
from kraken_fast.transport import Connection, LineState

from .virtual import SECOND, VirtualLoop, VirtualPeer, run_virtual
from .wire import CLOSE, CONTINUATION, HEARTBEAT, PING, TEXT, Owner, close_payload, frame


def make_line(loop: VirtualLoop, owner: Owner, *, seed: int = 1, **options: Any) -> Connection:
    sink: MessageSink = options.pop("sink", None) or PySink(owner.on_text)
    return Connection(
        Endpoints(ws_url="ws://127.0.0.1:1"),
        owner,
        sink,
        clock=loop.clock,
        rng=Random(seed),
        use_aiofastnet=False,
        **options,
    )


def state_times(owner: Owner, state: LineState) -> list[float]:
    return [at for at, new in owner.times if new is state]


class ArmingOwner(Owner):
    """Arms the watch at the first text, as the first acknowledgement does."""

    line: Connection

    def on_text(self, text: bytes, recv_ns: int) -> None:
        super().on_text(text, recv_ns)
        self.line.arm()


def armed_line(loop: VirtualLoop, **options: Any) -> tuple[Connection, ArmingOwner]:
    owner = ArmingOwner()
    owner.line = make_line(loop, owner, **options)
    owner.line.start()
    return owner.line, owner


@pytest.mark.fault("N03", kind="D")
def test_silence_is_suspect_at_one_and_a_half_and_dead_at_three_seconds() -> None:
    def script(peer: VirtualPeer) -> None:
        for i in range(5):
            peer.text(HEARTBEAT, delay_s=float(i))

    async def main(loop: VirtualLoop) -> None:
        loop.script = script
        line, owner = armed_line(loop)
        await asyncio.sleep(8)
        last = owner.recv_ns[4] / SECOND
        assert state_times(owner, LineState.SUSPECT)[0] - last == pytest.approx(1.5, abs=0.002)
        assert state_times(owner, LineState.DOWN)[0] - last == pytest.approx(3.0, abs=0.002)
        assert isinstance(owner.downs[0][0], HeartbeatTimeoutError)
        assert owner.ups[:2] == [1, 2], "reconnected at once"
        await line.close()

    run_virtual(main)


@pytest.mark.fault("N08", kind="D")
def test_jitter_keeps_order_and_kills_nothing() -> None:
    rng = Random(8)

    def script(peer: VirtualPeer) -> None:
        count = [0]

        def send() -> None:
            peer.text(b"%d" % count[0], delay_s=rng.uniform(0, 0.5))
            count[0] += 1

        peer.every(1.0, send)

    async def main(loop: VirtualLoop) -> None:
        loop.script = script
        line, owner = armed_line(loop)
        await asyncio.sleep(3600)
        assert owner.downs == []
        assert not owner.reached(LineState.SUSPECT)
        assert owner.texts == [b"%d" % i for i in range(len(owner.texts))]
        assert len(owner.texts) >= 3599
        await line.close()

    run_virtual(main)


STREAM = (
    b"".join(frame(TEXT, b'{"n":%d}' % i) for i in range(50))
    + frame(TEXT, b"\xe2", fin=False)
    + frame(PING, b"p")
    + frame(CONTINUATION, b"\x82\xac")
    + frame(TEXT, b"x" * 70_000)
    + frame(TEXT, b"y" * 300)
    + frame(CLOSE, close_payload(1012, b"restart"))
)


def sliced(sizes: Any) -> tuple[list[bytes], list[str], int]:
    """Send STREAM in segments of the given sizes. Returns texts, the log of states, and most messages in a read."""
    result: list[Any] = []

    def script(peer: VirtualPeer) -> None:
        if len(peer.loop.peers) > 1:
            return
        rest = STREAM
        while rest:
            size = next(sizes)
            peer.send(rest[:size], delay_s=0.0)
            rest = rest[size:]

    async def main(loop: VirtualLoop) -> None:
        loop.script = script
        owner = Owner()
        line = make_line(loop, owner)
        line.start()
        await asyncio.sleep(2)
        log = [f"{old.value}-{new.value}" for old, new, _ in owner.states] + [str(r) for r, _ in owner.downs]
        result.extend([owner.texts, log, line.listener.messages_per_read_max])
        await line.close()

    run_virtual(main)
    return result[0], result[1], result[2]


def constantly(size: int) -> Any:
    while True:
        yield size


@pytest.mark.fault("N09", kind="D")
@pytest.mark.fault("N10", kind="D")
def test_segments_of_any_size_give_the_same_events() -> None:
    whole = sliced(constantly(1 << 30))
    assert len(whole[0]) == 53
    assert whole[0][50] == "€".encode()
    assert "1012: restart" in whole[1][-1]
    assert whole[2] >= 50, "many messages in one read are counted"
    bytewise = sliced(constantly(1))
    assert bytewise[:2] == whole[:2]
    assert bytewise[2] == 1
    rng = Random(10)

    def randomly() -> Any:
        while True:
            yield rng.choice([1, 2, 3, 20, 500, 70_001])

    for _ in range(20):
        assert sliced(randomly())[:2] == whole[:2]


@pytest.mark.fault("N12", kind="D")
@pytest.mark.parametrize("seed", range(5))
def test_flapping_for_ten_minutes_stays_within_the_budget(seed: int) -> None:
    def script(peer: VirtualPeer) -> None:
        peer.text(HEARTBEAT)
        peer.loop.call_later(2.0, peer.reset)

    async def main(loop: VirtualLoop) -> None:
        loop.script = script
        line, owner = armed_line(loop, seed=seed)
        await asyncio.sleep(600)
        assert 20 <= len(loop.connects_at) <= 100
        waits = [
            up - down
            for up, down in zip(loop.connects_at[1:], state_times(owner, LineState.DOWN), strict=False)
        ]
        assert max(waits[:3]) <= 0.1
        assert max(waits[3:6]) <= 2.0
        assert max(waits) > 5.0, "it grows"
        # Stable for 30 s: the next loss is met at once again.
        loop.script = lambda peer: peer.every(1.0, lambda: peer.text(HEARTBEAT))
        await owner.until(lambda: loop.time() - state_times(owner, LineState.LIVE)[-1] > 31, 300)
        lost_at = loop.time()
        loop.peers[-1].reset()
        await owner.until(lambda: loop.connects_at[-1] > lost_at)
        assert loop.connects_at[-1] - lost_at <= 0.1
        await line.close()

    run_virtual(main)


@pytest.mark.fault("N12", kind="D")
def test_a_shared_budget_holds_for_many_lines_on_one_host() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.is_reachable = lambda: False
        budget = AttemptBudget(MemoryAttempts())
        owners = [Owner() for _ in range(20)]
        lines = []
        for seed, owner in enumerate(owners):
            line = Connection(
                Endpoints(ws_url="wss://ws.example"),
                owner,
                MessageSink(),
                clock=loop.clock,
                rng=Random(seed),
                budget=budget,
                use_aiofastnet=False,
            )
            line.start()
            lines.append(line)
        await asyncio.sleep(3600)
        for at in loop.connects_at:
            assert sum(at - 600 + 1e-6 < other <= at for other in loop.connects_at) <= 100
        assert len(loop.connects_at) >= 590, "the budget is used, not wasted"
        assert all(len(owner.downs) >= 5 for owner in owners), "none starves"
        for line in lines:
            await line.close()

    run_virtual(main)


@pytest.mark.fault("N13", kind="D")
@pytest.mark.fault("N18", kind="D")
def test_ten_minutes_without_network_end_in_one_wave() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.is_reachable = lambda: not 100 <= loop.time() < 700
        loop.script = lambda peer: peer.every(1.0, lambda: peer.text(HEARTBEAT))
        line, owner = armed_line(loop)
        await asyncio.sleep(100)
        loop.peers[-1].reset()
        await asyncio.sleep(600)
        assert all(isinstance(reason, ConnectError) for reason, _ in owner.downs[1:])
        attempts = len(loop.connects_at)
        await asyncio.sleep(30.1)
        assert line.state is LineState.LIVE
        assert owner.ups == [1, line.epoch]
        assert len(loop.connects_at) == attempts + 1
        await line.close()

    run_virtual(main)


@pytest.mark.fault("W12", kind="D")
def test_an_unanswered_ping_of_ours_kills_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.every(20.0, lambda: peer.text(b'{"channel":"status"}'))
        owner = Owner()
        line = make_line(loop, owner)
        line.start()
        await asyncio.sleep(600)
        assert owner.downs == []
        assert not owner.reached(LineState.SUSPECT)
        assert 20 <= line.app_pings_sent <= 24
        assert APP_PING == b'{"method":"ping"}'
        assert len(loop.peers[0].received) == line.app_pings_sent * (6 + 17)
        await line.close()

    run_virtual(main)


@pytest.mark.fault("K09", kind="D")
def test_data_without_heartbeats_is_life() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.every(0.7, lambda: peer.text(b'{"channel":"book"}'))
        line, owner = armed_line(loop)
        await asyncio.sleep(600)
        assert owner.downs == []
        assert not owner.reached(LineState.SUSPECT)
        await line.close()

    run_virtual(main)


@pytest.mark.parametrize("seconds", [2.0, 10.0])
@pytest.mark.fault("P04", kind="D")
def test_a_blocked_loop_drains_its_socket_before_it_judges(seconds: float) -> None:
    """The timer runs before the socket, as it may under uvloop; what came meanwhile is read a moment later."""

    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.every(1.0, lambda: peer.text(HEARTBEAT))
        line, owner = armed_line(loop)
        await asyncio.sleep(5.5)
        peer = loop.peers[-1]
        peer.is_gone = True  # the script pauses; its messages wait in the socket
        loop.block(seconds)
        loop.call_later(0.001, peer.transport.deliver, frame(TEXT, HEARTBEAT) * int(seconds))
        await asyncio.sleep(0.1)
        assert owner.downs == []
        assert not owner.reached(LineState.SUSPECT)
        assert line.loop_lag_ms_max >= seconds * 1000 - 600
        await asyncio.sleep(4)
        assert isinstance(owner.downs[0][0], HeartbeatTimeoutError), (
            "and a line that is dead is still found dead"
        )
        await line.close()

    run_virtual(main)


def test_suspect_becomes_live_when_heard_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        def script(peer: VirtualPeer) -> None:
            peer.text(HEARTBEAT)
            peer.text(HEARTBEAT, delay_s=2.0)

        loop.script = script
        line, owner = armed_line(loop)
        await asyncio.sleep(2.2)
        assert [new for _, new, _ in owner.states][-2:] == [LineState.SUSPECT, LineState.LIVE]
        await line.close()

    run_virtual(main)


def test_silence_is_not_judged_before_the_first_acknowledgement() -> None:
    async def main(loop: VirtualLoop) -> None:
        owner = Owner()
        line = make_line(loop, owner)
        line.start()
        await asyncio.sleep(300)
        assert owner.downs == []
        assert line.silent_ms >= 299_000
        await line.close()

    run_virtual(main)


def test_an_armed_watch_is_disarmed_by_the_next_connection() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.text(HEARTBEAT) if len(loop.peers) == 1 else None
        line, owner = armed_line(loop)
        await asyncio.sleep(60)
        assert len(owner.downs) == 1
        assert line.epoch == 2
        assert line.state is LineState.LIVE
        await line.close()

    run_virtual(main)


@pytest.mark.fault("W09", kind="D")
def test_maintenance_is_waited_out_in_steps_of_five_seconds() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.send(frame(CLOSE, close_payload(1001)), delay_s=0.5)
        owner = Owner()
        line = make_line(loop, owner)
        line.in_maintenance = True
        line.start()
        await asyncio.sleep(300)
        downs = state_times(owner, LineState.DOWN)
        assert all(b - a >= 5.0 for a, b in zip(downs, loop.connects_at[1:], strict=False))
        assert {r.code for r, _ in owner.downs if isinstance(r, ConnectionLostError)} == {1001}
        await line.close()

    run_virtual(main)


def test_nothing_of_an_older_epoch_is_heard() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.text(b"epoch %d" % len(loop.peers))
        owner = Owner()
        line = make_line(loop, owner)
        line.start()
        await asyncio.sleep(1)
        first = loop.peers[0].transport
        line.recycle("test")
        await asyncio.sleep(1)
        first.get_protocol().transport  # noqa: B018 - still alive, as picows is for 10 ms after a failure
        buffer = first.get_protocol().get_buffer(-1)
        late = frame(TEXT, b"late")
        buffer[: len(late)] = late
        first.get_protocol().buffer_updated(len(late))
        assert owner.texts == [b"epoch 1", b"epoch 2"]
        assert line.listener.frames_ignored == 1
        await line.close()

    run_virtual(main)


@pytest.mark.fault("W17", kind="D")
def test_a_line_that_a_sink_exception_put_in_doubt_is_recycled_at_once() -> None:
    class Doubtful(Owner):
        line: Connection

        def on_error(self, error: Exception, count: int) -> None:
            super().on_error(error, count)
            self.line.recycle(f"state in doubt: {error}")

    async def main(loop: VirtualLoop) -> None:
        owner = Doubtful()
        loop.script = lambda peer: peer.send(
            frame(TEXT, b"bad") + frame(TEXT, b"good") if len(loop.peers) == 1 else b""
        )

        def on_text(text: bytes, recv_ns: int) -> None:
            owner.on_text(text, recv_ns)
            if text == b"bad":
                raise ValueError("broken")

        owner.line = make_line(loop, owner, sink=PySink(on_text))
        owner.line.start()
        await asyncio.sleep(0.5)
        assert owner.texts == [b"bad"], "what follows in the same read is not applied to a doubtful state"
        assert state_times(owner, LineState.DOWN)[0] - owner.recv_ns[0] / SECOND < 0.05
        assert owner.ups == [1, 2]
        await owner.line.close()

    run_virtual(main)


def test_an_idle_line_does_next_to_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.script = lambda peer: peer.every(1.0, lambda: peer.text(HEARTBEAT))
        line, _ = armed_line(loop, settings=LineSettings())
        await asyncio.sleep(1)
        steps = 0
        run_once = loop._run_once  # type: ignore[attr-defined]

        def counted() -> None:
            nonlocal steps
            steps += 1
            run_once()

        loop._run_once = counted  # type: ignore[attr-defined]
        await asyncio.sleep(100)
        assert steps <= 50 * 100
        await line.close()

    run_virtual(main)
