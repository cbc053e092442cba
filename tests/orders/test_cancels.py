"""Cancels of every kind over the exchange in a box."""

from __future__ import annotations

from typing import Any

import pytest
from order_box import BTC, OrderWorld
from order_story import play, sent, until

from kraken_fast.errors import InvalidOrderError, KrakenFastError, OutcomeUnknownError
from kraken_fast.orders.records import OrderState


async def three(world: OrderWorld, number: int = 77) -> list[Any]:
    return [
        await world.entry.add_order(**world.buy()),
        await world.entry.add_order(**world.buy(order_userref=number)),
        await world.entry.add_order(**world.buy(cl_ord_id=f"three{number}")),
    ]


def test_by_every_name() -> None:
    async def main(world: OrderWorld) -> None:
        first, second, third = await three(world)
        answer = await world.entry.cancel_order(order_id=first.order_id, order_userref=77, cl_ord_id="three77")
        assert sorted(answer.taken) == sorted([first.order_id, "77", "three77"]) and not answer.gone
        for order in (first, second, third):
            assert (await order.done()).state is OrderState.CANCELED
        assert len(sent(world, "cancel_order")) == 3, "a refusal names no order: one request for each"

    play(main)


def test_several_of_which_one_is_gone() -> None:
    async def main(world: OrderWorld) -> None:
        first, second, _ = await three(world)
        answer = await world.entry.cancel_order(order=[first, second], order_id="OAAAAA-BBBBB-CCCCCC")
        assert len(answer.taken) == 2 and answer.gone == ["OAAAAA-BBBBB-CCCCCC"]

    play(main)


def test_what_names_nothing_or_one_twice_is_refused() -> None:
    async def main(world: OrderWorld) -> None:
        first, *_ = await three(world)
        for how in ({}, {"order": [first, first]}, {"order_id": []}):
            with pytest.raises(InvalidOrderError):
                await world.entry.cancel_order(**how)
        with pytest.raises(InvalidOrderError):
            await world.entry.batch_cancel(orders=[first])
        for timeout in (-1, 86_400, True, 1.5):
            with pytest.raises(InvalidOrderError):
                await world.entry.cancel_all_orders_after(timeout=timeout)

    play(main)


def test_an_order_on_its_way_is_waited_for() -> None:
    async def main(world: OrderWorld) -> None:
        import asyncio

        adding = asyncio.ensure_future(world.entry.add_order(**world.buy(cl_ord_id="young")))
        await asyncio.sleep(0)
        order = world.entry.table.find("young")
        assert order.state is OrderState.SENT
        await world.entry.cancel_order(order=order)
        assert (await order.done()).state is OrderState.CANCELED
        await adding

    play(main)


def test_all_and_batches_and_mine() -> None:
    async def main(world: OrderWorld) -> None:
        orders = await three(world)
        assert await world.entry.cancel_all() == 3
        assert await world.entry.cancel_all() == 0
        assert not (await world.entry.cancel_mine()).taken
        orders = await three(world, 78)
        assert await world.entry.batch_cancel(orders=orders[:2], cl_ord_id=[]) == 2
        fourth = await world.entry.add_order(**world.buy(cl_ord_id="four"))
        assert await world.entry.batch_cancel(orders=[fourth.order_id], cl_ord_id=["three78"]) == 2
        for order in (*orders, fourth):
            assert (await order.done()).state is OrderState.CANCELED

    play(main)


def test_all_of_them_by_rest_while_the_line_is_down() -> None:
    async def main(world: OrderWorld) -> None:
        orders = await three(world)
        world.line.refuses_writes = True
        assert await world.entry.batch_cancel(orders=orders[:2]) == 2
        await world.entry.cancel_order(order=orders[2])
        assert await world.entry.cancel_all() == 0
        assert set(await world.entry.cancel_all_orders_after(timeout=60)) >= {"currentTime", "triggerTime"}
        await world.entry.disarm_switch()
        assert world.account.cancel_at_ns is None
        for order in orders:
            assert (await order.done()).state is OrderState.CANCELED

    play(main)


def test_without_any_answer_it_is_unknown_and_may_be_repeated() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("request_lost", endpoint="cancel_order", count=1)
        with pytest.raises(OutcomeUnknownError) as caught:
            await world.entry.cancel_order(order=order)
        assert caught.value.retryable and order.is_cancelling and order.state.is_live
        await world.entry.cancel_order(order=order)
        await order.done()

    play(main, with_rest=False)


def test_a_refusal_for_another_reason_is_raised() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("reject", endpoint="cancel_order", error="EGeneral:Permission denied")
        with pytest.raises(KrakenFastError, match="Permission denied"):
            await world.entry.cancel_order(order=order)
        assert not order.is_cancelling and order.state.is_live

    play(main)


def test_the_switch_by_hand() -> None:
    async def main(world: OrderWorld) -> None:
        answer = await world.entry.cancel_all_orders_after(timeout=60)
        assert set(answer) == {"currentTime", "triggerTime"} and world.account.cancel_at_ns is not None
        await world.entry.disarm_switch()
        await until(lambda: world.account.cancel_at_ns is None, 1)
        assert world.entry.cancel_cost(await world.entry.add_order(**world.buy())) == 8
        assert BTC in world.core.listing.pairs

    play(main)
