"""`UnifiedDataCoordinator`: several hot lines, REST as the third source, and a reader that always knows what to trust.

    lines A, B ... -> Arbiter -> Delivery -> callbacks, iterators        the first verified copy of each new state
                         |
    reads: the freshest replica that can be trusted, chosen at the moment of reading
                         |
    RestSource  <- what no line serves, most urgent first, within the exchange's rates

Nothing is switched when a line dies: what it told last was told by the others too, or will be. REST is asked as soon as
no line serves something, and left when a line has served it again for a moment; `health` holds these rules.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from ..config import (
    Endpoints,
    check_book_depth,
    check_number,
    check_ohlc_interval,
    check_symbols,
    check_ticker_trigger,
)
from ..core.book import Book, BookSnapshot, OrderBook
from ..core.handler import Handler
from ..core.latency import Histogram
from ..core.market import Candle, LiveTicker, TickerSnapshot, Trade
from ..errors import (
    ClosedError,
    ConfigError,
    KrakenFastError,
    NoSourceError,
    StaleDataError,
    SubscriptionError,
    UnknownSymbolError,
)
from ..events import Event, EventStream, SourceChange
from ..policy import SECOND_NS
from ..private.account import Account, connect_account
from ..rest.answers import TradePage
from ..rest.endpoints import RestClient
from ..session import check_handler, settings_of
from ..types import Instrument
from .account_line import AccountLine
from .account_source import AccountSource, AccountStream
from .availability import Availability
from .clients import resolve_client
from .delivery import Delivery
from .fallback import RestSource
from .gaps import GapFiller, last_trade_ns, offer_trades
from .health import LineHealth, Source, SubscriptionHealth, Switch
from .lines import LINES_MAX, Lines
from .metrics import MetricsSnapshot, percentiles_ns
from .reader import REST_AGE_MS, Reader
from .readings import Balance, Balances, Candles, OpenOrders, Trades
from .shares import ShareLedger, Shares
from .validate import CheckSummary, Validator

if TYPE_CHECKING:
    from ..orders.entry import OrderEntry  # its machinery is not needed for reading
    from ..trading import Trading

_log = logging.getLogger("kraken_fast.coordinator")

CHANNELS = ("book", "ticker", "trade", "ohlc")
SWITCHED = ("book", "ticker")
"""Channels whose source is chosen symbol by symbol; trades and candles are told whatever they come from."""

ACCOUNT_WAIT_S = 3.0
"""How long `start` waits for the account's line once the public ones deliver."""

TICK_S = 0.1
"""How often is looked for what no event tells: silence, age, lag. REST is asked within this of the detection."""


