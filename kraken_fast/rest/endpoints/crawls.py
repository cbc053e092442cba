"""Long lists as async iterators; see `history` for what they promise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...policy import SECOND_NS
from ..answers import LedgerEntry, OrderInfo, RestCandle, TradeInfo, TradePage
from ..history import AccountHistory, CandleHistory, TradeHistory
from .account import AccountCalls
from .market import MarketCalls


class Crawls(MarketCalls, AccountCalls):
    """Iterators. Each has `cursor`, `rows`, `pages` and `total`; `cursor=` continues an earlier one."""

    def iter_trades(
        self, *, symbol: str, since_ns: int = 0, until_ns: int | None = None, cursor: str = ""
    ) -> TradeHistory:
        """Give public trades, oldest first, from a time until another, both included, or until now."""

        async def fetch(since_ns: int) -> TradePage:
            return await self.fetch_trades(symbol=symbol, since_ns=since_ns, count=1000, max_age_s=0)

        return TradeHistory(fetch, since_ns=max(0, since_ns - 1), until_ns=until_ns, cursor=cursor)

    def iter_candles(
        self, *, symbol: str, interval: int = 1, since_s: int | None = None, cursor: str = ""
    ) -> CandleHistory:
        """Give closed candles that begin after a time, oldest first.

        The exchange keeps 720: older ones do not come, however early `since_s`; `lost` tells which are missing.
        """

        async def fetch(since_ns: int | None) -> Sequence[RestCandle]:
            page = await self.fetch_candles(
                symbol=symbol,
                interval=interval,
                since_s=None if since_ns is None else since_ns // SECOND_NS,
                max_age_s=0,
            )
            return page.candles

        return CandleHistory(
            fetch,
            interval_ns=60 * interval * SECOND_NS,
            since_ns=None if since_s is None else since_s * SECOND_NS,
            cursor=cursor,
        )

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
