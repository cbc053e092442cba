"""How the stories of orders are told: one world each, and what they ask of it."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from order_box import OrderWorld

from kraken_fast.core.execution import Execution
from kraken_fast.errors import OutcomeUnknownError
from kraken_fast.orders.records import OrderState


def told(**members: Any) -> Execution:
    """Make a row of `executions` as the stream tells it."""
    return Execution(recovered=False, **members)


LIVE = (OrderState.ACKED, OrderState.OPEN)


def sent(world: OrderWorld, method: str) -> list[dict[str, Any]]:
    """Give the requests of a method that were written to the line so far."""
    requests = [json.loads(text, parse_float=Decimal) for text in world.line.sent]
    return [request for request in requests if request.get("method") == method]


def only_once(world: OrderWorld) -> None:
    """Nothing is at the exchange twice, and nothing was asked for twice."""
    assert all(len(orders) == 1 for orders in world.truth().values())
    asked = [request["params"] for request in sent(world, "add_order")]
    names = [params.get("cl_ord_id") or params["order_userref"] for params in asked]
    assert len(names) == len(set(names))


def play(main: Any, **options: Any) -> OrderWorld:
    """Run one story: `main` gets a world whose order entry has started."""
    world = OrderWorld(**{key: value for key, value in options.items() if key in ("rate", "accounts", "limit_orders")})
    settings = {key: value for key, value in options.items() if key not in ("rate", "accounts", "limit_orders")}

    async def story() -> None:
        await world.open(**settings)
        await main(world)
        only_once(world)

    world.run(story())
    return world


async def until(condition: Any, within_s: float, step_s: float = 0.005) -> float:
    """Wait for a condition; give the seconds it took."""
    for number in range(round(within_s / step_s) + 1):
        if condition():
            return number * step_s
        await asyncio.sleep(step_s)
    raise AssertionError(f"not true within {within_s} s")


async def unknown(world: OrderWorld, **terms: Any) -> Any:
    """Place an order whose outcome is not known, and give it."""
    with pytest.raises(OutcomeUnknownError) as caught:
        await world.entry.add_order(**world.buy(**terms))
    order = caught.value.order
    assert order.state is OrderState.UNKNOWN and caught.value.sent and not caught.value.retryable
    return order


STATUS = (
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"%s","api_version":"v2",'
    '"connection_id":1,"upcoming_maintenance":[],"emergency":[]}]}'
)
