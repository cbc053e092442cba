from collections.abc import Callable

from typing_extensions import disjoint_base

from ..errors import DecodeError
from ..types import Ack, Gap, InstrumentUpdate, SystemStatus
from .balance_store import BalanceUpdate
from .book import OrderBook
from .execution import Execution
from .latency import Histogram
from .level3 import Level3Book
from .market import Candle, LiveTicker, Trade

@disjoint_base
class Handler:
    failures: int
    def on_snapshot(self, channel: str, symbol: str) -> None: ...
    def on_book_lost(self, book: OrderBook, reason: str) -> None: ...
    def on_level3_lost(self, book: Level3Book, reason: str) -> None: ...
    def on_gap(self, gap: Gap) -> None: ...
    def on_sequence_gap(self, channel: str, expected: int, got: int | None) -> None: ...
    def on_refused(self, error: DecodeError) -> None: ...
    def on_ack(self, ack: Ack) -> None: ...
    def on_status(self, status: SystemStatus) -> None: ...
    def on_instruments(self, update: InstrumentUpdate) -> None: ...
    def on_callback_error(self, channel: str, error: Exception) -> None: ...

@disjoint_base
class Callbacks(Handler):
    forward: Handler | None
    latency: Histogram | None
    book: Callable[[OrderBook], object] | None
    level3: Callable[[Level3Book], object] | None
    ticker: Callable[[LiveTicker], object] | None
    trade: Callable[[Trade], object] | None
    candle: Callable[[Candle], object] | None
    execution: Callable[[Execution], object] | None
    balance: Callable[[BalanceUpdate], object] | None
