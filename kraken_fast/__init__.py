"""Low-latency Kraken market data: checksum-verified books out of a compiled core.

Names are imported when they are first used, so a bot pays for nothing that it leaves alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .account_records import AccountBalance as AccountBalance
    from .account_records import AccountGap as AccountGap
    from .auth import Credentials as Credentials
    from .auth import Secret as Secret
    from .config import Endpoints as Endpoints
    from .config import LineSettings as LineSettings
    from .config import RestSettings as RestSettings
    from .config import SubscriptionSettings as SubscriptionSettings
    from .coordination.coordinator import UnifiedDataCoordinator as UnifiedDataCoordinator
    from .coordination.health import LineHealth as LineHealth
    from .coordination.health import SubscriptionHealth as SubscriptionHealth
    from .coordination.metrics import MetricsServer as MetricsServer
    from .coordination.metrics import MetricsSnapshot as MetricsSnapshot
    from .coordination.readings import Balance as Balance
    from .coordination.readings import Balances as Balances
    from .coordination.readings import Candles as Candles
    from .coordination.readings import OpenOrders as OpenOrders
    from .coordination.readings import Trades as Trades
    from .coordination.shares import Shares as Shares
    from .core.balance_store import BalanceUpdate as BalanceUpdate
    from .core.book import Book as Book
    from .core.book import BookSnapshot as BookSnapshot
    from .core.book import OrderBook as OrderBook
    from .core.capture import CaptureReader as CaptureReader
    from .core.clock import ManualClock as ManualClock
    from .core.clock import SystemClock as SystemClock
    from .core.decode import Decoder as Decoder
    from .core.execution import Execution as Execution
    from .core.handler import Callbacks as Callbacks
    from .core.handler import Handler as Handler
    from .core.latency import Histogram as Histogram
    from .core.market import Candle as Candle
    from .core.market import LiveTicker as LiveTicker
    from .core.market import Ticker as Ticker
    from .core.market import TickerSnapshot as TickerSnapshot
    from .core.market import Trade as Trade
    from .core.order_store import AccountOrder as AccountOrder
    from .errors import AuthError as AuthError
    from .errors import CaptureError as CaptureError
    from .errors import ChecksumError as ChecksumError
    from .errors import CircuitOpenError as CircuitOpenError
    from .errors import ClosedError as ClosedError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionLostError as ConnectionLostError
    from .errors import DecodeError as DecodeError
    from .errors import ExchangeError as ExchangeError
    from .errors import HandshakeError as HandshakeError
    from .errors import HeartbeatTimeoutError as HeartbeatTimeoutError
    from .errors import InvalidOrderError as InvalidOrderError
    from .errors import JournalError as JournalError
    from .errors import KrakenFastError as KrakenFastError
    from .errors import LockoutError as LockoutError
    from .errors import NonceError as NonceError
    from .errors import NoSourceError as NoSourceError
    from .errors import OrderBlockedError as OrderBlockedError
    from .errors import OrderEndedError as OrderEndedError
    from .errors import OrderRejectedError as OrderRejectedError
    from .errors import OutcomeUnknownError as OutcomeUnknownError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import ProtocolError as ProtocolError
    from .errors import RateLimitError as RateLimitError
    from .errors import RequestTimeoutError as RequestTimeoutError
    from .errors import ResponseError as ResponseError
    from .errors import SourceError as SourceError
    from .errors import StaleDataError as StaleDataError
    from .errors import SubscriptionError as SubscriptionError
    from .errors import TlsError as TlsError
    from .errors import TransportError as TransportError
    from .errors import UnavailableError as UnavailableError
    from .errors import UnknownSymbolError as UnknownSymbolError
    from .errors import UsageError as UsageError
    from .events import Degraded as Degraded
    from .events import Dropped as Dropped
    from .events import Event as Event
    from .events import EventStream as EventStream
    from .events import Filled as Filled
    from .events import LineChange as LineChange
    from .events import Refused as Refused
    from .events import SourceChange as SourceChange
    from .feed import Feed as Feed
    from .feed import FeedStats as FeedStats
    from .feed import connect as connect
    from .orders.cancels import Cancelled as Cancelled
    from .orders.entry import Checked as Checked
    from .orders.entry import OrderEntry as OrderEntry
    from .orders.exit import ExitReport as ExitReport
    from .orders.journal import FileStorage as FileStorage
    from .orders.journal import Journal as Journal
    from .orders.journal import MemoryStorage as MemoryStorage
    from .orders.journal import Sync as Sync
    from .orders.live_order import Order as Order
    from .orders.pretrade import Quote as Quote
    from .orders.records import Conditional as Conditional
    from .orders.records import Evidence as Evidence
    from .orders.records import Fill as Fill
    from .orders.records import NewOrder as NewOrder
    from .orders.records import OrderState as OrderState
    from .orders.records import Triggers as Triggers
    from .orders.settings import OrderLimits as OrderLimits
    from .orders.settings import OrderSettings as OrderSettings
    from .orders.watchdog import Watchdog as Watchdog
    from .orders.watchdog import WatchdogSettings as WatchdogSettings
    from .paper.backtest import BacktestResult as BacktestResult
    from .paper.backtest import backtest as backtest
    from .paper.face import PaperTrading as PaperTrading
    from .paper.face import connect_paper as connect_paper
    from .private.account import Account as Account
    from .private.account import connect_account as connect_account
    from .private.level3_feed import Level3Feed as Level3Feed
    from .private.level3_feed import connect_level3 as connect_level3
    from .rest.endpoints import RestClient as RestClient
    from .rest.nonce import MemoryNonces as MemoryNonces
    from .trading import Trading as Trading
    from .trading import connect_trading as connect_trading
    from .types import Asset as Asset
    from .types import Gap as Gap
    from .types import Instrument as Instrument
    from .types import InstrumentUpdate as InstrumentUpdate
    from .types import Level as Level
    from .types import SystemStatus as SystemStatus

_HOMES = {
    "private.account": ("Account", "connect_account"),
    "account_records": ("AccountBalance", "AccountGap"),
    "auth": ("Credentials", "Secret"),
    "config": ("Endpoints", "LineSettings", "RestSettings", "SubscriptionSettings"),
    "coordination.coordinator": ("UnifiedDataCoordinator",),
    "core.balance_store": ("BalanceUpdate",),
    "core.book": ("Book", "BookSnapshot", "OrderBook"),
    "core.capture": ("CaptureReader",),
    "core.clock": ("ManualClock", "SystemClock"),
    "core.decode": ("Decoder",),
    "core.execution": ("Execution",),
    "core.handler": ("Callbacks", "Handler"),
    "core.latency": ("Histogram",),
    "core.market": ("Candle", "LiveTicker", "Ticker", "TickerSnapshot", "Trade"),
    "rest.endpoints": ("RestClient",),
    "errors": (
        "AuthError", "CaptureError", "ChecksumError", "CircuitOpenError", "ClosedError", "ConfigError",
        "ConnectError", "ConnectionLostError", "DecodeError", "ExchangeError", "HandshakeError",
        "HeartbeatTimeoutError", "InvalidOrderError", "JournalError", "KrakenFastError", "LockoutError",
        "NoSourceError", "NonceError", "OrderBlockedError", "OrderEndedError", "OrderRejectedError",
        "OutcomeUnknownError", "PermissionDeniedError", "ProtocolError", "RateLimitError", "RequestTimeoutError",
        "ResponseError", "SourceError", "StaleDataError", "SubscriptionError", "TlsError", "TransportError",
        "UnavailableError", "UnknownSymbolError", "UsageError",
    ),
    "events": ("Degraded", "Dropped", "Event", "EventStream", "Filled", "LineChange", "Refused", "SourceChange"),
    "feed": ("Feed", "FeedStats", "connect"),
    "coordination.health": ("LineHealth", "SubscriptionHealth"),
    "paper.backtest": ("BacktestResult", "backtest"),
    "paper.face": ("PaperTrading", "connect_paper"),
    "private.level3_feed": ("Level3Feed", "connect_level3"),
    "coordination.metrics": ("MetricsServer", "MetricsSnapshot"),
    "rest.nonce": ("MemoryNonces",),
    "coordination.readings": ("Balance", "Balances", "Candles", "OpenOrders", "Trades"),
    "core.order_store": ("AccountOrder",),
    "orders.cancels": ("Cancelled",),
    "orders.entry": ("Checked", "OrderEntry"),
    "orders.exit": ("ExitReport",),
    "orders.journal": ("FileStorage", "Journal", "MemoryStorage", "Sync"),
    "orders.live_order": ("Order",),
    "orders.pretrade": ("Quote",),
    "orders.records": ("Conditional", "Evidence", "Fill", "NewOrder", "OrderState", "Triggers"),
    "orders.settings": ("OrderLimits", "OrderSettings"),
    "orders.watchdog": ("Watchdog", "WatchdogSettings"),
    "trading": ("Trading", "connect_trading"),
    "coordination.shares": ("Shares",),
    "types": ("Asset", "Gap", "Instrument", "InstrumentUpdate", "Level", "SystemStatus"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605 - made from the table above, tested name by name


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 10 ms that nobody else pays

        try:
            value: Any = version("kraken_fast")
        except PackageNotFoundError:
            value = "0+unknown"
    elif name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
