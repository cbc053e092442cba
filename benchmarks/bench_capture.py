"""What recording costs the hot path, a frame; and how fast a recording is read and replayed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from kraken_fast.core.capture import CaptureReader, CaptureWriter
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.decode import Decoder

from . import corpus
from .effort import Effort
from .timing import Contestant, race

SHARED_MEMORY = "/dev/shm"


ROUND_MS = 5.0
"""Short, so that five rounds write some 50 MB."""

CATCH_UP_S = 0.002


def _writer(folder: str, name: str = "capture.kfcap") -> CaptureWriter:
    return CaptureWriter(Path(folder) / name, SystemClock())


def appender(writer: CaptureWriter, frames: list[bytes]) -> Contestant:
    """Append, then let the writing thread catch up: a sleep costs no CPU time, a dropped frame would look cheap."""

    def run() -> None:
        writer.append_all(frames, 1)
        sleep(CATCH_UP_S)

    return Contestant(run, len(frames))


def figures(effort: Effort) -> dict[str, float]:
    """Measure appending, in CPU time of the thread that receives; the writing thread has its own."""
    frames = corpus.books().frames
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if Path(SHARED_MEMORY).is_dir() else None) as folder:
        writer = _writer(folder)
        contestant = appender(writer, frames)
        timing = race({"append": contestant}, rounds=effort.rounds, round_ms=ROUND_MS)["append"]
        writer.close()
        assert writer.dropped == 0, "what was dropped was not measured"
        return {"append_ns": timing.median_ns, "append_best_ns": timing.best_ns}


def test_append(benchmark: Any, tmp_path: Path) -> None:
    frames = corpus.books().frames
    writer = _writer(str(tmp_path))
    benchmark.extra_info["frames"] = len(frames)
    benchmark.pedantic(writer.append_all, args=(frames, 1), rounds=20)
    writer.close()


@pytest.mark.parametrize("is_decoded", [False, True], ids=["read", "replay"])
def test_read(benchmark: Any, tmp_path: Path, is_decoded: bool) -> None:
    books = corpus.books()
    writer = _writer(str(tmp_path))
    writer.append_all(books.opening + books.frames, 1)
    writer.close()

    def read() -> int:
        decoder = Decoder(create=True)
        with CaptureReader(writer.path) as reader:
            frames = [payload for kind, _, payload in reader if kind == "frame"]
        return decoder.feed_all(frames) if is_decoded else len(frames)

    assert benchmark(read) == len(books.frames) + 1
