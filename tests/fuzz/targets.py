"""What is fuzzed, and the second opinion on each case: `json`, `Decimal`, `datetime`, sorted lists, RFC 6455 in Python.

A target takes bytes and raises when the client is wrong. The same targets run under libFuzzer with ASan and UBSan, by
`python tests/libfuzzer.py TARGET`, and over their small corpus and some mutations of it in test_targets.py.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import orjson
import schema
from accountwire import Account, Raw, expected_fields, message, row_of_everything, taken_fields
from judge import Witness, same, time_ns
from level3wire import Event, Twins3

from kraken_fast.core.book import OrderBook
from kraken_fast.core.capture import CaptureReader
from kraken_fast.core.decode import Decoder
from kraken_fast.core.fixed import to_decimal, to_fixed
from kraken_fast.core.frames import FramePolicy
from kraken_fast.errors import CaptureError
from kraken_fast.sim.reference import loads

from .test_fuzz_decode import BASE, Case

Target = Callable[[bytes], None]

DIGITS_MAX = 19


# The decoder -------------------------------------------------------------------------------------------------------


class _Refusing:
    """A decoder that holds a book, fed over and over with what is not even JSON: nine cases of ten."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.witness = Witness()
        self.decoder = Decoder(handler=self.witness, create=True, create_depth=10)
        self.decoder.feed(BASE, strict=True)
        self.witness.events.clear()
        self.book = self.decoder.book("BTC/USD")
        assert self.book is not None
        self.before = self._held()

    def _held(self) -> tuple[object, ...]:
        book = self.book
        assert book is not None
        return book.bids_raw, book.asks_raw, book.checksum, book.exch_ns

    def refuses(self, data: bytes) -> bool:
        """Whether it is refused, and no JSON; what was held is still held then, and nobody was told of anything."""
        if self.decoder.feed(data) or _is_json(data):
            self._begin()
            return False
        assert not self.witness.events
        assert self._held() == self.before
        if len(self.witness.errors) > 100:
            self._begin()
        else:
            self.decoder.feed(BASE)
            self.witness.events.clear()
        return True


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


_refusing = _Refusing()


def decoder(data: bytes) -> None:
    """One text message: accepted as the schema says and with equal values, or refused and nothing changed."""
    if not _refusing.refuses(data or b" "):
        Case("fuzzed", data or b" ").run()


# The scanner: numbers and times ------------------------------------------------------------------------------------

_TICKER = (
    b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1,"bid_qty":1,"ask":2,"ask_qty":1,"last":'
)
_scanner = Decoder(create=True, create_depth=10)
_STORE = _scanner.want_ticker("BTC/USD")


def scanner(data: bytes) -> None:
    """A number or a time in a message, as text: the same value as `Decimal` and `datetime` give, or refused by both."""
    is_time = data[:1] == b"T"
    text = data[1:]
    if any(byte in b'{}[]",\\ \t\r\n' or byte < 0x20 or byte > 0x7E for byte in text):
        return  # other syntax than that of one value: the decoder's target
    raw = _TICKER + (b'1,"timestamp":"' + text + b'"' if is_time else text) + b"}]}"
    expected = schema.verdict(raw)
    is_fed = _scanner.feed(raw)
    if expected == schema.EITHER:
        return
    assert is_fed == (expected == schema.ACCEPT), (text, is_fed, expected)
    if not is_fed:
        return
    if is_time:
        assert _STORE.exch_ns == time_ns(text.decode()), text
        return
    value = Decimal(text.decode())
    assert _STORE.last == value, (text, _STORE.last)
    with localcontext() as context:
        context.prec = 400
        digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
        assert isinstance(exponent, int)
        if -18 <= exponent <= 0 and len(digits) <= DIGITS_MAX - 1:
            assert to_decimal(to_fixed(value, -exponent), -exponent) == value


# The book ----------------------------------------------------------------------------------------------------------

Row = tuple[int, int]
Sides = list[dict[int, int]]


def _checksum(sides: Sides) -> int:
    text = []
    for side, is_bids in ((sides[1], False), (sides[0], True)):
        for price in sorted(side, reverse=is_bids)[:10]:
            text.append(f"{price or ''}{side[price] or ''}")
    return zlib.crc32("".join(text).encode())


