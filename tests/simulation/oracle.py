"""The oracle: what must hold of a feed whenever an instant is over, judged by the exchange's truth and the wire.

Its knowledge is its own. It hears every event of the markets and keeps the published states of their books; it reads
the bytes that the client reads and keeps when a whole text came, and which snapshots came on which connection. With
that it judges what the client says. Numbers of invariants are those of the fault catalogue, section 3.1.

Checked here: S01 S02 S03 S04 S07 S09 S10 S22. S27 is in `Simulation.run`, S31 in test_determinism, and S06 wherever a
test of one symbol's fault looks at the other symbols.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import islice
from typing import Any

from kraken_fast import Feed, Gap, OrderBook, Trade
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.candles import Trade as ExchangeTrade
from kraken_fast.sim.engine import Step
from kraken_fast.sim.feed import MarketFeed, Parameter, Subscriber
from kraken_fast.sim.feedbook import book_checksum
from kraken_fast.sim.network import Network
from kraken_fast.sim.reference import CHECKSUM_LEVELS
from kraken_fast.sim.virtual import Timeline

S = 1_000_000_000
SUSPECT_NS = 1_500_000_000
SWEEP_NS = 250_000_000
"""All books are looked at this often; those that changed, at once."""

STATES_MAX = 4_000
"""Published states kept of each market: minutes of them, more than any message is ever late."""

LOSSY = (
    "drop",
    "swap",
    "delay",
    "mutate",
    "late_snapshot",
    "no_snapshot",
    "text",
    "raw",
    "bad_utf8",
    "binary",
)
"""Faults after which a book that verifies may still be wrong below the ten best: then S02 is not owed."""

State = tuple[list[Decimal], list[Decimal], int]
"""Bids and asks, best first, price and quantity alternating; and the checksum."""


_SYMBOL = re.compile(rb'"symbol":"([^"]+)"')


class ViolationError(AssertionError):
    """An invariant does not hold."""


class Recorder:
    """Stands between a market and its feed and keeps what was published of the book, event by event."""

    def __init__(self, feed: MarketFeed, depth: int, count_lossy: Callable[[], int]) -> None:
        self.lossy_at: dict[object, int] = {}
        """How many messages faults had struck when a session's book subscription began."""
        self._count_lossy = count_lossy
        self.states: dict[int, list[State]] = {}
        """By time stamp in microseconds; a change of precision writes one state anew."""
        self._feed = feed
        self._depth = depth
        self.record()
        feed.market.listener = self
        feed.subscribe = self._subscribe  # type: ignore[method-assign]

    def _subscribe(self, subscriber: Subscriber, channel: str, parameter: Parameter) -> None:
        if channel == "book":
            self.lossy_at[subscriber] = self._count_lossy()
        MarketFeed.subscribe(self._feed, subscriber, channel, parameter)

    def on_step(self, step: Step) -> None:
        """Pass on."""
        self._feed.on_step(step)

    def on_event(self, trades: list[ExchangeTrade], *, quote_changed: bool) -> None:
        """Keep the state that is about to be published, and pass on."""
        self.record()
        self._feed.on_event(trades, quote_changed=quote_changed)

    def record(self) -> None:
        """Keep the state as it is, under the time of its last change."""
        engine = self._feed.market.engine
        bids, asks = [
            [number for level in islice(side, self._depth) for number in (level.price, level.qty)]
            for side in (engine.bids, engine.asks)
        ]
        state = bids, asks, book_checksum(engine)
        # A snapshot bears the time of its own depth's last change, an update that of the event.
        for stamp_ns in {
            self._feed.market.changed_ns,
            *(book.changed_ns for book in self._feed._books.values()),
        }:
            kept = self.states.setdefault(stamp_ns // 1000, [])
            if state not in kept:
                kept.append(state)
        while len(self.states) > STATES_MAX:
            del self.states[next(iter(self.states))]

    def published(self, exch_ns: int) -> list[State]:
        """Give what was published with a time stamp; nothing if nothing was, or too long ago."""
        return self.states.get(exch_ns // 1000, [])


class Downstream:
    """What of one connection the client has read: whole texts and snapshots. Plain RFC 6455, no checks."""

    def __init__(self) -> None:
        self.text_ns: int | None = None
        self.begun: set[tuple[str, str]] = set()
        self._bytes = bytearray()
        self._has_head = False
        self._parts: list[bytes] = []

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes as they arrive."""
        self._bytes += data
        if not self._has_head:
            at = self._bytes.find(b"\r\n\r\n")
            if at < 0:
                return
            del self._bytes[: at + 4]
            self._has_head = True
        while (frame := self._next()) is not None:
            opcode, is_final, payload = frame
            if opcode >= 8:
                continue
            self._parts.append(payload)
            if is_final:
                text, self._parts = b"".join(self._parts), []
                if opcode != 2:
                    self._take(text, now_ns)

    def _next(self) -> tuple[int, bool, bytes] | None:
        buffer = self._bytes
        if len(buffer) < 2:
            return None
        at, size = 2, buffer[1] & 0x7F
        if size >= 126:
            width = 2 if size == 126 else 8
            at += width
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return None
        frame = buffer[0] & 0x0F, bool(buffer[0] & 0x80), bytes(buffer[at : at + size])
        del buffer[: at + size]
        return frame

    def _take(self, text: bytes, now_ns: int) -> None:
        self.text_ns = now_ns
        if text.startswith(b'{"channel":"ticker","type":"update"'):
            self.begun.update(
                ("ticker", symbol.decode()) for symbol in _SYMBOL.findall(text)
            )  # each is complete
        if b'"update"' in text[:60] or text.startswith(b'{"channel":"heartbeat"'):
            return
        try:
            message = json.loads(text)
            if message.get("success") and message["method"] == "unsubscribe":
                self.begun.discard((message["result"]["channel"], message["result"].get("symbol", "")))
            elif message.get("type") == "snapshot":
                for row in message["data"]:
                    self.begun.add((message["channel"], row["symbol"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # damaged by a fault: it proves nothing but that somebody speaks


class Oracle:
    """Judges one feed."""

    def __init__(self, timeline: Timeline, core: ExchangeCore, network: Network) -> None:
        self.checks = 0
        self.books_checked = 0
        self.depth_checked = 0
        self.states: dict[str, int] = {}
        """How often a book was seen in each state."""
        self.gaps: list[Gap] = []
        self._timeline = timeline
        self._core = core
        self._network = network
        self._violation_kept: ViolationError | None = None
        self._is_over = False
        self._feed: Feed | None = None
        self._recorders: dict[str, Recorder] = {}
        self._lines: dict[int, Downstream] = {}
        self._last_line = 0
        self._changed: set[str] = set()
        self._swept_ns = 0
        self._trade_ids: dict[str, int] = {}
        self._trades: dict[str, deque[int]] = {}

    def watch(self, feed: Feed) -> None:
        """Judge this feed from now on."""
        self._feed = feed
        depth = feed._book_depth
        assert isinstance(depth, int)
        self._core.set_pair = self._set_pair  # type: ignore[method-assign]
        for symbol in self._core.listing.pairs:
            self._recorders[symbol] = Recorder(self._core.feed(symbol), depth, lambda: self._lossy)

    def _set_pair(self, symbol: str, **changes: Any) -> None:
        type(self._core).set_pair(self._core, symbol, **changes)
        self._recorders[symbol].record()

    def forget_trades(self, symbol: str) -> None:
        """The user unsubscribed: the next subscription begins anew, with trades that were known before."""
        self._trade_ids.pop(symbol, None)

    def _raise_kept(self) -> None:
        if self._violation_kept is not None:
            raise self._violation_kept

    # What it hears -----------------------------------------------------------------------------------------------

    def on_wire(self, direction: str, number: int, data: bytes | None) -> None:
        """Bytes were read by the client, or by the exchange."""
        if direction == "down" and data is not None:
            line = self._lines.setdefault(number, Downstream())
            self._last_line = max(self._last_line, number)
            line.feed(data, self._timeline.now_ns)

    def on_book(self, book: OrderBook) -> None:
        """The client delivered a book: S03 holds of each, not only of the last of an instant."""
        self._changed.add(book.symbol)
        self._check_shape(book)

    def on_trade(self, trade: Trade) -> None:
        """S07: ids rise, none comes twice, and one that is missing was declared."""
        last = self._trade_ids.get(trade.symbol)
        if last is not None:
            self._expect(trade.trade_id > last, "S07", f"{trade.symbol}: trade {trade.trade_id} after {last}")
            if trade.trade_id > last + 1:
                declared = self.gaps and (self.gaps[-1].first, self.gaps[-1].last) == (
                    last + 1,
                    trade.trade_id - 1,
                )
                self._expect(
                    bool(declared),
                    "S07",
                    f"{trade.symbol}: {last + 1} to {trade.trade_id - 1} missing, undeclared",
                )
        self._trade_ids[trade.symbol] = trade.trade_id

    def on_notice(self, event: Any) -> None:
        """S07: a gap is declared once, and names ids that did not come."""
        if isinstance(event, Gap):
            last = self._trade_ids.get(event.symbol)
            self._expect(last is None or event.first == last + 1, "S07", f"{event} after trade {last}")
            self._expect(event.last >= event.first, "S07", f"{event} is empty")
            self.gaps.append(event)

    # What it checks ----------------------------------------------------------------------------------------------

    def on_quiet(self) -> None:
        """An instant is over: check what it changed, and now and then everything."""
        if self._feed is None or self._is_over:
            return
        try:
            self._raise_kept()
            self._check(self._feed, self._timeline.now_ns)
            self._raise_kept()
        except ViolationError:
            self._is_over = True  # the first one tells the story; what follows while everything ends does not
            raise

    def _check(self, feed: Feed, now_ns: int) -> None:
        self.checks += 1
        symbols: Iterable[str] = sorted(self._changed)
        self._changed.clear()
        if now_ns - self._swept_ns >= SWEEP_NS:
            self._swept_ns = now_ns
            symbols = feed._session.decoder.kept_symbols()
            self._check_attempts(now_ns)
            for symbol in symbols:
                self._check_ticker(feed, symbol, now_ns)
        for symbol in symbols:
            book = feed._session.decoder.book(symbol)
            if book is not None:
                self._check_book(book, now_ns)

    def _check_book(self, book: OrderBook, now_ns: int) -> None:
        self.books_checked += 1
        self.states[book.state] = self.states.get(book.state, 0) + 1
        try:
            book._check()
        except AssertionError as error:
            raise self._violation("S03", f"{book!r}: {error}") from error
        self._check_shape(book)
        self._check_live("book", book, now_ns)
        if not book.is_valid:
            return
        self._check_truth(book)
        line = self._lines.get(self._last_line)
        # S04: a snapshot of the present connection, read off the wire.
        if line is None or ("book", book.symbol) not in line.begun:
            raise self._violation("S04", f"{book!r} is valid without a snapshot")

    def _check_truth(self, book: OrderBook) -> None:
        stamp = book.exch_ns
        if "text" in self._core.faults.fired and (
            stamp is None or not self._recorders[book.symbol].published(stamp)
        ):
            return  # a test put words into the exchange's mouth
        published = [] if stamp is None else self._recorders[book.symbol].published(stamp)
        state = next((state for state in published if state[2] == book.checksum), None)
        if state is None:
            raise self._violation("S01", f"{book!r} at {stamp}: {book.checksum}, published {published}")
        is_lossless = self._is_lossless(book)
        self.depth_checked += is_lossless
        self._compare(
            "S02" if is_lossless else "S01", book, state, book.depth if is_lossless else CHECKSUM_LEVELS
        )

    def _compare(self, invariant: str, book: OrderBook, state: State, depth: int) -> None:
        """Compare numbers and their decimals over some levels."""
        for held, published in ((book.bids, state[0]), (book.asks, state[1])):
            numbers = [number for level in held[:depth] for number in level]
            # Equal numbers of equal exponents are equal mantissas at an equal scale; all of a side share theirs.
            if numbers != published[: 2 * depth] or _scales(numbers) != _scales(published):
                text = f"{book!r} over {depth} levels:\n{numbers}\npublished\n{published}"
                raise self._violation(invariant, text)

    def _is_lossless(self, book: OrderBook) -> bool:
        """Tell whether surely no message of this subscription was lost or altered since it began."""
        connection = self._network.connections.get(self._last_line)
        if connection is None or connection.line is None or book.verified_depth < book.depth:
            return False
        return self._recorders[book.symbol].lossy_at.get(connection.line.session) == self._lossy

    @property
    def _lossy(self) -> int:
        return sum(self._core.faults.fired[kind] for kind in LOSSY)

    def _check_shape(self, book: OrderBook) -> None:
        """S03: order, signs and length; a valid book that is not crossed is not crossed."""
        if not book.is_valid:
            return
        bids, asks = book.bids_raw, book.asks_raw
        for side, is_bids in ((bids, True), (asks, False)):
            prices = [price for price, _ in side]
            is_sorted = prices == sorted(set(prices), reverse=is_bids)
            if not is_sorted or len(side) > book.depth or any(qty <= 0 for _, qty in side):
                raise self._violation("S03", f"{book!r}: {side}")
        if bids and asks and book.crossed != (bids[0][0] >= asks[0][0]):
            raise self._violation("S03", f"{book!r}: crossed is {book.crossed}")

    def _check_live(self, channel: str, store: Any, now_ns: int) -> None:
        """S09 and S10: what is called live is on a line that speaks, and began there."""
        line = self._lines.get(self._last_line)
        silent_ns = None if line is None or line.text_ns is None else now_ns - line.text_ns
        if store.quality == "live":
            if line is None or silent_ns is None or silent_ns > SUSPECT_NS:
                raise self._violation("S09", f"{store!r} is live on a line silent for {silent_ns} ns")
            key = (channel, store.symbol)
            # A snapshot on this connection proves the subscription, also when its ack is late or was lost (K02, K06).
            if key not in line.begun:
                raise self._violation("S09", f"{store!r} is live without a snapshot")
        age_ms = store.age_ms
        if age_ms is not None and silent_ns is not None and not age_ms >= max(0.0, silent_ns / 1e6 - 1):
            raise self._violation("S10", f"{store!r}: {age_ms} ms old, its line silent for {silent_ns} ns")

    def _check_ticker(self, feed: Feed, symbol: str, now_ns: int) -> None:
        ticker = feed._session.decoder.ticker(symbol)
        if ticker is not None:
            self._check_live("ticker", ticker, now_ns)

    def _check_attempts(self, now_ns: int) -> None:
        """S22: at most 100 connection attempts in any ten minutes."""
        recent = [ns for ns in self._network.attempts_ns if ns > now_ns - 600 * S]
        self._expect(len(recent) <= 100, "S22", f"{len(recent)} attempts within 600 s")

    def _expect(self, holds: bool, invariant: str, text: str) -> None:
        if not holds:
            raise self._violation(invariant, text)

    def _violation(self, invariant: str, text: str) -> ViolationError:
        error = ViolationError(
            f"{invariant} after {self._timeline.now_ns / S:.9f} s, seed {self._core.seed}: {text}"
        )
        # A client swallows what its callbacks raise: the first one is kept and raised when the instant is over.
        self._violation_kept = self._violation_kept or error
        return error


def _scales(numbers: list[Decimal]) -> list[object]:
    """The exponents of the first level."""
    return [number.as_tuple().exponent for number in numbers[:2]]
