"""The records of REST: all frozen, slotted and described."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from kraken_fast import rest_types

RECORDS = [
    each
    for _, each in inspect.getmembers(rest_types, inspect.isclass)
    if each.__module__ == rest_types.__name__
]


@pytest.mark.parametrize("record", RECORDS)
def test_it_is_frozen_slotted_described_and_holds_no_float(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(record)
    assert record.__doc__ is not None
    assert not record.__doc__.startswith(record.__name__ + "(")
    assert "float" not in {str(each.type) for each in dataclasses.fields(record)}
