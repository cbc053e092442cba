"""One line to the exchange: connect, watch, drop, wait, connect again, until closed.

Theory of operation. A `Connection` owns one `LineListener`, through which messages go from the socket to the sink
without touching this module; here live only the events of its life. One task does what takes time (waiting,
connecting); everything else happens in callbacks: the listener reports the opening and the end of a connection, one
timer watches for silence.

    DOWN -> BACKOFF -> CONNECTING -> LIVE <-> SUSPECT -> DOWN ...      CLOSED from anywhere, final

Invariants: every attempt has an epoch of its own, one higher than the last. Between LIVE and DOWN of an epoch the sink
gets its messages, never before or after. Every epoch ends in exactly one `on_down`, but for one that `close()` ends.
Sockets of ended connections are aborted within `close_s`, whatever the peer does.

Silence is measured on complete text messages: pings prove that a machine is alive, not that its data flows. It is
judged only once the owner armed the watch, at the first acknowledgement, because the exchange's heartbeats start there.
When the watch finds itself late, the loop was blocked and what came meanwhile still sits in the socket: the loop gets
one more pass before anybody is called silent.

Time comes from the injected clock and the running loop, randomness from the injected generator, the wire from the
loop's `create_connection`: under a loop of virtual time the very same code runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Protocol

from .config import Endpoints, LineSettings, is_loopback
from .core.clock import Clock
from .core.listener import LineListener
from .core.sink import MessageSink
from .core.tee import Tee
from .dial import Connector, Dialer, LineProtocol
from .errors import (
    ClosedError,
    ConnectionLostError,
    HandshakeError,
    HeartbeatTimeoutError,
    TlsError,
    TransportError,
)
from .policy import SECOND_NS, AttemptBudget, Backoff

_log = logging.getLogger("kraken_fast.transport")

WATCH_S = 0.5
"""Longest pause of the watch. It also finds connections that picows failed and whose peer does not read."""

SUSPECT_WATCH_S = 0.05
"""Pause of the watch while a line is suspect: how late its return to LIVE may be noticed."""

LATE_NS = 50_000_000
"""A watch that comes later than this was held up by a blocked loop."""

DRAIN_S = 0.02
"""One more pass for the loop: longer than one turn of it, uvloop's timers running before its sockets included."""

TIMER_SLACK_NS = 1_000_000
"""Timers of uvloop come up to a millisecond early."""

FAILED_LINGER_S = 0.02
"""Time for our close frame to leave before a broken peer's socket is aborted. Bound: faults.md W01, 50 ms."""

CLOSE_POLITE_S = 0.5
"""How long `close()` waits for the peer to agree. Bound: faults.md P09, 1 s."""

ASK_NS = 1_500_000_000
ANSWER_NS = 3_000_000_000
"""How often we ask for a sign that what we send arrives, and how long none may come: two in a row are missing then.
Bound: faults.md N05, 6 s in all."""

PING = b'{"method":"ping"}'

_CAREFUL_CODES = frozenset({1008, 1013})
_CAREFUL_S = 5.0  # after "policy violation", "try again later" and maintenance; faults.md section 0, W09


class LineState(Enum):
    """Where a line stands."""

    DOWN = "down"
    BACKOFF = "backoff"
    CONNECTING = "connecting"
    LIVE = "live"
    SUSPECT = "suspect"
    CLOSED = "closed"


_NEXT: dict[LineState, frozenset[LineState]] = {
    LineState.DOWN: frozenset({LineState.BACKOFF, LineState.CLOSED}),
    LineState.BACKOFF: frozenset({LineState.CONNECTING, LineState.CLOSED}),
    LineState.CONNECTING: frozenset({LineState.LIVE, LineState.DOWN, LineState.CLOSED}),
    LineState.LIVE: frozenset({LineState.SUSPECT, LineState.DOWN, LineState.CLOSED}),
    LineState.SUSPECT: frozenset({LineState.LIVE, LineState.DOWN, LineState.CLOSED}),
    LineState.CLOSED: frozenset(),
}

