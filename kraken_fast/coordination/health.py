"""Which source serves what, and how each line does: decisions without I/O.

Theory of operation. Every thing that is read (a channel of a symbol) has a `Switch`:

    STARTING -> WEBSOCKET <-> REST      NONE when neither can serve

    from            to          when
    STARTING, NONE  WEBSOCKET   a line serves it live
    any             REST        no line does, and REST has a value young enough
    any             NONE        no line does, and REST has nothing
    REST            WEBSOCKET   a line has served it live for `hold_s`

Leaving WebSocket is immediate, because what no line serves is not live. Coming back waits, so that a line that flaps
does not make readers jump; each loss soon after a return doubles the wait, up to 30 s. A strict read does not wait: it
asks for a proof, and a line that serves has one.

A `LineWatch` judges how far a line is behind the others, once it has been so at two looks running.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..policy import SECOND_NS

HOLD_S, HOLD_MAX_S = 1.0, 30.0
"""How long a line must serve before readers return to it. Source: faults.md R15."""

FLAP_S = 10.0
"""A loss within so long of a return doubles the hold; after four times as long it is the first one again."""

LAG_NS = 250_000_000
"""T_lag: how far one living line may be behind another. Source: faults.md section 0."""

LAG_MAX_NS = 5 * SECOND_NS
"""A line that is further behind is dropped and made anew. Source: faults.md N07."""


class Source(Enum):
    """Where something is served from."""

    STARTING = "starting"
    WEBSOCKET = "websocket"
    REST = "rest"
    NONE = "none"


class Switch:
    """Chooses the source of one thing. See the module's text."""

    def __init__(self) -> None:
        self.source = Source.STARTING
        self.changes = 0
        self._hold_s = HOLD_S
        self._live_since_ns: int | None = None
        self._returned_ns: int | None = None

    def update(self, now_ns: int, *, is_live: bool, has_rest: bool) -> bool:
        """Take what is known now; returns whether the source changed."""
        if not is_live:
            self._live_since_ns = None
            return self._to(Source.REST if has_rest else self._without(), now_ns)
        if self._live_since_ns is None:
            self._live_since_ns = now_ns
        if self.source is Source.REST and now_ns - self._live_since_ns < self._hold_s * SECOND_NS:
            return False
        return self._to(Source.WEBSOCKET, now_ns)

    def _without(self) -> Source:
        return Source.STARTING if self.source is Source.STARTING else Source.NONE

    def _to(self, new: Source, now_ns: int) -> bool:
        if new is self.source:
            return False
        if new is Source.WEBSOCKET:
            self._returned_ns = now_ns
        elif self.source is Source.WEBSOCKET and self._returned_ns is not None:
            held_ns = now_ns - self._returned_ns
            if held_ns < FLAP_S * SECOND_NS:
                self._hold_s = min(HOLD_MAX_S, 2 * self._hold_s)
            elif held_ns > 4 * FLAP_S * SECOND_NS:
                self._hold_s = HOLD_S
        self.source = new
        self.changes += 1
        return True


class LineWatch:
    """Judges how far one line is behind.

    Attributes:
        lag_ns: at the last look.
        is_lagging: for two looks running by more than `LAG_NS`.
    """

    def __init__(self) -> None:
        self.lag_ns = 0
        self.is_lagging = False
        self._was_behind = False

    def look(self, lag_ns: int) -> tuple[bool, bool]:
        """Take the lag; returns whether the judgement changed, and whether the line has to be dropped."""
        self.lag_ns = lag_ns
        behind = lag_ns > LAG_NS
        judged = behind and self._was_behind
        self._was_behind = behind
        changed, self.is_lagging = judged is not self.is_lagging, judged
        return changed, judged and lag_ns > LAG_MAX_NS

    def reset(self) -> None:
        """The line begins anew."""
        self.lag_ns = 0
        self.is_lagging = self._was_behind = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LineHealth:
    """How one line stands.

    Attributes:
        name, host: which.
        state: of the connection: down, backoff, connecting, live, suspect, closed.
        is_lagging: behind another line by more than 250 ms.
        silent_ms: since its last text message: the age of its heartbeat.
        lag_ms: how far it is behind the others.
        loop_lag_ms_max: the longest that the event loop kept its watch waiting.
        connections, attempts: since the start.
        messages, message_bytes: taken in.
        books_valid: books of it that are proven.
        checksum_failures, gaps, malformed, resyncs: since the start.
        error: why it was last lost.
    """

    name: str
    host: str
    state: str
    is_lagging: bool
    silent_ms: int | None
    lag_ms: float
    loop_lag_ms_max: int
    connections: int
    attempts: int
    messages: int
    message_bytes: int
    books_valid: int
    checksum_failures: int
    gaps: int
    malformed: int
    resyncs: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    """How the account is read; no amounts.

    Attributes:
        source: websocket while its stream is live, else rest; none without a key.
        line: state of the private line: down, backoff, connecting, live, suspect, closed; "" if there is none.
        quality: of the stream: live, stale, unverified, none.
        age_ms: since the stream was proven current; None before it was.
        assets, open_orders: how many the stream told.
    """

    source: str
    line: str
    quality: str
    age_ms: float | None
    assets: int
    open_orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionHealth:
    """How one line does with one channel of one symbol.

    Attributes:
        states_behind: published states that it has not told; None while it is not known.
        lag_ms: how much later than the first line it told its last copy.
        age_ms: since its last message of this subscription.
        is_serving: its line is alive and what it keeps is proven.
        odd: messages that contradict the other lines.
    """

    line: str
    channel: str
    symbol: str
    states_behind: int | None
    lag_ms: float
    age_ms: float
    is_serving: bool
    odd: int
