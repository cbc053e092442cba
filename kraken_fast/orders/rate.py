"""Kraken's trading counter, one for each pair, kept here so that the exchange never has to refuse.

Theory of operation. A transaction adds its points, time takes away, above the threshold orders are refused. Amends,
edits and cancels pay besides for the youth of the order, counted from its creation or last amend. Here points count
from the sending on and decay from the answer on, so ours is never below the exchange's, which counts from the arrival.
Where executions are subscribed with `ratecounter`, the exchange tells its own count and ours follows it.

Cancels are never kept back: they may always go, and only their points are noted.

Source: websocket-v2.md section 16; https://docs.kraken.com/api/docs/guides/spot-ratelimits.
"""

from __future__ import annotations

from ..rest.engine_limits import ENGINE_TIERS, penalty, tier_of
from ..rest.limits import DecayingPoints

OPEN_ORDERS_MAX = {"starter": 60, "intermediate": 80, "pro": 225}
"""Of one pair."""

_ENDPOINTS = {"amend": "AmendOrder", "edit": "EditOrder", "cancel": "CancelOrder"}
_FIXED = {"add": 1, "amend": 1, "edit": 1, "cancel": 0}


def cost_of(kind: str, age_ns: int | None = None) -> int:
    """Give the points of a transaction: add, amend, edit or cancel, of an order of this age.

    >>> cost_of("add"), cost_of("amend", 7_000_000_000), cost_of("cancel", 36_000_000_000)
    (1, 3, 4)
    """
    points = _FIXED[kind]
    return points if age_ns is None or kind not in _ENDPOINTS else points + penalty(_ENDPOINTS[kind], age_ns)


class PairCounter(DecayingPoints):
    """The counter of one pair; the exchange's own count corrects it."""

    __slots__ = ()

    def correct(self, ratecount: float, now_ns: int) -> None:
        """The exchange told its count."""
        self._set(max(0.0, ratecount), now_ns)

    def refused(self, now_ns: int) -> None:
        """The exchange refused for the rate: so its count stands at the threshold."""
        self._set(max(float(self.tier.points_max), self.level(now_ns) - self._under_way), now_ns)


class TradingBudget:
    """The counters of all pairs of an account. Pairs at rest are forgotten, so their number stays bounded."""

    PAIRS_MAX = 4096

    def __init__(self, tier: str = "starter") -> None:
        self.tier = ENGINE_TIERS[tier]
        self._pairs: dict[str, PairCounter] = {}

    @property
    def open_orders_max(self) -> int:
        """The ceiling of open orders of one pair."""
        return OPEN_ORDERS_MAX[self.tier.name]

    def pair(self, symbol: str) -> PairCounter:
        """Give the counter of a pair."""
        counter = self._pairs.get(symbol)
        if counter is None:
            if len(self._pairs) >= self.PAIRS_MAX:
                self._pairs.pop(next(iter(self._pairs)))
            counter = self._pairs[symbol] = PairCounter(self.tier)
        return counter

    def set_points_max(self, points_max: int) -> None:
        """Learn the tier from `maxratecount`."""
        self.tier = ENGINE_TIERS[tier_of(points_max)]
        for counter in self._pairs.values():
            counter.tier = self.tier
