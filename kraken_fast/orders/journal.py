"""The journal of orders: every intent is on file before its first byte leaves, so that a crash forgets none.

Theory of operation. One file, one record a line: the CRC-32 of a JSON object in eight hex digits, a blank, the object.
JSON escapes line ends, so a line is a record. A record is written by one `write`, so a killed process leaves at most
its last line torn; that line is cut at its exact first byte and said so. Damage before intact lines is something else,
a broken disk or an editor: then nothing is guessed, `JournalError` names the byte, and no order leaves.

Written pages outlive the process (kill -9), not the machine. For that there is fsync, as the caller chooses: after
every record, at most every so often, or never.

When the file has grown past a bound it is written anew with the records of what is still open, beside it, synced and
renamed over it: a crash finds the old one or the new one.

Invariants. One writer: a lock beside the file says so, and dies with the process. What `append` has returned from is in
the file; when it raised, nothing of the record is, or the journal takes no further ones.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from ..core.clock import Clock
from ..errors import JournalError
from ..policy import SECOND_NS

HEAD = b'{"k":"journal","v":1}'
RECORD_BYTES_MAX = 64 * 1024
"""Longest record: a batch of fifteen orders has about 6 KB."""

JOURNAL_BYTES_MAX = 256 << 20
"""No journal is read that is longer; compaction keeps it a hundred times smaller."""


class Sync(Enum):
    """When records are forced to the disk."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


class Storage(Protocol):
    """Where a journal's bytes are. Every method may raise OSError."""

    name: str

    def read(self) -> bytes:
        """Give everything that is stored."""
        ...

    def append(self, data: bytes) -> None:
        """Add bytes at the end, all of them or an error."""
        ...

    def truncate(self, size: int) -> None:
        """Cut at a byte."""
        ...

    def sync(self) -> None:
        """Force what was written to the disk."""
        ...

    def replace(self, data: bytes) -> None:
        """Put other bytes in place of everything, wholly or not at all."""
        ...

    def close(self) -> None:
        """Close it, and let another writer in."""
        ...


class FileStorage:
    """A journal's file, readable by its owner only, and the lock beside it.

    Raises:
        JournalError: another process writes it, or it cannot be had.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = str(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = -1
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._handle = os.open(self.path, flags, 0o600)
            os.fchmod(self._handle, 0o600)
        except BlockingIOError as error:
            os.close(self._lock)
            raise JournalError(self.name, "another process writes it: one journal has one writer") from error
        except OSError as error:
            if self._lock >= 0:
                os.close(self._lock)
            raise JournalError(self.name, f"cannot be opened ({error.strerror})") from error

    def read(self) -> bytes:
        """See `Storage`."""
        size = os.fstat(self._handle).st_size
        if size > JOURNAL_BYTES_MAX:
            raise OSError(f"{size} bytes, more than {JOURNAL_BYTES_MAX}")
        parts = []
        offset = 0
        while part := os.pread(self._handle, 1 << 20, offset):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def append(self, data: bytes) -> None:
        """See `Storage`."""
        written = os.write(self._handle, data)
        if written != len(data):
            raise OSError(f"{written} of {len(data)} bytes written")

    def truncate(self, size: int) -> None:
        """See `Storage`."""
        os.ftruncate(self._handle, size)

    def sync(self) -> None:
        """See `Storage`."""
        os.fdatasync(self._handle)

    def replace(self, data: bytes) -> None:
        """See `Storage`."""
        beside = Path(f"{self.path}.new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(beside, flags, 0o600)
        try:
            if os.write(handle, data) != len(data):
                raise OSError("not all bytes written")
            os.fsync(handle)
            beside.rename(self.path)
        except OSError:
            os.close(handle)
            raise
        os.close(self._handle)
        self._handle = handle
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the name too
        finally:
            os.close(folder)

    def close(self) -> None:
        """See `Storage`."""
        if self._lock >= 0:
            os.close(self._handle)
            os.close(self._lock)
            self._lock = -1


class MemoryStorage:
    """Keeps a journal's bytes in this process alone: for paper orders and for simulations."""

    def __init__(self, data: bytes = b"") -> None:
        self.name = "in memory"
        self.data = bytearray(data)

    def read(self) -> bytes:
        """See `Storage`."""
        return bytes(self.data)

    def append(self, data: bytes) -> None:
        """See `Storage`."""
        self.data += data

    def truncate(self, size: int) -> None:
        """See `Storage`."""
        del self.data[size:]

    def sync(self) -> None:
        """See `Storage`."""

    def replace(self, data: bytes) -> None:
        """See `Storage`."""
        self.data[:] = data

    def close(self) -> None:
        """See `Storage`."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a journal held when it was opened.

    Attributes:
        records: in order.
        torn_at: the byte from which on a last, torn record was cut; None if there was none.
        torn_bytes: how long it was.
    """

    records: tuple[dict[str, Any], ...]
    torn_at: int | None
    torn_bytes: int


