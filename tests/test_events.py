"""A stream of events: bounded, coalescing where a newer state replaces an older, honest about what it lost."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from kraken_fast.errors import ConnectError
from kraken_fast.events import Dropped, Event, EventStream


def stream(size: int = 3) -> tuple[EventStream, list[EventStream]]:
    closed: list[EventStream] = []
    return EventStream(size, closed.append), closed


def event(name: str) -> Event:
    """Give anything that can be told from anything else: a stream does not look into its events."""
    return cast("Event", name)


async def read(events: EventStream) -> list[object]:
    return [each async for each in events]


async def test_single_events_come_in_order() -> None:
    events, closed = stream()
    for name in "abc":
        events.put(event(name))
    events.finish(None)
    assert await read(events) == ["a", "b", "c"]
    assert closed == [events]


async def test_the_oldest_go_first_and_are_counted_where_they_are_missing() -> None:
    events, _ = stream(size=2)
    for name in "abcde":
        events.put(event(name))
    events.finish(None)
    assert await read(events) == [Dropped(3), "d", "e"]
    assert events.dropped == 3


async def test_a_state_is_read_when_its_turn_comes() -> None:
    events, _ = stream()
    state = ["old"]
    events.put_latest(("book", "BTC/USD"), lambda: event(state[0]))
    events.put(event("trade"))
    events.put_latest(("book", "ETH/USD"), lambda: event("other"))
    events.put_latest(("book", "BTC/USD"), lambda: event(state[0]))
    state[0] = "new"
    events.finish(None)
    assert await read(events) == ["new", "trade", "other"]
    assert events.coalesced == 1


async def test_states_do_not_count_against_the_bound() -> None:
    events, _ = stream(size=1)
    for number in range(50):
        events.put_latest(("book", str(number)), lambda number=number: event(str(number)))  # type: ignore[misc]
    events.put(event("trade"))
    events.finish(None)
    assert len(await read(events)) == 51
    assert events.dropped == 0


async def test_a_reader_that_waits_is_woken() -> None:
    events, _ = stream()
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    events.put(event("a"))
    assert await waiting == "a"


async def test_a_cancelled_reader_loses_nothing() -> None:
    events, _ = stream()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(events)
    events.put(event("a"))
    assert await anext(events) == "a"


async def test_an_error_comes_after_all_that_was_offered() -> None:
    events, _ = stream()
    events.put(event("a"))
    events.finish(ConnectError("gone"))
    assert await anext(events) == "a"
    with pytest.raises(ConnectError, match="gone"):
        await anext(events)


async def test_a_closed_stream_forgets_what_waits() -> None:
    events, closed = stream()
    events.put(event("a"))
    await events.aclose()
    assert await read(events) == []
    assert events in closed
