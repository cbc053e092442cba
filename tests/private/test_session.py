"""The private line by itself: what it tells whom, and what order entry may believe about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from kraken_fast.core.execution import Execution
from kraken_fast.errors import TransportError
from kraken_fast.sim.frames import FrameReader
from kraken_fast.types import Ack, SystemStatus

from ..simulation.accounts import BTC, AccountWorld

BID = "60000"


class Trading:
    """Order entry's ear."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.rows: list[tuple[bool, list[Execution]]] = []
        self.acks: list[Ack] = []
        self.points_max = 0

    def on_up(self) -> None:
        self.told.append("up")

    def on_down(self, reason: str) -> None:
        assert reason
        self.told.append("down")

    def on_reply(self, ack: Ack) -> None:
        self.acks.append(ack)

    def on_executions(self, rows: Sequence[Execution], *, snapshot: bool) -> None:
        self.told.append("snapshot" if snapshot else "row")
        self.rows.append((snapshot, list(rows)))

    def on_status(self, status: SystemStatus) -> None:
        self.told.append(status.system)

    def on_rate_limit(self, points_max: int) -> None:
        self.points_max = points_max


def world(**facts: Any) -> AccountWorld:
    made = AccountWorld(**facts)
    made.clear()
    return made


def test_order_entry_hears_everything_in_order_and_sends_on_the_same_line() -> None:
    w = world()

    async def main() -> None:
        account, trading = w.connect(), Trading()
        account.line.listen(trading)
        assert not account.line.is_up and account.line.send(b"{}") == "never_left"
        with pytest.raises(TransportError):
            _ = account.line.token
        w.limit("buy", "0.1", "50000")
        async with account:
            assert account.line.is_up and trading.told == ["online", "snapshot", "up"]
            assert trading.points_max == account.line.rate_max == 125
            ((_, rows),) = trading.rows
            assert [row.exec_type for row in rows] == ["new"] and rows[0].snapshot
            order = {"order_type": "limit", "side": "buy", "order_qty": 0.1, "symbol": BTC, "limit_price": 60000.0}
            params = {**order, "cl_ord_id": "mine", "token": account.line.token}
            request = {"method": "add_order", "params": params, "req_id": 2**30}
            assert account.line.send(json.dumps(request).encode()) == "written"
            await asyncio.sleep(0.1)
            assert [ack.success for ack in trading.acks if ack.req_id == 2**30] == [True]
            assert [row.exec_type for _, rows in trading.rows[1:] for row in rows] == ["pending_new", "new"]
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await w.until(lambda: not account.line.is_up, 1.0)
                assert trading.told[-1] == "down" and account.line.send(b"{}") == "never_left"
            await w.until(lambda: account.line.is_up, 3.0)
            assert trading.told[-2:] == ["snapshot", "up"]
            assert sorted(row.cl_ord_id or "" for row in trading.rows[-1][1]) == ["", "mine"]

    w.run(main())


def test_a_snapshot_is_told_whole_though_all_of_it_was_known() -> None:
    w = world()

    async def main() -> None:
        account, trading = w.connect(), Trading()
        account.line.listen(trading)
        async with account:
            order_id = w.limit("buy", "0.1", BID)
            w.hit(order_id, "0.01")
            for _ in range(2):
                await asyncio.sleep(35)
                w.faults.inject("rst")
                await w.until(lambda: not account.line.is_up, 1.0, 0.001)
                await w.until(lambda: account.line.is_up, 3.0)
                is_snapshot, rows = trading.rows[-1]
                assert is_snapshot and [row.exec_type for row in rows] == ["trade", "new"]
                assert account.line.orders.missing == () and len(account.open_orders()) == 1

    w.run(main())


