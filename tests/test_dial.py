"""What is told of a refused upgrade, and the file in which all processes count their attempts."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import picows
import pytest
from picows.picows import _parse_upgrade_response

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.listener import LineListener
from kraken_fast.core.sink import MessageSink
from kraken_fast.dial import Dialer, FileAttempts, read_refusal
from kraken_fast.policy import SECOND_NS, AttemptBudget

from .wire import Peer, each_loop, serve

WALL_NS = 1_780_000_000 * SECOND_NS


def refusal(*lines: bytes) -> tuple[int, float | None]:
    with pytest.raises(picows.WSHandshakeError) as caught:
        _parse_upgrade_response(b"\r\n".join(lines) + b"\r\n\r\n<html>", b"key")
    return read_refusal(caught.value, WALL_NS)


@pytest.mark.fault("W13", kind="U")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"HTTP/1.1 429 Too Many Requests",), (429, None)),
        ((b"HTTP/1.1 429 Too Many Requests", b"Retry-After: 120"), (429, 120.0)),
        ((b"HTTP/1.1 503 Busy", b"RETRY-AFTER:  7 "), (503, 7.0)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: -7"), (503, None)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: soon"), (503, None)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: \xb2"), (503, None)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: " + b"9" * 400), (503, 86400.0)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: Thu, 28 May 2026 20:27:40 GMT"), (503, 60.0)),
        ((b"HTTP/1.1 503 Busy", b"Retry-After: Thu, 28 May 2020 20:27:40 GMT"), (503, 0.0)),
        ((b"HTTP/1.1 530 Origin DNS error", b"Retry-After: 3"), (530, 3.0)),
        ((b"HTTP/1.1 999999 What",), (0, None)),
        ((b"SSH-2.0-OpenSSH_9.6",), (0, None)),
        ((b"HTTP/1.1 101 Switching Protocols", b"Retry-After: 5"), (0, None)),
    ],
)
def test_refusals_are_read_from_the_raw_answer(
    lines: tuple[bytes, ...], expected: tuple[int, float | None]
) -> None:
    assert refusal(*lines) == expected


@each_loop
async def test_a_cancelled_dial_leaves_no_socket() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.until_gone()
        gone.set()

    async with serve(script) as server:
        dialer = Dialer(Endpoints(ws_url=server.url), LineSettings(), SystemClock())
        task = asyncio.create_task(dialer.dial(LineListener(MessageSink(), SystemClock())))
        while not dialer.sockets:  # noqa: ASYNC110 - a set tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(1):
            await gone.wait()
        assert dialer.sockets == set()


def test_the_budget_is_shared_through_a_file(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    one, two = (AttemptBudget(FileAttempts(directory), limit=3, window_s=10) for _ in range(2))
    assert [one.take("h", SECOND_NS), two.take("h", 2 * SECOND_NS), one.take("h", 3 * SECOND_NS)] == [0.0] * 3
    assert two.take("h", 4 * SECOND_NS) == 7.0
    assert two.take("other", 4 * SECOND_NS) == 0.0
    assert one.take("h", 11 * SECOND_NS) == 0.0
    path = directory / FileAttempts.NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    path.write_bytes(b"\xff\x00garbage\n12 h\nx h\n99999999999999999999999 h\n13000000000 h\n")
    assert one.take("h", 14 * SECOND_NS) == 0.0
    assert path.read_text().splitlines() == ["13000000000 h", "14000000000 h"]


def test_a_budget_file_that_cannot_be_is_counted_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "target").write_text("")
    (tmp_path / "real" / FileAttempts.NAME).symlink_to(tmp_path / "real" / "target")
    for directory in (tmp_path / "file" / "sub", tmp_path / "real"):
        budget = AttemptBudget(FileAttempts(directory), limit=1)
        assert budget.take("h", 0) == 0.0
        assert budget.take("h", 0) == 600.0
    assert (tmp_path / "real" / "target").read_text() == ""


def test_a_file_that_another_process_holds_is_not_waited_for(tmp_path: Path) -> None:
    budget = AttemptBudget(FileAttempts(tmp_path), limit=1)
    assert budget.take("h", 0) == 0.0
    handle = os.open(tmp_path / FileAttempts.NAME, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert budget.take("h", 0) == 0.05, "ask again in a moment"
    finally:
        os.close(handle)
    assert budget.take("h", 0) == 600.0


def test_processes_share_one_budget(tmp_path: Path) -> None:
    program = (
        "import sys, time; from kraken_fast.dial import FileAttempts; from kraken_fast.policy import AttemptBudget\n"
        "budget, made = AttemptBudget(FileAttempts(sys.argv[1]), limit=50), 0\n"
        "while True:\n"
        "    wait = budget.take('h', time.monotonic_ns())\n"
        "    if wait > 1: break\n"
        "    made += wait == 0; time.sleep(wait / 50)\n"
        "print(made)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = [int(process.communicate(timeout=30)[0]) for process in processes]
    assert sum(made) == 50
