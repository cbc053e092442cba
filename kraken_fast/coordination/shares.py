"""Who served what is read, and what REST may spend: shares over a rolling window.

One unit is one thing that a reader got: a read, or a delivery to a callback or iterator. One unit of REST is one call
that it took, whoever asked for it. `may_spend` keeps REST at or under its share in normal operation; what an emergency
or the beginning takes is counted apart and exempt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..config import check_number
from ..errors import ConfigError

WINDOW_S = 60
"""Length of the rolling window, in buckets of a second."""

SECOND_NS = 1_000_000_000

PURPOSES = ("start", "read", "check", "fill", "account", "probe", "emergency")
"""What REST calls are spent on; `read`, `check` and `fill` count against the share."""

EXEMPT = ("start", "account", "probe", "emergency")


@dataclass(slots=True)
class _Bucket:
    second: int
    websocket: int = 0
    rest: int = 0
    emergency: int = 0
    refused: int = 0
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0))


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a window.

    Attributes:
        websocket: things served from WebSocket.
        rest: served from REST in normal operation.
        emergency: served from REST because no line could.
        refused: reads that nobody could serve.
        calls: REST calls, by purpose.
        websocket_share: of what was served in normal operation; 1.0 if nothing was.
        rest_share: calls spent in normal operation, of all units.
    """

    websocket: int
    rest: int
    emergency: int
    refused: int
    calls: Mapping[str, int]

    @property
    def websocket_share(self) -> float:
        """Of what was served in normal operation; 1.0 if nothing was."""
        served = self.websocket + self.rest
        return self.websocket / served if served else 1.0

    @property
    def rest_share(self) -> float:
        """Calls spent in normal operation, of all units; 0.0 if there was nothing."""
        spent = sum(count for purpose, count in self.calls.items() if purpose not in EXEMPT)
        units = spent + self.websocket
        return spent / units if units else 0.0


class ShareLedger:
    """Counts, and says whether REST may be asked.

    Args:
        websocket_ratio: the least share of WebSocket in normal operation.
        rest_ratio: the most that REST may have.

    Raises:
        ConfigError: a ratio is not between 0 and 1, or both together are more than 1.
    """

    def __init__(self, websocket_ratio: float = 0.95, rest_ratio: float = 0.05) -> None:
        check_number("websocket_ratio", websocket_ratio, 0.0, 1.0)
        check_number("rest_ratio", rest_ratio, 0.0, 1.0)
        if websocket_ratio + rest_ratio > 1.0 + 1e-9:
            raise ConfigError("rest_ratio", rest_ratio, f"at most 1 - websocket_ratio, {1 - websocket_ratio:g}")
        self.rest_max = min(rest_ratio, 1.0 - websocket_ratio)
        self.total = _Bucket(0)
        self._buckets: deque[_Bucket] = deque()
        self._deliveries = 0

    def _now(self, now_ns: int) -> _Bucket:
        second = now_ns // SECOND_NS
        if not self._buckets or self._buckets[-1].second != second:
            self._buckets.append(_Bucket(second))
            while self._buckets[0].second <= second - WINDOW_S:
                self._buckets.popleft()
        return self._buckets[-1]

    def served(self, source: str, now_ns: int, *, emergency: bool = False, count: int = 1) -> None:
        """Count what a reader got."""
        for bucket in (self._now(now_ns), self.total):
            if source == "websocket":
                bucket.websocket += count
            elif emergency:
                bucket.emergency += count
            else:
                bucket.rest += count

    def delivered(self, total: int, now_ns: int) -> None:
        """Count deliveries, given how many there were so far."""
        if total > self._deliveries:
            self.served("websocket", now_ns, count=total - self._deliveries)
            self._deliveries = total

    def refused(self, now_ns: int) -> None:
        """Count a read that nobody could serve."""
        for bucket in (self._now(now_ns), self.total):
            bucket.refused += 1

    def called(self, purpose: str, now_ns: int) -> None:
        """Count a REST call."""
        for bucket in (self._now(now_ns), self.total):
            bucket.calls[purpose] += 1

    def may_spend(self, now_ns: int) -> bool:
        """Tell whether one more call in normal operation stays within the share of the window."""
        shares = self.window(now_ns)
        spent = sum(count for purpose, count in shares.calls.items() if purpose not in EXEMPT)
        return spent + 1 <= self.rest_max * (spent + 1 + shares.websocket)

    def window(self, now_ns: int) -> Shares:
        """Give the shares of the last minute."""
        self._now(now_ns)
        return _sum(self._buckets)

    def whole(self) -> Shares:
        """Give the shares since the beginning."""
        return _sum([self.total])


def _sum(buckets: deque[_Bucket] | list[_Bucket]) -> Shares:
    return Shares(
        websocket=sum(bucket.websocket for bucket in buckets),
        rest=sum(bucket.rest for bucket in buckets),
        emergency=sum(bucket.emergency for bucket in buckets),
        refused=sum(bucket.refused for bucket in buckets),
        calls={purpose: sum(bucket.calls[purpose] for bucket in buckets) for purpose in PURPOSES},
    )
