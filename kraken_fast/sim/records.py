"""What an account's books are made of: orders, executions, ledger entries, and the events that made them.

All of these are values: a change makes a new one. So the list of events that an account keeps is at once its
history, the stream that a session sends, and the way to see the books as they were some time ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .engine import Side

ZERO = Decimal(0)

OrderStatus = Literal["pending", "open", "closed", "canceled", "expired"]
"""REST's words; `closed` is filled. There is no rejected order: a refusal leaves none."""

ExecType = Literal[
    "pending_new",
    "new",
    "trade",
    "filled",
    "amended",
    "restated",
    "canceled",
    "expired",
    "status",
    "iceberg_refill",
]
"""`restated` is an amendment that the engine makes by itself."""

AmendKind = Literal["original", "user", "restated"]

StpType = Literal["cancel-newest", "cancel-oldest", "cancel-both"]


@dataclass(frozen=True, slots=True)
class Close:
    """The template of the order that each fill of another one places."""

    order_type: str
    price: str
    price2: str


@dataclass(frozen=True, slots=True)
class Order:
    """One order in one state.

    Attributes:
        price: what `descr.price` shows: the limit, or the trigger of the types that have one; 0 if neither.
        price2: the limit of a triggered limit order, else 0.
        limit_price: the limit that holds in the book, None for a market order.
        display: of an iceberg, how much of it shows at a time; 0 for other orders.
        hold_asset: what the order binds of the balance while it is open, and how much.
        changed_ns: when it was created or last amended: the age that the engine's counter looks at.
        triggered_ns: when its trigger fired; 0 before, and for orders without one.
        reference: the price that its trigger looks at. A box has no index: as on Kraken when that is down, the last
            price stands in for it.
        trail: of a trailing stop, the distance of the trigger as it was asked for, such as `+500` or `+1%`.
        trail_limit: of a trailing stop limit, the offset of the limit from the trigger.
        peak: the best price since a trailing stop came.
    """

    order_id: str
    symbol: str
    side: Side
    order_type: str
    qty: Decimal
    created_ns: int
    changed_ns: int
    price: Decimal = ZERO
    price2: Decimal = ZERO
    limit_price: Decimal | None = None
    display: Decimal = ZERO
    cl_ord_id: str | None = None
    userref: int = 0
    oflags: str = "fciq"
    time_in_force: str = "gtc"
    stp: StpType = "cancel-newest"
    start_ns: int = 0
    expire_ns: int = 0
    close: Close | None = None
    ref_id: str | None = None
    status: OrderStatus = "pending"
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    trades: tuple[str, ...] = ()
    hold_asset: str = ""
    hold: Decimal = ZERO
    amended: bool = False
    triggered_ns: int = 0
    closed_ns: int = 0
    reason: str | None = None
    reference: Literal["last", "index"] = "last"
    trail: str = ""
    trail_limit: str = ""
    peak: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """The quantity that is not filled."""
        return self.qty - self.filled

    @property
    def live(self) -> bool:
        """Whether it may still be filled."""
        return self.status in ("pending", "open")

    @property
    def has_trigger(self) -> bool:
        """Whether it waits for a price before it enters the book."""
        return self.order_type.startswith(("stop-loss", "take-profit", "trailing-stop"))

    @property
    def waiting(self) -> bool:
        """Whether it is live and not yet on its way to the book."""
        return self.live and self.has_trigger and not self.triggered_ns

    def flag(self, name: str) -> bool:
        """Tell whether an order flag is set."""
        return name in self.oflags.split(",")


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill of one order; `trade_id` is the public trade's."""

    exec_id: str
    order_id: str
    trade_id: int
    symbol: str
    side: Side
    order_type: str
    price: Decimal
    qty: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    time_ns: int
    ledger_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One change of one balance: new = old + amount - fee."""

    ledger_id: str
    ref_id: str
    time_ns: int
    type: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Amend:
    """One entry of an order's list of amendments; the first is the order as it came."""

    amend_id: str
    kind: AmendKind
    time_ns: int
    qty: Decimal
    left: Decimal
    limit_price: Decimal | None
    trigger_price: Decimal | None
    post_only: bool
    reason: str | None
    display: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One step in an order's life, with the order as it was right after it."""

    exec_type: ExecType
    order: Order
    time_ns: int
    execution: Execution | None = None
