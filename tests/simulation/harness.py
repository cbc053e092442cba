"""One run of the simulation: the real client, the exchange in a box, the network between, one seed.

    sim = Simulation(["BTC/USD"], seed=7)

    async def main() -> None:
        async with sim.connect() as feed:
            await asyncio.sleep(60)

    sim.run(main())
    sim.log.digest()        # equal for equal seeds

A failure names the seed; what happened last stands in `sim.log.tail`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any
from zlib import crc32

import kraken_fast
from kraken_fast import Candle, Feed, LineChange, LiveTicker, ManualClock, OrderBook, Trade
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.acts import Stage
from kraken_fast.sim.frames import FrameReader
from kraken_fast.sim.network import HOST, Network, Route
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run

from .oracle import Oracle

WS_URL = f"wss://{HOST}/v2"
"""Not a loopback name: the client's budget of attempts holds."""

S = 1_000_000_000

SYMBOLS = ["BTC/USD", "ETH/USD", "DOGE/USD"]
OTHERS = ["ETH/USD", "DOGE/USD"]
"""All but the one that faults of a symbol strike."""

RESYNC_S = 2.0
"""T_resync: a new snapshot asked for and applied. Source: faults.md section 0."""

_TLS = ssl.create_default_context()  # shown to the client, never used: reading the authorities takes 20 ms


class EventLog:
    """Lines of what happened, and their hash. Keeps the last ones, or all."""

    def __init__(self, timeline: Timeline, *, keep: int | None = 200) -> None:
        self.tail: deque[str] = deque(maxlen=keep)
        self.count = 0
        self._timeline = timeline
        self._start_ns = timeline.now_ns
        self._hash = hashlib.sha256()

    def add(self, text: str) -> None:
        """Note one event at the present time."""
        line = f"{self._timeline.now_ns - self._start_ns} {text}"
        self.tail.append(line)
        self.count += 1
        self._hash.update(line.encode() + b"\n")

    def digest(self) -> str:
        """Give the SHA-256 of all lines so far."""
        return self._hash.hexdigest()


class UserError(Exception):
    """What a user's callback raises, where the plan says so."""


