"""The keeper of fills against an exchange that keeps the truth: lost lines, broken sequences, slow REST, any order."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from random import Random

import pytest
import report

from kraken_fast.policy import SECOND_NS
from kraken_fast.private import reconcile
from kraken_fast.private.reconcile import FillKeeper

EPOCH_NS = 1_780_000_000 * SECOND_NS
MS = 1_000_000

@dataclass(frozen=True, slots=True)
class Fill:
    """What the keeper looks at, and where it was learned from."""

    key: str
    timestamp_ns: int
    source: str = "stream"
    recv_ns: int = 0

    @property
    def recovered(self) -> bool:
        return self.source != "stream"


def fill(number: int, time_ns: int) -> Fill:
    return Fill(f"T{number:06}", time_ns)


class Truth:
    """An account's fills at the exchange, one line to it, and a client of it."""

    def __init__(self, rng: Random, *, since_ns: int | None = None) -> None:
        self.rng = rng
        self.keeper = FillKeeper[Fill](since_ns=since_ns)
        self.now_ns = EPOCH_NS
        self.fills: list[Fill] = []
        self.got: list[Fill] = []
        self.is_up = False
        self.rest_lag_ns = 0
        self.snapshot_lag_ns = 0
        self.rest_calls = 0

    def trade(self, count: int = 1, *, heard: bool = True, apart_ns: int = 10 * MS) -> None:
        """Let fills happen; they are streamed if the line is up and the message is `heard`."""
        for _ in range(count):
            self.now_ns += apart_ns
            self.fills.append(fill(len(self.fills), self.now_ns))
            if self.is_up and heard:
                self.take(self.keeper.on_stream(replace(self.fills[-1], recv_ns=self.now_ns)))

    def take(self, passed: list[Fill]) -> None:
        self.got += passed

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)

    def down(self) -> None:
        self.is_up = False
        self.keeper.on_lost()

    def up(self, *, rows: int = 50) -> None:
        self.is_up = True
        seen = self._until(self.now_ns - self.snapshot_lag_ns)
        told = [replace(each, source="snapshot") for each in self.fills[max(0, seen - rows) : seen][::-1]]
        self.take(self.keeper.on_snapshot(told, exchange_ns=self.now_ns, at_ns=self.now_ns))

    def rest(self, from_ns: int) -> list[Fill]:
        """As TradesHistory has it: up to `rest_lag_ns` ago, times cut to a tenth of a millisecond."""
        self.rest_calls += 1
        shown = self.fills[self._until(from_ns) : self._until(self.now_ns - self.rest_lag_ns)]
        return [replace(each, source="rest", timestamp_ns=each.timestamp_ns // 100_000 * 100_000) for each in shown]

    def _until(self, time_ns: int) -> int:
        return bisect_right(self.fills, time_ns, key=lambda each: each.timestamp_ns)

    def recover(self, within_s: float = 70.0) -> None:
        """Ask REST as the driver does, until nothing is wanted or time is up."""
        end_ns, pause_s = self.now_ns + round(within_s * SECOND_NS), 1.0
        while self.keeper.wants_rest:
            if self.now_ns >= end_ns:
                self.take(self.keeper.give_up(at_ns=self.now_ns))
                return
            rows = self.rest(self.keeper.rest_from_ns)
            self.take(self.keeper.on_rest(rows, at_ns=self.now_ns))
            if self.keeper.wants_rest:
                self.wait(pause_s)
                pause_s = min(20.0, 2 * pause_s)

    def audit(self) -> None:
        if self.keeper.is_live and (self.keeper.audit_due_ns or 1 << 63) <= self.now_ns:
            window = self.keeper.audit
            rows = [row for row in self.rest(window.from_ns) if row.timestamp_ns <= window.until_ns]
            self.take(self.keeper.on_audit(window, rows))

    def ids(self) -> list[str]:
        return [each.key for each in self.got]

    def check(self, first: int = 0) -> None:
        assert self.ids() == [each.key for each in self.fills[first:]]


@pytest.fixture
def truth() -> Truth:
    return Truth(Random(1))


def test_what_was_before_us_is_known_and_not_delivered(truth: Truth) -> None:
    truth.trade(60)
    truth.up()
    assert truth.got == [] and truth.keeper.is_live and truth.keeper.audit_due_ns is None
    truth.trade(3)
    truth.check(60)
    assert not any(each.recovered for each in truth.got)


@pytest.mark.fault("O09", kind="D")
@pytest.mark.parametrize("missed", [1, 40, 49, 50])
def test_fills_during_a_gap_come_once_in_order_marked_as_recovered(truth: Truth, missed: int) -> None:
    truth.trade(60)
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(missed)
    truth.up()
    truth.recover()
    truth.trade(5)
    truth.check(60)
    assert [each.recovered for each in truth.got] == [False] * 30 + [True] * missed + [False] * 5
    assert truth.rest_calls == (missed >= 40), "10 known ones of the last 100 ms are no proof"


@pytest.mark.fault("O10", kind="D")
def test_more_fills_than_a_snapshot_holds_come_from_rest_while_the_stream_waits(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(2000)
    truth.up()
    assert truth.keeper.wants_rest
    truth.trade(7)
    assert len(truth.got) == 30 and truth.keeper.held == 7
    truth.recover()
    truth.trade(1)
    truth.check()
    sources = [each.source for each in truth.got]
    assert sources[30:] == ["rest"] * 1950 + ["snapshot"] * 50 + ["stream"] * 8


@pytest.mark.fault("O11", kind="D")
def test_fills_that_are_told_again_are_told_once(truth: Truth) -> None:
    truth.up()
    truth.trade(20)
    for _ in range(5):
        truth.down()
        truth.up()
        for each in truth.fills[-3:]:
            truth.take(truth.keeper.on_stream(each))
    truth.check()
    assert truth.keeper.duplicates == 15


@pytest.mark.fault("O12", kind="D")
def test_a_sequence_gap_holds_the_message_that_showed_it_until_what_it_skipped_is_there(truth: Truth) -> None:
    truth.up()
    truth.trade(20)
    truth.trade(3, heard=False)
    truth.keeper.on_lost()
    truth.trade(2)
    assert len(truth.got) == 20
    truth.up()
    truth.check()
    assert [each.recovered for each in truth.got[20:]] == [True] * 3 + [False] * 2
    truth.trade(1)
    truth.check()


@pytest.mark.fault("O22", kind="D")
def test_rest_that_lags_a_minute_is_waited_for(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(120)
    truth.rest_lag_ns = 60 * SECOND_NS
    truth.up()
    truth.recover(within_s=90)
    truth.check()
    assert truth.rest_calls > 3


def test_a_gap_that_does_not_close_in_time_is_given_up_and_audited_later(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(120)
    truth.rest_lag_ns = 600 * SECOND_NS
    truth.up()
    truth.recover(within_s=62)
    assert truth.keeper.is_live and len(truth.got) == 80
    truth.trade(10)
    truth.rest_lag_ns = 0
    truth.wait(62)
    truth.audit()
    assert sorted(truth.ids()) == [each.key for each in truth.fills] and truth.keeper.late == 70
    assert truth.keeper.audit_due_ns is None


def test_a_snapshot_of_an_older_state_is_found_out_by_the_audit(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.wait(30)
    truth.down()
    truth.trade(6, apart_ns=SECOND_NS)
    truth.snapshot_lag_ns = 20 * SECOND_NS
    truth.up()
    truth.recover()
    assert truth.keeper.is_live
    truth.trade(2)
    truth.wait(61.9)
    truth.audit()
    assert len(truth.got) < len(truth.fills)
    truth.wait(0.1)
    truth.audit()
    assert sorted(truth.ids()) == [each.key for each in truth.fills]


def test_a_snapshot_that_was_cut_short_closes_nothing(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(20)
    truth.up(rows=3)
    assert truth.keeper.wants_rest
    truth.recover()
    truth.check()


def test_the_line_may_go_again_while_rest_is_asked(truth: Truth) -> None:
    truth.up()
    truth.trade(30)
    truth.down()
    truth.trade(100)
    truth.up()
    rows = truth.rest(truth.keeper.rest_from_ns)
    truth.down()
    truth.trade(10)
    truth.take(truth.keeper.on_rest(rows, at_ns=truth.now_ns))
    assert len(truth.got) == 130, "REST shows a past state: all of it may pass"
    assert not truth.keeper.is_live
    truth.up()
    truth.check()
    truth.take(truth.keeper.on_rest(rows, at_ns=truth.now_ns))
    truth.check()


def test_fills_since_a_time_in_the_past_are_recovered_at_the_first_subscription() -> None:
    truth = Truth(Random(1))
    truth.trade(200)
    truth.keeper = FillKeeper[Fill](since_ns=truth.fills[79].timestamp_ns, known=[truth.fills[79].key])
    truth.up()
    truth.recover()
    truth.trade(1)
    truth.check(80)


def test_ids_are_forgotten_only_by_newer_ones_and_then_nothing_old_passes(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "SEEN_MAX", 100)
    truth.up()
    truth.trade(1000)
    assert len(truth.keeper._seen) == 100
    for each in truth.fills:
        truth.take(truth.keeper.on_stream(replace(each, source="rest")))
        truth.take(truth.keeper.on_stream(each))
    truth.check()


def churn(truth: Truth, rng: Random, *, fills: int, gaps: int) -> None:
    """Lose the line or the sequence again and again, in every way that there is."""
    truth.trade(rng.choice([0, 5, 80]))
    truth.up()
    first = len(truth.fills)
    per_gap = fills // gaps
    for _ in range(gaps):
        streamed = rng.randint(0, per_gap)
        truth.trade(streamed, apart_ns=rng.choice([0, 1000, MS, 50 * MS]))
        missed = per_gap - streamed
        if rng.random() < 0.7:
            truth.down()
            truth.trade(missed, apart_ns=rng.choice([0, 1000, MS, 50 * MS]))
        else:
            truth.trade(missed, heard=False)
            truth.keeper.on_lost()
            truth.trade(rng.randint(1, 3))
        truth.rest_lag_ns = rng.choice([0, 0, 1, 20]) * SECOND_NS
        truth.snapshot_lag_ns = 0
        truth.up(rows=rng.choice([50, 50, 50, 7, 0]))
        if rng.random() < 0.2:
            truth.trade(rng.randint(0, 3))
            truth.down()  # before anything was recovered
            truth.up()
        truth.trade(rng.randint(0, 5))
        truth.recover()
        truth.wait(rng.choice([0.0, 1.0, 30.0]))
        truth.audit()
    truth.check(first)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_every_fill_comes_once_and_in_order(seed: int) -> None:
    rng = Random(seed)
    churn(Truth(rng), rng, fills=2000, gaps=40)


def test_a_hundred_thousand_fills_over_a_thousand_gaps() -> None:
    rng = Random(2026)
    truth = Truth(rng)
    churn(truth, rng, fills=100_000, gaps=1000)
    keeper = truth.keeper
    report.note(
        "fills over 1,000 gaps, pure keeper",
        f"{len(truth.got):,} of {len(truth.got):,} once and in order, {keeper.recovered:,} recovered, "
        f"{truth.rest_calls:,} REST crawls, {keeper.late} late",
    )
    assert keeper.late == 0


def test_equal_times_and_rounding_confuse_nobody(truth: Truth) -> None:
    truth.up()
    truth.trade(30, apart_ns=1000)
    truth.down()
    truth.trade(300, apart_ns=0)
    truth.up()
    truth.recover()
    truth.check()


def test_gaps_close_together_are_audited_together_and_none_waits_for_ever(truth: Truth) -> None:
    truth.up()
    truth.trade(3)
    for _ in range(5):
        truth.down()
        truth.up()
        truth.wait(30)
    truth.audit()
    assert truth.rest_calls == 1, "the first three are one, the last of them closed 90 s ago"
    truth.audit()
    assert truth.rest_calls == 1, "the other two wait"
    truth.wait(32)
    truth.audit()
    assert truth.rest_calls == 2 and truth.keeper.audit_due_ns is None


@pytest.mark.fault("V05", kind="U")
def test_a_snapshot_of_one_instant_that_has_nothing_new_needs_no_rest() -> None:
    """More fills in an instant than a snapshot holds: it cannot reach back, and need not."""
    truth = Truth(Random(1))
    truth.up()
    truth.trade(60, apart_ns=0)
    truth.down()
    truth.up()
    assert truth.keeper.is_live
    assert not truth.keeper.wants_rest
    assert [each.key for each in truth.got] == [each.key for each in truth.fills]
