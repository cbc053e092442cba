"""Every fill once, in order, whatever the stream lost: what is known, what may be missing, when it is complete again.

Theory of operation. Fills come from three places: streamed one by one, in the snapshot of a subscription (the last 50),
and from REST (all, by pages, up to a minute late). `FillKeeper` lets each through once and says when REST has to be
asked. It does no I/O: events go in, the fills to deliver come out.

    LIVE     streamed fills pass at once
    BEHIND   after a lost line or a broken sequence: streamed fills are held until what lies before them is complete

What makes it complete again, in this order:

1. The snapshot, if it holds the newest fill that we know and reaches back beyond it: what it has besides is all there
   was.
2. REST from a little before the newest known fill on, as soon as it shows the oldest fill of the snapshot that we did
   not know. REST shows a past state of the account, never a later fill without the earlier ones; so that row proves
   that everything before it was shown, and what it shows may pass even if the line is lost again meanwhile.
3. Neither within the time given: the gap is declared and what is held passes.

Nothing proves how old a snapshot is. So each gap that was closed is audited by REST when REST's own lag is over.

Once: ids of fills are remembered, `SEEN_MAX` of them. One is forgotten only when so many newer ones are known, and then
whatever is not newer than it counts as known: nothing can pass twice. Nothing is lost by that either unless a fill
comes later than 20,000 that happened after it.

In order: of the exchange. REST's own order decides where it is asked, the snapshot's times else. A fill that only an
audit finds comes late; its gap is told.

Source: websocket-v2.md section 12; rest.md sections 8 and 11; faults.md O09 to O13, S13, S14.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..policy import SECOND_NS

SNAPSHOT_FILLS = 50
"""Fills in a snapshot. Source: websocket-v2.md section 12."""

SEEN_MAX = 20_000
"""Ids remembered; some 3 MB."""

HELD_MAX = 10_000
"""Streamed fills held while others are missing; with more the gap is declared."""

SLACK_NS = SECOND_NS // 10
"""How far back beyond the newest known fill a snapshot must reach: pairs need not stream in one order of time."""

REST_SLACK_NS = 2 * SECOND_NS
"""The same for REST, whose `start` counts whole seconds and leaves out the second itself."""

AUDIT_AFTER_NS = 62 * SECOND_NS
"""REST was seen up to 60 s behind. Source: rest.md section 12; faults.md E16."""

AUDIT_TOGETHER_NS = 60 * SECOND_NS
"""Gaps that were closed within such a time are audited together."""

ROUNDED_NS = 1_000_000
"""REST's times are rounded; two of one fill lie closer than this."""


class FillLike(Protocol):
    """What of a fill decides whether it passes; an `Execution` is one."""

    @property
    def key(self) -> Hashable:
        """Its id."""
        ...

    @property
    def timestamp_ns(self) -> int | None:
        """The exchange's time, ns since epoch. REST rounds it."""
        ...

    @property
    def recovered(self) -> bool:
        """Whether it was not streamed."""
        ...


_Fill = TypeVar("_Fill", bound=FillLike)


@dataclass(slots=True)
class Window:
    """A time to audit, in the exchange's clock, and when its gap, or the last of several, was closed in ours."""

    from_ns: int
    until_ns: int  # 0: the present
    first_closed_ns: int
    closed_ns: int


