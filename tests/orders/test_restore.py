"""What a journal leaves open."""

from __future__ import annotations

from decimal import Decimal

from kraken_fast.core.clock import ManualClock
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.live_order import Order
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
        table.write_intents("add", (order,), encode_params(order.params), 1, 2)
        orders.append(order)
    pair = [Order(f"#{number}", "BTC/USD", {**terms, "order_userref": number}) for number in (7, 8)]
    rows = [{key: value for key, value in each.params.items() if key != "symbol"} for each in pair]
    table.write_intents("batch", pair, encode_params({"symbol": "BTC/USD", "orders": rows}), 1, 2)
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
