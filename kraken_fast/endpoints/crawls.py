"""Long lists as async iterators; see `history` for what they promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from ..history import AccountHistory, TradeHistory
from ..policy import SECOND_NS
from ..rest_types import LedgerEntry, OrderInfo, RestCandle, TradeInfo, TradePage
from .account import AccountCalls
from .market import MarketCalls


class Crawls(MarketCalls, AccountCalls):
    """Iterators. Each has `cursor`, `rows`, `pages` and `total`; `cursor=` continues an earlier one."""

    def iter_trades(
        self, *, symbol: str, since_ns: int = 0, until_ns: int | None = None, cursor: str = ""
    ) -> TradeHistory:
        """Give public trades, oldest first, from a time until another or until now."""

        async def fetch(since_ns: int) -> TradePage:
            return await self.fetch_trades(symbol=symbol, since_ns=since_ns, count=1000, max_age_s=0)

        return TradeHistory(fetch, since_ns=since_ns, until_ns=until_ns, cursor=cursor)

    async def iter_candles(
        self, *, symbol: str, interval: int = 1, since_s: int | None = None
    ) -> AsyncIterator[RestCandle]:
        """Give closed candles that begin after a time, oldest first; the last one's begin is the cursor.

        The exchange keeps 720: older ones do not come, however early `since_s`.
        """
        # One interval earlier, for whether `since` itself belongs to the answer, sources disagree.
        asked_s = None if since_s is None else max(0, since_s - 60 * interval)
        page = await self.fetch_candles(symbol=symbol, interval=interval, since_s=asked_s, max_age_s=0)
        last_ns = -1 if since_s is None else since_s * SECOND_NS
        for candle in page.candles:
            if candle.closed and candle.begin_ns > last_ns:
                last_ns = candle.begin_ns
                yield candle

    def iter_fills(
        self, *, start_s: int | None = None, end_s: int | None = None, cursor: str = ""
    ) -> AccountHistory[TradeInfo]:
        """Give our fills, newest first."""

        async def fetch(end: int, ofs: int) -> tuple[Sequence[TradeInfo], int | None]:
            page = await self.fetch_fills(start=start_s, end=end, ofs=ofs)
            return page.trades, page.count

        return AccountHistory(
            fetch, lambda row: (row.exec_id, row.exch_ns), end_s=self._end(end_s), cursor=cursor
        )

    def iter_ledgers(
        self,
        *,
        assets: Iterable[str] | None = None,
        kind: str | None = None,
        start_s: int | None = None,
        end_s: int | None = None,
        cursor: str = "",
    ) -> AccountHistory[LedgerEntry]:
        """Give movements of money, newest first."""
        wanted = None if assets is None else tuple(assets)

        async def fetch(end: int, ofs: int) -> tuple[Sequence[LedgerEntry], int | None]:
            page = await self.fetch_ledgers(assets=wanted, kind=kind, start=start_s, end=end, ofs=ofs)
            return page.entries, page.count

        return AccountHistory(
            fetch, lambda row: (row.ledger_id, row.exch_ns), end_s=self._end(end_s), cursor=cursor
        )

    def iter_closed_orders(
        self, *, trades: bool = False, start_s: int | None = None, end_s: int | None = None, cursor: str = ""
    ) -> AccountHistory[OrderInfo]:
        """Give closed orders, the one closed last first."""

        async def fetch(end: int, ofs: int) -> tuple[Sequence[OrderInfo], int | None]:
            page = await self.fetch_closed_orders(
                trades=trades, start=start_s, end=end, ofs=ofs, closetime="close"
            )
            return page.orders, page.count

        return AccountHistory(
            fetch, lambda row: (row.order_id, row.closed_ns or 0), end_s=self._end(end_s), cursor=cursor
        )

    def _end(self, end_s: int | None) -> int:
        # Rounded up: what happened in the present second belongs to the crawl.
        return self.clock.epoch_ns // SECOND_NS + 1 if end_s is None else end_s
