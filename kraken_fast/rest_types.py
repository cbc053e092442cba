"""What REST answers, as frozen records. Prices and amounts are `Decimal`, times are nanoseconds since epoch.

Names are ours where Kraken's mislead: `qty` for volume, `avg_price` for the top-level price of an order, which is the
average of its fills. `recv_ns` is our monotonic clock when the answer was asked for: REST market data carries no time
of its own, and the edge may have kept it for two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .auth import Secret
from .records import (
    asset,
    flag,
    iso,
    iso_or_none,
    moment,
    ns_or_ms,
    number,
    one,
    optional_ref,
    optional_text,
    seconds,
    several,
    symbol,
    text,
    whole,
    wholes,
    wire,
    words,
)

# Public ------------------------------------------------------------------------------------------------------


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


# The key -----------------------------------------------------------------------------------------------------


def _secret(value: Any, names: Any) -> Secret:
    return Secret(text(value, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketsToken:
    """A token for the private stream. It has to be used within `expires_s`; then it lasts as long as its connection."""

    token: Secret = wire("token", _secret)
    expires_s: int = wire("expires", whole)
    recv_ns: int = 0

    def is_usable(self, now_ns: int) -> bool:
        """Whether it may still be used, with a tenth of its time to spare."""
        return now_ns - self.recv_ns < self.expires_s * 900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A key: what it may do, and where its nonces are. The key itself is not kept."""

    name: str = wire(("api_key_name", "apiKeyName"), text, "")
    nonce: int = wire("nonce", whole, 0)
    nonce_window: int = wire(("nonce_window", "nonceWindow"), whole, 0)
    permissions: tuple[str, ...] = wire("permissions", words, ())
    valid_until_ns: int | None = wire(("valid_until", "validUntil"), seconds, None)
    query_from_ns: int | None = wire(("query_from", "queryFrom"), seconds, None)
    query_to_ns: int | None = wire(("query_to", "queryTo"), seconds, None)
    created_ns: int | None = wire(("created_time", "createdTime"), seconds, None)
    modified_ns: int | None = wire(("modified_time", "modifiedTime"), seconds, None)
    last_used_ns: int | None = wire(("last_used", "lastUsed"), seconds, None)
    ip_allowlist: tuple[str, ...] = wire(("ip_allowlist", "ipAllowlist"), words, ())


