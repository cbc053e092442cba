"""Requests: exact numbers, what goes together, and the bytes of every documented example."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken_fast.errors import InvalidOrderError
from kraken_fast.orders.records import Conditional, NewOrder, Triggers
from kraken_fast.orders.request import (
    add_params,
    amend_params,
    edit_params,
    encode_params,
    encode_request,
    exact,
    plain,
)

MESSAGES = json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())["messages"]
ADDS = [each for each in MESSAGES if each["id"].startswith("req.add.") and each["id"] != "req.add.validate"]
LIMIT: dict[str, Any] = {
    "order_type": "limit", "side": "buy", "symbol": "BTC/USD", "order_qty": "1", "limit_price": "2",
}  # fmt: skip


def order_of(params: dict[str, Any]) -> NewOrder:
    """Read an order from a documented request."""
    known = {name: value for name, value in params.items() if name not in ("token", "deadline", "validate")}
    for name in ("expire_time", "effective_time"):
        if name in known:
            known[name] = datetime.fromisoformat(known[name])
    if "triggers" in known:
        known["triggers"] = Triggers(**known["triggers"])
    if "conditional" in known:
        known["conditional"] = Conditional(**known["conditional"])
    return NewOrder(**known)


@pytest.mark.parametrize("example", ADDS, ids=lambda each: each["id"])
def test_every_documented_order_is_written_as_documented(example: dict[str, Any]) -> None:
    asked = json.loads(example["raw"], parse_float=Decimal)
    extra = {name: asked["params"][name] for name in ("deadline", "validate") if name in asked["params"]}
    params = {**add_params(order_of(asked["params"])), **extra}
    sent = encode_request("add_order", encode_params(params), asked["params"]["token"], asked["req_id"])
    assert json.loads(sent, parse_float=Decimal) == asked


def test_amends_and_edits_are_written_as_documented() -> None:
    for example in MESSAGES:
        if example["id"].startswith("req.amend.") or example["id"] == "req.edit":
            asked = json.loads(example["raw"], parse_float=Decimal)["params"]
            rest = {name: asked[name] for name in ("order_id", "cl_ord_id", "deadline", "token") if name in asked}
            terms = {name: value for name, value in asked.items() if name not in rest}
            make = edit_params if example["id"] == "req.edit" else amend_params
            written = json.loads(encode_params({**rest, **make(**terms)}), parse_float=Decimal)
            assert written == asked


@pytest.mark.fault("C08", kind="U")
@pytest.mark.parametrize("text", ["", "a b", "a\0b", "x" * 19, "\u202e", "x" * 10_000_000, "é"])
def test_hostile_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidOrderError, match="UUID") as caught:
        add_params(NewOrder(**LIMIT, cl_ord_id=text))
    assert len(str(caught.value)) < 300


@pytest.mark.fault("C08", kind="U")
def test_names_of_every_allowed_kind_round_trip() -> None:
    for text in ("6d1b345e-2821-40e2-ad83-4ecb18a06876", "6d1b345e282140e2ad834ecb18a06876", '"\\{}', "a" * 18):
        params = add_params(NewOrder(**LIMIT, cl_ord_id=text))
        sent = json.loads(encode_request("add_order", encode_params(params), 'to"ken', 1))
        assert sent["params"]["cl_ord_id"] == text and sent["params"]["token"] == 'to"ken'


# Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("C09", kind="U")
@pytest.mark.fault("O28", kind="U")
@given(st.decimals(min_value=Decimal("1e-28"), max_value=Decimal("1e28"), allow_nan=False, places=None))
def test_numbers_leave_as_they_came(number: Decimal) -> None:
    if number.adjusted() < -30 or len(str(number)) > 60:
        return
    text = plain(exact("order_qty", number))
    assert Decimal(text) == number and "e" not in text.lower() and "." in text
    written = encode_params({"order_qty": number}).decode()
    assert written == f'{{"order_qty":{text}}}'


@pytest.mark.fault("C09", kind="U")
@pytest.mark.parametrize(
    ("value", "instead"), [(0.1, '"0.1"'), (1e-7, '"0.0000001"'), (1e22, '"10000000000000000000000"'), (True, "int")]
)
def test_floats_are_refused_with_the_text_to_write(value: Any, instead: str) -> None:
    with pytest.raises(InvalidOrderError) as caught:
        exact("limit_price", value)
    assert instead in str(caught.value)


def test_floats_of_other_libraries_are_refused() -> None:
    class Float64(float):
        """What numpy's float64 is."""

    with pytest.raises(InvalidOrderError, match='write "0.25"'):
        exact("order_qty", Float64(0.25))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    ["", " 1", "1 ", "1,5", "0x10", "\u0661", "1__0", "inf", "nan", "--1", "1e", "1e9999", "9" * 200, Decimal("sNaN"),
     Decimal("1e-40"), None, [], "+-1"],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOrderError):
        exact("order_qty", value)


