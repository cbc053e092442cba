"""What public calls answer: the exchange itself, instruments, prices, books, trades."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..records import (
    asset,
    iso,
    number,
    several,
    symbol,
    text,
    whole,
    wholes,
    wire,
    words,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTime:
    """The exchange's clock, whole seconds: no use for finer than that."""

    unix_s: int = wire("unixtime", whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A planned maintenance."""

    event_id: int = wire("event_id", whole)
    title: str = wire("title", text, "")
    start_ns: int | None = wire("expected_start_utc", iso, None)
    end_ns: int | None = wire("expected_end_utc", iso, None)
    phase: str = wire("phase", text, "")
    affected_services: tuple[str, ...] = wire("affected_services", words, ())
    order_submission: str = wire("order_submission", text, "")
    recommended_action: str = wire("recommended_action", text, "")
    cancel_before_ns: int | None = wire("cancel_before_utc", iso, None)
    source_url: str = wire("source_url", text, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident under way."""

    event_id: int = wire("event_id", whole)
    title: str = wire("title", text, "")
    status: str = wire("incident_status", text, "")
    impact: str = wire("impact", text, "")
    affected_services: tuple[str, ...] = wire("affected_services", words, ())
    started_ns: int | None = wire("started_at_utc", iso, None)
    source_url: str = wire("source_url", text, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeStatus:
    """State of the exchange: online, maintenance, cancel_only or post_only."""

    status: str = wire("status", text)
    timestamp_ns: int = wire("timestamp", iso)
    upcoming_maintenance: tuple[Maintenance, ...] = wire("upcoming_maintenance", several(Maintenance), ())
    emergency: tuple[Incident, ...] = wire("emergency", several(Incident), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetInfo:
    """An asset. `asset_id` is REST's key of it."""

    asset: str
    asset_id: str
    altname: str = wire("altname", text)
    aclass: str = wire("aclass", text, "currency")
    decimals: int = wire("decimals", whole)
    display_decimals: int = wire("display_decimals", whole)
    status: str = wire("status", text, "enabled")
    collateral_value: Decimal | None = wire("collateral_value", number, None)
    margin_rate: Decimal | None = wire("margin_rate", number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeStep:
    """A fee in percent from a 30-day volume on."""

    volume: Decimal
    percent: Decimal


def _fee_steps(value: Any, names: Any) -> tuple[FeeStep, ...]:
    return tuple(FeeStep(volume=number(row[0], names), percent=number(row[1], names)) for row in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairInfo:
    """A pair and its rules. `pair_id` is REST's key of it. With `info` only some members come."""

    symbol: str
    pair_id: str
    altname: str = wire("altname", text, "")
    wsname: str = wire("wsname", text, "")
    base: str = wire("base", asset, "")
    quote: str = wire("quote", asset, "")
    pair_decimals: int | None = wire("pair_decimals", whole, None)
    lot_decimals: int | None = wire("lot_decimals", whole, None)
    cost_decimals: int | None = wire("cost_decimals", whole, None)
    lot_multiplier: int = wire("lot_multiplier", whole, 1)
    tick_size: Decimal | None = wire("tick_size", number, None)
    qty_min: Decimal | None = wire("ordermin", number, None)
    cost_min: Decimal | None = wire("costmin", number, None)
    leverage_buy: tuple[int, ...] = wire("leverage_buy", wholes, ())
    leverage_sell: tuple[int, ...] = wire("leverage_sell", wholes, ())
    fees: tuple[FeeStep, ...] = wire("fees", _fee_steps, ())
    fees_maker: tuple[FeeStep, ...] = wire("fees_maker", _fee_steps, ())
    fee_volume_currency: str = wire("fee_volume_currency", asset, "")
    margin_call: int | None = wire("margin_call", whole, None)
    margin_stop: int | None = wire(("margin_stop", "margin_level"), whole, None)
    status: str = wire("status", text, "online")
    execution_venue: str = wire("execution_venue", text, "")
    long_position_limit: int | None = wire("long_position_limit", whole, None)
    short_position_limit: int | None = wire("short_position_limit", whole, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestTicker:
    """A ticker. Sizes of bid and ask are left out: REST has whole lots there. `open` is that of 00:00 UTC."""

    symbol: str
    bid: Decimal
    ask: Decimal
    last: Decimal
    last_qty: Decimal
    qty_today: Decimal
    qty_24h: Decimal
    vwap_today: Decimal
    vwap_24h: Decimal
    trades_today: int
    trades_24h: int
    low_today: Decimal
    low_24h: Decimal
    high_today: Decimal
    high_24h: Decimal
    open_today: Decimal
    recv_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestCandle:
    """A candle. `closed` is False for the running one. Without trades the prices are the last close and vwap is 0."""

    symbol: str = ""
    begin_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    qty: Decimal
    trades: int
    closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Candles, oldest first, 720 closed ones at most. `last_ns` is the beginning of the newest closed one."""

    symbol: str
    candles: tuple[RestCandle, ...]
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestLevel:
    """A price level. `changed_ns` is known for Depth only, to the second."""

    price: Decimal = wire("price", number)
    qty: Decimal = wire("qty", number)
    changed_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBook:
    """A book, best first. Without a checksum: never merge it with a live one. Depth rounds to three decimals."""

    symbol: str
    bids: tuple[RestLevel, ...]
    asks: tuple[RestLevel, ...]
    recv_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level3Order:
    """One resting order."""

    order_id: str = wire("order_id", text)
    price: Decimal = wire("price", number)
    qty: Decimal = wire("qty", number)
    exch_ns: int = wire("timestamp", whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level3Page:
    """A book order by order, best first."""

    symbol: str = wire("pair", symbol)
    bids: tuple[Level3Order, ...] = wire("bids", several(Level3Order), ())
    asks: tuple[Level3Order, ...] = wire("asks", several(Level3Order), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RestTrade:
    """A public trade. `trade_id` counts up by one within a symbol, and is the same on the stream."""

    symbol: str = ""
    trade_id: int
    price: Decimal
    qty: Decimal
    exch_ns: int
    side: str
    ord_type: str
    misc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePage:
    """Trades, oldest first. `last_ns` is where the next page begins; it is finer than the trades' own times."""

    symbol: str
    trades: tuple[RestTrade, ...]
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRow:
    """Best prices at a second."""

    exch_ns: int
    bid: Decimal
    ask: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadPage:
    """Best prices, oldest first, about 200."""

    symbol: str
    rows: tuple[SpreadRow, ...]
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTradeLevel:
    """A price level with its count of orders."""

    price: Decimal = wire("price", number)
    qty: Decimal = wire("qty", number)
    count: int = wire("count", whole, 0)
    submission_ns: int | None = wire("submission_ts", iso, None)
    publication_ns: int | None = wire("publication_ts", iso, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTrade:
    """The ten best levels, as transparency rules ask for them."""

    symbol: str = wire("symbol", symbol)
    description: str = wire("description", text, "")
    base: str = wire("base_asset", asset)
    quote: str = wire("quote_asset", asset)
    venue: str = wire("venue", text, "")
    system: str = wire("system", text, "")
    bids: tuple[PreTradeLevel, ...] = wire("bids", several(PreTradeLevel), ())
    asks: tuple[PreTradeLevel, ...] = wire("asks", several(PreTradeLevel), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTradeRow:
    """A published trade. Its id is another kind than that of Trades and the stream; there is no side."""

    trade_id: str = wire("trade_id", text)
    symbol: str = wire("symbol", symbol)
    price: Decimal = wire("price", number)
    qty: Decimal = wire("quantity", number)
    base: str = wire("base_asset", asset, "")
    quote: str = wire("quote_asset", asset, "")
    venue: str = wire("trade_venue", text, "")
    exch_ns: int = wire("trade_ts", iso)
    published_ns: int | None = wire("publication_ts", iso, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTrade:
    """Published trades of one pair or of all; `last_ts` is the cursor, with all its digits."""

    trades: tuple[PostTradeRow, ...] = wire("trades", several(PostTradeRow), ())
    last_ts: str = wire("last_ts", text, "")
    count: int = wire("count", whole, 0)
