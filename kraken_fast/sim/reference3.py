"""The level-3 book and its checksum, slow and obvious: the oracle for whatever is fast.

A side is a dict of price to queue, a queue a list of orders in the order in which they will be filled. The
checksum walks the ten best price levels of each side, asks first, and in each the orders in queue order; so
it proves the queues, not only the totals.

Source: https://docs.kraken.com/api/docs/guides/spot-ws-l3-v2, read 2026-08.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .reference import CHECKSUM_LEVELS, Level, loads, token


@dataclass(frozen=True, slots=True)
class QueuedOrder:
    """One order; price and quantity keep the decimals of the wire."""

    order_id: str
    price: Decimal
    qty: Decimal
    timestamp: str = ""


Queue = Sequence[QueuedOrder]


def checksum3_text(asks: Sequence[Queue], bids: Sequence[Queue]) -> str:
    """Concatenate the tokens of every order of the best ten levels; both sides come best first."""
    queues = [*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS]]
    return "".join(token(order.price) + token(order.qty) for queue in queues for order in queue)


def checksum3(asks: Sequence[Queue], bids: Sequence[Queue]) -> int:
    """Compute the CRC-32 that Kraken sends with a level-3 book."""
    return zlib.crc32(checksum3_text(asks, bids).encode("ascii"))


class ReferenceLevel3:
    """One level-3 book as a careful client keeps it.

    Args:
        depth: price levels of the subscription; both sides are cut to it after every message.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._sides: dict[str, dict[Decimal, list[QueuedOrder]]] = {"bids": {}, "asks": {}}

    @property
    def bids(self) -> list[list[QueuedOrder]]:
        """The queues of the bids, best price first."""
        return [self._sides["bids"][price] for price in sorted(self._sides["bids"], reverse=True)]

    @property
    def asks(self) -> list[list[QueuedOrder]]:
        """The queues of the asks, best price first."""
        return [self._sides["asks"][price] for price in sorted(self._sides["asks"])]

    def apply(self, message: Mapping[str, Any]) -> None:
        """Apply one `level3` message, snapshot or update, and truncate.

        Raises:
            ValueError: the message is not a level-3 message, or an event names an order that is not held.
        """
        if message.get("channel") != "level3" or message.get("type") not in ("snapshot", "update"):
            raise ValueError(f"not a level-3 message: {message.get('channel')!r}, {message.get('type')!r}")
        (data,) = message["data"]
        if message["type"] == "snapshot":
            for side in self._sides.values():
                side.clear()
        for name, side in self._sides.items():
            for row in data.get(name, ()):
                order = QueuedOrder(row["order_id"], row["limit_price"], row["order_qty"], row["timestamp"])
                self._apply(side, row.get("event", "add"), order)
            worst_first = sorted(side, reverse=name == "asks")
            for price in worst_first[: max(0, len(side) - self.depth)]:
                del side[price]

    def apply_raw(self, raw: str | bytes) -> int | None:
        """Apply one message as it came from the wire and give the checksum it carried, if any."""
        message = loads(raw)
        self.apply(message)
        carried = message["data"][0].get("checksum")
        return None if carried is None else int(carried)

    def checksum(self) -> int:
        """Compute the checksum over the best ten levels of each side."""
        return checksum3(self.asks, self.bids)

    def levels(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Give bids and asks as a level-2 book has them: price and total."""
        return _totals(self.bids), _totals(self.asks)

    def position(self, order_id: str) -> tuple[int, Decimal] | None:
        """Count the orders that stand before one at its price, and their quantity; None if it is not held."""
        for side in self._sides.values():
            for queue in side.values():
                for at, order in enumerate(queue):
                    if order.order_id == order_id:
                        return at, sum((before.qty for before in queue[:at]), Decimal(0))
        return None

    @staticmethod
    def _apply(side: dict[Decimal, list[QueuedOrder]], event: str, order: QueuedOrder) -> None:
        if event == "add":
            side.setdefault(order.price, []).append(order)
            return
        at = next(
            ((price, number) for price, queue in side.items() for number, held in enumerate(queue)
             if held.order_id == order.order_id),
            None,
        )  # fmt: skip
        if at is None:
            raise ValueError(f"{event} of {order.order_id}: not held")
        price, number = at
        if event == "modify" and price == order.price:
            side[price][number] = replace(order)
            return
        del side[price][number]
        if not side[price]:
            del side[price]
        if event == "modify":  # elsewhere: behind those who stand there
            side.setdefault(order.price, []).append(order)


def _totals(queues: Iterable[Queue]) -> tuple[Level, ...]:
    return tuple((queue[0].price, sum((order.qty for order in queue), Decimal(0))) for queue in queues)
