"""Order entry's engine: one loop callback that does what is due, and the way of every request to the wire.

Theory of operation. A request is checked, counted against the limits, journalled, registered, and only then given to
the line; if the line says by its state that nothing left, an order may go by REST instead, once. What comes back goes
to `OrderTable`. Everything with a time (missing answers, proofs, sweeps, the journal's sync, the dead man's switch)
waits in one timer, `_pump`.

After a start, orders are kept in until whatever an earlier run left open is known: see `OrderCore.start`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from ..core.clock import Clock, SystemClock
from ..core.execution import Execution
from ..errors import (
    ClosedError,
    ExchangeError,
    KrakenFastError,
    OrderBlockedError,
    OutcomeUnknownError,
    RateLimitError,
    UnknownSymbolError,
)
from ..policy import SECOND_NS
from ..private.line import TradingLine, Written
from ..rest.exchange_time import ExchangeTime
from ..rest.sender import is_urgent
from ..types import Ack, Instrument, SystemStatus
from .deadman import DISARM_PHASES, DeadMansSwitch, SwitchState
from .journal import Journal
from .live_order import Order
from .pretrade import Quotes
from .rate import TradingBudget
from .records import OrderState
from .request import Stamps, encode_request
from .resolution import PING_AGAIN_NS, Resolution, Sweep
from .rules import check_states
from .settings import OrderSettings
from .sweep import RestQueries, carry_out
from .table import OrderTable, Pending

_log = logging.getLogger("kraken_fast.orders")

REQ_ID_FIRST, REQ_ID_LAST = 2**30, 2**31 - 1
"""Numbers of our requests; those below belong to the line's subscriptions."""

PING_S = 10.0
"""The exchange's time is asked for this often."""

STAMP_NS = 1_000
"""Resolution of the exchange's stamps."""

TIME_ERROR_MAX_NS = SECOND_NS
"""With more doubt about the exchange's time no order leaves."""

_S = OrderState


class RestPort(RestQueries, Protocol):
    """What of `RestClient` order entry needs."""

    async def call(self, path: str, params: dict[str, Any]) -> Any:
        """See `RestClient`."""
        ...

    def reserve(self, wanted: Sequence[tuple[int, float]]) -> None:
        """See `RestClient`."""
        ...

    def can_afford(self, points: float) -> bool:
        """See `RestClient`."""
        ...


