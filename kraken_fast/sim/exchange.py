"""The exchange in a box, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal

from ..errors import ConfigError
from .account import Account, NewAccount
from .candles import Trade
from .core import ExchangeCore, SystemStatus
from .faces import LEVEL3, PRIVATE, PUBLIC
from .faults import Faults
from .instruments import PairStatus
from .market import BookTruth, Market, TickerTruth
from .server import Server
from .session import WsSession
from .tape import Tape
from .ws_orders import Asked


class Exchange:
    """Kraken on loopback, with a seed, accounts, the truth, and faults.

        async with Exchange(["BTC/USD"], seed=7) as ex:
            ...connect your client to ex.ws_url and ex.rest_url...
            assert my_book == ex.book("BTC/USD").top(10)

    Args:
        symbols: what it lists, such as BTC/USD; None for a handful, "all" for the 683 recorded pairs, whose
            markets then open when first asked for.
        seed: of everything that happens by chance.
        rate: actions of the crowd per second and symbol; 0 leaves stepping to you (`advance`).
        tls: serve wss and https on localhost with a certificate authority of its own (`ca_file`).
        host: address to bind. There is no authentication: leave it on loopback.
        ws_port: 0 for any free one.
        rest_port: 0 for any free one.
        levels: price levels of each side that the crowd keeps up.
        snapshot_delay_ms: from acknowledgement to snapshot; some 100 ms were seen on the real exchange.
        limit_connections: refuse an address after 150 connections in ten minutes; None means only off
            loopback.
        tape: play prepared books (`kraken_fast.sim.tape.render`) instead of trading; `rate` is then the messages a
            second of all of them. For load: 50,000 a second and more, up to 1,000 pairs.
        accounts: who may trade, as `NewAccount`; None for one with round balances and every permission of a
            bot.
        history_cost: points that Ledgers, TradesHistory and ClosedOrders cost: 2 or 4, as Kraken's pages
            disagree.
        limit_calls: whether the REST call counters refuse, and the limits of level-3 subscriptions.
        limit_orders: whether the engine counters and the ceilings of open orders do.
        now_ns: the clock, nanoseconds since the epoch; it must not go back. By default the wall clock as it
            was at the start, continued by the monotonic one.

    Raises:
        UnknownSymbolError: a symbol was not recorded.
        ConfigError: another argument is out of range.
    """

    def __init__(
        self,
        symbols: Iterable[str] | Literal["all"] | None = None,
        *,
        seed: int = 0,
        rate: float = 20.0,
        tls: bool = False,
        host: str = "127.0.0.1",
        ws_port: int = 0,
        rest_port: int = 0,
        levels: int = 250,
        snapshot_delay_ms: int = 0,
        limit_connections: bool | None = None,
        tape: Tape | None = None,
        accounts: Iterable[NewAccount] | None = None,
        history_cost: int = 4,
        limit_calls: bool = True,
        limit_orders: bool = True,
        now_ns: Callable[[], int] | None = None,
    ) -> None:
        loopback = host in ("localhost", "::1") or host.startswith("127.")
        self.core = ExchangeCore(
            symbols,
            seed=seed,
            now_ns=_steady_clock() if now_ns is None else now_ns,
            rate=rate,
            levels=levels,
            snapshot_delay_ms=snapshot_delay_ms,
            limit_connections=not loopback if limit_connections is None else limit_connections,
            tape=tape,
            accounts=accounts,
            history_cost=history_cost,
            limit_calls=limit_calls,
            limit_orders=limit_orders,
        )
        self.ca_file: str | None = None
        self._host = host
        self._ports = (ws_port, rest_port)
        self._tls = tls
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: Server | None = None

    def __repr__(self) -> str:
        return "<Exchange, not open>" if self._server is None else f"<Exchange {self.ws_url} {self.rest_url}>"

    async def __aenter__(self) -> Exchange:
        context = self._make_tls() if self._tls else None
        self._server = Server(self.core, self._host, *self._ports, context)
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.stop()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def ws_url(self) -> str:
        """Address for WebSocket clients."""
        return f"{'wss' if self._tls else 'ws'}://{self._name}:{self._running.ws_port}/v2"

    @property
    def ws_auth_url(self) -> str:
        """Address of the private side: executions, balances, trading."""
        return self.ws_url.removesuffix(PUBLIC.path) + PRIVATE.path

    @property
    def ws_l3_url(self) -> str:
        """Address of level 3."""
        return self.ws_url.removesuffix(PUBLIC.path) + LEVEL3.path

    @property
    def rest_url(self) -> str:
        """Base address for REST clients, without the /0."""
        return f"{'https' if self._tls else 'http'}://{self._name}:{self._running.rest_port}"

    @property
    def faults(self) -> Faults:
        """The faults; see `kraken_fast.sim.faults`."""
        return self.core.faults

    @property
    def sessions(self) -> list[WsSession]:
        """The sessions that are open, oldest first."""
        return self.core.sessions

    def addresses(self) -> dict[str, str]:
        """Give what a client must know, for one line of JSON.

        That is ws_url, ws_auth_url, ws_l3_url and rest_url; api_key and api_secret if there is an account;
        ca_file with TLS.
        """
        places = {
            "ws_url": self.ws_url,
            "ws_auth_url": self.ws_auth_url,
            "ws_l3_url": self.ws_l3_url,
            "rest_url": self.rest_url,
        }
        keys = {"api_key": self.api_key, "api_secret": self.api_secret} if self.core.accounts else {}
        ca_file = {} if self.ca_file is None else {"ca_file": self.ca_file}
        return {**places, **keys, **ca_file}

    @property
    def account(self) -> Account:
        """The first account: its balances, orders, executions and ledger as they truly are."""
        return next(iter(self.core.accounts.values()))

    @property
    def accounts(self) -> dict[str, Account]:
        """All accounts by name."""
        return self.core.accounts

    @property
    def asked(self) -> list[Asked]:
        """The trading requests of the WebSocket that were carried out, oldest first, and what they were told."""
        return list(self.core.asked)

    @property
    def api_key(self) -> str:
        """The first key of the first account."""
        return self.account.keys[0].key

    @property
    def api_secret(self) -> str:
        """Its secret, base64."""
        return self.account.keys[0].secret

    def book(self, symbol: str) -> BookTruth:
        """Give the whole book as it is now.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        return self.core.book(symbol)

    def ticker(self, symbol: str) -> TickerTruth:
        """Give the ticker as it is now.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        return self.core.market(symbol).ticker()

    def trades(self, symbol: str) -> list[Trade]:
        """Give the trades that are still remembered, oldest first.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        return list(self.core.market(symbol).trades)

    def market(self, symbol: str) -> Market:
        """Give the market, to act in it by hand; what it tells its subscribers leaves with `flush`.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        return self.core.market(symbol)

    def advance(self, steps: int = 1, symbol: str | None = None) -> None:
        """Let the crowd act so many times, in one market or in each, and send what follows at once.

        With a tape, play so many messages of it.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        if self.core.player is not None:
            self.core.player.play(steps)
            self.flush()
            return
        symbols = list(self.core.listing.pairs) if symbol is None else [symbol]
        for _ in range(steps):
            for name in symbols:
                self.core.market(name).step(self.core.now_ns())
        self.flush()

    def flush(self) -> None:
        """Send what the sessions have to say."""
        self._running.flush()

    def set_system_status(self, status: SystemStatus) -> None:
        """Change the state of the engine and tell every session.

        Raises:
            ConfigError: there is no such state.
        """
        self.core.set_system_status(status)
        self.flush()

    def set_pair(
        self,
        symbol: str,
        *,
        status: PairStatus | None = None,
        price_precision: int | None = None,
        qty_precision: int | None = None,
    ) -> None:
        """Change a pair and tell whoever subscribed `instrument`.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        self.core.set_pair(
            symbol, status=status, price_precision=price_precision, qty_precision=qty_precision
        )
        self.flush()

    @property
    def _name(self) -> str:
        # No client sends a server name for an IP address, so TLS is served on a name.
        return "localhost" if self._tls else self._host

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the exchange is not running: use `async with Exchange(...)`")
        return self._server

    def _make_tls(self) -> ssl.SSLContext:
        try:
            from .tls import Authority  # trustme is needed only here
        except ModuleNotFoundError as missing:
            raise ConfigError("tls", True, "False without trustme: pip install 'kraken_fast[cli]'") from missing

        authority = Authority()
        self._folder = tempfile.TemporaryDirectory(prefix="kraken-fast-sim-")
        self.ca_file = str(authority.write(Path(self._folder.name)))
        return authority.context(self.core.faults)


def _steady_clock() -> Callable[[], int]:
    """Make a wall clock that nobody can set back: a line's bytes wait for their time."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset_ns


async def serve(exchange: Exchange, announce: Callable[[dict[str, str]], None]) -> None:
    """Run an exchange until cancelled.

    Args:
        exchange: not yet started.
        announce: gets the addresses once both ports are bound.
    """
    async with exchange:
        announce(exchange.addresses())
        await asyncio.Event().wait()
