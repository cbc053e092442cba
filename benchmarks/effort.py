"""How long to measure: thoroughly for figures that are quoted, briefly where only a regression shall show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds of a race and the CPU time of each; `messages` for what runs over a socket."""

    rounds: int
    round_ms: float
    messages: int


FULL = Effort(rounds=5, round_ms=80.0, messages=400_000)
SMOKE = Effort(rounds=5, round_ms=16.0, messages=100_000)
