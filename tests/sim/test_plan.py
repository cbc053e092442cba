"""Plans: drawn from a seed alone, every kind carried out, nothing lost when they are written down."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from kraken_fast.sim.acts import Stage
from kraken_fast.sim.core import ExchangeCore
from kraken_fast.sim.network import Network, Route
from kraken_fast.sim.plan import FAULTS_S, KINDS, OF_A_READER, Act, Plan, draw
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run


def test_a_seed_draws_one_plan_and_seeds_draw_all_kinds() -> None:
    plans = [draw(seed) for seed in range(300)]
    assert plans[7] == draw(7) != draw(8)
    assert {act.kind for plan in plans for act in plan.acts} == set(KINDS)
    assert len({len({act.kind for act in plan.acts}) for plan in plans}) > 10, "few kinds in most, nearly all in some"
    for plan in plans:
        assert all(0 <= act.begin_s <= act.begin_s + act.lasts_s <= FAULTS_S for act in plan.acts)
        assert Plan.from_json(plan.to_json()) == plan
        assert json.loads(plan.to_json())["seed"] == plan.seed
        assert len(str(plan).splitlines()) == 1 + len(plan.acts)


def test_every_kind_is_carried_out() -> None:
    """Each once, one after the other; what the user does is left to the user."""
    acts = [
        Act(0.1 + i / 10, 0.05, act.kind, act.settings)
        for i, act in enumerate({act.kind: act for seed in range(300) for act in draw(seed).acts}.values())
    ]
    plan = Plan(1, ("BTC/USD",), ("book",), 10, 1.0, Route(), False, tuple(acts))
    timeline = Timeline()
    loop = VirtualLoop(timeline)
    core = ExchangeCore(plan.symbols, seed=1, now_ns=timeline.wall_ns)
    network = Network(loop, core)
    stage = Stage(plan, loop, core, network)
    told: list[str] = []
    stage.on_user_act = lambda act: told.append(act.kind)

    async def main() -> None:
        stage.begin()
        await asyncio.sleep(60)
        network.dns_down = True
        stage.heal()

    run(loop, main())
    assert set(told) == OF_A_READER
    assert stage.done == Counter(KINDS.keys())
    assert not network.dns_down and not network.syn_lost
    assert core.system_status == "online"
    assert stage.injected >= 3, "dns_down, syn_lost, block at the least"
