"""The error tree: one base to catch, facts as attributes, text that cannot be forged."""

from __future__ import annotations

import inspect
import pickle
from decimal import Decimal

import pytest

from kraken_fast import errors
from kraken_fast.errors import (
    CaptureError,
    ChecksumError,
    ConfigError,
    ConnectionLostError,
    DecodeError,
    HandshakeError,
    HeartbeatTimeoutError,
    InvalidOrderError,
    KrakenFastError,
    OutcomeUnknownError,
    StaleDataError,
    SubscriptionError,
    TlsError,
    TransportError,
    UnknownSymbolError,
    UsageError,
    printable,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


def test_one_base_catches_all() -> None:
    assert len(ALL) > 15
    assert all(issubclass(kind, KrakenFastError) for kind in ALL)
    assert issubclass(ConfigError, ValueError) and issubclass(UnknownSymbolError, KeyError)
    assert issubclass(DecodeError, ValueError)


def test_retryable_says_whether_trying_again_can_help() -> None:
    assert TransportError.retryable and not TlsError.retryable and not UsageError.retryable
    verdicts = {status: HandshakeError("x", status=status).retryable for status in (0, 400, 401, 403, 404, 429, 503)}
    assert verdicts == {0: True, 400: False, 401: False, 403: True, 404: False, 429: True, 503: True}
    assert [kind for kind in ALL if kind.sent] == [OutcomeUnknownError], "any other says so itself, or was not sent"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("depth", 11, "one of 10, 25"), "depth=11: must be one of 10, 25"),
        (InvalidOrderError("order_qty", Decimal("1E-8"), "must be more"), "order_qty=0.00000001: must be more"),
        (UnknownSymbolError.among("BTC/USDD", ["BTC/USD"]), "unknown symbol 'BTC/USDD'; did you mean BTC/USD?"),
        (UnknownSymbolError.among("?", ["BTC/USD"]), "unknown symbol '?'"),
        (HandshakeError("busy", status=503), "WebSocket upgrade refused (HTTP 503): busy"),
        (ConnectionLostError(1012, "restart"), "connection lost, code 1012: restart"),
        (ConnectionLostError(1006), "connection lost, code 1006"),
        (HeartbeatTimeoutError(3001), "line silent for 3001 ms"),
        (DecodeError("book", 7, "{oops", "a key was expected", "BTC/USD"),
         "book BTC/USD: a key was expected at byte 7: {oops"),
        (ChecksumError("BTC/USD", 1, 2), "book BTC/USD: checksum 2, exchange says 1"),
        (SubscriptionError("book", "A/B", "no"), "book A/B: no"),
        (SubscriptionError("instrument", "", "no"), "instrument: no"),
        (StaleDataError("book A/B", "stale", 1234.5), "book A/B is stale, 1234 ms old"),
        (CaptureError("x.cap", 9, "damaged record"), "x.cap: damaged record at byte 9"),
    ],
)
def test_texts_are_built_from_facts(error: KrakenFastError, text: str) -> None:
    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text, "facts survive on their way between processes"


def test_a_peers_text_cannot_forge_a_log_line() -> None:
    hostile = "a\nFAKE LINE\x1b[31m\u202eevil" + "x" * 500
    shown = printable(hostile)
    assert shown.isprintable() and len(shown) < 140 and shown.endswith("...")
    for error in (ConnectionLostError(1000, hostile), SubscriptionError("book", hostile, hostile)):
        assert "\n" not in str(error) and "\x1b" not in str(error)