def _cut(side: dict[int, int], depth: int, is_bids: bool) -> None:
    for price in sorted(side, reverse=is_bids)[depth:]:
        del side[price]


def book(data: bytes) -> None:
    """A snapshot and updates, three bytes a row: equal to dictionaries, sorting and zlib after every message."""
    if len(data) < 2:
        return
    depth = (1, 2, 5, 10, 25, 30)[data[0] % 6]
    held = OrderBook("A/B", depth, price_scale=1, qty_scale=2, portable=bool(data[1] & 1))
    sides: Sides = [{}, {}]
    at, is_first = 2, True
    while at < len(data):
        count = data[at] % 40
        rows, at = data[at + 1 : at + 1 + 3 * count], at + 1 + 3 * count
        parts: list[list[Row]] = [[], []]
        for i in range(0, len(rows) - 2, 3):
            # Few prices, so that they repeat; some very large, so that integers of all widths come by.
            price = rows[i] & 0x3F if rows[i] < 0xF0 else 10 ** (rows[i] & 0x0F) * 9
            qty = rows[i + 1] * (10 ** (rows[i + 2] % 14))
            parts[rows[i + 2] >> 7].append((price, qty))
        if is_first:
            sides = [{}, {}]
        for side, part, is_bids in zip(sides, parts, (True, False), strict=True):
            for price, qty in part:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
            _cut(side, depth, is_bids)
        total = _checksum(sides)
        apply = held.apply_snapshot if is_first else held.apply_update
        assert apply(*parts, checksum=total), (held, sides)
        is_first = False
        assert held.bids_raw == tuple(sorted(sides[0].items(), reverse=True))
        assert held.asks_raw == tuple(sorted(sides[1].items()))
        held._check()


# Captures ----------------------------------------------------------------------------------------------------------

_MAGIC = b"KFCAP\x00\x01\n"
_FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(os.environ.get("TMPDIR", "."))
_PATH = _FOLDER / f"kraken-fast-fuzz-{os.getpid()}"


