"""What an account is made of besides its line: fills put in order, lost orders looked up, holds asked for.

Theory of operation. `AccountState` hears the private line. Reports that are no trades are passed on as they come;
trades go through the `FillKeeper`. When executions are lost and live again it has what is missing recovered, and orders
that the snapshot left out looked up; what is found so goes into the order store too. Orders that changed make it ask,
not too often, what they hold. A gap is told when it is over.

Source: faults.md O09 to O13, O21 to O23.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import cast

from ..account_records import AccountBalance, AccountGap
from ..core.balance_store import BalanceUpdate
from ..core.clock import Clock
from ..core.execution import Execution
from ..core.order_store import AccountOrder
from ..errors import KrakenFastError
from ..policy import SECOND_NS
from ..rest.answers import TradeInfo
from ..rest.endpoints import RestClient
from ..types import Quality
from .holds import Holds
from .lookup import OrderLookup
from .movements import Movements
from .reconcile import FillKeeper
from .recovery import Recovery
from .session import PrivateSession

_log = logging.getLogger("kraken_fast.account")

FILLS_KEPT = 1000


class AccountState:
    """See the module's text.

    Args:
        rest: asks the exchange.
        clock: monotonic time.
        keeper: of the fills.
        holds_s: the least time between two questions for holds.
        put_order, put_fill, put_balance: take reports that are no trades, fills, and balances.
        put_gap: is told of a gap that is over, or will not be.

    Attributes:
        fills: the last ones, oldest first.
    """

    def __init__(
        self,
        rest: RestClient,
        clock: Clock,
        keeper: FillKeeper[Execution],
        *,
        holds_s: float,
        put_order: Callable[[Execution], None],
        put_fill: Callable[[Execution], None],
        put_balance: Callable[[BalanceUpdate], None],
        put_gap: Callable[[AccountGap], None],
    ) -> None:
        self.keeper = keeper
        self.fills: deque[Execution] = deque(maxlen=FILLS_KEPT)
        self._rest = rest
        self._clock = clock
        self._put_order = put_order
        self._put_fill = put_fill
        self._put_balance = put_balance
        self._put_gap = put_gap
        self._line: PrivateSession
        self._gap: tuple[str, int, int] | None = None  # why, since when, and recovered fills before it
        self._gap_declared = False
        self._balance_gap: tuple[str, int] | None = None  # why, and the exchange's time of the last movement before
        self._movements = Movements(
            lambda start_s: rest.iter_ledgers(start_s=start_s), clock, put_balance, self._on_movements
        )
        self._holds = Holds()
        self._holds_s = holds_s
        self._holds_task: asyncio.Task[None] | None = None
        self._holds_asked_ns: int | None = None
        self._is_closed = False
        self._lookup = OrderLookup(rest.query_orders, clock, self._on_found)
        self._recovery = Recovery(
            keeper,
            history=self._history,
            order_of=self._order_of,
            clock=clock,
            deliver=self._deliver,
            gave_up=self._on_gave_up,
        )

    def _order_of(self, order_id: str) -> AccountOrder | None:
        return self._line.orders.get(order_id)

    def attach(self, line: PrivateSession) -> None:
        """Here is the line; its stores are read and given what REST finds."""
        self._line = line

    async def close(self) -> None:
        """Stop asking."""
        self._is_closed = True
        await self._recovery.close()
        await self._lookup.close()
        await self._movements.close()
        if self._holds_task is not None:
            self._holds_task.cancel()
            await asyncio.wait([self._holds_task])

    # What comes ----------------------------------------------------------------------------------------------

    def on_reports(self, rows: Sequence[Execution], *, snapshot: bool, exchange_ns: int) -> None:
        """See `session.AccountListener`."""
        for row in rows:
            if row.exec_type != "trade":
                self._lookup.forget(row.order_id)
                self._put_order(row)
        now_ns = self._clock.monotonic_ns
        if snapshot:
            self._movements.begin(exchange_ns)
            trades = [row.marked_recovered() for row in rows if row.exec_type == "trade"]
            self._deliver(self.keeper.on_snapshot(trades, exchange_ns=exchange_ns, at_ns=now_ns))
            self._lookup.look_up(order.order_id for order in self._line.orders.missing)
        else:
            for row in rows:
                if row.exec_type == "trade":
                    self._deliver(self.keeper.on_stream(row))
        self._holds.on_orders(now_ns)
        self.refresh_holds()

    def on_balance_update(self, update: BalanceUpdate) -> None:
        """See `session.AccountListener`."""
        self._movements.on_stream(update)
        self._put_balance(update)

    def on_channel_live(self, channel: str) -> None:
        """See `session.AccountListener`."""
        if channel == "balances" and self._balance_gap is not None:
            (reason, since_ns), self._balance_gap = self._balance_gap, None
            # Totals are right again; the snapshot has no movements, and REST may be a minute behind.
            self._put_gap(AccountGap("balances", reason, since_ns, 0, 0, healed=False))
            self._movements.on_gap(reason, since_ns)

    def on_channel_lost(self, channel: str, reason: str) -> None:
        """See `session.AccountListener`."""
        if channel == "balances":
            self._balance_gap = self._balance_gap or (reason, self._movements.newest_ns)
            return
        if self._gap is None:
            self._gap = (reason, self.keeper.newest_ns, self.keeper.recovered)
        self.keeper.on_lost()

    def _deliver(self, fills: list[Execution]) -> None:
        late = self._gap is None
        strange = []
        for fill in fills:
            if fill.recovered:
                if self._order_of(fill.order_id) is None:
                    strange.append(fill.order_id)
                self._line.take_recovered(fill)
            self.fills.append(fill)
            self._put_fill(fill)
        self._lookup.look_up(strange)  # a fill does not say whether its order still lives
        if self.keeper.is_live and self._gap is not None:
            reason, since_ns, before = self._gap
            self._gap = None
            count = self.keeper.recovered - before
            healed, self._gap_declared = not self._gap_declared, False
            self._put_gap(AccountGap("executions", reason, since_ns, self.keeper.newest_ns, count, healed=healed))
        elif late and any(fill.recovered for fill in fills):
            times = [fill.timestamp_ns or 0 for fill in fills]
            reason = "found missing by the audit"
            self._put_gap(AccountGap("executions", reason, min(times), max(times), len(fills), healed=True))
        self._recovery.poke()

    def _on_movements(self, reason: str, since_ns: int, count: int) -> None:
        self._put_gap(AccountGap("balances", reason, since_ns, self._movements.newest_ns, count, healed=True))

    def _on_gave_up(self) -> None:
        self._gap_declared = True

    def _on_found(self, report: Execution) -> None:
        self._line.take_recovered(report)
        self._put_order(report)

    def _history(self, start_s: int | None, end_s: int | None) -> AsyncIterator[TradeInfo]:
        return self._rest.iter_fills(start_s=start_s, end_s=end_s)

    # Holds ---------------------------------------------------------------------------------------------------

    def refresh_holds(self) -> None:
        """Have the exchange asked what orders hold, unless that is known or was asked for lately."""
        if self._holds.is_current or self._holds_task is not None or self._is_closed:
            return
        self._holds_task = asyncio.get_running_loop().create_task(self._ask_holds(), name="kraken_fast holds")

    async def _ask_holds(self) -> None:
        try:
            if self._holds_asked_ns is not None:
                due_ns = self._holds_asked_ns + round(self._holds_s * SECOND_NS)
                await asyncio.sleep(max(0.0, (due_ns - self._clock.monotonic_ns) / SECOND_NS))
            self._holds_asked_ns = asked_ns = self._clock.monotonic_ns
            rows = await self._rest.fetch_extended_balances()
            holds = {row.asset: row.hold_trade for row in rows if not row.kind}
            self._holds.on_told(holds, asked_ns=asked_ns)
        except KrakenFastError as error:
            _log.warning("holds could not be asked for: %s", error)
        finally:
            self._holds_task = None

    @property
    def quality(self) -> Quality:
        """How far orders and fills can be trusted: live, stale or none; unverified while fills may be missing."""
        quality = cast("Quality", self._line.orders.quality)
        return "unverified" if quality == "live" and not self.keeper.is_live else quality

    def balance_of(self, asset: str) -> AccountBalance:
        """Give what the account has of an asset, and what of it is held."""
        store, now_ns = self._line.balances, self._clock.monotonic_ns
        orders = self._line.orders.open_orders if self._line.orders.is_live else None
        hold = self._holds.get(asset, orders, now_ns)
        return AccountBalance(
            asset=asset,
            total=store.get(asset) or Decimal(0),
            hold=hold.amount,
            hold_source=hold.source,
            quality=cast("Quality", store.quality),
            age_ms=store.age_ms,
            hold_age_ms=None if hold.at_ns is None else (now_ns - hold.at_ns) / 1e6,
        )
