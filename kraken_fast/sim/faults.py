"""The faults that the exchange can be told to have.

A fault is a *rule*: its kind, what it matches, how often it fires. The parts of the exchange ask for a rule
at the place where it would bite; asking and finding is firing, and is counted, so that a test can prove that
what it survived did happen.

    fault = ex.faults.inject("bad_checksum", symbol="BTC/USD", count=1)
    ...
    assert fault.fired == 1 == ex.faults.fired["bad_checksum"]

    with ex.faults.inject("no_heartbeat"):      # until the block ends
        ...

`KINDS` lists every kind with its parameters.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Literal

from ..errors import ConfigError


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of fault does, its parameters with their defaults, and how often it fires unless told.

    Attributes:
        messages: the kinds of messages that it strikes unless told.
    """

    summary: str
    params: Mapping[str, Any] = field(default_factory=dict)
    count: int | None = None
    messages: tuple[str, ...] | None = None


DATA = ("snapshot", "update")


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # The connection, before the upgrade.
        "refuse": Kind("the port is closed; fires once when it closes, and per attempt in virtual time"),
        "hang": Kind("the connection is accepted and never answered"),
        "cert": Kind("a bad certificate: expired, wrong_name or self_signed", {"problem": "expired"}),
        # The upgrade.
        "upgrade_status": Kind(
            "the upgrade is answered with this status", {"status": 503, "body": "", "headers": {}}
        ),
        "accept_key_wrong": Kind("Sec-WebSocket-Accept does not match the key"),
        "header_flood": Kind("the answer carries this many bytes of headers", {"size_bytes": 1 << 20}),
        "unoffered": Kind(
            "an extension or a subprotocol that nobody offered",
            {"extension": "permessage-deflate", "subprotocol": ""},
        ),
        # The line as bytes.
        "rst": Kind("reset, once this many bytes were sent", {"after_bytes": 0}, count=1),
        "fin": Kind("end without a close frame, once this many bytes were sent", {"after_bytes": 0}, count=1),
        "half_open": Kind("the peer is gone: what arrives vanishes, nothing is sent, for ever", count=1),
        "hole": Kind(
            "nothing passes while it lasts, down, up or both; later it all arrives", {"direction": "down"}
        ),
        "stall_read": Kind("nothing is read from the socket while it lasts"),
        "latency": Kind("what is sent arrives later", {"ms": 50, "jitter_ms": 0}),
        "slice": Kind("what is sent leaves in segments of so many bytes", {"size_bytes": 1, "gap_ms": 0}),
        "drip": Kind("one byte per interval, at the upgrade too", {"interval_ms": 1000}),
        "bandwidth": Kind("what is sent leaves at this rate", {"bytes_per_s": 65_536}),
        # The line as frames.
        "raw": Kind("these bytes appear on the wire between two frames", {"data": b""}, count=1),
        "text": Kind("this text message appears", {"text": ""}, count=1),
        "fragment": Kind("a message is sent in fragments of so many bytes", {"size_bytes": 20}),
        "interleave_control": Kind("a message is sent in two fragments with a ping between them"),
        "rsv": Kind("reserved bits are set", {"bits": 4}, count=1),
        "opcode": Kind("the frame has this opcode", {"opcode": 3}, count=1),
        "mask": Kind("the server masks its frame", count=1),
        "length": Kind(
            "the length is written in so many bytes (2 or 8), needed or not", {"width_bytes": 8}, count=1
        ),
        "len64": Kind(
            "a frame head announces so many bytes and none follow", {"size_bytes": 1 << 63}, count=1
        ),
        "binary": Kind("the message comes as a binary frame", count=1),
        "bad_utf8": Kind("the message holds a byte that is not UTF-8", count=1),
        "ping_flood": Kind("pings at this rate", {"rate": 10_000}),
        "no_pong": Kind("the client's pings are not answered"),
        "close": Kind("a close frame, then the end", {"code": 1001, "reason": ""}, count=1),
        "double_close": Kind("two close frames and a message between them", {"code": 1000}, count=1),
        "no_close_reply": Kind("the client's close frame is not answered"),
        # Messages.
        "drop": Kind("the message is lost", count=1, messages=DATA),
        "duplicate": Kind("the message comes twice", count=1, messages=DATA),
        "swap": Kind(
            "the message comes after the next of its channel and symbol", count=1, messages=("update",)
        ),
        "delay": Kind("the message comes later than those behind it", {"ms": 100}, count=1, messages=DATA),
        "bad_checksum": Kind("the checksum of a book message is wrong", count=1),
        "mutate": Kind(
            "the JSON is damaged; see tamper.MUTATIONS", {"mutation": "random"}, count=1, messages=DATA
        ),
        "no_snapshot": Kind("the snapshot is never sent, the updates are"),
        "late_snapshot": Kind("the snapshot comes later; updates precede it", {"ms": 500}),
        "second_snapshot": Kind("a snapshot that nobody asked for, before the next update", count=1),
        "huge_snapshot": Kind("the snapshot is longer by so many bytes", {"size_bytes": 1 << 20}),
        "no_heartbeat": Kind("no heartbeats"),
        "heartbeat_only": Kind("heartbeats, and nothing of any subscription"),
        # Requests.
        "no_ack": Kind("the request is carried out but not acknowledged"),
        "ack_then_silence": Kind("the request is acknowledged, and nothing follows"),
        "nack": Kind("the symbol is refused", {"error": "Currency pair not supported"}),
        "duplicate_ack": Kind("the acknowledgement comes twice"),
        "late_ack": Kind("the acknowledgement comes later than what follows it", {"ms": 100}),
        "stray_ack": Kind(
            "an acknowledgement of a request that nobody made comes first", {"req_id": 999_999_999}
        ),
        "msg_rate": Kind("the request is refused for the rate of messages, without its req_id"),
        # REST calls; `endpoint` narrows them.
        "nonce_check": Kind("the key has this nonce window for the call", {"window": 0}),
        "counter": Kind("the call counter is that of this tier, even if switched off", {"tier": "starter"}),
        "lockout": Kind("the address is locked out for so long", {"seconds": 900}, count=1),
        "lag": Kind("a query of the account shows it as it was so long ago", {"seconds": 60}),
        # REST calls that are not carried out.
        "idle_close": Kind("the kept connection is closed as the request arrives"),
        "status": Kind("HTTP status and a page of HTML", {"code": 502, "body": "", "headers": {}}),
        "redirect": Kind("another place is named", {"location": "https://example.invalid/", "code": 302}),
        "retry_after": Kind("refused with a Retry-After header", {"seconds": 5, "code": 429}),
        "errors": Kind(
            "refused with these errors; the result is absent, null or empty",
            {"errors": ("EService:Unavailable",), "result": "absent"},
        ),
        # REST calls whose request takes its time: later ones overtake it.
        "arrive_late": Kind("the request arrives later", {"ms": 1000}),
        # REST calls that are carried out, though the answer does not say so.
        "act_then_fail": Kind(
            "HTTP status and a page of HTML; with code 0 no answer at all", {"code": 520, "body": ""}
        ),
        "body": Kind(
            "the body is html, empty, truncated, cut, wrong_type, huge or a gzip_bomb",
            {"form": "html", "size_bytes": 80 << 20},
        ),
        "slow_drip": Kind("the body comes byte by byte", {"interval_ms": 1000}),
        "late": Kind("the answer comes later", {"ms": 20_000}),
        "deliver_twice": Kind("the request arrives twice, and the second answer is the one that comes"),
        "warnings": Kind("the answer is good and carries warnings", {"warnings": ("WGeneral:Example warning",)}),
        "cancel_pending": Kind("CancelOrder answers that the cancel is queued"),
        "cancel_gone": Kind(
            "CancelOrder of what is gone is answered with this error; without one with a count of 0",
            {"error": ""},
        ),
        # Trading requests of the WebSocket; `endpoint` (add_order, ...), `symbol` and `session` narrow them.
        "request_lost": Kind(
            "the request is lost and nothing happens, with reset the connection goes as well", {"reset": False}, count=1
        ),
        "reject": Kind("the request is refused with this error", {"error": "EOrder:Insufficient funds"}, count=1),
        "accept_no_reply": Kind("the request is carried out and never answered", count=1),
        "accept_then_reset": Kind("the request is carried out, then the connection is reset", count=1),
        "reply_late": Kind("the answer comes later, events do not", {"ms": 1000}, count=1),
        "reply_twice": Kind("every answer comes twice", count=1),
        "answer_form": Kind(
            "another form of the answer than usual: orders_cancelled (of batch_cancel, seen in 2024), or, of batch_add,"
            " nested (rows below `orders`) or failed (not a success, but with rows)",
            {"form": "orders_cancelled"},
            count=1,
        ),
        "event_before_reply": Kind("the events of a request come before its answer"),
        "reply_before_event": Kind("the answer comes before the events"),
        "cancel_race_fill": Kind(
            "a share of the order is filled just before it is cancelled; the answer comes before the fill",
            {"share": "0.5"},
            count=1,
        ),
        # An account's channels.
        "stream_lag": Kind("events come so much later, in order", {"ms": 1000}),
        "seq_gap": Kind("the sequence jumps although nothing is lost", {"by": 1}, count=1),
        "seq_repeat": Kind("a message has the number of the one before", count=1),
        "seq_reset": Kind("the sequence begins anew", count=1),
        "snapshot_truncated": Kind("the snapshot has so many rows and no more", {"rows": 0}, count=1),
        "snapshot_lag": Kind("the snapshot shows the account as it was so long ago", {"seconds": 5}, count=1),
        # Tokens.
        "token": Kind("the request's token is refused", {"error": "ESession:Invalid session"}, count=1),
        "token_ttl": Kind("a new token must be used within so many seconds", {"seconds": 1}),
        "token_revoked": Kind("no token of before is accepted any more; subscriptions go on", count=1),
        # Orders of an account; `account` narrows them.
        "fill_during_gap": Kind(
            "when a session of an account ends, its oldest resting orders get so many fills", {"fills": 3}, count=1
        ),
        "dms_fire": Kind("the dead man's switch fires", count=1),
        "unsolicited_cancel": Kind("an open order is cancelled by the exchange", {"reason": ""}, count=1),
        "external_order": Kind("an order is placed by hand; its parameters in REST's words", {"order": {}}, count=1),
        # The exchange.
        "system_status": Kind("the state of the engine changes", {"status": "maintenance"}, count=1),
        "pair_status": Kind("the state of a pair changes", {"status": "delisted"}, count=1),
        "precision": Kind("the precisions of a pair change", {"price": None, "qty": None}, count=1),
    }
)


