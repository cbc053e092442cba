"""Tickers, trades and candles: each trade once, each loss told, each closed candle closed."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import corpus
import pytest
from judge import Witness, same

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.line import Line
from kraken_fast.core.market import Candle, LiveTicker, TickerSnapshot, Trade
from kraken_fast.types import Gap

CATALOGUE = corpus.catalogue()


def trades(ids: list[int], kind: str = "update", symbol: str = "BTC/USD") -> bytes:
    rows = ",".join(
        f'{{"symbol":"{symbol}","side":"buy","price":{i}.5,"qty":0.{i:08d},"ord_type":"limit","trade_id":{i},'
        f'"timestamp":"2026-11-22T10:15:01.310559Z"}}'
        for i in ids
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()


def candle(
    minute: int, close: str = "84210.6", kind: str = "update", volume: str = "0.27011758", vwap: str = "1.5"
) -> bytes:
    extra = f'"vwap":{vwap},' if vwap else ""
    return (
        f'{{"channel":"ohlc","type":"{kind}","timestamp":"2026-11-22T10:15:01.310912664Z","data":[{{"symbol":"BTC/USD",'
        f'"open":84209.9,"high":84210.6,"low":84209.8,"close":{close},"trades":6,"volume":{volume},{extra}'
        f'"interval_begin":"2026-11-22T{minute // 60:02d}:{minute % 60:02d}:00.000000000Z","interval":1}}]}}'
    ).encode()


class Market:
    """One decoder that keeps trades, candles and the ticker of BTC/USD, on a clock of its own."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.clock = ManualClock(monotonic_ns=10**9)
        self.decoder = Decoder(Line(self.clock), self.witness)
        self.trades = self.decoder.want_trades("BTC/USD")
        self.candles = self.decoder.want_candles("BTC/USD", 1)
        self.ticker = self.decoder.want_ticker("BTC/USD")
        self.told: list[tuple[int, str, bool, bool]] = []

    def delivered(self) -> list[int]:
        return [facts["trade_id"] for _, facts in self.witness.events]

    def feed(self, *messages: bytes) -> None:
        for raw in messages:
            assert self.decoder.feed(raw, strict=True)


@pytest.fixture
def market() -> Market:
    return Market()


# ---------------------------------------------------------------------------------------------- trades


@pytest.mark.fault("K22", kind="U")
def test_each_trade_comes_once_over_a_resubscription(market: Market) -> None:
    market.feed(trades(list(range(1, 51)), "snapshot"), trades([51, 52]), trades([52, 53]))
    market.decoder.new_epoch()
    market.feed(trades(list(range(10, 60)), "snapshot"), trades([60]))
    assert market.delivered() == list(range(1, 61))
    assert (market.trades.count, market.trades.duplicates, market.trades.missed) == (60, 1 + 44, 0)
    assert market.witness.gaps == []


def test_every_missing_trade_is_told_in_exactly_one_gap(market: Market) -> None:
    random = Random(5)
    sent: list[int] = []
    last = 100
    for _ in range(300):
        first = max(1, last + random.choice([1, 1, 1, 2, 7, -3, -60]))
        ids = list(range(first, first + random.randrange(1, 6)))
        market.feed(trades(ids))
        sent += ids
        last = max(last, ids[-1])
    delivered = market.delivered()
    assert delivered == sorted(set(delivered)), "strictly rising"
    missing = [i for gap in market.witness.gaps for i in range(gap.first, gap.last + 1)]
    assert sorted(delivered + missing) == list(range(delivered[0], last + 1)), (
        "each id delivered or in one gap"
    )
    assert all(gap.symbol == "BTC/USD" for gap in market.witness.gaps)
    assert (market.trades.missed, market.trades.last_trade_id) == (len(missing), last)
    assert market.trades.duplicates == len(sent) - len(delivered)


def test_a_gap_is_told_before_the_trade_behind_it(market: Market) -> None:
    order: list[object] = []
    market.witness.__dict__["on_gap"] = order.append
    market.witness.trade = lambda trade: order.append(trade.trade_id)
    market.feed(trades([5]), trades([9, 11]))
    assert order == [5, Gap("BTC/USD", 6, 8), 9, Gap("BTC/USD", 10, 10), 11]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 15, 16, 17, 49, 50, 51, 99, 100, 101, 1000])
