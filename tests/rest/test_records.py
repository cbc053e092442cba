"""Records: exact, checked, and frozen."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.errors import DecodeError
from kraken_fast.rest.instruments import InstrumentRegistry
from kraken_fast.rest.records import (
    flag,
    iso,
    iso_or_none,
    keyed,
    listed,
    moment,
    ns_or_ms,
    number,
    read_record,
    seconds,
    text,
    whole,
    wire,
    words,
)

NAMES = InstrumentRegistry()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A record."""

    key: str = ""
    price: Decimal = wire(("price", "px"), number)
    note: str = wire("note", text, "none")


def test_members_are_read_by_their_first_name_that_is_there() -> None:
    assert read_record(Row, {"px": "1.50", "other": 1}, NAMES) == Row(price=Decimal("1.50"))
    assert read_record(Row, {"price": 2, "px": 3, "note": None}, NAMES) == Row(price=Decimal(2))
    assert keyed(Row, {"a": {"px": "1"}}, NAMES, "key") == (Row(key="a", price=Decimal(1)),)


@pytest.mark.parametrize(
    "row",
    [{}, {"price": None}, {"price": 1.5}, {"price": "x"}, {"price": "NaN"}, {"price": True}, [], None, "x"],
)
def test_what_is_missing_or_something_else_is_an_error(row: Any) -> None:
    with pytest.raises(DecodeError):
        read_record(Row, row, NAMES)


def test_rows_by_position() -> None:
    assert listed(Row, [["1", "n", "more"]], (("price", number), ("note", text)), NAMES) == (
        Row(price=Decimal(1), note="n"),
    )
    for rows in (5, [[]], [["x", "n"]], [7]):
        with pytest.raises(DecodeError):
            listed(Row, rows, (("price", number), ("note", text)), NAMES)
    with pytest.raises(DecodeError):
        keyed(Row, [], NAMES, "key")


def test_readers() -> None:
    assert moment(Decimal("1767225601.121142"), NAMES) == 1767225601121142000
    assert (seconds(0, NAMES), seconds("5", NAMES)) == (None, 5 * 10**9)
    assert (ns_or_ms(1767225601121, NAMES), ns_or_ms(1767225600123456789, NAMES)) == (
        1767225601121 * 10**6,
        1767225600123456789,
    )
    assert iso("2026-01-01T00:00:03Z", NAMES) == 1767225603 * 10**9
    assert iso_or_none("0", NAMES) is None
    assert words("a,,b", NAMES) == ("a", "b")
    for read, wrong in ((whole, True), (whole, Decimal(1)), (text, 5), (flag, 1), (number, None)):
        with pytest.raises(TypeError):
            read(wrong, NAMES)
