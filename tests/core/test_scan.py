"""The scanner, through the decoder: what is no message is refused, whole, and what is odd but legal is not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import corpus
import pytest
from judge import Witness, same, time_ns

from kraken_fast.core.decode import Decoder
from kraken_fast.errors import DecodeError

CATALOGUE = corpus.catalogue()
BOOK = CATALOGUE["book.snapshot"]
MOVE = CATALOGUE["book.update.move"]
TICKER = CATALOGUE["ticker.update"]
TRADE = CATALOGUE["trade.update"]
CANDLE = CATALOGUE["ohlc.update"]
PAIRS = CATALOGUE["instrument.snapshot"]
STATUS = CATALOGUE["status.online"]


class Kept:
    """A decoder that holds one of everything, and can tell whether a message changed any of it."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness)
        self.decoder.feed(PAIRS, strict=True)
        self.book = self.decoder.want_book("BTC/USD", 10)
        self.other = self.decoder.want_book("ETH/USD", 25)
        self.ticker = self.decoder.want_ticker("BTC/USD")
        self.trades = self.decoder.want_trades("BTC/USD")
        self.candles = self.decoder.want_candles("BTC/USD", 1)
        self.other.apply_snapshot([(1, 2)], [(3, 4)]) if self.other.price_scale >= 0 else None
        for raw in (
            BOOK,
            CATALOGUE["ticker.snapshot"],
            CATALOGUE["trade.snapshot"],
            CATALOGUE["ohlc.snapshot"],
        ):
            assert self.decoder.feed(raw, strict=True)
        self.witness.events.clear()

    def held(self) -> Any:
        book, ticker = self.book, self.ticker
        return (
            book.bids_raw, book.asks_raw, book.checksum, book.exch_ns, book.messages, book.price_scale,
            book.qty_scale,
            ticker.bid, ticker.last, ticker.exch_ns, ticker.messages,
            self.trades.count, self.trades.last_trade_id, self.trades.missed, len(self.trades.recent()),
            [(candle.begin_ns, candle.close, candle.volume) for candle in self.candles.recent()],
            dict(self.decoder.instruments), dict(self.decoder.assets),
        )  # fmt: skip

    def refuses(self, raw: bytes) -> DecodeError:
        """Feed what must be refused; give the error after checking that it was told and nothing else changed."""
        before, errors = self.held(), len(self.witness.errors)
        malformed = self.decoder.malformed
        assert not self.decoder.feed(raw), raw[:200]
        assert self.decoder.malformed == malformed + 1
        assert self.held() == before, raw[:200]
        assert self.witness.events == []
        (error,) = self.witness.errors[errors:]
        assert error is self.decoder.last_error
        assert 0 <= error.offset <= len(raw)
        assert len(error.excerpt) <= 83
        return error


@pytest.fixture
def kept() -> Kept:
    return Kept()


def put(raw: bytes, key: str, value: str) -> bytes:
    """The message with the first value of `key` replaced by other JSON text."""
    begin = raw.index(f'"{key}":'.encode()) + len(key) + 3
    end = begin + len(_value_text(raw[begin:]))
    return raw[:begin] + value.encode() + raw[end:]


def _value_text(text: bytes) -> str:
    source = text.decode()
    _, end = json.JSONDecoder().raw_decode(source)
    return source[:end]


BAD_NUMBERS = {
    "null": "null", "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "true": "true", "text": '"1.0"',
    "list": "[1]", "object": '{"a":1}', "plus": "+1", "point first": ".5", "two points": "1.2.3",
    "leading zero": "01",
    "hex": "0x10", "empty": "", "sign only": "-", "no exponent": "1e", "exponent sign only": "1e+", "comma": "1,5",
    "39 digits": "1" * 39, "39 digits by zeros": "1" + "0" * 38, "5000 digits": "9" * 5000,
    "point then exponent": "1.e5",
    "exponent beyond": "1e401", "exponent far beyond": "1e99999999999999999999",
    "decimals beyond": "0." + "0" * 400 + "1",
    "underscore": "1_000", "arabic digits": "\u0661\u0662",
}  # fmt: skip
BAD_AMOUNTS = {
    **BAD_NUMBERS, "negative": "-1.0", "minus zero": "-0", "minus zero point": "-0.0",
    "64 bits": "9223372036854775808",
    "mantissa over 63 bits": "92233720368.547758080001", "twenty digits": "12345678901234567890",
    "big exponent": "1e19",
}  # fmt: skip


