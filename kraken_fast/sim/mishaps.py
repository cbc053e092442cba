"""What happens to an account's orders without its doing: fills in a bad moment, cancels, orders by hand.

These are acts of the market and of the exchange, not of a connection: they are true, and stand in the books
like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from .desk import TIMEOUT
from .engine import Side
from .gate import Call
from .params import Params
from .records import ZERO, Order
from .refusals import RestError

if TYPE_CHECKING:
    from .account import Account
    from .core import ExchangeCore
    from .requests import Request

BY_EXCHANGE = "Canceled by exchange"
"""Our words: Kraken's for this were not recorded."""

HALF = Decimal("0.5")


class Mishaps:
    """Carries out the faults that strike orders.

    Args:
        core: the exchange.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core

    def strike(self) -> None:
        """Carry out what faults demand of the exchange at any time."""
        faults = self._core.faults
        if faults.fire("token_revoked"):
            self._core.private.tokens.revoke_all()
        for account in list(self._core.accounts.values()):
            if faults.rules("dms_fire") and faults.fire("dms_fire", account=account.name):
                self._fire_switch(account)
            if faults.rules("unsolicited_cancel"):
                self._cancel(account)
            if faults.rules("restate"):
                self._restate(account)
            while fault := faults.fire("external_order", account=account.name):
                with suppress(RestError):  # who places it by hand is refused like everybody
                    self.place(account, fault["order"])

    def gap(self, account: Account, session: int) -> None:
        """Fill an account's resting orders after a session of it has ended, if a fault says so."""
        faults = self._core.faults
        if not faults.rules("fill_during_gap") or not self._resting(account):
            return
        fault = faults.fire("fill_during_gap", session=session, account=account.name)
        if fault is None:
            return
        for left in range(fault["fills"], 0, -1):
            resting = self._resting(account)
            if not resting:
                return
            # As much of the oldest as leaves a part for every fill that is still to come.
            self.fill(account, resting[0], resting[0].left / left if left > 1 else resting[0].left * HALF)

    def race(self, account: Account, request: Request, share: Decimal | float | str) -> None:
        """Fill a share of the orders that a request is about to cancel; with 1, all of each."""
        names = {str(name) for given in request.params.values() if isinstance(given, list) for name in given}
        for order in self._resting(account):
            if not names or names & {order.order_id, order.cl_ord_id or "", str(order.userref)}:
                self.fill(account, order, order.left * Decimal(str(share)))

    def fill(self, account: Account, order: Order, qty: Decimal) -> None:
        """Let the crowd trade so much with a resting order, and with everything that stands before it.

        The quantity is cut at the pair's increment, and at least one increment.
        """
        market = self._core.market(order.symbol)
        unit: Decimal = market.pair.qty_increment
        qty = max(unit, qty.quantize(unit, rounding=ROUND_DOWN))
        ahead = ZERO
        assert order.limit_price is not None
        for level in market.engine.side(order.side):
            for other in level.orders.values():
                if self._core.desk.order_id(order.symbol, other.order_id) == order.order_id:
                    taker: Side = "sell" if order.side == "buy" else "buy"
                    market.submit(taker, ahead + qty, order.limit_price, self._core.now_ns())
                    return
                ahead += other.qty + (other.hidden if level.price != order.limit_price else ZERO)

    def place(self, account: Account, order: Mapping[str, Any]) -> str:
        """Place an order for an account as its owner would by hand, in REST's words, and give its id.

        Without `price` it is far from the market, with the pair's least quantity at least.

        Raises:
            RestError: it is refused.
        """
        symbol = order.get("pair") or next(iter(self._core.listing.pairs))
        market = self._core.market(symbol)
        pair, last = market.pair, market.trades[-1].price
        price = (last * HALF).quantize(pair.price_increment)
        least = max(pair.qty_min, (pair.cost_min / price).quantize(pair.qty_increment) + pair.qty_increment)
        fields = {"pair": symbol, "type": "buy", "ordertype": "limit", "price": price, "volume": least, **order}
        call = Call("AddOrder", account, account.keys[0], Params(fields), self._core.now_ns())
        (order_id,) = self._core.private.trading.endpoints["AddOrder"](call)["txid"]
        return str(order_id)

    def _resting(self, account: Account) -> list[Order]:
        """Give the orders that stand in a book, oldest first."""
        return [order for order in account.live_orders() if self._core.desk.rests(order)]

    def _fire_switch(self, account: Account) -> None:
        account.cancel_at_ns = None
        for order in account.live_orders():
            self._core.desk.cancel(account, order, self._core.now_ns(), TIMEOUT)

    def _restate(self, account: Account) -> None:
        """Reduce the oldest order of which a share can be left."""
        for order in self._resting(account):
            unit = self._core.listing.pairs[order.symbol].qty_increment
            if order.left <= unit or order.display:
                continue
            fault = self._core.faults.fire("restate", symbol=order.symbol, account=account.name)
            if fault is None:
                return
            share = (order.left * Decimal(str(fault["share"]))).quantize(unit, rounding=ROUND_DOWN)
            qty = order.filled + min(max(unit, share), order.left - unit)
            self._core.desk.restate(account, order, qty, self._core.now_ns())
            return

    def _cancel(self, account: Account) -> None:
        """Cancel the oldest orders, each for one firing of the fault."""
        for order in account.live_orders():
            fault = self._core.faults.fire("unsolicited_cancel", symbol=order.symbol, account=account.name)
            if fault is not None:
                reason = fault["reason"] or BY_EXCHANGE
                self._core.desk.cancel(account, order, self._core.now_ns(), reason)
