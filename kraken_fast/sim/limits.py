"""What an account may do how often: tiers, decaying counters, lockouts.

Two counters stand apart. A key's *call counter* takes the REST calls; it is refused whatever would lift it
above the maximum. An account's *engine counter* of each pair takes orders, amends and cancels whoever brings
them, REST or WebSocket; its penalties grow with the haste in which an order is changed or cancelled.

Source: https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits and .../spot-ratelimits, read 2026-11.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from .texts import NS_PER_S

TierName = Literal["starter", "intermediate", "pro"]
ZERO = Decimal(0)


class Tier(NamedTuple):
    """One column of Kraken's tables; points and points per second."""

    calls_max: int
    calls_decay: Decimal
    engine_max: int
    engine_decay: Decimal
    open_orders_max: int
    scheduled_max: int


TIERS: dict[str, Tier] = {
    # A starter's ceiling of scheduled orders is not documented: the open-order ceiling holds.
    "starter": Tier(15, Decimal("0.33"), 60, Decimal(1), 60, 60),
    "intermediate": Tier(20, Decimal("0.5"), 125, Decimal("2.34"), 80, 25),
    "pro": Tier(20, Decimal(1), 180, Decimal("3.75"), 225, 40),
}

HISTORY_CALLS = frozenset({"Ledgers", "TradesHistory", "ClosedOrders"})
"""Calls that cost `history_cost`: 2 by the documentation, 4 by a support article of 2026-08."""

FREE_CALLS = frozenset(
    {
        "AddOrder",
        "AddOrderBatch",
        "AmendOrder",
        "EditOrder",
        "CancelOrder",
        "CancelOrderBatch",
        "CancelAll",
        "CancelAllOrdersAfter",
    }
)
"""Trading calls: the engine counter takes them instead."""

LOCKOUT_AFTER = 5
"""Invalid keys in a row from one address before it is locked out; Kraken documents no number."""

LOCKOUT_NS = 900 * NS_PER_S
"""How long: "a few minutes" in the documentation, fifteen in the comments of clients."""


class DecayingCounter:
    """Points that decay linearly down to zero; exact, because the same run must give the same refusals."""

    __slots__ = ("_at_ns", "_points")

    def __init__(self) -> None:
        self._points = ZERO
        self._at_ns = 0

    def points(self, decay: Decimal, now_ns: int) -> Decimal:
        """Give what is left by now of what was added, at so many points a second."""
        gone = decay * (now_ns - self._at_ns) / NS_PER_S
        self._points = max(ZERO, self._points - gone)
        self._at_ns = now_ns
        return self._points

    def add(self, points: Decimal | int) -> None:
        """Add points as of the last look."""
        self._points += points


_AGES_S = (5, 10, 15, 45, 90, 300)
_PENALTIES = {"amend": (3, 2, 1, 0, 0, 0), "edit": (6, 5, 4, 2, 1, 0), "cancel": (8, 6, 5, 4, 2, 1)}


def penalty(action: Literal["amend", "edit", "cancel"], age_ns: int) -> int:
    """Give the engine's points for changing an order of this age, besides the fixed one.

    >>> penalty("amend", 7 * NS_PER_S), penalty("cancel", 36 * NS_PER_S), penalty("cancel", 300 * NS_PER_S)
    (2, 4, 0)
    """
    for age_s, points in zip(_AGES_S, _PENALTIES[action], strict=True):
        if age_ns < age_s * NS_PER_S:
            return points
    return 0


class Lockouts:
    """Counts the invalid keys that an address sends in a row, and shuts it out after too many."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._until_ns: dict[str, int] = {}

    def holds(self, address: str, now_ns: int) -> bool:
        """Tell whether an address is locked out; asking while it is prolongs it."""
        if now_ns >= self._until_ns.get(address, 0):
            return False
        self.lock(address, LOCKOUT_NS, now_ns)
        return True

    def lock(self, address: str, span_ns: int, now_ns: int) -> None:
        """Lock an address out for so long."""
        self._until_ns[address] = max(self._until_ns.get(address, 0), now_ns + span_ns)
        self._failures.pop(address, None)

    def failed(self, address: str, now_ns: int) -> None:
        """Take note of an invalid key."""
        self._failures[address] = self._failures.get(address, 0) + 1
        if self._failures[address] >= LOCKOUT_AFTER:
            self.lock(address, LOCKOUT_NS, now_ns)

    def passed(self, address: str) -> None:
        """Take note of a valid one."""
        self._failures.pop(address, None)
