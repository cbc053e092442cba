"""What an account tells besides executions: balances with what orders hold of them, and where its streams broke."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .types import Quality

HoldSource = Literal["rest", "orders", "none"]


@dataclass(frozen=True, slots=True)
class AccountGap:
    """A private channel missed something.

    Attributes:
        channel: executions or balances.
        reason: why: the line was lost, the sequence broke, a fill was found missing.
        since_ns, until_ns: the exchange's time of the last thing known before, and of the first after; 0 if unknown.
        fills: recovered in it; of balances, movements.
        healed: everything in it was recovered. If not, fills that are missing may still come, out of order; of balances
            the totals are right again, and movements in the gap come as REST tells them, marked as recovered: a second
            gap that is healed says when they were all, a minute later.
    """

    channel: str
    reason: str
    since_ns: int
    until_ns: int
    fills: int
    healed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
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
