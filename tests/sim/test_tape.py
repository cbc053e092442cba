"""Tapes: their statistics, their checksums, and the exchange in a box that plays them."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import aiohttp
import pytest

from kraken_fast.errors import ConfigError
from kraken_fast.feed import connect
from kraken_fast.sim import Exchange
from kraken_fast.sim.reference import ReferenceBook, loads
from kraken_fast.sim.tape import Tape, render, tape_pairs


@pytest.fixture(scope="module")
def tape() -> Tape:
    return render(3, messages=3_000, seed=5)


def test_the_same_seed_gives_the_same_tape() -> None:
    assert list(render(2, messages=50, seed=1).texts()) == list(render(2, messages=50, seed=1).texts())
    assert list(render(2, messages=50, seed=1).texts()) != list(render(2, messages=50, seed=2).texts())


def test_it_has_the_statistics_of_the_recorded_book() -> None:
    (reel,) = render(1, messages=10_000).reels.values()
    assert 210 < statistics.mean(map(len, reel.updates)) < 225
    assert 1.9 < statistics.mean(map(len, reel.rows)) < 2.1
    assert 0.55 < statistics.mean(len(rows) == 1 for rows in reel.rows) < 0.60


@pytest.mark.parametrize("depth", [10, 25])
def test_every_checksum_is_right_round_and_round(depth: int) -> None:
    (reel,) = render(1, depth=depth, messages=400).reels.values()
    book = ReferenceBook(depth)
    assert book.apply_raw(reel.snapshot) == book.checksum()
    start = (book.bids, book.asks)
    for _ in range(2):
        for text in reel.updates:
            assert book.apply_raw(text) == book.checksum()
            assert not book.crossed()
        assert (book.bids, book.asks) == start


def test_a_thousand_pairs_are_a_thousand_books() -> None:
    pairs = tape_pairs(1000)
    assert len({pair.symbol for pair in pairs}) == 1000
    assert [pair.symbol for pair in pairs[:2]] == ["BTC/USD", "ETH/USD"]
    assert pairs[-1].symbol.startswith("SYN")
    tape = render(1000, messages=2_000)
    assert min(len(reel.updates) for reel in tape.reels.values()) == 2


@pytest.mark.parametrize("arguments", [{"pairs": 0}, {"pairs": 1001}, {"depth": 11}])
def test_what_cannot_be_rendered(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        render(**arguments)


def test_a_tape_brings_its_own_symbols(tape: Tape) -> None:
    with pytest.raises(ConfigError, match="symbols"):
        Exchange(["BTC/USD"], tape=tape)


async def test_a_foreign_client_verifies_it_from_wherever_it_comes_in(tape: Tape) -> None:
    async with Exchange(tape=tape, rate=0) as ex, aiohttp.ClientSession() as http:
        ex.advance(777)  # nobody listens yet: the snapshot must show where the tape is
        async with http.ws_connect(ex.ws_url) as socket:
            for params in ({"symbol": ["BTC/USD", "ETH/USD"]}, {"symbol": ["SOL/USD"], "depth": 25}):
                await socket.send_json({"method": "subscribe", "params": {"channel": "book", **params}})
            books: dict[str, ReferenceBook] = {}
            refused = None
            while len(books) < 2 or refused is None:
                message = loads(await socket.receive_str(timeout=5))
                refused = refused or message.get("error")
                if message.get("channel") == "book":
                    books.setdefault(message["data"][0]["symbol"], ReferenceBook(10)).apply(message)
            assert refused == "Subscription depth not supported"
            ex.advance(5_000)  # more than one round
            played = ex.core.player
            assert played is not None
            ends = {symbol: ex.book(symbol) for symbol in books}
            while any((book.bids, book.asks) != (list(ends[s].bids), list(ends[s].asks)) for s, book in books.items()):
                message = loads(await socket.receive_str(timeout=5))
                if message.get("channel") == "book":
                    book = books[message["data"][0]["symbol"]]
                    book.apply(message)
                    assert book.checksum() == message["data"][0]["checksum"]
            assert all(book.checksum() == ends[symbol].checksum for symbol, book in books.items())


async def test_other_channels_and_markets_are_not_on_it(tape: Tape) -> None:
    async with Exchange(tape=tape, rate=0) as ex, aiohttp.ClientSession() as http:
        async with http.ws_connect(ex.ws_url) as socket:
            await socket.send_json({"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}})
            while "error" not in (answer := await socket.receive_json(timeout=5)):
                pass
        assert answer["error"] == "Channel not on this tape"
        with pytest.raises(ConfigError, match="tape"):
            ex.market("BTC/USD")


@pytest.mark.parametrize(("pairs", "seconds"), [(1, 1.0), (1000, 1.0)])
async def test_a_verified_client_gets_fifty_thousand_a_second(pairs: int, seconds: float) -> None:
    """The rate is asked of the box; on a busy machine it is CPU time, not the clock, that must suffice."""
    tape = render(pairs, messages=20_000)
    async with (
        Exchange(tape=tape, rate=60_000) as ex,
        connect(list(tape.reels), ws_url=ex.ws_url, rest_url=ex.rest_url, ready_s=30) as feed,
    ):
        before, began, cpu = feed.stats(), time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        after, took, cpu = feed.stats(), time.monotonic() - began, time.process_time() - cpu
    verified = after.books_verified - before.books_verified
    assert after.books_mismatched == after.resyncs == 0
    assert verified / min(took, cpu) > 50_000  # box and client share this process and its core
