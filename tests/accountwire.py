"""Messages of the private channels: written as the exchange writes them, and understood slowly."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from judge import time_ns

from kraken_fast.core.balance_store import BalanceStore, BalanceUpdate
from kraken_fast.core.decode import Decoder
from kraken_fast.core.execution import Execution
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.order_store import OrderStore
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import loads

INTEGERS = ("trade_id", "order_userref")
TIME = "2026-11-22T10:15:{:02d}.{:06d}Z"


def expected_fields(row: dict[str, Any]) -> dict[str, Any]:
    """What `fields()` of the record of a parsed row must give."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if name == "timestamp":
            told["timestamp_ns"] = time_ns(value)
        elif name in INTEGERS:
            told[name] = int(value)
        elif name in ("fees", "wallets"):
            told[name] = tuple(tuple(item.values()) for item in value)
        elif name in ("triggers", "contingent"):
            told[name] = dict(value)
        else:
            told[name] = value
    return told


def taken_fields(record: Execution | BalanceUpdate) -> dict[str, Any]:
    """Give `fields()` with its nested records as plain values, those that are None left out."""
    told = dict(record.fields())
    for name in ("fees", "wallets"):
        if name in told:
            told[name] = tuple(tuple(item) for item in told[name])
    for name in ("triggers", "contingent"):
        if name in told:
            members = {key: getattr(told[name], key) for key in told[name].__slots__}
            told[name] = {key: value for key, value in members.items() if value is not None}
    return told



def message(channel: str, rows: list[dict[str, Any]], sequence: int | None, kind: str = "update") -> bytes:
    """Write a message; Decimals keep their text."""
    parts = [f'"channel":"{channel}","type":"{kind}","data":[{",".join(map(_object, rows))}]']
    if sequence is not None:
        parts.append(f'"sequence":{sequence}')
    return ("{" + ",".join(parts) + "}").encode()


def _object(row: dict[str, Any]) -> str:
    return "{" + ",".join(f'"{name}":{_value(value)}' for name, value in row.items()) + "}"


class Raw(str):
    """A value as it is to stand in a message."""

    __slots__ = ()


def _value(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_value, value)) + "]"
    return json.dumps(value)


def at(second: int, micros: int = 0) -> str:
    """A time of day as the exchange writes it."""
    return TIME.format(second, micros)