def test_what_was_found_out_otherwise_reaches_order_entry_marked() -> None:
    w = world()

    async def main() -> None:
        account, trading = w.connect(), Trading()
        account.line.listen(trading)
        async with account:
            order_id = w.limit("buy", "1", BID)
            await asyncio.sleep(0.1)
            with w.faults.inject("refuse"):
                w.faults.inject("rst")
                await asyncio.sleep(0.1)
                for _ in range(60):
                    w.hit(order_id, "0.01")
            await w.until(lambda: len(w.fills) == 60, 10.0)
            rows = [row for _, rows in trading.rows for row in rows if row.exec_type == "trade"]
            assert {row.exec_id for row in rows} == set(w.truth())
            assert sum(row.recovered for row in rows) >= 60

    w.run(main())


@pytest.mark.fault("A01", kind="D")
def test_a_token_past_its_time_is_replaced_within_two_seconds() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            assert w.http.count("GetWebSocketsToken") == 1
            w.faults.inject("token", count=2)
            w.faults.inject("rst")
            await w.until(lambda: account.state != "live", 1.0, 0.001)
            taken = await w.until(lambda: account.quality == "live", 4.0)
            assert taken <= 2.0
            assert w.http.count("GetWebSocketsToken") == 2, "one fetch for both channels"

    w.run(main())


@pytest.mark.fault("A02", kind="D")
def test_a_token_that_is_revoked_is_replaced_at_the_next_subscription_within_three_seconds() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            w.faults.inject("token_revoked")
            w.network.wake()
            await asyncio.sleep(10)
            assert account.quality == "live", "what was subscribed goes on"
            order_id = w.limit("buy", "0.1", BID)
            w.faults.inject("seq_gap", channel="executions")
            w.hit(order_id, "0.01")
            await w.until(lambda: account.quality != "live", 1.0, 0.0005)
            assert not account.line.is_up
            taken = await w.until(lambda: account.quality == "live", 4.0)
            assert taken <= 3.0 and account.line.is_up
            w.check_fills()

    w.run(main())


@pytest.mark.fault("A03", kind="D")
def test_a_line_that_comes_back_while_rest_is_down_has_a_token_at_hand() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            await asyncio.sleep(600)
            w.faults.inject("status", code=502, count=None)
            w.faults.inject("rst")
            await w.until(lambda: account.state != "live", 1.0, 0.001)
            assert await w.until(lambda: account.line.is_up, 4.0) <= 2.0
            assert w.http.count("GetWebSocketsToken") == 2, "the second at half time"

    w.run(main())


@pytest.mark.fault("K20", kind="D")
def test_a_quiet_account_keeps_its_line() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            await asyncio.sleep(1800)
            assert account.line.connections == 1 and account.quality == "live"

    w.run(main())


@pytest.mark.fault("D15", kind="D")
def test_a_report_that_cannot_be_understood_is_a_gap() -> None:
    w = world()

    async def main() -> None:
        async with w.connect() as account:
            order_id = w.limit("buy", "0.1", BID)
            w.hit(order_id, "0.01")
            await asyncio.sleep(1)
            w.faults.inject("mutate", channel="executions", count=1)
            w.hit(order_id, "0.01")
            await w.until(lambda: account.quality != "live", 1.0, 0.0005)
            await w.until(lambda: account.quality == "live", 4.0)
            w.check_fills()
            assert account.line.connections == 1

    w.run(main())


def test_the_subscriptions_of_the_line_ask_for_what_recovery_needs() -> None:
    w = world()
    sent: list[dict[str, Any]] = []

    def on_wire(direction: str, _number: int, data: bytes | None) -> None:
        if direction == "up" and data is not None and data[0] == 0x81:
            reader = FrameReader()
            reader.feed(data)
            frame = reader.next()
            assert frame is not None
            sent.append(json.loads(frame.payload))

    w.network.on_wire = on_wire

    async def main() -> None:
        async with w.connect():
            pass

    w.run(main())
    executions = next(each["params"] for each in sent if each["params"]["channel"] == "executions")
    assert executions["snap_trades"] is True and executions["snap_orders"] is True and executions["token"]
