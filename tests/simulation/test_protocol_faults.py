"""Faults of Kraken's protocol, in virtual time through the whole client.

What a row of the catalogue asks of two lines, of REST or of orders is tested where those are.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kraken_fast import (
    Candle,
    CaptureReader,
    Decoder,
    OrderBook,
    Refused,
    SubscriptionError,
)

from .harness import OTHERS, RESYNC_S, SYMBOLS, Simulation, is_live, requests


@pytest.mark.fault("K02", kind="D")
def test_missing_ack_is_asked_for_again() -> None:
    sim = Simulation(SYMBOLS)
    fault = sim.faults.inject("no_ack", count=1, channel="book", symbol="ETH/USD")

    async def main() -> None:
        async with sim.connect() as feed:
            assert fault.fired == 1
            assert is_live(feed)
            assert 5.0 <= sim.now_s <= 5.2, "after T_ack, once"

    sim.run(main())


@pytest.mark.fault("K02", kind="D")
def test_no_ack_at_all_is_a_lost_subscription() -> None:
    sim = Simulation(SYMBOLS)
    sim.faults.inject("no_ack", channel="book", symbol="ETH/USD")
    sim.faults.inject("drop", count=None, message="error")  # "Already subscribed" would be an answer

    async def main() -> None:
        async with sim.connect() as feed:
            assert sim.now_s <= 10.2
            assert list(feed.refused) == [("book", "ETH/USD")]
            assert "no acknowledgement" in str(feed.refused["book", "ETH/USD"])
            assert [type(event) for _, event in sim.notices].count(Refused) == 1
            assert is_live(feed, "BTC/USD", "DOGE/USD")
            asked = [r for _, r in requests(sim) if r["params"].get("symbol") == ["ETH/USD"]]
            assert len(asked) == 1, "retried once"
            sim.faults.clear()
            await sim.until(lambda: is_live(feed), 61.0)

    sim.run(main())


MANY = 120


def many_symbols(count: int = MANY) -> list[str]:
    """Recorded pairs, enough for several requests."""
    from kraken_fast.sim.instruments import Listing

    return list(Listing(None).pairs)[:count]


@pytest.mark.fault("K03", kind="D")
def test_one_refused_symbol_of_many() -> None:
    symbols = many_symbols()
    sim = Simulation(symbols, rate=0.05)
    fault = sim.faults.inject("nack", symbol=symbols[77])

    async def main() -> None:
        async with sim.connect(ready_s=30) as feed:
            rest = [symbol for symbol in symbols if symbol != symbols[77]]
            assert list(feed.refused) == [("book", symbols[77])]
            assert symbols[77] in str(feed.refused["book", symbols[77]])
            assert is_live(feed, *rest), f"{MANY - 1} of {MANY}"
            await sim.sleep(61)
            assert fault.fired == 1, "refused is not retried"
            fault.clear()
            sim.core.set_pair(symbols[77], status="online")
            await sim.until(lambda: is_live(feed), 2.0)
            assert not feed.refused

    sim.run(main())


@pytest.mark.fault("K04", kind="D")
def test_rate_complaint_while_subscribing() -> None:
    symbols = many_symbols(250)
    sim = Simulation(symbols, rate=0.05)
    fault = sim.faults.inject("msg_rate", count=2, after=2)

    async def main() -> None:
        feed = sim.connect(ready_s=60)
        async with feed:
            assert fault.fired == 2
            assert is_live(feed)
            assert not feed.refused
            assert sim.now_s <= 15.0 * len(symbols) / 1000 + 2.0  # two complaints pause a second each

    sim.run(main())


@pytest.mark.fault("K06", kind="D")
@pytest.mark.parametrize(("kind", "strays"), [("late_ack", 0), ("duplicate_ack", 1), ("stray_ack", 1)])
def test_odd_acks(kind: str, strays: int) -> None:
    sim = Simulation(SYMBOLS)
    sim.faults.inject(kind)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade")) as feed:
            await sim.sleep(1)
            assert is_live(feed)
            assert not feed.refused
            assert feed._session.subscriptions.strays >= strays * 10, (
                "three symbols of three channels, and instrument"
            )
            assert not feed._session.subscriptions.undelivered()
            feed.unsubscribe(["ETH/USD"], ["book"])
            await sim.sleep(1)
            feed.subscribe(["ETH/USD"], ["book"])
            await sim.until(lambda: is_live(feed), 1.0)
            assert feed.stats().connections == 1

    sim.run(main())


@pytest.mark.fault("K08", kind="D")
def test_unknown_channels_and_methods(tmp_path: Path) -> None:
    sim = Simulation(SYMBOLS)
    texts = [
        '{"channel":"weather","type":"update","data":[{"symbol":"BTC/USD","rain":1}]}',
        '{"channel":"weather"}',
        '{"something":"else"}',
        '{"method":"dance","success":true,"result":{"step":1},"req_id":77}',
    ]

    async def main() -> None:
        async with sim.connect(record=tmp_path / "run.kfc") as feed:
            before = feed.stats()
            for text in texts:
                await sim.say(text)
            after = feed.stats()
            assert after.unknown - before.unknown == 3, (
                "an answer to no request of ours is a method, not a message"
            )
            assert (after.malformed, after.resyncs, after.connections) == (0, 0, 1)
            assert is_live(feed)

    sim.run(main())
    recorded = b"".join(bytes(str(record), "utf-8") for record in CaptureReader(tmp_path / "run.kfc"))
    assert b"weather" in recorded
    assert b"dance" in recorded
    decoder = Decoder()
    begun = time.process_time()
    for _ in range(2_000):
        decoder.feed(texts[0].encode())
    assert (time.process_time() - begun) / 2_000 < 5e-6


@pytest.mark.fault("K09", kind="D")
def test_no_heartbeats_while_data_flows() -> None:
    sim = Simulation(SYMBOLS, rate=10.0)
    sim.faults.inject("no_heartbeat")

    async def main() -> None:
        async with sim.connect() as feed:
            for _ in range(600):
                await sim.sleep(0.1)
                assert feed.state == "live"
            assert sim.faults.fired["no_heartbeat"] >= 59
            assert feed.stats().connections == 1

    sim.run(main())


@pytest.mark.fault("K15", kind="D")
@pytest.mark.parametrize("late", [False, True], ids=["in order", "instrument after book"])
@pytest.mark.parametrize(("price", "qty"), [(3, None), (0, None), (None, 6), (2, 4)])
def test_precision_changes(price: int | None, qty: int | None, *, late: bool) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            others = {symbol: feed.live_book(symbol).verified for symbol in OTHERS}
            if late:
                sim.faults.inject("delay", channel="instrument", message="update", ms=150)
            sim.faults.inject("precision", symbol="BTC/USD", price=price, qty=qty)
            await sim.sleep(0.3)
            await sim.until(lambda: is_live(feed), RESYNC_S)
            pair = sim.core.listing.pairs["BTC/USD"]
            book = feed.book("BTC/USD")
            assert (book.price_scale, book.qty_scale) == (pair.price_precision, pair.qty_precision)
            await sim.sleep(10)
            assert feed.stats().resyncs <= 2
            assert is_live(feed), "no lasting mismatch"
            for symbol, verified in others.items():
                assert feed.live_book(symbol).mismatched == 0
                assert feed.live_book(symbol).verified > verified

    sim.run(main())


@pytest.mark.fault("K17", kind="D")
def test_updates_before_the_snapshot() -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            books = {symbol: feed.live_book(symbol) for symbol in SYMBOLS}
            held = {symbol: (books[symbol].bids, books[symbol].messages) for symbol in SYMBOLS}
            sim.faults.inject("late_snapshot", channel="book", ms=700)
            sim.faults.inject("rst")
            await sim.until(lambda: not is_live(feed), 0.1)
            held = {symbol: (books[symbol].bids, books[symbol].messages) for symbol in SYMBOLS}
            await sim.until(lambda: all(book.dropped > 3 for book in books.values()), 1.0)
            for symbol, book in books.items():
                assert (book.bids, book.messages) == held[symbol], "nothing was applied to the old book"
                assert book.quality == "stale"
            await sim.until(lambda: is_live(feed), 1.5)
            assert sum(book.mismatched for book in books.values()) == 0

    sim.run(main())


@pytest.mark.fault("K18", kind="D")
def test_second_snapshot_replaces_the_book() -> None:
    sim = Simulation(SYMBOLS, rate=20.0, levels=80)
    seen: list[bool] = []

    async def main() -> None:
        async with sim.connect(book_depth=25) as feed:
            log = feed.on_book

            def on_book(book: OrderBook) -> None:
                assert log is not None
                log(book)
                seen.append(book.is_valid and len(book.bids_raw) == len(book.asks_raw) == 25)

            feed.on_book = on_book
            fault = sim.faults.inject("second_snapshot", count=30)
            await sim.sleep(10)
            assert fault.fired == 30
            assert is_live(feed)
            stats = feed.stats()
            assert stats.books_mismatched == stats.resyncs == stats.malformed == 0

    sim.run(main())
    assert len(seen) > 300
    assert all(seen), "never a half"


@pytest.mark.fault("K19", kind="D")
def test_messages_for_what_was_just_unsubscribed() -> None:
    sim = Simulation(SYMBOLS, rate=500.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            feed.unsubscribe(["ETH/USD"])
            count = sum("book ETH" in line for line in sim.log.tail)
            await sim.sleep(0.2)
            assert feed.stats().unwanted > 0
            assert sum("book ETH" in line for line in sim.log.tail) <= count, "dropped, not delivered"
            assert is_live(feed, "BTC/USD", "DOGE/USD")

    sim.run(main())


@pytest.mark.fault("K22", kind="D")
def test_known_trades_are_delivered_once() -> None:
    sim = Simulation(SYMBOLS, rate=30.0, keep=None)

    async def main() -> None:
        async with sim.connect(channels=("trade",)) as feed:
            for _ in range(5):
                await sim.sleep(4)
                sim.faults.inject("rst")
                await sim.until(lambda: feed.state != "live", 0.1)
                await sim.until(lambda: feed.state == "live", 1.0)
            await sim.sleep(1)
            assert feed.stats().connections == 6

    sim.run(main())
    ids = [line.split()[2:4] for line in sim.log.tail if line.split()[1] == "trade"]
    assert len(ids) == len({tuple(trade) for trade in ids}) > 100, "each once, S07"
    assert not sim.oracle.gaps, "fifty trades of a snapshot cover a second"


@pytest.mark.fault("K23", kind="D")
def test_closed_candles() -> None:
    """S08: what was closed changes only with `correction`; minutes without a trade are no events."""
    sim = Simulation(["BTC/USD"], rate=20.0)
    closed: dict[int, Candle] = {}
    corrections: list[Candle] = []

    async def main() -> None:
        async with sim.connect(channels=("ohlc",)) as feed:

            def on_candle(candle: Candle) -> None:
                begin = candle.begin_ns
                if candle.correction:
                    assert begin in closed
                    corrections.append(candle)
                elif begin in closed:
                    raise AssertionError(f"{candle!r} was closed")
                if candle.closed:
                    closed[begin] = candle

            feed.on_candle = on_candle
            to_minute_s = 60 - (sim.timeline.wall_ns() / 1e9) % 60
            await sim.sleep(to_minute_s - 5)
            late = sim.faults.inject("delay", channel="ohlc", message="update", ms=8_000)
            await sim.sleep(10)
            assert late.fired == 1
            assert corrections, "the late row of the closed minute"
            sim.core.market("BTC/USD").may_trade = False
            before = len(closed)
            await sim.sleep(180)
            sim.core.market("BTC/USD").may_trade = True
            await sim.sleep(10)
            assert len(closed) == before + 1, "only the one that was running"
            assert feed.stats().callback_failures == 0

    sim.run(main())


@pytest.mark.fault("K24", kind="D")
def test_errors_where_data_is_expected() -> None:
    sim = Simulation(SYMBOLS, rate=0.0)
    texts = [
        '{"error":"EGeneral:Internal error","success":false}',
        '{"success":false}',
        '{"method":"subscribe","success":false}',
        '{"method":"subscribe","success":false,"error":null,"req_id":null}',
        '{"method":"subscribe","success":false,"error":"EGeneral:Temporary","req_id":424242}',
        '{"method":"subscribe","success":true,"result":null,"req_id":424242}',
        '{"method":"subscribe","success":true,"req_id":424242}',
        '{"channel":"book","error":"EService:Unavailable"}',
        '{"channel":"ticker","type":"update","data":{"error":"x"}}',
        '{"channel":"book","type":"update","data":[]}',
        '{"channel":"status","type":"update","data":[{}]}',
    ]

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker")) as feed:
            for text in texts:
                await sim.say(text)
            await sim.until(lambda: is_live(feed), RESYNC_S)
            assert feed.stats().connections == 1
            assert not feed.refused

    sim.run(main())


@pytest.mark.fault("K24", kind="D")
@pytest.mark.parametrize("error", [None, "null", '"EGeneral:Internal error"'])
def test_refusal_with_and_without_a_reason(error: str | None) -> None:
    sim = Simulation(SYMBOLS)
    sim.faults.inject("no_ack", channel="book", symbol="ETH/USD")
    sim.faults.inject("no_snapshot", channel="book", symbol="ETH/USD")

    async def main() -> None:
        async with sim.connect(["BTC/USD"]) as feed:
            feed.subscribe(["ETH/USD"])
            req_id = feed._session.subscriptions._req_id
            member = "" if error is None else f',"error":{error}'
            await sim.say(
                f'{{"method":"subscribe","success":false,"req_id":{req_id},"symbol":"ETH/USD"{member}}}',
            )
            refusal = feed.refused["book", "ETH/USD"]
            assert isinstance(refusal, SubscriptionError)
            assert ("Internal error" if error and "E" in error else "without a reason") in str(refusal)
            assert is_live(feed, "BTC/USD")

    sim.run(main())
