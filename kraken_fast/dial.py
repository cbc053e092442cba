"""Opening one WebSocket: resolve, connect, secure, upgrade, and say in our own words what went wrong.

Also the file in which all processes of a user count their attempts. What to do about a failure, and when to try again,
is `transport`'s business.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import picows
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves the class out

from .config import Endpoints, LineSettings, is_loopback
from .core.clock import Clock
from .core.listener import LineListener
from .errors import ConfigError, ConnectError, HandshakeError, TlsError, TransportError, printable
from .hangup import HangupWatch
from .policy import SECOND_NS, MemoryAttempts, ns_until_free

_log = logging.getLogger("kraken_fast.dial")

RETRY_AFTER_MAX_S = 86_400
"""A `Retry-After` beyond a day is taken as a day."""

READ_BUFFER_BYTES = 16 * 1024


Connector = Callable[..., Awaitable[Any]]
"""What connects instead of the event loop: called as its `create_connection` is, and gives what that gives."""


class LineProtocol(WSProtocol):  # type: ignore[misc]  # untyped, see the import
    """picows' protocol, which in addition remembers why its transport ended and keeps a list of open sockets."""

    sockets: set[LineProtocol]
    cause = ""
    watch: HangupWatch | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Note the socket as open."""
        super().connection_made(transport)
        self.sockets.add(self)
        sock = transport.get_extra_info("socket")
        is_real = sock.fileno() >= 0  # an exchange in this process has none
        if is_real and not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
            self.watch = HangupWatch(sock, self._on_hangup)

    def _on_hangup(self, reason: str) -> None:
        self.cause = self.cause or reason
        self.abort()

    def eof_received(self) -> bool:
        """Note an end without a close frame."""
        self.cause = "end of stream without a close frame"
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the socket as closed."""
        if exc is not None:
            self.cause = str(exc) or type(exc).__name__
        if self.watch is not None:
            self.watch.close()
        self.sockets.discard(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the socket now; what is unsent is lost."""
        if self in self.sockets:
            self.transport.disconnect(False)


class Dialer:
    """Opens the connections of one line, one at a time.

    Args:
        endpoints, settings, clock, ssl_context, use_aiofastnet, connector: see `transport.Connection`.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        settings: LineSettings,
        clock: Clock,
        *,
        ssl_context: ssl.SSLContext | None = None,
        use_aiofastnet: bool = True,
        connector: Connector | None = None,
    ) -> None:
        url = urlsplit(endpoints.ws_url)
        self.host = url.hostname or ""
        self.is_secure = url.scheme == "wss"
        self.port = url.port or (443 if self.is_secure else 80)
        self._netloc = url.netloc
        self._resource = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._ca_file = endpoints.ca_file
        self._settings = settings
        self._clock = clock
        self._use_aiofastnet = use_aiofastnet and connector is None
        self._connector = connector
        self._ssl_context = ssl_context
        if ssl_context is not None:
            self._check_verifies(ssl_context)
        # picows would log each read after a broken frame, and whole headers at its debug level. What matters of it
        # reaches the owner as the reason of an end.
        self._silence = logging.Logger("kraken_fast.wire", logging.CRITICAL)  # noqa: LOG001 - nobody else's
        self.sockets: set[LineProtocol] = set()
        """All that are open, those of ended connections too."""
        self.current: LineProtocol | None = None
        """Of the connection that `dial` made last, until somebody takes it away."""

    def prepare(self) -> None:
        """Read the certificate authorities. Raises ConfigError before anything is sent."""
        if not self.is_secure or self._ssl_context is not None:
            return
        try:
            context = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
        except OSError as error:  # ssl.SSLError, for a file that holds no certificates, is one too
            raise ConfigError("ca_file", self._ca_file, "a readable file of PEM certificates") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ssl_context = context

    async def dial(self, listener: LineListener) -> None:
        """Open a connection and hand it to the listener, within `connect_s` altogether.

        Names are resolved anew each time. Redirects are not followed.

        Raises:
            ConnectError, TlsError, HandshakeError: nothing is left open.
        """
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await self._open(listener)
        except Exception as error:
            if isinstance(error, TransportError):
                raise
            raise self._named(error) from error

    async def _open(self, listener: LineListener) -> None:
        """Connect, secure and upgrade.

        picows.ws_connect would do it, but waits for the upgrade without giving its socket away: cancelled there, by a
        timeout or by close(), it leaves the socket open until the peer closes it (picows 2.3.1, api.py). So its
        protocol class is driven directly; the version is pinned, and checked when the listener is imported.
        """
        loop = asyncio.get_running_loop()
        create: Callable[..., Any] = self._connector or loop.create_connection
        options: dict[str, Any] = {}
        if self._use_aiofastnet:
            import aiofastnet  # noqa: PLC0415 - a dependency of picows that virtual time does without

            create = partial(aiofastnet.create_connection, loop)
        if self._use_aiofastnet or isinstance(
            loop, asyncio.BaseEventLoop
        ):  # uvloop's own has no happy eyeballs
            options["happy_eyeballs_delay"] = self._settings.happy_eyeballs_s
        if self.is_secure:
            options["ssl"] = self._ssl_context
            options["server_hostname"] = self.host  # sent as SNI unless it is an address
        protocol: LineProtocol | None = None

        def make_protocol() -> LineProtocol:
            nonlocal protocol
            protocol = self.current = self._make_protocol(listener)
            return protocol

        try:
            await create(make_protocol, self.host, self.port, **options)
            assert protocol is not None
            await protocol.wait_until_handshake_complete()
            if protocol.listener is None:  # picows calls it success when the socket closes before the upgrade
                raise HandshakeError(protocol.cause or "connection closed during the upgrade")
        except BaseException:
            if protocol is not None:
                protocol.abort()
            raise

    def _make_protocol(self, listener: LineListener) -> LineProtocol:
        def check_upgrade(_request: object, response: picows.WSUpgradeResponse) -> LineListener:
            # picows checked status, accept key and sizes; not that it agrees to nothing that we did not offer.
            for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
                if name in response.headers:
                    raise HandshakeError(f"{name}: {response.headers[name]!r}, which nobody offered")
            return listener

        protocol = LineProtocol(
            self._netloc,
            self._resource,
            True,  # client side
            check_upgrade,
            self._silence,
            True,  # disconnect on exceptions: ours never get that far
            None,  # upgrade timeout: the whole attempt has one
            False,  # automatic pings: silence is judged on data
            10,
            10,
            picows.WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # automatic pongs: the listener bounds them
            self._settings.message_bytes_max,
            None,  # further headers
            READ_BUFFER_BYTES,
        )
        protocol.sockets = self.sockets
        return protocol

    def _named(self, error: Exception) -> TransportError:
        """Name what went wrong between the first packet and the upgrade."""
        where = f"{self.host}:{self.port}"
        if isinstance(error, picows.WSHandshakeError):
            status, retry_after_s = read_refusal(error, self._clock.epoch_ns)
            return HandshakeError(str(error), status=status, retry_after_s=retry_after_s)
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
            return ConnectError(f"{where} closed the connection during the TLS handshake")
        if isinstance(error, ssl.SSLError):
            return TlsError(f"{where}: {printable(str(error), 200)}")
        if isinstance(error, TimeoutError):
            return ConnectError(f"{where}: no connection within {self._settings.connect_s:g} s")
        if isinstance(error, socket.gaierror):
            return ConnectError(f"cannot resolve {self.host}: {error.strerror}")
        if isinstance(error, OSError):
            return ConnectError(f"{where}: {error.strerror or error}")
        _log.error("unexpected error while connecting to %s", where, exc_info=error)
        return ConnectError(f"{where}: {type(error).__name__}: {error}")

    def _check_verifies(self, context: ssl.SSLContext) -> None:
        verifies = context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
        if not verifies and not is_loopback(self.host):
            raise ConfigError("ssl_context", context, "one that verifies certificates and host names")


