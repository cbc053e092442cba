"""The records: immutable, slotted, compared by value."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from kraken_fast import types

RECORDS = [each for each in vars(types).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_record_never_changes(record: Any) -> None:
    made = record(**{field.name: field.name for field in dataclasses.fields(record)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(record)[0].name, "other")
    assert not hasattr(made, "__dict__")
    assert made == dataclasses.replace(made)
    assert hash(made) == hash(dataclasses.replace(made))


def test_a_level_is_a_pair_with_names() -> None:
    price, qty = level = types.Level(Decimal("1.50"), Decimal(2))
    assert (level.price, level.qty) == (price, qty)


def test_what_the_exchange_offers() -> None:
    assert types.BOOK_DEPTHS == (10, 25, 100, 500, 1000)
    assert types.OHLC_INTERVALS == (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
