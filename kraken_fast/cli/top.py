"""`top`: a coordinator at work: its lines, its books, where each value comes from, and what happened."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import deque
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..auth import Credentials
from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, Endpoints, RestSettings, check_symbols
from ..coordination.coordinator import UnifiedDataCoordinator
from ..coordination.health import AccountHealth
from ..coordination.metrics import MetricsSnapshot
from ..core.clock import SystemClock
from ..errors import ConfigError, NoSourceError, StaleDataError
from ..events import Degraded, Event, Filled, LineChange, SourceChange
from ..types import Gap
from .boxed import BoxProcess
from .output import console, one_line_errors, plain, run, say

DRAW_S = 0.25
SIM_SYMBOLS = ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"]
EVENTS_KEPT = 200
WIDE = 110
"""Columns from which on every column of the tables is shown."""
WIDE_ONLY = {"host", "messages", "resyncs", "connects", "bid qty", "ask qty"}
EVENT_ROWS = 4
ROOM_PIPED = 10_000
"""Rows to draw into a pipe, which has no end."""

_STATE_STYLES = {"live": "green", "suspect": "yellow", "connecting": "cyan", "backoff": "red", "down": "red"}
_SOURCE_STYLES = {"websocket": "green", "rest": "yellow", "none": "bold red", "starting": "dim"}


def top(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")] = None,
    lines: Annotated[int, typer.Option(help="Hot lines.", min=1, max=8)] = 2,
    depth: Annotated[int, typer.Option(help="Levels a side: 10, 25, 100, 500 or 1000.")] = 10,
    sim: Annotated[bool, typer.Option("--sim", help="Against an exchange in a box that this command starts.")] = False,
    trouble: Annotated[bool, typer.Option("--trouble", help="With --sim: lines die and freeze now and then.")] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so long.", show_default="until Ctrl-C", min=0)
    ] = None,
    ws_url: Annotated[str, typer.Option(help="The exchange's WebSocket v2.")] = PUBLIC_WS_URL,
    rest_url: Annotated[str, typer.Option(help="The exchange's REST.")] = PUBLIC_REST_URL,
    ca_file: Annotated[
        str | None, typer.Option(help="PEM file of the only authorities to trust.", show_default="the system's")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--account", help="Stream the account too, of the key that KRAKEN_API_KEY names.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one snapshot as JSON and end.")] = False,
) -> None:
    """Watch a coordinator at work: two hot lines, REST as the third source, and which of them serves what.

    Books with their source, age and spread; lines with their state, lag and rate; shares and budget of REST;
    availability; where the time of a message goes; and what happened last.
    """
    with one_line_errors():
        names = check_symbols(symbols or (SIM_SYMBOLS if sim else ["BTC/USD", "ETH/USD"]))
        where = Endpoints(ws_url, rest_url, ca_file)
        key = Credentials.find() if with_key and not sim else None
        if with_key and not sim and key is None:
            raise ConfigError("credentials", None, "a key: set KRAKEN_API_KEY and KRAKEN_API_SECRET")
        run(_top(names, where, lines, depth, seconds, sim=sim, trouble=trouble, as_json=as_json, key=key))


async def _top(
    symbols: tuple[str, ...],
    where: Endpoints,
    lines: int,
    depth: int,
    seconds: float | None,
    *,
    sim: bool,
    trouble: bool,
    as_json: bool,
    key: Credentials | None,
) -> None:
    if not sim:
        await _watch(symbols, where, lines, depth, seconds, as_json=as_json, key=key)
        return
    async with BoxProcess("--symbols", ",".join(symbols), "--rate", "40") as box:
        where = Endpoints(box.ws_url, box.rest_url)
        key = Credentials(box.api_key, box.api_secret)
        disturbing = asyncio.create_task(_disturb(box)) if trouble else None
        try:
            await _watch(symbols, where, lines, depth, seconds, as_json=as_json, key=key, account_url=box.ws_auth_url)
        finally:
            if disturbing is not None:
                disturbing.cancel()


async def _disturb(box: BoxProcess) -> None:
    """Kill or freeze the newest line, one after another, so that there is something to see."""
    while True:
        for kind, parameters in (("rst", {}), ("half_open", {}), ("bad_checksum", {}), ("close", {"code": 1001})):
            await asyncio.sleep(5)
            await box.inject(kind, **parameters)


async def _watch(
    symbols: tuple[str, ...],
    where: Endpoints,
    lines: int,
    depth: int,
    seconds: float | None,
    *,
    as_json: bool,
    key: Credentials | None = None,
    account_url: str | None = None,
) -> None:
    coordinator = UnifiedDataCoordinator(
        key,
        symbols,
        lines=lines,
        book_depth=depth,
        endpoints=where,
        account_url=account_url,
        rest_options={"settings": RestSettings()},
    )
    coordinator.measure_stages()
    board = Board(coordinator)
    coordinator.on_notice = board.note
    out = console()
    async with coordinator:
        if as_json:
            await asyncio.sleep(1.0 if seconds is None else seconds)
            say(json.dumps(facts_of(coordinator)))
            return
        try:
            async with asyncio.timeout(seconds):
                await board.draw(out)
        except TimeoutError:
            pass


def facts_of(coordinator: UnifiedDataCoordinator) -> dict[str, Any]:
    """Give all that is known as plain facts."""
    facts = dataclasses.asdict(coordinator.metrics())
    facts["books"] = {symbol: _book_facts(coordinator, symbol) for symbol in coordinator.symbols}
    return facts


def _book_facts(coordinator: UnifiedDataCoordinator, symbol: str) -> dict[str, Any]:
    served = coordinator.source(symbol)
    try:
        book = coordinator.book(symbol)
    except (NoSourceError, StaleDataError) as error:
        return {"served_by": served, "error": str(error)}
    return {
        "served_by": served,
        "source": book.source,
        "quality": book.quality,
        "age_ms": book.age_ms,
        "bid": plain(book.best_bid),
        "ask": plain(book.best_ask),
        "spread": plain(book.spread),
    }


class Board:
    """What is drawn.

    Args:
        coordinator: whose work it is.
    """

    def __init__(self, coordinator: UnifiedDataCoordinator) -> None:
        self._coordinator = coordinator
        self._clock = SystemClock()
        self._begun_ns = self._clock.monotonic_ns
        self._events: deque[tuple[str, Text]] = deque(maxlen=EVENTS_KEPT)
        self._failovers = 0
        self._rates: dict[str, tuple[int, int, float]] = {}

    def note(self, event: Event) -> None:
        """Keep what happened, in words."""
        text = _words(event)
        if text is not None:
            at = datetime.fromtimestamp(self._clock.epoch_ns / 1e9).astimezone()
            self._events.append((f"{at:%H:%M:%S}", text))
        if isinstance(event, LineChange) and event.new == "down" and event.line != "private":
            self._failovers += 1

    async def draw(self, out: Console) -> None:
        """Draw until cancelled."""
        with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
            while True:
                live.update(self.picture(out.width, out.height if out.is_terminal else ROOM_PIPED), refresh=True)
                await asyncio.sleep(DRAW_S)

    def picture(self, width: int, height: int) -> Group:
        """Put everything together, for a screen of this size; a small one goes without the figures."""
        snapshot = self._coordinator.metrics()
        is_wide = width >= WIDE
        rows = height - 1 - (3 + len(snapshot.lines)) - 3 - (2 + EVENT_ROWS)  # each box has two lines of its own
        figure_rows = 11 if is_wide else 16
        has_figures = rows >= figure_rows + min(3, len(self._coordinator.symbols))
        lines, books = self._lines(snapshot), self._books(max(3, rows - figure_rows * has_figures))
        if not is_wide:
            for table in (lines, books):
                table.columns = [column for column in table.columns if column.header not in WIDE_ONLY]
        parts: dict[str, RenderableType] = {"lines": lines, "books": books}
        if has_figures:
            parts["figures"] = self._figures(snapshot)
        parts["events"] = self._happened(EVENT_ROWS)
        boxes = (Panel(part, title=name, title_align="left", border_style="dim") for name, part in parts.items())
        return Group(self._head(snapshot), *boxes)

    def _head(self, snapshot: MetricsSnapshot) -> Text:
        up_s = (self._clock.monotonic_ns - self._begun_ns) // 1_000_000_000
        text = Text.assemble(
            ("kraken-fast top ", "bold"),
            f"{snapshot.symbols} symbols, up {up_s // 60}:{up_s % 60:02}  ",
        )
        for source, count in snapshot.sources.items():
            if count:
                text.append(f" {count} {source} ", style=_SOURCE_STYLES[source] + " reverse")
                text.append(" ")
        return text

    def _rate(self, name: str, messages: int) -> float:
        """Messages a second since the last look, half a second ago or more."""
        now_ns = self._clock.monotonic_ns
        was_ns, was, rate = self._rates.get(name, (now_ns, messages, 0.0))
        if now_ns - was_ns >= 500_000_000:
            rate = (messages - was) / ((now_ns - was_ns) / 1e9)
        elif name in self._rates:
            return rate
        self._rates[name] = (now_ns, messages, rate)
        return rate

    def _lines(self, snapshot: MetricsSnapshot) -> Table:
        table = Table(box=None, expand=True, pad_edge=False)
        for name in ("line", "host", "state"):
            table.add_column(name)
        for name in ("silent", "lag", "msg/s", "messages", "live books", "bad sums", "gaps", "resyncs", "connects"):
            table.add_column(name, justify="right")
        for line in snapshot.lines:
            state = "lagging" if line.is_lagging and line.state == "live" else line.state
            table.add_row(
                Text(line.name, style="bold"),
                line.host,
                Text(f"● {state}", style=_STATE_STYLES.get(state, "yellow")),
                "-" if line.silent_ms is None else f"{line.silent_ms} ms",
                f"{line.lag_ms:.1f} ms",
                f"{self._rate(line.name, line.messages):,.0f}",
                f"{line.messages:,}",
                f"{line.books_valid}",
                _alarm(line.checksum_failures),
                _alarm(line.gaps),
                _alarm(line.resyncs),
                f"{line.connections}",
            )
        return table

    def _books(self, rows: int) -> Table:
        table = Table(box=None, expand=True, pad_edge=False)
        table.add_column("symbol")
        table.add_column("served by")
        for name in ("bid qty", "bid", "ask", "ask qty", "spread", "age"):
            table.add_column(name, justify="right")
        table.add_column("quality")
        for symbol in self._coordinator.symbols[:rows]:
            source = self._coordinator.source(symbol)
            try:
                book = self._coordinator.book(symbol)
            except (NoSourceError, StaleDataError) as error:
                table.add_row(symbol, Text(source, style=_SOURCE_STYLES[source]), Text(str(error)[:60], style="red"))
                continue
            table.add_row(
                Text(symbol, style="bold"),
                Text(source, style=_SOURCE_STYLES[source]),
                plain(book.best_bid_qty) or "-",
                Text(plain(book.best_bid) or "-", style="green"),
                Text(plain(book.best_ask) or "-", style="red"),
                plain(book.best_ask_qty) or "-",
                plain(book.spread) or "-",
                "-" if book.age_ms is None else f"{book.age_ms:,.0f} ms",
                Text(book.quality, style="green" if book.quality == "live" else "yellow"),
            )
        hidden = len(self._coordinator.symbols) - rows
        if hidden > 0:
            table.add_row(Text(f"and {hidden} more", style="dim"))
        return table

    def _figures(self, snapshot: MetricsSnapshot) -> Table:
        table = Table.grid(expand=True, padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(ratio=1)
        window, checks, rest = snapshot.window, snapshot.checks, self._coordinator.client.stats()
        table.add_row(
            "told",
            f"{snapshot.deliveries:,} states; {snapshot.copies:,} copies dropped; {self._failovers} failovers; "
            f"{snapshot.diverged} disagreements",
        )
        table.add_row(
            "shares, last minute",
            f"WebSocket {window.websocket_share:.1%}, REST calls {window.rest_share:.2%}; in emergencies "
            f"{window.emergency}, refused {window.refused}",
        )
        table.add_row(
            "REST",
            f"{rest.calls} calls, next one in {rest.public_wait_s:.1f} s, {rest.waiting} wait; breaker "
            f"{rest.breakers['public']}; {checks.compared:,} numbers compared, {checks.breaches} breaches, largest "
            f"variance {checks.difference_max:.4%}",
        )
        shares = ", ".join(
            f"{channel} {snapshot.availability_min[channel]:.3%} at worst, {mean:.3%} on average"
            for channel, mean in snapshot.availability_mean.items()
        )
        table.add_row("availability", shares)
        if snapshot.account is not None:
            table.add_row("account", _account(snapshot.account))
        stages = "   ".join(
            f"{name} {' / '.join(f'{ns / 1000:,.1f}' for ns in values.values())}"
            for name, values in snapshot.stages_ns.items()
            if values
        )
        table.add_row("µs, p50 / p99 / p99.9", stages or "-")
        return table

    def _happened(self, rows: int) -> Group:
        lines = [Text.assemble((at, "dim"), "  ", text) for at, text in list(self._events)[-rows:]]
        return Group(*lines, *[Text("")] * (rows - len(lines)))


def _account(health: AccountHealth) -> Text:
    age = "" if health.age_ms is None else f", proven {health.age_ms:,.0f} ms ago"
    return Text.assemble(
        (health.source, _SOURCE_STYLES[health.source]),
        f"; line {health.line or 'none'}, stream {health.quality}{age}; {health.assets} assets, "
        f"{health.open_orders} open orders",
    )


def _alarm(count: int) -> Text:
    return Text(f"{count}", style="yellow" if count else "")


def _words(event: Event) -> Text | None:
    """Say in one line what happened; None for what is ordinary."""
    match event:
        case LineChange():
            if event.new in ("backoff", "connecting"):
                return None
            style = _STATE_STYLES.get(event.new, "")
            return Text(f"line {event.line} {event.old} to {event.new}: {event.reason}", style=style)
        case SourceChange() if event.channel == "account":
            return Text(f"account from {event.old} to {event.new}: {event.reason}", _SOURCE_STYLES[event.new])
        case SourceChange() if event.channel == "book":
            return Text(f"{event.symbol} from {event.old} to {event.new}: {event.reason}", _SOURCE_STYLES[event.new])
        case Degraded():
            return Text(f"{event.component}: {event.reason}", style="yellow")
        case Filled():
            return Text(f"trades {event.first} to {event.last} of {event.symbol} came from REST", style="cyan")
        case Gap():
            return Text(f"trades {event.first} to {event.last} of {event.symbol} are lost", style="bold red")
    return None
