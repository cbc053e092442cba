"""Fan-out: callables and iterators hear the same, and the core calls users directly while nobody iterates."""

from __future__ import annotations

from typing import Any

import corpus
import pytest

from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.errors import ConfigError
from kraken_fast.events import Degraded
from kraken_fast.fanout import Fanout

LONG = [raw.encode() for raw in next(each for each in corpus.book_vectors() if each["id"].endswith("long"))["raw"]]


def made(events_max: int = 10) -> tuple[Decoder, Callbacks, Fanout]:
    target = Callbacks()
    return Decoder(handler=target, create=True), target, Fanout(target, events_max)


async def test_callables_and_iterators_hear_the_same() -> None:
    decoder, target, fanout = made()
    told: list[Any] = []

    def on_book(book: Any) -> None:
        told.append(book.snapshot())

    fanout.choose("book", on_book)
    assert target.book is on_book, "called by the core itself"
    first, second = fanout.stream(), fanout.stream(2)
    assert target.book is not on_book
    for raw in LONG[:5]:
        decoder.feed(raw)
    fanout.put(Degraded("x", "y"))
    for stream in (first, second):
        stream.finish(None)
        heard = [event async for event in stream]
        assert [type(event).__name__ for event in heard] == ["BookSnapshot", "Degraded"], "books are coalesced"
        assert heard[0].checksum == told[-1].checksum
    assert len(told) == 5
    assert fanout.streams == []
    assert target.book is on_book, "nobody iterates any more"


async def test_without_a_callable_iterators_are_told_all_the_same() -> None:
    decoder, target, fanout = made()
    stream = fanout.stream()
    for raw in corpus.catalogue().values():
        decoder.feed(raw)
    stream.finish(None)
    heard = {type(event).__name__ async for event in stream}
    assert {"BookSnapshot", "TickerSnapshot", "Trade", "Candle"} <= heard
    assert target.book is target.trade is None


def test_what_cannot_be_called_is_refused() -> None:
    _, _, fanout = made()
    with pytest.raises(ConfigError):
        fanout.choose("trade", 5)  # type: ignore[arg-type]
    fanout.choose("trade", print)
    fanout.choose("trade", None)
    assert fanout.chosen["trade"] is None
