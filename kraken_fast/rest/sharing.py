"""Fewer calls for the same knowledge: reads in flight are shared, answers kept for seconds, keys batched.

What is shared has to be immutable: several readers get the same object.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..core.clock import Clock

KEPT_MAX = 4096
"""Answers kept at most; the one that was not used for longest goes first."""

KEPT_S = 60.0
"""An answer that its reader would have taken from here stays for a minute at least, for whoever takes older ones."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(slots=True)
class _Flight:
    task: asyncio.Task[Any]
    readers: int = 0


class Shared:
    """Answers in flight and answers kept.

    A reader says how old an answer may be; one that is older is never given as fresh, and the refresh is one
    call however many ask. `stale_s` lets a reader have an older answer when the call fails: who asks so looks
    at its age.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[Hashable, _Flight] = {}
        self._kept: OrderedDict[Hashable, tuple[Any, int, int]] = OrderedDict()  # answer, asked, of use until
        self._sweep_ns = 0

    def kept(self, key: Hashable, age_s: float) -> Any | None:
        """Give an answer that is not older than `age_s`, or None."""
        found = self._kept.get(key)
        if found is None or age_s <= 0 or self._clock.monotonic_ns - found[1] > age_s * 1e9:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Hashable, value: Any, asked_ns: int, age_s: float) -> None:
        """Keep an answer for as long as its reader would take it; its age counts from when it was asked for.

        Pages of trades or ledgers have keys that nobody asks for again, and a thousand rows each: they do not stay
        for being few. One whose reader takes no kept answer replaces what others kept, and is not kept itself.
        """
        if age_s <= 0 and key not in self._kept:
            return
        until_ns = asked_ns + round(max(age_s, KEPT_S) * 1e9)
        self._kept[key] = (value, asked_ns, until_ns)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        if asked_ns >= self._sweep_ns:
            self._sweep_ns = asked_ns + round(KEPT_S * 1e9)
            for old in [old for old, (_, _, until_ns) in self._kept.items() if until_ns < asked_ns]:
                del self._kept[old]

    async def get(
        self, key: Hashable, fetch: Callable[[], Awaitable[_Value]], *, age_s: float, stale_s: float = 0.0
    ) -> _Value:
        """Give what is kept and fresh enough, else what is in flight, else fetch it."""
        value = self.kept(key, age_s)
        if value is not None:
            return value  # type: ignore[no-any-return]
        try:
            return await self._join(key, fetch, max(age_s, stale_s))  # type: ignore[no-any-return]
        except Exception:
            value = self.kept(key, stale_s)
            if value is None:
                raise
            return value  # type: ignore[no-any-return]

    async def _join(self, key: Hashable, fetch: Callable[[], Awaitable[Any]], age_s: float) -> Any:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._fly(key, fetch, age_s)))
        flight.readers += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.readers == 1:  # nobody else waits for it
                flight.task.cancel()
            raise
        finally:
            flight.readers -= 1

    async def _fly(self, key: Hashable, fetch: Callable[[], Awaitable[Any]], age_s: float) -> Any:
        asked_ns = self._clock.monotonic_ns
        try:
            value = await fetch()
            self.keep(key, value, asked_ns, age_s)
            return value
        finally:
            del self._flights[key]


class Batcher(Generic[_Key, _Value]):
    """Makes one call of requests that come within a few milliseconds of each other.

    Args:
        fetch: gives the values of several keys; a key that it leaves out has none.
        window_s: how long the first of a batch waits for others.
    """

    def __init__(
        self, fetch: Callable[[tuple[_Key, ...]], Awaitable[Mapping[_Key, _Value]]], *, window_s: float
    ) -> None:
        self._fetch = fetch
        self._window_s = window_s
        self._wanted: dict[_Key, None] = {}
        self._batch: asyncio.Task[Mapping[_Key, _Value]] | None = None

    async def get(self, keys: Iterable[_Key]) -> Mapping[_Key, _Value]:
        """Give the values of some keys, fetched together with what others want."""
        if self._batch is None:
            self._batch = asyncio.ensure_future(self._run())
        self._wanted.update(dict.fromkeys(keys))
        return await asyncio.shield(self._batch)

    async def _run(self) -> Mapping[_Key, _Value]:
        await asyncio.sleep(self._window_s)
        wanted, self._wanted, self._batch = tuple(self._wanted), {}, None
        return await self._fetch(wanted)
