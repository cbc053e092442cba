"""One depth of one level-3 book: every order of the levels in scope, in queue order.

A subscriber of depth N sees the N best price levels of each side. What he was shown is kept here, and after
every event it is compared with the queues of the levels that the event touched:

* an order that is gone, or that went to the end of its queue: `delete`, with its price and last quantity;
* an order with another quantity in its old place: `modify`;
* a new order, or one that came to the end of its queue: `add`;
* all orders of a level that comes into scope: `add`, in queue order, with their old times;
* orders of a level that leaves scope: nothing, the subscriber truncates by himself.

What does not stand in the book is not shown: untriggered stops, market orders, the hidden part of an iceberg.
How Kraken tells an order that goes to the end of its queue was not recorded; `delete` and `add` leave no doubt.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from .engine import BookSide, Level, MatchingEngine, Order, Step
from .reference import CHECKSUM_LEVELS, token
from .texts import rfc3339


class _Shown(NamedTuple):
    """An order as a subscriber knows it."""

    number: int
    name: str
    qty: Decimal


class Level3Book:
    """What the subscribers of one depth are told.

    Args:
        engine: whose book it is.
        depth: price levels of each side in scope.
        name: gives the id under which the world knows an order.
    """

    def __init__(self, engine: MatchingEngine, depth: int, name: Callable[[Order], str]) -> None:
        self.depth = depth
        self._engine = engine
        self._name = name
        self._shown: dict[str, dict[Decimal, list[_Shown]]] = {"buy": {}, "sell": {}}
        self._touched: dict[str, dict[Decimal, None]] = {"buy": {}, "sell": {}}
        self._pair = engine.pair
        self._look()

    def on_step(self, step: Step) -> None:
        """Note which level a step touches."""
        self._touched[step.side.side][step.level.price] = None

    def update(self, time_ns: int, checksum: int) -> str | None:
        """Write the update message of the steps noted so far, None if they show nothing."""
        if self._pair is not self._engine.pair:
            # The book was laid out anew: whoever subscribed has to do so again, its checksums tell him.
            self._pair = self._engine.pair
            self._look()
        bids, asks = (self._rows(side, time_ns) for side in (self._engine.bids, self._engine.asks))
        if not bids and not asks:
            return None
        return (
            f'{{"channel":"level3","type":"update","data":[{{"timestamp":"{rfc3339(time_ns, 9)}",'
            f'"checksum":{checksum},"symbol":"{self._pair.symbol}",'
            f'"bids":[{",".join(bids)}],"asks":[{",".join(asks)}]}}]}}'
        )

    def snapshot(self, time_ns: int, checksum: int) -> str:
        """Write the snapshot message."""
        bids, asks = (
            ",".join(
                _row("", order, self._name(order), order.qty, order.time_ns)
                for level in side.best(self.depth)
                for order in level.orders.values()
            )
            for side in (self._engine.bids, self._engine.asks)
        )
        return (
            f'{{"channel":"level3","type":"snapshot","data":[{{"symbol":"{self._pair.symbol}",'
            f'"checksum":{checksum},"bids":[{bids}],"asks":[{asks}],'
            f'"timestamp":"{rfc3339(time_ns, 9)}"}}]}}'
        )

    def _look(self) -> None:
        """Take the book as it is for what was shown."""
        for side in (self._engine.bids, self._engine.asks):
            self._shown[side.side] = {level.price: self._queue(level) for level in side.best(self.depth)}
            self._touched[side.side].clear()

    def _queue(self, level: Level) -> list[_Shown]:
        return [_Shown(order.order_id, self._name(order), order.qty) for order in level.orders.values()]

    def _rows(self, side: BookSide, time_ns: int) -> list[str]:
        """Write what one side's steps show, and take it for shown."""
        shown, touched = self._shown[side.side], self._touched[side.side]
        rows: list[str] = []
        for price in touched:
            level = side.levels.get(price)
            before = shown.pop(price, [])
            if level is not None and side.rank(price) < self.depth:
                shown[price] = self._queue(level)
                rows += self._changes(level, before, time_ns)
            else:
                rows += [
                    _text("delete", order.name, price, order.qty, time_ns)
                    for order in before
                    if level is None
                ]
        touched.clear()
        if len(shown) < min(self.depth, len(side)):  # levels came into scope
            for level in side.best(self.depth):
                if level.price not in shown:
                    shown[level.price] = self._queue(level)
                    rows += self._changes(level, [], time_ns)
        worst_first = sorted(shown, reverse=side.side == "sell") if len(shown) > self.depth else []
        for price in worst_first[: len(shown) - self.depth]:
            del shown[price]
        return rows

    def _changes(self, level: Level, before: list[_Shown], time_ns: int) -> list[str]:
        """Write how one queue became what it is."""
        kept = _kept([order.number for order in before], list(level.orders))
        rows = []
        for order in before:
            if order.number not in kept:
                rows.append(_text("delete", order.name, level.price, order.qty, time_ns))
            elif order.qty != level.orders[order.number].qty:
                now = level.orders[order.number]
                rows.append(_text("modify", order.name, level.price, now.qty, time_ns))
        rows += [
            _row("add", order, self._name(order), order.qty, order.time_ns)
            for number, order in level.orders.items()
            if number not in kept
        ]
        return rows


def level3_checksum(engine: MatchingEngine) -> int:
    """Compute the checksum of an engine's book, order by order."""
    text = "".join(
        token(order.price) + token(order.qty)
        for side in (engine.asks, engine.bids)
        for level in side.best(CHECKSUM_LEVELS)
        for order in level.orders.values()
    )
    return zlib.crc32(text.encode("ascii"))


def _kept(before: list[int], now: list[int]) -> set[int]:
    """Give the orders that kept their place; those that moved went to the end.

    >>> sorted(_kept([1, 2, 3], [1, 3, 2, 4]))
    [1, 3]
    """
    known = set(before)
    rest = [number for number in now if number in known]
    kept: set[int] = set()
    for number in before:
        if len(kept) < len(rest) and rest[len(kept)] == number:
            kept.add(number)
    return kept


def _row(event: str, order: Order, name: str, qty: Decimal, time_ns: int) -> str:
    return _text(event, name, order.price, qty, time_ns)


def _text(event: str, name: str, price: Decimal, qty: Decimal, time_ns: int) -> str:
    head = f'"event":"{event}",' if event else ""
    return (
        f'{{{head}"order_id":"{name}","limit_price":{price:f},"order_qty":{qty:f},'
        f'"timestamp":"{rfc3339(time_ns, 9)}"}}'
    )