def test_the_last_fifty_are_kept(market: Market, count: int) -> None:
    for first in range(1, count + 1, 7):
        market.feed(trades(list(range(first, min(first + 7, count + 1)))))
    recent = market.trades.recent()
    assert [trade.trade_id for trade in recent] == list(range(max(1, count - 49), count + 1))
    assert all(same(trade.price, Decimal(f"{trade.trade_id}.5")) for trade in recent)
    assert all(same(trade.qty, Decimal(f"0.{trade.trade_id:08d}")) for trade in recent)
    assert market.trades.last_trade_id == (count or None)


def test_the_highest_id(market: Market) -> None:
    market.feed(trades([1]), trades([7]).replace(b'"trade_id":7', b'"trade_id":9223372036854775807'))
    assert market.witness.gaps == [Gap("BTC/USD", 2, 2**63 - 2)]
    assert market.trades.missed == 2**63 - 3


def test_words_that_nobody_knew(market: Market) -> None:
    raw = trades([1]).replace(b'"limit"', b'"iceberg"').replace(b'"buy"', b'"hold"')
    market.feed(
        raw, trades([2]).replace(b'"ord_type":"limit",', b""), trades([3]).replace(b'"limit"', b'"market"')
    )
    first, second, third = market.trades.recent()
    assert (first.side, first.ord_type, second.ord_type, third.ord_type) == (
        "hold",
        "iceberg",
        None,
        "market",
    )
    for number in range(4, 400):
        market.feed(trades([number]).replace(b'"limit"', f'"word{number}"'.encode()))
    assert market.trades.recent()[-1].ord_type == "other", "a hostile peer does not fill our memory"


def test_a_trade_is_immutable(market: Market) -> None:
    market.feed(trades([1]))
    (trade,) = market.trades.recent()
    assert (trade.price_float, trade.qty_float, trade.recv_ns) == (1.5, 1e-8, 10**9)
    for name in ("symbol", "side", "price", "trade_id"):
        with pytest.raises(AttributeError):
            setattr(trade, name, 0)
    with pytest.raises(TypeError):
        Trade()


# ---------------------------------------------------------------------------------------------- candles


def told(market: Market) -> list[tuple[int, str, bool, bool]]:
    """Minute, close, closed, correction of what was told."""
    minutes: list[tuple[int, str, bool, bool]] = []
    market.witness.candle = lambda c: minutes.append(
        (c.begin_ns // 60_000_000_000 % 1440, str(c.close), c.closed, c.correction)
    )
    return minutes


@pytest.mark.fault("K23", kind="U")
def test_a_closed_candle_changes_only_by_a_correction(market: Market) -> None:
    events = told(market)
    market.feed(candle(1, "10"), candle(1, "11"), candle(1, "11"))
    assert events == [(1, "10", False, False), (1, "11", False, False)], "what repeats is not told"
    market.feed(candle(4, "12"))
    assert events[2:] == [(1, "11", True, False), (4, "12", False, False)], "two minutes without trades"
    closed = market.candles.recent()[0]
    market.feed(candle(1, "11"))
    assert len(events) == 4
    market.feed(candle(1, "9"))
    assert events[4:] == [(1, "9", True, True)]
    assert (str(closed.close), closed.closed) == ("11", True), "a copy never changes"
    assert [str(c.close) for c in market.candles.recent()] == ["9", "12"]
    market.feed(candle(2, "5"), candle(0, "5"))
    assert len(events) == 5, "intervals that were never seen to begin"
    market.feed(candle(4, "13"))
    assert events[5:] == [(4, "13", False, False)]


@pytest.mark.parametrize(
    ("volume", "vwap"), [("0.5", ""), ("12345678901234.12345678", "1.5"), ("0.5", "1e25")]
)
def test_a_repeated_candle_is_no_correction(market: Market, volume: str, vwap: str) -> None:
    events = told(market)
    first = candle(1, volume=volume, vwap=vwap)
    market.feed(first, candle(2), first, first)
    assert len(events) == 3
    assert same(market.candles.recent()[0].volume, Decimal(volume))
    assert market.candles.recent()[0].vwap == (Decimal(vwap) if vwap else None)
    market.feed(candle(1, volume=volume[:-1] + "9", vwap=vwap))
    assert events[-1][2:] == (True, True)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 25, 47, 48, 100])
