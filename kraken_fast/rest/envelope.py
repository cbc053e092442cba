"""What a REST answer says: its result, or an error by status, form and texts. Numbers never pass through a float."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from ..errors import (
    AuthError,
    ExchangeError,
    RateLimitError,
    ResponseError,
    UnavailableError,
    printable,
)
from .error_table import CallFacts, error_of
from .http import HttpResponse

_log = logging.getLogger("kraken_fast.rest")

SHOWN_MAX = 200
"""Characters of a page that an error shows."""

RETRY_AFTER_MAX_S = 86_400.0


def read_answer(response: HttpResponse, call: CallFacts, *, epoch_s: float = 0.0) -> Any:
    """Give the result of an answer.

    Args:
        response: as it came.
        call: what was called.
        epoch_s: wall time, for answers that name a time to come back.

    Raises:
        ExchangeError: the exchange, or the edge before it, refused.
        ResponseError: the answer is none.
        OutcomeUnknownError: either, for a call that acts, and nothing proves that it did not.
    """
    if not 200 <= response.status < 300 and not _is_envelope(response):
        _raise_by_status(response, call, epoch_s)
    if response.body[:2] == b"PK":  # a zip: the one answer without an envelope
        return response.body
    answer = parse(response.body)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("error"), list):
        del answer
        _raise_unreadable(response, call)
    texts = [text for text in answer["error"] if isinstance(text, str)]
    errors = [text for text in texts if not text.startswith("W")]
    for warning in texts:
        if warning not in errors:
            _log.warning("%s: %s", call.endpoint, printable(warning, SHOWN_MAX))
    if errors or len(texts) < len(answer["error"]):
        del answer
        raise error_of(errors or ["EGeneral:Unreadable error"], call, epoch_s=epoch_s)
    if "result" not in answer:
        _raise_unreadable(response, call)
    return answer["result"]


def parse(body: bytes) -> Any:
    """Read JSON, fractions as Decimal. None for what is no JSON, nested too deeply, or beyond what a Decimal holds.

    >>> parse(b'{"price": 0.1}'), parse(b"<html>")
    ({'price': Decimal('0.1')}, None)
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError, ArithmeticError):  # a UnicodeDecodeError is a ValueError
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_envelope(response: HttpResponse) -> bool:
    answer = parse(response.body) if response.body[:1] == b"{" else None
    return isinstance(answer, dict) and isinstance(answer.get("error"), list) and bool(answer["error"])


def _raise_by_status(response: HttpResponse, call: CallFacts, epoch_s: float) -> NoReturn:
    status = response.status
    code = f"HTTP {status}"
    detail = _shown(response)
    # Only these prove that the request reached nothing that could have acted.
    if call.acts and status not in (400, 401, 403, 404, 405) and not 300 <= status < 400:
        raise call.unknown(f"{code} {detail}".strip())
    facts: dict[str, Any] = {"detail": detail, "endpoint": call.endpoint}
    if status in (401, 403):
        advice = "the edge refuses this address, country or client; the key was not looked at"
        raise AuthError(code, advice=advice, **facts)
    if status == 429:
        error = RateLimitError(code, retryable=True, **facts)
        error.retry_after_s = retry_after_s(response.headers, epoch_s)
        raise error
    if 300 <= status < 400:
        unavailable = UnavailableError(code, advice="redirects are not followed", **facts)
    elif status in (408, 425) or status >= 500:
        unavailable = UnavailableError(code, retryable=True, **facts)
    else:
        raise ExchangeError(code, **facts)
    unavailable.status = status
    raise unavailable


def _raise_unreadable(response: HttpResponse, call: CallFacts) -> NoReturn:
    body = response.body.lstrip()
    if call.acts:
        raise call.unknown("an answer that is none")
    if not body or body[:1] in b"{[":
        raise ResponseError(
            "an empty answer" if not body else "an answer that is cut or not in Kraken's form"
        )
    error = UnavailableError(
        f"HTTP {response.status}", detail=_shown(response), endpoint=call.endpoint, retryable=True
    )
    error.status = response.status
    raise error


def _shown(response: HttpResponse) -> str:
    """Give the beginning of a page, with blanks joined; a page comes from the edge and holds nothing of ours."""
    return " ".join(response.body[: 4 * SHOWN_MAX].decode("utf-8", "replace").split())[:SHOWN_MAX]


def retry_after_s(headers: Mapping[str, str], epoch_s: float) -> float:
    """Read `Retry-After`, seconds or a date; 0 without one, a day at most.

    >>> retry_after_s({"retry-after": "30"}, 0.0), retry_after_s({}, 0.0)
    (30.0, 0.0)
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), RETRY_AFTER_MAX_S)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - epoch_s), RETRY_AFTER_MAX_S)
    except (ValueError, OverflowError):
        return 0.0


def told_ns(headers: Mapping[str, str]) -> int | None:
    """Read `Date`, whole seconds, as ns since epoch; None without one, or from an answer that was kept on its way.

    >>> told_ns({"date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    1767225600000000000
    >>> told_ns({"date": "Thu, 01 Jan 2026 00:00:00 GMT", "age": "2"})
    """
    if headers.get("age", "0") != "0":
        return None
    try:
        return round(parsedate_to_datetime(headers.get("date", "")).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return None
