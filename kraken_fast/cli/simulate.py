"""`simulate`: a strategy through minutes of faults, in virtual time, seed by seed."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import ssl
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from rich.progress import Progress

from ..core.clock import ManualClock
from ..errors import ConfigError, StaleDataError, printable
from ..feed import Feed, connect
from ..policy import AttemptBudget, MemoryAttempts
from ..sim.acts import Stage
from ..sim.core import ExchangeCore
from ..sim.feedbook import book_checksum
from ..sim.network import HOST, Network
from ..sim.plan import EVENTS_PER_S, Plan, draw
from ..sim.shrink import shrink
from ..sim.virtual import Timeline, VirtualLoop
from ..sim.virtual import run as run_virtually
from .output import Status, console, fail, one_line_errors, say, symbol_list
from .tables import table

OPEN_S = 30.0
HEAL_S = 100.0
"""How long all books may take to be live again once the faults end: a line's 35 s, and one retry a minute."""

Strategy = Callable[[Feed], Awaitable[None]]


@dataclass(slots=True)
class Result:
    """What became of one seed; `failure` is empty when it held, else it says what, after how long, and where."""

    seed: int
    simulated_s: float = 0.0
    faults: int = 0
    connections: int = 0
    books_verified: int = 0
    resyncs: int = 0
    failure: str = ""


async def read_strictly(feed: Feed) -> None:
    """Stand in for a strategy: look at every book ten times a second, as a bot does that refuses stale data."""
    while True:
        for symbol in feed.symbols:
            try:
                book = feed.book(symbol, strict=True)
            except StaleDataError:
                continue
            if book.quality != "live":
                raise AssertionError(f"{book!r} was given as {book.quality}")
        await asyncio.sleep(0.1)


class World:
    """One plan: an exchange, the network to it, a feed, and the strategy."""

    def __init__(self, plan: Plan, strategy: Strategy) -> None:
        self._plan = plan
        self._strategy = strategy
        self._timeline = Timeline()
        self._loop = VirtualLoop(self._timeline, timers_first=plan.timers_first)
        self._core = ExchangeCore(plan.symbols, seed=plan.seed, now_ns=self._timeline.wall_ns, rate=plan.rate)
        self._network = Network(self._loop, self._core, seed=plan.seed, route=lambda _number: plan.route)
        self._stage = Stage(plan, self._loop, self._core, self._network)
        clock = ManualClock(monotonic_ns=self._timeline.now_ns, epoch_ns=self._timeline.wall_ns())
        self._timeline.on_advance.append(clock.advance)
        self._feed = connect(
            plan.symbols,
            channels=plan.channels,
            book_depth=plan.depth,
            ws_url=f"wss://{HOST}/v2",
            rest_url=f"https://{HOST}",
            ready_s=OPEN_S,
            clock=clock,
            rng=Random(f"{plan.seed}/client"),
            budget=AttemptBudget(MemoryAttempts()),
            ssl_context=ssl.create_default_context(),
            use_aiofastnet=False,
        )

    def run(self) -> Result:
        """Run it to its end."""
        result = Result(self._plan.seed)
        start_ns = self._timeline.now_ns
        try:
            run_virtually(self._loop, self._main())
        except Exception as error:  # noqa: BLE001 - whatever the strategy raises is its seed's result
            at_s = (self._timeline.now_ns - start_ns) / 1e9
            told = printable(f"{type(error).__name__}: {error}", 500)
            result.failure = f"{told}; after {at_s:.3f} s{_place_of(error)}"
        stats = self._feed.stats()
        result.simulated_s = (self._timeline.now_ns - start_ns) / 1e9
        result.faults = self._stage.injected
        result.connections, result.resyncs = stats.connections, stats.resyncs
        result.books_verified = stats.books_verified
        return result

    async def _main(self) -> None:
        async with self._feed:
            self._stage.begin()
            task = asyncio.ensure_future(self._strategy(self._feed))
            try:
                await asyncio.wait([task], timeout=self._plan.faults_s)
                self._stage.heal()
                await self._until_live()
            finally:
                task.cancel()
                ended = await asyncio.gather(task, return_exceptions=True)
            if isinstance(ended[0], Exception):
                raise ended[0]
            await self._compare()

    async def _until_live(self) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + HEAL_S
        while not all(self._feed.live_book(symbol).quality == "live" for symbol in self._feed.symbols):
            if loop.time() > end_s:
                qualities = {symbol: self._feed.live_book(symbol).quality for symbol in self._feed.symbols}
                raise TimeoutError(f"not live {HEAL_S:g} s after the faults: {qualities}")
            await asyncio.sleep(0.05)

    async def _compare(self) -> None:
        """With the markets at rest, every book is the exchange's."""
        for symbol in self._plan.symbols:
            market = self._core.market(symbol)
            market.may_add = market.may_trade = False
        await asyncio.sleep(2.0)
        for symbol in self._plan.symbols:
            held, true = self._feed.live_book(symbol).checksum, book_checksum(self._core.market(symbol).engine)
            if held != true:
                raise AssertionError(f"{symbol} has the checksum {held}, the exchange's book {true}")


