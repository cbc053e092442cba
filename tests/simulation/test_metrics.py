"""Metrics: one snapshot, its exposition, and a server for this machine alone."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kraken_fast import ConfigError, MetricsServer, MetricsSnapshot
from kraken_fast.coordination.metrics import exposition, families

from .coordination import World


class Kept:
    """A coordinator that has gone, and what it told last."""

    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def metrics(self) -> MetricsSnapshot:
        return self._snapshot


def taken() -> MetricsSnapshot:
    world = World(["BTC/USD", "ETH/USD"], seed=81, rate=20)

    async def main() -> MetricsSnapshot:
        async with world.coordinator(key=True) as coordinator:
            coordinator.measure_stages()
            await asyncio.sleep(20)
            await coordinator.get_balance("USD")
            world.faults.inject("rst", session=world.session_of(coordinator, "A"))
            await asyncio.sleep(2)
            return coordinator.metrics()

    snapshot = world.run(main())
    assert isinstance(snapshot, MetricsSnapshot)
    return snapshot


def test_a_snapshot_tells_what_happened() -> None:
    snapshot = taken()
    assert snapshot.sources == {"starting": 0, "websocket": 2, "rest": 0, "none": 0}
    assert [line.connections for line in snapshot.lines] == [2, 1]
    assert snapshot.deliveries > 300
    assert snapshot.copies > 300
    assert snapshot.availability_min == {"book": 1.0, "ticker": 1.0}
    assert snapshot.whole.calls["account"] == 1
    assert snapshot.account is not None
    assert (snapshot.account.source, snapshot.account.line) == ("rest", "")
    assert snapshot.window.websocket_share == 1.0
    assert snapshot.events["LineChange"] > 8
    assert set(snapshot.stages_ns) == {"travelling", "decoding", "delivering"}
    assert snapshot.stages_ns["travelling"][50.0] == pytest.approx(5_000_000, rel=0.1), "the route's five milliseconds"


def test_the_exposition_is_what_prometheus_reads_and_holds_no_secret() -> None:
    snapshot = taken()
    text = exposition(Kept(snapshot)).decode()
    read = {family.name: family for family in text_string_to_metric_families(text)}
    told = {name for name, _, _, samples in families(snapshot) if samples}
    assert {f"kraken_fast_{name}" for name in told} <= set(read)
    live = [s for s in read["kraken_fast_line_state"].samples if s.labels["state"] == "live"]
    assert {s.labels["line"]: s.value for s in live} == {"A": 1.0, "B": 1.0}
    assert "USD" not in text.replace("BTC/USD", ""), "no balances"
    assert "SIMKEY" not in text


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_server_is_for_this_machine_alone() -> None:
    for host in ("0.0.0.0", "example.com"):
        with pytest.raises(ConfigError, match="loopback"):
            MetricsServer(Kept(taken_once()), host)
    server = MetricsServer(Kept(taken_once()))
    await server.start()
    try:
        answer = await ask(server.port, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"kraken_fast_deliveries_total" in answer
        assert b"404" in await ask(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"405" in await ask(server.port, b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"403" in await ask(server.port, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert await ask(server.port, b"x" * 100_000) == b"", "too long a head"
    finally:
        await server.close()


_KEPT: list[MetricsSnapshot] = []


def taken_once() -> MetricsSnapshot:
    if not _KEPT:
        import concurrent.futures

        with concurrent.futures.ThreadPoolExecutor(1) as pool:  # a loop of virtual time beside the real one
            _KEPT.append(pool.submit(taken).result())
    return _KEPT[0]
