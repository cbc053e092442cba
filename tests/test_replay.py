"""A recording tells what happened: the same events and the same hash as live, up to the byte where it is damaged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.core.capture import CaptureWriter
from kraken_fast.core.clock import SystemClock
from kraken_fast.errors import CaptureError
from kraken_fast.feed import connect
from kraken_fast.replay import EventHash, Replayer, parts_of, read
from kraken_fast.sim import Exchange
from kraken_fast.sim.tape import render

ALL = ("book", "ticker", "trade", "ohlc")


def replayed(path: Path) -> tuple[EventHash, Replayer]:
    events = EventHash()
    replayer = Replayer(events)
    for record in read(parts_of(path)):
        replayer.take(record)
    return events, replayer


async def record_session(path: Path, seconds: float, **writer: int) -> tuple[EventHash, Exchange]:
    """Record a feed of every channel through faults: a bad checksum and a lost connection."""
    live = EventHash()
    async with Exchange(["BTC/USD", "ETH/USD"], seed=3, rate=200) as ex:
        capture = CaptureWriter(path, SystemClock(), **writer)
        feed = connect(
            ["BTC/USD", "ETH/USD"], channels=ALL, ws_url=ex.ws_url, rest_url=ex.rest_url, record=capture, handler=live
        )
        async with feed:
            await asyncio.sleep(seconds / 3)
            ex.faults.inject("bad_checksum", symbol="BTC/USD", count=1)
            await asyncio.sleep(seconds / 3)
            ex.faults.inject("rst", after_bytes=0, count=1)
            await asyncio.sleep(seconds / 3 + 1)
            assert feed.stats().books_mismatched == 1
            assert feed.stats().connections == 2
    return live, ex


@pytest.mark.fault("D23", kind="U")
async def test_a_replay_has_the_hash_of_the_live_session(tmp_path: Path) -> None:
    path = tmp_path / "session.kfcap"
    live, _ = await record_session(path, 1.5)
    again, replayer = replayed(path)
    assert again.value == live.value
    assert again.events == live.events
    assert {"book", "ticker", "trade", "candle"} == set(live.events)
    assert replayer.events["opened"] == 2
    assert replayer.events["lost"] == replayer.events["book_lost"] == 1
    assert replayer.not_understood == 0


async def test_rotated_and_compressed_parts_are_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "session.kfcap"
    live, _ = await record_session(path, 3.0, rotate_bytes=200_000, compress=True)
    assert len(parts_of(path)) > 1
    assert all(part.suffix == ".zst" for part in parts_of(path))
    assert replayed(path)[0].value == live.value
    assert replayed(parts_of(path)[0])[0].value == live.value


def test_an_intact_prefix_replays_equally(tmp_path: Path) -> None:
    (reel,) = render(1, messages=300).reels.values()
    path = tmp_path / "tape.kfcap"
    writer = CaptureWriter(path, SystemClock())
    for number, text in enumerate([reel.snapshot, *reel.updates]):
        writer.append(text.encode(), 1_000 * number)
    writer.close()
    hashes = {}
    events = EventHash()
    replayer = Replayer(events)
    for record in read([path]):
        replayer.take(record)
        hashes[record.end] = events.value
    whole = path.read_bytes()
    for cut in range(200, len(whole) - 1, 997):
        path.write_bytes(whole[:cut])
        events = EventHash()
        replayer = Replayer(events)
        with pytest.raises(CaptureError) as caught:  # noqa: PT012 - what comes before the damage is taken
            for record in read([path]):
                replayer.take(record)
        assert caught.value.offset <= cut
        assert events.value == hashes[caught.value.offset]


def test_time_is_that_of_the_recording(tmp_path: Path) -> None:
    (reel,) = render(1, messages=2).reels.values()
    writer = CaptureWriter(tmp_path / "a", SystemClock())
    begin = SystemClock().monotonic_ns
    writer.append(reel.snapshot.encode(), begin + 10**9)
    writer.note("silence", begin + 10**9 + 5 * 10**8)
    writer.close()
    replayer = Replayer()
    ages = {}
    for record in read([tmp_path / "a"]):
        replayer.take(record)
        book = replayer.decoder.book("BTC/USD")
        if book is not None:
            ages[record.kind] = (book.age_ms, book.quality)
    assert ages["frame"] == (0, "live")
    assert ages["event"] == (500, "live")


def test_the_command_line_records_and_replays_to_the_same_hash(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "kraken_fast", *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, json.loads(done.stdout)

    path = tmp_path / "a.kfcap"
    status, live = run("record", "BTC/USD", "--sim", "--channel", "all", "--seconds", "1", "--to", str(path))
    assert (status, live["dropped"]) == (0, 0)
    status, again = run("replay", str(path), "--pace", "50")
    assert (status, again["hash"], again["damage"]) == (0, live["hash"], None)
    assert again["symbols"]["BTC/USD"]["mismatched"] == 0
    path.write_bytes(path.read_bytes()[:-1])
    status, cut = run("replay", str(path))
    assert (status, cut["hash"]) == (1, live["hash"])  # only the end record is gone
    assert cut["damage"]["reason"] == "cut within a record"
