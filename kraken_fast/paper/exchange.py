"""The exchange on paper: the exchange in a box, whose markets mirror live ones and in which one account trades.

    live decoder --book, trade--> PaperExchange --> PaperMarket of each symbol
    client  <--bytes, in process--  ExchangeCore  <--/

The box answers, checks funds, keeps orders, counts limits and writes the account's books; `market.py` says what fills
what. Here is what stands between: the pairs' rules and states as the live `instrument` channel tells them, the live
engine's state, when a live book is to be trusted, and the time.

*Time* is this machine's, never behind what a live message told, and never goes back. *Fees* are those of Kraken's
schedule by the account's volume, which begins at `volume_usd`. *Index* prices are not to be had: a trigger that asks
for the index looks at the last live price. *Margin* is not offered, as in the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from random import Random

from ..core.book import OrderBook
from ..core.clock import Clock
from ..core.decode import Decoder
from ..core.handler import Callbacks
from ..core.market import Trade
from ..errors import ConfigError, StaleDataError, UnknownSymbolError
from ..events import SourceChange
from ..sim.account import Account, NewAccount
from ..sim.candles import Trade as Print
from ..sim.core import ExchangeCore
from ..sim.desk import POST_ONLY
from ..sim.engine import Side
from ..sim.instruments import Asset as BoxAsset
from ..sim.instruments import Listing, Pair
from ..sim.limits import TierName
from ..sim.records import LedgerEntry, OrderEvent
from ..types import Instrument
from .market import Change, Changes, PaperMarket

ZERO = Decimal(0)
RawLevel = tuple[int, int]

HISTORY_MAX = 20_000
"""Closed orders of an account on paper that are remembered at least; twice as many before the older half goes. Each has
some 10 KB with its events, fills and ledger entries: 400 MB at most."""

_SYSTEM = ("online", "cancel_only", "post_only", "limit_only", "maintenance")
_PAIR = (*_SYSTEM, "reduce_only", "work_in_progress", "delisted")


class MarketClock:
    """The paper exchange's time, ns since epoch.

    Args:
        clock: this machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = clock.epoch_ns - clock.monotonic_ns

    def now_ns(self) -> int:
        """Give the time."""
        return self._clock.monotonic_ns + self._offset_ns

    def saw(self, exch_ns: int) -> None:
        """A live message carries this time: it is no earlier."""
        self._offset_ns = max(self._offset_ns, exch_ns - self._clock.monotonic_ns)


