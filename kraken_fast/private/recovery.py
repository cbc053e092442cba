"""Asks REST for what `FillKeeper` misses, and later whether it missed anything.

Theory of operation. One task recovers: while the keeper wants REST it crawls the trades history from the newest known
fill on, gives what came, and waits a little longer each time that REST lags behind; after `GIVE_UP_NS` the gap is
declared. A crawl that fails in the middle goes on where it stopped. Another task audits every closed gap when REST's
lag is over. Neither depends on the line: it may go and come meanwhile.

Source: rest.md section 12; faults.md O09, O10, O22.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from ..core.clock import Clock
from ..core.execution import Execution
from ..core.order_store import AccountOrder
from ..errors import KrakenFastError
from ..policy import SECOND_NS
from ..rest.answers import TradeInfo
from .reconcile import FillKeeper

_log = logging.getLogger("kraken_fast.account")

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Between crawls while REST lags or fails; the last one repeats."""

GIVE_UP_NS = 62 * SECOND_NS
"""How long streamed fills are held up for those before them while REST tells nothing new: it was seen 60 s behind."""

AUDIT_AGAIN_S = 30.0
"""After an audit that failed."""


def fill_of(info: TradeInfo, order: AccountOrder | None) -> Execution:
    """Make a report of what REST tells of a fill. In which asset the fee is, only its order says: "" if unknown."""
    base, _, quote = info.symbol.partition("/")
    preference = None if order is None else order.told("fee_ccy_pref")
    asset = {"fcib": base, "fciq": quote}.get(preference or "", "")
    return Execution(
        order_id=info.order_id,
        exec_type="trade",
        timestamp_ns=info.exch_ns,
        cl_ord_id=None if order is None else order.cl_ord_id,
        order_userref=None if order is None else order.order_userref,
        exec_id=info.exec_id,
        trade_id=info.trade_id,
        symbol=info.symbol,
        side=info.side,
        last_qty=info.qty,
        last_price=info.price,
        liquidity_ind=None if info.maker is None else "m" if info.maker else "t",
        cost=info.cost,
        order_type=info.ord_type,
        fee_ccy_pref=preference,
        fees=[(asset, info.fee)],
    )


class Recovery:
    """See the module's text.

    Args:
        keeper: of the fills.
        history: gives our fills after a time and up to another (whole seconds since epoch), newest first; None for no
            bound.
        order_of: gives an order that is known.
        clock: monotonic time.
        deliver: takes what comes out of the keeper, in order.
        gave_up: told when a gap was declared.

    Attributes:
        crawls: begun so far.
    """

    def __init__(
        self,
        keeper: FillKeeper[Execution],
        *,
        history: Callable[[int | None, int | None], AsyncIterator[TradeInfo]],
        order_of: Callable[[str], AccountOrder | None],
        clock: Clock,
        deliver: Callable[[list[Execution]], None],
        gave_up: Callable[[], None],
    ) -> None:
        self.crawls = 0
        self._keeper = keeper
        self._history = history
        self._order_of = order_of
        self._clock = clock
        self._deliver = deliver
        self._gave_up = gave_up
        self._recovering: asyncio.Task[None] | None = None
        self._auditing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._audit_pause_s = 0.0
        self._is_closed = False

    def poke(self) -> None:
        """Something happened to the keeper: do what it wants now."""
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        if self._keeper.wants_rest and self._recovering is None:
            self._recovering = loop.create_task(self._recover(), name="kraken_fast recovery")
            self._recovering.add_done_callback(self._ended)
        due_ns = self._keeper.audit_due_ns
        if due_ns is not None and self._auditing is None and self._keeper.is_live:
            if self._timer is not None:
                self._timer.cancel()
            wait_s = max(0, due_ns - self._clock.monotonic_ns) / SECOND_NS
            self._timer = loop.call_later(max(wait_s, self._audit_pause_s), self._begin_audit)

    def _begin_audit(self) -> None:
        self._timer = None
        if self._keeper.is_live and self._auditing is None:
            self._auditing = asyncio.get_running_loop().create_task(self._audit(), name="kraken_fast audit")
            self._auditing.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for task in (self._recovering, self._auditing) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._recovering:
            self._recovering = None
        if task is self._auditing:
            self._auditing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("recovery failed", exc_info=error)
        self.poke()

    async def _recover(self) -> None:
        since_ns, snapshots, attempt = self._clock.monotonic_ns, self._keeper.snapshots, 0
        while self._keeper.wants_rest:
            rows = await self._crawl(self._keeper.rest_from_ns)
            now_ns, passed = self._clock.monotonic_ns, []
            if rows is not None:
                passed = self._keeper.on_rest(rows, at_ns=now_ns)
                self._deliver(passed)
            if not self._keeper.wants_rest:
                return
            if passed or self._keeper.snapshots != snapshots:
                since_ns, snapshots, attempt = now_ns, self._keeper.snapshots, 0
            left_s = (since_ns + GIVE_UP_NS - now_ns) / SECOND_NS
            if left_s <= 0:
                self._gave_up()
                self._deliver(self._keeper.give_up(at_ns=now_ns))
                return
            await asyncio.sleep(min(PAUSES_S[min(attempt, len(PAUSES_S) - 1)], left_s))
            attempt += 1

    async def _audit(self) -> None:
        window = self._keeper.audit
        until_ns = window.until_ns
        rows = await self._crawl(window.from_ns, until_ns)
        self._audit_pause_s = AUDIT_AGAIN_S if rows is None else 0.0
        if rows is not None and window.until_ns == until_ns:
            self._deliver(self._keeper.on_audit(window, rows))

    async def _crawl(self, from_ns: int, until_ns: int = 0) -> list[Execution] | None:
        """Give all fills from a time on, oldest first; None if REST fails for good or for too long."""
        self.crawls += 1
        rows: list[Execution] = []
        end_s = until_ns // SECOND_NS + 1 if until_ns else None
        crawl = aiter(self._history(from_ns // SECOND_NS or None, end_s))
        failures = 0
        while True:
            try:
                info = await anext(crawl)
            except StopAsyncIteration:
                rows.reverse()
                return rows
            except KrakenFastError as error:
                _log.warning("the trades history could not be read: %s", error)
                if not error.retryable or failures == len(PAUSES_S):
                    return None
                await asyncio.sleep(PAUSES_S[failures])
                failures += 1
                continue
            failures = 0
            rows.append(fill_of(info, self._order_of(info.order_id)))
