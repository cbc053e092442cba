"""The coordinator in virtual time: several lines, REST, the network between, one seed, and a judge of what it tells.

The judge keeps every state that the exchange published of each book, and every trade. What the coordinator tells must
be a part of that, in that order, each once; `missing` says which states between the first and the last were not told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any
from urllib.parse import urlsplit

from kraken_fast import (
    BookSnapshot,
    Credentials,
    Endpoints,
    LineChange,
    ManualClock,
    MemoryNonces,
    SourceChange,
    UnifiedDataCoordinator,
)
from kraken_fast.config import RestSettings
from kraken_fast.errors import ResponseError
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.feed import MarketFeed
from kraken_fast.sim.feedbook import book_checksum
from kraken_fast.sim.network import HOST, Network, Route
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run

from .harness import _TLS, S

WS_URL = f"wss://{HOST}/v2"
OTHER_HOST = "second.exchange.test"
Fact = tuple[int, int]
"""Exchange time in ns and checksum."""


class SimHttp:
    """REST over the same virtual network: half a round trip there, half back, and faults of the exchange."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls: list[tuple[float, str]] = []
        self.flying: Counter[str] = Counter()
        self.is_down = False

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        parts = urlsplit(request.url)
        name = parts.path.rpartition("/")[2]
        self.calls.append((self._world.now_s, name))
        key = f"{name}?{parts.query}"
        self.flying[key] += 1
        if self.flying[key] > 1:
            self._world.violations.append(f"S24: {self.flying[key]} calls of {key} at once")
        try:
            return await self._carry(request)
        finally:
            self.flying[key] -= 1

    async def _carry(self, request: HttpRequest) -> HttpResponse:
        parts = urlsplit(request.url)
        await asyncio.sleep(self._world.rtt_s / 2)
        if self.is_down:
            raise ResponseError("the network is gone")
        core = self._world.core
        core.advance()
        answer = core.http(request.method, parts.path, parts.query, request.body, request.headers)
        self._world.network.wake()
        await asyncio.sleep(self._world.rtt_s / 2 + answer.delay_ns / S)
        if answer.cut_at is not None:
            raise ResponseError("the answer broke off", sent=True)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, headers, answer.body)

    async def close(self) -> None:
        """Nothing is open."""


