"""Availability: time without a value, added up."""

from __future__ import annotations

from kraken_fast.coordination.availability import Availability


def test_what_was_missing_at_a_look_was_missing_until_the_next() -> None:
    measured = Availability(["A", "B"])
    measured.look("B", 5, is_missing=True)
    assert measured.shares(10) == {"A": 1.0, "B": 1.0}, "nothing is counted before the beginning"
    measured.begin(100)
    assert measured.shares(100) == {"A": 1.0, "B": 1.0}
    measured.look("A", 110, is_missing=True)
    measured.look("A", 120, is_missing=True)
    measured.look("A", 130, is_missing=False)
    measured.look("B", 190, is_missing=True)
    assert measured.shares(200) == {"A": 0.8, "B": 0.9}
