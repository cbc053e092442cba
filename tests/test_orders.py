"""Order entry over the exchange in a box, in virtual time."""

from __future__ import annotations

from decimal import Decimal

from order_box import BTC, OrderWorld

from kraken_fast.order_records import OrderState


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
