"""Requests as the exchange wants them, answers in whatever shape they come, and the order of what waits."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kraken_fast.errors import SubscriptionError
from kraken_fast.subscription_records import (
    Answer,
    Entry,
    Event,
    EventKind,
    Queues,
    Request,
    ResyncHistory,
    read_answer,
    write_request,
)

SECOND = 1_000_000_000


def entry(symbol: str, *, channel: str = "book", parameter: Any = 10, alone: bool = False) -> Entry:
    return Entry(channel, symbol, parameter, with_snapshot=True, held_parameter=parameter, alone=alone)


def test_hostile_symbols_are_escaped_not_spliced() -> None:
    symbol = 'A"],"depth":1000,"x":["\\/'
    text = write_request(Request(1, True, {symbol: None}, "book", 0), entry(symbol))
    assert orjson.loads(text)["params"] == {
        "channel": "book",
        "symbol": [symbol],
        "depth": 10,
        "snapshot": True,
    }


@pytest.mark.fault("K24", kind="U")
@pytest.mark.parametrize(
    ("ack", "expected"),
    [
        ({}, None),
        ({"method": "pong", "req_id": 1}, None),
        ({"method": "add_order", "success": False, "error": "EOrder:Unknown order"}, None),
        ({"method": "subscribe"}, Answer(0, None, "refused without a reason", ())),
        ({"method": "subscribe", "success": False}, Answer(0, None, "refused without a reason", ())),
        ({"method": "subscribe", "success": True, "req_id": 2}, Answer(2, None, None, ())),
        ({"method": "subscribe", "success": True, "req_id": "2", "result": []}, Answer(0, None, None, ())),
        ({"method": "subscribe", "success": False, "error": "no", "symbol": "A"}, Answer(0, "A", "no", ())),
        (
            {"method": "unsubscribe", "success": True, "result": {"symbol": "A", "warnings": ["w", 1]}},
            Answer(0, "A", None, ("w",)),
        ),
        ({"method": "error", "error": "Exceeded msg rate"}, Answer(0, None, "Exceeded msg rate", ())),
    ],
)
def test_answers_of_any_shape(ack: dict[str, Any], expected: Answer | None) -> None:
    assert read_answer(ack) == expected


def test_like_ones_share_a_request_and_urgent_ones_go_first() -> None:
    queues = Queues()
    assert not queues
    for one in (entry("A"), entry("B", parameter=25), entry("C"), entry("D", alone=True), entry("E")):
        queues.join(one, first=False)
    queues.join(entry("X"), first=True)
    queues.leave(entry("L"))
    taken = []
    while queues:
        subscribes, batch = queues.take_batch(100)
        taken.append((subscribes, [one.symbol for one in batch]))
    assert taken == [(False, ["L"]), (True, ["X"]), (True, ["A", "C", "E"]), (True, ["B"]), (True, ["D"])]


def test_nobody_waits_in_two_queues() -> None:
    queues, one = Queues(), entry("A")
    for first in (False, True, False):
        queues.join(one, first=first)
    assert queues.take_batch(10) == (True, [one])
    assert not queues
    queues.join(one, first=True)
    queues.drop(one)
    assert not queues


def test_resyncs_are_counted_in_a_sliding_window() -> None:
    history = ResyncHistory()
    for at in (0, 10, 20):
        assert history.may_begin(at * SECOND, 3, 60.0)
        history.begun_ns.append(at * SECOND)
    assert not history.may_begin(59 * SECOND, 3, 60.0)
    assert history.may_begin(60 * SECOND, 3, 60.0)
    history.bad_snapshots = 2
    assert not history.may_begin(600 * SECOND, 3, 60.0)


def test_an_event_becomes_an_error() -> None:
    error = Event(EventKind.LOST, "book", "A/B", "gone").error
    assert isinstance(error, SubscriptionError)
    assert str(error) == "book A/B: gone"
