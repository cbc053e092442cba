"""The symbol table, through the decoder: many names, long names, names alike."""

from __future__ import annotations

import pytest
from bookwire import book_message

from kraken_fast.core.decode import Decoder
from kraken_fast.core.symbols import Slot

NAMES = [f"{i:x}/{j:x}" for i in range(40) for j in range(50)]
ALIKE = ["A/B", "A/BC", "A/B\0", "AAAAAAA/", "AAAAAAAA/", "ABCDEFGHIJKLMNO/", "ABCDEFGHIJKLMNO/X", "ABCDEFGHIJKLMNO/Y",
         "ABCDEFGHIJKLMNO/XY", "ABCDEFGHIJKLMNOPABCDEFGHIJKLMNO/", "\u00e9/\u20ac"]  # fmt: skip


def test_each_symbol_has_its_own_book() -> None:
    decoder = Decoder()
    names = NAMES + ALIKE
    books = {name: decoder.want_book(name, 10) for name in names}
    assert decoder.kept_symbols() == names
    for price, name in enumerate(names, start=1):
        assert decoder.want_book(name, 10) is books[name]
        escaped = name.replace("\0", "\\u0000")
        decoder.feed(book_message("snapshot", [(price, 1)], [], (0, 0), 1, escaped))
        assert books[name].mismatched == 1, name
    assert all(book.messages == 1 for book in books.values())
    assert decoder.unwanted == 0


@pytest.mark.parametrize("name", ["", "x" * 33, "\u20ac" * 11])
def test_a_symbol_has_1_to_32_bytes(name: str) -> None:
    decoder = Decoder()
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        decoder.want_ticker(name)
    assert decoder.kept_symbols() == []
    assert decoder.ticker(name) is None
    created = Decoder(create=True)
    assert created.feed(book_message("snapshot", [], [], (0, 0), 0, name))
    assert created.unwanted == 1


def test_a_name_that_begins_like_another_is_not_it() -> None:
    decoder = Decoder()
    decoder.want_book("ABCDEFGHIJKLMNO/X", 10)
    for name in ("ABCDEFGHIJKLMNO/", "ABCDEFGHIJKLMNO/Y", "ABCDEFGHIJKLMNO/XX", "A"):
        assert decoder.book(name) is None
        decoder.feed(book_message("snapshot", [], [], (0, 0), 0, name))
    assert decoder.unwanted == 4


def test_a_slot_knows_no_scale_until_told() -> None:
    slot = Slot("A/B")
    assert (slot.symbol, slot.price_scale, slot.qty_scale) == ("A/B", -1, -1)


def test_a_hostile_peer_cannot_fill_the_table() -> None:
    decoder = Decoder(create=True)
    for number in range(10_050):
        decoder.feed(book_message("update", [], [], (0, 0), 0, f"S{number}"))
    assert len(decoder.kept_symbols()) == 10_000
    assert decoder.unwanted == 50
