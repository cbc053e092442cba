"""What only a comparison of lines can show, and what is done about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from report import note

from kraken_fast import BookSnapshot, Degraded, EventStream, InstrumentUpdate, StaleDataError, SystemStatus

from .coordination import World


def degraded(world: World, text: str) -> list[float]:
    """When something was told to be degraded that names `text`."""
    return [at_s for at_s, event in world.changes(Degraded) if text in str(event)]


@pytest.mark.fault("K01", kind="D")
def test_a_subscription_that_falls_silent_on_a_living_line_is_found_by_the_other() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=21, rate=20)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            session = world.session_of(coordinator, "A")
            at_s = world.now_s
            with world.faults.inject("drop", count=None, session=session, symbol="BTC/USD", channel="book"):
                await world.until(lambda: degraded(world, "line A book BTC/USD"), 2.3)
                assert world.now_s - at_s <= 2.2, "two seconds from the first message that did not come"
            await world.until(lambda: coordinator.subscriptions_health()[0].is_serving, 12)
            assert not degraded(world, "ETH/USD")
            assert not degraded(world, "line B")
            assert coordinator.source("BTC/USD") == "websocket"

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)
    assert world.judge("ETH/USD") == (0, 0)


@pytest.mark.fault("K10", kind="D")
def test_a_line_of_heartbeats_alone_is_found_by_the_other() -> None:
    world = World(["BTC/USD"], seed=22, rate=20)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            session = world.session_of(coordinator, "B")
            with world.faults.inject("heartbeat_only", session=session):
                await world.until(lambda: degraded(world, "line B"), 2.3)
                assert coordinator.live_book("BTC/USD").line.name == "A"

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)


@pytest.mark.fault("K10", kind="D")
@pytest.mark.fault("R16", kind="D")
def test_one_line_of_heartbeats_alone_is_found_by_rest() -> None:
    world = World(["BTC/USD"], seed=23, rate=20)

    async def main() -> None:
        async with world.coordinator(lines=1, check_s=5) as coordinator:
            await asyncio.sleep(3)
            with world.faults.inject("heartbeat_only"):
                at_s = world.now_s
                await world.until(lambda: degraded(world, "variance of"), 30)
                await world.until(lambda: coordinator.source("BTC/USD") == "rest", 20)
                book = await coordinator.get_order_book("BTC/USD")
                assert book.source == "rest", "by freshness, whatever the subscription claims"
                assert world.now_s - at_s < 30

    world.run(main())


@pytest.mark.fault("D01", kind="D")
def test_an_update_lost_on_one_line_costs_readers_nothing() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=24, rate=20)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            for _ in range(10):
                fault = world.faults.inject(
                    "drop", session=world.session_of(coordinator, "A"), symbol="BTC/USD", channel="book"
                )
                await world.until(lambda fault=fault: fault.fired, 5)
                for _ in range(20):
                    assert (await coordinator.get_order_book("BTC/USD", strict=True)).quality == "live"
                    await asyncio.sleep(0.1)
                await asyncio.sleep(20)
            assert coordinator.availability()["BTC/USD"] == 1.0

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)


@pytest.mark.fault("D02", kind="D")
def test_a_loss_below_the_ten_best_is_found_by_comparison_and_healed() -> None:
    world = World(["BTC/USD"], seed=25, rate=40, levels=60)

    async def main() -> None:
        async with world.coordinator(book_depth=25, check_s=0) as coordinator:
            await asyncio.sleep(3)
            session = world.session_of(coordinator, "A")
            for _ in range(400):  # until one that touches only what the checksum does not cover
                fault = world.faults.inject("drop", session=session, symbol="BTC/USD", channel="book")
                await world.until(lambda fault=fault: fault.fired, 5)
                await asyncio.sleep(2)
                if degraded(world, "full depth"):
                    break
            assert degraded(world, "line A book BTC/USD")
            await asyncio.sleep(8)
            books = [line.decoder.book("BTC/USD") for line in coordinator._lines.sessions.values()]
            assert books[0] is not None
            assert books[1] is not None
            assert coordinator._arbiter.compared > 0

    world.run(main())
    assert world.judge("BTC/USD")[1] == 0


@pytest.mark.fault("D04", kind="D")
def test_a_pair_whose_checksums_never_agree_is_never_called_live() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=26, rate=20)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            with world.faults.inject("bad_checksum", count=None, symbol="BTC/USD"):
                await asyncio.sleep(10)
                for _ in range(50):
                    book = await coordinator.get_order_book("BTC/USD")
                    assert book.quality in ("rest", "unverified")
                    with pytest.raises(StaleDataError):
                        await coordinator.get_order_book("BTC/USD", strict=True)
                    assert (await coordinator.get_order_book("ETH/USD", strict=True)).quality == "live"
                    await asyncio.sleep(0.2)
            resyncs = [line.resyncs for line in coordinator.lines_health()]
            assert max(resyncs) <= 4

    world.run(main())


def test_lines_of_different_hosts() -> None:
    world = World(["BTC/USD"], seed=27)

    async def main() -> None:
        urls = ["wss://exchange.test/v2", "wss://second.exchange.test/v2"]
        async with world.coordinator(lines=urls, check_s=0) as coordinator:
            await asyncio.sleep(3)
            assert [line.host for line in coordinator.lines_health()] == ["exchange.test", "second.exchange.test"]
            world.network.hosts["exchange.test"] = []
            world.faults.inject("rst", session=world.session_of(coordinator, "A"))
            await asyncio.sleep(5)
            assert coordinator.live_book("BTC/USD").line.name == "B"

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)


@pytest.mark.parametrize("out_s", [0.0, 2.0])
def test_lines_that_were_lost_in_turn_come_back_at_once_when_all_are_lost(out_s: float) -> None:
    world = World(["BTC/USD"], seed=29, rate=10)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            for number in range(14):
                await asyncio.sleep(10)
                world.faults.inject("rst", session=world.session_of(coordinator, "AB"[number % 2]))
                await world.until(lambda: len(world.core.lines) == 2, 40)
            waits = [session.connection._backoff.tries for session in coordinator._lines.sessions.values()]
            assert min(waits) >= 6, "each alone would wait for seconds now"
            await asyncio.sleep(20)
            for line in tuple(world.core.lines):
                world.faults.inject("rst", session=line)
            await world.until(lambda: coordinator._lines._up_count == 0, 0.1)
            if out_s:
                with world.faults.inject("refuse", count=None):
                    await asyncio.sleep(out_s)
            took_s = await world.until(lambda: coordinator._arbiter.book("BTC/USD") is not None, out_s + 0.3)
            note(f"all lines lost for {out_s:g} s after losses in turn: s until a book is live again", round(took_s, 3))

    world.run(main())


@pytest.mark.fault("K14", kind="D")
def test_the_engine_and_a_pair_that_come_back_are_told_each_time_and_once() -> None:
    world = World(["BTC/USD"], seed=30)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            for _ in range(2):
                for status in ("maintenance", "online"):
                    world.core.set_system_status(status)
                    await asyncio.sleep(2)
                for state in ("cancel_only", "online"):
                    world.core.set_pair("BTC/USD", status=state)
                    await asyncio.sleep(2)
            world.faults.inject("rst", session=world.session_of(coordinator, "A"))
            await asyncio.sleep(5)

    world.run(main())
    assert [event.system for _, event in world.changes(SystemStatus)] == ["online", *["maintenance", "online"] * 2]
    updates = [event for _, event in world.changes(InstrumentUpdate) if not event.snapshot]
    assert [update.pairs[0].status for update in updates] == ["cancel_only", "online"] * 2


def test_a_line_that_returns_to_a_market_that_stands_still_does_not_lag() -> None:
    world = World(["BTC/USD"], seed=31, rate=0.0)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(10)
            world.faults.inject("rst", session=world.session_of(coordinator, "A"))
            await asyncio.sleep(10)
            assert coordinator.lines_health()[0].connections == 2
            assert not coordinator.lines_health()[0].is_lagging

    world.run(main())


@pytest.mark.fault("D04", kind="D")
def test_a_pair_whose_checksums_never_agreed_can_be_read_as_what_it_is() -> None:
    world = World(["BTC/USD"], seed=32)

    async def main() -> None:
        world.faults.inject("bad_checksum", count=None)
        async with world.coordinator(check_s=0, ready_s=30, channels=["book"]) as coordinator:
            stream, at_s = coordinator.events(), world.now_s
            while world.now_s < at_s + 10:
                await asyncio.sleep(0.1)
                assert (await coordinator.get_order_book("BTC/USD", max_age_ms=5000)).quality == "rest"
                assert coordinator.book("BTC/USD").quality in ("rest", "unverified")
            assert {event.quality async for event in _next_books(stream)} <= {"rest", "unverified"}

    world.run(main())


async def _next_books(stream: EventStream) -> AsyncIterator[BookSnapshot]:
    for _ in range(5):
        event = await anext(stream)
        if isinstance(event, BookSnapshot):
            yield event
