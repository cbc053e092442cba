"""Looking up orders that a snapshot left out: errors prove nothing, REST lags, and everybody gets asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import pytest
from rest_box import World

from kraken_fast.core.execution import Execution
from kraken_fast.errors import ExchangeError, RequestTimeoutError
from kraken_fast.private.lookup import OrderLookup, report_of
from kraken_fast.rest.answers import OrderInfo, OrderTerms

D = Decimal
TERMS = {"symbol": "BTC/USD", "side": "buy", "ord_type": "limit", "price": D(60_000)}


def info(order_id: str, status: str, **terms: Any) -> OrderInfo:
    return OrderInfo(
        order_id=order_id,
        status=status,
        terms=OrderTerms(**{**TERMS, **terms}),
        cl_ord_id="mine",
        closed_ns=5_000_000_000,
        qty=D("0.5"),
        filled_qty=D("0.2"),
        cost=D(12_000),
        fee=D(1),
        avg_price=D(60_000),
        reason="User requested",
    )


class Rest:
    """What REST knows, and what goes wrong with asking."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: dict[str, OrderInfo] = {}
        self.asked: list[list[str]] = []
        self.errors: list[Exception] = []
        self.found: list[Execution] = []
        self.lookup = OrderLookup(self.query, world.clock, self.found.append)

    async def query(self, *, order_ids: list[str]) -> tuple[OrderInfo, ...]:
        """As QueryOrders: one unknown id refuses the whole question."""
        self.asked.append(order_ids)
        await asyncio.sleep(0.1)
        if self.errors:
            raise self.errors.pop(0)
        if any(order_id not in self.known for order_id in order_ids):
            raise ExchangeError("EOrder:Unknown order", endpoint="QueryOrders")
        return tuple(self.known[order_id] for order_id in order_ids)


def in_a_world(main: Callable[[Rest], Coroutine[Any, Any, None]]) -> None:
    world = World()

    async def run() -> None:
        rest = Rest(world)
        await main(rest)
        await rest.lookup.close()

    world.run(run())


@pytest.mark.parametrize(
    ("status", "exec_type", "order_status"),
    [
        ("closed", "filled", "filled"),
        ("canceled", "canceled", "canceled"),
        ("expired", "expired", "expired"),
        ("open", "status", "partially_filled"),
        ("pending", "status", "pending_new"),
    ],
)
def test_a_report_says_what_rest_says(status: str, exec_type: str, order_status: str) -> None:
    report = report_of(info("O1", status))
    assert (report.exec_type, report.order_status, report.cum_qty) == (exec_type, order_status, D("0.2"))
    assert (report.symbol, report.side, report.limit_price, report.cl_ord_id) == ("BTC/USD", "buy", D(60_000), "mine")
    assert report.recovered is (exec_type != "status")
    stop = report_of(info("O1", status, ord_type="stop-loss-limit", price=D(59_000), price2=D(58_900)))
    assert stop.limit_price == D(58_900)


@pytest.mark.fault("O21", kind="D")
def test_errors_of_any_kind_never_count_as_not_found() -> None:
    async def main(rest: Rest) -> None:
        rest.known["O1"] = info("O1", "canceled")
        rest.errors = [RequestTimeoutError("QueryOrders", 10.0), ExchangeError("EGeneral:Internal error")] * 3
        rest.lookup.look_up(["O1"])
        await asyncio.sleep(50)
        assert rest.found == [] and rest.lookup.wanted == ("O1",)
        await asyncio.sleep(60)
        assert [report.exec_type for report in rest.found] == ["canceled"] and rest.lookup.wanted == ()
        assert len(rest.asked) == 7

    in_a_world(main)


@pytest.mark.fault("O22", kind="D")
def test_what_rest_calls_open_is_believed_only_after_its_lag() -> None:
    async def main(rest: Rest) -> None:
        rest.known["O1"] = info("O1", "open")
        rest.known["O2"] = info("O2", "open")
        rest.lookup.look_up(["O1", "O2"])
        await asyncio.sleep(30)
        assert rest.found == []
        rest.known["O1"] = info("O1", "closed")
        await asyncio.sleep(31)
        assert [(report.order_id, report.exec_type) for report in rest.found] == [("O1", "filled")]
        await asyncio.sleep(30)
        assert [(report.order_id, report.exec_type) for report in rest.found[1:]] == [("O2", "status")]
        assert len(rest.asked) <= 12

    in_a_world(main)


def test_one_that_rest_does_not_know_yet_hides_no_other() -> None:
    async def main(rest: Rest) -> None:
        ids = [f"O{number}" for number in range(120)]
        rest.known = {each: info(each, "closed") for each in ids if each != "O7"}
        rest.lookup.look_up(ids)
        await asyncio.sleep(20)
        assert {report.order_id for report in rest.found} == set(ids) - {"O7"}
        assert len(rest.found) == 119 and rest.lookup.wanted == ("O7",)
        assert max(map(len, rest.asked)) == 50
        rest.known["O7"] = info("O7", "closed")
        await asyncio.sleep(21)
        assert rest.found[-1].order_id == "O7"

    in_a_world(main)


def test_the_stream_may_be_faster() -> None:
    async def main(rest: Rest) -> None:
        rest.known["O1"] = info("O1", "open")
        rest.lookup.look_up(["O1"])
        await asyncio.sleep(5)
        rest.lookup.forget("O1")
        await asyncio.sleep(120)
        assert rest.found == []
        rest.lookup.look_up([])
        assert rest.lookup.wanted == ()

    in_a_world(main)
