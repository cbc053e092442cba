"""The decoder against recordings, the catalogue of messages, and every other way of writing the same."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import corpus
import pytest
from bookwire import Line3
from hypothesis import given, settings
from hypothesis import strategies as st
from judge import Oracle, Witness, same
from report import note

from kraken_fast.core.checksum import has_clmul
from kraken_fast.core.decode import Decoder
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import ReferenceBook, loads

VECTORS = corpus.book_vectors()
CATALOGUE = corpus.catalogue()
PATHS = [True, pytest.param(False, marks=pytest.mark.skipif(not has_clmul(), reason="no such instruction"))]


def fed(raw: bytes, handler: Witness | None = None, **options: Any) -> Decoder:
    decoder = Decoder(handler=handler, create=True, **options)
    assert decoder.feed(raw), decoder.last_error
    return decoder


@pytest.mark.parametrize("portable", PATHS, ids=lambda portable: "tables" if portable else "clmul")
def test_every_recorded_book_message_verifies(portable: bool) -> None:
    verified = 0
    for vector in VECTORS:
        decoder = Decoder(portable=portable)
        book = decoder.want_book(vector["symbol"], vector["depth"])
        reference = ReferenceBook(vector["depth"])
        for index, raw in enumerate(vector["raw"]):
            assert decoder.feed(raw.encode(), strict=True)
            assert book.is_valid, (vector["id"], index)
            assert book.checksum == vector["expected_crc"][index]
            assert reference.apply_raw(raw) == book.checksum
            assert same(book.bids, reference.bids)
            assert same(book.asks, reference.asks)
            book._check()
        assert (book.verified, book.mismatched, book.dropped) == (len(vector["raw"]), 0, 0)
        verified += book.verified
    note(f"recorded book messages verified ({'tables' if portable else 'clmul'})", f"{verified} of 554")
    assert verified == 554


def test_the_catalogue_decodes_field_by_field() -> None:
    oracle, witness = Oracle(), Witness()
    decoder = Decoder(handler=witness, create=True)
    for name, raw in CATALOGUE.items():
        witness.events.clear()
        assert decoder.feed(raw, strict=True), name
        expected = oracle.events(loads(raw))
        assert same(witness.events, expected), (name, witness.events, expected)
    note("public messages of the catalogue decoded", len(CATALOGUE))
    assert len(CATALOGUE) == 48
    assert (decoder.malformed, decoder.unknown, decoder.unwanted) == (0, 0, 0)


def test_the_recorded_acknowledgements_are_understood() -> None:
    known = {
        "book", "ticker", "trade", "ohlc", "instrument", "status", "heartbeat", "executions", "balances", "level3",
    }  # fmt: skip
    for raw in corpus.recorded_lines("acks-errors-private-2024-2025.jsonl"):
        witness = Witness()
        decoder = Decoder(handler=witness, create=True)
        message = loads(raw)
        understood = decoder.feed(raw)
        if not isinstance(message, dict):  # the text of a proxy that restarts
            assert (understood, decoder.malformed) == (False, 1)
            continue
        assert decoder.malformed == 0, raw
        assert understood == (message.get("channel") in known or "channel" not in message)
        if "channel" not in message:
            assert same(witness.events, Oracle().events(message))


MESSAGES = {name: corpus.parse(raw) for name, raw in CATALOGUE.items()}


@settings(max_examples=600, deadline=None)
@given(
    name=st.sampled_from(sorted(CATALOGUE)),
    random=st.randoms(use_true_random=False),
    ways=st.sets(st.sampled_from(["shuffle", "space", "escape", "extra", "exponent"]), min_size=1),
)
def test_any_legal_writing_of_a_message_means_the_same(name: str, random: Random, ways: set[str]) -> None:
    raw = corpus.Printer(random, **dict.fromkeys(ways, True)).write(MESSAGES[name])
    witness, oracle = Witness(), Oracle()
    decoder = Decoder(handler=witness, create=True)
    if name.startswith("book.update"):
        before = ["book.snapshot", "book.update.move", "book.update.qty"]
        for earlier in before[: before.index(name)]:
            decoder.feed(CATALOGUE[earlier])
            oracle.events(loads(CATALOGUE[earlier]))
        witness.events.clear()
    assert decoder.feed(raw, strict=True), raw
    expected = oracle.events(loads(raw))
    assert same(witness.events, expected), (raw, witness.events, expected)


def test_the_whole_recorded_snapshot_in_another_writing() -> None:
    raw = corpus.instrument_snapshot()
    ways = {"shuffle": True, "space": True, "escape": True, "extra": True, "exponent": True}
    rewritten = corpus.Printer(Random(7), **ways).write(corpus.parse(raw))
    witness = Witness()
    fed(rewritten, witness)
    assert same(witness.events, Oracle().events(loads(raw)))


# ---------------------------------------------------------------------------------------------- what is refused


def test_strict_raises_what_is_else_only_told() -> None:
    decoder = Decoder()
    with pytest.raises(DecodeError) as caught:
        decoder.feed(b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":5}]}', strict=True)
    error = caught.value
    assert (error.channel, error.symbol, error.offset) == ("book", "A/B", 65)
    assert '"bids":5}]}' in error.excerpt
    assert "list of levels" in error.reason
    assert str(error).startswith("book A/B: a list of levels was expected at byte 65:")
    assert decoder.last_error is error


@pytest.mark.fault("K08", kind="U")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"channel":"level4","type":"snapshot","data":[{"x":1}]}',
        b'{"channel":"new"}',
        b"{}",
        b'{"a":[{}]}',
        b'{"data":[{"symbol":5}],"channel":"execution","type":"delta","sequence":1}',
    ],
)
def test_what_we_do_not_know_is_counted_and_ignored(raw: bytes) -> None:
    line = Line3()
    assert not line.decoder.feed(raw, strict=True)
    assert (line.decoder.unknown, line.decoder.malformed, line.trust()) == (1, 0, [25, 25, 25])
    assert line.witness.errors == []
    assert len(line.witness.events) == 3


@pytest.mark.fault("K24", kind="U")
@pytest.mark.parametrize("data", ['"error"', '{"error":"x"}', "[]x", "null", "[null]", '["error"]', "5", ""])
@pytest.mark.parametrize("channel", ["book", "ticker", "trade", "ohlc", "instrument", "status"])
def test_an_error_where_data_is_expected_is_a_decode_error(channel: str, data: str) -> None:
    if channel == "instrument" and data == '{"error":"x"}':
        pytest.skip("an object without lists tells nothing")
    member = f',"data":{data}' if data else ""
    decoder = Decoder(create=True)
    with pytest.raises(DecodeError):
        decoder.feed(f'{{"channel":"{channel}","type":"update"{member},"error":"x"}}'.encode(), strict=True)


@pytest.mark.fault("D16", kind="U")
@pytest.mark.parametrize(
    "inner",
    [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"1," * 999_999 + b"1]", b'"' + b"x" * 10_000_000 + b'"',
     b'"' + b"\\u0041" * 1_700_000 + b'"', b"[" + b'{"price":1,"qty":1},' * 400_000, b"9" * 10_000_000,
     b"1" + b"0" * 10_000_000,
     b"0." + b"0" * 10_000_000 + b"1", b" " * 10_000_000, b'"symbol":"A/B",' * 600_000],
    ids=["arrays", "objects", "a million numbers", "10 MB text", "10 MB escapes", "levels", "nines", "zeros",
    "decimals",
         "space", "symbols"],
)  # fmt: skip
@pytest.mark.parametrize(
    "frame",
    ['{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":INNER', '{"channel":"ticker","data":INNER',
     '{"channel":"ticker","type":"update","data":[{"symbol":"A/B","bid":INNER}]}', '{"unknown":INNER', "INNER",
     '{"method":INNER', '{"method":"x","result":INNER'],
)  # fmt: skip
def test_the_huge_is_refused(frame: str, inner: bytes) -> None:
    line = Line3()
    began = time.process_time()
    assert not line.decoder.feed(frame.encode().replace(b"INNER", inner))
    assert time.process_time() - began < 1, "bounded; the benchmark holds it to 50 ms"
    assert line.decoder.malformed == 1
    assert len(str(line.witness.errors[0])) < 400
    assert line.decoder.feed(CATALOGUE["heartbeat"], strict=True)


@pytest.mark.parametrize("message", [5, 10**12, "text", None, [1, 2]])
def test_only_bytes_are_messages(message: Any) -> None:
    with pytest.raises(TypeError):
        Decoder().feed(message)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_is_a_message(kind: Any) -> None:
    assert Decoder(create=True).feed(kind(CATALOGUE["book.snapshot"]), strict=True)


@pytest.mark.fault("D16", kind="U")
@pytest.mark.parametrize(
    ("depth", "understood"), [(1, True), (32, True), (33, False), (64, False), (65, False), (100_000, False)]
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded(depth: int, understood: bool, opening: str, closing: str) -> None:
    nest = (opening * depth + ("0" if closing == "}" else "") + closing * depth).encode()
    assert Decoder().feed(b'{"unknown":' + nest + b',"channel":"heartbeat"}') == understood
