"""Faults that strike a trader's account, orders and switch together, each by name; the swarm draws them mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from report import note

from kraken_fast.errors import OrderBlockedError
from kraken_fast.orders.deadman import SwitchState
from kraken_fast.orders.records import OrderState
from kraken_fast.sim.network import Route
from kraken_fast.sim.plan import Act, Plan

from .accounts import BTC, S
from .trader import Process
from .trader_swarm import TraderRun

TERMS = {"symbol": BTC, "side": "buy", "order_type": "limit", "order_qty": "0.01", "limit_price": "1000.0"}


def plan_of(*acts: Act) -> Plan:
    """A plan without faults but these."""
    return Plan(3, (BTC,), ("executions", "balances"), 10, 2.0, Route(), False, acts, who="trader")


def run(story: Callable[[TraderRun, Process], Awaitable[None]]) -> TraderRun:
    """Let a story happen to a trader, the judge watching; then all must be level."""
    made = TraderRun(plan_of())

    async def live() -> None:
        await made.trader.begin()
        assert made.trader.process is not None
        try:
            await story(made, made.trader.process)
            await made._converge()
        finally:
            await made.trader.end()

    made.world.run(live())
    return made


def ask(made: TraderRun, name: str) -> dict[str, str]:
    """The terms of an order, told to the judge."""
    terms = {**TERMS, "cl_ord_id": name}
    made.oracle.on_asked(name, terms)
    return terms


@pytest.mark.fault("P06", kind="D")
def test_a_process_that_slept_a_minute_looks_its_orders_up_and_says_that_the_switch_lapsed() -> None:
    async def story(made: TraderRun, process: Process) -> None:
        world, entry = made.world, process.entry
        made.trader.wants_switch = True
        entry.arm_switch()
        orders = [await entry.add_order(**ask(made, f"s{number}")) for number in range(3)]
        await asyncio.sleep(1)
        assert entry.switch.state is SwitchState.ARMED
        world.loop.block(90.0)
        await asyncio.sleep(0)
        assert process.account.quality != "live", "stale at once"
        woke_s = world.now_s
        await world.until(lambda: process.account.quality == "live" and entry.is_ready, 5.0)
        await world.until(lambda: all(order.state is OrderState.CANCELED for order in orders), 5.0)
        assert entry.switch.state is SwitchState.LAPSED
        assert not world.account.live_orders()
        note("P06 a minute and a half asleep: all known again after s", round(world.now_s - woke_s, 3))

    run(story)


@pytest.mark.fault("K13", kind="D")
def test_after_a_halt_no_order_leaves_before_the_open_ones_are_known() -> None:
    async def story(made: TraderRun, process: Process) -> None:
        world, entry = made.world, process.entry
        order = await entry.add_order(**ask(made, "h1"))
        world.core.set_system_status("maintenance")
        world.network.wake()
        await asyncio.sleep(1)
        with pytest.raises(OrderBlockedError):
            await entry.add_order(**ask(made, "h2"))
        calls = world.http.count("QueryOrders")
        world.core.set_system_status("online")
        world.network.wake()
        await world.until(lambda: entry.status is not None and entry.status.system == "online", 1.0)
        with pytest.raises(OrderBlockedError, match="maintenance"):
            await entry.add_order(**ask(made, "h3"))
        await world.until(lambda: entry.is_ready, 5.0)
        assert world.http.count("QueryOrders") > calls
        assert order.state is OrderState.OPEN
        await entry.add_order(**ask(made, "h4"))
        assert {each.cl_ord_id for each in world.account.orders.values()} == {"h1", "h4"}

    run(story)


@pytest.mark.fault("P07", kind="D")
@pytest.mark.fault("A08", kind="D")
def test_steps_of_the_wall_clock_touch_neither_nonces_nor_deadlines() -> None:
    """An hour back and ahead while orders go out: nonces rise, each deadline is right in the exchange's own time."""
    errors: list[float] = []

    async def story(made: TraderRun, process: Process) -> None:
        world, entry = made.world, process.entry
        for number, step_s in enumerate((-3600, 3600, 3600, -3600)):
            world.clock.step_wall(step_s * S)
            order = await entry.add_order(**ask(made, f"w{number}"), deadline_s=5.0)
            errors.append(abs(order.deadline_epoch_ns - world.core.now_ns() - 5 * S) / S)
            await process.rest.call("Balance", {})
            await asyncio.sleep(5)
            assert order.state is OrderState.OPEN
            assert process.account.quality == "live"

    made = run(story)
    assert max(errors) <= 0.1, errors
    assert made.oracle.counts["S21"] >= 4
