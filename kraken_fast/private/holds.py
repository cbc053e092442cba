"""What open orders hold of each asset, and who says so: the exchange while nothing changed since, else the orders.

The `balances` stream carries no holds. REST's BalanceEx does, for spot orders; it is asked now and then. In between,
holds are computed: a buy holds its limit price times the quantity left, in quote; a sell the quantity left, in base.
Fees are not in it: whether the exchange holds them too was not recorded. An order without a limit price cannot be
reckoned so, and its asset has no hold until the exchange tells one.

Source: rest.md section 8, BalanceEx; websocket-v2.md section 13; design.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..account_records import HoldSource
from ..core.order_store import AccountOrder

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held of an asset; `at_ns` is when that was so, monotonic."""

    amount: Decimal | None
    source: HoldSource
    at_ns: int | None


def held_by(orders: Iterable[AccountOrder]) -> dict[str, Decimal | None]:
    """Reckon what orders hold, by asset; None where an order cannot be reckoned."""
    held: dict[str, Decimal | None] = {}
    for order in orders:
        if order.told("margin") or not order.symbol:
            continue
        base, _, quote = order.symbol.partition("/")
        asset = quote if order.side == "buy" else base
        amount = _amount(order)
        before = held.get(asset, ZERO)
        held[asset] = None if amount is None or before is None else before + amount
    return held


def _amount(order: AccountOrder) -> Decimal | None:
    if order.order_qty is None:
        return None
    left = order.order_qty - (order.cum_qty or ZERO)
    if order.side != "buy":
        return left
    return left * order.limit_price if order.limit_price else None


class Holds:
    """The holds of one account.

    Attributes:
        is_current: no order changed since the exchange told its holds.
    """

    def __init__(self) -> None:
        self._told: Mapping[str, Decimal] | None = None
        self._told_ns: int | None = None
        self._changed_ns: int | None = None

    @property
    def is_current(self) -> bool:
        """Whether the exchange's word still holds."""
        return self._told_ns is not None and (self._changed_ns is None or self._changed_ns < self._told_ns)

    def on_orders(self, at_ns: int) -> None:
        """An order came, went, or changed."""
        self._changed_ns = at_ns

    def on_told(self, holds: Mapping[str, Decimal], *, asked_ns: int) -> None:
        """BalanceEx answered a question asked at `asked_ns`; what changed since then it may not know."""
        self._told, self._told_ns = holds, asked_ns

    def get(self, asset: str, orders: Iterable[AccountOrder] | None, now_ns: int) -> Hold:
        """Give the hold of an asset.

        Args:
            asset: its name.
            orders: all that are open, None if that is not known at present.
            now_ns: monotonic.
        """
        if self.is_current and self._told is not None:
            return Hold(self._told.get(asset, ZERO), "rest", self._told_ns)
        if orders is not None:
            amount = held_by(orders).get(asset, ZERO)
            if amount is not None:
                return Hold(amount, "orders", now_ns)
        return Hold(None, "none", None)
