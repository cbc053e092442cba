"""The matching engine's counter, one for each pair: what an add, amend, edit or cancel costs, and who waits for it.

Theory of operation. Changing an order costs the more the younger it is, so the client remembers which orders it placed
and when they were last changed. Adds, amends and edits wait in a lane of their pair until their points fit. Cancels
never wait for anything: their points are added as they leave, and what comes after them waits the longer. Beyond the
threshold the exchange refuses single cancels, but none that come as a batch: `needs_batch` tells.

What is not known is not charged: an order that somebody else placed has no age here. Then the exchange refuses once,
and the counter learns from that.

Source: rest.md section 4.3; https://docs.kraken.com/exchange/guides/general/ratelimits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..core.clock import Clock
from ..errors import RateLimitError
from ..policy import SECOND_NS
from .catalogue import Endpoint, Priority
from .limits import CallCounter, Lane, Tier

ENGINE_TIERS = {
    "starter": Tier("starter", 60, 1.0),
    "intermediate": Tier("intermediate", 125, 2.34),
    "pro": Tier("pro", 180, 3.75),
}

AGES_S = (5, 10, 15, 45, 90, 300)
PENALTIES = {
    "AmendOrder": (3, 2, 1, 0, 0, 0),
    "EditOrder": (6, 5, 4, 2, 1, 0),
    "CancelOrder": (8, 6, 5, 4, 2, 1),
}
"""Points for changing an order younger than each of `AGES_S`, besides the fixed one of amends and edits."""

ORDERS_MAX = 10_000
PAIRS_MAX = 4_096
PARALLEL = 64


def tier_of(maxratecount: float) -> str:
    """Give the tier whose engine counter ends there, as the stream's `executions` tells it; the highest not above it.

    >>> tier_of(125), tier_of(60)
    ('intermediate', 'starter')
    """
    fitting = [name for name, tier in ENGINE_TIERS.items() if tier.points_max <= maxratecount]
    return fitting[-1] if fitting else next(iter(ENGINE_TIERS))


def penalty(endpoint: str, age_ns: int) -> int:
    """Give the points for changing an order of this age.

    >>> [penalty("CancelOrder", age_s * SECOND_NS) for age_s in (4, 5, 299, 300)]
    [8, 6, 1, 0]
    """
    table = zip(AGES_S, PENALTIES[endpoint], strict=True)
    return next((points for age_s, points in table if age_ns < age_s * SECOND_NS), 0)


@dataclass(slots=True)
class _Placed:
    """An order of ours: its pair, all its names, and when its age began."""

    pair: str
    names: tuple[str, ...]
    since_ns: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call will cost on one pair.

    Attributes:
        points: of the engine's counter.
        level, points_max: of the counter now.
        waits: whether it has to wait until it fits; cancels do not.
    """

    pair: str
    points: float
    level: float
    points_max: float
    waits: bool


