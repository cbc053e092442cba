"""A pair's rules: steps, minimums, states; messages say the nearest value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken_fast.errors import InvalidOrderError, OrderBlockedError
from kraken_fast.orders.records import Conditional, NewOrder, Triggers
from kraken_fast.orders.request import add_params, amend_params
from kraken_fast.orders.rules import (
    check_amend,
    check_cancels,
    check_count,
    check_deadline,
    check_order,
    check_states,
    check_timeout,
)
from kraken_fast.types import Instrument

D = Decimal


def pair(status: str = "online", **others: Any) -> Instrument:
    values: dict[str, Any] = {
        "price_increment": D("0.5"), "qty_increment": D("0.001"), "qty_min": D("0.01"), "cost_min": D("0.50"), **others,
    }  # fmt: skip
    return Instrument("ABC/USD", "ABC", "USD", status, 1, 3, 2, **values)


def limit(**others: Any) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "order_type": "limit", "side": "buy", "symbol": "ABC/USD", "order_qty": "1", "limit_price": "100", **others,
    }  # fmt: skip
    return add_params(NewOrder(**terms))


@pytest.mark.parametrize(
    ("terms", "near"),
    [
        ({"limit_price": "100.2"}, "100.0 or 100.5"),
        ({"limit_price": "0.2"}, ": 0.5"),
        ({"order_qty": "1.0004"}, "1.000 or 1.001"),
        ({"order_qty": "0.009"}, "0.01 at least"),
        ({"order_qty": "0.01", "limit_price": "10"}, "0.05 at least"),
        ({"order_type": "iceberg", "display_qty": "0.5005"}, "0.500 or 0.501"),
        ({"order_type": "stop-loss-limit", "triggers": Triggers(price="99.9")}, "99.5 or 100.0"),
        ({"conditional": Conditional(order_type="limit", limit_price="101.1")}, "101.0 or 101.5"),
        ({"order_type": "market", "limit_price": None, "order_qty": None, "cash_order_qty": "0.4"}, "0.50 USD"),
    ],
)
def test_the_nearest_value_is_said(terms: dict[str, Any], near: str) -> None:
    with pytest.raises(InvalidOrderError) as caught:
        check_order(limit(**terms), pair())
    assert near in str(caught.value)


def test_what_cannot_be_known_is_left_to_the_exchange() -> None:
    market = limit(order_type="market", limit_price=None, order_qty="0.01")
    check_order(market, pair())
    with pytest.raises(InvalidOrderError, match="cost"):
        check_order(market, pair(), D(10))
    below = Triggers(price="-1.23", price_type="pct")
    check_order(limit(order_type="stop-loss", limit_price=None, triggers=below), pair())
    trailing = Triggers(price="1.23", price_type="pct")
    check_order(limit(order_type="trailing-stop-limit", limit_price="0.13", triggers=trailing), pair())
    check_order(limit(limit_price="0.12"), pair(price_increment=None, cost_min=None))


@given(st.integers(1, 10**9), st.sampled_from(["0.5", "0.00001", "0.25", "5"]))
def test_prices_on_the_step_pass_and_others_name_their_neighbours(steps: int, increment: str) -> None:
    step = D(increment)
    rules = pair(price_increment=step, cost_min=None)
    check_order(limit(limit_price=steps * step), rules)
    with pytest.raises(InvalidOrderError) as caught:
        check_order(limit(limit_price=steps * step + step / 5), rules)
    assert f"{steps * step:f} or {(steps + 1) * step:f}" in str(caught.value)


def test_amends_keep_the_steps() -> None:
    for terms, words in (
        ({"limit_price": "100.2"}, "100.0 or"),
        ({"order_qty": "1.0004"}, "1.000 or"),
        ({"trigger_price": "1.1"}, "1.0 or"),
    ):  # fmt: skip
        with pytest.raises(InvalidOrderError, match=words):
            check_amend(amend_params(**terms), pair())
    check_amend(amend_params(limit_price="1.23", limit_price_type="pct", order_qty="0.001"), pair())


ORDERS = {
    "limit": limit(),
    "post_only": limit(post_only=True),
    "market": limit(order_type="market", limit_price=None),
    "reduce": limit(reduce_only=True),
}
TAKEN = {
    "online": set(ORDERS),
    "cancel_only": set(),
    "post_only": {"post_only"},
    "limit_only": {"limit", "post_only", "reduce"},
    "reduce_only": {"reduce"},
    "maintenance": set(),
    "work_in_progress": set(),
    "delisted": set(),
}


@pytest.mark.fault("K12", kind="U")
@pytest.mark.fault("K14", kind="U")
@pytest.mark.parametrize("state", TAKEN)
@pytest.mark.parametrize("kind", ORDERS)
def test_states_of_pair_and_exchange(state: str, kind: str) -> None:
    for status, system in ((state, "online"), ("online", state)):
        if kind in TAKEN[state]:
            check_states(ORDERS[kind], pair(status), system)
        else:
            with pytest.raises(OrderBlockedError, match=state):
                check_states(ORDERS[kind], pair(status), system)


def test_an_unknown_state_of_the_exchange_keeps_orders_in() -> None:
    with pytest.raises(OrderBlockedError, match="has not come"):
        check_states(ORDERS["limit"], pair(), None)
    check_cancels(None)
    check_cancels("cancel_only")
    with pytest.raises(OrderBlockedError):
        check_cancels("maintenance")


def test_counts_and_times() -> None:
    check_count("orders", 2, 2, 15)
    assert (check_timeout(0), check_timeout(86_399), check_deadline(0.5)) == (0, 86_399, 0.5)
    for call, value in ((check_timeout, 86_400), (check_timeout, -1), (check_timeout, 1.5), (check_deadline, 0.4),
                        (check_deadline, 61)):  # fmt: skip
        with pytest.raises(InvalidOrderError):
            call(value)  # type: ignore[operator]
    for count in (1, 16):
        with pytest.raises(InvalidOrderError):
            check_count("orders", count, 2, 15)