# What goes together ----------------------------------------------------------------------------------------------

SOON = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"order_type": "limitless"}, "order_type"),
        ({"side": "long"}, "side"),
        ({"symbol": "BTCUSD"}, "symbol"),
        ({"symbol": "BTC/\udcff"}, "symbol"),
        ({"order_qty": None}, "order_qty"),
        ({"limit_price": None}, "limit_price"),
        ({"order_type": "market"}, "limit_price"),
        ({"cash_order_qty": "5"}, "cash_order_qty"),
        ({"order_qty": None, "cash_order_qty": "5"}, "cash_order_qty"),
        ({"order_type": "iceberg"}, "display_qty"),
        ({"display_qty": "0.5"}, "display_qty"),
        ({"order_type": "iceberg", "display_qty": "0.06"}, "display_qty"),
        ({"order_type": "iceberg", "display_qty": "2"}, "display_qty"),
        ({"order_type": "stop-loss-limit"}, "triggers"),
        ({"triggers": Triggers(price="1")}, "triggers"),
        ({"order_type": "trailing-stop-limit", "triggers": Triggers(price="1")}, "triggers.price_type"),
        ({"limit_price_type": "pct"}, "limit_price_type"),
        ({"time_in_force": "day"}, "time_in_force"),
        ({"time_in_force": "gtd"}, "expire_time"),
        ({"expire_time": SOON}, "expire_time"),
        ({"time_in_force": "gtd", "expire_time": SOON.replace(tzinfo=None)}, "expire_time"),
        ({"order_type": "iceberg", "display_qty": "1", "time_in_force": "fok"}, "time_in_force"),
        ({"post_only": True, "time_in_force": "ioc"}, "post_only"),
        ({"post_only": "yes"}, "post_only"),
        ({"stp_type": "none"}, "stp_type"),
        ({"fee_preference": "usd"}, "fee_preference"),
        ({"cl_ord_id": "a", "order_userref": 5}, "order_userref"),
        ({"order_userref": 2**31}, "order_userref"),
        ({"cl_ord_id": "a", "conditional": Conditional(order_type="limit", limit_price="3")}, "conditional"),
        ({"conditional": Conditional(order_type="market")}, "conditional.order_type"),
        ({"conditional": Conditional(order_type="stop-loss")}, "conditional.trigger_price"),
        ({"conditional": Conditional(order_type="limit", trigger_price="3")}, "conditional.trigger_price"),
        ({"sender_sub_id": "x" * 30}, "sender_sub_id"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOrderError) as caught:
        add_params(NewOrder(**{**LIMIT, **terms}))
    assert caught.value.field == field


def test_an_expiry_lies_ahead_by_a_month_at_most() -> None:
    now_ns = int(SOON.timestamp()) * 1_000_000_000
    for days, is_fine in ((-1, False), (1, True), (31, True), (32, False)):
        moment = datetime.fromtimestamp(SOON.timestamp() + days * 86_400, UTC)
        order = NewOrder(**{**LIMIT, "time_in_force": "gtd", "expire_time": moment})
        if is_fine:
            assert add_params(order, now_epoch_ns=now_ns)["expire_time"] == moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            with pytest.raises(InvalidOrderError, match="month"):
                add_params(order, now_epoch_ns=now_ns)


def test_an_amend_has_to_change_something() -> None:
    with pytest.raises(InvalidOrderError, match="another term"):
        amend_params(post_only=True)
    with pytest.raises(InvalidOrderError, match="only with limit_price"):
        amend_params(order_qty="1", limit_price_type="pct")
    with pytest.raises(InvalidOrderError, match="another term"):
        edit_params(symbol="BTC/USD")
