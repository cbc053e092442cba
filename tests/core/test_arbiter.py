"""The arbiter: of several lines one stream, without loss, without copies, never back."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storyline import MS, SYMBOL, Story, Table, candle_message, ticker_message, trade_message

from kraken_fast.core.latency import Histogram
from kraken_fast.types import Gap


def begin(table: Table, story: Story, names: str = "AB") -> None:
    for name in names:
        table.say(name, story.snapshots[0])


# Books -------------------------------------------------------------------------------------------------------


def test_the_first_copy_is_told_and_the_second_is_not() -> None:
    story, table = Story(20, 1), Table()
    begin(table, story)
    for number in range(1, 20):
        first, second = ("A", "B") if number % 3 else ("B", "A")
        table.say(first, story.updates[number])
        table.say(second, story.updates[number])
    assert table.told == story.facts
    assert set(table.by) == {"A", "B"}, "whoever is first"
    assert (table.arbiter.news, table.arbiter.copies) == (20, 20)


@pytest.mark.fault("N07", kind="U")
@pytest.mark.fault("D19", kind="U")
def test_a_line_that_lags_tells_nothing_old() -> None:
    story, table = Story(60, 2, ties=0.5), Table()
    begin(table, story)
    for number in range(1, 60):
        table.say("A", story.updates[number])
    for number in range(1, 60):
        table.say("B", story.updates[number])
    assert table.told == story.facts
    assert set(table.by) == {"A"}


@pytest.mark.fault("D13", kind="U")
def test_a_message_that_comes_twice_is_told_once() -> None:
    story, table = Story(5, 3), Table()
    begin(table, story)
    for number in range(1, 5):
        for name in "AABB":
            table.say(name, story.updates[number])
    assert table.told == story.facts


def test_when_one_line_dies_the_other_goes_on_in_the_middle_of_an_instant() -> None:
    story, table = Story(9, 4, ties=1.0), Table()
    begin(table, story)
    assert len({stamp for stamp, _ in story.facts}) == 2, "all but the first have one time"
    for number in range(1, 5):
        table.say("A", story.updates[number])
    table.cut("A")
    for number in range(1, 9):
        table.say("B", story.updates[number])
    assert table.told == story.facts


def test_a_line_that_comes_back_ahead_waits_for_what_lies_between() -> None:
    story, table = Story(9, 5), Table()
    begin(table, story)
    table.cut("A")
    table.say("A", story.snapshots[3])
    table.say("A", story.updates[4])
    assert table.told == story.facts[:1], "1 and 2 are on their way on line B"
    for number in (1, 2, 3):
        table.say("B", story.updates[number])
    assert table.told == story.facts[:5], "level with what A began with, so what A said since is told"
    assert table.by[-2:] == ["B", "A"]
    table.say("A", story.updates[5])
    table.say("B", story.updates[4])
    assert table.told == story.facts[:6]


def test_if_the_line_before_it_dies_what_waited_is_told() -> None:
    story, table = Story(9, 6), Table()
    begin(table, story)
    table.cut("A")
    for message in (story.snapshots[3], story.updates[4], story.updates[5]):
        table.say("A", message)
    table.cut("B")
    assert table.told == [story.facts[0], *story.facts[3:6]], "1 and 2 came on no line"


def test_a_line_does_not_wait_for_a_frozen_one() -> None:
    story, table = Story(9, 7), Table()
    begin(table, story)
    table.cut("A")
    table.say("A", story.snapshots[3])
    table.pass_ms(251)
    table.say("A", story.updates[4])
    assert table.told == [story.facts[0], *story.facts[3:5]]
    for number in (1, 2, 3, 4, 5):
        table.say("B", story.updates[number])
    assert table.told == [story.facts[0], *story.facts[3:6]], "nothing goes back when it thaws"


def test_what_waits_is_bounded() -> None:
    story, table = Story(90, 8), Table()
    begin(table, story)
    table.cut("A")
    table.say("A", story.snapshots[3])
    for number in range(4, 66):
        table.say("A", story.updates[number])
    assert len(table.told) == 1
    table.say("A", story.updates[66])
    assert table.told == [story.facts[0], *story.facts[3:67]]


def test_time_alone_ends_waiting() -> None:
    story, table = Story(9, 9), Table()
    begin(table, story)
    table.cut("A")
    table.say("A", story.snapshots[3])
    table.arbiter.settle_waiting()
    assert len(table.told) == 1
    table.pass_ms(251)
    table.arbiter.settle_waiting()
    assert table.told == [story.facts[0], story.facts[3]]


def test_one_line_alone_is_told_all() -> None:
    story, table = Story(30, 10, ties=0.3), Table("A")
    begin(table, story, "A")
    for number in range(1, 30):
        table.say("A", story.updates[number])
    assert table.told == story.facts


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0.0, 0.2, 0.7]), st.sampled_from(["AB", "ABC"]))
def test_whatever_lines_die_every_state_that_one_told_is_told_once_in_order(
    seed: int, ties: float, names: str
) -> None:
    """Lines at random distances; one at a time is cut, misses some, and comes back somewhere."""
    rng, story = Random(seed), Story(120, seed % 17, ties=ties)
    table, heard = Table(names), {0}
    begin(table, story, names)
    at = dict.fromkeys(names, 0)
    down = ""
    while min(at.values()) < 119:
        name = rng.choice([each for each in names if at[each] < 119])
        if name == down:
            others = [at[each] for each in names if each != down]
            at[name] = min(119, max(min(others), at[name]) + rng.randrange(4))
            table.say(name, story.snapshots[at[name]])
            down = ""
        else:
            at[name] += 1
            table.say(name, story.updates[at[name]])
        heard.add(at[name])
        level = [each for each in names if at[each] == max(at.values())]
        if not down and rng.random() < 0.05:
            down = rng.choice(level)
            if all(table.arbiter.books[SYMBOL].seats[i].placed for i in range(len(names))):
                table.cut(down)
            else:
                down = ""
        table.pass_ms(0.1)
        table.hear()
    told = iter(table.told)
    expected = [story.facts[number] for number in sorted(heard)]
    assert list(told) == expected
    assert table.arbiter.diverged == 0


def test_a_book_that_is_not_live_is_not_read_as_live() -> None:
    story, table = Story(9, 11), Table()
    begin(table, story)
    table.say("A", story.updates[1])
    arbiter = table.arbiter
    live = arbiter.book(SYMBOL)
    assert live is not None
    assert live.line.name == "A", "the newest"
    table.cut("A")
    copy = arbiter.read_book(SYMBOL)
    assert copy is not None
    assert copy.quality == "live", "B is a moment behind, as lines are"
    table.pass_ms(251)
    table.hear()
    assert arbiter.book(SYMBOL) is None, "B owes a state for longer than living lines do"
    assert arbiter.served("book") == []
    copy = arbiter.read_book(SYMBOL)
    assert copy is not None
    assert copy.quality == "stale"
    table.say("B", story.updates[1])
    assert arbiter.served("book") == [SYMBOL]
    assert arbiter.read_book("no such") is None
    assert arbiter.book("no such") is None
    table.pass_ms(1501)
    assert arbiter.book(SYMBOL) is None, "silent"


@pytest.mark.fault("D02", kind="U")
def test_deep_books_that_differ_are_found_and_the_older_snapshot_is_to_blame() -> None:
    story, table = Story(40, 12, depth=25), Table(depth=25)
    begin(table, story, "B")
    table.pass_ms(1)
    begin(table, story, "A")
    deep = next(
        number
        for number in range(1, 40)
        if story.facts[number][1] == story.facts[number - 1][1] and story.facts[number][0] != story.facts[number - 1][0]
    )
    for number in range(1, deep):
        table.say("A", story.updates[number])
        table.say("B", story.updates[number])
    table.pass_ms(1001)
    table.hear()
    table.say("A", story.updates[deep])
    for number in range(deep + 1, 40):
        table.say("A", story.updates[number])
        table.say("B", story.updates[number])
        if table.diverged:
            break
    assert table.diverged == [(SYMBOL, "B", "full depth")]
    assert table.arbiter.compared > 0


def test_what_is_unverified_is_told_only_if_nothing_better_is() -> None:
    story, table = Story(9, 13), Table()
    begin(table, story)
    lies = [re.sub(rb'"checksum":[0-9]+', b'"checksum":7', message) for message in story.updates]
    book = table.decoders["A"].book(SYMBOL)
    assert book is not None
    book.give_up_verifying()
    table.decoders["A"].feed(lies[1])
    assert len(table.told) == 1
    table.cut("B")
    table.decoders["A"].feed(lies[2])
    assert len(table.told) == 2
    assert table.arbiter.book(SYMBOL) is None


# Trades ------------------------------------------------------------------------------------------------------


def test_a_trade_is_told_once() -> None:
    table = Table()
    for name in "ABAB":
        table.say(name, trade_message(7, 8, kind="snapshot"))
        table.say(name, trade_message(9))
    assert table.trades == [7, 8, 9]
    assert table.arbiter.trades[SYMBOL].copies == 3


@pytest.mark.fault("K21", kind="U")
def test_trades_missing_on_one_line_come_from_the_other_before_anybody_hears_of_a_gap() -> None:
    table = Table()
    for name in "AB":
        table.say(name, trade_message(7, kind="snapshot"))
    table.say("A", trade_message(10))
    table.say("A", trade_message(12))
    assert table.trades == [7]
    assert table.missing == [(SYMBOL, 8, 9)]
    table.say("B", trade_message(8))
    table.say("B", trade_message(9))
    table.say("B", trade_message(10))
    assert table.trades == [7, 8, 9, 10]
    table.say("B", trade_message(11))
    assert table.trades == [7, 8, 9, 10, 11, 12]
    assert (table.gaps, table.arbiter.trades[SYMBOL].missing) == ([], None)
    assert table.arbiter.trades[SYMBOL].filled == 3


@pytest.mark.fault("K21", kind="U")
def test_what_no_line_has_is_filled_or_given_up() -> None:
    table = Table("A")
    arbiter = table.arbiter
    arbiter.fill(SYMBOL, [(7, Decimal("1.50"), Decimal(1000).normalize(), "sell", "limit", 5_000)])
    assert arbiter.trades[SYMBOL].log.recent()[0].qty == 1000
    assert str(arbiter.trades[SYMBOL].log.recent()[0].price) == "1.50"
    rows = [(each, Decimal(1), Decimal(1), "buy", None, 9_000) for each in (9, 12, 13, 20)]
    assert arbiter.fill(SYMBOL, rows) == 4
    assert table.trades == [7]
    assert arbiter.fill(SYMBOL, [(8, Decimal(1), Decimal(1), "buy", "settle", 8_000)]) == 1
    assert table.trades == [7, 8, 9]
    assert arbiter.trades[SYMBOL].log.recent()[1].ord_type == "settle"
    assert arbiter.trades[SYMBOL].missing == (10, 11)
    assert arbiter.give_up(SYMBOL) == Gap(SYMBOL, 10, 11)
    assert table.missing == [(SYMBOL, 8, 8), (SYMBOL, 14, 19)]
    assert arbiter.give_up(SYMBOL) == Gap(SYMBOL, 14, 19)
    assert arbiter.give_up(SYMBOL) is None
    assert table.trades == [7, 8, 9, 12, 13, 20]
    assert table.gaps == [Gap(SYMBOL, 10, 11), Gap(SYMBOL, 14, 19)]


def test_trades_that_wait_are_bounded() -> None:
    table = Table("A")
    table.say("A", trade_message(1))
    for each in range(3, 1003):
        table.say("A", trade_message(each))
    assert table.trades == [1]
    table.say("A", trade_message(1003))
    assert table.trades == [1, *range(3, 1004)]


def test_words_that_lines_learned_in_another_order_mean_the_same() -> None:
    table = Table()
    table.say("A", trade_message(1, ord_type="iceberg"))
    table.say("B", trade_message(1, ord_type="pegged"))
    table.say("B", trade_message(2, ord_type="iceberg"))
    table.say("A", trade_message(3, ord_type="pegged"))
    kinds = [trade.ord_type for trade in table.arbiter.trades[SYMBOL].log.recent()]
    assert kinds == ["iceberg", "iceberg", "pegged"]


# Tickers and candles -----------------------------------------------------------------------------------------


def test_tickers_go_by_time_and_by_what_they_say() -> None:
    table = Table()
    for name in "AB":
        table.say(name, ticker_message("1", 1, "snapshot"))
    for last, stamp in (("2", 2), ("3", 2), ("2", 3)):
        table.say("A", ticker_message(last, stamp))
    for last, stamp in (("2", 2), ("3", 2), ("2", 3), ("5", 4)):
        table.say("B", ticker_message(last, stamp))
    assert table.tickers == ["1", "2", "3", "2", "5"]
    ticker = table.arbiter.ticker(SYMBOL)
    assert ticker is not None
    assert str(ticker.last) == "5"
    copy = table.arbiter.read_ticker(SYMBOL)
    assert copy is not None
    assert (str(copy.last), copy.quality) == ("5", "live")
    table.pass_ms(2000)
    assert table.arbiter.ticker(SYMBOL) is None
    copy = table.arbiter.read_ticker(SYMBOL)
    assert copy is not None
    assert copy.quality == "stale"
    assert table.arbiter.read_ticker("no such") is None
    assert table.arbiter.ticker("no such") is None


def test_tickers_without_a_time_are_told_apart_by_the_lines_order() -> None:
    table = Table()
    for name in "AB":
        table.say(name, ticker_message("1", None, "snapshot"))
    for last in "232":
        table.say("A", ticker_message(last, None))
    for last in "2325":
        table.say("B", ticker_message(last, None))
    assert table.tickers == ["1", "2", "3", "2", "5"]


@pytest.mark.fault("K23", kind="U")
def test_candles_are_told_once_and_a_line_that_lags_takes_none_back() -> None:
    table = Table()
    for name in "AB":
        table.say(name, candle_message((1, 5), (2, 1), kind="snapshot"))
    told = [(1, 5), (2, 1)]
    for row in ((2, 2), (2, 3), (3, 1)):
        table.say("A", candle_message(row))
    for row in ((2, 2), (2, 3), (3, 1), (3, 2)):
        table.say("B", candle_message(row))
    minutes = [(minute % 60, trades, closed) for minute, trades, closed in table.candles]
    told = [(1, 5, False), (1, 5, True), (2, 1, False), (2, 2, False), (2, 3, False), (2, 3, True), (3, 1, False)]
    assert minutes == [*told, (3, 2, False)]
    table.say("A", candle_message((2, 4)))
    table.say("B", candle_message((2, 4)))
    assert [(m % 60, n, c) for m, n, c in table.candles[8:]] == [(2, 4, True)], "a correction, once"


# Watching ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("K01", kind="U")
def test_a_subscription_that_fell_silent_is_found_by_comparison() -> None:
    story, table = Story(30, 14), Table()
    begin(table, story)
    for name in "AB":
        table.say(name, trade_message(1, kind="snapshot"))
    assert table.arbiter.behind(1_700 * MS) == []
    for number in range(1, 20):
        table.say("A", story.updates[number])
        table.say("A", trade_message(number + 1))
        table.pass_ms(100)
        table.hear()
        found = table.arbiter.behind(1_700 * MS)
        if found:
            break
    assert number == 18, "within two seconds of the first that it did not tell"
    assert {each[:4] for each in found} == {("book", SYMBOL, 0, "B"), ("trade", SYMBOL, 0, "B")}
    assert table.arbiter.lags()["B"] >= 1_700 * MS
    assert table.arbiter.lags()["A"] == 0


def test_a_line_that_lags_but_speaks_is_not_silent() -> None:
    story, table = Story(30, 15), Table()
    begin(table, story)
    for number in range(1, 30):
        table.say("A", story.updates[number])
        if number > 5:
            table.say("B", story.updates[number - 5])
        table.pass_ms(500)
        table.hear()
        assert table.arbiter.behind(1_700 * MS) == [] or number <= 6
    assert table.arbiter.lags()["B"] == 2_500 * MS


def test_stages_are_timed_for_what_is_delivered() -> None:
    story, table = Story(3, 16), Table()
    arbiter = table.arbiter
    arbiter.decoding, arbiter.delivering, arbiter.travelling = Histogram(), Histogram(), Histogram()
    begin(table, story)
    assert [each.count for each in (arbiter.decoding, arbiter.delivering, arbiter.travelling)] == [1, 1, 1]


def test_what_is_forgotten_begins_anew() -> None:
    story, table = Story(3, 17), Table("A")
    for kind, message in (
        ("book", story.snapshots[0]),
        ("ticker", ticker_message("1", 1, "snapshot")),
        ("trade", trade_message(1)),
        ("ohlc", candle_message((1, 1))),
    ):
        table.say("A", message)
        table.arbiter.forget(kind, SYMBOL, 1)
    arbiter = table.arbiter
    assert (arbiter.books, arbiter.tickers, arbiter.trades, arbiter.candles) == ({}, {}, {}, {})


def test_a_listener_that_raises_harms_nobody() -> None:
    table = Table("A")

    def raising(*_: object) -> None:
        raise RuntimeError

    table.arbiter.on_missing = raising
    table.say("A", trade_message(1))
    table.say("A", trade_message(3))
    assert table.callbacks.failures == 1
