"""What `subscriptions` keeps per subscription and per request, what it tells, and the text of a request."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from .auth import Secret
from .config import CHANNEL_PARAMETER, NEEDS_TOKEN, WITHOUT_SYMBOL
from .errors import PERMISSION_WORDS, SubscriptionError
from .policy import SECOND_NS

Key = tuple[str, str]
"""Channel and symbol; the symbol of `instrument`, `executions` and `balances` is ""."""

TOKEN_REFUSALS = ("EAPI:Invalid token", "ESession:Invalid session", "Token(s) not found")
"""Beginnings of the refusals that a fresh token may cure. Source: websocket-v2.md section 5."""

PERMISSION_REFUSALS = ("EAccount:Invalid permissions", "EGeneral:Permission denied")

EXECUTIONS = {"snap_orders": True, "snap_trades": True, "order_status": True, "ratecounter": True}
"""What we ask of `executions`; `snapshot` is deprecated there. Source: websocket-v2.md section 12."""

CHANNEL_PERMISSIONS = {
    "executions": ("query-open-trades", "query-closed-trades"),
    "balances": ("query-funds", "query-ledger"),
    "level3": ("query-open-trades",),
}
"""What a key needs besides the token, as `GetApiKeyInfo` names it."""


class Phase(Enum):
    """Where a subscription stands on the present connection."""

    IDLE = "idle"
    ASKED = "asked"
    ACKED = "acked"
    DELIVERING = "delivering"
    LEAVING = "leaving"
    REFUSED = "refused"
    LOST = "lost"


class EventKind(Enum):
    """What an owner should know about."""

    CONFIRMED = "confirmed"  # the exchange acknowledged it
    DELIVERING = "delivering"  # and its snapshot came, if it owes one
    LEFT = "left"  # unsubscribed in order to begin afresh: until its next snapshot it gets nothing
    REFUSED = "refused"  # the exchange said no; no other symbol is touched
    LOST = "lost"  # wanted, but not served; asked for again once a minute
    UNVERIFIED = "unverified"  # the exchange's checksum keeps disagreeing; tried again once a minute
    VERIFIED = "verified"  # a snapshot agreed with its checksum again
    WARNED = "warned"  # an ack carried a warning; each text is told once
    RECYCLE = "recycle"  # the line acknowledges and does not deliver: drop it and connect again


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one subscription."""

    kind: EventKind
    channel: str
    symbol: str
    reason: str = ""

    @property
    def error(self) -> SubscriptionError:
        """A refusal or a loss as the error to raise."""
        return SubscriptionError(self.channel, self.symbol, self.reason)


@dataclass(slots=True, eq=False)
class ResyncHistory:
    """How often one book was resynced of late, and how its last snapshots did."""

    begun_ns: deque[int] = field(default_factory=deque)
    bad_snapshots: int = 0  # in a row

    def may_begin(self, now_ns: int, resyncs_max: int, window_s: float) -> bool:
        """Tell whether another resync is likely to help: not after two bad snapshots, nor so many in the window."""
        while self.begun_ns and self.begun_ns[0] <= now_ns - window_s * SECOND_NS:
            self.begun_ns.popleft()
        return self.bad_snapshots < 2 and len(self.begun_ns) < resyncs_max


@dataclass(slots=True, eq=False)
class Entry:
    """One channel of one symbol."""

    channel: str
    symbol: str
    parameter: Any  # as wanted
    with_snapshot: bool
    wanted: bool = True
    phase: Phase = Phase.IDLE
    version: int = 0  # goes up with each change of phase; timers of older versions are void
    # Of the present connection:
    held_parameter: Any = None  # as last subscribed: what an unsubscribe must repeat
    snapshot_seen: bool = False
    was_acked: bool = False
    leave_on_ack: bool = False
    asked: int = 0  # unanswered requests in a row
    unserved: int = 0  # acknowledged, then no snapshot
    token_refused: bool = False  # the last request, for its token
    alone: bool = False  # to be asked for in a request of its own
    # Of all connections:
    resyncs: ResyncHistory = field(default_factory=ResyncHistory)
    is_unverified: bool = False
    asked_to_recycle: bool = False
    told_lost: bool = False

    @property
    def key(self) -> Key:
        """Its place in the table."""
        return self.channel, self.symbol

    def group(self, is_subscribe: bool) -> tuple[Any, ...]:
        """What the symbols of one request have in common."""
        if is_subscribe:
            return self.channel, self.parameter, self.with_snapshot
        return self.channel, self.held_parameter

    @property
    def needs_token(self) -> bool:
        """Whether its requests carry one."""
        return self.channel in NEEDS_TOKEN

    def begin_connection(self) -> None:
        """Forget what the last connection acknowledged."""
        self.snapshot_seen = self.was_acked = self.leave_on_ack = self.alone = self.token_refused = False
        self.asked = self.unserved = 0


@dataclass(slots=True, eq=False)
class Request:
    """A subscribe or unsubscribe on its way, until each of its symbols is answered."""

    req_id: int
    is_subscribe: bool
    unanswered: dict[str, None]
    channel: str
    due_ns: int
    token_number: int = 0  # which of the connection's tokens it carries
    is_excused: bool = False  # the exchange complained of our rate: silence is no fault of these symbols
    unnamed: list[str] = field(default_factory=list)  # errors that name no symbol


