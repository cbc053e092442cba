"""What an order would meet in a book, looked at before anything happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from .engine import MatchingEngine
from .records import ZERO, Order


@dataclass(frozen=True, slots=True)
class Reach:
    """How much an order can take at what cost, and which orders of its own account stand in its way.

    Attributes:
        blocked: an order of its own stops it before it has all that it wants.
    """

    qty: Decimal
    cost: Decimal
    own: tuple[str, ...]
    blocked: bool


def reach(order: Order, engine: MatchingEngine, own_order: Callable[[int], str | None]) -> Reach:
    """Walk the other side as a taker would, best price first, oldest first.

    Args:
        order: the taker; only what is left of it counts.
        engine: the book.
        own_order: gives the id of a resting order of the same account, None for anybody else's.

    Cost: O(orders met).
    """
    qty, cost = ZERO, ZERO
    own: list[str] = []
    resting = engine.opposite(order.side)
    for level in resting:
        if not resting.reaches(level.price, order.limit_price):
            break
        queue = deque((other, other.qty, other.hidden) for other in level.orders.values())
        while queue:
            if qty == order.left:
                return Reach(qty, cost, tuple(own), blocked=False)
            other, shown, hidden = queue.popleft()
            order_id = own_order(other.order_id)
            if order_id is None:
                taken = min(order.left - qty, shown)
                qty, cost = qty + taken, cost + taken * level.price
                if hidden:  # an iceberg shows its next part at the end of the queue
                    part = min(other.display, hidden)
                    queue.append((other, part, hidden - part))
                continue
            own.append(order_id)
            if order.stp != "cancel-oldest":
                return Reach(qty, cost, tuple(own), blocked=True)
    return Reach(qty, cost, tuple(own), blocked=False)
