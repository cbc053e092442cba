"""What is drawn of a feed: the market, a book's ladder, the latency, trades and candles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from ..core.latency import Histogram
from ..feed import Feed
from .output import plain

QUALITY_STYLES = {"live": "green", "stale": "yellow", "unverified": "magenta", "rest": "cyan", "none": "dim"}

PERCENTILES = (50.0, 99.0, 99.9)


def table(*headings: str) -> Table:
    """Give a table without lines: the first column is text, all others are numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        made.add_column(heading, justify="right" if place else "left", overflow="fold")
    return made


def shown(number: Decimal | None) -> str:
    """Write a number that may be missing."""
    return plain(number) or "-"


def market_table(feed: Feed) -> Table:
    """One row a symbol: best prices, last trade, and how far the book can be trusted."""
    drawn = table("Symbol", "Bid", "Ask", "Last", "Verified", "Bad", "Age", "Quality")
    for symbol in feed.symbols:
        book = feed.live_book(symbol) if "book" in feed.channels else None
        ticker = feed.live_ticker(symbol) if "ticker" in feed.channels else None
        top = book if book is not None else ticker
        bid = book.best_bid if book is not None else ticker.bid if ticker is not None else None
        ask = book.best_ask if book is not None else ticker.ask if ticker is not None else None
        refused = [error for (_, name), error in feed.refused.items() if name == symbol]
        quality = "refused" if refused else top.quality if top is not None else feed.state
        age_ms = None if top is None else top.age_ms
        drawn.add_row(
            symbol,
            shown(bid),
            shown(ask),
            shown(_last_price(feed, symbol)),
            f"{book.verified:,}" if book is not None else "-",
            f"{book.mismatched:,}" if book is not None else "-",
            "-" if age_ms is None else f"{age_ms:,.0f} ms",
            Text(quality, style=QUALITY_STYLES.get(quality, "red")),
        )
    return drawn


def _last_price(feed: Feed, symbol: str) -> Decimal | None:
    if "trade" in feed.channels:
        trades = feed.trades(symbol)
        return trades[-1].price if trades else None
    return feed.live_ticker(symbol).last if "ticker" in feed.channels else None


def ladder(feed: Feed, symbol: str, rows: int) -> Table:
    """Both sides of one book, best first."""
    book = feed.book(symbol)
    drawn = table("", "Bid qty", "Bid", "Ask", "Ask qty")
    for place in range(min(rows, max(len(book.bids), len(book.asks)))):
        bid = book.bids[place] if place < len(book.bids) else None
        ask = book.asks[place] if place < len(book.asks) else None
        drawn.add_row(
            str(place + 1),
            shown(bid.qty) if bid else "",
            Text(shown(bid.price), style="green") if bid else "",
            Text(shown(ask.price), style="red") if ask else "",
            shown(ask.qty) if ask else "",
        )
    return drawn


def trade_table(feed: Feed, symbols: Iterable[str], rows: int) -> Table:
    """The newest trades, newest first."""
    drawn = table("Trade", "Time", "Side", "Price", "Qty")
    newest = sorted((trade for symbol in symbols for trade in feed.trades(symbol)), key=lambda trade: trade.recv_ns)
    for trade in reversed(newest[-rows:]):
        style = "green" if trade.side == "buy" else "red"
        drawn.add_row(
            trade.symbol, clock(trade.exch_ns), Text(trade.side, style=style), plain(trade.price), plain(trade.qty)
        )
    return drawn


def candle_table(feed: Feed, symbols: Iterable[str]) -> Table:
    """The running candle of each symbol."""
    drawn = table("Candle", "From", "Open", "High", "Low", "Close", "Volume")
    for symbol in symbols:
        for candle in feed.candles(symbol)[-1:]:
            prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            drawn.add_row(symbol, clock(candle.begin_ns), *map(shown, prices))
    return drawn


def clock(exch_ns: int | None) -> str:
    """Write an exchange time as UTC time of day."""
    return "-" if exch_ns is None else f"{datetime.fromtimestamp(exch_ns // 10**9, UTC):%H:%M:%S}"


def latency_us(latency: Histogram) -> dict[str, float]:
    """Give the usual percentiles and the largest, in microseconds; empty before the first."""
    if not latency.count:
        return {}
    found = {f"p{q:g}": (latency.percentile(q) or 0) / 1000 for q in PERCENTILES}
    return {**found, "max": latency.max_ns / 1000}


def latency_line(latency: Histogram) -> str:
    """Write the latency in one line."""
    figures = [f"{name} {us:,.1f}" for name, us in latency_us(latency).items()]
    return "Arrival to end of callback, in us: " + (", ".join(figures) or "nothing yet")