class Queues:
    """What waits to be asked for, in the order in which it is served: leaving, what heals or comes first, the bulk."""

    def __init__(self) -> None:
        self._leaving: dict[Key, Entry] = {}
        self._first: dict[Key, Entry] = {}
        self._bulk: dict[Key, Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._leaving or self._first or self._bulk)

    def needs_token(self) -> bool:
        """Tell whether the next request carries a token."""
        queue = self._leaving or self._first or self._bulk
        return bool(queue) and next(iter(queue.values())).needs_token

    def next(self) -> Entry:
        """Give the entry that is served next."""
        return next(iter((self._leaving or self._first or self._bulk).values()))

    def leave(self, entry: Entry) -> None:
        """Queue an unsubscribe."""
        self._leaving[entry.key] = entry

    def join(self, entry: Entry, *, first: bool) -> None:
        """Queue a subscribe, before the bulk or in it; once is enough."""
        if first:
            self._bulk.pop(entry.key, None)
            self._first[entry.key] = entry
        elif entry.key not in self._first:
            self._bulk[entry.key] = entry

    def drop(self, entry: Entry) -> bool:
        """Take an entry out of wherever it waits. Returns whether it waited."""
        found = [queue.pop(entry.key, None) for queue in (self._leaving, self._first, self._bulk)]
        return any(found)

    def clear(self) -> None:
        """Forget all."""
        for queue in (self._leaving, self._first, self._bulk):
            queue.clear()

    def take_batch(self, size_max: int) -> tuple[bool, list[Entry]]:
        """Take the first entry and those like it that can share its request. Returns whether to subscribe, and them.

        Cost: O(waiting) a request; some 5,000 at the most.
        """
        queue = self._leaving or self._first or self._bulk
        is_subscribe = queue is not self._leaving
        batch: list[Entry] = []
        for entry in queue.values():
            if not batch or (entry.group(is_subscribe) == batch[0].group(is_subscribe) and not entry.alone):
                batch.append(entry)
            if len(batch) == size_max or batch[0].alone:
                break
        for entry in batch:
            del queue[entry.key]
        return is_subscribe, batch


@dataclass(frozen=True, slots=True)
class Answer:
    """What matters of the answer to a subscribe or unsubscribe."""

    req_id: int  # 0 if it has none
    symbol: str | None
    reason: str | None  # of a refusal; None is success
    warnings: tuple[str, ...]

    @property
    def is_rate_complaint(self) -> bool:
        """Tell whether we asked too fast; it has no request id. Source: websocket-v2.md section 2."""
        return self.reason is not None and self.reason.startswith("Exceeded msg rate")


def is_token_refusal(reason: str) -> bool:
    """Tell whether a fresh token may cure a refusal.

    >>> is_token_refusal("EAPI:Invalid token"), is_token_refusal("EGeneral:Permission denied")
    (True, False)
    """
    return reason.startswith(TOKEN_REFUSALS)


def explained(channel: str, reason: str) -> str:
    """Add to a refusal for want of a permission which one it is.

    >>> explained("balances", "EGeneral:Permission denied")
    'EGeneral:Permission denied; the key needs "Query funds" and "Query ledger entries"'
    """
    if not reason.startswith(PERMISSION_REFUSALS) or channel not in CHANNEL_PERMISSIONS:
        return reason
    words = " and ".join(f'"{PERMISSION_WORDS[name]}"' for name in CHANNEL_PERMISSIONS[channel])
    return f"{reason}; the key needs {words}"


def read_answer(ack: Mapping[str, Any]) -> Answer | None:
    """Read an ack or a refusal of any shape; None if it answers something else.

    >>> read_answer({"method": "subscribe", "req_id": 3, "success": False, "error": "Already subscribed"})
    Answer(req_id=3, symbol=None, reason='Already subscribed', warnings=())
    """
    result = ack.get("result")
    result = result if isinstance(result, dict) else {}
    req_id, error, warnings = ack.get("req_id"), ack.get("error"), result.get("warnings")
    symbol = result.get("symbol", ack.get("symbol"))
    reason = None
    if ack.get("success") is not True:
        reason = error if isinstance(error, str) and error else "refused without a reason"
    answer = Answer(
        req_id if isinstance(req_id, int) else 0,
        symbol if isinstance(symbol, str) else None,
        reason,
        tuple(text for text in warnings if isinstance(text, str)) if isinstance(warnings, list) else (),
    )
    is_ours = ack.get("method") in ("subscribe", "unsubscribe") or answer.is_rate_complaint
    return answer if is_ours else None


def write_request(request: Request, like: Entry, token: Secret | None = None) -> bytes:
    """Write the text of a request for symbols that are all `like` one entry.

    >>> entry = Entry("book", "BTC/USD", 10, True, held_parameter=10)
    >>> write_request(Request(7, False, {"BTC/USD": None}, "book", 0), entry)
    b'{"method":"unsubscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10},"req_id":7}'
    """
    params: dict[str, Any] = {"channel": request.channel}
    if request.channel not in WITHOUT_SYMBOL:
        params["symbol"] = list(request.unanswered)
    name, _ = CHANNEL_PARAMETER[request.channel]
    if name and like.held_parameter is not False:  # tokenized assets are named only where they are wanted
        params[name] = like.held_parameter
    if request.is_subscribe:
        params |= EXECUTIONS if request.channel == "executions" else {"snapshot": like.with_snapshot}
    if token is not None:
        params["token"] = token.reveal().decode()
    method = "subscribe" if request.is_subscribe else "unsubscribe"
    return orjson.dumps({"method": method, "params": params, "req_id": request.req_id})