_OPEN = (LineState.LIVE, LineState.SUSPECT)


class ConnectionOwner(Protocol):
    """Who hears of a line's life. Exceptions of these methods are logged and change nothing."""

    def on_up(self, epoch: int) -> None:
        """A connection is open; messages of this epoch follow."""

    def on_down(self, reason: TransportError, epoch: int) -> None:
        """The epoch's connection, or its attempt, is over."""

    def on_state(self, old: LineState, new: LineState, reason: str) -> None:
        """The state changed."""

    def on_error(self, error: Exception, count: int) -> None:
        """The sink or the tee let an exception out, the `count`th; the line goes on unless `recycle` is called."""


class Connection:
    """One line.

    Args:
        endpoints: where to connect.
        owner: hears of the line's life.
        sink: gets the messages, in C.
        clock: monotonic time; wall time for dates in `Retry-After`.
        rng: jitter.
        settings: durations and bounds.
        budget: shared bound on attempts, or None; loopback hosts never ask it.
        ssl_context: instead of the one made from `endpoints.ca_file`; must verify unless the host is loopback.
        tee: gets a copy of every text message.
        use_aiofastnet: picows' own transports: some 12 % less CPU per message over TLS (measured in a flood on asyncio
            and on uvloop), and happy eyeballs on any loop; off under a loop of virtual time.
        connector: connects instead of the loop; see `dial.Connector`.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        owner: ConnectionOwner,
        sink: MessageSink,
        *,
        clock: Clock,
        rng: Random,
        settings: LineSettings | None = None,
        budget: AttemptBudget | None = None,
        ssl_context: ssl.SSLContext | None = None,
        tee: Tee | None = None,
        use_aiofastnet: bool = True,
        connector: Connector | None = None,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._settings = settings or LineSettings()
        self._dialer = Dialer(
            endpoints,
            self._settings,
            clock,
            ssl_context=ssl_context,
            use_aiofastnet=use_aiofastnet,
            connector=connector,
        )
        self._budget = None if is_loopback(self._dialer.host) else budget
        self._backoff = Backoff(rng)
        self.listener = LineListener(
            sink,
            clock,
            self,
            message_bytes_max=self._settings.message_bytes_max,
            fragments_max=self._settings.fragments_max,
            tee=tee,
        )
        self.epoch = 0
        self.state = LineState.DOWN
        self.error: TransportError | None = None
        """Why the line was last lost, or could not be made."""
        self.in_maintenance = False
        """Set by the owner from `status` messages: reconnect no faster than every five seconds."""
        self.is_writable = True
        self.loop_lag_ms_max = 0
        self.app_pings_sent = 0
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[TransportError] | None = None
        self._release_timers: list[asyncio.TimerHandle] = []
        self._watch_timer: asyncio.TimerHandle | None = None
        self._watch_due_ns = 0
        self._is_draining = False
        self._is_armed = False
        self._last_ping_ns = 0
        self._is_answered = False
        self._has_ponged = False
        self._asked_ns: int | None = None
        self._closing_since_ns: int | None = None
        self._hurried = asyncio.Event()
        self._may_hurry = False

    # What the owner calls ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, in the running loop. The first attempt comes at once."""
        if self.state is LineState.CLOSED:
            raise ClosedError("this connection was closed; make a new one")
        if self._task is not None:
            return
        self._dialer.prepare()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=f"kraken_fast line to {self._dialer.host}")

    def arm(self) -> None:
        """Judge silence from now on, until this connection ends. Call it at the first acknowledgement."""
        if not self._is_armed and self.state in _OPEN:
            self._is_armed = True
            self._schedule_watch()

    @property
    def is_answered(self) -> bool:
        """Whether the exchange answered anything of ours on this connection."""
        return self._is_answered

    def answered(self, *, is_pong: bool) -> None:
        """Note that the exchange answered something of ours.

        From the first pong on each connection owes more: a server that never answers a ping is none of Kraken's, and
        its silence about ours proves nothing.
        """
        self._is_answered = True
        self._has_ponged = self._has_ponged or is_pong
        self._asked_ns = None

    def send(self, text: bytes) -> None:
        """Send one text message, or raise before its first byte.

        Raises:
            ClosedError: after `close`.
            TransportError: no open connection, or the peer does not read and too much is unsent.
        """
        if self.state is LineState.CLOSED:
            raise ClosedError("this connection was closed")
        if self.state not in _OPEN or self.listener.is_closing:
            raise TransportError(f"line to {self._dialer.host} is {self.state.value}; nothing was sent")
        unsent = self.listener.unsent_bytes
        if unsent + len(text) > self._settings.unsent_bytes_max:
            raise TransportError(f"line to {self._dialer.host} holds {unsent} unsent bytes; nothing was sent")
        self.listener.send(text)

    def hurry(self) -> bool:
        """Wait no longer for the next attempt; returns False where none is waited for, or the wait must be kept."""
        if not self._may_hurry or self.state is not LineState.BACKOFF or self._hurried.is_set():
            return False
        self._hurried.set()
        return True

    def recycle(self, reason: str) -> None:
        """Drop the present connection, if there is one, and connect again."""
        if self.state in _OPEN:
            self._lose(TransportError(reason))

    async def close(self) -> None:
        """End the line for good. Prompt, repeatable, from any state; afterwards nothing of it is left."""
        self._to(LineState.CLOSED, "closed by us")
        self._stop_watch()
        for timer in self._release_timers:
            timer.cancel()
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        try:
            self.listener.close()
            await self._until_no_sockets(CLOSE_POLITE_S)
        finally:
            self.listener.abandon()
            for protocol in tuple(self._dialer.sockets):
                protocol.abort()
        # An aborted transport closes its socket in one of the next turns of the loop.
        await self._until_no_sockets(CLOSE_POLITE_S)
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task])

    @property
    def silent_ms(self) -> int:
        """Milliseconds since the last text message, or since the connection opened."""
        return (self._clock.monotonic_ns - self.listener.last_recv_ns) // 1_000_000

    # The task: wait, connect, be connected, over again -------------------------------------------------------

    async def _run(self) -> None:
        delay_s = 0.0
        try:
            while True:
                self._hurried.clear()
                self._to(LineState.BACKOFF, f"next attempt in {delay_s:.3f} s")
                await self._pause(delay_s)
                while (wait_s := self._budget_wait_s()) > 0.0:  # noqa: ASYNC110 - other processes set no event
                    await asyncio.sleep(wait_s)
                reason = await self._attempt()
                delay_s = self._delay_after(reason)
        except _GivenUpError as given_up:
            self._to(LineState.CLOSED, str(given_up))
        except Exception:  # noqa: BLE001 - a line that nobody drives must not look alive
            _log.exception("the task of the line to %s failed", self._dialer.host)
            self._to(LineState.CLOSED, "internal error")
        finally:
            self._stop_watch()

    async def _pause(self, delay_s: float) -> None:
        # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurried.wait()

    async def _attempt(self) -> TransportError:
        """Make one connection and wait for its end. Returns why it ended."""
        self.epoch += 1
        self._is_armed = self._is_answered = self._has_ponged = False
        self._asked_ns = None
        self._closing_since_ns = None
        self._ended = asyncio.get_running_loop().create_future()
        self._to(LineState.CONNECTING, f"epoch {self.epoch}")
        try:
            await self._dialer.dial(self.listener)
        except TransportError as error:
            self._lose(error)
        return await self._ended

    # What the listener calls ---------------------------------------------------------------------------------

    def on_open(self, _listener: LineListener) -> None:
        """The upgrade succeeded; the first message may follow in the same call."""
        if self.state is not LineState.CONNECTING:
            self.listener.abandon()
            return
        now_ns = self._clock.monotonic_ns
        self.is_writable = True
        self._last_ping_ns = now_ns
        self._backoff.line_up(now_ns)
        self._to(LineState.LIVE, f"epoch {self.epoch}")
        self._schedule_watch()
        self._tell(self._owner.on_up, self.epoch)

    def on_closed(self, code: int, reason: str, was_clean: bool) -> None:
        """The connection is over: by the peer's close frame (clean), by our refusal of a frame, or by its socket."""
        cause = reason or (self._dialer.current.cause if self._dialer.current is not None else "")
        # A clean end leaves closing the socket to the server, as RFC 6455 section 7.1.1 asks.
        self._lose(ConnectionLostError(code, cause), self._settings.close_s if was_clean else FAILED_LINGER_S)

    def on_writable(self, writable: bool) -> None:
        """The transport's buffer crossed a water mark."""
        self.is_writable = writable

    def on_error(self, error: Exception, count: int) -> None:
        """The sink let an exception out."""
        self._tell(self._owner.on_error, error, count)

    # The end of a connection ---------------------------------------------------------------------------------

    def _lose(self, reason: TransportError, linger_s: float = 0.0) -> None:
        """End the present connection or attempt: nothing more of it is heard, its socket goes within `linger_s`."""
        self.listener.abandon()
        self._stop_watch()
        protocol, self._dialer.current = self._dialer.current, None
        if protocol is not None:
            self._release(protocol, linger_s)
        if self._ended is None or self._ended.done() or self.state is LineState.CLOSED:
            return
        self._ended.set_result(reason)
        self.error = reason
        self._to(LineState.DOWN, str(reason))
        self._tell(self._owner.on_down, reason, self.epoch)

    def _release(self, protocol: LineProtocol, linger_s: float) -> None:
        if linger_s <= 0.0 or self.state is LineState.CLOSED:
            protocol.abort()
            return
        loop = asyncio.get_running_loop()
        self._release_timers = [timer for timer in self._release_timers if timer.when() > loop.time()]
        self._release_timers.append(loop.call_later(linger_s, protocol.abort))

    async def _until_no_sockets(self, bound_s: float) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + bound_s
        pause_s = 0.0
        while self._dialer.sockets and loop.time() < give_up:
            await asyncio.sleep(pause_s)
            pause_s = 0.005

    # The watch -----------------------------------------------------------------------------------------------

    def _schedule_watch(self) -> None:
        self._stop_watch()
        now_ns = self._clock.monotonic_ns
        pause_s = SUSPECT_WATCH_S if self.state is LineState.SUSPECT else WATCH_S
        if self._is_armed:
            silent_s = (now_ns - self.listener.last_recv_ns) / SECOND_NS
            for bound_s in (self._settings.suspect_s, self._settings.dead_s):
                if bound_s > silent_s:
                    pause_s = min(pause_s, bound_s - silent_s)
        self._set_watch(pause_s, now_ns)

    def _set_watch(self, pause_s: float, now_ns: int) -> None:
        self._watch_due_ns = now_ns + round(pause_s * SECOND_NS)
        self._watch_timer = asyncio.get_running_loop().call_later(pause_s, self._watch)

    def _stop_watch(self) -> None:
        if self._watch_timer is not None:
            self._watch_timer.cancel()
            self._watch_timer = None

    def _watch(self) -> None:
        now_ns = self._clock.monotonic_ns
        late_ns = now_ns - self._watch_due_ns
        self.loop_lag_ms_max = max(self.loop_lag_ms_max, late_ns // 1_000_000)
        if late_ns > LATE_NS and not self._is_draining:
            self._is_draining = True
            self._set_watch(DRAIN_S, now_ns)
            return
        self._is_draining = False
        if self._is_armed:
            self._judge_silence(now_ns)
            if self._is_answered and self.state is LineState.LIVE:
                self._judge_answers(now_ns)
        elif now_ns - self._last_ping_ns >= self._settings.ping_s * SECOND_NS:
            self._send_ping(now_ns)
        if self.state in _OPEN and self.listener.is_closing:
            self._judge_closing(now_ns)
        if self.state in _OPEN:
            self._schedule_watch()

    def _judge_silence(self, now_ns: int) -> None:
        silent_ns = now_ns - self.listener.last_recv_ns + TIMER_SLACK_NS
        if silent_ns >= self._settings.dead_s * SECOND_NS:
            self._lose(HeartbeatTimeoutError(silent_ns // 1_000_000))
        elif silent_ns >= self._settings.suspect_s * SECOND_NS:
            self._to(LineState.SUSPECT, f"silent for {silent_ns // 1_000_000} ms")
        else:
            self._to(LineState.LIVE, "heard again")

    def _judge_answers(self, now_ns: int) -> None:
        """Data may come while nothing of ours arrives any more: then orders and requests go into the void."""
        if self._asked_ns is not None and now_ns - self._asked_ns >= ANSWER_NS:
            self._lose(TransportError(f"nothing of ours was answered for {(now_ns - self._asked_ns) // 1_000_000} ms"))
        elif now_ns - self._last_ping_ns >= ASK_NS and self._send_ping(now_ns) and self._asked_ns is None:
            self._asked_ns = now_ns if self._has_ponged else None

    def _judge_closing(self, now_ns: int) -> None:
        """A connection that picows failed, but whose socket stays open: the peer reads nothing."""
        if self._closing_since_ns is None:
            self._closing_since_ns = now_ns
        elif now_ns - self._closing_since_ns >= self._settings.close_s * SECOND_NS:
            self._lose(ConnectionLostError(1006, "broken frame from a peer that does not read"))

    def _send_ping(self, now_ns: int) -> bool:
        self._last_ping_ns = now_ns
        try:
            self.send(PING)
        except TransportError:
            _log.debug("no room for a ping")
            return False
        self.app_pings_sent += 1
        return True

    # Decisions -----------------------------------------------------------------------------------------------

    def _delay_after(self, reason: TransportError) -> float:
        """Seconds until the next attempt. Raises when there must be none."""
        now_ns = self._clock.monotonic_ns
        self._may_hurry = False
        floor_s = _CAREFUL_S if self.in_maintenance else 0.0
        if isinstance(reason, TlsError):
            return self._backoff.after_refusal(now_ns, floor_s=floor_s)
        if isinstance(reason, HandshakeError):
            if not reason.retryable:
                raise _GivenUpError(str(reason))
            floor_s = max(floor_s, reason.retry_after_s or 0.0)
            if reason.status in (403, 429):
                return self._backoff.after_refusal(now_ns, floor_s=floor_s)
        if isinstance(reason, ConnectionLostError) and reason.code in _CAREFUL_CODES:
            floor_s = max(floor_s, _CAREFUL_S)
        self._may_hurry = floor_s == 0.0
        return self._backoff.after_loss(now_ns, floor_s=floor_s)

    def _budget_wait_s(self) -> float:
        if self._budget is None:
            return 0.0
        return self._budget.take(self._dialer.host, self._clock.monotonic_ns)

    def _to(self, new: LineState, reason: str) -> None:
        old = self.state
        if new is old:
            return
        if new not in _NEXT[old]:
            raise AssertionError(f"line cannot go from {old.value} to {new.value}")
        self.state = new
        self._tell(self._owner.on_state, old, new, reason)

    def _tell(self, method: Callable[..., None], *args: object) -> None:
        try:
            method(*args)
        except Exception:  # noqa: BLE001 - whatever a user's callback raises
            _log.exception("an owner's callback failed; the line goes on")


class _GivenUpError(Exception):
    """No further attempt makes sense: the address is wrong, or we are not wanted."""
