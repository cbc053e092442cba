"""What keeps orders in: counters, ceilings, states of the exchange, limits of our own; over the box in virtual time."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from order_box import BTC, OrderWorld
from order_story import STATUS, play, sent, until

from kraken_fast.errors import InvalidOrderError, OrderBlockedError, OrderRejectedError, RateLimitError
from kraken_fast.orders.deadman import SwitchState
from kraken_fast.orders.settings import OrderLimits

# Limits and states -----------------------------------------------------------------------------------------------


@pytest.mark.fault("L02", kind="D")
def test_paced_orders_are_never_refused_for_their_rate() -> None:
    async def main(world: OrderWorld) -> None:
        refused = 0
        for number in range(400):
            try:
                order = await world.entry.add_order(**world.buy())
                if number % 3 == 0:
                    await world.entry.cancel_order(order=order)
                elif number % 3 == 1:
                    await world.entry.amend_order(order=order, limit_price="1001.0")
            except RateLimitError:
                refused += 1
            if number % 150 == 149:
                await world.entry.cancel_all()
                await asyncio.sleep(0.02)  # what that cost is told by its events, which follow the answer
        assert refused == 0
        assert not [asked for asked in world.core.asked if "EOrder:Rate limit exceeded" in asked.errors]

    play(main)


@pytest.mark.fault("L02", kind="D")
@pytest.mark.fault("S33", kind="D")
def test_a_full_counter_refuses_at_once_if_asked_and_never_holds_back_a_cancel() -> None:
    async def main(world: OrderWorld) -> None:
        orders = [await world.entry.add_order(**world.buy()) for _ in range(20)]
        for order in orders[:15]:
            before = world.now_s
            await world.entry.cancel_order(order=order)
            assert world.now_s - before < 0.05
        world.entry.table.budget.pair(BTC).correct(180, world.clock.monotonic_ns)
        with pytest.raises(RateLimitError) as caught:
            await world.entry.add_order(**world.buy())
        assert 0 < caught.value.retry_after_s < 1
        before = world.now_s
        await world.entry.cancel_order(order=orders[19])
        assert world.now_s - before < 0.05
        assert world.entry.cancel_cost(orders[18]) == 8

    play(main, when_limited="refuse")


@pytest.mark.fault("L03", kind="D")
def test_a_refusal_for_the_rate_is_definite_and_teaches_the_counter() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("reject", endpoint="add_order", error="EOrder:Rate limit exceeded")
        with pytest.raises(RateLimitError) as caught:
            await world.entry.add_order(**world.buy())
        assert caught.value.retryable and not caught.value.sent
        counter = world.entry.table.budget.pair(BTC)
        assert counter.wait_ns(1, world.clock.monotonic_ns) > 0
        await world.entry.add_order(**world.buy())

    play(main)


@pytest.mark.fault("L07", kind="D")
def test_the_open_order_ceiling_is_typed_there_and_kept_here() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("reject", endpoint="add_order", error="EOrder:Orders limit exceeded")
        with pytest.raises(OrderRejectedError, match="Orders limit exceeded"):
            await world.entry.add_order(**world.buy())
        for _ in range(225):
            await world.entry.add_order(**world.buy())
        with pytest.raises(OrderBlockedError, match="225 orders of BTC/USD are open"):
            await world.entry.add_order(**world.buy())
        await world.entry.cancel_all()

    play(main)


@pytest.mark.fault("K11", kind="D")
@pytest.mark.fault("S34", kind="D")
def test_nothing_leaves_during_maintenance_and_all_is_looked_up_after_it() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("text", text=STATUS % "maintenance")
        await until(lambda: world.entry.status.system == "maintenance", 2)
        before = len(world.line.sent)
        for call in (
            world.entry.add_order(**world.buy()),
            world.entry.amend_order(order=order, limit_price="1001.0"),
            world.entry.cancel_order(order=order),
        ):
            with pytest.raises(OrderBlockedError, match="maintenance"):
                await call
        orders = [text for text in world.line.sent[before:] if b"ping" not in text]
        assert orders == []
        world.faults.inject("text", text=STATUS % "online")
        await until(lambda: world.entry.status.system == "online", 2)
        await until(lambda: world.entry.is_ready, 5)
        assert "QueryOrders" in world.port.calls
        await world.entry.add_order(**world.buy())

    play(main)


@pytest.mark.fault("K12", kind="D")
@pytest.mark.parametrize(
    ("state", "allowed"),
    [("cancel_only", None), ("post_only", {"post_only": True}), ("limit_only", {}), ("maintenance", None)],
)
def test_only_what_a_state_allows_leaves(state: str, allowed: dict[str, Any] | None) -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("text", text=STATUS % state)
        await until(lambda: world.entry.status.system == state, 2)
        market = {"limit_price": None, "order_type": "market"}
        with pytest.raises(OrderBlockedError, match=state):
            await world.entry.add_order(**world.buy(**market))
        assert sent(world, "add_order") == []
        if allowed is not None:
            await world.entry.add_order(**world.buy(**allowed))

    play(main)


@pytest.mark.fault("K11", kind="D")
def test_the_switch_is_disarmed_before_announced_maintenance() -> None:
    async def main(world: OrderWorld) -> None:
        world.entry.arm_switch()
        await until(lambda: world.account.cancel_at_ns is not None, 1)
        soon = {"event_id": "m", "phase": "imminent_5m", "affected_services": ["spot_trading"]}
        world.faults.inject("text", text=(STATUS % "online").replace('"upcoming_maintenance":[]',
                            f'"upcoming_maintenance":[{json.dumps(soon)}]'))  # fmt: skip
        await until(lambda: world.entry.switch.state is SwitchState.OFF, 2)
        assert world.account.cancel_at_ns is None

    play(main, switch_s=60)



@pytest.mark.parametrize(
    ("limits", "terms", "words"),
    [
        ({"order_notional_max": Decimal(9)}, {}, "worth 10.000, above order_notional_max 9"),
        ({"open_notional_max": Decimal(15)}, {}, "open orders would be worth 20"),
        ({"collar": Decimal("0.05")}, {"limit_price": "90000.0"}, "above the collar"),
        ({"collar": Decimal("0.05")}, {"side": "sell", "limit_price": "100.0"}, "below the collar"),
        ({"order_notional_max": Decimal(9)}, {"order_type": "market", "limit_price": None}, "above order_notional_max"),
    ],
)
def test_limits_of_our_own_keep_an_order_in(limits: dict[str, Any], terms: dict[str, Any], words: str) -> None:
    async def main(world: OrderWorld) -> None:
        if "open_notional_max" in limits:
            await world.entry.add_order(**world.buy())
        before = len(sent(world, "add_order"))
        with pytest.raises(InvalidOrderError, match=words):
            await world.entry.add_order(**world.buy(**terms))
        assert len(sent(world, "add_order")) == before

    play(main, limits=OrderLimits(**limits), quotes=True)


def test_without_a_live_book_nothing_leaves_if_limits_need_one() -> None:
    async def main(world: OrderWorld) -> None:
        with pytest.raises(OrderBlockedError, match="no live quote"):
            await world.entry.add_order(**world.buy())

    play(main, limits=OrderLimits(collar=Decimal("0.1"), needs_quote=True))


def test_fewer_open_orders_than_the_exchange_allows() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        with pytest.raises(OrderBlockedError, match="1 orders of BTC/USD are open, 1 may be"):
            await world.entry.add_order(**world.buy())
        await world.entry.cancel_order(order=order)
        await order.done()
        await world.entry.add_order(**world.buy())

    play(main, limits=OrderLimits(open_orders_max=1))


def test_the_kill_switch_keeps_orders_in_and_lets_cancels_out() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.entry.kill("enough")
        for call in (world.entry.add_order(**world.buy()), world.entry.amend_order(order=order, order_qty="1")):
            with pytest.raises(OrderBlockedError, match="enough") as caught:
                await call
            assert not caught.value.retryable
        await world.entry.cancel_order(order=order)
        await order.done()
        world.entry.revive()
        await world.entry.add_order(**world.buy())

    play(main)