def test_the_last_24_candles_are_kept(market: Market, count: int) -> None:
    wide = "1" * 20
    for minute in range(count):
        market.feed(candle(minute, f"{minute}.5", volume=wide + f"{minute:03d}"))
    recent = market.candles.recent()
    assert [c.begin_ns // 60_000_000_000 % 1440 for c in recent] == list(range(max(0, count - 24), count))
    assert [c.closed for c in recent] == [True] * (len(recent) - 1) + [False] * bool(recent)
    assert all(same(c.volume, Decimal(wide + f"{c.begin_ns // 60_000_000_000 % 1440:03d}")) for c in recent)
    if count > 24:
        events = told(market)
        market.feed(candle(count - 25, "1"), candle(count - 24, "1"))
        assert events == [(count - 24, "1", True, True)], "the oldest kept can be corrected, older ones not"


def test_a_candle_is_immutable(market: Market) -> None:
    market.feed(candle(1))
    (got,) = market.candles.recent()
    assert got.end_ns - got.begin_ns == 60 * 10**9
    assert got.trades == 6
    assert got.recv_ns == 10**9
    with pytest.raises(AttributeError):
        got.close = Decimal(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Candle()


def test_intervals_are_kept_apart(market: Market) -> None:
    five = market.decoder.want_candles("BTC/USD", 5)
    market.feed(candle(1), candle(5).replace(b'"interval":1', b'"interval":5'))
    market.decoder.feed(candle(5).replace(b'"interval":1', b'"interval":15'))
    assert (len(market.candles.recent()), len(five.recent()), market.decoder.unwanted) == (1, 1, 1)


# ---------------------------------------------------------------------------------------------- tickers


def test_numbers_wider_than_63_bits_are_exact(market: Market) -> None:
    raw = CATALOGUE["ticker.update"].replace(b"2207.93840563", b"12345678901234.12345678")
    market.feed(raw)
    copy = market.ticker.snapshot()
    assert str(market.ticker.volume) == "12345678901234.12345678"
    market.feed(raw.replace(b"12345678901234.1", b"99345678901234.1"))
    assert str(copy.volume) == "12345678901234.12345678"
    market.feed(CATALOGUE["ticker.update"])
    assert (str(market.ticker.volume), str(copy.volume)) == ("2207.93840563", "12345678901234.12345678")


def test_what_is_not_sent_any_more_is_none(market: Market) -> None:
    market.feed(CATALOGUE["ticker.update"])
    assert market.ticker.trades == 101885
    market.feed(CATALOGUE["ticker.update.2024"])
    assert [market.ticker.trades, market.ticker.exch_ns, market.ticker.volume_usd] == [None] * 3


def test_quality_and_age_of_a_ticker(market: Market) -> None:
    ticker = market.ticker
    assert (ticker.quality, ticker.age_ms, ticker.updated_ns, ticker.bid) == ("none", None, None, None)
    market.feed(CATALOGUE["ticker.update"])
    assert (ticker.quality, ticker.age_ms, ticker.source) == ("live", 0.0, "websocket")
    assert (ticker.bid_float, ticker.ask_float, ticker.last_float) == (84210.4, 84210.5, 84210.5)
    market.clock.advance(1_600_000_000)
    assert (ticker.quality, ticker.age_ms) == ("stale", 1600.0)
    market.feed(b'{"channel":"heartbeat"}')
    assert (ticker.quality, ticker.age_ms) == ("live", 0.0)
    market.decoder.new_epoch()
    assert str(ticker.quality) == "stale"
    market.feed(CATALOGUE["ticker.update"])
    assert str(ticker.quality) == "live"
    assert not market.decoder.feed(CATALOGUE["ticker.update"][:-3])
    assert str(ticker.quality) == "stale", "a change was lost"
    copy = ticker.snapshot()
    market.feed(CATALOGUE["ticker.update"])
    assert (copy.quality, ticker.quality, copy.source) == ("stale", "live", "websocket")


def test_a_copy_of_a_ticker_never_changes(market: Market) -> None:
    market.feed(CATALOGUE["ticker.snapshot"])
    copy = market.ticker.snapshot()
    facts = repr(copy)
    market.feed(CATALOGUE["ticker.update"].replace(b"84210", b"84999"))
    assert repr(copy) == facts
    assert str(market.ticker.bid) == "84999.4"
    with pytest.raises(AttributeError):
        copy.bid = Decimal(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        TickerSnapshot()
    assert LiveTicker("A/B", Line()).snapshot().bid is None
