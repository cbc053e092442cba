"""The trading counter: the documented examples, against the exchange's own count, corrections."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from kraken_fast.orders.rate import PairCounter, TradingBudget, cost_of
from kraken_fast.sim.limits import DecayingCounter

S = 1_000_000_000


def test_the_documented_examples() -> None:
    assert cost_of("add") + cost_of("amend", 7 * S) + cost_of("cancel", 36 * S) == 8
    counter = TradingBudget("intermediate").pair("BTC/USD")
    for _ in range(50):
        counter.begin(1)
        counter.end(1, 0)
    assert round(counter.level(10 * S), 6) == 26.6


def test_it_is_never_below_the_exchanges_count() -> None:
    rng = Random(4)
    for _ in range(50):
        budget = TradingBudget("pro")
        counter, theirs, now_ns = budget.pair("X/Y"), DecayingCounter(), 0
        for _ in range(200):
            cost = rng.choice([1, 2, 4, 8])
            counter.begin(cost)
            now_ns += rng.randint(0, S // 10)
            theirs.points(Decimal("3.75"), now_ns)
            theirs.add(cost)
            now_ns += rng.randint(0, S // 10)
            counter.end(cost, now_ns)
            assert counter.level(now_ns) >= float(theirs.points(Decimal("3.75"), now_ns)) - 1e-6
            now_ns += rng.randint(0, S)


def test_it_waits_until_a_cost_fits_and_no_longer() -> None:
    counter = TradingBudget("starter").pair("X/Y")
    counter.begin(59.5)
    counter.end(59.5, 0)
    wait_ns = counter.wait_ns(1, 0)
    assert wait_ns > 0 and counter.wait_ns(1, wait_ns) == 0 and counter.wait_ns(1, wait_ns - 1000) > 0
    assert counter.wait_ns(0, 0) == 0


def test_the_server_corrects_it() -> None:
    budget = TradingBudget()
    counter = budget.pair("X/Y")
    counter.correct(40, S)
    assert counter.level(S) == 40
    counter.begin(5)
    counter.correct(10, S)
    assert counter.level(S) == 15, "what has no answer yet comes on top"
    counter.refused(S)
    assert counter.wait_ns(1, S) > 0
    assert budget.open_orders_max == 60
    budget.set_points_max(180)
    assert counter.tier.points_max == 180 and budget.open_orders_max == 225


def test_the_number_of_pairs_is_bounded() -> None:
    budget = TradingBudget()
    budget.PAIRS_MAX = 10  # type: ignore[misc]
    for number in range(100):
        assert isinstance(budget.pair(f"P{number}/X"), PairCounter)
    assert len(budget._pairs) == 10
