"""The private REST endpoints that list orders, trades and ledger entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .account import Books
from .gate import Call
from .params import Params, invalid, plain_decimal
from .records import Execution, LedgerEntry, Order
from .refusals import RestError
from .rows import amend_row, ledger_row, order_row, trade_row
from .texts import NS_PER_S

if TYPE_CHECKING:
    from .private import Handler, PrivateApi

PAGE = 50
ORDERS_MAX = 50
IDS_MAX = 20
TRADES_PAGE_MAX = 100

Row = TypeVar("Row", Order, Execution, LedgerEntry)


class Queries:
    """What an account can ask about its past and present.

    Args:
        api: the private endpoints that these belong to.
    """

    def __init__(self, api: PrivateApi) -> None:
        self._api = api
        self.endpoints: dict[str, Handler] = {
            "OpenOrders": self._open_orders,
            "ClosedOrders": self._closed_orders,
            "QueryOrders": self._query_orders,
            "OrderAmends": self._order_amends,
            "TradesHistory": self._trades_history,
            "QueryTrades": self._query_trades,
            "Ledgers": self._ledgers,
            "QueryLedgers": self._query_ledgers,
        }

    def _open_orders(self, call: Call) -> Any:
        orders = _tagged(self._api.books(call).live_orders(), call.params)
        return {"open": self._orders(orders, call)}

    def _closed_orders(self, call: Call) -> Any:
        books, params = self._api.books(call), call.params
        by = params.text("closetime", "both")
        if by not in ("open", "close", "both"):
            raise invalid("closetime")
        times: dict[str, Callable[[Order], tuple[int, ...]]] = {
            "open": lambda order: (order.created_ns,),
            "close": lambda order: (order.closed_ns,),
            "both": lambda order: (order.created_ns, order.closed_ns),
        }
        gone = [order for order in _tagged(books.orders.values(), params) if not order.live]
        found = _between(gone, books, params, times[by])
        found.sort(key=lambda order: order.closed_ns, reverse=True)
        return _page("closed", lambda page: self._orders(page, call), found, params)

    def _query_orders(self, call: Call) -> Any:
        books = self._api.books(call)
        orders = [books.orders.get(key) for key in _ids(call.params, "txid", ORDERS_MAX)]
        if None in orders:
            raise RestError("EOrder:Unknown order")
        return self._orders(_tagged([order for order in orders if order is not None], call.params), call)

    def _order_amends(self, call: Call) -> Any:
        books = self._api.books(call)
        order = books.orders.get(call.params.required("order_id"))
        if order is None:
            raise RestError("EOrder:Unknown order")
        pair = self._api.pair(order.symbol)
        rows = [amend_row(amend, pair) for amend in books.amends.get(order.order_id, ())]
        return {"amends": rows, "count": len(rows)}

    def _trades_history(self, call: Call) -> Any:
        books, params = self._api.books(call), call.params
        if params.text("type", "all") not in (
            "all",
            "any position",
            "closed position",
            "closing position",
            "no position",
        ):
            raise invalid("type")
        executions = list(books.executions.values())
        if params.boolean("consolidate_taker", default=True):
            executions = _consolidated(executions)
        if "pair" in params:
            symbols = {self._api.listed_pair(name).symbol for name in params.names("pair")}
            executions = [each for each in executions if each.symbol in symbols]
        if params.text("type", "all") not in ("all", "no position"):
            executions = []  # there is no margin here, so no trade has to do with a position
        found = _between(executions, books, params, lambda each: (each.time_ns,))
        found.reverse()
        size = params.integer("limit", PAGE)
        if not 1 <= size <= TRADES_PAGE_MAX:
            raise invalid("limit")
        ledgers = params.boolean("ledgers")
        return _page("trades", lambda page: self._trades(page, books, ledgers=ledgers), found, params, size)

    def _query_trades(self, call: Call) -> Any:
        books = self._api.books(call)
        found = [books.executions.get(key) for key in _ids(call.params, "txid", IDS_MAX)]
        return self._trades([each for each in found if each is not None], books, ledgers=False)

    def _ledgers(self, call: Call) -> Any:
        books, params = self._api.books(call), call.params
        entries = list(books.ledger.values())
        names = [name for name in params.names("asset") if name != "all"]
        if names:
            wanted = {self._api.asset(name).id for name in names}
            entries = [entry for entry in entries if entry.asset in wanted]
        kind = params.text("type", "all")
        if kind != "all":
            entries = [entry for entry in entries if entry.type == kind]
        found = _between(entries, books, params, lambda entry: (entry.time_ns,))
        found.reverse()
        return _page("ledger", self._entries, found, params)

    def _query_ledgers(self, call: Call) -> Any:
        books = self._api.books(call)
        found = [books.ledger.get(key) for key in _ids(call.params, "id", IDS_MAX)]
        return self._entries([entry for entry in found if entry is not None])

    def _orders(self, orders: Iterable[Order], call: Call) -> dict[str, Any]:
        trades = call.params.boolean("trades")
        return {
            order.order_id: order_row(order, self._api.pair(order.symbol), trades=trades) for order in orders
        }

    def _trades(self, executions: Iterable[Execution], books: Books, *, ledgers: bool) -> dict[str, Any]:
        return {
            each.exec_id: trade_row(
                each, books.orders[each.order_id], self._api.pair(each.symbol), ledgers=ledgers
            )
            for each in executions
        }

    def _entries(self, entries: Iterable[LedgerEntry]) -> dict[str, Any]:
        return {entry.ledger_id: ledger_row(entry, self._api.precision(entry.asset)) for entry in entries}


def _tagged(orders: Iterable[Order], params: Params) -> list[Order]:
    """Keep the orders that carry the tags asked for."""
    cl_ord_id = params.text("cl_ord_id")
    userref = params.integer("userref", 0)
    return [
        order
        for order in orders
        if (not cl_ord_id or order.cl_ord_id == cl_ord_id) and (not userref or order.userref == userref)
    ]


def _ids(params: Params, name: str, ids_max: int) -> list[str]:
    ids = params.names(name)
    if not 1 <= len(ids) <= ids_max:
        raise invalid(name)
    return ids


def _between(
    rows: Iterable[Row], books: Books, params: Params, times: Callable[[Row], tuple[int, ...]]
) -> list[Row]:
    """Keep the rows after `start` and up to `end`; both are a time, or an id whose time then counts."""
    start_ns, end_ns = _bound(params, books, "start"), _bound(params, books, "end")
    return [
        row
        for row in rows
        if any(
            (start_ns is None or time_ns > start_ns) and (end_ns is None or time_ns <= end_ns)
            for time_ns in times(row)
        )
    ]


def _bound(params: Params, books: Books, name: str) -> int | None:
    text = params.text(name)
    if not text or text == "0":
        return None
    if text in books.orders:
        return books.orders[text].created_ns
    if text in books.executions:
        return books.executions[text].time_ns
    if text in books.ledger:
        return books.ledger[text].time_ns
    return int(plain_decimal(text, name) * NS_PER_S)


def _page(
    name: str,
    write: Callable[[list[Row]], Mapping[str, Any]],
    rows: list[Row],
    params: Params,
    size: int = PAGE,
) -> dict[str, Any]:
    offset = params.integer("ofs", 0)
    if offset < 0:
        raise invalid("ofs")
    result: dict[str, Any] = {name: write(rows[offset : offset + size])}
    if not params.boolean("without_count"):
        result["count"] = len(rows)
    return result


def _consolidated(executions: list[Execution]) -> list[Execution]:
    """Merge what one taker took at once into one row, under the id of its first fill."""
    merged: list[Execution] = []
    for each in executions:
        before = merged[-1] if merged else None
        if each.maker or before is None or before.maker or before.order_id != each.order_id:
            merged.append(each)
            continue
        qty = before.qty + each.qty
        mean = (before.price * before.qty + each.price * each.qty) / qty
        merged[-1] = replace(
            before,
            price=mean,
            qty=qty,
            cost=before.cost + each.cost,
            fee=before.fee + each.fee,
            ledger_ids=before.ledger_ids + each.ledger_ids,
        )
    return merged
