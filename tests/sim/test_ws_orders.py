"""What can happen to an order on its way: lost and late requests and answers, and the truth behind them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money

D = Decimal
BTC = "BTC/USD"
LIMIT = {"order_type": "limit", "side": "buy", "order_qty": 0.5, "symbol": BTC, "limit_price": 1000.0}


@pytest.fixture
def box(make_box: Any) -> Any:
    """A market without a crowd; whatever a test does to it, the books agree in the end."""
    made = make_box([BTC], accounts=[NewAccount("main", {"USD": 100_000, "BTC": 10})])
    for side in ("buy", "sell"):
        made.core.market(BTC).clear(side)
    yield made
    made.core.desk._check()
    check_money(made.core, {"USD": D(100_000), "BTC": D(10)})


@pytest.fixture
def trader(box: Any) -> Any:
    return box.trader()


def live(box: Any) -> int:
    return len(box.account.live_orders())


def kinds(messages: list[Any]) -> list[str]:
    """Give what messages are: `answer`, or the kind of an event."""
    return [
        "answer" if "method" in message else row["exec_type"]
        for message in messages
        for row in (message.get("data") or [{}])
        if "method" in message or message["channel"] == "executions"
    ]


def inject(box: Any, kind: str, **how: Any) -> Any:
    return box.faults.inject(kind, **how)


def test_accepted_without_a_reply(box: Any, trader: Any) -> None:
    fault = inject(box, "accept_no_reply", endpoint="add_order")
    assert kinds(trader.order("add_order", **LIMIT)) == ["pending_new", "new"]
    assert (live(box), fault.fired) == (1, 1)
    assert trader.done("cancel_all") == {"count": 1}


def test_accepted_then_reset(box: Any, trader: Any) -> None:
    inject(box, "accept_then_reset", endpoint="add_order")
    assert trader.order("add_order", cl_ord_id="mine", **LIMIT) == []
    assert trader.line.ending == "rst"
    assert live(box) == 1
    assert box.account.listeners == []
    again = box.open("/auth/v2")
    again.subscribe("executions", token=box.token())
    (snapshot,) = again.messages("executions")
    assert [row["cl_ord_id"] for row in snapshot["data"]] == ["mine"]
    assert snapshot["sequence"] == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_lost_request_leaves_nothing(box: Any, trader: Any, reset: bool) -> None:
    inject(box, "request_lost", reset=reset)
    assert trader.order("add_order", **LIMIT) == []
    assert (live(box), len(box.core.asked)) == (0, 0)
    assert trader.line.ending == ("rst" if reset else None)


def test_a_late_request_is_carried_out_late(box: Any, trader: Any) -> None:
    inject(box, "arrive_late", endpoint="add_order", ms=700, count=1)
    assert trader.order("add_order", **LIMIT) == []
    assert trader.order("cancel_all") == [], "what comes behind it waits as well"
    box.run(0.6)
    assert not box.account.orders
    box.run(0.2)
    assert trader.messages()[-1]["result"] == {"count": 1}
    assert box.core.asked[0].time_ns == box.start_ns + 700_000_000


def test_a_late_request_is_past_its_deadline(box: Any, trader: Any) -> None:
    from kraken_fast.sim.texts import rfc3339

    inject(box, "arrive_late", endpoint="add_order", ms=700, count=1)
    trader.order("add_order", deadline=rfc3339(box.clock.time_ns + 600_000_000, 3), **LIMIT)
    box.run(1)
    answer = next(message for message in trader.messages() if "method" in message)
    assert answer["error"] == "EService:Deadline elapsed"
    assert not box.account.orders
    trader.done("add_order", deadline=rfc3339(box.clock.time_ns + 600_000_000, 3), **LIMIT)


def test_a_refusal_in_any_words(box: Any, trader: Any) -> None:
    inject(box, "reject", error="EOrder:Domain rate limit exceeded", symbol=BTC)
    assert trader.refused("add_order", **LIMIT) == "EOrder:Domain rate limit exceeded"
    assert not box.account.orders
    assert box.core.asked[-1].errors == ("EOrder:Domain rate limit exceeded",)


def test_a_late_reply_comes_behind_its_events(box: Any, trader: Any) -> None:
    inject(box, "reply_late", ms=2500)
    assert kinds(trader.order("add_order", **LIMIT)) == ["pending_new", "new"]
    trader.texts.clear()
    box.run(2.4)
    assert "method" not in "".join(trader.texts)
    box.run(0.2)
    assert kinds(trader.messages())[-1] == "answer"


def test_a_reply_comes_twice(box: Any, trader: Any) -> None:
    inject(box, "reply_twice")
    answers = trader.answers("add_order", **LIMIT)
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert live(box) == 1


def test_the_order_of_reply_and_event_can_be_forced(box: Any, trader: Any) -> None:
    for kind, expected in (
        ("event_before_reply", ["pending_new", "new", "answer"]),
        ("reply_before_event", ["answer", "pending_new", "new"]),
    ):
        with inject(box, kind) as fault:
            assert [kinds(trader.order("add_order", **LIMIT)) for _ in range(8)] == [expected] * 8
            assert fault.fired == 8


def test_events_lag_in_order_while_answers_do_not(box: Any, trader: Any) -> None:
    with inject(box, "stream_lag", ms=800, channel="executions"):
        assert kinds(trader.order("add_order", **LIMIT)) == ["answer"]
    assert kinds(trader.order("cancel_all")) == ["answer"], "what follows does not overtake"
    trader.texts.clear()
    box.run(1)
    assert [row["exec_type"] for row in trader.rows()] == ["pending_new", "new", "canceled"]
    assert [message["sequence"] for message in trader.messages("executions")] == [2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "how", "sequences"),
    [
        ("seq_gap", {"by": 3}, [5, 6]),
        ("seq_repeat", {}, [1, 2]),
        ("seq_reset", {"after": 1}, [2, 1]),
        ("drop", {"channel": "executions", "after": 1}, [2]),
        ("duplicate", {"channel": "executions"}, [2, 2, 3]),
        ("swap", {"channel": "executions"}, [3, 2]),
    ],
)
def test_sequences_can_be_broken(box: Any, trader: Any, kind: str, how: Any, sequences: list[int]) -> None:
    inject(box, kind, **{"channel": "executions", **how})
    trader.order("add_order", **LIMIT)
    assert [message["sequence"] for message in trader.messages("executions")] == sequences


def test_a_snapshot_is_cut_or_of_the_past(box: Any, trader: Any) -> None:
    trader.done("add_order", **LIMIT)
    box.clock.sleep(10)
    trader.done("add_order", **LIMIT)
    seen = []
    for kind, how in (("snapshot_truncated", {"rows": 1}), ("snapshot_lag", {"seconds": 5}), ("", {})):
        if kind:
            inject(box, kind, channel="executions", **how)
        client = box.open("/auth/v2")
        client.subscribe("executions", token=box.token())
        seen.append([row["order_id"] for row in client.messages("executions")[0]["data"]])
    first, second = box.account.orders
    assert seen == [[first], [first], [first, second]]


def test_tokens_can_fail(box: Any, trader: Any) -> None:
    inject(box, "token", endpoint="add_order")
    assert trader.refused("add_order", **LIMIT) == "ESession:Invalid session"
    trader.done("add_order", **LIMIT)
    with inject(box, "token_ttl", seconds=3):
        token = box.token()
    box.clock.sleep(4)
    client = box.open("/auth/v2")
    assert client.subscribe("executions", token=token)[0]["error"] == "ESession:Invalid session"
    inject(box, "token_revoked")
    box.core.advance()
    assert trader.refused("cancel_all") == "ESession:Invalid session"
    box.result("CancelAll")
    trader.poll()
    assert trader.rows()[-1]["exec_type"] == "canceled", "what was subscribed goes on"


def test_answers_have_other_forms_now_and_then(box: Any, trader: Any) -> None:
    def order(**changes: Any) -> dict[str, Any]:
        return {name: value for name, value in {**LIMIT, **changes}.items() if name != "symbol"}

    inject(box, "answer_form", form="nested")
    rows = trader.done("batch_add", symbol=BTC, orders=[order(), order(order_qty=99.0, limit_price=5000.0)])["orders"]
    assert [row["success"] for row in rows] == [True, False]
    assert rows[1]["error"] == "EOrder:Insufficient funds"
    inject(box, "answer_form", form="failed")
    (answer,) = trader.answers("batch_add", symbol=BTC, orders=[order()] * 2)
    assert (answer["success"], len(answer["result"])) == (False, 2)
    inject(box, "answer_form", form="orders_cancelled")
    (answer,) = trader.answers("batch_cancel", orders=[row["order_id"] for row in answer["result"]])
    assert answer == {"method": "batch_cancel", "orders_cancelled": 2, "req_id": 7, "success": True}


def test_a_second_snapshot_keeps_the_sequence(box: Any, trader: Any) -> None:
    inject(box, "second_snapshot", channel="executions")
    trader.done("add_order", **LIMIT)
    messages = trader.messages("executions")
    assert [(message["type"], message["sequence"]) for message in messages] == [
        ("update", 2),
        ("update", 3),
        ("snapshot", 4),
    ]


def test_the_exchange_remembers_what_it_was_asked(box: Any, trader: Any) -> None:
    trader.order("add_order", cl_ord_id="mine", **LIMIT)
    trader.order("cancel_order", cl_ord_id=["mine", "other"])
    first, second = box.core.asked
    assert (first.method, first.params["cl_ord_id"], first.errors) == ("add_order", "mine", ("",))
    assert first.account == "main"
    assert "token" not in first.params
    assert second.errors == ("", "EOrder:Unknown order")


def test_a_token_shows_in_no_memory(box: Any, trader: Any) -> None:
    trader.order("add_order", **LIMIT)
    assert trader.token not in repr(box.core.asked)
