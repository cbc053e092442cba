"""What is fuzzed, and the second opinion on each case: `json`, `Decimal`, `datetime`, sorted lists, RFC 6455 in Python.

A target takes bytes and raises when the client is wrong. The same targets run under libFuzzer with ASan and UBSan, by
`python tests/libfuzzer.py TARGET`, two of them by compiled.pyx, and over their small corpus and some mutations of it in
test_targets.py.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import lru_cache
from pathlib import Path

import orjson
import schema
from accountwire import Account, expected_fields, message, row_of_everything, taken_fields
from judge import same, time_ns

from kraken_fast.core.book import OrderBook
from kraken_fast.core.capture import CaptureReader
from kraken_fast.core.decode import Decoder
from kraken_fast.core.fixed import to_decimal, to_fixed
from kraken_fast.core.frames import FramePolicy
from kraken_fast.core.handler import Callbacks
from kraken_fast.errors import CaptureError
from kraken_fast.sim.reference import loads
from kraken_fast.types import QueuedOrder

from .test_fuzz_decode import BASE, Case

Target = Callable[[bytes], None]

DIGITS_MAX = 19

JUDGED = int(os.environ.get("FUZZ_JUDGED", "1"))
"""Where the slow judge takes longer than all else, it looks at one case of so many. libfuzzer.py shows it, besides,
all that reached something new."""


def _is_judged(data: bytes) -> bool:
    return zlib.crc32(data) % JUDGED == 0


# The decoder -------------------------------------------------------------------------------------------------------


class _Counter(Callbacks):
    """Counts what is told; ignores why a message was refused."""

    def __init__(self) -> None:
        self.told = 0
        self.book = self.ticker = self.trade = self.candle = self._tell

    def _tell(self, _event: object) -> None:
        self.told += 1

    on_ack = on_status = on_instruments = _tell


class _Standing:
    """A decoder that holds a book through many cases. Most of what is made up is refused, and changes nothing of it."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.cases = 0
        self.counter = _Counter()
        self.decoder = Decoder(handler=self.counter, create=True, create_depth=10)
        self.decoder.feed(BASE, strict=True)
        self.book = self.decoder.book("BTC/USD")
        self.before = self._held()

    def _held(self) -> tuple[object, ...]:
        book = self.book
        return book.bids_raw, book.asks_raw, book.checksum, book.exch_ns, self.counter.told

    def feed(self, data: bytes) -> bool:
        """Whether it is accepted. If not, what was held is still held, and nobody was told of anything."""
        is_fed = self.decoder.feed(data)
        assert is_fed or self._held() == self.before
        self.book._check()
        self.cases += 1
        if self.cases == 200:
            self._begin()
        elif is_fed or not self.book.is_valid:
            self.decoder.feed(BASE)
            self.before = self._held()
        return is_fed


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


_standing = _Standing()


def decoder(data: bytes) -> None:
    """One text message: accepted as the schema says and with equal values, or refused and nothing changed."""
    data = data or b" "
    is_fed = _standing.feed(data)
    if _is_judged(data) and (is_fed or _is_json(data)):
        Case("fuzzed", data).run()


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


def _checksum(asks: list[Row], bids: list[Row]) -> int:
    return zlib.crc32("".join([f"{price or ''}{qty or ''}" for price, qty in asks[:10] + bids[:10]]).encode())


def _kept(side: dict[int, int], depth: int, *, is_bids: bool) -> list[Row]:
    """Cut a side to its depth; give its levels, best first."""
    rows = sorted(side.items(), reverse=is_bids)
    for price, _ in rows[depth:]:
        del side[price]
    return rows[:depth]


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
        for side, part in zip(sides, parts, strict=True):
            for price, qty in part:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        bids, asks = _kept(sides[0], depth, is_bids=True), _kept(sides[1], depth, is_bids=False)
        total = _checksum(asks, bids)
        apply = held.apply_snapshot if is_first else held.apply_update
        assert apply(*parts, checksum=total), (held, sides)
        is_first = False
        assert held.bids_raw == tuple(bids)
        assert held.asks_raw == tuple(asks)
        held._check()


