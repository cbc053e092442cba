"""What became of orders that were open before a gap and are not in the snapshot after it: REST knows, sooner or later.

Theory of operation. `OrderLookup` asks by id until REST tells an end, for an order that we know lived must have one.
REST was seen up to a minute behind: what it calls open within that time may have ended; what it calls open afterwards
is, and the snapshot was wrong. A question that fails says nothing about any order, and is asked again; one that fails
because REST does not know one of its orders yet, with half as many: each costs 4 points, so there is one at a time.

Source: rest.md section 12; faults.md O21, O22.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..core.clock import Clock
from ..core.execution import Execution
from ..errors import ExchangeError, KrakenFastError
from ..policy import SECOND_NS
from ..rest.answers import OrderInfo

_log = logging.getLogger("kraken_fast.account")

IDS_MAX = 50
"""Orders of one question. Source: rest.md section 10."""

LAG_NS = 62 * SECOND_NS

PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Between questions; the last one repeats."""

ENDS = {"closed": "filled", "canceled": "canceled", "expired": "expired"}
"""REST's word for how an order ended, and the stream's."""

TRIGGERED = ("stop-loss", "take-profit", "trailing-stop")


def report_of(order: OrderInfo) -> Execution:
    """Make a report of what REST tells of an order.

    What is open is told as `status`: REST says what it is, not what happened. It is not marked as recovered, for by
    then it is no older than the stream.
    """
    end = ENDS.get(order.status)
    live = "pending_new" if order.status == "pending" else "partially_filled" if order.filled_qty else "new"
    limit = order.terms.price2 if order.terms.ord_type.startswith(TRIGGERED) else order.terms.price
    return Execution(
        order_id=order.order_id,
        exec_type=end or "status",
        order_status=end or live,
        timestamp_ns=order.closed_ns if end else None,
        cl_ord_id=order.cl_ord_id,
        order_userref=order.userref,
        symbol=order.terms.symbol,
        side=order.terms.side,
        order_type=order.terms.ord_type,
        order_qty=order.qty,
        limit_price=limit or None,
        cum_qty=order.filled_qty,
        cum_cost=order.cost,
        avg_price=order.avg_price,
        reason=order.reason,
        recovered=end is not None,
    )


class OrderLookup:
    """See the module's text.

    Args:
        query: `RestClient.query_orders`.
        clock: monotonic time.
        on_found: takes a report of each order whose state is certain.
    """

    def __init__(
        self,
        query: Callable[..., Coroutine[Any, Any, tuple[OrderInfo, ...]]],
        clock: Clock,
        on_found: Callable[[Execution], None],
    ) -> None:
        self._query = query
        self._clock = clock
        self._on_found = on_found
        self._wanted: dict[str, int] = {}  # order id -> since when, monotonic
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def wanted(self) -> tuple[str, ...]:
        """Orders that are being looked up."""
        return tuple(self._wanted)

    def look_up(self, order_ids: Iterable[str]) -> None:
        """Find out what became of these."""
        now_ns = self._clock.monotonic_ns
        for order_id in order_ids:
            self._wanted.setdefault(order_id, now_ns)
        if self._wanted and self._task is None and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="kraken_fast lookup")
            self._task.add_done_callback(self._ended)

    def forget(self, order_id: str) -> None:
        """The stream told what became of it."""
        self._wanted.pop(order_id, None)

    async def close(self) -> None:
        """Stop."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("looking up orders failed", exc_info=error)

    async def _run(self) -> None:
        attempt = 0
        most = IDS_MAX
        while self._wanted:
            asked = list(self._wanted)[:most]
            before = len(self._wanted)
            try:
                for order in await self._query(order_ids=asked):
                    self._take(order)
                most = min(2 * most, IDS_MAX)
            except KrakenFastError as error:
                _log.warning("orders could not be looked up: %s", error)
                if isinstance(error, ExchangeError) and error.code.startswith(("EOrder:", "EQuery:")):
                    most = max(1, len(asked) // 2)  # one of them is not known there yet: it must not hide the others
            if len(self._wanted) == before:
                await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
                attempt += 1
                # Whoever stands first must not keep the others from being asked for.
                for order_id in asked:
                    if order_id in self._wanted:
                        self._wanted[order_id] = self._wanted.pop(order_id)
            else:
                attempt = 0

    def _take(self, order: OrderInfo) -> None:
        since_ns = self._wanted.get(order.order_id)
        if since_ns is None:
            return
        if order.status in ENDS or self._clock.monotonic_ns - since_ns >= LAG_NS:
            del self._wanted[order.order_id]
            self._on_found(report_of(order))
