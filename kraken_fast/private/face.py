"""What the faces of lines with a token share: whose key, opening and closing, iteration, callbacks that cannot harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any, Self
from urllib.parse import urlsplit

from ..auth import Credentials
from ..config import PRIVATE_WS_HOSTS, Endpoints, is_loopback
from ..core.capture import CaptureWriter
from ..errors import ClosedError, ConfigError, ConnectError, KrakenFastError, SubscriptionError
from ..events import Event, EventStream, LineChange
from ..rest.endpoints import RestClient
from ..session import Session, SessionSettings
from ..transport import LineState
from ..types import SystemStatus
from .tokens import Tokens

_log = logging.getLogger("kraken_fast.account")


def client_of(
    credentials: Credentials | None,
    rest: RestClient | None,
    endpoints: Endpoints,
    settings: SessionSettings,
    needs: Iterable[str],
) -> RestClient:
    """Give the client that fetches the tokens: the one given, or one of the key.

    Raises:
        ConfigError: there is no key, there are two, or the token would be shown to a host that is not Kraken's.
    """
    if rest is not None and credentials is not None:
        raise ConfigError("credentials", "***", "left out where `rest` is given, which has its own")
    client = rest
    if client is None:
        found = credentials or Credentials.find()
        if found is None:
            raise ConfigError("credentials", None, "a key: pass one, or set KRAKEN_API_KEY and KRAKEN_API_SECRET")
        client = RestClient(found, endpoints=endpoints, clock=settings.clock, rng=settings.rng, needs=needs)
    host = urlsplit(endpoints.ws_url).hostname or ""
    known = (*PRIVATE_WS_HOSTS, *client.settings.hosts)
    is_trusted = any(host == name or host.endswith(f".{name}") for name in known)
    if not (is_loopback(client.host) if is_loopback(host) else is_trusted):
        raise ConfigError("ws_url", endpoints.ws_url, f"at one of {', '.join(PRIVATE_WS_HOSTS)}, to be shown a token")
    return client


class PrivateFace:
    """The base of `Account` and `Level3Feed`.

    Args:
        rest: fetches tokens.
        settings: of the line.
        ready_s: how long opening may take.
        events_max: events that may wait for a slow iterator.
        record: where the line is recorded.
        owns_rest: whether the client is closed with this.
        tokens: of another face of the same key, to share; they are not closed.

    Attributes:
        on_notice: called with each LineChange, Refused, AccountGap and SystemStatus.
        callback_failures: exceptions of callbacks so far; each was logged.
    """

    line: Session

    def __init__(
        self,
        rest: RestClient,
        settings: SessionSettings,
        *,
        ready_s: float,
        events_max: int,
        record: str | Path | CaptureWriter | None,
        owns_rest: bool,
        tokens: Tokens | None = None,
    ) -> None:
        self.rest = rest
        self.on_notice: Callable[[Event], None] | None = None
        self.callback_failures = 0
        self._owns_rest = owns_rest
        self._owns_tokens = tokens is None
        self._ready_s = ready_s
        self._events_max = events_max
        self._record = record
        self._streams: list[EventStream] = []
        rng = settings.rng or SystemRandom()
        self.tokens = tokens or Tokens(rest.fetch_websockets_token, clock=rest.clock, rng=rng)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state}>"

    # Opening, closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Check the key, connect, subscribe, and wait until everything delivers or was refused.

        Raises:
            AuthError, PermissionDeniedError: the key is not accepted, or lacks something, which is named.
            ConnectError, TlsError, HandshakeError: no connection within `ready_s`, with the last reason.
            SubscriptionError: everything was refused.
            ClosedError: it was opened before, or closed meanwhile.
        """
        if self.line.connection is not None:
            raise ClosedError("it is opened once; make a new one")
        try:
            async with asyncio.timeout(self._ready_s):
                await self.rest.open()
                await self.rest.instruments()  # so that what REST tells is understood when it is needed
                await self.line.start(self._record)
        except TimeoutError:
            error = self._not_ready()
            await self.close()
            raise error from None
        except (KrakenFastError, asyncio.CancelledError):
            await self.close()
            raise

    def _not_ready(self) -> KrakenFastError:
        if self.tokens.error is not None:
            return self.tokens.error
        connection = self.line.connection
        if connection is None or connection.state not in (LineState.LIVE, LineState.SUSPECT):
            return (None if connection is None else connection.error) or ConnectError(
                f"no connection within {self._ready_s:g} s"
            )
        channel, symbol = self.line.awaited or ("", "")
        return SubscriptionError(channel, symbol, f"nothing delivered within {self._ready_s:g} s")

    async def close(self) -> None:
        """End it. Prompt, and may be called again; iterators end, reads keep giving the last values as stale."""
        await self.line.close()
        if self._owns_tokens:
            await self.tokens.close()
        if self._owns_rest:
            await self.rest.close()
        for stream in tuple(self._streams):
            stream.finish(None)

    # Iterating -----------------------------------------------------------------------------------------------

    def events(self) -> EventStream:
        """Iterate over what happens from now on."""
        stream = EventStream(self._events_max, self._drop_stream)
        self._streams.append(stream)
        if not self.line.is_open:
            stream.finish(None)
        return stream

    def __aiter__(self) -> EventStream:
        return self.events()

    def _drop_stream(self, stream: EventStream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def _tell(self, event: Event) -> None:
        for stream in tuple(self._streams):
            stream.put(event)
            if isinstance(event, LineChange) and event.new == "closed":
                connection = self.line.connection
                is_ours = connection is None or event.reason == "closed by us"
                stream.finish(None if is_ours else connection.error)  # type: ignore[union-attr]
        self._call(self.on_notice, event)

    def _put(self, callback: Callable[[Any], None] | None, event: Event) -> None:
        for stream in self._streams:
            stream.put(event)
        self._call(callback, event)

    def _call(self, callback: Callable[[Any], None] | None, value: Any) -> None:
        if callback is None:
            return
        try:
            callback(value)
        except Exception:  # noqa: BLE001 - whatever a user's callback raises
            self.callback_failures += 1
            _log.exception("a callback raised (%d so far); all else goes on", self.callback_failures)

    # Reading -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the line: down, backoff, connecting, live, suspect, closed."""
        return "down" if self.line.connection is None else self.line.connection.state.value

    @property
    def status(self) -> SystemStatus | None:
        """The engine's state as last told."""
        return self.line.status
