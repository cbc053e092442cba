"""What the typed methods stand on: names, records, shared reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from ...errors import DecodeError
from ..catalogue import ENDPOINTS
from ..client import RestCore
from ..instruments import InstrumentRegistry
from ..request import facts_of
from ..sharing import Shared

_Value = TypeVar("_Value")

NAMES_AGE_S = 3600.0
"""How long the list of pairs is believed; a name that is not in it is refused, so it is asked for again each hour."""

Amount = Decimal | str | int
"""A price or quantity as a caller gives it. Floats are refused: write 0.1 as "0.1"."""


class TypedCalls(RestCore):
    """The base of all typed methods."""

    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        self.names = InstrumentRegistry()
        self._shared = Shared(self.clock)

    async def instruments(self) -> InstrumentRegistry:
        """Give the registry of names, with all pairs loaded. The first call asks for them, one an hour does again."""

        async def load() -> InstrumentRegistry:
            rows = await self.call("AssetPairs")
            if not isinstance(rows, Mapping):
                raise DecodeError("AssetPairs", 0, "", "not an object")
            names = InstrumentRegistry()
            names.add_pairs(rows)
            self.names = names
            return names

        return await self._shared.get("names", load, age_s=NAMES_AGE_S, stale_s=24 * NAMES_AGE_S)

    def pair_of(self, name: str) -> str:
        """See `RestCore`: the symbol, however the pair was spelled."""
        return self.names.symbol_or_name(name)

    async def _pair_id(self, symbol: str) -> str:
        return (await self.instruments()).pair_id(symbol)

    async def _symbol(self, symbol: str) -> str:
        return (await self.instruments()).symbol(symbol)

    async def _read(
        self,
        name: str,
        params: Mapping[str, Any],
        parse: Callable[[Any, int], _Value],
        *,
        max_age_s: float | None = None,
        stale_s: float = 0.0,
        wait_max_s: float | None = None,
    ) -> _Value:
        """Read a record, shared with whoever asks for the same.

        Args:
            name: of the endpoint.
            params: its parameters.
            parse: makes the record of the result and the time at which it was asked for; the record is immutable.
            max_age_s: how old a kept answer may be; None for the endpoint's own, 0 for a fresh one.
            stale_s: how old it may be if the call fails.
            wait_max_s: the longest to wait for the limits.
        """

        async def fetch() -> _Value:
            asked_ns = self.clock.monotonic_ns
            return parsed(
                name,
                params,
                lambda result: parse(result, asked_ns),
                await self.call(name, params, wait_max_s=wait_max_s),
            )

        key = (name, tuple(sorted((each, str(value)) for each, value in params.items() if value is not None)))
        age_s = self.settings.cache_s.get(name, ENDPOINTS[name].cache_s) if max_age_s is None else max_age_s
        return await self._shared.get(key, fetch, age_s=age_s, stale_s=stale_s)

    async def _ask(self, name: str, params: Mapping[str, Any], parse: Callable[[Any], _Value]) -> _Value:
        """Call and read a record, with nobody else."""
        return parsed(name, params, parse, await self.call(name, params))


def parsed(name: str, params: Mapping[str, Any], parse: Callable[[Any], _Value], result: Any) -> _Value:
    """Make a record of a result; whatever form it has, only errors of ours come out.

    They are raised anew when the result has gone: it may hold a token, and tracebacks can show locals.

    Raises:
        DecodeError: it is not understood.
        OutcomeUnknownError: likewise, for a call that acts: it was accepted, and what became of it has to be looked up.
    """
    try:
        return parse(result)
    except DecodeError as error:
        reason = error.reason
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        reason = "not understood"
    result = None
    if ENDPOINTS[name].acts:
        raise facts_of(ENDPOINTS[name], params).unknown(reason)
    raise DecodeError(name, 0, "", reason)


def the_pair(result: Any, endpoint: str) -> Any:
    """Give what an answer holds under the pair, whatever the pair is called there.

    Raises:
        DecodeError: there is not exactly one.
    """
    values = (
        [value for name, value in result.items() if name != "last"] if isinstance(result, Mapping) else []
    )
    if len(values) != 1:
        raise DecodeError(endpoint, 0, "", "not one pair")
    return values[0]
