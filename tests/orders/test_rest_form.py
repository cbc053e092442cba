"""The same order in REST's words, compared by what the box makes of both."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from order_box import BTC, OrderWorld
from order_story import play

from kraken_fast.errors import OrderBlockedError, OutcomeUnknownError
from kraken_fast.orders.records import Conditional, NewOrder, OrderState, Triggers
from kraken_fast.orders.rest_form import add_fields, amend_fields
from kraken_fast.rest.http import HttpRequest, HttpResponse

KINDS: list[dict[str, Any]] = [
    {},
    {"post_only": True, "fee_preference": "base", "stp_type": "cancel_both"},
    {"order_type": "market", "limit_price": None, "order_qty": "0.001"},
    {"order_type": "market", "limit_price": None, "order_qty": None, "cash_order_qty": "100"},
    {"order_type": "iceberg", "order_qty": "1.5", "display_qty": "0.1"},
    {"order_type": "stop-loss", "limit_price": None, "side": "sell", "triggers": Triggers(price="900.0")},
    {"order_type": "stop-loss-limit", "side": "sell", "limit_price": "890.0", "triggers": Triggers(price="900.0")},
    {"order_type": "take-profit", "limit_price": None, "side": "sell",
     "triggers": Triggers(price="2.5", price_type="pct", reference="last")},
    {"time_in_force": "ioc"},
    {"time_in_force": "gtd", "expire_time": datetime(2026, 9, 21, 15, 0, tzinfo=UTC)},
    {"order_userref": 5, "conditional": Conditional(order_type="stop-loss-limit", trigger_price="900.0",
                                                    limit_price="890.0")},
]  # fmt: skip


@pytest.mark.parametrize("terms", KINDS, ids=str)
def test_both_ways_make_the_same_order(terms: dict[str, Any]) -> None:
    async def main(world: OrderWorld) -> None:
        made = []
        for by_rest in (False, True):
            world.line.refuses_writes = by_rest
            each = {**terms, "order_userref": 5 + by_rest} if "order_userref" in terms else terms
            order = await world.entry.add_order(**world.buy(**each))
            made.append(world.account.orders[order.order_id])
            await world.entry.cancel_all()
        assert world.port.calls.count("AddOrder") == 1
        ours = {"order_id": "", "cl_ord_id": None, "userref": 0, "created_ns": 0, "changed_ns": 0, "status": "open",
                "filled": Decimal(0), "cost": Decimal(0), "fee": Decimal(0)}  # fmt: skip
        known = {name: value for name, value in ours.items() if hasattr(made[0], name)}
        first, second = (replace(order, **known) for order in made)
        for name in ("order_type", "side", "qty", "price", "price2", "display", "oflags", "time_in_force", "stp",
                     "expire_ns", "close"):  # fmt: skip
            if terms.get("cash_order_qty") and name == "qty":
                continue  # the second buys at another price
            assert getattr(first, name) == getattr(second, name), name

    play(main)


def test_what_rest_cannot_say_is_not_sent() -> None:
    base = {"side": "buy", "order_type": "limit", "order_qty": Decimal(1), "limit_price": Decimal(1)}
    for more in ({"margin": True}, {"sender_sub_id": "x"}):
        with pytest.raises(OrderBlockedError, match="REST cannot say"):
            add_fields({**base, **more}, BTC, None)


def test_relative_prices() -> None:
    trailing = {
        "side": "sell", "order_type": "trailing-stop-limit", "order_qty": Decimal(1), "limit_price": Decimal("-0.5"),
        "limit_price_type": "pct", "triggers": {"price": Decimal(500), "price_type": "quote", "reference": "index"},
    }  # fmt: skip
    fields = add_fields(trailing, BTC, "2026-11-22T10:00:00.000Z")
    assert (fields["price"], fields["price2"], fields["trigger"]) == ("+500", "-0.5%", "index")
    assert fields["deadline"] == "2026-11-22T10:00:00.000Z"
    amended = amend_fields({"order_id": "O", "limit_price": Decimal("0.1"), "limit_price_type": "pct"}, None)
    assert amended == {"txid": "O", "limit_price": "+0.1%"}


def resting(world: OrderWorld, order: Any) -> list[Any]:
    """Give the exchange's open orders, of which none may be the one that was edited."""
    live = world.account.live_orders()
    assert all(each.order_id != order.order_id for each in live)
    return live


def test_an_answer_of_rest_that_cannot_be_read_leaves_no_order_waiting_for_ever() -> None:
    async def main(world: OrderWorld) -> None:
        fetch = world.port.fetch

        async def garbled(request: HttpRequest) -> HttpResponse:
            if not request.url.endswith("AddOrderBatch"):
                return await fetch(request)
            return HttpResponse(200, {}, b'{"error":[],"result":{"orders":[null,null]}}')

        world.port.fetch = garbled  # type: ignore[method-assign]
        world.line.refuses_writes = True
        terms = {"side": "buy", "order_type": "limit", "order_qty": "0.001", "limit_price": "1000.0"}
        orders = await world.entry.batch_add(symbol=BTC, orders=[NewOrder(**terms), NewOrder(**terms)])
        assert [order.state for order in orders] == [OrderState.UNKNOWN] * 2
        world.line.refuses_writes = False
        for order in orders:
            await order.resolved()
        assert {order.state for order in orders} == {OrderState.NOT_PLACED}
        assert len(world.unhandled) == 0

    play(main)


