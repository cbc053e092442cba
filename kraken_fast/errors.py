"""The error tree. Facts are attributes, the text is built from them, secrets enter neither.

    KrakenFastError                 .retryable  .sent (may the exchange have acted?)
      UsageError                    you called us wrongly; nothing was sent
        ConfigError(ValueError)  UnknownSymbolError(KeyError)  InvalidOrderError(ValueError)  ClosedError
      OrderBlockedError(retryable)  a state, a limit or a switch of ours keeps orders in; nothing was sent
      TransportError                the line failed; retryable
        ConnectError  HandshakeError(status)  TlsError  ConnectionLostError(code, reason)  HeartbeatTimeoutError
        ResponseError                 an HTTP answer that was cut, empty, too long, or never came
      ProtocolError                 the peer broke the rules; drop and resync
        DecodeError(channel, offset, excerpt)  ChecksumError(symbol, expected, computed)
      ExchangeError                 Kraken understood and refused; .code  .category  .detail
        AuthError                   key, signature or account: never tried again by itself
          NonceError  PermissionDeniedError(permission)  LockoutError(retry_after_s)
        RateLimitError(retry_after_s)  OrderRejectedError(cl_ord_id)  UnavailableError(status)
      RequestTimeoutError(TimeoutError)   a read went unanswered; retryable
      OutcomeUnknownError           an order was sent, no answer; .cl_ord_id; look it up, never resend blindly
      OrderEndedError               what was waited for will not happen: the order ended otherwise
      JournalError(path, offset)    the orders' journal cannot be read or written; orders stay in
      SubscriptionError             the exchange refused, or never served, what was subscribed
      CaptureError(path, offset)    a recording is damaged; what is before `offset` was read
      SourceError                   no value can be trusted as asked for
        StaleDataError(age_ms, quality)  CircuitOpenError(retry_after_s)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches

EXCERPT_MAX = 80
"""How much of a peer's text an error shows, in characters."""


def printable(text: str, limit: int = EXCERPT_MAX) -> str:
    """Escape control and bidirectional characters of a peer's text and bound its length.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return shown + ("..." if len(text) > limit else "")


def _shown(value: object) -> str:
    return printable(f"{value:f}" if isinstance(value, Decimal) else repr(value))


class KrakenFastError(Exception):
    """Base of every error that kraken_fast raises on purpose.

    Attributes:
        retryable: the same call may succeed later without being changed.
        sent: the exchange may have received it, and acted.
    """

    retryable = False
    sent = False


class UsageError(KrakenFastError):
    """You called us wrongly; nothing was sent."""


class ConfigError(UsageError, ValueError):
    """A setting is wrong; names the field, the value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        super().__init__(field, value, allowed)

    def __str__(self) -> str:
        return f"{self.field}={_shown(self.value)}: must be {self.allowed}"


class UnknownSymbolError(UsageError, KeyError):
    """No such symbol, here or at the exchange."""

    def __init__(self, symbol: str, suggestions: tuple[str, ...] = ()) -> None:
        self.symbol = symbol
        self.suggestions = suggestions
        super().__init__(symbol)

    @classmethod
    def among(cls, symbol: str, known: Iterable[str]) -> UnknownSymbolError:
        """Make the error with the nearest of the known symbols as suggestions."""
        return cls(symbol, tuple(get_close_matches(symbol.upper(), list(known), n=3)))

    def __str__(self) -> str:
        hint = f"; did you mean {', '.join(self.suggestions)}?" if self.suggestions else ""
        return f"unknown symbol {printable(self.symbol)!r}{hint}"


class InvalidOrderError(UsageError, ValueError):
    """An order breaks a rule that is known here, so it was not sent; names the field, the value and the rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        self.value = value
        self.rule = rule
        super().__init__(field, value, rule)

    def __str__(self) -> str:
        return f"{self.field}={_shown(self.value)}: {self.rule}"


class ClosedError(UsageError):
    """It was closed before this call."""


class TransportError(KrakenFastError):
    """The line failed; connecting again may help."""

    retryable = True


class ConnectError(TransportError):
    """No connection could be made: name resolution, refusal, or time."""


class TlsError(ConnectError):
    """The peer's certificate was not accepted. Nothing was sent, and there is no fall-back to plain text."""

    retryable = False


