"""Iteration over what a feed brings, bounded: a slow reader delays nobody and loses nothing silently.

Books, tickers and running candles coalesce: while one waits to be read, newer ones of the same key replace it, and the
reader gets the state at the moment of reading. Trades, closed candles and what happens to the line are kept one by one;
when `size` of them wait, the oldest goes and a `Dropped` takes its place, saying how many went.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from .account_records import AccountGap
from .core.balance_store import BalanceUpdate
from .core.book import BookSnapshot
from .core.execution import Execution
from .core.level3 import Level3Snapshot
from .core.market import Candle, TickerSnapshot, Trade
from .errors import KrakenFastError, SubscriptionError
from .types import Gap, InstrumentUpdate, SystemStatus


@dataclass(frozen=True, slots=True)
class LineChange:
    """The line went from one state to another: down, backoff, connecting, live, suspect, closed."""

    old: str
    new: str
    reason: str
    line: str = "A"


@dataclass(frozen=True, slots=True)
class Refused:
    """A subscription that the exchange refused, or never served."""

    error: SubscriptionError
    line: str = "A"


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A symbol is served by another source: starting, websocket, rest, none."""

    channel: str
    symbol: str
    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """A part is doubtful, and what is done about it: `component` names it, such as `line B book BTC/USD`."""

    component: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filled:
    """Trades that no line told came from REST: ids `first` to `last`, both included."""

    symbol: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The reader was too slow: this many one-by-one events were lost here."""

    count: int


Event = (
    BookSnapshot | TickerSnapshot | Trade | Candle | Gap | Dropped | LineChange | Refused | SystemStatus
    | InstrumentUpdate | SourceChange | Degraded | Filled | Execution | BalanceUpdate | AccountGap
    | Level3Snapshot
)

Key = tuple[str, ...]


class EventStream:
    """One reader's view of a feed; iterate over it once.

    Attributes:
        dropped: one-by-one events lost to this reader so far.
        coalesced: states that a newer one replaced before they were read.
    """

    def __init__(self, size: int, on_close: Callable[[EventStream], None]) -> None:
        self._size = size
        self._on_close = on_close
        self._order: deque[Key | None] = deque()  # None: the next of _single
        self._latest: dict[Key, Callable[[], Event]] = {}
        self._single: deque[Event] = deque()
        self._lost = 0
        self._waiter: asyncio.Future[None] | None = None
        self._end: KrakenFastError | None = None
        self._closed = False
        self.dropped = 0
        self.coalesced = 0

    def put_latest(self, key: Key, read: Callable[[], Event]) -> None:
        """Offer a state; `read` copies it when its turn comes."""
        if key in self._latest:
            self.coalesced += 1
        else:
            self._order.append(key)
        self._latest[key] = read
        self._wake()

    def put(self, event: Event) -> None:
        """Offer an event of which each one counts."""
        if len(self._single) >= self._size:
            self._single.popleft()
            self._lost += 1
            self.dropped += 1
        else:
            self._order.append(None)
        self._single.append(event)
        self._wake()

    def finish(self, error: KrakenFastError | None) -> None:
        """End the stream once everything offered was read: with `error`, or quietly."""
        self._closed = True
        self._end = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _next(self) -> Event:
        if self._lost and self._order[0] is None:
            lost, self._lost = self._lost, 0
            return Dropped(lost)
        key = self._order.popleft()
        return self._single.popleft() if key is None else self._latest.pop(key)()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._order:
            if self._closed:
                self._on_close(self)
                if self._end is not None:
                    raise self._end
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._next()

    async def aclose(self) -> None:
        """Stop listening; what waits is forgotten."""
        self.finish(None)
        self._order.clear()
        self._single.clear()
        self._latest.clear()
        self._on_close(self)
