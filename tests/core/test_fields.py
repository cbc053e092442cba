"""Scanned values as Python objects, seen through the records that are made of them."""

from __future__ import annotations

from decimal import Decimal

import corpus

from kraken_fast.core.decode import Decoder

PAIR = (
    '{"symbol":"A/B","base":"A","quote":"B","status":"online","qty_precision":8,"price_precision":1,'
    '"qty_increment":NUMBER,"qty_min":NUMBER,"cost_min":null}'
)


def test_numbers_are_exact_and_what_is_null_or_absent_is_none() -> None:
    for number in ("0.00000001", "1e-08", "123456789012345678901.5", "-0.10", "7"):
        decoder = Decoder()
        raw = '{"channel":"instrument","type":"update","data":{"assets":[],"pairs":[' + PAIR + "]}}"
        assert decoder.feed(raw.replace("NUMBER", number).encode(), strict=True)
        pair = decoder.instruments["A/B"]
        assert pair.qty_increment == pair.qty_min == Decimal(number)
        assert (pair.cost_min, pair.margin_initial, pair.marginable) == (None, None, False)


def test_words_and_numbers_that_many_share_are_made_once() -> None:
    decoder = Decoder()
    assert decoder.feed(corpus.instrument_snapshot(), strict=True)
    pairs = list(decoder.instruments.values())
    assert len({id(pair.quote) for pair in pairs}) == len({pair.quote for pair in pairs})
    assert len({id(pair.qty_increment) for pair in pairs}) < len(pairs) / 4
