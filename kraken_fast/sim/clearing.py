"""From trades to money: fees, ledger entries, holds.

Every fill moves both assets of its account, writes one ledger entry for each, and takes the fee where the
order's flags say. Costs and fees are cut, never rounded up, at the decimals that both the pair's cost and the
asset's ledger have: so what an order spends never exceeds what it bound, and a buyer pays exactly what the
seller gets.

The crowd has no account. What accounts gave to it and took from it is kept in `crowd`, fees in `fees`: with
the balances they sum to what was deposited, at every moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from .account import Account
from .candles import Trade
from .fees import fee_tier
from .instruments import Pair
from .records import Execution, Order, OrderEvent

if TYPE_CHECKING:
    from .core import ExchangeCore

ZERO = Decimal(0)
PERCENT = Decimal(100)


class Clearing:
    """Books fills.

    Args:
        core: the exchange.

    Attributes:
        crowd: what the crowd has gained from the accounts, by asset; losses are negative.
        fees: what the exchange has taken, by asset.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self.crowd: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.fees: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._core = core

    def fill(self, account: Account, order: Order, trade: Trade, *, maker: bool) -> Order:
        """Book one fill of an account's order and give the order as it is now."""
        pair = self._core.listing.pairs[order.symbol]
        cost = self._cut(trade.price * trade.qty, pair)
        percent = fee_tier(account.volume_usd).percent(maker=maker)
        in_base = order.flag("fcib")
        if in_base:
            fee = (trade.qty * percent / PERCENT).quantize(self._unit(pair.base), rounding=ROUND_DOWN)
        else:
            fee = self._cut(cost * percent / PERCENT, pair)
        exec_id = account.ids.new("T")
        gained = -1 if order.side == "sell" else 1
        quote = (pair.quote, -gained * cost, ZERO if in_base else fee)
        base = (pair.base, gained * trade.qty, fee if in_base else ZERO)
        entries = [
            account.post("trade", asset, amount, taken, exec_id, trade.time_ns)
            for asset, amount, taken in (base, quote)
        ]
        for entry in entries:
            self.crowd[entry.asset] -= entry.amount
            self.fees[entry.asset] += entry.fee
        execution = Execution(
            exec_id,
            order.order_id,
            trade.trade_id,
            order.symbol,
            order.side,
            order.order_type,
            trade.price,
            trade.qty,
            cost,
            fee,
            pair.base if in_base else pair.quote,
            maker,
            trade.time_ns,
            tuple(entry.ledger_id for entry in entries),
        )
        order = replace(
            order,
            filled=order.filled + trade.qty,
            cost=order.cost + cost,
            fee=order.fee + fee,
            trades=(*order.trades, exec_id),
        )
        order = replace(order, hold=self.hold(account, order))
        account.record(OrderEvent("trade", order, trade.time_ns, execution))
        account.volume_usd += cost * (self._core.last_price(pair.quote, "USD") or ZERO)
        if not order.left:
            order = replace(order, status="closed", closed_ns=trade.time_ns)
            account.record(OrderEvent("filled", order, trade.time_ns))
        return order

    def hold(self, account: Account, order: Order) -> Decimal:
        """Compute what an order binds: all that it can still cost, with the fee where that comes on top.

        A market order never rests, so it binds nothing.
        """
        pair = self._core.listing.pairs[order.symbol]
        price = order.limit_price or order.price2 or order.price
        if not order.left or not price:
            return ZERO
        return self.needed(account, order, pair, order.left * price)

    def needed(self, account: Account, order: Order, pair: Pair, cost: Decimal) -> Decimal:
        """Compute what an order spends if the rest of it costs so much."""
        percent = fee_tier(account.volume_usd).taker
        if order.side == "buy":
            spent, with_fee = cost, not order.flag("fcib")
        else:
            spent, with_fee = order.left, order.flag("fcib")
        total = spent * (1 + percent / PERCENT) if with_fee else spent
        return total.quantize(self._unit(spends(order, pair)), rounding=ROUND_CEILING)

    def _cut(self, cost: Decimal, pair: Pair) -> Decimal:
        places = min(pair.cost_precision, self._core.listing.assets[pair.quote].precision)
        return cost.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN)

    def _unit(self, asset: str) -> Decimal:
        return Decimal(1).scaleb(-self._core.listing.assets[asset].precision)


def spends(order: Order, pair: Pair) -> str:
    """Give the asset that an order gives away."""
    return pair.quote if order.side == "buy" else pair.base


def check_money(core: ExchangeCore, deposits: Mapping[str, Decimal]) -> None:
    """Assert that no money was made or lost: balances, fees and the crowd's gains sum to the deposits."""
    clearing = core.desk.clearing
    for asset, deposited in deposits.items():
        held = sum((account.balances.get(asset, ZERO) for account in core.accounts.values()), ZERO)
        assert held + clearing.fees[asset] + clearing.crowd[asset] == deposited, asset
