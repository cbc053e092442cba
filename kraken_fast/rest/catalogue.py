"""What is known of each REST endpoint: what a call costs, whether it acts, what the key needs for it.

Costs are those of the private REST counter, the higher one where sources disagree (rest.md sections 4.1, 16).
Permissions are named as `GetApiKeyInfo` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from ..errors import ConfigError

Kind = Literal["public", "query", "history", "write", "order", "cancel"]
"""Public reads; private reads; reads of long lists; acts that are no orders; adds, amends and edits; cancels."""

MONEY_OUT = ("Withdraw", "WalletTransfer", "AccountTransfer")
"""Beginnings of the names of endpoints that move money out of the account."""


class Priority(IntEnum):
    """Who goes first when calls wait."""

    ORDER = 0
    URGENT = 1
    QUERY = 2
    HISTORY = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    Attributes:
        name: the last part of its path.
        cost: points of the private REST counter.
        cache_s: how long an answer may be used again; 0 for never.
        is_json: its body is JSON, because it holds lists of objects.
    """

    name: str
    kind: Kind
    permission: str = ""
    cost: int = 1
    cache_s: float = 0.0
    is_json: bool = False

    @property
    def is_private(self) -> bool:
        """Whether it needs a key."""
        return self.kind != "public"

    @property
    def acts(self) -> bool:
        """Whether a call changes something, so that it is never repeated by itself."""
        return self.kind in ("write", "order", "cancel")

    @property
    def is_order(self) -> bool:
        """Whether it is about orders: those have a lane, a breaker and a time-out of their own."""
        return self.kind in ("order", "cancel")

    @property
    def priority(self) -> Priority:
        """Its place among waiting calls."""
        if self.is_order:
            return Priority.ORDER
        if self.name == "GetWebSocketsToken":
            return Priority.URGENT  # a private line waits for it
        return Priority.HISTORY if self.kind == "history" else Priority.QUERY

    @property
    def path(self) -> str:
        """Its path."""
        return f"/0/{'private' if self.is_private else 'public'}/{self.name}"


def _public(name: str, cache_s: float) -> Endpoint:
    return Endpoint(name, "public", cache_s=cache_s)


_LISTED = (
    _public("Time", 0.0),
    _public("SystemStatus", 3.0),
    _public("MaintenanceSchedule", 5.0),
    _public("Assets", 5.0),
    _public("AssetPairs", 5.0),
    _public("Ticker", 3.0),
    _public("OHLC", 5.0),
    _public("Depth", 3.0),
    _public("GroupedBook", 3.0),
    _public("Trades", 3.0),
    _public("Spread", 3.0),
    _public("PreTrade", 3.0),
    _public("PostTrade", 3.0),
    Endpoint("Level3", "query", "query-open-trades", is_json=True),
    Endpoint("GetWebSocketsToken", "query", "create-ws-token"),
    Endpoint("GetApiKeyInfo", "query"),
    Endpoint("Balance", "query", "query-funds"),
    Endpoint("BalanceEx", "query", "query-funds"),
    Endpoint("CreditLines", "query", "query-funds"),
    Endpoint("TradeBalance", "query", "query-open-trades"),
    Endpoint("TradeVolume", "query", "query-funds"),
    Endpoint("OpenOrders", "query", "query-open-trades"),
    Endpoint("OpenPositions", "query", "query-open-trades"),
    Endpoint("QueryOrders", "query", "query-closed-trades", cost=4),
    Endpoint("OrderAmends", "query", "query-closed-trades"),
    Endpoint("QueryTrades", "query", "query-closed-trades", cost=4),
    Endpoint("QueryLedgers", "query", "query-ledger", cost=4),
    Endpoint("ClosedOrders", "history", "query-closed-trades", cost=4),
    Endpoint("TradesHistory", "history", "query-closed-trades", cost=4),
    Endpoint("Ledgers", "history", "query-ledger", cost=4),
    Endpoint("AddExport", "write", "export-data"),
    Endpoint("ExportStatus", "history", "export-data"),
    Endpoint("RetrieveExport", "history", "export-data"),
    Endpoint("RemoveExport", "write", "export-data"),
    Endpoint("AddOrder", "order", "modify-trades", cost=0),
    Endpoint("AddOrderBatch", "order", "modify-trades", cost=0, is_json=True),
    Endpoint("AmendOrder", "order", "modify-trades", cost=0),
    Endpoint("EditOrder", "order", "modify-trades", cost=0),
    Endpoint("CancelOrder", "cancel", "modify-trades", cost=0),
    Endpoint("CancelAll", "cancel", "modify-trades", cost=0),
    Endpoint("CancelAllOrdersAfter", "cancel", "modify-trades", cost=0),
    Endpoint("CancelOrderBatch", "cancel", "modify-trades", cost=0, is_json=True),
)

ENDPOINTS = {endpoint.name: endpoint for endpoint in _LISTED}
"""The 42 that a trading bot needs: all but funding, transfers, subaccounts and earning."""


def endpoint_of(path: str) -> Endpoint:
    """Find an endpoint by its path or its name. A private one that is not listed is taken to act: it is never repeated.

    Raises:
        ConfigError: the path is none of `/0/public/Name` and `/0/private/Name`.

    >>> endpoint_of("/0/private/Earn/Strategies").kind, endpoint_of("Balance").path
    ('write', '/0/private/Balance')
    """
    if path in ENDPOINTS:
        return ENDPOINTS[path]
    for prefix, kind in (("/0/public/", "public"), ("/0/private/", "write")):
        name = path.removeprefix(prefix)
        if name != path and all(part.isascii() and part.isalnum() for part in name.split("/")):
            listed = ENDPOINTS.get(name)
            if listed is not None and listed.path == path:
                return listed
            return Endpoint(name, "public" if kind == "public" else "write")
    raise ConfigError("path", path, "/0/public/Name or /0/private/Name; Name alone does where it is a listed one")


def moves_money_out(endpoint: Endpoint) -> bool:
    """Tell whether a call takes money out of the account. Queries about withdrawals count too: nothing here needs them.

    >>> moves_money_out(endpoint_of("/0/private/WithdrawStatus")), moves_money_out(endpoint_of("Balance"))
    (True, False)
    """
    return any(part.lower().startswith(tuple(map(str.lower, MONEY_OUT))) for part in endpoint.name.split("/"))
