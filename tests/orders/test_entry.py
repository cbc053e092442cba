"""Order entry over the exchange in a box, in virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from order_box import BTC, OrderWorld

from kraken_fast.errors import InvalidOrderError, OrderRejectedError, OutcomeUnknownError
from kraken_fast.orders.records import Conditional, NewOrder, OrderState


def test_an_order_is_acknowledged_and_filled() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        order = await entry.add_order(**world.buy())
        assert order.state.is_live and order.order_id in world.account.orders
        ask = world.quote(BTC).ask
        taker = await entry.add_order(**world.buy(limit_price=ask, order_qty="0.001"))
        await taker.filled()
        assert taker.state is OrderState.FILLED
        truth = world.account.orders[taker.order_id]
        assert (taker.filled_qty, taker.cost) == (truth.filled, truth.cost)
        assert taker.filled_qty == Decimal("0.001") and taker.avg_price == ask
        assert taker.fees == {"USD": truth.fee}

    world.run(main())


def test_an_edit_places_another_order_and_ends_the_first() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        old = await entry.add_order(**world.buy(order_userref=7))
        new = await entry.edit_order(order_id=old.order_id, symbol=BTC, limit_price="1001.0", order_userref=8)
        assert new is not old and new.state.is_live and new.replaces == old.order_id
        await old.done()
        assert old.state is OrderState.CANCELED
        await asyncio.sleep(0.05)
        assert (new.limit_price, new.order_qty) == (Decimal("1001.0"), Decimal("0.01"))
        assert world.account.orders[new.order_id].live

    world.run(main())


def test_an_edit_of_what_has_a_client_id_is_refused_and_names_the_other_way() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        order = await entry.add_order(**world.buy())
        with pytest.raises(InvalidOrderError, match="use amend_order"):
            await entry.edit_order(order_id=order.order_id, symbol=BTC, limit_price="1001.0")
        assert order.state.is_live and not [text for text in world.line.sent if b"edit_order" in text]

    world.run(main())


@pytest.mark.parametrize("fault", ["accept_then_reset", "accept_no_reply", "request_lost"])
def test_an_edit_without_answer_is_found_by_its_number(fault: str) -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        old = await entry.add_order(**world.buy(order_userref=7))
        world.faults.inject(fault, endpoint="edit_order")
        world.faults.inject("stream_lag", ms=2500, count=10)
        with pytest.raises(OutcomeUnknownError) as caught:
            await entry.edit_order(order_id=old.order_id, symbol=BTC, limit_price="1001.0")
        new: Any = caught.value.order
        await new.resolved()
        placed = [order for order in world.account.orders.values() if order.userref == new.order_userref]
        assert len(placed) == (fault != "request_lost")
        assert new.state.is_live is bool(placed)
        if fault == "request_lost":
            assert new.state is OrderState.NOT_PLACED and old.state.is_live

    world.run(main())


def test_a_conditional_close_is_journalled_by_a_number_of_its_own() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        close = Conditional(order_type="limit", limit_price="70000.0")
        terms = world.buy(limit_price=world.quote(BTC).ask, order_qty="0.001")
        order = await entry.add_order(**terms, conditional=close)
        assert order.cl_ord_id is None and order.name == f"#{order.order_userref}"
        await asyncio.wait_for(order.filled(), 10)
        await asyncio.sleep(0.05)
        (child,) = entry.table.external.values()
        assert (child.side, child.symbol) == ("sell", BTC)
        with pytest.raises(InvalidOrderError, match="use order_userref"):
            await entry.add_order(**world.buy(cl_ord_id="mine", conditional=close))

    world.run(main())


def test_a_check_places_nothing() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        checked = await entry.check_order(NewOrder(**world.buy()))
        assert checked.params["order_qty"] == Decimal("0.01") and not world.account.orders
        world.faults.inject("reject", endpoint="add_order", error="EOrder:Insufficient funds")
        with pytest.raises(OrderRejectedError, match="Insufficient funds"):
            await entry.check_order(NewOrder(**world.buy()))
        world.faults.inject("request_lost", endpoint="add_order")
        with pytest.raises(OutcomeUnknownError) as caught:
            await entry.check_order(NewOrder(**world.buy()))
        assert caught.value.retryable and not caught.value.sent
        assert entry.table.orders() == () and not world.account.orders

    world.run(main())


@pytest.mark.parametrize("count", [1, 16])
def test_batches_have_their_bounds_and_one_pair(count: int) -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open()
        row = {name: value for name, value in world.buy().items() if name != "symbol"}
        with pytest.raises(InvalidOrderError, match="2 to 15"):
            await entry.batch_add(symbol=BTC, orders=[NewOrder(**row)] * count)
        with pytest.raises(InvalidOrderError, match="as the whole batch"):
            await entry.batch_add(symbol=BTC, orders=[NewOrder(**row), NewOrder(**row, symbol="ETH/USD")])
        named = NewOrder(**row, cl_ord_id="twice")
        with pytest.raises(InvalidOrderError, match="unique within the batch"):
            await entry.batch_add(symbol=BTC, orders=[named, named])
        assert not world.account.orders

    world.run(main())


def test_waiting_for_the_outcome_instead_of_being_told_at_once() -> None:
    world = OrderWorld()

    async def main() -> None:
        entry = await world.open(on_unknown="wait")
        world.faults.inject("accept_then_reset", endpoint="add_order")
        order = await entry.add_order(**world.buy())
        assert order.state is OrderState.OPEN
        world.faults.inject("request_lost", endpoint="add_order")
        with pytest.raises(OrderRejectedError, match="Not placed"):
            await entry.add_order(**world.buy())

    world.run(main())
