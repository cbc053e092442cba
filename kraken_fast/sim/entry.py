"""The private REST endpoints that place, change and cancel orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .desk import BY_USER, Desk
from .drafts import (
    LIMITS,
    Draft,
    check_display,
    check_size,
    close_prose,
    display_qty,
    draft,
    priced,
    prose,
    read_deadline,
)
from .gate import Call
from .instruments import Pair
from .params import WORTH_MAX, Params, as_text, invalid
from .records import ZERO, Order
from .refusals import RestError
from .texts import NS_PER_S, padded, rfc3339
from .trailing import check_trail, followed

if TYPE_CHECKING:
    from .core import ExchangeCore
    from .private import Handler, PrivateApi

BATCH_MIN, BATCH_MAX = 2, 15
CANCELS_MAX = 50
TIMEOUT_MAX_S = 86_400


class Trading:
    """What an account can ask its orders to do.

    Args:
        api: the private endpoints that these belong to.
        core: the exchange.
        desk: carries it out.
    """

    def __init__(self, api: PrivateApi, core: ExchangeCore, desk: Desk) -> None:
        self._api = api
        self._core = core
        self._desk = desk
        self.endpoints: dict[str, Handler] = {
            "AddOrder": self._add,
            "AddOrderBatch": self._add_batch,
            "AmendOrder": self._amend,
            "EditOrder": self._edit,
            "CancelOrder": self._cancel,
            "CancelOrderBatch": self._cancel_batch,
            "CancelAll": self._cancel_all,
            "CancelAllOrdersAfter": self._cancel_after,
        }

    def _add(self, call: Call) -> Any:
        pair = self._pair(call.params)
        only_check = call.params.boolean("validate")
        if not only_check:
            self._desk.charge(call.account, pair.symbol, 1, call.now_ns)
        asked = self._draft(call.params, pair, call.now_ns)
        self._desk.admit(asked.order, call.now_ns, asked.deadline_ns)
        result: dict[str, Any] = {"descr": self._descr(asked.order, pair)}
        if not only_check:
            result["txid"] = [self._desk.place(call.account, asked, call.now_ns).order_id]
        return result

    def _add_batch(self, call: Call) -> Any:
        pair = self._pair(call.params)
        rows = call.params.listed("orders")
        if not BATCH_MIN <= len(rows) <= BATCH_MAX:
            raise invalid("orders")
        only_check = call.params.boolean("validate")
        if not only_check:
            self._desk.charge(call.account, pair.symbol, Decimal(len(rows)) / 2, call.now_ns)
        deadline = {"deadline": call.params.text("deadline")}
        drafts = []
        for row in rows:
            if not isinstance(row, Mapping):
                raise invalid("orders")
            drafts.append(self._draft(Params({**row, **deadline}), pair, call.now_ns))
            self._desk.admit(drafts[-1].order, call.now_ns, drafts[-1].deadline_ns)
        return {"orders": [self._batch_row(call, pair, asked, only_check=only_check) for asked in drafts]}

    def _batch_row(self, call: Call, pair: Pair, asked: Draft, *, only_check: bool) -> dict[str, Any]:
        descr = self._descr(asked.order, pair)
        if only_check:
            return {"descr": descr}
        try:
            return {"txid": self._desk.place(call.account, asked, call.now_ns).order_id, "descr": descr}
        except RestError as error:
            return {"error": str(error)}

    def _amend(self, call: Call) -> Any:
        params = call.params
        order = self._one(call)
        pair = self._core.listing.pairs[order.symbol]
        self._desk.charge(call.account, order.symbol, 1, call.now_ns)
        changed = _changed(order, params, pair, self._last(pair))
        deadline_ns = read_deadline(params, call.now_ns)
        if changed.qty > order.filled:
            self._desk.admit(changed, call.now_ns, deadline_ns)
            check_size(changed, pair, self._last(pair))
            check_display(changed)
        return {"amend_id": self._desk.amend(call.account, order, changed, call.now_ns).amend_id}

    def _edit(self, call: Call) -> Any:
        params, account = call.params, call.account
        orders = self._named(call, params.required("txid"))
        if len(orders) != 1:
            raise RestError("EOrder:Unknown order")
        (order,) = orders
        pair = self._pair(params)
        if order.has_trigger or order.close or order.cl_ord_id or order.symbol != pair.symbol:
            raise RestError("EOrder:Invalid order")
        fields = {
            "type": order.side,
            "ordertype": order.order_type,
            "volume": params.text("volume") or format(order.qty, "f"),
            "price": params.text("price") or format(order.price, "f"),
            "displayvol": params.text("displayvol") or format(min(order.display, order.left), "f"),
            "oflags": _edited_flags(params.names("oflags"), order),
            "deadline": params.text("deadline"),
            "userref": params.text("newuserref"),
        }
        self._desk.charge(account, order.symbol, 1, call.now_ns)
        asked = self._draft(Params(fields), pair, call.now_ns)
        self._desk.admit(asked.order, call.now_ns, asked.deadline_ns)
        descr = self._descr(asked.order, pair)
        result: dict[str, Any] = {"status": "ok"}
        if not params.boolean("validate"):
            result["txid"] = self._desk.replace(account, order, asked, call.now_ns).order_id
        return {
            **result,
            "originaltxid": order.order_id,
            "volume": padded(asked.order.qty, pair.qty_precision),
            "price": padded(asked.order.price, pair.price_precision),
            "orders_cancelled": 1 if "txid" in result else 0,
            "descr": descr,
        }

    def _cancel(self, call: Call) -> Any:
        params = call.params
        orders = self._named(call, params.text("txid"), params.text("cl_ord_id"))
        faults = self._core.faults
        if not orders:
            fault = faults.fire("cancel_gone", endpoint=call.name)
            if fault is None or fault["error"]:
                raise RestError("EOrder:Unknown order" if fault is None else fault["error"])
            return {"count": 0}
        for order in orders:
            self._desk.charge(call.account, order.symbol, 0, call.now_ns)
        for order in orders:
            self._desk.cancel_for(call.account, order, call.now_ns)
        queued = {"pending": True} if faults.fire("cancel_pending", endpoint=call.name) else {}
        return {"count": len(orders), **queued}

    def _cancel_batch(self, call: Call) -> Any:
        ids, client_ids = call.params.listed("orders"), call.params.listed("cl_ord_ids")
        if not 1 <= len(ids) + len(client_ids) <= CANCELS_MAX:
            raise invalid("orders")
        orders = [order for name in ids for order in self._named(call, as_text(name))]
        orders += [order for name in client_ids for order in self._named(call, None, as_text(name))]
        found = {order.order_id: order for order in orders}
        for order in found.values():
            self._desk.cancel_for(call.account, order, call.now_ns)
        return {"count": len(found)}

    def _cancel_all(self, call: Call) -> Any:
        orders = call.account.live_orders()
        for symbol in dict.fromkeys(order.symbol for order in orders):
            # One point per affected pair, as the official Rust SDK counts.
            self._desk.charge(call.account, symbol, 1, call.now_ns)
        for order in orders:
            self._desk.cancel(call.account, order, call.now_ns, BY_USER)
        return {"count": len(orders)}

    def _cancel_after(self, call: Call) -> Any:
        seconds = call.params.integer("timeout", -1)
        if not 0 <= seconds < TIMEOUT_MAX_S:
            raise invalid("timeout")
        at_ns = call.now_ns + seconds * NS_PER_S
        call.account.cancel_at_ns = at_ns if seconds else None
        return {
            "currentTime": rfc3339(call.now_ns, 0),
            "triggerTime": rfc3339(at_ns, 0) if seconds else "0",
        }

    def _pair(self, params: Params) -> Pair:
        return self._api.listed_pair(params.required("pair"))

    def _last(self, pair: Pair) -> Decimal:
        return self._core.market(pair.symbol).trades[-1].price

    def _draft(self, params: Params, pair: Pair, now_ns: int) -> Draft:
        return draft(params, pair, self._last(pair), now_ns)

    @staticmethod
    def _descr(order: Order, pair: Pair) -> dict[str, str]:
        close = {} if order.close is None else {"close": close_prose(order.close)}
        if order.flag("viqc"):
            terms = f"{order.side} {padded(order.qty, pair.cost_precision)} {pair.altname} @ market"
            return {"order": terms, **close}
        return {"order": prose(order, pair), **close}

    def _one(self, call: Call) -> Order:
        """Find the one live order that a call names by `txid` or `cl_ord_id`."""
        params = call.params
        if ("txid" in params) == ("cl_ord_id" in params):
            raise invalid("txid")
        orders = self._named(call, params.text("txid"), params.text("cl_ord_id"))
        if len(orders) != 1:
            raise RestError("EOrder:Unknown order")
        return orders[0]

    @staticmethod
    def _named(call: Call, name: str | None, cl_ord_id: str | None = None) -> list[Order]:
        """Find the live orders of a name: an id, a userref, or a client's id."""
        if not name and not cl_ord_id:
            raise invalid("txid")
        return [
            order
            for order in call.account.live_orders()
            if (name and order.order_id == name)
            or (name and order.userref and str(order.userref) == name)
            or (cl_ord_id and order.cl_ord_id == cl_ord_id)
        ]


