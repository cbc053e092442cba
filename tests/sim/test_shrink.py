"""Shrinking finds the acts that matter, and keeps to its allowance of runs."""

from __future__ import annotations

from dataclasses import replace

from kraken_fast.sim.network import Route
from kraken_fast.sim.plan import Act, Plan, draw
from kraken_fast.sim.shrink import shrink

PLAN = Plan(
    seed=1,
    symbols=("BTC/USD", "ETH/USD", "DOGE/USD"),
    channels=("book", "trade", "ohlc"),
    depth=10,
    rate=10.0,
    route=Route(jitter_ms=100.0),
    timers_first=True,
    acts=tuple(Act(float(i), 8.0 if i == 7 else 0.0, f"kind {i}") for i in range(40)),
)


def test_only_what_matters_is_left() -> None:
    runs = 0

    def run(plan: Plan) -> str:
        nonlocal runs
        runs += 1
        kinds = {act.kind for act in plan.acts}
        return "S01" if {"kind 7", "kind 31"} <= kinds and "ETH/USD" in plan.symbols else ""

    smallest = shrink(PLAN, run)
    assert [act.kind for act in smallest.acts] == ["kind 7", "kind 31"]
    assert smallest.symbols == ("ETH/USD",)
    assert smallest.channels == ("book",)
    assert (smallest.route, smallest.timers_first) == (Route(), False)
    assert smallest.acts[0].lasts_s <= 1.0
    assert smallest.faults_s == 36.0
    assert runs < 100


def test_another_failure_is_not_the_same_failure() -> None:
    def run(plan: Plan) -> str:
        return "S01" if len(plan.acts) >= 20 else "V07"

    assert len(shrink(PLAN, run).acts) == 20


def test_a_plan_that_holds_is_left_alone_and_runs_are_bounded() -> None:
    assert shrink(PLAN, lambda _plan: "") is PLAN
    runs = 0

    def run(plan: Plan) -> str:
        nonlocal runs
        runs += 1
        return "S01" if len(plan.acts) == 40 else ""

    assert shrink(PLAN, run, runs_max=10).acts == PLAN.acts
    assert runs == 11


def test_a_failure_without_any_act_loses_them_all() -> None:
    plan = replace(draw(5), acts=draw(5).acts[:9])
    assert shrink(plan, lambda _plan: "V01").acts == ()