def _check(size: int, recv_ns: int, kind: int, payload: bytes) -> int:
    """The check of a record, from what capture.pyx says of it, in unbounded integers."""
    h, g = 0x9E3779B97F4A7C15 ^ size, 0xC2B2AE3D27D4EB4F ^ kind
    h = (h ^ recv_ns & _64) * 0xD6E8FEB86659FD93 & _64
    words = [int.from_bytes(payload[at : at + 8], "little") for at in range(0, size, 8)]
    paired = 2 * (size // 16)
    for first, second in zip(words[:paired:2], words[1:paired:2], strict=True):
        h = (_turned(h, 29) ^ first) * 0xD6E8FEB86659FD93 & _64
        g = (_turned(g, 31) ^ second) * 0x9FB21C651E98DF25 & _64
    for word in words[paired:]:
        h = (_turned(h, 29) ^ word) * 0xD6E8FEB86659FD93 & _64
    h = (h ^ _turned(g, 32)) * 0xD6E8FEB86659FD93 & _64
    return (h ^ h >> 32) & 0xFFFFFFFF


_64 = (1 << 64) - 1


def _turned(number: int, bits: int) -> int:
    return (number << bits | number >> 64 - bits) & _64


def _repaired(data: bytes) -> bytes:
    """The same file with right checks, as far as its records can be told apart."""
    fixed, at = bytearray(data), 8
    while at + 24 <= len(fixed):
        size, _, recv_ns, kind = struct.unpack_from("<IIqQ", fixed, at)
        if size > len(fixed) - at - 24:
            break
        struct.pack_into("<I", fixed, at + 4, _check(size, recv_ns, kind, bytes(fixed[at + 24 : at + 24 + size])))
        at += 24 + size
    return bytes(fixed)


def _records(data: bytes) -> tuple[list[tuple[str, int, bytes]], int | None]:
    """The intact records, and where the damage begins, None for a whole file."""
    if data[:8] != _MAGIC:
        return [], 0
    at, is_over = 8, False
    records: list[tuple[str, int, bytes]] = []
    while head := data[at : at + 24]:
        if is_over or len(head) < 24:
            return records, at
        size, check, recv_ns, kind = struct.unpack("<IIqQ", head)
        payload = data[at + 24 : at + 24 + size]
        if kind > 1 or len(payload) < size or _check(size, recv_ns, kind, payload) != check:
            return records, at
        if kind == 1:
            try:
                is_over = json.loads(payload)["event"] in ("end", "continued")
            except (ValueError, LookupError, TypeError):
                return records, at
        records.append(("event" if kind else "frame", recv_ns, payload))
        at += 24 + size
    return records, None if is_over else at


def capture(data: bytes) -> None:
    """A capture file: every record up to the damage, the exact offset of the damage, and nothing but CaptureError."""
    file = _repaired(data[1:]) if data[:1] < b"\x80" else data[1:]
    if file[:4] == b"\x28\xb5\x2f\xfd":
        return  # zstandard's own business
    _PATH.write_bytes(file)
    expected, damage = _records(file)
    found: list[tuple[str, int, bytes]] = []
    offset: int | None = None
    try:
        for record in CaptureReader(_PATH):
            found.append(record)  # noqa: PERF402 - one by one: what came before the damage counts
    except CaptureError as error:
        offset = error.offset
    assert (found, offset) == (expected, damage), (found, offset, expected, damage)


# The policy layer --------------------------------------------------------------------------------------------------

_MESSAGE_MAX, _FRAGMENTS_MAX = 40, 4


class _Reference:
    """RFC 6455's rules for a client's incoming frames, with our bounds."""

    def __init__(self) -> None:
        self.parts: list[bytes] | None = None
        self.opcode = 0
        self.over = False

    def fail(self, code: int) -> tuple[str, bytes | None, int]:
        self.over = True
        return "fail", None, code

    def take(self, opcode: int, fin: bool, reserved: bool, payload: bytes) -> tuple[str, bytes | None, int]:
        if self.over:
            return "nothing", None, -1
        if reserved:
            return self.fail(1002)
        if opcode >= 3:
            return self._control(opcode, fin, payload)
        if (opcode == 0) == (self.parts is None):
            return self.fail(1002)
        if self.parts is None:
            self.parts, self.opcode = [], opcode
        self.parts.append(payload)
        whole = b"".join(self.parts)
        if len(whole) > _MESSAGE_MAX or len(self.parts) > _FRAGMENTS_MAX:
            return self.fail(1009)
        # Whole frames of text are judged by the decoder, which reads them anyway; fragments as they come.
        is_fragmented = len(self.parts) > 1 or not fin
        if self.opcode == 1 and is_fragmented and not _is_utf8_so_far(whole, fin):
            return self.fail(1007)
        if not fin:
            return "nothing", None, -1
        self.parts = None
        return "binary" if self.opcode == 2 else "text", whole, -1

    def _control(self, opcode: int, fin: bool, payload: bytes) -> tuple[str, bytes | None, int]:
        if not fin or len(payload) > 125 or opcode not in (8, 9, 10):
            return self.fail(1002)
        if opcode != 8:
            return "ping" if opcode == 9 else "pong", payload, -1
        if len(payload) == 1:
            return self.fail(1002)
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        is_legal = code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999
        if payload and not is_legal:
            return self.fail(1002)
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            return self.fail(1007)
        self.over = True
        return "close", payload[2:], code


def _is_utf8_so_far(data: bytes, final: bool) -> bool:
    """Whether it is UTF-8, or can still become it: Python's own incremental decoder sees half a surrogate too late."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        tail = data[error.start :]
        if final or len(tail) > 3 or error.end < len(data):
            return False
        return any(_decodes(tail + bytes([each, 0x80, 0x80])[:more]) for each in _NEXT for more in (1, 2, 3))
    return True


_NEXT = (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF)
"""The ends of all ranges that a second byte may be in."""


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def frames(data: bytes) -> None:
    """Frames one after the other, two bytes of head each: the verdicts of a reference, to the close code."""
    policy = FramePolicy(message_bytes_max=_MESSAGE_MAX, fragments_max=_FRAGMENTS_MAX)
    reference = _Reference()
    at = 0
    while at + 2 <= len(data):
        first, size = data[at], data[at + 1] % 130
        payload = data[at + 2 : at + 2 + size]
        at += 2 + len(payload)
        fin, reserved, opcode = bool(first & 0x80), bool(first & 0x70), first & 0x0F
        verdict, message = policy.feed(opcode, payload, fin=fin, reserved=reserved)
        expected, text, code = reference.take(opcode, fin, reserved, payload)
        assert (verdict, message) == (expected, text), (first, payload, policy.reason)
        if code >= 0:
            assert policy.close_code == code, (policy.close_code, code, payload)
        assert policy.kept_bytes[0] <= _MESSAGE_MAX


# Level 3 -----------------------------------------------------------------------------------------------------------

_EVENTS = ("add", "modify", "delete")


def level3(data: bytes) -> None:
    """A snapshot and updates of orders, four bytes each: equal to plain lists, sorting and zlib after every message."""
    if not data:
        return
    twins = Twins3((10, 100)[data[0] & 1])
    at, kind = 1, "snapshot"
    while at < len(data):
        count = data[at] % 16
        rows, at = data[at + 1 : at + 1 + 4 * count], at + 1 + 4 * count
        sides: tuple[list[Event], list[Event]] = ([], [])
        held = {order["order_id"] for side in twins.reference.sides for order in side} if kind == "update" else set()
        for i in range(0, len(rows) - 3, 4):
            which, event, order, qty = rows[i] >> 7, _EVENTS[rows[i] % 3], rows[i + 1] % 40, rows[i + 3]
            what = "" if kind == "snapshot" else event
            name = f"O{which}{order}"
            if what in ("", "add") and name in held:
                continue  # the exchange adds an order once; of a message that came twice nothing changes
            (held.discard if what == "delete" else held.add)(name)
            price = Decimal(rows[i + 2] % 32 + 1 + (0 if which == 0 else 40)).scaleb(-1)
            amount = Decimal((qty + 1) * 10 ** (rows[i + 2] >> 5)).scaleb(-8)
            sides[which].append((what, name, price, amount, qty))
        twins.send(kind, *sides)
        kind = "update"


# An account --------------------------------------------------------------------------------------------------------

_VALUES = ("1", "0", "-1.50", "1e-8", "12345678901234567890.5", "true", "null", '"x"', '""', "[]", "{}")
_ENTRY = {
    "asset": "USD", "asset_class": "currency", "balance": Decimal("10.5000"), "amount": Decimal("-1.5"),
    "fee": Decimal(0), "ledger_id": "L1", "ref_id": "T1", "timestamp": "2026-11-22T10:15:31.020417Z", "type": "trade",
    "subtype": "", "category": "trade", "wallet_type": "spot", "wallet_id": "main", "user": "me",
}  # fmt: skip


def account(data: bytes) -> None:
    """A row of an account's channels, any fields with any values: told as `json` and `Decimal` read it, or refused."""
    if len(data) < 2:
        return
    channel = ("executions", "balances")[data[0] & 1]
    whole = row_of_everything() if channel == "executions" else dict(_ENTRY)
    names = list(whole)
    for i in range(1, len(data) - 1, 2):
        name = names[data[i] % len(names)]
        if data[i + 1] < 128:
            whole.pop(name, None)
        elif name in whole:
            whole[name] = Raw(_VALUES[data[i + 1] % len(_VALUES)])
    line = Account()
    line.start(channel=channel)
    line.told.clear()
    raw = message(channel, [whole], 2)
    is_fed = line.decoder.feed(raw)
    if not is_fed:
        assert line.errors
        assert not line.told
        return
    (row,) = loads(raw)["data"]
    (record,) = line.told
    assert same(taken_fields(record), expected_fields(row)), (raw, taken_fields(record), expected_fields(row))


TARGETS: dict[str, Target] = {
    "decoder": decoder,
    "scanner": scanner,
    "book": book,
    "capture": capture,
    "frames": frames,
    "level3": level3,
    "account": account,
}
