"""`connect_paper(...)`: what `connect_trading` gives, against live market data and without an account at the exchange.

    live Feed (public line) --books, trades--> PaperExchange
                                                    |  bytes, in this process
    Trading: Account, OrderEntry, Journal, limits, rate budget, deadlines: all as they are

A bot changes the one line that connects. Nothing is sent to the exchange but the subscriptions of the public line: the
private line and REST of the account end in this process (`wire.py`), and the key is made here. What fills what, and
where that differs from the real thing, stands in `market.py` and `exchange.py`.

Do not take figures made on paper for a promise. Others do not react to paper orders; what is taken on paper is not gone
for them; the queue is a guess on the careful side; the exchange's own delays are what `latency_ms` says.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Literal

from ..auth import Credentials
from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, Endpoints, RestSettings, check_number, check_symbols
from ..core.capture import CaptureWriter
from ..core.clock import Clock, SystemClock
from ..core.handler import Callbacks
from ..errors import ClosedError, ConfigError
from ..events import SourceChange
from ..feed import Feed, connect
from ..orders.exit import Ask
from ..orders.journal import Journal, MemoryStorage, Sync
from ..orders.settings import OrderSettings
from ..private.account import NEEDS, Account, connect_account
from ..rest.endpoints import RestClient
from ..rest.nonce import KeyState, MemoryNonces
from ..sim.account import KEY_PREFIX
from ..sim.limits import TIERS, TierName
from ..trading import Trading
from .exchange import HISTORY_MAX, PaperExchange, exact
from .wire import PaperWire

_log = logging.getLogger("kraken_fast.paper")

SUFFIX = ".paper"
"""Put behind a journal's name: orders on paper never enter the journal of real ones, nor are those looked for here."""

WS_URL = "ws://127.0.0.1/auth/v2"
REST_URL = "http://127.0.0.1"
"""Nobody connects there: they only say that a token may be shown in plain text."""


def connect_paper(
    symbols: Iterable[str],
    *,
    balances: Mapping[str, Decimal | int | str],
    journal: str | Path | Journal | None = None,
    sync: Sync | Literal["always", "interval", "never"] = "interval",
    settings: OrderSettings | None = None,
    feed: Feed | None = None,
    ask: Ask | None = None,
    tier: TierName = "intermediate",
    volume_usd: Decimal | int | str = 0,
    latency_ms: float = 0.0,
    book_depth: int = 100,
    ws_url: str = PUBLIC_WS_URL,
    rest_url: str = PUBLIC_REST_URL,
    ca_file: str | Path | None = None,
    ready_s: float = 20.0,
    known_s: float = 180.0,
    record: str | Path | CaptureWriter | None = None,
    seed: int | None = None,
    history_max: int | None = HISTORY_MAX,
    **advanced: Any,
) -> PaperTrading:
    """Prepare trading on paper; `async with` opens it. No key is needed.

    Args:
        symbols: what can be traded, and whose books are kept.
        balances: what the account begins with, by asset: `{"USD": "10000", "BTC": 1}`. Exact: no floats.
        journal: a file of its own is used, with `.paper` behind this name; None keeps it in memory. An account on paper
            begins anew with each run.
        sync, settings, ask: as of `connect_trading`.
        feed: a feed with books and trades to trade against instead of one made here; it is not closed.
        tier: of the account, for its limits: starter, intermediate or pro.
        volume_usd: what it traded in the last thirty days, for its fees.
        latency_ms: how long a request is on its way, and its answer, each.
        book_depth: levels a side to trade against: 10, 25, 100, 500 or 1000. Deeper there is nothing.
        ws_url: the public host of the market; plain ws:// only for a loopback host.
        rest_url, ca_file, ready_s, known_s: as of `connect_trading`.
        record: a file, made anew, that gets every message of the private line on paper; or a CaptureWriter.
        seed: of ids, of the key, and of whether an answer or its event comes first; None to draw one.
        history_max: closed orders that the paper exchange remembers at least; None for all.
        advanced: fields of `session.SessionSettings`, as of `connect_trading`.

    Raises:
        ConfigError: a setting is wrong; nothing was sent.

    Example:
        async with kraken_fast.connect_paper(["BTC/USD"], balances={"USD": 10_000}) as trading:
            order = await trading.orders.add_order(
                symbol="BTC/USD", side="buy", order_type="market", order_qty="0.001"
            )
            await order.filled()
    """
    names = check_symbols(symbols)
    check_number("latency_ms", latency_ms, 0.0, 60_000.0)
    if tier not in TIERS:
        raise ConfigError("tier", tier, f"one of {', '.join(TIERS)}")
    held = {asset: exact(f"balances[{asset}]", amount) for asset, amount in balances.items()}
    if feed is not None and not {"book", "trade"} <= set(feed.channels):
        raise ConfigError("feed", feed.channels, "a feed with the channels book and trade")
    owns_feed = feed is None
    if feed is None:
        line_of = {name: value for name, value in advanced.items() if name != "name"}
        feed = connect(
            names, channels=("book", "trade"), book_depth=book_depth, ws_url=ws_url, rest_url=rest_url, ca_file=ca_file,
            ready_s=ready_s, **line_of,
        )  # fmt: skip
    clock, rng = advanced.get("clock") or SystemClock(), advanced.get("rng") or SystemRandom()
    if history_max is not None:
        check_number("history_max", history_max, 1, whole=True)
    number = rng.getrandbits(64) if seed is None else seed
    plan = PaperPlan(names, held, tier, exact("volume_usd", volume_usd), number, history_max)
    wire = PaperWire(latency_s=latency_ms / 1e3)
    if isinstance(journal, Journal):
        if journal.name != MemoryStorage().name and not journal.name.endswith(SUFFIX):
            raise ConfigError("journal", journal.name, f"in memory, or of a file *{SUFFIX}: paper knows no real order")
    else:
        journal = Journal(MemoryStorage(), clock) if journal is None else f"{journal}{SUFFIX}"
    return PaperTrading(
        _account(plan, wire, clock, rng, ready_s, record, advanced),
        feed,
        plan=plan,
        wire=wire,
        is_feed_ours=owns_feed,
        journal=journal,
        sync=Sync(sync),
        settings=settings,
        watchdog=None,
        ask=ask,
        clock=clock,
        rng=rng,
        known_s=known_s,
        owns_account=True,
        owns_feed=False,
    )


