"""The matching engine: one pair's limit order book with price-time priority.

Theory of operation. A side is a `SortedDict` of price to `Level`; a level keeps its orders in the order of
arrival (a dict remembers it), and its total. Every public method is one *event* of the exchange. An event is
a list of *steps*, each of which changes exactly one price level; a listener hears of each step while the book
is in the state right after it, because the book feed has to name the level that comes into scope at that very
moment.

Invariants (`_check` states them all): a level holds at least one order and its total is their sum; no bid
reaches an ask; every resting order is found by its id; prices and quantities carry exactly the pair's
decimals. Within one event the removals of a side come before its insertions: the scope rules of the feed rely
on it.

What it does not do: accounts, fees, triggers. Those belong to whoever sends it orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Literal, NamedTuple, Protocol

from sortedcontainers import SortedDict

from .instruments import Pair
from .reference import CHECKSUM_LEVELS, token

Side = Literal["buy", "sell"]
StepKind = Literal["new", "changed", "gone"]
ZERO = Decimal(0)


@dataclass(slots=True)
class Order:
    """One resting order; `qty` is what is left of it and shows.

    Attributes:
        owned: an account's order, which the crowd leaves alone.
        time_ns: since when it has stood where it stands.
        display: of an iceberg, how much of it shows at a time; 0 for other orders.
        hidden: what is left besides `qty`; it comes forth, at the end of the queue, when that is gone.
        name: of an account's order: its id.
    """

    order_id: int
    side: Side
    price: Decimal
    qty: Decimal
    owned: bool = False
    time_ns: int = 0
    display: Decimal = ZERO
    hidden: Decimal = ZERO
    name: str = ""

    def show(self) -> None:
        """Show the next part of an iceberg."""
        self.qty = min(self.display, self.hidden)
        self.hidden -= self.qty


class Fill(NamedTuple):
    """One match of a taker with a resting order.

    Attributes:
        refilled: an iceberg that showed its next part.
        took: the order named is the one that took, from liquidity that is kept elsewhere: see `paper/market.py`.
    """

    maker_id: int
    price: Decimal
    qty: Decimal
    refilled: bool = False
    took: bool = False


class Level:
    """All orders at one price, first come first served, and their total."""

    __slots__ = ("_row", "_tokens", "orders", "price", "qty")

    def __init__(self, price: Decimal) -> None:
        self.price = price
        self.qty = ZERO
        self.orders: dict[int, Order] = {}
        self._row: str | None = None
        self._tokens: str | None = None

    def add(self, qty: Decimal) -> None:
        """Change the total; its texts are made anew when next asked for."""
        self.qty += qty
        self._row = self._tokens = None

    @property
    def row(self) -> str:
        """The level as one row of a book message."""
        if self._row is None:
            self._row = f'{{"price":{self.price:f},"qty":{self.qty:f}}}'
        return self._row

    @property
    def tokens(self) -> str:
        """The level's part of the checksum text."""
        if self._tokens is None:
            self._tokens = token(self.price) + token(self.qty)
        return self._tokens


class Step(NamedTuple):
    """One change of one level. `rank` counts the better levels of its side; 0 is the best."""

    side: BookSide
    kind: StepKind
    level: Level
    rank: int


class StepListener(Protocol):
    """Hears of every step while the book is in the state right after it."""

    def on_step(self, step: Step) -> None:
        """Take note of one step."""


