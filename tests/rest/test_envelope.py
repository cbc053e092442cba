"""Answers: what is one, what is none, and what each says."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.errors import (
    AuthError,
    ExchangeError,
    KrakenFastError,
    OutcomeUnknownError,
    RateLimitError,
    ResponseError,
    UnavailableError,
)
from kraken_fast.rest.envelope import parse, read_answer, retry_after_s
from kraken_fast.rest.error_table import CallFacts
from kraken_fast.rest.http import HttpResponse

EXAMPLES = json.loads((Path(__file__).parent.parent / "data" / "rest-examples.json").read_text())
READ = CallFacts("Balance")
ORDER = CallFacts("AddOrder", acts=True, cl_ord_id="kf-9")


def test_numbers_never_become_floats() -> None:
    def floats(value: Any) -> bool:
        if isinstance(value, dict):
            return any(map(floats, value.values()))
        return any(map(floats, value)) if isinstance(value, list) else isinstance(value, float)

    for example in EXAMPLES["spot"]:
        if isinstance(example["response"], dict):
            assert not floats(
                read_answer(HttpResponse(200, {}, json.dumps(example["response"]).encode()), READ)
            )
    assert parse(b'{"a":1767225600.9717445}') == {"a": Decimal("1767225600.9717445")}
    assert parse(b"[NaN]") is None
    assert parse(b"[" * 100_000) is None


@pytest.mark.fault("R01", kind="U")
@pytest.mark.parametrize("example", EXAMPLES["spot_errors"], ids=lambda example: example["name"])
def test_the_documented_failures(example: dict[str, Any]) -> None:
    body = example.get("body_text") or json.dumps(example["body"])
    response = HttpResponse(example["http_status"], {}, body.encode())
    if example["name"].startswith("warning"):
        assert read_answer(response, READ) == {"count": 1}
        return
    with pytest.raises(KrakenFastError) as caught:
        read_answer(response, READ)
    assert isinstance(caught.value, ExchangeError)
    if example["http_status"] != 200:
        assert isinstance(caught.value, UnavailableError)
        assert caught.value.status == example["http_status"]


@pytest.mark.parametrize("extra", [{}, {"result": None}, {"result": {}}])
def test_an_error_counts_whatever_the_result(extra: dict[str, Any]) -> None:
    with pytest.raises(ExchangeError, match="Unknown asset pair"):
        read_answer(
            HttpResponse(200, {}, json.dumps({"error": ["EQuery:Unknown asset pair"], **extra}).encode()),
            READ,
        )


@pytest.mark.fault("R02", kind="U")
@pytest.mark.parametrize("status", [200, 403, 500, 502, 503, 520, 524])
def test_a_page_says_its_status_and_beginning(status: int) -> None:
    page = b"<!DOCTYPE html>\n<title>Attention\x1b[31m</title>" + b"x" * 5000
    with pytest.raises(ExchangeError) as caught:
        read_answer(HttpResponse(status, {}, page), READ)
    assert caught.value.code == f"HTTP {status}"
    assert len(caught.value.detail) <= 200
    assert "\x1b" not in str(caught.value)
    assert isinstance(caught.value, AuthError if status == 403 else UnavailableError)


@pytest.mark.fault("R03", kind="U")
@pytest.mark.parametrize(
    "body", [b"", b"  ", b'{"error":[],"resu', b"{}", b"[]", b'{"error":[]}', b'{"error":7,"result":1}',
             b'{"error":[],"result":1e99999999999999999999}']
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ResponseError) as caught:
        read_answer(HttpResponse(200, {}, body), READ)
    assert caught.value.retryable
    with pytest.raises(OutcomeUnknownError) as unknown:
        read_answer(HttpResponse(200, {}, body), ORDER)
    assert unknown.value.cl_ord_id == "kf-9"


@pytest.mark.parametrize("status", [200, 202, 408, 425, 429, 500, 502, 503, 504, 520, 521, 527])
def test_for_an_order_a_page_proves_nothing(status: int) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        read_answer(HttpResponse(status, {}, b"<html>"), ORDER)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ExchangeError), (401, AuthError), (403, AuthError), (404, ExchangeError), (405, ExchangeError)],
)
def test_some_statuses_prove_that_nothing_was_done(status: int, kind: type[ExchangeError]) -> None:
    with pytest.raises(kind) as caught:
        read_answer(HttpResponse(status, {}, b"<html>"), ORDER)
    assert not caught.value.sent
    assert not caught.value.retryable


def test_an_envelope_counts_whatever_the_status() -> None:
    with pytest.raises(ExchangeError, match="Insufficient funds"):
        read_answer(HttpResponse(400, {}, b'{"error":["EOrder:Insufficient funds"]}'), ORDER)


@pytest.mark.fault("L04", kind="U")
def test_429_says_when_to_come_back() -> None:
    with pytest.raises(RateLimitError) as caught:
        read_answer(HttpResponse(429, {"retry-after": "17"}, b""), READ)
    assert caught.value.retry_after_s == 17.0
    assert retry_after_s({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 1_767_225_600.0) == 30.0
    assert retry_after_s({"retry-after": "soon"}, 0.0) == 0.0
    assert retry_after_s({"retry-after": "9" * 30}, 0.0) == 86_400.0


def test_a_zip_is_its_own_answer_and_unreadable_errors_are_errors() -> None:
    assert read_answer(HttpResponse(200, {}, b"PK\x03\x04rest"), READ) == b"PK\x03\x04rest"
    with pytest.raises(ExchangeError, match="Unreadable"):
        read_answer(HttpResponse(200, {}, b'{"error":[5],"result":1}'), READ)
