"""What is kept, and what is distrusted when a message could not be understood."""

from __future__ import annotations

import corpus
import pytest
from bookwire import Line3, book_message

from kraken_fast.core.decode import Decoder

CATALOGUE = corpus.catalogue()


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
