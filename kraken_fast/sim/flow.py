"""A seeded crowd: the orders that keep a market moving.

Each step is one action of somebody: a limit order arrives, is cancelled, is amended, moves; or somebody
crosses the spread. Actions cluster near the best price as on the recorded book, with a long tail into the
depth. A slowly changing mood makes buyers or sellers the more eager, so the price drifts.

Only additions, comparisons and divisions of the generator's numbers are used, no logarithm and no power:
those differ between C libraries, and the same seed has to give the same market everywhere.
"""

from __future__ import annotations

import random
from decimal import Decimal

from .engine import BookSide, Fill, Level, MatchingEngine, Order, Side
from .instruments import start_price

LEVELS_MIN = 3
"""Nobody takes from a side with no more levels than this: the crowd never empties its own market."""

_GAP_TICKS = 5
"""Mean distance of neighbouring levels when the market opens, in ticks."""

_RANK_SCALE = 4.0
"""Median rank at which somebody acts; one action in four falls beyond rank 12."""

# Share of cancellations at the far end: else what the price has left behind would stay for ever.
_TAIL_SHARE = 0.05

# Tuned so that depth 10 shows 55 to 60 % single-level messages and some 1.5 levels a message, as recorded.
_ACTIONS = ("add", "cancel", "amend", "move", "replace", "cross")
_SHARES = (26, 46, 4, 11, 4, 6)


class Flow:
    """The crowd of one market.

    Args:
        engine: where it trades.
        rng: its only source of chance.
        levels: price levels of each side that it keeps up.
        seeded: whether to fill the book first.
    """

    def __init__(
        self, engine: MatchingEngine, rng: random.Random, levels: int, *, seeded: bool = True
    ) -> None:
        if levels < LEVELS_MIN:
            raise ValueError(f"levels={levels}: must be at least {LEVELS_MIN}")
        self._engine = engine
        self._rng = rng
        self.levels = levels
        self._mood = 0.0
        self._qty_min_lots = int(engine.pair.qty_min / engine.pair.qty_increment) or 1
        if seeded:
            self._open()

    def step(self, *, may_add: bool = True, may_trade: bool = True) -> tuple[Side, str, list[Fill]] | None:
        """Let somebody act once.

        Args:
            may_add: new liquidity is accepted.
            may_trade: orders may meet.

        Returns:
            The taker's side, its order type and its fills, when the action was a trade.
        """
        self._mood = max(-1.0, min(1.0, self._mood + (self._rng.random() - 0.5) / 8))
        action = self._rng.choices(_ACTIONS, _SHARES)[0]
        side = self._engine.bids if self._rng.random() < 0.5 else self._engine.asks
        if not may_add:
            action = "cancel"
        elif action == "cancel" and len(side) < self.levels * 0.9:
            action = "add"
        elif action == "add" and len(side) > self.levels * 1.1:
            action = "cancel"
        if action == "cross":
            return self._cross() if may_trade else None
        if action == "add" or len(side) <= LEVELS_MIN:
            price = self._passive_price(side)
            if may_add and price is not None:
                self._engine.submit(side.side, self.qty(), price)
            return None
        self._disturb(side, action)
        return None

    def _disturb(self, side: BookSide, action: str) -> None:
        order = self._order_near_top(side)
        if action == "cancel" and self._rng.random() < _TAIL_SHARE:
            order = next(iter(_crowds(side.at(len(side) - 1))), None)
        if order is None:
            return  # only accounts stand there, and nobody touches another's order
        if action == "cancel":
            self._engine.cancel(order.order_id)
        elif action == "amend":
            self._engine.amend(order.order_id, self.qty())
        elif action == "replace":
            self._engine.move(order.order_id, order.price, self.qty())
        elif (price := self._passive_price(side)) is not None:
            self._engine.move(order.order_id, price, order.qty)

    def _cross(self) -> tuple[Side, str, list[Fill]] | None:
        """Take from the other side: a market order, or a limit order whose rest stays at its limit."""
        side: Side = "buy" if self._rng.random() < 0.5 + self._mood / 4 else "sell"
        resting = self._engine.opposite(side)
        reach = min(self._small(0.5), len(resting) - LEVELS_MIN - 1, 4)
        if reach < 0:
            return None
        limit = resting.at(reach).price
        if self._rng.random() < 0.4:
            _, fills = self._engine.submit(side, self.qty(), limit)
            return side, "limit", fills
        depth = sum((resting.at(rank).qty for rank in range(reach)), Decimal(0))
        _, fills = self._engine.submit(side, depth + min(self.qty(), resting.at(reach).qty))
        return side, "market", fills

    def _open(self) -> None:
        ticks = start_price(self._engine.pair)
        for side, away in ((self._engine.bids, -1), (self._engine.asks, 1)):
            price = ticks if away > 0 else ticks - 1
            for _ in range(self.levels):
                if price < 1:
                    break
                self._engine.submit(side.side, self.qty(), self._engine.pair.price(price))
                price += away * self._rng.randint(1, 2 * _GAP_TICKS - 1)

    def _passive_price(self, side: BookSide) -> Decimal | None:
        """Choose a price that does not cross: mostly near the best, now and then inside the spread.

        None when there is none: nobody bids below one tick.
        """
        pair = self._engine.pair
        tick = pair.price_increment
        away = tick if side.side == "sell" else -tick
        opposite = self._engine.opposite(side.side)
        nearest = opposite.at(0).price + away if len(opposite) else None
        if not len(side):
            price = pair.price(start_price(pair)) if nearest is None else nearest
            return price if price > 0 else None
        best = side.at(0).price
        if nearest is not None and nearest != best and self._rng.random() < 0.15:
            return nearest + away * self._rng.randrange(int(abs(best - nearest) / tick))
        price = best + away * self._small(_RANK_SCALE * _GAP_TICKS)
        return price if price > 0 else best

    def _order_near_top(self, side: BookSide) -> Order | None:
        orders = _crowds(side.at(min(self._small(_RANK_SCALE), len(side) - 1)))
        return self._rng.choice(orders) if orders else None

    def qty(self) -> Decimal:
        """Choose a quantity: half of them round numbers, so that the checksum meets trailing zeros."""
        lots = self._qty_min_lots * (1 + self._small(3.0))
        if self._rng.random() < 0.5:
            lots += self._rng.randrange(self._qty_min_lots)
        return self._engine.pair.qty(lots)

    def _small(self, median: float) -> int:
        """Draw a count from 0 up, half of them below `median`, with a long tail cut at 100 medians."""
        return int(median * min(100.0, 1.0 / (1.0 - self._rng.random()) - 1.0))


def _crowds(level: Level) -> list[Order]:
    """Give the orders of a level that belong to the crowd, oldest first."""
    return [order for order in level.orders.values() if not order.owned]
