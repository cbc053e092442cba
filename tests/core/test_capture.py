"""Captures: every byte comes back, and damage is found at the exact record."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kraken_fast.core.capture import CaptureReader, CaptureWriter
from kraken_fast.core.clock import ManualClock, SystemClock
from kraken_fast.errors import CaptureError

SMALL = 20


@pytest.fixture
def intact(tmp_path: Path) -> Path:
    path = tmp_path / "intact.capture"
    writer = CaptureWriter(path, ManualClock(monotonic_ns=5, epoch_ns=7), name="B")
    for number in range(SMALL):
        writer.note("tick", 100 + number, number=number, text="x" * number)
    writer.close()
    return path


def read(path: Path) -> tuple[list[tuple[str, int, bytes]], CaptureError | None]:
    records = []
    try:
        with CaptureReader(path) as reader:
            for record in reader:
                records.append(record)  # noqa: PERF402 - what came before the damage counts
    except CaptureError as error:
        return records, error
    return records, None


def test_what_was_written_is_read(intact: Path) -> None:
    records, error = read(intact)
    assert error is None and len(records) == SMALL + 1
    assert records[0] == ("event", 5, b'{"event": "begin", "line": "B", "epoch_ns": 7}')
    assert [recv_ns for _, recv_ns, _ in records[1:]] == list(range(100, 100 + SMALL))
    assert intact.stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_never_overwritten(intact: Path) -> None:
    before = intact.read_bytes()
    with pytest.raises(FileExistsError):
        CaptureWriter(intact, SystemClock())
    assert intact.read_bytes() == before


@pytest.mark.fault("D23", kind="U")
def test_every_cut_is_found_and_the_prefix_is_intact(intact: Path, tmp_path: Path) -> None:
    whole, _ = read(intact)
    data = intact.read_bytes()
    path = tmp_path / "cut.capture"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        records, error = read(path)
        assert records == whole[: len(records)]
        if error is None:
            assert size == 8 + sum(24 + len(payload) for _, _, payload in records)
        else:
            assert error.offset == (8 + sum(24 + len(payload) for _, _, payload in records) if size >= 8 else 0)


@pytest.mark.fault("D23", kind="U")
def test_every_flipped_bit_is_found(intact: Path, tmp_path: Path) -> None:
    whole, _ = read(intact)
    data = bytearray(intact.read_bytes())
    path = tmp_path / "flipped.capture"
    rng = random.Random(23)
    for position in range(len(data)):
        bit = 1 << rng.randrange(8)
        data[position] ^= bit
        path.write_bytes(data)
        records, error = read(path)
        assert error is not None, f"a flipped bit in byte {position} went unnoticed"
        assert records == whole[: len(records)] and error.offset <= position
        data[position] ^= bit


def test_what_is_no_capture_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("hello, this is something else")
    _, error = read(path)
    assert error is not None and "not a capture" in str(error)


@pytest.mark.fault("P12", kind="L")
def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    """A process that may write 64 KiB per file: writing fails there, the caller goes on, the error is kept."""
    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
from kraken_fast.core.capture import CaptureWriter
from kraken_fast.core.clock import SystemClock
writer = CaptureWriter({os.fspath(tmp_path / "full")!r}, SystemClock())
for number in range(40_000):
    writer.note("tick", number, text="y" * 80)
writer.close()
print(type(writer.error).__name__, writer.error.strerror)
"""
    command = [sys.executable, "-P", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith("OSError File too large"), result.stderr
    records, error = read(tmp_path / "full")
    assert records and error is not None, "the part that was written is readable up to its end"
