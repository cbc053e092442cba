"""Accounts and their keys: who may call, what they own, and everything that ever happened to it.

An account's books are append-only: order events, executions and ledger entries. Balances and orders are what
follows from them, and `_check` says so. `Books.as_of` gives them as they were earlier, which is what a
lagging query shows.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from ..errors import ConfigError
from .ids import Ids
from .instruments import Listing
from .limits import TIERS, DecayingCounter, Tier, TierName
from .records import Amend, Execution, LedgerEntry, Order, OrderEvent
from .signing import is_base64

ZERO = Decimal(0)
KEY_PREFIX = "SIMKEY"
"""Every key of a box begins with it, so that no leak scanner mistakes one for a real key."""

PERMISSIONS = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "export-data",
    "create-ws-token",
)
"""All that a trading bot may have; those that move money out are not among them."""

_NAME_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(slots=True)
class ApiKey:
    """One key of an account and what the exchange remembers of its use.

    Attributes:
        secret: base64, as Kraken hands it out.
        nonce: the highest one processed.
        nonce_window: how far below the highest a nonce is still accepted, in its own unit.
        otp: static password of a key with two-factor authentication of its own, which every call has to carry.
        ip_allowlist: addresses that may use it; empty for all.
    """

    name: str
    key: str
    secret: str = field(repr=False)
    permissions: frozenset[str]
    created_ns: int
    nonce_window: int = 0
    nonce: int = 0
    used_ns: int = 0
    calls: DecayingCounter = field(default_factory=DecayingCounter, repr=False)
    otp: str | None = field(default=None, repr=False)
    ip_allowlist: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to open.

    Args:
        name: of the account, distinct in one box.
        balances: what is deposited at the opening, by asset (`BTC`, `USD`); None for a round sum of
            everything listed.
        tier: decides the rate limits.
        permissions: of its first key.
        nonce_window: of its first key.
        otp: static second password of its first key; None for a key without.
        ip_allowlist: addresses that may use its first key; empty for all.
        api_key: the key's text; None to draw one.
        api_secret: base64; None to draw one.
    """

    name: str = "main"
    balances: Mapping[str, Decimal | int | str] | None = None
    tier: TierName = "intermediate"
    permissions: Iterable[str] = PERMISSIONS
    nonce_window: int = 0
    api_key: str | None = None
    api_secret: str | None = field(default=None, repr=False)
    otp: str | None = field(default=None, repr=False)
    ip_allowlist: Iterable[str] = ()


class AccountListener(Protocol):
    """Hears what happens to an account, in order."""

    def on_order(self, event: OrderEvent) -> None:
        """Take note of one step in an order's life."""

    def on_ledger(self, entry: LedgerEntry) -> None:
        """Take note of one change of a balance."""


@dataclass(slots=True)
class Books:
    """What an account's queries show.

    Attributes:
        balances: by asset, every one that was ever touched.
        orders: by id, in their present state, oldest first.
        executions: by id, oldest first.
        ledger: by id, oldest first.
        amends: by order id; only orders that were amended.
    """

    balances: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    ledger: dict[str, LedgerEntry] = field(default_factory=dict)
    amends: dict[str, list[Amend]] = field(default_factory=dict)

    def live_orders(self) -> list[Order]:
        """Give the orders that are pending or open, oldest first."""
        return [order for order in self.orders.values() if order.live]

    def hold(self, asset: str) -> Decimal:
        """Give what live orders bind of an asset."""
        return sum((order.hold for order in self.live_orders() if order.hold_asset == asset), ZERO)