class UnifiedDataCoordinator:
    """Market data and account of one exchange, from the freshest source that can be trusted.

        coordinator = UnifiedDataCoordinator(exchange_client=exchange, symbols=["BTC/USDT", "SHIB/USDT"],
                                             websocket_ratio=0.95, rest_ratio=0.05)
        await coordinator.start()
        balance = await coordinator.get_balance("USDT")
        ticker = await coordinator.get_ticker("BTC/USDT")

    Args:
        exchange_client: None for public data, Credentials, a RestClient, or a ccxt kraken instance whose key and
            addresses are taken.
        symbols: as on WebSocket v2, other spellings are understood.
        websocket_ratio: the least share of what is read that comes from WebSocket in normal operation.
        rest_ratio: the most that REST may have; outages are exempt and counted apart.
        channels: of book, ticker, trade, ohlc.
        book_depth: 10, 25, 100, 500 or 1000 levels a side.
        ohlc_interval: minutes.
        ticker_trigger: `trades`, or `bbo` for every change of the best prices.
        lines: how many hot lines, 1 to 8; or their addresses, which may be of different hosts.
        endpoints: where the exchange is; None takes it from a ccxt instance, else Kraken's own.
        max_age_ms: what availability is measured with, see `availability`.
        ready_s: how long `start` waits for a line before it starts on REST alone.
        rest_wait_s: how long a read waits for REST when no line serves.
        events_max: one-by-one events that may wait for a slow iterator.
        handler: a Handler, told of hot events in C before any Python callback.
        check_s: between two comparisons of the lines with REST; 0 makes none.
        tolerance: the largest difference of prices and volumes between sources that is no error.
        account: None to open the account's streams, where there is a key that may; False for REST alone; or an open
            `Account`, closed by whoever gives it. Balances and open orders come from it while it is live.
        account_url: of the private line. None is Kraken's own beside its public one, and what a ccxt instance tells;
            there is no line where neither says.
        trading: an open `Trading` of this account, on paper too, closed by whoever gives it: its account is the one
            that is read here, its order entry is `orders`.
        rest_options: arguments of `RestClient`, if one is made.
        advanced: fields of `session.SessionSettings`.

    Raises:
        ConfigError: a setting is wrong; nothing was sent.
    """

    def __init__(
        self,
        exchange_client: Any = None,
        symbols: Iterable[str] = (),
        websocket_ratio: float = 0.95,
        rest_ratio: float = 0.05,
        *,
        channels: Iterable[str] = CHANNELS,
        book_depth: int = 10,
        ohlc_interval: int = 1,
        ticker_trigger: str = "trades",
        lines: int | Sequence[str] = 2,
        endpoints: Endpoints | None = None,
        max_age_ms: float = REST_AGE_MS,
        ready_s: float = 15.0,
        rest_wait_s: float = 5.0,
        events_max: int = 10_000,
        handler: Handler | None = None,
        check_s: float = 10.0,
        tolerance: float = 0.01,
        account: AccountStream | Literal[False] | None = None,
        account_url: str | None = None,
        trading: Trading | None = None,
        rest_options: Mapping[str, Any] | None = None,
        **advanced: Any,
    ) -> None:
        self.symbols = check_symbols(symbols)
        self.channels = _check_channels(channels)
        settings = settings_of("A", advanced, ready_s=ready_s, events_max=events_max)
        for name, number in (("max_age_ms", max_age_ms), ("rest_wait_s", rest_wait_s)):
            check_number(name, number, 0.001, 3_600_000.0)
        check_number("check_s", check_s, 0.0, 3600.0)
        check_number("tolerance", tolerance, 0.0, 1.0)
        depth = check_book_depth(book_depth)
        self._interval = check_ohlc_interval(ohlc_interval)
        self._parameters: dict[str, dict[str, Any]] = {
            "book": {"depth": depth},
            "ticker": {"event_trigger": check_ticker_trigger(ticker_trigger)},
            "ohlc": {"interval": self._interval},
        }
        self._max_age_ms, self._ready_s, self._rest_wait_s = max_age_ms, ready_s, rest_wait_s
        self._ledger = ShareLedger(websocket_ratio, rest_ratio)
        options = dict(rest_options or {})
        if settings.clock is not None:
            options.setdefault("clock", settings.clock)
        resolved = resolve_client(exchange_client, endpoints, **options)
        self._client, self._owns_client = resolved.client, resolved.is_ours
        self._delivery = Delivery(events_max)
        check_handler(handler)
        self._delivery.forward = handler
        self._trading = trading
        if trading is not None:
            if account is not None:
                raise ConfigError("account", account, "left out with `trading`, which has its own")
            account = trading.account
        self._lines = Lines(
            _line_endpoints(lines, resolved.endpoints),
            settings,
            self._delivery,
            self._delivery.notice,
            self._judge,
        )
        self._clock = self._lines.clock
        self._delivery.arbiter = self._arbiter = self._lines.arbiter
        self._rest = RestSource(
            self._client,
            self._clock,
            depth=depth,
            shares=self._ledger,
            on_value=self._on_rest_value,
            on_trades=self._on_rest_trades,
            since_ns=partial(last_trade_ns, self._arbiter),
        )
        self._gaps = GapFiller(self._arbiter, self._client, self._clock, self._ledger, self._delivery.notice)
        self._account_line: AccountLine | None = None
        where = account_url or resolved.account_url
        if account_url is not None:
            Endpoints(ws_url=account_url)  # refuses what is no address
        if account is None and resolved.has_key and where is not None:
            opened = partial(
                connect_account, rest=self._client, ws_url=where, rest_url=resolved.endpoints.rest_url,
                ca_file=resolved.endpoints.ca_file, ready_s=ready_s, events_max=events_max, **advanced,
            )  # fmt: skip
            account = self._account_line = AccountLine(opened, self._client, self._delivery.notice)
        self._account = AccountSource(
            self._client, self._clock, self._ledger, has_key=resolved.has_key, stream=account or None
        )
        self._validator = Validator(
            self._lines, self._client, self._ledger, self._delivery.notice, every_s=check_s, tolerance=tolerance
        )
        switched = [channel for channel in SWITCHED if channel in self.channels]
        self._switches = {(channel, symbol): Switch() for channel in switched for symbol in self.symbols}
        self._reader = Reader(
            symbols=self.symbols,
            channels=self.channels,
            interval=self._interval,
            lines=self._lines,
            rest=self._rest,
            client=self._client,
            switches=self._switches,
            shares=self._ledger,
            rest_wait_s=rest_wait_s,
        )
        self._availability = {channel: Availability(self.symbols) for channel in switched}
        self._everything = frozenset(self.symbols)
        self._off: dict[str, set[str]] = {channel: set(self.symbols) for channel in switched}
        self._timer: asyncio.TimerHandle | None = None
        self._names_task: asyncio.Task[None] | None = None
        self._ticks = 0
        self._is_started = self._is_ready = self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "ready" if self._is_ready else "not ready"
        return f"<UnifiedDataCoordinator {' '.join(self.symbols)}: {state}>"

    # Opening, closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect all lines and wait until one delivers everything; if none does in time, REST has to do.

        Raises:
            SubscriptionError: the exchange refused every symbol.
            NoSourceError: neither a line nor REST can be reached.
            ClosedError: it was started before.
        """
        if self._is_started:
            raise ClosedError("a coordinator is started once; make a new one")
        self._is_started = True
        self._lines.want("instrument")
        for channel in self.channels:
            self._lines.want(channel, self.symbols, **self._parameters.get(channel, {}))
        ready = self._lines.start()
        if self._account_line is not None:
            self._account_line.start()
        begun_ns = self._clock.monotonic_ns
        self._names_task = asyncio.get_running_loop().create_task(self._load_names(), name="kraken_fast names")
        self._tick()
        try:
            await self._until_ready(ready)
            self._is_ready = True
            for measured in self._availability.values():
                measured.begin(self._clock.monotonic_ns)
            self._judge()
            self._validator.start()
            if self._account_line is not None:
                left_s = self._ready_s - (self._clock.monotonic_ns - begun_ns) / SECOND_NS
                await self._account_line.settle(min(left_s, ACCOUNT_WAIT_S))
        except BaseException:
            await self.close()
            raise

    async def _until_ready(self, ready: Mapping[str, asyncio.Future[None]]) -> None:
        for future in ready.values():
            future.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # retrieved
        waiting = set(ready.values())
        deadline_ns = self._clock.monotonic_ns + round(self._ready_s * SECOND_NS)
        while waiting:
            left_s = (deadline_ns - self._clock.monotonic_ns) / SECOND_NS
            done, waiting = await asyncio.wait(
                waiting, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED
            )
            if any(future.exception() is None for future in done):
                return
            if not done:
                break
        refusals = [error for future in ready.values() if future.done() and (error := future.exception())]
        if len(refusals) == len(ready) and isinstance(refusals[0], SubscriptionError):
            raise refusals[0]
        try:
            await self._client.instruments()
        except KrakenFastError as error:
            reasons = self._lines.reasons(self.channels[0], self.symbols[0])
            raise NoSourceError("anything", {**reasons, "rest": str(error)}) from error
        _log.warning("no line delivers yet; starting on REST")

    async def _load_names(self) -> None:
        """Learn REST's names now, so that the first call of an outage is the one that is needed."""
        self._ledger.called("start", self._clock.monotonic_ns)
        try:
            await self._client.instruments()
        except KrakenFastError as error:
            _log.warning("REST cannot be reached at the start: %s", error)

    async def close(self) -> None:
        """End everything. Prompt, and may be called again; iterators end, reads give the last values as stale."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._names_task is not None:
            self._names_task.cancel()
        await self._validator.close()
        await self._gaps.close()
        await self._rest.close()
        if self._account_line is not None:
            await self._account_line.close()
        await self._lines.close()
        if self._owns_client:
            await self._client.close()
        self._delivery.finish()

    # Callbacks and iteration ---------------------------------------------------------------------------------

    @property
    def on_book(self) -> Callable[[Book], None] | None:
        """Called with the live OrderBook of each new state; with a BookSnapshot while REST serves."""
        return self._delivery.chosen("book")

    @on_book.setter
    def on_book(self, callback: Callable[[Book], None] | None) -> None:
        self._delivery.choose("book", callback)

    @property
    def on_ticker(self) -> Callable[[Any], None] | None:
        """Called with the LiveTicker of each new state; with a TickerSnapshot while REST serves."""
        return self._delivery.chosen("ticker")

    @on_ticker.setter
    def on_ticker(self, callback: Callable[[Any], None] | None) -> None:
        self._delivery.choose("ticker", callback)

    @property
    def on_trade(self) -> Callable[[Trade], None] | None:
        """Called with each Trade, once, in order, wherever it came from."""
        return self._delivery.chosen("trade")

    @on_trade.setter
    def on_trade(self, callback: Callable[[Trade], None] | None) -> None:
        self._delivery.choose("trade", callback)

    @property
    def on_candle(self) -> Callable[[Candle], None] | None:
        """Called with each change of a Candle."""
        return self._delivery.chosen("candle")

    @on_candle.setter
    def on_candle(self, callback: Callable[[Candle], None] | None) -> None:
        self._delivery.choose("candle", callback)

    @property
    def on_notice(self) -> Callable[[Event], None] | None:
        """Called with every LineChange, SourceChange, Degraded, Filled, Gap, Refused and SystemStatus."""
        return self._delivery.on_notice

    @on_notice.setter
    def on_notice(self, callback: Callable[[Event], None] | None) -> None:
        self._delivery.on_notice = callback

    def events(self, *, size: int | None = None) -> EventStream:
        """Give a new stream of everything from now on; iterate over it once."""
        if not self._is_started or self._is_closed:
            raise ClosedError("this coordinator is not open")
        return self._delivery.stream(size)

    def __aiter__(self) -> EventStream:
        return self.events()

    # Reading: books and tickers --------------------------------------------------------------------------------

    async def get_order_book(
        self, symbol: str, *, max_age_ms: float | None = None, strict: bool = False
    ) -> BookSnapshot:
        """Get the freshest book that can be trusted; its `source`, `age_ms` and `quality` tell about it.

        Args:
            symbol: as subscribed.
            max_age_ms: the oldest to be given; None takes the freshest there is.
            strict: nothing but a live one of a line.

        Raises:
            UnknownSymbolError: not subscribed to.
            StaleDataError: strict, and it is not live, or crossed; or older than `max_age_ms`.
            NoSourceError: no source has one.
        """
        self._check_started()
        value = await self._reader.get("book", symbol, max_age_ms, strict=strict)
        assert isinstance(value, BookSnapshot)
        return value

    async def get_ticker(
        self, symbol: str, *, max_age_ms: float | None = None, strict: bool = False
    ) -> TickerSnapshot:
        """Get the freshest ticker that can be trusted; arguments and errors as `get_order_book`."""
        self._check_started()
        value = await self._reader.get("ticker", symbol, max_age_ms, strict=strict)
        assert isinstance(value, TickerSnapshot)
        return value

    def book(self, symbol: str, *, strict: bool = False) -> BookSnapshot:
        """Copy the freshest book there is now, without waiting; raises as `get_order_book`."""
        self._check_started()
        value = self._reader.now("book", symbol, strict=strict)
        assert isinstance(value, BookSnapshot)
        return value

    def ticker(self, symbol: str, *, strict: bool = False) -> TickerSnapshot:
        """Copy the freshest ticker there is now, without waiting; raises as `get_order_book`."""
        self._check_started()
        value = self._reader.now("ticker", symbol, strict=strict)
        assert isinstance(value, TickerSnapshot)
        return value

    def live_book(self, symbol: str) -> OrderBook:
        """Give the store of the best line itself, for hot code: read it at once, another line may be best later.

        Raises:
            StaleDataError: no line has a live one.
        """
        book = self._arbiter.book(symbol) or self._arbiter.book(self._reader.known(symbol))
        if book is None:
            raise StaleDataError(f"book {symbol}", "none")
        self._ledger.served("websocket", self._clock.monotonic_ns)
        return book

    def live_ticker(self, symbol: str) -> LiveTicker:
        """Give the store of the best line itself, for hot code, as `live_book` does."""
        ticker = self._arbiter.ticker(symbol) or self._arbiter.ticker(self._reader.known(symbol))
        if ticker is None:
            raise StaleDataError(f"ticker {symbol}", "none")
        self._ledger.served("websocket", self._clock.monotonic_ns)
        return ticker

    async def get_trades(self, symbol: str, *, max_age_ms: float | None = None, strict: bool = False) -> Trades:
        """Get the last public trades, at most 50; arguments and errors as `get_order_book`."""
        self._check_started()
        return await self._reader.trades(symbol, max_age_ms, strict=strict)

    async def get_ohlc(
        self, symbol: str, interval: int | None = None, *, max_age_ms: float | None = None, strict: bool = False
    ) -> Candles:
        """Get candles: the last 24 of a line for the subscribed interval, else up to 720 of REST.

        Args:
            symbol: as subscribed.
            interval: minutes; None for the subscribed one.
            max_age_ms, strict: as `get_order_book`; a value of REST has at most this age, which is what it tells.
        """
        self._check_started()
        return await self._reader.candles(symbol, interval, max_age_ms, strict=strict)

    async def get_balance(self, asset: str, *, max_age_ms: float | None = None, strict: bool = False) -> Balance:
        """Get the balance of an asset, zero if the account never had it; errors as `get_balances`."""
        self._check_started()
        return await self._account.balance(asset, max_age_ms, strict=strict)

    async def get_balances(self, *, max_age_ms: float | None = None, strict: bool = False) -> Balances:
        """Get all balances.

        Raises:
            ConfigError: the coordinator has no key.
            StaleDataError: strict, and no line tells of the account.
            NoSourceError: REST did not answer.
        """
        self._check_started()
        return await self._account.balances(max_age_ms, strict=strict)

    async def get_open_orders(self, *, max_age_ms: float | None = None, strict: bool = False) -> OpenOrders:
        """Get the account's open orders; errors as `get_balances`."""
        self._check_started()
        return await self._account.open_orders(max_age_ms, strict=strict)

    def instrument(self, symbol: str) -> Instrument:
        """Give the rules of a pair, as a line's `instrument` channel told them."""
        name = self._reader.known(symbol)
        for session in self._lines.sessions.values():
            if name in session.decoder.instruments:
                instrument: Instrument = session.decoder.instruments[name]
                return instrument
        raise UnknownSymbolError(symbol)

    @property
    def account(self) -> Account | None:
        """The account that it opened or that `trading` has, for fills, callbacks and all else; None without one."""
        if self._trading is not None:
            return self._trading.account
        return None if self._account_line is None else self._account_line.account

    @property
    def orders(self) -> OrderEntry:
        """Order entry of `trading`.

        Raises:
            ConfigError: there is none.
        """
        if self._trading is None:
            raise ConfigError("trading", None, "what connect_trading or connect_paper gives")
        return self._trading.orders

    @property
    def client(self) -> RestClient:
        """The REST client, for all that is not offered here."""
        return self._client

    def _check_started(self) -> None:
        if not self._is_started:
            raise ClosedError("this coordinator was not started; await start() first")

    # Judging -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._is_closed:
            return
        self._ticks += 1
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self._arbiter.settle_waiting()
        is_known = self._is_ready and (self._account_line is None or self._account_line.is_settled)
        if is_known and (change := self._account.look()) is not None:
            self._delivery.notice(change)
        self._lines.look_for_silence()
        if self._ticks % 5 == 0:
            self._lines.look_for_lag()
            self._ledger.delivered(self._arbiter.news, self._clock.monotonic_ns)
        self._judge()

    def _judge(self) -> None:
        """Look what the lines serve, and see to what they do not. Costs a few set operations while all is well."""
        if self._is_closed or not self._is_started:
            return
        now_ns = self._clock.monotonic_ns
        for channel, off in self._off.items():
            lost = self._everything.difference(self._arbiter.served(channel))
            for symbol in off | lost:
                self._update(channel, symbol, now_ns, is_live=symbol not in lost)
            if self._is_ready:
                self._rest.want(channel, lost)
        if self._is_ready and "trade" in self.channels:
            self._rest.want("trade", () if self._lines.is_any_alive else self._everything)

    def _update(self, channel: str, symbol: str, now_ns: int, *, is_live: bool) -> None:
        switch = self._switches[channel, symbol]
        old = switch.source
        held = self._rest.value(channel, symbol)
        rest_ms = float("inf") if held is None else held[1]
        self._availability[channel].look(symbol, now_ns, is_missing=not is_live and rest_ms > self._max_age_ms)
        if switch.update(now_ns, is_live=is_live, has_rest=rest_ms <= REST_AGE_MS):
            reasons = {} if is_live else self._lines.reasons(channel, symbol)
            if switch.source is Source.NONE:
                reasons["rest"] = self._rest.reason(channel, symbol)
            reason = "; ".join(f"{name}: {text}" for name, text in reasons.items()) or "a line serves it"
            self._delivery.notice(SourceChange(channel, symbol, old.value, switch.source.value, reason))
        if switch.source is Source.WEBSOCKET:
            self._off[channel].discard(symbol)
        else:
            self._off[channel].add(symbol)

    def _on_rest_value(self, channel: str, symbol: str, value: Any) -> None:
        """REST told something: it is delivered if no line could have."""
        if (channel, symbol) not in self._switches:
            return
        is_live = self._reader.is_live(channel, symbol)
        self._update(channel, symbol, self._clock.monotonic_ns, is_live=is_live)
        if not is_live:
            self._delivery.rest_value(channel, symbol, value)

    def _on_rest_trades(self, page: TradePage) -> None:
        offer_trades(self._arbiter, page.symbol, page.trades)

    # Telling -------------------------------------------------------------------------------------------------

    def source(self, symbol: str, channel: str = "book") -> str:
        """Tell who serves a book or ticker now: starting, websocket, rest or none."""
        return self._switches[channel, self._reader.known(symbol)].source.value

    def lines_health(self) -> tuple[LineHealth, ...]:
        """Tell how each line stands."""
        return self._lines.health()

    def subscriptions_health(self) -> tuple[SubscriptionHealth, ...]:
        """Tell how each line does with each book and ticker."""
        return self._lines.subscriptions_health()

    def shares(self, *, whole: bool = False) -> Shares:
        """Give who served what in the last minute, or since the start."""
        now_ns = self._clock.monotonic_ns
        self._ledger.delivered(self._arbiter.news, now_ns)
        return self._ledger.whole() if whole else self._ledger.window(now_ns)

    def checks(self) -> CheckSummary:
        """Give how the comparisons of lines with REST came out."""
        return self._validator.summary()

    async def check(self) -> int:
        """Compare the lines with REST now, if its share allows; gives how many breaches were found.

        Raises:
            KrakenFastError: REST did not answer.
        """
        return await self._validator.round()

    def availability(self, channel: str | None = None) -> dict[str, float]:
        """Give for each symbol the share of time since the start in which it could be served within `max_age_ms`.

        Args:
            channel: ticker or book; None for the ticker if there is one. In an outage one REST call brings all
                tickers, but a book takes one each, of one a second.
        """
        measured = self._availability.get(channel or next(reversed(self._availability), ""))
        if measured is None:
            raise ConfigError("channel", channel, f"one of {', '.join(self._availability) or 'none: none is switched'}")
        return measured.shares(self._clock.monotonic_ns)

    def metrics(self) -> MetricsSnapshot:
        """Tell all that can be counted; see `metrics.MetricsServer` for Prometheus. Cost: O(symbols)."""
        available = {channel: list(self.availability(channel).values()) for channel in self._availability}
        channel = next(iter(self._off), None)
        sources = {source.value: 0 for source in Source}
        for (each, _), switch in self._switches.items():
            sources[switch.source.value] += each == channel
        return MetricsSnapshot(
            symbols=len(self.symbols),
            sources=sources,
            lines=self._lines.health(),
            deliveries=self._arbiter.news,
            copies=self._arbiter.copies,
            diverged=self._arbiter.diverged,
            compared=self._arbiter.compared,
            window=self.shares(),
            whole=self.shares(whole=True),
            availability_min={channel: min(shares) for channel, shares in available.items()},
            availability_mean={channel: sum(shares) / len(shares) for channel, shares in available.items()},
            checks=self.checks(),
            rest_calls=self._rest.calls,
            rest_failures=self._rest.failures,
            rest_wait_s=self._client.stats().public_wait_s,
            events=dict(self._delivery.counts),
            stages_ns={name: percentiles_ns(histogram) for name, histogram in self.stages.items()},
            callback_failures=self._delivery.failures + self._delivery.python_failures,
            account=self._account.health(),
        )

    def measure_stages(self) -> None:
        """Time the stages of every delivered book from now on: see `stages`. Costs two looks at the clock each."""
        for name in ("travelling", "decoding", "delivering"):
            if getattr(self._arbiter, name) is None:
                setattr(self._arbiter, name, Histogram())

    @property
    def stages(self) -> dict[str, Histogram]:
        """Histograms of `measure_stages`: exchange time to arrival, arrival to decoded, decoded to delivered."""
        named = ((name, getattr(self._arbiter, name)) for name in ("travelling", "decoding", "delivering"))
        return {name: histogram for name, histogram in named if histogram is not None}


def _check_channels(channels: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(channels)) if not isinstance(channels, str) else ()
    if not names or any(name not in CHANNELS for name in names):
        raise ConfigError("channels", channels, f"a list of {', '.join(CHANNELS)}")
    return names


def _line_endpoints(lines: int | Sequence[str], where: Endpoints) -> list[Endpoints]:
    if isinstance(lines, int):
        check_number("lines", lines, 1, LINES_MAX, whole=True)
        return [where] * lines
    if isinstance(lines, str) or not 1 <= len(lines) <= LINES_MAX:
        raise ConfigError("lines", lines, f"a number from 1 to {LINES_MAX}, or as many addresses")
    return [replace(where, ws_url=url) for url in lines]
