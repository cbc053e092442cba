"""What an account tells: fills, balances with what orders hold of them, and where the streams broke."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .types import Quality

FillSource = Literal["stream", "snapshot", "rest"]
HoldSource = Literal["rest", "orders", "none"]


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee. `asset` is None where REST told the amount and the order that would say the asset is not known."""

    asset: str | None
    qty: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution of an order of ours.

    Attributes:
        exec_id: the exchange's id of it, the same on the stream and in REST's trades history.
        qty: in base units. cost: in quote units.
        liquidity: m for maker, t for taker, "" where nothing tells.
        cum_qty, cum_cost, avg_price: of the order after this fill; only the stream tells them.
        exch_ns: the exchange's time, ns since epoch; REST has it to a tenth of a millisecond or so.
        source: where it was learned from.
        recovered: it was not streamed: it happened, or its message went missing, while we did not hear.
        recv_ns: our monotonic time of learning.
    """

    exec_id: str
    order_id: str
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    cost: Decimal
    exch_ns: int
    fees: tuple[Fee, ...] = ()
    cl_ord_id: str | None = None
    order_userref: int | None = None
    order_type: str = ""
    trade_id: int | None = None
    liquidity: str = ""
    cum_qty: Decimal | None = None
    cum_cost: Decimal | None = None
    avg_price: Decimal | None = None
    source: FillSource = "stream"
    recv_ns: int = 0

    @property
    def recovered(self) -> bool:
        """Whether it was learned by a snapshot or by REST instead of being streamed."""
        return self.source != "stream"


@dataclass(frozen=True, slots=True)
class AccountGap:
    """A private channel missed something.

    Attributes:
        channel: executions or balances.
        reason: why: the line was lost, the sequence broke, a fill was found missing.
        since_ns, until_ns: the exchange's time of the last thing known before, and of the first after; 0 if unknown.
        fills: recovered in it.
        healed: everything in it was recovered. If not, what is missing may still come, out of order.
    """

    channel: str
    reason: str
    since_ns: int
    until_ns: int
    fills: int
    healed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account has of an asset.

    Attributes:
        total: over all wallets, from the `balances` stream.
        hold: what open orders bind. None while nothing tells.
        hold_source: `rest`: as the exchange said and no order changed since; `orders`: computed from open orders,
            which counts limit price times quantity left for buys and quantity left for sells; `none`.
        free: total less hold; None while the hold is not known.
        quality, age_ms: of the total. hold_age_ms: of the hold.
    """

    asset: str
    total: Decimal
    hold: Decimal | None
    hold_source: HoldSource
    quality: Quality
    age_ms: float | None
    hold_age_ms: float | None = None
    updated_ns: int | None = None
    total_source: Literal["stream"] = "stream"

    @property
    def free(self) -> Decimal | None:
        """What can be traded or taken out now."""
        return None if self.hold is None else self.total - self.hold