class Account(Books):
    """One account.

    Args:
        name: of the account.
        tier: decides the rate limits.
        rng: draws its keys and ids.
    """

    __slots__ = (
        "_forgotten",
        "_live",
        "_rng",
        "cancel_at_ns",
        "engine_points",
        "events",
        "ids",
        "keys",
        "listeners",
        "name",
        "tier_name",
        "volume_usd",
    )

    def __init__(self, name: str, tier: TierName, rng: random.Random) -> None:
        super().__init__()
        self.name = name
        self.tier_name: TierName = tier
        self.keys: list[ApiKey] = []
        self.ids = Ids(rng)
        self.events: list[OrderEvent] = []
        self.listeners: list[AccountListener] = []
        self.engine_points: dict[str, DecayingCounter] = {}
        self.volume_usd = ZERO
        self.cancel_at_ns: int | None = None
        self._rng = rng
        self._live: dict[str, Order] = {}
        self._forgotten: dict[str, Decimal] = {}

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {len(self._live)} live orders)"

    @property
    def tier(self) -> Tier:
        """The limits of its tier."""
        return TIERS[self.tier_name]

    def add_key(
        self,
        now_ns: int,
        *,
        permissions: Iterable[str] = PERMISSIONS,
        nonce_window: int = 0,
        api_key: str | None = None,
        api_secret: str | None = None,
    ) -> ApiKey:
        """Give the account one more key."""
        text = KEY_PREFIX + "".join(self._rng.choice(_NAME_CHARACTERS) for _ in range(50))
        secret = base64.b64encode(self._rng.randbytes(64)).decode()
        key = ApiKey(
            f"{self.name}-{len(self.keys) + 1}",
            api_key or text,
            api_secret or secret,
            frozenset(permissions),
            now_ns,
            nonce_window,
        )
        self.keys.append(key)
        return key

    def live_orders(self) -> list[Order]:
        """Give the orders that are pending or open, oldest first."""
        return list(self._live.values())

    def live_order(self, order_id: str) -> Order | None:
        """Give an order if it is pending or open."""
        return self._live.get(order_id)

    def free(self, asset: str) -> Decimal:
        """Give what no live order binds."""
        return self.balances.get(asset, ZERO) - self.hold(asset)

    def post(
        self, kind: str, asset: str, amount: Decimal, fee: Decimal, ref_id: str, time_ns: int
    ) -> LedgerEntry:
        """Change a balance by amount less fee and write it down."""
        balance = self.balances.get(asset, ZERO) + amount - fee
        assert balance >= 0, f"{self.name}: {asset} would be {balance}"
        entry = LedgerEntry(self.ids.new("L"), ref_id, time_ns, kind, asset, amount, fee, balance)
        self.balances[asset] = balance
        self.ledger[entry.ledger_id] = entry
        for listener in tuple(self.listeners):
            listener.on_ledger(entry)
        return entry

    def record(self, event: OrderEvent) -> None:
        """Write down a step in an order's life: the event's order is its present state from now on."""
        order = event.order
        self.events.append(event)
        self.orders[order.order_id] = order
        if order.live:
            self._live[order.order_id] = order
        else:
            self._live.pop(order.order_id, None)
        if event.execution is not None:
            self.executions[event.execution.exec_id] = event.execution
        for listener in tuple(self.listeners):
            listener.on_order(event)

    def forget(self, keep: int) -> None:
        """Forget the oldest closed orders, all but so many, and what the books hold of them; for boxes that live long.

        Balances stay as they are. Queries and `as_of` do not know what was forgotten.
        """
        closed = [order for order in self.orders.values() if not order.live]
        gone = {order.order_id: order for order in closed[: max(0, len(closed) - keep)]}
        ledger_ids: set[str] = set()
        for order_id, order in gone.items():
            del self.orders[order_id]
            self.amends.pop(order_id, None)
            for exec_id in order.trades:
                ledger_ids.update(self.executions.pop(exec_id).ledger_ids)
        for ledger_id in ledger_ids:
            entry = self.ledger.pop(ledger_id)
            self._forgotten[entry.asset] = self._forgotten.get(entry.asset, ZERO) + entry.amount - entry.fee
        self.events = [event for event in self.events if event.order.order_id not in gone]

    def as_of(self, time_ns: int) -> Books:
        """Give the books as they were."""
        books = Books()
        for entry in self.ledger.values():
            if entry.time_ns <= time_ns:
                books.ledger[entry.ledger_id] = entry
                books.balances[entry.asset] = entry.balance
        for event in self.events:
            if event.time_ns <= time_ns:
                books.orders[event.order.order_id] = event.order
        for key, execution in self.executions.items():
            if execution.time_ns <= time_ns:
                books.executions[key] = execution
        for key, amends in self.amends.items():
            seen = [amend for amend in amends if amend.time_ns <= time_ns]
            if seen:
                books.amends[key] = seen
        return books

    def _check(self) -> None:
        sums: dict[str, Decimal] = dict.fromkeys(self.balances, ZERO)
        for entry in self.ledger.values():
            sums[entry.asset] += entry.amount - entry.fee
            is_whole = entry.asset not in self._forgotten
            assert not is_whole or entry.balance == sums[entry.asset], f"{entry.ledger_id}: not the running sum"
        for asset, forgotten in self._forgotten.items():
            sums[asset] += forgotten
        assert sums == self.balances, "balances are not the sum of the ledger"
        assert self._live == {key: order for key, order in self.orders.items() if order.live}
        for asset, balance in self.balances.items():
            assert 0 <= self.hold(asset) <= balance, f"{asset}: holds {self.hold(asset)} of {balance}"
        for order in self.orders.values():
            fills = [self.executions[exec_id] for exec_id in order.trades]
            assert order.filled == sum((fill.qty for fill in fills), ZERO) <= order.qty, order
            assert order.cost == sum((fill.cost for fill in fills), ZERO), order
            assert (order.status == "closed") == (order.filled == order.qty), order
            assert order.live or not order.hold, order


_ROUND_SUMS = {"BTC": Decimal(10), "ETH": Decimal(100)}
_ROUND_SUM = Decimal(100_000)


def open_account(
    new: NewAccount, accounts: dict[str, Account], listing: Listing, rng: random.Random, now_ns: int
) -> Account:
    """Open an account among others, deposit its balances and make its first key.

    Raises:
        ConfigError: the name or the key is taken, the tier or an asset is not known, the secret is not
            base64, or a balance is negative or has more decimals than its asset.
    """
    if new.name in accounts:
        raise ConfigError("name", new.name, "a name that no account of this exchange has")
    if new.tier not in TIERS:
        raise ConfigError("tier", new.tier, f"one of {', '.join(TIERS)}")
    if new.api_key in [key.key for account in accounts.values() for key in account.keys]:
        raise ConfigError("api_key", new.api_key, "a key that no account of this exchange has")
    if new.api_secret is not None and not is_base64(new.api_secret):
        raise ConfigError("api_secret", "...", "base64")
    balances = new.balances
    if balances is None:
        balances = {asset: _ROUND_SUMS.get(asset, _ROUND_SUM) for asset in listing.assets}
    account = Account(new.name, new.tier, rng)
    key = account.add_key(
        now_ns,
        permissions=new.permissions,
        nonce_window=new.nonce_window,
        api_key=new.api_key,
        api_secret=new.api_secret,
    )
    key.otp, key.ip_allowlist = new.otp, tuple(new.ip_allowlist)
    for asset, given in balances.items():
        if asset not in listing.assets:
            raise ConfigError("balances", asset, f"assets listed here: {', '.join(listing.assets)}")
        amount = Decimal(given)
        if amount < 0 or amount != round(amount, listing.assets[asset].precision):
            raise ConfigError("balances", f"{asset} {given}", "not negative, with the asset's decimals")
        account.post("deposit", asset, amount, ZERO, account.ids.new("F"), now_ns)
    accounts[new.name] = account
    return account
