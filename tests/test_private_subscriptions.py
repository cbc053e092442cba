"""Subscriptions that carry a token: asked for when needed, replaced when refused, within bounds."""

from __future__ import annotations

import pytest

from kraken_fast.auth import Secret
from kraken_fast.config import SubscriptionSettings
from kraken_fast.subscription_records import EventKind, Phase

from .test_subscriptions import SECOND, Answer, Line, error, symbols

PRIVATE = ("executions", "balances")


class PrivateLine(Line):
    """An exchange that wants a token, and an owner who brings one when asked to."""

    def __init__(self, settings: SubscriptionSettings | None = None) -> None:
        super().__init__(settings)
        self.brought = 0
        self.good: set[str] | None = None  # None: every token is
        self.brings = True

    def _step(self) -> None:
        super()._step()
        if self.brings and self.subs.token_wanted:
            self.brought += 1
            self.subs.give_token(Secret(f"token{self.brought}"))
            super()._step()

    def answer(self, request: dict[str, object], channel: str, symbol: str) -> Answer:
        params = request["params"]
        assert isinstance(params, dict)
        named = {"symbol": symbol} if symbol else {}
        if "token" not in params:
            return error(request["req_id"], "Token(s) not found", **named)  # type: ignore[arg-type]
        if self.good is not None and params["token"] not in self.good:
            return error(request["req_id"], "EAPI:Invalid token", **named)  # type: ignore[arg-type]
        is_new = request["method"] == "subscribe" and (channel, symbol) not in self.held
        answer = super().answer(request, channel, symbol)
        if is_new and self.serves(channel, symbol):
            self.later((channel, symbol), self.delay_ns + 100_000_000)
        return answer


def private_line(*, level3: int = 0, settings: SubscriptionSettings | None = None) -> PrivateLine:
    line = PrivateLine(settings)
    if level3:
        line.subs.want("level3", symbols(level3), depth=10)
    else:
        for channel in PRIVATE:
            line.subs.want(channel)
    return line


def delivering(line: Line) -> list[str]:
    return [key[0] for key in line.subs.wanted() if line.subs.phase(*key) is Phase.DELIVERING]


def test_nothing_is_sent_before_there_is_a_token_and_every_connection_asks_for_its_own() -> None:
    line = private_line()
    line.brings = False
    assert not line.subs.token_wanted
    line.up()
    line.run(10)
    assert line.subs.token_wanted and line.sent == [] and line.subs.deadline_ns(line.now) is None
    line.brings = True
    line.run(1)
    assert [request["params"] for _, request in line.sent] == [
        {
            "channel": "executions",
            "snap_orders": True,
            "snap_trades": True,
            "order_status": True,
            "ratecounter": True,
            "token": "token1",
        },
        {"channel": "balances", "snapshot": True, "token": "token1"},
    ]
    assert delivering(line) == ["executions", "balances"]
    line.subs.line_down()
    assert line.subs.token is None
    line.up()
    line.run(1)
    assert [request["params"]["token"] for _, request in line.sent] == ["token1"] * 2 + ["token2"] * 2


@pytest.mark.fault("A01", kind="D")
def test_a_refused_token_is_replaced_once_and_all_subscriptions_share_the_fresh_one() -> None:
    line = private_line()
    line.good = {"token2"}
    line.up()
    line.run(2)
    assert delivering(line) == ["executions", "balances"]
    assert line.brought == 2, "both were refused, and one fresh token served both"
    assert line.kinds(EventKind.LOST) == []


@pytest.mark.fault("A01", kind="D")
def test_no_endless_loop_when_every_token_is_refused() -> None:
    line = private_line()
    line.good = set()
    line.up()
    line.run(59)
    assert [(event.channel, event.kind) for event in line.kinds(EventKind.LOST)] == [
        ("executions", EventKind.LOST),
        ("balances", EventKind.LOST),
    ]
    assert "EAPI:Invalid token, with a fresh token too" in line.events[-1].reason
    assert len(line.sent) == 4
    line.run(540)
    assert len(line.sent) <= 4 + 9 * 4, "once a minute, each time with one fresh token more"
    line.good = None
    line.run(61)
    assert delivering(line) == ["executions", "balances"]


@pytest.mark.fault("A02", kind="D")
def test_a_token_revoked_between_two_requests_costs_one_fetch() -> None:
    line = private_line()
    line.up()
    line.run(2)
    line.good = {"token2"}
    line.subs.resync("executions", "", "sequence gap", line.now)
    begin = line.now
    line.run(2)
    assert delivering(line) == ["executions", "balances"] and line.brought == 2
    asked = [(request["method"], request["params"]["token"]) for at, request in line.sent if at >= begin]
    assert asked == [("unsubscribe", "token1"), ("unsubscribe", "token2"), ("subscribe", "token2")]


def test_without_any_hope_of_a_token_what_waits_is_lost_until_the_next_connection() -> None:
    line = private_line()
    line.brings = False
    line.up()
    line.run(1)
    line.subs.no_token("GetWebSocketsToken refused: EGeneral:Permission denied")
    line.run(600)
    assert not line.subs.token_wanted and [event.channel for event in line.kinds(EventKind.LOST)] == list(PRIVATE)
    assert line.sent == []
    line.brings = True
    line.subs.line_down()
    line.up()
    line.run(1)
    assert delivering(line) == ["executions", "balances"]


@pytest.mark.fault("A04", kind="D")
def test_a_refusal_for_want_of_a_permission_says_which_one_and_is_not_repeated() -> None:
    line = private_line()
    line.on_request = lambda request: [error(request["req_id"], "EGeneral:Permission denied")]
    line.up()
    line.run(600)
    assert [event.reason for event in line.kinds(EventKind.REFUSED)] == [
        'EGeneral:Permission denied; the key needs "Query open orders and trades" and "Query closed orders and trades"',
        'EGeneral:Permission denied; the key needs "Query funds" and "Query ledger entries"',
    ]
    assert len(line.sent) == 2


@pytest.mark.fault("O12", kind="D")
def test_a_broken_sequence_resubscribes_and_when_it_goes_on_breaking_the_line_is_recycled() -> None:
    line = private_line()
    line.up()
    line.run(2)
    for count in range(1, 4):
        line.subs.resync("executions", "", "sequence gap", line.now)
        line.run(1)
        assert line.subs.resyncs == count and delivering(line) == ["executions", "balances"]
    assert line.kinds(EventKind.RECYCLE) == []
    line.subs.resync("executions", "", "sequence gap", line.now)
    line.run(1)
    assert [event.channel for event in line.kinds(EventKind.RECYCLE)] == ["executions"]
    assert not line.subs.is_unverified("", "executions")


def test_level3_is_paced_by_its_points_and_can_be_unverified_by_itself() -> None:
    line = private_line(level3=100)
    line.up()
    line.run(10)
    asked = [(at // SECOND, len(request["params"]["symbol"])) for at, request in line.sent]
    assert asked == [(0, 40), (1, 40), (2, 20)], "200 points a second, 5 for each symbol at depth 10"
    assert len(delivering(line)) == 100 and line.brought == 1
    for _ in range(4):
        line.subs.on_checksum_mismatch("S7/USD", line.now, channel="level3")
        line.run(3)
    assert line.subs.is_unverified("S7/USD", "level3") and not line.subs.is_unverified("S7/USD")
    assert sorted(line.asked_symbols("unsubscribe")) == ["S7/USD"] * 3
