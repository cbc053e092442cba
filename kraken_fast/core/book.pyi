from collections.abc import Sequence
from decimal import Decimal
from typing import final

from typing_extensions import disjoint_base

from ..types import BookState, Level, Quality
from .line import Line

@disjoint_base
class Book:
    symbol: str
    depth: int
    price_scale: int
    qty_scale: int
    checksum: int
    @property
    def state(self) -> BookState: ...
    @property
    def is_valid(self) -> bool: ...
    @property
    def crossed(self) -> bool: ...
    @property
    def verified_depth(self) -> int: ...
    @property
    def best_bid(self) -> Decimal | None: ...
    @property
    def best_ask(self) -> Decimal | None: ...
    @property
    def best_bid_qty(self) -> Decimal | None: ...
    @property
    def best_ask_qty(self) -> Decimal | None: ...
    @property
    def best_bid_raw(self) -> int | None: ...
    @property
    def best_ask_raw(self) -> int | None: ...
    @property
    def best_bid_float(self) -> float | None: ...
    @property
    def best_ask_float(self) -> float | None: ...
    @property
    def spread(self) -> Decimal | None: ...
    @property
    def mid(self) -> Decimal | None: ...
    @property
    def mid_float(self) -> float | None: ...
    @property
    def bids(self) -> tuple[Level, ...]: ...
    @property
    def asks(self) -> tuple[Level, ...]: ...
    @property
    def bids_raw(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def asks_raw(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def exch_ns(self) -> int | None: ...
    @property
    def updated_ns(self) -> int | None: ...

@final
class OrderBook(Book):
    line: Line
    messages: int
    verified: int
    mismatched: int
    duplicates: int
    dropped: int
    def __init__(
        self,
        symbol: str,
        depth: int = 10,
        *,
        line: Line | None = None,
        price_scale: int = -1,
        qty_scale: int = -1,
        portable: bool = False,
    ) -> None: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def age_ms(self) -> float | None: ...
    @property
    def source(self) -> str: ...
    def snapshot(self) -> BookSnapshot: ...
    def apply_snapshot(
        self,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        *,
        checksum: int | None = None,
        recv_ns: int = 0,
    ) -> bool: ...
    def apply_update(
        self,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        *,
        checksum: int | None = None,
        recv_ns: int = 0,
    ) -> bool: ...
    def invalidate(self) -> None: ...
    def await_snapshot(self) -> None: ...
    def give_up_verifying(self) -> None: ...
    def _check(self) -> None: ...

@final
class BookSnapshot(Book):
    quality: Quality
    age_ms: float | None
    source: str
