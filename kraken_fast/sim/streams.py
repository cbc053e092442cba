"""The channels of an account, `executions` and `balances`: one stream for each subscription.

A stream hears of everything that happens to its account, in order, and tells its session. It numbers its
messages from 1, the snapshot included, also an empty one; the number belongs to the subscription and says
nothing about another's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from .account import Books
from .message import Message
from .records import ZERO, LedgerEntry, Order, OrderEvent
from .stream_rows import (
    Members,
    balance_row,
    event_members,
    ledger_members,
    open_members,
    row_text,
    trade_members,
)
from .texts import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .core import ExchangeCore
    from .tokens import Token

SNAPSHOT_FILLS = 50
"""Fills in a snapshot. Source: https://docs.kraken.com/api/docs/websocket-v2/executions, read 2026-08."""

_PLAIN_STEPS = frozenset({"new", "filled", "canceled", "expired", "trade"})
"""What `order_status` false leaves."""


class AccountStream:
    """What one subscription of an account's channel gets.

    Args:
        core: the exchange.
        channel: executions or balances.
        token: with which it was subscribed.
        options: of the subscription.
        session: its number, for faults.
        deliver: takes the messages.

    Attributes:
        sequence: the number of the last message.
    """

    def __init__(
        self,
        core: ExchangeCore,
        channel: str,
        token: Token,
        options: Mapping[str, Any],
        session: int,
        deliver: Callable[[Message], None],
    ) -> None:
        self.channel = channel
        self.account = token.account
        self.sequence = 0
        self._core = core
        self._options = options
        self._session = session
        self._deliver = deliver

    def begin(self) -> None:
        """Begin to tell."""
        self.account.listeners.append(self)

    def end(self) -> None:
        """Tell no more."""
        if self in self.account.listeners:
            self.account.listeners.remove(self)

    def snapshot(self) -> Message:
        """Write the state of the account as of now, or of some time ago if a fault says so."""
        where = {"session": self._session, "channel": self.channel}
        lag = self._core.faults.fire("snapshot_lag", **where)
        books: Books = self.account
        if lag is not None:
            books = self.account.as_of(self._core.now_ns() - int(lag["seconds"] * NS_PER_S))
        rows = self._balances(books) if self.channel == "balances" else self._state(books)
        if fault := self._core.faults.fire("snapshot_truncated", **where):
            rows = rows[: fault["rows"]]
        return self._message("snapshot", rows)

    def on_order(self, event: OrderEvent) -> None:
        """Tell a step in an order's life."""
        if self.channel != "executions":
            return
        if not self._options["order_status"] and event.exec_type not in _PLAIN_STEPS:
            return
        order = event.order
        fee_asset, places = self._fee(order)
        members = event_members(event, self._core.listing.pairs[order.symbol], self._usd(fee_asset), places)
        if self._options["ratecounter"] and event.exec_type not in ("trade", "filled"):
            members.append(("ratecount", str(self._rate_count(order.symbol))))
        self._tell(members)

    def on_ledger(self, entry: LedgerEntry) -> None:
        """Tell a change of a balance."""
        if self.channel == "balances":
            self._tell(ledger_members(entry, self._core.listing.assets[entry.asset].precision))

    def _tell(self, members: Members) -> None:
        if self._options["users"]:
            members.append(("user", json.dumps(self.account.name)))
        self._deliver(self._message("update", [row_text(members)]))

    def _message(self, kind: str, rows: list[str]) -> Message:
        number = self._number()
        text = (
            f'{{"channel":"{self.channel}","type":"{kind}","data":[{",".join(rows)}],"sequence":{number}}}'
        )
        return Message(text, kind, self.channel)

    def _number(self) -> int:
        faults, where = self._core.faults, {"session": self._session, "channel": self.channel}
        if self.sequence and faults.fire("seq_repeat", **where):
            return self.sequence
        if faults.fire("seq_reset", **where):
            self.sequence = 0
        if fault := faults.fire("seq_gap", **where):
            self.sequence += fault["by"]
        self.sequence += 1
        return self.sequence

    def _state(self, books: Books) -> list[str]:
        """Give the rows of an executions snapshot: fills, newest first as recorded, then what is open."""
        rows: list[Members] = []
        pairs = self._core.listing.pairs
        if self._options["snap_trades"]:
            for execution in islice(reversed(books.executions.values()), SNAPSHOT_FILLS):
                order = books.orders[execution.order_id]
                pair, (fee_asset, places) = pairs[order.symbol], self._fee(order)
                rows.append(
                    trade_members(execution, order, pair, self._usd(fee_asset), places, whole=False)
                )
        if self._options["snap_orders"]:
            rows += [
                open_members(order, pairs[order.symbol], self._usd(self._fee(order)[0]))
                for order in books.live_orders()
            ]
        return [row_text(members) for members in rows]

    def _balances(self, books: Books) -> list[str]:
        assets = self._core.listing.assets
        return [
            balance_row(asset, balance, assets[asset].precision)
            for asset, balance in sorted(books.balances.items())
        ]

    def _fee(self, order: Order) -> tuple[str, int]:
        """Give the asset of an order's fees and its decimals."""
        pair = self._core.listing.pairs[order.symbol]
        asset = pair.base if order.flag("fcib") else pair.quote
        return asset, self._core.listing.assets[asset].precision

    def _usd(self, asset: str) -> Decimal:
        return self._core.last_price(asset, "USD") or ZERO

    def _rate_count(self, symbol: str) -> int:
        """Give the pair's engine counter; whether Kraken cuts or rounds it was not recorded."""
        account = self.account
        counter = account.engine_points.get(symbol)
        if counter is None:
            return 0
        points = counter.points(account.tier.engine_decay, self._core.now_ns())
        return int(points.to_integral_value(ROUND_CEILING))
