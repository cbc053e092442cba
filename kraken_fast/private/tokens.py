"""The token that private lines need: fetched once for all who ask, renewed before it is needed, shown nowhere.

Theory of operation. A token has to be used for the first time within 15 minutes; then it lives as long as a connection
that subscribed with it. So one fetched long ago is good for the line that holds it and may be refused to the next.
`get` gives one that the exchange takes; at half its time a successor is fetched, so that a reconnect does not wait for
REST, nor depend on it. One fetch is under way at most, whoever waits for it. One that fails is repeated with a backoff,
a lockout is waited out, and what no repetition cures is raised: a wrong key is not tried again.

Source: websocket-v2.md section 5; faults.md A01 to A06.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from ..auth import Secret
from ..core.clock import Clock
from ..errors import ClosedError, KrakenFastError, LockoutError
from ..policy import SECOND_NS, Backoff

if TYPE_CHECKING:  # a feed of market data does without REST's records
    from ..rest.answers import WebSocketsToken

_log = logging.getLogger("kraken_fast.tokens")

RENEW_AT = 0.5
"""The part of its time after which a token gets a successor; the exchange's own SDK does so."""


class Tokens:
    """The token of one key, for all its lines.

    Args:
        fetch: `RestClient.fetch_websockets_token`.
        clock: monotonic time.
        rng: jitter.

    Attributes:
        fetches: calls made so far.
        error: why the last one failed; None after a success.
    """

    def __init__(self, fetch: Callable[[], Awaitable[WebSocketsToken]], *, clock: Clock, rng: Random) -> None:
        self.fetches = 0
        self.error: KrakenFastError | None = None
        self._fetch = fetch
        self._clock = clock
        self._rng = rng
        self._token: WebSocketsToken | None = None
        self._flight: asyncio.Task[Secret] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Tokens({'one' if self.usable is not None else 'none'} at hand, {self.fetches} fetched)"

    @property
    def usable(self) -> Secret | None:
        """A token that a line may begin with now, if one is at hand."""
        token = self._token
        return token.token if token is not None and token.is_usable(self._clock.monotonic_ns) else None

    async def get(self) -> Secret:
        """Give a token that a line may begin with, fetched if none is at hand.

        Raises:
            PermissionDeniedError: the key lacks the WebSocket permission.
            AuthError: the key is not accepted. No further call is made with it.
            ClosedError: after, or during, `close`.
        """
        if self._is_closed:
            raise ClosedError("tokens are not fetched after close")
        usable = self.usable
        if usable is not None:
            return usable
        flight = self._fly()
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():
                raise ClosedError("closed while a token was fetched") from None
            raise

    def refuse(self, token: Secret) -> None:
        """The exchange does not take this one; if it is ours still, the next `get` fetches another."""
        if self._token is not None and self._token.token == token:
            self._token = None

    async def close(self) -> None:
        """Stop, and forget the token."""
        self._is_closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.cancel()
            await asyncio.wait([flight])
        if self._token is not None:
            self._token.token.wipe()
            self._token = None

    def _fly(self) -> asyncio.Task[Secret]:
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._bring(), name="kraken_fast token")
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, flight: asyncio.Task[Secret]) -> None:
        if self._flight is flight:
            self._flight = None
        if not flight.cancelled():
            flight.exception()  # retrieved: whoever waits gets it too, and a renewal has nobody who waits

    async def _bring(self) -> Secret:
        backoff = Backoff(self._rng)
        while True:
            self.fetches += 1
            try:
                token = await self._fetch()
            except KrakenFastError as error:
                self.error = error
                wait_s = error.retry_after_s if isinstance(error, LockoutError) else None
                if wait_s is None and not error.retryable:
                    raise
                if wait_s is None:
                    wait_s = max(backoff.after_loss(self._clock.monotonic_ns), getattr(error, "retry_after_s", 0.0))
                _log.warning("no token, next attempt in %.1f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                continue
            self.error = None
            self._token = token
            self._plan_renewal(token)
            return token.token

    def _plan_renewal(self, token: WebSocketsToken) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        age_s = (self._clock.monotonic_ns - token.recv_ns) / SECOND_NS
        delay_s = max(1.0, RENEW_AT * token.expires_s - age_s)
        self._renewal = asyncio.get_running_loop().call_later(delay_s, self._fly)