@pytest.mark.fault("D11", kind="U")
@pytest.mark.parametrize("number", BAD_AMOUNTS.values(), ids=BAD_AMOUNTS.keys())
@pytest.mark.parametrize(
    ("raw", "key"),
    [(BOOK, "price"), (BOOK, "qty"), (MOVE, "price"), (MOVE, "qty"), (TRADE, "price"), (TRADE, "qty")],
    ids=["snapshot price", "snapshot qty", "update price", "update qty", "trade price", "trade qty"],
)
def test_what_is_no_amount_is_refused(kept: Kept, raw: bytes, key: str, number: str) -> None:
    error = kept.refuses(put(raw, key, number))
    if raw is TRADE:
        assert error.channel == "trade"
        assert kept.book.is_valid
        return
    assert (error.channel, error.symbol) == ("book", "BTC/USD")
    assert kept.book.state == "invalid"
    assert kept.book.verified_depth == 0
    assert kept.witness.lost == [("BTC/USD", "malformed")]
    assert kept.decoder.feed(MOVE)
    assert kept.book.dropped == 1
    assert kept.decoder.feed(BOOK)
    assert kept.book.is_valid, "the next snapshot heals it"


@pytest.mark.parametrize("number", BAD_NUMBERS.values(), ids=BAD_NUMBERS.keys())
@pytest.mark.parametrize(
    ("raw", "key"),
    [(TICKER, "bid"), (CANDLE, "close"), (PAIRS, "qty_increment")],
    ids=["ticker", "ohlc", "instrument"],
)
def test_what_is_no_number_is_refused(kept: Kept, raw: bytes, key: str, number: str) -> None:
    if number == "null" and raw is PAIRS:
        assert kept.decoder.feed(put(raw, key, number)), "an increment need not be told"
        return
    kept.refuses(put(raw, key, number))
    assert kept.book.is_valid


REQUIRED = [
    (BOOK, ["symbol", "bids", "asks", "checksum"]),
    (TICKER, ["symbol", "bid", "bid_qty", "ask", "ask_qty", "last"]),
    (TRADE, ["symbol", "side", "price", "qty", "trade_id", "timestamp"]),
    (CANDLE, ["symbol", "open", "high", "low", "close", "volume", "interval_begin", "interval"]),
    (STATUS, ["system"]),
    (PAIRS, ["base", "quote", "qty_precision", "price_precision", "id", "precision"]),
]


@pytest.mark.fault("D17", kind="U")
@pytest.mark.parametrize(("raw", "key"), [(raw, key) for raw, keys in REQUIRED for key in keys])
@pytest.mark.parametrize("how", ["missing", "null", "a list", "an object", "twice"])
def test_a_required_member_is_required(kept: Kept, raw: bytes, key: str, how: str) -> None:
    if how == "missing":
        broken = raw.replace(f'"{key}":'.encode(), f'"{key}x":'.encode(), 1)
    elif how == "twice":
        text = f'"{key}":'.encode()
        value = _value_text(raw[raw.index(text) + len(text) :])
        broken = raw.replace(text, text + value.encode() + b"," + text, 1)
    else:
        broken = put(raw, key, {"null": "null", "a list": "[[]]", "an object": "{}"}[how])
    kept.refuses(broken)


