"""What is wanted, what the exchange acknowledged, what it delivers: three states, never taken for one another.

Theory of operation. `Subscriptions` does no I/O. It is told what is wanted and what happened (`line_up`, `on_ack`,
`on_snapshot`, `on_checksum_mismatch`, ...); `poll` gives the requests to send now, `deadline_ns` says when to poll
next, `take_events` what the owner should know.

    IDLE -> ASKED -> ACKED -> DELIVERING          a subscribe, its ack, its first snapshot
    ASKED, ACKED, DELIVERING -> LEAVING -> IDLE   an unsubscribe, for good or to begin afresh
    ASKED -> REFUSED                              the exchange said no; only its instrument coming online changes that
    ASKED, ACKED -> LOST                          asked twice, or served nothing twice; asked again once a minute

An entry stands for one channel and symbol, for a line cannot carry two depths of one book: messages do not say which
one they belong to. Acks are matched by request id and symbol. An error that names no symbol belongs to those of its
request still unanswered: when there are as many such errors as symbols, each gets one; otherwise, after a second, these
symbols are asked for again one by one, so that the next error is unmistakable.

Every wait has its bound: T_ack and T_snap each allow one repetition. A book that fails its checksum is resubscribed
alone; when a fresh snapshot fails twice, or after three resyncs in a minute, it is UNVERIFIED and tried once a minute:
no storm. What is acknowledged and not served asks for the line's recycling, once. So does a private channel whose
sequence breaks time and again: reconnecting backs off, and there is no checksum to mistrust.

Private channels and level3 carry a token in every request. While one is missing, `token_wanted` says so and nothing is
sent; the owner fetches one and gives it. A refusal for its token makes an entry ask once more with a fresh one; refused
again it is LOST, and asked for once a minute. Every connection begins without a token.

Source: websocket-v2.md sections 2, 5, 6, 8, 11; faults.md K01 to K07, D03, D04, A01, A02; design.md decision 2.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from .auth import Secret
from .config import (
    CHANNEL_PARAMETER,
    LEVEL3_COST,
    LEVEL3_POINTS_PER_S,
    LEVEL3_SYMBOLS_MAX,
    OWES_SNAPSHOT,
    WITHOUT_SYMBOL,
    SubscriptionSettings,
    check_channel_parameter,
    check_symbols,
)
from .errors import ConfigError
from .policy import SECOND_NS, Pacer
from .subscription_records import (
    Entry,
    Event,
    EventKind,
    Key,
    Phase,
    Queues,
    Request,
    explained,
    is_token_refusal,
    read_answer,
    write_request,
)

REQ_ID_MAX = 2**31 - 1
"""Kraken's support names int32. Source: websocket-v2.md section 6."""

SPLIT_NS = SECOND_NS
"""How long the rest of a request's answers may follow its first error without a symbol."""

EXCUSED_NS = SECOND_NS
"""How long outstanding requests may still be answered after a complaint about the message rate."""

WARNINGS_MAX = 100

RETRY_UNVERIFIED = -1  # stands for the version in timers that outlive changes of phase


