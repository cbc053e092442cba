"""One order as it lives: what is known of it, why, its fills, and who waits for it.

An `Order` is made by order entry and changed by what the exchange says; users read it and wait on it. It never touches
a wire, and a caller who stops waiting changes nothing about it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..core.execution import Execution
from ..errors import (
    ClosedError,
    ExchangeError,
    KrakenFastError,
    OrderEndedError,
    OrderRejectedError,
    OutcomeUnknownError,
)
from .records import FOLLOWS, Evidence, Fill, OrderState

_log = logging.getLogger("kraken_fast.orders")

ZERO = Decimal(0)

EVIDENCE_MAX = 64
"""The first half of an order's evidence is kept, and the latest half."""

_S = OrderState
_ENDS_HERE = frozenset({_S.NOT_SENT, _S.NOT_PLACED, _S.REJECTED})
"""Ends that say that the exchange never had the order."""

_NO_FEES: dict[str, Decimal] = {}
"""Never written to: an order gets its own with its first fill."""

_ENDINGS = ("filled", "canceled", "expired")
_BY_EVENT = {
    "pending_new": _S.ACKED,
    "new": _S.OPEN,
    "trade": _S.PARTIAL,
    "filled": _S.FILLED,
    "canceled": _S.CANCELED,
    "expired": _S.EXPIRED,
}
_BY_STATUS = {
    "pending_new": _S.ACKED,
    "new": _S.OPEN,
    "partially_filled": _S.PARTIAL,
    "triggered": _S.OPEN,
    "canceled": _S.CANCELED,
    "expired": _S.EXPIRED,
}
"""`filled` is left out: rows of trades say it of the trade, in snapshots."""