class EngineLimits:
    """The engine's counters of one account, as far as its orders went through here.

    Args:
        clock: monotonic time.
        tier: starter, intermediate or pro.
        waiting_max: calls that may wait, for each pair.
        pair_of: brings the spellings of a pair together.
    """

    def __init__(
        self, clock: Clock, tier: str, *, waiting_max: int = 1000, pair_of: Callable[[str], str] = str
    ) -> None:
        self._clock = clock
        self._tier = tier
        self._waiting_max = waiting_max
        self._pair_of = pair_of
        self._lanes: OrderedDict[str, tuple[Lane, CallCounter]] = OrderedDict()
        self._placed: OrderedDict[str, _Placed] = OrderedDict()

    def set_tier(self, name: str) -> None:
        """Go by another tier from now on."""
        self._tier = name
        for _, counter in self._lanes.values():
            counter.tier = ENGINE_TIERS[name]

    def levels(self) -> dict[str, float]:
        """Give the points that count now, of the pairs where any do."""
        now_ns = self._clock.monotonic_ns
        levels = {pair: counter.level(now_ns) for pair, (_, counter) in self._lanes.items()}
        return {pair: level for pair, level in levels.items() if level > 0}

    def charges(self, endpoint: Endpoint, fields: Mapping[str, Any]) -> list[Charge]:
        """Tell what a call would cost; nothing when it is no order, is only validated, or names what is not known."""
        now_ns = self._clock.monotonic_ns
        charges = []
        for pair, points, waits in self._costs(endpoint, fields, now_ns):
            _, counter = self._lane(pair)
            charges.append(Charge(pair, points, counter.level(now_ns), counter.tier.points_max, waits))
        return charges

    def needs_batch(self, name: str) -> str | None:
        """Give the exchange's id of an order of ours whose cancel would be refused alone; None for all others."""
        placed = self._placed.get(name)
        if placed is None:
            return None
        _, counter = self._lane(placed.pair)
        return placed.names[0] if counter.level(self._clock.monotonic_ns) > counter.tier.points_max else None

    @asynccontextmanager
    async def turn(self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float) -> AsyncIterator[None]:
        """Wait until the engine has room for a call, and count it.

        Raises:
            RateLimitError: it would take longer than `wait_s`. Nothing was sent.
        """
        charges = self.charges(endpoint, fields)
        lanes = [(self._lane(charge.pair)[0], charge) for charge in charges]
        for lane, charge in lanes:
            if charge.waits:  # adds, amends and edits: of one pair
                await lane.enter(Priority.ORDER, charge.points, wait_max_s=wait_s)
            else:
                lane.pace.begin(charge.points, self._clock.monotonic_ns)
        try:
            yield
        except RateLimitError as error:
            for lane, _ in lanes if error.code.startswith("EOrder") else ():
                lane.refused(error.retry_after_s)
            raise
        finally:
            for lane, charge in lanes:
                if charge.waits:
                    lane.leave(charge.points)
                else:
                    lane.pace.end(charge.points, self._clock.monotonic_ns)

    def learn(self, endpoint: Endpoint, fields: Mapping[str, Any], result: Any) -> None:
        """Take note of what an accepted call changed: which orders there are, and how old they are."""
        if not isinstance(result, Mapping) or _only_validates(fields):
            return
        now_ns = self._clock.monotonic_ns
        match endpoint.name:
            case "AddOrder":
                txids = result.get("txid")
                self._note(
                    fields, [*(txids if isinstance(txids, list) else []), fields.get("cl_ord_id")], now_ns
                )
            case "AddOrderBatch":
                for order, row in zip(fields.get("orders", ()), result.get("orders") or (), strict=False):
                    if isinstance(row, Mapping) and row.get("txid"):
                        self._note(fields, [row["txid"], order.get("cl_ord_id")], now_ns)
            case "EditOrder":
                self._forget(str(fields.get("txid")))
                self._note(fields, [result.get("txid")], now_ns)
            case "AmendOrder":
                for placed in self._named(fields):
                    placed.since_ns = now_ns
            case "CancelOrder" | "CancelOrderBatch":
                for placed in self._named(fields):
                    self._forget(placed.names[0])
            case "CancelAll":
                self._placed.clear()

    def _costs(
        self, endpoint: Endpoint, fields: Mapping[str, Any], now_ns: int
    ) -> Iterator[tuple[str, float, bool]]:
        """Give pair, points, and whether it waits."""
        if _only_validates(fields):
            return
        name = endpoint.name
        if name in ("AddOrder", "AddOrderBatch") and fields.get("pair"):
            yield (
                self._pair_of(fields["pair"]),
                len(fields["orders"]) / 2 if "orders" in fields else 1.0,
                True,
            )
        elif name in ("AmendOrder", "EditOrder"):
            for placed in self._named(fields):
                yield placed.pair, 1.0 + penalty(name, now_ns - placed.since_ns), True
        elif name in ("CancelOrder", "CancelOrderBatch"):
            sums: dict[str, float] = {}
            for placed in self._named(fields):
                points = penalty("CancelOrder", now_ns - placed.since_ns)
                sums[placed.pair] = sums.get(placed.pair, 0.0) + points
            yield from ((pair, points, False) for pair, points in sums.items())
        elif name == "CancelAll":  # one point for each pair, as the official Rust SDK counts
            yield from ((pair, 1.0, False) for pair in {each.pair for each in self._placed.values()})

    def _named(self, fields: Mapping[str, Any]) -> list[_Placed]:
        """Find the orders of ours that a call names."""
        names = [fields.get("txid"), fields.get("cl_ord_id")]
        for key in ("orders", "cl_ord_ids"):
            names += fields[key] if isinstance(fields.get(key), list) else []
        found = [self._placed[name] for name in names if isinstance(name, str) and name in self._placed]
        return list({id(placed): placed for placed in found}.values())

    def _note(self, fields: Mapping[str, Any], names: list[Any], now_ns: int) -> None:
        named = tuple(name for name in names if isinstance(name, str))
        placed = _Placed(self._pair_of(str(fields.get("pair"))), named, now_ns)
        self._placed.update(dict.fromkeys(named, placed))
        while len(self._placed) > ORDERS_MAX:
            self._placed.popitem(last=False)

    def _forget(self, name: str) -> None:
        placed = self._placed.get(name)
        for each in placed.names if placed is not None else ():
            self._placed.pop(each, None)

    def _lane(self, pair: str) -> tuple[Lane, CallCounter]:
        if pair not in self._lanes:
            counter = CallCounter(ENGINE_TIERS[self._tier], tiers=ENGINE_TIERS)
            lane = Lane(
                f"engine {pair}", counter, self._clock, parallel=PARALLEL, waiting_max=self._waiting_max
            )
            self._lanes[pair] = lane, counter
            if len(self._lanes) > PAIRS_MAX:
                self._lanes.popitem(last=False)
        return self._lanes[pair]


def _only_validates(fields: Mapping[str, Any]) -> bool:
    return fields.get("validate") in (True, "true")