class OrderCore:
    """The engine without the typed methods; use `OrderEntry`.

    Args:
        line: the private line.
        journal: where intents are written before they leave.
        instruments: gives a pair's rules, None while they are not known.
        rest: for what never left by the line, and for evidence; None for neither.
        quotes: best prices of live books, for the limits that need them.
        settings: see there.
        clock, rng: time and chance.

    Attributes:
        table: all orders. switch: the dead man's.
        on_order: told of every order that changed its state, with the state before.
        on_event: told of what the owner should know, in words: a lapsed switch, a broken journal.
    """

    def __init__(
        self,
        line: TradingLine,
        *,
        journal: Journal,
        instruments: Callable[[str], Instrument | None],
        rest: RestPort | None = None,
        quotes: Quotes | None = None,
        settings: OrderSettings | None = None,
        clock: Clock | None = None,
        rng: Random,
    ) -> None:
        self.settings = settings or OrderSettings()
        self.clock = clock or SystemClock()
        self.exchange_time = ExchangeTime()
        self.table = OrderTable(journal, TradingBudget(self.settings.tier))
        self.resolution = Resolution(
            self.table,
            self.exchange_time,
            line.gapless_since,
            rest_lag_s=self.settings.rest_lag_s,
            can_afford=lambda points: rest is None or rest.can_afford(points),
        )
        self.switch = DeadMansSwitch(timeout_s=self.settings.switch_s or 60, renew_s=self.settings.renew_s)
        self.status: SystemStatus | None = None
        self.on_event: Callable[[str], None] = lambda _text: None
        self._line = line
        self._rest = rest
        self._journal = journal
        self._instruments = instruments
        self._quotes = quotes
        self._rng = rng
        self._stamps = Stamps()
        chance = rng.getrandbits(74)
        self._names_run = f"7{chance >> 62:03x}-{0x8000 | chance >> 48 & 0x3FFF:04x}"
        self._names_made = chance & 0xFFFF_FFFF_FFFF
        self._req_id = REQ_ID_FIRST
        self._answers_due: list[tuple[int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._ping_due_ns = 0
        self._is_pump_due = False
        self._offset_ns: int | None = None
        self._pings: dict[int, int] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._blocked = "order entry was not started"
        self._killed = ""
        self._is_closed = False
        self._was_snapshot = False
        self._ready: asyncio.Future[None] | None = None

    # Life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what an earlier run left open, and wait until it is known what became of it.

        Raises:
            ClosedError: it was closed meanwhile.
            ConfigError: another order entry trades over the line.
        """
        from .restore import restored  # noqa: PLC0415 - a start is rare, and the hot path needs none of it

        now_ns = self.clock.monotonic_ns
        for order in restored(self._journal.past.records):
            self.table.restore(order, now_ns)
        self._blocked = "what an earlier run left open is not known yet"
        self._line.listen(self)
        self._ready = asyncio.get_running_loop().create_future()
        if self._line.is_up:
            self.on_up()
        self._pump()
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """End order entry at once: nothing is cancelled at the exchange, those who wait are told. May be repeated."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._ready is not None:
            self._line.listen(None)
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ClosedError("order entry was closed while it was starting"))
            self._ready.exception()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for order in (*self.table.orders(), *self.table.external.values()):
            order.abandon()
        self._journal.close()

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent now, as far as order entry itself knows."""
        return not (self._blocked or self._killed or self._is_closed)

    def kill(self, reason: str) -> None:
        """Keep every further order in, until `revive`. Cancels still go."""
        self._killed = reason or "killed"
        _log.info("no more orders are sent: %s", self._killed)

    def revive(self) -> None:
        """Let orders out again after `kill`."""
        self._killed = ""

    def _check_may_send(self) -> None:
        if self._is_closed:
            raise ClosedError("order entry was closed")
        if self._killed:
            raise OrderBlockedError(f"the kill switch is on: {self._killed}", retryable=False)
        if self._blocked:
            raise OrderBlockedError(self._blocked)

    def _exchange_ns(self, now_ns: int) -> int:
        """Give the exchange's time of a monotonic time of ours, ns since epoch.

        Raises:
            OrderBlockedError: it is not known well enough for a deadline.
        """
        if self._offset_ns is None:
            raise OrderBlockedError("the exchange's time is not known, and a deadline needs it")
        return now_ns + self._offset_ns

    def _learn_time(self, now_ns: int) -> None:
        """Keep the difference between the exchange's clock and ours, as long as it is known well enough."""
        time = self.exchange_time
        is_known = time.is_known and time.error_ns(now_ns) <= TIME_ERROR_MAX_NS
        self._offset_ns = time.now_ns(now_ns) - now_ns if is_known else None

    def _pair(self, symbol: str) -> Instrument:
        pair = self._instruments(symbol)
        if pair is None:
            raise UnknownSymbolError(symbol)
        return pair

    def _check_states(self, params: dict[str, Any], pair: Instrument) -> None:
        check_states(params, pair, None if self.status is None else self.status.system)

    # The way to the wire -----------------------------------------------------------------------------------------

    def _send(self, method: str, params: bytes, pending: Pending) -> tuple[Written, int]:
        """Give a request to the line. Its answer may come before this returns."""
        line = self._line
        req_id = self._next_req_id()
        self.table.begin(req_id, pending)
        outcome: Written = "never_left"
        if line.is_up:
            outcome = line.send(encode_request(method, params, line.token, req_id))
        if outcome == "never_left":
            self.table.never_left(req_id, self.clock.monotonic_ns)
        return outcome, req_id

    def _next_req_id(self) -> int:
        self._req_id = self._req_id + 1 if self._req_id < REQ_ID_LAST else REQ_ID_FIRST
        return self._req_id

    def _await_answer(self, req_id: int, due_ns: int) -> None:
        heapq.heappush(self._answers_due, (due_ns, req_id))
        self._plan(due_ns)

    async def _pace(self, symbol: str, cost: float) -> None:
        """Wait for the pair's trading counter, or refuse, as the settings say."""
        counter = self.table.budget.pair(symbol)
        wait_ns = counter.wait_ns(cost, self.clock.monotonic_ns)
        left_ns = round(self.settings.rate_wait_max_s * SECOND_NS)
        while wait_ns > 0:
            if self.settings.when_limited == "refuse" or wait_ns > left_ns or cost > counter.tier.points_max:
                error = RateLimitError(
                    "EKrakenFast:Not sent", detail=f"trading counter of {symbol}", endpoint="order", retryable=True
                )
                error.retry_after_s = wait_ns / SECOND_NS
                raise error
            await asyncio.sleep(wait_ns / SECOND_NS)
            left_ns -= wait_ns
            wait_ns = counter.wait_ns(cost, self.clock.monotonic_ns)

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("order entry: %s", task.exception(), exc_info=task.exception())

    async def _by_rest(
        self, orders: Sequence[Order], endpoint: str, fields: dict[str, Any], settle: Callable[[Any], None]
    ) -> None:
        """Send orders by REST that certainly never left by the line."""
        assert self._rest is not None
        now_ns = self.clock.monotonic_ns
        self.table.sent(orders, now_ns, f"given to REST {endpoint}: the line took nothing")
        try:
            settle(await self._rest.call(endpoint, fields))
        except OutcomeUnknownError as error:
            for order in orders:
                self.table.lose(order, str(error), self.clock.monotonic_ns)
        except ExchangeError as error:
            state = _S.NOT_SENT if error.code.startswith("EKrakenFast") else _S.REJECTED
            for order in orders:
                order.reject(error, self.clock.monotonic_ns, state)
        except KrakenFastError as error:
            if error.sent:
                for order in orders:
                    self.table.lose(order, str(error), self.clock.monotonic_ns)
            else:
                self.table.give_up(orders, error, self.clock.monotonic_ns)
        except BaseException as error:
            for order in orders:  # one whose answer was taken stays as it is
                self.table.lose(order, f"REST's answer is not known: {type(error).__name__}", self.clock.monotonic_ns)
            self._pump_soon()
            raise
        else:
            self._doubt_unheard(orders)
        self._pump()

    # What is heard -----------------------------------------------------------------------------------------------

    def on_up(self) -> None:
        """See `LineListener`."""
        self._ping_due_ns = 0
        self._pump_soon()

    def on_down(self, reason: str) -> None:
        """See `LineListener`."""
        now_ns = self.clock.monotonic_ns
        self.resolution.line_lost()
        self._pings.clear()
        for pending in self.table.open_requests():
            self._no_answer(pending, f"the line ended: {reason}", now_ns)
        self._pump_soon()

    def on_reply(self, ack: Ack) -> None:
        """See `LineListener`."""
        now_ns = self.clock.monotonic_ns
        if ack.method == "pong":
            sent_ns = self._pings.pop(ack.req_id, None) if ack.req_id is not None else None
            if sent_ns is not None and ack.time_in_ns is not None:
                self.exchange_time.note(ack.time_in_ns, sent_ns=sent_ns, recv_ns=now_ns, resolution_ns=STAMP_NS)
                self._learn_time(now_ns)
                self.resolution.pong(ack.time_in_ns)
                self._pump_soon()
            return
        if ack.req_id is None or ack.req_id < REQ_ID_FIRST:
            return
        pending = self.table.pending(ack.req_id)
        self.table.on_reply(ack, now_ns)
        if pending is not None:
            self._doubt_unheard(pending.orders)
        if self.table.unknown or self.table.amending:
            self._pump_soon()

    def _doubt_unheard(self, orders: Sequence[Order]) -> None:
        """Have orders looked up whose answer came behind a gap of the stream: their events may lie in it.

        The snapshot after the gap did not speak of them either, for they were not known to live then. A line that is
        down has its next snapshot yet to come.
        """
        unheard = [
            order for order in orders if order.state is _S.ACKED and not self._line.gapless_since(order.sent_ns)
        ]
        if unheard and self._line.is_up:
            self.resolution.doubt(unheard, self.clock.monotonic_ns)
            self._pump_soon()

    def on_executions(self, rows: Sequence[Execution], *, snapshot: bool) -> None:
        """See `LineListener`."""
        now_ns = self.clock.monotonic_ns
        named: set[str] = set()
        for row in rows:
            order = self.table.on_execution(row, now_ns)
            # Fills in a snapshot are the last ones of all orders: they do not say that an order is open.
            if order is not None and not row.recovered and not (snapshot and row.exec_type == "trade"):
                named.add(order.name)
                self.resolution.seen(order.name)
        if rows and not snapshot and self._offset_ns is not None:
            happened_ns = rows[0].timestamp_ns
            if happened_ns is not None and not rows[0].recovered:
                self.resolution.streamed(now_ns + self._offset_ns - happened_ns, now_ns)
        if snapshot:
            self._was_snapshot = True
            self.resolution.listed(now_ns)
            missing = [order for order in self.table.live.values() if order.name not in named]
            self.resolution.doubt(missing, now_ns)
            for order in [order for order in self.table.external.values() if order.name not in named]:
                order.move(_S.CANCELED, "absence", now_ns, "not among the open orders after a gap")
            self._pump_soon()

    def on_status(self, status: SystemStatus) -> None:
        """See `LineListener`."""
        before, self.status = self.status, status
        if before is not None and before.system == "maintenance" and status.system != "maintenance":
            self.resolution.check(self.table.live.values())
            self._block_until_known("the exchange is back from maintenance; open orders are being looked up")
        if self.switch.state is not SwitchState.OFF and _announces_halt(status):
            self.on_event("maintenance is near: the dead man's switch is disarmed, for it would fire afterwards")
            self._task(self._set_switch(0))
        self._pump_soon()

    def on_rate_limit(self, points_max: int) -> None:
        """See `LineListener`."""
        self.table.budget.set_points_max(points_max)

    def _no_answer(self, pending: Pending, why: str, now_ns: int) -> None:
        self.table.expire(pending, now_ns)
        if pending.method == "amend_order" and pending.amending is pending.orders[0].amending:
            self.table.lose_amend(pending.orders[0], why, now_ns)
        elif pending.method in ("add_order", "edit_order", "batch_add"):
            for order in pending.orders:
                if order.state is _S.SENT:
                    self.table.lose(order, why, now_ns)

    # What is due -------------------------------------------------------------------------------------------------

    def _plan(self, due_ns: int) -> None:
        """See to it that `_pump` runs then."""
        if self._is_closed or (self._timer is not None and self._timer_ns <= due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due_ns
        wait_s = max(0, due_ns - self.clock.monotonic_ns) / SECOND_NS
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _pump_soon(self) -> None:
        """Pump in the loop's next turn: what is heard comes from within the decoder, where nothing is to be written."""
        if not self._is_pump_due:
            self._is_pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        """Do all that is due, and come back when more is."""
        self._is_pump_due = False
        if self._is_closed or self._ready is None:
            return
        now_ns = self.clock.monotonic_ns
        self._learn_time(now_ns)
        while self._answers_due and self._answers_due[0][0] <= now_ns:
            _, req_id = heapq.heappop(self._answers_due)
            pending = self.table.pending(req_id)
            if pending is not None and not pending.answers:
                self._no_answer(pending, f"no answer within {self.settings.answer_s:g} s", now_ns)
        due = self.resolution.poll(now_ns)
        if due.ping or (self._line.is_up and now_ns >= self._ping_due_ns):
            self._ping()
        if self._rest is not None:
            self._rest.reserve(self.resolution.proofs())
        if due.sweep is not None:
            self._begin_sweep(due.sweep, now_ns)
        self._keep_journal(now_ns)
        self._keep_switch(now_ns)
        self._settle_ready()
        times = [due.next_ns, self._journal.due_ns, self.switch.due_ns()]
        times.append(self._answers_due[0][0] if self._answers_due else None)
        times.append(self._ping_due_ns if self._line.is_up else None)
        self._plan(min(each for each in [*times, now_ns + 60 * SECOND_NS] if each is not None))

    def _ping(self) -> None:
        """Ask for the exchange's time; the answer also proves what the stream has told by then."""
        now_ns = self.clock.monotonic_ns
        if not self._line.is_up:
            return
        req_id = self._next_req_id()
        self._ping_due_ns = now_ns + PING_AGAIN_NS  # soon, but not at once: a line may be up and take nothing
        if self._line.send(b'{"method":"ping","req_id":%d}' % req_id) == "written":
            self._ping_due_ns = now_ns + round(PING_S * SECOND_NS)
            self._pings[req_id] = now_ns
            while len(self._pings) > 16:
                del self._pings[next(iter(self._pings))]

    def _begin_sweep(self, sweep: Sweep, now_ns: int) -> None:
        if self._rest is None:
            self.resolution.failed(now_ns)
            return
        self._task(self._sweep(self._rest, sweep, now_ns))

    async def _sweep(self, rest: RestPort, sweep: Sweep, began_ns: int) -> None:
        is_urgent.set(True)
        try:
            found = await carry_out(rest, sweep)
        except KrakenFastError as error:
            _log.warning("looking up orders failed, and proves nothing: %s", error)
            self.resolution.failed(self.clock.monotonic_ns)
        else:
            self.resolution.swept(
                sweep,
                found.orders,
                began_ns,
                self.clock.monotonic_ns,
                amends=found.amends,
                closed_pages=found.closed_pages,
            )
        self._pump()

    def _keep_journal(self, now_ns: int) -> None:
        due_ns = self._journal.due_ns
        try:
            if due_ns is not None and due_ns <= now_ns:
                self._journal.flush()
            if self._journal.wants_compaction:
                self._journal.compact(self.table.open_records())
        except KrakenFastError as error:
            _log.error("%s", error)
            self.on_event(str(error))

    def _settle_ready(self) -> None:
        if not self._blocked or self._ready is None:
            return
        is_known = self.resolution.is_idle and self.exchange_time.is_known and self._was_snapshot
        if is_known:
            self._blocked = ""
            if not self._ready.done():
                self._ready.set_result(None)

    def _block_until_known(self, why: str) -> None:
        self._blocked = why

    # The dead man's switch ---------------------------------------------------------------------------------------

    def _keep_switch(self, now_ns: int) -> None:
        switch, was = self.switch, self.switch.state
        if switch.is_due(now_ns):
            switch.sent(now_ns)
            self._task(self._renew_switch())
        if switch.state is SwitchState.LAPSED and was is not SwitchState.LAPSED:
            self.on_event("the dead man's switch lapsed: orders may have been cancelled; arm it again yourself")
        if switch.wants_warning(now_ns):
            self.on_event("the dead man's switch could not be renewed for long")

    async def _renew_switch(self) -> None:
        sent_ns = self.clock.monotonic_ns
        try:
            await self._set_switch(self.switch.timeout_s)
        except KrakenFastError as error:
            _log.warning("the dead man's switch was not renewed: %s", error)
        else:
            self.switch.renewed(sent_ns, self.clock.monotonic_ns)
        self._pump()

    async def _set_switch(self, timeout_s: int) -> Any:
        """Set the switch by the line, else by REST: setting it twice is setting it once."""
        result = await self._ask("cancel_all_orders_after", b'{"timeout":%d}' % timeout_s)
        if result is None:
            result = await self._ask_rest("CancelAllOrdersAfter", {"timeout": timeout_s})
        if timeout_s == 0:
            self.switch.disarm()
        return result

    # Requests that may be repeated -------------------------------------------------------------------------------

    async def _ask(self, method: str, params: bytes, *, expected: int = 1) -> list[Ack] | None:
        """Send a request that may be repeated, and gather its answers; None if not all came in time."""
        answers: list[Ack] = []
        whole = asyncio.get_running_loop().create_future()

        def take(ack: Ack) -> None:
            answers.append(ack)
            if len(answers) == expected and not whole.done():
                whole.set_result(None)

        pending = Pending(method, self.clock.monotonic_ns, expected=expected, then=take)
        outcome, _ = self._send(method, params, pending)
        if outcome == "never_left":
            return None
        try:
            async with asyncio.timeout(self.settings.cancel_s):
                await whole
        except TimeoutError:
            return None
        return answers

    async def _ask_rest(self, endpoint: str, fields: dict[str, Any]) -> Any:
        if self._rest is None:
            raise OutcomeUnknownError(endpoint, "no answer, and no REST to repeat it by", retryable=True)
        return await self._rest.call(endpoint, fields)

    def _quote_price(self, params: dict[str, Any], symbol: str) -> Decimal | None:
        quote = None if self._quotes is None else self._quotes(symbol)
        return None if quote is None else quote.opposite(params["side"])


def _announces_halt(status: SystemStatus) -> bool:
    return any(
        isinstance(event, dict)
        and event.get("phase") in DISARM_PHASES
        and {"spot_trading", "all"} & set(event.get("affected_services", ()))
        for event in status.upcoming_maintenance
    )



