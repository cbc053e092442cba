"""Prepared tapes: books whose messages are rendered beforehand, to be played as fast as a socket takes them.

The crowd of `market.py` is true to the exchange and takes some 100 us a message; a tape takes two. What it plays is
made by a random walk with the statistics of the recorded BTC/USD book: 57 % of the messages carry one level, the mean
is two, removals are followed by the level that comes into scope, and every checksum is right. A tape has no end: its
last message leads back to its first state, so it can be played round and round to clients who never see a second
snapshot.

A tape holds one depth, and nothing but books. Its first pairs are the recorded ones, the others are made up.
"""

from __future__ import annotations

import random
import zlib
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import ConfigError
from .feedbook import DEPTHS
from .instruments import Listing, Pair
from .reference import CHECKSUM_LEVELS
from .texts import NS_PER_MS, rfc3339

PAIRS_MAX = 1000
"""Pairs of one tape: some 2 kB each, and 230 bytes a message."""

ONE_ROW = 0.57
"""Share of messages with a single level. Source: 539 recorded updates of five pairs, 55 to 60 %."""

_ROWS = (2, 3, 4, 5, 6)
_ROWS_WEIGHTS = (40, 20, 20, 10, 10)
_RESERVE = 20
_START_NS = 1_760_000_000_000_000_000
_FIRST = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "DOGE/USD")
_TICKS = (640_000, 350_000, 17_000, 290_000, 2_300_000)

Row = tuple[bool, int, int]
"""(is a bid, ticks, lots); no lots: the level goes."""


class _BookSide:
    """One side of a walking book. Keys rise from best to worst: ticks for asks, negative ticks for bids."""

    def __init__(self, rng: random.Random, sign: int, best: int, levels: int) -> None:
        self.sign = sign
        self._rng = rng
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        key = sign * best
        for _ in range(levels):
            self.put(key)
            key += self.gap()

    def gap(self) -> int:
        return 1 + min(int(self._rng.expovariate(0.4)), 40)

    def put(self, key: int) -> None:
        """Set a level to a new quantity."""
        if key not in self.lots:
            insort(self.keys, key)
        rng = self._rng
        # People like round quantities, machines do not.
        is_round = rng.random() < 0.2
        self.lots[key] = rng.choice((100_000, 4_000_000, 30_000_000)) if is_round else rng.randint(10_000, 10**9)

    def remove(self, rank: int) -> int:
        """Take a level out; give its key."""
        key = self.keys.pop(rank)
        del self.lots[key]
        return key

    def best(self) -> list[tuple[int, int]]:
        """Give the ten best levels, (ticks, lots), best first."""
        return [(abs(key), self.lots[key]) for key in self.keys[:CHECKSUM_LEVELS]]


