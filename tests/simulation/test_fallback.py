"""REST as the third source: when it comes, what it is asked, when it goes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from report import note

from kraken_fast import BookSnapshot, NoSourceError, SourceChange, StaleDataError, UnifiedDataCoordinator

from .coordination import World

DETECT_S, AFTER_S = 1.5, 0.1
"""T_suspect, and the time to the first value after it, besides the round trip. Source: faults.md N06."""


def cut(world: World, kind: str = "rst") -> list[object]:
    """Kill what is connected, and let nobody connect."""
    rules = [world.faults.inject("refuse", count=None)]
    rules += [world.faults.inject(kind, session=number) for number in list(world.core.lines)]
    return list(rules)


@pytest.mark.fault("N06", kind="D")
def test_when_both_lines_die_rest_answers_within_100_ms_and_a_round_trip() -> None:
    waits: list[float] = []
    books: list[float] = []
    for seed in range(20):
        world = World(["BTC/USD", "ETH/USD"], seed=seed)

        async def main(world: World = world) -> None:
            async with world.coordinator(check_s=0) as coordinator:
                await asyncio.sleep(3 + world.seed / 7)
                cut(world)
                await world.until(lambda: coordinator.book("BTC/USD").quality != "live", 1)
                at_s = world.now_s
                await world.until(lambda: len({what for what in world.rest_told if what[1] == "book"}) == 2, 5)
                for _, symbol in (("", "BTC/USD"), ("", "ETH/USD")):
                    book = coordinator.book(symbol)
                    assert (book.source, book.quality) == ("rest", "rest")
                    assert book.bids[0].price == world.core.book(symbol).top(10)[0][0][0] or book.age_ms > 0
                waits.append(world.rest_told[0][0] - at_s)
                books.append(next(when for when, channel, _ in world.rest_told if channel == "book") - at_s)

        world.run(main())
        first_s = min(when for when, event in world.changes(SourceChange) if event.new in ("none", "rest") and when > 1)
        assert world.rest_told[0][0] - first_s <= AFTER_S + world.rtt_s
    note(
        "both lines reset to the first value of REST, and the first book; 20 runs, RTT 40 ms: longest, ms",
        [round(1000 * max(waits)), round(1000 * max(books))],
    )
    assert max(waits) <= AFTER_S + 0.04
    assert max(books) <= AFTER_S + 0.04 + 0.0041, "and four milliseconds in which tickers are gathered"


@pytest.mark.fault("N06", kind="D")
def test_when_both_lines_fall_silent_it_is_seen_in_time_and_nothing_stale_is_called_live() -> None:
    world = World(["BTC/USD"], seed=9)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(5)
            with world.faults.inject("hole", direction="both"):
                at_s = world.now_s
                while world.now_s < at_s + 8:
                    book = await coordinator.get_order_book("BTC/USD")
                    silent_s = world.now_s - at_s
                    assert book.quality == "live" or silent_s > 1.4, "live until it is suspect"
                    if silent_s > DETECT_S + AFTER_S + world.rtt_s + 0.03:
                        assert book.quality == "rest"
                        with pytest.raises(StaleDataError):
                            await coordinator.get_order_book("BTC/USD", strict=True)
                    await asyncio.sleep(0.01)
            await world.until(lambda: coordinator.source("BTC/USD") == "websocket", 35)
            assert coordinator.book("BTC/USD").quality == "live"

    world.run(main())
    missing, twice = world.judge("BTC/USD")
    assert twice == 0
    assert [source for _, source in world.sources("BTC/USD") if source != "none"] == ["websocket", "rest", "websocket"]
    del missing  # nobody told those of the outage


@pytest.mark.fault("R15", kind="D")
def test_lines_that_flap_do_not_make_readers_jump() -> None:
    world = World(["BTC/USD"], seed=10)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(2)
            for _ in range(15):
                rules = cut(world)
                await asyncio.sleep(0.7)
                rules[0].clear()  # type: ignore[attr-defined]
                await asyncio.sleep(1.3)
            switches = world.sources("BTC/USD")
            for at_s, _ in switches:
                assert sum(at_s <= when < at_s + 5 for when, _ in switches) <= 5, switches
            backs = [when for when, source in switches if source == "websocket"][1:]
            note("30 s of lines that flap: switches of source", len(switches))
            assert len(backs) < 8
            await world.until(lambda: coordinator.source("BTC/USD") == "websocket", 60)

    world.run(main())


@pytest.mark.fault("L06", kind="D")
def test_a_thousand_readers_of_hundreds_of_symbols_are_few_calls() -> None:
    names = _all_symbols()[:200]
    world = World(names, rate=0.2, levels=12)

    async def main() -> None:
        async with world.coordinator(channels=["book", "ticker"], check_s=0, rest_wait_s=2) as coordinator:
            await asyncio.sleep(3)
            cut(world)
            await asyncio.sleep(0.1)
            at_s, before = world.now_s, len(world.http.calls)
            reads = [coordinator.get_ticker(name) for name in names * 5]
            got = await asyncio.gather(*reads, return_exceptions=True)
            assert not [each for each in got if isinstance(each, BaseException)], "all tickers are one call"
            await asyncio.gather(*(coordinator.get_order_book(name) for name in names), return_exceptions=True)
            await asyncio.sleep(10)
            calls = world.http.calls[before:]
            seconds = world.now_s - at_s
            note(f"1,200 reads in an outage of {len(names)} symbols: REST calls in {seconds:.0f} s", len(calls))
            assert len(calls) <= 5 + seconds + 1, "the exchange's counter: a burst of five, then one a second"
            spaces = [b[0] - a[0] for a, b in pairwise(calls)]
            assert min(spaces) >= 0.1 - 1e-6

    world.run(main())


def _all_symbols() -> list[str]:
    from kraken_fast.sim.instruments import Listing

    return sorted(Listing(None).pairs)


@pytest.mark.fault("D21", kind="D")
def test_an_answer_of_rest_never_takes_the_place_of_something_newer() -> None:
    world = World(["BTC/USD"], seed=12, rtt_s=3.0)

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await asyncio.sleep(3)
            rules = cut(world)
            await asyncio.sleep(0.5)
            rules[0].clear()  # type: ignore[attr-defined]
            await world.until(lambda: coordinator.book("BTC/USD").quality == "live", 35)
            told = len(world.rest_told)
            await asyncio.sleep(4)
            assert len(world.rest_told) == told, "the late answer was told to nobody"
            assert coordinator.book("BTC/USD").source == "websocket"

    world.run(main())


def test_what_cannot_be_had_is_refused_with_every_reason() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=13)

    async def main() -> None:
        async with world.coordinator(channels=["ticker"], lines=1, check_s=0, rest_wait_s=1) as coordinator:
            world.http.is_down = True
            cut(world)
            await asyncio.sleep(8)
            stale = await coordinator.get_ticker("BTC/USD")
            assert (stale.quality, stale.source) == ("stale", "websocket")
            assert stale.age_ms > 7_000
            with pytest.raises(NoSourceError) as caught:
                await coordinator.get_ticker("BTC/USD", max_age_ms=5_000)
            assert set(caught.value.reasons) == {"line A", "rest"}
            assert "gone" in caught.value.reasons["rest"] or "not sent" in caught.value.reasons["rest"]
            assert coordinator.source("BTC/USD", "ticker") == "none"
            assert coordinator.availability()["BTC/USD"] < 0.5

    world.run(main())


def test_starting_without_a_line_starts_on_rest_and_without_both_not_at_all() -> None:
    world = World(["BTC/USD"], seed=14)

    async def main() -> None:
        world.faults.inject("refuse", count=None)
        async with world.coordinator(ready_s=2, check_s=0) as coordinator:
            book = await coordinator.get_order_book("BTC/USD")
            assert (book.quality, coordinator.source("BTC/USD")) == ("rest", "rest")
            world.faults.clear()
            await world.until(lambda: coordinator.source("BTC/USD") == "websocket", 35)
        world.faults.inject("refuse", count=None)
        world.http.is_down = True
        with pytest.raises(NoSourceError) as caught:
            await world.coordinator(ready_s=2).start()
        assert set(caught.value.reasons) == {"line A", "line B", "rest"}

    world.run(main())


def test_what_is_read_goes_before_what_is_not() -> None:
    names = _all_symbols()
    world = World(names, rate=0.2, levels=12)

    async def main() -> None:
        async with world.coordinator(channels=["book"], check_s=0) as coordinator:
            await asyncio.sleep(2)
            wanted = names[-1]
            with pytest.raises(NoSourceError):
                _nothing_of(coordinator, wanted)
            cut(world)
            await asyncio.sleep(0.2)
            await coordinator.get_order_book(wanted)
            first = [symbol for _, _, symbol in world.rest_told]
            assert wanted in first[: len(names)]
            value = coordinator.book(wanted)
            assert isinstance(value, BookSnapshot)
            assert isinstance(value.best_bid, Decimal)

    world.run(main())


def _nothing_of(coordinator: UnifiedDataCoordinator, symbol: str) -> None:
    """What nobody has yet is refused, not invented."""
    coordinator._arbiter.forget("book", symbol)
    coordinator.book(symbol)


def test_a_symbol_that_rest_does_not_know_costs_the_others_nothing() -> None:
    world = World(["BTC/USD", "ETH/USD"], seed=18)

    async def main() -> None:
        async with world.coordinator(symbols=["BTC/USD", "NO/SUCH", "ETH/USD"], check_s=0) as coordinator:
            await asyncio.sleep(20)
            assert coordinator._rest.calls <= 2, "asked once for its ticker, once for its book"
            cut(world)
            at_s = world.now_s
            await world.until(lambda: {what[1:] for what in world.rest_told} >= {
                (channel, symbol) for channel in ("ticker", "book") for symbol in world.symbols
            }, 1)
            with pytest.raises(NoSourceError, match="unknown symbol"):
                await coordinator.get_ticker("NO/SUCH")
            assert world.now_s - at_s < 1

    world.run(main())


@pytest.mark.parametrize("after_s", [0.02, 0.3])
def test_closing_tells_whoever_waits_for_rest_and_asks_no_more(after_s: float) -> None:
    world = World(["BTC/USD"], seed=19, rtt_s=1.0)

    async def main() -> None:
        coordinator = world.coordinator(check_s=0)
        await coordinator.start()
        await asyncio.sleep(3)
        cut(world)
        await asyncio.sleep(0.1)
        reading = asyncio.ensure_future(coordinator.get_ticker("BTC/USD", max_age_ms=10))
        await asyncio.sleep(after_s)
        await coordinator.close()
        with pytest.raises(NoSourceError, match="closed"):
            await reading
        calls = coordinator._rest.calls
        assert (await coordinator.get_ticker("BTC/USD")).quality == "stale"
        assert coordinator._rest.calls == calls

    world.run(main())


def test_what_an_outage_costs_grows_with_the_symbols_and_not_with_their_square() -> None:
    looks: dict[int, int] = {}
    for count in (100, 400):
        world = World(_all_symbols()[:count], rate=0.0, levels=12)

        async def main(world: World = world, count: int = count) -> None:
            async with world.coordinator(channels=["book", "ticker"], check_s=0) as coordinator:
                await asyncio.sleep(3)
                rest = coordinator._rest
                value, looks[count] = rest.value, 0

                def counted(channel: str, symbol: str) -> tuple[Any, float] | None:
                    looks[count] += 1
                    return value(channel, symbol)

                rest.value = counted  # type: ignore[method-assign]
                cut(world)
                await world.until(lambda: len(world.rest_told) >= count, 1)

        world.run(main())
    note("an outage until all tickers came: looks at REST's values, by symbols", looks)
    assert looks[400] <= 5 * looks[100]
