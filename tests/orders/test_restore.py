"""What a journal leaves open."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from order_box import CrashError, OrderWorld

from kraken_fast.core.clock import ManualClock
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.live_order import Amending, Order
from kraken_fast.orders.rate import TradingBudget
from kraken_fast.orders.records import OrderState
from kraken_fast.orders.request import encode_params
from kraken_fast.orders.restore import restored
from kraken_fast.orders.table import OrderTable

D = Decimal


def test_only_what_has_no_end_comes_back_and_exactly() -> None:
    storage, clock = MemoryStorage(), ManualClock()
    table = OrderTable(Journal(storage, clock), TradingBudget())
    terms = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": D("0.10"), "limit_price": D("1.0")}
    orders = []
    for name in ("a", "b", "c"):
        order = Order(name, "BTC/USD", {**terms, "cl_ord_id": name})
        order.deadline_epoch_ns = 5
        table.write_intents(b"add", (order,), encode_params(order.params), 1, 2)
        orders.append(order)
    pair = [Order(f"#{number}", "BTC/USD", {**terms, "order_userref": number}) for number in (7, 8)]
    rows = [{key: value for key, value in each.params.items() if key != "symbol"} for each in pair]
    table.write_intents(b"batch", pair, encode_params({"symbol": "BTC/USD", "orders": rows}), 1, 2)
    table.sent([*orders, *pair], 1, "written")
    table.accept(orders[0], {"order_id": "OA"}, 3)
    table.accept(orders[1], {"order_id": "OB"}, 3)
    orders[1].move(OrderState.CANCELED, "event", 4, "canceled")
    for records in (Journal(storage, clock).past.records, compacted(table)):
        found = {order.name: order for order in restored(records)}
        assert set(found) == {"a", "c", "#7", "#8"}
        assert (found["a"].order_id, found["c"].order_id) == ("OA", None)
        assert str(found["a"].order_qty) == "0.10" and found["#7"].order_userref == 7
        assert (found["a"].sent_epoch_ns, found["a"].deadline_epoch_ns) == (2, 5)


def compacted(table: OrderTable) -> tuple[dict[str, object], ...]:
    storage = MemoryStorage()
    journal = Journal(storage, ManualClock())
    journal.compact(table.open_records())
    return Journal(storage, ManualClock()).past.records


def test_a_restored_order_is_unknown_or_acknowledged() -> None:
    table = OrderTable(Journal(MemoryStorage(), ManualClock()), TradingBudget())
    record = {"k": "add", "n": ["x"], "t": 1, "d": 2, "r": None, "p": {"symbol": "BTC/USD", "order_qty": D(1)}}
    for ack, state in (([], OrderState.UNKNOWN), ([{"k": "ack", "n": "x", "o": "OX"}], OrderState.ACKED)):
        (order,) = restored([record, *ack])
        table.restore(order, 9)
        assert order.state is state and table.find("x") is order
        assert (table.find("OX") is order) == bool(ack)


def test_changes_of_terms_come_back_as_they_ended_or_open() -> None:
    storage = MemoryStorage()
    table = OrderTable(Journal(storage, ManualClock()), TradingBudget())
    terms = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "order_qty": D("0.10"), "limit_price": D("1.0")}
    states = {"a": "acknowledged", "b": "rejected", "c": "sent"}
    for name, state in states.items():
        order = Order(name, "BTC/USD", {**terms, "cl_ord_id": name})
        table.write_intents(b"add", (order,), encode_params(order.params), 1, 2)
        table.sent([order], 1, "written")
        table.accept(order, {"order_id": f"O{name}"}, 3)
        new = {"limit_price": D("2.5")}
        order.amending = Amending({"limit_price": D("1.0")}, new, 4, 5, 6)
        table.write_amend(order, encode_params({"order_id": f"O{name}", **new, "deadline": "x"}), 4, 6)
        if state != "sent":
            table.settle_amend(order, state, 5, "told")
    for records in (Journal(storage, ManualClock()).past.records, compacted(table)):
        found = {order.name: order for order in restored(records)}
        assert [found[name].limit_price for name in states] == [D("2.5"), D("1.0"), D("1.0")]
        assert found["a"].amending is None and found["b"].amending is None
        amending = found["c"].amending
        assert amending is not None and (amending.state, amending.deadline_epoch_ns) == ("unknown", 6)
        assert (amending.old, amending.new) == ({"limit_price": D("1.0")}, {"limit_price": D("2.5")})
        desk = OrderTable(Journal(MemoryStorage(), ManualClock()), TradingBudget())
        desk.restore(found["c"], 9)
        assert list(desk.amending) == ["c"], "nobody may trade before it is known"


@pytest.mark.fault("O17", kind="D")
@pytest.mark.fault("O26", kind="D")
@pytest.mark.parametrize("where", ["after journal", "before send", "after send"])
@pytest.mark.parametrize("ends", ["rests", "ends meanwhile"])
def test_an_amend_is_looked_up_after_a_crash(where: str, ends: str) -> None:
    """O26 of a change of terms: what became of it is known before trading is allowed again."""
    world = OrderWorld()

    async def main() -> None:
        await world.open()
        order = await world.entry.add_order(**world.buy(cl_ord_id="crash"))
        await asyncio.sleep(0.05)
        at: Any = world.storage if "journal" in where else world.line
        at.crash_at, at.crash_on = where, "amend"
        with pytest.raises(CrashError):
            await world.entry.amend_order(order=order, limit_price="1001.0", order_qty="0.02")
        world.kill()
        await asyncio.sleep(1)
        truth = world.account.orders[order.order_id]
        assert (truth.limit_price == D(1001)) == (where == "after send")
        if ends == "ends meanwhile":
            world.core.desk.cancel(world.account, truth, world.timeline.wall_ns(), "by hand")
        began_s = world.now_s
        await world.open()
        again = world.entry.table.find("crash")
        truth = world.account.orders[order.order_id]
        if again is not None:
            assert again is not order and again.amending is not None
            assert again.amending.state == ("applied" if where == "after send" else "not applied")
            assert (again.order_qty, again.limit_price) == (truth.qty, truth.limit_price)
            assert again.state.is_live == truth.live
        assert world.now_s - began_s <= 5 + 62

    world.run(main())
