"""An EventStream by itself: order, coalescing, and a bound that is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from kraken_fast.errors import ConnectError
from kraken_fast.events import Dropped, Event, EventStream, LineChange
from kraken_fast.types import Gap


def gap(number: int) -> Event:
    return Gap("BTC/USD", number, number)


def state(value: str) -> Event:
    """Anything can stand for a state here: the stream only carries it."""
    return cast("Event", value)


async def read(stream: EventStream, count: int) -> list[Any]:
    return [await asyncio.wait_for(anext(stream), 1.0) for _ in range(count)]


async def test_order_is_kept_across_kinds_and_states_coalesce_in_place() -> None:
    stream = EventStream(10, lambda _: None)
    stream.put(gap(1))
    stream.put_latest(("book", "A"), lambda: state("old"))
    stream.put(gap(2))
    stream.put_latest(("book", "A"), lambda: state("new"))
    stream.put_latest(("book", "B"), lambda: state("other"))
    assert await read(stream, 4) == [gap(1), "new", gap(2), "other"]
    assert (stream.coalesced, stream.dropped) == (1, 0)


async def test_the_oldest_go_and_their_number_is_told_first() -> None:
    stream = EventStream(3, lambda _: None)
    stream.put_latest(("book", "A"), lambda: state("a"))
    for number in range(8):
        stream.put(gap(number))
    assert await read(stream, 5) == ["a", Dropped(5), gap(5), gap(6), gap(7)]
    assert stream.dropped == 5
    stream.put(gap(8))
    assert await read(stream, 1) == [gap(8)], "what was told once is not told again"


async def test_a_waiting_reader_wakes() -> None:
    stream = EventStream(3, lambda _: None)
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    stream.put(gap(1))
    assert await asyncio.wait_for(reader, 1.0) == gap(1)


@pytest.mark.parametrize("error", [None, ConnectError("gone")])
async def test_the_end_comes_after_what_was_offered(error: ConnectError | None) -> None:
    closed: list[EventStream] = []
    stream = EventStream(3, closed.append)
    stream.put(gap(1))
    stream.finish(error)
    assert await read(stream, 1) == [gap(1)]
    with pytest.raises(ConnectError if error else StopAsyncIteration):
        await anext(stream)
    assert closed == [stream]


async def test_a_cancelled_reader_loses_nothing() -> None:
    stream = EventStream(3, lambda _: None)
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    stream.put(LineChange("live", "down", "x"))
    assert await read(stream, 1) == [LineChange("live", "down", "x")]


async def test_aclose_forgets_and_ends() -> None:
    closed: list[EventStream] = []
    stream = EventStream(3, closed.append)
    stream.put(gap(1))
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert stream in closed
