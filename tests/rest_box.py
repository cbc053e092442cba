"""Stand-ins for the exchange's REST side: a port with a script, and a client on it in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import ManualClock
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import KeyState, MemoryNonces
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run

KEY = "KFTESTkeyQ7v2mC0nNotReal"
SECRET = "S0ZURVNULXNlY3JldC1ieXRlcy1ub3QtcmVhbA=="
SECOND = 1_000_000_000

KEY_INFO = {
    "permissions": ["query-funds", "query-open-trades", "modify-trades"],
    "nonce": "0",
    "nonce_window": "0",
}


def credentials() -> Credentials:
    return Credentials(KEY, SECRET)


def ok(result: Any) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"error": [], "result": result}).encode())


def refusal(*texts: str) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps({"error": list(texts)}).encode())


class Call:
    """One request as the exchange reads it."""

    def __init__(self, request: HttpRequest, at_ns: int) -> None:
        parts = urlsplit(request.url)
        self.request = request
        self.at_ns = at_ns
        self.name = parts.path.rpartition("/")[2]
        text = request.body.decode() if request.body else parts.query
        self.params: dict[str, Any] = json.loads(text) if text.startswith("{") else dict(parse_qsl(text))

    @property
    def nonce(self) -> int:
        return int(self.params["nonce"])


Answer = HttpResponse | Exception | Callable[[Call], "HttpResponse | Awaitable[HttpResponse]"]


class ScriptedPort:
    """Answers each endpoint as told: an answer, a list of answers one after another, an error, or a function."""

    def __init__(
        self, clock: ManualClock, answers: Mapping[str, Answer | list[Answer]], *, latency_s: float = 0.0
    ) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Any] = {"GetApiKeyInfo": ok(KEY_INFO), **answers}
        self.latency_s = latency_s
        self.is_closed = False
        self._clock = clock

    def named(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        call = Call(request, self._clock.monotonic_ns)
        self.calls.append(call)
        answer = self.answers[call.name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if callable(answer):
            answer = answer(call)
            if not isinstance(answer, HttpResponse):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.is_closed = True


class World:
    """Virtual time with a port in it."""

    def __init__(self, **answers: Any) -> None:
        self.timeline = Timeline()
        self.clock = ManualClock(monotonic_ns=self.timeline.now_ns, epoch_ns=self.timeline.wall_ns())
        self.timeline.on_advance.append(self.clock.advance)
        self.port = ScriptedPort(self.clock, answers)
        self.nonces = MemoryNonces(KeyState(unit="ns", confirmed=True))

    def client(self, kind: type[Any], *, key: bool = True, **others: Any) -> Any:
        others.setdefault("settings", RestSettings())
        if key:
            others.setdefault("credentials", credentials())
        others.setdefault("nonces", self.nonces)
        return kind(http=self.port, clock=self.clock, rng=Random(7), **others)

    @property
    def seconds(self) -> float:
        return self.clock.monotonic_ns / SECOND

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        run(VirtualLoop(self.timeline), main)


class CorePort:
    """The exchange without sockets, some way off."""

    def __init__(self, core: ExchangeCore, clock: ManualClock, rng: Random, way_s: float) -> None:
        self.way_s = way_s
        self.core = core
        self.rng = rng
        self.clock = clock
        self.refused = 0
        self.answered = 0
        self.calls: list[Call] = []

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        parts = urlsplit(request.url)
        self.calls.append(Call(request, self.clock.monotonic_ns))
        await asyncio.sleep(self.rng.uniform(0.005, self.way_s))
        answer = self.core.http(request.method, parts.path, parts.query, request.body, request.headers)
        self.refused += b"Rate limit" in answer.body or b"rate limit" in answer.body
        self.answered += 1
        await asyncio.sleep(self.rng.uniform(0.005, self.way_s))
        return HttpResponse(answer.status, dict(answer.headers), answer.body)

    async def close(self) -> None:
        """Nothing is open."""


class Boxed:
    """The exchange in a box in virtual time, and clients of its first account."""

    def __init__(self, world: World, *, way_s: float = 0.2, **options: Any) -> None:
        options.setdefault("rate", 0)
        self.world = world
        self.core = ExchangeCore(["BTC/USD"], seed=1, now_ns=world.timeline.wall_ns, **options)
        account = next(iter(self.core.accounts.values()))
        (self.api_key,) = account.keys
        self.otp: Callable[[], str] | None = None
        self.port = CorePort(self.core, world.clock, Random(9), way_s)

    def client(self, kind: type[Any], **others: Any) -> Any:
        others.setdefault("settings", RestSettings())
        return kind(
            Credentials(self.api_key.key, self.api_key.secret, otp=self.otp),
            endpoints=Endpoints(rest_url="http://127.0.0.1:1"),
            http=self.port,
            clock=self.world.clock,
            rng=Random(1),
            nonces=MemoryNonces(),
            nonce_unit="ns",
            **others,
        )
