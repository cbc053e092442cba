"""One line kept subscribed: its decoder, its subscriptions and its connection, and what happens between them.

Theory of operation. Hot messages never come here; they go from the socket through the decoder to the callables of
`Callbacks`, in C. This file hears of the rest, which is rare: acknowledgements, snapshots, losses, states. It
passes them to `Subscriptions`, sends the requests that this asks for, comes back when the next is due, and tells
`notice` what a reader should know. Requests are never written from within the decoder's call stack.

    connection up -> status, or a short grace -> subscribe -> delivering, or refused       `ready` resolves at the end
    connection down -> every book of it distrusted before anybody is told -> (reconnect)
    checksum, damage, precision -> that symbol alone is asked for anew
    an exception of ours, or ten refused messages a second -> the connection is recycled

A feed has one session; a coordinator has one for each line.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from .config import (
    WITHOUT_SYMBOL,
    Endpoints,
    LineSettings,
    SubscriptionSettings,
    check_channel_parameter,
    check_number,
)
from .core.book import OrderBook
from .core.capture import CaptureWriter
from .core.clock import Clock, SystemClock
from .core.decode import Decoder
from .core.handler import Callbacks, Handler
from .core.line import Line
from .dial import Connector, FileAttempts
from .errors import (
    ClosedError,
    ConfigError,
    DecodeError,
    KrakenFastError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from .events import Event, LineChange, Refused
from .policy import SECOND_NS, AttemptBudget
from .subscription_records import Event as SubscriptionEvent
from .subscription_records import EventKind, Key
from .subscriptions import Subscriptions
from .transport import Connection, LineState
from .types import Ack, Gap, Instrument, InstrumentUpdate, SystemStatus

if TYPE_CHECKING:
    from .private.tokens import Tokens

_log = logging.getLogger("kraken_fast.session")

_RESYNCED = frozenset({"ticker", "trade", "ohlc", "instrument", "executions", "balances"})
"""Channels that begin afresh after a message that was not understood; books are told of by `on_book_lost`."""

STATUS_GRACE_S = 1.0
"""The exchange sends `status` at once on connecting; subscribing waits for it no longer than this."""

GONE = frozenset({"delisted", "work_in_progress"})
"""States of a pair without a market. Source: faults.md K14."""

REFUSALS_MAX, REFUSALS_S = 10, 1.0
"""So many refused messages within so many seconds make a line doubtful as a whole. Source: faults.md D15."""

CROSSED_S = 1.0
"""A book that stays crossed this long is asked for anew. Source: faults.md D12."""

WATCH_S = 0.25
"""How often crossed books are looked for."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session is made with besides its address; None stands for the ordinary thing.

    Attributes:
        clock: monotonic and wall time.
        rng: jitter of reconnects.
        line, subscription: durations and bounds.
        budget: bound on connection attempts; None counts those of all this user's processes on this machine.
        ssl_context: must verify, unless the host is loopback.
        use_aiofastnet: picows' faster transports; off under a loop of virtual time.
        connector: connects instead of the event loop: to an exchange in this process.
        name: of the line, in events and logs.
    """

    clock: Clock | None = None
    rng: Random | None = None
    line: LineSettings | None = None
    subscription: SubscriptionSettings | None = None
    budget: AttemptBudget | None = None
    ssl_context: ssl.SSLContext | None = None
    use_aiofastnet: bool = True
    connector: Connector | None = None
    name: str = "A"


def settings_of(name: str, advanced: Mapping[str, Any], *, ready_s: float, events_max: int) -> SessionSettings:
    """Check what everything that has lines is made with, and give the settings of a line.

    Raises:
        ConfigError: a setting is wrong.
    """
    check_number("ready_s", ready_s, 0.001, 3600.0)
    check_number("events_max", events_max, 1, whole=True)
    fields = SessionSettings.__dataclass_fields__
    for key, value in advanced.items():
        if key not in fields:
            raise ConfigError(key, value, f"a setting of this call, or one of {', '.join(fields)}")
    return SessionSettings(**{"name": name, **advanced})


def check_handler(handler: object) -> None:
    """Refuse what the core cannot call.

    Raises:
        ConfigError: it is neither a Handler nor None.
    """
    if handler is not None and not isinstance(handler, Handler):
        raise ConfigError("handler", handler, "an instance of a Handler subclass, or None")


class Session(Callbacks):
    """One line. See the module's text.

    Args:
        endpoints: where to connect.
        settings: how.
        notice: told of every LineChange, Refused, Gap, SystemStatus and InstrumentUpdate.
        tokens: for lines whose channels need one; not closed with the session, for lines share them.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        settings: SessionSettings,
        notice: Callable[[Event], None],
        *,
        tokens: Tokens | None = None,
    ) -> None:
        self.clock = settings.clock or SystemClock()
        line_settings = settings.line or LineSettings()
        self.name = settings.name
        self.suspect_ns = round(line_settings.suspect_s * SECOND_NS)
        line = Line(self.clock, name=self.name, suspect_ns=self.suspect_ns)
        self.decoder = Decoder(line, self)
        self.subscriptions = Subscriptions(settings.subscription)
        self.connection: Connection | None = None
        self.capture: CaptureWriter | None = None
        self.refused: dict[Key, SubscriptionError] = {}
        self.status: SystemStatus | None = None
        self.connections = 0
        self.ready: asyncio.Future[None] | None = None
        """Resolves when all that was wanted delivers or was refused; fails when nothing of it ever will."""
        self._endpoints = endpoints
        self._settings = settings
        self._line_settings = line_settings
        self._notice = notice
        self._tokens = tokens
        self._token_task: asyncio.Task[None] | None = None
        self._token_error: KrakenFastError | None = None
        self._awaited: set[Key] = set()
        self._may_subscribe = False  # the line is up, and line_up was not called yet
        self._is_pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._refusals: deque[int] = deque(maxlen=REFUSALS_MAX + 1)
        self._crossed_since: dict[str, int] = {}
        self._gone: set[str] = set()

    # What the owner calls ------------------------------------------------------------------------------------

    def start(self, record: str | Path | CaptureWriter | None = None) -> asyncio.Future[None]:
        """Begin to connect and subscribe. Returns `ready`.

        Raises:
            ClosedError: it was started before.
            OSError: the recording cannot be made.
        """
        if self.connection is not None:
            raise ClosedError("a session is started once; make a new one")
        if record is not None:
            self.capture = record if isinstance(record, CaptureWriter) else CaptureWriter(record, self.clock)
        self.connection = Connection(
            self._endpoints,
            self,
            self.decoder,
            clock=self.clock,
            rng=self._settings.rng or SystemRandom(),
            settings=self._line_settings,
            budget=self._settings.budget or AttemptBudget(FileAttempts.of_user()),
            ssl_context=self._settings.ssl_context,
            use_aiofastnet=self._settings.use_aiofastnet,
            connector=self._settings.connector,
            tee=self.capture,
        )
        self.ready = asyncio.get_running_loop().create_future()
        self.connection.start()
        self._watch()
        return self.ready

    async def close(self) -> None:
        """End the session. Prompt, and may be called again."""
        self._set_timer(None)
        if self._watch_timer is not None:
            self._watch_timer.cancel()
            self._watch_timer = None
        if self._token_task is not None:
            self._token_task.cancel()
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(ClosedError("closed while it was opening"))
            self.ready.exception()  # retrieved: nobody may be waiting any more
        if self.connection is not None:
            await self.connection.close()
        if self.capture is not None:
            self.capture.close()

    def want(self, channel: str, symbols: Iterable[str] = (), **parameter: Any) -> None:
        """Want symbols of a channel, over all reconnects. The decoder keeps what comes of it."""
        value = check_channel_parameter(channel, parameter)
        for key in self.subscriptions.want(channel, symbols, **parameter):
            if channel == "book":
                self.decoder.want_book(key[1], value)
            elif channel == "level3":
                self.decoder.want_level3(key[1], value)
            elif channel == "ticker":
                self.decoder.want_ticker(key[1])
            elif channel == "trade":
                self.decoder.want_trades(key[1])
            elif channel == "ohlc":
                self.decoder.want_candles(key[1], value)
            self.refused.pop(key, None)
            self._awaited.add(key)
        self.pump()

    def unwant(self, channel: str, symbols: Iterable[str]) -> None:
        """Want them no more."""
        names = tuple(symbols)
        self.subscriptions.unwant(channel, names)
        self._awaited -= {(channel, name) for name in names}
        self.pump()

    @property
    def is_open(self) -> bool:
        """Whether it was started and has not ended."""
        return self.connection is not None and self.connection.state is not LineState.CLOSED

    @property
    def awaited(self) -> Key | None:
        """One of those that neither deliver nor were refused, None when there are none."""
        return next(iter(self._awaited), None)

    # Requests ------------------------------------------------------------------------------------------------

    def require_own_loop(self) -> None:
        """Refuse calls from another thread, another loop, or after a fork: nothing here is locked.

        Raises:
            UsageError: it is open, and the loop that runs here is not its own.
        """
        if not self.is_open:
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if self.ready is not None and running is not self.ready.get_loop():
            raise UsageError("a feed belongs to the event loop that opened it; use loop.call_soon_threadsafe")

    def pump(self) -> None:
        """Send what is due, tell what happened, and come back when more is due."""
        if not self.is_open or self._is_pumping:
            return
        assert self.connection is not None
        self._is_pumping = True
        try:
            self._bring_token()
            for request in self.subscriptions.poll(self.clock.monotonic_ns):
                try:
                    self.connection.send(request)
                except TransportError as error:
                    _log.debug("request not sent, its time-out will repeat it: %s", error)
            self._take_events()
        finally:
            self._is_pumping = False
        now_ns = self.clock.monotonic_ns
        due_ns = self.subscriptions.deadline_ns(now_ns)
        if due_ns is not None:
            self._set_timer(max(0.0, (due_ns - now_ns) / SECOND_NS), self.pump)
        elif not self._may_subscribe:  # else the timer is the grace for `status`
            self._set_timer(None)

    def _bring_token(self) -> None:
        """Give the subscriptions the token that they wait for: at once if one is at hand, else when it comes."""
        if self._tokens is None or not self.subscriptions.token_wanted or self._token_task is not None:
            return
        refused = self.subscriptions.refused_token
        if refused is not None:
            self._tokens.refuse(refused)
        usable = self._tokens.usable
        if usable is not None:
            self.subscriptions.give_token(usable)
            return
        self._token_task = asyncio.get_running_loop().create_task(self._fetch_token(self._tokens))

    async def _fetch_token(self, tokens: Tokens) -> None:
        try:
            token = await tokens.get()
        except KrakenFastError as error:
            _log.warning("no token: %s", error)
            self._token_error = error
            self.subscriptions.no_token(str(error))
        else:
            # The connection that asked may be gone; the present one may have one already, or ask for it itself.
            if self.subscriptions.token_wanted:
                self.subscriptions.give_token(token)
        finally:
            self._token_task = None
        self.pump()

    def _set_timer(self, delay_s: float | None, then: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay_s is not None and then is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, then)

    def pump_soon(self) -> None:
        """Pump, but not from within this call stack."""
        asyncio.get_running_loop().call_soon(self.pump)

    def _subscribe(self) -> None:
        """The connection is up and its status came, or is late."""
        if self._may_subscribe:
            self._may_subscribe = False
            self._set_timer(None)
            self.subscriptions.line_up(self.clock.monotonic_ns)
            self.pump()

    def _take_events(self) -> None:
        for event in self.subscriptions.take_events():
            self._take_event(event)
        if self.ready is not None and not self.ready.done() and not self._awaited:
            self._settle_ready(self.ready)

    def _take_event(self, event: SubscriptionEvent) -> None:
        key = (event.channel, event.symbol)
        if event.kind in (EventKind.REFUSED, EventKind.LOST):
            _log.warning("%s: %s", event.kind.value, event.error)
            self.refused[key] = event.error
            self._awaited.discard(key)
            self._notice(Refused(event.error, self.name))
            if event.kind is EventKind.LOST:
                self._doubt_line(event)
        elif event.kind is EventKind.DELIVERING:
            self.refused.pop(key, None)
            self._awaited.discard(key)
        elif event.kind in (EventKind.LEFT, EventKind.UNVERIFIED):
            self._distrust(event)
        elif event.kind is EventKind.RECYCLE and self.connection is not None:
            self.connection.recycle(f"{event.channel} {event.symbol}: {event.reason}")
        elif event.kind is EventKind.WARNED:
            _log.info("the exchange warns about %s: %s", event.channel, event.reason)

    def _doubt_line(self, event: SubscriptionEvent) -> None:
        """A line that answered nothing at all is dead though it came up: silence is judged from the first answer on."""
        if self.connection is not None and not self.connection.is_answered:
            self.connection.recycle(f"{event.channel} {event.symbol}: {event.reason}, nor anything else")

    def _distrust(self, event: SubscriptionEvent) -> None:
        """A subscription gets nothing until its next snapshot, or the exchange's word on it is wrong time and again."""
        if event.kind is EventKind.UNVERIFIED:
            _log.warning("%s %s is unverified: %s", event.channel, event.symbol, event.reason)
        ticker = self.decoder.ticker(event.symbol)
        if event.channel == "ticker" and ticker is not None:
            ticker.await_snapshot()
        book = self.decoder.book(event.symbol)
        if event.channel != "book" or book is None:
            return
        if event.kind is EventKind.UNVERIFIED:
            self._note("unverified", symbol=book.symbol)
            book.give_up_verifying()
        elif book.is_valid:  # by a snapshot that came while it was being left
            self._note("awaiting", symbol=book.symbol)
            book.await_snapshot()

    def _settle_ready(self, ready: asyncio.Future[None]) -> None:
        market = [key for key in self.subscriptions.wanted() if key[0] != "instrument"]
        if market and all(key in self.refused for key in market):
            ready.set_exception(self._token_error or self.refused[market[0]])
        else:
            ready.set_result(None)

    def _watch(self) -> None:
        """Look for books that stay crossed though their checksum agrees."""
        now_ns = self.clock.monotonic_ns
        for symbol in self.decoder.kept_symbols():
            book = self.decoder.book(symbol)
            if book is None or not book.is_valid or not book.crossed:
                self._crossed_since.pop(symbol, None)
            elif now_ns - self._crossed_since.setdefault(symbol, now_ns) >= CROSSED_S * SECOND_NS:
                del self._crossed_since[symbol]
                self._note("invalidated", symbol=book.symbol)
                book.invalidate()
                self.subscriptions.resync("book", symbol, "crossed", now_ns)
                self.pump()
        self._watch_timer = asyncio.get_running_loop().call_later(WATCH_S, self._watch)

    # From the connection -------------------------------------------------------------------------------------

    def on_up(self, epoch: int) -> None:
        """A connection is open: nothing of an older one counts any more."""
        self.connections += 1
        self.decoder.new_epoch()
        self._may_subscribe = True
        self._note("opened", epoch=epoch)
        self._set_timer(STATUS_GRACE_S, self._subscribe)

    def on_down(self, reason: TransportError, epoch: int) -> None:
        """The connection, or the attempt at one, is over."""
        self._may_subscribe = False  # the wait for a status may end after the line did
        self._set_timer(None)
        self.subscriptions.line_down()
        self._crossed_since.clear()
        self._note("lost", epoch=epoch, reason=str(reason))
        if not reason.retryable and self.ready is not None and not self.ready.done():
            self.ready.set_exception(reason)

    def on_state(self, old: LineState, new: LineState, reason: str) -> None:
        """The line's state changed."""
        _log.info("line %s: %s -> %s: %s", self.name, old.value, new.value, reason)
        if new in (LineState.DOWN, LineState.CLOSED):
            self.decoder.new_epoch()  # whoever is told of the loss must find nothing live any more
        self._notice(LineChange(old.value, new.value, reason, self.name))

    def on_error(self, error: Exception, count: int) -> None:
        """The core let an exception out."""
        _log.error("the core let an exception out (%d so far); the line is recycled", count, exc_info=error)
        if self.connection is not None:
            self.connection.recycle("internal error")

    def _note(self, event: str, **facts: object) -> None:
        if self.capture is not None:
            self.capture.note(event, self.clock.monotonic_ns, **facts)

    # From the decoder ----------------------------------------------------------------------------------------

    def on_ack(self, ack: Ack) -> None:
        """The exchange answered a request."""
        if self.connection is not None:
            self.connection.answered(is_pong=ack.method == "pong")
        if self.connection is not None and ack.method == "subscribe" and ack.success:
            self.connection.arm()  # heartbeats come from the first subscription on
        self.subscriptions.on_ack(asdict(ack), self.clock.monotonic_ns)
        self.pump_soon()

    def on_snapshot(self, channel: str, symbol: str) -> None:
        """A snapshot was applied."""
        self.subscriptions.on_snapshot(channel, symbol)
        self.pump_soon()

    def on_book_lost(self, book: OrderBook, reason: str) -> None:
        """A book can no longer be trusted: ask for it anew, or learn that asking is of no use."""
        now_ns = self.clock.monotonic_ns
        self._note("book_lost", symbol=book.symbol, reason=reason)
        if reason in ("checksum", "snapshot"):
            self.subscriptions.on_checksum_mismatch(book.symbol, now_ns, in_snapshot=reason == "snapshot")
        else:
            self.subscriptions.resync("book", book.symbol, reason, now_ns)
        self._take_events()  # now: what the book holds is dropped on return unless it is declared unverified
        self.pump_soon()

    def on_refused(self, error: DecodeError) -> None:
        """A message was not understood; a book that it was meant for was told by `on_book_lost`."""
        now_ns = self.clock.monotonic_ns
        _log.warning("message refused: %s", error)
        if error.channel in _RESYNCED:
            symbol = "" if error.channel in WITHOUT_SYMBOL else error.symbol
            self.subscriptions.resync(error.channel, symbol, "malformed", now_ns)
            self.pump_soon()
        self._refusals.append(now_ns)
        if len(self._refusals) > REFUSALS_MAX and now_ns - self._refusals[0] <= REFUSALS_S * SECOND_NS:
            self._refusals.clear()
            if self.connection is not None:
                self.connection.recycle(f"more than {REFUSALS_MAX} messages refused within {REFUSALS_S:g} s")

    def on_callback_error(self, channel: str, error: Exception) -> None:
        """A user's callback raised, which harms nobody; or one of our own methods did (`on_...`)."""
        if channel.startswith("on_") and self.connection is not None:
            # What was subscribed may not be what we believe.
            self.connection.recycle(f"internal error in {channel}: {error!r}")

    def on_gap(self, gap: Gap) -> None:
        """Trades were missed."""
        self._note("gap", symbol=gap.symbol, first=gap.first, last=gap.last)
        self._notice(gap)

    def on_status(self, status: SystemStatus) -> None:
        """The engine's state was told; the first of a connection says that it may be used."""
        returns = self.status is not None and self.status.system == "maintenance" and status.system == "online"
        self.status = status
        if returns:  # what was told around a halt is not relied on: every book begins anew
            for channel, symbol in self.subscriptions.wanted():
                if channel == "book":
                    self.subscriptions.renew(channel, symbol)
            self.pump_soon()
        if self.connection is not None:
            self.connection.in_maintenance = status.system == "maintenance"
        self._notice(status)
        asyncio.get_running_loop().call_soon(self._subscribe)

    def _follow_status(self, pair: Instrument) -> None:
        """A pair that trades no more has no live book; one that trades again needs a new snapshot."""
        book = self.decoder.book(pair.symbol)
        if book is None:
            return
        if pair.status in GONE and book.is_valid:
            self._note("invalidated", symbol=book.symbol)
            book.invalidate()
            self._gone.add(pair.symbol)
        elif pair.status == "online" and pair.symbol in self._gone:
            self._gone.discard(pair.symbol)
            self.subscriptions.renew("book", pair.symbol)

    def on_instruments(self, update: InstrumentUpdate) -> None:
        """Pairs were told: what was refused for one that is online now may be asked for again."""
        if not update.snapshot:
            for pair in update.pairs:
                if pair.status == "online":
                    self.subscriptions.instrument_online(pair.symbol)
                self._follow_status(pair)
        self._notice(update)
        self.pump_soon()