# The account -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetBalance:
    """A balance, net of pending withdrawals. `kind` is the suffix: "" for spot, F for earning and so on."""

    asset: str
    kind: str
    asset_id: str
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedBalance:
    """A balance with what open spot orders hold of it."""

    asset: str
    kind: str
    asset_id: str
    balance: Decimal = wire("balance", number)
    hold_trade: Decimal = wire("hold_trade", number, Decimal(0))
    credit: Decimal = wire("credit", number, Decimal(0))
    credit_used: Decimal = wire("credit_used", number, Decimal(0))

    @property
    def available(self) -> Decimal:
        """What can be traded now."""
        return self.balance + self.credit - self.credit_used - self.hold_trade


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLine:
    """A credit line of one asset."""

    asset: str
    asset_id: str
    balance: Decimal = wire("balance", number)
    credit_limit: Decimal = wire("credit_limit", number)
    credit_used: Decimal = wire("credit_used", number)
    available_credit: Decimal = wire("available_credit", number)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLimits:
    """All credit lines together."""

    total_credit_usd: Decimal | None = wire("total_credit_usd", number, None)
    total_credit_used_usd: Decimal | None = wire("total_credit_used_usd", number, None)
    total_collateral_value_usd: Decimal | None = wire("total_collateral_value_usd", number, None)
    equity_usd: Decimal | None = wire("equity_usd", number, None)
    ongoing_balance: Decimal | None = wire("ongoing_balance", number, None)
    debt_to_equity: Decimal | None = wire("debt_to_equity", number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditLines:
    """Credit lines; empty for accounts without."""

    lines: tuple[CreditLine, ...] = ()
    limits: CreditLimits = field(default_factory=CreditLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeBalance:
    """Margin figures of the account, in one asset. `margin_level` is None without open positions."""

    equivalent_balance: Decimal = wire("eb", number)
    trade_balance: Decimal = wire("tb", number)
    margin: Decimal = wire("m", number, Decimal(0))
    unexecuted: Decimal | None = wire("uv", number, None)
    unrealized_net: Decimal = wire("n", number, Decimal(0))
    cost_basis: Decimal = wire("c", number, Decimal(0))
    valuation: Decimal = wire("v", number, Decimal(0))
    equity: Decimal = wire("e", number)
    free_margin: Decimal = wire("mf", number)
    free_margin_orders: Decimal | None = wire("mfo", number, None)
    margin_level: Decimal | None = wire("ml", number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFee:
    """A fee in percent. At the top tier there is no next one."""

    symbol: str
    fee: Decimal = wire("fee", number)
    fee_min: Decimal | None = wire(("minfee", "min_fee"), number, None)
    fee_max: Decimal | None = wire(("maxfee", "max_fee"), number, None)
    fee_next: Decimal | None = wire(("nextfee", "next_fee"), number, None)
    volume_next: Decimal | None = wire(("nextvolume", "next_volume"), number, None)
    volume_tier: Decimal | None = wire(("tiervolume", "tier_volume"), number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeVolume:
    """The 30-day volume, and the fees of the pairs that were asked for."""

    currency: str
    volume: Decimal
    fees: tuple[PairFee, ...] = ()
    fees_maker: tuple[PairFee, ...] = ()


# Orders and trades -------------------------------------------------------------------------------------------


def _price(value: Any, names: Any) -> Decimal:
    # Prices that were given relative, such as +5%, come back as they were given until they are fixed.
    stripped = value.strip("+-#%") if isinstance(value, str) else value
    return number(value, names) if stripped == value else number(stripped or "0", names)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What an order says. `price` is the limit, or the trigger of triggered types, which have the limit in `price2`."""

    symbol: str = wire("pair", symbol)
    side: str = wire("type", text)
    ord_type: str = wire("ordertype", text)
    price: Decimal = wire("price", _price, Decimal(0))
    price2: Decimal = wire("price2", _price, Decimal(0))
    leverage: str = wire("leverage", text, "none")
    description: str = wire("order", text, "")
    close_description: str = wire("close", text, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderInfo:
    """An order. `status` closed means filled; there is no rejected: a rejection leaves no order.

    Attributes:
        avg_price: of its fills, 0 while there are none. The limit is `terms.price`.
        trades: ids of its fills, only if asked for.
    """

    order_id: str
    status: str = wire("status", text)
    terms: OrderTerms = wire("descr", one(OrderTerms))
    cl_ord_id: str | None = wire("cl_ord_id", optional_text, None)
    userref: int | None = wire("userref", optional_ref, None)
    refid: str | None = wire("refid", optional_text, None)
    link_id: str | None = wire("link_id", optional_text, None)
    opened_ns: int | None = wire("opentm", seconds, None)
    start_ns: int | None = wire("starttm", seconds, None)
    expire_ns: int | None = wire("expiretm", seconds, None)
    closed_ns: int | None = wire("closetm", seconds, None)
    time_in_force: str = wire("time_in_force", text, "")
    qty: Decimal = wire("vol", number)
    filled_qty: Decimal = wire("vol_exec", number)
    cost: Decimal = wire("cost", number)
    fee: Decimal = wire("fee", number)
    avg_price: Decimal = wire("price", number)
    stop_price: Decimal = wire("stopprice", number, Decimal(0))
    limit_price: Decimal = wire("limitprice", number, Decimal(0))
    trigger: str = wire("trigger", text, "")
    margin: bool = wire("margin", flag, False)
    misc: tuple[str, ...] = wire("misc", words, ())
    flags: tuple[str, ...] = wire("oflags", words, ())
    trades: tuple[str, ...] = wire("trades", words, ())
    reason: str | None = wire("reason", optional_text, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """Closed orders, newest first, 50 a page. `count` is that of all pages, None if it was not asked for."""

    orders: tuple[OrderInfo, ...]
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """One state of an order's terms; the first is `original`."""

    amend_id: str = wire("amend_id", text)
    amend_type: str = wire("amend_type", text)
    qty: Decimal | None = wire("order_qty", number, None)
    display_qty: Decimal | None = wire("display_qty", number, None)
    remaining_qty: Decimal | None = wire("remaining_qty", number, None)
    limit_price: Decimal | None = wire("limit_price", number, None)
    trigger_price: Decimal | None = wire("trigger_price", number, None)
    reason: str = wire("reason", text, "")
    post_only: bool = wire("post_only", flag, False)
    exch_ns: int = wire("timestamp", ns_or_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeInfo:
    """A fill of an order of ours. Which currency `fee` is in, the order's flags say: fciq is quote, fcib base."""

    exec_id: str
    order_id: str = wire("ordertxid", text)
    position_id: str = wire("postxid", text, "")
    symbol: str = wire("pair", symbol)
    exch_ns: int = wire("time", moment)
    side: str = wire("type", text)
    ord_type: str = wire("ordertype", text)
    price: Decimal = wire("price", number)
    cost: Decimal = wire("cost", number)
    fee: Decimal = wire("fee", number)
    qty: Decimal = wire("vol", number)
    margin: Decimal = wire("margin", number, Decimal(0))
    leverage: str = wire("leverage", lambda value, _names: str(value), "0")
    misc: tuple[str, ...] = wire("misc", words, ())
    trade_id: int | None = wire("trade_id", whole, None)
    maker: bool | None = wire("maker", flag, None)
    ledgers: tuple[str, ...] = wire("ledgers", words, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class FillPage:
    """Fills, newest first, 50 a page. `count` is that of all pages."""

    trades: tuple[TradeInfo, ...]
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open margin position. `value` and `net` only if asked for."""

    position_id: str = ""
    order_id: str = wire("ordertxid", text, "")
    status: str = wire("posstatus", text, "open")
    symbol: str = wire("pair", symbol)
    opened_ns: int | None = wire("time", moment, None)
    side: str = wire("type", text)
    ord_type: str = wire("ordertype", text, "")
    cost: Decimal = wire("cost", number)
    fee: Decimal = wire("fee", number)
    qty: Decimal = wire("vol", number)
    closed_qty: Decimal = wire("vol_closed", number)
    margin: Decimal = wire("margin", number)
    value: Decimal | None = wire("value", number, None)
    net: Decimal | None = wire("net", number, None)
    terms: str = wire("terms", text, "")
    rollover_ns: int | None = wire("rollovertm", seconds, None)
    misc: tuple[str, ...] = wire("misc", words, ())
    flags: tuple[str, ...] = wire("oflags", words, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPosition:
    """Open margin positions of one pair and side together; `positions` is how many."""

    symbol: str = wire("pair", symbol)
    positions: int = wire("positions", whole)
    side: str = wire("type", text)
    leverage: str = wire("leverage", lambda value, _names: str(value), "none")
    cost: Decimal = wire("cost", number)
    fee: Decimal = wire("fee", number)
    qty: Decimal = wire("vol", number)
    closed_qty: Decimal = wire("vol_closed", number)
    margin: Decimal = wire("margin", number)
    value: Decimal | None = wire("value", number, None)
    net: Decimal | None = wire("net", number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One movement of money."""

    ledger_id: str
    refid: str = wire("refid", text)
    exch_ns: int = wire("time", moment)
    kind: str = wire("type", text)
    subtype: str = wire("subtype", text, "")
    aclass: str = wire("aclass", text, "")
    asset: str = wire("asset", asset)
    amount: Decimal = wire("amount", number)
    fee: Decimal = wire("fee", number)
    balance: Decimal | None = wire("balance", number, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPage:
    """Movements, newest first, 50 a page. `count` is that of all pages."""

    entries: tuple[LedgerEntry, ...]
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """A report: Queued, Processing or Processed."""

    report_id: str = wire("id", text)
    status: str = wire("status", text)
    report: str = wire("report", text, "")
    description: str = wire("descr", text, "")
    format: str = wire("format", text, "")
    created_ns: int | None = wire("createdtm", seconds, None)
    expire_ns: int | None = wire("expiretm", seconds, None)
    completed_ns: int | None = wire("completedtm", seconds, None)
    data_start_ns: int | None = wire("datastarttm", seconds, None)
    data_end_ns: int | None = wire("dataendtm", seconds, None)


# Acts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced:
    """An order was accepted, not necessarily rests. `order_id` is None if it was only validated."""

    order_id: str | None
    description: str
    close_description: str = ""
    cl_ord_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """What became of one order of a batch: it has an id, or an error."""

    order_id: str | None = wire("txid", text, None)
    error: str | None = wire("error", text, None)
    cl_ord_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """An amend was accepted."""

    amend_id: str = wire("amend_id", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An order was cancelled and another placed instead; what the old one had filled stays with it."""

    order_id: str = wire("txid", text, "")
    original_id: str = wire("originaltxid", text, "")
    status: str = wire("status", text, "ok")
    qty: Decimal | None = wire("volume", number, None)
    price: Decimal | None = wire("price", number, None)
    orders_cancelled: int = wire("orders_cancelled", whole, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Cancels were accepted; `pending` if they wait in a queue. What was filled before, a query tells."""

    count: int = wire("count", whole)
    pending: bool = wire("pending", flag, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMansSwitch:
    """When all orders will be cancelled. `trigger_ns` is None when disarmed."""

    current_ns: int | None = wire("currentTime", iso_or_none, None)
    trigger_ns: int | None = wire("triggerTime", iso_or_none, None)