class Journal:
    """See the module's text.

    Args:
        storage: where its bytes are.
        clock: for the interval.
        sync: when records are forced to the disk.
        interval_s: of `Sync.INTERVAL`; `due_ns` says when.
        compact_bytes: past this size `wants_compaction` says so.

    Raises:
        JournalError: it is damaged before its end, or cannot be read.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        *,
        sync: Sync = Sync.INTERVAL,
        interval_s: float = 0.1,
        compact_bytes: int = 1 << 20,
    ) -> None:
        self.appended = 0
        self.synced = 0
        self._storage = storage
        self._clock = clock
        self._sync = sync
        self._interval_ns = round(interval_s * SECOND_NS)
        self._compact_bytes = compact_bytes
        self._dirty_ns: int | None = None
        self._broken = ""
        self.past = self._open()

    @property
    def name(self) -> str:
        """Where it is."""
        return self._storage.name

    @property
    def size_bytes(self) -> int:
        """Its present length."""
        return self._size

    @property
    def is_broken(self) -> bool:
        """Whether it takes no further records."""
        return bool(self._broken)

    @property
    def wants_compaction(self) -> bool:
        """Whether it has grown past its bound, and twofold since it was last written anew."""
        return self._size > max(self._compact_bytes, 2 * self._compacted_bytes)

    @property
    def due_ns(self) -> int | None:
        """When `flush` has something to do by the interval; None while it has not."""
        if self._sync is not Sync.INTERVAL or self._dirty_ns is None:
            return None
        return self._dirty_ns + self._interval_ns

    def append(self, record: bytes, *, forced: bool = True) -> None:
        """Write one record, a JSON object without line ends, so that no crash of this process forgets it.

        Args:
            record: what to write.
            forced: it is an intent: with `Sync.ALWAYS` the disk has it before this returns.

        Raises:
            JournalError: nothing of it was written; what it is about must not be sent.

        Cost: one write of some 400 bytes, about 2 us; with `Sync.ALWAYS` what the disk takes
        (bench_orders.py::bench_journal).
        """
        if self._broken:
            raise JournalError(self.name, self._broken)
        line = _line(record)
        try:
            self._storage.append(line)
        except OSError as error:
            self._undo(error)
            raise JournalError(self.name, f"cannot be written ({error.strerror or error})") from error
        self._size += len(line)
        self.appended += 1
        if self._sync is Sync.ALWAYS and forced:
            self.flush()
        elif self._dirty_ns is None:
            self._dirty_ns = self._clock.monotonic_ns

    def flush(self) -> None:
        """Force everything to the disk.

        Raises:
            JournalError: it failed. What it has left on the disk nobody knows, so no further record is taken.
        """
        try:
            self._storage.sync()
        except OSError as error:
            self._broken = f"a sync failed ({error.strerror or error})"
            raise JournalError(self.name, self._broken) from error
        self._dirty_ns = None
        self.synced += 1

    def compact(self, records: Iterable[bytes]) -> None:
        """Write it anew with these records only.

        Raises:
            JournalError: it stays as it was.
        """
        data = b"".join([_line(HEAD), *map(_line, records)])
        try:
            self._storage.replace(data)
        except OSError as error:
            raise JournalError(self.name, f"cannot be written anew ({error.strerror or error})") from error
        self._size = self._compacted_bytes = len(data)
        self._dirty_ns = None

    def close(self) -> None:
        """Flush it, unless the policy is never to, and let another writer in. May be called again."""
        try:
            if self._dirty_ns is not None and self._sync is not Sync.NEVER and not self._broken:
                self.flush()
        finally:
            self._broken = self._broken or "it was closed"
            self._storage.close()

    def _open(self) -> Past:
        try:
            data = self._storage.read()
            records, intact = read_records(data, self.name)
            if intact < len(data):
                self._storage.truncate(intact)
            self._size = self._compacted_bytes = intact
            if not intact:
                head = _line(HEAD)
                self._storage.append(head)
                self._size = len(head)
        except OSError as error:
            raise JournalError(self.name, f"cannot be read ({error.strerror or error})") from error
        torn = len(data) - intact
        return Past(tuple(records), intact if torn else None, torn)

    def _undo(self, cause: OSError) -> None:
        """Cut what a failed write may have left; else a later record would follow half of this one."""
        try:
            self._storage.truncate(self._size)
        except OSError as error:
            self._broken = f"cannot be written ({cause}), nor cut ({error})"


def read_records(data: bytes, name: str = "") -> tuple[list[dict[str, Any]], int]:
    """Read the records of a journal's bytes.

    Returns:
        The records but the head, and the byte up to which all is intact.

    Raises:
        JournalError: what cannot be read is followed by what can, or is no journal.
    """
    records: list[dict[str, Any]] = []
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        record = _read_line(data[offset:end]) if end >= 0 else None
        if record is None:
            break
        if offset == 0 and record.get("k") != "journal":
            raise JournalError(name, "is no journal of orders", 0)
        if offset:
            records.append(record)
        offset = end + 1
    if offset < len(data) and _holds_intact(data[offset:]):
        raise JournalError(name, "is damaged before its end; what follows is intact, so nothing is guessed", offset)
    if offset == 0 and len(data) > len(_line(HEAD)):
        raise JournalError(name, "is no journal of orders", 0)
    return records, offset


def _holds_intact(rest: bytes) -> bool:
    return any(_read_line(line) is not None for line in rest.split(b"\n")[1:])


def _line(record: bytes) -> bytes:
    return b"%08x %s\n" % (crc32(record), record)


def _read_line(line: bytes) -> dict[str, Any] | None:
    if len(line) > RECORD_BYTES_MAX or line[8:9] != b" ":
        return None
    body = line[9:]
    if line[:8] != b"%08x" % crc32(body):
        return None
    try:
        record = json.loads(body, parse_float=Decimal)
    except (ValueError, ArithmeticError):
        return None
    return record if isinstance(record, dict) else None
