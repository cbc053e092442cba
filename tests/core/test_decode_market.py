"""Books through the decoder: recordings, copies, losses, and the depth of a book that nobody asked for."""

from __future__ import annotations

import corpus
import pytest
from bookwire import book_message
from judge import Witness
from report import note

from kraken_fast.core.decode import Decoder

VECTORS = corpus.book_vectors()


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


@pytest.mark.parametrize(
    ("levels", "depth"), [(0, 10), (10, 10), (11, 25), (26, 100), (101, 500), (501, 1000), (1001, 1000)]
)
def test_a_made_book_takes_the_smallest_depth_that_holds_its_snapshot(levels: int, depth: int) -> None:
    decoder = Decoder(create=True)
    decoder.feed(book_message("snapshot", [(i + 1, 1) for i in range(levels)], [], (0, 0), 1), strict=True)
    book = decoder.book("A/B")
    assert book is not None
    assert book.depth == depth