class HandshakeError(TransportError):
    """The peer answered the WebSocket upgrade with something else than agreement.

    Attributes:
        status: HTTP status, 0 if there was none.
        retry_after_s: what the peer asked for, or None.
    """

    def __init__(self, reason: str, *, status: int = 0, retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s
        # 429 and 5xx pass, 403 is how the edge says "too many"; the rest is a wrong address.
        self.retryable = status in (0, 403, 429) or status >= 500
        super().__init__(reason)

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        return f"WebSocket upgrade refused{status}: {printable(self.reason)}"


class ConnectionLostError(TransportError):
    """An open line ended. `code` is the WebSocket close code, 1006 when there was none."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"connection lost, code {self.code}{': ' + printable(self.reason) if self.reason else ''}"


class HeartbeatTimeoutError(TransportError):
    """Nothing was heard on an open line for `silent_ms`."""

    def __init__(self, silent_ms: int) -> None:
        self.silent_ms = silent_ms
        super().__init__(silent_ms)

    def __str__(self) -> str:
        return f"line silent for {self.silent_ms} ms"


class ResponseError(TransportError):
    """A request left and no usable answer came back: the connection broke, or the answer was cut, empty or too long."""

    def __init__(self, reason: str, *, sent: bool = True, retryable: bool = True) -> None:
        self.reason = reason
        self.sent = sent
        self.retryable = retryable
        super().__init__(reason)

    def __str__(self) -> str:
        return printable(self.reason, 200)


class ProtocolError(KrakenFastError):
    """The peer broke the rules; the state that it touched is dropped and asked for again."""

    retryable = True


class DecodeError(ProtocolError, ValueError):
    """A message of a known channel could not be understood; nothing of it was applied.

    Attributes:
        channel: the channel, or "" when the message broke before naming one.
        offset: byte in the message at which understanding ended.
        excerpt: the bytes around it, escaped and bounded.
        symbol: the symbol, or "" when it could not be told.
    """

    def __init__(self, channel: str, offset: int, excerpt: str, reason: str = "", symbol: str = "") -> None:
        self.channel = channel
        self.offset = offset
        self.excerpt = excerpt
        self.reason = reason
        self.symbol = symbol
        super().__init__(channel, offset, excerpt, reason, symbol)

    def __str__(self) -> str:
        what = f"{self.channel or 'message'}{' ' + printable(self.symbol) if self.symbol else ''}"
        return f"{what}: {self.reason or 'not understood'} at byte {self.offset}: {self.excerpt}"


class ChecksumError(ProtocolError):
    """A book disagrees with the exchange's checksum."""

    def __init__(self, symbol: str, expected: int, computed: int) -> None:
        self.symbol = symbol
        self.expected = expected
        self.computed = computed
        super().__init__(symbol, expected, computed)

    def __str__(self) -> str:
        return f"book {printable(self.symbol)}: checksum {self.computed}, exchange says {self.expected}"


class CaptureError(KrakenFastError):
    """A capture file is damaged, cut, or none at all; everything before `offset` is intact and was read."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        self.path = path
        self.offset = offset
        self.reason = reason
        super().__init__(path, offset, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason} at byte {self.offset}"


class ExchangeError(KrakenFastError):
    """Kraken understood the request and refused it.

    Attributes:
        code: the text as `error_table` knows it, such as `EQuery:Unknown asset pair`, or as it came.
        category: the word before the colon, without its severity letter: `Query`.
        detail: what followed the code, or "".
        endpoint: what was called, such as `AddOrder`.
        advice: what to do, or "".
    """

    def __init__(
        self,
        code: str,
        *,
        detail: str = "",
        endpoint: str = "",
        advice: str = "",
        retryable: bool = False,
        sent: bool = False,
    ) -> None:
        self.code = code
        self.detail = detail
        self.endpoint = endpoint
        self.advice = advice
        self.retryable = retryable
        self.sent = sent
        super().__init__(code, detail)

    @property
    def category(self) -> str:
        """The word before the colon, without its severity letter."""
        return self.code.partition(":")[0][1:]

    def __str__(self) -> str:
        detail = f" ({printable(self.detail, 200)})" if self.detail else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.endpoint or 'request'} refused: {printable(self.code, 200)}{detail}{advice}"


class AuthError(ExchangeError):
    """The key, its signature or the account is not accepted. Repeating it leads to a lockout."""


class NonceError(AuthError):
    """The nonce was not above the highest one that the exchange has seen for this key."""


PERMISSION_WORDS = {
    "query-funds": "Query funds",
    "query-open-trades": "Query open orders and trades",
    "query-closed-trades": "Query closed orders and trades",
    "query-ledger": "Query ledger entries",
    "modify-trades": "Create and modify orders",
    "close-trades": "Cancel and close orders",
    "export-data": "Export data",
    "create-ws-token": "WebSocket interface",
}
"""Permissions in the words of a key's settings page, by the names of `GetApiKeyInfo`."""


class PermissionDeniedError(AuthError):
    """The key may not do this. `permission` is what it lacks, as the exchange names it, or ""."""

    permission = ""

    def __str__(self) -> str:
        words = PERMISSION_WORDS.get(self.permission)
        named = f'{self.permission} ("{words}" in its settings)' if words else printable(self.permission)
        return super().__str__() + (f"; the key lacks {named}" if self.permission else "")


class LockoutError(AuthError):
    """The exchange locked the key out; every attempt before `retry_after_s` prolongs it."""

    retry_after_s: float = 0.0

    def __str__(self) -> str:
        return f"{super().__str__()}; no private call for another {self.retry_after_s:.0f} s"


class RateLimitError(ExchangeError):
    """Too fast: refused by a limiter of the exchange, or by ours because the caller would not wait."""

    retry_after_s: float = 0.0

    def __str__(self) -> str:
        return super().__str__() + (f"; wait {self.retry_after_s:.1f} s" if self.retry_after_s else "")


class OrderRejectedError(ExchangeError):
    """The order was refused for certain: nothing of it is in the book."""

    cl_ord_id: str | None = None

    def __str__(self) -> str:
        return super().__str__() + (f"; cl_ord_id {printable(self.cl_ord_id)}" if self.cl_ord_id else "")


class UnavailableError(ExchangeError):
    """The exchange, or the edge before it, cannot serve now. `status` is the HTTP status."""

    status: int = 200


class RequestTimeoutError(KrakenFastError, TimeoutError):
    """A read went unanswered."""

    retryable = True

    def __init__(self, endpoint: str, after_s: float) -> None:
        self.endpoint = endpoint
        self.after_s = after_s
        super().__init__(endpoint, after_s)

    def __str__(self) -> str:
        return f"{self.endpoint}: no answer within {self.after_s:g} s"


class OutcomeUnknownError(KrakenFastError):
    """A call that acts was sent, and nothing tells whether the exchange acted. Look it up; never send it again blindly.

    Attributes:
        endpoint: what was called.
        cl_ord_id: of the order, or None if it had none.
        cl_ord_ids: of each order of the call, in the order given, None for those without; one for a single order.
        order_ids: of the orders that the call was to change or cancel, as the caller named them.
        retryable: True for cancels only, which may be repeated: cancelling twice is cancelling once.
        order: the live order, when order entry raised this: await its `resolved()`.
    """

    sent = True
    order: object = None

    def __init__(
        self,
        endpoint: str,
        reason: str,
        *,
        cl_ord_id: str | None = None,
        cl_ord_ids: Iterable[str | None] = (),
        order_ids: Iterable[str] = (),
        retryable: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.reason = reason
        self.cl_ord_id = cl_ord_id
        self.cl_ord_ids = tuple(cl_ord_ids) or ((cl_ord_id,) if cl_ord_id else ())
        self.order_ids = tuple(order_ids)
        self.retryable = retryable
        super().__init__(endpoint, reason)

    def __str__(self) -> str:
        ids = [each for each in (*self.cl_ord_ids, *self.order_ids) if each]
        which = f" {printable(', '.join(ids), 200)}" if ids else ""
        todo = "it may be repeated" if self.retryable else "look it up before anything else"
        return f"outcome of {self.endpoint}{which} unknown: {printable(self.reason, 200)}; {todo}"


class OrderBlockedError(KrakenFastError):
    """An order was kept in: by a state of the exchange, a limit, or a switch of ours. Nothing of it was sent.

    Attributes:
        reason: which, in words.
        retryable: whether it may pass by itself.
    """

    def __init__(self, reason: str, *, retryable: bool = True) -> None:
        self.reason = reason
        self.retryable = retryable
        super().__init__(reason)

    def __str__(self) -> str:
        return f"not sent: {printable(self.reason, 300)}"


class OrderEndedError(KrakenFastError):
    """What was waited for will not happen any more: the order ended otherwise.

    Attributes:
        name: of the order, as we know it.
        state: in which it ended.
        filled_qty: as text; a part may have been filled.
    """

    def __init__(self, name: str, state: str, filled_qty: str, reason: str = "") -> None:
        self.name = name
        self.state = state
        self.filled_qty = filled_qty
        self.reason = reason
        self.sent = True
        super().__init__(name, state, filled_qty, reason)

    def __str__(self) -> str:
        why = f" ({printable(self.reason)})" if self.reason else ""
        return f"order {printable(self.name)} ended {self.state}{why}, {self.filled_qty} of it filled"


class JournalError(KrakenFastError):
    """The journal of orders cannot be used, so no order leaves. Everything before `offset` is intact."""

    def __init__(self, path: str, reason: str, offset: int | None = None) -> None:
        self.path = path
        self.reason = reason
        self.offset = offset
        super().__init__(path, reason, offset)

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at byte {self.offset}"
        return f"journal {self.path}: {self.reason}{where}"


class SubscriptionError(KrakenFastError):
    """The exchange refused a subscription, or acknowledged it and never delivered.

    Attributes:
        channel, symbol: what was asked for; symbol is "" for channels without one.
        reason: the exchange's own text, or ours.
    """

    def __init__(self, channel: str, symbol: str, reason: str) -> None:
        self.channel = channel
        self.symbol = symbol
        self.reason = reason
        super().__init__(channel, symbol, reason)

    def __str__(self) -> str:
        return f"{self.channel} {printable(self.symbol)}: {printable(self.reason, 200)}".replace(" :", ":")


class SourceError(KrakenFastError):
    """No value can be trusted as it was asked for."""

    retryable = True


class StaleDataError(SourceError):
    """A strict read found a value that is not live."""

    def __init__(self, what: str, quality: str, age_ms: float | None = None) -> None:
        self.what = what
        self.quality = quality
        self.age_ms = age_ms
        super().__init__(what, quality, age_ms)

    def __str__(self) -> str:
        age = "" if self.age_ms is None else f", {self.age_ms:.0f} ms old"
        return f"{printable(self.what)} is {self.quality}{age}"


class NoSourceError(SourceError):
    """No source can give the value: nothing is invented in its place.

    Attributes:
        what: that was asked for.
        reasons: why not, by source: each line's name, and `rest`.
    """

    def __init__(self, what: str, reasons: Mapping[str, str]) -> None:
        self.what = what
        self.reasons = dict(reasons)
        super().__init__(what, self.reasons)

    def __str__(self) -> str:
        listed = "; ".join(f"{name}: {printable(reason, 200)}" for name, reason in self.reasons.items())
        return f"no source for {printable(self.what)}: {listed or 'none is configured'}"


class CircuitOpenError(SourceError):
    """The last calls failed one after another, so this one was not sent.

    Attributes:
        what: host and class of calls.
        retry_after_s: when the next one will be let through.
    """

    def __init__(self, what: str, retry_after_s: float) -> None:
        self.what = what
        self.retry_after_s = retry_after_s
        super().__init__(what, retry_after_s)

    def __str__(self) -> str:
        return f"{self.what}: not sent after repeated failures; try again in {self.retry_after_s:.1f} s"
