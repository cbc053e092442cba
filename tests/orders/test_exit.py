"""The end of trading: by policy, bounded, with what is in flight settled first."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
from order_box import OrderWorld
from order_story import play

from kraken_fast.errors import ClosedError
from kraken_fast.orders.exit import ExitOnSignal, leave_market
from kraken_fast.orders.live_order import Order
from kraken_fast.sim.account import NewAccount


async def two(world: OrderWorld) -> list[Order]:
    return [await world.entry.add_order(**world.buy()) for _ in range(2)]


@pytest.mark.fault("P08", kind="D")
@pytest.mark.parametrize(
    ("policy", "answer", "is_open"),
    [
        ("leave", None, True), ("cancel", None, False), ("ask", "cancel", False), ("ask", "leave", True),
        ("ask", None, True),
    ],
)
def test_open_orders_are_left_or_cancelled_as_configured(policy: str, answer: Any, is_open: bool) -> None:
    async def main(world: OrderWorld) -> None:
        orders = await two(world)
        asked: list[int] = []

        def ask(mine: Sequence[Order]) -> Any:
            asked.append(len(mine))
            return answer

        report = await leave_market(world.entry, ask=ask if answer else None)
        assert report.took_s <= 1 and not report.was_cut
        assert asked == ([2] if policy == "ask" and answer else [])
        assert len(report.open) == (2 if is_open else 0) and len(report.cancelled) == (0 if is_open else 2)
        assert all(world.account.orders[order.order_id].live is is_open for order in orders)
        with pytest.raises(ClosedError):
            await world.entry.add_order(**world.buy())

    play(main, on_exit=policy)


@pytest.mark.fault("P08", kind="D")
def test_more_young_orders_than_the_counter_lets_cancel_one_by_one_are_cancelled_at_once() -> None:
    async def main(world: OrderWorld) -> None:
        for _ in range(25):  # 8 points each, of 60
            await world.entry.add_order(**world.buy())
        report = await leave_market(world.entry)
        assert not report.was_cut and len(report.cancelled) == 25 and not world.account.live_orders()

    key = NewAccount("main", {"USD": 100_000_000}, tier="starter")
    play(main, accounts=[key], on_exit="cancel")


@pytest.mark.fault("P08", kind="D")
def test_an_end_that_leaves_nothing_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def empty(world: OrderWorld) -> None:
        await leave_market(world.entry)

    async def with_two(world: OrderWorld) -> None:
        await two(world)
        await leave_market(world.entry)

    play(empty)
    assert not caplog.records
    play(with_two)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.fault("P08", kind="D")
def test_what_is_in_flight_is_settled_first() -> None:
    async def main(world: OrderWorld) -> None:
        adding = asyncio.ensure_future(world.entry.add_order(**world.buy(cl_ord_id="flying")))
        await asyncio.sleep(0)
        report = await leave_market(world.entry)
        assert [order.name for order in report.open] == ["flying"] and not report.unknown
        await adding

    play(main)


@pytest.mark.fault("P08", kind="D")
def test_an_end_has_its_bound_and_tells_what_is_not_known() -> None:
    async def main(world: OrderWorld) -> None:
        await two(world)
        world.faults.inject("hole", direction="up")
        world.port.is_down = True
        lost = asyncio.ensure_future(world.entry.add_order(**world.buy(cl_ord_id="lost")))
        await asyncio.sleep(0)
        report = await leave_market(world.entry)
        assert report.was_cut and 5 <= report.took_s <= 5.1
        assert [order.name for order in report.unknown] == ["lost"]
        await asyncio.gather(lost, return_exceptions=True)

    play(main, on_exit="cancel")


@pytest.mark.fault("P08", kind="L")
async def test_a_signal_ends_trading_then_the_task_and_a_second_one_cuts_it_short() -> None:
    cut = asyncio.Event()

    async def trade() -> None:
        exits.append(ExitOnSignal.take(cut.wait, cut))  # an end that only a second signal ends
        await asyncio.sleep(30)

    exits: list[Any] = []
    trading = asyncio.ensure_future(trade())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert not trading.done() and exits[0].number == signal.SIGTERM
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(trading), 0.5)
    exits[0].close()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.both_loops
async def test_the_signals_go_back_to_whoever_had_them() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, mine := lambda *_: None)
    try:
        taken = ExitOnSignal.take(asyncio.Event().wait, asyncio.Event())
        assert taken is not None and signal.getsignal(signal.SIGINT) is not mine
        taken.close()
        assert signal.getsignal(signal.SIGINT) is mine and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


async def test_a_signal_that_somebody_else_handles_is_left_to_them() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print)
    try:
        assert ExitOnSignal.take(asyncio.Event().wait, asyncio.Event()) is None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    assert await asyncio.to_thread(lambda: signal.getsignal(signal.SIGTERM)) is signal.SIG_DFL