class PaperPlan:
    """What an account on paper begins with.

    Args:
        symbols, balances, tier, volume_usd, seed, history_max: see `connect_paper`.

    Attributes:
        key, secret: of the account, made of the seed; of no use anywhere else.
    """

    def __init__(
        self,
        symbols: tuple[str, ...],
        balances: Mapping[str, Decimal],
        tier: TierName,
        volume_usd: Decimal,
        seed: int,
        history_max: int | None,
    ) -> None:
        rng = Random(f"{seed}/paper")
        self.symbols = symbols
        self.balances = balances
        self.tier: TierName = tier
        self.volume_usd = volume_usd
        self.seed = seed
        self.history_max = history_max
        self.key = f"{KEY_PREFIX}PAPER{rng.getrandbits(128):032x}"
        self.secret = base64.b64encode(rng.randbytes(64)).decode()


def _account(
    plan: PaperPlan,
    wire: PaperWire,
    clock: Clock,
    rng: Random,
    ready_s: float,
    record: str | Path | CaptureWriter | None,
    advanced: Mapping[str, Any],
) -> Account:
    """Make the account as any other, its line and its REST over the wire in this process."""
    rest = RestClient(
        Credentials(plan.key, plan.secret),
        endpoints=Endpoints(rest_url=REST_URL),
        settings=RestSettings(tier=plan.tier),
        http=wire,
        clock=clock,
        rng=rng,
        nonces=MemoryNonces(KeyState(unit="ns", confirmed=True)),
        needs=NEEDS,
    )
    inside = {name: value for name, value in advanced.items() if name not in ("ssl_context", "budget", "connector")}
    return connect_account(
        rest=rest,
        ws_url=WS_URL,
        rest_url=REST_URL,
        ready_s=ready_s,
        record=record,
        **{**inside, "clock": clock, "rng": rng, "connector": wire.create_connection},
    )


class PaperTrading(Trading):
    """Trading on paper; see `Trading`. Made by `connect_paper`.

    While a live book cannot be trusted its paper orders wait: a `SourceChange` of the channel `paper` says so, by
    `account.on_notice` and in the account's events, and `waiting` names the symbols.

    Attributes:
        exchange: the exchange on paper, once it is open.
    """

    def __init__(
        self, account: Account, feed: Feed, *, plan: PaperPlan, wire: PaperWire, is_feed_ours: bool, **others: Any
    ) -> None:
        super().__init__(account, feed, **others)
        self._plan = plan
        self._wire = wire
        self._is_feed_ours = is_feed_ours
        self._exchange: PaperExchange | None = None
        self._ears = Callbacks()

    @property
    def exchange(self) -> PaperExchange:
        """The exchange on paper: the account as it keeps it, its fees and its markets.

        Raises:
            ClosedError: it is not open.
        """
        if self._exchange is None:
            raise ClosedError("trading is not open; use `async with`")
        return self._exchange

    @property
    def waiting(self) -> dict[str, str]:
        """The symbols whose orders wait, and why."""
        return {} if self._exchange is None else dict(self._exchange.fills_wait)

    async def open(self) -> None:
        """Open the market, then the account on paper; see `Trading.open`.

        Raises:
            UnknownSymbolError, SubscriptionError, StaleDataError: there is no live market of a symbol.
            ConfigError: a balance is of an unknown asset, or has too many decimals.
        """
        if self._exchange is not None:
            raise ClosedError("it is opened once; make a new one")
        try:
            if self._is_feed_ours:
                await self.feed.open()
            self._exchange = self._make_exchange()
            self._ears = self._exchange.ears()
            self.feed.tap(self._ears)
            self._wire.attach(self._exchange.core, self._exchange.refresh)
            self._exchange.wake = self._wire.wake
        except BaseException:
            await self.close()
            raise
        await super().open()

    def _make_exchange(self) -> PaperExchange:
        for channel, symbol in self.feed.refused:
            if symbol in self._plan.symbols:
                raise self.feed.refused[channel, symbol]
        plan = self._plan
        return PaperExchange(
            self.feed.decoder,
            plan.symbols,
            clock=self._clock,
            balances=plan.balances,
            tier=plan.tier,
            volume_usd=plan.volume_usd,
            history_max=plan.history_max,
            seed=plan.seed,
            api_key=plan.key,
            api_secret=plan.secret,
            system=lambda: None if self.feed.status is None else self.feed.status.system,
            notice=self._on_wait,
        )

    def _on_wait(self, change: SourceChange) -> None:
        (_log.warning if change.new == "none" else _log.info)("%s: %s", change.symbol, change.reason)
        self.account._tell(change)  # noqa: SLF001 - what happens to its orders is told where they are told

    async def _end(self) -> None:
        try:
            await super()._end()
        finally:
            self.feed.untap(self._ears)  # a feed that was given goes on
            await self._wire.close()
            if self._is_feed_ours:
                await self.feed.close()
