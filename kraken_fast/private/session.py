"""The private line kept subscribed: executions and balances as they come, and whether any of them may be missing.

Theory of operation. A `Session` whose channels are `executions` and `balances`. Reports of a snapshot are gathered and
told together, for only all of them say what is open and what is not; updates are told one by one. A channel whose
sequence broke, or of which a message was not understood, is subscribed anew; until its snapshot it is not live, and
`gapless_since` says no. The same line carries orders: `send`, `token` and `listen` are what order entry needs.

Source: websocket-v2.md sections 5, 12, 13; faults.md O12, O13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..config import Endpoints
from ..core.balance_store import BalanceUpdate
from ..core.execution import Execution
from ..errors import ClosedError, ConfigError, TransportError
from ..events import Event
from ..session import Session, SessionSettings
from ..subscription_records import Event as SubscriptionEvent
from ..subscription_records import EventKind
from ..transport import LineState
from ..types import Ack, SystemStatus
from .line import LineListener, Written
from .tokens import Tokens

CHANNELS = ("executions", "balances")


class AccountListener(Protocol):
    """Who keeps the account."""

    def on_reports(self, rows: Sequence[Execution], *, snapshot: bool, exchange_ns: int) -> None:
        """Reports came; those of a snapshot together. `exchange_ns`: the exchange's time, not later than a snapshot."""
        ...

    def on_balance_update(self, update: BalanceUpdate) -> None:
        """A balance changed, or is in a snapshot."""
        ...

    def on_channel_live(self, channel: str) -> None:
        """Its snapshot was applied; nothing is missing from here on."""
        ...

    def on_channel_lost(self, channel: str, reason: str) -> None:
        """From here on something may be missing, until the channel is live again."""
        ...


