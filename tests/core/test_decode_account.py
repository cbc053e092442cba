"""The private channels through the decoder: the catalogue, other writings of it, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import corpus
import pytest
from accountwire import Account, expected_fields, message, pending, taken_fields
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import same
from report import note

from kraken_fast.core.decode import Decoder
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import loads

CATALOGUE = {name: raw for name, raw in corpus.private_catalogue().items() if not name.startswith("level3")}
MESSAGES = {name: corpus.parse(raw) for name, raw in CATALOGUE.items()}


def told_of(raw: bytes) -> list[dict[str, Any]]:
    account = Account()
    assert account.decoder.feed(raw, strict=True), raw
    assert all(record.sequence == loads(raw)["sequence"] for record in account.told)
    return [taken_fields(record) for record in account.told]


def test_the_private_catalogue_decodes_field_by_field() -> None:
    for name, raw in CATALOGUE.items():
        assert same(told_of(raw), [expected_fields(row) for row in loads(raw)["data"]]), name
    note("private messages of the catalogue decoded", len(CATALOGUE))
    assert len(CATALOGUE) == 23


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(CATALOGUE)),
    random=st.randoms(use_true_random=False),
    ways=st.sets(st.sampled_from(["shuffle", "space", "escape", "extra", "exponent"]), min_size=1),
)
def test_any_legal_writing_of_a_message_means_the_same(name: str, random: Random, ways: set[str]) -> None:
    raw = corpus.Printer(random, **dict.fromkeys(ways, True)).write(MESSAGES[name])
    rows = [{key: value for key, value in row.items() if not key.startswith("extra")} for row in loads(raw)["data"]]
    for row in rows:
        for nested in ("triggers", "contingent"):
            if nested in row:
                row[nested] = {key: value for key, value in row[nested].items() if not key.startswith("extra")}
        for items, names in (("fees", ("asset", "qty")), ("wallets", ("type", "id", "balance"))):
            if items in row:
                row[items] = [{key: item[key] for key in names} for item in row[items]]
    assert same(told_of(raw), [expected_fields(row) for row in rows]), raw


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("last_qty", Decimal("-0.1")), ("cum_qty", Decimal(-1)), ("order_qty", "2"), ("order_id", ""), ("order_id", 5),
        ("order_id", None), ("exec_type", None), ("order_userref", Decimal("1.5")), ("trade_id", Decimal(-1)),
        ("post_only", "yes"), ("fees", {"asset": "USD", "qty": 1}), ("fees", [{"asset": "USD"}]), ("fees", [5]),
        ("triggers", []), ("triggers", {"price": "1"}), ("contingent", 5), ("contingent", {"order_type": 5}),
        ("timestamp", "yesterday"), ("symbol", 5), ("cost", True),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused_whole(member: str, value: Any) -> None:
    account = Account()
    account.start()
    rows = [pending("O1"), {**pending("O2"), member: value}]
    with pytest.raises(DecodeError, match="executions"):
        account.decoder.feed(message("executions", rows, 2), strict=True)
    assert (account.told, account.orders.open_count, account.orders.is_live) == ([], 0, False)
    assert account.gaps == [("executions", 2, None)]


@pytest.mark.parametrize("number", ["1e99999999999999999999", "1" * 5_000, "NaN", "Infinity"])
def test_a_nested_number_that_python_cannot_read_is_refused(number: str) -> None:
    account = Account()
    row = f'{{"order_id":"O1","exec_type":"new","triggers":{{"price":{number}}}}}'
    raw = b'{"channel":"executions","type":"update","sequence":1,"data":[' + row.encode() + b"]}"
    if number.startswith("11"):
        assert account.decoder.feed(raw, strict=True)
        assert account.told[0].triggers.price == Decimal(number)
        return
    with pytest.raises(DecodeError):
        account.decoder.feed(raw, strict=True)


def test_nobody_who_asked_nobody_is_told() -> None:
    decoder = Decoder()
    assert decoder.feed_all(list(CATALOGUE.values())) == len(CATALOGUE)
    assert (decoder.orders, decoder.balances, decoder.unwanted) == (None, None, len(CATALOGUE))
    orders, balances = decoder.want_executions(), decoder.want_balances()
    assert decoder.want_executions() is orders
    assert decoder.want_balances() is balances
    decoder.feed_all(list(CATALOGUE.values()))
    decoder.unwant("executions")
    decoder.unwant("balances")
    assert (decoder.orders, decoder.balances) == (None, None)
    assert orders.messages + balances.messages == len(CATALOGUE)


def test_several_rows_in_one_message_come_in_order() -> None:
    account = Account()
    account.start([pending(f"O{number}") for number in range(50)])
    assert [record.order_id for record in account.told] == [f"O{number}" for number in range(50)]
    assert account.snapshots == ["executions"]
    assert account.decoder.count_of("executions") == 1
