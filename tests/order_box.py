"""A trader in virtual time: order entry over the bytes of the exchange in a box, a client that can crash, the truth.

The line here is a small one of its own, so that order entry is judged apart from the private session: it connects,
subscribes `executions`, reconnects, and says when it heard without a gap.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from decimal import Decimal
from random import Random
from typing import Any

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import ManualClock
from kraken_fast.core.execution import Execution
from kraken_fast.errors import ResponseError
from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.journal import Journal, MemoryStorage, Sync
from kraken_fast.orders.pretrade import Quote
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.frames import OP_TEXT, FrameReader, encode_frame
from kraken_fast.sim.network import HOST, PORT, Network, Route
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run
from kraken_fast.types import Ack, Instrument, SystemStatus

S = 1_000_000_000
BTC = "BTC/USD"
UPGRADE = (
    b"GET /auth/v2 HTTP/1.1\r\nHost: exchange.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

WIRE = {"add": b"add_order", "batch": b"batch_add", "amend": b"amend_order", "edit": b"edit_order"}
"""Methods, by the words that the journal has for them."""


class CrashError(BaseException):
    """The client's process dies here."""


MEMBERS = frozenset(
    (
        "exec_type", "order_status", "order_id", "cl_ord_id", "order_userref", "exec_id", "trade_id", "symbol", "side",
        "order_type", "order_qty", "limit_price", "cum_qty", "cum_cost", "avg_price", "last_qty", "last_price", "cost",
        "liquidity_ind", "reason", "ratecount", "fee_usd_equiv",
    )
)  # fmt: skip


def row_of(members: dict[str, Any]) -> Execution:
    known = {name: value for name, value in members.items() if name in MEMBERS}
    fees = [(fee["asset"], fee["qty"]) for fee in members.get("fees", ())]
    return Execution(recovered=False, fees=fees, **known)


def ns_of(text: str | None) -> int | None:
    if text is None:
        return None
    from datetime import datetime

    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * S + moment.microsecond * 1000


class BoxLine(asyncio.Protocol):
    """A private line to the box. It reconnects by itself."""

    def __init__(self, world: OrderWorld, token: str) -> None:
        self.world = world
        self.token = token
        self.is_up = False
        self.is_open = True
        self.reconnect_s = 0.5
        self.host, self.port = HOST, PORT
        self.sent: list[bytes] = []
        self.listener: Any = None
        self.refuses_writes = False
        self.crash_at = ""
        self.crash_on = "add"
        self._since_ns = 0
        self._sequence = 0
        self._transport: Any = None
        self._head = b""
        self._reader: FrameReader | None = None
        self._heard_ns = 0

    # TradingLine

    def listen(self, listener: Any) -> None:
        self.listener = listener

    def gapless_since(self, monotonic_ns: int) -> bool:
        return self.is_up and self._since_ns <= monotonic_ns

    def send(self, text: bytes) -> str:
        if not self.is_up or self.refuses_writes:
            return "never_left"
        is_it = text.startswith(b'{"method":"%s' % WIRE[self.crash_on])
        if self.crash_at == "before send" and is_it:
            self.world.storage.is_dead = True
            raise CrashError
        self._write(text)
        if self.crash_at == "after send" and is_it:
            self.world.storage.is_dead = True
            raise CrashError
        return "written"

    # The wire

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.is_open:
            try:
                await loop.create_connection(lambda: self, self.host, self.port)
            except OSError:
                await asyncio.sleep(self.reconnect_s)
                continue
            self._lost = loop.create_future()
            await self._lost
            await asyncio.sleep(self.reconnect_s)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._head, self._reader, self._sequence = b"", None, 0
        transport.write(UPGRADE)

    def connection_lost(self, error: Exception | None) -> None:
        was_up, self.is_up, self._transport = self.is_up, False, None
        self.world.gaps_ns.append(self.world.clock.monotonic_ns)
        if was_up and self.listener is not None and self.is_open:
            self.listener.on_down(str(error or "end"))
        if not self._lost.done():
            self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self._head += data
            head, blank, rest = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            assert b" 101 " in head, head
            self._reader, data = FrameReader(), rest
            params = {"channel": "executions", "token": self.token, "snap_orders": True, "snap_trades": True,
                      "ratecounter": True}  # fmt: skip
            self._write(json.dumps({"method": "subscribe", "params": params, "req_id": 1}).encode())
        # The reader reads a client's frames, which are masked: the server's are taken apart here.
        self._reader.rest = getattr(self._reader, "rest", b"") + data  # type: ignore[attr-defined]
        self._frames()

    def _frames(self) -> None:
        raw: bytes = self._reader.rest  # type: ignore[union-attr]
        while len(raw) >= 2:
            size, at = raw[1] & 0x7F, 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(raw[2 : 2 + width], "big"), 2 + width
            if len(raw) < at + size:
                break
            opcode, payload, raw = raw[0], raw[at : at + size], raw[at + size :]
            self._reader.rest = raw  # type: ignore[union-attr]
            if opcode == 0x80 | OP_TEXT:
                self._message(json.loads(payload, parse_float=Decimal))
            if self._transport is None:
                return

    def _write(self, text: bytes) -> None:
        self.sent.append(text)
        self._transport.write(encode_frame(OP_TEXT, text, mask=b"mask"))

    def _message(self, message: dict[str, Any]) -> None:
        self._heard_ns = self.world.clock.monotonic_ns
        channel = message.get("channel")
        if self.listener is None:
            return
        if channel == "executions":
            self._executions(message)
        elif channel == "status":
            (data,) = message["data"]
            status = SystemStatus(
                data["system"], None, None, None, tuple(data.get("upcoming_maintenance", ())), ()
            )
            self.listener.on_status(status)
        elif "method" in message:
            result = message.get("result")
            if isinstance(result, dict) and result.get("maxratecount"):
                self.listener.on_rate_limit(result["maxratecount"])
            self.listener.on_reply(
                Ack(
                    message["method"], message.get("req_id"), message.get("success", True), message.get("error"), None,
                    result, ns_of(message.get("time_in")), ns_of(message.get("time_out")),
                )
            )  # fmt: skip

    def _executions(self, message: dict[str, Any]) -> None:
        sequence = message["sequence"]
        if sequence != self._sequence + 1:
            self.drop()
            return
        self._sequence = sequence
        rows = [row_of(each) for each in message["data"]]
        is_snapshot = message["type"] == "snapshot"
        if is_snapshot:
            rows.reverse()
            self.is_up = True
            self._since_ns = self.world.clock.monotonic_ns
            self.world.gaps_ns.append(self._since_ns)
        self.listener.on_executions(rows, snapshot=is_snapshot)
        if is_snapshot:
            self.listener.on_up()