class PaperExchange:
    """See the module's text.

    Args:
        decoder: of the live line; it keeps books and trades of all the symbols, and its books are live.
        symbols: what can be traded.
        clock: this machine's.
        balances: what the account begins with, by asset.
        tier: of the account, for its limits.
        volume_usd: what it traded in the last thirty days, for its fees.
        history_max: closed orders that are remembered; None for all.
        seed: of ids and of the order in which answers and events leave.
        api_key, api_secret: of the account, base64; None to draw them.
        system: gives the live engine's state, None while nothing told it.
        notice: told when paper orders of a symbol begin to wait, and when no more.

    Attributes:
        core: the box.
        wake: called when it has something to say that nobody asked for.
        fills_wait: the symbols whose live book cannot be trusted now, and why.

    Raises:
        ConfigError: a balance is negative, has too many decimals, or is of an unknown asset.
        UnknownSymbolError: the live exchange does not list a symbol.
        StaleDataError: nothing is known of a symbol's price.
    """

    def __init__(
        self,
        decoder: Decoder,
        symbols: Iterable[str],
        *,
        clock: Clock,
        balances: Mapping[str, Decimal | int | str],
        tier: TierName = "intermediate",
        volume_usd: Decimal = ZERO,
        history_max: int | None = HISTORY_MAX,
        seed: int = 0,
        api_key: str | None = None,
        api_secret: str | None = None,
        system: Callable[[], str | None] = lambda: None,
        notice: Callable[[SourceChange], None] = lambda _event: None,
    ) -> None:
        self.clock = MarketClock(clock)
        self.fills_wait: dict[str, str] = {}
        self._history_max = history_max
        self.wake: Callable[[], None] = lambda: None
        self._notice = notice
        self._decoder = decoder
        self._system = system
        self._instruments = {symbol: _listed(decoder, symbol) for symbol in symbols}
        self._last = {symbol: _last_price(decoder, symbol) for symbol in self._instruments}
        self._seen: dict[str, int] = {}
        self._raw: dict[str, tuple[frozenset[RawLevel], frozenset[RawLevel]]] = {}
        held = {asset: exact(f"balances[{asset}]", amount) for asset, amount in balances.items()}
        self.core = ExchangeCore(
            seed=seed,
            now_ns=self.clock.now_ns,
            rate=0.0,
            accounts=[NewAccount("paper", held, tier=tier, api_key=api_key, api_secret=api_secret)],
            listing=_listing(decoder, self._instruments.values(), balances),
            make_market=self._make_market,
        )
        self.account.volume_usd = volume_usd
        self.account.listeners.append(self)
        self._markets = {symbol: self._market(symbol) for symbol in self._instruments}
        self.refresh()

    @property
    def account(self) -> Account:
        """The account as the exchange keeps it: balances, orders, executions, ledger."""
        return self.core.accounts["paper"]

    def market(self, symbol: str) -> PaperMarket:
        """Give the market of a symbol."""
        return self._markets[symbol]

    def ears(self) -> Callbacks:
        """Make what the live line is to tell its books and trades to."""
        ears = Callbacks()
        ears.book, ears.trade = self.on_book, self.on_trade
        return ears

    # From the live line ------------------------------------------------------------------------------------------

    def on_book(self, book: OrderBook) -> None:
        """A live book changed."""
        market = self._markets.get(book.symbol)
        if market is not None:
            if book.exch_ns is not None:
                self.clock.saw(book.exch_ns)
            if market.is_watched or market.is_blind:
                self._look(market)

    def on_trade(self, trade: Trade) -> None:
        """A live trade was told."""
        market = self._markets.get(trade.symbol)
        if market is None:
            return
        exch_ns = trade.exch_ns or 0
        self.clock.saw(exch_ns)
        self._look(market)
        now_ns = self.clock.now_ns()
        side: Side = "buy" if trade.side == "buy" else "sell"
        told = Print(trade.trade_id, now_ns, side, trade.price, trade.qty, trade.ord_type or "limit")
        market.told(told, exch_ns, now_ns)

    def on_order(self, _event: OrderEvent) -> None:
        """See `AccountListener`: there is something to tell."""
        self.wake()

    def on_ledger(self, _entry: LedgerEntry) -> None:
        """See `AccountListener`."""

    def refresh(self) -> None:
        """Bring everything up to date: states, rules, books. Done before the exchange does anything."""
        system = self._system() or "online"
        if system in _SYSTEM and system != self.core.system_status:
            self.core.set_system_status(system)  # type: ignore[arg-type]  # just looked up
        for symbol, market in self._markets.items():
            self._follow(symbol)
            self._look(market)
        if self._history_max is not None and len(self.account.orders) > self._history_max * 2:
            self.account.forget(self._history_max)

    def _follow(self, symbol: str) -> None:
        """Take over what the live exchange says of a pair now."""
        now = self._decoder.instruments.get(symbol)
        if now is None or now is self._instruments[symbol]:
            return
        self._instruments[symbol] = now
        pair = _pair(now)
        self.core.set_pair(
            symbol, status=pair.status, price_precision=pair.price_precision, qty_precision=pair.qty_precision
        )
        self._seen.pop(symbol, None)

    def _look(self, market: PaperMarket) -> None:
        """Mirror a live book if it is to be trusted and changed, else let its orders wait."""
        symbol = market.symbol
        book = self._decoder.book(symbol)
        reason = _doubt(book, market.pair)
        now_ns = self.clock.now_ns()
        if reason or book is None:
            market.blind(now_ns)
            self._say(symbol, reason)
            return
        if market.is_blind or self._seen.get(symbol) != book.messages:
            self._seen[symbol] = book.messages
            if market.is_blind:
                self._raw[symbol] = (frozenset(), frozenset())
                self._refuse_late_posts(market, book, now_ns)
            market.show(self._changes(book), book.exch_ns or 0, now_ns)
        self._say(symbol, "")

    def _changes(self, book: OrderBook) -> Changes:
        """Compare a live book with what was shown of it last. Whole numbers are compared, few of them made exact."""
        was_bids, was_asks = self._raw[book.symbol]
        bids, asks = book.bids_raw, book.asks_raw
        self._raw[book.symbol] = now_bids, now_asks = frozenset(bids), frozenset(asks)
        is_full = len(bids) >= book.depth, len(asks) >= book.depth
        return (
            _change(book, was_bids, now_bids, bids[-1][0] if is_full[0] else None),
            _change(book, was_asks, now_asks, asks[-1][0] if is_full[1] else None),
        )

    def _say(self, symbol: str, reason: str) -> None:
        was = self.fills_wait.get(symbol, "")
        if reason:
            self.fills_wait[symbol] = reason
        else:
            self.fills_wait.pop(symbol, None)
        if bool(reason) != bool(was):
            if reason:
                change = SourceChange("paper", symbol, "websocket", "none", f"{reason}: paper orders wait")
            else:
                change = SourceChange("paper", symbol, "none", "websocket", "the live book is live again")
            self._notice(change)

    def _refuse_late_posts(self, market: PaperMarket, book: OrderBook, now_ns: int) -> None:
        """Cancel post-only orders that came while nothing was to be seen, and would have taken."""
        for resting in market.blind_orders():
            best = book.best_ask if resting.side == "buy" else book.best_bid
            order = self.account.live_order(resting.name)
            if order is None or best is None or not order.flag("post"):
                continue
            if resting.price >= best if resting.side == "buy" else resting.price <= best:
                self.core.desk.cancel(self.account, order, now_ns, POST_ONLY)

    # Making ------------------------------------------------------------------------------------------------------

    def _make_market(self, pair: Pair, rng: Random, now_ns: int) -> PaperMarket:
        return PaperMarket(pair, rng, now_ns, last=self._last[pair.symbol])

    def _market(self, symbol: str) -> PaperMarket:
        market = self.core.market(symbol)
        assert isinstance(market, PaperMarket)
        return market


