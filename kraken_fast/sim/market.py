"""One pair's market: the engine, the crowd that trades in it, and everything that follows from its trades.

Every action here is one event of the exchange with one time stamp. Stamps of a market rise strictly by at
least a microsecond, as they do in every recorded book.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from .candles import INTERVALS, CandleSeries, RollingDay, Trade
from .engine import Fill, MatchingEngine, Side, Step
from .engine import Level as EngineLevel
from .feedbook import book_checksum
from .flow import LEVELS_MIN, Flow
from .instruments import Pair
from .reference import CHECKSUM_LEVELS, Level, checksum_text
from .texts import NS_PER_S, NS_PER_US

TRADES_MAX = 10_000
"""Trades kept for REST; the stream shows the last fifty of them."""

QUOTES_MAX = 200
"""Changes of the best prices kept for REST's Spread."""

_LAG_MAX_NS = NS_PER_S

_PAST_TRADES = 60
_PAST_SPAN_S = 900
"""A market opens with trades of its last quarter of an hour, so that no snapshot is empty."""


class Quote(NamedTuple):
    """Best price and quantity of both sides; zeros where a side is empty."""

    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal


@dataclass(frozen=True, slots=True)
class BookTruth:
    """The whole book at one moment, best first: what a client's book is compared with."""

    symbol: str
    time_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    checksum: int

    def top(self, depth: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Give bids and asks as a subscriber of this depth must hold them."""
        return self.bids[:depth], self.asks[:depth]

    def checksum_text(self) -> str:
        """Give the text whose CRC is the checksum."""
        return checksum_text(self.asks[:CHECKSUM_LEVELS], self.bids[:CHECKSUM_LEVELS])


@dataclass(frozen=True, slots=True)
class TickerTruth:
    """The ticker at one moment; field names are those of the `ticker` channel."""

    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    last: Decimal
    volume: Decimal
    vwap: Decimal
    low: Decimal
    high: Decimal
    change: Decimal
    change_pct: Decimal
    trades: int
    time_ns: int


class MarketListener(Protocol):
    """Hears what happens in a market: every step of an event, then the event's end."""

    def on_step(self, step: Step) -> None:
        """Take note of one step."""

    def on_event(self, trades: list[Trade], *, quote_changed: bool) -> None:
        """Take note that the event is over and made these trades."""


FillsListener = Callable[["Market", list[tuple[Trade, Fill]]], None]
"""Hears, after an event, of the trades that it made and of the orders that they met."""

_NOTHING = EngineLevel(Decimal(0))


class _Deaf:
    def on_step(self, step: Step) -> None:
        pass

    def on_event(self, trades: list[Trade], *, quote_changed: bool) -> None:
        pass


class Market:
    """One pair's market.

    Args:
        pair: what is traded.
        rng: its only source of chance.
        now_ns: when it opens; its history lies before.
        levels: price levels of each side that the crowd keeps up; 0 for an empty book without a past.
        rate: the crowd's actions per second; 0 leaves stepping to the caller.

    Attributes:
        may_add: the crowd may enter orders that rest.
        may_trade: the crowd may trade. When neither is allowed, nothing happens at all.
        may_trigger: triggers look at the last price; if not, they wait.
    """

    def __init__(self, pair: Pair, rng: random.Random, now_ns: int, *, levels: int, rate: float) -> None:
        self.listener: MarketListener = _Deaf()
        self.on_fills: FillsListener | None = None
        self.engine = MatchingEngine(pair, self)
        self.engine.time_ns = now_ns
        self.changed_ns = now_ns
        self.trades: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.candles = {interval: CandleSeries(interval) for interval in INTERVALS}
        self.day = RollingDay()
        self._rng = rng
        self._last_trade_id = rng.randrange(1_000_000, 90_000_000)
        self._flow = Flow(self.engine, rng, levels or LEVELS_MIN, seeded=levels > 0)
        self._quote = self.quote()
        self.quotes: deque[tuple[int, Quote]] = deque([(now_ns, self._quote)], maxlen=QUOTES_MAX)
        self._pause_s = 2 / rate if rate else 0.0
        self.next_step_ns: int | None = self._schedule(now_ns) if rate else None
        self.may_add = True
        self.may_trade = True
        self.may_trigger = True
        if levels:
            self._remember_past(now_ns)

    @property
    def pair(self) -> Pair:
        """What is traded, with its present status and precisions."""
        return self.engine.pair

    @property
    def symbol(self) -> str:
        """The pair's symbol."""
        return self.engine.pair.symbol

    def on_step(self, step: Step) -> None:
        """Pass a step of the engine on to the listener."""
        self.listener.on_step(step)

    def step(self, now_ns: int | None = None) -> list[Trade]:
        """Let the crowd act once.

        Args:
            now_ns: when; by default a microsecond after the last event.

        Returns:
            The trades that were made.
        """
        self._stamp(now_ns)
        taken = self._flow.step(may_add=self.may_add, may_trade=self.may_trade)
        return self._end(taken[0], taken[1], taken[2]) if taken else self._end()

    def advance(self, now_ns: int, steps_max: int) -> None:
        """Let the crowd act as often as its rate demands until `now_ns`, at most `steps_max` times.

        A market that is then still more than a second behind lets the rest be: a process that slept does not
        flood its clients, and one that cannot keep the rate up does not fall ever further behind.
        """
        for _ in range(steps_max):
            if self.next_step_ns is None or self.next_step_ns > now_ns:
                return
            if self.may_add or self.may_trade:
                self.step(self.next_step_ns)
            self.next_step_ns = self._schedule(self.next_step_ns)
        if self.next_step_ns is not None and now_ns - self.next_step_ns > _LAG_MAX_NS:
            self.next_step_ns = self._schedule(now_ns)

    def submit(
        self,
        side: Side,
        qty: Decimal,
        price: Decimal | None = None,
        now_ns: int | None = None,
        *,
        owned: bool = False,
        ord_type: str | None = None,
        display: Decimal = Decimal(0),
        name: str = "",
    ) -> tuple[int, list[Trade]]:
        """Enter an order, as one event; without a price it is a market order.

        Args:
            side: which way.
            qty: how much.
            price: the limit.
            now_ns: when; by default a microsecond after the last event.
            owned: an account's order, which the crowd leaves alone.
            ord_type: what its trades say; by default what the price says.
            display: of an iceberg, how much of it shows at a time.
            name: of an account's order: its id.

        Raises:
            ValueError: a number has more decimals than the pair, or is not positive.
        """
        self._stamp(now_ns)
        order_id, fills = self.engine.submit(side, qty, price, owned=owned, display=display, name=name)
        ord_type = ord_type or ("market" if price is None else "limit")
        return order_id, self._end(side, ord_type, fills)

    def cancel(self, order_id: int, now_ns: int | None = None) -> None:
        """Take an order out, as one event.

        Raises:
            KeyError: no such order rests.
        """
        self._stamp(now_ns)
        self.engine.cancel(order_id)
        self._end()

    def amend(
        self, order_id: int, qty: Decimal, now_ns: int | None = None, display: Decimal = Decimal(0)
    ) -> None:
        """Change what is left of an order, as one event; what an iceberg shows changes at its next part.

        Raises:
            KeyError: no such order rests.
        """
        self._stamp(now_ns)
        self.engine.orders[order_id].display = display
        self.engine.amend(order_id, qty)
        self._end()

    def clear(self, side: Side, now_ns: int | None = None) -> None:
        """Cancel every order of the crowd on a side, each as one event, worst price first."""
        for level in list(self.engine.side(side))[::-1]:
            for order in list(level.orders.values()):
                if not order.owned:
                    self.cancel(order.order_id, now_ns)

    def set_pair(self, pair: Pair) -> None:
        """Take over new precisions or a new status."""
        if (pair.price_precision, pair.qty_precision) == (self.pair.price_precision, self.pair.qty_precision):
            self.engine.pair = pair
            return
        self.engine.requantize(pair)
        self._flow = Flow(self.engine, self._rng, self._flow.levels, seeded=False)
        self._quote = self.quote()

    def quote(self) -> Quote:
        """Give best price and quantity of both sides."""
        bids, asks = self.engine.bids, self.engine.asks
        bid = bids.at(0) if len(bids) else _NOTHING
        ask = asks.at(0) if len(asks) else _NOTHING
        return Quote(bid.price, bid.qty, ask.price, ask.qty)

    def truth(self) -> BookTruth:
        """Give the whole book."""
        bids = tuple((level.price, level.qty) for level in self.engine.bids)
        asks = tuple((level.price, level.qty) for level in self.engine.asks)
        return BookTruth(self.symbol, self.changed_ns, bids, asks, book_checksum(self.engine))

    def ticker(self) -> TickerTruth:
        """Give the ticker, in the pair's precisions."""
        day, last, tick = self.day, self.trades[-1].price, self.pair.price_increment
        change = last - day.reference
        percent = change / day.reference * 100 if day.reference else Decimal(0)
        return TickerTruth(
            self.symbol,
            *self.quote(),
            last=last,
            volume=day.volume,
            vwap=day.vwap.quantize(tick),
            low=day.low,
            high=day.high,
            change=change,
            change_pct=percent.quantize(Decimal("0.01")) + 0,  # adding makes a negative zero plain
            trades=day.trades,
            time_ns=self.changed_ns,
        )

    def _stamp(self, now_ns: int | None) -> None:
        earliest_ns = (self.changed_ns // NS_PER_US + 1) * NS_PER_US
        self.changed_ns = earliest_ns if now_ns is None else max(earliest_ns, now_ns)
        self.engine.time_ns = self.changed_ns
        self.day.expire(self.changed_ns)

    def _end(
        self, side: Side = "buy", ord_type: str = "limit", fills: list[Fill] | None = None
    ) -> list[Trade]:
        # Fills of one taker share their microsecond and differ by nanoseconds: REST can page between them.
        first_ns = self.changed_ns - self.changed_ns % NS_PER_US
        trades = [
            self._trade(first_ns + at, side, fill.price, fill.qty, ord_type)
            for at, fill in enumerate(fills or ())
        ]
        quote = self.quote()
        if (quote.bid, quote.ask) != (self._quote.bid, self._quote.ask):
            self.quotes.append((self.changed_ns, quote))
        changed, self._quote = quote != self._quote, quote
        self.listener.on_event(trades, quote_changed=changed)
        if fills and self.on_fills is not None:
            self.on_fills(self, list(zip(trades, fills, strict=True)))
        return trades

    def _trade(self, time_ns: int, side: Side, price: Decimal, qty: Decimal, ord_type: str) -> Trade:
        self._last_trade_id += 1
        trade = Trade(self._last_trade_id, time_ns, side, price, qty, ord_type)
        self.trades.append(trade)
        self.day.add(trade)
        for series in self.candles.values():
            series.add(trade)
        return trade

    def _remember_past(self, now_ns: int) -> None:
        times = sorted(self._rng.randrange(1, _PAST_SPAN_S * NS_PER_S) for _ in range(_PAST_TRADES))
        offset = 0
        steps = [self._rng.randint(-3, 3) for _ in times]
        last_ticks = int(self.engine.bids.at(0).price / self.pair.price_increment)
        for back_ns, step in zip(reversed(times), steps, strict=True):
            offset += step
            price = self.pair.price(max(1, last_ticks + offset))
            side: Side = "buy" if step >= 0 else "sell"
            self._trade(now_ns - back_ns, side, price, self._flow.qty(), "limit")

    def _schedule(self, after_ns: int) -> int:
        """Draw the time of the crowd's next action: even between none and twice the mean pause."""
        return after_ns + 1 + int(self._rng.random() * self._pause_s * NS_PER_S)
