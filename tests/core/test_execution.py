"""Execution: every member of the protocol, from the wire and by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import corpus
import pytest
from accountwire import NAMES, Account, expected_fields, pending, row_of_everything, taken_fields
from judge import same

from kraken_fast.core.execution import Execution
from kraken_fast.types import Contingent, Fee, Triggers


def test_every_member_of_the_protocol_is_read() -> None:
    row = row_of_everything()
    account = Account()
    account.report(**row)
    (execution,) = account.told
    assert same(taken_fields(execution), expected_fields(row))
    assert len(execution.fields()) == 51
    assert execution.order_userref == 3
    assert execution.fees == (Fee("USD", Decimal("1.05249")), Fee("BTC", Decimal(0)))
    assert isinstance(execution.triggers, Triggers)
    assert isinstance(execution.contingent, Contingent)
    assert (execution.snapshot, execution.recovered, execution.sequence) == (False, False, 1)


def test_what_is_null_or_absent_is_none() -> None:
    account = Account()
    account.report(order_id="O1", exec_type="status", fees=None, triggers=None, cum_qty=None, post_only=None)
    (execution,) = account.told
    assert execution.fields() == {"order_id": "O1", "exec_type": "status"}
    assert (execution.fees, execution.triggers, execution.cum_qty, execution.post_only) == ((), None, None, None)
    assert all(getattr(execution, name) is None for name in NAMES if name not in ("order_id", "exec_type"))
    assert execution.key == ("O1", "status", None, None)


def test_built_by_hand_it_tells_what_it_was_given() -> None:
    account = Account()
    row = row_of_everything()
    account.report(**row)
    (streamed,) = account.told
    told = streamed.fields()
    ours = Execution(**told)
    assert ours.fields() == told
    assert (ours.recovered, ours.snapshot, ours.sequence, ours.key) == (True, False, None, streamed.key)
    assert Execution(order_id="O1", exec_type="new", recovered=False, sequence=5).sequence == 5
    assert Execution(order_id="O1", exec_type="new", order_qty=2).order_qty == Decimal(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order_qty", 1.5), ("order_qty", "1.5"), ("order_qty", True), ("symbol", 5), ("post_only", 1),
        ("trade_id", Decimal(1)), ("trade_id", True), ("triggers", {}), ("contingent", Triggers()), ("nothing", 1),
        ("fees", [("USD", 0.1)]), ("timestamp", "2026"), ("timestamp_ns", 1.0),
    ],
)  # fmt: skip
def test_what_the_protocol_does_not_know_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        Execution(**{"order_id": "O1", "exec_type": "new", name: value})


def test_only_finite_numbers_and_once() -> None:
    with pytest.raises(ValueError, match="finite"):
        Execution(order_id="O1", exec_type="new", cost=Decimal("NaN"))
    execution = Execution(order_id="O1", exec_type="new")
    with pytest.raises(TypeError, match="does not change"):
        execution.__init__(order_id="O2", exec_type="new")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        execution.side = "sell"  # type: ignore[misc]


def test_a_copy_marked_recovered_is_otherwise_the_same() -> None:
    account = Account()
    account.report(**pending(cl_ord_id="c1"))
    account.report(**row_of_everything() | {"order_id": "O1", "symbol": None, "cl_ord_id": None})
    for execution in account.told:
        copy = execution.marked_recovered()
        account.decoder.feed(corpus.catalogue()["heartbeat"])
        assert (copy.recovered, execution.recovered) == (True, False)
        assert copy.fields() == execution.fields()
        assert (copy.symbol, copy.cl_ord_id, copy.sequence) == ("BTC/USD", "c1", execution.sequence)
    by_hand = Execution(order_id="O1", exec_type="new", recovered=False, cost=Decimal("1.0")).marked_recovered()
    assert (by_hand.recovered, by_hand.cost) == (True, Decimal("1.0"))


def test_the_key_tells_events_apart() -> None:
    assert Execution(order_id="O1", exec_type="trade", exec_id="T1", timestamp_ns=1).key == "T1"
    one = Execution(order_id="O1", exec_type="amended", timestamp_ns=1, cum_qty=Decimal("1.0"))
    assert one.key == ("O1", "amended", 1, Decimal(1)) == (
        Execution(order_id="O1", exec_type="amended", timestamp_ns=1, cum_qty=1).key
    )


def test_what_a_report_leaves_out_is_that_of_its_order() -> None:
    account = Account()
    account.report(**pending(cl_ord_id="c1", order_userref=0))
    account.report(order_id="O1", exec_type="new", order_status="new")
    new = account.told[1]
    assert (new.symbol, new.side, new.order_type, new.cl_ord_id, new.order_userref) == (
        "BTC/USD", "buy", "limit", "c1", 0,
    )  # fmt: skip
    assert "symbol" not in new.fields()
    assert new.limit_price is None, "what may change is only what this report says"
    assert repr(new) == "<Execution new O1 buy BTC/USD>"


@pytest.mark.parametrize("number", ["1e-08", "123456789012345678901234.5", "0.0000000000000000000001", "-0.5"])
def test_numbers_of_any_width_are_exact(number: str) -> None:
    account = Account()
    fees = f'[{{"qty":{number},"asset":"X"}}]'
    raw = f'{{"order_id":"O1","exec_type":"trade","exec_id":"T","cost":{number},"fees":{fees}}}'
    assert account.decoder.feed(
        b'{"channel":"executions","type":"update","sequence":1,"data":[' + raw.encode() + b"]}", strict=True
    )
    (execution,) = account.told
    assert execution.cost == execution.marked_recovered().cost == Decimal(number)
    assert execution.fees == execution.marked_recovered().fees == (Fee("X", Decimal(number)),)