def _place_of(error: BaseException) -> str:
    """Say where in the strategy's own code an exception came from; nothing if it came from ours."""
    ours = str(Path(__file__).parent.parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    frames = [frame for frame in frames if Path(frame.filename).parent != Path(asyncio.__file__).parent]
    return f", in {Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""


def strategy_of(text: str) -> Strategy:
    """Find `module:callable`, the working folder's modules included.

    Raises:
        ConfigError: there is none.
    """
    module, _, name = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError("strategy", text, "module:callable, a coroutine function of a feed") from error
    if not inspect.iscoroutinefunction(found):
        raise ConfigError("strategy", text, "module:callable, a coroutine function of a feed")
    chosen: Strategy = found
    return chosen


def seeds_of(text: str) -> range:
    """Read `50`, the first so many, or `57-57`.

    >>> seeds_of("3"), seeds_of("57-58")
    (range(0, 3), range(57, 59))
    """
    first, dash, last = text.partition("-")
    try:
        seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    except ValueError:
        raise ConfigError("seeds", text, "a number, or first-last") from None
    if not seeds:
        raise ConfigError("seeds", text, "at least one")
    return seeds


def plans_of(seeds: str, symbols: str, channels: str, plan: Path | None) -> list[Plan]:
    """Draw the plans of seeds, with the markets and channels that a strategy needs, or read one.

    Raises:
        ConfigError: something is not as it must be; OSError: there is no such file.
    """
    if plan is not None:
        try:
            return [Plan.from_json(plan.read_text())]
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError("plan", str(plan), "a plan, as a failure left it") from error
    names = tuple(symbol_list(symbols)) if symbols else ()
    kinds = tuple(channels.split(",")) if channels else ()
    plans = []
    for seed in seeds_of(seeds):
        drawn = draw(seed)
        if names:
            drawn = replace(drawn, symbols=names, rate=min(drawn.rate, EVENTS_PER_S / len(names)))
        plans.append(replace(drawn, channels=kinds) if kinds else drawn)
    return plans


def simulate(
    seeds: Annotated[str, typer.Option(help="How many, or first-last.")] = "20",
    strategy: Annotated[
        str, typer.Option(help="module:callable, `async def strategy(feed)`.", show_default="strict reads")
    ] = "",
    symbols: Annotated[
        str, typer.Option(help="The markets of every seed, with commas between.", show_default="drawn, 1 to 20")
    ] = "",
    channels: Annotated[
        str, typer.Option(help="The channels of every seed, book among them.", show_default="drawn")
    ] = "",
    plan: Annotated[Path | None, typer.Option(help="Run this plan, as a failure left it, instead of seeds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per seed, and a sum.")] = False,
    shrink_runs: Annotated[
        int, typer.Option(help="Runs to spend on the smallest plan of the first failure; 0 for none.", min=0)
    ] = 60,
) -> None:
    """Put a strategy through a minute of faults per seed, in virtual time, against the exchange in a box.

    Each seed draws its own markets, network and faults: resets, holes, wrong checksums, lost and damaged messages,
    refused requests. After them everything must heal, and every book be the exchange's. The strategy gets an open
    `Feed` and runs until it ends or the minute is over; it fails its seed by raising. Virtual time goes some fifty
    times as fast as real time; a strategy must wait by asyncio only.

    Example, in bot.py:

        async def strategy(feed):
            async for event in feed:
                book = feed.book("BTC/USD")
                if book.quality == "live" and not book.crossed:
                    assert book.best_bid < book.best_ask

        $ kraken-fast simulate --strategy bot:strategy --symbols BTC/USD --channels book,trade

    The first failure's plan is cut down to what still breaks it so, and kept in the working folder; the command that
    runs it again is printed.
    """
    with one_line_errors():
        chosen = strategy_of(strategy) if strategy else read_strictly
        plans = plans_of(seeds, symbols, channels, plan)
        logging.getLogger("kraken_fast").setLevel(logging.CRITICAL)
        results = []
        out = console()
        with Progress(console=out, transient=True, disable=as_json or not out.is_terminal) as progress:
            for each in progress.track(plans, description="seeds"):
                results.append(World(each, chosen).run())
                if as_json:
                    say(json.dumps(asdict(results[-1])))
        failed = [result for result in results if result.failure]
        _tell(results, failed, as_json=as_json)
        if failed:
            first = next(each for each, result in zip(plans, results, strict=True) if result.failure)
            kept = Path(f"plan-{first.seed}.json")
            _explain(first, failed[0], chosen, strategy, kept, shrink_runs, as_json=as_json)
            fail(f"{len(failed)} of {len(results)} seeds failed", Status.CHECK_FAILED)


def _sum(results: list[Result], failed: list[Result]) -> dict[str, Any]:
    return {
        "seeds": len(results),
        "simulated_s": round(sum(result.simulated_s for result in results)),
        "faults": sum(result.faults for result in results),
        "connections": sum(result.connections for result in results),
        "resyncs": sum(result.resyncs for result in results),
        "books_verified": sum(result.books_verified for result in results),
        "failed": [result.seed for result in failed],
    }


def _tell(results: list[Result], failed: list[Result], *, as_json: bool) -> None:
    found = _sum(results, failed)
    if as_json:
        say(json.dumps(found))
        return
    drawn = table("simulated", "in all")
    for name, value in found.items():
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else f"{value:,}"
        drawn.add_row(name.replace("_", " "), shown)
    console().print(drawn)


def _explain(
    plan: Plan, result: Result, chosen: Strategy, strategy: str, path: Path, runs_max: int, *, as_json: bool
) -> None:
    """Tell how the first failure came about, as small as it can be made, and how to see it again."""

    def word(smaller: Plan) -> str:
        return World(smaller, chosen).run().failure.partition(":")[0]

    smallest = shrink(plan, word, runs_max=runs_max) if runs_max else plan
    path.write_text(smallest.to_json() + "\n")
    option = f" --strategy {strategy}" if strategy else ""
    replay = f"kraken-fast simulate --plan {path}{option}"
    if as_json:
        say(json.dumps({"seed": result.seed, "failure": result.failure, "replay": replay}))
        return
    say(f"seed {result.seed}: {result.failure}")
    if smallest != plan:
        say(f"The smallest plan found that fails so: {World(smallest, chosen).run().failure}")
    say(f"{smallest}\nReplay: {replay}")
