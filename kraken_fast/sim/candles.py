"""What a market remembers of its trades: candles of nine intervals and the figures of the last 24 hours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from .engine import Side
from .texts import NS_PER_S

INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""Candle intervals in minutes. Source: https://docs.kraken.com/api/docs/websocket-v2/ohlc, read 2026-11."""

CANDLES_MAX = 721
"""Candles kept of each interval: 720 committed ones and the running one, all that REST ever gives."""

_MINUTE_NS = 60 * NS_PER_S
_DAY_MINUTES = 1440
ZERO = Decimal(0)


class Trade(NamedTuple):
    """One public trade. `side` and `ord_type` are the taker's."""

    trade_id: int
    time_ns: int
    side: Side
    price: Decimal
    qty: Decimal
    ord_type: str


@dataclass(slots=True)
class Candle:
    """Trades of one interval, summed up."""

    begin_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    cost: Decimal = ZERO
    trades: int = 0

    def add(self, trade: Trade) -> None:
        """Count one more trade."""
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.qty
        self.cost += trade.price * trade.qty
        self.trades += 1

    @property
    def vwap(self) -> Decimal:
        """The volume-weighted mean price, 0 without trades; exact to the context's 28 digits, not rounded."""
        return self.cost / self.volume if self.volume else ZERO


class CandleSeries:
    """The candles of one interval that had trades, oldest first, at most `CANDLES_MAX`."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._span_ns = interval * _MINUTE_NS
        self._candles: deque[Candle] = deque(maxlen=CANDLES_MAX)

    def __len__(self) -> int:
        return len(self._candles)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self._candles)

    @property
    def running(self) -> Candle:
        """The candle of the last trade."""
        return self._candles[-1]

    def end_ns(self, candle: Candle) -> int:
        """Give the end of a candle, which is the beginning of the next interval."""
        return candle.begin_ns + self._span_ns

    def begin_ns(self, time_ns: int) -> int:
        """Give the beginning of the interval that a time falls in; intervals count from the epoch."""
        return time_ns - time_ns % self._span_ns

    def add(self, trade: Trade) -> None:
        """Count a trade in its candle, which is a new one if the interval is."""
        begin_ns = self.begin_ns(trade.time_ns)
        if not self._candles or self._candles[-1].begin_ns != begin_ns:
            price = trade.price
            self._candles.append(Candle(begin_ns, price, price, price, price))
        self._candles[-1].add(trade)


class RollingDay:
    """The figures of the last 24 hours, to the minute.

    A trade drops out at the full minute a day after its own.
    Sums are kept, so a trade costs O(1); highest and lowest are found anew when a minute has dropped out.
    """

    def __init__(self) -> None:
        self._past: deque[Candle] = deque()
        self._before: Decimal | None = None
        self.volume = self.cost = ZERO
        self.low = self.high = ZERO
        self.trades = 0

    def add(self, trade: Trade) -> None:
        """Count a trade."""
        self.expire(trade.time_ns)
        begin_ns = _minute_ns(trade.time_ns)
        if not self._past or self._past[-1].begin_ns != begin_ns:
            price = trade.price
            self._past.append(Candle(begin_ns, price, price, price, price))
        self._past[-1].add(trade)
        self.volume += trade.qty
        self.cost += trade.price * trade.qty
        self.trades += 1
        self.low = min(self.low or trade.price, trade.price)
        self.high = max(self.high, trade.price)

    def expire(self, now_ns: int) -> None:
        """Let go what is older than 24 hours."""
        oldest_ns = _minute_ns(now_ns) - _DAY_MINUTES * _MINUTE_NS
        gone = False
        while self._past and self._past[0].begin_ns < oldest_ns:
            candle = self._past.popleft()
            self.volume -= candle.volume
            self.cost -= candle.cost
            self.trades -= candle.trades
            self._before = candle.close
            gone = True
        if gone:
            self.low = min((candle.low for candle in self._past), default=ZERO)
            self.high = max((candle.high for candle in self._past), default=ZERO)

    @property
    def vwap(self) -> Decimal:
        """The volume-weighted mean price, 0 without trades."""
        return self.cost / self.volume if self.volume else ZERO

    @property
    def reference(self) -> Decimal:
        """The price that `change` counts from: the last one before the 24 hours, or the first ever."""
        if self._before is not None:
            return self._before
        return self._past[0].open if self._past else ZERO


def _minute_ns(time_ns: int) -> int:
    return time_ns - time_ns % _MINUTE_NS