class Simulation:
    """See the module's text.

    Args:
        symbols: what the exchange lists.
        seed: of everything.
        rate: the crowd's actions a second and market.
        levels: price levels of each side of a market.
        route: of the n-th connection.
        keep: lines of the log to keep; None keeps all.
        timers_first: see `VirtualLoop`.

    Attributes:
        log: what the client delivered. wire: what was on the wire.
        oracle: checks every feed made by `connect`, whenever an instant is over.
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("BTC/USD",),
        *,
        seed: int = 1,
        rate: float = 10.0,
        levels: int = 30,
        snapshot_delay_ms: int = 0,
        limit_connections: bool = True,
        route: Callable[[int], Route] = lambda _number: Route(),
        keep: int | None = 200,
        timers_first: bool = False,
    ) -> None:
        self.symbols = list(symbols)
        self.seed = seed
        self.timeline = Timeline()
        self.clock = ManualClock(monotonic_ns=self.timeline.now_ns, epoch_ns=self.timeline.wall_ns())
        self.timeline.on_advance.append(self.clock.advance)
        self.loop = VirtualLoop(self.timeline, timers_first=timers_first)
        self.core = ExchangeCore(
            self.symbols,
            seed=seed,
            now_ns=self.timeline.wall_ns,
            rate=rate,
            levels=levels,
            snapshot_delay_ms=snapshot_delay_ms,
            limit_connections=limit_connections,
        )
        self.faults = self.core.faults
        self.network = Network(self.loop, self.core, seed=seed, route=route)
        self.stage: Stage | None = None
        """Carries out a plan, where there is one."""
        self.raise_in: set[str] = set()
        """Channels whose callback raises, after it was judged, as a user's may."""
        self.log = EventLog(self.timeline, keep=keep)
        self.wire = EventLog(self.timeline, keep=keep)
        self.notices: list[tuple[int, Any]] = []
        """Time, in ns since the start, and event, of everything that the client told by `on_notice`."""
        self.sent: deque[tuple[float, int, bytes]] = deque(maxlen=100)
        """The client's last writes, as they reached the exchange: when, in s since the start, on which connection."""
        self.oracle = Oracle(self.timeline, self.core, self.network)
        self.network.on_wire = self._on_wire
        self.loop.on_quiet = self.oracle.on_quiet
        self._start_ns = self.timeline.now_ns
        self._heads: dict[int, bytearray | None] = {}
        self._unhandled: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self._unhandled.append(context))

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.timeline.now_ns - self._start_ns) / S

    def connect(self, symbols: Iterable[str] | None = None, **settings: Any) -> Feed:
        """Prepare a feed to this exchange, watched by the oracle and told of in the log."""
        settings.setdefault("rng", Random(f"{self.seed}/client"))
        settings.setdefault("budget", AttemptBudget(MemoryAttempts()))
        feed = kraken_fast.connect(
            self.symbols if symbols is None else symbols,
            ws_url=WS_URL,
            rest_url=f"https://{HOST}",
            clock=self.clock,
            ssl_context=_TLS,
            use_aiofastnet=False,
            **settings,
        )
        feed.on_book = self._on_book
        feed.on_ticker = self._on_ticker
        feed.on_trade = self._on_trade
        feed.on_candle = self._on_candle
        feed.on_notice = self._on_notice
        self.oracle.watch(feed)
        return feed

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end; nothing may be left over and nothing may have gone unhandled (S27)."""
        result = run(self.loop, main)
        assert not self._unhandled, f"S27: seed {self.seed}: {self._unhandled}"
        self.oracle.counts["S27"] += 1
        return result

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def until(
        self, condition: Callable[[], Any], within_s: float, step_s: float = 0.001, name: str = "bound"
    ) -> float:
        """Wait for a condition, looked at each `step_s`; give the seconds it took, and fail after `within_s`."""
        start_ns = self.timeline.now_ns
        while not condition():
            taken_s = (self.timeline.now_ns - start_ns) / S
            assert taken_s < within_s, f"{name}: seed {self.seed}: not true within {within_s} s\n" + "\n".join(
                self.log.tail
            )
            await asyncio.sleep(step_s)
        return (self.timeline.now_ns - start_ns) / S

    async def say(self, text: str) -> None:
        """Let the exchange say something, and wait until it came."""
        self.faults.inject("text", text=text)
        await asyncio.sleep(0.02)

    def changes(self, since_s: float = 0.0) -> list[tuple[float, str, str]]:
        """Give the line's changes of state: when, to which, why."""
        return [
            (ns / S, event.new, event.reason)
            for ns, event in self.notices
            if isinstance(event, LineChange) and ns / S >= since_s
        ]

    def attempts_s(self) -> list[float]:
        """Give the times of the attempts to connect, in seconds since the start."""
        return [(ns - self._start_ns) / S for ns in self.network.attempts_ns]

    # The log -----------------------------------------------------------------------------------------------------

    def _on_book(self, book: OrderBook) -> None:
        levels = crc32(repr((book.bids_raw, book.asks_raw)).encode())
        self.log.add(
            f"book {book.symbol} {book.state} {book.exch_ns} {book.checksum} {book.price_scale} {levels}"
        )
        self.oracle.on_book(book)
        self._end_of("book")

    def _end_of(self, channel: str) -> None:
        self.oracle.inside = ""
        if channel in self.raise_in:
            raise UserError(channel)

    def _on_ticker(self, ticker: LiveTicker) -> None:
        self.log.add(f"ticker {ticker.symbol} {ticker.exch_ns} {ticker.bid} {ticker.ask} {ticker.last}")
        self.oracle.on_ticker(ticker)
        self._end_of("ticker")

    def _on_trade(self, trade: Trade) -> None:
        self.log.add(f"trade {trade.symbol} {trade.trade_id} {trade.side} {trade.price} {trade.qty}")
        self.oracle.on_trade(trade)
        self._end_of("trade")

    def _on_candle(self, candle: Candle) -> None:
        self.log.add(f"candle {candle!r}")
        self.oracle.on_candle(candle)
        self._end_of("candle")

    def _on_notice(self, event: Any) -> None:
        name = type(event).__name__
        # The pairs of an instrument message would fill the log; their number is enough.
        detail = len(event.pairs) if name == "InstrumentUpdate" else event
        self.log.add(f"notice {name} {detail}")
        self.notices.append((self.timeline.now_ns - self._start_ns, event))
        self.oracle.on_notice(event)

    def _on_wire(self, direction: str, number: int, data: bytes | None) -> None:
        self.oracle.on_wire(direction, number, data)
        if data is None:
            self.wire.add(f"{direction} {number} end")
            return
        if direction == "up":
            self.sent.append((self.now_s, number, data))
        if direction == "up" or not self._is_past_head(number, data):
            # The upgrade carries a random key, our frames random masks: their size is all that a seed decides.
            self.wire.add(f"{direction} {number} {len(data)}")
        else:
            self.wire.add(f"{direction} {number} {len(data)} {crc32(data)}")

    def _is_past_head(self, number: int, data: bytes) -> bool:
        head = self._heads.setdefault(number, bytearray())
        if head is None:
            return True
        head += data
        if b"\r\n\r\n" in head:
            self._heads[number] = None
        return False


def requests(sim: Simulation) -> list[tuple[float, dict[str, Any]]]:
    """Read the requests among the client's last writes, but for pings."""
    found = []
    for at_s, _, data in sim.sent:
        if data[0] == 0x81:
            reader = FrameReader()
            reader.feed(data)
            frame = reader.next()
            assert frame is not None
            if (request := json.loads(frame.payload))["method"] != "ping":
                found.append((at_s, request))
    return found


def close_codes(sim: Simulation) -> list[int]:
    """Read the codes of the close frames among the client's last writes."""
    codes = []
    for _, _, data in sim.sent:
        if data[0] == 0x88:
            reader = FrameReader()
            reader.feed(data)
            frame = reader.next()
            assert frame is not None
            codes.append(int.from_bytes(frame.payload[:2], "big"))
    return codes


def is_live(feed: Feed, *symbols: str) -> bool:
    """Tell whether the books of these symbols, or of all, are live."""
    return all(feed.live_book(symbol).quality == "live" for symbol in symbols or feed.symbols)
