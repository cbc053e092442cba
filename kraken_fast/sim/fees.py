"""What a trade costs: the schedule of Kraken Pro by volume of the last thirty days.

A box lives shorter than thirty days, so an account's volume is all that it ever traded.
Source: https://www.kraken.com/features/fee-schedule, read 2026-11; the first tiers of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class FeeTier(NamedTuple):
    """Percent of the cost, from a volume in US dollars on."""

    volume: Decimal
    taker: Decimal
    maker: Decimal

    def percent(self, *, maker: bool) -> Decimal:
        """Give what one side of a trade pays."""
        return self.maker if maker else self.taker


SCHEDULE = (
    FeeTier(Decimal(0), Decimal("0.40"), Decimal("0.25")),
    FeeTier(Decimal(10_000), Decimal("0.35"), Decimal("0.20")),
    FeeTier(Decimal(50_000), Decimal("0.24"), Decimal("0.14")),
)


def fee_tier(volume: Decimal) -> FeeTier:
    """Give the tier of a volume.

    >>> fee_tier(Decimal(10_000)).taker
    Decimal('0.35')
    """
    return [tier for tier in SCHEDULE if tier.volume <= volume][-1]


def next_tier(tier: FeeTier) -> FeeTier | None:
    """Give the tier above, None at the top."""
    at = SCHEDULE.index(tier) + 1
    return SCHEDULE[at] if at < len(SCHEDULE) else None
