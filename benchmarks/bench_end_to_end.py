"""Over a socket: how many messages a client verifies in a second of its CPU time, and how soon its callback has run."""

from __future__ import annotations

import asyncio
import resource
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import uvloop

from kraken_fast.core.book import OrderBook
from kraken_fast.feed import connect

from . import corpus, loopback, rivals
from .effort import SMOKE, Effort
from .loopback import Address

RIVAL_SHARE = 20
"""The rival gets this part of the messages: it is that much slower."""

PINGS = 1_500
WARM_PINGS = 200
Client = Callable[[Address], Coroutine[Any, Any, float]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _run(loop: str, main: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main)


# How many ------------------------------------------------------------------------------------------------------


async def ours(address: Address) -> float:
    """Take the flood through a feed; give verified messages per second of CPU."""
    done = asyncio.get_running_loop().create_future()
    count = 0
    began = 0.0

    def on_book(_book: OrderBook) -> None:
        nonlocal count, began
        count += 1
        if count == 2:  # the snapshot came while the feed was opening
            began = _cpu_s()
        elif count > address.messages:
            done.set_result(_cpu_s() - began)

    feed = connect(["BTC/USD"], ws_url=address.url, ca_file=address.ca_file)
    feed.on_book = on_book
    async with feed:
        cpu_s = await asyncio.wait_for(done, 300)
        stats = feed.stats()
    assert stats.books_verified == address.messages + 1
    assert stats.books_mismatched == 0
    return address.messages / float(cpu_s)


async def theirs(address: Address) -> float:
    """Take the flood through websockets and the idiomatic book."""
    import orjson
    from websockets.asyncio.client import connect as ws_connect

    book = rivals.IdiomaticBook(10)
    context = ssl.create_default_context(cafile=address.ca_file) if address.ca_file else None
    count, began = 0, 0.0
    async with ws_connect(address.url, compression=None, max_size=1 << 25, ssl=context) as socket:
        await socket.send('{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}')
        while count < address.messages + 1:
            message = orjson.loads(await socket.recv(decode=False))
            if message.get("channel") == "book":
                assert book.apply(message["data"][0], 1, 8)
                count += 1
                if count == 2:
                    began = _cpu_s()
        return address.messages / (_cpu_s() - began)


def throughput(client: Client, *, messages: int, tls: bool) -> float:
    """Give the messages per second of the client's CPU in one flood."""
    with loopback.flood(messages=messages, tls=tls) as address:
        return _run("uvloop", client(address))


# How soon ------------------------------------------------------------------------------------------------------


async def _latencies(*, tls: bool) -> list[int]:
    """Write one frame at a time into the peer's end of our connection; give the times until the callback has run."""
    tape = corpus.tape()
    frames = loopback.frames_of(tape)
    times: list[int] = []
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        listener, context, ca_file = loopback.listen(Path(folder) if tls else None)
        address = Address(listener.getsockname()[1], ca_file, 0)
        ready = loop.create_future()

        def accept() -> None:
            connection, _ = listener.accept()
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            loopback.open_session(connection, tape)
            loop.call_soon_threadsafe(ready.set_result, connection)

        threading.Thread(target=accept, daemon=True).start()
        feed = connect(["BTC/USD"], ws_url=address.url, ca_file=ca_file)
        async with feed:
            connection = await ready
            heard: asyncio.Future[int] = loop.create_future()
            feed.on_book = lambda _book: heard.set_result(time.monotonic_ns())
            for number in range(WARM_PINGS + PINGS):
                connection.sendall(frames[number % len(frames)])
                sent_ns = time.monotonic_ns()
                times.append(await heard - sent_ns)
                heard = loop.create_future()
            assert feed.stats().books_mismatched == 0
            connection.close()
        listener.close()
    return times[WARM_PINGS:]


def latencies_ns(loop: str, *, tls: bool) -> list[int]:
    """Give the times of single frames, from the moment the socket is readable."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(_latencies(tls=tls))


def latency_us(loop: str, *, tls: bool) -> float:
    """Give the median in microseconds."""
    return median(latencies_ns(loop, tls=tls)) / 1000


def figures(effort: Effort) -> dict[str, float]:
    """Measure both; the rival's share of the same machine in the same minute makes the ratio."""
    found: dict[str, float] = {}
    rounds = 3 if effort is not SMOKE else 1
    for tls, name in ((False, "plain"), (True, "tls")):
        share = 4 if tls else 1
        us, them = [], []
        for _ in range(rounds):  # in turns
            us.append(throughput(ours, messages=effort.messages // share, tls=tls))
            them.append(throughput(theirs, messages=effort.messages // RIVAL_SHARE, tls=tls))
        found[f"{name}_per_cpu_s"] = median(us)
        found[f"{name}_websockets_per_cpu_s"] = median(them)
        found[f"{name}_vs_websockets"] = median(a / b for a, b in zip(us, them, strict=True))
    for loop in LOOPS:
        found[f"{loop}_plain_p50_us"] = latency_us(loop, tls=False)
        found[f"{loop}_tls_p50_us"] = latency_us(loop, tls=True)
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("client", [ours, theirs], ids=["ours", "websockets"])
def test_flood(benchmark: Any, client: Client, tls: bool) -> None:
    with loopback.flood(messages=4_000, tls=tls) as address:
        result = benchmark.pedantic(lambda: _run("uvloop", client(address)), rounds=3)
    benchmark.extra_info["messages_per_cpu_s"] = result


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_latency(benchmark: Any, loop: str, tls: bool) -> None:
    benchmark.extra_info["p50_us"] = benchmark.pedantic(partial(latency_us, loop, tls=tls), rounds=1)
