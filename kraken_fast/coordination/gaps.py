"""Trades that no line told: first waited for, then fetched, and only then given up.

    a line goes ahead -> wait for another line, 0.25 s -> REST, until 4 s have passed -> Gap

Bound: five seconds from the loss to the last word on it. Source: faults.md K21, V05.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ..core.arbiter import Arbiter, TradePost
from ..core.clock import Clock
from ..errors import KrakenFastError
from ..events import Event, Filled
from ..policy import SECOND_NS
from ..rest.answers import RestTrade
from ..rest.endpoints import RestClient
from .shares import ShareLedger

_log = logging.getLogger("kraken_fast.gaps")

LINE_S, TOTAL_S, PAUSE_S = 0.25, 4.0, 0.5


class GapFiller:
    """Fetches what is missing.

    Args:
        arbiter: holds what waits.
        client: fetches.
        clock: for bounds.
        shares: counts the calls.
        on_event: told what was filled.
    """

    def __init__(
        self,
        arbiter: Arbiter,
        client: RestClient,
        clock: Clock,
        shares: ShareLedger,
        on_event: Callable[[Event], None],
    ) -> None:
        self._arbiter = arbiter
        self._client = client
        self._clock = clock
        self._shares = shares
        self._on_event = on_event
        self._tasks: dict[str, asyncio.Task[None]] = {}
        arbiter.on_missing = self.on_missing

    def on_missing(self, symbol: str, first: int, last: int) -> None:
        """A line went ahead of all: from within the decoder, so only a task begins."""
        _log.info("trades %d to %d of %s are missing so far", first, last, symbol)
        if symbol not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._fill(symbol), name=f"gap of {symbol}")
            self._tasks[symbol] = task

    async def close(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fill(self, symbol: str) -> None:
        post = self._arbiter.trades_of(symbol)
        begun_ns, last = 0, None
        try:
            while (missing := post.missing) is not None:
                if missing[1] != last:  # another hole than at the last look: lines come first
                    begun_ns, last = self._clock.monotonic_ns, missing[1]
                    await asyncio.sleep(LINE_S)
                elif self._clock.monotonic_ns - begun_ns >= TOTAL_S * SECOND_NS:
                    self._arbiter.give_up(symbol)
                    # An outage of everything may leave several holes in a row: each was looked for as long.
                    last = None if post.missing is None else post.missing[1]
                elif not await self._fetch(symbol, post):
                    await asyncio.sleep(PAUSE_S)
        finally:
            del self._tasks[symbol]  # now: by the time that a callback ran, more might be missing

    async def _fetch(self, symbol: str, post: TradePost) -> bool:
        """Ask REST once; returns whether that helped."""
        self._shares.called("fill", self._clock.monotonic_ns)
        try:
            page = await self._client.fetch_trades(
                symbol=symbol, since_ns=last_trade_ns(self._arbiter, symbol), max_age_s=0
            )
        except KrakenFastError as error:
            _log.warning("trades of %s could not be fetched: %s", symbol, error)
            return False
        before = post.missing
        if not offer_trades(self._arbiter, symbol, page.trades) or before is None:
            return False
        after = post.missing
        first, last = before[0], before[1] if after is None else min(before[1], after[0] - 1)
        if last < first:
            return False
        self._on_event(Filled(symbol, first, last))
        return True


def offer_trades(arbiter: Arbiter, symbol: str, trades: Iterable[RestTrade]) -> int:
    """Offer REST's trades to the arbiter; those that nobody was told of are told. Returns how many."""
    rows = [(row.trade_id, row.price, row.qty, row.side, row.ord_type, row.exch_ns) for row in trades]
    return arbiter.fill(symbol, rows)


def last_trade_ns(arbiter: Arbiter, symbol: str) -> int | None:
    """Give from when on trades have to be fetched to get those after the last one told; None before the first."""
    known = arbiter.trades_of(symbol).log.recent()
    exch_ns = known[-1].exch_ns if known else None
    return None if exch_ns is None else exch_ns - 1