# Captures ----------------------------------------------------------------------------------------------------------

_MAGIC = b"KFCAP\x00\x01\n"
_FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(os.environ.get("TMPDIR", "."))
_PATH = _FOLDER / f"kraken-fast-fuzz-{os.getpid()}"
_file = os.open(_PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@lru_cache(16)
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
    os.truncate(_file, 0)
    os.pwrite(_file, file, 0)
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
_TIMES = [f"2026-11-22T10:15:01.{nanos:09d}Z" for nanos in range(256)]
_TIMES_NS = [time_ns(text) for text in _TIMES]
_DEPTHS = (10, 100)
_level3 = Decoder()
_BOOKS = [_level3.want_level3(f"D{depth}/USD", depth) for depth in _DEPTHS]

Queued = tuple[str, int, int, int]
"""Name, price in tenths, quantity in 1e-8, nanosecond of its time."""


def _order(event: str, order: Queued) -> str:
    name, price, qty, nanos = order
    begin = f'{{"event":"{event}",' if event else "{"
    return (
        f'{begin}"order_id":"{name}","limit_price":{price // 10}.{price % 10},"order_qty":{qty // 10**8}.'
        f'{qty % 10**8:08d},"timestamp":"{_TIMES[nanos]}"}}'
    )


def _queue(side: dict[str, Queued], event: str, order: Queued) -> None:
    """Do what an event says to a side, which is in the order of arrival."""
    held = side.get(order[0])
    if event in ("", "add"):
        side.pop(order[0], None)
        side[order[0]] = order
    elif held is not None and event == "delete":
        del side[order[0]]
    elif held is not None and held[1] == order[1]:
        side[order[0]] = held[0], held[1], order[2], held[3]
    elif held is not None:
        del side[order[0]]
        side[order[0]] = order


def _queues(side: dict[str, Queued], depth: int, *, is_bids: bool) -> list[Queued]:
    """Cut a side to its depth; give its orders, best price first."""
    prices = sorted({order[1] for order in side.values()}, reverse=is_bids)
    for name in [order[0] for order in side.values() if order[1] in prices[depth:]]:
        del side[name]
    # Sorting is stable: within a price the order of arrival stays.
    return sorted(side.values(), key=lambda order: order[1], reverse=is_bids)


def _best(orders: list[Queued]) -> str:
    """The text of ten prices of a side that the checksum is made of."""
    last = list(dict.fromkeys([order[1] for order in orders]))[:10]
    return "".join([f"{price}{qty}" for _, price, qty, _ in orders if price in last])


def _same_queues(told: tuple[QueuedOrder, ...], levels: tuple[Row, ...], orders: list[Queued]) -> None:
    expected: dict[int, int] = {}
    for _, price, qty, _ in orders:
        expected[price] = expected.get(price, 0) + qty
    assert levels == tuple(expected.items()), (levels, expected)
    assert len(told) == len(orders)
    for (name, limit_price, order_qty, exch_ns), (known, price, qty, nanos) in zip(told, orders, strict=True):
        assert name == known
        assert str(limit_price) == f"{price // 10}.{price % 10}"
        assert f"{order_qty:f}" == f"{qty // 10**8}.{qty % 10**8:08d}"
        assert exch_ns == _TIMES_NS[nanos]


def level3(data: bytes) -> None:
    """A snapshot and updates of orders, four bytes each: equal to dictionaries, sorting and zlib after each message."""
    if not data:
        return
    depth, book = _DEPTHS[data[0] & 1], _BOOKS[data[0] & 1]
    sides: tuple[dict[str, Queued], dict[str, Queued]] = {}, {}
    at, kind = 1, "snapshot"
    while at < len(data):
        count = data[at] % 16
        rows, at = data[at + 1 : at + 1 + 4 * count], at + 1 + 4 * count
        texts: tuple[list[str], list[str]] = ([], [])
        held = {*sides[0], *sides[1]} if kind == "update" else set()
        for i in range(0, len(rows) - 3, 4):
            which, event, nanos = rows[i] >> 7, _EVENTS[rows[i] % 3] if kind == "update" else "", rows[i + 3]
            name = f"O{which}{rows[i + 1] % 40}"
            if event in ("", "add") and name in held:
                continue  # the exchange adds an order once; of a message that came twice nothing changes
            if event == "delete":
                held.discard(name)
            else:
                held.add(name)
            price = rows[i + 2] % 32 + 1 + (0 if which == 0 else 40)
            order = name, price, (nanos + 1) * 10 ** (rows[i + 2] >> 5), nanos
            texts[which].append(_order(event, order))
            _queue(sides[which], event, order)
        bids, asks = _queues(sides[0], depth, is_bids=True), _queues(sides[1], depth, is_bids=False)
        raw = (
            f'{{"channel":"level3","type":"{kind}","data":[{{"timestamp":"{_TIMES[5]}",'
            f'"checksum":{zlib.crc32((_best(asks) + _best(bids)).encode())},"symbol":"{book.symbol}",'
            f'"bids":[{",".join(texts[0])}],"asks":[{",".join(texts[1])}]}}]}}'
        )
        assert _level3.feed(raw.encode(), strict=True)
        assert book.is_valid, raw
        book._check()
        _same_queues(book.bid_orders, book.bids_raw, bids)
        _same_queues(book.ask_orders, book.asks_raw, asks)
        kind = "update"


# An account --------------------------------------------------------------------------------------------------------

_VALUES = ("1", "0", "-1.50", "1e-8", "12345678901234567890.5", "true", "null", '"x"', '""', "[]", "{}")
_ENTRY = {
    "asset": "USD", "asset_class": "currency", "balance": Decimal("10.5000"), "amount": Decimal("-1.5"),
    "fee": Decimal(0), "ledger_id": "L1", "ref_id": "T1", "timestamp": "2026-11-22T10:15:31.020417Z", "type": "trade",
    "subtype": "", "category": "trade", "wallet_type": "spot", "wallet_id": "main", "user": "me",
}  # fmt: skip


_CHANNELS = ("executions", "balances")
_FIELDS = [
    {name: message("", [{name: value}], None).partition(b'"data":[{')[2][:-3].decode() for name, value in row.items()}
    for row in (row_of_everything(), _ENTRY)
]
"""Each field of a row as text, with its name."""
_LEAST = (("order_id", "exec_type"), ("asset", "balance"))


_SNAPSHOTS = [message(channel, [], 1, "snapshot") for channel in _CHANNELS]
_account = Account()


def account(data: bytes) -> None:
    """A row of an account's channels, any fields with any values: told as `json` and `Decimal` read it, or refused."""
    if len(data) < 2:
        return
    which, names = data[0] & 1, list(_FIELDS[data[0] & 1])
    is_whole = data[0] & 2
    row = dict(_FIELDS[which]) if is_whole else {name: _FIELDS[which][name] for name in _LEAST[which]}
    for i in range(1, len(data) - 1, 2):
        name = names[data[i] % len(names)]
        if data[i + 1] >= 128:
            row[name] = f'"{name}":{_VALUES[data[i + 1] % len(_VALUES)]}'
        elif is_whole:
            row.pop(name, None)
        else:
            row[name] = _FIELDS[which][name]
    line = _account
    line.decoder.feed(_SNAPSHOTS[which], strict=True)
    line.told.clear()
    line.errors.clear()
    raw = (
        f'{{"channel":"{_CHANNELS[which]}","type":"update","data":[{{{",".join(row.values())}}}],"sequence":2}}'
    ).encode()
    if not line.decoder.feed(raw):
        assert line.errors
        assert not line.told
        return
    (record,) = line.told
    if _is_judged(data):
        (known,) = loads(raw)["data"]
        assert same(taken_fields(record), expected_fields(known)), (raw, taken_fields(record), expected_fields(known))


TARGETS: dict[str, Target] = {
    "decoder": decoder,
    "scanner": scanner,
    "book": book,
    "capture": capture,
    "frames": frames,
    "level3": level3,
    "account": account,
}
