"""The records of REST: all frozen, slotted and described."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from kraken_fast.rest import answers

RECORDS = [
    each
    for _, each in inspect.getmembers(answers, inspect.isclass)
    if each.__module__.startswith(f"{answers.__name__}.")
]


def test_all_records_are_to_be_had_from_the_package() -> None:
    assert len(RECORDS) >= 45
    assert {each.__name__ for each in RECORDS} == set(answers.__all__)


@pytest.mark.parametrize("record", RECORDS)
def test_it_is_frozen_slotted_described_and_holds_no_float(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(record)
    assert record.__doc__ is not None
    assert not record.__doc__.startswith(record.__name__ + "(")
    assert "float" not in {str(each.type) for each in dataclasses.fields(record)}
