"""What the tests of the exchange in a box share: a clock by hand and a client of bytes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from kraken_fast.sim.account import Account, ApiKey
from kraken_fast.sim.core import ExchangeCore
from kraken_fast.sim.frames import OP_TEXT, encode_frame
from kraken_fast.sim.line import Line
from kraken_fast.sim.reference import loads
from kraken_fast.sim.rest_faults import Response
from kraken_fast.sim.signing import sign

START_NS = 1_795_000_000_123_456_789
UPGRADE = (
    b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Clock:
    """Virtual time."""

    def __init__(self) -> None:
        self.time_ns = START_NS

    def now_ns(self) -> int:
        return self.time_ns

    def sleep(self, seconds: float) -> None:
        self.time_ns += int(seconds * 1e9)


class Client:
    """A WebSocket client that keeps every byte it got; it is strict only in what the tests look at."""

    def __init__(self, core: ExchangeCore) -> None:
        self.core = core
        self.line: Line = core.connect()
        self.head = b""
        self.raw = b""
        self.segments: list[bytes] = []
        self.texts: list[str] = []
        self.frames: list[tuple[int, bytes]] = []

    def open(self, path: str = "/v2") -> Client:
        self.line.receive(UPGRADE.replace(b"/v2", path.encode(), 1))
        self.poll()
        return self

    def send(self, request: dict[str, Any] | str | bytes) -> None:
        text = request if isinstance(request, (str, bytes)) else json.dumps(request)
        payload = text if isinstance(text, bytes) else text.encode()
        self.send_frame(OP_TEXT, payload)

    def send_frame(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        self.line.receive(encode_frame(opcode, payload, mask=b"mask", **how))
        self.poll()

    def ask(self, request: dict[str, Any] | str) -> list[Any]:
        """Send a request and give the messages that answer it."""
        before = len(self.texts)
        self.send(request)
        return [loads(text) for text in self.texts[before:]]

    def subscribe(self, channel: str, symbols: list[str] | None = None, **params: Any) -> list[Any]:
        given = {"channel": channel, **({} if symbols is None else {"symbol": symbols}), **params}
        return self.ask({"method": "subscribe", "params": given, "req_id": 1})

    def poll(self) -> list[str]:
        """Take what the line has to say now and give the new texts."""
        before = len(self.texts)
        segments = self.line.poll()
        self.segments += segments
        self.raw += b"".join(segments)
        if not self.head:
            head, blank, rest = self.raw.partition(b"\r\n\r\n")
            if not blank:
                return []
            self.head, self.raw = head, rest
        self._parse()
        return self.texts[before:]

    def messages(self, channel: str | None = None) -> list[Any]:
        parsed = [loads(text) for text in self.texts]
        return [message for message in parsed if channel is None or message.get("channel") == channel]

    def _parse(self) -> None:
        while len(self.raw) >= 2:
            size, at = self.raw[1] & 0x7F, 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(self.raw[2 : 2 + width], "big"), 2 + width
            if len(self.raw) < at + size:
                return
            opcode, payload = self.raw[0], self.raw[at : at + size]
            self.raw = self.raw[at + size :]
            self.frames.append((opcode, payload))
            if opcode == 0x80 | OP_TEXT:
                self.texts.append(payload.decode(errors="replace"))


class Trader(Client):
    """A client on the private host."""

    token = ""

    def order(self, method: str, **params: Any) -> list[Any]:
        """Send a trading request and give everything that it brought, answers and events."""
        return self.ask({"method": method, "params": {**params, "token": self.token}, "req_id": 7})

    def answers(self, method: str, **params: Any) -> list[Any]:
        """Send a trading request and give its answers, without their times."""
        found = [message for message in self.order(method, **params) if "method" in message]
        for message in found:
            del message["time_in"], message["time_out"]
        return found

    def done(self, method: str, **params: Any) -> Any:
        """Send a trading request that must succeed, and give its result."""
        (answer,) = self.answers(method, **params)
        assert answer["success"], answer
        return answer["result"]

    def refused(self, method: str, **params: Any) -> str:
        """Send a trading request that must be refused, and give the words."""
        (answer,) = self.answers(method, **params)
        assert not answer["success"], answer
        return str(answer["error"])

    def rows(self, channel: str = "executions") -> list[Any]:
        """Give the rows of a channel so far."""
        return [row for message in self.messages(channel) for row in message["data"]]


class Box:
    """An exchange without sockets in virtual time, its clients, and the bytes that go between them."""

    upgrade = UPGRADE
    start_ns = START_NS

    def __init__(self, symbols: Any = ("BTC/USD", "ETH/USD"), **settings: Any) -> None:
        self.clock = Clock()
        defaults = {"seed": 7, "now_ns": self.clock.now_ns, "rate": 0, "levels": 40}
        self.core = ExchangeCore(symbols, **{**defaults, **settings})
        self.faults = self.core.faults
        self.clients: list[Client] = []

    def connect(self) -> Client:
        """Connect a client that has not asked for the upgrade yet."""
        self.clients.append(Client(self.core))
        return self.clients[-1]

    def open(self, path: str = "/v2") -> Client:
        """Connect a client up to its greeting."""
        return self.connect().open(path)

    def token(self, who: str | None = None) -> str:
        """Fetch a WebSocket token of an account, by default the first."""
        account = self.account if who is None else self.core.accounts[who]
        answer = json.loads(self.post("GetWebSocketsToken", key=account.keys[0]).body)
        assert answer["error"] == [], answer
        return str(answer["result"]["token"])

    def trader(self, who: str | None = None, **options: Any) -> Trader:
        """Connect a client to the private host and subscribe both channels of its account."""
        trader = Trader(self.core)
        self.clients.append(trader)
        trader.open("/auth/v2")
        trader.token = self.token(who)
        trader.subscribe("executions", token=trader.token, **options)
        trader.subscribe("balances", token=trader.token)
        trader.texts.clear()
        return trader

    def step(self, steps: int = 1, symbol: str = "BTC/USD") -> None:
        """Let the crowd act, a millisecond from one action to the next."""
        for _ in range(steps):
            self.clock.sleep(0.001)
            self.core.market(symbol).step(self.clock.now_ns())
            self.poll()

    def poll(self) -> None:
        for client in self.clients:
            client.poll()

    def run(self, seconds: float) -> None:
        """Let virtual time pass, from deadline to deadline."""
        end_ns = self.clock.time_ns + int(seconds * 1e9)
        while True:
            self.core.advance()
            self.poll()
            deadline_ns = self.core.deadline_ns
            if deadline_ns is None or deadline_ns > end_ns:
                break
            self.clock.time_ns = max(deadline_ns, self.clock.time_ns)
        self.clock.time_ns = end_ns
        self.core.advance()
        self.poll()

    def rest(self, path: str, query: str = "") -> Any:
        """Read a public endpoint and give its parsed answer."""
        return json.loads(self.core.http("GET", f"/0/public/{path}", query).body)

    @property
    def account(self) -> Account:
        """The first account."""
        return next(iter(self.core.accounts.values()))

    def post(
        self,
        name: str,
        params: Any = (),
        *,
        key: ApiKey | None = None,
        nonce: object = None,
        as_json: bool = False,
    ) -> Response:
        """Make a private call as a careful client would; nonces rise by themselves."""
        key = key or self.account.keys[0]
        self.nonce = getattr(self, "nonce", self.clock.time_ns) + 1
        fields = {"nonce": str(self.nonce if nonce is None else nonce), **dict(params)}
        body = (json.dumps(fields) if as_json else urlencode(fields)).encode()
        path = f"/0/private/{name}"
        headers = {
            "API-Key": key.key,
            "API-Sign": sign(key.secret, path, fields["nonce"], body),
            "Content-Type": "application/json" if as_json else "application/x-www-form-urlencoded",
        }
        return self.core.http("POST", path, "", body, headers)

    @staticmethod
    def answer(response: Response) -> Any:
        """Parse an answer."""
        return json.loads(response.body)

    def ask(self, name: str, **params: Any) -> Any:
        """Make a private call with these fields and give its parsed answer."""
        return json.loads(self.post(name, params).body)

    def result(self, name: str, **params: Any) -> Any:
        """Make a private call that must succeed."""
        answer = self.ask(name, **params)
        assert answer["error"] == [], answer
        return answer["result"]

    def refusal(self, name: str, **params: Any) -> str:
        """Make a private call that must be refused, and give the words."""
        answer = self.ask(name, **params)
        assert "result" not in answer, answer
        (text,) = answer["error"]
        return str(text)


@pytest.fixture(scope="session")
def make_box() -> type[Box]:
    return Box


@pytest.fixture
def box() -> Box:
    return Box()
