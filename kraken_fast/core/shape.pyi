from collections.abc import Sequence
from decimal import Decimal

from .book import BookSnapshot
from .market import Candle, TickerSnapshot

def book_of(
    symbol: str,
    depth: int,
    bids: Sequence[tuple[Decimal, Decimal]],
    asks: Sequence[tuple[Decimal, Decimal]],
    *,
    asked_ns: int,
    age_ms: float,
) -> BookSnapshot: ...
def ticker_of(
    symbol: str, values: Sequence[Decimal | None], *, trades: int | None = None, asked_ns: int, age_ms: float
) -> TickerSnapshot: ...
def candle_of(
    symbol: str,
    interval: int,
    values: Sequence[Decimal | None],
    *,
    trades: int | None,
    begin_ns: int,
    closed: bool,
    asked_ns: int,
) -> Candle: ...
def aged_book(book: BookSnapshot, age_ms: float) -> BookSnapshot: ...
def aged_ticker(ticker: TickerSnapshot, age_ms: float) -> TickerSnapshot: ...