def _doubt(book: OrderBook | None, pair: Pair) -> str:
    """Say why a live book cannot be filled against, or nothing."""
    if book is None:
        return "there is no live book"
    if book.quality != "live":
        return f"the live book is {book.quality}"
    if book.crossed:
        return "the live book is crossed"
    if (book.price_scale, book.qty_scale) != (pair.price_precision, pair.qty_precision):
        return "the live book has other decimals than its pair"
    return ""


def _change(book: OrderBook, was: frozenset[RawLevel], now: frozenset[RawLevel], worst: int | None) -> Change:
    changed = dict.fromkeys((price for price, _ in was - now), 0)
    changed.update(now - was)
    levels = {
        Decimal(price).scaleb(-book.price_scale): Decimal(qty).scaleb(-book.qty_scale)
        for price, qty in changed.items()
    }
    return Change(levels, None if worst is None else Decimal(worst).scaleb(-book.price_scale))


def exact(field: str, amount: object) -> Decimal:
    """Give an amount that is not negative as it was meant.

    Raises:
        ConfigError: it is a float, for which nobody knows, or no such amount.
    """
    if isinstance(amount, (Decimal, int, str)):
        with suppress(InvalidOperation):
            if (number := Decimal(amount)).is_finite() and number >= 0:
                return number
    raise ConfigError(field, amount, f'no float and not negative: a Decimal, a whole number or a text, "{amount}"')


def _listed(decoder: Decoder, symbol: str) -> Instrument:
    instrument = decoder.instruments.get(symbol)
    if instrument is None:
        raise UnknownSymbolError.among(symbol, decoder.instruments)
    return instrument


def _last_price(decoder: Decoder, symbol: str) -> Decimal:
    """Give the last live price; where no trade is known, the middle of the book stands for it."""
    trades, book = decoder.trades(symbol), decoder.book(symbol)
    recent = () if trades is None else trades.recent()
    if trades is None or book is None:
        raise ConfigError("market", symbol, "a feed of book and trade of this symbol")
    price = recent[-1].price if recent else book.mid or book.best_bid or book.best_ask
    if price is None:
        raise StaleDataError(f"book {symbol}", book.quality, book.age_ms)
    return price


def _pair(told: Instrument) -> Pair:
    """Give the box's form of a pair. What the live exchange leaves out does not limit."""
    cost_precision = told.cost_precision
    if cost_precision is None:
        cost_precision = told.price_precision + told.qty_precision
    return Pair(
        symbol=told.symbol,
        base=told.base,
        quote=told.quote,
        status=told.status if told.status in _PAIR else "maintenance",  # type: ignore[arg-type]  # just looked up
        qty_precision=told.qty_precision,
        price_precision=told.price_precision,
        cost_precision=cost_precision,
        marginable=False,
        has_index=told.has_index,
        cost_min=told.cost_min or ZERO,
        qty_min=told.qty_min or ZERO,
        margin=None,
    )


def _listing(decoder: Decoder, pairs: Iterable[Instrument], balances: Mapping[str, object]) -> Listing:
    """List the pairs, with their assets and those of the balances as the live exchange tells them."""
    listing = Listing.of(map(_pair, pairs))
    wanted = dict.fromkeys([*listing.assets, *balances])
    for name in wanted:
        told = decoder.assets.get(name)
        if told is not None:
            listing.assets[name] = BoxAsset(
                told.id,
                told.status,
                told.precision,
                told.precision_display,
                borrowable=False,
                collateral_value=ZERO,
                margin_rate=None,
            )
    return listing