@dataclass(slots=True)
class Amending:
    """A change of terms that is under way: until evidence comes the order may have the old terms or the new.

    Attributes:
        old, new: the terms that differ, by their names.
        state: sent, unknown, acknowledged, applied, rejected, not applied, or moot: nothing tells, for the order ended
            without showing it, or these terms are shown nowhere.
        sent_ns, deadline_ns: monotonic times; 0 of an earlier run's, whose deadline is not placed yet.
    """

    old: dict[str, Any]
    new: dict[str, Any]
    sent_ns: int
    deadline_ns: int
    deadline_epoch_ns: int
    state: str = "sent"
    amend_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the order may have the old terms or the new."""
        return self.state in ("sent", "unknown")

    @property
    def visible(self) -> dict[str, Decimal]:
        """The new terms that a row of `executions` or a query shows as they were asked for."""
        return {
            name: self.new[name]
            for name in ("order_qty", "limit_price")
            if name in self.new and self.new.get(f"{name}_type", "static") == "static"
        }

    def is_shown(self, order_qty: Decimal | None, limit_price: Decimal | None) -> bool | None:
        """Whether an order of these terms has the new ones; None if they do not tell."""
        now = {"order_qty": order_qty, "limit_price": limit_price}
        told = {name: value for name, value in self.visible.items() if now[name] is not None}
        if any(now[name] != value for name, value in told.items()):
            return False
        return None if all(self.old.get(name) == value for name, value in told.items()) else True


class Order:
    """An order of ours, or another's on the same account (`is_external`). Read it; order entry changes it.

    Attributes:
        name: how it is found: `cl_ord_id`, else `#` and `order_userref`, else the exchange's id.
        params: as sent, numbers as Decimal; the terms now are `order_qty` and `limit_price`.
        state: what is known of it; `status` is the same in words.
        cost: quote units of all fills. fees: amount by asset. fee_usd_equiv: as the exchange sums it up.
        reason: the exchange's, for its end.
        error: why it was rejected or not sent.
        evidence: why what is known is known, oldest first.
        is_nameless: given to REST's EditOrder, which keeps no name of ours: it is found as its predecessor's successor.
        is_cancelling: a cancel was sent and its event has not come.
        amending: a change of terms under way, or the last one.
        corrections: how often the exchange contradicted an end that seemed certain.
        sent_ns, acked_ns: monotonic times; 0 for not yet.
        deadline_epoch_ns: the engine matches it no later, in the exchange's time; 0 for none.
    """

    __slots__ = (
        "__weakref__", "_cum_qty", "_exec_ids", "_fill_cost", "_fill_qty", "_fills", "_is_abandoned", "_on_move",
        "_waiters", "acked_ns", "amending", "changed_ns",
        "cl_ord_id", "corrections", "cost", "deadline_epoch_ns", "deadline_ns", "error", "evidence", "fee_usd_equiv",
        "fees", "is_cancelling", "is_external", "is_nameless", "limit_price", "name", "order_id", "order_qty",
        "order_type", "order_userref", "params", "reason", "replaces", "sent_epoch_ns", "sent_ns", "side", "state",
        "symbol",
    )  # fmt: skip

    def __init__(self, name: str, symbol: str, params: dict[str, Any], *, is_external: bool = False) -> None:
        self.name = name
        self.symbol = symbol
        self.params = params
        self.side: str = params.get("side", "")
        self.order_type: str = params.get("order_type", "")
        self.order_qty: Decimal | None = params.get("order_qty")
        self.limit_price: Decimal | None = params.get("limit_price")
        self.cl_ord_id: str | None = params.get("cl_ord_id")
        self.order_userref: int | None = params.get("order_userref")
        self.order_id: str | None = None
        self.replaces: str | None = None
        self.is_external = is_external
        self.is_nameless = False
        self.state = _S.DRAFT
        self.cost = ZERO
        self.fees: dict[str, Decimal] = _NO_FEES
        self.fee_usd_equiv: Decimal | None = None
        self.reason = ""
        self.error: KrakenFastError | None = None
        self.evidence: list[Evidence] = []
        self.is_cancelling = False
        self.amending: Amending | None = None
        self.corrections = 0
        self.sent_ns = self.sent_epoch_ns = self.acked_ns = self.changed_ns = 0
        self.deadline_ns = self.deadline_epoch_ns = 0
        self._cum_qty = self._fill_qty = self._fill_cost = ZERO
        self._fills: list[Fill] | None = None  # most orders have none while they are sent
        self._exec_ids: set[str] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._is_abandoned = False
        self._on_move: Callable[[Order, OrderState], None] | None = None

    def __repr__(self) -> str:
        terms = f"{self.side} {self.order_qty} {self.symbol} {self.order_type} {self.limit_price or ''}".rstrip()
        return f"<Order {self.name} {terms}: {self.status}, {self.filled_qty} filled>"

    # Reading -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """What is known of it, in words."""
        return self.state.text

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Its executions, each once, in the order in which they were told."""
        return tuple(self._fills or ())

    @property
    def filled_qty(self) -> Decimal:
        """What was filled, by its fills or by the exchange's sum, whichever is more: it never falls."""
        return self._cum_qty

    @property
    def remaining_qty(self) -> Decimal | None:
        """What may still be filled; None of an order sized in quote units."""
        return None if self.order_qty is None else max(ZERO, self.order_qty - self._cum_qty)

    @property
    def avg_price(self) -> Decimal | None:
        """Average price of what was filled, None while nothing was. Exact but for the last digit of 28."""
        return self.cost / self._cum_qty if self._cum_qty and self.cost else None

    @property
    def possible_terms(self) -> tuple[dict[str, Any], ...]:
        """The terms that the order may have now: one set, or two while a change is under way."""
        amending = self.amending
        if amending is not None and amending.is_open:
            return (amending.old, amending.new)
        return ({"order_qty": self.order_qty, "limit_price": self.limit_price},)

    # Waiting -----------------------------------------------------------------------------------------------------

    async def acknowledged(self) -> Order:
        """Wait until the exchange has taken it, by its answer or by an event.

        Raises:
            OrderRejectedError, KrakenFastError: it has not, for certain; why.
            OutcomeUnknownError: it is not known; `resolved` waits for that.
        """
        while self.state in (_S.DRAFT, _S.JOURNALLED, _S.SENT):
            await self._change()
        if self.state is _S.UNKNOWN:
            raise self._unknown_error()
        self._raise_if_never()
        return self

    async def resolved(self) -> Order:
        """Wait until it is known whether the exchange has it; see its `state` then. Never raises for the outcome."""
        while self.state in (_S.DRAFT, _S.JOURNALLED, _S.SENT, _S.UNKNOWN):
            await self._change()
        return self

    async def done(self) -> Order:
        """Wait until nothing more is expected of it; see its `state` then."""
        while not self.state.is_final:
            await self._change()
        return self

    async def filled(self) -> Order:
        """Wait until it is filled completely.

        Raises:
            OrderEndedError: it ended otherwise; a part may be filled.
            OrderRejectedError: it was never taken.
        """
        await self.done()
        self._raise_if_never()
        if self.state is not _S.FILLED:
            raise OrderEndedError(self.name, self.status, format(self.filled_qty, "f"), self.reason)
        return self

    def _raise_if_never(self) -> None:
        if self.state in _ENDS_HERE:
            raise self.error or OrderEndedError(self.name, self.status, "0")

    def _unknown_error(self) -> OutcomeUnknownError:
        last = self.evidence[-1].detail if self.evidence else ""
        error = OutcomeUnknownError("add_order", last, cl_ord_id=self.cl_ord_id)
        error.order = self
        return error

    async def settled(self) -> None:
        """Wait for the next change of anything that is known of it."""
        await self._change()

    async def _change(self) -> None:
        if self._is_abandoned:
            raise self._abandoned_error()
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                self._waiters = [each for each in self._waiters or [] if each is not waiter]

    def wake(self) -> None:
        """Let those who wait look again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def abandon(self) -> None:
        """Order entry was closed: those who wait are told, now or when they come."""
        self._is_abandoned = True
        if self._waiters:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(self._abandoned_error())

    def _abandoned_error(self) -> ClosedError:
        return ClosedError(f"order entry was closed; order {self.name} is {self.status}")

    # Changing: for order entry -----------------------------------------------------------------------------------

    def watch(self, on_move: Callable[[Order, OrderState], None]) -> None:
        """Have every change of state told, with the state before."""
        self._on_move = on_move

    def add_evidence(self, kind: str, at_ns: int, detail: str) -> None:
        """Keep why something is known."""
        self.evidence.append(Evidence(kind, at_ns, detail))
        if len(self.evidence) > EVIDENCE_MAX:
            del self.evidence[EVIDENCE_MAX // 2]

    def move(self, state: OrderState, kind: str, at_ns: int, detail: str) -> bool:
        """Go to a state if that is news; what is older than what is known changes nothing.

        Returns:
            Whether the state changed.
        """
        before = self.state
        if state is before:
            return False
        if state not in FOLLOWS[before]:
            if before not in _ENDS_HERE or state in _ENDS_HERE or state is _S.UNKNOWN:
                return False  # older news: an acceptance after its fill, a second end
            self.corrections += 1
            kind = "correction"
            _log.error("order %s was taken to be %s, and the exchange says %s", self.name, before.value, detail)
            self.error = None
        self.state = state
        self.changed_ns = at_ns
        self.add_evidence(kind, at_ns, f"{state.text}: {detail}")
        if state.is_final:
            self.is_cancelling = False
        if self._on_move is not None:
            self._on_move(self, before)
        self.wake()
        return True

    def reject(self, error: KrakenFastError, at_ns: int, state: OrderState = _S.REJECTED, kind: str = "reply") -> bool:
        """End it as never taken."""
        if isinstance(error, OrderRejectedError):
            error.cl_ord_id = self.cl_ord_id
        if self.state not in FOLLOWS or state not in FOLLOWS[self.state]:
            return False
        self.error = error
        detail = error.code if isinstance(error, ExchangeError) else str(error)
        return self.move(state, kind, at_ns, detail)

    def absorb(self, other: Order, at_ns: int) -> None:
        """Take over what came of it before it was known to be ours."""
        self._fills, self._exec_ids, self.fees = other._fills, other._exec_ids, other.fees
        self._fill_qty, self._fill_cost, self._cum_qty = other._fill_qty, other._fill_cost, other._cum_qty
        self.order_qty, self.limit_price = other.order_qty or self.order_qty, other.limit_price or self.limit_price
        self.cost, self.fee_usd_equiv, self.reason = other.cost, other.fee_usd_equiv, other.reason
        self.move(other.state, "event", at_ns, f"what came of {other.order_id} before it was known to be this one")

    def take(self, row: Execution, at_ns: int) -> bool:
        """Apply a row of `executions`, or one that recovery made. Returns whether it said anything new."""
        if self.order_id is None and row.order_id:
            self.order_id = row.order_id
        is_news = row.exec_type == "trade" and self._take_fill(row)
        # A query may be a minute behind: what it says of terms counts only where nothing better is known, or when the
        # order has ended, for then they change no more.
        is_doubted = self.amending is not None and self.amending.state == "unknown"
        is_told = row.exec_type != "trade" and (not row.recovered or is_doubted or row.exec_type in _ENDINGS)
        if row.order_qty is not None and (is_told or self.order_qty is None):
            self.order_qty = row.order_qty
        if row.limit_price is not None and (is_told or self.limit_price is None):
            self.limit_price = row.limit_price
        if not self.side or not self.order_type:  # another's, or the successor that an edit made
            self.symbol = self.symbol or row.symbol or ""
            self.side = self.side or row.side or ""
            self.order_type = self.order_type or row.order_type or ""
        self._take_sums(row)
        if row.exec_type in ("amended", "restated"):
            self.add_evidence("event", at_ns, f"{row.exec_type}: qty {self.order_qty}, limit {self.limit_price}")
        if self.amending is not None and is_told:
            self._take_terms(row, self.amending, at_ns)
        state = self._state_told(row)
        if state is not None and state.is_final and row.reason:
            self.reason = row.reason
        if state is not None:
            is_news = self.move(state, "query" if row.recovered else "event", at_ns, _said(row)) or is_news
        if is_news and self.changed_ns != at_ns:
            self.changed_ns = at_ns
            self.wake()
        return is_news

    def _take_fill(self, row: Execution) -> bool:
        if row.exec_id is None or row.last_qty is None or row.last_price is None:
            return False
        if self._exec_ids is None or self._fills is None:
            self._exec_ids, self._fills, self.fees = set(), [], {}
        if row.exec_id in self._exec_ids:
            return False
        self._exec_ids.add(row.exec_id)
        cost = row.cost if row.cost is not None else row.last_qty * row.last_price
        fees = tuple((fee.asset, fee.qty) for fee in row.fees)
        self._fills.append(
            Fill(
                row.exec_id, row.last_qty, row.last_price, cost, fees, row.liquidity_ind or "", row.trade_id,
                row.timestamp_ns, row.recovered,
            )
        )  # fmt: skip
        for asset, amount in fees:
            self.fees[asset] = self.fees.get(asset, ZERO) + amount
        self._fill_qty += row.last_qty
        self._fill_cost += cost
        self._cum_qty = max(self._cum_qty, self._fill_qty)
        self.cost = max(self.cost, self._fill_cost)
        return True

    def _take_sums(self, row: Execution) -> None:
        if row.cum_qty is not None and row.cum_qty > self._cum_qty:
            self._cum_qty = row.cum_qty
        if row.cum_cost is not None and row.cum_cost > self.cost:
            self.cost = row.cum_cost
        if row.fee_usd_equiv is not None and row.cum_qty is not None:
            self.fee_usd_equiv = row.fee_usd_equiv

    def _take_terms(self, row: Execution, amending: Amending, at_ns: int) -> None:
        """See whether a row shows the new terms: that it is of an amend does not say that it is of this one."""
        if row.recovered or not (amending.is_open or amending.state == "acknowledged"):
            return
        is_shown = amending.is_shown(row.order_qty, row.limit_price)
        if is_shown or (is_shown is None and row.exec_type == "amended"):
            amending.state = "applied"
            self.add_evidence("event", at_ns, f"amend applied: {row.exec_type} shows the new terms")
            self.wake()

    def _state_told(self, row: Execution) -> OrderState | None:
        # More than is asked for: it was amended to less than was filled by then, which cancels the rest.
        is_whole = self._cum_qty > 0 and self.order_qty == self._cum_qty
        if is_whole and not (self.amending is not None and self.amending.is_open):  # it may be for more by now
            if row.exec_type not in ("canceled", "expired"):
                return _S.FILLED
        elif row.exec_type == "filled" or (row.exec_type != "trade" and row.order_status == "filled"):
            return _S.FILLED
        state = _BY_EVENT.get(row.exec_type)
        if state is None or state is _S.OPEN:
            state = _BY_STATUS.get(row.order_status or "", state)
        if state is _S.OPEN and self._cum_qty > 0:
            return _S.PARTIAL
        return state


def _said(row: Execution) -> str:
    what = f"{row.exec_type} {row.exec_id or ''}".rstrip()
    return f"{'recovered ' if row.recovered else ''}{what} of {row.order_id}"
