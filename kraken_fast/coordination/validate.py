"""What the lines say against what REST says: sampled, within REST's share, and with the time between them in mind.

Theory of operation. REST carries no time of its own and its edge may keep an answer for two seconds, so a line is not
compared with REST at one moment but over a span: it is looked at two seconds before the call, at the call, and after
the answer. REST agrees if its number lies within what the line said over that span, give or take the tolerance.
Besides: a line whose ticker stood still over the whole span while REST tells another one, is silent, however lively
its heartbeats. A book is compared by quantity only if it stood still over the span: then it must be equal.

Each line is compared by itself, so the one that is wrong is known. A difference is looked at twice; the second time it
is a breach: told, with both values, and that replica is distrusted and asked for anew.

One call compares all tickers; another, each time for the next symbol, the quantities of one book: by GroupedBook with
grouping 1, because Depth has three decimals and Ticker whole lots.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from ..errors import KrakenFastError
from ..events import Degraded, Event
from ..policy import SECOND_NS
from ..rest.answers import RestBook, RestTicker
from ..rest.endpoints import RestClient
from .lines import Lines
from .shares import ShareLedger

_log = logging.getLogger("kraken_fast.validate")

SPAN_S = 2.0
"""How old an answer of the edge may be. Source: rest.md section 1, max-age=2 on Depth."""

AGAIN_S = 0.3
"""Before a difference is looked at again: told within a second of being found. Source: faults.md D22."""

QUIET_S = 5.0
PROBE_S = 15.0
"""If nothing was told for so long, REST is asked at least so often, whatever its share: K10 allows 30 s."""

KEPT = 200
LEVELS = 10

Fact = tuple[str, str, str]
"""Line, symbol, field."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes:
        at_ns: when, monotonic.
        line, symbol, field: what was compared.
        websocket, rest: both values.
        difference: of REST to what the line said over the span, relative; 0 within it.
        is_breach: beyond the tolerance, twice.
    """

    at_ns: int
    line: str
    symbol: str
    field: str
    websocket: Decimal
    rest: Decimal
    difference: float
    is_breach: bool


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """All comparisons so far.

    Attributes:
        rounds, skipped: comparisons of everything; those for which REST had no share left.
        compared: numbers. breaches: of those.
        difference_max: the largest relative difference that was no breach.
    """

    rounds: int
    skipped: int
    compared: int
    breaches: int
    difference_max: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What one line says of one symbol at one moment."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    volume: Decimal | None
    ticker_messages: int
    book_messages: int


class Validator:
    """Compares. See the module's text.

    Args:
        lines: what is compared, and healed.
        client: asks REST.
        shares: says whether it may.
        on_event: told of breaches.
        every_s: between two rounds; 0 makes none.
        tolerance: largest relative difference of prices and volumes.
    """

    def __init__(
        self,
        lines: Lines,
        client: RestClient,
        shares: ShareLedger,
        on_event: Callable[[Event], None],
        *,
        every_s: float,
        tolerance: float,
    ) -> None:
        self._lines = lines
        self._client = client
        self._shares = shares
        self._on_event = on_event
        self._every_s = every_s
        self._tolerance = tolerance
        self._clock = lines.clock
        self._task: asyncio.Task[None] | None = None
        self._asked_ns = 0
        self._turn = 0
        self.checks: deque[Check] = deque(maxlen=KEPT)
        self._rounds = self._skipped = self._compared = self._breaches = 0
        self._difference_max = 0.0

    def start(self) -> None:
        """Begin to compare."""
        if self._every_s > 0 and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="kraken_fast validator")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def summary(self) -> CheckSummary:
        """Give the counts."""
        return CheckSummary(
            self._rounds, self._skipped, self._compared, self._breaches, self._difference_max
        )

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.round()
            except KrakenFastError as error:
                _log.info("no comparison with REST: %s", error)

    async def round(self) -> int:
        """Compare everything once; returns how many breaches were found.

        Raises:
            KrakenFastError: REST did not answer.
        """
        symbols = list(self._lines.arbiter.tickers or self._lines.arbiter.books)
        if not symbols or not self._lines.is_any_alive:
            return 0
        purpose = self._purpose()
        if purpose is None:
            self._skipped += 1
            return 0
        self._rounds += 1
        suspects = await self._compare_tickers(symbols, SPAN_S, purpose)
        found = 0
        if suspects:
            await asyncio.sleep(AGAIN_S)
            again = await self._compare_tickers(sorted({symbol for _, symbol, _ in suspects}), 0.0, purpose)
            found += self._confirm(suspects.keys() & again.keys(), again)
        if self._lines.arbiter.books and self._purpose() is not None:
            found += await self._check_book()
        return found

    def _purpose(self) -> str | None:
        """Tell on what a call would be spent; None if there must be none."""
        now_ns = self._clock.monotonic_ns
        if self._shares.may_spend(now_ns):
            return "check"
        posts = [*self._lines.arbiter.tickers.values(), *self._lines.arbiter.books.values()]
        told_ns = max((post.news_ns for post in posts), default=0)
        is_quiet = now_ns - told_ns > QUIET_S * SECOND_NS
        return "probe" if is_quiet and now_ns - self._asked_ns > PROBE_S * SECOND_NS else None

    # Tickers -------------------------------------------------------------------------------------------------

    async def _compare_tickers(
        self, symbols: list[str], span_s: float, purpose: str
    ) -> dict[Fact, tuple[Decimal, Decimal]]:
        """Compare tickers over a span; gives what differs, with both values."""
        looks = [self._look(symbols)]
        if span_s:
            await asyncio.sleep(span_s)
            looks.append(self._look(symbols))
        self._asked_ns = self._clock.monotonic_ns
        self._shares.called(purpose, self._asked_ns)
        tickers = await self._client.fetch_tickers(symbols=symbols, max_age_s=0)
        looks.append(self._look(symbols))
        differing: dict[Fact, tuple[Decimal, Decimal]] = {}
        for ticker in tickers:
            for name in self._lines.sessions:
                seen = [look[name, ticker.symbol] for look in looks if (name, ticker.symbol) in look]
                if len(seen) == len(looks):  # live all the while
                    differing.update(self._compare(name, ticker, seen))
        return differing

    def _look(self, symbols: Iterable[str]) -> dict[tuple[str, str], _Look]:
        found = {}
        for name, session in self._lines.sessions.items():
            for symbol in symbols:
                ticker, book = session.decoder.ticker(symbol), session.decoder.book(symbol)
                is_live = [store.quality == "live" for store in (ticker, book) if store is not None]
                if not is_live or not all(is_live):
                    continue
                best: tuple[Decimal | None, Decimal | None] = (None, None)
                if book is not None:
                    best = book.best_bid, book.best_ask
                elif ticker is not None:
                    best = ticker.bid, ticker.ask
                found[name, symbol] = _Look(
                    bid=best[0],
                    ask=best[1],
                    last=None if ticker is None else ticker.last,
                    volume=None if ticker is None else ticker.volume,
                    ticker_messages=0 if ticker is None else ticker.messages,
                    book_messages=0 if book is None else book.messages,
                )
        return found

    def _compare(
        self, line: str, ticker: RestTicker, seen: list[_Look]
    ) -> Iterable[tuple[Fact, tuple[Decimal, Decimal]]]:
        now_ns = self._clock.monotonic_ns
        for field, rest in (
            ("bid", ticker.bid),
            ("ask", ticker.ask),
            ("last", ticker.last),
            ("volume", ticker.qty_24h),
        ):
            values = [value for look in seen if (value := getattr(look, field)) is not None]
            if len(values) != len(seen):
                continue
            self._compared += 1
            difference = outside(rest, values)
            differs = difference > self._tolerance
            stands_still = field == "last" and seen[0].ticker_messages == seen[-1].ticker_messages
            if not differs:
                self._difference_max = max(self._difference_max, difference)
            self.checks.append(
                Check(now_ns, line, ticker.symbol, field, values[-1], rest, difference, is_breach=False)
            )
            if differs:
                yield (line, ticker.symbol, field), (values[-1], rest)
            elif stands_still and rest != values[-1]:
                yield (line, ticker.symbol, "silence"), (values[-1], rest)

    def _confirm(self, facts: Iterable[Fact], values: dict[Fact, tuple[Decimal, Decimal]]) -> int:
        count = 0
        for fact in sorted(facts):
            line, symbol, field = fact
            ours, rest = values[fact]
            count += 1
            self._breaches += 1
            self.checks.append(
                Check(
                    self._clock.monotonic_ns, line, symbol, field, ours, rest, outside(rest, [ours]), is_breach=True
                )
            )
            self._on_event(Degraded(f"line {line} {symbol}", f"variance of {field}: websocket {ours}, rest {rest}"))
            for channel in ("book",) if field in ("bid", "ask", "qty") else ("ticker", "trade"):
                self._lines.heal(channel, symbol, line, f"{field} differs from REST", distrust=True)
        return count

    # One book ------------------------------------------------------------------------------------------------

    async def _check_book(self) -> int:
        symbols = list(self._lines.arbiter.books)
        symbol = symbols[self._turn % len(symbols)]
        self._turn += 1
        first = await self._compare_book(symbol, SPAN_S)
        if not first:
            return 0
        await asyncio.sleep(AGAIN_S)
        again = await self._compare_book(symbol, 0.0)
        return self._confirm(first.keys() & again.keys(), again)

    async def _compare_book(self, symbol: str, span_s: float) -> dict[Fact, tuple[Decimal, Decimal]]:
        before = self._look([symbol])
        await asyncio.sleep(span_s)
        self._shares.called("check", self._clock.monotonic_ns)
        book = await self._client.fetch_grouped_book(symbol=symbol, depth=LEVELS, max_age_s=0)
        after = self._look([symbol])
        differing = {}
        for name, session in self._lines.sessions.items():
            look, ours = before.get((name, symbol)), session.decoder.book(symbol)
            if look is None or ours is None or after.get((name, symbol)) is None:
                continue
            if look.book_messages != after[name, symbol].book_messages:
                continue  # it moved: nothing says which of its states REST saw
            self._compared += 1
            found = first_difference(ours.snapshot().bids, ours.snapshot().asks, book)
            if found is not None:
                differing[name, symbol, "qty"] = found
        return differing


def outside(value: Decimal, values: list[Decimal]) -> float:
    """Give how far a value lies outside a range, relative to its middle; 0.0 within.

    >>> outside(Decimal(102), [Decimal(99), Decimal(100), Decimal(101)])
    0.01
    """
    low, high = min(values), max(values)
    if low <= value <= high:
        return 0.0
    middle = (low + high) / 2
    distance = low - value if value < low else value - high
    return float(abs(distance / middle)) if middle else float("inf")


def first_difference(
    bids: Iterable[tuple[Decimal, Decimal]], asks: Iterable[tuple[Decimal, Decimal]], book: RestBook
) -> tuple[Decimal, Decimal] | None:
    """Give the first quantity of the ten best that differs at the same place; None if all are equal."""
    for ours, theirs in ((bids, book.bids), (asks, book.asks)):
        for (price, qty), level in zip(ours, theirs[:LEVELS], strict=False):
            if price != level.price:
                return price, level.price
            if qty != level.qty:
                return qty, level.qty
    return None