class Truth:
    """What a market published, event by event."""

    def __init__(self, feed: MarketFeed) -> None:
        self._feed = feed
        self.facts: list[Fact] = []
        self.at: dict[Fact, int] = {}
        feed.market.listener = self
        self.record()

    def on_step(self, step: Any) -> None:
        self._feed.on_step(step)

    def on_event(self, trades: Any, *, quote_changed: bool) -> None:
        self._feed.on_event(trades, quote_changed=quote_changed)
        self.record()

    def record(self) -> None:
        """Keep the state of the depth that is told, if it is another one."""
        book = next(iter(self._feed._books.values()), None)
        changed_ns = self._feed.market.changed_ns if book is None else book.changed_ns
        fact = (changed_ns // 1000, book_checksum(self._feed.market.engine))
        if fact not in self.at:
            self.at[fact] = len(self.facts)
            self.facts.append(fact)


class World:
    """See the module's text.

    Args:
        symbols: what the exchange lists.
        seed: of everything.
        rate: the crowd's actions a second and market.
        levels: of each side of a market.
        route: of the n-th connection.
        rtt_s: of REST.
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("BTC/USD",),
        *,
        seed: int = 1,
        rate: float = 10.0,
        levels: int = 30,
        route: Callable[[int], Route] = lambda number: Route(up_ms=5, down_ms=5 + number % 2),
        rtt_s: float = 0.04,
    ) -> None:
        self.symbols = list(symbols)
        self.seed = seed
        self.rtt_s = rtt_s
        self.timeline = Timeline()
        self.clock = ManualClock(monotonic_ns=self.timeline.now_ns, epoch_ns=self.timeline.wall_ns())
        self.timeline.on_advance.append(self.clock.advance)
        self.loop = VirtualLoop(self.timeline)
        self.core = ExchangeCore(
            self.symbols, seed=seed, now_ns=self.timeline.wall_ns, rate=rate, levels=levels
        )
        self.faults = self.core.faults
        self.network = Network(self.loop, self.core, seed=seed, route=route)
        self.network.hosts[OTHER_HOST] = list(self.network.hosts[HOST])
        self.http = SimHttp(self)
        self.truth = {}
        for symbol in self.symbols:
            feed = self.core.feed(symbol)
            assert isinstance(feed, MarketFeed)
            self.truth[symbol] = Truth(feed)
        self.made: UnifiedDataCoordinator | None = None
        self.told: dict[str, list[Fact]] = {symbol: [] for symbol in self.symbols}
        self.told_s: dict[str, list[float]] = {symbol: [] for symbol in self.symbols}
        self.rest_told: list[tuple[float, str, str]] = []
        self.violations: list[str] = []
        """Of S11 and S24, as they were seen."""
        self.trade_ids: dict[str, list[int]] = {symbol: [] for symbol in self.symbols}
        self.events: list[tuple[float, Any]] = []
        self._start_ns = self.timeline.now_ns
        self._unhandled: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self._unhandled.append(context))

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.timeline.now_ns - self._start_ns) / S

    def coordinator(self, *, key: bool = False, **settings: Any) -> UnifiedDataCoordinator:
        """Make a coordinator of this exchange, and hear all that it tells."""
        rest = {
            "http": self.http,
            "rng": Random(f"{self.seed}/rest"),
            "settings": RestSettings(hosts=(HOST,)),
            "nonces": MemoryNonces(),
            **settings.pop("rest_options", {}),
        }
        given = settings.pop("exchange_client", None)
        if key:
            account = next(iter(self.core.accounts.values()))
            api_key = account.keys[0]
            given = Credentials(api_key.key, api_key.secret)
        settings.setdefault("endpoints", Endpoints(ws_url=WS_URL, rest_url=f"https://{HOST}"))
        coordinator = UnifiedDataCoordinator(
            given,
            settings.pop("symbols", self.symbols),
            clock=self.clock,
            rng=Random(f"{self.seed}/client"),
            budget=AttemptBudget(MemoryAttempts()),
            ssl_context=_TLS,
            use_aiofastnet=False,
            rest_options=rest,
            **settings,
        )
        self.made = coordinator
        coordinator.on_book = self._on_book
        coordinator.on_ticker = self._on_ticker
        coordinator.on_trade = lambda trade: self.trade_ids[trade.symbol].append(trade.trade_id)
        coordinator.on_notice = lambda event: self.events.append((self.now_s, event))
        return coordinator

    def _on_book(self, book: Any) -> None:
        if isinstance(book, BookSnapshot):
            self._check_rest(book)
            self.rest_told.append((self.now_s, "book", book.symbol))
            return
        self.told[book.symbol].append((book.exch_ns // 1000, book.checksum))
        self.told_s[book.symbol].append(self.now_s)

    def _check_rest(self, book: BookSnapshot) -> None:
        """S11: what comes from REST says so, and is told only while no line has better."""
        if (book.quality, book.source) != ("rest", "rest"):
            self.violations.append(f"S11: {book!r} is from REST and says {book.quality}, {book.source}")
        assert self.made is not None
        for name, session in self.made._lines.sessions.items():
            held = session.decoder.book(book.symbol)
            if held is not None and held.quality == "live":
                self.violations.append(f"S11: {book!r} was told though line {name} has {held!r}")

    def _on_ticker(self, ticker: Any) -> None:
        if ticker.source == "rest":
            self.rest_told.append((self.now_s, "ticker", ticker.symbol))

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end; nothing may have gone unhandled."""
        result = run(self.loop, main)
        assert not self._unhandled, f"seed {self.seed}: {self._unhandled}"
        return result

    async def until(self, condition: Callable[[], Any], within_s: float, step_s: float = 0.001) -> float:
        """Wait for a condition; give the seconds it took, and fail after `within_s`."""
        start_s = self.now_s
        while not condition():
            told = self.events[-9:]
            assert self.now_s - start_s < within_s, f"seed {self.seed}: not true within {within_s} s: {told}"
            await asyncio.sleep(step_s)
        return self.now_s - start_s

    # The exchange's side -----------------------------------------------------------------------------------------

    def session_of(self, coordinator: UnifiedDataCoordinator, name: str) -> int:
        """Give the number of a line's present connection at the exchange."""
        connection = coordinator._lines.sessions[name].connection
        assert connection is not None
        transport = connection._dialer.current
        assert transport is not None
        port: int = transport.transport.underlying_transport.get_extra_info("sockname")[1]
        number = port - 40_000
        line = self.network.connections[number].line
        assert line is not None
        return line.number

    # Judging -----------------------------------------------------------------------------------------------------

    def judge(self, symbol: str) -> tuple[int, int]:
        """Check order and origin of what was told; give how many states were missing and how many came twice."""
        truth = self.truth[symbol]
        places = []
        for fact in self.told[symbol]:
            assert fact in truth.at, f"seed {self.seed}: {symbol} {fact} was never published"
            places.append(truth.at[fact])
        twice = len(places) - len(set(places))
        assert places == sorted(places), f"seed {self.seed}: {symbol} went back"
        missing = places[-1] - places[0] + 1 - len(set(places)) if places else 0
        ids = self.trade_ids[symbol]
        assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True, f"{symbol}: trades {ids}"
        return missing, twice

    def judge_trades(self, symbol: str) -> bool:
        """Check that ids rise, and that each that is missing was declared."""
        from kraken_fast import Gap

        ids = self.trade_ids[symbol]
        gaps = {
            number
            for _, event in self.changes(Gap)
            if event.symbol == symbol
            for number in range(event.first, event.last + 1)
        }
        assert ids == sorted(set(ids))
        assert set(range(ids[0], ids[-1] + 1)) - set(ids) == gaps
        return True

    def changes(self, kind: type[Any] = LineChange) -> list[tuple[float, Any]]:
        """Give the events of a kind."""
        return [(at_s, event) for at_s, event in self.events if isinstance(event, kind)]

    def sources(self, symbol: str, channel: str = "book") -> list[tuple[float, str]]:
        """Give the sources of a symbol, as they changed."""
        return [
            (at_s, event.new)
            for at_s, event in self.changes(SourceChange)
            if (event.symbol, event.channel) == (symbol, channel)
        ]
