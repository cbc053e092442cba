"""What the coordinator answers where no record of the core does: values with their source, age and quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..core.market import Candle, Trade
from ..rest.answers import OrderInfo
from ..types import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What every reading tells about itself.

    Attributes:
        source: websocket or rest.
        age_ms: how long ago its source last proved it current.
        quality: live, stale, unverified, rest or none.
    """

    source: str
    age_ms: float
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Reading):
    """What the account has of one asset.

    Attributes:
        asset: such as USDT.
        total: all of it.
        hold: what open orders hold.
        free: what can be traded.
        hold_source: who told what is held: the stream of balances has no holds.
    """

    asset: str
    total: Decimal
    hold: Decimal
    free: Decimal
    hold_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances(Reading):
    """What the account has, by asset; those of spot, suffixed ones (earning, bonded) are left out."""

    balances: dict[str, Balance]

    def __getitem__(self, asset: str) -> Balance:
        return self.balances[asset]

    def __iter__(self) -> Iterator[str]:
        return iter(self.balances)

    def __len__(self) -> int:
        return len(self.balances)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrders(Reading):
    """The account's open orders: `Order`s of the account's stream, or what REST answers."""

    orders: tuple[OrderInfo | Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades(Reading):
    """The last public trades of a symbol, oldest first; at most 50."""

    symbol: str
    trades: tuple[Trade, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candles(Reading):
    """Candles of a symbol, oldest first; the last one still runs."""

    symbol: str
    interval: int
    candles: tuple[Candle, ...]
