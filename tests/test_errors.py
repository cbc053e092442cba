"""The error tree: facts as attributes, text built from them, and nothing of a peer's that could harm a log."""

from __future__ import annotations

import pickle

import pytest

from kraken_fast import errors
from kraken_fast.errors import (
    ChecksumError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DecodeError,
    HandshakeError,
    HeartbeatTimeoutError,
    KrakenFastError,
    StaleDataError,
    SubscriptionError,
    TlsError,
    TransportError,
    UnknownSymbolError,
    UsageError,
    printable,
)

MADE = [
    ConfigError("book_depth", 11, "one of 10, 25"),
    UnknownSymbolError("BTC/USX", ("BTC/USD",)),
    ConnectionLostError(1006, "reset"),
    HandshakeError("Forbidden", status=403, retry_after_s=7.0),
    HeartbeatTimeoutError(3001),
    DecodeError("book", 17, "excerpt", "data is missing", "BTC/USD"),
    ChecksumError("BTC/USD", 1, 2),
    SubscriptionError("book", "NO/SUCH", "Currency pair not supported"),
    StaleDataError("book BTC/USD", "stale", 1500.0),
]


def test_everything_has_one_root_and_says_whether_to_try_again() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(found) > 12
    for each in found:
        assert issubclass(each, KrakenFastError)
        assert isinstance(each.retryable, bool)
        assert each.sent is False


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_facts_survive_a_pickle_and_stand_in_the_text(error: KrakenFastError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) != ""
    assert "\n" not in str(error)


def test_python_knows_them_by_its_own_names() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(UnknownSymbolError, KeyError)
    assert issubclass(DecodeError, ValueError)
    assert issubclass(TlsError, ConnectError)
    assert str(UnknownSymbolError("X", ("Y",))) == "unknown symbol 'X'; did you mean Y?"


def test_what_may_be_tried_again() -> None:
    assert not UsageError.retryable
    assert TransportError.retryable
    assert not TlsError.retryable
    for status, retryable in ((0, True), (403, True), (429, True), (503, True), (400, False), (404, False)):
        assert HandshakeError("", status=status).retryable is retryable


@pytest.mark.parametrize("bad", ["a\x1b[31mred", "two\nlines", "\u202etxt.exe", "nul\0"])
def test_a_peers_text_is_escaped_and_bounded(bad: str) -> None:
    for error in (ConnectionLostError(1008, bad), HandshakeError(bad), SubscriptionError("book", bad, bad)):
        assert str(error).isprintable()
    assert len(printable("x" * 1000)) < 100
