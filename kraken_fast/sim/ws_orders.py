"""The trading part of a session: a request in, its answers and the events that it caused out.

Kraken fixes no order between an answer and the first event of what it answers. So what a request makes the
account's channels say is held back until the answers are known, then chance decides for each request which
leaves first, unless a fault does.

Everything that can happen to an order on its way is here: the request is lost or late, it is refused, it is
carried out and the answer is lost, late, comes twice, or the connection ends instead.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .faults import Fault
from .message import Message
from .requests import ACCOUNT_CHANNELS, Refusal, Request, error_text, result_text
from .texts import NS_PER_MS, rfc3339
from .tokens import Token

if TYPE_CHECKING:
    from .core import ExchangeCore

ASKED_MAX = 100_000
"""Requests that an exchange remembers for those who compare."""

CANCELS = ("cancel_order", "cancel_all", "batch_cancel")


@dataclass(frozen=True, slots=True)
class Asked:
    """One trading request as it reached the exchange, and what became of it.

    Attributes:
        params: without the token.
        errors: of its answers, "" for each that was carried out; whether they reached anybody is another matter.
            Empty for a request that was never carried out.
    """

    time_ns: int
    session: int
    account: str
    method: str
    req_id: int | None
    params: Mapping[str, Any]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """What a session lends to its trading part.

    Attributes:
        emit: sends a message, through the faults that strike messages.
        tell: sends a message of a channel.
        hold_back: sends one later.
        time_out: makes up when an answer leaves.
        reset: resets the connection.
    """

    emit: Callable[[Message], None]
    tell: Callable[[Message], None]
    hold_back: Callable[[Message, int], None]
    time_out: Callable[[], str]
    reset: Callable[[], None]


class WsOrders:
    """Takes the trading requests of one session.

    Args:
        core: the exchange.
        number: of the session.
        rng: its chance.
        port: the session's means.
    """

    def __init__(self, core: ExchangeCore, number: int, rng: random.Random, port: Port) -> None:
        self._core = core
        self._number = number
        self._rng = rng
        self._port = port
        self._held: list[Message] | None = None
        self._lagging: deque[tuple[int, Message]] = deque()
        self._arriving: deque[tuple[int, Request, Token]] = deque()

    @property
    def deadline_ns(self) -> int | None:
        """When `advance` has something to do."""
        heads = [queue[0][0] for queue in (self._lagging, self._arriving) if queue]
        return min(heads, default=None)

    def advance(self, now_ns: int) -> None:
        """Do what is due: late requests, lagging events."""
        while self._arriving and self._arriving[0][0] <= now_ns:
            _, request, token = self._arriving.popleft()
            self._act(request, token, rfc3339(now_ns))
        while self._lagging and self._lagging[0][0] <= now_ns:
            self._port.tell(self._lagging.popleft()[1])

    def clear(self) -> None:
        """Forget what is under way: the connection is gone, and what had not arrived never will."""
        self._lagging.clear()
        self._arriving.clear()

    def begin(self, channel: str) -> None:
        """Forget what lags of a channel: a subscription begins, and what came before it belonged to one that ended."""
        self._lagging = deque(each for each in self._lagging if each[1].channel != channel)

    def keeps(self, message: Message) -> bool:
        """Tell whether a message of a channel has to wait; then it is kept."""
        if message.channel not in ACCOUNT_CHANNELS or message.kind != "update":
            return False
        if self._held is not None:
            self._held.append(message)
            return True
        fault = self._core.faults.fire("stream_lag", session=self._number, channel=message.channel)
        if fault is None and not self._lagging:
            return False
        due_ns = self._core.now_ns() + (int(fault["ms"] * NS_PER_MS) if fault else 0)
        if self._lagging:  # events stay in order
            due_ns = max(due_ns, self._lagging[-1][0])
        self._lagging.append((due_ns, message))
        return True

    def take(self, request: Request, token: Token, time_in: str) -> None:
        """Take a request whose form and token are right."""
        if fault := self._fire("request_lost", request):
            if fault["reset"]:
                self._port.reset()
            return
        if fault := self._fire("arrive_late", request):
            due_ns = self._core.now_ns() + int(fault["ms"] * NS_PER_MS)
            if self._arriving:  # one connection, one order
                due_ns = max(due_ns, self._arriving[-1][0])
            self._arriving.append((due_ns, request, token))
        elif self._arriving:
            self._arriving.append((self._arriving[-1][0], request, token))
        else:
            self._act(request, token, time_in)

    def _act(self, request: Request, token: Token, time_in: str) -> None:
        """Carry a request out, and let answers and events leave as chance or a fault orders."""
        race = self._fire("cancel_race_fill", request) if request.method in CANCELS else None
        self._held = []
        if race is not None:
            self._core.mishaps.race(token.account, request, race["share"])
        if fault := self._fire("reject", request):
            errors, results = [fault["error"]], [None]
        else:
            answers = self._core.ws_trading.carry_out(request, token)
            errors, results = [answer.error for answer in answers], [answer.result for answer in answers]
        events, self._held = self._held, None
        self._remember(request, token, errors)
        if self._fire("accept_then_reset", request):
            self._port.reset()
            return
        replies = [
            self._reply(request, result, error, time_in) for result, error in zip(results, errors, strict=True)
        ]
        replies = self._spoiled(request, replies)
        for message in self._ordered(request, replies, events, replies_first=race is not None):
            if message in replies:
                self._port.emit(message)
            elif not self.keeps(message):
                self._port.tell(message)

    def _ordered(
        self, request: Request, replies: list[Message], events: list[Message], *, replies_first: bool
    ) -> list[Message]:
        by_chance = bool(self._rng.getrandbits(1))
        if self._fire("event_before_reply", request):
            replies_first = False
        elif self._fire("reply_before_event", request):
            replies_first = True
        elif not replies_first:
            replies_first = by_chance
        return [*replies, *events] if replies_first else [*events, *replies]

    def _spoiled(self, request: Request, replies: list[Message]) -> list[Message]:
        """Give what is left of the answers, after those that faults lose or keep for later."""
        if self._fire("accept_no_reply", request):
            return []
        if self._fire("reply_twice", request):
            replies = [reply for one in replies for reply in (one, one.with_text(one.text))]
        if fault := self._fire("reply_late", request):
            for reply in replies:
                self._port.hold_back(reply, self._core.now_ns() + int(fault["ms"] * NS_PER_MS))
            return []
        return replies

    def _reply(self, request: Request, result: Any, error: str, time_in: str) -> Message:
        time_out = self._port.time_out()
        if error:
            refusal = Refusal(error, request.method, req_id=request.req_id)
            return Message(error_text(refusal, time_in, time_out), "reply")
        fault = self._fire("answer_form", request)
        if fault is not None and fault["form"] == "nested":
            rows = [{**row, "success": "error" not in row} for row in result]
            return Message(result_text(request, {"orders": rows}, time_in, time_out), "reply")
        text = result_text(request, result, time_in, time_out)
        if fault is not None and fault["form"] == "failed":
            text = text.replace('"success":true', '"success":false')
        elif fault is not None:
            answer = {"method": request.method, "orders_cancelled": result["count"], **json.loads(text)}
            del answer["result"]
            text = json.dumps(answer, separators=(",", ":"))
        return Message(text, "reply")

    def _remember(self, request: Request, token: Token, errors: list[str]) -> None:
        self._core.asked.append(
            Asked(
                self._core.now_ns(),
                self._number,
                token.account.name,
                request.method,
                request.req_id,
                request.params,
                tuple(errors),
            )
        )

    def _fire(self, kind: str, request: Request) -> Fault | None:
        symbol = request.params.get("symbol")
        return self._core.faults.fire(kind, session=self._number, endpoint=request.method, symbol=symbol)
