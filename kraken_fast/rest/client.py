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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ..auth import Credentials
from ..config import Endpoints, RestSettings
from ..core.clock import Clock, SystemClock
from ..errors import (
    CircuitOpenError,
    ClosedError,
    ConfigError,
    KrakenFastError,
    NonceError,
    RateLimitError,
    RequestTimeoutError,
)
from ..policy import SECOND_NS, RetryBudget, retry_wait_s
from .catalogue import Endpoint, endpoint_of, moves_money_out
from .clock import DEADLINE_ERROR_S
from .engine_limits import Charge, EngineLimits
from .exchange_time import ExchangeTime
from .http import AioHttp, HttpPort
from .key_check import check_host, check_permissions, nonce_of
from .limits import TIERS
from .nonce import FileNonces, NonceLane, NonceStore
from .request import holds_objects, plain_fields
from .sender import RestSender

_log = logging.getLogger("kraken_fast.rest")


@dataclass(frozen=True, slots=True)
class RestStats:
    """How the client stands now.

    Attributes:
        tier: of the key, as assumed or learned. points, points_max: of its counter.
        public_wait_s, private_wait_s: how long a call made now would wait for the limits.
        engine: points of the matching engine's counters that went through here, by pair.
        waiting: calls in the queues.
        breakers: closed, open or half-open, by class of calls.
        calls, retries: since the client was made.
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
        url = where.rest_url.rstrip("/")
        self.host = urlsplit(url).hostname or ""
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
        lane: NonceLane | None = None
        if credentials is not None:
            check_host(self.host, credentials, self.settings.hosts)
            store = nonces or FileNonces.of_user(credentials.key_id)
            lane = NonceLane(store, self.clock, self._rng, unit=nonce_unit)
        self._sender = RestSender(
            url,
            self.settings,
            self._http,
            self.clock,
            self._rng,
            credentials=credentials,
            nonces=lane,
            ask_time=lambda: self.call("Time"),
        )
        self._engine = EngineLimits(
            self.clock, self.settings.tier, waiting_max=self.settings.queue_max, pair_of=self.pair_of
        )
        self._budget = RetryBudget(self.settings.retry_ratio)
        self._counts: Counter[str] = Counter()
        self._checking = asyncio.Lock()
        self._is_checked = False
        self._is_closed = False
        self._queued: set[asyncio.Task[Any]] = set()

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

    def require(self, needs: Iterable[str]) -> None:
        """Need further permissions of the key, as `GetApiKeyInfo` names them; they are checked by the next `open`."""
        more = frozenset(needs) - self._needs
        if more:
            self._needs |= more
            self._is_checked = False

    @property
    def exchange_time(self) -> ExchangeTime:
        """What time it is at the exchange, as far as its answers, or `sync_time`, have told."""
        return self._sender.rest_clock.time

    async def sync_time(self, *, error_s: float = DEADLINE_ERROR_S) -> float:
        """Measure the exchange's time, for deadlines. The first order with a relative deadline does it, in 3 s or so.

        Returns:
            The error that is left, in seconds: half the round trip at best.
        """
        return await self._sender.rest_clock.measure(error_s)

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
        self._sender.counter.tier = TIERS[name]
        self._engine.set_tier(name)

    def charges(self, path: str, params: Mapping[str, Any]) -> list[Charge]:
        """Tell what a call would cost at the matching engine, before it is made; empty for calls that are no orders."""
        endpoint = endpoint_of(path)
        return self._engine.charges(endpoint, plain_fields(params, is_json=endpoint.is_json))

    async def close(self) -> None:
        """Close all connections. Calls that act and have left are waited for; nothing else is."""
        self._is_closed = self._sender.is_closed = True
        for act in self._queued - self._sender.acting:
            act.cancel()
        if self._sender.acting:
            await asyncio.wait(self._sender.acting)
        await self._http.close()

    @property
    def has_key(self) -> bool:
        """Whether it can make private calls."""
        return self._credentials is not None

    def stats(self) -> RestStats:
        """Tell how the client stands."""
        now_ns = self.clock.monotonic_ns
        return RestStats(
            tier=self._sender.counter.tier.name,
            points=self._sender.counter.level(now_ns),
            points_max=self._sender.counter.tier.points_max,
            public_wait_s=self._sender.public.wait_s(),
            private_wait_s=self._sender.private.wait_s(),
            engine=self._engine.levels(),
            waiting=self._sender.public.waiting + self._sender.private.waiting,
            breakers={name: breaker.state for name, breaker in self._sender.breakers.items()},
            calls=self._counts["calls"],
            retries=self._counts["retries"],
            nonce_errors=self._sender.nonce_errors,
        )

    def reserve(self, wanted: Sequence[tuple[int, float]]) -> None:
        """Keep points of the private counter: monotonic times in their order, and the points wanted then."""
        self._sender.counter.reserved = wanted

    def can_afford(self, points: float) -> bool:
        """Tell whether private reads of so many points could be made now: none waits, none are reserved."""
        return self._sender.private.waiting == 0 and self._sender.private.wait_s(points) == 0

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
            await self._sender.rest_clock.know_for(span)
        # The caller may be cancelled; an act that has left goes on to its answer, and the nonce after it waits.
        act = asyncio.ensure_future(self._act(endpoint, fields, wait_s))
        self._queued.add(act)
        act.add_done_callback(self._queued.discard)
        act.add_done_callback(self._sender.acting.discard)
        try:
            return await asyncio.shield(act)
        except asyncio.CancelledError:
            if self._is_closed and act.cancelled():
                raise ClosedError("the client was closed before this was sent") from None
            if act in self._sender.acting:
                act.add_done_callback(_note_unheard)
            else:
                act.cancel()
            raise

    async def _act(self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float) -> Any:
        if not self.settings.limits:
            return await self._sender.send(endpoint, fields, wait_s, self.settings.order_s)
        async with self._engine.turn(endpoint, fields, wait_s):
            result = await self._sender.send(endpoint, fields, wait_s, self.settings.order_s)
        self._engine.learn(endpoint, fields, result)
        return result

    async def _read_repeatedly(self, endpoint: Endpoint, fields: Mapping[str, Any], wait_s: float) -> Any:
        left_s = self.settings.read_s
        is_healed = False
        for attempt in range(self.settings.retries_max + 1):
            begin_ns = self.clock.monotonic_ns
            try:
                return await self._sender.send(endpoint, fields, wait_s, left_s)
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
                self._sender.stopped = error
                raise
            self._sender.key_nonce = nonce_of(info)
            self._is_checked = True


def _note_unheard(act: asyncio.Task[Any]) -> None:
    """Say what became of an act whose caller had gone."""
    if not act.cancelled() and act.exception() is not None:
        _log.error("a call whose caller was cancelled ended with: %s", act.exception())
