"""Cut, mutated and merged messages: no crash, no wrong number, nothing right refused, nothing changed by the refused.

Every case is judged by `json`,
`Decimal` and the schema in tests/schema.py. FUZZ_CASES and FUZZ_SEED in the environment
make longer and other runs.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import corpus
import pytest
import schema
from judge import Oracle, Witness, same, time_ns
from report import note

from kraken_fast.core.decode import Decoder
from kraken_fast.sim.reference import ReferenceBook, loads

CASES = int(os.environ.get("FUZZ_CASES", "30000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))
CATALOGUE = corpus.catalogue()
NAMES = sorted(CATALOGUE)
PARSED = {name: corpus.parse(raw) for name, raw in CATALOGUE.items()}
BASE = CATALOGUE["book.snapshot"]
ALPHABET = b'{}[]",:.\\/-+0123456789eEntfuslZT \t\n\x00\x1f\x7f\xff\xc3\xa9'
TOKENS = [
    b"null", b"true", b"-1", b"0", b"1e5", b"1E-9", b"12345678901234567890", b'""', b'"x"', b"[]", b"{}",
    b"[[]]", b'"\\u0041"',
    b"0.00000000", b"-0", b"9223372036854775807", b"9223372036854775808", b"4294967296", b"1.",
    b'"2026-02-30T00:00:00Z"',
]  # fmt: skip


def mutated(random: Random) -> tuple[str, bytes]:
    """A message of the catalogue, rewritten legally or not, then harmed a little or not at all."""
    name = random.choice(NAMES)
    raw = CATALOGUE[name]
    if random.random() < 0.3:
        ways = {way: random.random() < 0.4 for way in ("shuffle", "space", "escape", "extra", "exponent")}
        raw = corpus.Printer(random, **ways).write(PARSED[name])
    for _ in range(random.choice([0, 1, 1, 1, 1, 2, 4])):
        place, kind = random.randrange(len(raw) + 1), random.randrange(9)
        if kind < 3:
            raw = raw[:place] + bytes([random.choice(ALPHABET)]) + raw[place + 1 :]
        elif kind == 3:
            raw = raw[:place] + bytes([random.choice(ALPHABET)]) + raw[place:]
        elif kind == 4:
            raw = raw[:place] + raw[place + random.choice([1, 1, 1, 2, 9]) :]
        elif kind == 5:
            raw = raw[:place]
        elif kind == 6:
            other = CATALOGUE[random.choice(NAMES)]
            raw = raw[:place] + other[random.randrange(len(other)) :]
        elif kind == 7:
            size = random.randrange(1, 40)
            raw = raw[:place] + raw[place : place + size] * 2 + raw[place + size :]
        else:
            raw = _another_value(random, raw)
        raw = raw or b" "
    return name, raw


def _another_value(random: Random, raw: bytes) -> bytes:
    """Another value for one member, found by its colon."""
    colons = [place for place, byte in enumerate(raw) if byte == 0x3A]
    if not colons:
        return raw
    begin = random.choice(colons) + 1
    end = begin
    while end < len(raw) and raw[end] not in b",}]":
        end += 1
    return raw[:begin] + random.choice(TOKENS) + raw[end:]


class Case:
    """One decoder with the catalogue's book in it, fed with one harmed message."""

    def __init__(self, name: str, raw: bytes) -> None:
        self.name, self.raw = name, raw
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness, create=True, create_depth=10)
        self.decoder.feed(BASE, strict=True)
        self.witness.events.clear()
        self.before = self._books()

    def _books(self) -> Any:
        books = [self.decoder.book(symbol) for symbol in self.decoder.kept_symbols()]
        return [
            (book.symbol, book.bids_raw, book.asks_raw, book.checksum, book.exch_ns) for book in books if book
        ]

    def run(self) -> str:
        fed = self.decoder.feed(self.raw)
        refused = self.decoder.malformed == 1
        expected = schema.verdict(self.raw)
        if refused:
            self._judge_refusal()
        if expected == schema.EITHER:
            return "refused" if refused else "either"
        if refused and expected == schema.ACCEPT and self._is_finer_than_its_book():
            return "refused by its scale"
        assert refused == (expected == schema.REFUSE), (expected, self.decoder.last_error)
        if expected == schema.ACCEPT:
            assert fed
            self._compare()
        else:
            assert not fed
            assert self.witness.events == []
        return expected

    def _judge_refusal(self) -> None:
        (error,) = self.witness.errors
        assert error is self.decoder.last_error
        assert 0 <= error.offset <= len(self.raw)
        assert error.reason
        assert self.witness.events == []
        assert self._books()[: len(self.before)] == self.before
        book = self.decoder.book("BTC/USD")
        assert book is not None
        if error.channel == "book" and error.symbol == "BTC/USD":
            assert (book.state, self.witness.lost[:1]) == ("invalid", [("BTC/USD", "malformed")])
        elif error.channel == "book" and self.decoder.book(error.symbol) is None and book.is_valid:
            assert book.snapshot().verified_depth <= 10
        elif error.channel in ("trade", "ohlc", "instrument", "status"):
            assert book.is_valid

    def _is_finer_than_its_book(self) -> bool:
        message = loads(self.raw)
        if message.get("channel") != "book":
            return False
        finest, count = [1, 8], 0
        for row in message["data"]:
            for level in [*row["bids"], *row["asks"]]:
                for index, key in enumerate(("price", "qty")):
                    value: Decimal = level[key]
                    mantissa, decimals = schema.parts(str(value))
                    finest[index] = max(finest[index], decimals)
                    count += abs(mantissa) * 10 ** (12 if decimals < 8 else 0) >= 2**63 // 10**4
        return finest != [1, 8] or count > 0

    def _compare(self) -> None:
        message = loads(self.raw)
        if message.get("channel") == "heartbeat":
            assert self.witness.events == []
            return
        if message.get("channel") == "book":
            self._compare_books(message)
            return
        if message.get("channel") is None:
            message = {key: value for key, value in message.items() if value is not None}
            message.setdefault("method", "error")
            message.pop("channel", None)
        expected = [
            (kind, facts)
            for kind, facts in Oracle().events(_defaulted(message))
            if kind not in ("ticker", "trade", "candle") or 0 < len(facts["symbol"].encode()) <= 32
        ]
        if message.get("channel") is None:     # numbers of a result: int as written, all else Decimal
            expected[0][1]["result"] = json.loads(self.raw, parse_float=Decimal).get("result")
        if message.get("channel") in ("trade", "ohlc"):
            self._compare_stores(expected)
        else:
            assert same(self.witness.events, expected), (self.witness.events, expected)

    def _compare_stores(self, expected: list[Any]) -> None:
        """Repeated and older rows are no events; what was told must be among the rows, and the last kept be told."""
        for event in self.witness.events:
            assert any(same(event, row) for row in expected), (event, expected)
        assert bool(self.witness.events) == bool(expected)

    def _compare_books(self, message: Any) -> None:
        told = [facts for _, facts in self.witness.events] + self.witness.disowned
        if len(message["data"]) != 1:
            return
        row = message["data"][0]
        symbol = row["symbol"]
        if message["type"] == "update" and symbol != "BTC/USD":
            assert told == []
            return
        if not 0 < len(symbol.encode()) <= 32:
            assert told == []
            return
        reference = ReferenceBook(10)
        if message["type"] == "update":
            reference.apply_raw(BASE)
        reference.apply(message)
        book = self.decoder.book(symbol)
        assert book is not None
        assert len(told) == 1
        padded = ReferenceBook(10, book.price_scale, book.qty_scale)
        if message["type"] == "update":
            padded.apply_raw(BASE)
        padded.apply(message)
        expected = {
            "symbol": symbol, "bids": tuple(padded.bids), "asks": tuple(padded.asks),
            "checksum": int(row["checksum"]),
            "exch_ns": None if row.get("timestamp") is None else time_ns(row["timestamp"]),
        }  # fmt: skip
        assert same(told[0], expected), (told, expected)
        assert (
            book.is_valid == (padded.checksum() == row["checksum"])
            or padded.checksum() != reference.checksum()
        )


