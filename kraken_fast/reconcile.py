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
from collections.abc import Iterable, Sequence

from .account_records import Fill
from .policy import SECOND_NS

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

WINDOWS_MAX = 1000
"""Gaps that wait for their audit; with more the two oldest become one."""

ROUNDED_NS = 1_000_000
"""REST's times are rounded; two of one fill lie closer than this."""


class FillKeeper:
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
        delivered, recovered: fills passed on, and those of them that were not streamed.
    """

    def __init__(self, *, since_ns: int | None = None, known: Iterable[str] = ()) -> None:
        self.is_live = False
        self.wants_rest = False
        self.duplicates = 0
        self.late = 0
        self.delivered = 0
        self.recovered = 0
        self._old_ns = since_ns  # what is not after this happened before we came
        self._newest_ns = since_ns
        self._newest_id: str | None = None
        self._seen: OrderedDict[str, int] = OrderedDict.fromkeys(known, since_ns or 0)
        self._forgotten_ns = 0
        self._snapshot: list[Fill] | None = None
        self._snapshot_at_ns = 0
        self._held: dict[str, Fill] = {}
        self._lost_from_ns: int | None = None
        self._windows: deque[tuple[int, int]] = deque()  # from where to audit, and when the gap was closed

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

    def knows(self, exec_id: str) -> bool:
        """Tell whether a fill was delivered, or waits to be."""
        return exec_id in self._seen or exec_id in self._held

    @property
    def audit_due_ns(self) -> int | None:
        """When the next audit is due, on the monotonic clock; None for never. It tells something only while live."""
        return self._windows[0][1] + AUDIT_AFTER_NS if self._windows else None

    @property
    def audit_from_ns(self) -> int:
        """Where it begins, ns since epoch."""
        return self._windows[0][0]

    # What happens --------------------------------------------------------------------------------------------

    def on_lost(self) -> None:
        """The line went, or the sequence broke: from here on fills may be missing."""
        if self.is_live:
            self._lost_from_ns = self.rest_from_ns
        self.is_live = self.wants_rest = False
        self._snapshot = None
        self._held.clear()  # the snapshot or REST has them, and in order

    def on_stream(self, fill: Fill) -> list[Fill]:
        """A fill was streamed. Returns what is to be delivered now."""
        if not self._is_new(fill) or fill.exec_id in self._held:
            self.duplicates += 1
            return []
        if self.is_live:
            return [self._pass(fill)]
        self._held[fill.exec_id] = fill
        return []

    def on_snapshot(self, rows: Iterable[Fill], *, exchange_ns: int, at_ns: int) -> list[Fill]:
        """A subscription begins.

        Args:
            rows: its fills.
            exchange_ns: the exchange's time, ns since epoch, not later than the snapshot.
            at_ns: our monotonic time.
        """
        fills = _oldest_first(rows)
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

    def on_rest(self, rows: Sequence[Fill], *, at_ns: int) -> list[Fill]:
        """REST was asked from `rest_from_ns` on; `rows` are all that it has, oldest first.

        `wants_rest` stays if they prove nothing: REST lags behind.
        """
        if self.is_live:
            return []
        snapshot = self._snapshot or []
        shown = {row.exec_id for row in rows}
        unknown = [fill for fill in snapshot if self._is_new(fill)] or list(self._held.values())
        told = {fill.exec_id: fill for fill in snapshot} | self._held
        passed = [self._pass(told.get(row.exec_id, row)) for row in rows if self._is_new(row)]
        if self._snapshot is None:
            return passed
        # A snapshot that tells nothing new and yet lacks what we know is older than that: only time helps then.
        if unknown[0].exec_id in shown if unknown else at_ns - self._snapshot_at_ns >= AUDIT_AFTER_NS:
            passed += self._go_live(at_ns)
        return passed

    def give_up(self, *, at_ns: int) -> list[Fill]:
        """What is missing does not come in time: let pass what is held."""
        return self._go_live(at_ns)

    def on_audit(self, rows: Sequence[Fill], *, asked_ns: int) -> list[Fill]:
        """REST was asked from `audit_from_ns` on, at `asked_ns` monotonic; `rows` are all that it has, oldest first.

        What was missed comes out. While we are behind nothing does: an audit is of what was believed complete.
        """
        if not self.is_live:
            return []
        passed = [self._pass(row) for row in rows if self._is_new(row)]
        self.late += len(passed)
        while self._windows and self._windows[0][1] + AUDIT_AFTER_NS <= asked_ns:
            self._windows.popleft()
        return passed

    # What follows from it ------------------------------------------------------------------------------------

    def _reaches_back(self, fills: list[Fill]) -> bool:
        is_all = len(fills) < SNAPSHOT_FILLS
        if self._newest_id is None:
            return is_all or fills[0].exch_ns <= self.newest_ns - SLACK_NS
        if all(fill.exec_id != self._newest_id for fill in fills):
            return False
        return is_all or fills[0].exch_ns <= self.newest_ns - SLACK_NS

    def _go_live(self, at_ns: int) -> list[Fill]:
        if self._lost_from_ns is not None:
            from_ns, self._lost_from_ns = self._lost_from_ns, None
            self._windows.append((from_ns, at_ns))
            if len(self._windows) > WINDOWS_MAX:
                (from_ns, _), (_, closed_ns) = self._windows.popleft(), self._windows.popleft()
                self._windows.appendleft((from_ns, closed_ns))
        snapshot, self._snapshot = self._snapshot or [], None
        held, self._held = self._held, {}
        self.is_live, self.wants_rest = True, False
        passed = [self._pass(held.get(fill.exec_id, fill)) for fill in snapshot if self._is_new(fill)]
        passed += [self._pass(fill) for fill in held.values() if self._is_new(fill)]
        return passed

    def _is_new(self, fill: Fill) -> bool:
        if fill.exec_id in self._seen or fill.exch_ns <= self._forgotten_ns:
            return False
        return fill.source == "stream" or self._old_ns is None or fill.exch_ns > self._old_ns - ROUNDED_NS

    def _pass(self, fill: Fill) -> Fill:
        self._remember(fill)
        self.delivered += 1
        self.recovered += fill.recovered
        return fill

    def _remember(self, fill: Fill) -> None:
        self._seen[fill.exec_id] = fill.exch_ns
        if fill.exch_ns >= self.newest_ns:
            self._newest_ns, self._newest_id = fill.exch_ns, fill.exec_id
        if len(self._seen) > SEEN_MAX:
            _, forgotten_ns = self._seen.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, forgotten_ns + ROUNDED_NS)


def _oldest_first(rows: Iterable[Fill]) -> list[Fill]:
    """Order a snapshot's fills. It has the newest first, which decides between those of one instant."""
    fills = list(rows)
    if fills and fills[0].exch_ns >= fills[-1].exch_ns:
        fills.reverse()
    return sorted(fills, key=lambda fill: fill.exch_ns)
