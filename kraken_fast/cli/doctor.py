"""`doctor`: what stands between this machine and the exchange, one line each, and what to do about it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from ..auth import Credentials
from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, Endpoints
from ..core.clock import SystemClock
from ..errors import KrakenFastError
from ..rest.endpoints import RestClient
from ..rest.nonce import MemoryNonces
from .boxed import BoxProcess
from .output import Status, console, one_line_errors, reason_of, run, say
from .rest import AsJson, CaFile, KeyFile, Keyring, RestUrl, Sim, Where, as_text

CLOCK_OFF_MS = 1000.0
"""Deadlines go by the exchange's clock; beyond this, logs and nonces beside those of others suffer."""

REACH_S = 5.0
REINSTALL = "install kraken_fast and picows anew"
REACH = "check the network, a firewall or proxy, and https://status.kraken.com"
NOT_ITS_OWN = "the certificate is not the exchange's: a proxy between? set the clock; --ca-file only for a box"

SLOW_MS = 500.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `advice` is shown when it is not good."""

    what: str
    is_good: bool
    fact: str
    advice: str = ""


def doctor(
    rest_url: RestUrl = PUBLIC_REST_URL,
    ws_url: Annotated[str, typer.Option(help="The exchange's WebSocket v2.")] = PUBLIC_WS_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Check the core, the clock, the network, and the key if there is one."""
    with one_line_errors():
        Endpoints(rest_url=rest_url, ws_url=ws_url, ca_file=ca_file)
        findings = run(examine(Where(rest_url, ca_file, key_file, keyring, sim), ws_url))
        if as_json:
            say(as_text([replace(each, advice="") if each.is_good else each for each in findings]))
        else:
            show(findings)
        if not all(each.is_good for each in findings):
            raise typer.Exit(Status.CHECK_FAILED)


def show(findings: list[Finding]) -> None:
    """Print one line for each, with what to do about those that are not good."""
    out = console()
    for each in findings:
        mark = Text("ok  " if each.is_good else "BAD ", style="green" if each.is_good else "red")
        advice = "" if each.is_good else f"; {each.advice}"
        out.print(mark + Text(f"{each.what:<12} {each.fact}{advice}", style=""), soft_wrap=True)


async def examine(where: Where, ws_url: str) -> list[Finding]:
    """Make all checks, of a box of our own if one is asked for."""
    if not where.sim:
        return await _examine(where, ws_url, where.credentials)
    async with BoxProcess() as box:
        key = Credentials(box.api_key, box.api_secret)
        return await _examine(Where(box.rest_url, None), box.ws_url, lambda: key)


async def _examine(where: Where, ws_url: str, find: Callable[[], Credentials | None]) -> list[Finding]:
    endpoints = Endpoints(rest_url=where.rest_url, ca_file=where.ca_file)
    client = RestClient(endpoints=endpoints)
    checks: list[tuple[str, str, Callable[[], Awaitable[list[Finding]]]]] = [
        ("core", REINSTALL, check_core),
        ("REST host", REACH, lambda: check_host("REST", where.rest_url, where.ca_file)),
        ("WS host", REACH, lambda: check_host("WS", ws_url, where.ca_file)),
        ("REST", REACH, lambda: check_rest(client)),
        ("clock", REACH, lambda: check_clock(client)),
        ("key", "make another at the exchange, or correct this one", lambda: check_key(endpoints, find)),
    ]
    findings: list[Finding] = []
    try:
        for what, advice, check in checks:
            try:
                findings += await check()
            except (KrakenFastError, OSError) as error:
                findings.append(Finding(what, is_good=False, fact=reason_of(error), advice=advice))
    finally:
        await client.close()
    return findings


async def check_core() -> list[Finding]:
    """Check that the compiled core and the WebSocket library it was built against fit: importing it does."""
    try:
        from ..core import listener  # noqa: F401, PLC0415 - the import is the check
    except ImportError as error:
        return [Finding("core", is_good=False, fact=str(error), advice=REINSTALL)]
    return [Finding("core", is_good=True, fact="the compiled core fits its WebSocket library")]


