"""Figures that a test run prints at its end: how many vectors verified, how many cases a fuzzer tried."""

from __future__ import annotations

_notes: dict[str, object] = {}


def note(name: str, value: object) -> None:
    """Have `name: value` printed in the summary of the run; the last value of a name counts."""
    _notes[name] = value


def notes() -> dict[str, object]:
    """All figures so far, in the order in which they first came."""
    return dict(_notes)
