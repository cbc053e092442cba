"""One depth of one book, told the way Kraken tells it.

A subscriber of depth N sees the N best levels of each side: they are *in scope*. One event of the engine
becomes at most one message, written as the event's steps:

* a level in scope that is new or has another quantity: its row;
* a level in scope that goes: its row with quantity 0, and at once the row of the level that thereby comes
  into scope, even if a later row of the same message pushes it out again, even if the subscriber may still
  hold it;
* a level that is pushed out of scope: nothing, the subscriber truncates by himself.

So the rows are not sorted, and a message may name one price twice. Measured on 539 recorded updates; the
shapes are counted in the tests.
"""

from __future__ import annotations

import zlib

from .engine import BookSide, MatchingEngine, Step
from .texts import padded, rfc3339

DEPTHS = (10, 25, 100, 500, 1000)
"""The depths on offer. Source: https://docs.kraken.com/api/docs/websocket-v2/book, read 2026-11."""


def book_checksum(engine: MatchingEngine) -> int:
    """Compute the checksum of an engine's book."""
    return zlib.crc32((engine.asks.checksum_text() + engine.bids.checksum_text()).encode("ascii"))


class FeedBook:
    """What the subscribers of one depth are told.

    Args:
        engine: whose book it is.
        depth: levels of each side in scope.
        changed_ns: when the book last changed before this feed began.
    """

    def __init__(self, engine: MatchingEngine, depth: int, changed_ns: int) -> None:
        self.depth = depth
        self.changed_ns = changed_ns
        self._engine = engine
        self._bids: list[str] = []
        self._asks: list[str] = []

    def on_step(self, step: Step) -> None:
        """Note the rows that this step shows to a subscriber."""
        if step.rank >= self.depth:
            return
        rows = self._bids if step.side is self._engine.bids else self._asks
        if step.kind != "gone":
            rows.append(step.level.row)
            return
        zero = padded(step.level.qty, self._engine.pair.qty_precision)
        rows.append(f'{{"price":{step.level.price:f},"qty":{zero}}}')
        if len(step.side) >= self.depth:
            rows.append(step.side.at(self.depth - 1).row)

    def pending(self) -> bool:
        """Tell whether the steps since the last message show anything at all."""
        return bool(self._bids or self._asks)

    def update(self, time_ns: int, checksum: int) -> str:
        """Write the update message of the steps noted so far and forget them."""
        text = self._message("update", ",".join(self._bids), ",".join(self._asks), checksum, time_ns)
        self.skip(time_ns)
        return text

    def skip(self, time_ns: int) -> None:
        """Forget the steps noted so far: they happened, but nobody listens."""
        self._bids.clear()
        self._asks.clear()
        self.changed_ns = time_ns

    def snapshot(self) -> str:
        """Write the snapshot message; it bears the time of the book's last change, not of the request."""
        checksum = book_checksum(self._engine)
        bids, asks = self._rows(self._engine.bids), self._rows(self._engine.asks)
        return self._message("snapshot", bids, asks, checksum, self.changed_ns)

    def _rows(self, side: BookSide) -> str:
        return ",".join([level.row for level in side.best(self.depth)])

    def _message(self, kind: str, bids: str, asks: str, checksum: int, time_ns: int) -> str:
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self._engine.pair.symbol}",'
            f'"bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"{rfc3339(time_ns)}"}}]}}'
        )
