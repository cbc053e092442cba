"""Level-3 books of a feed against the exchange in a box: queues, checksums, losses, and where our order stands."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from kraken_fast.core.level3 import Level3Snapshot
from kraken_fast.errors import ConfigError, StaleDataError, UnknownSymbolError
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.private.level3_feed import Level3Feed, connect_level3
from kraken_fast.sim.network import HOST

from ..simulation.accounts import _TLS, BTC, REST_URL, AccountWorld

L3_URL = f"wss://ws-l3.{HOST}/v2"


def feed_of(w: AccountWorld, **others: Any) -> Level3Feed:
    others.setdefault("rest", w.rest())
    return connect_level3(
        [BTC],
        ws_url=L3_URL,
        rest_url=REST_URL,
        clock=w.clock,
        rng=Random(1),
        budget=AttemptBudget(MemoryAttempts()),
        ssl_context=_TLS,
        use_aiofastnet=False,
        **others,
    )


def check(w: AccountWorld, feed: Level3Feed) -> None:
    """Check that the book, aggregated, is the exchange's."""
    book, truth = feed.book(BTC, strict=True), w.core.book(BTC)
    for ours, theirs in ((book.bids, truth.bids), (book.asks, truth.asks)):
        assert [(level.price, level.qty) for level in ours] == [tuple(level) for level in theirs[: feed.depth]]


def test_the_book_is_the_exchanges_by_callback_iteration_and_reading() -> None:
    w = AccountWorld(rate=20.0)

    async def main() -> None:
        async with feed_of(w) as feed:
            calls: list[str] = []
            feed.on_book = lambda book: calls.append(book.state)
            events = feed.events()
            await asyncio.sleep(10)
            assert len(calls) > 50 and set(calls) == {"valid"}
            event = await anext(events)
            assert isinstance(event, Level3Snapshot) and event.quality == "live"
            w.core.rate = 0.0
            live = feed.live_book("XBT/USD")
            assert live.verified > 50 and live.mismatched == 0
            with pytest.raises(UnknownSymbolError):
                feed.live_book("ETH/USD")
        assert feed.book(BTC).quality == "stale"
        with pytest.raises(StaleDataError):
            feed.book(BTC, strict=True)

    w.run(main())


def test_where_an_order_of_ours_stands_in_the_queue() -> None:
    w = AccountWorld()
    w.clear()

    async def main() -> None:
        async with w.connect() as account, feed_of(w, rest=account.rest, tokens=account.tokens) as feed:
            first = w.limit("buy", "0.5", "60000")
            second = w.limit("buy", "0.25", "60000")
            await asyncio.sleep(0.2)
            check(w, feed)
            place = feed.queue_position(BTC, second)
            assert place is not None and (place.orders_ahead, place.orders_behind, place.levels_ahead) == (1, 0, 0)
            assert str(place.qty_ahead) == "0.50000000"
            w.hit(first, "0.2")
            await asyncio.sleep(0.2)
            place = feed.queue_position(BTC, second)
            assert place is not None and str(place.qty_ahead) == "0.30000000"
            assert feed.queue_position(BTC, "O-NOT-OURS") is None
            assert w.http.count("GetWebSocketsToken") == 1, "shared with the account"

    w.run(main())


@pytest.mark.fault("D01", kind="D")
@pytest.mark.fault("D03", kind="D")
@pytest.mark.parametrize("kind", ["bad_checksum", "drop"])
def test_a_mismatch_heals_within_two_seconds(kind: str) -> None:
    w = AccountWorld(rate=20.0)

    async def main() -> None:
        async with feed_of(w) as feed:
            await asyncio.sleep(2)
            w.faults.inject(kind, channel="level3", message="update", count=1)
            await w.until(lambda: feed.live_book(BTC).quality != "live", 5.0, 0.001)
            assert await w.until(lambda: feed.live_book(BTC).quality == "live", 3.0) <= 2.0
            assert feed.line.connections == 1 and feed.line.subscriptions.resyncs == 1

    w.run(main())


@pytest.mark.fault("D04", kind="D")
def test_a_checksum_that_never_agrees_is_unverified_and_no_loop() -> None:
    w = AccountWorld(rate=20.0)

    async def main() -> None:
        async with feed_of(w) as feed:
            await asyncio.sleep(2)
            with w.faults.inject("bad_checksum", channel="level3", count=None):
                await asyncio.sleep(58)
                assert feed.live_book(BTC).quality == "unverified"
                assert feed.line.subscriptions.resyncs <= 3
            await w.until(lambda: feed.live_book(BTC).quality == "live", 70.0, 0.1)

    w.run(main())


@pytest.mark.fault("N01", kind="D")
def test_a_reset_line_comes_back_with_a_token() -> None:
    w = AccountWorld(rate=20.0)

    async def main() -> None:
        async with feed_of(w) as feed:
            await asyncio.sleep(1000)
            w.faults.inject("rst")
            await w.until(lambda: feed.state != "live", 1.0, 0.001)
            assert feed.book(BTC).quality == "stale"
            assert await w.until(lambda: feed.live_book(BTC).quality == "live", 3.0) <= 1.0

    w.run(main())


def test_settings_are_checked() -> None:
    w = AccountWorld()
    for wrong in ({"depth": 25}, {"depth": True}, {"ready_s": 0}):
        with pytest.raises(ConfigError):
            feed_of(w, **wrong)
    with pytest.raises(ConfigError):
        connect_level3([f"S{i}/USD" for i in range(201)], rest=w.rest(), ws_url=L3_URL, rest_url=REST_URL)