def _defaulted(message: Any) -> Any:
    """Null is as good as absent, and so are lists of an instrument message."""
    data = message.get("data")
    if message.get("channel") == "instrument":
        data = {key: [_without_nulls(row) for row in data.get(key) or []] for key in ("assets", "pairs")}
        for row in data["assets"]:
            row.setdefault("precision_display", row["precision"])
        for row in data["pairs"]:
            row.setdefault("price_increment", row.get("tick_size"))
    elif isinstance(data, list):
        data = [_without_nulls(row) for row in data]
        for row in data:
            for key in ("upcoming_maintenance", "emergency"):
                if key in row and not isinstance(row[key], list):
                    row[key] = [row[key]]
    return {**message, "data": data}


def _without_nulls(row: Any) -> Any:
    return {key: value for key, value in row.items() if value is not None}


@pytest.mark.fault("D15", kind="Z")
@pytest.mark.fault("D17", kind="Z")
def test_harmed_messages() -> None:
    random = Random(SEED)
    print(f"seed {SEED}")
    outcomes: Counter[str] = Counter()
    for _ in range(CASES):
        name, raw = mutated(random)
        try:
            outcomes[Case(name, raw).run()] += 1
        except BaseException:
            print("case:", name, raw)
            raise
    note("harmed messages judged", f"{CASES}: {dict(outcomes.most_common())}")
    assert outcomes["accept"] > CASES // 20
    assert outcomes["refuse"] > CASES // 4


@pytest.mark.fault("D15", kind="U")
@pytest.mark.parametrize("name", NAMES)
def test_a_message_cut_anywhere_is_refused(name: str) -> None:
    raw = CATALOGUE[name]
    decoder = Decoder(create=True)
    decoder.feed(BASE, strict=True)
    for size in range(len(raw)):
        malformed = decoder.malformed
        assert not decoder.feed(raw[:size])
        assert decoder.malformed == malformed + 1
    for garbage in (b"x", b"{}", b",", b"]", b"}", b"\x00", b"\xef\xbb\xbf", b'"', b"//", raw):
        for text in (raw + garbage, garbage + raw):
            malformed = decoder.malformed
            assert not decoder.feed(text), text
            assert decoder.malformed == malformed + 1
    assert decoder.feed(b" \r\n\t" + raw + b" \r\n\t")