async def check_host(what: str, url: str, ca_file: str | None) -> list[Finding]:
    """Resolve a host, connect to it, and see that its certificate is accepted."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme in ("https", "wss")
    port = parts.port or (443 if secure else 80)
    clock = SystemClock()
    begin_ns = clock.monotonic_ns
    try:
        async with asyncio.timeout(REACH_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        fact = f"{host} has no address: {error.strerror}"
        return [Finding(f"{what} host", False, fact, "check the resolver and the spelling")]
    resolved_ms = (clock.monotonic_ns - begin_ns) / 1e6
    begin_ns = clock.monotonic_ns
    async with asyncio.timeout(REACH_S):
        _, writer = await asyncio.open_connection(host, port)
    connected_ms = (clock.monotonic_ns - begin_ns) / 1e6
    writer.close()
    addresses = ", ".join(sorted({str(each[4][0]) for each in found})[:3])
    fact = f"{host} is {addresses}; resolved in {resolved_ms:.1f} ms, connected in {connected_ms:.1f} ms"
    reached = Finding(f"{what} host", connected_ms < SLOW_MS, fact, "the way to the exchange is long: move nearer")
    if not secure:
        return [reached, Finding(f"{what} TLS", is_good=True, fact="not used")]
    return [reached, await check_tls(what, host, port, ca_file)]


async def check_tls(what: str, host: str, port: int, ca_file: str | None) -> Finding:
    """See that a host's certificate is accepted."""
    clock = SystemClock()
    begin_ns = clock.monotonic_ns
    try:
        async with asyncio.timeout(REACH_S):
            context = ssl.create_default_context(cafile=ca_file)
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
        return Finding(f"{what} TLS", is_good=False, fact=reason, advice=NOT_ITS_OWN)
    took_ms = (clock.monotonic_ns - begin_ns) / 1e6
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    return Finding(f"{what} TLS", is_good=True, fact=f"certificate accepted, {version}, in {took_ms:.1f} ms")


async def check_clock(client: RestClient) -> list[Finding]:
    """Measure how far the clock is off the exchange's; it tells whole seconds, so that takes a few of them."""
    error_ms = 1000 * await client.sync_time()
    clock = client.clock
    off_ms = (clock.epoch_ns - client.exchange_time.now_ns(clock.monotonic_ns)) / 1e6
    fact = f"{off_ms:+.0f} ms off the exchange's, give or take {error_ms:.0f} ms"
    return [Finding("clock", abs(off_ms) - error_ms < CLOCK_OFF_MS, fact, "set it: chronyc or timedatectl")]


async def check_rest(client: RestClient) -> list[Finding]:
    """Ask for the state of the exchange, twice: the second time over a connection that is open."""
    clock = client.clock
    await client.fetch_time()
    await asyncio.sleep(client.settings.spacing_s)
    begin_ns = clock.monotonic_ns
    status = await client.fetch_status(max_age_s=0)
    took_ms = (clock.monotonic_ns - begin_ns) / 1e6
    return [
        Finding(
            "REST", took_ms < SLOW_MS, f"a call takes {took_ms:.1f} ms", "the way to the exchange is long"
        ),
        Finding(
            "exchange",
            status.status == "online",
            f"is {status.status}",
            "wait: see https://status.kraken.com",
        ),
    ]


async def check_key(endpoints: Endpoints, find: Callable[[], Credentials | None]) -> list[Finding]:
    """See what the key may do, and how much of the rate limits is left."""
    credentials = find()
    if credentials is None:
        return [Finding("key", is_good=True, fact="none given: public calls only")]
    nonces = MemoryNonces() if credentials.is_of_a_box else None
    async with RestClient(credentials, endpoints=endpoints, nonces=nonces) as client:
        info = await client.fetch_key_info()
        stats = client.stats()
    budget = f"{stats.points_max - stats.points:.0f} of {stats.points_max:.0f} points left"
    return [
        Finding("key", bool(info.permissions), f"may {', '.join(info.permissions) or 'do nothing'}", "grant it some"),
        Finding("nonce", stats.nonce_errors == 0, f"window {info.nonce_window}", "one key for each program is best"),
        Finding("tier", is_good=True, fact=f"taken to be {stats.tier}: REST does not tell it"),
        Finding("rate budget", is_good=True, fact=budget),
    ]
