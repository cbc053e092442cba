"""What a REST call costs beyond the network: signing, nonce file, lanes, breaker, JSON; and beside plain aiohttp.

Without network the port answers at once. With it, a server in this process answers both clients, in turns.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import CircuitOpenError, ConnectError
from kraken_fast.policy import CircuitBreaker
from kraken_fast.rest.client import RestCore
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.rest.nonce import FileNonces

from .effort import Effort

KEY_INFO = b'{"error":[],"result":{"permissions":["query-funds"]}}'
BALANCE = b'{"error":[],"result":{"ZUSD":"1204.5510","XXBT":"0.0125480300","USDT":"18.99000000"}}'
CALLS = 200


class Instant:
    """A port that answers at once."""

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse(200, {}, KEY_INFO if request.url.endswith("GetApiKeyInfo") else BALANCE)

    async def close(self) -> None:
        """Do nothing."""


class Broken:
    """A port that fails at once."""

    async def fetch(self, _request: HttpRequest) -> HttpResponse:
        """Fail."""
        raise ConnectError("broken")

    async def close(self) -> None:
        """Do nothing."""


def client(folder: str, *, limits: bool = False, **others: Any) -> RestCore:
    """Make a client; mostly without limits, for their waits are no work."""
    who = Credentials("SIMKEYbench", "c2VjcmV0")
    settings = RestSettings(limits=limits)
    return RestCore(who, settings=settings, nonces=FileNonces(folder, "bench"), nonce_unit="ns", **others)


async def us_per_call(call: Callable[[], Awaitable[Any]]) -> float:
    """Give the CPU time of one call, in microseconds."""
    began = time.process_time_ns()
    for _ in range(CALLS):
        await call()
    return (time.process_time_ns() - began) / CALLS / 1000


async def without_network(name: str, rounds: int, *, limits: bool = False) -> float:
    """Give the least of several rounds: what the code costs when nobody disturbs it."""
    instant = Endpoints(rest_url="http://127.0.0.1:1")
    with tempfile.TemporaryDirectory() as folder:
        async with client(folder, endpoints=instant, http=Instant(), limits=limits) as ours:
            return min([await us_per_call(lambda: ours.call(name)) for _ in range(rounds)])


async def while_open(rounds: int) -> float:
    """Give the time of a call that an open breaker refuses."""
    async with RestCore(http=Broken(), settings=RestSettings(limits=False, retries_max=0)) as ours:

        async def refused() -> None:
            with suppress(CircuitOpenError):
                await ours.call("Time")

        for _ in range(CircuitBreaker.IN_A_ROW):
            with suppress(ConnectError):
                await ours.call("Time")
        assert ours.stats().breakers["public"] == "open"
        return min([await us_per_call(refused) for _ in range(rounds)])


async def against_aiohttp(rounds: int) -> tuple[float, float]:
    """Give the time of a public call over loopback: ours, and aiohttp's own with `json()`."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=BALANCE, content_type="application/json")

    app = web.Application()
    app.router.add_get("/0/public/Time", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async with aiohttp.ClientSession() as session:
        ours = RestCore(endpoints=Endpoints(rest_url=url), settings=RestSettings(limits=False))

        async def plain() -> Any:
            async with session.get(f"{url}/0/public/Time") as response:
                return await response.json()

        pairs = [(await us_per_call(lambda: ours.call("Time")), await us_per_call(plain)) for _ in range(rounds)]
        await ours.close()
    await runner.cleanup()
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def figures(effort: Effort) -> dict[str, float]:
    """Measure all."""
    ours, plain = asyncio.run(against_aiohttp(effort.rounds))
    return {
        "private_us": asyncio.run(without_network("Balance", effort.rounds)),
        "public_us": asyncio.run(without_network("Time", effort.rounds)),
        "order_us": asyncio.run(without_network("CancelOrder", effort.rounds, limits=True)),
        "breaker_us": asyncio.run(while_open(effort.rounds)),
        "loopback_us": ours,
        "loopback_vs_aiohttp": ours / plain,
    }


def test_a_private_call_without_network(benchmark: Any) -> None:
    benchmark.extra_info["us"] = benchmark.pedantic(lambda: asyncio.run(without_network("Balance", 1)), rounds=3)


def test_a_public_call_beside_aiohttp(benchmark: Any) -> None:
    benchmark.pedantic(lambda: asyncio.run(against_aiohttp(1)), rounds=1)
