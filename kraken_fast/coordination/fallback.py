"""REST as the third source: asked when no line can serve, within its rates, most urgent first.

Theory of operation. There is one `RestSource`. The coordinator tells it what no line serves (`want`), readers tell it
what they wait for (`ask`). One task makes the calls, one at a time per slot of the exchange's pace, and decides what to
ask only when the slot is there: so the most urgent goes next, however many wait, and nothing queues up. Tickers of all
symbols are one call. Order of urgency: what a reader waits for; tickers; books that were read lately, oldest value
first; other books; trades.

The account's data has a pace of its own at the exchange, and is asked for by the coordinator directly.

What came is kept here in the shape of the lines' records, marked `rest`. It never touches what the lines keep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.book import BookSnapshot
from ..core.clock import Clock
from ..core.market import TickerSnapshot
from ..core.shape import book_of, ticker_of
from ..errors import (
    CircuitOpenError,
    ClosedError,
    ExchangeError,
    KrakenFastError,
    NoSourceError,
    UnknownSymbolError,
)
from ..policy import SECOND_NS
from ..rest.answers import RestBook, RestTicker, TradePage
from .shares import ShareLedger

_log = logging.getLogger("kraken_fast.fallback")

TICKER_S = 2.0
"""Between two calls for all tickers while they are needed: the edge keeps an answer for so long anyway, and of the one
call a second that the exchange allows, half is left for books."""

BOOK_S = 2.0
"""Before a book is asked for again while others wait. Source: rest.md section 1, max-age=2 on Depth."""

TRADES_S = 10.0

READ_LATELY_S = 30.0
"""A symbol that was read within so long goes before others."""

SPACE_NS = 100_000_000
"""Between two calls, as the client's lane has it: whatever has been chosen is on its way before the next is."""

PARALLEL = 4
"""Calls under way at once; the public lane of the client has as many."""

UNKNOWN_S = 60.0
"""Before REST is asked again for a symbol that it does not know; whoever reads it is told at once."""

KEPT_S = 60.0
"""A value that is neither needed nor read stays for so long: as the last that was known, should the lines go again."""

PAUSE_S = 0.25
"""After a failure, and the longest that the task sleeps while there is something to do."""

GROUPED_DEPTHS = (10, 25, 100, 250, 1000)
"""Source: rest.md section 7, GroupedBook."""

CHANNELS = ("ticker", "book", "trade")

Key = tuple[str, str]


class PublicClient(Protocol):
    """What is needed of a REST client."""

    async def fetch_tickers(self, *, symbols: Any, max_age_s: float | None = None) -> tuple[RestTicker, ...]:
        """Fetch tickers."""
        ...

    async def fetch_grouped_book(
        self, *, symbol: str, depth: int = 10, grouping: int = 1, max_age_s: float | None = None
    ) -> RestBook:
        """Fetch a book with whole quantities."""
        ...

    async def fetch_depth(
        self, *, symbol: str, count: int = 100, max_age_s: float | None = None
    ) -> RestBook:
        """Fetch a book."""
        ...

    async def fetch_trades(
        self, *, symbol: str, since_ns: int | None = None, max_age_s: float | None = None
    ) -> TradePage:
        """Fetch trades."""
        ...

    def stats(self) -> Any:
        """Tell how long a call would wait."""
        ...


@dataclass(slots=True)
class _Job:
    """What is asked for, and what is known of it."""

    channel: str
    symbol: str
    is_wanted: bool = False  # no line serves it
    asked_ns: int = 0  # of the last call; 0 if none was made
    read_ns: int = 0
    value: Any = None
    got_ns: int = 0  # when the value was asked for
    unknown_until_ns: int = 0
    error: str = ""
    is_under_way: bool = False
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def is_unknown(self, now_ns: int) -> bool:
        """Whether REST has no such symbol, as far as it told lately."""
        return now_ns < self.unknown_until_ns


