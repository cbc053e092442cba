"""An account on paper without a client: one market with hand-made live books and trades, and the desk."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal
from random import Random
from typing import Any

from kraken_fast.paper.market import PaperMarket
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.account import Account, NewAccount
from kraken_fast.sim.candles import Trade
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.drafts import draft
from kraken_fast.sim.engine import Side
from kraken_fast.sim.instruments import Pair
from kraken_fast.sim.params import Params
from kraken_fast.sim.records import Order

BTC = "BTC/USD"
START_NS = 1_790_000_000_000_000_000
STEP_NS = 1_000_000

BALANCES = {"USD": Decimal(1_000_000), "BTC": Decimal(100)}

Rows = Iterable[tuple[str, str]]


class PaperBox:
    """One market on paper. Every act comes a millisecond after the last one.

    Args:
        depth: levels a side of the live book.
        balances: of the account.
    """

    def __init__(self, *, depth: int = 10, balances: dict[str, Decimal] | None = None) -> None:
        self.now_ns = START_NS
        self.deposits = BALANCES if balances is None else balances

        def make(pair: Pair, rng: Random, now_ns: int) -> PaperMarket:
            return PaperMarket(pair, rng, now_ns, last=Decimal(100), depth=depth)

        self.core = ExchangeCore(
            [BTC],
            seed=1,
            now_ns=lambda: self.now_ns,
            rate=0.0,
            accounts=[NewAccount("paper", self.deposits)],
            limit_orders=False,
            make_market=make,
        )
        market = self.core.market(BTC)
        assert isinstance(market, PaperMarket)
        self.market = market
        self._ids = itertools.count(1)

    @property
    def account(self) -> Account:
        """The account as the exchange keeps it."""
        return self.core.accounts["paper"]

    def book(self, bids: Rows, asks: Rows, *, exch_ns: int | None = None) -> None:
        """Show a live book, best first."""
        self._step()
        self.market.show(_levels(bids), _levels(asks), exch_ns or self.now_ns, self.now_ns)
        self.check()

    def blind(self) -> None:
        """The live book is not live any more."""
        self._step()
        self.market.blind(self.now_ns)
        self.check()

    def trade(self, side: str, price: str, qty: str, *, exch_ns: int | None = None) -> None:
        """Tell a live trade; the side is the taker's."""
        self._step()
        way: Side = "buy" if side == "buy" else "sell"
        trade = Trade(next(self._ids), self.now_ns, way, Decimal(price), Decimal(qty), "limit")
        self.market.told(trade, exch_ns or self.now_ns, self.now_ns)
        self.check()

    def order(self, side: str, qty: str, price: str = "", kind: str = "limit", **fields: Any) -> str:
        """Place an order; gives its id. Fields are REST's.

        Raises:
            RestError: it is refused.
        """
        self._step()
        given = {"type": side, "ordertype": kind, "volume": qty, "price": price, **fields}
        asked = draft(
            Params({name: value for name, value in given.items() if value}),
            self.market.pair,
            self.market.trades[-1].price,
            self.now_ns,
        )
        placed = self.core.desk.place(self.account, asked, self.now_ns)
        self.check()
        return placed.order_id

    def cancel(self, order_id: str) -> None:
        """Cancel an order."""
        self._step()
        self.core.desk.cancel_for(self.account, self.state(order_id), self.now_ns)
        self.check()

    def state(self, order_id: str) -> Order:
        """Give an order as it is now."""
        return self.account.orders[order_id]

    def fills(self, order_id: str) -> list[tuple[str, str, str]]:
        """Give an order's fills: price, quantity, maker or taker."""
        executions = [self.account.executions[exec_id] for exec_id in self.state(order_id).trades]
        return [
            (f"{fill.price.normalize():f}", f"{fill.qty.normalize():f}", "maker" if fill.maker else "taker")
            for fill in executions
        ]

    def check(self) -> None:
        """Assert that the books add up: places, mirror, orders, holds, money."""
        self.market._check()  # noqa: SLF001 - what every structure offers its tests
        self.core.desk._check()  # noqa: SLF001
        check_money(self.core, self.deposits)

    def _step(self) -> None:
        self.now_ns += STEP_NS
        self.core.advance()


def _levels(rows: Rows) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(qty)) for price, qty in rows]