class Account(Callbacks):
    """Hears the private channels of one line, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.gaps: list[tuple[str, int, int | None]] = []
        self.snapshots: list[str] = []
        self.errors: list[DecodeError] = []
        self.execution = self.told.append
        self.balance = self.told.append
        self.decoder = Decoder(handler=self)
        self.orders: OrderStore = self.decoder.want_executions()
        self.balances: BalanceStore = self.decoder.want_balances()
        self.numbers = {"executions": 0, "balances": 0}

    def on_sequence_gap(self, channel: str, expected: int, got: int | None) -> None:
        self.gaps.append((channel, expected, got))

    def on_snapshot(self, channel: str, symbol: str) -> None:
        assert symbol == ""
        self.snapshots.append(channel)

    def on_refused(self, error: DecodeError) -> None:
        self.errors.append(error)

    def feed(
        self, channel: str, rows: list[dict[str, Any]], *, sequence: int | None = None, kind: str = "update"
    ) -> None:
        """Feed a message with the next number, or with another."""
        number = self.numbers[channel] + 1 if sequence is None else sequence
        if kind == "snapshot" and sequence is None:
            number = 1
        self.numbers[channel] = number
        raw = message(channel, rows, number, kind)
        assert self.decoder.feed(raw, strict=True)
        assert loads(raw)["data"] is not None

    def start(self, rows: list[dict[str, Any]] | None = None, channel: str = "executions") -> None:
        """Feed a snapshot."""
        self.feed(channel, rows or [], kind="snapshot")

    def report(self, **row: Any) -> None:
        """Feed one execution."""
        self.feed("executions", [row])


def pending(order_id: str = "O1", **more: Any) -> dict[str, Any]:
    """A pending_new row."""
    return {
        "order_id": order_id, "symbol": "BTC/USD", "order_qty": Decimal("2.00000000"), "cum_cost": Decimal("0.00000"),
        "time_in_force": "GTC", "exec_type": "pending_new", "side": "buy", "order_type": "limit",
        "limit_price": Decimal("100.0"), "order_status": "pending_new", "timestamp": at(4), **more,
    }  # fmt: skip


def trade(order_id: str, exec_id: str, qty: str, price: str, cum: str | None, **more: Any) -> dict[str, Any]:
    """A trade row; `cum` None leaves the sums out, as snapshots do."""
    cost = Decimal(qty) * Decimal(price)
    row = {
        "order_id": order_id, "exec_id": exec_id, "exec_type": "trade", "trade_id": 7, "symbol": "BTC/USD",
        "side": "buy", "last_qty": Decimal(qty), "last_price": Decimal(price), "liquidity_ind": "m", "cost": cost,
        "order_type": "limit", "timestamp": at(5), "order_status": "partially_filled",
        "fees": [{"asset": "USD", "qty": Decimal("0.00250") * cost}],
    }  # fmt: skip
    if cum is not None:
        row["cum_qty"] = Decimal(cum)
    return {**row, **more}


def happened(order_id: str, exec_type: str, order_status: str | None = None, **more: Any) -> dict[str, Any]:
    """A row as short as those of new, filled and canceled."""
    return {
        "timestamp": at(6), "order_status": order_status or exec_type, "exec_type": exec_type, "order_id": order_id,
        **more,
    }  # fmt: skip


NAMES = [
    "order_id", "cl_ord_id", "order_userref", "exec_id", "exec_type", "trade_id", "symbol", "order_qty",
    "side", "last_qty", "last_price", "liquidity_ind", "cost", "order_type", "order_status", "cum_qty",
    "cum_cost", "avg_price", "time_in_force", "limit_price_type", "limit_price", "stop_price", "post_only",
    "fee_usd_equiv", "fee_ccy_pref", "amended", "reason", "cancel_reason", "display_qty",
    "display_qty_remain", "cash_order_qty", "reduce_only", "margin", "margin_borrow", "liquidated",
    "no_mpp", "position_status", "effective_time", "expire_time", "ord_ref_id", "ext_ord_id", "ext_exec_id",
    "trigger", "triggered_price", "sender_sub_id", "user", "ratecount",
]  # fmt: skip
TEXT = {
    "order_id", "cl_ord_id", "exec_id", "exec_type", "symbol", "side", "liquidity_ind", "order_type", "order_status",
    "time_in_force", "limit_price_type", "fee_ccy_pref", "reason", "cancel_reason", "position_status",
    "effective_time", "expire_time", "ord_ref_id", "ext_ord_id", "ext_exec_id", "trigger", "sender_sub_id", "user",
}  # fmt: skip
FLAGS = {
    "post_only", "amended", "reduce_only", "margin", "margin_borrow", "liquidated", "no_mpp",
}  # fmt: skip


def value_for(name: str, number: int) -> Any:
    if name in TEXT:
        return f"t\u00e9xt {number}"
    if name in FLAGS:
        return number % 2 == 0
    return number if name in ("trade_id", "order_userref") else Decimal(f"{number}.{number:03d}00")


def row_of_everything() -> dict[str, Any]:
    row: dict[str, Any] = {name: value_for(name, number) for number, name in enumerate(NAMES, 1)}
    row["timestamp"] = "2026-11-22T10:15:31.020417Z"
    row["fees"] = [{"asset": "USD", "qty": Decimal("1.05249")}, {"asset": "BTC", "qty": Decimal("0E-8")}]
    row["triggers"] = {
        "reference": "last", "price": Decimal("1.50"), "price_type": "static", "actual_price": Decimal("1.4"),
        "peak_price": Decimal(3), "last_price": Decimal("0.10"), "status": "triggered",
        "timestamp": "2026-11-22T10:15:31.020417Z",
    }  # fmt: skip
    row["contingent"] = {
        "order_type": "stop-loss", "trigger_price": Decimal("9.0"), "trigger_price_type": "pct",
        "limit_price": Decimal("8.10"), "limit_price_type": "quote",
    }  # fmt: skip
    return row
