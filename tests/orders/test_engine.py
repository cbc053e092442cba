"""Order entry's life and its loop: starts, ends, listeners that fail, an idle client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from order_box import OrderWorld
from order_story import play, sent

from kraken_fast.errors import ClosedError, OrderBlockedError, UnknownSymbolError
from kraken_fast.orders.engine import REQ_ID_FIRST, REQ_ID_LAST
from kraken_fast.orders.records import OrderState


def test_nothing_leaves_before_the_start_nor_after_the_end() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open(wait=False)
        with pytest.raises(OrderBlockedError, match="not started"):
            await entry.add_order(**world.buy())
        await entry.start()
        order = await entry.add_order(**world.buy())
        waiting = asyncio.ensure_future(order.done())
        await asyncio.sleep(0)
        await entry.close()
        await entry.close()
        with pytest.raises(ClosedError, match="order entry was closed; order"):
            await waiting
        with pytest.raises(ClosedError):
            await entry.add_order(**world.buy())
        assert len(sent(world, "add_order")) == 1

    world.run(main())


def test_closing_while_it_starts() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open(wait=False)
        world.line.outage_s = 1000
        starting = asyncio.ensure_future(entry.start())
        await asyncio.sleep(0)
        await entry.close()
        with pytest.raises(ClosedError, match="starting"):
            await starting

    world.run(main())


def test_a_failing_listener_is_counted_and_changes_nothing() -> None:
    async def main(world: OrderWorld) -> None:
        def fail(_order: Any, _before: Any) -> None:
            raise ValueError("a bug of the user's")

        world.entry.table.on_order = fail
        order = await world.entry.add_order(**world.buy())
        await world.entry.cancel_order(order=order)
        assert (await order.done()).state is OrderState.CANCELED
        assert world.entry.table.counts.callback_failures > 3

    play(main)


def test_numbers_of_requests_leave_those_of_subscriptions_alone_and_begin_anew() -> None:
    async def main(world: OrderWorld) -> None:
        world.entry._req_id = REQ_ID_LAST - 1
        for _ in range(3):
            await world.entry.add_order(**world.buy())
        numbers = [request["req_id"] for request in sent(world, "add_order")]
        assert numbers == [REQ_ID_LAST, REQ_ID_FIRST, REQ_ID_FIRST + 1]

    play(main)


@pytest.mark.fault("V08", kind="D")
def test_an_idle_order_entry_hardly_wakes() -> None:
    async def main(world: OrderWorld) -> None:
        await world.entry.add_order(**world.buy())
        await asyncio.sleep(5)
        turns, pings = world.loop.turns, len(world.line.sent)
        await asyncio.sleep(100)
        assert world.loop.turns - turns <= 50 * 100
        assert len(world.line.sent) - pings <= 11

    play(main)


def test_a_symbol_that_is_not_known() -> None:
    async def main(world: OrderWorld) -> None:
        with pytest.raises(UnknownSymbolError):
            await world.entry.add_order(**world.buy(symbol="NO/SUCH"))

    play(main)


def test_the_tier_is_learned_from_the_line() -> None:
    async def main(world: OrderWorld) -> None:
        assert world.entry.table.budget.tier.points_max == 180
        world.entry.on_rate_limit(60)
        assert world.entry.table.budget.tier.name == "starter"

    play(main)


def test_the_journal_stays_bounded_and_restores_what_is_open() -> None:
    world = OrderWorld(limit_orders=False)

    async def main() -> None:
        entry = await world.open()
        entry._journal._compact_bytes = 20_000
        keep = await entry.add_order(**world.buy(cl_ord_id="keep"))
        for _ in range(200):
            order = await entry.add_order(**world.buy())
            await entry.cancel_order(order=order)
            await order.done()
            assert len(world.storage.data) < 25_000
        world.kill()
        await asyncio.sleep(1)
        again = (await world.open()).table.find("keep")
        assert again is not keep and again.state.is_live and again.order_id == keep.order_id
        assert (again.order_qty, again.limit_price) == (keep.order_qty, keep.limit_price)

    world.run(main())
