"""The machine behind every REST call: sign, wait, send, classify, repeat. `endpoints` puts the typed methods on it.

Theory of operation. A call goes through these stations in order, and whatever stops it says so in the error tree:

1. *stopped?* A key that was refused, or is locked out, is not used again.
2. *breaker* of its class (public, private, orders): calls that only fail are not made.
3. *lane*: the exchange's counters, kept here; orders and cancels first, then queries, then history.
4. *nonce*: the key's lock, from taking the nonce until the answer.
5. *send*, once, within its time.
6. *classify*: by `error_table`; the counters, the breaker and the lockout learn from it.
7. *repeat*: reads only, never after a time-out, at most three times and within the budget of one in ten.

Invariants. A call that acts is sent at most once; if its answer does not prove the outcome, `OutcomeUnknownError` says
so. What was signed is what is sent, byte for byte. The caller's parameters are read, not kept, nor trusted for a nonce.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .auth import Credentials
from .catalogue import Endpoint, endpoint_of, moves_money_out
from .config import Endpoints, RestSettings
from .core.clock import Clock, SystemClock
from .engine_limits import Charge, EngineLimits
from .envelope import read_answer
from .error_table import CallFacts
from .errors import (
    AuthError,
    CircuitOpenError,
    ClosedError,
    ConfigError,
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
from .exchange_time import ExchangeTime
from .http import AioHttp, HttpPort, HttpRequest, HttpResponse
from .key_check import check_host, check_permissions, nonce_of
from .limits import TIERS, CallCounter, Lane, NoPace, PublicPace
from .nonce import FileNonces, NonceLane, NonceStore
from .policy import SECOND_NS, CircuitBreaker, RetryBudget, retry_wait_s
from .rest_clock import DEADLINE_ERROR_S, RestClock
from .rest_request import facts_of, holds_objects, plain_fields, public_request, signed_request

_log = logging.getLogger("kraken_fast.rest")

PUBLIC_PARALLEL = 4


@dataclass(frozen=True, slots=True)
class RestStats:
    """How the client stands now.

    Attributes:
        tier: of the key, as assumed or learned. points, points_max: of its counter.
        public_wait_s, private_wait_s: how long a call made now would wait for the limits.
        engine: points of the matching engine's counters that went through here, by pair.
        waiting: calls in the queues.
        breakers: closed, open or half-open, by class of calls.
        calls, retries, shared: since the client was made.
        nonce_errors: anomalies; each was reported in the log.
    """

    tier: str
    points: float
    points_max: float
    public_wait_s: float
    private_wait_s: float
    engine: Mapping[str, float]
    waiting: int
    breakers: Mapping[str, str]
    calls: int
    retries: int
    nonce_errors: int


class RestCore:
    """The machine without the typed methods; use `RestClient`.

    Args:
        credentials: of the key; None for public calls only.
        endpoints: where the exchange is.
        settings: limits, times, retries.
        http: carries requests; made when None.
        clock, rng: time and chance.
        nonces: where the key's nonce is kept; None for the user's file.
        nonce_unit: in which the key counts, if you know it: s, ms, us, 10ns, ticks or ns.
        needs: permissions that the key must have, checked at start.
        allow_withdraw: accept a key that may withdraw. A bot needs none.

    Raises:
        ConfigError: credentials for a host that is not Kraken's.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        endpoints: Endpoints | None = None,
        settings: RestSettings | None = None,
        http: HttpPort | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        nonces: NonceStore | None = None,
        nonce_unit: str | None = None,
        needs: Iterable[str] = (),
        allow_withdraw: bool = False,
    ) -> None:
        self.settings = settings or RestSettings()
        where = endpoints or Endpoints()
        self._url = where.rest_url.rstrip("/")
        self.host = urlsplit(self._url).hostname or ""
        self.clock = clock or SystemClock()
        self._rng = rng or SystemRandom()
        self._http = http or AioHttp(
            ca_file=where.ca_file,
            connect_s=self.settings.connect_s,
            body_bytes_max=self.settings.body_bytes_max,
        )
        self._credentials = credentials
        self._needs = frozenset(needs)
        self._allow_withdraw = allow_withdraw
        self._nonces: NonceLane | None = None
        if credentials is not None:
            check_host(self.host, credentials, self.settings.hosts)
            store = nonces or FileNonces.of_user(credentials.key_id)
            self._nonces = NonceLane(store, self.clock, self._rng, unit=nonce_unit)
        self._make_lanes()
        self._breakers = {name: CircuitBreaker(self._rng) for name in ("public", "private", "orders")}
        self._budget = RetryBudget(self.settings.retry_ratio)
        self._counts: Counter[str] = Counter()
        self._stopped: KrakenFastError | None = None
        self._checking = asyncio.Lock()
        self._is_checked = False
        self._key_nonce = ""
        self._is_closed = False
        self._queued: set[asyncio.Task[Any]] = set()
        self._acting: set[asyncio.Task[Any]] = set()
        self._rest_clock = RestClock(self.clock, lambda: self.call("Time"), self._public.wait_s)

    def _make_lanes(self) -> None:
        chosen = self.settings
        self._counter = CallCounter(TIERS[chosen.tier])
        public = PublicPace(
            rate_per_s=chosen.public_rate_per_s, burst=chosen.public_burst, spacing_s=chosen.spacing_s
        )
        limited = chosen.limits
        self._public = Lane(
            "public",
            public if limited else NoPace(),
            self.clock,
            parallel=PUBLIC_PARALLEL,
            waiting_max=chosen.queue_max,
        )
        self._private = Lane(
            "private",
            self._counter if limited else NoPace(),
            self.clock,
            parallel=1,
            waiting_max=chosen.queue_max,
        )
        self._engine = EngineLimits(
            self.clock, chosen.tier, waiting_max=chosen.queue_max, pair_of=self.pair_of
        )

    # Life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Check the key, if there is one: that it works, may do what is needed, and cannot withdraw.

        Without this the first private call does it.

        Raises:
            AuthError, PermissionDeniedError: the key is not accepted, or lacks something.
            ConfigError: it may withdraw; or its nonces are elsewhere.
        """
        if self._credentials is not None:
            await self._check_key()

    @property
    def exchange_time(self) -> ExchangeTime:
        """What time it is at the exchange, as far as its answers, or `sync_time`, have told."""
        return self._rest_clock.time

    async def sync_time(self, *, error_s: float = DEADLINE_ERROR_S) -> float:
        """Measure the exchange's time, for deadlines. The first order with a relative deadline does it, in 3 s or so.

        Returns:
            The error that is left, in seconds: half the round trip at best.
        """
        return await self._rest_clock.measure(error_s)

    def pair_of(self, name: str) -> str:
        """Give the one name of a pair under which the engine's points are counted."""
        return name

    def set_tier(self, name: str) -> None:
        """Go by another tier: `engine_limits.tier_of` names it when the stream has told `maxratecount`.

        Raises:
            ConfigError: there is no such tier.
        """
        if name not in TIERS:
            raise ConfigError("tier", name, f"one of {', '.join(TIERS)}")
        self._counter.tier = TIERS[name]
        self._engine.set_tier(name)

    def charges(self, path: str, params: Mapping[str, Any]) -> list[Charge]:
        """Tell what a call would cost at the matching engine, before it is made; empty for calls that are no orders."""
        endpoint = endpoint_of(path)
        return self._engine.charges(endpoint, plain_fields(params, is_json=endpoint.is_json))

    async def close(self) -> None:
        """Close all connections. Calls that act and have left are waited for; nothing else is."""
        self._is_closed = True
        for act in self._queued - self._acting:
            act.cancel()
        if self._acting:
            await asyncio.wait(self._acting)
        await self._http.close()

    @property
    def has_key(self) -> bool:
        """Whether it can make private calls."""
        return self._credentials is not None

    def stats(self) -> RestStats:
        """Tell how the client stands."""
        now_ns = self.clock.monotonic_ns
        return RestStats(
            tier=self._counter.tier.name,
            points=self._counter.level(now_ns),
            points_max=self._counter.tier.points_max,
            public_wait_s=self._public.wait_s(),
            private_wait_s=self._private.wait_s(),
            engine=self._engine.levels(),
            waiting=self._public.waiting + self._private.waiting,
            breakers={name: breaker.state for name, breaker in self._breakers.items()},
            calls=self._counts["calls"],
            retries=self._counts["retries"],
            nonce_errors=self._counts["nonce errors"],
        )

    # Calling -----------------------------------------------------------------------------------------------------

    async def call(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        allow_money_out: bool = False,
        wait_max_s: float | None = None,
    ) -> Any:
        """Call any endpoint and give its result as parsed, fractions as Decimal; nothing is shared or cached.

        Args:
            path: such as /0/private/Balance, or the name alone of an endpoint in `catalogue.ENDPOINTS`.
            params: values are texts, whole numbers, Decimals, booleans, or lists of them; None is left out.
            allow_money_out: needed for Withdraw*, WalletTransfer and AccountTransfer.
            wait_max_s: the longest to wait for the rate limits; 0 for not at all.

        Raises:
            UsageError: nothing was sent.
            KrakenFastError: see `errors`.
        """
        endpoint = endpoint_of(path)
        if moves_money_out(endpoint) and not allow_money_out:
            raise ConfigError("path", endpoint.path, "called with allow_money_out=True: it moves money out")
        return await self._call(endpoint, params or {}, wait_max_s)

    async def _call(
        self, endpoint: Endpoint, params: Mapping[str, Any], wait_max_s: float | None = None
    ) -> Any:
        if self._is_closed:
            raise ClosedError("the client was closed")
        is_json = endpoint.is_json or (endpoint.is_private and holds_objects(params))
        fields = plain_fields(params, is_order=endpoint.is_order, is_json=is_json)
        wait_s = self.settings.queue_wait_s if wait_max_s is None else wait_max_s
        if endpoint.is_private and not self._is_checked:
            await self._check_key()
        self._counts["calls"] += 1
        self._budget.note_call(self.clock.monotonic_ns)
        if not endpoint.acts:
            return await self._read_repeatedly(endpoint, fields, wait_s)
        if isinstance(span := fields.get("deadline"), timedelta):
            await self._rest_clock.know_for(span)
        # The caller may be cancelled; an act that has left goes on to its answer, and the nonce after it waits.
        act = asyncio.ensure_future(self._act(endpoint, fields, wait_s))
        self._queued.add(act)
        act.add_done_callback(self._queued.discard)
        act.add_done_callback(self._acting.discard)
        try:
            return await asyncio.shield(act)
        except asyncio.CancelledError:
            if self._is_closed and act.cancelled():
                raise ClosedError("the client was closed before this was sent") from None
            if act in self._acting:
                act.add_done_callback(_note_unheard)
            else:
                act.cancel()
            raise

    async def _act(self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float) -> Any:
        if not self.settings.limits:
            return await self._attempt(endpoint, fields, wait_s, self.settings.order_s)
        async with self._engine.turn(endpoint, fields, wait_s):
            result = await self._attempt(endpoint, fields, wait_s, self.settings.order_s)
        self._engine.learn(endpoint, fields, result)
        return result

    async def _read_repeatedly(self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float) -> Any:
        left_s = self.settings.read_s
        is_healed = False
        for attempt in range(self.settings.retries_max + 1):
            begin_ns = self.clock.monotonic_ns
            try:
                return await self._attempt(endpoint, fields, wait_s, left_s)
            except KrakenFastError as error:
                now_ns = self.clock.monotonic_ns
                if not isinstance(error, RateLimitError):
                    left_s -= (now_ns - begin_ns) / SECOND_NS
                pause_s = retry_wait_s(attempt, self._rng)
                if not self._may_repeat(error, attempt, is_healed=is_healed, left_s=left_s - pause_s):
                    raise
                is_healed = is_healed or isinstance(error, NonceError)
            self._counts["retries"] += 1
            await asyncio.sleep(pause_s)
            left_s -= pause_s
        raise AssertionError("the last attempt returns or raises")

    def _may_repeat(self, error: KrakenFastError, attempt: int, *, is_healed: bool, left_s: float) -> bool:
        if not error.retryable or isinstance(error, (RequestTimeoutError, CircuitOpenError)):
            return False
        if isinstance(error, RateLimitError) and error.code.startswith("EKrakenFast"):
            return False
        if isinstance(error, NonceError) and is_healed:
            return False
        is_last = attempt >= self.settings.retries_max or left_s <= 0
        return not is_last and self._budget.take(self.clock.monotonic_ns)

    async def _attempt(
        self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float, time_s: float
    ) -> Any:
        """Send once, when it is our turn."""
        self._refuse_if_stopped(endpoint)
        self._refuse_if_open(endpoint)
        lane = self._private if endpoint.is_private else self._public
        asked_ns = self.clock.monotonic_ns
        await lane.enter(endpoint.priority, endpoint.cost, wait_max_s=wait_s)
        try:
            waited_s = (self.clock.monotonic_ns - asked_ns) / SECOND_NS
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
                self._acting.add(task)
            while True:
                request = signed_request(
                    credentials, self._url, endpoint, self._rest_clock.dated(fields), nonce=nonces.take()
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
            sent_ns = self.clock.monotonic_ns
            response = await self._fetch(call, request, time_s)
            result = read_answer(response, call, epoch_s=self.clock.epoch_ns / SECOND_NS)
        except KrakenFastError as error:
            is_failure = isinstance(
                error, (TransportError, RequestTimeoutError, OutcomeUnknownError, UnavailableError)
            )
            (breaker.failed if is_failure else breaker.succeeded)(self.clock.monotonic_ns)
            is_told = True
            self._learn(error)
            raise
        else:
            breaker.succeeded(self.clock.monotonic_ns)
            is_told = True
            self._rest_clock.note_answer(call.endpoint, response, result, sent_ns)
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
        return self._breakers[
            "orders" if endpoint.is_order else "private" if endpoint.is_private else "public"
        ]

    def _refuse_if_open(self, endpoint: Endpoint) -> None:
        wait_ns = self._breaker(endpoint).wait_ns(self.clock.monotonic_ns)
        if wait_ns > 0:
            kind = "orders" if endpoint.is_order else "private" if endpoint.is_private else "public"
            raise CircuitOpenError(f"{self.host}, {kind} calls", wait_ns / SECOND_NS)

    def _refuse_if_stopped(self, endpoint: Endpoint) -> None:
        if endpoint.is_private and self._stopped is not None:
            raise self._stopped

    def _learn(self, error: KrakenFastError) -> None:
        if type(error) is AuthError and not error.code.startswith("HTTP"):
            self._stopped = error  # the key, its signature or the account: repeating it ends in a lockout

    def _report_nonce(self, error: NonceError, nonces: NonceLane) -> None:
        self._counts["nonce errors"] += 1
        error.advice = (
            f"our last nonce was {nonces.last}, in {nonces.unit}{self._key_nonce}: another program or machine uses "
            "this key, or its unit is another; one key per program is best"
        )
        _log.warning("nonce refused: %s", error.advice)

    async def _check_key(self) -> None:
        if self._credentials is None:
            raise ConfigError("credentials", None, "given for private calls: see Credentials.find()")
        async with self._checking:
            if self._is_checked:
                return
            info = await self._read_repeatedly(endpoint_of("GetApiKeyInfo"), {}, self.settings.queue_wait_s)
            try:
                check_permissions(info, self._needs, allow_withdraw=self._allow_withdraw)
            except KrakenFastError as error:
                self._stopped = error
                raise
            self._key_nonce = nonce_of(info)
            self._is_checked = True


def _locked_out(endpoint: Endpoint, seconds: float) -> LockoutError:
    error = LockoutError("EGeneral:Temporary lockout", endpoint=endpoint.name, detail="not sent")
    error.retry_after_s = seconds
    return error


def _note_unheard(act: asyncio.Task[Any]) -> None:
    """Say what became of an act whose caller had gone."""
    if not act.cancelled() and act.exception() is not None:
        _log.error("a call whose caller was cancelled ended with: %s", act.exception())
