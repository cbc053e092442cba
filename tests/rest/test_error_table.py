"""Every error text becomes the right error, and only proofs count as proofs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import kraken_fast.rest.error_table as table
from kraken_fast.errors import (
    AuthError,
    ExchangeError,
    KrakenFastError,
    LockoutError,
    NonceError,
    OrderRejectedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
)
from kraken_fast.rest.error_table import CallFacts, canonical, entries, error_of, look_up

SOURCE = Path(__file__).parent.parent / "data" / "errors.json"
ROWS: dict[str, dict[str, Any]] = json.loads(SOURCE.read_text())["errors"]

READ = CallFacts("Balance")
ORDER = CallFacts("AddOrder", acts=True, cl_ord_id="kf-1")
CANCEL = CallFacts("CancelOrder", acts=True, repeatable=True)


def test_the_table_is_made_of_its_source() -> None:
    made = json.loads((Path(table.__file__).parent / "data" / "rest-errors.json").read_text())
    assert made["_source_sha256"] == hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert list(made["errors"]) == list(ROWS)


@pytest.mark.fault("R01", kind="U")
@pytest.mark.parametrize("text", ROWS)
def test_every_text_for_a_read(text: str) -> None:
    row = ROWS[text]
    error = error_of([text], READ)
    assert isinstance(error, ExchangeError)
    assert error.code == text
    assert error.retryable == row["retryable"]
    assert not error.sent
    assert text in str(error)
    expected: type[KrakenFastError] = ExchangeError
    match row["class"], row["subclass"]:
        case "auth", "nonce":
            expected = NonceError
        case "auth", "permissions":
            expected = PermissionDeniedError
        case "auth", "lockout":
            expected = LockoutError
        case "auth", _:
            expected = AuthError
        case "rate_limit", _:
            expected = RateLimitError
        case ("unknown_outcome", _) | ("permanent", "market_state") if not text.startswith(
            "EGeneral:Invalid"
        ):
            expected = UnavailableError
    assert isinstance(error, expected)


@pytest.mark.parametrize("text", ROWS)
def test_every_text_for_an_order(text: str) -> None:
    row = ROWS[text]
    error = error_of([text], ORDER)
    if row["order_outcome"] == "unknown":
        assert isinstance(error, OutcomeUnknownError)
        assert (error.cl_ord_id, error.sent, error.retryable) == ("kf-1", True, False)
        assert "look it up" in str(error)
        return
    assert isinstance(error, ExchangeError)
    assert error.retryable == (row["retryable"] and row["order_outcome"] == "no")
    if row["class"] == "permanent":
        assert isinstance(error, OrderRejectedError)
        assert error.cl_ord_id == "kf-1"
        assert "kf-1" in str(error)


@pytest.mark.fault("R01", kind="U")
@pytest.mark.parametrize("text", ROWS)
def test_every_text_is_found_by_its_longest_prefix_however_it_is_spelled(text: str) -> None:
    for spelled in (f"{text}:and more", f"{text}: and more", f"{text.lower()}:and more", f" {text}:and more "):
        entry, detail = look_up(spelled)
        assert (entry.code, detail) == (text, "and more")
        assert entry.error_class == ROWS[text]["class"]
    entry, _ = look_up(text + "s")  # another word is another text
    assert entry.code != text


def test_a_cancel_may_be_repeated() -> None:
    error = error_of(["EService:Busy"], CANCEL)
    assert isinstance(error, OutcomeUnknownError)
    assert error.retryable
    assert "repeated" in str(error)


@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        ("EGeneral:Invalid arguments:Index unavailable", "EGeneral:Invalid arguments:Index unavailable", ""),
        ("EGeneral:Invalid arguments:volume", "EGeneral:Invalid arguments:volume", ""),
        ("EGeneral:Invalid arguments:displayvol", "EGeneral:Invalid arguments", "displayvol"),
        ("EGeneral:Unknown Method", "EGeneral:Unknown method", ""),
        ("EService: Throttled: 1767225630", "EService:Throttled", "1767225630"),
        ("EOrder:Invalid price:BTC/USD price can only be specified up to 1 decimals.", "EOrder:Invalid price",
         "BTC/USD price can only be specified up to 1 decimals."),
        ("EAPI:Invalid keyring", "EAPI:Invalid keyring", ""),
        ("EGeneral:Internal error:E42", "EGeneral:Internal error", "E42"),
    ],
)  # fmt: skip
def test_the_longest_prefix_at_a_colon_counts(text: str, code: str, detail: str) -> None:
    entry, rest = look_up(text)
    assert (entry.code, rest) == (code, detail)


@pytest.mark.parametrize(
    ("text", "error_class", "order_outcome"),
    [
        ("EOrder:Something new", "permanent", "no"),
        ("EService:Something new", "unknown_outcome", "unknown"),
        ("EAPI:Something new", "auth", "unknown"),
        ("ENew:Something", "permanent", "unknown"),
        ("", "permanent", "unknown"),
    ],
)
def test_what_is_not_listed_takes_its_categorys_default(
    text: str, error_class: str, order_outcome: str
) -> None:
    entry, _ = look_up(text)
    assert (entry.error_class, entry.order_outcome) == (error_class, order_outcome)


def test_of_several_errors_the_most_cautious_counts() -> None:
    assert isinstance(error_of(["EOrder:Insufficient funds", "EService:Busy"], ORDER), OutcomeUnknownError)
    assert isinstance(error_of(["EAPI:Rate limit exceeded", "EAPI:Invalid key"], READ), AuthError)
    several = error_of(["EGeneral:Too many requests", "EAuth:Rate limit exceeded"], READ)
    assert isinstance(several, RateLimitError)
    assert several.retry_after_s == 60


@pytest.mark.fault("O29", kind="U")
def test_a_definite_refusal_of_an_order_is_never_unknown() -> None:
    error = error_of(["EOrder:Insufficient funds"], ORDER)
    assert isinstance(error, OrderRejectedError)
    assert (error.category, error.retryable, error.sent) == ("Order", False, False)


def test_times_to_come_back() -> None:
    throttled = error_of(["EService: Throttled: 1767225630"], READ, epoch_s=1_767_225_600.0)
    assert isinstance(throttled, RateLimitError)
    assert throttled.retry_after_s == 30.0
    assert "30.0 s" in str(throttled)
    absurd = error_of(["EService:Throttled:999999999999"], READ)
    assert isinstance(absurd, RateLimitError)
    assert absurd.retry_after_s == 86_400.0
    locked = error_of(["EGeneral:Temporary lockout"], READ)
    assert isinstance(locked, LockoutError)
    assert locked.retry_after_s >= 15 * 60
    assert "900 s" in str(locked)


@pytest.mark.fault("A04", kind="U")
def test_a_missing_permission_is_named() -> None:
    error = error_of(["EGeneral:Permission denied"], CallFacts("Ledgers", permission="query-ledger"))
    assert isinstance(error, PermissionDeniedError)
    assert "query-ledger" in str(error)


def test_the_text_of_the_exchange_is_escaped() -> None:
    assert "\n" not in str(error_of(["EOrder:evil\nlog line\u202e"], READ))
    assert canonical(" EService:  Busy ") == "EService:Busy"
    assert all(entry.error_class in table.CAUTION for entry in entries().values())
