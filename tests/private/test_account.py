"""An account end to end in virtual time, against the exchange in a box: every fill once, in order, whatever happens."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from kraken_fast.errors import ConfigError, PermissionDeniedError, StaleDataError

from ..simulation.accounts import BTC, AccountWorld

D = Decimal
BID = "60000"


def world(**facts: object) -> AccountWorld:
    made = AccountWorld(**facts)  # type: ignore[arg-type]
    made.clear()
    return made


def test_the_three_ways_tell_the_same() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            events = account.events()
            assert account.quality == "live" and account.state == "live"
            assert account.open_orders(strict=True) == () and account.fills() == ()
            usd, btc = account.balance("USD", strict=True), account.balance("BTC")
            assert (usd.total, usd.quality, btc.total) == (D(100_000), "live", D(10))
            order_id = w.limit("buy", "0.5", BID)
            await asyncio.sleep(0.1)
            (order,) = account.open_orders()
            assert (order.order_id, order.status, order.remaining) == (order_id, "new", D("0.5"))
            assert account.balance("USD").hold == D(30_000) and account.balance("USD").hold_source == "orders"
            assert account.balance("USD").free == D(70_000)
            w.hit(order_id, "0.2")
            await asyncio.sleep(0.1)
            (fill,) = account.fills()
            assert (fill.last_qty, fill.last_price, fill.recovered) == (D("0.2"), D(BID), False)
            assert order.remaining == D("0.3") and order.fills == (fill,)
            assert account.balance("BTC").total == D("10.2")
            assert account.balance("USD").total == w.account.balances["USD"]
            await asyncio.sleep(20)
            told = account.balance("USD")
            assert told.hold_source == "rest" and told.hold == w.account.hold("USD")
            assert told.free == told.total - told.hold
            w.hit(order_id, "0.3")
            await asyncio.sleep(0.1)
            assert account.open_orders() == () and order.status == "filled"
            assert account.order(order_id) is order
            await events.aclose()
        w.check_fills()
        assert [report.exec_type for report in w.orders] == ["pending_new", "new", "filled"]
        assert account.quality == "stale"
        with pytest.raises(StaleDataError):
            account.open_orders(strict=True)

    w.run(main())


@pytest.mark.fault("O09", kind="D")
@pytest.mark.fault("O11", kind="D")
def test_fills_while_the_line_was_down_come_once_in_order_within_two_seconds() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "1", BID)
            for _ in range(5):
                w.hit(order_id, "0.01")
                await asyncio.sleep(0.2)
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await w.until(lambda: account.state not in ("live", "suspect"), 1.0)
                for _ in range(30):
                    w.hit(order_id, "0.01")
                    await asyncio.sleep(0.05)
                assert len(w.fills) == 5 and account.quality == "stale"
            taken = await w.until(lambda: account.quality == "live", 3.0)
            assert taken <= 2.0
            w.check_fills()
            assert [fill.recovered for fill in w.fills] == [False] * 5 + [True] * 30
            assert w.http.count("TradesHistory") == 0, "the snapshot had them all"
            (gap,) = [gap for gap in w.gaps if gap.channel == "executions"]
            assert (gap.healed, gap.fills) == (True, 30)
            assert account.order(order_id).cum_qty == D("0.35")  # type: ignore[union-attr]

    w.run(main())


@pytest.mark.fault("O10", kind="D")
def test_more_fills_than_the_snapshot_holds_are_fetched_within_ten_seconds() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "1.5", BID)
            w.hit(order_id, "0.01")
            await asyncio.sleep(1)
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await asyncio.sleep(0.1)
                for _ in range(140):
                    w.hit(order_id, "0.01")
            taken = await w.until(lambda: account.quality == "live", 12.0)
            assert taken <= 10.0
            w.check_fills()
            assert w.http.count("TradesHistory") == 3
            (gap,) = [gap for gap in w.gaps if gap.channel == "executions"]
            assert (gap.healed, gap.fills) == (True, 140)
            assert account.order(order_id).cum_qty == D("1.41")  # type: ignore[union-attr]

    w.run(main())


@pytest.mark.fault("O12", kind="D")
@pytest.mark.parametrize("kind", ["seq_gap", "seq_repeat", "seq_reset"])
def test_a_broken_sequence_heals_within_three_seconds(kind: str) -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "1", BID)
            w.hit(order_id, "0.01")
            await asyncio.sleep(1)
            w.faults.inject(kind, channel="executions")
            w.hit(order_id, "0.01")
            await w.until(lambda: account.quality != "live", 0.5, 0.0005)
            assert not account.gapless_since(account.rest.clock.monotonic_ns)
            w.hit(order_id, "0.01")
            taken = await w.until(lambda: account.quality == "live", 4.0)
            assert taken <= 3.0
            w.hit(order_id, "0.01")
            await asyncio.sleep(0.5)
            w.check_fills()
            (gap,) = [gap for gap in w.gaps if gap.channel == "executions"]
            assert gap.healed and "sequence" in gap.reason

    w.run(main())


@pytest.mark.fault("O13", kind="D")
def test_a_sequence_that_restarts_with_the_connection_is_no_gap() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            for _ in range(3):
                begin_ns = account.rest.clock.monotonic_ns
                assert account.gapless_since(begin_ns)
                w.faults.inject("rst")
                await w.until(lambda: account.state != "live", 1.0, 0.001)
                assert not account.gapless_since(begin_ns)
                await w.until(lambda: account.quality == "live", 3.0)
                assert not account.gapless_since(begin_ns), "there was a gap after that"
                assert account.line.orders.gaps == 0
                await asyncio.sleep(31)

    w.run(main())


@pytest.mark.fault("O21", kind="D")
@pytest.mark.fault("O22", kind="D")
def test_an_order_that_ended_unheard_is_looked_up_until_rest_knows() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "0.1", BID)
            stays = w.limit("buy", "0.1", "59000")
            await asyncio.sleep(1)
            order = account.order(order_id)
            assert order is not None
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await asyncio.sleep(0.5)
                w.faults.inject("unsolicited_cancel", reason="by hand", account="main")
                w.network.wake()
                await asyncio.sleep(0.5)
            w.faults.inject("status", endpoint="QueryOrders", count=2)
            w.faults.inject("lag", endpoint="QueryOrders", seconds=20)
            await w.until(lambda: account.quality == "live", 3.0)
            assert [each.order_id for each in account.open_orders()] == [stays]
            assert order.status == "new", "nobody knows yet"
            await w.until(lambda: order.status == "canceled", 62.0)
            assert (w.orders[-1].exec_type, w.orders[-1].recovered) == ("canceled", True)

    w.run(main())


@pytest.mark.fault("A04", kind="D")
def test_a_key_without_a_permission_is_told_at_start_which_one() -> None:
    w = world(permissions=("query-funds", "query-open-trades", "query-closed-trades", "query-ledger"))

    async def main() -> None:
        with pytest.raises(PermissionDeniedError, match='create-ws-token \\("WebSocket interface"'):
            await w.connect().open()
        assert len(w.http.calls) == 1

    w.run(main())


def test_settings_are_checked_before_anything_is_sent() -> None:
    w = world()
    for wrong in ({"holds_s": 0}, {"ready_s": 0}, {"events_max": 0}, {"since_ns": -1}, {"depth": 3}):
        with pytest.raises(ConfigError):
            w.connect(**wrong)
    assert BTC == "BTC/USD" and w.http.calls == []
