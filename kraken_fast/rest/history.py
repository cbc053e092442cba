"""Long lists as async iterators: whole, each row once, and to be continued from a cursor.

Theory of operation. A crawl fetches pages and gives rows. Its `cursor` names the row that was given last; a new crawl
with that cursor continues after it, also days later and in another process.

Lists of the account (fills, ledgers, closed orders) come newest first, 50 a page, by offset. The end of the crawl is
fixed when it begins, so what happens later cannot move its rows; a row that the exchange books late moves them
towards the end, so it can only make rows come again, and those are known by their ids. So nothing is lost or doubled.

Public trades come oldest first, after a time. A page may end between trades of the same nanosecond, so the next one is
asked for from a nanosecond before; ids tell what was given already, and prove that none is missing, for they count up
by one. `gaps` lists those that are, should it happen.

Candles come oldest first too, in one page: the exchange keeps 720 of an interval. A crawl that is continued too late
says in `lost` which ones are gone.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Self, TypeVar

from ..errors import ConfigError
from ..types import Gap
from .answers import RestCandle, RestTrade, TradePage

_log = logging.getLogger("kraken_fast.rest")
_Row = TypeVar("_Row")

REMEMBERED = 1000
"""Ids of rows given last: more than late bookings could ever move a page by."""


class History(ABC, Generic[_Row]):
    """Rows of a long list.

    Attributes:
        cursor: continues after the row that was given last; "" before the first.
        rows: given so far. pages: fetched so far.
        total: of the whole list, None while nothing tells it.
    """

    def __init__(self) -> None:
        self.cursor = ""
        self.rows = 0
        self.pages = 0
        self.total: int | None = None
        self._page: deque[tuple[_Row, str]] = deque()
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Row:
        while not self._page:
            if self._is_over:
                raise StopAsyncIteration
            await self._next_page()
            self.pages += 1
        row, self.cursor = self._page.popleft()
        self.rows += 1
        return row

    @abstractmethod
    async def _next_page(self) -> None:
        """Put the next rows with their cursors into `_page`, or set `_is_over`."""


class AccountHistory(History[_Row]):
    """A list of the account, newest first.

    Args:
        fetch: gives the rows from an offset up to an end, and their whole count if it is told.
        facts: gives a row's id and time in ns.
        end_s: the newest second of the crawl.
        cursor: of an earlier crawl.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], Awaitable[tuple[Sequence[_Row], int | None]]],
        facts: Callable[[_Row], tuple[str, int]],
        *,
        end_s: int,
        cursor: str = "",
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._facts = facts
        self._end_s = end_s
        self._ofs = 0
        self._given: deque[str] = deque(maxlen=REMEMBERED)
        self._after: tuple[int, str] | None = None
        if cursor:
            end, ofs, time_ns, row_id = _parts(cursor, 4)
            self._end_s, self._ofs = _count(end), _count(ofs)
            self._after = _count(time_ns), row_id
            self.cursor = cursor

    async def _next_page(self) -> None:
        rows, total = await self._fetch(self._end_s, self._ofs)
        self.total = self.total if total is None else total
        self._is_over = not rows or (total is not None and self._ofs + len(rows) >= total)
        is_past = self._after is None
        after_ns, after_id = self._after or (0, "")
        for row in rows:
            row_id, time_ns = self._facts(row)
            if not is_past:
                # Rows of the same instant come in one order always; the one given last ends what was given.
                is_past = time_ns < after_ns
                if not is_past:
                    if row_id == after_id:
                        is_past = True
                    continue
            if row_id not in self._given:
                self._given.append(row_id)
                self._page.append((row, f"{self._end_s}:{self._ofs}:{time_ns}:{row_id}"))
        if is_past:
            self._after = None
        self._ofs += len(rows)


class TradeHistory(History[RestTrade]):
    """Public trades, oldest first.

    Args:
        fetch: gives a page of trades after a time in ns.
        since_ns: where to begin.
        until_ns: where to end; None for the newest there is.
        page_max: rows of a full page.
        cursor: of an earlier crawl.

    Attributes:
        gaps: ids that the exchange did not give.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[TradePage]],
        *,
        since_ns: int,
        until_ns: int | None = None,
        page_max: int = 1000,
        cursor: str = "",
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._since_ns = since_ns
        self._until_ns = until_ns
        self._page_max = page_max
        self._last_id = 0
        self.gaps: list[Gap] = []
        if cursor:
            since, last_id = _parts(cursor, 2)
            self._since_ns, self._last_id = _count(since), _count(last_id)
            self.cursor = cursor

    async def _next_page(self) -> None:
        page = await self._fetch(self._since_ns)
        new = [trade for trade in page.trades if trade.trade_id > self._last_id]
        for trade in new:
            if self._until_ns is not None and trade.exch_ns > self._until_ns:
                self._is_over = True
                return
            if self._last_id and trade.trade_id > self._last_id + 1:
                self.gaps.append(Gap(trade.symbol, self._last_id + 1, trade.trade_id - 1))
                _log.warning("trades %d to %d of %s were not given", *_span(self.gaps[-1]))
            self._last_id = trade.trade_id
            self._page.append((trade, f"{self._since_ns}:{trade.trade_id}"))
        if len(page.trades) < self._page_max:
            self._is_over = True
        # A page without anything new that is full holds trades of one nanosecond alone: step over it.
        self._since_ns = page.last_ns - 1 if new else page.last_ns


class CandleHistory(History[RestCandle]):
    """Closed candles, oldest first.

    Args:
        fetch: gives the candles from a time in ns on, None for all there are.
        interval_ns: length of a candle.
        since_ns: those that begin after this; None for all there are.
        cursor: of an earlier crawl.

    Attributes:
        lost: begins of the first and the last candle that the exchange keeps no more, in ns; None when it gave all.
    """

    def __init__(
        self,
        fetch: Callable[[int | None], Awaitable[Sequence[RestCandle]]],
        *,
        interval_ns: int,
        since_ns: int | None,
        cursor: str = "",
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._interval_ns = interval_ns
        self._last_ns = _count(cursor) if cursor else since_ns
        self.cursor = cursor
        self.lost: tuple[int, int] | None = None

    async def _next_page(self) -> None:
        last_ns = self._last_ns
        # One interval earlier, for whether `since` itself belongs to the answer, sources disagree.
        candles = await self._fetch(None if last_ns is None else max(0, last_ns - self._interval_ns))
        closed = [each for each in candles if each.closed and (last_ns is None or each.begin_ns > last_ns)]
        self._page.extend((candle, str(candle.begin_ns)) for candle in closed)
        self.total = len(closed)
        self._is_over = True
        if last_ns is not None and closed:
            due_ns = (last_ns // self._interval_ns + 1) * self._interval_ns
            if closed[0].begin_ns > due_ns:
                self.lost = due_ns, closed[0].begin_ns - self._interval_ns
                _log.warning("candles from %d to %d ns are no longer kept by the exchange", *self.lost)


def _span(gap: Gap) -> tuple[int, int, str]:
    return gap.first, gap.last, gap.symbol


def _parts(cursor: str, count: int) -> list[str]:
    parts = cursor.split(":")
    if len(parts) != count:
        raise ConfigError("cursor", cursor, "the cursor of an earlier crawl of the same list")
    return parts


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError("cursor", text, "the cursor of an earlier crawl of the same list")
    return int(text)