def read_refusal(error: picows.WSHandshakeError, wall_ns: int) -> tuple[int, float | None]:
    """Read status and `Retry-After`, in seconds, from a refused upgrade.

    The status is taken from the raw line: picows knows only registered ones, and Cloudflare answers 520 to 530 too. A
    101 that broke another rule counts as no status: its address is right.
    """
    line = (error.raw_header or b"").split(b"\r\n", 1)[0].split(b" ", 2)
    status = int(line[1]) if len(line) > 1 and line[1].isdigit() and len(line[1]) == 3 else 0
    if status == 101:
        return 0, None
    after = ""
    for header in (error.raw_header or b"").split(b"\r\n")[1:]:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"retry-after":
            after = value.decode("latin-1").strip()
    if after.isascii() and after.isdigit():
        return status, float(min(int(after[:10]), RETRY_AFTER_MAX_S))
    if not after:
        return status, None
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - for a refusal with a date; 3 ms of every import

    try:
        seconds = parsedate_to_datetime(after).timestamp() - wall_ns / SECOND_NS
    except (ValueError, OverflowError):
        return status, None
    return status, min(max(0.0, seconds), float(RETRY_AFTER_MAX_S))


class FileAttempts:
    """Attempts of all processes of a user on this machine, in one small file.

    Times are CLOCK_MONOTONIC, which all processes share; what a former boot left lies far ahead or ages as any other,
    so at worst it counts for a while. The file is locked for the microseconds of an update; one that is damaged
    loses only what cannot be read. Where the directory cannot be written, the process counts for itself alone.

    Args:
        directory: made if missing, for the owner only.
    """

    NAME = "connection-attempts"
    BYTES_MAX = 64 * 1024
    BUSY_NS = 50_000_000  # when another process holds the lock: ask again, never wait for it in the loop

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._alone: MemoryAttempts | None = None

    @classmethod
    def of_user(cls) -> FileAttempts:
        """Return the user's own, in `$XDG_STATE_HOME/kraken_fast` or `~/.local/state/kraken_fast`."""
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return cls(Path(state) / "kraken_fast")

    def record(self, host: str, now_ns: int, *, limit: int, window_ns: int) -> int:
        """See `policy.AttemptStore`."""
        if self._alone is None:
            try:
                return self._record_in_file(host, now_ns, limit, window_ns)
            except BlockingIOError:
                return self.BUSY_NS
            except OSError as error:
                _log.warning("connection attempts are counted for this process alone: %s", error)
                self._alone = MemoryAttempts()
        return self._alone.record(host, now_ns, limit=limit, window_ns=window_ns)

    def _record_in_file(self, host: str, now_ns: int, limit: int, window_ns: int) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self._directory / self.NAME, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lines = self._read(handle)
            attempts = deque(ns for ns, name in lines if name == host)
            wait_ns = ns_until_free(attempts, now_ns, limit=limit, window_ns=window_ns)
            if wait_ns == 0:
                attempts.append(now_ns)
                others = [(ns, name) for ns, name in lines if name != host and abs(now_ns - ns) < window_ns]
                text = "".join(f"{ns} {name}\n" for ns, name in [*others, *((ns, host) for ns in attempts)])
                os.fchmod(handle, 0o600)
                os.ftruncate(handle, 0)
                os.pwrite(handle, text.encode(), 0)
            return wait_ns
        finally:
            os.close(handle)

    def _read(self, handle: int) -> list[tuple[int, str]]:
        lines = []
        for line in os.pread(handle, self.BYTES_MAX, 0).decode("ascii", "replace").splitlines():
            ns, _, name = line.partition(" ")
            if ns.isascii() and ns.isdigit() and len(ns) < 20 and name:
                lines.append((int(ns), name))
        return lines
