"""One order under messages in any order: sums, states, waiting, corrections."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import pytest
from order_story import told

from kraken_fast.core.execution import Execution
from kraken_fast.errors import ClosedError, OrderEndedError, OrderRejectedError, OutcomeUnknownError
from kraken_fast.orders.live_order import EVIDENCE_MAX, Amending, Order
from kraken_fast.orders.records import FOLLOWS, OrderState

D = Decimal
PARAMS: dict[str, Any] = {
    "symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": D("0.3"), "limit_price": D(100),
    "cl_ord_id": "x",
}  # fmt: skip


def order(state: OrderState = OrderState.SENT) -> Order:
    made = Order("x", "BTC/USD", dict(PARAMS))
    made.state = state
    return made


def trade(number: int, qty: str = "0.1", **others: Any) -> Execution:
    return told(
        exec_type="trade", order_status="partially_filled", order_id="O1", exec_id=f"T{number}", last_qty=D(qty),
        last_price=D(100), cost=D(qty) * 100, fees=(("USD", D("0.02")),), liquidity_ind="m", **others,
    )  # fmt: skip


STORY = [
    told(exec_type="pending_new", order_status="pending_new", order_id="O1", order_qty=D("0.3"), limit_price=D(100)),
    told(exec_type="new", order_status="new", order_id="O1"),
    trade(1), trade(2), trade(3),
    told(exec_type="filled", order_status="filled", order_id="O1", cum_qty=D("0.3"), cum_cost=D(30)),
]  # fmt: skip


def test_every_order_of_the_messages_gives_the_same_end() -> None:
    """S13 and S18: sums are right, filled never falls, only legal steps; in all 720 orders, each message twice."""
    for story in permutations(STORY):
        each = order()
        steps: list[tuple[OrderState, OrderState]] = []
        each.watch(lambda order, before, steps=steps: steps.append((before, order.state)))  # type: ignore[misc]
        filled = D(0)
        for row in [*story, *story]:
            each.take(row, 1)
            assert each.filled_qty >= filled
            filled = each.filled_qty
        assert each.state is OrderState.FILLED and each.corrections == 0
        assert (each.filled_qty, each.cost, each.fees, len(each.fills)) == (D("0.3"), D(30), {"USD": D("0.06")}, 3)
        assert all(after in FOLLOWS[before] for before, after in steps)


def test_a_cancel_with_fills_around_it() -> None:
    cancel = told(exec_type="canceled", order_status="canceled", order_id="O1", cum_qty=D("0.1"), reason="by hand")
    for rows in ([trade(1), cancel, trade(2)], [cancel, trade(1), trade(2)]):
        each = order()
        for row in rows:
            each.take(row, 1)
        assert each.state is OrderState.CANCELED and each.filled_qty == D("0.2") and each.reason == "by hand"
        each.take(trade(3), 1)
        assert each.state is OrderState.FILLED


def test_an_end_that_the_exchange_contradicts_is_corrected_and_counted() -> None:
    for end in (OrderState.REJECTED, OrderState.NOT_PLACED):
        each = order(OrderState.UNKNOWN)
        each.reject(OrderRejectedError("EOrder:Post only order"), 1, end)
        assert each.state is end
        each.take(STORY[1], 2)
        assert each.state is OrderState.OPEN and each.corrections == 1 and each.error is None
        assert each.evidence[-1].kind == "correction"


def test_an_unknown_order_is_never_called_ended_without_evidence() -> None:
    each = order(OrderState.SENT)
    assert not each.reject(OrderRejectedError("x"), 1, OrderState.NOT_PLACED), "sent may not become not placed"
    assert each.move(OrderState.UNKNOWN, "wire", 1, "no answer")
    assert not each.move(OrderState.SENT, "wire", 2, "again")
    assert each.state is OrderState.UNKNOWN


def test_evidence_is_bounded_and_keeps_its_beginning() -> None:
    each = order()
    for number in range(1000):
        each.add_evidence("event", number, str(number))
    assert len(each.evidence) == EVIDENCE_MAX
    assert each.evidence[0].at_ns == 0 and each.evidence[-1].at_ns == 999


async def test_waiting() -> None:
    each = order()
    waits = [asyncio.ensure_future(wait) for wait in (each.acknowledged(), each.filled(), each.done())]
    await asyncio.sleep(0)
    each.take(STORY[1], 1)
    await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [True, False, False]
    each.take(told(exec_type="expired", order_status="expired", order_id="O1", cum_qty=D("0.1"), reason="gtd"), 2)
    with pytest.raises(OrderEndedError, match=r"ended expired \(gtd\), 0.1 of it filled"):
        await waits[1]
    assert await waits[2] is each


async def test_an_unknown_outcome_is_told_and_resolved_later() -> None:
    each = order()
    acknowledged, resolved = asyncio.ensure_future(each.acknowledged()), asyncio.ensure_future(each.resolved())
    await asyncio.sleep(0)
    each.move(OrderState.UNKNOWN, "wire", 1, "no answer")
    with pytest.raises(OutcomeUnknownError, match="no answer") as caught:
        await acknowledged
    assert caught.value.order is each and not resolved.done()
    each.take(STORY[0], 2)
    assert (await resolved).state is OrderState.ACKED


async def test_a_caller_who_stops_waiting_leaves_nothing_behind() -> None:
    each = order()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(each.done(), 0)
    assert not each._waiters
    waiting = asyncio.ensure_future(each.done())
    await asyncio.sleep(0)
    each.abandon()
    with pytest.raises(ClosedError):
        await waiting


def test_random_messages_never_break_the_sums() -> None:
    rng = Random(5)
    kinds = ["pending_new", "new", "canceled", "expired", "filled", "amended", "restated", "status", "??"]
    for _ in range(2000):
        each = order(rng.choice([OrderState.SENT, OrderState.UNKNOWN, OrderState.JOURNALLED]))
        filled = D(0)
        for _ in range(rng.randint(1, 12)):
            if rng.random() < 0.5:
                row = trade(rng.randint(1, 4))
            else:
                row = told(exec_type=rng.choice(kinds), order_status=rng.choice([None, "new", "partially_filled"]),
                          order_id="O1", cum_qty=rng.choice([None, D("0.1")]))  # fmt: skip
            each.take(row, 1)
            assert filled <= each.filled_qty
            filled = each.filled_qty
        assert each.filled_qty >= sum((fill.qty for fill in each.fills), D(0)) or not each.fills
        assert len({fill.exec_id for fill in each.fills}) == len(each.fills)


def amended(qty: str, limit: int) -> Execution:
    return told(
        exec_type="amended", order_status="new", order_id="O1", order_qty=D(qty), limit_price=D(limit), cum_qty=D(0)
    )  # fmt: skip


def test_the_late_event_of_one_amend_is_not_taken_for_the_next() -> None:
    each = order(OrderState.OPEN)
    each.amending = Amending({"limit_price": D(101)}, {"limit_price": D(102)}, 1, 2, 3)
    each.take(amended("0.3", 101), 5)
    assert each.amending.state == "sent" and each.limit_price == D(101)
    each.take(amended("0.3", 102), 6)
    assert each.amending.state == "applied" and each.limit_price == D(102)


def test_an_order_that_may_be_for_more_by_now_is_not_called_filled() -> None:
    each = order(OrderState.OPEN)
    each.amending = Amending({"order_qty": D("0.3")}, {"order_qty": D("0.4")}, 1, 2, 3, "unknown")
    for number in (1, 2, 3):
        each.take(trade(number), 5)
    assert each.filled_qty == D("0.3") and each.state is OrderState.PARTIAL
    each.take(amended("0.4", 100), 6)
    each.take(trade(4), 7)
    assert each.amending.state == "applied" and each.state is OrderState.FILLED


def test_an_order_amended_to_less_than_is_filled_is_cancelled_not_filled() -> None:
    """Source: rest.md section 9, AmendOrder: it cancels the rest. A fill that recovery tells later changes nothing."""
    one = order(OrderState.OPEN)
    one.order_qty = D("0.05")  # as the amend was acknowledged
    one.take(trade(1), 1)
    assert one.state is OrderState.PARTIAL and one.filled_qty == D("0.1")
    one.take(told(exec_type="canceled", order_status="canceled", order_id="O1", cum_qty=D("0.1")), 2)
    assert one.state is OrderState.CANCELED and one.corrections == 0


def test_a_query_tells_the_last_terms_of_an_order_that_ended() -> None:
    each = order(OrderState.OPEN)
    terms = {"order_id": "O1", "order_qty": D(1), "limit_price": D(7)}
    each.take(Execution(recovered=True, exec_type="status", order_status="new", **terms), 5)
    assert (each.order_qty, each.limit_price) == (D("0.3"), D(100)), "a query may be a minute behind"
    each.take(Execution(recovered=True, exec_type="canceled", order_status="canceled", **terms), 6)
    assert (each.order_qty, each.limit_price) == (D(1), D(7))