class FillKeeper(Generic[_Fill]):
    """See the module's text.

    Args:
        since_ns: fills after this time, ns since epoch, are delivered too though they happened before we came; None for
            those from now on.
        known: ids of fills at the end of what is known already, for REST's times are rounded: those within a
            millisecond before `since_ns` come again otherwise.

    Attributes:
        is_live: everything up to now was delivered.
        wants_rest: the snapshot does not close the gap; give `on_rest` what REST has after `rest_from_ns`.
        duplicates: fills that came again.
        late: fills that an audit found.
        snapshots: subscriptions begun.
        delivered, recovered: fills passed on, and those of them that were not streamed.
    """

    def __init__(self, *, since_ns: int | None = None, known: Iterable[Hashable] = ()) -> None:
        self.is_live = False
        self.wants_rest = False
        self.duplicates = 0
        self.late = 0
        self.delivered = 0
        self.recovered = 0
        self._old_ns = since_ns  # what is not after this happened before we came
        self._newest_ns = since_ns
        self._newest_id: Hashable | None = None
        self._seen: OrderedDict[Hashable, int] = OrderedDict.fromkeys(known, since_ns or 0)
        self._forgotten_ns = 0
        self._snapshot: list[_Fill] | None = None
        self._snapshot_at_ns = 0
        self._exchange_ns = 0
        self.snapshots = 0
        self._held: dict[Hashable, _Fill] = {}
        self._lost_from_ns: int | None = None
        self._windows: deque[Window] = deque()

    @property
    def newest_ns(self) -> int:
        """The exchange's time of the newest fill that is known, or of our beginning; 0 before that."""
        return self._newest_ns or 0

    @property
    def rest_from_ns(self) -> int:
        """Where REST is to be asked from, ns since epoch."""
        return max(0, self.newest_ns - REST_SLACK_NS)

    @property
    def held(self) -> int:
        """Streamed fills that wait."""
        return len(self._held)

    def knows(self, key: Hashable) -> bool:
        """Tell whether a fill was delivered, or waits to be."""
        return key in self._seen or key in self._held

    @property
    def audit_due_ns(self) -> int | None:
        """When the next audit is due, on the monotonic clock; None for never. It tells something only while live."""
        return self._windows[0].closed_ns + AUDIT_AFTER_NS if self._windows else None

    @property
    def audit(self) -> Window:
        """What is audited next; there is something while `audit_due_ns` is not None."""
        return self._windows[0]

    # What happens --------------------------------------------------------------------------------------------

    def on_lost(self) -> None:
        """The line went, or the sequence broke: from here on fills may be missing."""
        if self.is_live:
            self._lost_from_ns = self.rest_from_ns
        self.is_live = self.wants_rest = False
        self._snapshot = None
        self._held.clear()  # the snapshot or REST has them, and in order

    def on_stream(self, fill: _Fill) -> list[_Fill]:
        """A fill was streamed. Returns what is to be delivered now."""
        if not self._is_new(fill) or fill.key in self._held:
            self.duplicates += 1
            return []
        if self.is_live:
            return [self._pass(fill)]
        self._held[fill.key] = fill
        return []

    def on_snapshot(self, rows: Iterable[_Fill], *, exchange_ns: int, at_ns: int) -> list[_Fill]:
        """A subscription begins.

        Args:
            rows: its fills.
            exchange_ns: the exchange's time, ns since epoch, not later than the snapshot.
            at_ns: our monotonic time.
        """
        fills = _oldest_first(rows)
        self._exchange_ns = exchange_ns
        self.snapshots += 1
        if self._newest_ns is None:
            for fill in fills:
                self._remember(fill)
            self._old_ns = self._newest_ns = max(exchange_ns, self.newest_ns)
            return self._go_live(at_ns)
        self._snapshot, self._snapshot_at_ns = fills, at_ns
        if self._reaches_back(fills):
            return self._go_live(at_ns)
        self.wants_rest = True
        return []

    def on_rest(self, rows: Sequence[_Fill], *, at_ns: int) -> list[_Fill]:
        """REST was asked from `rest_from_ns` on; `rows` are all that it has, oldest first.

        `wants_rest` stays if they prove nothing: REST lags behind.
        """
        if self.is_live:
            return []
        snapshot = self._snapshot or []
        shown = {row.key for row in rows}
        unknown = [fill for fill in snapshot if self._is_new(fill)] or list(self._held.values())
        told = {fill.key: fill for fill in snapshot} | self._held
        passed = [self._pass(told.get(row.key, row)) for row in rows if self._is_new(row)]
        if self._snapshot is None:
            return passed
        # A snapshot that tells nothing new and yet lacks what we know is older than that: only time helps then.
        if unknown[0].key in shown if unknown else at_ns - self._snapshot_at_ns >= AUDIT_AFTER_NS:
            passed += self._go_live(at_ns)
        return passed

    def give_up(self, *, at_ns: int) -> list[_Fill]:
        """What is missing does not come in time: let pass what is held."""
        return self._go_live(at_ns)

    def on_audit(self, window: Window, rows: Sequence[_Fill]) -> list[_Fill]:
        """REST was asked for a window when it was due; `rows` are all that it has of it, oldest first.

        What was missed comes out. While we are behind nothing does: an audit is of what was believed complete.
        """
        if not self.is_live or window not in self._windows:
            return []
        self._windows.remove(window)
        passed = [self._pass(row) for row in rows if self._is_new(row)]
        self.late += len(passed)
        return passed

    # What follows from it ------------------------------------------------------------------------------------

    def _reaches_back(self, fills: list[_Fill]) -> bool:
        is_all = len(fills) < SNAPSHOT_FILLS
        if self._newest_id is None:
            return is_all or time_of(fills[0]) <= self.newest_ns - SLACK_NS
        if all(fill.key != self._newest_id for fill in fills):
            return False
        if not any(self._is_new(fill) for fill in fills):
            return True  # it is no older than what we know, and has nothing besides: the audit does the rest
        return is_all or time_of(fills[0]) <= self.newest_ns - SLACK_NS

    def _go_live(self, at_ns: int) -> list[_Fill]:
        if self._lost_from_ns is not None:
            self._plan_audit(self._lost_from_ns, at_ns)
            self._lost_from_ns = None
        snapshot, self._snapshot = self._snapshot or [], None
        held, self._held = self._held, {}
        self.is_live, self.wants_rest = True, False
        passed = [self._pass(held.get(fill.key, fill)) for fill in snapshot if self._is_new(fill)]
        passed += [self._pass(fill) for fill in held.values() if self._is_new(fill)]
        return passed

    def _plan_audit(self, from_ns: int, at_ns: int) -> None:
        until_ns = self._exchange_ns + REST_SLACK_NS if self._exchange_ns else 0
        last = self._windows[-1] if self._windows else None
        if last is None or at_ns - last.first_closed_ns > AUDIT_TOGETHER_NS:
            self._windows.append(Window(from_ns, until_ns, at_ns, at_ns))
        else:
            last.until_ns, last.closed_ns = until_ns, at_ns

    def _is_new(self, fill: _Fill) -> bool:
        if fill.key in self._seen or time_of(fill) <= self._forgotten_ns:
            return False
        return not fill.recovered or self._old_ns is None or time_of(fill) > self._old_ns - ROUNDED_NS

    def _pass(self, fill: _Fill) -> _Fill:
        self._remember(fill)
        self.delivered += 1
        self.recovered += fill.recovered
        return fill

    def _remember(self, fill: _Fill) -> None:
        self._seen[fill.key] = time_of(fill)
        if time_of(fill) >= self.newest_ns:
            self._newest_ns, self._newest_id = time_of(fill), fill.key
        if len(self._seen) > SEEN_MAX:
            _, forgotten_ns = self._seen.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, forgotten_ns + ROUNDED_NS)


def time_of(fill: FillLike) -> int:
    """Give a fill's time; every row that was recorded has one."""
    return fill.timestamp_ns or 0


def _oldest_first(rows: Iterable[_Fill]) -> list[_Fill]:
    """Order a snapshot's fills. It has the newest first, which decides between those of one instant."""
    fills = list(rows)
    if fills and time_of(fills[0]) >= time_of(fills[-1]):
        fills.reverse()
    return sorted(fills, key=time_of)
