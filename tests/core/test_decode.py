"""The decoder against recordings, the catalogue of messages, and every other way of writing the same."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import corpus
import pytest
from bookwire import book_message
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


def test_the_long_recording_verifies_only_when_cut_to_its_depth() -> None:
    (vector,) = [v for v in VECTORS if v["id"] == "book-rec-btcusd-d10-20230730-long"]
    verified = {}
    for depth in (10, 1000):
        # A mismatching book is resynchronised by its owner; here it goes on, so that all messages are judged.
        witness = Witness()
        witness.__dict__["on_book_lost"] = lambda book, _reason: book.give_up_verifying()
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


# ---------------------------------------------------------------------------------------------- what is refused


class Line3:
    """Three books at depth 25, all valid."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness)
        self.books = [self.decoder.want_book(symbol, 25) for symbol in ("A/B", "C/D", "E/F")]
        for book in self.books:
            assert self.decoder.feed(book_message("snapshot", [], [], (0, 0), 0, book.symbol), strict=True)

    def trust(self) -> list[int]:
        return [book.verified_depth for book in self.books]


@pytest.mark.fault("D15", kind="U")
@pytest.mark.parametrize(
    ("raw", "trust"),
    [
        (b'{"channel":"book","type":"update","data":[{"symbol":"C/D","bids":[', [25, 0, 25]),
        (b'{"type":"update","data":[{"symbol":"C/D","bids":[{"pri', [25, 0, 25]),
        (b'"book","type":"update","data":[{"symbol":"C/D","bids":[]}]}', [25, 0, 25]),
        (b'{"channel":"book","x":{"symbol":"A/B"},"data":[{"symbol":"C/D","bids":[', [0, 0, 25]),
        (b'{"channel":"book","data":[{"symbol":"C/D","symbol":"E/F","bids":[]}]}', [25, 0, 0]),
        (b'{"channel":"book","type":"update","data":[{"symb', [10, 10, 10]),
        (b'{"channel":"book","type":"update","data":[{"symbol":"C\\/D","bids":[', [10, 10, 10]),
        (b'{"channel":"book","type":"update","data":[{"symbol":"C\x01D","bids":[]}]}', [10, 10, 10]),
        (b'{"channel":"book","type":"update","data":[{"symbol":"C\xffD","bids":[]}]}', [10, 10, 10]),
        (b'{"channel":"book","type":"update","data":[{"symbol":"C/D\xff","bids":[]}]}', [10, 10, 10]),
        (b'{"chan', [10, 10, 10]),
        (b' {"chan', [10, 10, 10]),
        (b'{"channel":"trade","data":[{"symbol":"C/D","bids":[', [25, 25, 25]),
        (b'{"channel":"foo","type":5,"data":[{"symbol":"C/D"}]}', [25, 25, 25]),
        (b"CloudFlare WebSocket proxy restarting", [25, 25, 25]),
        (b"", [25, 25, 25]),
    ],
)
def test_a_broken_message_harms_the_books_it_may_have_meant(raw: bytes, trust: list[int]) -> None:
    line = Line3()
    assert line.decoder.feed(b'{"channel":"heartbeat"}', strict=True)
    assert not line.decoder.feed(raw)
    assert line.trust() == trust
    assert len(line.witness.errors) == line.decoder.malformed == 1
    assert sorted(line.witness.lost) == [(b.symbol, "malformed") for b in line.books if b.verified_depth == 0]
    for book in line.books:
        assert line.decoder.feed(book_message("snapshot", [], [], (0, 0), 0, book.symbol), strict=True)
    assert line.trust() == [25, 25, 25]


def test_too_many_symbols_are_no_symbol() -> None:
    line = Line3()
    names = b",".join(b'{"symbol":"A/B"}' for _ in range(200))
    assert not line.decoder.feed(b'{"channel":"book","data":[' + names)
    assert line.trust() == [10, 10, 10]


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
        b'{"channel":"level3","type":"snapshot","data":[{"x":1}]}',
        b'{"channel":"new"}',
        b"{}",
        b'{"a":[{}]}',
        b'{"data":[{"symbol":5}],"channel":"executions","type":"delta","sequence":1}',
    ],
)
def test_what_we_do_not_know_is_counted_and_ignored(raw: bytes) -> None:
    line = Line3()
    assert not line.decoder.feed(raw, strict=True)
    assert (line.decoder.unknown, line.decoder.malformed, line.trust()) == (1, 0, [25, 25, 25])
    assert line.witness.errors == []
    assert len(line.witness.events) == 3


@pytest.mark.fault("K24", kind="U")
@pytest.mark.fault("K07", kind="U")
@pytest.mark.parametrize(
    ("raw", "success", "error"),
    [
        (b'{"method":"subscribe","success":false}', False, None),
        (b'{"method":"subscribe","success":false,"error":"no"}', False, "no"),
        (b'{"method":"subscribe","success":false,"error":null,"result":null}', False, None),
        (b'{"error":"Malformed request"}', False, "Malformed request"),
        (b'{"method":"pong"}', True, None),
        (
            b'{"method":"x","result":{"warnings":["w"],"new":{"a":[1.50]}},"success":true,"new":[{}]}',
            True,
            None,
        ),
    ],
)
def test_an_answer_is_told_whatever_it_holds(raw: bytes, success: bool, error: str | None) -> None:
    witness = Witness()
    assert Decoder(handler=witness).feed(raw, strict=True)
    (ack,) = [facts for _, facts in witness.events]
    assert (ack["success"], ack["error"]) == (success, error)
    assert same(ack["result"], loads(raw).get("result")) or ack["method"] == "subscribe"


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


