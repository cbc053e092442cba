"""When an unknown outcome counts as known: which question is due, and what an answer proves.

Theory of operation. An order is *there* as soon as anything names it. That it is *not there* takes proof:

- By the stream. If `executions` had no gap since before the order was sent, it would have brought the order. Its
  deadline is over in the exchange's own time: a pong says so, received by the exchange half a second after the
  deadline or later, on the same line, behind whatever the stream had to say before. Then, 2 s after the deadline, the
  order is not placed.
- By queries, when the stream has a gap. Open orders are asked for first, closed ones after them, so that an order on
  its way from the one list to the other is met; then fills, whose orders are looked up. REST was seen up to 60 s behind
  the engine: only a whole sweep that began 60 s after the deadline proves anything, all before only finds. Where the
  stream is back, the order was not among those it listed, and nothing opened from then to the deadline, it can only
  have ended before: then closed orders 60 s after that list are enough, and one sweep answers for all that a gap left
  open. Open orders and fills are asked for besides while points last.
- A change of terms, by the stream that came back and lists its order with the old ones, and is proven past the
  deadline; if these terms are none that it tells, by the list of the order's amends.

Queries cost points that come back slowly. Each last sweep is announced, so that points are kept for it (`proofs`);
earlier ones are made if they can be afforded besides.

A question that fails proves nothing and is asked again. An order that is known by its id and which the stream no
longer lists after a gap is *doubtful*: it lived and may have ended; it is asked for by id until REST knows as well.

Nothing here asks or waits: `poll` says what is due, the answers are given back.

Source: rest.md section 12; faults.md O04; design.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.execution import Execution
from ..policy import SECOND_NS
from ..rest.exchange_time import ExchangeTime
from .live_order import Amending, Order
from .records import OrderState
from .table import OrderTable

PING_AFTER_NS = 1 * SECOND_NS
PROVEN_AFTER_NS = SECOND_NS // 2
ABSENT_AFTER_NS = 2 * SECOND_NS
DOUBT_STREAM_NS = 3 * SECOND_NS
"""From the deadline on: a pong is asked for; the time it must prove; the verdict; the stream counts as no proof."""

PING_AGAIN_NS = SECOND_NS // 4

LAG_KEPT_NS = 60 * SECOND_NS
"""The stream is taken to be as late as it was at worst for so long. A proof waits for it; if that takes too long, by
queries."""

REST_LAG_S = 60.0
"""How far REST was seen behind the engine. Source: rest.md section 12; faults.md E16."""

PAUSES_S = (1.0, 2.0, 5.0, 13.0)
"""Between early sweeps, if they can be afforded."""

OPEN_POINTS, CLOSED_POINTS, FILLS_POINTS, IDS_POINTS = 1, 4, 4, 4
"""What a sweep's questions cost. The lowest tier has 15, and gets one back in 3 s."""

AGAIN_S, AGAIN_MAX_S = 1.0, 15.0
"""After a failed question, doubling."""

TOGETHER_NS = SECOND_NS * 3 // 4
"""A last sweep waits so long for others that are due then: each costs much, and answers for all. What is left of 2 s is
for its questions, and for one that fails."""

WINDOW_S = 2
"""Orders are looked for that were opened so long before the first was sent, up to so long after the last deadline.
rest.md asks for 60 s because of the clock's doubt; here the times are the exchange's own, known within a second, and
REST counts whole seconds. A narrow window keeps a sweep to one page where an account trades much."""

EDIT_STEP_NS = SECOND_NS // 4
"""The end of an edited order and the beginning of its successor lie no further apart in the exchange's time."""

ORDER_IDS_MAX = 50


@dataclass(frozen=True, slots=True)
class Sweep:
    """Questions to ask of REST, at once and in this order.

    Attributes:
        order_ids: to be asked for by id.
        amends_of: ids of orders whose lists of amends are asked for.
        since_s, until_s: closed orders that were opened in this time of the exchange; None for not at all, or for no
            end.
        with_open: open orders before the closed ones.
        with_fills: fills too, and the orders of those that are not known.
    """

    order_ids: tuple[str, ...]
    since_s: int | None
    until_s: int | None
    with_fills: bool
    with_open: bool = True
    amends_of: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    """What is being done about one order.

    Attributes:
        proves: whether the sweep that is under way proves that it is not there, if it does not find it.
    """

    order: Order
    is_amend: bool
    by_queries: bool = False
    proves: bool = False
    sweeps: int = 0
    next_ns: int = 0


