"""Settings: frozen, checked when made, before any I/O; a wrong one raises `ConfigError` naming field, value and rule.

The numbers here are the ones that faults.md section 0 asks for; what they do is in `policy`, `transport` and
`subscriptions`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from .errors import ConfigError
from .names import canonical_symbol
from .types import BOOK_DEPTHS, OHLC_INTERVALS

CHANNEL_PARAMETER: dict[str, tuple[str, Any]] = {
    "book": ("depth", 10),
    "ohlc": ("interval", 1),
    "ticker": ("event_trigger", "trades"),
    "trade": ("", None),
    "instrument": ("include_tokenized_assets", False),
    "level3": ("depth", 10),
    "executions": ("", None),
    "balances": ("", None),
}
"""Channels: the parameter that belongs to a subscription's identity, and its default.
Source: websocket-v2.md sections 6, 8 and 11 to 13."""

OWES_SNAPSHOT = frozenset({"book", "ticker", "instrument", "level3", "executions", "balances"})
"""Channels that begin with a snapshot always; trade and ohlc may have none to send, or be asked for without one."""

WITHOUT_SYMBOL = frozenset({"instrument", "executions", "balances"})
"""Channels of which a line has one subscription, for everything."""

NEEDS_TOKEN = frozenset({"level3", "executions", "balances"})
"""Channels whose requests carry a token. Source: websocket-v2.md section 5."""

LEVEL3_SYMBOLS_MAX = 200
"""Symbols of one line. Source: websocket-v2.md section 11."""

LEVEL3_COST = {10: 5, 100: 25, 1000: 100}
"""Points that subscribing one symbol costs, by depth; 200 a second are free to everybody. Source: as above."""

LEVEL3_POINTS_PER_S = 200

SYMBOLS_MAX = 5_000
"""Symbols in one call; the exchange lists some 1,500 pairs."""

SYMBOL_BYTES_MAX = 32

PUBLIC_WS_URL = "wss://ws.kraken.com/v2"
"""Public market data. Source: websocket-v2.md section 1."""

PRIVATE_WS_URL = "wss://ws-auth.kraken.com/v2"
"""Private data and trading."""

LEVEL3_WS_URL = "wss://ws-l3.kraken.com/v2"
"""Books order by order; needs a token."""

PRIVATE_WS_HOSTS = ("ws-auth.kraken.com", "ws-l3.kraken.com", "beta-ws-auth.kraken.com")
"""Who may be shown a token. Source: websocket-v2.md section 1."""

PUBLIC_REST_URL = "https://api.kraken.com"

KRAKEN_HOSTS = ("api.kraken.com", "colo-london.vip-api.kraken.com")
"""Who may be shown a key. Source: rest.md section 1."""

_Settings = TypeVar("_Settings")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine.

    >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("::1"), is_loopback("127.0.0.1.example")
    (True, True, True, False)
    """
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_number(
    field: str, value: object, low: float, high: float = float("inf"), *, whole: bool = False
) -> None:
    """Refuse what is no finite number between the bounds, both included; True is none."""
    what = "a whole number" if whole else "a number"
    allowed = f"{what} from {low:g}" + (f" to {high:g}" if isfinite(high) else "")
    kinds = (int,) if whole else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not isfinite(value)
        or not low <= value <= high
    ):
        raise ConfigError(field, value, allowed)


def _check_url(field: str, value: object, secure: str, plain: str) -> None:
    allowed = f"a {secure}:// address ({plain}:// for a loopback host only), without user name or fragment"
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(field, value, allowed)
    try:
        parts: SplitResult = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(field, value, allowed) from error
    plain_is_fine = parts.scheme == plain and host is not None and is_loopback(host)
    if (
        not host
        or parts.username is not None
        or parts.fragment
        or not (parts.scheme == secure or plain_is_fine)
    ):
        raise ConfigError(field, value, allowed)


def check_symbols(symbols: Iterable[str], field: str = "symbols") -> tuple[str, ...]:
    """Check symbols by form, give each its one name, and merge duplicates, keeping the order.

    What the exchange lists, only it can tell.

    Raises:
        ConfigError: none at all, too many, or one that is not a short printable text.

    >>> check_symbols(["BTC/USD", "ETH/USD", "XBT/USD"])
    ('BTC/USD', 'ETH/USD')
    """
    if isinstance(symbols, (str, bytes)):
        raise ConfigError(field, symbols, "a list of symbols, not one text")
    merged: dict[str, None] = {}
    for count, symbol in enumerate(symbols, 1):
        if count > SYMBOLS_MAX:
            raise ConfigError(field, f"over {SYMBOLS_MAX} symbols", f"at most {SYMBOLS_MAX} symbols")
        if (
            not isinstance(symbol, str)
            or not symbol.isprintable()
            or not 1 <= len(symbol.encode()) <= SYMBOL_BYTES_MAX
        ):
            raise ConfigError(field, symbol, f"printable texts of 1 to {SYMBOL_BYTES_MAX} bytes")
        merged[canonical_symbol(symbol)] = None
    if not merged:
        raise ConfigError(field, symbols, "at least one symbol")
    return tuple(merged)


