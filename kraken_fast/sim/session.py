"""One WebSocket v2 session: texts in, messages out, no I/O.

Theory of operation. A session greets with `status`. From its first subscription on it sends a heartbeat every
second, whatever else it sends. Each symbol of a request is answered by itself, then comes its snapshot, then
its updates; from the moment of the snapshot the market feed delivers straight to the session. A session
without subscriptions from which nothing was heard for a minute is closed.

There are no sequence numbers on public channels and no memory: a new session starts from nothing.

A session on the private host takes orders as well (`ws_orders.py`) and subscribes the channels of an account
(`streams.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from .faces import PUBLIC
from .faults import Fault
from .feed import MarketFeed, Parameter
from .frames import CLOSE_NORMAL
from .limits import DecayingCounter
from .message import HEARTBEAT_TEXT, Message, status_text
from .player import ReelFeed
from .refusals import RestError
from .requests import (
    Refusal,
    Request,
    ack_text,
    check_symbol,
    error_text,
    parse_request,
    pong_text,
)
from .streams import AccountStream
from .tamper import Tamper
from .texts import NS_PER_MS, NS_PER_S, NS_PER_US, rfc3339
from .tokens import Token
from .trade_fields import FIELDS
from .ws_orders import Port, WsOrders

if TYPE_CHECKING:
    from .core import ExchangeCore

HEARTBEAT_NS = NS_PER_S
"""Once a second, measured on a busy feed: 90 in 90 s (2026-08)."""

IDLE_NS = 60 * NS_PER_S
"""Silence after which a session without subscriptions is closed: "about one minute"."""

LEVEL3_SYMBOLS_MAX = 200
LEVEL3_COSTS: dict[Parameter, int] = {10: 5, 100: 25, 1000: 100}
LEVEL3_RATES = {"starter": Decimal(200), "intermediate": Decimal(200), "pro": Decimal(500)}
"""Symbols of one connection, points of one by its depth, points a second by the account's tier.

Source: https://docs.kraken.com/api/docs/websocket-v2/level3, read 2026-08.
"""

PERMISSIONS = {
    "executions": ("query-open-trades", "query-closed-trades"),
    "balances": ("query-funds", "query-ledger"),
}
"""What a key needs for a channel, any one of them; Kraken's pages name none."""

_HEARTBEAT = Message(HEARTBEAT_TEXT, "heartbeat", "heartbeat")


@dataclass(slots=True)
class Subscription:
    """What a session gets of one channel and symbol. The feed knows of it once it is `live`.

    Attributes:
        token: with which it was made; it keeps the token alive.
        stream: of an account's channel.
    """

    channel: str
    symbol: str
    parameter: Parameter
    live: bool = False
    token: Token | None = None
    stream: AccountStream | None = None


