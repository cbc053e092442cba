"""A strategy against a recorded market: the same orders, the same fills, in each run.

    async def strategy(trading):
        order = await trading.orders.add_order(...)
        await order.filled()

    result = backtest(["monday.kfcap"], strategy, symbols=["BTC/USD"], balances={"USD": 10_000}, seed=1)
    print(result.balances, len(result.fills))

Theory of operation. The recording is what a `Feed` of books and trades wrote (`record=`). It is played at its own times
to the decoder of a `RecordedFeed`, and everything else, the strategy included, is what `connect_paper` makes; all of it
runs in virtual time, so a day takes as long as its messages take to decode. Nothing real is waited for: a strategy
that would use the network, a thread or the machine's clock is refused by the loop, or is not repeatable.

Paper's rules hold (see `market.py`): fills are what the recorded market allowed, on the careful side, and the market
does not react. The strategy is cancelled when the recording ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from ..config import Endpoints, check_symbols
from ..core.clock import Clock, ManualClock
from ..errors import ClosedError, ConfigError, StaleDataError
from ..events import EventStream
from ..feed import Feed
from ..replay import BOOK_DECISIONS, Record, parts_of, read
from ..session import SessionSettings
from ..sim.records import Execution, Order
from ..sim.virtual import Timeline, VirtualLoop, run
from ..types import BOOK_DEPTHS
from .face import PaperTrading, connect_paper

S = 1_000_000_000
ZERO = Decimal(0)

PROLOGUE_MAX = 100_000
"""Records within which a recording has to tell how deep its books are, and its time."""

Strategy = Callable[[PaperTrading], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a strategy did on paper, as the exchange's books say.

    Attributes:
        fills: oldest first. orders: as they ended, oldest first; what was open then is open here.
        balances, deposits: by asset, at the end and at the beginning.
        fees: paid, by asset.
        prices: the last live price of each symbol.
        ran_s: recorded seconds that were played, from the opening of trading on.
        is_finished: the strategy returned by itself, before the recording ended.
    """

    fills: tuple[Execution, ...]
    orders: tuple[Order, ...]
    balances: Mapping[str, Decimal]
    deposits: Mapping[str, Decimal]
    fees: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    ran_s: float
    is_finished: bool

    def __str__(self) -> str:
        held = ", ".join(f"{amount:f} {asset}" for asset, amount in self.balances.items() if amount)
        paid = ", ".join(f"{amount:f} {asset}" for asset, amount in self.fees.items()) or "none"
        return f"{len(self.orders)} orders, {len(self.fills)} fills in {self.ran_s:.0f} s; {held}; fees: {paid}"

    def gain(self, quote: str = "USD") -> Decimal:
        """Give what balances are worth more than the deposits, at the last prices.

        Raises:
            ConfigError: an asset that changed has no price in `quote`.
        """
        total = ZERO
        for asset in {**self.balances, **self.deposits}:
            change = self.balances.get(asset, ZERO) - self.deposits.get(asset, ZERO)
            if asset == quote or not change:
                total += change
                continue
            price = self.prices.get(f"{asset}/{quote}")
            if price is None:
                raise ConfigError("quote", quote, f"an asset in which {asset} was traded")
            total += change * price
        return total


def backtest(
    files: Iterable[str | Path],
    strategy: Strategy,
    *,
    symbols: Iterable[str],
    balances: Mapping[str, Decimal | int | str],
    seed: int = 0,
    **options: Any,
) -> BacktestResult:
    """Run a strategy over recordings.

    Args:
        files: of one line, in order; parts are found by themselves. Pauses between files are played as recorded.
        strategy: called once trading is open; its exceptions come out of here.
        symbols, balances: as of `connect_paper`.
        seed: of everything that happens by chance.
        options: as of `connect_paper`: settings, tier, volume_usd, latency_ms, ask ...

    Raises:
        ConfigError: a recording lacks what is needed, or a setting is wrong.
        CaptureError: a file is damaged or cut.
        StaleDataError: no book of a symbol ever was live.
    """
    paths = [part for file in files for part in parts_of(file)]
    names = check_symbols(symbols)
    prologue = _prologue(paths, names)
    timeline = Timeline(monotonic_ns=prologue.begin_ns, wall_ns=prologue.epoch_ns)
    clock = ManualClock(monotonic_ns=timeline.now_ns, epoch_ns=timeline.wall_ns())
    timeline.on_advance.append(clock.advance)
    loop = VirtualLoop(timeline)
    return run(loop, _run(paths, strategy, names, prologue.depths, clock, balances, seed, options))


async def _run(
    paths: list[Path],
    strategy: Strategy,
    symbols: tuple[str, ...],
    depths: Mapping[str, int],
    clock: Clock,
    balances: Mapping[str, Decimal | int | str],
    seed: int,
    options: Mapping[str, Any],
) -> BacktestResult:
    feed = RecordedFeed(read(paths), depths, clock)
    chance = {"rng": Random(f"{seed}/backtest"), "seed": seed}
    trading = connect_paper(
        symbols, balances=balances, feed=feed, clock=clock, **{"history_max": None, **chance, **options}
    )
    await feed.open()
    try:
        async with trading:
            began_ns = clock.monotonic_ns
            acting = asyncio.ensure_future(strategy(trading))
            await asyncio.wait([acting, feed.ended], return_when=asyncio.FIRST_COMPLETED)
            is_finished = acting.done()
            acting.cancel()
            await asyncio.wait([acting])
            if not acting.cancelled():
                acting.result()
            ran_s = (clock.monotonic_ns - began_ns) / S
        if feed.ended.done():
            feed.ended.result()
        return _result(trading, symbols, ran_s, is_finished=is_finished)
    finally:
        await feed.close()


