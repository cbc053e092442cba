"""Plans of traders: drawn from a seed alone, of all kinds, and kept when they are written down."""

from __future__ import annotations

from kraken_fast.sim.faults import KINDS
from kraken_fast.sim.plan import FAULTS_S, OF_THE_USER, Plan
from kraken_fast.sim.trader_plan import SYMBOL, TRADER_KINDS, draw_trader

OF_THE_MACHINE = {"dns_down", "syn_lost", "block"}


def test_a_seed_draws_one_plan_and_seeds_draw_all_kinds() -> None:
    plans = [draw_trader(seed) for seed in range(300)]
    assert plans[7] == draw_trader(7) != draw_trader(8)
    assert {act.kind for plan in plans for act in plan.acts} == {*TRADER_KINDS, "trade", "other_lines"}
    for plan in plans:
        assert plan.who == "trader"
        assert plan.symbols == (SYMBOL,)
        assert all(0 <= act.begin_s <= act.begin_s + act.lasts_s <= FAULTS_S for act in plan.acts)
        assert any(act.kind == "trade" for act in plan.acts)
        assert Plan.from_json(plan.to_json()) == plan


def test_every_kind_is_somebodys() -> None:
    assert set(TRADER_KINDS) <= KINDS.keys() | OF_THE_USER | OF_THE_MACHINE
