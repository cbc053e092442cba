"""Subscriptions against a small exchange that answers as websocket-v2.md section 6 says, in a time of its own."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from kraken_fast.config import SubscriptionSettings
from kraken_fast.errors import ConfigError, SubscriptionError
from kraken_fast.subscription_records import Event, EventKind, Phase
from kraken_fast.subscriptions import REQ_ID_MAX, Subscriptions

SECOND = 1_000_000_000
Answer = dict[str, Any]


class Line:
    """The subscriptions, an exchange at the other end, and the time between them."""

    def __init__(self, settings: SubscriptionSettings | None = None) -> None:
        self.subs = Subscriptions(settings)
        self.now = 0
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.events: list[Event] = []
        self.held: dict[tuple[str, str], Any] = {}
        # Faults: what the exchange does instead of what it should.
        self.on_request: Callable[[dict[str, Any]], list[Answer] | None] = lambda _request: None
        self.refuses: dict[str, str] = {}
        self.serves: Callable[[str, str], bool] = lambda _channel, _symbol: True
        self.delay_ns = 1_000_000
        self._inbox: list[tuple[int, int, Answer | tuple[str, str]]] = []

    def up(self) -> None:
        self.held.clear()
        self._inbox.clear()
        self.subs.line_up(self.now)

    def run(self, seconds: float) -> None:
        """Let time pass, stepping from event to event."""
        end = self.now + round(seconds * SECOND)
        for _ in range(1_000_000):
            self._step()
            due = [self._inbox[0][0]] if self._inbox else []
            deadline = self.subs.deadline_ns(self.now)
            if deadline is not None:
                due.append(max(deadline, self.now + 1))
            if not due or min(due) > end:
                self.now = end
                return
            self.now = min(due)
        raise AssertionError("a busy loop")

    def _step(self) -> None:
        while self._inbox and self._inbox[0][0] <= self.now:
            _, _, item = self._inbox.pop(0)
            if isinstance(item, tuple):
                self.subs.on_snapshot(*item)
            else:
                self.subs.on_ack(item, self.now)
        for text in self.subs.poll(self.now):
            request = orjson.loads(text)
            self.sent.append((self.now, request))
            instead = self.on_request(request)
            for answer in self._answers(request) if instead is None else instead:
                self.later(answer)
        self.events += self.subs.take_events()

    def later(self, item: Answer | tuple[str, str], delay_ns: int | None = None) -> None:
        due = self.now + (self.delay_ns if delay_ns is None else delay_ns)
        self._inbox.append((due, len(self._inbox), item))
        self._inbox.sort(key=lambda entry: entry[:1])

    def _answers(self, request: dict[str, Any]) -> list[Answer]:
        params = request["params"]
        channel = params["channel"]
        return [self.answer(request, channel, symbol) for symbol in params.get("symbol", [""])]

    def answer(self, request: dict[str, Any], channel: str, symbol: str) -> Answer:
        method, req_id = request["method"], request["req_id"]
        named = {"symbol": symbol} if symbol else {}
        if method == "unsubscribe":
            if self.held.pop((channel, symbol), None) is None:
                return error(req_id, "Subscription Not Found", **named)
            return {
                "method": method,
                "req_id": req_id,
                "result": {"channel": channel, **named},
                "success": True,
            }
        if symbol in self.refuses:
            return error(req_id, self.refuses[symbol], **named)
        if (channel, symbol) in self.held:
            return error(req_id, "Already subscribed")
        self.held[channel, symbol] = request["params"]
        if channel in ("book", "ticker", "instrument") and self.serves(channel, symbol):
            self.later((channel, symbol), self.delay_ns + 100_000_000)
        result = {"channel": channel, "snapshot": True, **named}
        return {"method": method, "req_id": req_id, "result": result, "success": True}

    def kinds(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    def asked_symbols(self, method: str = "subscribe") -> list[str]:
        return [s for _, r in self.sent if r["method"] == method for s in r["params"].get("symbol", [""])]


def error(req_id: int | None, text: str, **named: str) -> Answer:
    answer: Answer = {"error": text, "method": "subscribe", "success": False, **named}
    return answer if req_id is None else {**answer, "req_id": req_id}


def symbols(count: int) -> list[str]:
    return [f"S{i}/USD" for i in range(count)]


def delivering(line: Line, channel: str = "book") -> int:
    return sum(line.subs.phase(*key) is Phase.DELIVERING for key in line.subs.wanted() if key[0] == channel)


# The ordinary course ---------------------------------------------------------------------------------------------


def test_three_states_follow_one_another() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"], depth=25)
    assert line.subs.phase("book", "BTC/USD") is Phase.IDLE
    assert line.subs.deadline_ns(0) is None
    assert line.subs.poll(0) == []
    line.up()
    line.run(0)
    assert line.subs.phase("book", "BTC/USD") is Phase.ASKED
    line.run(0.001)
    assert line.subs.phase("book", "BTC/USD") is Phase.ACKED
    line.run(0.1)
    assert line.subs.phase("book", "BTC/USD") is Phase.DELIVERING
    assert [e.kind for e in line.events] == [EventKind.CONFIRMED, EventKind.DELIVERING]
    assert line.sent[0][1] == {
        "method": "subscribe",
        "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 25, "snapshot": True},
        "req_id": 1,
    }


def test_each_channel_writes_its_own_parameter_and_instruments_come_first() -> None:
    line = Line()
    line.subs.want("ohlc", ["BTC/USD"], interval=5)
    line.subs.want("trade", ["BTC/USD"], snapshot=False)
    line.subs.want("ticker", ["BTC/USD"], event_trigger="bbo")
    line.subs.want("instrument")
    line.up()
    line.run(1)
    params = [request["params"] for _, request in line.sent]
    assert params == [
        {"channel": "instrument", "snapshot": True},
        {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5, "snapshot": True},
        {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False},
        {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo", "snapshot": True},
    ]
    assert line.subs.undelivered() == []


def test_unsubscribe_repeats_the_parameter_and_forgets() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD", "ETH/USD"], depth=100)
    line.subs.want("ohlc", ["BTC/USD"], interval=15)
    line.up()
    line.run(1)
    line.subs.unwant("book", ["BTC/USD"])
    line.subs.unwant("ohlc", ["BTC/USD"])
    line.run(1)
    params = [r["params"] for _, r in line.sent if r["method"] == "unsubscribe"]
    assert params == [
        {"channel": "book", "symbol": ["BTC/USD"], "depth": 100},
        {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 15},
    ]
    assert line.subs.wanted() == [("book", "ETH/USD")]
    assert line.subs.phase("book", "BTC/USD") is None


def test_another_depth_waits_for_the_end_of_the_first() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"], depth=10)
    with pytest.raises(ConfigError, match="depth=25"):
        line.subs.want("book", ["BTC/USD"], depth=25)
    line.up()
    line.run(1)
    line.subs.unwant("book", ["BTC/USD"])
    line.subs.want("book", ["BTC/USD"], depth=25)
    line.run(1)
    assert [(r["method"], r["params"]["depth"]) for _, r in line.sent] == [
        ("subscribe", 10),
        ("unsubscribe", 10),
        ("subscribe", 25),
    ]
    assert delivering(line) == 1


def test_unwanted_before_its_ack_leaves_after_it() -> None:
    line = Line()
    line.subs.want("trade", ["BTC/USD"])
    line.up()
    line.run(0)
    line.subs.unwant("trade", ["BTC/USD"])
    assert line.subs.phase("trade", "BTC/USD") is Phase.ASKED
    line.run(1)
    assert [r["method"] for _, r in line.sent] == ["subscribe", "unsubscribe"]
    assert line.held == {}
    assert line.subs.phase("trade", "BTC/USD") is None


def test_everything_wanted_is_restored_after_a_reconnect() -> None:
    line = Line()
    line.subs.want("book", symbols(250))
    line.subs.want("trade", symbols(3))
    line.up()
    line.run(5)
    line.subs.unwant("trade", ["S0/USD"])
    line.run(1)
    before = len(line.sent)
    line.subs.line_down()
    assert line.subs.poll(line.now) == []
    assert line.subs.deadline_ns(line.now) is None
    assert delivering(line) == 0
    line.run(3)
    assert len(line.sent) == before, "nothing is sent while the line is down"
    line.up()
    line.run(5)
    line.subs.line_up(line.now)  # the exchange repeated its status
    line.run(5)
    assert delivering(line) == 250
    assert delivering(line, "trade") == 2
    assert len(line.sent) - before == 4
    assert line.subs.strays == 0


def test_ask_errors_are_named_before_anything_is_sent() -> None:
    subs = Subscriptions()
    wrong: list[tuple[str, Any, dict[str, Any]]] = [
        ("orders", ["BTC/USD"], {}),
        ("level3", ["BTC/USD"], {"depth": 25}),
        ("level3", [f"S{i}/USD" for i in range(201)], {}),
        ("executions", [], {"depth": 10}),
        ("balances", [], {"snapshot": False}),
        ("book", ["BTC/USD"], {"depth": 50}),
        ("book", ["BTC/USD"], {"depth": True}),
        ("book", ["BTC/USD"], {"interval": 5}),
        ("book", ["BTC/USD"], {"snapshot": False}),
        ("ohlc", ["BTC/USD"], {"interval": 2}),
        ("ticker", ["BTC/USD"], {"event_trigger": "all"}),
        ("instrument", [], {"include_tokenized_assets": "yes"}),
        ("trade", "BTC/USD", {}),
        ("trade", [], {}),
        ("trade", ["A" * 33], {}),
    ]
    for channel, names, options in wrong:
        with pytest.raises(ConfigError):
            subs.want(channel, names, **options)
    assert subs.wanted() == []


def test_request_ids_are_unique_and_wrap() -> None:
    line = Line(SubscriptionSettings(batch=1))
    line.subs._req_id = REQ_ID_MAX - 2
    line.on_request = lambda _request: []
    line.subs.want("trade", symbols(5))
    line.up()
    line.run(0.5)
    assert [r["req_id"] for _, r in line.sent] == [REQ_ID_MAX - 1, REQ_ID_MAX, 1, 2, 3]


# What the exchange does wrong ------------------------------------------------------------------------------------


@pytest.mark.fault("K02", kind="D")
def test_no_ack_is_retried_once_then_lost_then_tried_every_minute() -> None:
    line = Line()
    line.on_request = lambda _request: []
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(9.999)
    assert len(line.sent) == 2
    assert line.kinds(EventKind.LOST) == []
    line.run(0.001)
    (lost,) = line.kinds(EventKind.LOST)
    assert isinstance(lost.error, SubscriptionError)
    assert lost.error.symbol == "BTC/USD"
    assert line.subs.phase("book", "BTC/USD") is Phase.LOST
    line.run(59)
    assert len(line.sent) == 2
    line.on_request = lambda _request: None
    line.run(2)
    assert delivering(line) == 1
    assert len(line.kinds(EventKind.LOST)) == 1


@pytest.mark.fault("K03", kind="D")
def test_one_refused_symbol_harms_no_other() -> None:
    line = Line()
    line.refuses = {"S500/USD": "Currency pair not supported S500/USD"}
    line.subs.want("book", symbols(1000))
    line.up()
    line.run(15)
    assert delivering(line) == 999
    (refused,) = line.kinds(EventKind.REFUSED)
    assert refused.symbol == "S500/USD"
    assert "not supported" in str(refused.error)
    count = line.asked_symbols().count("S500/USD")
    line.run(600)
    line.subs.line_down()
    line.up()
    line.run(15)
    assert line.asked_symbols().count("S500/USD") == count == 1, "a refused symbol is not retried"
    line.refuses = {}
    line.subs.instrument_online("S500/USD")
    line.run(1)
    assert delivering(line) == 1000


@pytest.mark.parametrize("allowed", [1, 3, 7])
@pytest.mark.fault("K04", kind="D")
def test_rate_complaints_without_an_id_lose_nothing(allowed: int) -> None:
    line = Line()
    window: list[int] = []

    def limit(_request: dict[str, Any]) -> list[Answer] | None:
        window[:] = [t for t in window if t > line.now - SECOND]
        if len(window) >= allowed:
            return [error(None, "Exceeded msg rate")]
        window.append(line.now)
        return None

    line.on_request = limit
    line.subs.want("book", symbols(1000))
    line.up()
    line.run(15)
    assert delivering(line) == 1000
    assert line.subs.rate_complaints > 0
    assert line.kinds(EventKind.LOST) == []


@pytest.mark.fault("K05", kind="D")
def test_many_symbols_are_chunked_and_paced() -> None:
    line = Line()
    line.subs.want("book", symbols(2550))
    line.up()
    line.run(15)
    assert delivering(line) == 2550
    assert [len(r["params"]["symbol"]) for _, r in line.sent] == [100] * 25 + [50]
    times = [t for t, _ in line.sent]
    assert all(times[i + 10] - times[i] >= 0.5 * SECOND - 1 for i in range(10, len(times) - 10))
    assert sum(t == times[0] for t in times) <= 10


@pytest.mark.fault("K06", kind="D")
def test_acks_out_of_order_doubled_and_strange_are_matched_by_id() -> None:
    line = Line(SubscriptionSettings(batch=10))
    rng = random.Random(6)
    held: list[Answer] = []

    def shuffle(request: dict[str, Any]) -> list[Answer]:
        held.extend(line._answers(request))
        return []

    line.on_request = shuffle
    line.subs.want("book", symbols(50))
    line.up()
    line.run(1)
    doubled = held + held
    rng.shuffle(doubled)
    for ack in doubled:
        line.subs.on_ack(ack, line.now)
    assert line.subs.strays == 50
    for odd in (
        {**held[0], "req_id": 999_999},
        {**held[0], "req_id": "1"},
        {"method": "subscribe", "success": True},
        {"method": "subscribe", "success": False},
        {"method": "subscribe", "req_id": [], "success": None, "result": 5},
    ):
        assert line.subs.on_ack(odd, line.now)
    assert line.subs.strays == 55
    assert not line.subs.on_ack({"method": "pong"}, line.now)
    assert not line.subs.on_ack({}, line.now)
    line.run(1)
    assert delivering(line) == 50


@pytest.mark.fault("K06", kind="D")
def test_acks_of_an_older_connection_are_strays() -> None:
    line = Line()
    acks: list[Answer] = []
    line.on_request = lambda request: acks.extend(line._answers(request)) or []  # type: ignore[func-returns-value]
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(0)
    line.subs.line_down()
    line.on_request = lambda _request: []
    line.up()
    line.run(0)
    line.subs.on_ack(acks[0], line.now)
    assert line.subs.strays == 1
    assert line.subs.phase("book", "BTC/USD") is Phase.ASKED


@pytest.mark.fault("K07", kind="D")
def test_warnings_and_unknown_fields_are_accepted_and_told_once() -> None:
    line = Line()
    text = "tick_size is deprecated, use price_increment"

    def warn(request: dict[str, Any]) -> list[Answer]:
        answers = line._answers(request)
        for answer in answers:
            answer["result"] |= {"warnings": [text, 7], "novelty": {"a": [1]}}
            answer["time_in"] = "2026-11-22T00:00:00.000000Z"
        return answers

    line.on_request = warn
    line.subs.want("instrument")
    line.subs.want("book", symbols(3))
    line.up()
    line.run(1)
    assert delivering(line) == 3
    assert [e.reason for e in line.kinds(EventKind.WARNED)] == [text]


def test_already_subscribed_is_success_even_for_a_whole_batch() -> None:
    line = Line()
    lost = {"acks": True}

    def lose_acks(request: dict[str, Any]) -> list[Answer] | None:
        answers = line._answers(request)
        return [] if lost.pop("acks", False) else answers

    line.on_request = lose_acks
    line.subs.want("trade", symbols(40))
    line.up()
    line.run(7)
    assert delivering(line, "trade") == 40, "forty errors without a symbol: all forty are held"
    assert len(line.sent) == 2


def test_errors_without_a_symbol_are_told_apart_one_by_one() -> None:
    line = Line()
    line.held = {}
    subscribed: set[str] = {"S1/USD", "S3/USD"}

    def odd(request: dict[str, Any]) -> list[Answer] | None:
        names = request["params"]["symbol"]
        answers: list[Answer] = []
        for name in names:
            if name in subscribed:
                answers.append(error(request["req_id"], "Already subscribed"))
            elif name == "S2/USD":
                answers.append(error(request["req_id"], "Subscription depth not supported"))
            else:
                answers.append(line.answer(request, "trade", name))
        return answers

    line.on_request = odd
    line.subs.want("trade", symbols(6))
    line.up()
    line.run(3)
    assert delivering(line, "trade") == 5
    assert [(e.symbol, e.reason) for e in line.kinds(EventKind.REFUSED)] == [
        ("S2/USD", "Subscription depth not supported")
    ]
    assert sorted(r["params"]["symbol"] for _, r in line.sent[1:]) == [["S1/USD"], ["S2/USD"], ["S3/USD"]]


def test_one_error_for_a_whole_request_ends_in_single_requests() -> None:
    line = Line()
    line.on_request = lambda request: [error(request["req_id"], "Subscription name invalid")]
    line.subs.want("trade", symbols(3))
    line.up()
    line.run(0.9)
    assert len(line.sent) == 1
    line.run(1)
    assert len(line.kinds(EventKind.REFUSED)) == 3
    assert len(line.sent) == 4


def test_the_failed_unsubscribe_that_calls_itself_subscribe() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(1)
    line.held.clear()
    line.subs.unwant("book", ["BTC/USD"])
    line.run(1)
    assert line.subs.phase("book", "BTC/USD") is None
    assert line.subs.strays == 0


def test_acked_without_snapshot_is_resubscribed_then_recycles_the_line_once() -> None:
    line = Line()
    line.serves = lambda _channel, symbol: symbol != "S1/USD"
    line.subs.want("book", symbols(3))
    line.subs.want("trade", symbols(3))
    line.up()
    line.run(5.2)
    assert [r["method"] for _, r in line.sent][-2:] == ["unsubscribe", "subscribe"]
    assert line.asked_symbols("unsubscribe") == ["S1/USD"]
    assert line.kinds(EventKind.RECYCLE) == []
    line.run(5.2)
    assert [e.symbol for e in line.kinds(EventKind.RECYCLE)] == ["S1/USD"]
    assert delivering(line) == 2
    assert delivering(line, "trade") == 3
    line.subs.line_down()
    line.up()
    line.run(12)
    assert len(line.kinds(EventKind.RECYCLE)) == 1, "one symbol may cost the others their line once"
    assert [e.symbol for e in line.kinds(EventKind.LOST)] == ["S1/USD"]
    line.serves = lambda _channel, _symbol: True
    line.run(61)
    assert delivering(line) == 3


# Healing ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("D03", kind="D")
def test_a_mismatch_heals_that_symbol_alone() -> None:
    line = Line()
    line.subs.want("book", symbols(10), depth=25)
    line.up()
    line.run(1)
    before = len(line.sent)
    began = line.now
    line.subs.on_checksum_mismatch("S4/USD", line.now)
    line.subs.on_checksum_mismatch("S4/USD", line.now)  # messages still under way
    assert line.subs.phase("book", "S4/USD") is Phase.LEAVING
    assert delivering(line) == 9
    line.run(2)
    assert delivering(line) == 10
    assert line.now - began <= 2 * SECOND
    assert [(r["method"], r["params"]["symbol"], r["params"]["depth"]) for _, r in line.sent[before:]] == [
        ("unsubscribe", ["S4/USD"], 25),
        ("subscribe", ["S4/USD"], 25),
    ]
    assert line.subs.resyncs == 1


@pytest.mark.fault("D04", kind="D")
def test_a_checksum_that_stays_wrong_makes_the_symbol_unverified_not_a_loop() -> None:
    line = Line()
    line.subs.want("book", symbols(3))
    line.up()
    line.run(1)
    resynced: list[int] = []
    for _ in range(600):
        line.subs.on_checksum_mismatch("S1/USD", line.now)
        line.run(0.5)
        resynced += [line.now] * (line.subs.resyncs - len(resynced))
    in_a_minute = [sum(t - 60 * SECOND < other <= t for other in resynced) for t in resynced]
    assert max(in_a_minute) == 3
    assert {e.symbol for e in line.kinds(EventKind.UNVERIFIED)} == {"S1/USD"}
    assert set(line.asked_symbols("unsubscribe")) == {"S1/USD"}
    assert Counter(e.symbol for e in line.kinds(EventKind.DELIVERING))["S0/USD"] == 1


def test_two_bad_snapshots_are_enough() -> None:
    line = Line()
    line.serves = lambda _channel, _symbol: False
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(0.2)
    line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    assert line.subs.phase("book", "BTC/USD") is Phase.LEAVING
    line.run(0.2)
    line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    assert line.subs.is_unverified("BTC/USD")
    assert line.subs.phase("book", "BTC/USD") is Phase.DELIVERING
    sent = len(line.sent)
    line.subs.on_checksum_mismatch("BTC/USD", line.now)
    line.run(59)
    assert len(line.sent) == sent, "goes on being applied and checked, undisturbed"
    line.run(2)
    assert len(line.sent) == sent + 2, "one retry a minute"
    line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    line.run(58)
    assert len(line.sent) == sent + 2
    assert line.subs.is_unverified("BTC/USD")
    line.serves = lambda _channel, _symbol: True
    line.run(3)
    assert not line.subs.is_unverified("BTC/USD")
    assert len(line.kinds(EventKind.VERIFIED)) == 1


def test_unverified_is_still_retried_after_a_reconnect() -> None:
    line = Line()
    line.serves = lambda _channel, _symbol: False
    line.subs.want("book", ["BTC/USD"])
    line.up()
    for _ in range(2):
        line.run(0.2)
        line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    line.subs.line_down()
    line.up()
    line.run(0.2)
    line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    sent = len(line.sent)
    line.serves = lambda _channel, _symbol: True
    line.run(61)
    assert len(line.sent) == sent + 2
    assert not line.subs.is_unverified("BTC/USD")


@pytest.mark.fault("K18", kind="D")
def test_a_second_snapshot_changes_nothing_here() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(1)
    line.subs.on_snapshot("book", "BTC/USD")
    line.run(60)
    assert len(line.sent) == 1
    assert delivering(line) == 1


@pytest.mark.fault("K17", kind="D")
def test_a_snapshot_of_the_old_subscription_is_not_taken_for_the_new_one() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(1)
    line.serves = lambda _channel, _symbol: False
    line.subs.resync("book", "BTC/USD", "precision changed", line.now)
    line.subs.on_snapshot("book", "BTC/USD")
    assert line.subs.phase("book", "BTC/USD") is Phase.LEAVING
    line.run(0.5)
    assert line.subs.phase("book", "BTC/USD") is Phase.ACKED


@pytest.mark.fault("K19", kind="D")
def test_what_comes_for_an_unwanted_symbol_changes_nothing() -> None:
    line = Line()
    line.subs.want("book", ["BTC/USD"])
    line.up()
    line.run(1)
    line.subs.unwant("book", ["BTC/USD"])
    line.subs.on_checksum_mismatch("BTC/USD", line.now)
    line.subs.on_snapshot("book", "BTC/USD")
    line.run(1)
    line.subs.on_snapshot("book", "BTC/USD")
    line.subs.on_checksum_mismatch("BTC/USD", line.now, in_snapshot=True)
    assert line.subs.wanted() == []
    assert line.held == {}
    assert [r["method"] for _, r in line.sent] == ["subscribe", "unsubscribe"]


@pytest.mark.parametrize("seed", [*range(40), 262, 419, 508, 551, 1010])
def test_whatever_the_exchange_does_all_is_delivered_once_it_behaves(seed: int) -> None:  # noqa: C901
    """Acks lost, late, doubled; snapshots lost; complaints; reconnects; mismatches; changes of mind."""
    rng = random.Random(seed)
    line = Line(SubscriptionSettings(batch=rng.choice([1, 7, 100])))
    loss = rng.choice([0.0, 0.1, 0.5])

    def unreliable(request: dict[str, Any]) -> list[Answer]:
        if rng.random() < loss / 2:
            return [error(None, "Exceeded msg rate")]
        answers = []
        for answer in line._answers(request):
            if rng.random() >= loss:
                answers += [answer] * rng.choice([1, 1, 2])
        rng.shuffle(answers)
        return answers

    line.on_request = unreliable
    line.serves = lambda _channel, _symbol: rng.random() >= loss
    names = symbols(rng.randint(1, 60))
    line.subs.want("book", names)
    line.up()
    for _ in range(rng.randint(5, 60)):
        action = rng.random()
        some = rng.sample(names, rng.randint(1, len(names)))
        if action < 0.3:
            line.subs.on_checksum_mismatch(some[0], line.now, in_snapshot=rng.random() < 0.5)
        elif action < 0.5:
            line.subs.unwant("book", some)
        elif action < 0.7:
            line.subs.want("book", some)
        elif action < 0.8 or line.kinds(EventKind.RECYCLE):
            line.events.clear()
            line.subs.line_down()
            line.run(rng.random())
            line.up()
        line.run(rng.choice([0.0, 0.001, 0.2, 3.0, 20.0]))
    line.on_request = lambda _request: None
    line.serves = lambda _channel, _symbol: True
    line.subs.want("book", names)
    line.run(130)
    if line.kinds(EventKind.RECYCLE):
        line.subs.line_down()
        line.up()
        line.run(15)
    assert line.subs.undelivered() == [], f"seed {seed}"
    assert set(line.held) == set(line.subs.wanted()), f"seed {seed}"
