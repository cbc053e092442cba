"""`demo`: the real client against the exchange in a box, over loopback, with two things broken on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..config import check_symbols
from ..errors import printable
from ..events import Event, LineChange, Refused
from ..feed import Feed, connect
from .boxed import BoxProcess
from .output import Status, console, fail, one_line_errors, run, symbol_list
from .tables import latency_line, latency_us, market_table

DRAW_S = 0.2
LOOK_S = 0.002
"""How often a recovery is looked for; what is told of its duration is no finer."""

NOTICE_S = 5.0
RECOVER_S = 15.0
"""How long a fault may take to be noticed, and to be recovered from."""

LOG_LINES = 8

CHECKSUM_AT, CUT_AT = 0.3, 0.6
"""When things are broken, as parts of the whole run."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one fault.

    Attributes:
        ms: from noticing it to the last affected book being valid again; None if that did not happen.
    """

    fault: str
    what: str
    noticed: bool
    ms: float | None


class Demo:
    """One run: draws, breaks, watches, and sums up."""

    def __init__(self, feed: Feed, box: BoxProcess, seconds: float, out: Console | None) -> None:
        self._feed = feed
        self._box = box
        self._seconds = seconds
        self._out = out
        self._began = time.monotonic()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._rates: deque[tuple[float, int]] = deque(maxlen=round(2 / DRAW_S))
        self.trades = 0
        self.recoveries: list[Recovery] = []
        feed.on_notice = self._on_notice
        feed.on_trade = self._on_trade
        feed.on_book = self._on_book
        assert feed.latency.count == 0  # the first look at it begins the counting

    async def play(self) -> None:
        """Run to the end."""
        self._began = time.monotonic()
        breaking = asyncio.create_task(self._break_things())
        try:
            if self._out is not None and self._out.is_terminal:
                with Live(self._draw(), console=self._out, auto_refresh=False) as live:
                    while not breaking.done() or self._elapsed() < self._seconds:
                        live.update(self._draw(), refresh=True)
                        await asyncio.sleep(DRAW_S)
            await breaking
        finally:
            breaking.cancel()
            self._feed.on_notice = None  # that we close it is no news

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _on_book(self, _book: object) -> None:
        """Stand for a user's callback, so that the latency counts one."""

    def _on_trade(self, _trade: object) -> None:
        self.trades += 1

    def _on_notice(self, event: Event) -> None:
        if isinstance(event, LineChange):
            self._say(f"line {event.new}: {event.reason}")
        elif isinstance(event, Refused):
            self._say(f"refused: {event.error}")

    def _say(self, text: str) -> None:
        line = f"{self._elapsed():6.2f} s  {printable(text, 200)}"
        self._log.append(line)
        if self._out is not None and not self._out.is_terminal:
            self._out.print(line, markup=False)

    # ---------------------------------------------------------------------------------------- breaking things

    async def _break_things(self) -> None:
        await self._sleep_until(CHECKSUM_AT)
        await self._break_checksum(self._feed.symbols[0])
        await self._sleep_until(CUT_AT)
        await self._cut_connection()
        await self._sleep_until(1.0)

    async def _sleep_until(self, part: float) -> None:
        await asyncio.sleep(max(0.0, part * self._seconds - self._elapsed()))

    async def _break_checksum(self, symbol: str) -> None:
        book = self._feed.live_book(symbol)
        before = book.mismatched
        self._say(f"we corrupt one checksum of {symbol}")
        await self._box.inject("bad_checksum", symbol=symbol)
        await self._watch_recovery(
            "bad_checksum", f"checksum of {symbol}", lambda: book.mismatched > before, lambda: book.is_valid
        )

    async def _cut_connection(self) -> None:
        feed = self._feed
        before = feed.stats().connections
        self._say("we cut the connection")
        await self._box.inject("rst")
        await self._watch_recovery(
            "rst",
            "connection",
            lambda: feed.state != "live" or feed.stats().connections > before,
            lambda: feed.stats().connections > before and self._all_valid(),
        )

    def _all_valid(self) -> bool:
        return all(self._feed.live_book(symbol).is_valid for symbol in self._feed.symbols)

    async def _watch_recovery(
        self, fault: str, what: str, noticed: Callable[[], bool], recovered: Callable[[], bool]
    ) -> None:
        began = time.monotonic()
        if not await _until(noticed, NOTICE_S):
            self._say(f"{what}: nothing was noticed within {NOTICE_S:g} s")
            self.recoveries.append(Recovery(fault, what, noticed=False, ms=None))
            return
        at = time.monotonic()
        self._say(f"{what}: noticed after {1000 * (at - began):.0f} ms; not called live until it verifies again")
        healed = await _until(recovered, RECOVER_S)
        ms = 1000 * (time.monotonic() - at)
        self._say(f"{what}: " + (f"recovered in {ms:.0f} ms" if healed else f"not recovered in {RECOVER_S:g} s"))
        self.recoveries.append(Recovery(fault, what, noticed=True, ms=round(ms, 1) if healed else None))

    # ---------------------------------------------------------------------------------------- showing

    def _draw(self) -> Group:
        stats = self._feed.stats()
        self._rates.append((time.monotonic(), stats.messages))
        (t0, m0), (t1, m1) = self._rates[0], self._rates[-1]
        rate = (m1 - m0) / (t1 - t0) if t1 > t0 else 0.0
        head = (
            f"{min(self._elapsed(), self._seconds):.1f} of {self._seconds:g} s, line {self._feed.state}: "
            f"{rate:,.0f} messages/s, {stats.messages:,} messages, {self.trades:,} trades"
        )
        log = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._log]
        return Group(
            Text(head, style="bold"), "", market_table(self._feed), "", latency_line(self._feed.latency), "", *log
        )

    def summary(self) -> dict[str, Any]:
        """Give what happened, for machines."""
        stats = self._feed.stats()
        seconds = self._elapsed()
        return {
            "ok": self.failure() is None,
            "seconds": round(seconds, 3),
            "symbols": list(self._feed.symbols),
            "messages": stats.messages,
            "messages_per_s": round(stats.messages / seconds, 1),
            "trades": self.trades,
            "verified": stats.books_verified,
            "mismatched": stats.books_mismatched,
            "not_understood": stats.malformed + stats.unknown,
            "connections": stats.connections,
            "latency_us": latency_us(self._feed.latency),
            "recoveries": [asdict(recovery) for recovery in self.recoveries],
        }

    def failure(self) -> str | None:
        """Say what went other than it should; None if nothing did."""
        stats = self._feed.stats()
        for recovery in self.recoveries:
            if recovery.ms is None:
                return f"no recovery from the broken {recovery.what}"
        if stats.books_mismatched > 1:
            return f"{stats.books_mismatched} checksums disagreed, and only one was broken on purpose"
        if stats.malformed or stats.unknown:
            return f"{stats.malformed + stats.unknown} messages were not understood"
        return None if self._all_valid() else "a book is not valid at the end"

    def tell(self, out: Console) -> None:
        """Write the summary, for people."""
        told = self.summary()
        out.print()
        out.print(
            f"{told['seconds']:.1f} s, {told['messages']:,} messages ({told['messages_per_s']:,.0f}/s), "
            f"{told['trades']:,} trades, {told['connections']} connections"
        )
        out.print(
            f"{told['verified']:,} books verified, {told['mismatched']} mismatched, "
            f"{told['not_understood']} messages not understood"
        )
        out.print(latency_line(self._feed.latency))
        for recovery in self.recoveries:
            result = "not recovered" if recovery.ms is None else f"recovered in {recovery.ms:.0f} ms"
            out.print(f"Broken {recovery.what}: {result}")


