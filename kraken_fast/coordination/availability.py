"""How much of the time each symbol could be served: exact to the time between two looks."""

from __future__ import annotations

from collections.abc import Iterable


class Availability:
    """Adds up the time in which symbols could not be served.

    Args:
        symbols: all of them.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._lost_ns = dict.fromkeys(symbols, 0)
        self._missing: dict[str, int] = {}  # since when
        self._begun_ns: int | None = None

    def begin(self, now_ns: int) -> None:
        """Count from now on."""
        self._begun_ns = now_ns

    def look(self, symbol: str, now_ns: int, *, is_missing: bool) -> None:
        """Take whether a symbol is missing now; what was missing at its last look was so until now."""
        if self._begun_ns is None:
            return
        if is_missing:
            self._missing.setdefault(symbol, now_ns)
        elif symbol in self._missing:
            self._lost_ns[symbol] += now_ns - self._missing.pop(symbol)

    def shares(self, now_ns: int) -> dict[str, float]:
        """Give the share of time in which each could be served; 1.0 before any time has passed."""
        if self._begun_ns is None or now_ns <= self._begun_ns:
            return dict.fromkeys(self._lost_ns, 1.0)
        span_ns = now_ns - self._begun_ns
        return {
            symbol: 1.0 - (lost_ns + now_ns - self._missing.get(symbol, now_ns)) / span_ns
            for symbol, lost_ns in self._lost_ns.items()
        }
