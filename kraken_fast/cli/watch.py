"""`watch`: the real exchange's market data, or another's, as it comes."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, check_symbols
from ..core.book import BookSnapshot
from ..core.market import Candle, TickerSnapshot, Trade
from ..errors import ConfigError
from ..events import Dropped, Event, LineChange, Refused
from ..feed import Feed, connect
from ..types import Gap
from .output import console, one_line_errors, plain, run, say, symbol_list
from .tables import candle_table, ladder, latency_line, market_table, trade_table

DRAW_S = 0.2

CHANNELS = {"book": "book", "ticker": "ticker", "trades": "trade", "candles": "ohlc"}
"""Words of ours for the exchange's channels."""

LADDER_ROWS = 10
TRADE_ROWS = 6
CHANNEL_ROWS = {"book": 8, "trade": TRADE_ROWS + 2, "ohlc": 3}
"""Lines that everything but the ladder's rows takes, by channel, the foot included."""


def watch(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    channel: Annotated[str, typer.Option(help="Any of book, ticker, trades, candles, comma-separated.")] = "book",
    depth: Annotated[int, typer.Option(help="Levels a side of the books: 10, 25, 100, 500 or 1000.")] = 10,
    interval: Annotated[int, typer.Option(help="Minutes of a candle.")] = 1,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so long.", show_default="until Ctrl-C", min=0)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that opening may take.", min=0.1)] = 10.0,
    ws_url: Annotated[str, typer.Option(help="The exchange's WebSocket v2.")] = PUBLIC_WS_URL,
    rest_url: Annotated[str, typer.Option(help="The exchange's REST.")] = PUBLIC_REST_URL,
    ca_file: Annotated[
        str | None, typer.Option(help="PEM file of the only authorities to trust.", show_default="the system's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for every event.")] = False,
) -> None:
    """Watch symbols live: verified books, tickers, trades and candles.

    Draws a table on a terminal. Into a pipe, or with --json, it prints a line for each event: books and tickers as fast
    as they can be written, newer ones replacing what was not yet written; every trade and every closed candle.
    """
    with one_line_errors():
        feed = connect(
            check_symbols(symbols),
            channels=_channels(channel),
            book_depth=depth,
            ohlc_interval=interval,
            ws_url=ws_url,
            rest_url=rest_url,
            ca_file=ca_file,
            ready_s=timeout,
        )
        run(_watch(feed, ws_url, seconds, as_json=as_json))


def _channels(text: str) -> list[str]:
    for name in (names := symbol_list(text)):
        if name not in CHANNELS:
            raise ConfigError("channel", name, f"among {', '.join(CHANNELS)}")
    return [CHANNELS[name] for name in names]


async def _watch(feed: Feed, address: str, seconds: float | None, *, as_json: bool) -> None:
    out = console()
    is_drawn = out.is_terminal and not as_json
    if is_drawn:
        with out.status(f"Connecting to {address}"):
            await feed.open()
    else:
        await feed.open()
    try:
        async with asyncio.timeout(seconds):
            await (_draw(feed, out) if is_drawn else _print(feed, as_json=as_json))
    except TimeoutError:
        pass
    finally:
        await feed.close()


# -------------------------------------------------------------------------------------------- for people


async def _draw(feed: Feed, out: Console) -> None:
    latency = feed.latency  # the first look at it begins the counting
    with Live(console=out, auto_refresh=False) as live:
        while feed.state != "closed":
            parts: list[Any] = [market_table(feed), *(Text(str(error), "red") for error in feed.refused.values()), ""]
            if "book" in feed.channels and len(feed.symbols) == 1 and not feed.refused:
                others = sum(rows for channel, rows in CHANNEL_ROWS.items() if channel in feed.channels)
                parts += [ladder(feed, feed.symbols[0], max(3, min(LADDER_ROWS, out.height - others))), ""]
            if "trade" in feed.channels:
                parts += [trade_table(feed, feed.symbols, TRADE_ROWS), ""]
            if "ohlc" in feed.channels:
                parts += [candle_table(feed, feed.symbols), ""]
            stats = feed.stats()
            foot = f"line {feed.state}, {stats.messages:,} messages, {stats.connections} connections, Ctrl-C ends"
            if "book" in feed.channels:
                parts.append(latency_line(latency))
            live.update(Group(*parts, Text(foot, style="dim")), refresh=True)
            await asyncio.sleep(DRAW_S)


# -------------------------------------------------------------------------------------------- line by line


async def _print(feed: Feed, *, as_json: bool) -> None:
    for error in feed.refused.values():  # what came while opening
        _print_event(Refused(error), as_json=as_json)
    for symbol in feed.symbols:
        if "book" in feed.channels and ("book", symbol) not in feed.refused:
            _print_event(feed.book(symbol), as_json=as_json)
    async for event in feed:
        _print_event(event, as_json=as_json)


def _print_event(event: Event, *, as_json: bool) -> None:
    facts = facts_of(event)
    if facts is None:
        return
    say(json.dumps(facts) if as_json else " ".join(_word(fact) for fact in facts.values()))


def _word(fact: Any) -> str:
    if isinstance(fact, list):  # of levels: the best
        return "x".join(fact[0]) if fact else "-"
    return "-" if fact is None else str(fact)


def facts_of(event: Event) -> dict[str, Any] | None:
    """Give an event as plain facts, numbers as text; None for one that `watch` does not show."""
    match event:
        case BookSnapshot():
            return {
                "type": "book",
                "symbol": event.symbol,
                "quality": event.quality,
                "bids": [[plain(level.price), plain(level.qty)] for level in event.bids],
                "asks": [[plain(level.price), plain(level.qty)] for level in event.asks],
                "checksum": event.checksum,
                "exch_ns": event.exch_ns,
            }
        case TickerSnapshot():
            prices = {name: plain(getattr(event, name)) for name in ("bid", "ask", "last", "volume", "vwap")}
            return {"type": "ticker", "symbol": event.symbol, "quality": event.quality, **prices}
        case Trade():
            return {
                "type": "trade",
                "symbol": event.symbol,
                "side": event.side,
                "price": plain(event.price),
                "qty": plain(event.qty),
                "trade_id": event.trade_id,
                "exch_ns": event.exch_ns,
            }
        case Candle():
            prices = {name: plain(getattr(event, name)) for name in ("open", "high", "low", "close", "volume")}
            facts = {"type": "candle", "symbol": event.symbol, "begin_ns": event.begin_ns, "closed": event.closed}
            return {**facts, **prices}
        case LineChange():
            return {"type": "line", "state": event.new, "reason": event.reason}
        case Refused():
            return {"type": "refused", "error": str(event.error)}
        case Gap():
            return {"type": "gap", "symbol": event.symbol, "first": event.first, "last": event.last}
        case Dropped():
            return {"type": "dropped", "count": event.count}
    return None
