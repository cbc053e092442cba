"""The states of an order and which may follow which."""

from __future__ import annotations

from kraken_fast.orders.records import FINAL, FOLLOWS, OrderState


def test_every_state_is_in_the_table_and_reachable() -> None:
    assert set(FOLLOWS) == set(OrderState)
    reached = {OrderState.DRAFT}
    while more := {state for each in reached for state in FOLLOWS[each]} - reached:
        reached |= more
    assert reached == set(OrderState)


def test_an_unknown_outcome_ends_in_any_way_and_an_end_in_none() -> None:
    assert FOLLOWS[OrderState.UNKNOWN] >= {OrderState.FILLED, OrderState.CANCELED, OrderState.NOT_PLACED}
    for state in FINAL:
        assert FOLLOWS[state] <= {OrderState.FILLED}, "only the fill that raced the cancel comes later"


def test_what_may_be_live() -> None:
    may = {state for state in OrderState if state.may_be_live}
    assert may == {OrderState.SENT, OrderState.UNKNOWN, OrderState.ACKED, OrderState.OPEN, OrderState.PARTIAL}
    assert not may & FINAL