class CrashingStorage(MemoryStorage):
    """Keeps the bytes over crashes, and dies where it is told to."""

    crash_at = ""
    crash_on = "add"
    is_dead = False
    fails = False
    tears_at = 40

    def append(self, data: bytes) -> None:
        if self.fails:
            raise OSError(28, "No space left on device")
        if self.is_dead:  # nothing is written or sent by whoever is still running
            if b'"p":{' in data:
                raise CrashError
            return
        is_intent = b'{"k":"%s"' % self.crash_on.encode() in data
        if is_intent and self.crash_at == "before journal":
            self.is_dead = True
            raise CrashError
        if is_intent and self.crash_at == "torn journal":
            super().append(data[: self.tears_at])
            self.is_dead = True
            raise CrashError
        super().append(data)
        if is_intent and self.crash_at == "after journal":
            self.is_dead = True
            raise CrashError


class BoxPort:
    """REST of the box, some way off."""

    def __init__(self, world: OrderWorld) -> None:
        self.world = world
        self.way_s = 0.02
        self.calls: list[str] = []
        self.is_down = False

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        path, _, query = request.url.removeprefix("https://exchange.test").partition("?")
        self.calls.append(path.rpartition("/")[2])
        await asyncio.sleep(self.way_s)
        if self.is_down:
            raise ResponseError("connection reset", sent=True)
        answer = self.world.core.http(request.method, path, query, request.body, request.headers)
        self.world.network.wake()
        await asyncio.sleep(self.way_s + answer.delay_ns / S)
        if answer.cut_at is not None:
            raise ResponseError("the connection was closed before the answer")
        return HttpResponse(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)

    async def close(self) -> None:
        """Nothing is open."""


