"""What an account makes of its line: gaps told once, orders looked up, holds asked for within bounds."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from ..simulation.accounts import AccountWorld

D = Decimal
BID = "60000"


def world(**facts: Any) -> AccountWorld:
    made = AccountWorld(**facts)
    made.clear()
    return made


def test_holds_are_asked_for_only_after_changes_and_not_too_often() -> None:
    w = world()

    async def main() -> None:
        async with w.connect(holds_s=15.0) as account:
            await asyncio.sleep(60)
            assert w.http.count("BalanceEx") == 1
            for _ in range(20):
                w.limit("buy", "0.001", BID)
                await asyncio.sleep(1)
            await asyncio.sleep(30)
            assert 2 <= w.http.count("BalanceEx") <= 4
            usd = account.balance("USD")
            assert (usd.hold, usd.hold_source) == (w.account.hold("USD"), "rest")
            assert usd.hold_age_ms is not None and usd.hold_age_ms > 0

    w.run(main())


def test_holds_of_the_exchange_and_those_reckoned_say_which_they_are() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            with w.faults.inject("status", endpoint="BalanceEx", code=502):
                await asyncio.sleep(20)
                w.limit("sell", "0.5", "70000")
                await asyncio.sleep(0.1)
                btc = account.balance("BTC")
                assert (btc.hold, btc.hold_source, btc.free) == (D("0.5"), "orders", D("9.5"))

    w.run(main())


@pytest.mark.fault("O14", kind="D")
@pytest.mark.fault("O19", kind="D")
def test_a_fill_that_races_the_end_counts_and_the_sums_are_those_of_the_exchange() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            ids = [w.limit("buy", "0.1", str(60_000 + step)) for step in range(5)]
            for order_id in reversed(ids):
                w.hit(order_id, "0.03")
                w.core.desk.cancel_for(w.account, w.account.orders[order_id], w.core.now_ns())
            await asyncio.sleep(0.2)
            for order_id in ids:
                order, truth = account.order(order_id), w.account.orders[order_id]
                assert order is not None and order.status == "canceled"
                assert (order.cum_qty, order.fees) == (truth.filled, {"USD": truth.fee})
            w.check_fills()

    w.run(main())


@pytest.mark.fault("O20", kind="D")
def test_an_order_by_hand_is_listed() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            w.faults.inject("external_order", account="main")
            w.network.wake()
            await asyncio.sleep(0.1)
            (order,) = account.open_orders(strict=True)
            assert order.cl_ord_id is None and order.status == "new"

    w.run(main())


@pytest.mark.fault("O23", kind="D")
def test_orders_that_the_dead_mans_switch_cancelled_in_an_outage_are_seen_within_two_seconds() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            ids = [w.limit("buy", "0.01", str(60_000 + step)) for step in range(3)]
            await asyncio.sleep(1)
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await asyncio.sleep(0.2)
                w.faults.inject("dms_fire", account="main")
                w.network.wake()
                await asyncio.sleep(0.5)
            await w.until(lambda: account.line.is_up, 5.0)
            states = [account.order(order_id) for order_id in ids]
            taken = await w.until(lambda: all(order and order.status == "canceled" for order in states), 3.0)
            assert taken <= 2.0 and account.open_orders() == ()

    w.run(main())


def test_balances_have_gaps_of_their_own() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "0.5", BID)
            await asyncio.sleep(0.1)
            w.hit(order_id, "0.1")
            await asyncio.sleep(1)
            w.faults.inject("drop", channel="balances", count=1)
            w.hit(order_id, "0.1")
            await asyncio.sleep(1)
            (gap,) = w.gaps
            assert (gap.channel, gap.healed) == ("balances", False)
            assert account.quality == "live" and account.gapless_since(account.rest.clock.monotonic_ns)
            for asset in ("BTC", "USD"):
                assert account.balance(asset, strict=True).total == w.account.balances[asset]

    w.run(main())


@pytest.mark.fault("S12", kind="D")
@pytest.mark.parametrize("seed", range(3))
def test_balances_equal_the_ledger_whatever_happens_to_the_line(seed: int) -> None:
    w = world(seed=seed)

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "0.5", BID)
            for step in range(30):
                w.hit(order_id, "0.01")
                kinds = ("rst", "seq_gap", "seq_repeat", "drop")
                if step % 7 == seed:
                    kind = kinds[step % 4]
                    w.faults.inject(kind, count=1, **({} if kind == "rst" else {"channel": "balances"}))
                await asyncio.sleep(5)
                await w.until(lambda: account.line.balances.quality == "live", 60.0)
                await asyncio.sleep(0.1)
                for asset, total in w.account.balances.items():
                    assert account.balance(asset).total == total
            told = [update.ledger_id for update in w.balances if update.ledger_id]
            assert len(told) == len(set(told))

    w.run(main())


@pytest.mark.fault("O22", kind="D")
def test_a_snapshot_that_leaves_open_orders_out_ends_none_of_them() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "0.1", BID)
            await asyncio.sleep(1)
            w.faults.inject("snapshot_truncated", channel="executions", rows=0)
            w.faults.inject("rst")
            await w.until(lambda: account.state != "live", 1.0, 0.001)
            await w.until(lambda: account.line.is_up, 5.0)
            order = account.order(order_id)
            assert order is not None and order.status == "new" and account.open_orders() == ()
            await w.until(lambda: account.open_orders() == (order,), 85.0, 0.5)
            assert order.status == "new"

    w.run(main())


@pytest.mark.fault("O10", kind="D")
def test_an_order_of_which_only_its_fills_are_told_does_not_stay_open() -> None:
    """Filled and gone before we came, and so many fills ago that the snapshot has none of them."""
    w = world()

    async def main() -> None:
        since_ns = w.clock.epoch_ns
        await asyncio.sleep(2)
        for qty, hits in (("0.1", 1), ("0.6", 60)):
            order_id = w.limit("buy", qty, BID)
            for _ in range(hits):
                w.hit(order_id, "0.01" if hits > 1 else qty)
        gone = next(iter(w.account.orders))
        async with w.connect(since_ns=since_ns) as account:
            await w.until(lambda: len(w.fills) == 61, 20.0)
            assert account.order(gone) is not None
            await w.until(lambda: account.open_orders() == (), 10.0)
            assert account.order(gone).status == "filled"  # type: ignore[union-attr]
        w.check_fills()

    w.run(main())