@pytest.mark.parametrize("number", ["9" * 5000, "1e99999999999999999999", "-1E-99999999999999999999"])
@pytest.mark.parametrize(
    "raw",
    [
        '{"method":"x","result":{"a":NUMBER}}',
        '{"channel":"status","type":"update","data":[{"system":"x","emergency":[NUMBER]}]}',
    ],
)
def test_a_number_that_python_cannot_read_is_refused(raw: str, number: str) -> None:
    decoder = Decoder()
    with pytest.raises(DecodeError, match="beyond what Python reads"):
        decoder.feed(raw.replace("NUMBER", number).encode(), strict=True)


def test_announcements_of_another_shape_are_kept() -> None:
    witness = Witness()
    row = b'{"system":"maintenance","emergency":{"a":1},"upcoming_maintenance":5}'
    raw = b'{"channel":"status","type":"update","data":[' + row + b"]}"
    assert Decoder(handler=witness).feed(raw, strict=True)
    (facts,) = [facts for _, facts in witness.events]
    assert (facts["emergency"], facts["upcoming_maintenance"]) == (({"a": 1},), (5,))


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
    began = time.perf_counter()
    assert not line.decoder.feed(frame.encode().replace(b"INNER", inner))
    assert time.perf_counter() - began < 1, "bounded; the benchmark holds it to 50 ms"
    assert line.decoder.malformed == 1
    assert len(str(line.witness.errors[0])) < 400
    assert line.decoder.feed(CATALOGUE["heartbeat"], strict=True)


@pytest.mark.fault("D14", kind="U")
def test_two_swapped_messages_mismatch() -> None:
    vector = next(v for v in VECTORS if v["id"] == "book-rec-btcusd-d10-20260816")
    raws = [raw.encode() for raw in vector["raw"]]
    decoder = Decoder(create=True)
    decoder.feed_all([*raws[:5], raws[6]])
    book = decoder.book("BTC/USD")
    assert book is not None
    assert (book.state, book.mismatched) == ("invalid", 1)


def test_a_repeated_message_changes_nothing() -> None:
    for vector in VECTORS:
        decoder = Decoder(create=True, create_depth=vector["depth"])
        for raw in vector["raw"]:
            decoder.feed(raw.encode(), strict=True)
            book = decoder.book(vector["symbol"])
            assert book is not None
            before = (book.bids_raw, book.asks_raw, book.checksum)
            decoder.feed(raw.encode(), strict=True)
            assert book.is_valid
            assert before == (book.bids_raw, book.asks_raw, book.checksum)


@pytest.mark.parametrize("message", [5, 10**12, "text", None, [1, 2]])
def test_only_bytes_are_messages(message: Any) -> None:
    with pytest.raises(TypeError):
        Decoder().feed(message)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_is_a_message(kind: Any) -> None:
    assert Decoder(create=True).feed(kind(CATALOGUE["book.snapshot"]), strict=True)


def test_what_is_wanted_and_kept() -> None:
    decoder = Decoder()
    book = decoder.want_book("A/B", 10)
    assert decoder.want_book("A/B", 10) is book
    assert decoder.want_book("A/B", 25) is not book
    for get in (decoder.book, decoder.ticker, decoder.trades):
        assert get("X/Y") is None
    assert decoder.candles("X/Y", 1) is None
    assert decoder.candles("A/B", 1) is None
    decoder.unwant("book", "X/Y")
    decoder.unwant("ohlc", "A/B", 5)
    assert decoder.feed_all([CATALOGUE["book.snapshot"], CATALOGUE["heartbeat"], b"x"]) == 2
    assert (decoder.unwanted, decoder.count_of("book"), decoder.count_of("heartbeat")) == (1, 1, 1)
    with pytest.raises(ValueError, match="in tuple"):
        decoder.count_of("nothing")


@pytest.mark.parametrize(
    ("levels", "depth"), [(0, 10), (10, 10), (11, 25), (26, 100), (101, 500), (501, 1000), (1001, 1000)]
)
def test_a_made_book_takes_the_smallest_depth_that_holds_its_snapshot(levels: int, depth: int) -> None:
    decoder = Decoder(create=True)
    decoder.feed(book_message("snapshot", [(i + 1, 1) for i in range(levels)], [], (0, 0), 1), strict=True)
    book = decoder.book("A/B")
    assert book is not None
    assert book.depth == depth


@pytest.mark.fault("D16", kind="U")
@pytest.mark.parametrize(
    ("depth", "understood"), [(1, True), (32, True), (33, False), (64, False), (65, False), (100_000, False)]
)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded(depth: int, understood: bool, opening: str, closing: str) -> None:
    nest = (opening * depth + ("0" if closing == "}" else "") + closing * depth).encode()
    assert Decoder().feed(b'{"unknown":' + nest + b',"channel":"heartbeat"}') == understood