@pytest.mark.parametrize(
    ("raw", "key", "value"),
    [
        (BOOK, "checksum", "4294967296"), (BOOK, "checksum", "18446744073709551616"), (BOOK, "checksum", "-1"),
        (BOOK, "checksum", "1.5"), (BOOK, "checksum", "1e3"), (BOOK, "checksum", '"1"'), (BOOK, "checksum", "007"),
        (TRADE, "trade_id", "0"), (TRADE, "trade_id", "-1"), (TRADE, "trade_id", "9223372036854775808"),
        (TRADE, "trade_id", "18446744073709551617"), (TRADE, "trade_id", '"5"'), (TRADE, "side", "5"),
        (TICKER, "trades", "9223372036854775808"), (CANDLE, "trades", "18446744073709551615"), (TICKER,
        "trades", "-1"),
        (CANDLE, "interval", "0"), (CANDLE, "interval", "1000001"), (CANDLE, "interval", "4294967297"),
        (PAIRS, "price_precision", "19"), (PAIRS, "qty_precision", "4294967304"), (PAIRS, "price_precision", "-1"),
        (PAIRS, "cost_precision", "18446744073709551615"), (PAIRS, "precision", "9223372036854775808"),
        (PAIRS, "marginable", "1"), (PAIRS, "marginable", '"true"'), (PAIRS, "marginable", "tru"),
        (STATUS, "connection_id", "18446744073709551616"), (STATUS, "system", "1"),
        (BOOK, "type", '"delta"'), (BOOK, "type", "5"), (BOOK, "data", "{}"), (BOOK, "data", "null"),
        (BOOK, "data", "[5]"), (BOOK, "bids", '{"price":1,"qty":1}'), (BOOK, "bids", "[[1,1]]"), (BOOK, "bids",
        "null"),
        (BOOK, "bids", '[{"price":1}]'), (BOOK, "bids", '[{"price":1,"qty":1,"qty":1}]'), (PAIRS, "data", "[]"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_or_size_is_refused(kept: Kept, raw: bytes, key: str, value: str) -> None:
    error = kept.refuses(put(raw, key, value))
    assert error.excerpt
    assert error.reason


BAD_TIMES = [
    "", "garbage", "2026-11-22", "2026-11-22T10:15:01", "2026-11-22 10:15:01Z", "2026-13-22T10:15:01Z",
    "2026-00-22T10:15:01Z", "2026-02-30T10:15:01Z", "2024-02-30T10:15:01Z", "2025-02-29T10:15:01Z",
    "2100-02-29T00:00:00Z",
    "2026-04-31T10:15:01Z", "2026-11-00T10:15:01Z", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z",
    "2026-11-22T10:15:61Z", "2026-11-22T10:15:01.Z", "2026-11-22T10:15:01,5Z", "2026-11-22T10:15:01+0000",
    "2026-11-22T10:15:01+24:00", "2026-11-22T10:15:01+05:60", "2026-11-22T10:15:01Zz", "2026-11-22T10:15:01.5",
    "20261122T101501Z", "02026-11-22T10:15:01Z", "2026-11-22T1a:15:01Z", "2026-11-22T10:15:0\u0661Z",
    "-026-11-22T10:15:01Z",
]  # fmt: skip
GOOD_TIMES = [
    "2026-11-22T10:15:01Z", "2026-11-22T10:15:01.3Z", "2026-11-22T10:15:01.31Z", "2026-11-22T10:15:01.310Z",
    "2026-11-22T10:15:01.3105Z", "2026-11-22T10:15:01.31055Z", "2026-11-22T10:15:01.310559Z",
    "2026-11-22T10:15:01.3105591Z", "2026-11-22T10:15:01.31055912Z", "2026-11-22T10:15:01.310559123Z",
    "2026-11-22T10:15:01.310559123456Z", "2026-11-22T10:15:01+00:00", "2026-11-22T10:15:01.5-05:30",
    "2026-11-22T00:15:01+23:59", "2026-11-22t10:15:01z", "9999-12-31T23:59:59.999999999Z",
    "1969-12-31T23:59:59.999999999Z",
    "1600-02-29T00:00:00Z", "0001-01-01T00:00:00.000000001Z", "2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5Z",
    "2024-02-29T12:00:00Z", "2000-02-29T12:00:00Z", "2262-04-11T23:47:16.854775808Z",
    "1677-09-21T00:12:43.145224191Z",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TIMES)
@pytest.mark.parametrize("raw", [MOVE, TICKER, TRADE], ids=["book", "ticker", "trade"])
def test_what_is_no_time_is_refused(kept: Kept, raw: bytes, text: str) -> None:
    kept.refuses(put(raw, "timestamp", json.dumps(text, ensure_ascii=False)))


@pytest.mark.fault("D18", kind="U")
@pytest.mark.parametrize("text", GOOD_TIMES)
def test_an_odd_time_is_kept_as_given(kept: Kept, text: str) -> None:
    quoted = json.dumps(text)
    for raw in (MOVE, TICKER, TRADE, put(CANDLE, "interval_begin", quoted)):
        assert kept.decoder.feed(put(raw, "timestamp", quoted), strict=True)
    expected = time_ns(text)
    assert kept.book.exch_ns == kept.ticker.exch_ns == kept.trades.recent()[-2].exch_ns == expected
    assert kept.book.snapshot().exch_ns == kept.ticker.snapshot().exch_ns == expected
    begins = [candle.begin_ns for candle in kept.candles.recent()]
    assert expected // 1000 * 1000 in begins or expected < begins[0]
    age_ms = kept.book.age_ms
    assert age_ms is not None
    assert 0 <= age_ms < 60_000, "age is counted on our own clock"
    assert kept.decoder.feed(b'{"method":"pong","req_id":1,"time_in":' + quoted.encode() + b"}", strict=True)
    assert kept.witness.events[-1][1]["time_in_ns"] == expected


def test_a_time_may_be_missing(kept: Kept) -> None:
    assert kept.decoder.feed(MOVE.replace(b',"timestamp":"2026-11-22T10:15:01.402117Z"', b""), strict=True)
    assert kept.book.is_valid
    assert kept.book.exch_ns is None
    assert kept.decoder.feed(put(TICKER, "timestamp", "null"), strict=True)
    assert kept.ticker.exch_ns is None


NUMBERS = [
    "0", "0.0", "0.00000000", "0.0000000000000000000000001", "1e-08", "5E-05", "1e5", "1.50e1", "1E+2",
    "100e-2", "0e5",
    "0e-8", "12345678901234567890.12345678", "10000000000000.00000000", "9223372036854775807", "9223372036854775808",
    "922337203685477580.7", "92233720368547758.070", "123456789012345678.900000", "1234567890123456789.0",
    "99999999999999999999999999999999999999", "0.000000000000000000", "0.0000000000000000000", "1e400", "1e-400",
    "1.000000000000000000000", "0.10000000000000000000", "4.12e-7", "123456789012345678", "1234567890123456789",
]  # fmt: skip


@pytest.mark.fault("D10", kind="U")
@pytest.mark.parametrize("text", [*NUMBERS, *("-" + text for text in NUMBERS)])
def test_any_number_is_kept_to_its_last_zero(kept: Kept, text: str) -> None:
    assert kept.decoder.feed(put(TICKER, "change", text), strict=True)
    change = kept.ticker.change
    assert same(change, Decimal(text))
    assert same(kept.ticker.snapshot().change, Decimal(text)), change
    if not text.startswith("-"):
        assert kept.decoder.feed(put(put(CANDLE, "volume", text), "close", text), strict=True)
        assert same(kept.candles.recent()[-1].volume, Decimal(text))
        assert same(kept.candles.recent()[-1].close, Decimal(text))


@pytest.mark.parametrize(("text", "value"), [("84210.", "84210"), ("84210", "84210"), ("84210.0", "84210.0")])
def test_a_number_may_end_in_its_point(kept: Kept, text: str, value: str) -> None:
    assert kept.decoder.feed(put(TICKER, "bid", text), strict=True)
    assert same(kept.ticker.bid, Decimal(value))
    assert kept.decoder.feed(put(put(MOVE, "price", text), "checksum", "1"))
    assert kept.witness.lost == [("BTC/USD", "checksum")], "understood, so its checksum was looked at"


@pytest.mark.fault("D15", kind="U")
@pytest.mark.parametrize(
    "text",
    [
        r"\ud800", r"\udc00", r"\ud800x", r"\ud800\n", r"\udc00\ud800", r"\udc00\udc00", r"\ud800\u0041",
        r"\ud800\ud800",
        r"\udbff\ue000", r"\u12", r"\u12g4", r"\x41", r"\'", "\x01", "\n", "\x7f\\",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("raw", "key"), [(BOOK, "symbol"), (TRADE, "ord_type"), (STATUS, "version")])
def test_a_text_with_a_broken_escape_is_refused(kept: Kept, raw: bytes, key: str, text: str) -> None:
    kept.refuses(put(raw, key, '"@"').replace(b"@", text.encode()))


def test_a_text_with_good_escapes_is_read(kept: Kept) -> None:
    text = r"\ud83d\ude00\udbff\udfff\ud800\udc00\u00e9\u20ac\u0000\"\\\/\b\f\n\r\t\uFFFF"
    assert kept.decoder.feed(put(TRADE, "ord_type", f'"{text}"'), strict=True)
    assert kept.trades.recent()[-2].ord_type == json.loads(f'"{text}"')


def test_memory_that_is_short_once_costs_a_message_and_no_more() -> None:
    """Whatever allocation fails while a large book is read and its room given back: the next message is read."""
    memory = pytest.importorskip("_testcapi")
    levels = ",".join(f'{{"price":{price}.5,"qty":1.0}}' for price in range(5_000, 0, -1))
    raw = b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[%s],"asks":[],"checksum":1}]}%s' % (
        levels.encode(), b" " * 300_000,
    )  # fmt: skip
    outcomes = []
    for at in range(100):
        decoder = Decoder()
        decoder.want_book("BTC/USD", 1_000)
        memory.set_nomemory(at, at + 1)
        try:
            outcomes.append(decoder.feed(raw))
        except MemoryError:
            outcomes.append(None)
        finally:
            memory.remove_mem_hooks()
        assert decoder.feed(BOOK, strict=True)
        decoder.feed(raw)
        assert decoder.feed(BOOK, strict=True)
    assert None in outcomes[:50]
    assert set(outcomes[50:]) == {outcomes[-1]} != {None}
