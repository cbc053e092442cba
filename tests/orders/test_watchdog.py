"""The watchdog against the exchange in a box on sockets: a loop that hangs, a process that dies, one that leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import ConfigError, RequestTimeoutError
from kraken_fast.orders import watchdog
from kraken_fast.orders.watchdog import Watchdog, WatchdogSettings, cancel_until_done
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import Exchange

BEATS: dict[str, Any] = {"silent_s": 0.9, "beat_s": 0.1}


class Box:
    """An exchange in a process of its own: here the loop hangs."""

    def __init__(self, ex: Exchange, key: Path) -> None:
        self.ex = ex
        self.key = key

    def rest(self) -> RestClient:
        return RestClient(
            Credentials.from_file(self.key), endpoints=Endpoints(rest_url=self.ex.rest_url),
            settings=RestSettings(limits=False), nonces=MemoryNonces(), nonce_unit="ns",
        )  # fmt: skip

    @property
    def live(self) -> int:
        return len(self.ex.account.live_orders())


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with Exchange(["BTC/USD"], seed=3, rate=0) as ex:
        key = tmp_path / "key.toml"
        key.write_text(f'api_key = "{ex.api_key}"\napi_secret = "{ex.api_secret}"\n')
        key.chmod(0o600)
        made = Box(ex, key)
        async with made.rest() as rest:
            await rest.add_order(symbol="BTC/USD", side="buy", ord_type="limit", qty="0.01", price="30000")
        assert made.live == 1
        yield made


WATCHED = """
import asyncio, sys, time
from kraken_fast.config import Endpoints
from kraken_fast.orders.watchdog import Watchdog, WatchdogSettings

async def main():
    settings = WatchdogSettings(silent_s=0.9, beat_s=0.1, on_crash=sys.argv[4] == "crash")
    where = Endpoints(rest_url=sys.argv[2])
    dog = Watchdog(settings=settings, key_file=sys.argv[1], endpoints=where, nonce_dir=sys.argv[3])
    dog.start()
    await asyncio.sleep(1.5)
    print("beating", dog.pid, flush=True)
    if sys.argv[4] == "hang":
        time.sleep(30)
    await asyncio.sleep(1 if sys.argv[4] == "leave" else 30)
    await dog.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "is_cancelled"), [("hang", True), ("crash", True), ("calm", False), ("leave", False)]
)
async def test_a_process_watches(box: Box, tmp_path: Path, how: str, is_cancelled: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHED, str(box.key), box.ex.rest_url, str(tmp_path), how, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        word, pid = (await process.stdout.readline()).split()
    assert word == b"beating" and box.live == 1, "it beat, so nothing was cancelled"
    if how in ("crash", "calm"):  # calm: its end without a word is to be no silence
        process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    while box.live and time.monotonic() - began < (20 if is_cancelled else 2.5):
        await asyncio.sleep(0.05)
    assert (box.live == 0) == is_cancelled
    if process.returncode is None:
        process.kill()
    await process.wait()
    for _ in range(100):  # nothing of it is left
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError("the watchdog's process did not end")


async def test_a_thread_watches_and_never_renews() -> None:
    cancelled: list[float] = []

    async def cancel() -> str:
        cancelled.append(time.monotonic())
        return "all"

    dog = Watchdog(settings=WatchdogSettings(kind="thread", **BEATS), cancel=cancel)
    dog.start()
    await asyncio.sleep(2)
    assert not cancelled and not dog.fired
    began = time.monotonic()
    time.sleep(3)  # the loop hangs
    assert len(cancelled) == 1 and dog.fired
    assert cancelled[0] - began >= 0.7
    await asyncio.sleep(0.3)
    await dog.stop()
    await dog.stop()
    assert len(cancelled) == 1


async def test_one_that_fired_and_is_not_confirmed_does_not_hold_up_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LEAVE_S", 0.2)
    confirmed = threading.Event()

    async def cancel() -> None:
        while not confirmed.is_set():  # the exchange does not answer
            await asyncio.sleep(0.01)

    dog = Watchdog(settings=WatchdogSettings(kind="thread", **BEATS), cancel=cancel)
    dog.start()
    while not dog.fired:
        time.sleep(0.1)  # the loop hangs
    try:
        async with asyncio.timeout(5):
            await dog.stop()
        assert dog.is_running, "it goes on until it is confirmed"
    finally:
        confirmed.set()


async def test_one_that_is_stopped_in_order_cancels_nothing() -> None:
    cancelled: list[int] = []

    async def cancel() -> None:
        cancelled.append(1)

    async with Watchdog(settings=WatchdogSettings(kind="thread", **BEATS), cancel=cancel):
        await asyncio.sleep(0.3)
    await asyncio.sleep(1.2)
    assert not cancelled


async def test_a_cancel_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_fast.orders.watchdog.AGAIN_S", 0.0)
    tries = 0

    async def cancel() -> int:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise RequestTimeoutError("CancelAll", 1.0)
        return 3

    assert await cancel_until_done(cancel) and tries == 4


@pytest.mark.parametrize(
    "wrong", [{"silent_s": 1.0, "beat_s": 0.5}, {"silent_s": 0.0}, {"kind": "fork"}], ids=str
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        WatchdogSettings(**wrong)


def test_a_key_that_cannot_be_read_is_found_out_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Watchdog(key_file=tmp_path / "missing")
    with pytest.raises(ConfigError, match="thread"):
        Watchdog(settings=WatchdogSettings(kind="thread"))
