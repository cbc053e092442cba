"""The journal of orders: torn tails, damage, full disks, compaction, one writer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import JournalError
from kraken_fast.orders.journal import FileStorage, Journal, MemoryStorage, Sync, read_records

RECORDS = [b'{"k":"add","n":["%d"],"q":0.10}' % number for number in range(5)]


def written(records: list[bytes] = RECORDS) -> MemoryStorage:
    storage = MemoryStorage()
    journal = Journal(storage, ManualClock())
    for record in records:
        journal.append(record)
    return storage


def names(journal: Journal) -> list[str]:
    return [record["n"][0] for record in journal.past.records]


def test_records_come_back_in_order_and_exact() -> None:
    journal = Journal(written(), ManualClock())
    assert names(journal) == ["0", "1", "2", "3", "4"]
    assert journal.past.records[0]["q"] == Decimal("0.10") and str(journal.past.records[0]["q"]) == "0.10"
    assert journal.past.torn_at is None


@pytest.mark.fault("D23", kind="U")
def test_a_tail_torn_at_every_byte_is_cut_exactly() -> None:
    whole = bytes(written().data)
    last_at = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(len(whole)):
        storage = MemoryStorage(whole[:size])
        journal = Journal(storage, ManualClock())
        intact = whole[:size].count(b"\n")
        assert len(journal.past.records) == max(0, intact - 1)
        if size > last_at:
            assert (journal.past.torn_at, journal.past.torn_bytes) == (last_at, size - last_at)
        journal.append(b'{"k":"add","n":["new"]}')
        assert names(Journal(storage, ManualClock()))[-1] == "new"


@pytest.mark.fault("D23", kind="U")
def test_damage_before_the_end_is_named_and_nothing_is_guessed() -> None:
    whole = bytearray(written().data)
    at = whole.index(b'["2"]')
    whole[at + 2] ^= 1
    with pytest.raises(JournalError) as caught:
        Journal(MemoryStorage(bytes(whole)), ManualClock())
    assert caught.value.offset == whole.rfind(b"\n", 0, at) + 1
    assert "damaged" in str(caught.value)


def test_any_flipped_byte_is_noticed_or_costs_only_the_tail() -> None:
    whole = bytes(written().data)
    rng = Random(3)
    for _ in range(300):
        data = bytearray(whole)
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
        try:
            records, intact = read_records(bytes(data))
        except JournalError:
            continue
        assert bytes(data[:intact]) == whole[:intact]
        assert records == read_records(whole[:intact])[0]
        assert intact <= at


def test_what_is_no_journal_is_left_alone() -> None:
    storage = MemoryStorage(b"something that somebody else wrote, long enough to be no torn head\n" * 3)
    before = bytes(storage.data)
    with pytest.raises(JournalError, match="no journal"):
        Journal(storage, ManualClock())
    assert storage.data == before


class Failing(MemoryStorage):
    """Takes half of a write, then none; may not even be cut."""

    writes_half = cuts = syncs = True

    def append(self, data: bytes) -> None:
        if not self.writes_half:
            super().append(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        super().append(data)

    def truncate(self, size: int) -> None:
        if not self.cuts:
            raise OSError(5, "Input/output error")
        super().truncate(size)

    def sync(self) -> None:
        if not self.syncs:
            raise OSError(5, "Input/output error")


@pytest.mark.fault("O27", kind="U")
def test_a_write_that_fails_leaves_nothing_behind() -> None:
    storage = Failing()
    journal = Journal(storage, ManualClock())
    journal.append(RECORDS[0])
    storage.writes_half = False
    with pytest.raises(JournalError, match="No space left"):
        journal.append(RECORDS[1])
    storage.writes_half = True
    journal.append(RECORDS[2])
    assert names(Journal(storage, ManualClock())) == ["0", "2"]


@pytest.mark.fault("O27", kind="U")
def test_what_cannot_be_cut_ends_the_journal() -> None:
    storage = Failing()
    journal = Journal(storage, ManualClock())
    journal.append(RECORDS[0])
    storage.writes_half = storage.cuts = False
    with pytest.raises(JournalError):
        journal.append(RECORDS[1])
    storage.writes_half = True
    assert journal.is_broken
    with pytest.raises(JournalError, match="nor cut"):
        journal.append(RECORDS[2])


def test_a_failed_sync_ends_the_journal() -> None:
    storage = Failing()
    journal = Journal(storage, ManualClock(), sync=Sync.ALWAYS)
    journal.append(RECORDS[0])
    storage.syncs = False
    with pytest.raises(JournalError, match="sync failed"):
        journal.append(RECORDS[1])
    storage.syncs = True
    with pytest.raises(JournalError, match="sync failed"):
        journal.append(RECORDS[2])


@pytest.mark.parametrize(("sync", "expected"), [(Sync.ALWAYS, 3), (Sync.INTERVAL, 1), (Sync.NEVER, 0)])
def test_syncs_by_policy(sync: Sync, expected: int) -> None:
    clock = ManualClock(monotonic_ns=1)
    journal = Journal(MemoryStorage(), clock, sync=sync, interval_s=0.1)
    for record in RECORDS[:3]:
        journal.append(record)
    journal.append(RECORDS[3], forced=False)
    if sync is Sync.INTERVAL:
        assert journal.due_ns == 100_000_001
        clock.advance(100_000_000)
        journal.flush()
    assert journal.synced == expected and journal.due_ns is None
    journal.close()


def test_compaction_keeps_what_is_open_and_bounds_the_file() -> None:
    storage = MemoryStorage()
    journal = Journal(storage, ManualClock(), compact_bytes=2000)
    number = 0
    while not journal.wants_compaction:
        journal.append(b'{"k":"add","n":["%d"]}' % number)
        number += 1
    assert journal.size_bytes > 2000
    journal.compact([b'{"k":"add","n":["open"]}'])
    assert not journal.wants_compaction
    journal.append(b'{"k":"add","n":["later"]}')
    assert names(Journal(storage, ManualClock())) == ["open", "later"]


# Files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_its_owners_alone_and_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "orders.journal"
    old = os.umask(0)
    try:
        storage = FileStorage(path)
    finally:
        os.umask(old)
    journal = Journal(storage, ManualClock(), sync=Sync.ALWAYS)
    journal.append(RECORDS[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep" / "orders.journal.lock").stat().st_mode) == 0o600
    with pytest.raises(JournalError, match="one writer"):
        FileStorage(path)
    journal.compact([RECORDS[1]])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(JournalError, match="one writer"):
        FileStorage(path)
    journal.append(RECORDS[2])
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(RECORDS[3])
    again = Journal(FileStorage(path), ManualClock())
    assert names(again) == ["1", "2"]
    again.close()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "orders.journal"
    code = (
        "import os, signal; from kraken_fast.orders.journal import *; from kraken_fast.core.clock import SystemClock;"
        f"j = Journal(FileStorage({str(path)!r}), SystemClock()); j.append(b'{{\"k\":\"add\",\"n\":[\"x\"]}}');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    journal = Journal(FileStorage(path), ManualClock())
    assert names(journal) == ["x"]
    journal.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "journal").symlink_to(tmp_path / "other")
    with pytest.raises(JournalError, match="cannot be opened"):
        FileStorage(tmp_path / "journal")
