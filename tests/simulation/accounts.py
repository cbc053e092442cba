"""An account in virtual time: the real client, REST and the private line of the exchange in a box, one seed.

    world = AccountWorld(seed=7)

    async def main() -> None:
        async with world.connect() as account:
            world.limit("buy", "0.01", "60000")
            ...
            world.check_fills()

    world.run(main())
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import urlsplit

from kraken_fast.account_records import AccountGap
from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import ManualClock
from kraken_fast.core.execution import Execution
from kraken_fast.errors import ResponseError
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.private.account import Account, connect_account
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import KeyState, MemoryNonces
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.market import Market
from kraken_fast.sim.network import HOST, Network, Route
from kraken_fast.sim.virtual import Timeline, VirtualLoop, run

S = 1_000_000_000
WS_URL = f"wss://ws-auth.{HOST}/v2"
REST_URL = f"https://{HOST}"
BTC = "BTC/USD"

_TLS = ssl.create_default_context()  # shown to the client, never used


class BoxHttp:
    """REST of the box over the virtual network: half a round trip there, half back, faults included."""

    def __init__(self, world: AccountWorld, rtt_s: float) -> None:
        self.calls: list[tuple[float, str]] = []
        self._world = world
        self._rtt_s = rtt_s

    def count(self, name: str) -> int:
        """Give how often an endpoint was called."""
        return sum(called == name for _, called in self.calls)

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """See `HttpPort`."""
        world, parts = self._world, urlsplit(request.url)
        self.calls.append((world.now_s, parts.path.rpartition("/")[2]))
        await asyncio.sleep(self._rtt_s / 2 + world.core.http_delay_ns(parts.path) / S)
        world.core.advance()
        answer = world.core.http(request.method, parts.path, parts.query, request.body, request.headers)
        world.network.wake()
        await asyncio.sleep(self._rtt_s / 2 + answer.delay_ns / S)
        if answer.cut_at is not None:
            raise ResponseError("the answer broke off", sent=True)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status, headers, answer.body)

    async def close(self) -> None:
        """Nothing is open."""


class AccountWorld:
    """See the module's text.

    Args:
        seed: of everything.
        rate: the crowd's actions a second; 0 leaves the market alone.
        route: of the n-th connection.
        rtt_s: of REST.
        tier: of the account.
        limits: keep the REST counters, on both sides.

    Attributes:
        fills, orders, gaps, balances, notices: what the client told, in order.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        rate: float = 0.0,
        route: Callable[[int], Route] = lambda _number: Route(),
        rtt_s: float = 0.04,
        tier: Any = "intermediate",
        limits: bool = True,
        permissions: tuple[str, ...] | None = None,
        limit_orders: bool = False,
        timers_first: bool = False,
    ) -> None:
        self.seed = seed
        self.timeline = Timeline()
        self.clock = ManualClock(monotonic_ns=self.timeline.now_ns, epoch_ns=self.timeline.wall_ns())
        self.timeline.on_advance.append(self.clock.advance)
        self.loop = VirtualLoop(self.timeline, timers_first=timers_first)
        facts = {} if permissions is None else {"permissions": permissions}
        self.core = ExchangeCore(
            [BTC],
            seed=seed,
            now_ns=self.timeline.wall_ns,
            rate=rate,
            levels=10,
            accounts=[NewAccount(tier=tier, **facts)],
            limit_calls=limits,
            limit_orders=limit_orders,
        )
        self.faults = self.core.faults
        self.network = Network(self.loop, self.core, seed=seed, route=route)
        self.http = BoxHttp(self, rtt_s)
        self.nonces = MemoryNonces(KeyState(unit="ns", confirmed=True))
        self.settings = RestSettings(tier=tier, hosts=(HOST,), limits=limits)
        self.fills: list[Execution] = []
        self.orders: list[Execution] = []
        self.gaps: list[AccountGap] = []
        self.balances: list[Any] = []
        self.notices: list[Any] = []
        self._start_ns = self.timeline.now_ns
        self._unhandled: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self._unhandled.append(context))

    @property
    def account(self) -> Any:
        """The account as the exchange keeps it."""
        return next(iter(self.core.accounts.values()))

    @property
    def market(self) -> Market:
        """The one market."""
        return self.core.market(BTC)

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.timeline.now_ns - self._start_ns) / S

    def rest(self) -> RestClient:
        """Make a REST client of the account's key."""
        key = self.account.keys[0]
        return RestClient(
            Credentials(key.key, key.secret),
            endpoints=Endpoints(rest_url=REST_URL),
            settings=self.settings,
            http=self.http,
            clock=self.clock,
            rng=Random(f"{self.seed}/rest"),
            nonces=self.nonces,
            needs=("create-ws-token", "query-open-trades", "query-closed-trades", "query-funds", "query-ledger"),
        )

    def connect(self, **others: Any) -> Account:
        """Prepare an account that tells this world everything."""
        if "rest" not in others:
            others["rest"] = self.rest()
        others.setdefault("budget", AttemptBudget(MemoryAttempts(), limit=1_000_000))
        account = connect_account(
            ws_url=WS_URL,
            rest_url=REST_URL,
            clock=self.clock,
            rng=Random(f"{self.seed}/client"),
            ssl_context=_TLS,
            use_aiofastnet=False,
            **others,
        )
        account.on_fill = self.fills.append
        account.on_order = self.orders.append
        account.on_balance = self.balances.append
        account.on_notice = self._on_notice
        return account

    def _on_notice(self, event: Any) -> None:
        (self.gaps if isinstance(event, AccountGap) else self.notices).append(event)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run to the end; nothing may be left over and nothing may have gone unhandled."""
        run(self.loop, main)
        assert not self._unhandled, f"seed {self.seed}: {self._unhandled}"

    async def until(self, condition: Callable[[], Any], within_s: float, step_s: float = 0.005) -> float:
        """Wait for a condition; give the seconds it took, and fail after `within_s`."""
        begin = self.now_s
        while not condition():
            assert self.now_s - begin < within_s, f"seed {self.seed}: not true within {within_s} s"
            await asyncio.sleep(step_s)
        return self.now_s - begin

    # What happens at the exchange ------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Take the crowd's orders out of the book."""
        for side in ("buy", "sell"):
            self.market.clear(side)

    def limit(self, side: str, qty: str, price: str, **others: str) -> str:
        """Let the account place a limit order, as by hand; give its id."""
        fields = {"pair": BTC, "type": side, "volume": qty, "price": price, **others}
        order_id = self.core.mishaps.place(self.account, fields)
        self.network.wake()
        return order_id

    def hit(self, order_id: str, qty: str) -> None:
        """Let the crowd trade with an order that rests."""
        self.core.mishaps.fill(self.account, self.account.orders[order_id], Decimal(qty))
        self.network.wake()

    def truth(self) -> list[str]:
        """Give the ids of all fills of the account, in the exchange's order."""
        return list(self.account.executions)

    def check_fills(self, first: int = 0) -> None:
        """Check that the client told every fill from the `first` on, once and in order."""
        told, truth = [fill.exec_id for fill in self.fills], self.truth()[first:]
        assert told == truth, (
            f"seed {self.seed}: {len(told)} told, {len(truth)} happened; missing {sorted(set(truth) - set(told))[:5]}, "
            f"doubled {len(told) - len(set(told))}"
        )
