"""Several hot lines with the same subscriptions, and what is done about one that does worse than the others.

    Session A -> decoder A -> Leg A \
                                      Arbiter -> Delivery          in C, one call stack
    Session B -> decoder B -> Leg B /

A session looks after itself: silence, checksums, snapshots that do not come. What only a comparison can show is found
here: a subscription that fell silent on a line that lives, a line that lags, books that differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit

from ..config import Endpoints
from ..core.arbiter import Arbiter
from ..core.clock import Clock, SystemClock
from ..core.handler import Handler
from ..errors import KrakenFastError
from ..events import Degraded, Event, LineChange
from ..policy import SECOND_NS, Backoff
from ..session import Session, SessionSettings
from ..subscription_records import Phase
from ..transport import LineState
from ..types import Asset, Gap, Instrument, InstrumentUpdate, SystemStatus
from .health import LineHealth, LineWatch, SubscriptionHealth

NAMES = "ABCDEFGH"
LINES_MAX = len(NAMES)

SILENT_NS = 1_700_000_000
"""What another line has told for so long and this one has not, it will not tell: K01 allows 2 s for finding out."""

HEAL_PAUSE_NS = 5 * SECOND_NS
"""Before the same subscription is asked for anew for the same cause: T_ack, T_snap."""


class Lines:
    """The lines of a coordinator.

    Args:
        endpoints: where each one connects.
        settings: how; the names are given here.
        handler: told of news, in C.
        on_event: told of what happens to lines.
        on_state: called after a line's state changed: what it served may be served no more.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoints],
        settings: SessionSettings,
        handler: Handler,
        on_event: Callable[[Event], None],
        on_state: Callable[[], None],
    ) -> None:
        self.clock: Clock = settings.clock or SystemClock()
        self.arbiter = Arbiter(handler, self.clock)
        self.arbiter.on_divergence = self._on_divergence
        self._on_event = on_event
        self._on_state = on_state
        self.sessions: dict[str, Session] = {}
        self._hosts: dict[str, str] = {}
        self._watches: dict[str, LineWatch] = {}
        self._gaps: dict[str, int] = {}
        self._healed_ns: dict[tuple[str, str, str], int] = {}
        self._system: tuple[object, ...] = ()  # as told last, by whichever line
        self._rules: dict[tuple[type, str], Instrument | Asset] = {}  # likewise
        self._group = Backoff(settings.rng or SystemRandom())
        self._group_timer: asyncio.TimerHandle | None = None
        self._group_at = 0  # whose turn it is
        for name, where in zip(NAMES, endpoints, strict=False):
            named = replace(settings, clock=self.clock, name=name)
            session = Session(where, named, self._listener(name))
            session.forward = self.arbiter.leg(session.decoder.line)
            self.sessions[name] = session
            self._hosts[name] = urlsplit(where.ws_url).netloc
            self._watches[name] = LineWatch()
            self._gaps[name] = 0

    # Life ----------------------------------------------------------------------------------------------------

    def start(self) -> dict[str, asyncio.Future[None]]:
        """Begin to connect; gives what tells that a line delivers."""
        return {name: session.start() for name, session in self.sessions.items()}

    async def close(self) -> None:
        """End all lines."""
        if self._group_timer is not None:
            self._group_timer.cancel()
        await asyncio.gather(*(session.close() for session in self.sessions.values()))

    def want(self, channel: str, symbols: Iterable[str] = (), **parameter: Any) -> None:
        """Want symbols of a channel on all lines."""
        names = tuple(symbols)
        for session in self.sessions.values():
            session.want(channel, names, **parameter)

    def is_alive(self, session: Session) -> bool:
        """Tell whether a line was heard a moment ago."""
        heard_ns = session.decoder.line.last_heard_ns
        connection = session.connection
        return (
            heard_ns is not None
            and connection is not None
            and connection.state in (LineState.LIVE, LineState.SUSPECT)
            and self.clock.monotonic_ns - heard_ns <= session.suspect_ns
        )

    @property
    def is_any_alive(self) -> bool:
        """Whether any line was heard a moment ago."""
        return any(self.is_alive(session) for session in self.sessions.values())

    def delivers(self, channel: str, symbol: str) -> list[Session]:
        """Give the lines that are alive and on which this subscription delivers."""
        return [
            session
            for session in self.sessions.values()
            if session.subscriptions.phase(channel, symbol) is Phase.DELIVERING and self.is_alive(session)
        ]

    def reasons(self, channel: str, symbol: str) -> dict[str, str]:
        """Tell of each line why it does not serve something."""
        return {f"line {name}": self._reason(session, channel, symbol) for name, session in self.sessions.items()}

    def _reason(self, session: Session, channel: str, symbol: str) -> str:
        connection = session.connection
        if connection is None or connection.state not in (LineState.LIVE, LineState.SUSPECT):
            state = "down" if connection is None else connection.state.value
            why = "" if connection is None or connection.error is None else f": {connection.error}"
            return f"{state}{why}"
        if (channel, symbol) in session.refused:
            return str(session.refused[channel, symbol])
        if connection.state is LineState.SUSPECT:
            return f"silent for {connection.silent_ms} ms"
        phase = session.subscriptions.phase(channel, symbol)
        if phase is not Phase.DELIVERING:
            return "not wanted" if phase is None else f"subscription {phase.value}"
        book = session.decoder.book(symbol) if channel == "book" else None
        return "behind" if book is None or book.is_valid else f"book {book.state}"

    # What a session tells ------------------------------------------------------------------------------------

    def _listener(self, name: str) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if isinstance(event, Gap):
                self._gaps[name] += 1  # of this line; whether anybody misses something, the arbiter says
                return
            if isinstance(event, (InstrumentUpdate, SystemStatus)) and not self._is_news(event):
                return  # told by another line, or by this one before it was lost
            self._on_event(event)
            if isinstance(event, LineChange):
                if event.new == "live" and event.old == "connecting":
                    self._watches[name].reset()
                self.arbiter.settle_waiting()
                self._regroup(event.new)
                self._on_state()

        return listen

    def _is_news(self, event: InstrumentUpdate | SystemStatus) -> bool:
        """Whether this says of the engine, or of any pair or asset, what was not the last word on it."""
        if isinstance(event, SystemStatus):
            was, self._system = self._system, (event.system, event.upcoming_maintenance, event.emergency)
            return self._system != was
        told: dict[tuple[type, str], Instrument | Asset] = {(Instrument, pair.symbol): pair for pair in event.pairs}
        told |= {(Asset, asset.id): asset for asset in event.assets}
        is_news = any(self._rules.get(key) != rule for key, rule in told.items())
        self._rules |= told
        return is_news

    def _regroup(self, new: str) -> None:
        """While no line is up, let those that wait for their next attempt wait as one line would that was stable.

        Each line's own wait grows with its losses and is forgiven after 30 s without one. Lines that are lost in turn
        never are, though one of them was always there; when the last one goes, both might wait for half a minute.
        Bound: attempts of one line more than the lines make themselves, within the same budget.
        """
        if new == "live":
            if self._up_count == 1:
                self._group.line_up(self.clock.monotonic_ns)
        elif new == "backoff" and self._up_count == 0 and self._group_timer is None:
            self._group_timer = asyncio.get_running_loop().call_later(
                self._group.after_loss(self.clock.monotonic_ns), self._hurry
            )

    @property
    def _up_count(self) -> int:
        states = [session.connection.state for session in self.sessions.values() if session.connection is not None]
        return sum(state in (LineState.LIVE, LineState.SUSPECT) for state in states)

    def _hurry(self) -> None:
        """Let one line try now: another one each time, for what ails may be its address."""
        self._group_timer = None
        if self._up_count:
            return
        names = list(self.sessions)
        for name in names[self._group_at :] + names[: self._group_at]:
            connection = self.sessions[name].connection
            if connection is not None and connection.hurry():
                self._group_at = (names.index(name) + 1) % len(names)
                return

    def _on_divergence(self, symbol: str, line: str, reason: str) -> None:
        self.heal("book", symbol, line, f"differs from another line at {reason}", distrust=True)

    # Comparing -----------------------------------------------------------------------------------------------

    def look_for_silence(self) -> None:
        """Ask anew for what another line tells and this one does not. Call it often."""
        for channel, symbol, _, line, ns in self.arbiter.behind(SILENT_NS):
            self.heal(channel, symbol, line, f"silent for {ns // 1_000_000} ms while another line tells")

    def look_for_lag(self) -> None:
        """Judge how far each line is behind."""
        for name, lag_ns in self.arbiter.lags().items():
            session, watch = self.sessions[name], self._watches[name]
            connection = session.connection
            if connection is None or connection.state is not LineState.LIVE:
                continue
            changed, is_hopeless = watch.look(lag_ns)
            if changed and watch.is_lagging:
                self._on_event(Degraded(f"line {name}", f"lags by {lag_ns // 1_000_000} ms"))
            if is_hopeless and len(self.sessions) > 1:
                connection.recycle(f"lags by {lag_ns // 1_000_000} ms")

    def heal(self, channel: str, symbol: str, line: str, reason: str, *, distrust: bool = False) -> None:
        """Ask one line anew for one subscription; not again for the same within five seconds."""
        session, now_ns = self.sessions[line], self.clock.monotonic_ns
        key = (channel, symbol, line)
        if now_ns - self._healed_ns.get(key, -HEAL_PAUSE_NS) < HEAL_PAUSE_NS:
            return
        if session.subscriptions.phase(channel, symbol) is not Phase.DELIVERING:
            return  # it is being asked for already
        self._healed_ns[key] = now_ns
        self._on_event(Degraded(f"line {line} {channel} {symbol}", reason))
        book = session.decoder.book(symbol) if channel == "book" else None
        if book is not None and distrust:
            book.invalidate()
        session.subscriptions.resync(channel, symbol, reason, now_ns)
        session.pump_soon()

    # Telling -------------------------------------------------------------------------------------------------

    def health(self) -> tuple[LineHealth, ...]:
        """Tell how each line stands. Cost: O(symbols)."""
        return tuple(self._line_health(name, session) for name, session in self.sessions.items())

    def _line_health(self, name: str, session: Session) -> LineHealth:
        connection, decoder = session.connection, session.decoder
        books = [book for symbol in decoder.kept_symbols() if (book := decoder.book(symbol)) is not None]
        error: KrakenFastError | None = None if connection is None else connection.error
        is_open = connection is not None and connection.state in (LineState.LIVE, LineState.SUSPECT)
        return LineHealth(
            name=name,
            host=self._hosts[name],
            state="down" if connection is None else connection.state.value,
            is_lagging=self._watches[name].is_lagging,
            silent_ms=connection.silent_ms if connection is not None and is_open else None,
            lag_ms=self._watches[name].lag_ns / 1e6,
            loop_lag_ms_max=0 if connection is None else connection.loop_lag_ms_max,
            connections=session.connections,
            attempts=0 if connection is None else connection.epoch,
            messages=decoder.messages,
            message_bytes=0 if connection is None else connection.listener.message_bytes,
            books_valid=sum(book.quality == "live" for book in books),
            checksum_failures=sum(book.mismatched for book in books),
            gaps=self._gaps[name],
            malformed=decoder.malformed,
            resyncs=session.subscriptions.resyncs,
            error="" if error is None else str(error),
        )

    def subscriptions_health(self) -> tuple[SubscriptionHealth, ...]:
        """Tell how each line does with each book and ticker. Cost: O(symbols x lines)."""
        now_ns = self.clock.monotonic_ns
        return tuple(
            SubscriptionHealth(
                line=seat.name,
                channel=post.channel,
                symbol=post.symbol,
                states_behind=post.count - seat.place if seat.placed else None,
                lag_ms=seat.lag_ns / 1e6,
                age_ms=(now_ns - seat.said_ns) / 1e6,
                is_serving=seat.is_serving,
                odd=seat.odd,
            )
            for posts in (self.arbiter.books, self.arbiter.tickers)
            for post in posts.values()
            for seat in post.seats
        )
