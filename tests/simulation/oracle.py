"""The oracle: what must hold of a feed whenever an instant is over, judged by the exchange's truth and the wire.

Its knowledge is its own. It hears every event of the markets and keeps the published states of their books; it reads
the bytes that the client reads and keeps when a whole text came, and which snapshots came on which connection. With
that it judges what the client says. Numbers of invariants are those of the fault catalogue, section 3.1; `counts` tells
how often each was checked.

Checked here: S01 S02 S03 S04 S06 S07 S08 S09 S10 S22 S25 S26 S28. S27 is in `Simulation.run`, V01 V02 V07 V08 are in
`swarm`, S30 and S31 are in test_determinism, S32 is in test_swarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from kraken_fast import Candle, Feed, Gap, LiveTicker, OrderBook, Trade
from kraken_fast.core.book import BookSnapshot
from kraken_fast.events import Dropped, EventStream, LineChange
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.network import Network
from kraken_fast.sim.reference import CHECKSUM_LEVELS
from kraken_fast.sim.virtual import Timeline
from kraken_fast.subscription_records import Phase

from .records import Downstream, Recorder, State

S = 1_000_000_000
SUSPECT_NS = 1_500_000_000
SWEEP_NS = 250_000_000
"""All books are looked at this often; those that changed, at once."""

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


class ViolationError(AssertionError):
    """An invariant does not hold."""


class StreamReader:
    """S26 of one slow reader: what was offered is read, waits, was replaced by newer, or was counted as dropped."""

    def __init__(self, oracle: Oracle, stream: EventStream, size: int) -> None:
        self.single = 0
        self.latest = 0
        self._oracle = oracle
        self._stream = stream
        self._size = size
        self._read: Counter[str] = Counter()
        self._last_ids: dict[str, int] = {}
        self.begun_again: set[str] = set()
        """Symbols that were unsubscribed from meanwhile: trades that were known before may come again."""

    def took(self, event: Any) -> None:
        """The reader got this."""
        if isinstance(event, Dropped):
            self._read["told"] += event.count
            return
        is_single = not isinstance(event, BookSnapshot) and type(event).__name__ != "TickerSnapshot"
        if isinstance(event, Candle):
            is_single = event.closed
        self._read["single" if is_single else "latest"] += 1
        if isinstance(event, Trade) and event.symbol not in self.begun_again:
            last = self._last_ids.get(event.symbol, 0)
            self._oracle.expect(event.trade_id > last, "S07", lambda: f"stream: {event} after {last}")
            self._last_ids[event.symbol] = event.trade_id

    def check_bound(self, symbols: int) -> None:
        """S25: what waits is bounded by the size asked for, and one of each kind and symbol."""
        waiting = len(self._stream._single), len(self._stream._latest)
        self._oracle.expect(
            waiting[0] <= self._size and waiting[1] <= 3 * symbols, "S25", lambda: f"{waiting} events wait"
        )

    def over(self) -> None:
        """The reader stops: the sums must agree."""
        stream, read = self._stream, self._read
        if self in self._oracle.readers:
            self._oracle.readers.remove(self)
        sums = (read["single"] + stream.dropped + len(stream._single), read["latest"] + stream.coalesced
                + len(stream._latest), read["told"] + stream._lost)  # fmt: skip
        self._oracle.expect(
            sums == (self.single, self.latest, stream.dropped),
            "S26",
            lambda: f"offered {self.single} and {self.latest}, dropped {stream.dropped}; accounted for {sums}",
        )


class Oracle:
    """Judges one feed after the other.

    Attributes:
        counts: how often each invariant was checked.
        checks: instants looked at.
    """

    def __init__(self, timeline: Timeline, core: ExchangeCore, network: Network) -> None:
        self.counts: Counter[str] = Counter()
        self.checks = 0
        self.books_checked = 0
        self.depth_checked = 0
        self.states: dict[str, int] = {}
        """How often a book was seen in each state."""
        self.gaps: list[Gap] = []
        self.readers: list[StreamReader] = []
        self._timeline = timeline
        self._core = core
        self._network = network
        self._violation_kept: BaseException | None = None
        self._is_over = False
        self._feed: Feed | None = None
        self._recorders: dict[str, Recorder] = {}
        self._lines: dict[int, Downstream] = {}
        self._last_line = 0
        self._changed: set[str] = set()
        self._swept_ns = 0
        self.plants_errors = False
        """A test makes the client's own methods raise."""
        self.inside = ""
        """The callback that runs, while one runs."""
        self._valid: set[str] = set()
        self._crossed: set[str] = set()
        self._epoch = 0
        self._trade_ids: dict[str, int] = {}
        self._closed: dict[tuple[str, int], tuple[object, ...]] = {}
        self._updated_ns: dict[tuple[str, str], int] = {}

    def watch(self, feed: Feed) -> None:
        """Judge this feed from now on."""
        self._feed = feed
        depth = feed._parameters["book"]["depth"]
        assert isinstance(depth, int)
        if self._recorders:
            return
        self._core.set_pair = self._set_pair  # type: ignore[method-assign]
        for symbol in self._core.listing.pairs:
            self._recorders[symbol] = Recorder(self._core.feed(symbol), depth, lambda: self._lossy)

    def _set_pair(self, symbol: str, **changes: Any) -> None:
        type(self._core).set_pair(self._core, symbol, **changes)
        self._recorders[symbol].record()

    def forget(self, symbol: str) -> None:
        """The user unsubscribed: the next subscription begins anew, with trades that were known before."""
        for reader in self.readers:
            reader.begun_again.add(symbol)
        self._trade_ids.pop(symbol, None)
        self._valid.discard(symbol)
        self._closed = {key: value for key, value in self._closed.items() if key[0] != symbol}
        self._updated_ns = {key: value for key, value in self._updated_ns.items() if key[1] != symbol}

    def forget_all(self) -> None:
        """The user begins again with a new feed; streams of the old one get no more."""
        self.readers = []
        self._trade_ids.clear()
        self._valid.clear()
        self._closed.clear()
        self._updated_ns.clear()

    def keep(self, error: BaseException) -> None:
        """Raise this when the instant is over: whoever found it cannot."""
        self._violation_kept = self._violation_kept or error

    def _raise_kept(self) -> None:
        if self._violation_kept is not None:
            raise self._violation_kept

    # What it hears -----------------------------------------------------------------------------------------------

    def on_wire(self, direction: str, number: int, data: bytes | None) -> None:
        """Bytes were read by the client, or by the exchange."""
        if direction == "down" and data is not None:
            line = self._lines.get(number)
            if line is None:
                line = self._lines[number] = Downstream(self._recorders)
                self._lines.pop(number - 10, None)
            self._last_line = max(self._last_line, number)
            line.feed(data, self._timeline.now_ns)

    def on_stream(self, stream: EventStream, size: int) -> StreamReader:
        """A user begins to iterate."""
        reader = StreamReader(self, stream, size)
        self.readers.append(reader)
        return reader

    def on_book(self, book: OrderBook) -> None:
        """The client delivered a book: S03 holds of each, not only of the last of an instant."""
        self._changed.add(book.symbol)
        self._check_call("book", book.symbol, book.updated_ns, is_single=False)
        self._check_shape(book)

    def on_ticker(self, ticker: LiveTicker) -> None:
        """The client delivered a ticker."""
        self._check_call("ticker", ticker.symbol, ticker.updated_ns, is_single=False)

    def on_trade(self, trade: Trade) -> None:
        """S07: ids rise, none comes twice, and one that is missing was declared."""
        self._check_call("trade", trade.symbol, trade.recv_ns, is_single=True)
        made = self._recorders[trade.symbol].trades.get(trade.trade_id)
        facts = trade.side, trade.price, trade.qty, trade.ord_type, trade.exch_ns
        # A pair's new precision rewrites its old trades; some mutations say the same in other words.
        is_rewritten = not self._core.faults.fired.keys().isdisjoint(("mutate", "precision"))
        is_true = made is None or is_rewritten or facts == made
        self.expect(is_true, "S07", lambda: f"{trade!r}: {facts}, the exchange made {made}")
        last = self._trade_ids.get(trade.symbol)
        if last is not None:
            self.expect(trade.trade_id > last, "S07", lambda: f"{trade.symbol}: {trade.trade_id} after {last}")
            if trade.trade_id > last + 1:
                missing = last + 1, trade.trade_id - 1
                declared = self.gaps and (self.gaps[-1].first, self.gaps[-1].last) == missing
                self.expect(bool(declared), "S07", lambda: f"{trade.symbol}: {missing} missing, undeclared")
        self._trade_ids[trade.symbol] = trade.trade_id

    def on_candle(self, candle: Candle) -> None:
        """S08: a closed candle changes only through a correction."""
        self._check_call("candle", candle.symbol, candle.recv_ns, is_single=candle.closed)
        key = candle.symbol, candle.begin_ns
        facts = tuple(getattr(candle, name) for name in ("open", "high", "low", "close", "vwap", "volume", "trades"))
        known = self._closed.get(key)
        if known is not None and not candle.correction:
            self.expect(candle.closed and facts == known, "S08", lambda: f"{candle!r} was closed as {known}")
        if candle.closed:
            self._closed[key] = facts

    def on_notice(self, event: Any) -> None:
        """S07: a gap is declared once, and names ids that did not come."""
        for reader in self.readers:
            reader.single += 1
        if isinstance(event, LineChange):
            is_ours = "internal error" in event.reason and not self.plants_errors
            self.expect(not is_ours, "S27", lambda: f"{event}")
        if isinstance(event, Gap):
            last = self._trade_ids.get(event.symbol)
            self.expect(last is None or event.first == last + 1, "S07", lambda: f"{event} after trade {last}")
            self.expect(event.last >= event.first, "S07", lambda: f"{event} is empty")
            self.gaps.append(event)

    def on_read(self, book: BookSnapshot) -> None:
        """S09 and S01 of a strict read: it gives what is live, not crossed, and true, or nothing."""
        line = self._lines[self._last_line]
        silent_ns = self._timeline.now_ns - (line.text_ns or 0)
        is_live = book.quality == "live" and not book.crossed and silent_ns <= SUSPECT_NS
        self.expect(is_live, "S09", lambda: f"{book!r} was read strictly: {book.quality}, silent for {silent_ns} ns")
        self._check_truth(book)

    def _check_call(self, channel: str, symbol: str, at_ns: int | None, *, is_single: bool) -> None:
        """S28: calls of a symbol come in the order of their messages, and none within another."""
        for reader in self.readers:
            if is_single:
                reader.single += 1
            else:
                reader.latest += 1
        self.expect(not self.inside, "S28", lambda: f"{channel} {symbol} was called within {self.inside}")
        last_ns = self._updated_ns.get((channel, symbol), 0)
        is_later = at_ns is not None and at_ns >= last_ns
        self.expect(is_later, "S28", lambda: f"{channel} {symbol}: {at_ns} after {last_ns}")
        self._updated_ns[channel, symbol] = at_ns or 0
        self.inside = f"{channel} {symbol}"

    # What it checks ----------------------------------------------------------------------------------------------

    def on_quiet(self) -> None:
        """An instant is over: check what it changed, and now and then everything."""
        if self._feed is None or self._is_over:
            return
        try:
            self._raise_kept()
            self._check(self._feed, self._timeline.now_ns)
            self._raise_kept()
        except BaseException:
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
            self._check_bounds(feed)
            for symbol in symbols:
                self._check_ticker(feed, symbol, now_ns)
        for symbol in symbols:
            book = feed._session.decoder.book(symbol)
            if book is not None:
                self._check_book(book, now_ns)
        self._check_others(feed)

    def _check_others(self, feed: Feed) -> None:
        """S06: what makes one book invalid changes no other; each falls with its line, or by a word about itself."""
        session = feed._session
        books = [book for name in session.decoder.kept_symbols() if (book := session.decoder.book(name)) is not None]
        valid = {book.symbol for book in books if book.is_valid}
        line = self._lines.get(self._last_line)
        named = set() if line is None else line.named
        epoch = session.decoder.line.epoch
        if epoch == self._epoch:
            for symbol in sorted(self._valid - valid - named - self._crossed):
                self.expect(
                    session.subscriptions.phase("book", symbol) is not Phase.DELIVERING,
                    "S06",
                    lambda symbol=symbol: f"{symbol} fell though nothing was said about it, only of {sorted(named)}",
                )
            self.counts["S06"] += 1
        self._epoch, self._valid = epoch, valid
        self._crossed = {book.symbol for book in books if book.crossed}
        if line is not None:
            line.named.clear()

    def _check_bounds(self, feed: Feed) -> None:
        """S25: what the client keeps of requests, refusals and unread events is bounded."""
        session = feed._session
        wanted = len(session.subscriptions.wanted()) + len(self._core.listing.pairs)
        sizes = len(session.subscriptions._requests), len(session.subscriptions._timers), len(session._refusals)
        connection = session.connection
        unsent = 0 if connection is None else connection.listener.unsent_bytes
        self.expect(
            sizes[0] <= 3 * wanted and sizes[1] <= 1_000 + 50 * wanted and unsent <= 1 << 20,
            "S25",
            lambda: f"{sizes} requests, timers, refusals and {unsent} bytes for {wanted} subscriptions",
        )
        for reader in self.readers:
            reader.check_bound(len(self._recorders))

    def _check_book(self, book: OrderBook, now_ns: int) -> None:
        self.books_checked += 1
        self.counts.update(("S03", "S04", "S09", "S10"))
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

    def _check_truth(self, book: OrderBook | BookSnapshot) -> None:
        stamp = book.exch_ns
        if "text" in self._core.faults.fired and (
            stamp is None or not self._recorders[book.symbol].published(stamp)
        ):
            return  # a test put words into the exchange's mouth
        published = [] if stamp is None else self._recorders[book.symbol].published(stamp)
        self.counts["S01"] += 1
        state = next((state for state in published if state[2] == book.checksum), None)
        if state is None:
            raise self._violation("S01", f"{book!r} at {stamp}: {book.checksum}, published {published}")
        is_lossless = self._is_lossless(book)
        self.depth_checked += is_lossless
        self.counts["S02"] += is_lossless
        self._compare(
            "S02" if is_lossless else "S01", book, state, book.depth if is_lossless else CHECKSUM_LEVELS
        )

    def _compare(self, invariant: str, book: OrderBook | BookSnapshot, state: State, depth: int) -> None:
        """Compare numbers and their decimals over some levels."""
        for held, published in ((book.bids, state[0]), (book.asks, state[1])):
            numbers = [number for level in held[:depth] for number in level]
            # Equal numbers of equal exponents are equal mantissas at an equal scale; all of a side share theirs.
            if numbers != published[: 2 * depth] or _scales(numbers) != _scales(published):
                text = f"{book!r} over {depth} levels:\n{numbers}\npublished\n{published}"
                raise self._violation(invariant, text)

    def _is_lossless(self, book: OrderBook | BookSnapshot) -> bool:
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
            assert self._feed is not None
            if self._feed.state not in ("live", "suspect"):
                raise self._violation("S09", f"{store!r} is live on a line that is {self._feed.state}")
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
        self.expect(len(recent) <= 100, "S22", lambda: f"{len(recent)} attempts within 600 s")

    def expect(self, holds: bool, invariant: str, text: Callable[[], str]) -> None:
        """Count a check, and keep and raise the violation if it fails."""
        self.counts[invariant] += 1
        if not holds:
            raise self._violation(invariant, text())

    def _violation(self, invariant: str, text: str) -> ViolationError:
        error = ViolationError(
            f"{invariant}: after {self._timeline.now_ns / S:.9f} s, seed {self._core.seed}: {text}"
        )
        # A client swallows what its callbacks raise: the first one is kept and raised when the instant is over.
        self.keep(error)
        return error


def _scales(numbers: list[Decimal]) -> list[object]:
    """The exponents of the first level."""
    return [number.as_tuple().exponent for number in numbers[:2]]
