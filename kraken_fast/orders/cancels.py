"""Cancels: they may be repeated, are never held back, and prove nothing by themselves; the event does.

A cancel without an answer is repeated once by REST. One that is answered "unknown order" says only that the order is
not open now: an order of ours is then looked up, for it may have been filled.

Source: websocket-v2.md section 15; rest.md section 9; faults.md O14 to O16.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExchangeError, InvalidOrderError, KrakenFastError, OutcomeUnknownError
from ..types import Ack
from .engine import OrderCore
from .live_order import Order
from .rate import cost_of
from .records import OrderState
from .request import encode_params
from .rules import BATCH_CANCEL_MAX, BATCH_CANCEL_MIN, check_cancels, check_count, check_timeout
from .sweep import GONE
from .table import classify

Names = str | Sequence[str]


@dataclass(slots=True)
class Cancelled:
    """What the exchange answered to a cancel. That an order is gone its own state tells, when the event has come.

    Attributes:
        taken: names of the orders whose cancel was taken.
        gone: names of those that it says are not open.
    """

    taken: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class CancelCalls(OrderCore):
    """The cancelling part of order entry."""

    async def cancel_order(
        self,
        *,
        order: Order | Sequence[Order] | None = None,
        order_id: Names | None = None,
        cl_ord_id: Names | None = None,
        order_userref: int | Sequence[int] | None = None,
    ) -> Cancelled:
        """Cancel orders, each by one of its names. One that was sent and has no answer yet is waited for first.

        Raises:
            InvalidOrderError: none was named, or one twice.
            OrderBlockedError: the exchange is in maintenance.
            ExchangeError: refused for another reason than that it is not open.
            OutcomeUnknownError: neither line nor REST answered; it may be repeated.

        Source: websocket-v2.md section 15, cancel_order.
        """
        check_cancels(None if self.status is None else self.status.system)
        names: dict[str, list[Any]] = {
            "order_id": _listed(order_id),
            "cl_ord_id": _listed(cl_ord_id),
            "order_userref": [order_userref] if isinstance(order_userref, int) else list(order_userref or ()),
        }
        for each in [order] if isinstance(order, Order) else list(order or ()):
            while each.state in (OrderState.JOURNALLED, OrderState.SENT):
                await each.settled()
            _name(each, names)
        count = sum(map(len, names.values()))
        if not 1 <= count == len({(kind, one) for kind, some in names.items() for one in some}):
            raise InvalidOrderError("order", count, "one order or more, each once")
        return await self._cancel(names, count)

    async def _cancel(self, names: dict[str, list[Any]], count: int) -> Cancelled:
        """Send one request for each order: a refusal does not say which order it is about."""
        every = [(kind, one) for kind, some in names.items() for one in some]
        done = Cancelled()
        if count == 1:
            await self._cancel_one(*every[0], done)
            return done
        work = [self._task(self._cancel_one(kind, one, done)) for kind, one in every]
        failures = []
        for each in work:
            try:
                await each
            except KrakenFastError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return done

    async def _cancel_one(self, kind: str, name: Any, done: Cancelled) -> None:
        live = self.table.find(f"#{name}" if kind == "order_userref" else str(name))
        if live is not None and not live.state.is_final:
            live.is_cancelling = True
        end_cost = self._charge_cancel(live)
        try:
            answers = await self._ask("cancel_order", encode_params({kind: [name]}))
        finally:
            end_cost()
        if answers is None:
            await self._cancel_by_rest(kind, name, live, done)
        elif answers[0].success:
            done.taken.append(str(name))
        else:
            self._refused(answers[0], live, str(name), done)

    def _refused(self, ack: Ack, live: Order | None, name: str, done: Cancelled) -> None:
        error = classify(ack.error or "", "cancel_order", None if live is None else live.cl_ord_id)
        self._cancel_failed(error, live, name, done)

    def _cancel_failed(self, error: KrakenFastError, live: Order | None, name: str, done: Cancelled) -> None:
        if isinstance(error, ExchangeError) and error.code in GONE:
            done.gone.append(name)
            if live is not None and live.state.is_live:
                self.resolution.doubt([live], self.clock.monotonic_ns)
                self._pump()
            return
        if isinstance(error, ExchangeError):
            if live is not None:
                live.is_cancelling = False
            raise error
        raise OutcomeUnknownError(
            "cancel_order", str(error), cl_ord_id=None if live is None else live.cl_ord_id, retryable=True
        ) from error

    async def _cancel_by_rest(self, kind: str, name: Any, live: Order | None, done: Cancelled) -> None:
        fields = {"cl_ord_id": name} if kind == "cl_ord_id" else {"txid": name}
        try:
            result = await self._ask_rest("CancelOrder", fields)
        except KrakenFastError as error:
            self._cancel_failed(error, live, str(name), done)
            return
        if isinstance(result, dict) and (result.get("count") or result.get("pending")):
            done.taken.append(str(name))
        else:
            done.gone.append(str(name))

    def _charge_cancel(self, live: Order | None) -> Any:
        """Note the points of a cancel, from now until the answer; it is never held back."""
        if live is None or not live.symbol:
            return lambda: None
        counter = self.table.budget.pair(live.symbol)
        age_ns = self.clock.monotonic_ns - (live.acked_ns or live.changed_ns)
        cost = cost_of("cancel", age_ns)
        counter.begin(cost)
        return lambda: counter.end(cost, self.clock.monotonic_ns)

    def cancel_cost(self, order: Order) -> int:
        """Give the points that cancelling an order would add now to its pair's trading counter."""
        return cost_of("cancel", self.clock.monotonic_ns - (order.acked_ns or order.changed_ns))

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account, others' too. Returns how many the exchange says it cancels.

        Raises: as `cancel_order`.
        """
        check_cancels(None if self.status is None else self.status.system)
        answers = await self._ask("cancel_all", b"{}")
        if answers is None:
            result = await self._ask_rest("CancelAll", {})
            return int(result["count"])
        return int(_result(answers[0], "cancel_all").get("count", 0))

    async def cancel_mine(self) -> Cancelled:
        """Cancel the open orders of this order entry, and those whose outcome is not known; never another's."""
        mine = [order for order in self.table.orders() if order.state.may_be_live]
        return await self.cancel_order(order=mine) if mine else Cancelled()

    async def cancel_all_orders_after(self, *, timeout: int) -> dict[str, Any]:  # noqa: ASYNC109 - Kraken's name
        """Have all orders of the account cancelled unless this is called again within `timeout` seconds; 0 disarms.

        `arm_switch` does this and renews it by itself.

        Returns:
            `currentTime` and `triggerTime` as sent.

        Raises: as `cancel_order`.
        """
        result = await self._set_switch(check_timeout(timeout))
        if isinstance(result, list):
            return _result(result[0], "cancel_all_orders_after")
        return dict(result)

    def arm_switch(self) -> None:
        """Arm the dead man's switch, or arm it again after it lapsed; it is renewed as long as the loop answers."""
        self.switch.arm(self.clock.monotonic_ns)
        self._pump()

    async def disarm_switch(self) -> None:
        """Disarm the dead man's switch. Raises as `cancel_order`."""
        await self.cancel_all_orders_after(timeout=0)

    async def batch_cancel(
        self, *, orders: Iterable[Order | str | int] = (), cl_ord_id: Iterable[str] = ()
    ) -> int:
        """Cancel 2 to 50 orders by one request, which the exchange takes even above the rate threshold.

        Args:
            orders: live orders, ids of the exchange, or user references.
            cl_ord_id: names of ours.

        Returns:
            How many the exchange says it cancels.

        Raises: as `cancel_order`.
        """
        check_cancels(None if self.status is None else self.status.system)
        ids: list[str] = []
        names = list(cl_ord_id)
        for each in orders:
            if isinstance(each, Order):
                (ids if each.order_id or not each.cl_ord_id else names).append(
                    each.order_id or each.cl_ord_id or str(each.order_userref)
                )
            else:
                ids.append(str(each))
        check_count("orders", len(ids) + len(names), BATCH_CANCEL_MIN, BATCH_CANCEL_MAX)
        lives = [live for name in (*ids, *names) if (live := self.table.find(name)) is not None]
        ends = [self._charge_cancel(live) for live in lives]
        for live in lives:
            live.is_cancelling = not live.state.is_final
        params: dict[str, Any] = {"orders": ids}
        if names:
            params["cl_ord_id"] = names
        try:
            answers = await self._ask("batch_cancel", encode_params(params))
        finally:
            for end in ends:
                end()
        if answers is None:
            fields = {"orders": ids or None, "cl_ord_ids": names or None}
            return int((await self._ask_rest("CancelOrderBatch", fields))["count"])
        if answers[0].success and not isinstance(answers[0].result, dict):
            return len(ids) + len(names)  # the form of 2024 has its count outside of `result`
        return int(_result(answers[0], "batch_cancel").get("count", 0))


def _result(ack: Ack, method: str) -> dict[str, Any]:
    if not ack.success:
        raise classify(ack.error or "", method, None)
    return dict(ack.result) if isinstance(ack.result, dict) else {}


def _listed(names: Names | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _name(order: Order, names: dict[str, list[Any]]) -> None:
    if order.cl_ord_id is not None:
        names["cl_ord_id"].append(order.cl_ord_id)
    elif order.order_id is not None:
        names["order_id"].append(order.order_id)
    else:
        names["order_userref"].append(order.order_userref)
