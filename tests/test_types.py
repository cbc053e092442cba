"""Records: frozen, slotted, and the numbers of the exchange that others rely on."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from kraken_fast import types
from kraken_fast.types import BOOK_DEPTHS, OHLC_INTERVALS, Gap, Level

RECORDS = [kind for kind in vars(types).values() if dataclasses.is_dataclass(kind)]


def test_records_cannot_be_changed() -> None:
    assert len(RECORDS) >= 6
    for record in RECORDS:
        assert record.__dataclass_params__.frozen, record  # type: ignore[union-attr]
        assert "__slots__" in vars(record), record
    gap = Gap("BTC/USD", 3, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        gap.first = 1  # type: ignore[misc]


def test_a_level_is_a_pair_with_names() -> None:
    level = Level(Decimal("1.0"), Decimal(2))
    assert level == (Decimal("1.0"), Decimal(2))
    assert (level.price, level.qty) == level


def test_what_the_exchange_offers() -> None:
    assert BOOK_DEPTHS == (10, 25, 100, 500, 1000)
    assert OHLC_INTERVALS == (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
