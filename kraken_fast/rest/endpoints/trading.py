"""Acts: each is sent once. A lost answer is `OutcomeUnknownError`, and nothing here sends again.

Prices and quantities are text, whole numbers or `Decimal`; floats are refused. This is the fallback of the stream's
order entry, and keeps no journal: give every order a `cl_ord_id`. Each has a deadline, 5 s after it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ...errors import ConfigError, DecodeError, InvalidOrderError
from ..answers import Amended, BatchRow, Cancelled, DeadMansSwitch, Edited, OrderPlaced
from ..records import read_record
from ..request import rfc3339_ms
from .base import Amount, TypedCalls

BATCH_MIN, BATCH_MAX = 2, 15
CANCEL_BATCH_MAX = 50
DEADMAN_MAX_S = 86_399

DEADLINE = timedelta(seconds=5)
DEADLINE_MIN, DEADLINE_MAX = timedelta(seconds=2), timedelta(seconds=60)
"""Source: rest.md section 9, AddOrder; the default is that of faults.md section 0."""

CL_ORD_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}")
"""Source: rest.md section 9, AddOrder."""


class TradingCalls(TypedCalls):
    """Adds, amends, edits and cancels."""

    async def add_order(
        self,
        *,
        symbol: str,
        side: str,
        ord_type: str,
        qty: Amount,
        price: Amount | None = None,
        price2: Amount | None = None,
        cl_ord_id: str | None = None,
        userref: int | None = None,
        display_qty: Amount | None = None,
        trigger: str | None = None,
        leverage: str | int | None = None,
        reduce_only: bool | None = None,
        stp_type: str | None = None,
        flags: Iterable[str] | None = None,
        time_in_force: str | None = None,
        start: str | int | None = None,
        expire: str | int | None = None,
        close: Mapping[str, Amount] | None = None,
        deadline: datetime | timedelta | None = DEADLINE,
        validate: bool = False,
    ) -> OrderPlaced:
        """Place one order.

        Args:
            symbol: such as BTC/USD.
            side: buy or sell.
            ord_type: market, limit, iceberg, stop-loss, take-profit, stop-loss-limit, take-profit-limit,
                trailing-stop, trailing-stop-limit or settle-position.
            qty: in base units; 0 closes a margin position.
            price: the limit, or the trigger of triggered types; relative forms such as "+5%" are texts.
            price2: the limit of triggered types.
            cl_ord_id: ours, unique; not together with `userref` or `close`.
            userref: a whole number, not unique.
            display_qty: of an iceberg.
            trigger: last or index.
            leverage: such as 2.
            reduce_only: only close a position.
            stp_type: cancel-newest, cancel-oldest or cancel-both.
            flags: of post, fciq, fcib, viqc, nompp.
            time_in_force: GTC, IOC, GTD (with `expire`) or FOK.
            start: when to begin, seconds since epoch or "+n".
            expire: when to end, likewise.
            close: a conditional close: ordertype, price, price2.
            deadline: the engine refuses the order when it gets to it later: so long after it was sent, measured by
                the exchange's clock (see `sync_time`), or a time with time zone; None for no deadline.
            validate: check only.

        Raises:
            InvalidOrderError: nothing was sent.
            OrderRejectedError: nothing of it is in the book.
            OutcomeUnknownError: look it up by `cl_ord_id` before anything else.

        Source: rest.md section 9, AddOrder.
        """
        _check_ids(cl_ord_id, userref, close)
        closing = {f"close[{name}]": value for name, value in (close or {}).items()}
        params = {
            "pair": await self._pair_id(symbol),
            "type": side,
            "ordertype": ord_type,
            "volume": qty,
            "price": price,
            "price2": price2,
            "cl_ord_id": cl_ord_id,
            "userref": userref,
            "displayvol": display_qty,
            "trigger": trigger,
            "leverage": leverage,
            "reduce_only": reduce_only,
            "stptype": stp_type,
            "oflags": None if flags is None else ",".join(flags),
            "timeinforce": time_in_force,
            "starttm": start,
            "expiretm": expire,
            **closing,
            "deadline": self._deadline(deadline),
            "validate": validate or None,
        }

        def parse(row: Any) -> OrderPlaced:
            descr = row.get("descr") or {}
            return OrderPlaced(
                order_id=None if validate else str(row["txid"][0]),
                description=descr.get("order", ""),
                close_description=descr.get("close", ""),
                cl_ord_id=cl_ord_id,
            )

        return await self._ask("AddOrder", params, parse)

    async def add_orders(
        self,
        *,
        symbol: str,
        orders: Iterable[Mapping[str, Any]],
        deadline: datetime | timedelta | None = DEADLINE,
        validate: bool = False,
    ) -> tuple[BatchRow, ...]:
        """Place 2 to 15 orders of one pair. Each row of the answer has an id or an error, in the order given.

        Args:
            symbol: of all.
            orders: with Kraken's names: type, ordertype, volume, price, cl_ord_id and so on.
            deadline: of all, as for `add_order`.
            validate: check only.

        Raises:
            InvalidOrderError, OrderRejectedError: none was placed.
            OutcomeUnknownError: each has to be looked up.

        Source: rest.md section 9, AddOrderBatch.
        """
        rows = [dict(order) for order in orders]
        for row in rows:
            _check_ids(row.get("cl_ord_id"), row.get("userref"), row.get("close"))
        if not BATCH_MIN <= len(rows) <= BATCH_MAX:
            raise InvalidOrderError("orders", len(rows), f"{BATCH_MIN} to {BATCH_MAX} orders")
        params = {
            "pair": await self._pair_id(symbol),
            "orders": rows,
            "deadline": self._deadline(deadline),
            "validate": validate or None,
        }

        def parse(answer: Any) -> tuple[BatchRow, ...]:
            answers = answer["orders"]
            if len(answers) != len(rows):
                raise DecodeError("AddOrderBatch", 0, "", "another number of orders than was sent")
            return tuple(
                read_record(BatchRow, row, self.names, cl_ord_id=order.get("cl_ord_id"))
                for order, row in zip(rows, answers, strict=True)
            )

        return await self._ask("AddOrderBatch", params, parse)

    async def amend_order(
        self,
        *,
        order_id: str | None = None,
        cl_ord_id: str | None = None,
        qty: Amount | None = None,
        display_qty: Amount | None = None,
        limit_price: Amount | None = None,
        trigger_price: Amount | None = None,
        post_only: bool | None = None,
        deadline: datetime | timedelta | None = DEADLINE,
    ) -> Amended:
        """Change an order's terms in place: ids stay. Name it by `order_id` or `cl_ord_id`.

        Raises:
            OrderRejectedError: its terms are as they were.
            OutcomeUnknownError: old or new terms, look.

        Source: rest.md section 9, AmendOrder.
        """
        _check_one_id(order_id, cl_ord_id)
        params = {
            "txid": order_id,
            "cl_ord_id": cl_ord_id,
            "order_qty": qty,
            "display_qty": display_qty,
            "limit_price": limit_price,
            "trigger_price": trigger_price,
            "post_only": post_only,
            "deadline": self._deadline(deadline),
        }
        return await self._ask("AmendOrder", params, lambda row: read_record(Amended, row, self.names))

    async def edit_order(
        self,
        *,
        symbol: str,
        order_id: str,
        qty: Amount | None = None,
        price: Amount | None = None,
        price2: Amount | None = None,
        display_qty: Amount | None = None,
        post_only: bool = False,
        deadline: datetime | timedelta | None = DEADLINE,
        validate: bool = False,
    ) -> Edited:
        """Cancel an order and place another instead. Prefer `amend_order`: it keeps the ids.

        Source: rest.md section 9, EditOrder.
        """
        params = {
            "pair": await self._pair_id(symbol),
            "txid": order_id,
            "volume": qty,
            "price": price,
            "price2": price2,
            "displayvol": display_qty,
            "oflags": "post" if post_only else None,
            "deadline": self._deadline(deadline),
            "validate": validate or None,
        }
        return await self._ask("EditOrder", params, lambda row: read_record(Edited, row, self.names))

    async def cancel_order(
        self, *, order_id: str | int | None = None, cl_ord_id: str | None = None
    ) -> Cancelled:
        """Cancel an order, by its id or user reference, or by `cl_ord_id`. What was filled, a query tells.

        A cancel never waits. While the engine's counter of the pair stands above its threshold, an order that was
        placed through this client is cancelled as a batch of one, which is accepted all the same.

        Raises:
            OrderRejectedError: it is gone already; query it once.
            OutcomeUnknownError: it may be repeated.

        Source: rest.md section 9, CancelOrder.
        """
        _check_one_id(order_id, cl_ord_id)
        listed = self._engine.needs_batch(str(order_id if order_id is not None else cl_ord_id))
        if listed is not None and self.settings.limits:
            return await self.cancel_orders(order_ids=[listed])
        params = {"txid": order_id, "cl_ord_id": cl_ord_id}
        return await self._ask("CancelOrder", params, lambda row: read_record(Cancelled, row, self.names))

    async def cancel_orders(
        self, *, order_ids: Iterable[str | int] = (), cl_ord_ids: Iterable[str] = ()
    ) -> Cancelled:
        """Cancel up to 50 orders. Whether `cl_ord_ids` are taken here, sources disagree: prefer ids.

        Source: rest.md section 9, CancelOrderBatch.
        """
        ids, ours = list(order_ids), list(cl_ord_ids)
        if not 1 <= len(ids) + len(ours) <= CANCEL_BATCH_MAX:
            raise InvalidOrderError("order_ids", len(ids) + len(ours), f"1 to {CANCEL_BATCH_MAX} orders")
        params = {"orders": ids or None, "cl_ord_ids": ours or None}
        return await self._ask(
            "CancelOrderBatch", params, lambda row: read_record(Cancelled, row, self.names)
        )

    async def cancel_all(self) -> Cancelled:
        """Cancel all open orders of the account. Source: rest.md section 9, CancelAll."""
        return await self._ask("CancelAll", {}, lambda row: read_record(Cancelled, row, self.names))

    async def cancel_all_after(self, *, timeout_s: int) -> DeadMansSwitch:
        """Have all orders cancelled unless this is called again within `timeout_s`; 0 disarms.

        Source: rest.md section 9, CancelAllOrdersAfter: every 15 to 30 s with 60; disarm before maintenance.
        """
        if (
            isinstance(timeout_s, bool)
            or not isinstance(timeout_s, int)
            or not 0 <= timeout_s <= DEADMAN_MAX_S
        ):
            raise ConfigError("timeout_s", timeout_s, f"a whole number from 0 to {DEADMAN_MAX_S}")

        def parse(row: Any) -> DeadMansSwitch:
            switch = read_record(DeadMansSwitch, row, self.names)
            if timeout_s == 0:  # disarmed is told in three ways
                return DeadMansSwitch(current_ns=switch.current_ns)
            return switch

        return await self._ask("CancelAllOrdersAfter", {"timeout": timeout_s}, parse)

    def _deadline(self, wanted: datetime | timedelta | None) -> str | timedelta | None:
        if wanted is None:
            return None
        if isinstance(wanted, timedelta):
            if not DEADLINE_MIN <= wanted <= DEADLINE_MAX:
                raise InvalidOrderError("deadline", str(wanted), "2 to 60 s from now")
            return wanted
        if wanted.tzinfo is None:
            raise InvalidOrderError("deadline", wanted.isoformat(), "a time with a time zone")
        time, now_ns = self.exchange_time, self.clock.monotonic_ns
        if time.is_known and wanted.timestamp() * 1e9 < time.now_ns(now_ns) - time.error_ns(now_ns):
            raise InvalidOrderError("deadline", wanted.isoformat(), "over by the exchange's clock: is yours wrong?")
        return rfc3339_ms(wanted)


def _check_ids(cl_ord_id: str | None, userref: int | None, close: Mapping[str, Amount] | None) -> None:
    _check_cl_ord_id(cl_ord_id)
    if cl_ord_id is not None and userref is not None:
        raise InvalidOrderError("userref", userref, "not together with cl_ord_id")
    if cl_ord_id is not None and close:
        raise InvalidOrderError("close", dict(close), "not together with cl_ord_id: use userref")


def _check_cl_ord_id(cl_ord_id: str | None) -> None:
    if cl_ord_id is None or CL_ORD_ID.fullmatch(cl_ord_id):
        return
    raise InvalidOrderError(
        "cl_ord_id", cl_ord_id, "a UUID of 36 or 32 characters, or up to 18 of printable ASCII"
    )


def _check_one_id(order_id: str | int | None, cl_ord_id: str | None) -> None:
    _check_cl_ord_id(cl_ord_id)
    if (order_id is None) == (cl_ord_id is None):
        raise InvalidOrderError("order_id", order_id, "given, or cl_ord_id, and not both")
