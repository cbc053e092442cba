"""Availability: time without a value, added up."""

from __future__ import annotations

from kraken_fast.coordination.availability import Availability


def test_what_was_missing_at_a_look_was_missing_until_the_next() -> None:
    measured = Availability(["A", "B"])
    assert measured.shares(5) == {"A": 1.0, "B": 1.0}
    assert measured.worst is None
    measured.measure([], 100)
    measured.measure(["A"], 110)
    measured.measure([], 130)
    measured.measure(["B"], 190)
    assert measured.shares(200) == {"A": 0.8, "B": 0.9}
    assert measured.worst == "A"