async def _until(condition: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_S)
    return True


def demo(
    seconds: Annotated[float, typer.Option(help="How long it runs.", min=3, max=3600)] = 15.0,
    symbols: Annotated[str, typer.Option(help="Symbols, comma-separated.")] = "BTC/USD,ETH/USD,SOL/USD,XRP/USD",
    seed: Annotated[int, typer.Option(help="Of the market that the box makes up.")] = 7,
    rate: Annotated[float, typer.Option(help="Actions of the crowd per second and symbol.", min=1)] = 100.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end, nothing else.")] = False,
) -> None:
    """Watch verified books live, without an account and without a network.

    Starts an exchange in a box, connects the real client to it over loopback, corrupts a checksum and cuts the
    connection on the way, and shows the recovery. Status 1 if there was none.
    """
    with one_line_errors():
        names = check_symbols(symbol_list(symbols))
        failure = run(_demo(names, seconds, seed, rate, as_json=as_json))
        if failure is not None:
            fail(failure, Status.CHECK_FAILED)


async def _demo(names: tuple[str, ...], seconds: float, seed: int, rate: float, *, as_json: bool) -> str | None:
    out = console()
    async with BoxProcess("--symbols", ",".join(names), "--seed", str(seed), "--rate", str(rate)) as box:
        feed = connect(names, channels=("book", "ticker", "trade"), ws_url=box.ws_url, rest_url=box.rest_url)
        async with feed:
            played = Demo(feed, box, seconds, None if as_json else out)
            await played.play()
            if as_json:
                print(json.dumps({**played.summary(), "seed": seed}))
            else:
                played.tell(out)
            return played.failure()
