"""The dead man's switch over the exchange in a box: fired in an outage, renewed in time, never by a loop that hangs."""

from __future__ import annotations

import asyncio

import pytest
from order_box import OrderWorld, S
from order_story import play, until

from kraken_fast.orders.deadman import SwitchState
from kraken_fast.orders.records import OrderState


@pytest.mark.fault("O23", kind="D")
def test_the_switch_fires_during_an_outage() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.entry.arm_switch()
        await until(lambda: world.entry.switch.state is SwitchState.ARMED, 1)
        world.line.outage_s = 90
        world.port.is_down = True
        world.line.drop()
        await asyncio.sleep(80)
        assert world.entry.switch.state is SwitchState.LAPSED
        world.port.is_down = False
        await until(lambda: world.line.is_up, 30)
        await until(lambda: order.state is OrderState.CANCELED, 2)
        await asyncio.sleep(30)
        assert world.entry.switch.state is SwitchState.LAPSED, "armed again only by its owner"
        assert any("lapsed" in text for text in world.events)
        world.entry.arm_switch()
        await until(lambda: world.entry.switch.state is SwitchState.ARMED, 1)

    play(main, switch_s=60)


@pytest.mark.fault("O24", kind="D")
def test_the_switch_is_renewed_in_time_by_line_or_rest() -> None:
    async def main(world: OrderWorld) -> None:
        margins: list[float] = []

        def look() -> None:
            if world.account.cancel_at_ns is not None:
                margins.append((world.account.cancel_at_ns - world.timeline.wall_ns()) / S)

        world.entry.arm_switch()
        for second in range(300):
            if second == 100:
                world.line.outage_s = 60
                world.line.drop()
            if second == 200:
                world.loop.block(20)
            await asyncio.sleep(1)
            look()
        assert min(margins) >= 20, "from 15 s renewals to 60 s"
        assert "CancelAllOrdersAfter" in world.port.calls and world.entry.switch.state is SwitchState.ARMED

    play(main, switch_s=60)


@pytest.mark.fault("O24", kind="D")
def test_a_loop_that_hangs_does_not_renew_the_switch() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.entry.arm_switch()
        await asyncio.sleep(1)
        world.loop.block(70)
        await asyncio.sleep(0.1)
        assert world.entry.switch.state is SwitchState.LAPSED
        await until(lambda: order.state is OrderState.CANCELED, 5)

    play(main, switch_s=60)


@pytest.mark.fault("O24", kind="D")
def test_an_unrenewed_switch_warns() -> None:
    async def main(world: OrderWorld) -> None:
        world.entry.arm_switch()
        await asyncio.sleep(1)
        world.port.is_down = True
        world.line.outage_s = 120
        world.line.drop()
        await asyncio.sleep(32)
        assert world.entry.switch.warnings == 1

    play(main, switch_s=60)