class PrivateSession(Session):
    """See the module's text.

    Args:
        endpoints: `ws_url` is the private host's.
        settings: how to connect.
        notice: told what a reader should know.
        tokens: of the key.
        account: keeps what comes.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        settings: SessionSettings,
        notice: Callable[[Event], None],
        *,
        tokens: Tokens,
        account: AccountListener,
    ) -> None:
        super().__init__(endpoints, settings, notice, tokens=tokens)
        self.orders = self.decoder.want_executions()
        self.balances = self.decoder.want_balances()
        self.execution = self._on_execution
        self.balance = account.on_balance_update
        self.rate_max: int | None = None
        """Threshold of the trading counter, as the exchange told it; it says which tier the account has."""
        self._account = account
        self._listener: LineListener | None = None
        self._is_told_up = False
        self._snapshot: list[Execution] = []
        self._asked_ns = 0
        self._live_since_ns: dict[str, int] = {}
        for channel in CHANNELS:
            self.want(channel)

    # For order entry -----------------------------------------------------------------------------------------

    def listen(self, listener: LineListener | None) -> None:
        """Have everything told to a listener; see `TradingLine`."""
        if listener is not None and self._listener is not None:
            raise ConfigError("account", "in use", "one that nobody else trades over: answers can be told to one only")
        self._listener = listener
        self._is_told_up = False
        if listener is None:
            return
        if self.status is not None:
            listener.on_status(self.status)
        if "executions" in self._live_since_ns:
            self._begin_afresh("executions", "somebody listens from now on")

    @property
    def is_up(self) -> bool:
        """Whether requests may be sent and their events will come."""
        return (
            "executions" in self._live_since_ns
            and self.subscriptions.token is not None
            and self.connection is not None
            and self.connection.state in (LineState.LIVE, LineState.SUSPECT)
        )

    @property
    def token(self) -> str:
        """The token of this line, for requests. Only while it is up.

        Raises:
            TransportError: the line has none now.
        """
        token = self.subscriptions.token
        if token is None:
            raise TransportError("the private line has no token; nothing was sent")
        return token.reveal().decode()

    def send(self, text: bytes) -> Written:
        """Write a message. `never_left` if it is certain, by state, that no byte of it left or ever will."""
        try:
            if self.connection is None:
                return "never_left"
            self.connection.send(text)
        except (TransportError, ClosedError):  # both are raised before the first byte
            return "never_left"
        return "written"

    def gapless_since(self, monotonic_ns: int) -> bool:
        """Whether `executions` is up, and missed nothing since that time."""
        since_ns = self._live_since_ns.get("executions")
        return (
            since_ns is not None
            and since_ns <= monotonic_ns
            and self.connection is not None
            and self.connection.state is LineState.LIVE
            and self.orders.quality == "live"
        )

    def take_recovered(self, report: Execution) -> None:
        """REST or a snapshot told what was not streamed: the order store and order entry learn of it too."""
        self.orders.apply(report)
        if self._listener is not None:
            self._listener.on_executions((report,), snapshot=False)

    # From the decoder ----------------------------------------------------------------------------------------

    def _on_execution(self, report: Execution) -> None:
        if report.snapshot:
            self._snapshot.append(report)
            return
        self._account.on_reports((report,), snapshot=False, exchange_ns=0)
        if self._listener is not None:
            self._listener.on_executions((report,), snapshot=False)

    def on_snapshot(self, channel: str, symbol: str) -> None:
        """A snapshot was applied."""
        super().on_snapshot(channel, symbol)
        if channel not in CHANNELS:
            return
        self._live_since_ns[channel] = self.clock.monotonic_ns
        if channel == "executions":
            rows, self._snapshot = self._snapshot, []
            self._account.on_reports(rows, snapshot=True, exchange_ns=self._asked_ns)
            if self._listener is not None:
                self._listener.on_executions(rows, snapshot=True)
                self._is_told_up = True
                self._listener.on_up()
        self._account.on_channel_live(channel)

    def on_sequence_gap(self, channel: str, expected: int, got: int | None) -> None:
        """A message does not carry the number that follows the last one's, or could not be understood (got None)."""
        self._note("sequence_gap", channel=channel, expected=expected, got=got)
        self._begin_afresh(channel, "not understood" if got is None else f"sequence {got} instead of {expected}")

    def _begin_afresh(self, channel: str, reason: str) -> None:
        self._lose(channel, reason)
        self.subscriptions.resync(channel, "", reason, self.clock.monotonic_ns)
        self.pump_soon()

    def _lose(self, channel: str, reason: str) -> None:
        if channel == "executions":
            self._snapshot.clear()
        if self._live_since_ns.pop(channel, None) is not None:
            self._account.on_channel_lost(channel, reason)

    def on_ack(self, ack: Ack) -> None:
        """The exchange answered a request."""
        super().on_ack(ack)
        result = ack.result if isinstance(ack.result, dict) else {}
        if ack.success and ack.method == "subscribe" and result.get("channel") == "executions":
            self._asked_ns = ack.time_in_ns or 0
            rate_max = result.get("maxratecount")
            if isinstance(rate_max, int):
                self.rate_max = rate_max
                if self._listener is not None:
                    self._listener.on_rate_limit(rate_max)
        if self._listener is not None:
            self._listener.on_reply(ack)

    def on_status(self, status: SystemStatus) -> None:
        """The engine's state was told."""
        super().on_status(status)
        if self._listener is not None:
            self._listener.on_status(status)

    # From the connection -------------------------------------------------------------------------------------

    def on_down(self, reason: TransportError, epoch: int) -> None:
        """The connection, or the attempt at one, is over."""
        super().on_down(reason, epoch)
        was_told_up, self._is_told_up = self._is_told_up, False
        for channel in CHANNELS:
            self._lose(channel, str(reason))
        if was_told_up and self._listener is not None:
            self._listener.on_down(str(reason))

    def _take_event(self, event: SubscriptionEvent) -> None:
        super()._take_event(event)
        if event.kind is EventKind.LEFT and event.channel in CHANNELS:
            self._lose(event.channel, event.reason or "subscribed anew")
