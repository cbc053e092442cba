"""Records born once per request or per change, and the words they use. Those born per message live in `core`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

Quality = Literal["live", "stale", "unverified", "rest", "none"]
"""How far a value can be trusted. Only `live` is proven by the exchange's last message."""

BookState = Literal["empty", "syncing", "valid", "unverified", "invalid"]

OrderStatus = Literal["unknown", "pending_new", "new", "partially_filled", "filled", "canceled", "expired"]
"""State of an order as the exchange told it; unknown: by its id alone."""

BOOK_DEPTHS = (10, 25, 100, 500, 1000)
"""Depths that the exchange offers for `book`. Source: websocket-v2 channel book."""

LEVEL3_DEPTHS = (10, 100, 1000)
"""Depths that the exchange offers for `level3`, in price levels. Source: websocket-v2 channel level3."""

OHLC_INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""Candle lengths in minutes that the exchange offers. Source: websocket-v2 channel ohlc."""


class Level(NamedTuple):
    """One price level of a book."""

    price: Decimal
    qty: Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable pair, as the `instrument` channel tells it. Steps and minimums are in the pair's own units."""

    symbol: str
    base: str
    quote: str
    status: str
    price_precision: int
    qty_precision: int
    cost_precision: int | None
    price_increment: Decimal | None
    qty_increment: Decimal | None
    qty_min: Decimal | None
    cost_min: Decimal | None
    marginable: bool = False
    has_index: bool = False
    margin_initial: Decimal | None = None
    position_limit_long: Decimal | None = None
    position_limit_short: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A currency or token, as the `instrument` channel tells it."""

    id: str
    status: str
    precision: int
    precision_display: int
    borrowable: bool = False
    collateral_value: Decimal | None = None
    margin_rate: Decimal | None = None
    asset_class: str | None = None
    multiplier: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The exchange's answer to one request, or to one symbol of a request.

    Attributes:
        method: echoed; `pong` for ping, `error` when the request could not be read at all.
        req_id: ours, or None when the answer names none.
        success: True for pong, which carries no such member.
        error: the exchange's text, None on success.
        symbol: named by some refusals.
        result: numbers in it are int or Decimal, never float.
        time_in_ns, time_out_ns: the server's receive and send times, ns since epoch, or None.
    """

    method: str
    req_id: int | None
    success: bool
    error: str | None
    symbol: str | None
    result: Any
    time_in_ns: int | None
    time_out_ns: int | None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """State of the trading engine: online, cancel_only, post_only, limit_only or maintenance.

    Attributes:
        upcoming_maintenance, emergency: the announcements as sent, empty when there are none.
    """

    system: str
    version: str | None
    api_version: str | None
    connection_id: int | None
    upcoming_maintenance: tuple[Any, ...] = ()
    emergency: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class InstrumentUpdate:
    """What one `instrument` message brought: the whole list (snapshot) or the changed entries."""

    snapshot: bool
    pairs: tuple[Instrument, ...]
    assets: tuple[Asset, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Trades that were never delivered: ids `first` to `last`, both included."""

    symbol: str
    first: int
    last: int


class Fee(NamedTuple):
    """What a trade cost, in one asset."""

    asset: str
    qty: Decimal


@dataclass(frozen=True, slots=True)
class Triggers:
    """What sets a stop or take-profit order off.

    Attributes:
        reference: last or index.
        price: static price, or the distance that price_type tells.
        price_type: static, pct or quote.
        status: triggered or untriggered.
        timestamp: when it was triggered, RFC 3339.
    """

    reference: str | None = None
    price: Decimal | None = None
    price_type: str | None = None
    actual_price: Decimal | None = None
    peak_price: Decimal | None = None
    last_price: Decimal | None = None
    status: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Contingent:
    """Template of the order that each fill of a conditional close creates."""

    order_type: str | None = None
    trigger_price: Decimal | None = None
    trigger_price_type: str | None = None
    limit_price: Decimal | None = None
    limit_price_type: str | None = None


class Wallet(NamedTuple):
    """One wallet of an asset.

    Attributes:
        type: spot or earn.
        id: main, flex, bonded, flexible, liquid, locked or closed.
    """

    type: str
    id: str
    balance: Decimal


class QueuedOrder(NamedTuple):
    """One order of a level-3 book.

    Attributes:
        qty: what is left of it, and shown.
        exch_ns: when it was placed or last changed, ns since epoch.
    """

    order_id: str
    price: Decimal
    qty: Decimal
    exch_ns: int | None


class QueuePosition(NamedTuple):
    """Where an order stands in a level-3 book.

    Attributes:
        side: bid or ask.
        price, qty: of the order.
        orders_ahead, qty_ahead: of its price, filled before it.
        orders_behind: of its price, filled after it.
        levels_ahead: better prices of its side; 0 at the best.
    """

    side: Literal["bid", "ask"]
    price: Decimal
    qty: Decimal
    orders_ahead: int
    qty_ahead: Decimal
    orders_behind: int
    levels_ahead: int
