"""How much of the time each symbol could be served: sampled, exact to the time between two looks."""

from __future__ import annotations

from collections.abc import Iterable


class Availability:
    """Adds up the time in which symbols could not be served.

    Args:
        symbols: all of them.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._lost_ns = dict.fromkeys(symbols, 0)
        self._begun_ns: int | None = None
        self._looked_ns = 0
        self._missing: frozenset[str] = frozenset()

    def measure(self, missing: Iterable[str], now_ns: int) -> None:
        """Take what is missing now; what was missing at the last look was so until now."""
        if self._begun_ns is None:
            self._begun_ns = now_ns
        for symbol in self._missing:
            self._lost_ns[symbol] += now_ns - self._looked_ns
        self._looked_ns = now_ns
        self._missing = frozenset(missing)

    def shares(self, now_ns: int) -> dict[str, float]:
        """Give the share of time in which each could be served; 1.0 before any time has passed."""
        if self._begun_ns is None or now_ns <= self._begun_ns:
            return dict.fromkeys(self._lost_ns, 1.0)
        span_ns = now_ns - self._begun_ns
        open_ns = now_ns - self._looked_ns
        return {
            symbol: 1.0 - (lost_ns + (open_ns if symbol in self._missing else 0)) / span_ns
            for symbol, lost_ns in self._lost_ns.items()
        }

    @property
    def worst(self) -> str | None:
        """The symbol that was missing for longest; None if none was."""
        symbol = max(self._lost_ns, key=lambda name: self._lost_ns[name], default=None)
        return symbol if symbol is not None and self._lost_ns[symbol] else None
