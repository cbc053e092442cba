"""Faults of the way there, of many clients on one host, and of users themselves, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from random import Random

import pytest
from report import note

from kraken_fast import Dropped, Feed, StaleDataError, Trade
from kraken_fast.errors import TransportError, UsageError
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.sim.network import ADDRESS, HOST

from .harness import OTHERS, SYMBOLS, Simulation, is_live, requests


@pytest.mark.fault("N05", kind="D")
def test_what_we_send_vanishes_while_data_comes() -> None:
    """Nothing but our own question shows it: the line is recycled within 6 s, and a request is asked again."""
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect(SYMBOLS[:2]) as feed:
            await sim.sleep(10)
            assert sim.changes(since_s=1.0) == [], "answered pings keep a healthy line"
            hole = sim.faults.inject("hole", direction="up", session=1)
            feed.subscribe([SYMBOLS[2]])
            began_s = sim.now_s
            took_s = await sim.until(lambda: feed.state not in ("live", "suspect"), 6.0)
            (_, _, reason), *_ = sim.changes(since_s=began_s)
            assert "nothing of ours was answered" in reason
            note("N05 a hole on the way there: found after s", round(took_s, 2))
            await sim.until(lambda: is_live(feed, *SYMBOLS), 2.0)
            hole.clear()
            assert feed.state == "live"

    sim.run(main())


@pytest.mark.fault("N20", kind="D")
def test_a_host_that_moved_is_found_by_a_new_resolution() -> None:
    sim = Simulation(rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            lookups = sim.network.lookups
            sim.network.hosts[HOST] = ["192.0.2.77"]
            sim.network.listening = {"192.0.2.77"}
            assert ADDRESS not in sim.network.listening
            sim.faults.inject("half_open")
            took_s = await sim.until(lambda: feed.state == "down" or sim.network.lookups > lookups, 3.1)
            assert took_s <= 3.1
            await sim.until(lambda: is_live(feed), 1.0)
            assert sim.network.lookups > lookups

    sim.run(main())


@pytest.mark.fault("L05", kind="D")
def test_twenty_clients_of_one_host_return_one_after_the_other() -> None:
    """One budget: at most 5 attempts a second and 100 in ten minutes, and every client gets its turn."""
    sim = Simulation(rate=1.0, limit_connections=False)
    budget = AttemptBudget(MemoryAttempts())

    async def main() -> None:
        feeds: list[Feed] = []
        for number in range(20):
            feed = sim.connect(budget=budget, rng=Random(f"client {number}"), ready_s=600.0)
            feeds.append(feed)
        await asyncio.gather(*(feed.open() for feed in feeds))
        sim.faults.inject("rst", count=len(feeds))
        with sim.faults.inject("refuse"):
            await sim.sleep(5)
        await sim.until(lambda: all(is_live(feed) for feed in feeds), 1300, step_s=1.0)
        for feed in feeds:
            await feed.close()

    sim.run(main())
    attempts_s = sim.attempts_s()
    peak = max(sum(at <= other < at + 0.999 for other in attempts_s) for at in attempts_s)
    window = max(sum(at <= other < at + 600.0 for other in attempts_s) for at in attempts_s)
    note("L05 20 clients after a restart: attempts at most in 1 s, in 600 s", f"{peak}, {window}")
    assert peak <= 5
    assert window <= 100


@pytest.mark.fault("K14", kind="D")
def test_a_delisted_pair_is_told_and_its_book_goes_stale() -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            sim.faults.inject("pair_status", symbol="BTC/USD", status="delisted")
            await sim.until(lambda: feed.instrument("BTC/USD").status == "delisted", 1.0)
            told = [event for _, event in sim.notices if type(event).__name__ == "InstrumentUpdate"]
            assert [pair.status for pair in told[-1].pairs] == ["delisted"]
            with pytest.raises(StaleDataError):
                feed.book("BTC/USD", strict=True)
            await sim.sleep(3)
            assert feed.book("BTC/USD").quality in ("stale", "none")
            assert is_live(feed, *OTHERS)

    sim.run(main())


@pytest.mark.fault("K13", kind="D")
def test_after_a_halt_every_book_begins_anew() -> None:
    """Orders wait for their own reconciliation: that half of the row is tested where orders are."""
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            asked = len(requests(sim))
            sim.core.set_system_status("maintenance")
            await sim.sleep(1)
            sim.core.set_system_status("online")
            await sim.until(lambda: len(requests(sim)) >= asked + 2, 1.0)
            took_s = await sim.until(lambda: is_live(feed), 5.0)
            said = [request for _, request in requests(sim)[asked:] if request["method"] == "subscribe"]
            assert sorted(symbol for each in said for symbol in each["params"]["symbol"]) == sorted(SYMBOLS)
            note("K13 back online: all books anew after s", round(took_s, 3))
            assert feed.stats().connections == 1

    sim.run(main())


@pytest.mark.fault("P03", kind="D")
def test_a_consumer_that_raises_changes_nothing_for_others(caplog: pytest.LogCaptureFixture) -> None:
    sim = Simulation(SYMBOLS, rate=30.0)
    seen: Counter[str] = Counter()

    async def main() -> None:
        async with sim.connect(channels=("book", "trade", "ticker")) as feed:
            stream = feed.events()
            sim.raise_in = {"book", "trade"}
            await sim.sleep(5)
            assert is_live(feed)
            failures = feed.stats().callback_failures
            assert failures > 100
            while stream._order:
                seen[type(await anext(stream)).__name__] += 1
            assert seen["Trade"] > 0 and seen["TickerSnapshot"] > 0 and seen["BookSnapshot"] == 3
            logged = [record for record in caplog.records if "callback for" in record.getMessage()]
            assert 0 < len(logged) <= failures.bit_length(), "once, and then at each doubling, with the count"
        assert sim.changes()[-1][1] == "closed"
        assert not [change for change in sim.changes() if change[1] == "down"]

    sim.run(main())


@pytest.mark.fault("P01", kind="D")
@pytest.mark.fault("P02", kind="D")
def test_a_slow_consumer_gets_the_newest_states_and_is_told_what_it_lost() -> None:
    """Books conflate: what is read is at most as old as the read. Trades are counted, none is lost silently."""
    sim = Simulation(SYMBOLS, rate=60.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "trade")) as feed:
            slow = feed.events(size=20)
            ids: list[int] = []
            told = 0
            offered = sum(feed._session.decoder.trades(symbol).count for symbol in SYMBOLS)
            for _ in range(120):
                await sim.sleep(0.25)
                event = await anext(slow)
                assert len(slow._single) <= 20 and len(slow._latest) <= len(SYMBOLS)
                if isinstance(event, Dropped):
                    told += event.count
                elif isinstance(event, Trade):
                    ids.append(event.trade_id)
                elif type(event).__name__ == "BookSnapshot":
                    assert event.checksum == feed.book(event.symbol).checksum, "the state of this very moment"
            delivered = sum(feed._session.decoder.trades(symbol).count for symbol in SYMBOLS) - offered
            assert len(ids) == len(set(ids))
            notices = sum(type(each).__name__ != "Trade" for each in slow._single)
            assert told + slow._lost == slow.dropped > 0
            assert len(ids) + slow.dropped + len(slow._single) - notices >= delivered
            fast = sim.log.count
            assert fast > 1000, "nobody else was held up"
            assert is_live(feed)

    sim.run(main())


@pytest.mark.fault("N19", kind="D")
def test_a_peer_that_reads_nothing_fills_no_memory_of_ours() -> None:
    sim = Simulation(rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            connection = feed._session.connection
            assert connection is not None
            with sim.faults.inject("stall_read"):
                cap = connection._settings.unsent_bytes_max
                message = b'{"method":"ping","x":"' + b"x" * 10_000 + b'"}'

                async def flood() -> None:
                    for _ in range(3 * cap // len(message)):
                        connection.send(message)
                        await sim.sleep(0.0001)

                with pytest.raises(TransportError, match="nothing was sent"):
                    await flood()
                assert connection.listener.unsent_bytes <= cap
            await sim.until(lambda: is_live(feed), 40.0, step_s=0.05)

    sim.run(main())


@pytest.mark.fault("P13", kind="U")
def test_a_feed_belongs_to_the_loop_that_opened_it() -> None:
    sim = Simulation(SYMBOLS)
    refused: list[str] = []

    def elsewhere(feed: Feed) -> None:
        async def in_another_loop() -> None:
            for call in (lambda: feed.subscribe(["SOL/USD"]), lambda: feed.unsubscribe(["BTC/USD"])):
                with pytest.raises(UsageError, match="call_soon_threadsafe"):
                    call()
                refused.append("loop")

        with pytest.raises(UsageError, match="call_soon_threadsafe"):
            feed.subscribe(["SOL/USD"])
        refused.append("thread")
        asyncio.run(in_another_loop())

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            wanted = feed._session.subscriptions.wanted()
            thread = threading.Thread(target=elsewhere, args=(feed,))
            thread.start()
            thread.join()
            assert refused == ["thread", "loop", "loop"]
            assert feed._session.subscriptions.wanted() == wanted
            await sim.sleep(1)
            assert is_live(feed)

    sim.run(main())


@pytest.mark.fault("P07", kind="D")
def test_wall_clock_steps_time_nothing_out() -> None:
    """An hour ahead, an hour back, and 500 ppm of drift: lines, books and ages go by monotonic time."""
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect() as feed:
            for step_s in (3600, -3600, -3600, 3600):
                sim.clock.step_wall(step_s * 1_000_000_000)
                await sim.sleep(5)
                assert is_live(feed)
                assert all(0 <= feed.book(symbol).age_ms < 1500 for symbol in SYMBOLS)
            for _ in range(20):
                sim.clock.step_wall(500_000)
                await sim.sleep(1)
            assert sim.changes(since_s=1.0) == []

    sim.run(main())


