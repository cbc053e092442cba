"""Level-3 messages as the exchange writes them, and a slow book to compare with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from judge import same, time_ns

from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.level3 import Level3Book
from kraken_fast.core.queues import Level3
from kraken_fast.sim.reference import ReferenceBook, loads, token

TIME = "2026-11-22T10:15:01.{:09d}Z"

Event = tuple[str, str, Decimal, Decimal, int]
"""What (`add`, `modify`, `delete`, or "" in a snapshot), order id, price, quantity, nanosecond of its time."""


class ReferenceLevel3:
    """A level-3 book as plain lists: each side a list of orders in queue order, whatever their prices."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

    def apply(self, message: Any) -> None:
        """Apply one message, parsed by `sim.reference.loads`, and truncate."""
        (data,) = message["data"]
        if message["type"] == "snapshot":
            self.sides = ([], [])
        for side, rows in zip(self.sides, (data["bids"], data["asks"]), strict=True):
            for row in rows:
                self._change(side, row)
        for which in (0, 1):
            kept = {price for price, _ in self.levels(which)[: self.depth]}
            self.sides[which][:] = [order for order in self.sides[which] if order["limit_price"] in kept]

    def _change(self, side: list[dict[str, Any]], row: dict[str, Any]) -> None:
        held = [order for order in side if order["order_id"] == row["order_id"]]
        event = row.get("event", "add")
        if event == "add":
            side[:] = [order for order in side if order["order_id"] != row["order_id"]] + [dict(row)]
        elif held and event == "delete":
            side.remove(held[0])
        elif held and held[0]["limit_price"] == row["limit_price"]:
            held[0]["order_qty"] = row["order_qty"]
        elif held:
            side.remove(held[0])
            side.append(dict(row))

    def levels(self, which: int) -> list[tuple[Decimal, list[dict[str, Any]]]]:
        """Prices of a side (0 bids, 1 asks), best first, with their queues."""
        prices = sorted({order["limit_price"] for order in self.sides[which]}, reverse=which == 0)
        return [(price, [o for o in self.sides[which] if o["limit_price"] == price]) for price in prices]

    def orders(self, which: int) -> list[tuple[str, Decimal, Decimal, int]]:
        """Orders of a side as QueuedOrder has them."""
        return [
            (o["order_id"], o["limit_price"], o["order_qty"], time_ns(o["timestamp"]))
            for _, queue in self.levels(which)
            for o in queue
        ]

    def aggregated(self, which: int) -> list[tuple[Decimal, Decimal]]:
        """Prices of a side with the sums of their queues."""
        zero = Decimal(0)
        return [(price, sum((o["order_qty"] for o in queue), zero)) for price, queue in self.levels(which)]

    def checksum(self) -> int:
        """CRC-32 over the orders of the ten best asks, then bids."""
        text = "".join(
            token(o["limit_price"]) + token(o["order_qty"])
            for which in (1, 0)
            for _, queue in self.levels(which)[:10]
            for o in queue
        )
        return zlib.crc32(text.encode())


def level3_message(
    kind: str, bids: Iterable[Event], asks: Iterable[Event], checksum: int, symbol: str = "A/B"
) -> bytes:
    """Write a `level3` message."""
    sides = ",".join(
        f'"{name}":[{",".join(map(_order, rows))}]' for name, rows in (("bids", bids), ("asks", asks))
    )
    data = f'{{"timestamp":"{TIME.format(5)}","checksum":{checksum},"symbol":"{symbol}",{sides}}}'
    return f'{{"channel":"level3","type":"{kind}","data":[{data}]}}'.encode()


def _order(event: Event) -> str:
    what, order_id, price, qty, nanos = event
    begin = f'{{"event":"{what}",' if what else "{"
    return (
        f'{begin}"order_id":"{order_id}","limit_price":{price:f},"order_qty":{qty:f},'
        f'"timestamp":"{TIME.format(nanos)}"}}'
    )


class Hearer(Callbacks):
    """Keeps what is told of level-3 books."""

    def __init__(self) -> None:
        self.books: list[Level3Book] = []
        self.lost: list[tuple[str, str]] = []
        self.snapshots: list[tuple[str, str]] = []
        self.level3 = self.books.append

    def on_level3_lost(self, book: Level3Book, reason: str) -> None:
        self.lost.append((book.symbol, reason))

    def on_snapshot(self, channel: str, symbol: str) -> None:
        self.snapshots.append((channel, symbol))


class Twins3:
    """A level-3 book of ours and the slow one, fed the same."""

    def __init__(self, depth: int, symbol: str = "A/B", *, portable: bool = False) -> None:
        self.hearer = Hearer()
        self.decoder = Decoder(handler=self.hearer, portable=portable)
        self.book = self.decoder.want_level3(symbol, depth)
        self.reference = ReferenceLevel3(depth)

    def send(self, kind: str, bids: list[Event], asks: list[Event]) -> bytes:
        """Apply a message to both and compare everything."""
        raw = level3_message(kind, bids, asks, 0)
        self.reference.apply(loads(raw))
        raw = level3_message(kind, bids, asks, self.reference.checksum())
        assert self.decoder.feed(raw, strict=True)
        assert self.book.is_valid, (kind, bids, asks)
        self.compare()
        return raw

    def compare(self) -> None:
        """Assert that both hold the same."""
        self.book._check()  # type: ignore[attr-defined]
        compare(self.book, self.reference)


def compare(book: Level3, reference: ReferenceLevel3) -> None:
    """Assert that a book of ours holds what the slow one does."""
    for which, orders, levels in ((0, book.bid_orders, book.bids), (1, book.ask_orders, book.asks)):
        assert same([tuple(order) for order in orders], reference.orders(which))
        assert [tuple(level) for level in levels] == reference.aggregated(which)
    assert book.order_count == sum(map(len, reference.sides))


def as_level2(reference: ReferenceLevel3, depth: int) -> ReferenceBook:
    """The level-2 book of the same orders."""
    book = ReferenceBook(depth)
    rows = [[{"price": price, "qty": qty} for price, qty in reference.aggregated(which)] for which in (0, 1)]
    book.apply({"channel": "book", "type": "snapshot", "data": [{"bids": rows[0], "asks": rows[1]}]})
    return book
