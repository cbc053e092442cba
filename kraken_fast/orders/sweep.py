"""Carries out a `Sweep`: the questions of REST, in the order in which their answers prove something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import DecodeError, ExchangeError
from ..rest.answers import Amend, FillPage, OrderInfo, OrderPage
from .resolution import ORDER_IDS_MAX, Sweep

GONE = frozenset({"EOrder:Unknown order", "EOrder:Invalid order"})
"""Refusals that say that an order is not open, or not known. Source: rest.md section 9, The others."""

PAGE_ROWS = 50
PAGES_MAX = 40
"""More closed orders within some minutes than these pages hold: then the sweep is not whole, and proves nothing."""


class RestQueries(Protocol):
    """What of `RestClient` a sweep needs."""

    async def fetch_open_orders(self) -> tuple[OrderInfo, ...]:
        """See `RestClient`."""
        ...

    async def fetch_closed_orders(
        self, *, start: int, end: int | None, ofs: int, closetime: str, without_count: bool
    ) -> OrderPage:
        """See `RestClient`."""
        ...

    async def query_orders(self, *, order_ids: Iterable[str]) -> tuple[OrderInfo, ...]:
        """See `RestClient`."""
        ...

    async def fetch_fills(self, *, start: int, end: int | None, ofs: int, without_count: bool) -> FillPage:
        """See `RestClient`."""
        ...


    async def fetch_order_amends(self, *, order_id: str) -> tuple[Amend, ...]:
        """See `RestClient`."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a sweep found: orders, those of later questions last, and the amends that were asked for.

    `closed_pages` is how many pages the closed ones took.
    """

    orders: tuple[OrderInfo, ...]
    amends: dict[str, tuple[Amend, ...]]
    closed_pages: int


async def carry_out(rest: RestQueries, sweep: Sweep) -> Found:
    """Ask all of a sweep's questions.

    Raises:
        KrakenFastError: a question was not answered; what was is lost too, for half a sweep proves nothing.
    """
    found: dict[str, OrderInfo] = {}

    def add(orders: Iterable[OrderInfo]) -> None:
        for order in orders:
            found.pop(order.order_id, None)
            found[order.order_id] = order

    closed_pages = 0
    if sweep.since_s is not None:
        if sweep.with_open:
            add(await rest.fetch_open_orders())
        closed = await _all_closed(rest, sweep.since_s, sweep.until_s)
        closed_pages = len(closed) // PAGE_ROWS + 1
        add(closed)
        if sweep.with_fills:
            filled = await _all_filled(rest, sweep.since_s, sweep.until_s)
            await _query(rest, [order_id for order_id in filled if order_id not in found], add)
    await _query(rest, [order_id for order_id in sweep.order_ids if order_id not in found], add)
    amends = {order_id: await _amends(rest, order_id) for order_id in sweep.amends_of}
    return Found(tuple(found.values()), amends, closed_pages)


async def _amends(rest: RestQueries, order_id: str) -> tuple[Amend, ...]:
    try:
        return await rest.fetch_order_amends(order_id=order_id)
    except ExchangeError as error:
        if error.code not in GONE:
            raise
        return ()


async def _query(rest: RestQueries, order_ids: list[str], add: Any) -> None:
    for first in range(0, len(order_ids), ORDER_IDS_MAX):
        try:
            add(await rest.query_orders(order_ids=order_ids[first : first + ORDER_IDS_MAX]))
        except ExchangeError as error:
            if error.code not in GONE:
                raise  # one that REST does not know yet proves nothing, and takes no proof from the others


async def _all_closed(rest: RestQueries, start: int, end: int | None) -> list[OrderInfo]:
    rows: list[OrderInfo] = []
    for page in range(PAGES_MAX):
        answer = await rest.fetch_closed_orders(
            start=start, end=end, ofs=page * PAGE_ROWS, closetime="open", without_count=True
        )
        rows += answer.orders
        if len(answer.orders) < PAGE_ROWS:
            return rows
    raise DecodeError("ClosedOrders", 0, "", f"more than {PAGES_MAX} pages since {start}")


async def _all_filled(rest: RestQueries, start: int, end: int | None) -> list[str]:
    order_ids: dict[str, None] = {}
    for page in range(PAGES_MAX):
        answer = await rest.fetch_fills(start=start, end=end, ofs=page * PAGE_ROWS, without_count=True)
        order_ids.update(dict.fromkeys(fill.order_id for fill in answer.trades))
        if len(answer.trades) < PAGE_ROWS:
            return list(order_ids)
    raise DecodeError("TradesHistory", 0, "", f"more than {PAGES_MAX} pages since {start}")
