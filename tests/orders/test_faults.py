"""The faults of orders, one by one: each with its bound, over the exchange in a box in virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from order_box import BTC, RECONNECT_S, CrashError, OrderWorld, S
from order_story import LIVE, play, sent, unknown, until

from kraken_fast.errors import (
    ExchangeError,
    InvalidOrderError,
    JournalError,
    KrakenFastError,
    OrderBlockedError,
    OrderRejectedError,
    OutcomeUnknownError,
)
from kraken_fast.orders.records import NewOrder, OrderState, Triggers

# Lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("O01", kind="D")
def test_an_order_whose_reply_is_lost_is_known_by_its_event() -> None:
    async def main(world: OrderWorld) -> None:
        fault = world.faults.inject("accept_no_reply", endpoint="add_order")
        before = world.now_s
        order = await world.entry.add_order(**world.buy())
        assert fault.fired == 1 and world.now_s - before < 0.1
        assert order.state.is_live and order.order_id in world.account.orders
        await asyncio.sleep(0.05)
        assert [each.kind for each in order.evidence] == ["journal", "wire", "event", "event"]

    play(main)


@pytest.mark.fault("O01", kind="D")
def test_an_order_without_reply_or_event_is_found_by_its_late_event() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("accept_no_reply", endpoint="add_order")
        world.faults.inject("stream_lag", ms=3000, count=4)
        order = await unknown(world)
        await order.resolved()
        assert order.state in LIVE
        assert world.clock.monotonic_ns - order.sent_ns < 3.1 * S

    play(main)


@pytest.mark.fault("O02", kind="D")
def test_an_order_in_a_dying_line_is_found_in_the_next_snapshot() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("accept_then_reset", endpoint="add_order")
        order = await unknown(world)
        lost_s = world.now_s
        await order.resolved()
        assert order.state is OrderState.OPEN and order.evidence[-1].kind == "event"
        assert world.now_s - lost_s <= RECONNECT_S + 2
        assert not world.port.calls or "AddOrder" not in world.port.calls

    play(main)


@pytest.mark.fault("O02", kind="D")
@pytest.mark.fault("O04", kind="D")
def test_an_order_that_died_with_its_line_is_proven_absent_by_queries() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("request_lost", reset=True)
        order = await unknown(world)
        await asyncio.sleep(60)
        assert order.state is OrderState.UNKNOWN, "REST may be a minute behind"
        await order.resolved()
        assert order.state is OrderState.NOT_PLACED
        late_s = (world.clock.monotonic_ns - order.deadline_ns) / S
        assert 60 <= late_s <= 62
        assert "asked 60 s after its deadline" in str(order.error)
        assert {"OpenOrders", "ClosedOrders", "TradesHistory"} <= set(world.port.calls)
        with pytest.raises(OrderRejectedError) as caught:
            await order.acknowledged()
        assert caught.value.retryable, "only now may the caller send it again"

    play(main)


def test_a_lost_request_is_proven_absent_by_a_stream_without_gap() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("request_lost")
        order = await unknown(world)
        assert order.state is OrderState.UNKNOWN
        await order.resolved()
        assert order.state is OrderState.NOT_PLACED
        late_s = (world.clock.monotonic_ns - order.deadline_ns) / S
        assert 2.0 <= late_s <= 2.05
        assert "the stream had no gap" in str(order.error)
        assert world.port.calls == [], "the stream is proof enough"

    play(main)


def test_a_stream_that_lags_is_no_proof_of_absence() -> None:
    """A pong on the same line passes what the stream still holds only if the stream holds nothing."""

    async def main(world: OrderWorld) -> None:
        world.faults.inject("arrive_late", endpoint="add_order", ms=4900)
        order = await unknown(world)
        await order.resolved()
        assert order.state in LIVE and len(world.truth()) == 1

    play(main)


@pytest.mark.fault("O03", kind="D")
@pytest.mark.parametrize("code", [502, 520, 504, 0])
def test_rest_fails_after_it_acted(code: int) -> None:
    async def main(world: OrderWorld) -> None:
        world.line.refuses_writes = True
        fault = world.faults.inject("act_then_fail", endpoint="AddOrder", code=code, count=1)
        world.faults.inject("stream_lag", ms=300, count=4)
        order = await unknown(world)
        assert fault.fired == 1
        world.line.refuses_writes = False
        await order.resolved()
        assert order.state in LIVE and world.clock.monotonic_ns < order.deadline_ns + 2 * S
        assert world.port.calls.count("AddOrder") == 1

    play(main)


@pytest.mark.fault("O03", kind="D")
def test_rest_says_unavailable_though_it_acted_and_the_line_is_down() -> None:
    async def main(world: OrderWorld) -> None:
        world.line.outage_s = 30.0
        world.line.drop()
        await asyncio.sleep(0.1)
        world.faults.inject("act_then_fail", endpoint="AddOrder", code=520, count=1)
        order = await unknown(world)
        await order.resolved()
        assert order.state in LIVE and order.evidence[-1].kind == "query"
        assert world.clock.monotonic_ns - order.sent_ns < 60 * S

    play(main)


@pytest.mark.fault("O04", kind="D")
@pytest.mark.parametrize("error", ["EService:Unavailable", "EService:Busy", "EGeneral:Internal error"])
def test_rest_says_unavailable_and_did_not_act(error: str) -> None:
    async def main(world: OrderWorld) -> None:
        world.line.outage_s = 30.0
        world.line.drop()
        await asyncio.sleep(0.1)
        world.faults.inject("errors", endpoint="AddOrder", errors=(error,), count=1)
        order = await unknown(world)
        await order.resolved()
        assert order.state is OrderState.NOT_PLACED
        assert 60 <= (world.clock.monotonic_ns - order.deadline_ns) / S <= 62
        assert world.truth() == {} and world.port.calls.count("AddOrder") == 1

    play(main)


@pytest.mark.fault("O05", kind="D")
def test_an_order_filled_at_once_is_found_though_it_is_not_open() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("accept_then_reset", endpoint="add_order")
        ask = world.quote(BTC).ask
        order = await unknown(world, limit_price=ask, order_qty="0.001", time_in_force="ioc")
        await order.filled()
        (truth,) = world.truth()[order.name]
        assert (order.filled_qty, order.cost) == (truth.filled, truth.cost)

    play(main)


@pytest.mark.fault("O05", kind="D")
def test_an_order_filled_at_once_without_fills_in_the_snapshot_is_found_among_closed_ones() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("accept_then_reset", endpoint="add_order")
        world.faults.inject("snapshot_truncated", rows=0, count=1)
        order = await unknown(world, limit_price=world.quote(BTC).ask, order_qty="0.001")
        await order.filled()
        assert order.evidence[-1].kind == "query"
        assert world.clock.monotonic_ns < order.deadline_ns + 2 * S

    play(main)


# Answers at the wrong time ---------------------------------------------------------------------------------------


@pytest.mark.fault("O06", kind="D")
def test_a_late_success_ends_the_unknown() -> None:
    async def main(world: OrderWorld) -> None:
        seen: list[OrderState] = []
        world.entry.table.on_order = lambda order, _before: seen.append(order.state)
        world.faults.inject("reply_late", endpoint="add_order", ms=2500)
        world.faults.inject("stream_lag", ms=4000, count=4)
        order = await unknown(world)
        await order.resolved()
        assert order.state is OrderState.ACKED and order.evidence[-1].kind == "reply"
        await until(lambda: order.state is OrderState.OPEN, 5)
        assert OrderState.REJECTED not in seen and OrderState.NOT_PLACED not in seen

    play(main)


def test_a_late_refusal_ends_the_unknown() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("reject", endpoint="add_order", error="EOrder:Insufficient funds")
        world.faults.inject("reply_late", endpoint="add_order", ms=2500)
        order = await unknown(world)
        await order.resolved()
        assert order.state is OrderState.REJECTED
        with pytest.raises(OrderRejectedError, match="Insufficient funds"):
            await order.filled()

    play(main)


@pytest.mark.fault("O07", kind="D")
def test_a_doubled_reply_and_a_stray_one_change_nothing() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("reply_twice", endpoint="add_order")
        order = await world.entry.add_order(**world.buy())
        await asyncio.sleep(0.05)
        states = [each.detail.partition(":")[0] for each in order.evidence]
        assert states.count("acknowledged") <= 1 and states.count("open") == 1
        assert world.entry.table.counts.doubled == 1
        world.faults.inject(
            "text", text='{"method":"add_order","req_id":1999999999,"result":{"order_id":"OX"},"success":true}'
        )
        await asyncio.sleep(0.05)
        assert world.entry.table.counts.strays == 1

    play(main)


@pytest.mark.fault("O08", kind="D")
@pytest.mark.parametrize("order_of", ["event_before_reply", "reply_before_event"])
def test_reply_and_event_in_either_order_give_the_same(order_of: str) -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject(order_of)
        order = await world.entry.add_order(**world.buy())
        await asyncio.sleep(0.05)
        assert order.state is OrderState.OPEN and order.acked_ns
        assert world.entry.table.counts.acked == 1

    play(main)


# Fills -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("O11", kind="D")
def test_fills_replayed_by_a_snapshot_count_once() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).ask, order_qty="0.002"))
        await order.filled()
        before = (order.fills, order.filled_qty, order.cost, dict(order.fees))
        world.line.drop()
        await until(lambda: world.line.is_up, 2)
        assert (order.fills, order.filled_qty, order.cost, dict(order.fees)) == before

    play(main)


@pytest.mark.fault("O11", kind="D")
def test_an_old_fill_in_a_snapshot_does_not_say_that_its_order_is_open() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).bid))
        world.core.mishaps.fill(world.account, world.account.orders[order.order_id], Decimal("0.001"))
        world.network.wake()
        await until(lambda: order.state is OrderState.PARTIAL, 1)
        world.line.drop()
        await asyncio.sleep(0.1)
        world.core.desk.cancel(world.account, world.account.orders[order.order_id], world.timeline.wall_ns(), "by hand")
        await until(lambda: world.line.is_up, 2)
        await until(lambda: order.state is OrderState.CANCELED, 2)
        assert order.filled_qty == Decimal("0.001") and len(order.fills) == 1

    play(main)


@pytest.mark.fault("O14", kind="D")
@pytest.mark.parametrize("share", ["0.5", "1"])
def test_a_fill_races_the_cancel(share: str) -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).bid))
        world.faults.inject("cancel_race_fill", share=share)
        answer = await world.entry.cancel_order(order=order)
        assert answer.taken or answer.gone
        await order.done()
        await asyncio.sleep(0.1)
        (truth,) = world.truth()[order.name]
        assert order.filled_qty == truth.filled == sum((fill.qty for fill in order.fills), Decimal(0)) > 0
        assert order.state is (OrderState.FILLED if share == "1" else OrderState.CANCELED)

    play(main)


@pytest.mark.fault("O19", kind="D")
def test_a_completing_trade_says_partially_filled() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).bid, order_qty="0.01"))
        live = world.account.orders[order.order_id]
        world.core.mishaps.fill(world.account, live, live.left / 2)
        world.network.wake()
        await asyncio.sleep(0.05)
        assert order.state is OrderState.PARTIAL and order.remaining_qty == Decimal("0.005")
        live = world.account.orders[order.order_id]
        world.core.mishaps.fill(world.account, live, live.left)
        world.network.wake()
        await order.filled()
        assert len(order.fills) == 2 and order.filled_qty == Decimal("0.01")

    play(main)


# Cancels and amends ----------------------------------------------------------------------------------------------


@pytest.mark.fault("O15", kind="D")
def test_a_cancel_without_reply_is_repeated_by_rest_and_never_assumed() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("request_lost", endpoint="cancel_order")
        before = world.now_s
        cancelling = asyncio.ensure_future(world.entry.cancel_order(order=order))
        await asyncio.sleep(1)
        assert order.is_cancelling and order.state.is_live
        await cancelling
        await order.done()
        assert order.state is OrderState.CANCELED and world.now_s - before < 2.2

    play(main)


@pytest.mark.fault("O15", kind="D")
def test_a_cancel_that_nobody_answers_stays_pending_and_may_be_repeated() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("request_lost", endpoint="cancel_order")
        world.port.is_down = True
        with pytest.raises(KrakenFastError) as caught:
            await world.entry.cancel_order(order=order)
        assert caught.value.retryable and order.is_cancelling and order.state.is_live
        world.port.is_down = False
        await world.entry.cancel_order(order=order)
        await order.done()

    play(main)


@pytest.mark.fault("O16", kind="D")
def test_a_cancel_of_what_is_filled_asks_for_the_fill() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).bid))
        world.faults.inject("stream_lag", ms=60_000, count=10)
        live = world.account.orders[order.order_id]
        world.core.mishaps.fill(world.account, live, live.left)
        answer = await world.entry.cancel_order(order=order)
        assert answer.gone == [order.cl_ord_id]
        assert order.state.is_live, "an unknown order is no proof of anything"
        await order.done()
        assert order.state is OrderState.FILLED and order.evidence[-1].kind == "query"

    play(main)


@pytest.mark.fault("O17", kind="D")
@pytest.mark.parametrize("is_applied", [True, False])
def test_an_amend_in_flight_as_the_line_dies(is_applied: bool) -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        fault = "accept_then_reset" if is_applied else "request_lost"
        world.faults.inject(fault, endpoint="amend_order", **({} if is_applied else {"reset": True}))
        with pytest.raises(OutcomeUnknownError):
            await world.entry.amend_order(order=order, limit_price="1001.0")
        assert [terms["limit_price"] for terms in order.possible_terms] == [Decimal("1000.0"), Decimal("1001.0")]
        lost_s = world.now_s
        if is_applied:
            await until(lambda: order.amending.state == "applied", RECONNECT_S + 2)
        else:
            await until(lambda: order.amending.state == "not applied", 70)
            assert world.now_s - lost_s < 5 + 2.1, "the stream that came back lists it with its old terms"
            assert "OpenOrders" not in world.port.calls
        (terms,) = order.possible_terms
        assert terms["limit_price"] == world.account.orders[order.order_id].limit_price

    play(main)


def test_an_amend_whose_reply_is_lost_is_known_by_its_event_or_by_its_absence() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.faults.inject("accept_no_reply", endpoint="amend_order")
        await world.entry.amend_order(order=order, limit_price="1001.0", order_qty="0.02")
        assert (order.limit_price, order.order_qty, order.amending.state) == (
            Decimal("1001.0"), Decimal("0.02"), "applied",
        )  # fmt: skip
        world.faults.inject("request_lost", endpoint="amend_order")
        with pytest.raises(OutcomeUnknownError):
            await world.entry.amend_order(order=order, limit_price="1002.0")
        amending = order.amending
        await until(lambda: amending.state == "not applied", 8)
        assert world.clock.monotonic_ns <= amending.deadline_ns + 2.1 * S
        assert order.limit_price == Decimal("1001.0")
        with pytest.raises(OrderRejectedError):
            await world.entry.amend_order(order=order, limit_price="1001.0", order_qty="0.02")

    play(main)


@pytest.mark.fault("O18", kind="D")
def test_a_batch_of_which_a_part_is_refused() -> None:
    async def main(world: OrderWorld) -> None:
        rows = [
            NewOrder(order_type="limit", side="buy", order_qty="0.01", limit_price="1000.0"),
            NewOrder(order_type="limit", side="buy", order_qty="200000", limit_price="1000.0"),
        ]
        good, bad = await world.entry.batch_add(symbol=BTC, orders=rows)
        assert good.state.is_live and bad.state is OrderState.REJECTED
        assert isinstance(bad.error, OrderRejectedError) and bad.error.code == "EOrder:Insufficient funds"

    play(main)


@pytest.mark.fault("O18", kind="D")
@pytest.mark.parametrize("fault", ["accept_then_reset", "request_lost"])
def test_a_whole_batch_without_reply(fault: str) -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject(fault, endpoint="batch_add")
        rows = [
            NewOrder(order_type="limit", side="buy", order_qty="0.01", limit_price=Decimal(1000 + number))
            for number in range(3)
        ]
        lives = await world.entry.batch_add(symbol=BTC, orders=rows)
        assert [live.state for live in lives] == [OrderState.UNKNOWN] * 3
        for live in lives:
            await live.resolved()
        expected = OrderState.OPEN if fault == "accept_then_reset" else OrderState.NOT_PLACED
        assert [live.state for live in lives] == [expected] * 3

    play(main)


# Others, and the lookup itself -----------------------------------------------------------------------------------


@pytest.mark.fault("O20", kind="D")
def test_another_clients_order_is_listed_and_left_alone() -> None:
    async def main(world: OrderWorld) -> None:
        mine = await world.entry.add_order(**world.buy())
        world.faults.inject("external_order", order={}, count=1)
        await until(lambda: world.entry.table.external, 2)
        (other,) = world.entry.table.external.values()
        assert other.is_external and other.state.is_live and other.symbol == BTC
        await world.entry.cancel_mine()
        await mine.done()
        await asyncio.sleep(0.1)
        assert world.account.orders[other.order_id].live and other.state.is_live

    play(main)


@pytest.mark.fault("O21", kind="D")
def test_failing_queries_are_no_absence() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("accept_then_reset", endpoint="add_order")
        world.faults.inject("snapshot_truncated", rows=0, count=1)
        world.port.is_down = True
        order = await unknown(world)
        await asyncio.sleep(300)
        assert order.state is OrderState.UNKNOWN and world.entry.resolution.failures > 5
        world.port.is_down = False
        await order.resolved()
        assert order.state in LIVE

    play(main)


@pytest.mark.fault("O22", kind="D")
def test_rest_a_minute_behind_does_not_overrule_the_stream() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(limit_price=world.quote(BTC).bid))
        asked_s = world.now_s
        live = world.account.orders[order.order_id]
        world.core.mishaps.fill(world.account, live, live.left)
        world.network.wake()
        await order.filled()
        world.faults.inject("lag", seconds=60)
        world.faults.inject("request_lost", reset=True)
        other = await unknown(world)
        await other.resolved()
        assert order.state is OrderState.FILLED and order.corrections == 0
        assert sent(world, "cancel_order") == [] and world.now_s > asked_s

    play(main)


def test_an_order_that_ended_during_a_gap_is_doubted_and_found() -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy())
        world.line.drop()
        await asyncio.sleep(0.02)
        world.core.desk.cancel(world.account, world.account.orders[order.order_id], world.timeline.wall_ns(), "by hand")
        await order.done()
        assert order.state is OrderState.CANCELED and order.evidence[-1].kind == "query"
        assert order.reason == "by hand"

    play(main)


# The caller, the journal, the clock ------------------------------------------------------------------------------


@pytest.mark.fault("O25", kind="D")
def test_a_caller_who_gives_up_loses_nothing() -> None:
    async def main(world: OrderWorld) -> None:
        name = "given-up"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.entry.add_order(**world.buy(cl_ord_id=name)), 0.001)
        order = world.entry.table.find(name)
        assert order is not None and order.state is OrderState.SENT
        await order.acknowledged()
        assert order.state.is_live

    play(main)


@pytest.mark.fault("O26", kind="D")
@pytest.mark.parametrize(
    ("where", "is_sent"),
    [("before journal", False), ("torn journal", False), ("after journal", False), ("before send", False),
     ("after send", True)],
)  # fmt: skip
def test_a_crash_at_every_step(where: str, is_sent: bool) -> None:
    world = OrderWorld()

    async def main() -> None:
        await world.open()
        if "journal" in where:
            world.storage.crash_at = where
        else:
            world.line.crash_at = where
        with pytest.raises(CrashError):
            await world.entry.add_order(**world.buy(cl_ord_id="crash"))
        world.kill()
        await asyncio.sleep(1)
        await world.open(wait=False)
        starting = asyncio.ensure_future(world.entry.start())
        await asyncio.sleep(0)
        if where not in ("before journal", "torn journal"):
            with pytest.raises(OrderBlockedError, match="earlier run"):
                await world.entry.add_order(**world.buy())
        await starting
        order = world.entry.table.find("crash")
        if where in ("before journal", "torn journal"):
            assert order is None
        elif is_sent:
            assert order.state.is_live and order.filled_qty == 0
        else:
            assert order.state is OrderState.NOT_PLACED
            assert 60 <= (world.clock.monotonic_ns - order.deadline_ns) / S <= 62
        assert len(world.truth()) == is_sent
        await world.entry.add_order(**world.buy())

    world.run(main())


@pytest.mark.fault("O27", kind="D")
def test_an_unwritable_journal_keeps_orders_in() -> None:
    async def main(world: OrderWorld) -> None:
        world.storage.fails = True
        with pytest.raises(JournalError, match="No space left"):
            await world.entry.add_order(**world.buy(cl_ord_id="full"))
        assert sent(world, "add_order") == [] and world.entry.table.find("full") is None
        world.storage.fails = False
        await world.entry.add_order(**world.buy(cl_ord_id="full"))

    play(main)


@pytest.mark.fault("O28", kind="U")
@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"limit_price": "1000.05"}, "1000.0 or 1000.1"),
        ({"order_qty": "0.123456789"}, "0.12345678 or 0.12345679"),
        ({"order_qty": "0.00001"}, "takes 0.0001"),
        ({"order_qty": "0.0001", "limit_price": "100.0"}, "cost"),
        ({"order_qty": 0.1 + 0.2}, 'write "0.30000000000000004"'),
        ({"limit_price": 1e-05}, 'write "0.00001"'),
        ({"order_qty": "1_000"}, "plain decimal"),
        ({"order_qty": "NaN"}, "plain decimal"),
        ({"order_qty": Decimal("Infinity")}, "finite"),
        ({"order_qty": "-1"}, "above 0"),
    ],
)
def test_what_breaks_a_rule_is_not_sent(terms: dict[str, Any], words: str) -> None:
    async def main(world: OrderWorld) -> None:
        with pytest.raises(InvalidOrderError) as caught:
            await world.entry.add_order(**world.buy(**terms))
        assert words in str(caught.value)
        assert sent(world, "add_order") == []

    play(main)


@pytest.mark.fault("O29", kind="D")
def test_a_definite_refusal_is_one() -> None:
    async def main(world: OrderWorld) -> None:
        before = world.now_s
        with pytest.raises(OrderRejectedError, match="Insufficient funds") as caught:
            await world.entry.add_order(**world.buy(order_qty="200000"))
        assert not caught.value.sent and caught.value.cl_ord_id
        assert world.now_s - before < 0.05 and world.entry.table.counts.unknown == 0
        bid = world.quote(BTC).bid
        with pytest.raises(ExchangeError, match="Post only"):
            await world.entry.add_order(**world.buy(limit_price=bid + 1000, post_only=True))

    play(main)


@pytest.mark.fault("O30", kind="D")
def test_an_elapsed_deadline_is_unknown_until_it_is_looked_up() -> None:
    async def main(world: OrderWorld) -> None:
        world.faults.inject("arrive_late", endpoint="add_order", ms=1000)
        with pytest.raises(OutcomeUnknownError, match="Deadline elapsed") as caught:
            await world.entry.add_order(**world.buy(), deadline_s=0.5)
        order: Any = caught.value.order
        await order.resolved()
        assert order.state is OrderState.NOT_PLACED
        assert world.clock.monotonic_ns <= order.deadline_ns + 2.1 * S

    play(main)


@pytest.mark.fault("A11", kind="D")
def test_a_wrong_wall_clock_does_not_touch_the_deadline() -> None:
    async def main(world: OrderWorld) -> None:
        for step_s in (90, -3600):
            world.clock.step_wall(step_s * S)
            await world.entry.add_order(**world.buy())
            text = sent(world, "add_order")[-1]["params"]["deadline"]
            from datetime import datetime

            ahead_s = datetime.fromisoformat(text).timestamp() - world.timeline.wall_ns() / S
            assert abs(ahead_s - 5) <= 0.1

    play(main)


@pytest.mark.fault("A11", kind="D")
def test_without_the_exchanges_time_no_order_leaves() -> None:
    async def main(world: OrderWorld) -> None:
        from kraken_fast.rest.exchange_time import ExchangeTime

        world.entry.exchange_time = ExchangeTime()
        world.entry._learn_time(world.clock.monotonic_ns)
        with pytest.raises(OrderBlockedError, match="time is not known"):
            await world.entry.add_order(**world.buy())
        assert sent(world, "add_order") == []

    play(main)


# Silence on the line ---------------------------------------------------------------------------------------------


@pytest.mark.fault("N04", kind="D")
@pytest.mark.fault("N19", kind="D")
def test_a_line_that_takes_nothing_is_asked_again_only_now_and_then() -> None:
    async def main(world: OrderWorld) -> None:
        world.line.drop()
        await until(lambda: not world.line.is_up, 1)
        refused: list[bytes] = []
        world.line.send = lambda text: refused.append(text) or "never_left"
        await asyncio.sleep(3)
        assert world.line.is_up and 4 < len(refused) < 16, "four times a second, and no busy loop"
        del world.line.send

    play(main)


@pytest.mark.fault("N05", kind="D")
@pytest.mark.parametrize("kind", ["half_open", "hole"])
def test_an_order_into_a_silent_line_is_unknown(kind: str) -> None:
    async def main(world: OrderWorld) -> None:
        fault = world.faults.inject(kind, **({"direction": "up"} if kind == "hole" else {}))
        order = await unknown(world)
        assert world.clock.monotonic_ns - order.sent_ns <= 3 * S
        world.faults.clear()
        del fault
        world.line.drop()
        await order.resolved()
        assert (order.state is OrderState.NOT_PLACED) == (order.name not in world.truth())

    play(main)


@pytest.mark.fault("N19", kind="D")
def test_a_line_that_takes_nothing_refuses_before_the_first_byte() -> None:
    async def main(world: OrderWorld) -> None:
        world.line.refuses_writes = True
        with pytest.raises(OrderRejectedError, match="Not sent") as caught:
            await world.entry.add_order(**world.buy())
        assert caught.value.retryable and not caught.value.sent
        assert sent(world, "add_order") == [] and world.truth() == {}

    play(main, rest_fallback=False)


def test_rest_takes_what_the_line_did_not() -> None:
    async def main(world: OrderWorld) -> None:
        world.line.refuses_writes = True
        order = await world.entry.add_order(**world.buy())
        assert order.state.is_live and world.port.calls.count("AddOrder") == 1
        await world.entry.amend_order(order=order, limit_price="1001.0")
        await until(lambda: order.limit_price == Decimal("1001.0"), 1)
        rows = [
            NewOrder(order_type="limit", side="buy", order_qty="0.01", limit_price="1000.0"),
            NewOrder(order_type="stop-loss-limit", side="sell", order_qty="0.01", limit_price="900.0",
                     triggers=Triggers(price="950.0")),
        ]  # fmt: skip
        lives = await world.entry.batch_add(symbol=BTC, orders=rows)
        assert all(live.state.is_live for live in lives)
        await world.entry.cancel_mine()
        for each in (order, *lives):
            await each.done()
        assert sent(world, "add_order") == sent(world, "batch_add") == []

    play(main)
