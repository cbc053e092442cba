"""Kraken's trading counter, one for each pair, kept here so that the exchange never has to refuse.

Theory of operation. A transaction adds its points, time takes away, above the threshold orders are refused. Amends,
edits and cancels pay besides for the youth of the order, counted from its creation or last amend. Here points count
from the sending on and decay from the answer on, so ours is never below the exchange's, which counts from the arrival.
Where executions are subscribed with `ratecounter`, the exchange tells its own count and ours follows it.

Cancels are never kept back: they may always go, and only their points are noted.

Source: websocket-v2.md section 16; https://docs.kraken.com/api/docs/guides/spot-ratelimits.
"""

from __future__ import annotations

from ..policy import SECOND_NS
from ..rest.engine_limits import ENGINE_TIERS, penalty, tier_of
from ..rest.limits import Tier

OPEN_ORDERS_MAX = {"starter": 60, "intermediate": 80, "pro": 225}
"""Of one pair."""

_ENDPOINTS = {"amend": "AmendOrder", "edit": "EditOrder", "cancel": "CancelOrder"}
_FIXED = {"add": 1, "amend": 1, "edit": 1, "cancel": 0}


def cost_of(kind: str, age_ns: int | None = None) -> int:
    """Give the points of a transaction: add, amend, edit or cancel, of an order of this age.

    >>> cost_of("add"), cost_of("amend", 7 * SECOND_NS), cost_of("cancel", 36 * SECOND_NS)
    (1, 3, 4)
    """
    points = _FIXED[kind]
    return points if age_ns is None or kind not in _ENDPOINTS else points + penalty(_ENDPOINTS[kind], age_ns)


class PairCounter:
    """The counter of one pair.

    >>> counter = PairCounter(ENGINE_TIERS["starter"])
    >>> counter.begin(60); counter.end(60, 0)
    >>> counter.wait_ns(1, 0), counter.wait_ns(1, 2 * SECOND_NS)
    (1000000001, 0)
    """

    __slots__ = ("_level", "_level_ns", "_under_way", "tier")

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._level = 0.0
        self._level_ns = 0
        self._under_way = 0.0

    def level(self, now_ns: int) -> float:
        """Points that count now, transactions without answer included."""
        decayed = self._level - (now_ns - self._level_ns) * self.tier.decay_per_s / SECOND_NS
        return (max(0.0, decayed)) + self._under_way

    def wait_ns(self, cost: float, now_ns: int) -> int:
        """Nanoseconds until a transaction of this cost keeps below the threshold; 0 means now."""
        over = self.level(now_ns) + cost - self.tier.points_max
        return int(over * SECOND_NS / self.tier.decay_per_s) + 1 if over > 1e-9 else 0

    def begin(self, cost: float) -> None:
        """A transaction is sent."""
        self._under_way += cost

    def end(self, cost: float, now_ns: int) -> None:
        """Its answer came, or will not come; from now on its points decay."""
        self._under_way = max(0.0, self._under_way - cost)
        self._set(self.level(now_ns) - self._under_way + cost, now_ns)

    def correct(self, ratecount: float, now_ns: int) -> None:
        """The exchange told its count."""
        self._set(max(0.0, ratecount), now_ns)

    def refused(self, now_ns: int) -> None:
        """The exchange refused for the rate: so its count stands at the threshold."""
        self._set(max(float(self.tier.points_max), self.level(now_ns) - self._under_way), now_ns)

    def _set(self, level: float, now_ns: int) -> None:
        self._level = level
        self._level_ns = now_ns


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
