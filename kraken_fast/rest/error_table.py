"""Kraken's REST error texts: which error each becomes, and whether it proves that no order was placed.

The table is `data/rest-errors.json`. A text is matched exactly, else by the longest entry that is a prefix of
it at a colon; what is listed nowhere keeps its text and takes the default of its category. Nothing else in this
package looks at a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ..errors import (
    AuthError,
    ExchangeError,
    LockoutError,
    NonceError,
    OrderRejectedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    UnavailableError,
)

CAUTION = ("unknown_outcome", "auth", "permanent", "rate_limit", "retryable")
"""Of several errors in one answer the most cautious counts: this is the order."""

LOCKOUT_S = 15 * 60.0
"""Documented as a few minutes, seen as 15; an attempt before its end begins it anew."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one error text.

    Attributes:
        error_class: retryable, rate_limit, auth, permanent or unknown_outcome.
        order_outcome: "no" if it proves that this request put no order into the book, "unknown", or "n/a".
        retry_after_s: None when nothing is known.
    """

    code: str
    error_class: str
    subclass: str = ""
    retryable: bool = False
    order_outcome: str = "unknown"
    retry_after_s: float | None = None
    action: str = ""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What of a call decides which error it becomes.

    Attributes:
        endpoint: such as `AddOrder`.
        acts: the call changes something at the exchange, so a lost answer leaves the outcome open.
        repeatable: it acts, but twice is as once: a cancel.
        cl_ord_id: of a single order. cl_ord_ids: of each order of a batch, None for those without.
        order_ids: of the orders that it is to change or cancel.
        permission: what the key needs for it.
    """

    endpoint: str
    acts: bool = False
    repeatable: bool = False
    cl_ord_id: str | None = None
    cl_ord_ids: tuple[str | None, ...] = ()
    order_ids: tuple[str, ...] = ()
    permission: str = ""

    def unknown(self, reason: str) -> OutcomeUnknownError:
        """Make the error that says that nothing tells whether the call acted."""
        return OutcomeUnknownError(
            self.endpoint,
            reason,
            cl_ord_id=self.cl_ord_id,
            cl_ord_ids=self.cl_ord_ids,
            order_ids=self.order_ids,
            retryable=self.repeatable,
        )


def canonical(text: str) -> str:
    """Remove the blanks after colons.

    >>> canonical("EService: Throttled: 1767225630")
    'EService:Throttled:1767225630'
    """
    return re.sub(r":\s+", ":", text.strip())


@cache
def entries() -> dict[str, Entry]:
    """Give the table, keyed by the text in lower case: its spelling varies in that."""
    table: dict[str, dict[str, Any]] = json.loads((files(__package__) / "data/rest-errors.json").read_text())[
        "errors"
    ]
    return {
        code.lower(): Entry(
            code=code,
            error_class=row["class"],
            subclass=row["subclass"],
            retryable=row["retryable"],
            order_outcome=row["order_outcome"],
            retry_after_s=row.get("retry_after_s"),
            action=row.get("action", ""),
        )
        for code, row in table.items()
    }


def look_up(text: str) -> tuple[Entry, str]:
    """Find the entry of a text, and what followed it.

    >>> entry, detail = look_up("EGeneral:Invalid arguments:volume minimum")
    >>> entry.code, detail
    ('EGeneral:Invalid arguments', 'volume minimum')
    """
    text = canonical(text)
    head, detail = text, ""
    while head:
        found = entries().get(head.lower())
        if found is not None:
            return found, detail
        head, _, _ = head.rpartition(":")
        detail = text[len(head) + 1 :]
    return _unlisted(text), ""


def _unlisted(text: str) -> Entry:
    category = text.partition(":")[0]
    if category == "EOrder":
        return Entry(text, "permanent", order_outcome="no")
    if category == "EService":
        return Entry(text, "unknown_outcome", retryable=True)
    if category == "EAPI":
        return Entry(text, "auth")
    return Entry(text, "permanent")


def error_of(
    texts: Sequence[str], call: CallFacts, *, epoch_s: float = 0.0
) -> ExchangeError | OutcomeUnknownError:
    """Make the error of an answer's list of texts.

    Args:
        texts: those that begin with E; at least one.
        call: what was called.
        epoch_s: wall time, for a text that names a time to come back.
    """
    found = [look_up(text) for text in texts]
    entry, detail = min(found, key=lambda pair: CAUTION.index(pair[0].error_class))
    if call.acts and any(each.order_outcome == "unknown" for each, _ in found):
        return call.unknown("; ".join(texts))
    error = _class_of(entry, call)(
        entry.code,
        detail=detail,
        endpoint=call.endpoint,
        advice=entry.action,
        retryable=entry.retryable and (not call.acts or entry.order_outcome == "no"),
    )
    if isinstance(error, (RateLimitError, LockoutError)):
        error.retry_after_s = max(_wait_s(each, rest, epoch_s) for each, rest in found)
    if isinstance(error, PermissionDeniedError):
        error.permission = call.permission
    if isinstance(error, OrderRejectedError):
        error.cl_ord_id = call.cl_ord_id
    return error


def _class_of(entry: Entry, call: CallFacts) -> type[ExchangeError]:
    by_subclass = {"nonce": NonceError, "permissions": PermissionDeniedError, "lockout": LockoutError}
    match entry.error_class:
        case "auth":
            return by_subclass.get(entry.subclass, AuthError)
        case "rate_limit":
            return RateLimitError
        case "unknown_outcome":
            return UnavailableError
        case "permanent" if entry.code.startswith("EOrder:") or call.acts:
            return OrderRejectedError
        case "permanent" if entry.subclass == "market_state":
            return UnavailableError
    return ExchangeError


def _wait_s(entry: Entry, detail: str, epoch_s: float) -> float:
    if entry.subclass == "lockout":
        return LOCKOUT_S
    if entry.subclass == "concurrency" and detail.isascii() and detail[:12].isdigit():
        # A day at most: a wrong clock, here or there, must not silence us for years.
        return min(max(0.0, int(detail[:12]) - epoch_s), 86_400.0)
    return entry.retry_after_s or 0.0
