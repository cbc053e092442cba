"""Delivery of what does not come through the core: REST's values, and what happens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast import BookSnapshot
from kraken_fast.coordination.delivery import Delivery
from kraken_fast.core.arbiter import Arbiter
from kraken_fast.core.line import Line
from kraken_fast.core.posts import Seat
from kraken_fast.core.shape import book_of, ticker_of
from kraken_fast.errors import ConfigError
from kraken_fast.events import Degraded
from kraken_fast.types import Gap


def book(price: int) -> BookSnapshot:
    return book_of("A/B", 10, [(Decimal(price), Decimal(1))], [], asked_ns=1, age_ms=0)


def test_a_value_of_rest_is_told_when_it_changed() -> None:
    told: list[Any] = []
    delivery = Delivery(10)
    delivery.choose("book", told.append)
    for price in (1, 1, 2, 2, 1):
        delivery.rest_value("book", "A/B", book(price))
    assert [each.best_bid for each in told] == [1, 2, 1]


async def test_a_stream_hears_of_rest_without_a_callable() -> None:
    delivery = Delivery(10)
    stream = delivery.stream()
    delivery.rest_value("ticker", "A/B", ticker_of("A/B", [Decimal(1)] * 12, asked_ns=1, age_ms=0))
    assert (await anext(stream)).source == "rest"


def test_what_rest_tells_is_told_again_when_a_line_said_something_since() -> None:
    told: list[Any] = []
    delivery = Delivery(10)
    delivery.choose("book", told.append)
    delivery.arbiter = Arbiter(delivery)
    post, seat = delivery.arbiter.post_of("book", "A/B"), Seat(Line())
    for at in (1, 2):
        assert post.offer(seat, at, at) == "news"
        delivery.rest_value("book", "A/B", book(1))
        delivery.rest_value("book", "A/B", book(1))
    assert len(told) == 2, "once after each"


async def test_streams_hear_all_and_a_slow_one_is_told_what_it_missed() -> None:
    delivery = Delivery(10)
    stream = delivery.stream(2)
    delivery.rest_value("book", "A/B", book(1))
    for number in range(4):
        delivery.notice(Degraded(f"{number}", ""))
    delivery.on_gap(Gap("A/B", 1, 2))
    delivery.finish()
    heard = [type(event).__name__ async for event in stream]
    assert heard == ["BookSnapshot", "Dropped", "Degraded", "Gap"]


def test_one_who_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def raising(_: object) -> None:
        raise RuntimeError

    delivery = Delivery(10)
    delivery.choose("book", raising)
    delivery.on_notice = raising
    delivery.rest_value("book", "A/B", book(1))
    delivery.notice(Degraded("x", ""))
    assert caplog.text.count("raised; all else goes on") == 2
    with pytest.raises(ConfigError):
        delivery.choose("book", 5)  # type: ignore[arg-type]
    delivery.choose("book", None)
    assert delivery.chosen("book") is None
