"""`connect_trading(...)`: an account, its orders, and the market to judge them by, opened and ended as one.

    Feed (public line)     -> rules of pairs, best prices --+
    Account (private line) -> executions, balances ---------+-> OrderEntry -> Journal
                           <- orders -----------------------+

Theory of operation. Opening goes in the order in which nothing can be missed: the journal is locked and read; the key
is checked; order entry listens before the private line is up, so that its first snapshot is heard; what an earlier run
left open is looked up; only then does opening end and an order may leave. Closing goes the other way: no new orders,
what is in flight is settled, open orders are treated as `OrderSettings.on_exit` says, then the lines end.

A SIGTERM or Ctrl-C within `async with` closes it first, then cancels the task that opened it, which ends with
SystemExit; a second one cuts the closing short.

Source: faults.md O26, P08.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Literal, Self

from .auth import Credentials
from .config import PRIVATE_WS_URL, PUBLIC_REST_URL, PUBLIC_WS_URL, Endpoints, check_number
from .core.capture import CaptureWriter
from .core.clock import Clock
from .errors import ClosedError, ConfigError, OrderBlockedError, UnknownSymbolError
from .feed import Feed, connect
from .orders.entry import OrderEntry
from .orders.exit import Ask, ExitOnSignal, ExitReport, leave_market
from .orders.journal import FileStorage, Journal, Sync
from .orders.pretrade import Quote
from .orders.settings import OrderSettings
from .orders.watchdog import Watchdog
from .private.account import Account, connect_account
from .rest.endpoints import RestClient
from .types import Instrument

NEEDS = ("modify-trades",)
"""What a key needs for orders, besides what an `Account` needs."""


def connect_trading(
    symbols: Iterable[str],
    credentials: Credentials | None = None,
    *,
    journal: str | Path | Journal,
    sync: Sync | Literal["always", "interval", "never"] = "interval",
    settings: OrderSettings | None = None,
    account: Account | None = None,
    feed: Feed | None = None,
    rest: RestClient | None = None,
    watchdog: Watchdog | str | Path | None = None,
    ask: Ask | None = None,
    ws_url: str = PRIVATE_WS_URL,
    public_ws_url: str = PUBLIC_WS_URL,
    rest_url: str = PUBLIC_REST_URL,
    ca_file: str | Path | None = None,
    ready_s: float = 20.0,
    known_s: float = 180.0,
    record: str | Path | CaptureWriter | None = None,
    **advanced: Any,
) -> Trading:
    """Prepare trading; `async with` opens it.

    Args:
        symbols: whose books are kept for prices and limits. Orders may be of any pair.
        credentials: of the key; None to look where `Credentials.find` does. It needs the permissions of an account and
            "Create and modify orders".
        journal: the file in which every order is on record before it leaves; made if it is not there, and kept: it is
            what a crash is mended by. One process at a time.
        sync: when it is forced to the disk: always before an order leaves, ten times a second, or never. Whatever is
            chosen, it outlives the process; this is about the machine.
        settings: of orders: deadlines, limits, what becomes of open orders at the end.
        account: an account to trade over, open or not yet, instead of one made here; it is not closed.
        feed: a feed with books to take rules and prices from instead of one made here; it is not closed.
        rest: a client of the same key to use instead of one made here; it is not closed.
        watchdog: cancels everything when this loop is silent: a `Watchdog`, or the key file of one that is made here,
            a process with a key of its own.
        ask: decides at the end, for the policy `ask`.
        ws_url: the private host; plain ws:// only for a loopback host. public_ws_url: of the market, likewise.
        rest_url: its REST address, likewise.
        ca_file: the only authorities to trust, for an exchange in a box with TLS.
        ready_s: how long each line may take to open.
        known_s: how long looking up what an earlier run left may take; by proof of absence it takes a minute.
        record: a file, made anew, that gets every message of the private line; or a CaptureWriter.
        advanced: fields of `session.SessionSettings`: clock, rng, line, subscription, budget, ssl_context ...

    Raises:
        ConfigError: a setting is wrong, or there is no key; nothing was sent.

    Example:
        async with kraken_fast.connect_trading(["BTC/USD"], journal="orders.journal") as trading:
            order = await trading.orders.add_order(
                symbol="BTC/USD", side="buy", order_type="limit", order_qty="0.001", limit_price="50000.0"
            )
            await order.filled()
    """
    check_number("known_s", known_s, 1.0, 3600.0)
    owns_account, owns_feed = account is None, feed is None
    if account is None:
        account = connect_account(
            credentials, rest=rest, ws_url=ws_url, rest_url=rest_url, ca_file=ca_file, ready_s=ready_s, record=record,
            **advanced,
        )  # fmt: skip
    elif rest is not None or credentials is not None or record is not None:
        raise ConfigError("account", "given", "left out with `credentials`, `rest` and `record`, for it has its own")
    if feed is None:
        line_of = {name: value for name, value in advanced.items() if name != "name"}
        feed = connect(symbols, ws_url=public_ws_url, rest_url=rest_url, ca_file=ca_file, ready_s=ready_s, **line_of)
    if isinstance(watchdog, (str, Path)):
        watchdog = Watchdog(key_file=watchdog, endpoints=Endpoints(rest_url=rest_url, ca_file=ca_file))
    account.rest.require(NEEDS)
    return Trading(
        account,
        feed,
        journal=journal,
        sync=Sync(sync),
        settings=settings,
        watchdog=watchdog,
        ask=ask,
        clock=advanced.get("clock"),
        rng=advanced.get("rng"),
        known_s=known_s,
        owns_account=owns_account,
        owns_feed=owns_feed,
    )


class Trading:
    """Orders of an account, live. Made by `connect_trading`; an async context manager.

    Attributes:
        account: executions, fills, balances. feed: the market.
        watchdog: the one that watches this loop, if one was asked for.
        report: how the end went, once it has.
    """

    def __init__(
        self,
        account: Account,
        feed: Feed,
        *,
        journal: str | Path | Journal,
        sync: Sync,
        settings: OrderSettings | None,
        watchdog: Watchdog | None,
        ask: Ask | None,
        clock: Clock | None,
        rng: Random | None,
        known_s: float,
        owns_account: bool,
        owns_feed: bool,
    ) -> None:
        self.account = account
        self.feed = feed
        self.watchdog = watchdog
        self.report: ExitReport | None = None
        self._journal = journal
        self._sync = sync
        self._settings = settings
        self._ask = ask
        self._clock = clock or account.rest.clock
        self._rng = rng or SystemRandom()
        self._known_s = known_s
        self._owns_account = owns_account
        self._owns_feed = owns_feed
        self._orders: OrderEntry | None = None
        self._is_open = False
        self._cut = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._signals: ExitOnSignal | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {' '.join(self.feed.symbols)}: {self.account.state}>"

    # Opening, closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._signals = ExitOnSignal.take(self.close, self._cut)
        try:
            await self.open()
        except BaseException as error:
            if self._signals is None:
                raise
            self._signals.close()
            if self._signals.number is None:
                raise
            raise SystemExit(128 + self._signals.number) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if self._signals is not None and self._signals.number is not None:
            raise SystemExit(128 + self._signals.number)

    async def open(self) -> None:
        """Lock the journal, check the key, connect, and find out what became of an earlier run's orders.

        Raises:
            JournalError: another process has the journal, or it is damaged.
            AuthError, PermissionDeniedError: the key is not accepted, or lacks something, which is named.
            ConnectError, TlsError, HandshakeError, SubscriptionError: a line did not come up.
            OrderBlockedError: orders of an earlier run are still unknown after `known_s`; they stay in the journal.
            ClosedError: it was opened before, or closed meanwhile.
        """
        if self._orders is not None or self._ending is not None:
            raise ClosedError("it is opened once; make a new one")
        journal = self._journal if isinstance(self._journal, Journal) else self._open_journal(self._journal)
        self._orders = OrderEntry(
            self.account.line,
            journal=journal,
            instruments=self._rules,
            rest=self.account.rest,
            quotes=self.quote,
            settings=self._settings,
            clock=self._clock,
            rng=self._rng,
        )
        try:
            await self._open_lines(self._orders)
            if self.watchdog is not None:
                self.watchdog.start()
        except BaseException:
            await self.close()
            raise
        self._is_open = True

    def _open_journal(self, path: str | Path) -> Journal:
        storage = FileStorage(path)
        try:
            return Journal(storage, self._clock, sync=self._sync)
        except BaseException:
            storage.close()
            raise

    async def _open_lines(self, orders: OrderEntry) -> None:
        """Open what is not open. Order entry listens first: the line's first snapshot says what is open."""
        await self.account.rest.open()
        if self._owns_feed:
            await self.feed.open()
        starting = asyncio.ensure_future(orders.start())
        await asyncio.sleep(0)
        try:
            if self._owns_account or not self.account.line.is_open:
                await self.account.open()
            await self._until_known(orders, starting)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)  # whatever it raised was told above

    async def _until_known(self, orders: OrderEntry, starting: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(self._known_s):
                await starting
        except TimeoutError:
            count = len(orders.table.unknown) + len(orders.resolution.doubtful)
            raise OrderBlockedError(
                f"{count} orders of an earlier run are not known after {self._known_s:g} s; the journal keeps them"
            ) from None

    async def close(self) -> None:
        """End trading as the settings say, then close what was opened here. May be called again."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(), name="kraken_fast trading ends")
        try:
            await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            self._cut.set()
            raise

    async def _end(self) -> None:
        async with AsyncExitStack() as last:  # from below: each ends whatever becomes of those before it
            if self._signals is not None:
                last.callback(self._signals.close)
            if self._owns_feed:
                last.push_async_callback(self.feed.close)
            if self._owns_account:
                last.push_async_callback(self.account.close)
            if self.watchdog is not None:
                last.push_async_callback(self.watchdog.stop)
            if self._orders is not None:
                last.push_async_callback(self._orders.close)
                if self._is_open:  # else nothing was placed, and nothing is to be cancelled
                    self.report = await leave_market(self._orders, ask=self._ask, cut=self._cut)

    # Reading -------------------------------------------------------------------------------------------------

    @property
    def orders(self) -> OrderEntry:
        """Order entry: add, amend, cancel, and all orders by name.

        Raises:
            ClosedError: it is not open.
        """
        if self._orders is None:
            raise ClosedError("trading is not open; use `async with`")
        return self._orders

    def quote(self, symbol: str) -> Quote | None:
        """Give the best prices of a live book; None while there is none that can be trusted."""
        try:
            book = self.feed.live_book(symbol)
        except (UnknownSymbolError, ClosedError):
            return None
        return None if book.quality != "live" or book.crossed else Quote(book.best_bid, book.best_ask)

    def _rules(self, symbol: str) -> Instrument:
        pair = self.feed.instrument(symbol)
        if pair.symbol != symbol:
            raise UnknownSymbolError(symbol, (pair.symbol,))
        return pair
