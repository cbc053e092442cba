"""Long outages of everything: what is said meanwhile, and that all comes back by itself."""

from __future__ import annotations

import asyncio

import pytest

from kraken_fast import NoSourceError, StaleDataError

from .coordination import World


@pytest.mark.fault("N18", kind="D")
@pytest.mark.fault("R10", kind="D")
def test_the_network_is_gone_for_ten_minutes_and_returns() -> None:
    world = World(["BTC/USD", "ETH/USD", "DOGE/USD"], seed=101, rate=5)

    async def main() -> None:
        async with world.coordinator() as coordinator:
            await asyncio.sleep(5)
            world.http.is_down = world.network.syn_lost = True
            with world.faults.inject("hole", direction="both"):
                await asyncio.sleep(2)
                for _ in range(20):
                    book = await coordinator.get_order_book("BTC/USD")
                    assert book.quality == "stale", "told as what it is"
                    with pytest.raises(StaleDataError):
                        await coordinator.get_order_book("BTC/USD", strict=True)
                    with pytest.raises(NoSourceError):
                        await coordinator.get_order_book("BTC/USD", max_age_ms=1000)
                    await asyncio.sleep(1)
                await asyncio.sleep(400)
                attempts = [at / 1e9 for at in world.network.attempts_ns]
                assert all(sum(at - 600 < each <= at for each in attempts) <= 100 for at in attempts)
            world.http.is_down = world.network.syn_lost = False
            back_s = world.now_s
            await world.until(
                lambda: all(coordinator.source(symbol) == "websocket" for symbol in world.symbols), 45, 0.05
            )
            assert world.now_s - back_s <= 45
            assert (await coordinator.get_order_book("DOGE/USD", strict=True)).quality == "live"
            await asyncio.sleep(40)
            assert [line.state for line in coordinator.lines_health()] == ["live", "live"]
            assert coordinator.client.stats().breakers["public"] == "closed"

    world.run(main())
    for symbol in world.symbols:
        assert world.judge_trades(symbol)


@pytest.mark.fault("R08", kind="D")
def test_an_open_breaker_answers_at_once_with_what_there_is() -> None:
    world = World(["BTC/USD"], seed=102)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            world.http.is_down = True
            world.faults.inject("refuse", count=None)
            for number in list(world.core.lines):
                world.faults.inject("rst", session=number)
            await world.until(lambda: coordinator.client.stats().breakers["public"] == "open", 30, 0.05)
            at_s = world.now_s
            ticker = await coordinator.get_ticker("BTC/USD")
            assert (ticker.quality, ticker.source) == ("stale", "websocket")
            assert ticker.age_ms is not None
            assert ticker.age_ms > 1000
            assert world.now_s - at_s <= 5.1

    world.run(main())


@pytest.mark.fault("N08", kind="D")
def test_jitter_is_no_death() -> None:
    from kraken_fast.sim.network import Route

    world = World(["BTC/USD"], seed=103, rate=20, route=lambda _: Route(up_ms=5, down_ms=5, jitter_ms=500))

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(60)
            assert [line.connections for line in coordinator.lines_health()] == [1, 1]
            assert coordinator.availability("book")["BTC/USD"] == 1.0

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)
    assert world.sources("BTC/USD")[1:] == []


@pytest.mark.fault("N12", kind="D")
def test_one_line_that_flaps_for_minutes_is_no_burden() -> None:
    world = World(["BTC/USD"], seed=104, rate=10)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            for _ in range(120):
                connection = coordinator._lines.sessions["A"].connection
                assert connection is not None
                if connection.state.value == "live":
                    world.faults.inject("rst", session=world.session_of(coordinator, "A"))
                await asyncio.sleep(2)
            attempts = [at / 1e9 for at in world.network.attempts_ns]
            assert all(sum(at - 600 < each <= at for each in attempts) <= 100 for at in attempts)
            assert coordinator.availability("book")["BTC/USD"] == 1.0

    world.run(main())
    assert world.judge("BTC/USD") == (0, 0)
