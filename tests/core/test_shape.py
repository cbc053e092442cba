"""REST's answers in the shape of the lines' records: exact, aged, and marked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kraken_fast.core.shape import aged_book, aged_ticker, book_of, candle_of, ticker_of

D = Decimal

BIDS = [(D("10.5"), D(1)), (D("10.25"), D("0.125"))]
ASKS = [(D(11), D("2E+1")), (D(12), D(3))]


def test_a_book_reads_like_one_of_a_line() -> None:
    book = book_of("A/B", 10, BIDS, ASKS, asked_ns=5, age_ms=7.5)
    assert (book.symbol, book.depth, book.quality, book.source, book.age_ms) == ("A/B", 10, "rest", "rest", 7.5)
    assert (book.best_bid, book.best_bid_qty, book.best_ask, book.best_ask_qty) == (D("10.50"), 1, 11, 20)
    assert book.bids == tuple(BIDS)
    assert book.asks == tuple(ASKS)
    assert (book.price_scale, book.qty_scale, book.updated_ns, book.exch_ns) == (2, 3, 5, None)
    assert not book.is_valid, "nothing proves it"
    assert (book.verified_depth, book.crossed, book.mid) == (0, False, D("10.75"))


def test_what_is_beyond_the_depth_is_cut_off() -> None:
    book = book_of("A/B", 1, BIDS, ASKS, asked_ns=5, age_ms=0)
    assert (len(book.bids), len(book.asks)) == (1, 1)
    assert book_of("A/B", 10, [], [], asked_ns=5, age_ms=0).best_bid is None


def test_a_number_beyond_an_integer_is_refused() -> None:
    with pytest.raises(ValueError):
        book_of("A/B", 10, [(D("1E-19"), D(1))], [], asked_ns=0, age_ms=0)
    with pytest.raises(OverflowError):
        book_of("A/B", 10, [(D("1E+19"), D(1))], [], asked_ns=0, age_ms=0)


def test_a_ticker_tells_only_what_rest_tells() -> None:
    values = [D("1.5"), None, D("1.6"), None, D("1.55"), D(100), D("1.52"), D("1.1"), D("1.9"), None, None, None]
    ticker = ticker_of("A/B", values, trades=12, asked_ns=3, age_ms=1.0)
    assert (ticker.bid, ticker.bid_qty, ticker.ask) == (D("1.5"), None, D("1.6"))
    assert (ticker.last, ticker.trades) == (D("1.55"), 12)
    assert (ticker.quality, ticker.source, ticker.age_ms, ticker.exch_ns) == ("rest", "rest", 1.0, None)
    assert ticker_of("A/B", values, asked_ns=3, age_ms=1.0).trades is None
    with pytest.raises(ValueError, match="a ticker has 12"):
        ticker_of("A/B", values[:3], asked_ns=3, age_ms=1.0)


def test_a_candle() -> None:
    values = [D("1.00"), D(3), D(1), D(2), D("1.5"), D("7.25")]
    candle = candle_of("A/B", 5, values, trades=9, begin_ns=60_000_000_000, closed=True, asked_ns=4)
    assert (str(candle.open), candle.high, candle.volume, candle.trades) == ("1.00", 3, D("7.25"), 9)
    assert (candle.interval, candle.begin_ns, candle.end_ns) == (5, 60_000_000_000, 360_000_000_000)
    assert (candle.closed, candle.correction) == (True, False)


def test_age_is_that_of_the_reading() -> None:
    book = book_of("A/B", 10, BIDS, ASKS, asked_ns=5, age_ms=0)
    older = aged_book(book, 99.0)
    assert (older.age_ms, older.bids, older.asks, older.quality) == (99.0, book.bids, book.asks, "rest")
    assert book.age_ms == 0
    ticker = ticker_of("A/B", [D(1)] * 12, asked_ns=3, age_ms=1.0)
    assert (aged_ticker(ticker, 5.0).age_ms, aged_ticker(ticker, 5.0).last) == (5.0, 1)