@pytest.mark.fault("O03", kind="D")
@pytest.mark.parametrize("price", ["1001.0", "taking"])
@pytest.mark.parametrize("code", [None, 520, 0])
def test_an_edit_by_rest_is_found_as_what_took_the_place_of_its_predecessor(code: int | None, price: str) -> None:
    async def main(world: OrderWorld) -> None:
        old = await world.entry.add_order(**world.buy(order_userref=7))
        await asyncio.sleep(0.05)
        other = await world.entry.add_order(**world.buy(limit_price="1001.0", order_qty="0.002"))
        world.line.refuses_writes = True
        if code is not None:
            world.faults.inject("act_then_fail", endpoint="EditOrder", code=code, count=1)
        limit = world.quote(BTC).ask if price == "taking" else Decimal(price)
        edit = world.entry.edit_order(order_id=old.order_id, symbol=BTC, order_qty="0.002", limit_price=limit)
        if code is None:
            new = await edit
        else:
            with pytest.raises(OutcomeUnknownError) as caught:
                await edit
            new = caught.value.order
        await new.resolved()
        await asyncio.sleep(0.1)
        truth = world.account.orders[new.order_id]
        assert truth.limit_price == limit and new.order_id not in (old.order_id, other.order_id)
        if price == "taking":
            await new.filled()
        assert (new.order_qty, new.filled_qty, new.state.is_live) == (truth.qty, truth.filled, truth.live)
        await old.done()
        assert len(resting(world, old)) == (1 if price == "taking" else 2)
        assert not world.entry.table.external and world.port.calls.count("EditOrder") == 1
        if code is not None:
            assert world.now_s <= new.deadline_ns / 1e9 + 62

    play(main)


@pytest.mark.parametrize("acts", [True, False])
def test_orders_of_others_with_the_same_terms_are_not_taken_for_what_an_edit_made(*, acts: bool) -> None:
    """Two of them within the edit's deadline: they were not opened as its predecessor ended."""

    async def main(world: OrderWorld) -> None:
        old = await world.entry.add_order(**world.buy(order_userref=7))
        await asyncio.sleep(0.05)
        world.line.refuses_writes = True
        kind = "act_then_fail" if acts else "status"
        world.faults.inject(kind, endpoint="EditOrder", code=520, count=1)
        edit = asyncio.ensure_future(
            world.entry.edit_order(
                order_id=old.order_id, symbol=BTC, order_qty="0.002", limit_price="1001.0", order_userref=8
            )
        )
        with pytest.raises(OutcomeUnknownError) as caught:
            await edit
        others = []
        for _ in range(2):
            await asyncio.sleep(0.8)
            placed = await world.rest.call(
                "AddOrder",
                {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.002", "price": "1001.0"},
            )
            others += placed["txid"]
        if not acts:  # the predecessor ends by another's hand
            await asyncio.sleep(0.8)
            await world.rest.call("CancelOrder", {"txid": old.order_id})
        new = await caught.value.order.resolved()
        assert new.order_id not in others
        assert new.state.is_live if acts else new.state is OrderState.NOT_PLACED

    play(main)


@pytest.mark.fault("O04", kind="D")
@pytest.mark.parametrize("crashes", [False, True])
def test_an_edit_that_rest_did_not_carry_out_is_proven_so_by_its_predecessor(crashes: bool) -> None:
    async def main(world: OrderWorld) -> None:
        old = await world.entry.add_order(**world.buy(order_userref=7))
        await asyncio.sleep(0.05)
        world.line.refuses_writes = True
        world.faults.inject("status", endpoint="EditOrder", code=520, count=1)
        with pytest.raises(OutcomeUnknownError) as caught:
            await world.entry.edit_order(
                order_id=old.order_id, symbol=BTC, order_qty="0.02", limit_price="1001.0", order_userref=8,
                deadline_s=0.5,
            )
        new = caught.value.order
        if crashes:
            world.kill()
            await asyncio.sleep(1)
            await world.open(wait=False)
            starting = asyncio.ensure_future(world.entry.start())
            await asyncio.sleep(0)
            new = world.entry.table.find("#8")
            assert new is not None and new.is_nameless and new.side == "buy"
            await starting
        await new.resolved()
        assert new.state is OrderState.NOT_PLACED
        assert [each.order_id for each in world.account.live_orders()] == [old.order_id]
        assert world.now_s <= new.deadline_ns / 1e9 + 62

    play(main)
