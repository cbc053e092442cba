"""When which bytes leave: the shaping of one line's outgoing stream.

TCP neither loses nor reorders, so a shaped line does not either: each segment gets a time to leave, and the
times never fall.
"""

from __future__ import annotations

from collections import deque

from .faults import Faults
from .texts import NS_PER_MS, NS_PER_S

BUFFER_MAX_BYTES = 64 << 20
"""A line that holds back more than this is given up, as a kernel would give up a peer that reads nothing."""


class Wire:
    """The outgoing bytes of one line and when each may leave.

    Args:
        faults: the rules.
        number: the line's number.
    """

    def __init__(self, faults: Faults, number: int) -> None:
        self.taken_bytes = 0
        self.held_bytes = 0
        self._faults = faults
        self._number = number
        self._segments: deque[tuple[int, bytes]] = deque()
        self._clear_ns = 0

    @property
    def next_due_ns(self) -> int | None:
        """When the next segment may leave."""
        return self._segments[0][0] if self._segments else None

    @property
    def full(self) -> bool:
        """Whether more is held back than is reasonable."""
        return self.held_bytes > BUFFER_MAX_BYTES

    def write(self, data: bytes, now_ns: int) -> None:
        """Put bytes at the end of the stream."""
        self.held_bytes += len(data)
        if not self._faults.armed:
            self._append(data, now_ns)
            return
        due_ns = now_ns + self._latency_ns()
        size, gap_ns = self._segmentation(len(data))
        if not size:
            self._append(data, due_ns)
            return
        for at in range(0, len(data), size):
            part = data[at : at + size]
            self._append(part, due_ns)
            due_ns = self._clear_ns + (gap_ns or 0)
            self._clear_ns = due_ns

    def take(self, now_ns: int) -> list[bytes]:
        """Give the segments that may leave now, oldest first."""
        taken: list[bytes] = []
        segments = self._segments
        while segments and segments[0][0] <= now_ns:
            taken.append(segments.popleft()[1])
        size = sum(map(len, taken))
        self.taken_bytes += size
        self.held_bytes -= size
        return taken

    def hurry(self, now_ns: int) -> None:
        """Let all that is held back leave now, in order: what slowed it down is over."""
        self._segments = deque((now_ns, data) for _, data in self._segments)
        self._clear_ns = now_ns

    def clear(self) -> None:
        """Drop what is left: the line is dead."""
        self._segments.clear()
        self.held_bytes = 0

    def _append(self, data: bytes, due_ns: int) -> None:
        self._clear_ns = max(self._clear_ns, due_ns)
        self._segments.append((self._clear_ns, data))

    def _latency_ns(self) -> int:
        fault = self._faults.holds("latency", self._number)
        if fault is None:
            return 0
        return int((fault["ms"] + fault["jitter_ms"] * self._faults.random()) * NS_PER_MS)

    def _segmentation(self, total: int) -> tuple[int, int]:
        """Give the size of segments, 0 for all in one, and the time from one to the next."""
        if fault := self._faults.holds("drip", self._number):
            return 1, int(fault["interval_ms"] * NS_PER_MS)
        if fault := self._faults.holds("slice", self._number):
            return fault["size_bytes"], int(fault["gap_ms"] * NS_PER_MS)
        if fault := self._faults.holds("bandwidth", self._number):
            size = min(total, 1024)
            return size, size * NS_PER_S // fault["bytes_per_s"]
        return 0, 0
