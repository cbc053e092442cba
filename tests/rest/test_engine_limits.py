"""The engine's counter of a pair: paced so that the exchange never refuses, and never in the way of a cancel."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
import report
from rest_box import Boxed, World, ok, refusal

from kraken_fast.config import RestSettings
from kraken_fast.errors import ConfigError, RateLimitError
from kraken_fast.policy import SECOND_NS
from kraken_fast.rest.catalogue import ENDPOINTS
from kraken_fast.rest.client import RestCore
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.engine_limits import ENGINE_TIERS, EngineLimits, penalty
from kraken_fast.sim import limits as exchange_limits
from kraken_fast.sim.account import NewAccount

LIMIT = {"symbol": "BTC/USD", "side": "buy", "ord_type": "limit", "qty": "0.1", "price": "10.0", "deadline": None}
ADD = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1.0", "volume": "1"}


def test_the_tables_agree_with_the_exchanges() -> None:
    for name, tier in ENGINE_TIERS.items():
        theirs = exchange_limits.TIERS[name]
        assert (tier.points_max, tier.decay_per_s) == (theirs.engine_max, float(theirs.engine_decay))
    for age_s in range(310):
        for endpoint, action in (("AmendOrder", "amend"), ("EditOrder", "edit"), ("CancelOrder", "cancel")):
            theirs_points = exchange_limits.penalty(action, age_s * SECOND_NS)  # type: ignore[arg-type]
            assert penalty(endpoint, age_s * SECOND_NS) == theirs_points


def test_the_example_of_the_docs() -> None:
    # An add, an amend at 7 s, a cancel 36 s later: 1 + 1 + 2 + 4.
    world = World()
    engine = EngineLimits(world.clock, "starter")
    points = 0.0

    async def call(name: str, fields: dict[str, Any], result: Any) -> None:
        nonlocal points
        points += sum(charge.points for charge in engine.charges(ENDPOINTS[name], fields))
        async with engine.turn(ENDPOINTS[name], fields, 0):
            pass
        engine.learn(ENDPOINTS[name], fields, result)

    async def main() -> None:
        await call("AddOrder", ADD, {"txid": ["O1"]})
        await asyncio.sleep(7)
        await call("AmendOrder", {"txid": "O1"}, {"amend_id": "T"})
        await asyncio.sleep(36)
        await call("CancelOrder", {"txid": "O1"}, {"count": 1})
        await call("CancelOrder", {"txid": "O1"}, {"count": 1})  # gone: nothing more
        assert points == 8

    world.run(main())


@pytest.mark.fault("L02", kind="D")
@pytest.mark.parametrize("tier", ["starter", "intermediate", "pro"])
def test_at_full_pace_the_exchange_never_refuses(tier: str) -> None:
    world = World()
    boxed = Boxed(world, way_s=0.02, limit_calls=False, accounts=[NewAccount(tier=tier)])  # type: ignore[arg-type]
    rng = Random(5)

    async def main() -> None:
        settings = RestSettings(tier=tier, queue_wait_s=3600)
        async with boxed.client(RestClient, settings=settings) as client:
            await client.instruments()
            resting: list[str] = []
            begin, calls = world.seconds, 0
            while world.seconds - begin < 900:
                calls += 1
                match rng.randrange(5) if len(resting) > 3 else 0:
                    case 0 | 1:
                        resting.append(str((await client.add_order(**LIMIT)).order_id))
                    case 2:
                        order_id = rng.choice(resting)
                        qty = f"0.1{calls:05d}"
                        await client.amend_order(order_id=order_id, qty=qty, deadline=None)
                    case 3:
                        await client.cancel_order(order_id=resting.pop(rng.randrange(len(resting))))
                    case 4:
                        row = {"type": "buy", "ordertype": "limit", "volume": "0.1", "price": "10.0"}
                        rows = await client.add_orders(symbol="BTC/USD", orders=[row, row, row], deadline=None)
                        resting += [str(row.order_id) for row in rows]
                if len(resting) > 40:
                    await client.cancel_orders(order_ids=resting)
                    resting.clear()
            assert boxed.port.refused == 0
            assert calls > 150
            report.note(f"order calls in 15 min at full pace, {tier}", f"{calls}, {boxed.port.refused} refused")

    world.run(main())


@pytest.mark.fault("L02", kind="D")
def test_cancels_never_wait_and_what_follows_waits_the_longer() -> None:
    world = World()
    boxed = Boxed(world, way_s=0.01, accounts=[NewAccount(tier="starter")])

    async def main() -> None:
        async with boxed.client(RestClient) as client:
            await client.instruments()
            placed = [await client.add_order(**LIMIT) for _ in range(50)]
            level = client.stats().engine["BTC/USD"]
            assert 45 < level <= 50
            begin = world.seconds
            for order in placed:
                await client.cancel_order(order_id=order.order_id)
            assert world.seconds - begin < 50 * 0.021  # 8 points each, far above the threshold
            assert client.stats().engine["BTC/USD"] > 300
            assert await client.fetch_open_orders() == ()
            with pytest.raises(RateLimitError) as caught:
                await client.call("AddOrder", ADD, wait_max_s=10)
            assert not caught.value.sent
            assert caught.value.retry_after_s > 240
            assert boxed.port.refused == 0

    world.run(main())


@pytest.mark.fault("L02", kind="D")
def test_the_cost_is_shown_before_and_who_will_not_wait_is_told() -> None:
    world = World(AddOrder=ok({"txid": ["O1"]}), AmendOrder=ok({"amend_id": "T1"}), CancelOrder=ok({"count": 1}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            (charge,) = client.charges("AddOrder", ADD)
            assert (charge.points, charge.level, charge.points_max, charge.waits) == (1, 0, 60, True)
            await client.call("AddOrder", ADD)
            (amend,) = client.charges("AmendOrder", {"txid": "O1"})
            (cancel,) = client.charges("CancelOrder", {"txid": "O1"})
            assert (amend.points, cancel.points, cancel.waits) == (4, 8, False)
            assert client.charges("AddOrder", {**ADD, "validate": True}) == []
            assert client.charges("CancelOrder", {"txid": "of somebody else"}) == []
            assert client.charges("Balance", {}) == []
            for _ in range(59):
                await client.call("AddOrder", {**ADD, "cl_ord_id": "kf"})
            with pytest.raises(RateLimitError, match="engine XBTUSD"):
                await client.call("AddOrder", ADD, wait_max_s=0)
            await client.call("AddOrder", {**ADD, "pair": "ETHUSD"}, wait_max_s=0)  # another pair
            begin = world.seconds
            await client.call("AddOrder", ADD)
            assert 0.9 < world.seconds - begin < 1.1

    world.run(main())


@pytest.mark.fault("L03", kind="D")
def test_a_refusal_by_the_engine_corrects_the_model_and_leaves_queries_alone() -> None:
    world = World(AddOrder=[refusal("EOrder:Rate limit exceeded"), ok({"txid": ["O1"]})], Balance=ok({}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            with pytest.raises(RateLimitError) as caught:
                await client.call("AddOrder", ADD)
            assert caught.value.retryable
            assert client.stats().engine["XBTUSD"] >= 60
            begin = world.seconds
            await client.call("Balance")
            assert world.seconds == begin
            await client.call("AddOrder", ADD)
            assert world.seconds - begin >= 5

    world.run(main())


def test_a_tier_that_was_learned_counts_from_then_on() -> None:
    world = World(AddOrder=ok({"txid": ["O1"]}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            client.set_tier("pro")
            assert client.charges("AddOrder", ADD)[0].points_max == 180
            assert client.stats().tier == "pro"
            with pytest.raises(ConfigError, match="tier"):
                client.set_tier("gold")

    world.run(main())


def test_what_is_remembered_is_bounded() -> None:
    world = World()
    engine = EngineLimits(world.clock, "pro")
    for number in range(30_000):
        engine.learn(ENDPOINTS["AddOrder"], ADD, {"txid": [f"O{number}"]})
    assert not engine.charges(ENDPOINTS["CancelOrder"], {"txid": "O0"})
    assert engine.charges(ENDPOINTS["CancelOrder"], {"txid": "O29999"})
    for number in range(9_000):
        engine.charges(ENDPOINTS["AddOrder"], {**ADD, "pair": f"P{number}"})
    assert len(engine._lanes) <= 4_096