class Subscriptions:
    """The subscriptions of one line. See the module's text.

    Args:
        settings: durations, batch size and rate.
    """

    def __init__(self, settings: SubscriptionSettings | None = None) -> None:
        self._settings = settings or SubscriptionSettings()
        self._retry_ns = round(self._settings.retry_s * SECOND_NS)
        self._pacer = Pacer(rate_per_s=self._settings.rate_per_s, burst=self._settings.burst)
        self._entries: dict[Key, Entry] = {}
        self._requests: dict[int, Request] = {}
        self._queues = Queues()
        self._timers: list[tuple[int, int, Key | int, int]] = []
        self._timer_count = 0
        self._req_id = 0
        self._is_up = False
        self._recycle_told = False
        self._warnings: set[str] = set()
        self._events: list[Event] = []
        self._token: Secret | None = None
        self.refused_token: Secret | None = None
        """The last one that the exchange refused."""
        self._token_number = 0
        self._level3_pacer = Pacer(rate_per_s=1.0, burst=1)
        self.strays = 0
        """Acks that belong to nothing outstanding: duplicates, of older connections, unknown ids."""
        self.rate_complaints = 0
        self.resyncs = 0

    # Wanting -------------------------------------------------------------------------------------------------

    def want(
        self, channel: str, symbols: Iterable[str] = (), *, snapshot: bool = True, **parameter: Any
    ) -> list[Key]:
        """Want symbols of a channel from now on, over all reconnects. What was refused or lost is tried again.

        Args:
            channel: book, ticker, trade, ohlc, instrument, level3, executions or balances.
            symbols: none for instrument, executions and balances.
            snapshot: whether to begin with one; only trade and ohlc can go without.
            parameter: `depth` of book and level3, `interval` of ohlc, `event_trigger` of ticker.

        Raises:
            ConfigError: no such channel or parameter, the symbol is wanted with another parameter already, or the line
                can hold no more.
        """
        value = check_channel_parameter(channel, parameter)
        if not snapshot and channel in OWES_SNAPSHOT:
            raise ConfigError("snapshot", snapshot, f"True for {channel}")
        names = ("",) if channel in WITHOUT_SYMBOL else check_symbols(symbols)
        if channel == "level3":
            held = {key[1] for key in self.wanted() if key[0] == "level3"}.union(names)
            if len(held) > LEVEL3_SYMBOLS_MAX:
                raise ConfigError("symbols", f"{len(held)} symbols", f"at most {LEVEL3_SYMBOLS_MAX} on one line")
        for name in names:
            entry = self._entries.get((channel, name))
            if entry is not None and entry.wanted and entry.parameter != value:
                allowed = f"{entry.parameter!r} on this line, where {name} has it already"
                raise ConfigError(CHANNEL_PARAMETER[channel][0], value, allowed)
        for name in names:
            entry = self._entries.setdefault((channel, name), Entry(channel, name, value, snapshot))
            entry.wanted, entry.parameter, entry.with_snapshot = True, value, snapshot
            if entry.phase is Phase.REFUSED:
                self._enter(entry, Phase.IDLE)
            if entry.phase is Phase.LOST:
                entry.told_lost = False
                self._begin_again(entry)
            elif entry.phase is Phase.IDLE:
                self._queue(entry)
        return [(channel, name) for name in names]

    def unwant(self, channel: str, symbols: Iterable[str] = ()) -> None:
        """Want these no more; what is not wanted is passed over."""
        for name in ("",) if channel in WITHOUT_SYMBOL else check_symbols(symbols):
            entry = self._entries.get((channel, name))
            if entry is None or not entry.wanted:
                continue
            entry.wanted = False
            if entry.phase in (Phase.IDLE, Phase.REFUSED) or not self._is_up:
                self._forget(entry)
            elif entry.phase is not Phase.LEAVING:
                self._leave(entry)

    def instrument_online(self, symbol: str) -> None:
        """The instrument trades: what was refused for it may be asked for again."""
        for channel in CHANNEL_PARAMETER:
            entry = self._entries.get((channel, symbol))
            if entry is not None and entry.phase is Phase.REFUSED:
                self._enter(entry, Phase.IDLE)
                self._queue(entry)

    # What happened -------------------------------------------------------------------------------------------

    def line_up(self, now_ns: int) -> None:
        """A connection is ready, its `status` came: everything wanted is asked for anew, but for what was refused.

        Further calls change nothing until `line_down`: the exchange may repeat its status.
        """
        if self._is_up:
            return
        self.line_down()
        self._is_up = True
        for entry in self._entries.values():
            if entry.phase is Phase.IDLE:
                self._queue(entry)
            if entry.is_unverified:
                self._set_timer(now_ns + self._retry_ns, entry.key, RETRY_UNVERIFIED)

    def line_down(self) -> None:
        """The connection is gone, and with it all that it acknowledged."""
        self._is_up = False
        self._recycle_told = False
        self._token = None
        self._requests.clear()
        self._timers.clear()
        self._queues.clear()
        for entry in tuple(self._entries.values()):
            if not entry.wanted:
                del self._entries[entry.key]
                continue
            entry.begin_connection()
            if entry.phase is not Phase.REFUSED:
                self._enter(entry, Phase.IDLE)

    def on_ack(self, ack: Mapping[str, Any], now_ns: int) -> bool:
        """Take the answer to a request. Returns False if it answers no subscribe or unsubscribe."""
        answer = read_answer(ack)
        if answer is None:
            return False
        if answer.is_rate_complaint:
            self._on_rate_complaint(now_ns)
            return True
        request = self._requests.get(answer.req_id)
        if request is None:
            self.strays += 1
            return True
        for text in answer.warnings:
            if text not in self._warnings and len(self._warnings) < WARNINGS_MAX:
                self._warnings.add(text)
                self._events.append(Event(EventKind.WARNED, request.channel, "", text))
        self._match(request, answer.symbol, answer.reason, now_ns)
        return True

    def on_snapshot(self, channel: str, symbol: str, *, verified: bool = True) -> None:
        """A snapshot of the present connection was applied; of a book, `verified` if its checksum agreed."""
        entry = self._entries.get((channel, symbol))
        if entry is None or entry.phase in (Phase.LEAVING, Phase.IDLE):
            return
        entry.snapshot_seen = True
        if verified:
            entry.resyncs.bad_snapshots = 0
            if entry.is_unverified:
                entry.is_unverified = False
                self._tell(EventKind.VERIFIED, entry)
        if entry.phase in (Phase.ACKED, Phase.LOST):
            self._deliver(entry)

    def on_checksum_mismatch(
        self, symbol: str, now_ns: int, *, in_snapshot: bool = False, channel: str = "book"
    ) -> None:
        """A book disagreed with its checksum, in a snapshot or in an update."""
        entry = self._entries.get((channel, symbol))
        if entry is None or entry.phase in (Phase.LEAVING, Phase.IDLE):
            return
        if in_snapshot:
            self.on_snapshot(channel, symbol, verified=False)
            entry.resyncs.bad_snapshots += 1
        self.resync(channel, symbol, "checksum mismatch", now_ns)

    def resync(self, channel: str, symbol: str, reason: str, now_ns: int) -> None:
        """Get a new snapshot of one symbol, unless that is under way or was tried too often."""
        entry = self._entries.get((channel, symbol))
        if entry is None or not entry.wanted or entry.is_unverified or entry.leave_on_ack:
            return
        if entry.phase not in (Phase.ASKED, Phase.ACKED, Phase.DELIVERING):
            return
        if entry.resyncs.may_begin(now_ns, self._settings.resyncs_max, self._settings.resync_window_s):
            self._resync_now(entry, now_ns)
            return
        if channel in WITHOUT_SYMBOL:
            self._recycle(entry, f"{reason}, {self._settings.resyncs_max + 1} times")
            return
        entry.is_unverified = True
        self._tell(EventKind.UNVERIFIED, entry, reason)
        self._set_timer(now_ns + self._retry_ns, entry.key, RETRY_UNVERIFIED)

    def renew(self, channel: str, symbol: str) -> None:
        """Get a new snapshot of what delivers, through no fault of it: not counted as a resync."""
        entry = self._entries.get((channel, symbol))
        if entry is not None and entry.wanted and entry.phase is Phase.DELIVERING:
            self._leave(entry)

    # Time ----------------------------------------------------------------------------------------------------

    def poll(self, now_ns: int) -> list[bytes]:
        """Do what is due and return the requests to send now, in order."""
        if not self._is_up:
            return []
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, _, about, version = heapq.heappop(self._timers)
            if isinstance(about, int):
                self._on_request_due(about, due_ns, now_ns)
            elif about in self._entries:
                self._on_entry_due(self._entries[about], version, now_ns)
        requests = []
        while self._queues and not self.token_wanted and self._next_wait_ns(now_ns) == 0:
            self._pacer.take(now_ns)
            requests.append(self._next_request(now_ns))
        return requests

    def _next_wait_ns(self, now_ns: int) -> int:
        """How long the next request has to wait for the rates. Level 3 counts points, here a second's worth each."""
        wait_ns = self._pacer.wait_ns(now_ns)
        is_level3 = self._queues.next().channel == "level3"
        return max(wait_ns, self._level3_pacer.wait_ns(now_ns)) if is_level3 else wait_ns

    def deadline_ns(self, now_ns: int) -> int | None:
        """When to poll next; None while only the line's coming up, or a new wish, changes anything."""
        if not self._is_up:
            return None
        due = [self._timers[0][0]] if self._timers else []
        if self._queues and not self.token_wanted:
            due.append(now_ns + self._next_wait_ns(now_ns))
        return min(due, default=None)

    # Tokens --------------------------------------------------------------------------------------------------

    @property
    def token_wanted(self) -> bool:
        """Whether requests wait for `give_token`."""
        return self._is_up and self._token is None and self._queues.needs_token()

    @property
    def token(self) -> Secret | None:
        """The token that the present connection uses."""
        return self._token

    def give_token(self, token: Secret) -> None:
        """Here is one that the exchange has not refused yet."""
        self._token = token
        self._token_number += 1

    def no_token(self, reason: str) -> None:
        """There will be none: what waits for it is lost, until the next connection tries."""
        for entry in self._entries.values():
            if entry.needs_token and self._queues.drop(entry):
                self._enter(entry, Phase.LOST)
                if not entry.told_lost:
                    entry.told_lost = True
                    self._tell(EventKind.LOST, entry, reason)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # Looking -------------------------------------------------------------------------------------------------

    def phase(self, channel: str, symbol: str = "") -> Phase | None:
        """Where a subscription stands; None if it is neither wanted nor being left."""
        entry = self._entries.get((channel, symbol))
        return None if entry is None else entry.phase

    def is_unverified(self, symbol: str, channel: str = "book") -> bool:
        """Tell whether the book's checksum is beyond repair at present."""
        entry = self._entries.get((channel, symbol))
        return entry is not None and entry.is_unverified

    def wanted(self) -> list[Key]:
        """All that is wanted, refused ones included."""
        return [entry.key for entry in self._entries.values() if entry.wanted]

    def undelivered(self) -> list[Key]:
        """What is wanted and not delivering."""
        return [e.key for e in self._entries.values() if e.wanted and e.phase is not Phase.DELIVERING]

    # Requests ------------------------------------------------------------------------------------------------

    def _queue(self, entry: Entry, *, heals: bool = False) -> None:
        if self._is_up:
            # Instruments first: their scales are needed to read everything else.
            self._queues.join(entry, first=heals or entry.channel == "instrument")

    def _next_request(self, now_ns: int) -> bytes:
        """Take a batch of like ones off the queues and write the request."""
        size_max, following = self._settings.batch, self._queues.next()
        if following.channel == "level3":
            self._level3_pacer.take(now_ns)
            size_max = min(size_max, LEVEL3_POINTS_PER_S // LEVEL3_COST[following.parameter])
        is_subscribe, batch = self._queues.take_batch(size_max)
        for entry in batch if is_subscribe else ():
            entry.held_parameter = entry.parameter
            entry.was_acked = False
            self._enter(entry, Phase.ASKED)
        first = batch[0]
        due_ns = now_ns + round(self._settings.ack_s * SECOND_NS)
        request = Request(
            self._new_req_id(), is_subscribe, {e.symbol: None for e in batch}, first.channel, due_ns
        )
        self._requests[request.req_id] = request
        self._set_timer(due_ns, request.req_id, 0)
        if not first.needs_token:
            return write_request(request, first)
        request.token_number = self._token_number
        return write_request(request, first, self._token)

    def _new_req_id(self) -> int:
        while True:
            self._req_id = self._req_id % REQ_ID_MAX + 1
            if self._req_id not in self._requests:
                return self._req_id

    # Answers -------------------------------------------------------------------------------------------------

    def _match(self, request: Request, symbol: str | None, reason: str | None, now_ns: int) -> None:
        unanswered = request.unanswered
        if symbol is None and reason is not None:
            symbol = next((name for name in unanswered if name and reason.endswith(name)), None)
        if symbol is None and len(unanswered) == 1:
            symbol = next(iter(unanswered))
        if symbol is not None:
            if symbol in unanswered:
                self._answer(request, symbol, reason, now_ns)
            else:
                self.strays += 1
            return
        if reason is None:
            self.strays += 1
            return
        request.unnamed.append(reason)
        if len(request.unnamed) < len(unanswered):
            self._hasten(request, now_ns + SPLIT_NS)
        elif len(set(request.unnamed)) == 1:
            request.unnamed.clear()
            for name in tuple(unanswered):
                self._answer(request, name, reason, now_ns)
        else:
            self._ask_one_by_one(request)

    def _answer(self, request: Request, symbol: str, reason: str | None, now_ns: int) -> None:
        del request.unanswered[symbol]
        if not request.unanswered:
            del self._requests[request.req_id]
        elif request.unnamed and len(request.unnamed) >= len(request.unanswered):
            # The others have their answers, so these are the ones that the errors without a symbol meant.
            reasons, request.unnamed = request.unnamed, []
            for left in reasons:
                self._match(request, None, left, now_ns)
        entry = self._entries[request.channel, symbol]
        if reason is not None and entry.needs_token and is_token_refusal(reason):
            self._token_refused(entry, request, reason, now_ns)
        elif not request.is_subscribe:
            self._left(entry)
        elif reason is None or reason == "Already subscribed":
            self._acknowledged(entry, now_ns)
        else:
            self._enter(entry, Phase.REFUSED)
            if entry.wanted:
                self._tell(EventKind.REFUSED, entry, explained(entry.channel, reason))
            else:
                self._forget(entry)

    def _token_refused(self, entry: Entry, request: Request, reason: str, now_ns: int) -> None:
        if request.token_number == self._token_number:
            # The first of several to be told; the next token is another.
            self.refused_token, self._token = self._token or self.refused_token, None
        if entry.token_refused:
            # A fresh one was refused too: without a pause the next would only cost calls.
            entry.token_refused = False
            self._lose(entry, f"{reason}, with a fresh token too", now_ns)
            return
        entry.token_refused = True
        self._repeat(entry, request)

    def _acknowledged(self, entry: Entry, now_ns: int) -> None:
        entry.was_acked = True
        entry.token_refused = False
        entry.asked = 0
        entry.alone = False
        self._tell(EventKind.CONFIRMED, entry)
        if not entry.wanted or entry.leave_on_ack or entry.held_parameter != entry.parameter:
            entry.leave_on_ack = False
            self._enter(entry, Phase.ACKED)
            self._leave(entry)
        elif entry.channel in OWES_SNAPSHOT and not entry.snapshot_seen:
            self._enter(entry, Phase.ACKED)
            self._set_timer(now_ns + round(self._settings.snapshot_s * SECOND_NS), entry.key, entry.version)
        else:
            self._deliver(entry)

    def _deliver(self, entry: Entry) -> None:
        entry.unserved = 0
        entry.asked_to_recycle = entry.told_lost = False
        self._enter(entry, Phase.DELIVERING)
        self._tell(EventKind.DELIVERING, entry)

    def _leave(self, entry: Entry) -> None:
        if entry.phase is Phase.ASKED:
            # Requests that are not acknowledged yet may be worked on in any order: unsubscribe after the ack.
            entry.leave_on_ack = True
            return
        self._enter(entry, Phase.LEAVING)
        entry.asked = 0
        entry.snapshot_seen = False  # not when asking again: "Already subscribed" brings no second snapshot
        self._queues.leave(entry)

    def _left(self, entry: Entry) -> None:
        entry.asked = 0
        self._enter(entry, Phase.IDLE)
        if entry.wanted:
            self._tell(EventKind.LEFT, entry)
            self._queue(entry, heals=True)
        else:
            self._forget(entry)

    def _on_rate_complaint(self, now_ns: int) -> None:
        """Whichever request it meant was not worked on: all that stay unanswered are asked for again, more slowly."""
        self.rate_complaints += 1
        self._pacer.slow_down(now_ns)
        for request in self._requests.values():
            request.is_excused = True
            self._hasten(request, now_ns + EXCUSED_NS)

    # Waits ---------------------------------------------------------------------------------------------------

    def _set_timer(self, due_ns: int, about: Key | int, version: int) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (due_ns, self._timer_count, about, version))

    def _hasten(self, request: Request, due_ns: int) -> None:
        if due_ns < request.due_ns:
            request.due_ns = due_ns
            self._set_timer(due_ns, request.req_id, 0)

    def _on_request_due(self, req_id: int, due_ns: int, now_ns: int) -> None:
        request = self._requests.get(req_id)
        if request is None or request.due_ns != due_ns:
            return
        if request.unnamed:
            self._ask_one_by_one(request)
            return
        del self._requests[req_id]
        for symbol in request.unanswered:
            entry = self._entries[request.channel, symbol]
            entry.asked += 0 if request.is_excused else 1
            if entry.asked < 2 or (request.is_subscribe and not entry.wanted):
                self._repeat(entry, request)
            elif request.is_subscribe:
                self._lose(entry, f"no acknowledgement within {self._settings.ack_s:g} s, twice", now_ns)
            else:
                self._left(entry)

    def _ask_one_by_one(self, request: Request) -> None:
        del self._requests[request.req_id]
        for symbol in request.unanswered:
            entry = self._entries[request.channel, symbol]
            entry.alone = True
            self._repeat(entry, request)

    def _repeat(self, entry: Entry, request: Request) -> None:
        if not request.is_subscribe:
            self._queues.leave(entry)
        elif entry.wanted:
            self._enter(entry, Phase.IDLE)
            entry.leave_on_ack = False
            self._queue(entry, heals=entry.alone)
        else:  # unwanted meanwhile: nobody knows whether the exchange holds it
            self._enter(entry, Phase.LOST)
            self._leave(entry)

    def _on_entry_due(self, entry: Entry, version: int, now_ns: int) -> None:
        if version == RETRY_UNVERIFIED:
            self._retry_unverified(entry, now_ns)
        elif version != entry.version:
            return
        elif entry.phase is Phase.ACKED:
            self._on_no_snapshot(entry, now_ns)
        elif entry.phase is Phase.LOST:
            self._begin_again(entry)

    def _begin_again(self, entry: Entry) -> None:
        """Try what is lost once more: a minute later, or because its user asks for it again."""
        entry.asked = entry.unserved = 0
        if entry.was_acked:
            self._leave(entry)
        else:
            self._enter(entry, Phase.IDLE)
            self._queue(entry)

    def _on_no_snapshot(self, entry: Entry, now_ns: int) -> None:
        entry.unserved += 1
        reason = f"acknowledged, but no snapshot within {self._settings.snapshot_s:g} s"
        if entry.unserved < 2:
            self._leave(entry)
            return
        if entry.asked_to_recycle:
            self._lose(entry, f"{reason}, on two connections", now_ns)
            return
        # One symbol that is never served must not cost all others their line time and again: it may ask once.
        entry.asked_to_recycle = True
        self._enter(entry, Phase.LOST)
        self._set_timer(now_ns + self._retry_ns, entry.key, entry.version)
        self._recycle(entry, f"{reason}, twice")

    def _recycle(self, entry: Entry, reason: str) -> None:
        if not self._recycle_told:
            self._recycle_told = True
            self._tell(EventKind.RECYCLE, entry, reason)

    def _lose(self, entry: Entry, reason: str, now_ns: int) -> None:
        self._enter(entry, Phase.LOST)
        self._set_timer(now_ns + self._retry_ns, entry.key, entry.version)
        if not entry.told_lost:
            entry.told_lost = True
            self._tell(EventKind.LOST, entry, reason)

    def _retry_unverified(self, entry: Entry, now_ns: int) -> None:
        if not entry.is_unverified or not entry.wanted:
            return
        self._set_timer(now_ns + self._retry_ns, entry.key, RETRY_UNVERIFIED)
        if entry.phase is Phase.DELIVERING:
            self._resync_now(entry, now_ns)

    def _resync_now(self, entry: Entry, now_ns: int) -> None:
        self.resyncs += 1
        entry.resyncs.begun_ns.append(now_ns)
        self._leave(entry)

    # Small things --------------------------------------------------------------------------------------------

    def _enter(self, entry: Entry, phase: Phase) -> None:
        entry.phase = phase
        entry.version += 1

    def _forget(self, entry: Entry) -> None:
        self._queues.drop(entry)
        del self._entries[entry.key]

    def _tell(self, kind: EventKind, entry: Entry, reason: str = "") -> None:
        self._events.append(Event(kind, entry.channel, entry.symbol, reason))
