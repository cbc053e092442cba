"""One pair's market on paper: the box's engine, in which live levels stand as liquidity of others.

Theory of operation. `show` mirrors the levels of a live book into the engine, one order a level; orders of the account
rest among them and the box's own matching does the rest. `told` takes a live trade. Rules, on purpose to the account's
disadvantage where the market does not tell:

- *Taking.* A marketable order takes live levels price by price, as far down as the live book is known. What was taken
  of a level stays taken until the live level shrinks below it or goes; only what a level gains is new. So over any span
  an account takes no more at a price than stood there at first plus what came.
- *Crossed.* When a live level of the other side reaches a resting order's price, it fills it at the order's price, as
  maker, as far as that level has quantity, which is then taken as above.
- *Queue.* A resting order stands behind all that its level showed when it came; beyond the known depth, when the level
  first came into sight. Only trades at its price move it forward, for nobody tells whether those who left stood before
  it or behind. What a trade has beyond those ahead fills it. A trade at a worse price went through it: that fills it
  before anybody else. All fills of one live trade together never exceed the trade.
- *Time.* A live trade counts for an order only if it is younger than what was known of the market when the order came.
- *Blind.* While the live book is not live nothing is filled: `blind` empties the mirror, resting orders keep their
  place. An order that came meanwhile and could trade when the book is back takes at the live prices, as taker.
- *Last price.* Triggers look at live trades. Fills on paper move no price, in this or any other way.

Invariants (`_check`): of each mirrored level the engine holds exactly what is shown less what was taken; places are
kept of the account's resting orders and of no others. Bounded: levels by the depth of the live book, memory of what
was taken out of sight by `TAKEN_MAX`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..sim.candles import Trade
from ..sim.engine import Fill, Order, Side
from ..sim.instruments import Pair
from ..sim.market import Market

ZERO = Decimal(0)
Level = tuple[Decimal, Decimal]

TAKEN_MAX = 1_000
"""Prices out of sight of which is remembered what was taken, a side. Beyond that the worst prices are forgotten first:
they are the least likely to be reached again."""


@dataclass(slots=True)
class Place:
    """Where a resting order of the account stands.

    Attributes:
        ahead: what stands before it at its price; None while the live book does not reach so far.
        mark_ns: the exchange's time of what was known of the market when it came.
        is_blind: it came while the book was not live, and has not met it yet.
    """

    ahead: Decimal | None
    mark_ns: int
    is_blind: bool


class Outside:
    """What others have on one side: as the live book shows it, and what of it was taken.

    Attributes:
        shown: quantity by price.
        taken: of that, by price; prices out of sight included.
        orders: the engine's order of each level of which something is left.
        worst: the last price in sight; None when the side is known to its end.
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.shown: dict[Decimal, Decimal] = {}
        self.taken: dict[Decimal, Decimal] = {}
        self.orders: dict[Decimal, int] = {}
        self.worst: Decimal | None = None
        self.hide()

    def sees(self, price: Decimal) -> bool:
        """Tell whether the live book tells what stands at a price."""
        return self.worst is None or (price >= self.worst if self.side == "buy" else price <= self.worst)

    def left(self, price: Decimal) -> Decimal:
        """Give what of a level in sight was not taken."""
        shown = self.shown.get(price)
        return ZERO if shown is None else shown - self.taken.get(price, ZERO)

    def take(self, price: Decimal, qty: Decimal) -> None:
        """Note that so much of a level was taken."""
        self.taken[price] = self.taken.get(price, ZERO) + qty

    def hide(self) -> None:
        """Forget what is shown: from here on nothing is in sight."""
        self.orders.clear()
        self.shown.clear()
        self.worst = ZERO if self.side == "sell" else Decimal("Infinity")

    def show(self, levels: Sequence[Level], depth: int) -> None:
        """Take over what the live book shows."""
        self.shown = dict(levels)
        self.worst = levels[-1][0] if len(levels) >= depth else None
        for price, taken in list(self.taken.items()):
            if not self.sees(price):
                continue
            now = min(taken, self.shown.get(price, ZERO))
            if now:
                self.taken[price] = now
            else:
                del self.taken[price]
        if len(self.taken) > TAKEN_MAX + depth:
            best_first = sorted(self.taken, reverse=self.side == "buy")
            for price in best_first[TAKEN_MAX + depth :]:
                del self.taken[price]


