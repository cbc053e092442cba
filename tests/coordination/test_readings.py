"""Readings: values that tell about themselves."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from kraken_fast.coordination.readings import Balance, Balances


def test_balances_read_like_a_mapping_and_cannot_be_changed() -> None:
    one = Balance(
        asset="USD", total=Decimal(3), hold=Decimal(1), free=Decimal(2), hold_source="rest",
        source="rest", age_ms=5.0, quality="rest",
    )  # fmt: skip
    every = Balances(balances={"USD": one}, source="rest", age_ms=5.0, quality="rest")
    assert every["USD"] is one
    assert (list(every), len(every)) == (["USD"], 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.total = Decimal(9)  # type: ignore[misc]
    with pytest.raises(KeyError):
        every["EUR"]
