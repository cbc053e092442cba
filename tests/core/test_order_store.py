"""Orders along their lives: in order, out of order, twice, with losses, and bounded."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from itertools import permutations
from typing import Any

import pytest
from accountwire import Account, at, happened, pending, trade

from kraken_fast.core.execution import Execution
from kraken_fast.core.order_store import STATUSES, TRANSITIONS, AccountOrder, OrderStore

D = Decimal


def only(account: Account) -> AccountOrder:
    order = account.orders.get("O1")
    assert order is not None
    account.orders._check()  # type: ignore[attr-defined]
    return order


def started() -> Account:
    account = Account()
    account.start()
    return account


def test_a_limit_order_from_its_first_report_to_its_end() -> None:
    account = started()
    account.report(**pending(cl_ord_id="c1"))
    order = only(account)
    assert account.orders.by_cl_ord_id("c1") is order
    assert (order.status, order.is_open, order.remaining) == ("pending_new", True, D(2))
    account.report(**happened("O1", "new", cl_ord_id="c1"))
    assert order.status == "new"
    account.report(**trade("O1", "T1", "0.50000000", "99.5", "0.50000000"))
    account.report(**happened("O1", "amended", "partially_filled", order_qty=D("1.5"), limit_price=D("101.0")))
    assert (order.status, order.order_qty, order.limit_price, order.remaining) == (
        "partially_filled", D("1.5"), D("101.0"), D(1),
    )  # fmt: skip
    account.report(**trade("O1", "T2", "1.00000000", "100.0", "1.50000000", timestamp=at(7)))
    assert (order.status, order.remaining, order.is_open) == ("partially_filled", 0, True)
    account.report(**happened("O1", "filled", cum_qty=D("1.50000000"), cum_cost=D("149.75000"), avg_price=D("99.8")))
    assert (order.status, order.is_open, order.cum_qty, order.cum_cost) == ("filled", False, D("1.5"), D("149.75"))
    assert order.avg_price == D("149.75") / D("1.5")
    assert order.fees == {"USD": D("0.00250") * D("149.75")}
    assert [fill.exec_id for fill in order.fills] == ["T1", "T2"]
    assert (order.symbol, order.side, order.order_type, order.cl_ord_id) == ("BTC/USD", "buy", "limit", "c1")
    assert order.told("time_in_force") == "GTC"
    assert order.told("ext_ord_id") is None
    with pytest.raises(KeyError):
        order.told("nothing")
    store = account.orders
    assert (store.open_orders, store.closed_orders, store.open_count) == ((), (order,), 0)
    assert (store.late, store.copies, store.gaps, store.is_live) == (0, 0, 0, True)
    assert repr(order) == "<AccountOrder O1 filled buy 1.5 BTC/USD filled 1.50000000>"


@pytest.mark.fault("O19", kind="U")
def test_a_completing_trade_is_not_the_end_and_counts_once() -> None:
    account = started()
    account.report(**pending())
    account.report(**trade("O1", "T1", "2.00000000", "100.0", "2.00000000"))
    order = only(account)
    assert (order.status, order.is_open, order.remaining) == ("partially_filled", True, 0)
    account.report(**happened("O1", "filled", cum_qty=D("2.00000000")))
    assert (order.status, order.cum_qty, order.fill_count) == ("filled", D(2), 1)


@pytest.mark.fault("O14", kind="U")
def test_a_fill_that_races_its_cancel_is_counted_and_changes_no_end() -> None:
    account = started()
    account.report(**pending())
    account.report(**happened("O1", "canceled", cum_qty=D(0), avg_price=D(0)))
    account.report(**trade("O1", "T1", "0.50000000", "100.0", "0.50000000"))
    order = only(account)
    assert (order.status, order.cum_qty, order.avg_price) == ("canceled", D("0.5"), D(100))
    assert account.orders.late == 1


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_events_out_of_order_end_alike(order: tuple[int, ...]) -> None:
    """S18: the state never goes back, the filled quantity never falls, whatever comes late."""
    events = [
        pending(), happened("O1", "new"), trade("O1", "T1", "2.00000000", "100.0", "2.00000000"),
        happened("O1", "filled", cum_qty=D("2.00000000"), cum_cost=D("200.00000")),
    ]  # fmt: skip
    account = started()
    rank, filled = 0, D(0)
    for index in order:
        account.report(**events[index])
        held = only(account)
        assert STATUSES.index(held.status) >= rank
        assert held.cum_qty >= filled
        rank, filled = STATUSES.index(held.status), held.cum_qty
    assert (held.status, held.cum_qty, held.symbol, held.fill_count) == ("filled", D(2), "BTC/USD", 1)
    assert held.avg_price == D(100)


@pytest.mark.parametrize("event", [*TRANSITIONS][:-1])
@pytest.mark.parametrize("before", STATUSES)
def test_the_table_of_transitions(before: str, event: str) -> None:
    account = started()
    if before == "unknown":
        account.report(order_id="O1", exec_type="status")
    else:
        account.report(**happened("O1", "status", before))
    order = only(account)
    assert order.status == before
    account.report(**happened("O1", event, exec_id="T" if event == "trade" else None))
    place = STATUSES.index(before)
    assert order.status == (TRANSITIONS[event][place] if place < 4 else before)
    assert order.is_open == (STATUSES.index(order.status) < 4)


@pytest.mark.parametrize("event", ["amended", "restated", "iceberg_refill", "status", "something_new"])
def test_other_events_go_by_the_status_they_tell_and_never_back(event: str) -> None:
    account = started()
    account.report(**happened("O1", event, "new"))
    assert only(account).status == "new"
    account.report(**happened("O1", event, "partially_filled", display_qty=D("0.10")))
    account.report(**happened("O1", event, "new"))
    account.report(**happened("O1", event, "triggered"))
    assert only(account).status == "partially_filled"
    assert only(account).told("display_qty") == D("0.10")


def test_a_filled_quantity_that_falls_is_not_believed() -> None:
    account = started()
    account.report(**happened("O1", "status", "new", cum_qty=D("1.0"), cum_cost=D("9.0"), avg_price=D("9.0")))
    account.report(**happened("O1", "status", "new", cum_qty=D("0.90"), cum_cost=D("8.0"), avg_price=D("8.0")))
    account.report(**happened("O1", "status", "new", avg_price=D("7.0")))
    order = only(account)
    assert (order.cum_qty, order.cum_cost, order.avg_price) == (D(1), D(9), D(9))
    account.report(**happened("O1", "status", "new", cum_qty=D("1.00000000000000000000001"), cum_cost=D("9.5")))
    assert order.cum_qty == D("1.00000000000000000000001")


@pytest.mark.fault("O11", kind="U")
@pytest.mark.parametrize("cum", ["0.50000000", None])
def test_fills_that_come_again_count_once_and_are_told_again_by_a_snapshot_alone(cum: str | None) -> None:
    account = started()
    account.report(**pending())
    account.report(**trade("O1", "T1", "0.50000000", "100.0", "0.50000000"))
    told = len(account.told)
    account.start([trade("O1", "T1", "0.50000000", "100.0", cum), pending(exec_type="new", order_status="new")])
    account.report(**trade("O1", "T1", "0.50000000", "100.0", cum))
    order = only(account)
    assert (order.fill_count, order.cum_qty, account.orders.copies) == (1, D("0.5"), 2)
    assert [(row.exec_type, row.snapshot) for row in account.told[told:]] == [("trade", True), ("new", True)]


def test_a_snapshot_names_what_is_open_and_the_rest_is_missing() -> None:
    account = started()
    for name in ("O1", "O2", "O3"):
        account.report(**pending(name, cl_ord_id=name))
    account.decoder.new_epoch()
    account.start([pending("O1", exec_type="new", order_status="partially_filled", cum_qty=D("0.5"))])
    store = account.orders
    first, second = only(account), store.get("O2")
    assert second is not None
    assert (first.status, first.cum_qty, first.is_open) == ("partially_filled", D("0.5"), True)
    assert [order.order_id for order in store.missing] == ["O2", "O3"]
    assert [order.order_id for order in store.open_orders] == ["O1"]
    assert (second.is_open, second.is_missing, second.status, store.open_count) == (False, True, "pending_new", 1)
    lagging = Execution(order_id="O2", exec_type="status", order_status="new")
    assert store.apply(lagging) is second
    assert second.is_missing, "REST may lag behind the snapshot: no report of it reopens an order"
    assert store.apply(Execution(order_id="O2", exec_type="canceled", order_status="canceled", cum_qty=D(0))) is second
    assert (second.is_missing, second.status) == (False, "canceled")
    account.report(**happened("O3", "status", "new"))
    assert store.missing == ()
    only(account)


def test_a_snapshot_alone_may_reopen_what_was_closed() -> None:
    account = started()
    account.report(**pending())
    account.report(**happened("O1", "canceled"))
    account.start([pending(exec_type="new", order_status="new")])
    order = only(account)
    assert (order.status, order.is_open, account.orders.corrections, account.orders.open_count) == ("new", True, 1, 1)


def test_old_trades_of_a_snapshot_are_orders_that_are_over() -> None:
    account = Account()
    account.start([trade("O1", "T1", "0.5", "100.0", None, order_status="filled")])
    order = only(account)
    assert (order.status, order.cum_qty, order.cum_cost, order.is_missing) == ("filled", D("0.5"), D(50), False)
    (execution,) = account.told
    assert execution.snapshot


def test_what_was_found_afterwards_is_applied_once() -> None:
    account = started()
    account.report(**pending())
    fill = {
        "order_id": "O1", "exec_type": "trade", "exec_id": "T1", "last_qty": D("0.5"), "last_price": D("100.0"),
        "timestamp_ns": 5, "fees": [("USD", D("0.1"))],
    }  # fmt: skip
    store, order = account.orders, only(account)
    assert store.apply(Execution(**fill)) is order
    assert store.apply(Execution(**fill)) is None
    account.report(**trade("O1", "T1", "0.5", "100.0", "0.5"))
    assert (order.fill_count, order.cum_qty, order.cum_cost, order.fees) == (1, D("0.5"), D(50), {"USD": D("0.1")})
    assert order.status == "partially_filled"
    assert len(account.told) == 1
    strange = store.apply(Execution(order_id="O9", exec_type="new", order_status="new"))
    assert strange is store.get("O9")


def test_userrefs_are_not_unique_and_zero_is_none() -> None:
    account = started()
    for number, userref in enumerate([5, 5, 0, 7]):
        account.report(**pending(f"O{number}", order_userref=userref))
    assert [order.order_id for order in account.orders.by_userref(5)] == ["O0", "O1"]
    assert [order.order_userref for order in account.orders.open_orders] == [5, 5, None, 7]


def test_closed_orders_are_kept_up_to_a_bound() -> None:
    store = OrderStore(closed_max=3)
    ends = ["filled", "canceled", "expired"]
    for number in range(10):
        ours = {"order_id": f"O{number}", "cl_ord_id": f"c{number % 2}"}
        store.apply(Execution(exec_type="new", order_status="new", **ours))
        store.apply(Execution(exec_type=ends[number % 3], order_status=ends[number % 3], timestamp_ns=number, **ours))
        store._check()  # type: ignore[attr-defined]
    assert [order.order_id for order in store.closed_orders] == ["O7", "O8", "O9"]
    assert store.get("O6") is None
    kept = store.by_cl_ord_id("c1")
    assert kept is not None
    assert kept.order_id == "O9"
    with pytest.raises(ValueError, match="closed_max"):
        OrderStore(closed_max=0)


def test_open_orders_are_bounded() -> None:
    account = started()
    rows = [happened(f"O{number}", "new") for number in range(20_001)]
    for part in range(0, len(rows), 5_000):
        account.feed("executions", rows[part : part + 5_000])
    assert (account.orders.open_count, account.orders.dropped) == (20_000, 1)
    assert account.told[-1].order_id == "O20000", "what is too much to keep is told all the same"


def test_very_many_fills_are_summed_exactly() -> None:
    account = started()
    account.report(**pending(order_qty=D(100)))
    for number in range(1, 2_502):
        account.report(**trade("O1", f"T{number}", "0.01", f"100.{number % 10}", f"{number / 100:.2f}"))
    order = only(account)
    value = sum((D("0.01") * D(f"100.{number % 10}") for number in range(1, 2_502)), D(0))
    assert (order.fill_count, order.cum_qty, order.cum_cost) == (2_501, D("25.01"), value)
    assert order.fees == {"USD": value * D("0.0025")}
    assert order.avg_price == value / D("25.01")
    assert len(order.fills) <= 1_000
    account.report(**trade("O1", "T3", "0.01", "100.3", None))
    assert (order.fill_count, account.orders.copies) == (2_501, 1), "known, though it is kept no more"


def test_sums_do_not_round_where_a_default_context_would() -> None:
    account = started()
    quantities = ["100000000000000.0", "0.000000000000000001", "0.000000000000000001"]
    for number, qty in enumerate(quantities):
        account.report(**trade("O1", f"T{number}", qty, "1.0", None, cost=None))
    assert only(account).cum_qty == D("100000000000000.000000000000000002")
    assert only(account).cum_cost == D("100000000000000.000000000000000002")


def test_a_store_that_is_begun_anew_knows_nothing() -> None:
    account = started()
    account.report(**pending())
    before = only(account)
    account.orders.__init__()  # type: ignore[misc]
    assert account.orders.get("O1") is None
    account.report(**pending())
    assert account.orders.get("O1") not in (None, before)
    assert only(account).is_open


class Caller(str):
    """A text that calls back as it goes."""

    __slots__ = ("call",)
    call: Any

    def __del__(self) -> None:
        self.call()


def test_a_report_that_calls_the_store_as_it_goes_loses_nothing() -> None:
    store = OrderStore()
    asset, told = Caller("USD"), []

    def call() -> None:
        told.append(store.apply(Execution(order_id="O1", exec_type="new", fees=[], timestamp_ns=3)))

    asset.call = call
    store.apply(Execution(order_id="O1", exec_type="new", fees=[(asset, D(0))], timestamp_ns=1))
    store.apply(Execution(order_id="O1", exec_type="new", symbol="BTC/USD", timestamp_ns=1, cum_qty=D(0)))
    del asset
    for number in range(300):  # more than are kept to tell copies by: the order alone holds its reports now
        store.apply(Execution(order_id="O2", exec_type="new", timestamp_ns=number))
    assert told == []
    order = store.apply(Execution(order_id="O1", exec_type="new", fees=[], timestamp_ns=2))
    assert told == [order]
    assert order is not None
    assert (order.symbol, order.cum_qty, order.told("timestamp_ns")) == ("BTC/USD", 0, 3)
    store._check()  # type: ignore[attr-defined]


def test_ids_may_be_members_of_an_enum() -> None:
    class Mine(str, Enum):  # noqa: UP042 - whose str() is not its value
        ID = "c1"

    store = OrderStore()
    order = store.apply(Execution(order_id="O1", exec_type="new", cl_ord_id=Mine.ID))
    assert order is not None
    assert store.by_cl_ord_id("c1") is order


def test_an_order_cannot_be_made_without_its_id() -> None:
    not_an_id: Any = None
    with pytest.raises(TypeError):
        AccountOrder(not_an_id)
