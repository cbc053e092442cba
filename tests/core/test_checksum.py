"""The checksum out of integers against zlib over text, on both paths."""

from __future__ import annotations

import zlib
from random import Random
from typing import Any

import pytest
from report import note

from kraken_fast.core.checksum import book_checksum, has_clmul

LARGEST = 2**63 - 1
PATHS = [True, False] if has_clmul() else [True]


def slow(asks: Any, bids: Any) -> int:
    """CRC-32 of the digits, leading zeros gone: what the exchange documents."""
    rows = [*asks[:10], *bids[:10]]
    return zlib.crc32("".join(str(number).lstrip("0") for row in rows for number in row).encode())


@pytest.mark.fault("D10", kind="U")
def test_random_books_against_zlib() -> None:
    random, cases = Random(3), 100_000
    for _ in range(cases):
        sides = [
            [
                (random.getrandbits(random.randrange(64)), random.getrandbits(random.randrange(64)))
                for _ in range(n)
            ]
            for n in (random.randrange(13), random.randrange(13))
        ]
        expected = slow(*sides)
        for portable in PATHS:
            assert book_checksum(*sides, portable=portable) == expected
    note("checksums of random books compared with zlib", cases * len(PATHS))


@pytest.mark.parametrize("portable", PATHS)
def test_every_length_of_every_token(portable: bool) -> None:
    for digits in range(1, 20):
        for number in (10 ** (digits - 1), min(10**digits - 1, LARGEST)):
            for count in range(11):
                asks, bids = [(number, LARGEST)] * count, [(LARGEST, number)] * (10 - count)
                assert book_checksum(asks, bids, portable=portable) == slow(asks, bids)


@pytest.mark.fault("D05", kind="U")
@pytest.mark.parametrize("portable", PATHS)
def test_few_and_no_levels(portable: bool) -> None:
    assert book_checksum([], [], portable=portable) == 0
    assert book_checksum([(0, 0)], [], portable=portable) == 0
    assert book_checksum([], [(12, 34)], portable=portable) == zlib.crc32(b"1234")
    assert book_checksum([(0, 7)], [], portable=portable) == zlib.crc32(b"7"), "a price of 0 has no digits"


@pytest.mark.parametrize(
    ("row", "error"),
    [((-1, 1), ValueError), ((1, -1), ValueError), ((2**63, 1), OverflowError), ((1.5, 1), TypeError)],
)
def test_what_is_no_level_raises(row: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        book_checksum([row], [])
    with pytest.raises(error):
        book_checksum([], [row])
