"""The decoder against recordings, the catalogue of messages, and every other way of writing the same."""

from __future__ import annotations

from random import Random
from typing import Any

import corpus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Oracle, Witness, same
from report import note

from kraken_fast.core.checksum import has_clmul
from kraken_fast.core.decode import Decoder
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
            assert same(book.bids, reference.bids) and same(book.asks, reference.asks)
            book._check()
        assert (book.verified, book.mismatched, book.dropped) == (len(vector["raw"]), 0, 0)
        verified += book.verified
    note(f"recorded book messages verified ({'tables' if portable else 'clmul'})", f"{verified} of 554")
    assert verified == 554


def test_the_long_recording_verifies_only_when_cut_to_its_depth() -> None:
    (vector,) = [v for v in VECTORS if v["id"] == "book-rec-btcusd-d10-20230730-long"]
    verified = {}
    for depth in (10, 1000):
        # A mismatching book is resynchronised by its owner; here it goes on, so that all messages are judged.
        witness = Witness()
        witness.on_book_lost = lambda book, reason: book.give_up_verifying()  # type: ignore[method-assign]
        decoder = Decoder(handler=witness)
        book = decoder.want_book("BTC/USD", depth)
        decoder.feed_all([raw.encode() for raw in vector["raw"]])
        verified[depth] = book.verified
    note("long recording verified at its depth, uncut", f"{verified[10]} of 510, {verified[1000]} of 510")
    assert verified == {10: 510, 1000: 60}


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


def test_a_connection_id_beyond_63_bits_is_kept() -> None:
    witness = Witness()
    fed(CATALOGUE["status.online"], witness)
    assert witness.events[0][1]["connection_id"] == 14276803951127740833


def test_the_recorded_instruments_load() -> None:
    witness, raw = Witness(), corpus.instrument_snapshot()
    decoder = fed(raw, witness)
    assert same(witness.events, Oracle().events(loads(raw)))
    note(
        "recorded pairs and assets loaded", f"{len(decoder.instruments)} of 683, {len(decoder.assets)} of 296"
    )
    assert (len(decoder.instruments), len(decoder.assets)) == (683, 296)
    assert witness.snapshots == [("instrument", "")]
    assert decoder.want_book("BTC/USD", 10).price_scale == decoder.instruments["BTC/USD"].price_precision == 1


def test_the_recorded_acknowledgements_are_understood() -> None:
    known = {"book", "ticker", "trade", "ohlc", "instrument", "status", "heartbeat"}
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