class Fault:
    """One rule. Ends when its count is used up, when it is cleared, or with its `with` block.

    Attributes:
        kind: one of `KINDS`.
        fired: how often it has fired.
        left: how often it will fire yet; None for ever.
    """

    def __init__(
        self,
        owner: Faults,
        kind: str,
        *,
        params: Mapping[str, Any],
        where: Mapping[str, object],
        left: int | None,
        after: int,
        probability: float,
    ) -> None:
        self.kind = kind
        self.fired = 0
        self.left = left
        self._owner = owner
        self._params = params
        self._where = where
        self._after = after
        self._probability = probability
        self._lines: set[int] = set()

    def __repr__(self) -> str:
        return f"Fault({self.kind!r}, fired={self.fired}, left={self.left}, {dict(self._params)})"

    def __getitem__(self, name: str) -> Any:
        """Give a parameter."""
        return self._params[name]

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    @property
    def active(self) -> bool:
        """Whether it may fire again."""
        return self in self._owner.rules(self.kind)

    def clear(self) -> None:
        """End it; its counts stay."""
        self._owner._remove(self)

    def matches(self, **facts: object) -> bool:
        """Tell whether every condition of the rule holds; a fact that is not known does not match."""
        for name, wanted in self._where.items():
            fact = facts.get(name)
            if fact not in wanted if isinstance(wanted, tuple) else fact != wanted:
                return False
        return True

    def _try(self, rng: random.Random) -> bool:
        if self._after:
            self._after -= 1
            return False
        if self._probability < 1 and rng.random() >= self._probability:
            return False
        self.fired += 1
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """All rules of one exchange.

    Attributes:
        fired: how often each kind has fired.
        armed: whether there is any rule; what is on the hot path asks this first.
    """

    def __init__(self, rng: random.Random) -> None:
        self.fired: Counter[str] = Counter()
        self.armed = False
        self.on_change: Callable[[], None] = lambda: None
        self._rng = rng
        self._rules: dict[str, list[Fault]] = {}

    def inject(
        self,
        kind: str,
        *,
        count: int | Literal["default"] | None = "default",
        probability: float = 1.0,
        after: int = 0,
        session: object = None,
        channel: str | tuple[str, ...] | None = None,
        symbol: str | tuple[str, ...] | None = None,
        message: str | tuple[str, ...] | None = None,
        endpoint: str | tuple[str, ...] | None = None,
        account: str | tuple[str, ...] | None = None,
        **params: Any,
    ) -> Fault:
        """Begin a fault.

        Args:
            kind: one of `KINDS`.
            count: how often it fires, None for ever; the default is the kind's.
            probability: of firing, each time it could.
            after: how many occasions it lets pass first.
            session: only this session (from `Exchange.sessions`, or its number).
            channel: only messages or requests of this channel.
            symbol: only those of this symbol.
            message: only messages of this kind: snapshot, update, ack, error, heartbeat, status, pong; what
                strikes messages strikes snapshots and updates unless told. A tuple means any of its members.
            endpoint: only REST calls of this name, such as AddOrder, or WebSocket requests of this method,
                such as add_order.
            account: only this account, by its name.
            **params: parameters of the kind.

        Raises:
            ConfigError: no such kind, or the kind has no such parameter.
        """
        spec = KINDS.get(kind)
        if spec is None:
            raise ConfigError("kind", kind, f"one of {', '.join(KINDS)}")
        for name, value in params.items():
            if name not in spec.params:
                raise ConfigError(name, value, f"a parameter of {kind}: {', '.join(spec.params) or 'none'}")
        conditions = {
            "session": getattr(session, "number", session),
            "channel": channel,
            "symbol": symbol,
            "message": spec.messages if message is None else message,
            "endpoint": endpoint,
            "account": account,
        }
        where = {name: wanted for name, wanted in conditions.items() if wanted is not None}
        left = spec.count if count == "default" else count
        fault = Fault(
            self,
            kind,
            params={**spec.params, **params},
            where=where,
            left=left,
            after=after,
            probability=probability,
        )
        self._rules.setdefault(kind, []).append(fault)
        self.armed = True
        self.on_change()
        return fault

    def clear(self, kind: str | None = None) -> None:
        """End all faults of a kind, or all."""
        for fault in [rule for rules in list(self._rules.values()) for rule in rules]:
            if kind in (None, fault.kind):
                self._remove(fault)

    def random(self) -> float:
        """Draw a number from the faults' own chance, evenly from 0 up to 1."""
        return self._rng.random()

    def rules(self, kind: str) -> list[Fault]:
        """Give the rules of a kind that may still fire."""
        return self._rules.get(kind, [])

    def fire(self, kind: str, **facts: object) -> Fault | None:
        """Ask for a rule that bites here; what is found has fired."""
        if not self.armed:
            return None
        for fault in self._rules.get(kind, ()):
            if self.fire_rule(fault, **facts):
                return fault
        return None

    def fire_rule(self, fault: Fault, **facts: object) -> bool:
        """Ask whether this one rule bites here; if so it has fired."""
        if not fault.matches(**facts) or not fault._try(self._rng):
            return False
        self.fired[fault.kind] += 1
        if fault.left == 0:
            self._remove(fault)
        return True

    def holds(self, kind: str, line: int) -> Fault | None:
        """Ask for a rule that lasts on a line; it fires once for each line that it holds on."""
        if not self.armed:
            return None
        for fault in self._rules.get(kind, ()):
            if line in fault._lines:
                return fault
            if fault.left != 0 and fault.matches(session=line) and fault._try(self._rng):
                self.fired[kind] += 1
                fault._lines.add(line)
                return fault
        return None

    def _remove(self, fault: Fault) -> None:
        rules = self._rules.get(fault.kind, [])
        if fault in rules:
            rules.remove(fault)
            if not rules:
                del self._rules[fault.kind]
            self.armed = bool(self._rules)
            self.on_change()