class OrderWorld:
    """See the module's text."""

    def __init__(self, *, seed: int = 1, rate: float = 0.0, way_ms: float = 5.0, **options: Any) -> None:
        self.timeline = Timeline()
        self.clock = ManualClock(monotonic_ns=self.timeline.now_ns, epoch_ns=self.timeline.wall_ns())
        self.timeline.on_advance.append(self.clock.advance)
        self.loop = VirtualLoop(self.timeline)
        options.setdefault("accounts", [NewAccount("main", {"USD": 100_000_000, "BTC": 10_000}, tier="pro")])
        options.setdefault("limit_orders", True)
        self.core = ExchangeCore([BTC], seed=seed, now_ns=self.timeline.wall_ns, rate=rate, levels=20, **options)
        self.faults = self.core.faults
        self.network = Network(self.loop, self.core, seed=seed, route=lambda _: Route(way_ms, way_ms))
        self.account = next(iter(self.core.accounts.values()))
        self.rng = Random(f"{seed}/trader")
        self.storage = CrashingStorage()
        self.port = BoxPort(self)
        self.unhandled: list[Any] = []
        self.events: list[str] = []
        self.nonces = MemoryNonces()
        self.rest_tier = "pro"
        self.gaps_ns: list[int] = []
        """When the line was lost, and when it was back."""
        self.loop.set_exception_handler(lambda _loop, context: self.unhandled.append(context))
        self._lines: list[asyncio.Task[None]] = []
        self.line: BoxLine = None  # type: ignore[assignment]
        self.entry: OrderEntry = None  # type: ignore[assignment]
        self.rest: RestClient = None  # type: ignore[assignment]

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_ns / S

    def instrument(self, symbol: str) -> Instrument | None:
        pair = self.core.listing.pairs.get(symbol)
        if pair is None:
            return None
        return Instrument(
            symbol, pair.base, pair.quote, pair.status, pair.price_precision, pair.qty_precision, pair.cost_precision,
            pair.price_increment, pair.qty_increment, pair.qty_min, pair.cost_min,
        )  # fmt: skip

    def quote(self, symbol: str) -> Quote:
        book = self.core.book(symbol)
        return Quote(
            book.bids[0][0] if book.bids else None,
            book.asks[0][0] if book.asks else None,
        )

    def token(self) -> str:
        key = self.account.keys[0]
        text, _ = self.core.private.tokens.issue(self.account, key, self.timeline.wall_ns())
        return str(text)

    def make_rest(self) -> RestClient:
        key = self.account.keys[0]
        return RestClient(
            Credentials(key.key, key.secret if isinstance(key.secret, str) else base64.b64encode(key.secret).decode()),
            endpoints=Endpoints(rest_url="https://exchange.test"),
            settings=RestSettings(tier=self.rest_tier, hosts=(HOST,)),
            http=self.port,
            clock=self.clock,
            rng=Random(1),
            nonces=self.nonces,
            nonce_unit="ns",
        )

    async def open(
        self, *, with_rest: bool = True, quotes: bool = False, wait: bool = True, **settings: Any
    ) -> OrderEntry:
        """Begin a run of the client on whatever the journal holds."""
        self.storage.is_dead = False
        self.line = BoxLine(self, self.token())
        self._lines.append(asyncio.ensure_future(self.line.run()))
        self.rest = self.make_rest()
        journal = Journal(self.storage, self.clock, sync=Sync.NEVER)
        self.entry = OrderEntry(
            self.line,  # type: ignore[arg-type]
            journal=journal,
            instruments=self.instrument,
            rest=self.rest if with_rest else None,
            quotes=self.quote if quotes else None,
            settings=OrderSettings(tier="pro", **settings),
            clock=self.clock,
            rng=self.rng,
        )
        self.entry.on_event = self.events.append
        if wait:
            await self.entry.start()
        return self.entry

    def kill(self) -> None:
        """Let the client's process die: nothing of it says good-bye."""
        self.line.is_open = False
        self.line.is_up = False
        self.line.crash_at = self.storage.crash_at = ""
        self.loop.call_later(0.02, self.line.drop)  # what the system took over still leaves
        entry = self.entry
        entry._is_closed = True
        if entry._timer is not None:
            entry._timer.cancel()
        for task in entry._tasks:
            task.cancel()
        self._lines.pop().cancel()

    async def close(self) -> None:
        self.line.is_open = False
        await self.entry.close()
        self.line.drop()
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def whole() -> Any:
            try:
                return await main
            finally:
                await self.close()

        result = run(self.loop, whole())
        assert not self.unhandled, self.unhandled
        return result

    # The truth

    def truth(self) -> dict[str, list[Any]]:
        """Give the exchange's orders by the client's name of them."""
        found: dict[str, list[Any]] = {}
        for order in self.account.orders.values():
            found.setdefault(order.cl_ord_id or (f"#{order.userref}" if order.userref else order.order_id), []).append(
                order
            )
        return found

    def buy(self, **others: Any) -> dict[str, Any]:
        """Give the terms of an order that rests."""
        return {
            "symbol": BTC, "side": "buy", "order_type": "limit", "order_qty": "0.01", "limit_price": "1000.0", **others,
        }  # fmt: skip
