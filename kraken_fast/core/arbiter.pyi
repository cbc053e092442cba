from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import final

from typing_extensions import disjoint_base

from ..types import Gap
from .book import BookSnapshot, OrderBook
from .clock import Clock
from .handler import Handler
from .latency import Histogram
from .line import Line
from .market import CandleLog, LiveTicker, TickerSnapshot, TradeLog
from .posts import Post

@final
class TradeSeat:
    line: Line
    name: str
    last_id: int
    said_ns: int
    def __init__(self, line: Line, post: TradePost) -> None: ...

@final
class TradePost:
    symbol: str
    log: TradeLog
    copies: int
    filled: int
    seats: list[TradeSeat]
    held_ns: int
    def __init__(self, symbol: str, log: TradeLog) -> None: ...
    @property
    def missing(self) -> tuple[int, int] | None: ...

@final
class CandlePost:
    post: Post
    log: CandleLog
    def __init__(self, symbol: str, interval: int, line: Line) -> None: ...

@final
class Leg(Handler):
    arbiter: Arbiter
    line: Line
    name: str
    def __init__(self, arbiter: Arbiter, line: Line) -> None: ...

@disjoint_base
class Arbiter:
    handler: Handler
    clock: Clock
    books: dict[str, Post]
    tickers: dict[str, Post]
    trades: dict[str, TradePost]
    candles: dict[tuple[str, int], CandlePost]
    legs: list[Leg]
    news: int
    copies: int
    compared: int
    diverged: int
    on_missing: Callable[[str, int, int], object] | None
    on_divergence: Callable[[str, str, str], object] | None
    decoding: Histogram | None
    delivering: Histogram | None
    travelling: Histogram | None
    def __init__(self, handler: Handler, clock: Clock | None = None) -> None: ...
    def leg(self, line: Line) -> Leg: ...
    def forget(self, channel: str, symbol: str, interval: int = 0) -> None: ...
    def post_of(self, channel: str, symbol: str) -> Post: ...
    def trades_of(self, symbol: str) -> TradePost: ...
    def candles_of(self, symbol: str, interval: int) -> CandlePost: ...
    def settle_waiting(self) -> None: ...
    def fill(
        self, symbol: str, rows: Iterable[tuple[int, Decimal, Decimal, str, str | None, int]]
    ) -> int: ...
    def give_up(self, symbol: str) -> Gap | None: ...
    def book(self, symbol: str) -> OrderBook | None: ...
    def ticker(self, symbol: str) -> LiveTicker | None: ...
    def read_book(self, symbol: str) -> BookSnapshot | None: ...
    def read_ticker(self, symbol: str) -> TickerSnapshot | None: ...
    def served(self, channel: str) -> list[str]: ...
    def behind(self, since_ns: int) -> list[tuple[str, str, int, str, int]]: ...
    def lags(self) -> dict[str, int]: ...
