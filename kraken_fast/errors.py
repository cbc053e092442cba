"""The error tree. Facts are attributes, the text is built from them, secrets enter neither.

    KrakenFastError                 .retryable  .sent (may the exchange have acted?)
      UsageError                    you called us wrongly; nothing was sent
        ConfigError(ValueError)  UnknownSymbolError(KeyError)  ClosedError
      TransportError                the line failed; retryable
        ConnectError  HandshakeError(status)  TlsError  ConnectionLostError(code, reason)  HeartbeatTimeoutError
      ProtocolError                 the peer broke the rules; drop and resync
        DecodeError(channel, offset, excerpt)  ChecksumError(symbol, expected, computed)
      SubscriptionError             the exchange refused, or never served, what was subscribed
      CaptureError(path, offset)    a recording is damaged; what is before `offset` was read
      SourceError                   no value can be trusted as asked for
        StaleDataError(age_ms, quality)
"""

from __future__ import annotations

from collections.abc import Iterable
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
        return f"{self.field}={printable(repr(self.value))}: must be {self.allowed}"


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
