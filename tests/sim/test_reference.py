"""The reference book against recorded and published checksums."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.reference import ReferenceBook, checksum, loads, token

DATA = Path(__file__).parent.parent / "data"
VECTORS: list[dict[str, Any]] = [
    vector
    for vector in json.loads((DATA / "checksum-vectors.json").read_text())["vectors"]
    if vector["kind"] == "book"
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_every_recorded_checksum_verifies(vector: dict[str, Any]) -> None:
    book = ReferenceBook(vector["depth"])
    for raw, expected in zip(vector["raw"], vector["expected_crc"], strict=True):
        assert book.apply_raw(raw) == expected
        assert book.checksum() == expected


def test_the_vectors_hold_554_messages() -> None:
    assert sum(len(vector["raw"]) for vector in VECTORS) == 554


def test_text_is_the_published_one() -> None:
    (vector,) = [v for v in VECTORS if v["id"] == "book-docs-guide"]
    book = ReferenceBook(10)
    book.apply_raw(vector["raw"][0])
    assert book.checksum_text() == vector["snapshot_asks_string"] + vector["snapshot_bids_string"]


def test_without_truncation_most_of_the_long_recording_mismatches() -> None:
    (vector,) = [v for v in VECTORS if v["id"] == "book-rec-btcusd-d10-20230730-long"]
    book = ReferenceBook(1000)
    verified = sum(book.apply_raw(raw) == book.checksum() for raw in vector["raw"])
    assert verified == 60


def test_tokens_keep_trailing_zeros_and_lose_leading_ones() -> None:
    assert token(Decimal("0.00005100")) == "5100"
    assert token(Decimal("1E-8")) == "1"
    assert token(Decimal("0.0000001000")) == "1000"
    assert checksum([], []) == 0


def _message(bids: str = "[]", asks: str = "[]", kind: str = "update") -> Any:
    return loads(
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":{bids},"asks":{asks}}}]}}'
    )


def test_the_last_row_of_a_price_wins_and_zero_removes() -> None:
    book = ReferenceBook(10)
    book.apply(_message('[{"price":1.0,"qty":5.0},{"price":2.0,"qty":1.0},{"price":1.0,"qty":7.0}]'))
    assert book.bids == [(Decimal("2.0"), Decimal("1.0")), (Decimal("1.0"), Decimal("7.0"))]
    book.apply(_message('[{"price":2.0,"qty":0.0},{"price":9.0,"qty":0.0}]'))
    assert book.bids == [(Decimal("1.0"), Decimal("7.0"))]


def test_a_snapshot_replaces_everything() -> None:
    book = ReferenceBook(10)
    book.apply(_message('[{"price":1.0,"qty":5.0}]', '[{"price":3.0,"qty":5.0}]', "snapshot"))
    book.apply(_message('[{"price":2.0,"qty":5.0}]', kind="snapshot"))
    assert (book.bids, book.asks) == ([(Decimal("2.0"), Decimal("5.0"))], [])


def test_precisions_pad_text_that_lost_its_zeros() -> None:
    book = ReferenceBook(10, price_precision=1, qty_precision=8)
    book.apply(_message('[{"price":62370,"qty":5.1e-05}]'))
    assert book.checksum_text() == "6237005100"
    with pytest.raises(ValueError, match="more than 1 decimals"):
        book.apply(_message('[{"price":62370.15,"qty":1}]'))


@pytest.mark.parametrize("number", [1.5, True])
def test_floats_are_refused(number: object) -> None:
    message = {"channel": "book", "type": "update", "data": [{"bids": [{"price": number, "qty": "1"}]}]}
    with pytest.raises(TypeError):
        ReferenceBook(10).apply(message)


@pytest.mark.parametrize("number", ["-1", "NaN", "Infinity"])
def test_numbers_that_no_book_holds_are_refused(number: str) -> None:
    message = {"channel": "book", "type": "update", "data": [{"bids": [{"price": number, "qty": "1"}]}]}
    with pytest.raises(ValueError, match="finite"):
        ReferenceBook(10).apply(message)


def test_other_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="not a book message"):
        ReferenceBook(10).apply({"channel": "heartbeat"})