def check_book_depth(depth: object) -> int:
    """Return the depth if the exchange offers it."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in BOOK_DEPTHS:
        raise ConfigError("book_depth", depth, f"one of {', '.join(map(str, BOOK_DEPTHS))}")
    return depth


def check_level3_depth(depth: object) -> int:
    """Return the depth if the exchange offers it for books order by order."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in LEVEL3_COST:
        raise ConfigError("depth", depth, f"one of {', '.join(map(str, LEVEL3_COST))}")
    return depth


def check_ohlc_interval(interval: object) -> int:
    """Return the interval, in minutes, if the exchange offers it."""
    if isinstance(interval, bool) or not isinstance(interval, int) or interval not in OHLC_INTERVALS:
        raise ConfigError("ohlc_interval", interval, f"one of {', '.join(map(str, OHLC_INTERVALS))}")
    return interval


def check_ticker_trigger(trigger: object) -> str:
    """Return what makes the exchange tell a ticker, if it offers that."""
    if trigger not in ("trades", "bbo"):
        raise ConfigError("ticker_trigger", trigger, "trades or bbo")
    return str(trigger)


def check_channel_parameter(channel: str, given: Mapping[str, Any]) -> Any:
    """Return the value of the channel's parameter: the given one, checked, or the default.

    >>> check_channel_parameter("book", {"depth": 25}), check_channel_parameter("ticker", {})
    (25, 'trades')
    """
    if channel not in CHANNEL_PARAMETER:
        raise ConfigError("channel", channel, f"one of {', '.join(CHANNEL_PARAMETER)}")
    name, default = CHANNEL_PARAMETER[channel]
    for key in given:
        if key != name:
            raise ConfigError(key, given[key], f"left out: {channel} knows {name or 'no parameter'}")
    value = given.get(name, default)
    if channel == "book":
        return check_book_depth(value)
    if channel == "level3":
        return check_level3_depth(value)
    if channel == "ohlc":
        return check_ohlc_interval(value)
    if channel == "ticker":
        return check_ticker_trigger(value)
    if channel == "instrument" and not isinstance(value, bool):
        raise ConfigError(name, value, "True or False")
    return value


