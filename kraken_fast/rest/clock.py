"""The exchange's time out of REST's answers: learned in passing, measured for deadlines, written into orders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..core.clock import Clock
from ..errors import (
    ExchangeError,
    InvalidOrderError,
    RequestTimeoutError,
    SourceError,
    TransportError,
)
from ..policy import SECOND_NS
from .catalogue import ENDPOINTS
from .envelope import told_ns
from .exchange_time import ExchangeTime
from .http import HttpResponse
from .request import rfc3339_ms

_log = logging.getLogger("kraken_fast.rest")

DATE_USEFUL_NS = 50_000_000
"""Below this error of the exchange's time a `Date` is not even read: it tells whole seconds."""

DEADLINE_ERROR_S = 0.1
"""How well the exchange's time shall be known for a deadline. Source: faults.md A11."""

DOUBT_MAX_NS = SECOND_NS
"""How badly it may be known; with more doubt an order does not leave."""

SAMPLES_MAX = 8


class RestClock:
    """Knows the exchange's time as well as it has to be known.

    Args:
        clock: monotonic time.
        ask: asks for the exchange's time once; the answer comes by `note_answer`.
        lane_wait_s: how long a question asked now would wait for its turn.
    """

    def __init__(
        self, clock: Clock, ask: Callable[[], Awaitable[object]], lane_wait_s: Callable[[], float]
    ) -> None:
        self.time = ExchangeTime()
        self._clock = clock
        self._ask = ask
        self._lane_wait_s = lane_wait_s
        self._measuring = asyncio.Lock()

    def note_answer(self, endpoint: str, response: HttpResponse, result: Any, sent_ns: int) -> None:
        """Learn from an answer. Public ones but `Time` may have been kept at the edge for seconds."""
        now_ns = self._clock.monotonic_ns
        at_ns: int | None = None
        listed = ENDPOINTS.get(endpoint)
        if endpoint == "Time":
            seconds = result.get("unixtime") if isinstance(result, Mapping) else None
            at_ns = seconds * SECOND_NS if isinstance(seconds, int) else None
        elif (
            listed is not None
            and listed.is_private
            and not (self.time.is_known and self.time.error_ns(now_ns) < DATE_USEFUL_NS)
        ):
            at_ns = told_ns(response.headers)
        if at_ns is not None:
            self.time.note(at_ns, sent_ns=sent_ns, recv_ns=now_ns)

    async def measure(self, error_s: float) -> float:
        """Ask, as the exchange's seconds end, until the error is below `error_s` or the way there allows no better.

        Returns:
            The error that is left, in seconds.

        Raises:
            KrakenFastError: the exchange does not answer.
        """
        async with self._measuring:
            trip_ns = 0
            for _ in range(SAMPLES_MAX):
                now_ns = self._clock.monotonic_ns
                if self.time.is_known:
                    if self.time.error_ns(now_ns) <= error_s * SECOND_NS:
                        break
                    lane_ns = round(self._lane_wait_s() * SECOND_NS)
                    wait_ns = lane_ns + self.time.halving_wait_ns(now_ns + lane_ns, trip_ns)
                    await asyncio.sleep(wait_ns / SECOND_NS)
                asked_ns = self._clock.monotonic_ns
                await self._ask()
                trip_ns = self._clock.monotonic_ns - asked_ns
        if not self.time.is_known:  # Time answers with something else
            return float("inf")
        return self.time.error_ns(self._clock.monotonic_ns) / SECOND_NS

    async def know_for(self, span: timedelta) -> None:
        """Make sure that a deadline so far from now can be told in the exchange's time.

        Raises:
            InvalidOrderError: the exchange's time is not known well enough. Nothing was sent.
        """
        try:
            await self.measure(DEADLINE_ERROR_S)
        except (TransportError, RequestTimeoutError, ExchangeError, SourceError) as error:
            _log.warning("the exchange's time could not be measured: %s", error)
        time, now_ns = self.time, self._clock.monotonic_ns
        if not time.is_known or time.error_ns(now_ns) > DOUBT_MAX_NS:
            raise InvalidOrderError("deadline", str(span), "left out: the exchange's time is not known")

    def dated(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Turn a deadline that counts from the sending into the exchange's time; to be called as the order leaves."""
        span = fields.get("deadline")
        if not isinstance(span, timedelta):
            return fields
        at_ns = self.time.now_ns(self._clock.monotonic_ns)
        at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).replace(microsecond=at_ns % SECOND_NS // 1000)
        return {**fields, "deadline": rfc3339_ms(at + span)}
