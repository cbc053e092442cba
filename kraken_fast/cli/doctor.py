"""`doctor`: what stands between this machine and the exchange, one line each, and what to do about it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from ..auth import Credentials
from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, Endpoints
from ..core.clock import SystemClock
from ..endpoints import RestClient
from ..errors import ConfigError, KrakenFastError
from ..http import AioHttp, HttpRequest
from .output import Status, console, one_line_errors, run
from .rest import CaFile, KeyFile, Keyring, RestUrl, Where

CLOCK_OFF_S = 1.5
"""The exchange tells whole seconds; beyond half a second more the local clock is wrong."""

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
) -> None:
    """Check the core, the clock, the network, and the key if there is one."""
    with one_line_errors():
        Endpoints(rest_url=rest_url, ws_url=ws_url, ca_file=ca_file)
        findings = run(examine(Where(rest_url, ca_file, key_file, keyring), ws_url))
        out = console()
        for each in findings:
            mark = Text("ok  " if each.is_good else "BAD ", style="green" if each.is_good else "red")
            advice = "" if each.is_good else f"; {each.advice}"
            out.print(mark + Text(f"{each.what:<12} {each.fact}{advice}", style=""), soft_wrap=True)
        if not all(each.is_good for each in findings):
            raise typer.Exit(Status.CHECK_FAILED)


async def examine(where: Where, ws_url: str) -> list[Finding]:
    """Make all checks."""
    client = where.client()
    checks: list[tuple[str, Callable[[], Awaitable[list[Finding]]]]] = [
        ("core", check_core),
        ("REST host", lambda: check_host("REST host", where.rest_url)),
        ("WS host", lambda: check_host("WS host", ws_url)),
        ("clock", lambda: check_clock(where)),
        ("REST", lambda: check_rest(client)),
        ("key", lambda: check_key(where)),
    ]
    findings: list[Finding] = []
    try:
        for what, check in checks:
            try:
                findings += await check()
            except (KrakenFastError, OSError) as error:
                findings.append(Finding(what, is_good=False, fact=str(error), advice="see the line above"))
    finally:
        await client.close()
    return findings


async def check_core() -> list[Finding]:
    """Check that the compiled core and the WebSocket library it was built against fit: importing it does."""
    try:
        from ..core import listener  # noqa: F401, PLC0415 - the import is the check
    except ImportError as error:
        return [Finding("core", is_good=False, fact=str(error), advice="install kraken_fast and picows anew")]
    return [Finding("core", is_good=True, fact="the compiled core fits its WebSocket library")]


async def check_host(what: str, url: str) -> list[Finding]:
    """Resolve a host and connect to it."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme in ("https", "wss")
    port = parts.port or (443 if secure else 80)
    clock = SystemClock()
    begin_ns = clock.monotonic_ns
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        fact = f"{host} has no address: {error.strerror}"
        return [Finding(what, is_good=False, fact=fact, advice="check the resolver and the spelling")]
    resolved_ms = (clock.monotonic_ns - begin_ns) / 1e6
    begin_ns = clock.monotonic_ns
    async with asyncio.timeout(5):
        _, writer = await asyncio.open_connection(host, port)
    connected_ms = (clock.monotonic_ns - begin_ns) / 1e6
    writer.close()
    addresses = ", ".join(sorted({str(each[4][0]) for each in found})[:3])
    fact = f"{host} is {addresses}; resolved in {resolved_ms:.1f} ms, connected in {connected_ms:.1f} ms"
    return [Finding(what, connected_ms < SLOW_MS, fact, "the way to the exchange is long: move nearer")]


async def check_clock(where: Where) -> list[Finding]:
    """Compare the clock with the exchange's, and see that its certificate is accepted."""
    http = AioHttp(ca_file=where.ca_file)
    clock = SystemClock()
    try:
        begin_ns, begin_wall_ns = clock.monotonic_ns, clock.epoch_ns
        answer = await http.fetch(HttpRequest("GET", where.rest_url.rstrip("/") + "/0/public/Time"))
        middle_s = (begin_wall_ns + (clock.monotonic_ns - begin_ns) / 2) / 1e9
    finally:
        await http.close()
    secure = where.rest_url.startswith("https")
    tls = Finding(
        "TLS", is_good=True, fact=f"certificate accepted, {ssl.OPENSSL_VERSION}" if secure else "not used"
    )
    try:
        theirs_s = parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5
    except (KeyError, ValueError):
        return [tls, Finding("clock", is_good=True, fact="the exchange told no time")]
    off_s = middle_s - theirs_s
    fact = f"within {abs(off_s) + 0.5:.1f} s of the exchange's"
    return [tls, Finding("clock", abs(off_s) <= CLOCK_OFF_S, fact, "set it: chronyc or timedatectl")]


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


async def check_key(where: Where) -> list[Finding]:
    """See what the key may do, and how much of the rate limits is left."""
    if Credentials.find(key_file=where.key_file, keyring_name=where.keyring) is None:
        return [Finding("key", is_good=True, fact="none given: public calls only")]
    client = where.client(private=True)
    try:
        info = await client.fetch_key_info()
    except ConfigError as error:
        return [Finding("key", is_good=False, fact=str(error), advice="make another key")]
    finally:
        await client.close()
    stats = client.stats()
    budget = f"{stats.points_max - stats.points:.0f} of {stats.points_max:.0f} points left"
    return [
        Finding("key", is_good=True, fact=f"may {', '.join(info.permissions) or 'do nothing'}"),
        Finding(
            "nonce",
            stats.nonce_errors == 0,
            f"window {info.nonce_window}",
            "one key for each program is best",
        ),
        Finding("tier", is_good=True, fact=f"taken to be {stats.tier}: REST does not tell it"),
        Finding("rate budget", is_good=True, fact=budget),
    ]