class BookSide:
    """One side of the book, addressed by price or by rank (0 is the best)."""

    __slots__ = ("_checksum_text", "levels", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.levels: SortedDict[Decimal, Level] = SortedDict()
        self._checksum_text: str | None = None

    def __len__(self) -> int:
        return len(self.levels)

    def __iter__(self) -> Iterator[Level]:
        values = self.levels.values()
        return iter(values) if self.side == "sell" else reversed(values)

    def at(self, rank: int) -> Level:
        """Give the level that has `rank` better ones."""
        level: Level = self.levels.peekitem(rank if self.side == "sell" else -1 - rank)[1]
        return level

    def best(self, count: int) -> list[Level]:
        """Give the best levels, at most `count` of them."""
        levels, size = self.levels, len(self.levels)
        if self.side == "sell":
            prices = levels.islice(0, min(count, size))
        else:
            prices = levels.islice(max(0, size - count), size, reverse=True)
        return [levels[price] for price in prices]

    def checksum_text(self) -> str:
        """Give this side's part of the checksum text; it is kept until one of its levels changes."""
        if self._checksum_text is None:
            self._checksum_text = "".join([level.tokens for level in self.best(CHECKSUM_LEVELS)])
        return self._checksum_text

    def changed(self, rank: int) -> None:
        """Take note that the level of this rank has changed."""
        if rank < CHECKSUM_LEVELS:
            self._checksum_text = None

    def rank(self, price: Decimal) -> int:
        """Count the levels better than `price`."""
        if self.side == "sell":
            return int(self.levels.bisect_left(price))
        return len(self.levels) - int(self.levels.bisect_right(price))

    def reaches(self, price: Decimal, limit: Decimal | None) -> bool:
        """Tell whether a taker with this limit may trade at a level of this side."""
        if limit is None:
            return True
        return price <= limit if self.side == "sell" else price >= limit


class MatchingEngine:
    """The order book of one pair and the rules by which orders meet in it.

    Args:
        pair: its precisions hold for every price and quantity that comes in.
        listener: hears of every step.

    Attributes:
        time_ns: stamps the orders that enter; whoever has a clock sets it.
    """

    def __init__(self, pair: Pair, listener: StepListener) -> None:
        self.pair = pair
        self.time_ns = 0
        self.bids = BookSide("buy")
        self.asks = BookSide("sell")
        self.orders: dict[int, Order] = {}
        self._listener = listener
        self._last_order_id = 0

    def side(self, side: Side) -> BookSide:
        """Give the side on which orders of `side` rest."""
        return self.bids if side == "buy" else self.asks

    def opposite(self, side: Side) -> BookSide:
        """Give the side that orders of `side` trade with."""
        return self.asks if side == "buy" else self.bids

    def submit(
        self,
        side: Side,
        qty: Decimal,
        price: Decimal | None = None,
        *,
        owned: bool = False,
        display: Decimal = ZERO,
        name: str = "",
    ) -> tuple[int, list[Fill]]:
        """Match an order, then let the rest of it rest.

        Args:
            side: which way.
            qty: how much, a multiple of the pair's increment.
            price: the limit, or None for a market order, whose rest is dropped when the other side is empty.
            owned: an account's order.
            display: how much of the resting part shows at a time; 0 for all of it.
            name: under which the world knows it; the crowd's orders have none here.

        Returns:
            The order's id and its fills, best price first, oldest first.

        Raises:
            ValueError: a number has more decimals than the pair, or is not positive.
        """
        left = self._exact("qty", qty, self.pair.qty_precision)
        limit = None if price is None else self._exact("price", price, self.pair.price_precision)
        self._last_order_id += 1
        order_id = self._last_order_id
        fills: list[Fill] = []
        resting = self.opposite(side)
        while left and len(resting) and resting.reaches(resting.at(0).price, limit):
            left = self._take(resting, left, fills)
        if left and limit is not None:
            order = Order(order_id, side, limit, left, owned, self.time_ns, display, name=name)
            if display:
                order.hidden = left
                order.show()
            self._rest(order)
        return order_id, fills

    def cancel(self, order_id: int) -> Order:
        """Take an order out.

        Raises:
            KeyError: no such order rests.
        """
        order = self.orders.pop(order_id)
        side = self.side(order.side)
        level = side.levels[order.price]
        del level.orders[order_id]
        self._reduce(side, level, order.qty)
        return order

    def amend(self, order_id: int, qty: Decimal) -> None:
        """Change what is left of an order: less keeps its place in the queue, more sends it to the end.

        Raises:
            KeyError: no such order rests.
            ValueError: the quantity has more decimals than the pair, or is not positive.
        """
        qty = self._exact("qty", qty, self.pair.qty_precision)
        order = self.orders[order_id]
        side = self.side(order.side)
        level = side.levels[order.price]
        if qty > order.qty + order.hidden:
            del level.orders[order_id]
            level.orders[order_id] = order
            order.time_ns = self.time_ns
        shown = min(qty, order.qty) if order.display else qty
        level.add(shown - order.qty)
        order.qty, order.hidden = shown, qty - shown
        self._tell(side, "changed", level)

    def hit(self, order_id: int, qty: Decimal) -> Fill:
        """Fill one resting order, at most what it shows, whatever stands before it.

        For a market that only mirrors another one: there it is known from outside who was met.

        Raises:
            KeyError: no such order rests.
            ValueError: the quantity has more decimals than the pair, or is not positive.
        """
        qty = self._exact("qty", qty, self.pair.qty_precision)
        maker = self.orders[order_id]
        side = self.side(maker.side)
        level = side.levels[maker.price]
        fill, gone = self._meet(level, maker, min(qty, maker.qty))
        self._reduce(side, level, gone)
        return fill

    def move(self, order_id: int, price: Decimal, qty: Decimal) -> list[Fill]:
        """Cancel an order and enter it anew elsewhere, as one event.

        Raises:
            KeyError: no such order rests.
        """
        side = self.cancel(order_id).side
        return self.submit(side, qty, price)[1]

    def requantize(self, pair: Pair) -> None:
        """Take over the pair's new precisions; the whole book is laid out anew and no step is told.

        Prices that the new precision cannot hold move away from the other side, so that nothing crosses;
        quantities are cut, and an order of which nothing is left goes.
        """
        orders = [
            order
            for book_side in (self.bids, self.asks)
            for level in book_side
            for order in level.orders.values()
        ]
        self.pair = pair
        self.orders.clear()
        for book_side in (self.bids, self.asks):
            book_side.levels.clear()
            book_side.changed(0)
        for order in orders:
            away = ROUND_FLOOR if order.side == "buy" else ROUND_CEILING
            order.price = order.price.quantize(pair.price_increment, rounding=away)
            order.qty = order.qty.quantize(pair.qty_increment, rounding=ROUND_DOWN)
            if order.qty and order.price:
                self._enqueue(order)

    def _take(self, resting: BookSide, left: Decimal, fills: list[Fill]) -> Decimal:
        level = resting.at(0)
        taken = ZERO
        while left and level.orders:
            maker = next(iter(level.orders.values()))
            fill, gone = self._meet(level, maker, min(left, maker.qty))
            fills.append(fill)
            taken += gone
            left -= fill.qty
        self._reduce(resting, level, taken)
        return left

    def _meet(self, level: Level, maker: Order, qty: Decimal) -> tuple[Fill, Decimal]:
        """Take from what an order shows; gives by how much less its level shows afterwards, too."""
        fill = Fill(maker.order_id, level.price, qty, qty == maker.qty and maker.hidden > 0)
        maker.qty -= qty
        if maker.qty:
            return fill, qty
        del level.orders[maker.order_id]
        if not maker.hidden:
            del self.orders[maker.order_id]
            return fill, qty
        maker.show()
        level.orders[maker.order_id] = maker
        return fill, qty - maker.qty

    def _reduce(self, side: BookSide, level: Level, qty: Decimal) -> None:
        level.add(-qty)
        if level.orders:
            self._tell(side, "changed", level)
        else:
            del side.levels[level.price]
            self._tell(side, "gone", level)

    def _rest(self, order: Order) -> None:
        kind: StepKind = "changed" if order.price in self.side(order.side).levels else "new"
        side, level = self._enqueue(order)
        self._tell(side, kind, level)

    def _tell(self, side: BookSide, kind: StepKind, level: Level) -> None:
        rank = side.rank(level.price)
        side.changed(rank)
        self._listener.on_step(Step(side, kind, level, rank))

    def _enqueue(self, order: Order) -> tuple[BookSide, Level]:
        side = self.side(order.side)
        level = side.levels.get(order.price)
        if level is None:
            level = side.levels[order.price] = Level(order.price)
        level.orders[order.order_id] = order
        level.add(order.qty)
        self.orders[order.order_id] = order
        return side, level

    @staticmethod
    def _exact(name: str, number: Decimal, places: int) -> Decimal:
        padded = number.quantize(Decimal(1).scaleb(-places))
        if padded != number or number <= 0:
            raise ValueError(f"{name}={number}: must be positive, with at most {places} decimals")
        return padded

    def _check(self) -> None:
        seen = 0
        for side in (self.bids, self.asks):
            for price, level in side.levels.items():
                assert level.orders, f"{price}: an empty level"
                assert level.price == price, f"{price}: holds a level of {level.price}"
                assert level.qty == sum(order.qty for order in level.orders.values()), f"{price}: wrong total"
                assert price.as_tuple().exponent == -self.pair.price_precision, f"{price}: wrong decimals"
                assert level.qty.as_tuple().exponent == -self.pair.qty_precision, (
                    f"{level.qty}: wrong decimals"
                )
                for order_id, order in level.orders.items():
                    assert self.orders[order_id] is order, f"order {order_id}: not indexed"
                    assert order.qty > 0, f"order {order_id}: nothing left"
                    assert (order.price, order.side) == (price, side.side), f"order {order_id}: misplaced"
                    seen += 1
        assert seen == len(self.orders), "an indexed order does not rest"
        if len(self.bids) and len(self.asks):
            assert self.bids.at(0).price < self.asks.at(0).price, "the book is crossed"