class WalkingBook:
    """A book on a random walk, in integers: quick enough to render 50,000 messages a second.

    Args:
        pair: gives the name and the decimals.
        depth: levels of each side that its messages tell of.
        rng: decides everything.
        ticks: price at the beginning.
    """

    def __init__(self, pair: Pair, depth: int, rng: random.Random, ticks: int) -> None:
        self.pair = pair
        self.depth = depth
        self._rng = rng
        self._size = depth + _RESERVE
        ticks = max(ticks, 50 * self._size)
        self._bids = _BookSide(rng, -1, ticks, self._size)
        self._asks = _BookSide(rng, 1, ticks + 1, self._size)

    def state(self) -> dict[tuple[bool, int], int]:
        """Every level in scope: (is a bid, ticks) -> lots, best first."""
        return {
            (side.sign < 0, abs(key)): side.lots[key]
            for side in (self._bids, self._asks)
            for key in side.keys[: self.depth]
        }

    def snapshot(self) -> str:
        """Write the book in scope."""
        return self.message("snapshot", [(is_bid, ticks, lots) for (is_bid, ticks), lots in self.state().items()], None)

    def step(self) -> list[Row]:
        """Let something happen; give the rows that tell it."""
        rng = self._rng
        wanted = 1 if rng.random() < ONE_ROW else rng.choices(_ROWS, _ROWS_WEIGHTS)[0]
        rows: list[Row] = []
        while len(rows) < wanted:
            side = self._bids if rng.random() < 0.5 else self._asks
            rank = min(int(rng.expovariate(0.3)), self.depth - 1)
            if wanted - len(rows) >= 2 and rng.random() < 0.6:
                self._remove(side, rank, rows)
            else:
                self._put(side, rank, rows, new=len(side.keys) < self._size or rng.random() < 0.3)
        return rows

    def message(self, kind: str, rows: Sequence[Row], time_ns: int | None) -> str:
        """Write a message; its checksum is that of the book as it is now."""
        return book_text(self.pair, kind, rows, self._bids.best(), self._asks.best(), time_ns)

    def return_to(self, state: dict[tuple[bool, int], int]) -> list[Row]:
        """Go back to an earlier state; give the rows that tell it."""
        now = self.state()
        rows: list[Row] = [(*level, 0) for level in now if level not in state]
        rows += [(*level, lots) for level, lots in state.items() if now.get(level) != lots]
        for side in (self._bids, self._asks):
            wanted = side.sign < 0
            side.lots = {side.sign * ticks: lots for (is_bid, ticks), lots in state.items() if is_bid == wanted}
            side.keys = sorted(side.lots)
            while len(side.keys) < self._size:
                side.put(side.keys[-1] + side.gap())
        return rows

    def _remove(self, side: _BookSide, rank: int, rows: list[Row]) -> None:
        key = side.remove(rank)
        rows.append((side.sign < 0, abs(key), 0))
        shown = side.keys[self.depth - 1]
        rows.append((side.sign < 0, abs(shown), side.lots[shown]))
        if len(side.keys) < self.depth + 5:
            side.put(side.keys[-1] + side.gap())

    def _put(self, side: _BookSide, rank: int, rows: list[Row], *, new: bool) -> None:
        key = side.keys[rank]
        if new:
            # A level nearer to the other side: within the spread for the best one, else within a gap.
            other = self._asks if side.sign < 0 else self._bids
            bound = side.keys[rank - 1] if rank else -other.keys[0]
            if bound < key - 1:
                key -= self._rng.randint(1, min(3, key - 1 - bound))
        side.put(key)
        rows.append((side.sign < 0, abs(key), side.lots[key]))
        if len(side.keys) > self._size + _RESERVE:
            side.remove(len(side.keys) - 1)


def book_text(
    pair: Pair,
    kind: str,
    rows: Sequence[Row],
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
    time_ns: int | None = None,
) -> str:
    """Write a book message.

    Args:
        pair: gives the name and the decimals.
        kind: snapshot or update.
        rows: what it tells.
        bids: the book after it, (ticks, lots), best first; ten are looked at, for the checksum.
        asks: the same.
        time_ns: of its stamp; None writes none.
    """
    price, qty = pair.price_precision, pair.qty_precision
    bid_rows, ask_rows = (
        ",".join(
            [
                f'{{"price":{_number(ticks, price)},"qty":{_number(lots, qty)}}}'
                for is_bid, ticks, lots in rows
                if is_bid == wanted
            ]
        )
        for wanted in (True, False)
    )
    best = (*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS])
    checksum = zlib.crc32("".join([f"{ticks}{lots}" for ticks, lots in best]).encode())
    stamp = "" if time_ns is None else f',"timestamp":"{rfc3339(time_ns)}"'
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair.symbol}",'
        f'"bids":[{bid_rows}],"asks":[{ask_rows}],"checksum":{checksum}{stamp}}}]}}'
    )


def _number(mantissa: int, digits: int) -> str:
    """Write an integer as a decimal with so many digits behind the point.

    >>> _number(294302, 1), _number(5, 8), _number(7, 0)
    ('29430.2', '0.00000005', '7')
    """
    if not digits:
        return str(mantissa)
    text = str(mantissa).zfill(digits + 1)
    return f"{text[:-digits]}.{text[-digits:]}"