class PaperMarket(Market):
    """See the module's text.

    Args:
        pair: what is traded.
        rng: of ids.
        now_ns: when it opens.
        last: the last price of the live market, which triggers and relative prices refer to until a trade comes.
        depth: levels a side that the live book is subscribed to.

    Attributes:
        is_blind: the live book is not live, or was not shown yet.
    """

    def __init__(self, pair: Pair, rng: random.Random, now_ns: int, *, last: Decimal, depth: int) -> None:
        super().__init__(pair, rng, now_ns, levels=0, rate=0.0)
        self.is_blind = True
        self.may_trigger = False
        self._depth = depth
        self._outside: dict[Side, Outside] = {"buy": Outside("buy"), "sell": Outside("sell")}
        self._places: dict[int, Place] = {}
        self._mark_ns = 0
        self._since_ns = 0
        self.trades.append(Trade(0, now_ns, "buy", pair.price(round(last / pair.price_increment)), ZERO, "limit"))

    @property
    def is_watched(self) -> bool:
        """Whether a change of the live book matters before the next request: something rests, or was taken."""
        return bool(self._places) or any(side.taken for side in self._outside.values())

    def blind_orders(self) -> list[Order]:
        """Give the resting orders of the account that came while the book was not live, oldest first."""
        return [self.engine.orders[order_id] for order_id, place in self._places.items() if place.is_blind]

    # The live market ---------------------------------------------------------------------------------------------

    def show(self, bids: Sequence[Level], asks: Sequence[Level], exch_ns: int, now_ns: int) -> None:
        """Mirror a live book.

        Args:
            bids: price and quantity, best first; not crossed with the asks.
            asks: likewise.
            exch_ns: the exchange's time of it.
            now_ns: the paper exchange's.
        """
        self._stamp(now_ns)
        was_blind = self.is_blind
        if was_blind:
            self._since_ns = exch_ns
        self.is_blind, self.may_trigger = False, True
        self._mark_ns = max(self._mark_ns, exch_ns)
        events: list[tuple[Side, list[Fill]]] = []
        for outside, levels in zip(self._outside.values(), (bids, asks), strict=True):
            outside.show(levels, self._depth)
            self._withdraw(outside)
        for outside in self._outside.values():
            fills = self._meet_blind(outside)
            if fills:
                events.append(("sell" if outside.side == "buy" else "buy", fills))
        for outside in self._outside.values():
            fills = self._enter(outside)
            if fills:
                events.append((outside.side, fills))
        self._find_places()
        for side, fills in events or [("buy", [])]:
            self._end(side, "limit", fills)
        if was_blind:
            self._stir()

    def blind(self, now_ns: int) -> None:
        """Take the mirror away: the live book can no longer be trusted."""
        if self.is_blind:
            return
        self._stamp(now_ns)
        self.is_blind, self.may_trigger = True, False
        for outside in self._outside.values():
            for order_id in outside.orders.values():
                self.engine.cancel(order_id)
            outside.hide()
        self._end()

    def told(self, trade: Trade, exch_ns: int, now_ns: int) -> None:
        """Take a live trade; `trade.time_ns` is when it is told."""
        self._stamp(now_ns)
        fills = [] if self.is_blind or exch_ns <= self._since_ns else self._hit(trade, exch_ns)
        self._mark_ns = max(self._mark_ns, exch_ns)
        self.trades.append(trade)
        self._end(trade.side, trade.ord_type, fills)
        self._stir()

    # The account's orders ----------------------------------------------------------------------------------------

    def submit(
        self,
        side: Side,
        qty: Decimal,
        price: Decimal | None = None,
        now_ns: int | None = None,
        *,
        owned: bool = False,
        ord_type: str | None = None,
        display: Decimal = ZERO,
        name: str = "",
    ) -> tuple[int, list[Trade]]:
        """See `Market`."""
        order_id, trades = super().submit(
            side, qty, price, now_ns, owned=owned, ord_type=ord_type, display=display, name=name
        )
        if order_id in self.engine.orders:
            self._queue_up(self.engine.orders[order_id])
        return order_id, trades

    def cancel(self, order_id: int, now_ns: int | None = None) -> None:
        """See `Market`."""
        super().cancel(order_id, now_ns)
        self._places.pop(order_id, None)

    def amend(
        self, order_id: int, qty: Decimal, now_ns: int | None = None, display: Decimal = ZERO
    ) -> None:
        """See `Market`."""
        order = self.engine.orders[order_id]
        is_more = qty > order.qty + order.hidden
        super().amend(order_id, qty, now_ns, display)
        if is_more:
            self._queue_up(order)

    def set_pair(self, pair: Pair) -> None:
        """See `Market`. With new precisions the live book has to be shown anew."""
        if (pair.price_precision, pair.qty_precision) != (self.pair.price_precision, self.pair.qty_precision):
            self.blind(self.changed_ns)
            for outside in self._outside.values():
                outside.taken.clear()
        super().set_pair(pair)

    def _queue_up(self, order: Order) -> None:
        outside = self._outside[order.side]
        ahead = outside.shown.get(order.price, ZERO) if outside.sees(order.price) else None
        self._places[order.order_id] = Place(ahead, self._mark_ns, self.is_blind)

    def _find_places(self) -> None:
        for order_id, place in self._places.items():
            order = self.engine.orders[order_id]
            outside = self._outside[order.side]
            if place.ahead is None and outside.sees(order.price):
                place.ahead, place.mark_ns = outside.shown.get(order.price, ZERO), self._mark_ns
            place.is_blind = False

    def _stir(self) -> None:
        """Let triggers look at the last price."""
        if self.on_fills is not None:
            self.on_fills(self, [])

    # Who meets whom ----------------------------------------------------------------------------------------------

    def _withdraw(self, outside: Outside) -> None:
        """Take out of the engine what a side no longer has."""
        for price, order_id in list(outside.orders.items()):
            left = outside.left(price)
            order = self.engine.orders[order_id]
            if not left:
                self.engine.cancel(order_id)
                del outside.orders[price]
            elif left < order.qty:
                self.engine.amend(order_id, left)

    def _enter(self, outside: Outside) -> list[Fill]:
        """Put into the engine what a side has more than before; it meets resting orders that it reaches."""
        found: list[Fill] = []
        for price in outside.shown:
            left = outside.left(price)
            if not left:
                continue
            order_id = outside.orders.get(price)
            if order_id is not None:
                if left > self.engine.orders[order_id].qty:
                    self.engine.amend(order_id, left)
                continue
            order_id, fills = self.engine.submit(outside.side, left, price)
            for fill in fills:
                outside.take(price, fill.qty)
                self._left_book(fill)
            found += fills
            if order_id in self.engine.orders:
                outside.orders[price] = order_id
        return found

    def _meet_blind(self, outside: Outside) -> list[Fill]:
        """Let orders that came while nothing was to be seen take from a side, oldest first."""
        found: list[Fill] = []
        for order_id, place in list(self._places.items()):
            order = self.engine.orders[order_id]
            if not place.is_blind or order.side == outside.side:
                continue
            for price in outside.shown:
                left = outside.left(price)
                reached = price <= order.price if order.side == "buy" else price >= order.price
                if not reached or order_id not in self.engine.orders:
                    break
                while left and order_id in self.engine.orders:
                    hit = self.engine.hit(order_id, min(left, order.qty))
                    outside.take(price, hit.qty)
                    left -= hit.qty
                    found.append(Fill(order_id, price, hit.qty, hit.refilled, took=True))
                    self._left_book(hit)
        return found

    def _hit(self, trade: Trade, exch_ns: int) -> list[Fill]:
        """Let a live trade fill the resting orders that stood in its way."""
        found: list[Fill] = []
        left = trade.qty
        for order in self._waiting("buy" if trade.side == "sell" else "sell"):
            place = self._places[order.order_id]
            is_better = order.price > trade.price if order.side == "buy" else order.price < trade.price
            if not left or not (is_better or order.price == trade.price):
                break
            if exch_ns <= place.mark_ns or (place.ahead is None and not is_better):
                continue
            ahead = ZERO if is_better or place.ahead is None else place.ahead
            place.ahead = max(ZERO, ahead - left)
            room = left - ahead
            while room > 0 and order.order_id in self.engine.orders:
                hit = self.engine.hit(order.order_id, min(room, order.qty))
                found.append(hit)
                room -= hit.qty
                left -= hit.qty
                self._left_book(hit)
                if hit.refilled and not is_better:
                    break
        return found

    def _waiting(self, side: Side) -> list[Order]:
        """Give the account's resting orders of a side: best price first, then as they stand in the queue."""
        engine_side = self.engine.side(side)
        prices = {self.engine.orders[order_id].price for order_id in self._places}
        found: list[Order] = []
        for price in sorted(prices, reverse=side == "buy"):
            level = engine_side.levels.get(price)
            if level is not None:
                found += [order for order in level.orders.values() if order.owned]
        return found

    def _left_book(self, fill: Fill) -> None:
        """Keep the places after a fill of a resting order: it is gone, or an iceberg stands at the end again."""
        if fill.maker_id not in self.engine.orders:
            self._places.pop(fill.maker_id, None)
        elif fill.refilled:
            self._queue_up(self.engine.orders[fill.maker_id])

    def _end(self, side: Side = "buy", ord_type: str = "limit", fills: list[Fill] | None = None) -> list[Trade]:
        for fill in fills or ():
            # What the account took of others: their order at that price is named.
            outside = self._outside["sell" if side == "buy" else "buy"]
            if outside.orders.get(fill.price) == fill.maker_id:
                outside.take(fill.price, fill.qty)
                if fill.maker_id not in self.engine.orders:
                    del outside.orders[fill.price]
        return super()._end(side, ord_type, fills)

    def _trade(self, time_ns: int, side: Side, price: Decimal, qty: Decimal, ord_type: str) -> Trade:
        """Make the trade of a fill. It is none of the live market's: nothing remembers it, no price moves."""
        self._last_trade_id += 1
        return Trade(self._last_trade_id, time_ns, side, price, qty, ord_type)

    def _check(self) -> None:
        self.engine._check()  # noqa: SLF001 - the checks of the parts are one check
        owned = {order_id for order_id, order in self.engine.orders.items() if order.owned}
        assert owned == self._places.keys(), "places of orders that do not rest"
        mirrored: set[int] = set()
        for outside in self._outside.values():
            assert all(taken > 0 for taken in outside.taken.values())
            for price in outside.shown.keys() | outside.orders.keys():
                order_id = outside.orders.get(price)
                held = ZERO if order_id is None else self.engine.orders[order_id].qty
                assert held == outside.left(price) >= 0, f"{outside.side} {price}: {held} of {outside.left(price)}"
            mirrored |= set(outside.orders.values())
        assert mirrored | owned == self.engine.orders.keys(), "an order is neither mirrored nor owned"

