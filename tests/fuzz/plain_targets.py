"""Fuzz targets of what is not compiled: answers of REST, journals, orders as JSON, settings.

libFuzzer sees no way through Python, so these run by mutation alone, in test_targets.py; FUZZ_CASES makes it longer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from zlib import crc32

from kraken_fast.config import Endpoints, LineSettings, RestSettings, SubscriptionSettings, from_mapping
from kraken_fast.errors import (
    ConfigError,
    InvalidOrderError,
    JournalError,
    KrakenFastError,
    OutcomeUnknownError,
)
from kraken_fast.orders.journal import read_records
from kraken_fast.orders.records import NewOrder
from kraken_fast.orders.request import add_params, encode_params, encode_request
from kraken_fast.rest.envelope import read_answer
from kraken_fast.rest.error_table import CallFacts
from kraken_fast.rest.http import HttpResponse

_STATUSES = (200, 200, 200, 201, 302, 400, 401, 403, 404, 408, 429, 500, 503, 520)
_READS, _ACTS = CallFacts("Balance"), CallFacts("AddOrder", acts=True, cl_ord_id="kf-1")


def answer(data: bytes) -> None:
    """An answer of REST: its result, or an error of ours; of an order never an error that proves nothing."""
    status, body = _STATUSES[data[0] % len(_STATUSES)] if data else 200, data[1:]
    response = HttpResponse(status, {"retry-after": body[:9].decode("latin-1")}, body)
    is_told = b'"error"' in body or 300 <= status < 500
    for call in (_READS, _ACTS):
        told: object = None
        try:
            result = read_answer(response, call)
        except KrakenFastError as error:
            told = error
        if told is None:
            assert body[:2] == b"PK" or result == json.loads(body, parse_float=Decimal)["result"]
        else:
            assert call is _READS or is_told or isinstance(told, OutcomeUnknownError), (status, body, told)


def journal(data: bytes) -> None:
    """A journal: its records up to the damage; what is intact reads the same alone, or it is refused whole."""
    if data[:1] < b"\x80":  # with right checks, line by line
        lines = [b'{"k":"journal","v":1}', *data[1:].split(b"\n")]
        data = b"".join(b"%08x %s\n" % (crc32(line), line) for line in lines)
    try:
        records, intact = read_records(data)
    except JournalError:
        return
    assert read_records(data[:intact]) == (records, intact)
    assert len(records) == max(0, data[:intact].count(b"\n") - 1)


_TEXTS = ("symbol", "cl_ord_id", "sender_sub_id", "side", "order_type", "time_in_force", "limit_price", "order_qty")


def order(data: bytes) -> None:
    """An order of any texts: refused before anything is sent, or JSON that reads as what was asked for."""
    fields = {"order_type": "limit", "side": "buy", "symbol": "A/B", "order_qty": "1", "limit_price": "2"}
    for part in data.split(b"\xff")[:8]:
        fields[_TEXTS[part[0] % len(_TEXTS)] if part else "symbol"] = part[1:].decode("utf-8", "surrogateescape")
    try:
        params = add_params(NewOrder(**fields))  # type: ignore[arg-type]
    except InvalidOrderError:
        return
    raw = encode_request("add_order", encode_params(params), 'to"ken', 7)
    sent = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    assert list(sent) == ["method", "params", "req_id"]
    assert sent["params"].pop("token") == 'to"ken'
    assert sent["params"] == params
    assert min(raw) >= 0x20


_SETTINGS = (Endpoints, LineSettings, RestSettings, SubscriptionSettings)
_VALUES = (
    None, True, -1, 0, 1, 10**30, 0.5, -0.0, float("nan"), float("inf"), "", "x", "wss://a.b/v2", "http://127.0.0.1",
    "ws://kraken.com", b"x", (), {}, [1],
)  # fmt: skip


def settings(data: bytes) -> None:
    """Settings as from a file, any values: taken, or a ConfigError."""
    made = _SETTINGS[data[0] % len(_SETTINGS)] if data else Endpoints
    names = [*made.__dataclass_fields__, "nothing"]
    values = {
        names[data[i] % len(names)]: _VALUES[data[i + 1] % len(_VALUES)] for i in range(1, len(data) - 1, 2)
    }
    with suppress(ConfigError):
        from_mapping(made, values)


PLAIN: dict[str, Callable[[bytes], None]] = {"answer": answer, "journal": journal, "order": order, "settings": settings}
