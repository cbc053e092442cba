"""Handlers: who is told what, and that one who raises harms nobody else."""

from __future__ import annotations

import logging
from types import FunctionType
from typing import Any

import corpus
import pytest
from judge import Witness

from kraken_fast.core.book import OrderBook
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks, Handler
from kraken_fast.core.market import Candle, LiveTicker, Trade
from kraken_fast.errors import UsageError

CATALOGUE = corpus.catalogue()
ALL = list(CATALOGUE.values())


class Raising(Callbacks):
    """Raises in every method that is written in Python, and notes what for."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.book = self.ticker = self.trade = self.candle = self._raise

    def _raise(self, *told: object) -> None:
        raise RuntimeError(f"told {told}")

    def on_callback_error(self, channel: str, error: Exception) -> None:  # noqa: ARG002 - the signature
        self.told.append(channel)
        raise RuntimeError("and again")


METHODS = ["on_snapshot", "on_book_lost", "on_gap", "on_refused", "on_ack", "on_status", "on_instruments"]
for _name in METHODS:
    _method = FunctionType(Raising._raise.__code__, globals(), _name)
    setattr(Raising, _name, _method)


def test_the_base_hears_all_and_does_nothing() -> None:
    decoder = Decoder(handler=Handler(), create=True)
    assert decoder.feed_all(ALL) == len(ALL)
    assert decoder.book("BTC/USD") is not None


def test_callables_get_the_live_book_and_ticker_and_records_of_their_own() -> None:
    got: list[Any] = []
    callbacks = Callbacks()
    callbacks.book = callbacks.ticker = callbacks.trade = callbacks.candle = got.append
    decoder = Decoder(handler=callbacks, create=True)
    for name in ("book.snapshot", "ticker.snapshot", "trade.snapshot", "ohlc.snapshot"):
        decoder.feed(CATALOGUE[name], strict=True)
    assert [type(item) for item in got] == [OrderBook, LiveTicker, Trade, Trade, Candle, Candle, Candle]
    assert got[0] is decoder.book("BTC/USD")
    assert got[1] is decoder.ticker("BTC/USD")
    assert [item.closed for item in got[4:]] == [False, True, False]


def test_one_who_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    raising, witness = Raising(), Witness()
    decoders = [Decoder(handler=handler, create=True) for handler in (raising, witness)]
    broken = CATALOGUE["book.update.move"][:-9]
    gap = CATALOGUE["trade.update"].replace(b"9612044", b"9612099")
    with caplog.at_level(logging.ERROR, "kraken_fast.callbacks"):
        for raw in [*ALL, gap, broken]:
            for decoder in decoders:
                decoder.feed(raw)
    ours, theirs = decoders
    assert (ours.messages, ours.malformed) == (theirs.messages, theirs.malformed)
    for symbol in theirs.kept_symbols():
        for kind in ("book", "ticker", "trades"):
            mine, other = getattr(ours, kind)(symbol), getattr(theirs, kind)(symbol)
            assert repr(mine and getattr(mine, "recent", lambda m=mine: m)()) == repr(
                other and getattr(other, "recent", lambda o=other: o)()
            )
    assert ours.instruments == theirs.instruments
    assert set(raising.told) == {*METHODS, "book", "ticker", "trade", "ohlc"}
    assert raising.failures == len(raising.told) > 60
    logged = [record for record in caplog.records if "so far" in record.message]
    assert len(logged) == raising.failures.bit_length(), "the 1st, 2nd, 4th, 8th ... are logged"
    assert all(record.exc_info for record in logged)


def test_what_is_no_mere_error_goes_through() -> None:
    callbacks = Callbacks()

    def interrupted(_book: OrderBook) -> None:
        raise KeyboardInterrupt

    callbacks.book = interrupted
    decoder = Decoder(handler=callbacks, create=True)
    with pytest.raises(KeyboardInterrupt):
        decoder.feed(CATALOGUE["book.snapshot"])
    assert callbacks.failures == 0
    callbacks.book = None
    assert decoder.feed(CATALOGUE["book.snapshot"]), "and the decoder goes on"


def test_a_handler_may_unwant_what_it_is_told_about() -> None:
    """Each store is taken away in the middle of the message that fills it."""
    witness = Witness()
    decoder = Decoder(handler=witness)
    book, ticker = decoder.want_book("BTC/USD", 10), decoder.want_ticker("BTC/USD")
    trades, candles = decoder.want_trades("BTC/USD"), decoder.want_candles("BTC/USD", 1)
    decoder.feed(CATALOGUE["trade.snapshot"], strict=True)

    def unwant(*_told: Any) -> None:
        for channel in ("book", "ticker", "trade"):
            decoder.unwant(channel, "BTC/USD")
        decoder.unwant("ohlc", "BTC/USD", 1)

    witness.__dict__.update(on_snapshot=unwant, on_gap=unwant)
    decoder.feed(CATALOGUE["book.snapshot"], strict=True)
    assert book.is_valid
    assert decoder.book("BTC/USD") is None
    assert decoder.want_ticker("BTC/USD") is not ticker
    decoder.feed(CATALOGUE["ticker.snapshot"], strict=True)
    assert decoder.ticker("BTC/USD") is None
    assert decoder.want_trades("BTC/USD") is not trades
    decoder.feed(CATALOGUE["trade.update"], strict=True)
    decoder.feed(CATALOGUE["trade.update"].replace(b"9612044", b"9612099"), strict=True)
    assert decoder.trades("BTC/USD") is None
    assert decoder.unwanted == 1, "the second trade of the last message"
    assert decoder.want_candles("BTC/USD", 1) is not candles
    decoder.feed(CATALOGUE["ohlc.snapshot"], strict=True)
    assert decoder.candles("BTC/USD", 1) is None


def test_a_handler_cannot_feed_the_decoder_that_calls_it() -> None:
    callbacks = Callbacks()
    decoder = Decoder(handler=callbacks, create=True)
    raised: list[Exception] = []

    def feed_again(_book: OrderBook) -> None:
        for feed in (decoder.feed, lambda raw: decoder.feed_all([raw])):
            try:
                feed(CATALOGUE["ticker.snapshot"] + b" " * 100_000)
            except UsageError as error:
                raised.append(error)

    callbacks.book = feed_again
    decoder.feed(CATALOGUE["book.snapshot"], strict=True)
    assert len(raised) == 2
    assert decoder.messages == 1
    assert decoder.feed(CATALOGUE["ticker.snapshot"]), "afterwards it may"


def test_forward_is_told_first_and_latency_counted() -> None:
    order: list[str] = []
    first, second = Callbacks(), Callbacks()
    for callbacks, name in ((first, "first"), (second, "second")):
        for kind in ("book", "ticker", "trade", "candle"):
            setattr(callbacks, kind, lambda _told, name=name: order.append(name))
    second.forward = first
    decoder = Decoder(handler=second, create=True)
    for name in ("book.snapshot", "ticker.snapshot", "trade.snapshot", "ohlc.update"):
        decoder.feed(CATALOGUE[name], strict=True)
    assert order == ["first", "second"] * 5
