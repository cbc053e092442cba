"""What a coordinator can tell about itself: one snapshot, and its exposition for Prometheus.

    server = MetricsServer(coordinator)
    await server.start()                # http://127.0.0.1:PORT/metrics

The server answers GET of /metrics on a loopback address, in the coordinator's own loop: nothing is read from another
thread. There are no balances, orders or keys in it. Needs `kraken_fast[metrics]`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..config import is_loopback
from ..core.latency import Histogram
from ..errors import ConfigError
from .health import AccountHealth, LineHealth
from .shares import Shares
from .validate import CheckSummary

_log = logging.getLogger("kraken_fast.metrics")

REQUEST_BYTES_MAX = 8192
REQUEST_S = 5.0
PERCENTILES = (50.0, 99.0, 99.9)
LINE_STATES = ("down", "backoff", "connecting", "live", "suspect", "closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """How a coordinator stands.

    Attributes:
        symbols: how many.
        sources: books by who serves them: starting, websocket, rest, none.
        lines: how each line stands.
        deliveries, copies: states told, and messages told apart from them.
        diverged, compared: times that lines disagreed; deep books compared.
        window, whole: shares of the last minute and since the start.
        availability_min, availability_mean: of the symbols, by channel.
        checks: comparisons with REST.
        rest_calls, rest_failures, rest_wait_s: of the third source; how long a call would wait.
        events: what happened, by kind.
        stages_ns: percentiles by stage, if they are timed.
        callback_failures: exceptions of users' callbacks.
        account: how the account is read; None without a key.
    """

    symbols: int
    sources: Mapping[str, int]
    lines: tuple[LineHealth, ...]
    deliveries: int
    copies: int
    diverged: int
    compared: int
    window: Shares
    whole: Shares
    availability_min: Mapping[str, float]
    availability_mean: Mapping[str, float]
    checks: CheckSummary
    rest_calls: int
    rest_failures: int
    rest_wait_s: float
    events: Mapping[str, int]
    stages_ns: Mapping[str, Mapping[float, int]]
    callback_failures: int
    account: AccountHealth | None = None


class Measured(Protocol):
    """Whatever has a snapshot; a coordinator."""

    def metrics(self) -> MetricsSnapshot:
        """Give the snapshot."""
        ...


def percentiles_ns(histogram: Histogram) -> dict[float, int]:
    """Give the percentiles of a stage; nothing while it is empty."""
    found = ((q, histogram.percentile(q)) for q in PERCENTILES)
    return {q: ns for q, ns in found if ns is not None}


Sample = tuple[dict[str, str], float]


def families(snapshot: MetricsSnapshot) -> Iterable[tuple[str, str, str, list[Sample]]]:
    """Give all metrics: name, kind (gauge or counter), what it means, and its samples."""
    yield "books", "gauge", "Books by who serves them", [
        ({"source": source}, count) for source, count in snapshot.sources.items()
    ]
    yield "line_state", "gauge", "1 for the state that a line is in", [
        ({"line": line.name, "state": state}, float(line.state == state))
        for line in snapshot.lines
        for state in LINE_STATES
    ]
    for name, kind, meaning, field in (
        ("line_lag_seconds", "gauge", "How far a line is behind the others", "lag_ms"),
        ("line_silent_seconds", "gauge", "Since a line's last text message", "silent_ms"),
    ):
        values = [(line.name, getattr(line, field)) for line in snapshot.lines]
        yield name, kind, meaning, [({"line": line}, ms / 1000) for line, ms in values if ms is not None]
    for name, meaning, field in (
        ("line_messages", "Messages taken in", "messages"),
        ("line_bytes", "Their payload", "message_bytes"),
        ("line_connections", "Connections made", "connections"),
        ("line_checksum_failures", "Books that disagreed with their checksum", "checksum_failures"),
        ("line_gaps", "Trades that a line skipped, gaps", "gaps"),
        ("line_malformed", "Messages not understood", "malformed"),
        ("line_resyncs", "Subscriptions begun anew", "resyncs"),
    ):
        yield name, "counter", meaning, [({"line": line.name}, getattr(line, field)) for line in snapshot.lines]
    yield "line_books_live", "gauge", "Proven books of a line", [
        ({"line": line.name}, line.books_valid) for line in snapshot.lines
    ]
    if snapshot.account is not None:
        yield "account_live", "gauge", "1 while the account's stream is live", [
            ({}, float(snapshot.account.source == "websocket"))
        ]
    yield from _coordinator_families(snapshot)


def _coordinator_families(snapshot: MetricsSnapshot) -> Iterable[tuple[str, str, str, list[Sample]]]:
    for name, kind, meaning, value in (
        ("symbols", "gauge", "Symbols subscribed", snapshot.symbols),
        ("deliveries", "counter", "States told", snapshot.deliveries),
        ("copies", "counter", "Messages told apart from news", snapshot.copies),
        ("divergences", "counter", "Times that lines disagreed", snapshot.diverged),
        ("rest_failures", "counter", "REST calls of the third source that failed", snapshot.rest_failures),
        ("rest_wait_seconds", "gauge", "How long a REST call would wait for the exchange's pace", snapshot.rest_wait_s),
        ("rest_share", "gauge", "Share of REST in the last minute", snapshot.window.rest_share),
        ("websocket_share", "gauge", "Share of WebSocket in what was served", snapshot.window.websocket_share),
        ("checks", "counter", "Numbers compared with REST", snapshot.checks.compared),
        ("check_breaches", "counter", "Comparisons that disagreed twice", snapshot.checks.breaches),
        ("callback_failures", "counter", "Exceptions of callbacks", snapshot.callback_failures),
    ):
        yield name, kind, meaning, [({}, value)]
    for name, meaning, shares in (
        ("availability_min", "Of the symbol that was served least", snapshot.availability_min),
        ("availability_mean", "Of all symbols", snapshot.availability_mean),
    ):
        yield name, "gauge", meaning, [({"channel": channel}, share) for channel, share in shares.items()]
    yield "served", "counter", "Things that readers got, by source", [
        ({"source": "websocket"}, snapshot.whole.websocket),
        ({"source": "rest"}, snapshot.whole.rest),
        ({"source": "rest in an emergency"}, snapshot.whole.emergency),
        ({"source": "none"}, snapshot.whole.refused),
    ]
    yield "rest_calls", "counter", "REST calls by purpose", [
        ({"purpose": purpose}, count) for purpose, count in snapshot.whole.calls.items()
    ]
    yield "events", "counter", "What happened, by kind", [
        ({"kind": kind}, count) for kind, count in snapshot.events.items()
    ]
    yield "stage_seconds", "gauge", "Time that a book takes in a stage", [
        ({"stage": stage, "percentile": f"{q:g}"}, ns / 1e9)
        for stage, values in snapshot.stages_ns.items()
        for q, ns in values.items()
    ]


class _Collector:
    """Reads the coordinator whenever Prometheus asks."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Any]:
        """Give all metrics in the official client's form."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - an extra

        for name, kind, meaning, samples in families(self._measured.metrics()):
            labels = list(samples[0][0]) if samples else []
            family = (GaugeMetricFamily if kind == "gauge" else CounterMetricFamily)(
                f"kraken_fast_{name}", meaning, labels=labels
            )
            for each, value in samples:
                family.add_metric([each[label] for label in labels], value)
            yield family


def exposition(measured: Measured) -> bytes:
    """Write all metrics in Prometheus' text form.

    Raises:
        ConfigError: `kraken_fast[metrics]` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("metrics", None, "installed: pip install 'kraken_fast[metrics]'") from error
    registry = CollectorRegistry()
    registry.register(_Collector(measured))
    text: bytes = generate_latest(registry)
    return text


class MetricsServer:
    """Serves the exposition. See the module's text.

    Args:
        measured: a coordinator.
        host: a loopback address.
        port: 0 for any free one, see `port` after `start`.

    Raises:
        ConfigError: the address is not loopback.
    """

    def __init__(self, measured: Measured, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise ConfigError("host", host, "a loopback address: there is no authentication")
        self._measured = measured
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=REQUEST_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(head))
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            _log.debug("no request: %s", error)
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        host = next((line[5:].strip() for line in lines if line.lower().startswith("host:")), "")
        if not is_loopback(host.rpartition(":")[0].strip("[]") or host):
            return _response("403 Forbidden", b"this is for this machine alone\n")  # a page that rebinds its name
        method, _, rest = lines[0].partition(" ")
        if method != "GET":
            return _response("405 Method Not Allowed", b"GET only\n")
        if rest.partition(" ")[0].partition("?")[0] != "/metrics":
            return _response("404 Not Found", b"/metrics\n")
        return _response("200 OK", exposition(self._measured))


def _response(status: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
