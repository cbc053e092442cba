"""The exchange without I/O: markets, lines and REST under one clock and one seed.

    core = ExchangeCore(["BTC/USD"], seed=7, now_ns=clock.now_ns, rate=20.0)
    line = core.connect()               # a client's connection, as bytes
    line.receive(upgrade_request)
    core.advance()                      # whatever was due by now has happened
    for segment in line.poll(): ...     # bytes for that client
    core.deadline_ns                    # nothing happens by itself before this time

Everything that happens is decided by the seed, the times the clock gave, and the bytes that came in: the same
three give the same bytes out. Each market, line and the faults have their own generator, derived from the
seed and their name, so that one more client does not change what the market does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Literal

from ..errors import ConfigError
from .account import Account, NewAccount, open_account
from .desk import Desk
from .engine import Order as EngineOrder
from .faults import Faults
from .feed import MarketFeed
from .ids import derived
from .instruments import Listing, Pair, PairStatus, instrument_message
from .line import Line, State
from .market import BookTruth, Market
from .message import Message, status_text
from .mishaps import Mishaps
from .player import ReelFeed, TapePlayer
from .private import PrivateApi
from .rest import RestApi
from .rest_faults import Response
from .session import WsSession
from .tape import Tape
from .texts import NS_PER_MS, NS_PER_S
from .ws_orders import ASKED_MAX, Asked
from .ws_trading import WsTrading

MakeMarket = Callable[[Pair, random.Random, int], Market]

SystemStatus = Literal["online", "cancel_only", "post_only", "limit_only", "maintenance"]

DEFAULT_SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD", "ETH/BTC")

ATTEMPTS_MAX = 150
ATTEMPTS_SPAN_NS = 600 * NS_PER_S
"""Connections from one address in any ten minutes, and for how long it is refused after more.

Source: https://docs.kraken.com/api/docs/guides/spot-ws-intro, read 2026-11.
"""

_SYSTEM_STATUSES = ("online", "cancel_only", "post_only", "limit_only", "maintenance")


class ConnectionLimiter:
    """Counts the connections of each address, as the exchange's edge does."""

    def __init__(self) -> None:
        self._attempts: dict[str, deque[int]] = {}
        self._refused_until_ns: dict[str, int] = {}

    def admits(self, address: str, now_ns: int) -> bool:
        """Count one attempt and tell whether it is let in."""
        if now_ns < self._refused_until_ns.get(address, 0):
            return False
        attempts = self._attempts.setdefault(address, deque())
        attempts.append(now_ns)
        while attempts[0] <= now_ns - ATTEMPTS_SPAN_NS:
            attempts.popleft()
        if len(attempts) <= ATTEMPTS_MAX:
            return True
        self._refused_until_ns[address] = now_ns + ATTEMPTS_SPAN_NS
        return False


