"""The trading desk: the life of every account's order, from its acceptance to its end.

Theory of operation. An order that is accepted is recorded twice, `pending_new` and `new`, then it waits for
its start or its trigger, or it *enters* the book: what it can take it takes, the rest of it rests, or is
cancelled if it may not rest. What it would meet is looked at first (`_reach`), so that self-trade prevention,
fill-or-kill, post-only and the funds of a market order are decided before anything happens. The market tells
of every trade that it made; if the order that was met is an account's, the desk books that side too.

One event may cause others: a trade moves the last price and triggers an order, a fill places its conditional
close. Those wait until the operation that caused them is over (`_operation`), then happen one after the other.

Invariants: every order that rests in an engine on behalf of an account is in `_resting`, with what is left of
it; every live order binds what it can still spend; `_check` says so.

What it does not do: margin.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from .account import Account
from .admission import check_ceilings, check_client_id, check_post_only, check_state, sized
from .candles import Trade
from .clearing import Clearing, spends
from .drafts import Draft, draft
from .engine import Fill
from .limits import DecayingCounter, penalty
from .market import Market
from .params import Params, invalid
from .reach import Reach, reach
from .records import Amend, AmendKind, ExecType, Order, OrderEvent
from .refusals import RestError
from .trailing import followed

if TYPE_CHECKING:
    from .core import ExchangeCore

ZERO = Decimal(0)

# Kraken's words for the first two were captured; the others are ours.
BY_USER = "User requested"
POST_ONLY = "Post only order"
NO_FUNDS = "Insufficient funds"
NOT_FILLED = "Time in force"
NO_LIQUIDITY = "Insufficient liquidity"
SELF_TRADE = "Self trade prevention"
EXPIRED = "Order expired"
TIMEOUT = "Cancel all orders after timeout"
RESTATED = "Reduced by engine"
NEW_PRECISION = "Precision of the pair changed"


class Desk:
    """Takes the orders of all accounts of one exchange.

    Args:
        core: the exchange.
        limit_orders: whether the engine counters and the ceilings of open orders refuse.
    """

    def __init__(self, core: ExchangeCore, *, limit_orders: bool) -> None:
        self.clearing = Clearing(core)
        self.limit_orders = limit_orders
        self._core = core
        self._resting: dict[tuple[str, int], tuple[Account, str]] = {}
        self._engine_ids: dict[str, int] = {}
        self._waiting: dict[str, dict[str, Account]] = {}
        self._timers: list[tuple[int, int, Account, str]] = []
        self._timer_count = 0
        self._busy = False
        self._stirred: dict[str, None] = {}
        self._closes: deque[tuple[Account, Order, Decimal]] = deque()

    @property
    def deadline_ns(self) -> int | None:
        """When `advance` has something to do."""
        if self._core.system_status == "maintenance":
            return None
        times = [timer[0] for timer in self._timers[:1]]
        times += [
            account.cancel_at_ns
            for account in self._core.accounts.values()
            if account.cancel_at_ns is not None
        ]
        return min(times, default=None)

    def advance(self, now_ns: int) -> None:
        """Do what is due: starts, expiries, dead man's switches. Nothing happens during maintenance."""
        if self._core.system_status == "maintenance":
            return
        while self._timers and self._timers[0][0] <= now_ns:
            _, _, account, order_id = heapq.heappop(self._timers)
            order = account.live_order(order_id)
            if order is not None:
                with self._operation(now_ns):
                    self._ring(account, order, now_ns)
        for account in self._core.accounts.values():
            if account.cancel_at_ns is not None and account.cancel_at_ns <= now_ns:
                account.cancel_at_ns = None
                for order in account.live_orders():
                    self.cancel(account, order, now_ns, TIMEOUT)

    def order_id(self, symbol: str, engine_id: int) -> str | None:
        """Give the id of the account's order that rests in a market under this number, None if the crowd's."""
        owner = self._resting.get((symbol, engine_id))
        return None if owner is None else owner[1]

    def rests(self, order: Order) -> bool:
        """Tell whether an order stands in a book."""
        return order.order_id in self._engine_ids

    # What an account asks for --------------------------------------------------------------------------------

    def charge(self, account: Account, symbol: str, points: Decimal | int, now_ns: int) -> None:
        """Charge the fixed part of a transaction; it is charged even if the transaction then fails.

        Raises:
            RestError: the pair's counter stands above the tier's threshold.
        """
        counter = account.engine_points.setdefault(symbol, DecayingCounter())
        stands = counter.points(account.tier.engine_decay, now_ns) + points
        counter.add(points)
        if self.limit_orders and stands > account.tier.engine_max:
            raise RestError("EOrder:Rate limit exceeded")

    def penalize(self, account: Account, order: Order, points: int, now_ns: int) -> None:
        """Charge the part of a transaction that goes by the order's age."""
        counter = account.engine_points.setdefault(order.symbol, DecayingCounter())
        counter.points(account.tier.engine_decay, now_ns)
        counter.add(points)

    def admit(self, asked: Order, now_ns: int, deadline_ns: int | None = None) -> None:
        """Refuse what the states of exchange and pair or the order's deadline do not allow.

        Raises:
            RestError: with Kraken's words for that state.
        """
        if deadline_ns is not None and deadline_ns <= now_ns:
            raise RestError("EService:Deadline elapsed")
        check_state(asked, self._core.system_status, self._core.listing.pairs[asked.symbol])

    def place(self, account: Account, asked: Draft, now_ns: int) -> Order:
        """Accept an order and let it act; the fixed points are charged before.

        Returns:
            The order as it is afterwards.

        Raises:
            RestError: the engine refuses it, and there is no order.
        """
        market = self._core.market(asked.order.symbol)
        order = sized(asked.order, market)
        self._may_place(account, order, market, now_ns)
        with self._operation(now_ns):
            return self._accept(account, order, now_ns)

    def cancel(
        self, account: Account, order: Order, now_ns: int, reason: str, exec_type: ExecType = "canceled"
    ) -> None:
        """Take an order out, wherever it is."""
        with self._operation(now_ns):
            self._end(account, order, now_ns, reason, exec_type)

    def cancel_for(self, account: Account, order: Order, now_ns: int) -> None:
        """Cancel as an account asked, and charge for the haste."""
        self.penalize(account, order, penalty("cancel", now_ns - order.changed_ns), now_ns)
        self.cancel(account, order, now_ns, BY_USER)

    def amend(self, account: Account, order: Order, changed: Order, now_ns: int) -> Amend:
        """Change an order in place; less quantity at the same price keeps its place in the queue.

        Args:
            account: whose.
            order: as it is.
            changed: as it is to be: quantity, prices and flags are looked at.
            now_ns: when.

        Raises:
            RestError: the engine refuses; the order stays as it was.
        """
        if order.close is not None:
            raise RestError("EOrder:Invalid order")
        if replace(changed, changed_ns=0) == replace(order, changed_ns=0):
            raise invalid()
        market = self._core.market(order.symbol)
        changed = replace(changed, changed_ns=now_ns, amended=True)
        changed = replace(changed, hold=self.clearing.hold(account, changed))
        if changed.hold > account.free(order.hold_asset) + order.hold:
            raise RestError("EOrder:Insufficient funds")
        check_post_only(changed, market)
        self.penalize(account, order, penalty("amend", now_ns - order.changed_ns), now_ns)
        amend = self._note_amend(account, order, changed, now_ns, BY_USER, "user")
        with self._operation(now_ns):
            if changed.left <= 0:
                self.penalize(account, order, penalty("cancel", now_ns - order.changed_ns), now_ns)
                self._end(account, order, now_ns, BY_USER)
            else:
                self._rework(account, order, changed, market, now_ns)
        return amend

    def restate(self, account: Account, order: Order, qty: Decimal, now_ns: int) -> None:
        """Reduce an order as the engine itself may do; it keeps its place.

        Args:
            account: whose.
            order: as it is.
            qty: more than is filled, and less than it was for.
            now_ns: when.
        """
        changed = replace(order, qty=qty, amended=True)
        changed = replace(changed, hold=self.clearing.hold(account, changed))
        self._note_amend(account, order, changed, now_ns, RESTATED, "restated")
        with self._operation(now_ns):
            account.record(OrderEvent("restated", changed, now_ns))
            engine_id = self._engine_ids.get(order.order_id)
            if engine_id is not None:
                self._core.market(order.symbol).amend(engine_id, changed.left, now_ns, changed.display)

    def replace(self, account: Account, order: Order, asked: Draft, now_ns: int) -> Order:
        """Cancel an order and place another; if the other is refused the first one stays.

        Raises:
            RestError: the engine refuses the new order.
        """
        market = self._core.market(order.symbol)
        new = sized(asked.order, market)
        self._may_place(account, new, market, now_ns, instead=order)
        self.penalize(account, order, penalty("edit", now_ns - order.changed_ns), now_ns)
        with self._operation(now_ns):
            self._end(account, order, now_ns, BY_USER)
            return self._accept(account, new, now_ns)

    @staticmethod
    def _note_amend(
        account: Account, order: Order, changed: Order, now_ns: int, reason: str, kind: AmendKind
    ) -> Amend:
        amends = account.amends.setdefault(order.order_id, [])
        if not amends:
            amends.append(_amend(account.ids.new("T"), order, order.created_ns, None, "original"))
        amends.append(_amend(account.ids.new("T"), changed, now_ns, reason, kind))
        return amends[-1]

    # What happens by itself ----------------------------------------------------------------------------------

    def on_fills(self, market: Market, fills: list[tuple[Trade, Fill]]) -> None:
        """Book the resting side of trades, whoever took."""
        with self._operation(market.changed_ns):
            for trade, fill in fills:
                owner = self._resting.get((market.symbol, fill.maker_id))
                if owner is not None:
                    account, order_id = owner
                    order = self._book(account, account.orders[order_id], trade, maker=not fill.took)
                    if fill.refilled:
                        account.record(OrderEvent("iceberg_refill", order, trade.time_ns))
            self._stirred[market.symbol] = None

    def withdraw_all(self, symbol: str, now_ns: int) -> None:
        """Cancel every order of a pair whose precisions are about to change."""
        for account in self._core.accounts.values():
            for order in account.live_orders():
                if order.symbol == symbol:
                    self.cancel(account, order, now_ns, NEW_PRECISION)

    # An order's steps ----------------------------------------------------------------------------------------

    @contextmanager
    def _operation(self, now_ns: int) -> Iterator[None]:
        """Do something, then what it caused; nested operations leave that to the outermost."""
        if self._busy:
            yield
            return
        self._busy = True
        try:
            yield
            self._settle(now_ns)
        finally:
            self._busy = False

    def _settle(self, now_ns: int) -> None:
        while self._stirred or self._closes:
            if self._closes:
                self._place_close(*self._closes.popleft(), now_ns)
                continue
            symbol = next(iter(self._stirred))
            del self._stirred[symbol]
            if not self._core.market(symbol).may_trigger:
                continue
            last = self._core.market(symbol).trades[-1].price
            for order_id, account in list(self._waiting.get(symbol, {}).items()):
                order = account.orders[order_id]
                if order.status == "open" and _fires(order, last):
                    self._trigger(account, order, now_ns)
                elif order.trail:
                    self._follow(account, order, last, now_ns)

    def _may_place(
        self, account: Account, order: Order, market: Market, now_ns: int, instead: Order | None = None
    ) -> None:
        live = [other for other in account.live_orders() if other is not instead]
        check_client_id(order, live)
        if self.limit_orders:
            check_ceilings(order, live, account.tier, now_ns)
        asset = spends(order, market.pair)
        free = account.free(asset) + (
            instead.hold if instead is not None and instead.hold_asset == asset else ZERO
        )
        needed = self.clearing.hold(account, order)
        if order.order_type == "market":
            cost = self._reach(account, order, market).cost
            needed = self.clearing.needed(account, order, market.pair, cost)
        if needed > free:
            raise RestError("EOrder:Insufficient funds")
        check_post_only(order, market)

    def _accept(self, account: Account, order: Order, now_ns: int) -> Order:
        pair = self._core.listing.pairs[order.symbol]
        order = replace(
            order,
            order_id=account.ids.new("O"),
            hold_asset=spends(order, pair),
            hold=self.clearing.hold(account, order),
        )
        account.record(OrderEvent("pending_new", order, now_ns))
        for time_ns in (order.start_ns, order.expire_ns):
            if time_ns:
                self._timer_count += 1
                heapq.heappush(self._timers, (time_ns, self._timer_count, account, order.order_id))
        return order if order.start_ns else self._activate(account, order, now_ns)

    def _activate(self, account: Account, order: Order, now_ns: int) -> Order:
        order = replace(order, status="open")
        account.record(OrderEvent("new", order, now_ns))
        if order.has_trigger:
            self._waiting.setdefault(order.symbol, {})[order.order_id] = account
            self._stirred[order.symbol] = None
            return order
        return self._enter(account, order, now_ns)

    def _ring(self, account: Account, order: Order, now_ns: int) -> None:
        if order.status == "pending" and order.start_ns <= now_ns:
            order = self._activate(account, order, now_ns)
        if order.live and order.expire_ns and order.expire_ns <= now_ns:
            self._end(account, order, now_ns, EXPIRED, "expired")

    def _trigger(self, account: Account, order: Order, now_ns: int) -> None:
        del self._waiting[order.symbol][order.order_id]
        order = replace(order, triggered_ns=now_ns, limit_price=order.price2 or None)
        account.record(OrderEvent("status", order, now_ns))
        self._enter(account, order, now_ns)

    def _follow(self, account: Account, order: Order, last: Decimal, now_ns: int) -> None:
        """Move a trailing stop; towards the market it never binds more than before."""
        moved = followed(order, last, self._core.listing.pairs[order.symbol])
        if moved is not order:
            moved = replace(moved, hold=self.clearing.hold(account, moved))
            account.record(OrderEvent("status", moved, now_ns))

    def _enter(self, account: Account, order: Order, now_ns: int) -> Order:
        """Let an order meet the book."""
        market = self._core.market(order.symbol)
        meets = self._reach(account, order, market)
        reason = self._obstacle(account, order, market, meets)
        if reason:
            return self._end(account, order, now_ns, reason)
        if meets.own and order.stp != "cancel-newest":
            for other in meets.own:
                self._end(account, account.orders[other], now_ns, SELF_TRADE)
        rests = order.limit_price is not None and order.time_in_force in ("gtc", "gtd") and not meets.blocked
        qty = order.left if rests else meets.qty
        if qty:
            order = self._submit(account, order, qty, market, now_ns)
        if order.live and not rests:
            why = NO_LIQUIDITY if order.limit_price is None else NOT_FILLED
            order = self._end(account, order, now_ns, SELF_TRADE if meets.blocked else why)
        return order

    def _obstacle(self, account: Account, order: Order, market: Market, meets: Reach) -> str:
        """Give the reason why an accepted order must not act after all, or nothing."""
        if order.limit_price is None:
            needed = self.clearing.needed(account, order, market.pair, meets.cost)
            if needed > account.free(order.hold_asset) + order.hold:
                return NO_FUNDS
        elif order.flag("post") and (meets.qty or meets.own):
            return POST_ONLY
        return NOT_FILLED if order.time_in_force == "fok" and meets.qty < order.left else ""

    def _reach(self, account: Account, order: Order, market: Market) -> Reach:
        def own_order(engine_id: int) -> str | None:
            owner, order_id = self._resting.get((order.symbol, engine_id), (None, ""))
            return order_id if owner is account else None

        return reach(order, market.engine, own_order)

    def _submit(self, account: Account, order: Order, qty: Decimal, market: Market, now_ns: int) -> Order:
        """Send an order to its market and book what it takes."""
        kind = "market" if order.limit_price is None else "limit"
        engine_id, trades = market.submit(
            order.side,
            qty,
            order.limit_price,
            now_ns,
            owned=True,
            ord_type=kind,
            display=order.display,
            name=order.order_id,
        )
        for trade in trades:
            order = self._book(account, order, trade, maker=False)
        if engine_id in market.engine.orders:
            self._resting[order.symbol, engine_id] = (account, order.order_id)
            self._engine_ids[order.order_id] = engine_id
        return order

    def _book(self, account: Account, order: Order, trade: Trade, *, maker: bool) -> Order:
        order = self.clearing.fill(account, order, trade, maker=maker)
        if order.close is not None:
            self._closes.append((account, order, trade.qty))
        if not order.live:
            self._forget(order)
        return order

    def _rework(self, account: Account, order: Order, changed: Order, market: Market, now_ns: int) -> None:
        engine_id = self._engine_ids.get(order.order_id)
        account.record(OrderEvent("amended", changed, now_ns))
        if engine_id is None:  # it waits for its start or its trigger
            self._stirred[order.symbol] = None
        elif changed.limit_price == order.limit_price:
            if (changed.left, changed.display) != (order.left, order.display):
                market.amend(engine_id, changed.left, now_ns, changed.display)
        else:
            market.cancel(engine_id, now_ns)
            self._forget(order)
            self._enter(account, changed, now_ns)

    def _end(
        self,
        account: Account,
        order: Order,
        now_ns: int,
        reason: str,
        exec_type: ExecType = "canceled",
    ) -> Order:
        engine_id = self._engine_ids.get(order.order_id)
        if engine_id is not None:
            self._core.market(order.symbol).cancel(engine_id, now_ns)
        self._forget(order)
        order = replace(
            order,
            status="expired" if exec_type == "expired" else "canceled",
            hold=ZERO,
            closed_ns=now_ns,
            reason=reason,
        )
        account.record(OrderEvent(exec_type, order, now_ns))
        return order

    def _forget(self, order: Order) -> None:
        engine_id = self._engine_ids.pop(order.order_id, None)
        if engine_id is not None:
            del self._resting[order.symbol, engine_id]
        self._waiting.get(order.symbol, {}).pop(order.order_id, None)

    def _place_close(self, account: Account, parent: Order, qty: Decimal, now_ns: int) -> None:
        """Place the conditional close of one fill; what is refused is dropped, as nobody waits for an answer."""
        assert parent.close is not None
        close, market = parent.close, self._core.market(parent.symbol)
        fields = {
            "type": "sell" if parent.side == "buy" else "buy",
            "ordertype": close.order_type,
            "price": close.price,
            "price2": close.price2,
            "volume": qty,
            "userref": parent.userref,
        }
        try:
            asked = draft(Params(fields), market.pair, market.trades[-1].price, now_ns)
            order = replace(asked.order, ref_id=parent.order_id)
            self._may_place(account, order, market, now_ns)
        except RestError:
            return
        self._accept(account, order, now_ns)

    def _check(self) -> None:
        for (symbol, engine_id), (account, order_id) in self._resting.items():
            order = account.orders[order_id]
            resting = self._core.market(symbol).engine.orders[engine_id]
            assert order.live, order
            assert resting.owned, order
            assert (resting.side, resting.price, resting.qty + resting.hidden) == (
                order.side,
                order.limit_price,
                order.left,
            ), order
            assert self._engine_ids[order_id] == engine_id, order
        owned = {
            (symbol, engine_id)
            for symbol in self._core.opened
            for engine_id, order in self._core.market(symbol).engine.orders.items()
            if order.owned
        }
        assert owned == self._resting.keys(), "an owned order rests without owner"
        for account in self._core.accounts.values():
            account._check()  # noqa: SLF001 - the checks of the parts are one check
            for order in account.live_orders():
                waits = order.status == "pending" or order.waiting
                assert waits != (order.order_id in self._engine_ids), order


def _fires(order: Order, last: Decimal) -> bool:
    """Tell whether the last price has reached an order's trigger."""
    rises = (order.side == "buy") != order.order_type.startswith("take-profit")
    return last >= order.price if rises else last <= order.price


def _amend(amend_id: str, order: Order, time_ns: int, reason: str | None, kind: AmendKind) -> Amend:
    return Amend(
        amend_id,
        kind,
        time_ns,
        order.qty,
        max(ZERO, order.left),
        order.price2 or order.limit_price,
        order.price if order.has_trigger else None,
        order.flag("post"),
        reason,
        order.display,
    )
