"""`connect_account(...)`: executions, fills, open orders and balances of an account, complete and in order.

    private line -> Decoder -> OrderStore, BalanceStore -> PrivateSession -+-> reports, as they come
                                                                          +-> FillKeeper -> fills, each once, in order
    REST -> token, missed fills, lost orders, holds ----------------------+

An `Account` is what users hold. Reports (`on_order`) are told as they are streamed. Trades among them are fills
(`on_fill`): each comes once and in order, whatever the line lost; what was missed comes from the next snapshot or from
REST, marked `recovered`, before anything later does. Values to read are the latest, and tell how far to trust them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any, Self

from .account_records import AccountBalance
from .account_state import AccountState
from .auth import Credentials
from .config import PRIVATE_WS_URL, PUBLIC_REST_URL, Endpoints, check_number
from .core.balance_store import BalanceUpdate
from .core.capture import CaptureWriter
from .core.execution import Execution
from .core.order_store import Order
from .endpoints import RestClient
from .errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    KrakenFastError,
    StaleDataError,
    SubscriptionError,
)
from .events import Event, EventStream, LineChange
from .private_session import PrivateSession
from .reconcile import FillKeeper
from .session import SessionSettings
from .tokens import Tokens
from .transport import LineState
from .types import Quality, SystemStatus

_log = logging.getLogger("kraken_fast.account")

NEEDS = ("create-ws-token", "query-open-trades", "query-closed-trades", "query-funds", "query-ledger")
"""What a key needs for all this, as `GetApiKeyInfo` names it."""


def connect_account(
    credentials: Credentials | None = None,
    *,
    rest: RestClient | None = None,
    ws_url: str = PRIVATE_WS_URL,
    rest_url: str = PUBLIC_REST_URL,
    ca_file: str | Path | None = None,
    since_ns: int | None = None,
    known: Iterable[str] = (),
    holds_s: float = 15.0,
    ready_s: float = 20.0,
    events_max: int = 10_000,
    record: str | Path | CaptureWriter | None = None,
    **advanced: Any,
) -> Account:
    """Prepare an account's streams; `async with` opens them.

    Args:
        credentials: of the key; None to look where `Credentials.find` does.
        rest: a client of the same key to use instead of one made here; it is not closed.
        ws_url: the private host; plain ws:// only for a loopback host.
        rest_url: its REST address, likewise.
        ca_file: the only authorities to trust, for an exchange in a box with TLS.
        since_ns: deliver fills since then too, ns since epoch: those after the last one that you saw.
        known: `exec_id`s of the last fills that you saw, so that those of the same millisecond do not come again.
        holds_s: the least time between two questions for what orders hold; asked only after orders changed. One costs
            one point of the key's REST counter.
        ready_s: how long opening may take.
        events_max: events that may wait for a slow iterator before the oldest are dropped and counted.
        record: a file, made anew, that gets every message as it came; or a CaptureWriter, closed with the account.
        advanced: fields of `session.SessionSettings`: clock, rng, line, subscription, budget, ssl_context ...

    Raises:
        ConfigError: a setting is wrong, or there is no key; nothing was sent.

    Example:
        async with kraken_fast.connect_account(Credentials.find()) as account:
            print(account.balance("USD"))
            async for event in account:
                print(event)
    """
    check_number("holds_s", holds_s, 1.0, 3600.0)
    check_number("ready_s", ready_s, 0.001, 3600.0)
    check_number("events_max", events_max, 1, whole=True)
    if since_ns is not None:
        check_number("since_ns", since_ns, 0, whole=True)
    fields = SessionSettings.__dataclass_fields__
    for name, value in advanced.items():
        if name not in fields:
            raise ConfigError(name, value, f"a setting of connect_account, or one of {', '.join(fields)}")
    settings = SessionSettings(**{"name": "private", **advanced})
    endpoints = Endpoints(ws_url=ws_url, rest_url=rest_url, ca_file=ca_file)
    client = rest
    if client is None:
        found = credentials or Credentials.find()
        if found is None:
            raise ConfigError("credentials", None, "a key: pass one, or set KRAKEN_API_KEY and KRAKEN_API_SECRET")
        client = RestClient(found, endpoints=endpoints, clock=settings.clock, rng=settings.rng, needs=NEEDS)
    elif credentials is not None:
        raise ConfigError("credentials", "***", "left out where `rest` is given, which has its own")
    return Account(
        client,
        endpoints=endpoints,
        settings=settings,
        keeper=FillKeeper(since_ns=since_ns, known=known),
        holds_s=holds_s,
        ready_s=ready_s,
        events_max=events_max,
        record=record,
        owns_rest=rest is None,
    )


class Account:
    """The account of a key, live. Made by `connect_account`; an async context manager, and iterable while open.

    Attributes:
        on_order: called with each report that is no trade, as it comes: an Execution.
        on_fill: called with each fill, once, in order: an Execution with exec_type `trade`.
        on_balance: called with each BalanceUpdate.
        on_notice: called with each LineChange, Refused, AccountGap and SystemStatus.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        endpoints: Endpoints,
        settings: SessionSettings,
        keeper: FillKeeper[Execution],
        holds_s: float,
        ready_s: float,
        events_max: int,
        record: str | Path | CaptureWriter | None,
        owns_rest: bool,
    ) -> None:
        self.rest = rest
        self.on_order: Callable[[Execution], None] | None = None
        self.on_fill: Callable[[Execution], None] | None = None
        self.on_balance: Callable[[BalanceUpdate], None] | None = None
        self.on_notice: Callable[[Event], None] | None = None
        self.callback_failures = 0
        self._owns_rest = owns_rest
        self._holds_s = holds_s
        self._ready_s = ready_s
        self._events_max = events_max
        self._record = record
        self._streams: list[EventStream] = []
        rng = settings.rng or SystemRandom()
        self.tokens = Tokens(rest.fetch_websockets_token, clock=rest.clock, rng=rng)
        self._state = AccountState(
            rest,
            rest.clock,
            keeper,
            holds_s=holds_s,
            put_order=lambda report: self._put(self.on_order, report),
            put_fill=lambda fill: self._put(self.on_fill, fill),
            put_balance=lambda update: self._put(self.on_balance, update),
            put_gap=self._tell,
        )
        self.line = PrivateSession(endpoints, settings, self._tell, tokens=self.tokens, account=self._state)
        """The private line itself, for order entry."""
        self._state.attach(self.line)


    # Opening, closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Check the key, connect, subscribe, and wait until executions and balances deliver.

        Raises:
            AuthError, PermissionDeniedError: the key is not accepted, or lacks something, which is named.
            ConnectError, TlsError, HandshakeError: no connection within `ready_s`, with the last reason.
            SubscriptionError: the exchange refused both channels.
            ClosedError: it was opened before, or closed meanwhile.
        """
        if self.line.connection is not None:
            raise ClosedError("an account is opened once; make a new one")
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
        self._state.refresh_holds()

    def _not_ready(self) -> KrakenFastError:
        if self.tokens.error is not None:
            return self.tokens.error
        connection = self.line.connection
        if connection is None or connection.state not in (LineState.LIVE, LineState.SUSPECT):
            return (None if connection is None else connection.error) or ConnectError(
                f"no connection within {self._ready_s:g} s"
            )
        channel, symbol = self.line.awaited or ("executions", "")
        return SubscriptionError(channel, symbol, f"nothing delivered within {self._ready_s:g} s")

    async def close(self) -> None:
        """End it. Prompt, and may be called again; iterators end, reads keep giving the last values as stale."""
        await self._state.close()
        await self.line.close()
        await self.tokens.close()
        if self._owns_rest:
            await self.rest.close()
        for stream in tuple(self._streams):
            stream.finish(None)

    # Iterating -----------------------------------------------------------------------------------------------

    def events(self) -> EventStream:
        """Iterate over what happens from now on: reports, fills, balances and notices, each one."""
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
            _log.exception("a callback raised (%d so far); the account goes on", self.callback_failures)

    # Reading -------------------------------------------------------------------------------------------------

    @property
    def quality(self) -> Quality:
        """How far orders and fills can be trusted: live, stale or none; unverified while fills may be missing."""
        return self._state.quality

    @property
    def age_ms(self) -> float | None:
        """Milliseconds since the line last proved orders and fills current; None before anything came."""
        return self.line.orders.age_ms

    @property
    def state(self) -> str:
        """Of the line: down, backoff, connecting, live, suspect, closed."""
        return "down" if self.line.connection is None else self.line.connection.state.value

    @property
    def status(self) -> SystemStatus | None:
        """The engine's state as last told."""
        return self.line.status

    def gapless_since(self, monotonic_ns: int) -> bool:
        """Whether executions are live, and missed nothing since that time of the clock."""
        return self.line.gapless_since(monotonic_ns)

    def open_orders(self, *, strict: bool = False) -> tuple[Order, ...]:
        """Give the orders that are open, oldest first. They live: each is the same object all its life.

        Raises:
            StaleDataError: strict, and they may not be all or not be open any more.
        """
        self._require_live("orders", strict=strict)
        return tuple(self.line.orders.open_orders)

    def order(self, order_id: str) -> Order | None:
        """Give an order by the exchange's id or by `cl_ord_id`, open or lately closed; None if it is not known."""
        return self.line.orders.get(order_id) or self.line.orders.by_cl_ord_id(order_id)

    def fills(self) -> tuple[Execution, ...]:
        """Give the last fills, oldest first, at most 1,000."""
        return tuple(self._state.fills)

    def balance(self, asset: str, *, strict: bool = False) -> AccountBalance:
        """Give what the account has of an asset, nothing if it never had any.

        Raises:
            StaleDataError: strict, and the total is not live.
        """
        store = self.line.balances
        if strict and store.quality != "live":
            raise StaleDataError(f"balance {asset}", store.quality, store.age_ms)
        return self._state.balance_of(asset)

    def balances(self) -> dict[str, AccountBalance]:
        """Give all balances that the exchange told, by asset."""
        return {asset: self._state.balance_of(asset) for asset in self.line.balances.assets}

    def _require_live(self, what: str, *, strict: bool) -> None:
        if strict and self.quality != "live":
            raise StaleDataError(what, self.quality, self.age_ms)