def _result(trading: PaperTrading, symbols: Iterable[str], ran_s: float, *, is_finished: bool) -> BacktestResult:
    exchange = trading.exchange
    account = exchange.account
    deposits: dict[str, Decimal] = {}
    for entry in account.ledger.values():
        if entry.type == "deposit":
            deposits[entry.asset] = entry.amount
    return BacktestResult(
        fills=tuple(account.executions.values()),
        orders=tuple(account.orders.values()),
        balances=dict(account.balances),
        deposits=deposits,
        fees={asset: fee for asset, fee in exchange.core.desk.clearing.fees.items() if fee},
        prices={symbol: exchange.market(symbol).trades[-1].price for symbol in symbols},
        ran_s=ran_s,
        is_finished=is_finished,
    )


@dataclass(frozen=True, slots=True)
class _Prologue:
    begin_ns: int
    epoch_ns: int
    depths: Mapping[str, int]


def _prologue(paths: list[Path], symbols: Iterable[str]) -> _Prologue:
    """Read of a recording's beginning when it was, and how deep its books are."""
    begin: tuple[int, int] | None = None
    depths: dict[str, int] = {}
    wanted = set(symbols)
    for number, record in enumerate(read(paths)):
        if record.kind == "event" and begin is None:
            begin = (record.recv_ns, int(json.loads(record.payload).get("epoch_ns", 0)))
        elif record.kind == "frame" and b'"subscribe"' in record.payload:
            result = json.loads(record.payload).get("result") or {}
            if result.get("channel") == "book" and result.get("depth") in BOOK_DEPTHS:
                depths[result["symbol"]] = result["depth"]
        if (begin is not None and wanted <= depths.keys()) or number > PROLOGUE_MAX:
            break
    missing = wanted - depths.keys()
    if begin is None or missing:
        names = ", ".join(sorted(missing)) or "anything"
        raise ConfigError("files", [str(path) for path in paths], f"recordings with the books of {names}")
    return _Prologue(*begin, depths)


class RecordedFeed(Feed):
    """A feed whose line is a recording: it hears and tells what that one did, when it did, and asks for nothing.

    Args:
        records: in order.
        depths: of the books, by symbol.
        clock: of the loop's time, which begins no later than the recording.

    Attributes:
        ended: done when all was played, with the error that ended it if one did.
    """

    ended: asyncio.Future[None]

    def __init__(self, records: Iterator[Record], depths: Mapping[str, int], clock: Clock) -> None:
        super().__init__(
            symbols=tuple(depths),
            channels=("book", "trade"),
            book_depth=max(depths.values()),
            ohlc_interval=1,
            ticker_trigger="trades",
            endpoints=Endpoints(),
            ready_s=1.0,
            events_max=10_000,
            record=None,
            handler=None,
            settings=SessionSettings(clock=clock),
        )
        self._records = records
        self._clock = clock
        self._player: asyncio.Task[None] | None = None
        for symbol, depth in depths.items():
            self.decoder.want_book(symbol, depth)
            self.decoder.want_trades(symbol)

    async def open(self) -> None:
        """Play until every book is live.

        Raises:
            StaleDataError: the recording ended before.
        """
        if self._player is not None:
            raise ClosedError("a feed is opened once; make a new one")
        self._player = self.ended = asyncio.ensure_future(self._play())
        while not all(self.live_book(symbol).quality == "live" for symbol in self.symbols):
            if self.ended.done():
                self.ended.result()
                raise StaleDataError("the recorded books", "none", None)
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        """End it."""
        if self._player is not None:
            self._player.cancel()
            await asyncio.wait([self._player])
        for stream in tuple(self._fanout.streams):
            stream.finish(None)

    @property
    def state(self) -> str:
        """Of the line: live while it plays."""
        if self._player is None:
            return "down"
        return "closed" if self._player.done() else "live"

    def events(self, *, size: int | None = None) -> EventStream:
        """See `Feed`."""
        return self._fanout.stream(size)

    async def _play(self) -> None:
        for record in self._records:
            pause_ns = record.recv_ns - self._clock.monotonic_ns
            if pause_ns > 0:
                await asyncio.sleep(pause_ns / S)
            if record.kind == "frame":
                self.decoder.feed(record.payload, recv_ns=self._clock.monotonic_ns)
            else:
                self._decide(json.loads(record.payload))

    def _decide(self, event: Mapping[str, Any]) -> None:
        """Do to the books what the recording feed did by its own decision."""
        name, symbol = str(event["event"]), event.get("symbol")
        if name in ("opened", "lost"):
            self.decoder.new_epoch()
        elif name in BOOK_DECISIONS and isinstance(symbol, str):
            book = self.decoder.book(symbol)
            if book is not None:
                BOOK_DECISIONS[name](book)