def from_mapping(settings: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Build settings from a mapping, as read from a file; an unknown key is refused, not ignored."""
    known = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(str(key), values[key], f"one of the settings {', '.join(known)}")
    return settings(**values)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the exchange is. Plain text is for loopback alone."""

    ws_url: str = PUBLIC_WS_URL
    rest_url: str = PUBLIC_REST_URL
    ca_file: str | Path | None = None
    """PEM file of the only authorities to trust, instead of the system's; for an exchange in a box."""

    def __post_init__(self) -> None:
        _check_url("ws_url", self.ws_url, "wss", "ws")
        _check_url("rest_url", self.rest_url, "https", "http")
        if self.ca_file is not None and not isinstance(self.ca_file, (str, Path)):
            raise ConfigError("ca_file", self.ca_file, "a path or None")


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How one line connects, judges silence and bounds what the peer can make us hold."""

    connect_s: float = 5.0
    """T_connect: name resolution, TCP, TLS and upgrade together."""
    suspect_s: float = 1.5
    """T_suspect: silence after which nothing of the line is live. The exchange's heartbeat comes once a second."""
    dead_s: float = 3.0
    """T_dead: silence after which the line is dropped."""
    close_s: float = 1.0
    """How long the peer may take to answer our close frame, or to close the socket after its own."""
    ping_s: float = 25.0
    """Interval of application pings while nothing is subscribed: the exchange closes idle sockets after a minute."""
    happy_eyeballs_s: float = 0.25
    """Head start of one address over the next. Source: RFC 8305 section 5."""
    message_bytes_max: int = 32 << 20
    """Largest message, also as a sum of fragments. The instrument snapshot, the largest seen, has some 0.4 MB."""
    fragments_max: int = 1024
    unsent_bytes_max: int = 256 << 10
    """Above this much unsent, `send` refuses before the first byte."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "suspect_s", "dead_s", "close_s", "ping_s", "happy_eyeballs_s"):
            check_number(name, getattr(self, name), 0.001, 3600.0)
        if self.dead_s <= self.suspect_s:
            raise ConfigError("dead_s", self.dead_s, f"more than suspect_s, which is {self.suspect_s:g}")
        check_number("message_bytes_max", self.message_bytes_max, 1024, 1 << 30, whole=True)
        check_number("fragments_max", self.fragments_max, 1, 1 << 24, whole=True)
        check_number("unsent_bytes_max", self.unsent_bytes_max, 1024, 1 << 30, whole=True)


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """How subscriptions are asked for and how long each step may take."""

    ack_s: float = 5.0
    """T_ack: acknowledgement of a request."""
    snapshot_s: float = 5.0
    """T_snap: first snapshot after the acknowledgement."""
    retry_s: float = 60.0
    """Pause between tries for what the exchange does not serve, or serves with wrong checksums."""
    batch: int = 100
    """Symbols in one request."""
    rate_per_s: float = 20.0
    burst: int = 10
    resyncs_max: int = 3
    """Resyncs of one symbol in `resync_window_s`; the next mismatch makes it UNVERIFIED."""
    resync_window_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("ack_s", "snapshot_s", "retry_s", "resync_window_s"):
            check_number(name, getattr(self, name), 0.001, 3600.0)
        check_number("batch", self.batch, 1, 1000, whole=True)
        check_number("rate_per_s", self.rate_per_s, 0.1, 1000.0)
        check_number("burst", self.burst, 1, 1000, whole=True)
        check_number("resyncs_max", self.resyncs_max, 1, 100, whole=True)


@dataclass(frozen=True, slots=True)
class RestSettings:
    """How the REST client waits, repeats, shares and bounds."""

    connect_s: float = 2.0
    read_s: float = 10.0
    """All tries of one read together; waiting for the rate limits does not count."""
    order_s: float = 15.0
    """The one try of a call about an order."""
    body_bytes_max: int = 64 << 20
    limits: bool = True
    """Keep Kraken's counters. Off only for an exchange in a box that has none."""
    tier: str = "starter"
    """starter, intermediate or pro. Nothing in REST tells it, so the lowest is assumed."""
    public_rate_per_s: float = 1.0
    public_burst: int = 5
    spacing_s: float = 0.1
    queue_max: int = 1000
    queue_wait_s: float = 120.0
    """The longest that a call waits for its turn, unless it says otherwise."""
    retries_max: int = 3
    retry_ratio: float = 0.1
    batch_window_s: float = 0.004
    """Ticker requests within so long become one call."""
    cache_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By endpoint name, instead of the catalogue's 3 to 5 s for public reads; private ones are cached only if named."""
    hosts: tuple[str, ...] = KRAKEN_HOSTS
    """Hosts that may be shown a key; loopback may too."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "read_s", "order_s", "queue_wait_s"):
            check_number(name, getattr(self, name), 0.001, 3600.0)
        check_number("body_bytes_max", self.body_bytes_max, 1024, 1 << 30, whole=True)
        check_number("public_rate_per_s", self.public_rate_per_s, 0.01, 10.0)
        check_number("public_burst", self.public_burst, 1, 100, whole=True)
        check_number("spacing_s", self.spacing_s, 0.1, 60.0)
        check_number("queue_max", self.queue_max, 1, 100_000, whole=True)
        check_number("retries_max", self.retries_max, 0, 3, whole=True)
        check_number("retry_ratio", self.retry_ratio, 0.0, 0.1)
        check_number("batch_window_s", self.batch_window_s, 0.0, 1.0)
        if self.tier not in ("starter", "intermediate", "pro"):
            raise ConfigError("tier", self.tier, "starter, intermediate or pro")
        if not isinstance(self.limits, bool):
            raise ConfigError("limits", self.limits, "True or False")
        # A text would be searched for parts of a host's name.
        if not isinstance(self.hosts, tuple | list) or not all(isinstance(host, str) for host in self.hosts):
            raise ConfigError("hosts", self.hosts, "a tuple of host names")
        if not isinstance(self.cache_s, Mapping):
            raise ConfigError("cache_s", self.cache_s, "seconds by endpoint name")
        for name, seconds in self.cache_s.items():
            check_number(f"cache_s[{name!r}]", seconds, 0.0, 3600.0)
