"""Orders: every trading method of the protocol, typed. An order is sent once; what became of it is then found out.

    journal = Journal(FileStorage("orders.journal"), clock)
    entry = OrderEntry(line, journal=journal, instruments=feed.instruments.get, rest=rest, rng=SystemRandom())
    await entry.start()                      # takes up what an earlier run left open
    order = await entry.add_order(
        symbol="BTC/USD", side="buy", order_type="limit", order_qty="0.02", limit_price="84190.0"
    )
    await order.filled()
    print(order.avg_price, order.fees, order.evidence)

Prices and quantities are `Decimal`, `str` or `int`; floats are refused. Names are the protocol's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import (
    InvalidOrderError,
    JournalError,
    KrakenFastError,
    OrderBlockedError,
    OrderRejectedError,
    OutcomeUnknownError,
)
from ..policy import SECOND_NS
from ..types import Ack
from .cancels import CancelCalls
from .engine import OrderCore
from .live_order import Amending, Order
from .pretrade import check_limits
from .rate import cost_of
from .records import (
    Amount,
    Conditional,
    FeePreference,
    NewOrder,
    OrderState,
    OrderType,
    PriceType,
    Side,
    StpType,
    TimeInForce,
    Triggers,
)
from .request import USERREF_MAX, add_params, amend_params, edit_params, encode_params
from .rest_form import add_fields, amend_fields, batch_fields, edit_fields
from .rules import BATCH_MAX, BATCH_MIN, check_amend, check_count, check_deadline, check_order
from .table import Pending, classify

_S = OrderState


@dataclass(frozen=True, slots=True)
class Checked:
    """What the exchange says of an order that it was only to check."""

    params: dict[str, Any]
    warnings: tuple[str, ...] = ()


class OrderEntry(CancelCalls, OrderCore):
    """Order entry of one account. See `OrderCore` for its arguments, and `start` and `close` for its life."""

    # Adding ------------------------------------------------------------------------------------------------------

    async def add_order(
        self,
        *,
        symbol: str,
        side: Side,
        order_type: OrderType,
        order_qty: Amount | None = None,
        limit_price: Amount | None = None,
        cash_order_qty: Amount | None = None,
        limit_price_type: PriceType | None = None,
        triggers: Triggers | None = None,
        time_in_force: TimeInForce | None = None,
        expire_time: datetime | None = None,
        effective_time: datetime | None = None,
        deadline_s: float | None = None,
        post_only: bool | None = None,
        reduce_only: bool | None = None,
        margin: bool | None = None,
        display_qty: Amount | None = None,
        fee_preference: FeePreference | None = None,
        stp_type: StpType | None = None,
        cl_ord_id: str | None = None,
        order_userref: int | None = None,
        conditional: Conditional | None = None,
        sender_sub_id: str | None = None,
        no_mpp: bool | None = None,
    ) -> Order:
        """Place one order and wait until the exchange has taken it. To have it checked only: `check_order`.

        Args:
            symbol: such as BTC/USD.
            side: buy or sell.
            order_type: limit, market, iceberg, stop-loss, stop-loss-limit, take-profit, take-profit-limit,
                trailing-stop, trailing-stop-limit or settle-position.
            order_qty: in base units.
            limit_price: of limit, iceberg and *-limit orders.
            cash_order_qty: in quote units, instead of `order_qty`: market buys without margin.
            limit_price_type: static, pct or quote, of trailing-stop-limit orders.
            triggers: of stop-loss, take-profit and trailing orders.
            time_in_force: gtc, gtd (with `expire_time`), ioc, or fok for limit orders.
            expire_time: with time zone; whole seconds count.
            effective_time: when to begin, likewise.
            deadline_s: the engine refuses it after so long, 0.5 to 60 s; None for the settings'.
            post_only: cancelled rather than taking.
            reduce_only: only reduces a margin position.
            margin: with the maximum leverage of the pair.
            display_qty: of an iceberg, a fifteenth of `order_qty` at least.
            fee_preference: base or quote.
            stp_type: cancel_newest, cancel_oldest or cancel_both.
            cl_ord_id: unique; made when None, unless `order_userref` or `conditional` is given.
            order_userref: instead of `cl_ord_id`; unique among the orders known here: it is what the order is found by.
            conditional: a close for each fill; excludes `cl_ord_id`.
            sender_sub_id: of a sub-account.
            no_mpp: ignored by the exchange.

        Returns:
            The live order, acknowledged.

        Raises:
            InvalidOrderError, UnknownSymbolError: it breaks a rule; nothing was sent.
            OrderBlockedError, JournalError, RateLimitError: it was kept in; nothing was sent.
            OrderRejectedError, ExchangeError: the exchange refused it; nothing of it is in the book.
            OutcomeUnknownError: no answer came; `.order` is the live order, and `resolved()` tells when it is known.

        Cost: 27 us from the call to the bytes on the socket, of which 7 are the kernel's: 5.5 for the socket, 1.5 for
        the journal (bench_orders.py::bench_add_order).
        Source: websocket-v2.md section 14.
        """
        order = NewOrder(
            order_type=order_type,
            side=side,
            symbol=symbol,
            order_qty=order_qty,
            cash_order_qty=cash_order_qty,
            limit_price=limit_price,
            limit_price_type=limit_price_type,
            triggers=triggers,
            time_in_force=time_in_force,
            expire_time=expire_time,
            effective_time=effective_time,
            post_only=post_only,
            reduce_only=reduce_only,
            margin=margin,
            display_qty=display_qty,
            fee_preference=fee_preference,
            stp_type=stp_type,
            cl_ord_id=cl_ord_id,
            order_userref=order_userref,
            conditional=conditional,
            sender_sub_id=sender_sub_id,
            no_mpp=no_mpp,
        )
        return await self.submit(order, deadline_s=deadline_s)

    async def submit(self, order: NewOrder, *, deadline_s: float | None = None) -> Order:
        """Place an order that is written as a record. See `add_order`."""
        params = self._prepare(order)
        symbol: str = params["symbol"]
        if self.table.budget.pair(symbol).wait_ns(1, self.clock.monotonic_ns):
            await self._pace(symbol, 1)
            params = self._prepare(order)  # what was waited for may have changed everything
        live = self._launch(params, deadline_s)
        return await self._acknowledged(live)

    async def check_order(self, order: NewOrder) -> Checked:
        """Have the exchange check an order without placing it.

        Raises: as `add_order`; if no answer comes, `OutcomeUnknownError`, though no order was asked for.
        """
        params = self._prepare(order)
        answers = await self._ask("add_order", encode_params({**params, "validate": True}))
        if answers is None:
            error = OutcomeUnknownError("add_order", "no answer to a check", retryable=True)
            error.sent = False
            raise error
        return _checked(params, answers[0])

    def _prepare(self, order: NewOrder) -> dict[str, Any]:
        """Check an order by everything that is known, and name it."""
        self._check_may_send()
        params = add_params(order, now_epoch_ns=self.clock.epoch_ns)
        self._check_by_pair(params, params["symbol"])
        self._give_name(params)
        return params

    def _check_by_pair(self, params: dict[str, Any], symbol: str) -> None:
        pair = self._pair(symbol)
        self._check_states(params, pair)
        quote = None if self._quotes is None else self._quotes(symbol)
        check_order(params, pair, None if quote is None else quote.opposite(params["side"]))
        check_limits(params, symbol, quote, self.settings.limits, self.table)

    def _give_name(self, params: dict[str, Any]) -> None:
        """See to it that an order can be found again by a name that only it has."""
        if "cl_ord_id" not in params and "order_userref" not in params:
            if "conditional" in params:
                params["order_userref"] = self._new_userref()
            else:
                params["cl_ord_id"] = self._new_cl_ord_id()
            return
        name = _name_of(params)
        if self.table.find(name) is not None:
            field = "cl_ord_id" if "cl_ord_id" in params else "order_userref"
            raise InvalidOrderError(field, params[field], "unique: an order of this name is known here")

    def _new_cl_ord_id(self) -> str:
        """Make a UUID that rises with time, version 7: 26 bits of it are chance for each run, 48 count on from chance.

        Source: RFC 9562 sections 5.7 and 6.2, method 2.
        """
        time_ms = self.clock.epoch_ns // 1_000_000 & 0xFFFF_FFFF_FFFF
        self._names_made = self._names_made + 1 & 0xFFFF_FFFF_FFFF
        return f"{time_ms >> 16:08x}-{time_ms & 0xFFFF:04x}-{self._names_run}-{self._names_made:012x}"

    def _new_userref(self) -> int:
        while True:
            userref = self._rng.randint(1, USERREF_MAX)
            if self.table.find(f"#{userref}") is None:
                return userref

    def _launch(self, params: dict[str, Any], deadline_s: float | None) -> Order:
        """Journal an order and give it to the wire, without a pause between."""
        live = Order(_name_of(params), params["symbol"], params)
        now_ns = self.clock.monotonic_ns
        epoch_ns = self._exchange_ns(now_ns)
        text = self._set_deadline((live,), deadline_s, now_ns, epoch_ns)
        encoded = encode_params(params, text)
        self.table.write_intents(b"add", (live,), encoded, now_ns, epoch_ns)
        self._to_wire("add_order", (live,), encoded, live.symbol, 1, now_ns)
        if live.state is _S.JOURNALLED:
            self._fall_back((live,), "AddOrder", lambda: add_fields(params, live.symbol, text), self._accept_rest)
        return live

    def _set_deadline(self, orders: Iterable[Order], deadline_s: float | None, now_ns: int, epoch_ns: int) -> str:
        seconds = self.settings.deadline_s if deadline_s is None else check_deadline(deadline_s)
        span_ns = round(seconds * SECOND_NS)
        for order in orders:
            order.deadline_ns, order.deadline_epoch_ns = now_ns + span_ns, epoch_ns + span_ns
        return self._stamps.ms(epoch_ns + span_ns)

    def _to_wire(
        self, method: str, orders: tuple[Order, ...], params: bytes, symbol: str, cost: float, sent_ns: int
    ) -> None:
        """Give journalled orders to the line. They stay journalled if it is certain that nothing left."""
        pending = Pending(method, sent_ns, orders, symbol, 1, cost)
        for order in orders:
            order.sent_ns = sent_ns
        try:
            outcome, req_id = self._send(method, params, pending)
        except BaseException:
            for order in orders:  # nobody knows how far it came
                self.table.lose(order, "the line failed while it was written", sent_ns)
            raise
        if outcome == "written":
            # The answer may have come already, within the write.
            self.table.sent([each for each in orders if each.state is _S.JOURNALLED], sent_ns, "written to the line")
            self._await_answer(req_id, sent_ns + round(self.settings.answer_s * SECOND_NS))

    def _fall_back(self, orders: tuple[Order, ...], endpoint: str, fields: Any, settle: Any) -> None:
        """Send by REST what the line certainly did not take, or give it up."""
        now_ns = self.clock.monotonic_ns
        refusal = OrderRejectedError(
            "EKrakenFast:Not sent", detail="the line is down", endpoint=endpoint, retryable=True
        )
        if self._rest is None or not self.settings.rest_fallback:
            self.table.give_up(orders, refusal, now_ns)
            return
        try:
            request = fields()
        except KrakenFastError as error:
            self.table.give_up(orders, error, now_ns)
            return
        self._task(self._by_rest(orders, endpoint, request, lambda result: settle(orders, result)))

    def _accept_rest(self, orders: tuple[Order, ...], result: Any) -> None:
        txid = result.get("txid") if isinstance(result, dict) else None
        if isinstance(txid, list) and len(txid) == 1:
            self.table.accept(orders[0], {"order_id": txid[0]}, self.clock.monotonic_ns)
        else:
            self.table.lose(orders[0], "REST named no order", self.clock.monotonic_ns)

    async def _acknowledged(self, live: Order) -> Order:
        if self.settings.on_unknown == "wait":
            await live.resolved()
        return await live.acknowledged()

    # Batches -----------------------------------------------------------------------------------------------------

    async def batch_add(
        self, *, symbol: str, orders: Iterable[NewOrder], deadline_s: float | None = None
    ) -> tuple[Order, ...]:
        """Place 2 to 15 orders of one pair by one request.

        Returns:
            The live orders, in the order given: each acknowledged, rejected (see its `error`) or unknown by itself.

        Raises:
            As `add_order`, for what keeps the whole batch in; nothing was sent then.

        Source: websocket-v2.md section 15.
        """
        asked = list(orders)
        check_count("orders", len(asked), BATCH_MIN, BATCH_MAX)
        all_params = self._prepare_batch(symbol, asked)
        cost = len(asked) / 2
        if self.table.budget.pair(symbol).wait_ns(cost, self.clock.monotonic_ns):
            await self._pace(symbol, cost)
            all_params = self._prepare_batch(symbol, asked)
        lives = tuple(Order(_name_of(params), symbol, {"symbol": symbol, **params}) for params in all_params)
        now_ns = self.clock.monotonic_ns
        epoch_ns = self._exchange_ns(now_ns)
        text = self._set_deadline(lives, deadline_s, now_ns, epoch_ns)
        encoded = encode_params({"symbol": symbol, "orders": all_params}, text)
        self.table.write_intents(b"batch", lives, encoded, now_ns, epoch_ns)
        self._to_wire("batch_add", lives, encoded, symbol, cost, now_ns)
        if all(live.state is _S.JOURNALLED for live in lives):
            self._fall_back(
                lives, "AddOrderBatch", lambda: batch_fields(all_params, symbol, text), self._accept_rest_batch
            )
        for live in lives:
            while live.state in (_S.JOURNALLED, _S.SENT):
                await live.settled()
        return lives

    def _prepare_batch(self, symbol: str, orders: Sequence[NewOrder]) -> list[dict[str, Any]]:
        self._check_may_send()
        all_params = []
        names: set[str] = set()
        for order in orders:
            params = add_params(order, symbol=symbol, now_epoch_ns=self.clock.epoch_ns)
            self._check_by_pair(params, symbol)
            self._give_name(params)
            if _name_of(params) in names:
                raise InvalidOrderError("cl_ord_id", _name_of(params), "unique within the batch")
            names.add(_name_of(params))
            all_params.append(params)
        return all_params

    def _accept_rest_batch(self, orders: tuple[Order, ...], result: Any) -> None:
        rows = result.get("orders") if isinstance(result, dict) else None
        now_ns = self.clock.monotonic_ns
        if not isinstance(rows, list) or len(rows) != len(orders):
            for order in orders:
                self.table.lose(order, "REST did not name each order", now_ns)
            return
        for order, row in zip(orders, rows, strict=True):
            txid = row.get("txid")
            if txid:
                self.table.accept(order, {"order_id": txid if isinstance(txid, str) else txid[0]}, now_ns)
            else:
                self.table.refuse(order, str(row.get("error") or ""), "AddOrderBatch", now_ns)

    # Changing ----------------------------------------------------------------------------------------------------

    async def amend_order(
        self,
        *,
        order: Order | None = None,
        order_id: str | None = None,
        cl_ord_id: str | None = None,
        order_qty: Amount | None = None,
        limit_price: Amount | None = None,
        limit_price_type: PriceType | None = None,
        display_qty: Amount | None = None,
        post_only: bool | None = None,
        trigger_price: Amount | None = None,
        trigger_price_type: PriceType | None = None,
        symbol: str | None = None,
        deadline_s: float | None = None,
    ) -> Order:
        """Change an order's terms in place: its ids and fills stay, and its place in the queue if only less is asked.

        Args:
            order, order_id, cl_ord_id: which, by one of them; it has to be known here.
            order_qty: in base units, what is filled included.
            symbol: needed by the exchange for pairs that are no currencies.
            others: as `add_order`.

        Raises:
            InvalidOrderError, OrderBlockedError, RateLimitError: nothing was sent.
            OrderRejectedError, ExchangeError: refused; the terms are as they were.
            OutcomeUnknownError: old terms or new, see `Order.possible_terms`; `.order` is the order.

        Source: websocket-v2.md section 15.
        """
        self._check_may_send()
        live = self._known(order, order_id, cl_ord_id)
        params = amend_params(
            order_qty=order_qty,
            limit_price=limit_price,
            limit_price_type=limit_price_type,
            display_qty=display_qty,
            post_only=post_only,
            trigger_price=trigger_price,
            trigger_price_type=trigger_price_type,
            symbol=symbol,
        )
        await live.acknowledged()  # requests that are both without answer may be processed in another order
        self._check_amendable(live, params)
        age_ns = self.clock.monotonic_ns - (live.acked_ns or live.changed_ns)
        await self._pace(live.symbol, cost_of("amend", age_ns))
        self._check_may_send()
        self._check_amendable(live, params)
        self._launch_amend(live, params, deadline_s)
        return await self._amended(live)

    def _check_amendable(self, live: Order, params: dict[str, Any]) -> None:
        if not live.state.is_live:
            raise InvalidOrderError("order", live.name, f"an open order; it is {live.status}")
        if "conditional" in live.params:
            raise InvalidOrderError("order", live.name, "one without conditional close: the exchange amends no others")
        if live.amending is not None and live.amending.state in ("sent", "unknown"):
            raise InvalidOrderError("order", live.name, "one whose last change is known; wait for `order.amending`")
        pair = self._pair(live.symbol)
        self._check_states({**live.params, **params}, pair)
        check_amend(params, pair)

    def _launch_amend(self, live: Order, params: dict[str, Any], deadline_s: float | None) -> None:
        now_ns = self.clock.monotonic_ns
        seconds = self.settings.deadline_s if deadline_s is None else check_deadline(deadline_s)
        deadline_ns = now_ns + round(seconds * SECOND_NS)
        epoch_ns = self._exchange_ns(now_ns) + deadline_ns - now_ns
        now = {"order_qty": live.order_qty, "limit_price": live.limit_price, **live.params}
        now.update(order_qty=live.order_qty, limit_price=live.limit_price)
        old = {name: now.get(name) for name in params}
        live.amending = Amending(old, params, now_ns, deadline_ns, epoch_ns)
        text = self._stamps.ms(epoch_ns)
        which = {"order_id": live.order_id} if live.order_id else {"cl_ord_id": live.cl_ord_id}
        encoded = encode_params({**which, **params}, text)
        try:
            self.table.write_amend(live, encoded, self._exchange_ns(now_ns), epoch_ns)
        except JournalError:
            live.amending = None
            raise
        cost = cost_of("amend", now_ns - (live.acked_ns or live.changed_ns))
        pending = Pending("amend_order", now_ns, (live,), live.symbol, 1, cost, amending=live.amending)
        try:
            outcome, req_id = self._send("amend_order", encoded, pending)
        except BaseException:  # nobody knows how far it came
            self.table.lose_amend(live, "the line failed while it was written", now_ns)
            raise
        if outcome == "written":
            self._await_answer(req_id, now_ns + round(self.settings.answer_s * SECOND_NS))
        else:
            self._amend_by_rest(live, {**which, **params}, text)

    def _amend_by_rest(self, live: Order, params: dict[str, Any], deadline: str) -> None:
        if self._rest is None or not self.settings.rest_fallback:
            self.table.settle_amend(live, "not applied", self.clock.monotonic_ns, "the line is down; nothing was sent")
            return
        self._task(self._rest_amend(live, amend_fields(params, deadline)))

    async def _rest_amend(self, live: Order, fields: dict[str, Any]) -> None:
        assert self._rest is not None
        asked = live.amending
        try:
            result = await self._rest.call("AmendOrder", fields)
        except OutcomeUnknownError as error:
            if live.amending is not asked:
                return  # its event told of it before, and another change is under way
            self.table.lose_amend(live, str(error), self.clock.monotonic_ns)
            self._pump()
        except KrakenFastError as error:
            if live.amending is not asked:
                return
            state = "rejected" if not error.sent else "unknown"
            if state == "unknown":
                self.table.lose_amend(live, str(error), self.clock.monotonic_ns)
            else:
                self.table.settle_amend(live, "rejected", self.clock.monotonic_ns, f"amend refused: {error}")
        else:
            if live.amending is not asked:
                return
            self.table.settle_amend(
                live, "acknowledged", self.clock.monotonic_ns, f"amend taken as {result.get('amend_id')}"
            )

    async def _amended(self, live: Order) -> Order:
        amending = live.amending
        assert amending is not None
        while amending.state == "sent" or (amending.state == "unknown" and self.settings.on_unknown == "wait"):
            await live.settled()
        if amending.state == "unknown":
            error = OutcomeUnknownError("amend_order", live.evidence[-1].detail, cl_ord_id=live.cl_ord_id)
            error.order = live
            raise error
        if amending.state in ("rejected", "not applied"):
            refusal = OrderRejectedError(live.evidence[-1].detail, endpoint="amend_order")
            refusal.cl_ord_id = live.cl_ord_id
            raise refusal
        return live

    async def edit_order(
        self,
        *,
        order_id: str,
        symbol: str,
        order_qty: Amount | None = None,
        limit_price: Amount | None = None,
        display_qty: Amount | None = None,
        post_only: bool | None = None,
        reduce_only: bool | None = None,
        triggers: Triggers | None = None,
        order_userref: int | None = None,
        fee_preference: FeePreference | None = None,
        deadline_s: float | None = None,
    ) -> Order:
        """Cancel an order and place another instead: it loses its place, its fills stay with the old one.

        Prefer `amend_order`. Orders that have a `cl_ord_id` are refused, as is everything with triggers or a
        conditional close: the exchange edits none of these. The new order is found by its `order_userref`, which is
        made when None. By REST, which takes over when the line is down, the new order loses it: without an answer it is
        found as the one that took its predecessor's place, within `deadline` + 62 s; for that its quantity and limit
        have to be given.

        Returns:
            The new order.

        Raises: as `add_order`. `order_userref` has to be unique, as there.
        Source: websocket-v2.md section 15.
        """
        self._check_may_send()
        old = self.table.find(order_id)
        if old is not None and old.cl_ord_id is not None:
            raise InvalidOrderError("order_id", order_id, "of an order without cl_ord_id: use amend_order for this one")
        if old is not None and ("conditional" in old.params or "triggers" in old.params):
            raise InvalidOrderError("order_id", order_id, "of an order without triggers and conditional close")
        userref = self._new_userref() if order_userref is None else order_userref
        params = edit_params(
            symbol=symbol,
            order_qty=order_qty,
            limit_price=limit_price,
            display_qty=display_qty,
            post_only=post_only,
            reduce_only=reduce_only,
            triggers=triggers,
            order_userref=userref,
            fee_preference=fee_preference,
        )
        if self.table.find(f"#{userref}") is not None:
            raise InvalidOrderError("order_userref", userref, "unique: an order of this number is known here")
        pair = self._pair(symbol)
        now = {} if old is None else {"order_qty": old.order_qty, "limit_price": old.limit_price}
        terms = {**(old.params if old is not None else {}), **now, **params}
        terms.pop("conditional", None)
        self._check_states(terms, pair)
        check_amend(params, pair)
        cost = cost_of("edit", None if old is None else self.clock.monotonic_ns - (old.acked_ns or old.changed_ns))
        await self._pace(symbol, cost)
        self._check_may_send()
        live = Order(f"#{userref}", symbol, {**terms, "order_userref": userref})
        live.replaces = order_id
        now_ns = self.clock.monotonic_ns
        epoch_ns = self._exchange_ns(now_ns)
        text = self._set_deadline((live,), deadline_s, now_ns, epoch_ns)
        encoded = encode_params({"order_id": order_id, **params}, text)
        self.table.write_intents(b"edit", (live,), encoded, now_ns, epoch_ns)
        self._to_wire("edit_order", (live,), encoded, symbol, cost, now_ns)
        if live.state is _S.JOURNALLED:
            self._edit_by_rest(live, old, params, text)
        return await self._acknowledged(live)

    def _edit_by_rest(self, live: Order, old: Order | None, params: dict[str, Any], deadline: str) -> None:
        """Edit by REST. The new order has no name of ours there: only by what it replaces it can be found again."""
        try:
            if old is None:
                raise OrderBlockedError("the line is down, and the terms of the order to edit are not known here")
            if not {"order_qty", "limit_price"} <= params.keys():
                raise OrderBlockedError("the line is down, and by REST an edit has to name order_qty and limit_price")
            request = edit_fields(params, str(live.replaces), deadline)
            self.table.write_nameless(live)
        except KrakenFastError as error:
            self.table.give_up((live,), error, self.clock.monotonic_ns)
            return
        self._fall_back((live,), "EditOrder", lambda: request, self._accept_rest_edit)

    def _accept_rest_edit(self, orders: tuple[Order, ...], result: Any) -> None:
        (live,) = orders
        txid = result.get("txid") if isinstance(result, dict) else None
        if isinstance(txid, str) and txid:
            self.table.accept(live, {"order_id": txid}, self.clock.monotonic_ns)
            self.resolution.doubt([live], self.clock.monotonic_ns)  # it may have ended under its other name
        else:
            self.table.lose(live, "REST named no order", self.clock.monotonic_ns)

    def _known(self, order: Order | None, order_id: str | None, cl_ord_id: str | None) -> Order:
        given = [each for each in (order, order_id, cl_ord_id) if each is not None]
        if len(given) != 1:
            raise InvalidOrderError("order", len(given), "one of order, order_id and cl_ord_id")
        if order is not None:
            return order
        found = self.table.find(str(given[0]))
        if found is None:
            raise InvalidOrderError("order", given[0], "an order that is known here")
        return found


def _name_of(params: dict[str, Any]) -> str:
    cl_ord_id = params.get("cl_ord_id")
    return cl_ord_id if cl_ord_id is not None else f"#{params['order_userref']}"


def _checked(params: dict[str, Any], ack: Ack) -> Checked:
    if not ack.success:
        raise classify(ack.error or "", "add_order", params.get("cl_ord_id"))
    result = ack.result if isinstance(ack.result, dict) else {}
    return Checked(params, tuple(result.get("warnings", ())))

