"""Packed records: they outlive their message, and no value of one reaches into another."""

from __future__ import annotations

from random import Random

import pytest
from accountwire import TEXT, Account, expected_fields, message, row_of_everything, taken_fields
from judge import same

from kraken_fast.core.packed import Fields, Packed, as_decimal, as_integer
from kraken_fast.sim.reference import loads


def test_any_subset_of_members_survives_its_message() -> None:
    random = Random(20_261_122)
    row = row_of_everything()
    account, expected = Account(), []
    for number in range(1, 400):
        names = {"order_id", "exec_type", *random.sample(sorted(row), random.randrange(len(row)))}
        names.discard("exec_id")  # else most would be copies
        part = {name: row[name] for name in sorted(names, key=lambda _: random.random())} | {"order_id": f"O{number}"}
        raw = message("executions", [part], number)
        assert account.decoder.feed(raw, strict=True)
        expected.append(expected_fields(loads(raw)["data"][0]))
    assert same([taken_fields(record) for record in account.told], expected)
    copies = [record.marked_recovered() for record in account.told]
    del account
    assert same([taken_fields(record) for record in copies], expected)


def test_escaped_texts_that_fill_their_room_to_the_last_byte() -> None:
    """Texts are copied 16 bytes at a time: the room for unescaped ones must be as much larger (seen by ASan)."""
    sizes = [*[4_096] * 15, 120]  # after which the room for one of the longest is left, and not a byte more
    texts = ["é" + "a" * (size - 2) for size in sizes] + ["é" + "a" * 4_094 + "\U0001f600"]
    names = ["exec_type", "order_id", *sorted(TEXT - {"exec_type", "order_id", "exec_id"})]
    row = dict(zip(names, texts, strict=False))
    assert len(row) == 17
    account = Account()
    account.feed("executions", [row])
    (record,) = account.told
    assert taken_fields(record) == row
    assert not account.decoder.feed(message("executions", [row | {"user": "é"}], 2))
    assert "too much escaped text" in str(account.errors[-1])


def test_the_base_is_empty() -> None:
    assert Packed().sequence is None
    assert not hasattr(Fields(), "slots")


@pytest.mark.parametrize("value", [1.5, "1", None, True])
def test_numbers_given_by_hand_are_exact(value: object) -> None:
    with pytest.raises(TypeError):
        as_decimal("x", value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        as_integer("x", value)  # type: ignore[arg-type]
