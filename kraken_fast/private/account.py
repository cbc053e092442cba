"""`connect_account(...)`: executions, fills, open orders and balances of an account, complete and in order.

    private line -> Decoder -> OrderStore, BalanceStore -> PrivateSession -+-> reports, as they come
                                                                          +-> FillKeeper -> fills, each once, in order
    REST -> token, missed fills, lost orders, holds ----------------------+

An `Account` is what users hold. Reports (`on_order`) are told as they are streamed. Trades among them are fills
(`on_fill`): each comes once and in order, whatever the line lost; what was missed comes from the next snapshot or from
REST, marked `recovered`, before anything later does. Values to read are the latest, and tell how far to trust them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..account_records import AccountBalance
from ..auth import Credentials
from ..config import PRIVATE_WS_URL, PUBLIC_REST_URL, Endpoints, check_number
from ..core.balance_store import BalanceUpdate
from ..core.capture import CaptureWriter
from ..core.execution import Execution
from ..core.order_store import AccountOrder
from ..errors import StaleDataError
from ..rest.endpoints import RestClient
from ..session import SessionSettings, settings_of
from ..types import Quality
from .account_state import AccountState
from .face import PrivateFace, client_of
from .reconcile import FillKeeper
from .session import PrivateSession

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
    if since_ns is not None:
        check_number("since_ns", since_ns, 0, whole=True)
    settings = settings_of("private", advanced, ready_s=ready_s, events_max=events_max)
    endpoints = Endpoints(ws_url=ws_url, rest_url=rest_url, ca_file=ca_file)
    return Account(
        client_of(credentials, rest, endpoints, settings, NEEDS),
        endpoints=endpoints,
        settings=settings,
        keeper=FillKeeper(since_ns=since_ns, known=known),
        holds_s=holds_s,
        ready_s=ready_s,
        events_max=events_max,
        record=record,
        owns_rest=rest is None,
    )


class Account(PrivateFace):
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
        super().__init__(
            rest, settings, ready_s=ready_s, events_max=events_max, record=record, owns_rest=owns_rest
        )
        self.on_order: Callable[[Execution], None] | None = None
        self.on_fill: Callable[[Execution], None] | None = None
        self.on_balance: Callable[[BalanceUpdate], None] | None = None
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
        self.line: PrivateSession = PrivateSession(
            endpoints, settings, self._tell, tokens=self.tokens, account=self._state
        )
        """The private line itself, for order entry."""
        self._state.attach(self.line)

    async def open(self) -> None:
        """Check the key, connect, subscribe, and wait until executions and balances deliver; see `PrivateFace.open`."""
        await super().open()
        self._state.refresh_holds()

    async def close(self) -> None:
        """End it. Prompt, and may be called again; iterators end, reads keep giving the last values as stale."""
        await self._state.close()
        await super().close()

    # Reading -------------------------------------------------------------------------------------------------

    @property
    def quality(self) -> Quality:
        """How far orders and fills can be trusted: live, stale or none; unverified while fills may be missing."""
        return self._state.quality

    @property
    def age_ms(self) -> float | None:
        """Milliseconds since the line last proved orders and fills current; None before anything came."""
        return self.line.orders.age_ms

    def gapless_since(self, monotonic_ns: int) -> bool:
        """Whether executions are live, and missed nothing since that time of the clock."""
        return self.line.gapless_since(monotonic_ns)

    def open_orders(self, *, strict: bool = False) -> tuple[AccountOrder, ...]:
        """Give the orders that are open, oldest first. They live: each is the same object all its life.

        Raises:
            StaleDataError: strict, and they may not be all or not be open any more.
        """
        self._require_live("orders", strict=strict)
        return tuple(self.line.orders.open_orders)

    def order(self, order_id: str) -> AccountOrder | None:
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