class ExchangeCore:
    """The exchange without I/O.

    Args:
        symbols: what it lists: names such as `BTC/USD`, None for a handful, "all" for the 683 recorded ones.
        seed: of everything that happens by chance.
        now_ns: the clock: nanoseconds since the epoch. It may stand still but not go back.
        rate: actions of the crowd per second and market; 0 leaves the markets to the caller's `step`.
        levels: price levels of each side that the crowd keeps up.
        snapshot_delay_ms: from acknowledgement to snapshot.
        limit_connections: refuse an address after 150 connections in ten minutes.
        tape: play prepared books instead of opening markets; `rate` is then the messages a second of all of them.
        accounts: who may trade; None for one account with round balances.
        history_cost: points that Ledgers, TradesHistory and ClosedOrders cost: 2 or 4, as Kraken's pages
            disagree.
        limit_calls: whether the REST call counters refuse, and the limits of level-3 subscriptions.
        limit_orders: whether the engine counters and the ceilings of open orders do.
        listing: what it lists, instead of `symbols`; for pairs that were not recorded.
        make_market: makes a market of a pair; by default one with a crowd. Gets the pair, its chance, the time.

    Attributes:
        asked: the trading requests that came over the WebSocket and were carried out, oldest first.

    Raises:
        UnknownSymbolError: a symbol was not recorded.
        ConfigError: another argument is out of range.
    """

    def __init__(
        self,
        symbols: Iterable[str] | Literal["all"] | None = None,
        *,
        seed: int,
        now_ns: Callable[[], int],
        rate: float = 20.0,
        levels: int = 250,
        snapshot_delay_ms: int = 0,
        limit_connections: bool = False,
        tape: Tape | None = None,
        accounts: Iterable[NewAccount] | None = None,
        history_cost: int = 4,
        limit_calls: bool = True,
        limit_orders: bool = True,
        listing: Listing | None = None,
        make_market: MakeMarket | None = None,
    ) -> None:
        if tape is not None and symbols is not None:
            raise ConfigError("symbols", symbols, "None with a tape, which brings its own")
        if isinstance(symbols, str) and symbols != "all":
            raise ConfigError("symbols", symbols, 'a list of symbols, "all" or None')
        if not 0 <= rate <= 1e6:
            raise ConfigError("rate", rate, "between 0 and 1,000,000 a second")
        if not 3 <= levels <= 100_000:
            raise ConfigError("levels", levels, "between 3 and 100,000")
        self.seed = seed
        self.now_ns = now_ns
        self.rate = rate
        self.levels = levels
        if history_cost not in (2, 4):
            raise ConfigError("history_cost", history_cost, "2 or 4")
        self.snapshot_delay_ns = snapshot_delay_ms * NS_PER_MS
        self._make_market = make_market or partial(Market, levels=levels, rate=rate)
        everything = symbols == "all"
        self.listing = Listing(None if everything else DEFAULT_SYMBOLS if symbols is None else symbols)
        self.player: TapePlayer | None = None
        if tape is not None:
            self.listing = Listing.of(tape.pairs)
            self.player = TapePlayer(tape, rate, now_ns())
        if listing is not None:
            self.listing = listing
        self.system_status: SystemStatus = "online"
        self.faults = Faults(self._rng("faults"))
        self.lines: dict[int, Line] = {}
        self.instrument_subscribers: dict[WsSession, None] = {}
        self._limiter = ConnectionLimiter() if limit_connections else None
        self.accounts: dict[str, Account] = {}
        for account in (NewAccount(),) if accounts is None else accounts:
            self.open_account(account)
        self.desk = Desk(self, limit_orders=limit_orders)
        self.private = PrivateApi(
            self, self._rng("tokens"), history_cost=history_cost, limit_calls=limit_calls
        )
        self.ws_trading = WsTrading(self)
        self.mishaps = Mishaps(self)
        self.asked: deque[Asked] = deque(maxlen=ASKED_MAX)
        self._rest = RestApi(self)
        self._last_line = 0
        self._feeds: dict[str, MarketFeed] = {}
        if not everything and self.player is None:
            for symbol in self.listing.pairs:
                self.feed(symbol)

    @property
    def sessions(self) -> list[WsSession]:
        """The sessions that are open, oldest first."""
        return [line.session for line in self.lines.values() if line.state is State.OPEN]

    @property
    def tradable(self) -> Mapping[str, Pair]:
        """The pairs that can be subscribed."""
        return {symbol: pair for symbol, pair in self.listing.pairs.items() if pair.status != "delisted"}

    @property
    def opened(self) -> Collection[str]:
        """The symbols whose market has been opened."""
        return self._feeds.keys()

    @property
    def deadline_ns(self) -> int | None:
        """The time before which nothing happens by itself, or None if never anything does."""
        times = [feed.market.next_step_ns for feed in self._feeds.values()]
        times += [line.deadline_ns for line in self.lines.values()]
        if self.player is not None:
            times.append(self.player.next_ns)
        times.append(self.desk.deadline_ns)
        return min((time_ns for time_ns in times if time_ns is not None), default=None)

    def is_tradable(self, symbol: str) -> bool:
        """Tell whether a symbol can be subscribed."""
        pair = self.listing.pairs.get(symbol)
        return pair is not None and pair.status != "delisted"

    def market(self, symbol: str) -> Market:
        """Give the market of a listed symbol, which opens now if it has not been asked for yet.

        Raises:
            UnknownSymbolError: it is not listed.
            ConfigError: this exchange plays a tape, and has no markets.
        """
        return self._open(symbol).market

    def feed(self, symbol: str) -> MarketFeed | ReelFeed:
        """Give the public channels of a listed symbol.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        if self.player is None:
            return self._open(symbol)
        return self.player.feeds[self.listing.pair(symbol).symbol]

    def book(self, symbol: str) -> BookTruth:
        """Give the whole book of a listed symbol as it is now.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        feed = self.feed(symbol)
        return feed.truth(self.now_ns()) if isinstance(feed, ReelFeed) else feed.market.truth()

    def _open(self, symbol: str) -> MarketFeed:
        if self.player is not None:
            raise ConfigError("tape", symbol, "left out where markets are needed")
        feed = self._feeds.get(symbol)
        if feed is None:
            pair = self.listing.pair(symbol)
            rng = self._rng(f"market {symbol}")
            market = self._make_market(pair, rng, self.now_ns())
            feed = MarketFeed(market, lambda order: self.order_name(symbol, order))
            feed.market.on_fills = self.desk.on_fills
            self._feeds[symbol] = feed
            self._govern(feed.market)
        return feed

    def connect(self, address: str = "127.0.0.1") -> Line:
        """Accept a connection.

        Raises:
            ConnectionRefusedError: a `refuse` fault holds.
        """
        if self.faults.fire("refuse"):
            raise ConnectionRefusedError("the exchange refuses connections")
        self._last_line += 1
        number = self._last_line
        refused = self._limiter is not None and not self._limiter.admits(address, self.now_ns())
        line = Line(self, number, self._rng(f"line {number}"), refused=refused)
        self.lines[number] = line
        return line

    def disconnect(self, line: Line) -> None:
        """Forget a connection that is gone, whoever ended it."""
        line.lost()
        self.lines.pop(line.number, None)

    def open_account(self, new: NewAccount) -> Account:
        """Open an account, deposit its balances and make its first key.

        Raises:
            ConfigError: the name is taken, an asset is not listed, or a balance has too many decimals.
        """
        return open_account(new, self.accounts, self.listing, self._rng(f"account {new.name}"), self.now_ns())

    def last_price(self, asset: str, quote: str) -> Decimal | None:
        """Give the last price of an asset in another, None if no opened market tells."""
        if asset == quote:
            return Decimal(1)
        if f"{asset}/{quote}" in self._feeds:
            return self.market(f"{asset}/{quote}").trades[-1].price
        if f"{quote}/{asset}" in self._feeds:
            return 1 / self.market(f"{quote}/{asset}").trades[-1].price
        return None

    def order_name(self, symbol: str, order: EngineOrder) -> str:
        """Give the id under which the world sees a resting order: an account's own, or one of the crowd's."""
        return order.name or derived("O", self.seed, symbol, order.order_id)

    def http_delay_ns(self, path: str) -> int:
        """Tell how long a request is still under way; whoever carries it waits so long before `http`."""
        fault = self.faults.fire("arrive_late", endpoint=path.rpartition("/")[2])
        return int(fault["ms"] * NS_PER_MS) if fault else 0

    def http(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> Response:
        """Answer one REST request.

        Args:
            method: of HTTP.
            path: such as /0/public/Time.
            query: of the URL, undecoded.
            body: as it came: the signature covers its bytes.
            headers: of the request, in any case of letters.
            address: of the caller: lockouts go by it.
        """
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        return self._rest.handle(method, path, query, body, lower, address)

    def advance(self, steps_max: int = 10_000) -> None:
        """Let happen what is due by now. Afterwards poll the lines.

        Args:
            steps_max: of each market in this call; see `Market.advance` for what becomes of the rest.
        """
        if self.faults.armed:
            self._strike()
        now_ns = self.now_ns()
        for feed in list(self._feeds.values()):
            feed.market.advance(now_ns, steps_max)
        if self.player is not None:
            self.player.advance(now_ns, 10 * steps_max)
        self.desk.advance(now_ns)

    def set_system_status(self, status: SystemStatus) -> None:
        """Change the state of the engine and tell every session.

        Raises:
            ConfigError: there is no such state.
        """
        if status not in _SYSTEM_STATUSES:
            raise ConfigError("status", status, f"one of {', '.join(_SYSTEM_STATUSES)}")
        self.system_status = status
        for feed in self._feeds.values():
            self._govern(feed.market)
        message = Message(status_text(status, None), "status", "status")
        for session in self.sessions:
            session.deliver(message)

    def set_pair(
        self,
        symbol: str,
        *,
        status: PairStatus | None = None,
        price_precision: int | None = None,
        qty_precision: int | None = None,
    ) -> None:
        """Change a pair and tell whoever subscribed `instrument`; its book goes on with the new precisions.

        Raises:
            UnknownSymbolError: it is not listed.
        """
        pair = self.listing.pair(symbol).with_precision(price_precision, qty_precision)
        if status is not None:
            pair = pair.with_status(status)
        if (pair.price_precision, pair.qty_precision) != self._precisions(symbol):
            self.desk.withdraw_all(symbol, self.now_ns())
        self.listing.pairs[symbol] = pair
        market = self.market(symbol)
        market.set_pair(pair)
        self._govern(market)
        message = Message(instrument_message("update", (), [pair]), "update", "instrument")
        for session in list(self.instrument_subscribers):
            session.deliver(message)

    def _precisions(self, symbol: str) -> tuple[int, int]:
        pair = self.listing.pairs[symbol]
        return pair.price_precision, pair.qty_precision

    def _govern(self, market: Market) -> None:
        """Let the crowd do what the states of exchange and pair allow."""
        states = {self.system_status, market.pair.status}
        market.may_add = states <= {"online", "post_only", "limit_only"}
        market.may_trade = states <= {"online", "limit_only"}

    def _strike(self) -> None:
        """Carry out the faults that change the exchange itself."""
        self.mishaps.strike()
        while fault := self.faults.fire("system_status"):
            self.set_system_status(fault["status"])
        for symbol in self.listing.pairs:
            while fault := self.faults.fire("pair_status", symbol=symbol):
                self.set_pair(symbol, status=fault["status"])
            while fault := self.faults.fire("precision", symbol=symbol):
                self.set_pair(symbol, price_precision=fault["price"], qty_precision=fault["qty"])

    def _rng(self, name: str) -> random.Random:
        # A text seeds through SHA-512, so it does not depend on the process's hash seed.
        return random.Random(f"{self.seed}/{name}")
