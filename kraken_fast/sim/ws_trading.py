"""Trading requests of the WebSocket, carried out by the same desk as those of REST.

A request becomes calls of REST's trading endpoints (`entry.py`) in REST's words, and their results become the
answers of the WebSocket: mostly one, but one for each order of a `cancel_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .entry import CANCELS_MAX
from .gate import PERMISSIONS_NEEDED, Call
from .params import Params, as_text, invalid
from .refusals import RestError
from .tokens import Token
from .trade_fields import DEPRECATED, priced, rest_order

if TYPE_CHECKING:
    from .core import ExchangeCore
    from .requests import Request

CANCELS_MIN = 2
"""Orders in a `batch_cancel`. Source: https://docs.kraken.com/api/docs/websocket-v2/batch_cancel, read 2026-08."""

_ENDPOINTS = {
    "add_order": "AddOrder",
    "amend_order": "AmendOrder",
    "edit_order": "EditOrder",
    "cancel_order": "CancelOrder",
    "cancel_all": "CancelAll",
    "cancel_all_orders_after": "CancelAllOrdersAfter",
    "batch_add": "AddOrderBatch",
    "batch_cancel": "CancelOrderBatch",
}

_TEXTS = {
    # What an order that is too small is told here, recorded in 2026-01; REST's words are the documented ones.
    "EOrder:Order minimum not met": "EGeneral:Invalid arguments:volume minimum not met",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a result, or the words of a refusal."""

    result: Any = None
    error: str = ""


class WsTrading:
    """What sessions can ask the orders of their accounts to do.

    Args:
        core: the exchange.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._methods: dict[str, Callable[[Request, Token], list[Any]]] = {
            "add_order": self._add,
            "amend_order": self._amend,
            "edit_order": self._edit,
            "cancel_order": self._cancel,
            "cancel_all": self._plain,
            "cancel_all_orders_after": self._plain,
            "batch_add": self._batch_add,
            "batch_cancel": self._batch_cancel,
        }

    def carry_out(self, request: Request, token: Token) -> list[Answer]:
        """Carry a request out and give its answers, in order."""
        try:
            if not token.key.permissions.intersection(PERMISSIONS_NEEDED[_ENDPOINTS[request.method]]):
                raise RestError("EGeneral:Permission denied")
            self._core.desk.advance(self._core.now_ns())
            if self._core.system_status == "maintenance" or self._core.player is not None:
                raise RestError("EService:Unavailable")
            results = self._methods[request.method](request, token)
        except RestError as error:
            results = [error]
        except ConfigError:  # no market of that name
            results = [RestError("EService:Unavailable")]
        return [
            Answer(error=_TEXTS.get(str(result), str(result)))
            if isinstance(result, RestError)
            else Answer(result)
            for result in results
        ]

    def _call(self, method: str, token: Token, fields: Mapping[str, Any]) -> Any:
        name = _ENDPOINTS[method]
        call = Call(name, token.account, token.key, Params(fields), self._core.now_ns())
        return self._core.private.trading.endpoints[name](call)

    def _plain(self, request: Request, token: Token) -> list[Any]:
        return [self._call(request.method, token, request.params)]

    def _symbol(self, params: Mapping[str, Any]) -> str:
        """Give the pair that a request names; REST's names for it are refused here."""
        symbol = params.get("symbol")
        if symbol not in self._core.listing.pairs:
            raise RestError("EQuery:Unknown asset pair")
        return str(symbol)

    def _leverage(self, symbol: str) -> str:
        """Give the most that the pair allows, which is what `margin` means; 2 is refused where it allows none."""
        margin = self._core.listing.pairs[symbol].margin
        return "2" if margin is None else str(int(1 / margin.initial))

    def _add(self, request: Request, token: Token) -> list[Any]:
        params = request.params
        symbol = self._symbol(params)
        fields = {"pair": symbol, **rest_order(params, leverage=self._leverage(symbol))}
        done = self._call("add_order", token, fields)
        (order_id,) = done.get("txid", [""])  # a mere check is answered with an empty id
        return [_added(params, order_id)]

    def _batch_add(self, request: Request, token: Token) -> list[Any]:
        params = request.params
        symbol = self._symbol(params)
        leverage = self._leverage(symbol)
        fields = {name: params[name] for name in ("deadline", "validate") if name in params}
        orders = params.get("orders", [])
        rows = [rest_order(order, leverage=leverage) for order in orders]
        done = self._call("batch_add", token, {**fields, "pair": symbol, "orders": rows})
        return [
            [
                _failed(order, row["error"]) if "error" in row else _added(order, row.get("txid", ""))
                for order, row in zip(orders, done["orders"], strict=True)
            ]
        ]

    def _amend(self, request: Request, token: Token) -> list[Any]:
        params = request.params
        fields = {
            name: params[name]
            for name in ("cl_ord_id", "order_qty", "display_qty", "post_only", "deadline")
            if name in params
        }
        if "order_id" in params:
            fields["txid"] = params["order_id"]
        for name in ("limit_price", "trigger_price"):
            if name in params:
                fields[name] = priced(params[name], params.get(f"{name}_type", "static"))
        done = self._call("amend_order", token, fields)
        named = {name: params[name] for name in ("cl_ord_id", "order_id") if name in params}
        return [{"amend_id": done["amend_id"], **named}]

    def _edit(self, request: Request, token: Token) -> list[Any]:
        params = request.params
        fields = rest_order(params, leverage="none")
        fields |= {"pair": self._symbol(params), "txid": params.get("order_id", "")}
        if "userref" in fields:
            fields["newuserref"] = fields.pop("userref")
        done = self._call("edit_order", token, fields)
        return [{"order_id": done.get("txid", ""), "original_order_id": done["originaltxid"]}]

    def _cancel(self, request: Request, token: Token) -> list[Any]:
        """Cancel order by order; each has its own answer, and a failure does not say whose it is."""
        results: list[Any] = []
        params = request.params
        ids, client_ids = ([*map(as_text, params.get(name, ()))] for name in ("order_id", "cl_ord_id"))
        named = [("order_id", name, {"txid": name}) for name in ids]
        named += [("cl_ord_id", name, {"cl_ord_id": name}) for name in client_ids]
        for userref in params.get("order_userref", ()):
            live = token.account.live_orders()
            found = [order.order_id for order in live if order.userref and order.userref == userref] or [""]
            named += [("order_id", order_id, {"txid": order_id}) for order_id in found if order_id not in ids]
        if not named:
            raise invalid()
        for kind, name, fields in named:
            try:
                if not name:
                    raise RestError("EOrder:Unknown order")
                self._call("cancel_order", token, fields)
            except RestError as error:
                results.append(error)
            else:
                results.append({kind: name})
        return results

    def _batch_cancel(self, request: Request, token: Token) -> list[Any]:
        ids, client_ids = request.params.get("orders", []), request.params.get("cl_ord_id", [])
        if not CANCELS_MIN <= len(ids) + len(client_ids) <= CANCELS_MAX:
            raise invalid("orders")
        return [self._call("batch_cancel", token, {"orders": ids, "cl_ord_ids": client_ids})]


def _named(order: Mapping[str, Any]) -> dict[str, Any]:
    return {name: order[name] for name in ("cl_ord_id", "order_userref") if name in order}


def _added(order: Mapping[str, Any], order_id: str) -> dict[str, Any]:
    """Give the result of an order that was accepted, in the alphabetical order of the wire."""
    warnings = [text for name, text in DEPRECATED.items() if name in order]
    result = {**_named(order), "order_id": order_id, **({"warnings": warnings} if warnings else {})}
    return dict(sorted(result.items()))


def _failed(order: Mapping[str, Any], error: str) -> dict[str, Any]:
    return dict(sorted({**_named(order), "error": error}.items()))
