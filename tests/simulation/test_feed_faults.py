"""Faults of the data itself, in virtual time through the whole client.

What a row of the catalogue asks of two lines, of REST or of orders is tested where those are.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest

from kraken_fast import (
    Feed,
    StaleDataError,
)
from kraken_fast.sim.network import Route
from kraken_fast.sim.reference import checksum
from kraken_fast.sim.tamper import HARMLESS, MUTATIONS
from kraken_fast.sim.texts import padded, rfc3339

from .harness import OTHERS, RESYNC_S, SYMBOLS, Simulation, is_live

Rows = Iterable[tuple[Decimal, Decimal]]


def stat(feed: Feed, name: str) -> int:
    """One counter of the feed."""
    return int(getattr(feed.stats(), name))


def book_text(
    sim: Simulation,
    symbol: str,
    bids: Rows = (),
    asks: Rows = (),
    *,
    total: int | None = None,
    stamp: str | None = None,
    kind: str = "update",
) -> str:
    """Write a book message by hand; by default with the checksum and the time of the book as it is."""
    market = sim.core.market(symbol)
    truth, pair = market.truth(), market.pair

    def rows(levels: Rows) -> str:
        return ",".join(
            f'{{"price":{padded(price, pair.price_precision)},"qty":{padded(qty, pair.qty_precision)}}}'
            for price, qty in levels
        )

    when = rfc3339(truth.time_ns) if stamp is None else stamp
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{rows(bids)}],'
        f'"asks":[{rows(asks)}],"checksum":{truth.checksum if total is None else total}'
        + (f',"timestamp":"{when}"' if when else "")
        + "}]}"
    )


@pytest.mark.fault("D03", kind="D")
def test_one_wrong_checksum() -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            fault = sim.faults.inject("bad_checksum", symbol="BTC/USD")
            await sim.until(lambda: fault.fired == 1, 1.0)
            await sim.until(lambda: not is_live(feed, "BTC/USD"), 0.006)
            with pytest.raises(StaleDataError):
                feed.book("BTC/USD", strict=True)
            assert is_live(feed, *OTHERS)
            took_s = await sim.until(lambda: is_live(feed), RESYNC_S)
            assert took_s < 0.1
            await sim.sleep(5)
            assert feed.stats().resyncs == 1
            assert feed.stats().connections == 1
            assert all(feed.live_book(symbol).mismatched == 0 for symbol in OTHERS)

    sim.run(main())


@pytest.mark.fault("D04", kind="D")
@pytest.mark.parametrize("message", [("update",), ("snapshot", "update")], ids=["updates", "snapshots too"])
def test_checksum_wrong_for_ever(message: tuple[str, ...]) -> None:
    sim = Simulation(SYMBOLS, rate=5.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            sim.faults.inject("bad_checksum", count=None, symbol="BTC/USD", message=message)
            book = feed.live_book("BTC/USD")
            await sim.until(lambda: book.state == "unverified", 5.0)
            assert stat(feed, "resyncs") <= 3
            for minute in range(1, 6):
                for _ in range(60):
                    await sim.sleep(1)
                    if message != ("update",):
                        # With good snapshots it may be valid for an instant once a minute, and rightly so.
                        with pytest.raises(StaleDataError):
                            feed.book("BTC/USD", strict=True)
                    assert is_live(feed, *OTHERS)
                assert stat(feed, "resyncs") <= 3 + minute * (1 if message != ("update",) else 4), "no storm"
            assert feed.stats().connections == 1
            assert all(feed.live_book(symbol).mismatched == 0 for symbol in OTHERS)
            sim.faults.clear()
            await sim.until(lambda: is_live(feed), 62.0)

    sim.run(main())


@pytest.mark.fault("D05", kind="D")
def test_thin_and_empty_books() -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            market, book = sim.core.market("BTC/USD"), feed.live_book("BTC/USD")
            price, qty = market.quote().ask, Decimal("0.5")
            for side, left in (("bid", "bids"), ("ask", "asks")):
                market.clear("buy" if side == "bid" else "sell")
                sim.network.wake()
                await sim.sleep(0.02)
                assert not getattr(book, left)
                assert book.quality == "live"
            assert book.best_bid is book.best_ask is book.spread is book.mid is None
            assert not book.crossed
            for step in range(12):
                market.submit("sell", qty, price + step * market.pair.price_increment)
                sim.network.wake()
                await sim.sleep(0.02)
                assert len(book.asks) == min(step + 1, 10)
                assert book.quality == "live"
            sim.faults.inject("rst")  # a snapshot of a thin book, one side empty
            await sim.sleep(1)
            assert (len(book.bids), len(book.asks), book.quality) == (0, 10, "live")
            assert feed.stats().books_mismatched == 0

    sim.run(main())
    assert sim.oracle.depth_checked > 0


@pytest.mark.fault("D06", kind="D")
@pytest.mark.parametrize("depth", [10, 25])
def test_levels_pushed_out_of_depth_return(depth: int) -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect(book_depth=depth) as feed:
            market, book = sim.core.market("ETH/USD"), feed.live_book("ETH/USD")
            tick = market.pair.price_increment
            for _ in range(5):
                before = book.asks
                # Make room between the sides, then improve the asks three times: three levels fall out below.
                for order_id in list(market.engine.bids.at(0).orders):
                    market.cancel(order_id)
                best = market.quote().ask
                orders = [market.submit("sell", Decimal("0.7"), best - (n + 1) * tick)[0] for n in range(3)]
                orders = [order_id for order_id in orders if order_id in market.engine.orders]
                sim.network.wake()
                await sim.sleep(0.02)
                assert len(book.asks) == depth
                assert before[-1] not in book.asks or not orders
                for order_id in orders:
                    market.cancel(order_id)
                sim.network.wake()
                await sim.sleep(0.02)
                assert len(book.asks) == depth
                assert book.quality == "live"
            assert feed.stats().books_mismatched == 0

    sim.run(main())
    assert sim.oracle.depth_checked > 0


@pytest.mark.fault("D07", kind="D")
def test_one_price_several_times_in_one_message() -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            truth = sim.core.market("BTC/USD").truth()
            price, qty = truth.bids[3][:2]
            rows = [(price, qty * 2), (price, Decimal(0)), (price, qty * 3), (price, qty)]
            verified = feed.live_book("BTC/USD").verified
            await sim.say(book_text(sim, "BTC/USD", bids=rows))
            assert feed.live_book("BTC/USD").verified == verified + 1
            assert feed.book("BTC/USD").bids[3] == (price, qty), "the last one wins"
            assert is_live(feed)

    sim.run(main())


@pytest.mark.fault("D08", kind="D")
def test_both_sides_in_one_message() -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            market, book = sim.core.market("BTC/USD"), feed.live_book("BTC/USD")
            for _ in range(5):
                messages, ask, asks = book.messages, market.quote(), book.asks
                # One order takes the best ask and rests with what is left: one event, one message, both sides.
                market.submit("buy", ask.ask_qty + Decimal("0.25"), ask.ask)
                sim.network.wake()
                await sim.sleep(0.02)
                assert book.messages == messages + 1
                assert book.best_bid == ask.ask
                assert book.asks[0] == asks[1]
                assert book.quality == "live"
            assert feed.stats().books_mismatched == 0

    sim.run(main())


@pytest.mark.fault("D09", kind="D")
def test_removal_of_an_unknown_price() -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            truth = sim.core.market("BTC/USD").truth()
            tick = sim.core.market("BTC/USD").pair.price_increment
            before = feed.book("BTC/USD")
            unknown = [
                (truth.bids[0][0] * 2, Decimal(0)),
                (truth.bids[-1][0] - 777 * tick, Decimal(0)),
                (tick, Decimal(0)),
            ]
            await sim.say(book_text(sim, "BTC/USD", bids=unknown, asks=unknown))
            after = feed.book("BTC/USD")
            assert (after.bids, after.asks, after.quality) == (before.bids, before.asks, "live")
            assert feed.live_book("BTC/USD").verified == 2

    sim.run(main())


@pytest.mark.fault("D12", kind="D")
@pytest.mark.parametrize("locked", [False, True])
def test_crossed_book_that_verifies(*, locked: bool) -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            truth = sim.core.market("BTC/USD").truth()
            bids, asks = [level[:2] for level in truth.bids], [level[:2] for level in truth.asks]
            price = asks[0][0] if locked else asks[2][0]
            row = (price, bids[0][1])
            total = checksum(asks[:10], [row, *bids][:10])
            begun_s = sim.now_s
            await sim.say(
                book_text(sim, "BTC/USD", bids=[row], total=total, stamp="2031-01-01T00:00:00.000001Z")
            )
            book = feed.book("BTC/USD")
            assert book.crossed
            with pytest.raises(StaleDataError, match="crossed"):
                feed.book("BTC/USD", strict=True)
            assert is_live(feed, *OTHERS)
            await sim.sleep(0.9)
            assert stat(feed, "resyncs") == 0, "it may pass by itself within a second"
            await sim.until(lambda: stat(feed, "resyncs") == 1, 0.5)
            await sim.until(lambda: is_live(feed) and not feed.book("BTC/USD").crossed, RESYNC_S)
            assert sim.now_s - begun_s < 2.0
            feed.book("BTC/USD", strict=True)

    sim.run(main())


@pytest.mark.fault("D13", kind="D")
@pytest.mark.parametrize("channel", ["book", "ticker", "trade", "ohlc"])
def test_duplicated_messages(channel: str) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade", "ohlc")) as feed:
            fault = sim.faults.inject("duplicate", count=None, probability=0.5, channel=channel)
            await sim.sleep(20)
            assert fault.fired > 20
            assert is_live(feed)
            stats = feed.stats()
            assert stats.books_mismatched == stats.resyncs == stats.malformed == 0

    sim.run(main())  # S01 and S07: books equal the truth, no trade twice
    assert not sim.oracle.gaps


@pytest.mark.fault("D14", kind="D")
@pytest.mark.parametrize("kind", ["drop", "swap"])
def test_lost_or_swapped_updates(kind: str) -> None:
    sim = Simulation(SYMBOLS, rate=5.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            book = feed.live_book("BTC/USD")
            for _ in range(6):
                mismatched, messages = book.mismatched, book.messages
                fault = sim.faults.inject(kind, channel="book", symbol="BTC/USD", message="update")
                await sim.until(lambda fault=fault: fault.fired == 1, 2.0)  # type: ignore[misc]
                await sim.until(lambda m=messages: book.messages > m, 2.0)  # type: ignore[misc]
                # An undo within the next message may hide it, rightly: then the book equals the truth.
                await sim.sleep(1)
                assert book.mismatched - mismatched <= 2
                await sim.until(lambda: is_live(feed), RESYNC_S)
                await sim.sleep(60)  # more than three resyncs in a minute would be another story: D04
            assert book.mismatched >= 4
            assert all(feed.live_book(symbol).mismatched == 0 for symbol in OTHERS)
            assert feed.stats().connections == 1

    sim.run(main())


@pytest.mark.fault("D15", kind="D")
@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
@pytest.mark.parametrize("kind", ["update", "snapshot"])
def test_damaged_messages(mutation: str, kind: str) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker")) as feed:
            await sim.sleep(2)
            fault = sim.faults.inject(
                "mutate", mutation=mutation, channel="book", symbol="BTC/USD", message=kind
            )
            if kind == "snapshot":
                sim.faults.inject("bad_checksum", symbol="BTC/USD")
            await sim.until(lambda: fault.fired == 1, 2.0)
            await sim.sleep(0.01)
            await sim.until(lambda: is_live(feed), 7.0 if kind == "snapshot" else RESYNC_S)
            await sim.sleep(3)
            stats = feed.stats()
            assert stats.malformed + stats.unknown >= 1, "counted"
            assert stats.resyncs <= (3 if kind == "snapshot" else 1)
            assert stats.connections == 1
            assert all(feed.live_book(symbol).mismatched == 0 for symbol in OTHERS)
            assert is_live(feed)

    sim.run(main())


@pytest.mark.parametrize("mutation", sorted(HARMLESS))
def test_odd_but_harmless_messages(mutation: str) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)
    sim.faults.inject("mutate", mutation=mutation, count=None, channel="book")

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(5)
            stats = feed.stats()
            assert stats.books_verified > 100
            assert stats.malformed == stats.unknown == stats.books_mismatched == 0

    sim.run(main())


@pytest.mark.fault("D15", kind="D")
def test_many_damaged_messages_recycle_the_line() -> None:
    sim = Simulation(SYMBOLS, rate=50.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade")) as feed:
            await sim.sleep(2)
            fault = sim.faults.inject("mutate", mutation="not_json", count=10)
            await sim.until(lambda: fault.fired == 10, 1.0)
            await sim.sleep(2)
            assert feed.stats().connections == 1, "ten within a second are borne"
            begun_s = sim.now_s
            fault = sim.faults.inject("mutate", mutation="not_json", count=11)
            await sim.until(lambda: fault.fired == 11, 0.9)
            await sim.sleep(0.01)
            assert any("refused within" in reason for _, _, reason in sim.changes(begun_s))
            await sim.until(lambda: is_live(feed), RESYNC_S)
            assert feed.stats().connections == 2

    sim.run(main())


@pytest.mark.fault("D18", kind="D")
@pytest.mark.parametrize(
    ("stamp", "exch_ns"),
    [
        ("2001-02-03T04:05:06.000007Z", 981_173_106_000_007_000),
        ("2099-12-31T23:59:59.999999Z", 4_102_444_799_999_999_000),
        ("2026-11-22T01:02:03.123456789Z", 1_795_309_323_123_456_789),
        ("2026-11-22T01:02:03.5+00:00", 1_795_309_323_500_000_000),
        ("", None),
    ],
)
def test_odd_timestamps(stamp: str, exch_ns: int | None) -> None:
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(0.5)
            truth = sim.core.market("BTC/USD").truth()
            await sim.say(book_text(sim, "BTC/USD", bids=[truth.bids[0][:2]], stamp=stamp))
            book = feed.book("BTC/USD")
            assert book.exch_ns == exch_ns, "kept as given"
            assert book.quality == "live"
            assert book.age_ms is not None
            assert 0 <= book.age_ms <= 20, "age is by the clock of arrival"
            assert feed.stats().malformed == 0

    sim.run(main())


def test_snapshot_while_leaving_is_no_subscription() -> None:
    """Seed 57 of the swarm: between two subscriptions nobody updates a book, whatever snapshot it had last."""
    sim = Simulation(SYMBOLS, rate=20.0, route=lambda _n: Route(up_ms=300.0))

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            sim.faults.inject("bad_checksum", symbol="BTC/USD")
            await sim.until(lambda: not is_live(feed, "BTC/USD"), 1.0)
            sim.faults.inject("second_snapshot", symbol="BTC/USD")
            await sim.until(lambda: is_live(feed, "BTC/USD"), 0.3)  # rightly: it verified, and updates go on
            await sim.until(lambda: feed.live_book("BTC/USD").state == "syncing", 0.4)
            await sim.until(lambda: is_live(feed), 0.4)

    sim.run(main())


def test_damaged_tickers_harm_no_book() -> None:
    """S06 between channels: what is wrong with a symbol's ticker says nothing about its book."""
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker"), ticker_trigger="bbo") as feed:
            for _ in range(6):
                fault = sim.faults.inject(
                    "mutate", mutation="missing_type", channel="ticker", symbol="BTC/USD"
                )
                await sim.until(lambda fault=fault: fault.fired == 1, 5.0)  # type: ignore[misc]
                await sim.sleep(3)
                assert is_live(feed)
                assert feed.live_book("BTC/USD").mismatched == 0

    sim.run(main())