def _edited_flags(flags: list[str], order: Order) -> list[str]:
    """Give the flags of an order's successor, which keeps the currency of the fee unless told."""
    fees = ("fcib", "fciq")
    return flags if set(fees) & set(flags) else flags + [flag for flag in fees if order.flag(flag)]


def _changed(order: Order, params: Params, pair: Pair, last: Decimal) -> Order:
    """Give an order as the parameters of an amendment want it."""
    order = _with_sizes(order, params, pair)
    order = _with_prices(order, params, pair, last)
    if order.qty * max(order.price, order.price2, Decimal(1)) >= WORTH_MAX:
        raise invalid("order_qty")
    if "post_only" not in params:
        return order
    flags = [flag for flag in order.oflags.split(",") if flag != "post"]
    return replace(order, oflags=",".join(flags + ["post"] * params.boolean("post_only")))


def _with_sizes(order: Order, params: Params, pair: Pair) -> Order:
    qty = params.decimal("order_qty")
    if qty is not None:
        if not 0 <= qty < WORTH_MAX or qty != round(qty, pair.qty_precision):
            raise invalid("order_qty")
        order = replace(order, qty=qty.quantize(pair.qty_increment))
    if "display_qty" in params:
        if order.order_type != "iceberg":
            raise invalid("display-volume")
        order = replace(order, display=display_qty(params, "display_qty", pair))
    return order


def _with_prices(order: Order, params: Params, pair: Pair, last: Decimal) -> Order:
    buys = order.side == "buy"
    text = params.text("trigger_price")
    if text:
        if not order.waiting:
            raise invalid("trigger_price")
        if order.trail:
            trail = check_trail(text, "trigger_price", positive=True)
            order = followed(replace(order, trail=trail, peak=ZERO), order.peak, pair)
            text = ""
    if text:
        rises = buys == order.order_type.startswith("stop-loss")
        order = replace(order, price=priced(text, pair, last, "trigger_price", rises=rises))
    text = params.text("limit_price")
    if not text:
        return order
    if order.trail_limit:
        limit = check_trail(text, "limit_price", positive=False)
        return followed(replace(order, trail_limit=limit, peak=ZERO), order.peak, pair)
    price = priced(text, pair, last, "limit_price", rises=buys)
    if order.order_type in LIMITS:
        return replace(order, price=price, limit_price=price)
    if order.order_type.endswith("-limit"):
        return replace(order, price2=price, limit_price=price if order.triggered_ns else None)
    raise invalid("limit_price")
