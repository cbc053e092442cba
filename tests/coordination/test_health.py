"""Switches of source and judgements of lines: tables, without I/O."""

from __future__ import annotations

from random import Random

import pytest

from kraken_fast.coordination.health import LAG_MAX_NS, LAG_NS, LineWatch, Source, Switch

S = 1_000_000_000


def test_leaving_is_immediate_and_coming_back_waits() -> None:
    switch = Switch()
    assert not switch.update(0, is_live=False, has_rest=False)
    assert switch.source is Source.STARTING
    assert switch.update(1, is_live=True, has_rest=False)
    assert switch.source is Source.WEBSOCKET
    assert switch.update(2, is_live=False, has_rest=False)
    assert switch.source is Source.NONE
    assert switch.update(3, is_live=False, has_rest=True)
    assert switch.source is Source.REST
    assert not switch.update(4, is_live=True, has_rest=True)
    assert not switch.update(S // 2, is_live=True, has_rest=True)
    assert switch.update(4 + 2 * S, is_live=True, has_rest=True)
    assert switch.source is Source.WEBSOCKET
    assert switch.changes == 4


def test_from_nothing_a_line_is_taken_at_once() -> None:
    switch = Switch()
    switch.update(0, is_live=True, has_rest=False)
    switch.update(1, is_live=False, has_rest=False)
    switch.update(2, is_live=True, has_rest=False)
    assert switch.source is Source.WEBSOCKET


def test_an_interruption_begins_the_wait_anew() -> None:
    switch = Switch()
    switch.update(0, is_live=False, has_rest=True)
    switch.update(1 * S, is_live=True, has_rest=True)
    switch.update(2 * S - 1, is_live=False, has_rest=True)
    switch.update(3 * S, is_live=True, has_rest=True)
    assert switch.source is Source.REST
    switch.update(4 * S, is_live=True, has_rest=True)
    assert switch.source is Source.WEBSOCKET


@pytest.mark.fault("R15", kind="U")
@pytest.mark.parametrize("seed", range(20))
def test_however_a_line_flaps_there_is_less_than_one_switch_a_second(seed: int) -> None:
    rng, switch, now_ns = Random(seed), Switch(), 0
    switch.update(0, is_live=True, has_rest=True)
    times = []
    while now_ns < 300 * S:
        now_ns += rng.randrange(1, 3 * S)
        if switch.update(now_ns, is_live=rng.random() < 0.6, has_rest=True):
            times.append(now_ns)
    assert len(times) <= 300
    for first in times:
        assert sum(first <= each < first + 10 * S for each in times) <= 10
    calm_ns = now_ns + 60 * S
    switch.update(now_ns + 1, is_live=True, has_rest=True)
    switch.update(calm_ns, is_live=True, has_rest=True)
    assert switch.source is Source.WEBSOCKET, "in the end it comes back"


def test_a_line_is_judged_at_the_second_look() -> None:
    watch = LineWatch()
    assert watch.look(LAG_NS) == (False, False)
    assert watch.look(LAG_NS + 1) == (False, False)
    assert watch.look(LAG_NS + 1) == (True, False)
    assert watch.is_lagging
    assert watch.look(LAG_MAX_NS + 1) == (False, True)
    assert watch.look(0) == (True, False)
    assert not watch.is_lagging
    watch.look(LAG_MAX_NS + 1)
    watch.reset()
    assert (watch.lag_ns, watch.look(LAG_MAX_NS + 1)) == (0, (False, False))