class RestSource:
    """Values from REST. See the module's text.

    Args:
        client: makes the calls.
        clock: for ages.
        depth: levels of a book.
        shares: counts the calls.
        on_value: told of (channel, symbol, value) whenever one comes.
        on_trades: given the page of a symbol's trades.
        since_ns: gives the exchange time of the last trade known, or None.
    """

    def __init__(
        self,
        client: PublicClient,
        clock: Clock,
        *,
        depth: int,
        shares: ShareLedger,
        on_value: Callable[[str, str, Any], None],
        on_trades: Callable[[TradePage], None],
        since_ns: Callable[[str], int | None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._depth = depth
        self._shares = shares
        self._on_value = on_value
        self._on_trades = on_trades
        self._since_ns = since_ns
        self._jobs: dict[Key, _Job] = {}
        self._task: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._paused_until_ns = 0
        self._spaced_until_ns = 0
        self._is_closed = False
        self.calls = 0
        self.failures = 0
        self.error = ""
        """Why the last call failed; "" after one that did not."""

    # What the coordinator says -----------------------------------------------------------------------------------

    def want(self, channel: str, symbols: Collection[str]) -> None:
        """Say what of a channel no line serves at present; all else is no longer asked for."""
        for symbol in symbols:
            self._job(channel, symbol).is_wanted = True
        forgotten = []
        for key, job in self._jobs.items():
            if job.channel == channel and job.symbol not in symbols:
                job.is_wanted = False
                if self._is_done_with(job):
                    forgotten.append(key)
        for key in forgotten:
            del self._jobs[key]
        if symbols:
            self._wake()

    def _is_done_with(self, job: _Job) -> bool:
        """Whether what came of an outage is over for good: 1,000 symbols of it are some megabytes."""
        if job.waiters or job.is_under_way:
            return False
        return self._clock.monotonic_ns - max(job.got_ns, job.read_ns, job.asked_ns) > KEPT_S * SECOND_NS

    def note_read(self, channel: str, symbol: str) -> None:
        """Somebody reads this: it goes before what nobody does."""
        self._job(channel, symbol).read_ns = self._clock.monotonic_ns

    def value(self, channel: str, symbol: str) -> tuple[Any, float] | None:
        """Give the last value and its age in ms, None if there is none."""
        job = self._jobs.get((channel, symbol))
        if job is None or job.value is None:
            return None
        return job.value, (self._clock.monotonic_ns - job.got_ns) / 1e6

    def reason(self, channel: str, symbol: str) -> str:
        """Tell why there is no value."""
        job = self._jobs.get((channel, symbol))
        return (job.error if job is not None else "") or "was not asked"

    @property
    def is_idle(self) -> bool:
        """Whether nothing is wanted or waited for."""
        return not any(job.is_wanted or job.waiters for job in self._jobs.values())

    async def ask(self, channel: str, symbol: str, within_s: float) -> Any:
        """Wait for a fresh value; one call serves all who wait.

        Raises:
            NoSourceError: it failed, or did not come in time.
        """
        if self._is_closed:
            raise NoSourceError(f"{channel} {symbol}", {"rest": "closed"})
        job = self._job(channel, symbol)
        job.read_ns = self._clock.monotonic_ns
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job.waiters.append(waiter)
        self._wake()
        try:
            async with asyncio.timeout(within_s):
                await waiter
        except TimeoutError:
            reason = job.error or f"no answer within {within_s:g} s"
            raise NoSourceError(f"{channel} {symbol}", {"rest": reason}) from None
        except KrakenFastError as error:
            raise NoSourceError(f"{channel} {symbol}", {"rest": str(error)}) from error
        finally:
            if waiter in job.waiters:
                job.waiters.remove(waiter)
        return job.value

    async def close(self) -> None:
        """End all calls; whoever waits is told."""
        self._is_closed = True
        tasks = [*self._calls, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        _settle(self._jobs.values(), ClosedError("closed while it was waited for"))

    # The task ----------------------------------------------------------------------------------------------------

    def _job(self, channel: str, symbol: str) -> _Job:
        return self._jobs.setdefault((channel, symbol), _Job(channel, symbol))

    def _wake(self) -> None:
        self._woken.set()
        if not self._is_closed and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="kraken_fast REST source")

    async def _run(self) -> None:
        while not self.is_idle:
            self._woken.clear()
            wait_s = self._start_what_is_due()
            # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the event.
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _start_what_is_due(self) -> float:
        """Begin calls while there is room and pace for them; returns how long to sleep."""
        now_ns = self._clock.monotonic_ns
        held_until_ns = max(self._paused_until_ns, self._spaced_until_ns)
        if now_ns < held_until_ns:
            return min(PAUSE_S, (held_until_ns - now_ns) / SECOND_NS + 0.001)
        if len(self._calls) >= PARALLEL:
            return PAUSE_S
        wait_s = float(self._client.stats().public_wait_s)
        if wait_s > 0:
            return min(PAUSE_S, wait_s)
        batch = self._next(now_ns)
        if not batch:
            return PAUSE_S
        self._spaced_until_ns = now_ns + SPACE_NS
        for job in batch:
            job.is_under_way = True
            job.asked_ns = now_ns
        call = asyncio.get_running_loop().create_task(self._call(batch), name=f"REST {batch[0].channel}")
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return 0.0

    def _next(self, now_ns: int) -> list[_Job]:
        """Choose what to ask for: one book or page of trades, or all tickers that are needed. Cost: O(jobs)."""
        best: _Job | None = None
        best_rank: tuple[int, int] = (9, 0)
        for job in self._jobs.values():
            if job.is_under_way or not (job.is_wanted or job.waiters):
                continue
            rank = self._rank(job, now_ns)
            if rank is not None and rank < best_rank:
                best, best_rank = job, rank
        if best is None or best.channel != "ticker" or best.is_unknown(now_ns):
            return [] if best is None else [best]
        return [
            job
            for job in self._jobs.values()
            if job.channel == "ticker" and (job.is_wanted or job.waiters) and not job.is_unknown(now_ns)
        ]

    def _rank(self, job: _Job, now_ns: int) -> tuple[int, int] | None:
        """Give the place in the order, lowest first; None if it is not due."""
        if job.waiters:
            return 0, job.read_ns
        if job.is_unknown(now_ns):
            return None
        every_s = {"ticker": TICKER_S, "book": BOOK_S, "trade": TRADES_S}[job.channel]
        if job.asked_ns and now_ns - job.asked_ns < every_s * SECOND_NS:
            return None
        if job.channel == "ticker":
            return 1, job.asked_ns
        if job.channel == "trade":
            return 4, job.asked_ns
        lately = job.read_ns and now_ns - job.read_ns <= READ_LATELY_S * SECOND_NS
        return (2 if lately else 3), job.asked_ns

    async def _call(self, batch: list[_Job]) -> None:
        asked_ns = self._clock.monotonic_ns
        self.calls += 1
        self._shares.called("emergency" if any(job.is_wanted for job in batch) else "read", asked_ns)
        error: KrakenFastError | None = ClosedError("closed while it was asked for")  # unless the call ends
        settled = batch
        try:
            if batch[0].channel == "ticker":
                await self._fetch_tickers(batch)
            elif batch[0].channel == "book":
                await self._fetch_book(batch[0])
            else:
                await self._fetch_trades(batch[0])
            self.error, error = "", None
        except KrakenFastError as failed:
            error = failed
            settled = self._note_unknown(batch, failed, asked_ns) or self._note_failure(batch, failed)
        finally:
            for job in batch:
                job.is_under_way = False
            _settle(settled, error)
            self._woken.set()

    def _note_unknown(self, batch: list[_Job], error: KrakenFastError, now_ns: int) -> list[_Job]:
        """One symbol that REST does not know fails a call for many: give it, and let the others be asked for again."""
        unknown = [job for job in batch if isinstance(error, UnknownSymbolError) and job.symbol == error.symbol]
        for job in unknown:
            if not job.is_unknown(now_ns):
                _log.warning("REST %s: %s", job.channel, error)
            job.unknown_until_ns, job.error = now_ns + round(UNKNOWN_S * SECOND_NS), str(error)
        for job in batch if unknown else ():
            job.asked_ns = 0
        return unknown

    def _note_failure(self, batch: list[_Job], error: KrakenFastError) -> list[_Job]:
        self.failures += 1
        self.error = str(error)
        pause_s = error.retry_after_s if isinstance(error, CircuitOpenError) else PAUSE_S
        self._paused_until_ns = self._clock.monotonic_ns + round(max(PAUSE_S, pause_s) * SECOND_NS)
        for job in batch:
            job.error = self.error
        _log.warning("REST %s of %d symbols: %s", batch[0].channel, len(batch), error)
        return batch

    async def _fetch_tickers(self, batch: list[_Job]) -> None:
        tickers = await self._client.fetch_tickers(symbols=[job.symbol for job in batch], max_age_s=0)
        for job, ticker in zip(batch, tickers, strict=True):
            self._keep(job, shaped_ticker(ticker), ticker.recv_ns)

    async def _fetch_book(self, job: _Job) -> None:
        depth = next((depth for depth in GROUPED_DEPTHS if depth >= self._depth), GROUPED_DEPTHS[-1])
        try:
            book = await self._client.fetch_grouped_book(symbol=job.symbol, depth=depth, max_age_s=0)
        except ExchangeError as error:
            if error.retryable:
                raise
            book = await self._client.fetch_depth(symbol=job.symbol, count=min(500, self._depth), max_age_s=0)
        self._keep(job, shaped_book(book, self._depth), book.recv_ns)

    async def _fetch_trades(self, job: _Job) -> None:
        page = await self._client.fetch_trades(
            symbol=job.symbol, since_ns=self._since_ns(job.symbol), max_age_s=0
        )
        self._on_trades(page)
        # Whoever offers the trades keeps what is needed of them: a page is a thousand rows.
        self._keep(job, len(page.trades), self._clock.monotonic_ns)

    def _keep(self, job: _Job, value: Any, asked_ns: int) -> None:
        if job.value is not None and asked_ns < job.got_ns:
            return  # an answer that was overtaken
        job.value, job.got_ns, job.error = value, asked_ns, ""
        self._on_value(job.channel, job.symbol, value)


def _settle(jobs: Iterable[_Job], error: KrakenFastError | None) -> None:
    """Tell those who wait for these that they came, or why not."""
    for job in jobs:
        waiters, job.waiters = job.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def shaped_book(book: RestBook, depth: int) -> BookSnapshot:
    """Give REST's book in the shape of a line's."""
    bids, asks = ([(level.price, level.qty) for level in side] for side in (book.bids, book.asks))
    return book_of(book.symbol, depth, bids, asks, asked_ns=book.recv_ns, age_ms=0.0)


def shaped_ticker(ticker: RestTicker) -> TickerSnapshot:
    """Give REST's ticker in the shape of a line's. Its change since 24 hours ago REST does not tell."""
    values = [
        ticker.bid,
        None,
        ticker.ask,
        None,
        ticker.last,
        ticker.qty_24h,
        ticker.vwap_24h,
        ticker.low_24h,
        ticker.high_24h,
        None,
        None,
        None,
    ]
    return ticker_of(ticker.symbol, values, trades=ticker.trades_24h, asked_ns=ticker.recv_ns, age_ms=0.0)
