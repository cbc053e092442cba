"""Nonces: strictly increasing, whoever asks and whatever the clock does."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from random import Random

import pytest

from kraken_fast.core.clock import ManualClock, SystemClock
from kraken_fast.errors import ConfigError
from kraken_fast.rest.nonce import UNITS, FileNonces, KeyState, MemoryNonces, NonceLane, NonceStore

NOW_NS = 1_790_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def lane(store: NonceStore, clock: ManualClock | SystemClock, unit: str | None = None) -> NonceLane:
    return NonceLane(store, clock, Random(1), unit=unit)


async def take(nonces: NonceLane) -> int:
    await nonces.acquire()
    nonce = int(nonces.take())
    nonces.confirm()
    nonces.release()
    return nonce


@pytest.mark.fault("A08", kind="U")
async def test_it_rises_when_the_clock_steps_back_and_over_restarts(tmp_path: Path) -> None:
    clock = ManualClock(epoch_ns=NOW_NS)
    nonces = [await take(lane(FileNonces(tmp_path, "k"), clock, "ns"))]
    for step_ns in (0, -HOUR_NS, 5, 10 * HOUR_NS, -20 * HOUR_NS):
        clock.step_wall(step_ns)
        nonces.append(await take(lane(FileNonces(tmp_path, "k"), clock, "ns")))
    assert nonces == sorted(set(nonces))
    assert nonces[0] == NOW_NS


async def test_it_is_stored_before_it_is_used(tmp_path: Path) -> None:
    store = FileNonces(tmp_path, "k")
    nonces = lane(store, ManualClock(epoch_ns=NOW_NS), "ns")
    await nonces.acquire()
    nonce = nonces.take()
    assert nonce in store.path.read_text()
    store.close()  # as if the process died here, before the request left
    after = lane(FileNonces(tmp_path, "k"), ManualClock(epoch_ns=NOW_NS), "ns")
    assert await take(after) == int(nonce) + 1


def test_file_and_folder_are_the_owners_alone(tmp_path: Path) -> None:
    store = FileNonces(tmp_path / "state", "k")
    assert store.try_lock()
    store.write(KeyState(last=1, unit="ms"))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert store.read() == KeyState(last=1, unit="ms")


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nonce-k").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="MemoryNonces"):
        FileNonces(tmp_path, "k").try_lock()


def test_a_damaged_file_is_found_anew(tmp_path: Path) -> None:
    (tmp_path / "nonce-k").write_text("rubbish of three words more")
    store = FileNonces(tmp_path, "k")
    assert store.try_lock()
    assert store.read() == KeyState()


@pytest.mark.fault("C06", kind="U")
async def test_two_clients_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    clock = SystemClock()
    a, b = lane(FileNonces(tmp_path, "k"), clock, "ns"), lane(FileNonces(tmp_path, "k"), clock, "ns")
    await a.acquire()
    first = int(a.take())
    waiting = asyncio.create_task(take(b))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    a.release()
    assert await asyncio.wait_for(waiting, 5) > first


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    seen: list[int] = []

    def work() -> None:
        async def main() -> None:
            nonces = lane(FileNonces(tmp_path, "k"), SystemClock(), "ns")
            for _ in range(50):
                await nonces.acquire()
                seen.append(int(nonces.take()))
                nonces.release()

        asyncio.run(main())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 200
    assert seen == sorted(set(seen))


def test_a_forked_child_waits_for_its_parent(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import os
        from kraken_fast.rest.nonce import FileNonces
        store = FileNonces({str(tmp_path)!r}, "k")
        assert store.try_lock()
        child = os.fork()
        if child == 0:
            os._exit(1 if store.try_lock() else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("unit", UNITS)
async def test_every_unit_counts_in_its_own(unit: str) -> None:
    assert await take(lane(MemoryNonces(), ManualClock(epoch_ns=NOW_NS), unit)) == UNITS[unit](NOW_NS)


def test_units_rise() -> None:
    values = [convert(NOW_NS) for convert in UNITS.values()]
    assert values == sorted(values)


async def test_probing_goes_up_one_unit_for_each_refusal_and_ends() -> None:
    store = MemoryNonces()
    nonces = lane(store, ManualClock(epoch_ns=NOW_NS))
    await nonces.acquire()
    seen = [int(nonces.take())]
    while nonces.probe_further():
        seen.append(int(nonces.take()))
    assert seen == [convert(NOW_NS) for convert in UNITS.values()]
    nonces.confirm()
    nonces.release()
    assert store.read() == KeyState(last=NOW_NS, unit="ns", confirmed=True)


async def test_a_unit_that_is_confirmed_or_named_is_not_probed() -> None:
    for nonces in (
        lane(MemoryNonces(), ManualClock(epoch_ns=NOW_NS), "ms"),
        lane(MemoryNonces(KeyState(last=1, unit="us", confirmed=True)), ManualClock(epoch_ns=NOW_NS)),
    ):
        await nonces.acquire()
        nonces.take()
        assert not nonces.probe_further()


@pytest.mark.fault("A10", kind="U")
async def test_a_unit_that_contradicts_the_stored_one_is_refused() -> None:
    nonces = lane(
        MemoryNonces(KeyState(last=1, unit="ns", confirmed=True)), ManualClock(epoch_ns=NOW_NS), "ms"
    )
    with pytest.raises(ConfigError, match="new key"):
        await nonces.acquire()
    far = lane(MemoryNonces(KeyState(last=NOW_NS, unit="ms", confirmed=True)), ManualClock(epoch_ns=NOW_NS))
    with pytest.raises(ConfigError, match="new key"):
        await far.acquire()
    with pytest.raises(ConfigError, match="nonce_unit"):
        lane(MemoryNonces(), ManualClock(), "minutes")


async def test_a_lockout_is_kept(tmp_path: Path) -> None:
    clock = ManualClock(epoch_ns=NOW_NS)
    nonces = lane(FileNonces(tmp_path, "k"), clock, "ns")
    await nonces.acquire()
    nonces.lock_out(900.0)
    nonces.release()
    again = lane(FileNonces(tmp_path, "k"), clock, "ns")
    await again.acquire()
    assert again.locked_s == 900.0
    clock.advance(900 * 10**9)
    assert again.locked_s == 0.0


def test_the_users_own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert FileNonces.of_user("abc").path == tmp_path / "kraken_fast" / "nonce-abc"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FileNonces.of_user("abc").path == tmp_path / ".local" / "state" / "kraken_fast" / "nonce-abc"
    assert os.fspath(FileNonces(tmp_path, "../x").path.parent)
