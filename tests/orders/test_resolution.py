"""Proofs of absence as arithmetic: what is asked when, and what an answer proves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from order_box import OrderWorld
from order_story import play, until
from report import note

from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import OutcomeUnknownError
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.live_order import Amending, Order
from kraken_fast.orders.rate import TradingBudget
from kraken_fast.orders.records import OrderState
from kraken_fast.orders.resolution import Resolution
from kraken_fast.orders.table import OrderTable
from kraken_fast.rest.exchange_time import ExchangeTime

S = 1_000_000_000
EPOCH = 1_790_000_000 * S


@dataclass
class Scene:
    table: OrderTable
    resolution: Resolution
    order: Order
    gap: list[bool]

    def at(self, seconds: float) -> Any:
        return self.resolution.poll(round(seconds * S))


def scene(*, gap: bool = False) -> Scene:
    """An order sent at 10 s with a deadline at 15 s, unknown since 12 s."""
    table = OrderTable(Journal(MemoryStorage(), ManualClock()), TradingBudget())
    time = ExchangeTime()
    time.note(EPOCH, sent_ns=0, recv_ns=0, resolution_ns=1)
    gaps = [gap]
    resolution = Resolution(table, time, lambda ns: not gaps[0] and ns >= 5 * S)
    order = Order("x", "BTC/USD", {"symbol": "BTC/USD", "cl_ord_id": "x", "order_qty": Decimal(1)})
    order.deadline_ns, order.deadline_epoch_ns = 15 * S, EPOCH + 15 * S
    table.write_intents(b"add", (order,), b"{}", 10 * S, EPOCH + 10 * S)
    table.sent((order,), 10 * S, "written")
    table.lose(order, "no answer", 12 * S)
    return Scene(table, resolution, order, gaps)


def test_the_stream_alone_proves_it_two_seconds_after_the_deadline() -> None:
    s = scene()
    assert (s.at(12).next_ns, s.at(12).ping, s.at(12).sweep) == (16 * S, False, None)
    assert s.at(16).ping
    assert not s.at(16.1).ping, "one ping at a time"
    s.resolution.pong(EPOCH + 16 * S)
    s.at(16.9)
    assert s.order.state is OrderState.UNKNOWN
    s.at(17)
    assert s.order.state is OrderState.NOT_PLACED and s.resolution.is_idle


def test_a_pong_from_before_the_deadline_proves_nothing() -> None:
    s = scene()
    s.at(16)
    s.resolution.pong(EPOCH + 15 * S + S // 4)
    s.at(17.5)
    assert s.order.state is OrderState.UNKNOWN
    s.resolution.line_lost()
    s.at(18)
    assert s.order.state is OrderState.UNKNOWN
    assert s.at(19.1).sweep is not None, "without proof by the stream, by queries"


def test_a_stream_that_was_late_proves_nothing_until_it_cannot_be_that_late() -> None:
    s = scene()
    s.resolution.streamed(round(0.4 * S), 11 * S)
    s.at(16)
    s.resolution.pong(EPOCH + round(15.8 * S))
    s.at(17.1)
    assert s.order.state is OrderState.UNKNOWN
    s.resolution.pong(EPOCH + round(15.9 * S))
    s.at(17.2)
    assert s.order.state is OrderState.NOT_PLACED
    s = scene()
    s.resolution.streamed(5 * S, 11 * S)
    s.resolution.pong(EPOCH + round(17.9 * S))
    s.at(18)
    assert s.order.state is OrderState.UNKNOWN and s.at(19).sweep is not None, "then by queries"


def test_a_gap_at_any_time_leads_to_queries() -> None:
    for gap_at in (12, 14, 16.5):
        s = scene()
        s.at(12)
        s.at(16)
        s.resolution.pong(EPOCH + 17 * S)
        s.gap[0] = True
        s.at(gap_at)
        s.gap[0] = False
        s.at(17.1)
        assert s.order.state is OrderState.UNKNOWN


def info(**others: Any) -> Any:
    terms = SimpleNamespace(price=Decimal(5), price2=Decimal(0), ord_type="limit", symbol="BTC/USD", side="buy")
    values: dict[str, Any] = {
        "order_id": "O1", "status": "open", "terms": terms, "cl_ord_id": "x", "userref": None, "qty": Decimal(1),
        "filled_qty": Decimal(0), "cost": Decimal(0), "reason": None, **others,
    }  # fmt: skip
    return SimpleNamespace(**values)


def test_only_a_whole_sweep_a_minute_after_the_deadline_proves_absence() -> None:
    s = scene(gap=True)
    asked = []
    now_s = 12.0
    while s.order.state is OrderState.UNKNOWN:
        due = s.at(now_s)
        if due.sweep is not None:
            asked.append(now_s)
            assert due.sweep.since_s == EPOCH // S + 8 and due.sweep.until_s == EPOCH // S + 17
            s.resolution.swept(due.sweep, [], round(now_s * S), round((now_s + 0.1) * S))
            assert due.sweep.with_fills == (now_s >= 75)
        now_s += 0.1
        assert now_s < 77.01
    assert s.order.state is OrderState.NOT_PLACED
    assert len(asked) == 5 and 75 <= asked[-1] <= 76.4, asked


def test_a_sweep_that_finds_it_ends_the_search() -> None:
    for status, state in (
        ("open", OrderState.OPEN), ("pending", OrderState.ACKED), ("closed", OrderState.FILLED),
        ("canceled", OrderState.CANCELED), ("expired", OrderState.EXPIRED),
    ):  # fmt: skip
        s = scene(gap=True)
        s.at(12)
        sweep = s.at(13.1).sweep
        found = info(status=status, filled_qty=Decimal(1) if status == "closed" else Decimal(0))
        s.resolution.swept(sweep, [found], 13 * S, 14 * S)
        assert s.order.state is state and s.order.order_id == "O1" and s.resolution.is_idle
        assert s.order.evidence[-1].kind == "query"


def test_a_failed_sweep_proves_nothing_and_is_made_again() -> None:
    s = scene(gap=True)
    now_s, failures = 12.0, 0
    while now_s < 200:
        if s.at(now_s).sweep is not None:
            failures += 1
            s.resolution.failed(round(now_s * S))
        now_s += 0.1
    assert s.order.state is OrderState.UNKNOWN and 10 < failures < 40
    assert s.resolution.failures == failures


def test_a_doubtful_order_is_asked_for_until_rest_knows() -> None:
    s = scene()
    s.table.accept(s.order, {"order_id": "O1"}, 13 * S)
    assert s.resolution.is_idle
    s.resolution.doubt([s.order], 20 * S)
    sweep = s.at(20).sweep
    assert sweep.order_ids == ("O1",) and sweep.since_s is None
    s.resolution.swept(sweep, [info(status="open")], 20 * S, 21 * S)
    assert not s.resolution.is_idle, "REST may be a minute behind"
    sweep = s.at(22.5).sweep
    s.resolution.swept(sweep, [info(status="canceled")], 22 * S, 23 * S)
    s.at(23)
    assert s.order.state is OrderState.CANCELED and s.resolution.is_idle


def test_a_doubt_ends_when_rest_still_lists_it_a_minute_later_or_the_stream_does() -> None:
    s = scene()
    s.table.accept(s.order, {"order_id": "O1"}, 13 * S)
    s.resolution.doubt([s.order], 20 * S)
    sweep = s.at(20).sweep
    s.resolution.swept(sweep, [info(status="open")], 81 * S, 82 * S)
    assert s.resolution.is_idle and s.order.state.is_live
    s.resolution.doubt([s.order], 90 * S)
    s.resolution.seen("x")
    assert s.resolution.is_idle


def back(s: Scene, listed_s: float) -> None:
    """The stream had a gap until then: it listed all open orders, and is proven far past every deadline."""
    s.resolution._gapless_since = lambda ns: ns >= round(listed_s * S)
    s.resolution.listed(round(listed_s * S))
    s.resolution.pong(EPOCH + 60 * S)


def test_after_a_gap_one_list_of_closed_orders_answers_for_all_if_points_are_short() -> None:
    """It was not open when the stream listed what is, nor opened later: it can only have ended before."""
    for can_afford in (True, False):
        s = scene(gap=True)
        s.resolution._can_afford = lambda points, can_afford=can_afford: can_afford or not points
        s.at(12)
        back(s, 13.5)
        assert s.resolution.proofs() == [(round(75.75 * S), 4)]
        assert s.at(73.4).sweep is None or can_afford
        s.resolution.failed(round(73.4 * S))
        sweep = s.at(75.75).sweep
        assert sweep is not None and (sweep.with_open, sweep.with_fills) == (can_afford, can_afford)
        s.resolution.swept(sweep, [], round(73.4 * S), round(75.9 * S))
        assert s.order.state is OrderState.NOT_PLACED
        assert ("fills" in str(s.order.error)) == can_afford, "it says what it was proven by"


def test_an_early_sweep_waits_for_points_and_the_last_one_does_not() -> None:
    s = scene(gap=True)
    s.resolution._can_afford = lambda _points: False
    asked = [now / 10 for now in range(120, 800) if s.at(now / 10).sweep is not None]
    assert len(asked) == 1 and 75 <= asked[0] <= 76
    assert s.resolution.proofs() == [(round(75.75 * S), 9)], "without the stream it takes open orders and fills besides"


def amend_scene(**new: Any) -> tuple[Scene, Amending]:
    """An open order whose change of terms, sent at 20 s with a deadline at 25 s, is unknown over a gap."""
    s = scene(gap=True)
    s.table.accept(s.order, {"order_id": "O1"}, 13 * S)
    old = {name: getattr(s.order, name, None) for name in new}
    s.order.amending = amending = Amending(old, new, 20 * S, 25 * S, EPOCH + 25 * S)
    s.table.lose_amend(s.order, "the line ended", 21 * S)
    return s, amending


def test_an_amend_is_settled_by_the_list_that_the_stream_brings_after_a_gap() -> None:
    s, amending = amend_scene(order_qty=Decimal(2))
    s.at(21)
    back(s, 22)
    assert s.at(26.9).sweep is None and amending.state == "unknown"
    s.at(27)
    assert amending.state == "not applied" and "listed the order with its old terms" in s.order.evidence[-1].detail


def amend(qty: int = 1, display: int | None = None, at_s: float = 20.5) -> Any:
    return SimpleNamespace(
        amend_id="A1", exch_ns=EPOCH + round(at_s * S), qty=Decimal(qty), post_only=False, limit_price=Decimal(5),
        display_qty=None if display is None else Decimal(display), trigger_price=None,
    )  # fmt: skip


def test_an_amend_of_what_no_list_of_orders_tells_is_looked_up_among_the_amends() -> None:
    for rows, state in (
        ([amend(), amend(display=3)], "applied"),
        ([amend(), amend(display=3), amend(display=9, at_s=40)], "applied"),  # another's, after the deadline
        ([amend(), amend(display=2)], "not applied"),
        ([amend(display=3)], "not applied"),
    ):
        s, amending = amend_scene(display_qty=Decimal(3))
        s.at(21)
        back(s, 22)
        sweep = s.at(22.1).sweep
        assert sweep is not None and sweep.amends_of == ("O1",)
        s.resolution.swept(sweep, [info()], 22 * S, 22 * S, amends={"O1": rows})
        if state == "not applied":
            assert amending.state == "unknown", "REST may be a minute behind"
            sweep = s.at(86).sweep
            assert sweep is not None
            s.resolution.swept(sweep, [info()], 86 * S, 86 * S, amends={"O1": rows})
        assert amending.state == state


def test_an_amend_that_nothing_can_show_is_not_called_undone() -> None:
    s, amending = amend_scene(trigger_price=Decimal(3), trigger_price_type="pct")
    s.at(21)
    back(s, 22)
    sweep = s.at(86).sweep
    assert sweep is not None
    s.resolution.swept(sweep, [info()], 86 * S, 86 * S, amends={"O1": [amend(), amend()]})
    assert amending.state == "moot" and s.resolution.is_idle


# Over the exchange in a box ----------------------------------------------------------------------------------------


@pytest.mark.fault("O02", kind="D")
@pytest.mark.fault("O04", kind="D")
def test_many_unknowns_of_many_gaps_are_all_proven_absent_in_time() -> None:
    """Each gap needs a proof of its own a minute later; together they cost less than the points that come back."""

    async def main(world: OrderWorld) -> None:
        lost = []
        for _ in range(8):
            world.faults.inject("request_lost", endpoint="add_order", count=3)
            asked = [asyncio.ensure_future(world.entry.add_order(**world.buy())) for _ in range(3)]
            await asyncio.sleep(0.1)
            world.line.drop()
            lost += [error.order for error in await asyncio.gather(*asked, return_exceptions=True)]
            await asyncio.sleep(5)  # with more gaps the line waits longer before it comes back
        await asyncio.gather(*(order.resolved() for order in lost))
        late_s = [(order.changed_ns - order.deadline_ns) / S for order in lost]
        assert len(lost) == 24 and {order.state for order in lost} == {OrderState.NOT_PLACED}
        assert 60 <= max(late_s) <= 62
        note("24 unknown orders of 8 gaps: s from deadline to proof", f"{min(late_s):.2f} to {max(late_s):.2f}")

    play(main)


@pytest.mark.fault("O17", kind="D")
@pytest.mark.parametrize("is_applied", [True, False])
def test_an_amend_of_what_no_list_shows_is_known_by_the_list_of_its_amends(is_applied: bool) -> None:
    async def main(world: OrderWorld) -> None:
        order = await world.entry.add_order(**world.buy(order_type="iceberg", display_qty="0.002"))
        fault = "accept_then_reset" if is_applied else "request_lost"
        world.faults.inject(fault, endpoint="amend_order", **({} if is_applied else {"reset": True}))
        with pytest.raises(OutcomeUnknownError):
            await world.entry.amend_order(order=order, display_qty="0.005")
        amending, lost_s = order.amending, world.now_s
        await until(lambda: not amending.is_open, 5 + 62)
        assert amending.state == ("applied" if is_applied else "not applied")
        assert world.account.orders[order.order_id].display == Decimal("0.005" if is_applied else "0.002")
        assert "OrderAmends" in world.port.calls
        assert is_applied == (world.now_s - lost_s < 5)

    play(main)