def tape_pairs(count: int) -> list[Pair]:
    """Give so many pairs: five great ones, then those recorded as online, then ones that nobody lists.

    Raises:
        ConfigError: more than a tape can hold, or none.
    """
    if not 1 <= count <= PAIRS_MAX:
        raise ConfigError("count", count, f"between 1 and {PAIRS_MAX}")
    recorded = Listing().pairs
    names = [*_FIRST, *(name for name, pair in recorded.items() if name not in _FIRST and pair.status == "online")]
    pairs = [recorded[name] for name in names[:count]]
    for number in range(count - len(pairs)):
        base = f"SYN{number:03d}"
        pairs.append(replace(recorded["DOGE/USD"], symbol=f"{base}/USD", base=base))
    return pairs


@dataclass(frozen=True, slots=True)
class Reel:
    """One pair's part of a tape.

    Attributes:
        snapshot: the text of the state before the first update, and after the last.
        updates: the texts of the updates, in order.
        rows: what each update changes.
        start: the levels in scope at the beginning, (is a bid, ticks) -> lots.
    """

    pair: Pair
    snapshot: str
    updates: list[str]
    rows: list[list[Row]]
    start: dict[tuple[bool, int], int]


@dataclass(frozen=True, slots=True)
class Tape:
    """Books of one depth, rendered.

    Attributes:
        depth: levels a side.
        reels: by symbol.
        order: whose turn it is, message by message; every reel's updates, each once.
    """

    depth: int
    reels: dict[str, Reel]
    order: list[str]

    @property
    def pairs(self) -> list[Pair]:
        """Give the pairs, in the order in which they were asked for."""
        return [reel.pair for reel in self.reels.values()]

    def texts(self) -> Iterator[str]:
        """Give all updates in the order in which they are played."""
        updates = {symbol: iter(reel.updates) for symbol, reel in self.reels.items()}
        return (next(updates[symbol]) for symbol in self.order)


def render(pairs: int | Sequence[Pair] = 1, *, depth: int = 10, messages: int = 20_000, seed: int = 0) -> Tape:
    """Make a tape. Cost: some 20 us a message.

    Args:
        pairs: how many, see `tape_pairs`, or which.
        depth: 10, 25, 100, 500 or 1000.
        messages: updates of all pairs together; each pair gets two at least.
        seed: decides everything.

    Raises:
        ConfigError: an argument is out of range.
    """
    if depth not in DEPTHS:
        raise ConfigError("depth", depth, f"one of {', '.join(map(str, DEPTHS))}")
    listed = tape_pairs(pairs) if isinstance(pairs, int) else list(pairs)
    rng = random.Random(f"{seed}/tape")
    order = [pair.symbol for pair in listed] * 2
    order += rng.choices([pair.symbol for pair in listed], k=max(0, messages - len(order)))
    rng.shuffle(order)
    counts = Counter(order)
    reels = {pair.symbol: _reel(pair, depth, counts[pair.symbol], seed) for pair in listed}
    return Tape(depth, reels, order)


def _reel(pair: Pair, depth: int, messages: int, seed: int) -> Reel:
    rng = random.Random(f"{seed}/tape {pair.symbol}")
    ticks = dict(zip(_FIRST, _TICKS, strict=True)).get(pair.symbol, rng.randint(50_000, 5_000_000))
    book = WalkingBook(pair, depth, rng, ticks)
    start, snapshot = book.state(), book.snapshot()
    updates: list[str] = []
    changes: list[list[Row]] = []
    time_ns = _START_NS
    for number in range(messages):
        time_ns += rng.randint(1, 200) * NS_PER_MS + rng.randint(0, 999_999)
        rows = book.step() if number < messages - 1 else book.return_to(start)
        updates.append(book.message("update", rows, time_ns))
        changes.append(rows)
    return Reel(pair, snapshot, updates, changes, start)
