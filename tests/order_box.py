"""A trader in virtual time: order entry over an account's real private line, a client that can crash, the truth."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Coroutine
from random import Random
from typing import Any

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import ResponseError
from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.journal import Journal, MemoryStorage, Sync
from kraken_fast.orders.pretrade import Quote
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.private.account import Account, connect_account
from kraken_fast.private.line import LineListener
from kraken_fast.private.session import PrivateSession
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.network import ADDRESS, HOST, Network, Route
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run
from kraken_fast.types import Ack, Instrument, SystemStatus

S = 1_000_000_000
BTC = "BTC/USD"
WS_URL = f"wss://ws-auth.{HOST}/v2"
REST_URL = f"https://{HOST}"
RECONNECT_S = 1.0
"""A line that was lost, and may come back at once, is back within this."""

OF_THE_ACCOUNT = frozenset(("GetApiKeyInfo", "GetWebSocketsToken", "AssetPairs", "BalanceEx"))
"""Calls of REST that an account makes for itself."""

_TLS = ssl.create_default_context()  # shown to the client, never used

WIRE = {"add": b"add_order", "batch": b"batch_add", "amend": b"amend_order", "edit": b"edit_order"}
"""Methods, by the words that the journal has for them."""


class CrashError(BaseException):
    """The client's process dies here."""


class WorldLine:
    """The real private line, with places where it can be hurt."""

    def __init__(self, world: OrderWorld, session: PrivateSession) -> None:
        self.world = world
        self.session = session
        self.outage_s = 0.0
        self.sent: list[bytes] = []
        self.refuses_writes = False
        self.crash_at = ""
        self.crash_on = "add"
        self.is_dead = False
        self._listener: LineListener | None = None

    # TradingLine

    @property
    def is_up(self) -> bool:
        return not self.is_dead and self.session.is_up

    @property
    def token(self) -> str:
        return self.session.token

    def listen(self, listener: LineListener | None) -> None:
        self._listener = listener
        self.session.listen(None if listener is None else self)

    def gapless_since(self, monotonic_ns: int) -> bool:
        return self.session.gapless_since(monotonic_ns)

    def send(self, text: bytes) -> str:
        if self.is_dead or self.refuses_writes:
            return "never_left"
        is_it = text.startswith(b'{"method":"%s' % WIRE[self.crash_on])
        if self.crash_at == "before send" and is_it:
            self.world.storage.is_dead = True
            raise CrashError
        outcome = self.session.send(text)
        if outcome == "written":
            self.sent.append(text)
        if self.crash_at == "after send" and is_it:
            self.world.storage.is_dead = True
            raise CrashError
        return outcome

    # LineListener

    def on_up(self) -> None:
        self.world.gaps_ns.append(self.world.clock.monotonic_ns)
        self._tell("on_up")

    def on_down(self, reason: str) -> None:
        self.world.gaps_ns.append(self.world.clock.monotonic_ns)
        self._tell("on_down", reason)

    def on_reply(self, ack: Ack) -> None:
        self._tell("on_reply", ack)

    def on_executions(self, rows: Any, *, snapshot: bool) -> None:
        self._tell("on_executions", rows, snapshot=snapshot)

    def on_status(self, status: SystemStatus) -> None:
        self._tell("on_status", status)

    def on_rate_limit(self, points_max: int) -> None:
        self._tell("on_rate_limit", points_max)

    def _tell(self, method: str, *facts: Any, **others: Any) -> None:
        if self._listener is not None and not self.is_dead:
            getattr(self._listener, method)(*facts, **others)

    # What happens to it

    def drop(self) -> None:
        """Lose the connection; the next one comes after the outage, or at once."""
        if self.outage_s:
            self.world.network.listening.clear()
            self.world.loop.call_later(self.outage_s, self.world.network.listening.add, ADDRESS)
        self.world.network.lose_machine()


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
        path, _, query = request.url.removeprefix(REST_URL).partition("?")
        if (name := path.rpartition("/")[2]) not in OF_THE_ACCOUNT:
            self.calls.append(name)
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
        self._openings: list[asyncio.Task[None]] = []
        self.line: WorldLine = None  # type: ignore[assignment]
        self.account_face: Account = None  # type: ignore[assignment]
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

    def make_rest(self) -> RestClient:
        key = self.account.keys[0]
        return RestClient(
            Credentials(key.key, key.secret if isinstance(key.secret, str) else base64.b64encode(key.secret).decode()),
            endpoints=Endpoints(rest_url=REST_URL),
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
        self.rest = self.make_rest()
        self.account_face = connect_account(
            rest=self.rest,
            ws_url=WS_URL,
            rest_url=REST_URL,
            clock=self.clock,
            rng=self.rng,
            budget=AttemptBudget(MemoryAttempts(), limit=1_000_000),
            ssl_context=_TLS,
            use_aiofastnet=False,
            ready_s=60.0,
        )
        self.line = WorldLine(self, self.account_face.line)
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
        # Order entry listens before the line is up: the first token takes longer than what is left to do here.
        self._openings.append(asyncio.ensure_future(self.account_face.open()))
        if wait:
            await self.entry.start()
        return self.entry

    def kill(self) -> None:
        """Let the client's process die: nothing of it says good-bye."""
        self.line.is_dead = True
        self.line.crash_at = self.storage.crash_at = ""
        self.loop.call_later(0.02, self._bury, self.account_face)  # what the system took over still leaves
        entry = self.entry
        entry._is_closed = True
        if entry._timer is not None:
            entry._timer.cancel()
        for task in entry._tasks:
            task.cancel()

    def _bury(self, face: Account) -> None:
        self.network.lose_machine()
        self._openings.append(asyncio.ensure_future(face.close()))

    async def close(self) -> None:
        await self.entry.close()
        await self.account_face.close()
        await asyncio.gather(*self._openings, return_exceptions=True)

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