@dataclass(slots=True)
class Due:
    """What `poll` asks for.

    Attributes:
        ping: send a ping on the line.
        sweep: ask REST.
        next_ns: poll again then, None for no need.
    """

    ping: bool = False
    sweep: Sweep | None = None
    next_ns: int | None = None


class Resolution:
    """See the module's text.

    Args:
        table: whose orders; verdicts go there.
        clock: the exchange's time.
        gapless_since: whether the executions stream is up, and had no gap since a monotonic time.
        rest_lag_s: how far REST may be behind the engine.
        can_afford: whether REST takes calls of so many points now, without touching what is kept for last sweeps.
    """

    def __init__(
        self,
        table: OrderTable,
        clock: ExchangeTime,
        gapless_since: Callable[[int], bool],
        *,
        rest_lag_s: float = REST_LAG_S,
        can_afford: Callable[[float], bool] = lambda _points: True,
    ) -> None:
        self._can_afford = can_afford
        self._lag_ns = round(rest_lag_s * SECOND_NS)
        self.doubtful: dict[str, Order] = {}
        self.checks: dict[str, Order] = {}
        self.sweeps = 0
        self.failures = 0
        self._table = table
        self._clock = clock
        self._gapless_since = gapless_since
        self._searches: dict[str, _Search] = {}
        self._pinged_ns: int | None = None
        self._pong_epoch_ns = 0
        self._listed_ns = 0
        self._lag_seen_ns = self._lag_seen_at_ns = 0
        self._closed_pages = 1
        self._is_sweeping = False
        self._doubts_ns = self._doubted_ns = self._checks_ns = 0
        self._doubt_tries = 0
        self._failed_in_a_row = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open."""
        return not (self._searches or self.doubtful or self.checks or self._table.unknown or self._table.amending)

    def doubt(self, orders: Iterable[Order], now_ns: int) -> None:
        """The stream came back without these orders, which were live before."""
        for order in orders:
            if not self.doubtful:
                self._doubts_ns, self._doubt_tries = now_ns, 0
            self._doubted_ns = now_ns
            self.doubtful[order.name] = order

    def check(self, orders: Iterable[Order]) -> None:
        """Have orders asked for by id, once: nothing speaks against them, but something may have happened."""
        self.checks.update((order.name, order) for order in orders if order.order_id is not None)

    def line_lost(self) -> None:
        """What the line proved ends with it."""
        self._pong_epoch_ns = 0
        self._pinged_ns = None

    def listed(self, now_ns: int) -> None:
        """The stream listed all open orders; from here on it tells what opens."""
        self._listed_ns = now_ns

    def streamed(self, late_ns: int, now_ns: int) -> None:
        """An event came so long after it happened: a pong may overtake what the stream still holds."""
        if late_ns >= self._lag_seen_ns or now_ns >= self._lag_seen_at_ns + LAG_KEPT_NS:
            self._lag_seen_ns, self._lag_seen_at_ns = max(0, late_ns), now_ns

    def pong(self, time_in_ns: int) -> None:
        """The exchange received a ping of this line at this time of its own."""
        self._pong_epoch_ns = max(self._pong_epoch_ns, time_in_ns)

    def poll(self, now_ns: int) -> Due:
        """Pass what verdicts are due, and say what to ask."""
        self._collect(now_ns)
        due = Due()
        times: list[int] = []
        ready: list[_Search] = []
        for search in list(self._searches.values()):
            self._settle_terms(search, now_ns)
            if self._is_watched(search, now_ns):
                search.by_queries = False
                self._watch_stream(search, now_ns, due, times)
                continue
            if not search.by_queries:
                search.by_queries = True
                search.next_ns = now_ns + round(PAUSES_S[0] * SECOND_NS)
            if search.next_ns <= now_ns:
                ready.append(search)
            times.append(search.next_ns)
        doubts = self._doubts(now_ns, times)
        if self.checks and self._checks_ns <= now_ns:
            doubts += self.checks.values()
        elif self.checks:
            times.append(self._checks_ns)
        is_wanted = not self._is_sweeping and bool(ready or doubts)
        if is_wanted and not any(self._is_last(search, now_ns) for search in ready):
            is_wanted = self._can_afford(OPEN_POINTS + CLOSED_POINTS)
        if is_wanted:
            due.sweep = self._plan(ready, doubts, now_ns)
            self._is_sweeping = True
            self.sweeps += 1
        else:  # one is under way, or one of these has to wait for points
            times = [each if each > now_ns else now_ns + SECOND_NS for each in times]
            times += [each for each, _ in self.proofs() if each > now_ns]
        if due.ping:
            self._pinged_ns = now_ns
        if times:
            due.next_ns = max(now_ns + 1_000_000, min(times))
        return due

    def proofs(self) -> list[tuple[int, float]]:
        """Give the monotonic times at which last sweeps are to begin, and their points; each answers for all it can."""
        wanted: list[tuple[int, float]] = []
        for search in sorted(self._searches.values(), key=self._last_ns):
            is_placed = search.by_queries and _times_of(search)[1]
            if is_placed and not (wanted and self._proves_ns(search) <= wanted[-1][0]):
                points = IDS_POINTS if search.is_amend or search.order.is_nameless else 0
                if not _is_by_id(search):
                    points += CLOSED_POINTS * self._closed_pages
                    points += 0 if self._is_back(search) else OPEN_POINTS + FILLS_POINTS
                wanted.append((self._last_ns(search), points))
        return wanted

    # The stream's proof ------------------------------------------------------------------------------------------

    def _is_watched(self, search: _Search, now_ns: int) -> bool:
        """Whether the stream will tell, or has told, what is searched for."""
        sent_ns, deadline_ns, _ = _times_of(search)
        if not deadline_ns or search.order.is_nameless:
            return False
        if search.is_amend and self._shows_terms(search, sent_ns):
            sent_ns = self._listed_ns
        elif search.by_queries:
            return False  # a gap stays one
        return self._gapless_since(sent_ns) and (self._is_past(search) or now_ns < deadline_ns + DOUBT_STREAM_NS)

    def _shows_terms(self, search: _Search, sent_ns: int) -> bool:
        """Whether the list that the stream brought after a gap would show the new terms of the order."""
        order, amending = search.order, search.order.amending
        is_listed = order.state.is_live and order.name not in self.doubtful and self._listed_ns > sent_ns
        return is_listed and amending is not None and amending.is_shown(order.order_qty, order.limit_price) is not None

    def _is_past(self, search: _Search) -> bool:
        """Whether the stream is proven to have told all up to the deadline."""
        return self._pong_epoch_ns >= _times_of(search)[2] + PROVEN_AFTER_NS + self._lag_seen_ns

    def _watch_stream(self, search: _Search, now_ns: int, due: Due, times: list[int]) -> None:
        _, deadline_ns, deadline_epoch_ns = _times_of(search)
        is_proven = self._is_past(search)
        if is_proven and now_ns >= deadline_ns + ABSENT_AFTER_NS:
            stamp_ms = (self._pong_epoch_ns - deadline_epoch_ns) // 1_000_000
            is_whole = self._gapless_since(_times_of(search)[0])
            seen = "had no gap since before it was sent" if is_whole else "listed the order with its old terms"
            self._absent(search, now_ns, f"the stream {seen}, and is proven {stamp_ms} ms past its deadline")
            return
        if not is_proven and now_ns >= deadline_ns + PING_AFTER_NS:
            if self._pinged_ns is None or now_ns >= self._pinged_ns + PING_AGAIN_NS:
                due.ping = True
            times.append(now_ns + PING_AGAIN_NS)
        else:
            times.append(deadline_ns + (ABSENT_AFTER_NS if is_proven else PING_AFTER_NS))
        assert search.order.state is OrderState.UNKNOWN or search.is_amend

    def _absent(self, search: _Search, now_ns: int, proof: str) -> None:
        self._searches.pop(_key(search), None)
        if search.is_amend:
            self._table.settle_amend(search.order, "not applied", now_ns, proof, "absence")
        else:
            self._table.absent(search.order, now_ns, proof)

    # Queries -----------------------------------------------------------------------------------------------------

    def _is_back(self, search: _Search) -> bool:
        """Whether an order can only have ended before the stream listed all open ones, if it was placed at all."""
        sent_ns, _, _ = _times_of(search)
        is_gapless = self._listed_ns > sent_ns and self._gapless_since(self._listed_ns)
        return is_gapless and self._is_past(search) and not search.order.is_nameless and not search.is_amend

    def _proves_ns(self, search: _Search) -> int:
        """From when on a whole sweep proves that an order, or its new terms, are not there. See the module's text."""
        deadline_ns = _times_of(search)[1]
        return (min(deadline_ns, self._listed_ns) if self._is_back(search) else deadline_ns) + self._lag_ns

    def _last_ns(self, search: _Search) -> int:
        """When the last sweep for it is to begin."""
        return _times_of(search)[1] + self._lag_ns + TOGETHER_NS

    def _is_last(self, search: _Search, now_ns: int) -> bool:
        return bool(_times_of(search)[1]) and now_ns >= self._proves_ns(search)

    def swept(
        self,
        sweep: Sweep,
        found: Iterable[Any],
        began_ns: int,
        now_ns: int,
        *,
        amends: Mapping[str, Sequence[Any]] | None = None,
        closed_pages: int = 1,
    ) -> None:
        """Apply the answers of a whole sweep.

        Args:
            sweep: as asked.
            found: records of `rest.answers.OrderInfo`, newest knowledge last.
            amends: records of `rest.answers.Amend` by the order's id, oldest first.
            closed_pages: how many pages the closed orders took; the last sweep will take as many.
            began_ns: monotonic time before its first question.
            now_ns: the present.
        """
        self._is_sweeping = False
        self._failed_in_a_row = 0
        self._closed_pages = max(1, closed_pages)
        found = list(found)
        for search in self._searches.values():
            if search.order.is_nameless and not search.is_amend:
                self._find_successor(search.order, found, now_ns)
        for info in found:
            order = self._table.on_execution(queried(info), now_ns)
            if order is not None and began_ns >= self._doubted_ns + self._lag_ns and info.status in ("open", "pending"):
                self.doubtful.pop(order.name, None)  # it is open after all: the stream was wrong to leave it out
        ids = {info.order_id for info in found}
        for name in [name for name, order in self.checks.items() if order.order_id in ids]:
            del self.checks[name]
        self._collect(now_ns)
        for search in list(self._searches.values()):
            self._settle_terms(search, now_ns)
            self._settle_by_amends(search, (amends or {}).get(search.order.order_id or "", ()), now_ns)
        self._collect(now_ns)
        self._doubts_asked(sweep, now_ns)
        for search in list(self._searches.values()):
            by_id = _is_by_id(search)
            was_asked = search.order.order_id in sweep.order_ids if by_id else sweep.since_s is not None
            if not search.by_queries or not was_asked:
                continue
            _, deadline_ns, _ = _times_of(search)
            is_proof = search.order.order_id in ids if by_id else not search.is_amend
            if search.order.is_nameless and not by_id:  # without its predecessor's end or presence nothing is proven
                is_proof = is_proof and search.order.replaces in ids
            if search.proves and is_proof:
                if by_id and not _can_be_shown(search.order):
                    del self._searches[_key(search)]
                    self._table.settle_amend(search.order, "moot", now_ns, "nothing tells its terms", "query")
                    continue
                lists = "open and closed orders nor fills" if sweep.with_open else "the stream's open nor closed orders"
                where = "the order has not the new terms" if by_id else f"not among {lists}"
                proof = f"{where}, asked {(began_ns - deadline_ns) // SECOND_NS} s after its deadline"
                self._absent(search, now_ns, proof)
            elif search.next_ns <= now_ns:
                search.sweeps += 1
                pause_s = PAUSES_S[search.sweeps] if search.sweeps < len(PAUSES_S) else None
                last_ns = max(self._last_ns(search), now_ns + SECOND_NS)
                early_ns = last_ns if pause_s is None else now_ns + round(pause_s * SECOND_NS)
                search.next_ns = min(early_ns, last_ns)

    def _find_successor(self, order: Order, found: list[Any], now_ns: int) -> None:
        """Find what an edit by REST made: the nameless order of its terms that was opened as its predecessor ended.

        The exchange does both in one step: what somebody else opened alike at another time is none.
        """
        ends_ns = [info.closed_ns for info in found if info.order_id == order.replaces and info.closed_ns]
        if not ends_ns:
            return  # it rests there yet, or was not asked for
        first_ns = order.sent_epoch_ns - SECOND_NS
        fitting = [
            info
            for info in found
            if not info.cl_ord_id
            and not info.userref
            and (info.terms.symbol, info.terms.side, info.terms.ord_type)
            == (order.symbol, order.side, order.order_type)
            and (info.qty, info.terms.price) == (order.order_qty, order.limit_price)
            and first_ns <= (info.opened_ns or 0) <= order.deadline_epoch_ns + SECOND_NS
            and abs((info.opened_ns or 0) - ends_ns[0]) <= EDIT_STEP_NS
            and not self._table.is_ours(info.order_id)
        ]
        if fitting:
            first = min(fitting, key=lambda info: abs(info.opened_ns - ends_ns[0]))
            order.add_evidence("query", now_ns, f"{first.order_id} took the place of {order.replaces}")
            self._table.accept(order, {"order_id": first.order_id}, now_ns)

    def failed(self, now_ns: int) -> None:
        """A sweep could not be completed: it proves nothing, and is made again."""
        self._is_sweeping = False
        self.failures += 1
        self._failed_in_a_row += 1
        wait_ns = round(min(AGAIN_MAX_S, AGAIN_S * 2 ** min(self._failed_in_a_row - 1, 8)) * SECOND_NS)
        for search in self._searches.values():
            if search.by_queries:
                search.next_ns = max(search.next_ns, now_ns + wait_ns)
        self._doubts_ns = max(self._doubts_ns, now_ns + wait_ns)
        self._checks_ns = now_ns + wait_ns

    def _plan(self, ready: list[_Search], doubts: list[Order], now_ns: int) -> Sweep:
        ids = [order.order_id for order in doubts if order.order_id is not None]
        ids += [search.order.order_id for search in ready if search.order.order_id and _is_by_id(search)]
        for search in self._searches.values():
            search.proves = search.by_queries and self._is_last(search, now_ns)
        names = [search for search in ready if not _is_by_id(search)]
        ids += [search.order.replaces for search in names if search.order.is_nameless and search.order.replaces]
        since_s: int | None = None
        until_s: int | None = None
        with_open = with_fills = False
        if names:
            # Whoever is asked for by queries profits, due or not: one sweep answers for all. The last one for some
            # looks no further than they need, for each page costs as much.
            all_of = [search for search in self._searches.values() if search.by_queries and not _is_by_id(search)]
            all_of = [search for search in all_of if search.proves] or all_of
            began_ns = min((search.order.sent_epoch_ns for search in all_of), default=0)
            since_s = max(0, began_ns // SECOND_NS - WINDOW_S)
            ends_ns = [self._opened_by_ns(search) for search in all_of if not search.is_amend]
            if ends_ns and min(ends_ns) > 0:
                until_s = max(ends_ns) // SECOND_NS + WINDOW_S
            with_fills = any(search.proves for search in names)
            with_open = not with_fills or not all(self._is_back(search) for search in all_of)
            if with_fills and not with_open:
                with_open = with_fills = self._can_afford(OPEN_POINTS + FILLS_POINTS)
        return Sweep(tuple(dict.fromkeys(ids)), since_s, until_s, with_fills, with_open, self._amends_of(ready))

    def _opened_by_ns(self, search: _Search) -> int:
        """By when, in the exchange's time, an order was opened if it was at all; 0 while that is not known."""
        _, deadline_ns, deadline_epoch_ns = _times_of(search)
        early_ns = max(0, deadline_ns - self._listed_ns) if self._is_back(search) else 0
        return deadline_epoch_ns - early_ns

    def _amends_of(self, ready: list[_Search]) -> tuple[str, ...]:
        """Give the ids of orders whose changed terms no list of orders shows."""
        ids = []
        for search in ready:
            order, amending = search.order, search.order.amending
            if not _is_by_id(search) or amending is None or order.order_id is None:
                continue
            if amending.is_shown(order.order_qty, order.limit_price) is None:
                ids.append(order.order_id)
        return tuple(ids)

    def _doubts(self, now_ns: int, times: list[int]) -> list[Order]:
        for name in [name for name, order in self.doubtful.items() if not order.state.is_live]:
            del self.doubtful[name]
        if not self.doubtful:
            return []
        times.append(self._doubts_ns)
        return list(self.doubtful.values()) if self._doubts_ns <= now_ns else []

    def _doubts_asked(self, sweep: Sweep, now_ns: int) -> None:
        if sweep.order_ids and self.doubtful:
            pause_s = PAUSES_S[min(self._doubt_tries, len(PAUSES_S) - 1)]
            self._doubt_tries += 1
            self._doubts_ns = now_ns + round(pause_s * SECOND_NS)

    # What is open ------------------------------------------------------------------------------------------------

    def seen(self, name: str) -> None:
        """The stream lists an order: it is not doubtful any more."""
        self.doubtful.pop(name, None)

    def _collect(self, now_ns: int) -> None:
        """Begin searching for what became unknown, and forget what became known."""
        table = self._table
        for order in table.unknown.values():
            if order.name not in self._searches:
                self._searches[order.name] = _Search(order, is_amend=False)
        for order in table.amending.values():
            key = f"amend {order.name}"
            if key not in self._searches:
                self._searches[key] = _Search(order, is_amend=True)
        known = [
            key
            for key, search in self._searches.items()
            if search.order.name not in (table.amending if search.is_amend else table.unknown)
        ]
        for key in known:
            del self._searches[key]
        if self._clock.is_known:
            for search in self._searches.values():
                self._place_deadline(search, now_ns)

    def _place_deadline(self, search: _Search, now_ns: int) -> None:
        """Find the time of a deadline that an earlier run set."""
        asked = search.order.amending if search.is_amend else search.order
        if asked is not None and not asked.deadline_ns and asked.deadline_epoch_ns:
            ahead_ns = asked.deadline_epoch_ns - self._clock.now_ns(now_ns)
            asked.deadline_ns = max(1, now_ns + ahead_ns + self._clock.error_ns(now_ns))

    def _settle_terms(self, search: _Search, now_ns: int) -> None:
        order, amending = search.order, search.order.amending
        if not search.is_amend or amending is None or amending.state != "unknown":
            return
        if amending.is_shown(order.order_qty, order.limit_price):
            self._table.settle_amend(order, "applied", now_ns, "the order is listed with the new terms", "query")

    def _settle_by_amends(self, search: _Search, amends: Sequence[Any], now_ns: int) -> None:
        """See whether the order's latest amend, of those up to the deadline, gave it the terms that were asked for."""
        order, amending = search.order, search.order.amending
        if not search.is_amend or amending is None or amending.state != "unknown":
            return
        past = [each for each in amends[1:] if each.exch_ns <= amending.deadline_epoch_ns + SECOND_NS]
        told = _comparable(amending)
        if past and told and all(getattr(past[-1], TERMS_TOLD[name]) == value for name, value in told.items()):
            detail = f"amend {past[-1].amend_id} is the latest that is listed, and has the new terms"
            self._table.settle_amend(order, "applied", now_ns, detail, "query")


def queried(info: Any) -> Execution:
    """Say what a query found in the words of `executions`: REST calls a filled order closed."""
    exec_type, status = {
        "pending": ("pending_new", "pending_new"),
        "open": ("new", "partially_filled" if info.filled_qty else "new"),
        "closed": ("filled", "filled"),
        "canceled": ("canceled", "canceled"),
        "expired": ("expired", "expired"),
    }.get(info.status, ("status", None))
    terms = info.terms
    limit = terms.price if terms.ord_type in ("limit", "iceberg") else terms.price2
    return Execution(
        order_id=info.order_id,
        cl_ord_id=info.cl_ord_id,
        order_userref=info.userref or None,
        exec_type=exec_type,
        order_status=status,
        order_qty=info.qty,
        limit_price=limit or None,
        cum_qty=info.filled_qty,
        cum_cost=info.cost,
        reason=info.reason,
        symbol=terms.symbol,
        side=terms.side,
        order_type=terms.ord_type,
    )


TERMS_TOLD = {
    "order_qty": "qty",
    "display_qty": "display_qty",
    "limit_price": "limit_price",
    "trigger_price": "trigger_price",
    "post_only": "post_only",
}
"""Terms that a list of amends tells, and their names there. Source: rest.md section 8, OrderAmends."""


def _comparable(amending: Amending) -> dict[str, Any]:
    """Give the new terms that a list of amends shows as asked for; of relative prices it has what came out."""
    return {
        name: value
        for name, value in amending.new.items()
        if name in TERMS_TOLD and amending.new.get(f"{name}_type", "static") == "static"
    }


def _can_be_shown(order: Order) -> bool:
    return order.amending is not None and bool(_comparable(order.amending))


def _times_of(search: _Search) -> tuple[int, int, int]:
    order = search.order
    if search.is_amend and order.amending is not None:
        return order.amending.sent_ns, order.amending.deadline_ns, order.amending.deadline_epoch_ns
    return order.sent_ns, order.deadline_ns, order.deadline_epoch_ns


def _is_by_id(search: _Search) -> bool:
    """A change of terms is asked for by the id of its order alone, which costs a fifth of what the lists cost."""
    return search.is_amend and search.order.order_id is not None


def _key(search: _Search) -> str:
    return f"amend {search.order.name}" if search.is_amend else search.order.name



