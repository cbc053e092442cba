"""What private reads answer: the key, balances, fills, positions, ledgers, exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...auth import Secret
from ..records import (
    asset,
    flag,
    moment,
    number,
    seconds,
    symbol,
    text,
    whole,
    wire,
    words,
)


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
