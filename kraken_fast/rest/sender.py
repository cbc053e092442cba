"""Sends one call when it may be sent, once, and learns from its answer: the middle stations of `client`.

What is learned stays here: whether the key was refused, which class of calls only fails, how full the exchange's
counters are, what time it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from random import Random
from typing import Any
from urllib.parse import urlsplit

from ..auth import Credentials
from ..config import RestSettings
from ..core.clock import Clock
from ..errors import (
    AuthError,
    CircuitOpenError,
    ClosedError,
    ConnectError,
    KrakenFastError,
    LockoutError,
    NonceError,
    OutcomeUnknownError,
    RateLimitError,
    RequestTimeoutError,
    TransportError,
    UnavailableError,
)
from ..policy import SECOND_NS, CircuitBreaker
from .catalogue import Endpoint, Priority
from .clock import RestClock
from .envelope import read_answer
from .error_table import CallFacts
from .http import HttpPort, HttpRequest, HttpResponse
from .limits import TIERS, CallCounter, Lane, NoPace, PublicPace
from .nonce import NonceLane
from .request import facts_of, public_request, signed_request

_log = logging.getLogger("kraken_fast.rest")

PUBLIC_PARALLEL = 4

is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)
"""Set in the task whose reads go before all others and may use what is reserved: those that prove what became of an
order."""


class RestSender:
    """Where the calls of one client leave.

    Args:
        url: of the exchange, without a path.
        settings: limits and times.
        http: carries requests.
        clock, rng: time and chance.
        credentials, nonces: of the key; None for public calls only.
        ask_time: asks for the exchange's time once.

    Attributes:
        public, private: the lanes.
        counter: of the private lane.
        breakers: by class of calls: public, private, orders.
        stopped: why the key is not used any more, or None.
        acting: calls that act and have left.
        key_nonce: where the key's nonces were at start, in words.
    """

    def __init__(
        self,
        url: str,
        settings: RestSettings,
        http: HttpPort,
        clock: Clock,
        rng: Random,
        *,
        credentials: Credentials | None,
        nonces: NonceLane | None,
        ask_time: Callable[[], Awaitable[object]],
    ) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._http = http
        self._clock = clock
        self._credentials = credentials
        self._nonces = nonces
        self.breakers = {name: CircuitBreaker(rng) for name in ("public", "private", "orders")}
        self.stopped: KrakenFastError | None = None
        self.is_closed = False
        self.acting: set[asyncio.Task[Any]] = set()
        self.key_nonce = ""
        self.nonce_errors = 0
        self.counter = CallCounter(TIERS[settings.tier])
        public = PublicPace(
            rate_per_s=settings.public_rate_per_s, burst=settings.public_burst, spacing_s=settings.spacing_s
        )
        limited, most = settings.limits, settings.queue_max
        self.public = Lane(
            "public", public if limited else NoPace(), clock, parallel=PUBLIC_PARALLEL, waiting_max=most
        )
        self.private = Lane(
            "private",
            self.counter if limited else NoPace(),
            clock,
            parallel=1,
            waiting_max=most,
            reserved_wait_ns=self.counter.reserved_wait_ns if limited else None,
        )
        self.rest_clock = RestClock(clock, ask_time, self.public.wait_s)

    async def send(
        self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float, time_s: float
    ) -> Any:
        """Send once, when it is our turn.

        Args:
            endpoint: what is called.
            fields: as `plain_fields` writes them.
            wait_s: the longest to wait for the turn.
            time_s: the longest to wait for the answer.

        Raises:
            KrakenFastError: see `errors`; what proves nothing about an act is `OutcomeUnknownError`.
        """
        self._refuse_if_stopped(endpoint)
        self._refuse_if_open(endpoint)
        lane = self.private if endpoint.is_private else self.public
        asked_ns = self._clock.monotonic_ns
        priority = min(endpoint.priority, Priority.URGENT) if is_urgent.get() else endpoint.priority
        await lane.enter(priority, endpoint.cost, wait_max_s=wait_s)
        try:
            waited_s = (self._clock.monotonic_ns - asked_ns) / SECOND_NS
            if waited_s >= 1.0:
                _log.info("%s waited %.1f s for its turn", endpoint.name, waited_s)
            # What was waited for may have changed everything.
            self._refuse_if_stopped(endpoint)
            self._refuse_if_open(endpoint)
            if endpoint.is_private:
                return await self._exchange_with_nonce(endpoint, fields, time_s)
            request = public_request(self._url, endpoint, fields)
            return await self._exchange(facts_of(endpoint, fields), self._breaker(endpoint), request, time_s)
        except RateLimitError as error:
            if not error.code.startswith("EOrder"):  # the engine's counter is another
                lane.refused(error.retry_after_s)
            raise
        finally:
            lane.leave(endpoint.cost)

    async def _exchange_with_nonce(self, endpoint: Endpoint, fields: Mapping[str, Any], time_s: float) -> Any:
        nonces, credentials = self._nonces, self._credentials
        assert nonces is not None, "_check_key lets nobody through without a key"
        assert credentials is not None
        call, breaker = facts_of(endpoint, fields), self._breaker(endpoint)
        await nonces.acquire()
        try:
            if nonces.locked_s > 0:
                raise _locked_out(endpoint, nonces.locked_s)
            if endpoint.acts and (task := asyncio.current_task()) is not None:
                self.acting.add(task)
            while True:
                request = signed_request(
                    credentials, self._url, endpoint, self.rest_clock.dated(fields), nonce=nonces.take()
                )
                try:
                    result = await self._exchange(call, breaker, request, time_s)
                except NonceError as error:
                    if nonces.probe_further():
                        continue
                    self._report_nonce(error, nonces)
                    raise
                except LockoutError as error:
                    nonces.lock_out(error.retry_after_s)
                    raise
                nonces.confirm()
                return result
        finally:
            nonces.release()

    async def _exchange(
        self, call: CallFacts, breaker: CircuitBreaker, request: HttpRequest, time_s: float
    ) -> Any:
        """Send a request and read its answer; the breaker, the limits and the key's state learn from both."""
        breaker.begin()
        is_told = False
        try:
            sent_ns = self._clock.monotonic_ns
            response = await self._fetch(call, request, time_s)
            result = read_answer(response, call, epoch_s=self._clock.epoch_ns / SECOND_NS)
        except KrakenFastError as error:
            is_failure = isinstance(
                error, (TransportError, RequestTimeoutError, OutcomeUnknownError, UnavailableError)
            )
            (breaker.failed if is_failure else breaker.succeeded)(self._clock.monotonic_ns)
            is_told = True
            self._learn(error)
            raise
        else:
            breaker.succeeded(self._clock.monotonic_ns)
            is_told = True
            self.rest_clock.note_answer(call.endpoint, response, result, sent_ns)
            return result
        finally:
            if not is_told:  # cancelled
                breaker.dropped()

    async def _fetch(self, call: CallFacts, request: HttpRequest, time_s: float) -> HttpResponse:
        unknown: str
        try:
            async with asyncio.timeout(time_s):
                return await self._http.fetch(request)
        except TimeoutError:
            if not call.acts:
                raise RequestTimeoutError(call.endpoint, round(time_s, 3)) from None
            unknown = f"no answer within {time_s:g} s"
        except TransportError as error:
            if not call.acts or isinstance(error, ConnectError) or not error.sent:
                raise
            unknown = str(error)
        raise call.unknown(unknown)

    # What is learned ---------------------------------------------------------------------------------------------

    def _breaker(self, endpoint: Endpoint) -> CircuitBreaker:
        return self.breakers[
            "orders" if endpoint.is_order else "private" if endpoint.is_private else "public"
        ]

    def _refuse_if_open(self, endpoint: Endpoint) -> None:
        wait_ns = self._breaker(endpoint).wait_ns(self._clock.monotonic_ns)
        if wait_ns > 0:
            kind = "orders" if endpoint.is_order else "private" if endpoint.is_private else "public"
            raise CircuitOpenError(f"{self._host}, {kind} calls", wait_ns / SECOND_NS)

    def _refuse_if_stopped(self, endpoint: Endpoint) -> None:
        if self.is_closed:
            raise ClosedError("the client was closed")  # a repetition would open its connections again
        if endpoint.is_private and self.stopped is not None:
            raise self.stopped

    def _learn(self, error: KrakenFastError) -> None:
        if type(error) is AuthError and not error.code.startswith("HTTP"):
            self.stopped = error  # the key, its signature or the account: repeating it ends in a lockout

    def _report_nonce(self, error: NonceError, nonces: NonceLane) -> None:
        self.nonce_errors += 1
        error.advice = (
            f"our last nonce was {nonces.last}, in {nonces.unit}{self.key_nonce}: another program or machine uses "
            "this key, or its unit is another; one key per program is best"
        )
        _log.warning("nonce refused: %s", error.advice)


def _locked_out(endpoint: Endpoint, seconds: float) -> LockoutError:
    error = LockoutError("EGeneral:Temporary lockout", endpoint=endpoint.name, detail="not sent")
    error.retry_after_s = seconds
    return error
