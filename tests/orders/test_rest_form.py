"""The same order in REST's words, compared by what the box makes of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from order_box import BTC, OrderWorld
from order_story import play

from kraken_fast.errors import OrderBlockedError
from kraken_fast.orders.records import Conditional, Triggers
from kraken_fast.orders.rest_form import add_fields, amend_fields

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
