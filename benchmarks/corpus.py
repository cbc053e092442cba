"""The frames that everything is measured with: made from a seed, like the recorded ones, with right checksums.

Books come from `kraken_fast.sim.tape`, which tells their statistics: 217 bytes and two levels a message on average,
57 % with one level. They go round: after the last frame a book is where it began, so a corpus may be fed again and
again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from kraken_fast.sim.tape import Tape, render
from kraken_fast.sim.texts import rfc3339

from . import ROOT

SEED = 20261122
MESSAGES = 4_000
"""Of one symbol: 1 MB, so that frames come out of a cache, as frames do that the kernel has just copied."""

EACH = 30
"""Of each of many symbols: the message that leads a book back to its beginning is long, and must stay rare."""

CHANNELS = ("book", "trade", "ticker", "ohlc")

_START_NS = 1_760_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Frames of one channel.

    Attributes:
        opening: snapshots, to be fed once.
        frames: updates, to be fed round and round.
        depth: of the books.
    """

    name: str
    opening: list[bytes]
    frames: list[bytes]
    symbols: tuple[str, ...]
    depth: int = 10

    @property
    def mean_bytes(self) -> float:
        """Length of a frame on average."""
        return sum(map(len, self.frames)) / len(self.frames)


@cache
def tape(symbols: int = 1, depth: int = 10, messages: int = MESSAGES, seed: int = SEED) -> Tape:
    """Give a tape, rendered once a process."""
    return render(symbols, depth=depth, messages=messages, seed=seed)


@cache
def books(symbols: int = 1, depth: int = 10, messages: int = 0, seed: int = SEED) -> Corpus:
    """Give books of so many symbols, interleaved at random; `messages` 0 gives as many as make a good measure."""
    messages = messages or max(MESSAGES, EACH * symbols)
    reels = tape(symbols, depth, messages, seed)
    return Corpus(
        f"book, {_plural(symbols)}, depth {depth}",
        [reel.snapshot.encode() for reel in reels.reels.values()],
        [text.encode() for text in reels.texts()],
        tuple(reels.reels),
        depth,
    )


@cache
def recorded() -> Corpus:
    """Give the recorded session: BTC/USD, depth 10, 509 updates of 30 July 2023. It does not go round."""
    vectors = json.loads((ROOT / "tests" / "data" / "checksum-vectors.json").read_text())["vectors"]
    (raw,) = (vector["raw"] for vector in vectors if vector["id"] == "book-rec-btcusd-d10-20230730-long")
    return Corpus("recorded BTC/USD", [raw[0].encode()], [text.encode() for text in raw[1:]], ("BTC/USD",))


@cache
def trades(symbols: int = 1, messages: int = MESSAGES) -> Corpus:
    """Give trades, one a message in three of four, as on the wire. Their ids rise, so they do not go round."""
    rng, names = random.Random(f"{SEED}/trades"), _names(symbols)
    last_id = dict.fromkeys(names, 70_000_000)

    def row(symbol: str) -> str:
        last_id[symbol] += 1
        return (
            f'{{"symbol":"{symbol}","side":"{rng.choice(("buy", "sell"))}","price":{_price(rng)},"qty":{_qty(rng)},'
            f'"ord_type":"{rng.choice(("market", "limit"))}","trade_id":{last_id[symbol]},"timestamp":"{_time(rng)}"}}'
        )

    texts = []
    for _ in range(messages):
        symbol = rng.choice(names)
        rows = [row(symbol) for _ in range(rng.choice((1, 1, 1, 2)))]
        texts.append(f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'.encode())
    return Corpus(f"trade, {_plural(symbols)}", [], texts, tuple(names))


@cache
def tickers(symbols: int = 1, messages: int = MESSAGES) -> Corpus:
    """Give tickers of thirteen numbers each."""
    rng, names = random.Random(f"{SEED}/tickers"), _names(symbols)
    texts = [
        (
            f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{rng.choice(names)}","bid":{_price(rng)},'
            f'"bid_qty":{_qty(rng)},"ask":{_price(rng)},"ask_qty":{_qty(rng)},"last":{_price(rng)},'
            f'"volume":{rng.randint(10**10, 10**12) / 10**8:.8f},"vwap":{_price(rng)},"low":{_price(rng)},'
            f'"high":{_price(rng)},"change":{rng.randint(-20_000, 20_000) / 10:.1f},'
            f'"change_pct":{rng.randint(-500, 500) / 100:.2f},"trades":{rng.randint(1, 99_999)},'
            f'"timestamp":"{_time(rng)}"}}]}}'
        ).encode()
        for _ in range(messages)
    ]
    return Corpus(f"ticker, {_plural(symbols)}", [], texts, tuple(names))


@cache
def candles(symbols: int = 1, messages: int = MESSAGES) -> Corpus:
    """Give candles of one minute, each changing many times before the next begins."""
    rng, names = random.Random(f"{SEED}/candles"), _names(symbols)
    texts = []
    for number in range(messages):
        begin_ns = _START_NS // 60_000_000_000 * 60_000_000_000 + number // (50 * symbols) * 60_000_000_000
        texts.append(
            (
                f'{{"channel":"ohlc","type":"update","timestamp":"{rfc3339(begin_ns + 1, 9)}","data":[{{'
                f'"symbol":"{rng.choice(names)}","open":{_price(rng)},"high":{_price(rng)},"low":{_price(rng)},'
                f'"close":{_price(rng)},"trades":{rng.randint(1, 999)},"volume":{_qty(rng)},"vwap":{_price(rng)},'
                f'"interval_begin":"{rfc3339(begin_ns, 9)}","interval":1,'
                f'"timestamp":"{rfc3339(begin_ns + 60_000_000_000)}"}}]}}'
            ).encode()
        )
    return Corpus(f"ohlc, {_plural(symbols)}", [], texts, tuple(names))


def of_channel(channel: str, symbols: int = 1) -> Corpus:
    """Give the corpus of a channel by its name."""
    return {"book": books, "trade": trades, "ticker": tickers, "ohlc": candles}[channel](symbols)


def scenarios() -> Iterator[Corpus]:
    """Give the books of every shape that a gate names."""
    yield recorded()
    for symbols in (1, 200, 1000):
        yield books(symbols)
    for depth in (25, 100, 1000):
        yield books(depth=depth)


def _plural(symbols: int) -> str:
    return "1 symbol" if symbols == 1 else f"{symbols:,} symbols"


def _names(symbols: int) -> list[str]:
    return list(tape(symbols, messages=2 * symbols).reels) if symbols > 1 else ["BTC/USD"]


def _price(rng: random.Random) -> str:
    return f"{rng.randint(600_000, 680_000) / 10:.1f}"


def _qty(rng: random.Random) -> str:
    return f"{rng.randint(1_000, 10**9) / 10**8:.8f}"


def _time(rng: random.Random) -> str:
    return rfc3339(_START_NS + rng.randint(0, 86_400_000_000) * 1_000)