class WsSession:
    """One client's session.

    Args:
        core: the exchange.
        number: counts the exchange's sessions from 1.
        rng: chance of this session: its connection id, the time that an answer takes.
        send: takes every message that leaves.
        close: ends the connection with a close code and a reason.
        reset: ends it without a word.

    Attributes:
        face: the host that it was opened on.
    """

    def __init__(
        self,
        core: ExchangeCore,
        number: int,
        rng: random.Random,
        send: Callable[[Message], None],
        close: Callable[[int, str], None],
        reset: Callable[[], None],
    ) -> None:
        self.number = number
        self.face = PUBLIC
        self.connection_id = rng.getrandbits(64)
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self._core = core
        self._rng = rng
        self._send = send
        self._close = close
        self.tamper = Tamper(core.faults, number, rng)
        self._heard_ns = core.now_ns()
        self._heartbeat_ns: int | None = None
        self._snapshots: list[tuple[int, Subscription]] = []
        self._level3_points = DecayingCounter()
        port = Port(self._emit, self._tell, self.tamper.hold_back, self._time_out, reset)
        self._orders = WsOrders(core, number, rng, port)

    def __repr__(self) -> str:
        return f"WsSession({self.number}, {len(self.subscriptions)} subscriptions)"

    def open(self) -> None:
        """Greet the client."""
        text = status_text(self._core.system_status, self.connection_id)
        self._emit(Message(text, "status", "status"))

    def receive(self, raw: bytes) -> None:
        """Carry out one request."""
        now_ns = self._core.now_ns()
        self._heard_ns = now_ns
        time_in = rfc3339(now_ns)
        try:
            self._carry_out(parse_request(raw, self.face), time_in)
        except Refusal as refusal:
            self._refuse(refusal, time_in)

    def poll(self) -> None:
        """Do what the time demands: heartbeat, late messages, late snapshots, the end of an idle session."""
        now_ns = self._core.now_ns()
        if self._core.faults.armed:
            self._acts()
        for message in self.tamper.due(now_ns):
            self._send(message)
        self._orders.advance(now_ns)
        while self._snapshots and self._snapshots[0][0] <= now_ns:
            self._snapshot(self._snapshots.pop(0)[1])
        if self._heartbeat_ns is not None and self._heartbeat_ns <= now_ns:
            # One beat, not several, after a pause; the rhythm stays that of the first one.
            self._heartbeat_ns += HEARTBEAT_NS * ((now_ns - self._heartbeat_ns) // HEARTBEAT_NS + 1)
            self._emit(_HEARTBEAT)
        if not self.subscriptions and now_ns - self._heard_ns >= IDLE_NS:
            self._close(CLOSE_NORMAL, "")  # the code that Kraken uses was not recorded

    @property
    def deadline_ns(self) -> int:
        """When `poll` must be called next, at the latest."""
        times = [time_ns for time_ns, _ in self._snapshots[:1]]
        if self._orders.deadline_ns is not None:
            times.append(self._orders.deadline_ns)
        if self.tamper.next_due_ns is not None:
            times.append(self.tamper.next_due_ns)
        if self._heartbeat_ns is not None:
            times.append(self._heartbeat_ns)
        if not self.subscriptions:
            times.append(self._heard_ns + IDLE_NS)
        return min(times)

    def deliver(self, message: Message) -> None:
        """Take a message of a feed or of the exchange."""
        if not self._orders.keeps(message):
            self._tell(message)

    def _tell(self, message: Message) -> None:
        if message.kind == "update" and self._fire("second_snapshot", message.channel, message.symbol):
            self._send_second_snapshot(message)
        self._emit(message)

    def leave(self) -> None:
        """Forget all subscriptions: the connection is gone."""
        streams = [held.stream for held in self.subscriptions.values() if held.stream is not None]
        for subscription in self.subscriptions.values():
            self._withdraw(subscription)
        self.subscriptions.clear()
        self._snapshots.clear()
        self._orders.clear()
        for account in {stream.account.name: stream.account for stream in streams}.values():
            self._core.mishaps.gap(account, self.number)

    def _carry_out(self, request: Request, time_in: str) -> None:
        if self._core.faults.fire("msg_rate", session=self.number, channel=request.channel, message="error"):
            raise Refusal("Exceeded msg rate")
        if request.method == "ping":
            time_out = self._time_out()
            self._emit(Message(pong_text(request.req_id, time_in, time_out), "pong"))
            return
        token = self._token(request)
        if request.method in FIELDS:
            assert token is not None
            self._orders.take(request, token, time_in)
            return
        symbols: tuple[str | None, ...] = request.symbols or (None,)
        for symbol in symbols:
            try:
                if request.method == "subscribe":
                    self._subscribe(request, symbol, token, time_in)
                else:
                    self._unsubscribe(request, symbol, time_in)
            except Refusal as refusal:
                self._refuse(refusal, time_in)

    def _token(self, request: Request) -> Token | None:
        """Find the token that a request brings, None where it needs none."""
        if not request.token:
            return None
        where = {"session": self.number, "endpoint": request.method, "channel": request.channel}
        try:
            return self._core.private.tokens.admit(request.token, self._core.now_ns(), **where)
        except RestError as error:
            raise Refusal(str(error), request.method, req_id=request.req_id) from None

    def _subscribe(self, request: Request, symbol: str | None, token: Token | None, time_in: str) -> None:
        if self._core.player is not None:
            self._core.player.check(request)
        if symbol is not None:
            check_symbol(symbol, request, tradable=self._core.is_tradable(symbol))
            if fault := self._fire("nack", request.channel, symbol):
                raise Refusal(f"{fault['error']} {symbol}", request.method, symbol, request.req_id)
        key = (request.channel, symbol or "")
        held = self.subscriptions.get(key)
        if held is not None:
            other_interval = request.channel == "ohlc" and held.parameter != request.parameter
            suffix = " to one ohlc interval on this symbol" if other_interval else ""
            raise Refusal(f"Already subscribed{suffix}", req_id=request.req_id)
        subscription = Subscription(request.channel, symbol or "", request.parameter, token=token)
        if token is not None:
            if request.channel == "level3":
                self._count_level3(request, symbol, token)
            else:
                subscription.stream = self._stream(request, token)
            token.holders += 1
        self.subscriptions[key] = subscription
        if self._heartbeat_ns is None:
            self._heartbeat_ns = self._core.now_ns() + HEARTBEAT_NS
        self._acknowledge(request, symbol, time_in, token)
        # A master account that watches all its users is told no state, only what happens.
        self._begin(subscription, wants_snapshot=request.snapshot and not request.params.get("users"))

    def _stream(self, request: Request, token: Token) -> AccountStream:
        """Make the stream of an account's channel.

        Raises:
            Refusal: the key may not see it.
        """
        if not token.key.permissions.intersection(PERMISSIONS[request.channel]):
            raise Refusal("EGeneral:Permission denied", request.method, req_id=request.req_id)
        return AccountStream(self._core, request.channel, token, request.params, self.number, self.deliver)

    def _count_level3(self, request: Request, symbol: str | None, token: Token) -> None:
        """Count a subscription of level 3.

        Raises:
            Refusal: there are too many, or too many in a second. Kraken's words for that were not recorded.
        """
        if not self._core.private.gate.limit_calls:
            return
        held = sum(subscription.channel == "level3" for subscription in self.subscriptions.values())
        rate = LEVEL3_RATES[token.account.tier_name]
        cost = LEVEL3_COSTS[request.parameter]
        if held >= LEVEL3_SYMBOLS_MAX:
            raise Refusal("Symbols limit exceeded", request.method, symbol, request.req_id)
        if self._level3_points.points(rate, self._core.now_ns()) + cost > rate:
            raise Refusal("Exceeded msg rate", request.method, symbol, request.req_id)
        self._level3_points.add(cost)

    def _begin(self, subscription: Subscription, *, wants_snapshot: bool) -> None:
        channel, symbol = subscription.channel, subscription.symbol
        self._orders.begin(channel)
        if self._fire("ack_then_silence", channel, symbol):
            return  # never live: the feed does not get to know of it
        delay_ns = self._core.snapshot_delay_ns
        if wants_snapshot and (fault := self._fire("late_snapshot", channel, symbol)):
            self._go_live(subscription)
            delay_ns = fault["ms"] * NS_PER_MS
        if not wants_snapshot or self._fire("no_snapshot", channel, symbol):
            self._go_live(subscription)
        elif delay_ns:
            self._snapshots.append((self._core.now_ns() + delay_ns, subscription))
            self._snapshots.sort(key=lambda entry: entry[0])
        else:
            self._snapshot(subscription)

    def _snapshot(self, subscription: Subscription) -> None:
        if self.subscriptions.get((subscription.channel, subscription.symbol)) is subscription:
            self._go_live(subscription)
            self._emit(self._snapshot_message(subscription))

    def _snapshot_message(self, subscription: Subscription) -> Message:
        if subscription.stream is not None:
            return subscription.stream.snapshot()
        if subscription.channel == "instrument":
            return Message(self._core.listing.message("snapshot"), "snapshot", "instrument")
        feed = self._core.feed(subscription.symbol)
        return feed.snapshot(subscription.channel, subscription.parameter, self._core.now_ns())

    def _go_live(self, subscription: Subscription) -> None:
        if subscription.live:
            return
        subscription.live = True
        if subscription.stream is not None:
            subscription.stream.begin()
        elif subscription.channel == "instrument":
            self._core.instrument_subscribers[self] = None
        else:
            self._feed(subscription).subscribe(self, subscription.channel, subscription.parameter)

    def _unsubscribe(self, request: Request, symbol: str | None, time_in: str) -> None:
        key = (request.channel, symbol or "")
        held = self.subscriptions.get(key)
        if held is None or held.parameter != request.parameter:
            # The method is "subscribe" here, whatever was asked.
            raise Refusal("Subscription Not Found", "subscribe", symbol, request.req_id)
        del self.subscriptions[key]
        self._withdraw(held)
        self._acknowledge(request, symbol, time_in)

    def _withdraw(self, subscription: Subscription) -> None:
        if subscription.token is not None:
            subscription.token.holders -= 1
        if subscription.stream is not None:
            subscription.stream.end()
            return
        if not subscription.live:
            return
        if subscription.channel == "instrument":
            self._core.instrument_subscribers.pop(self, None)
        else:
            self._feed(subscription).unsubscribe(self, subscription.channel, subscription.parameter)

    def _feed(self, subscription: Subscription) -> MarketFeed | ReelFeed:
        return self._core.feed(subscription.symbol)

    def _acknowledge(
        self, request: Request, symbol: str | None, time_in: str, token: Token | None = None
    ) -> None:
        extra = {}
        if token is not None and request.channel == "executions":
            shown = {name: request.params[name] for name in ("snap_orders", "snap_trades")}
            extra = {"maxratecount": token.account.tier.engine_max, **shown}
        text = ack_text(request, symbol, time_in, self._time_out(), extra)
        self._emit(Message(text, "ack", request.channel, symbol or ""))

    def _refuse(self, refusal: Refusal, time_in: str) -> None:
        text = error_text(refusal, time_in, self._time_out())
        self._emit(Message(text, "error", symbol=refusal.symbol or ""))

    def _time_out(self) -> str:
        """Make up when an answer leaves: 40 to 65 us after the request came, as on public acks."""
        return rfc3339(self._core.now_ns() + self._rng.randint(40, 65) * NS_PER_US)

    def _emit(self, message: Message) -> None:
        if not self._core.faults.armed and not self.tamper.holding:
            self._send(message)
            return
        for changed in self.tamper.messages(message, self._core.now_ns()):
            self._send(changed)

    def _fire(self, kind: str, channel: str, symbol: str) -> Fault | None:
        return self._core.faults.fire(kind, session=self.number, channel=channel, symbol=symbol)

    def _send_second_snapshot(self, update: Message) -> None:
        # The state before the update is gone; a snapshot of the state after it makes the update idempotent.
        subscription = self.subscriptions.get((update.channel, update.symbol))
        if subscription is not None and subscription.stream is not None:
            # Its messages have their numbers already: the snapshot comes behind them.
            self._snapshots.insert(0, (self._core.now_ns(), subscription))
        elif subscription is not None:
            self._emit(self._snapshot_message(subscription))

    def _acts(self) -> None:
        """Do what faults demand of a session that would otherwise say nothing."""
        faults = self._core.faults
        while fault := faults.fire("text", session=self.number):
            self._send(Message(fault["text"], "text"))
