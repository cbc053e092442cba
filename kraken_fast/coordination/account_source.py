"""Balances and open orders: the account's own stream first, where there is one, else REST.

REST counts the account's calls apart from public ones, so they wait for nothing else. Its account queries may show
what was up to a minute ago; each reading says `rest` and how old the answer is.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

from ..core.clock import Clock
from ..errors import ConfigError, KrakenFastError, NoSourceError, StaleDataError
from ..events import SourceChange
from ..names import canonical_asset
from ..rest.endpoints import RestClient
from .health import AccountHealth
from .readings import Balance, Balances, OpenOrders
from .shares import ShareLedger

AGE_MS = 3_000.0
"""How old an answer may be unless a reader says otherwise: readers within so long share a call."""


class AccountStream(Protocol):
    """What is needed of the account's stream; an `Account` has it."""

    @property
    def quality(self) -> str:
        """How far orders can be trusted."""
        ...

    @property
    def age_ms(self) -> float | None:
        """How long ago they were proven current."""
        ...

    def balances(self) -> Any:
        """Give what was told of each asset: records with total, hold, free, quality and age_ms, by asset."""
        ...

    def open_orders(self) -> tuple[Any, ...]:
        """Give the orders that are open."""
        ...


class AccountSource:
    """Answers reads of the account.

    Args:
        stream: the account's stream, or None.
        client: with a key, or without.
        clock: for ages.
        shares: counts.
        has_key: whether private calls can be made.
    """

    def __init__(
        self,
        client: RestClient,
        clock: Clock,
        shares: ShareLedger,
        *,
        has_key: bool,
        stream: AccountStream | None = None,
    ) -> None:
        self._client = client
        self._stream = stream
        self._clock = clock
        self._shares = shares
        self._has_key = has_key
        self._source = "starting"
        self._balances: tuple[dict[str, tuple[Decimal, Decimal, Decimal]], int] | None = None
        self._orders: tuple[OpenOrders, int] | None = None

    def look(self) -> SourceChange | None:
        """Tell whether the stream began or ceased to be live since the last look."""
        if self._stream is None:
            return None
        quality = self._stream.quality
        new = "websocket" if quality == "live" else "rest" if self._has_key else "none"
        old, self._source = self._source, new
        return None if new == old else SourceChange("account", "", old, new, f"the account's stream is {quality}")

    def health(self) -> AccountHealth | None:
        """Tell how the account is read; None without a key and a stream."""
        stream = self._stream
        if stream is None:
            return None if not self._has_key else AccountHealth(
                source="rest", line="", quality="none", age_ms=None, assets=0, open_orders=0
            )
        return AccountHealth(
            source="websocket" if stream.quality == "live" else "rest" if self._has_key else "none",
            line=getattr(stream, "state", ""),
            quality=stream.quality,
            age_ms=stream.age_ms,
            assets=len(stream.balances()),
            open_orders=len(stream.open_orders()),
        )

    async def balance(self, asset: str, max_age_ms: float | None, *, strict: bool) -> Balance:
        """Get one balance; zero if the account never had it."""
        name = canonical_asset(asset)
        everything = await self.balances(max_age_ms, strict=strict)
        if name in everything.balances:
            return everything[name]
        return Balance(
            asset=name, total=Decimal(0), hold=Decimal(0), free=Decimal(0), hold_source=everything.source,
            source=everything.source, age_ms=everything.age_ms, quality=everything.quality,
        )  # fmt: skip

    async def balances(self, max_age_ms: float | None, *, strict: bool) -> Balances:
        """Get all balances of spot wallets."""
        streamed = self._streamed_balances(max_age_ms)
        if streamed is not None:
            self._shares.served("websocket", self._clock.monotonic_ns)
            return streamed
        self._check("balances", strict=strict)
        bound_ms = AGE_MS if max_age_ms is None else max_age_ms
        now_ns = self._clock.monotonic_ns
        if self._balances is None or (now_ns - self._balances[1]) / 1e6 > bound_ms:
            self._shares.called("account", now_ns)
            try:
                rows = await self._client.fetch_extended_balances(max_age_s=0)
            except KrakenFastError as error:
                raise NoSourceError("balances", {"rest": str(error)}) from error
            found = {row.asset: (row.balance, row.hold_trade, row.available) for row in rows if not row.kind}
            self._balances = found, now_ns
        found, asked_ns = self._balances
        age_ms = (self._clock.monotonic_ns - asked_ns) / 1e6
        self._shares.served("rest", self._clock.monotonic_ns, emergency=True)
        return Balances(
            balances={
                name: Balance(
                    asset=name, total=total, hold=hold, free=free, hold_source="rest", source="rest",
                    age_ms=age_ms, quality="rest",
                )
                for name, (total, hold, free) in found.items()
            },
            source="rest",
            age_ms=age_ms,
            quality="rest",
        )  # fmt: skip

    async def open_orders(self, max_age_ms: float | None, *, strict: bool) -> OpenOrders:
        """Get all open orders."""
        stream = self._stream
        if stream is not None and stream.quality == "live" and stream.age_ms is not None and (
            max_age_ms is None or stream.age_ms <= max_age_ms
        ):
            self._shares.served("websocket", self._clock.monotonic_ns)
            return OpenOrders(
                orders=tuple(stream.open_orders()), source="websocket", age_ms=stream.age_ms, quality="live"
            )
        self._check("open orders", strict=strict)
        bound_ms = AGE_MS if max_age_ms is None else max_age_ms
        now_ns = self._clock.monotonic_ns
        if self._orders is None or (now_ns - self._orders[1]) / 1e6 > bound_ms:
            self._shares.called("account", now_ns)
            try:
                orders = await self._client.fetch_open_orders()
            except KrakenFastError as error:
                raise NoSourceError("open orders", {"rest": str(error)}) from error
            self._orders = OpenOrders(orders=tuple(orders), source="rest", age_ms=0.0, quality="rest"), now_ns
        kept, asked_ns = self._orders
        self._shares.served("rest", self._clock.monotonic_ns, emergency=True)
        age_ms = (self._clock.monotonic_ns - asked_ns) / 1e6
        return OpenOrders(orders=kept.orders, source="rest", age_ms=age_ms, quality="rest")

    def _streamed_balances(self, max_age_ms: float | None) -> Balances | None:
        """Give the stream's balances if each is live, young enough and says what is held; else None."""
        told = {} if self._stream is None else self._stream.balances()
        found = {}
        oldest_ms = 0.0
        for asset, each in told.items():
            if each.quality != "live" or each.hold is None or each.age_ms is None:
                return None
            oldest_ms = max(oldest_ms, each.age_ms)
            found[asset] = Balance(
                asset=asset, total=each.total, hold=each.hold, free=each.total - each.hold,
                hold_source=each.hold_source, source="websocket", age_ms=each.age_ms, quality="live",
            )  # fmt: skip
        if not found or (max_age_ms is not None and oldest_ms > max_age_ms):
            return None
        return Balances(balances=found, source="websocket", age_ms=oldest_ms, quality="live")

    def _check(self, what: str, *, strict: bool) -> None:
        if not self._has_key:
            raise ConfigError("exchange_client", None, f"something with a key: {what} are private")
        if strict:
            raise StaleDataError(what, "rest")
