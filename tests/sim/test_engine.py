"""The matching engine: price, then time."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from kraken_fast.sim.engine import Fill, MatchingEngine, Step
from kraken_fast.sim.flow import Flow
from kraken_fast.sim.instruments import Listing


class Steps:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, int]] = []

    def on_step(self, step: Step) -> None:
        self.seen.append((step.side.side, step.kind, str(step.level.price), step.rank))


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def engine(steps: Steps) -> MatchingEngine:
    return MatchingEngine(Listing(["BTC/USD"]).pair("BTC/USD"), steps)


def D(text: str) -> Decimal:
    return Decimal(text)


def test_the_best_price_trades_first_and_at_one_price_the_oldest(engine: MatchingEngine) -> None:
    dear, _ = engine.submit("sell", D("1"), D("102"))
    first, _ = engine.submit("sell", D("1"), D("101"))
    second, _ = engine.submit("sell", D("1"), D("101"))
    _, fills = engine.submit("buy", D("2.5"), D("102"))
    assert fills == [
        Fill(first, D("101.0"), D("1")),
        Fill(second, D("101.0"), D("1")),
        Fill(dear, D("102.0"), D("0.5")),
    ]
    assert engine.orders[dear].qty == D("0.5")
    engine._check()


def test_what_a_limit_order_cannot_trade_rests_and_touches_both_sides(
    engine: MatchingEngine, steps: Steps
) -> None:
    engine.submit("sell", D("1"), D("101"))
    order, fills = engine.submit("buy", D("3"), D("101"))
    assert [fill.qty for fill in fills] == [1]
    assert engine.orders[order].qty == 2
    assert steps.seen[1:] == [("sell", "gone", "101.0", 0), ("buy", "new", "101.0", 0)]


def test_what_a_market_order_cannot_trade_is_dropped(engine: MatchingEngine) -> None:
    engine.submit("sell", D("1"), D("101"))
    _, fills = engine.submit("buy", D("3"))
    assert sum(fill.qty for fill in fills) == 1
    assert not engine.orders


def test_a_sweep_is_one_step_a_level(engine: MatchingEngine, steps: Steps) -> None:
    for price in ("101", "101", "102", "103"):
        engine.submit("sell", D("1"), D(price))
    steps.seen.clear()
    engine.submit("buy", D("3.5"))
    assert [(kind, price) for _, kind, price, _ in steps.seen] == [
        ("gone", "101.0"),
        ("gone", "102.0"),
        ("changed", "103.0"),
    ]


def test_less_keeps_the_place_in_the_queue_and_more_loses_it(engine: MatchingEngine) -> None:
    first, _ = engine.submit("buy", D("2"), D("100"))
    second, _ = engine.submit("buy", D("2"), D("100"))
    engine.amend(first, D("1"))
    assert list(engine.bids.at(0).orders) == [first, second]
    engine.amend(first, D("3"))
    assert list(engine.bids.at(0).orders) == [second, first]
    engine._check()


def test_moving_is_removal_before_insertion(engine: MatchingEngine, steps: Steps) -> None:
    order, _ = engine.submit("buy", D("2"), D("100"))
    steps.seen.clear()
    engine.move(order, D("99"), D("1"))
    assert steps.seen == [("buy", "gone", "100.0", 0), ("buy", "new", "99.0", 0)]


@pytest.mark.parametrize(("qty", "price"), [("0", "1"), ("-1", "1"), ("0.000000001", "1"), ("1", "0.01")])
def test_numbers_that_the_pair_cannot_hold_are_refused(engine: MatchingEngine, qty: str, price: str) -> None:
    with pytest.raises(ValueError, match="must be positive, with at most"):
        engine.submit("buy", D(qty), D(price))
    assert not engine.orders


def test_coarser_precision_moves_prices_apart_and_keeps_the_book_sound(engine: MatchingEngine) -> None:
    for price in ("100.1", "100.2", "99.9"):
        engine.submit("buy", D("1.00000001"), D(price))
    engine.submit("sell", D("0.00000001"), D("100.3"))
    engine.submit("sell", D("1"), D("100.4"))
    engine.requantize(engine.pair.with_precision(price=0, qty=2))
    engine._check()
    assert [(level.price, level.qty) for level in engine.bids] == [
        (D("100"), D("2.00")),
        (D("99"), D("1.00")),
    ]
    assert [(level.price, level.qty) for level in engine.asks] == [(D("101"), D("1.00"))]


@pytest.mark.parametrize("seed", range(3))
def test_the_crowd_keeps_every_invariant(seed: int) -> None:
    engine = MatchingEngine(Listing(["DOGE/USD"]).pair("DOGE/USD"), Steps())
    flow = Flow(engine, random.Random(seed), levels=15)
    for _ in range(1500):
        flow.step()
        engine._check()
    assert 5 < len(engine.bids) < 40
    assert 5 < len(engine.asks) < 40
