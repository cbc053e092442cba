"""The watchdog: cancels everything over REST when the trading loop has been silent for too long. It never renews.

Theory of operation. The trading loop beats: a byte through a pipe every so often, from a timer of the loop, so a loop
that hangs does not beat. The watchdog waits at the other end, in a thread, or in a process of its own, which goes on
when the trading process is stopped, hangs in code that holds the interpreter, or dies: then the pipe ends, and that is
silence as well. A watched process that ends in order says so, and the watchdog leaves.

When it fires it cancels all orders of the account, and again until the exchange confirms, then it is done; it does not
know why the loop was silent, so it does nothing else. The loop, should it wake, finds its orders gone by their events.

Give it a key of its own: private calls of one key go one after another, and a loop that hangs in the middle of a call
holds the key's lock. The key needs only the permission to cancel. A process reads it by itself; it is sent nowhere.

Source: rest.md sections 3 and 9; issue "order entry".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..auth import Credentials
from ..config import Endpoints, RestSettings
from ..errors import ConfigError, KrakenFastError
from ..rest.endpoints import RestClient
from ..rest.nonce import FileNonces

_log = logging.getLogger("kraken_fast.watchdog")

BEAT, LEAVE = b".", b"q"
AGAIN_S = 1.0
"""Between attempts to cancel."""

ATTEMPTS_MAX = 600

LEAVE_S = 5.0
"""How long `stop` waits for it to go: one that has fired stays until the exchange has confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogSettings:
    """How long the loop may be silent, and where the watchdog lives.

    Attributes:
        silent_s: after so long without a beat it fires.
        beat_s: how often the loop beats; a third of `silent_s` at most.
        kind: process or thread. Only a process outlives a loop that holds the interpreter, and a crash.
        on_crash: whether the end of the watched process without a word is silence too (process only).
    """

    silent_s: float = 5.0
    beat_s: float = 0.5
    kind: Literal["process", "thread"] = "process"
    on_crash: bool = True

    def __post_init__(self) -> None:
        if not 0 < 3 * self.beat_s <= self.silent_s <= 3600:
            raise ConfigError("silent_s", self.silent_s, "at least three times beat_s, and an hour at most")
        if self.kind not in ("process", "thread"):
            raise ConfigError("kind", self.kind, "process or thread")


class Watchdog:
    """Watches the running loop. Use it as an async context, or `start` and `stop` it.

    Args:
        cancel: for a thread: cancels everything, in a loop of the thread's own.
        key_file: for a process: where its key is; None for the environment, see `Credentials.from_env`.
        endpoints: for a process: where the exchange is. nonce_dir: keeps the nonces of its key.
        settings: see there.

    Attributes:
        fired: whether it has fired; of a thread only.
    """

    def __init__(
        self,
        *,
        settings: WatchdogSettings | None = None,
        cancel: Callable[[], Awaitable[object]] | None = None,
        key_file: str | Path | None = None,
        endpoints: Endpoints | None = None,
        nonce_dir: str | Path | None = None,
    ) -> None:
        self.settings = settings or WatchdogSettings()
        if self.settings.kind == "thread" and cancel is None:
            raise ConfigError("cancel", None, "given for a thread: what cancels everything")
        if self.settings.kind == "process":  # a key that cannot be read is found out now, not when it is needed
            (Credentials.from_env() if key_file is None else Credentials.from_file(key_file)).wipe()
        self.fired = False
        self._cancel = cancel
        self._key_file = key_file
        self._endpoints = endpoints or Endpoints()
        self._nonce_dir = nonce_dir
        self._pipe = -1
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Watchdog:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to watch the running loop."""
        if self.settings.kind == "thread":
            reader, self._pipe = os.pipe()
            self._thread = threading.Thread(target=self._watch, args=(reader,), name="watchdog", daemon=True)
            self._thread.start()
        else:
            self._start_process()
        os.set_blocking(self._pipe, False)
        self._beat()

    async def stop(self) -> None:
        """Watch no more: everything is in order. Takes at most `LEAVE_S`."""
        if self._pipe < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._write(LEAVE)
        os.close(self._pipe)
        self._pipe = -1
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            await loop.run_in_executor(None, self._thread.join, LEAVE_S)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await loop.run_in_executor(None, self._process.wait, LEAVE_S)
        if self.is_running:
            _log.error("the watchdog has fired, and goes on cancelling until the exchange confirms")

    @property
    def is_running(self) -> bool:
        """Whether its thread or process lives."""
        if self._thread is not None:
            return self._thread.is_alive()
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, None for a thread."""
        return None if self._process is None else self._process.pid

    def _beat(self) -> None:
        self._write(BEAT)
        self._timer = asyncio.get_running_loop().call_later(self.settings.beat_s, self._beat)

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._pipe, data)
        except BlockingIOError:
            _log.warning("the watchdog does not read its beats")
        except BrokenPipeError:
            _log.error("the watchdog is gone: it fired, or was killed")

    def _watch(self, reader: int) -> None:
        assert self._cancel is not None
        cancel = self._cancel
        try:
            if await_silence(reader, self.settings.silent_s, on_crash=self.settings.on_crash):
                self.fired = True
                asyncio.run(cancel_until_done(cancel))
        finally:
            os.close(reader)

    def _start_process(self) -> None:
        """Start a process that survives us, in a session of its own: a signal to our group does not reach it."""
        reader, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kraken_fast.orders.watchdog"], stdin=reader, start_new_session=True
            )
        finally:
            os.close(reader)
        orders = {
            "key_file": None if self._key_file is None else str(self._key_file),
            "rest_url": self._endpoints.rest_url,
            "ca_file": None if self._endpoints.ca_file is None else str(self._endpoints.ca_file),
            "nonce_dir": None if self._nonce_dir is None else str(self._nonce_dir),
            "silent_s": self.settings.silent_s,
            "on_crash": self.settings.on_crash,
        }
        os.write(self._pipe, json.dumps(orders).encode() + b"\n")


def await_silence(reader: int, silent_s: float, *, on_crash: bool) -> bool:
    """Wait at the end of a pipe. Returns whether to fire: no beat came for so long, or it ended without a word."""
    while True:
        ready, _, _ = select.select([reader], [], [], silent_s)
        if not ready:
            return True
        data = os.read(reader, 4096)
        if LEAVE in data:
            return False
        if not data:
            return on_crash


async def cancel_until_done(cancel: Callable[[], Awaitable[object]]) -> bool:
    """Cancel everything, again and again until the exchange says that it did. Returns whether it has."""
    for attempt in range(ATTEMPTS_MAX):
        try:
            answer = await cancel()
        except KrakenFastError as error:
            _log.error("the watchdog's cancel failed (%d): %s", attempt + 1, error)
            await asyncio.sleep(AGAIN_S)
        else:
            _log.warning("the loop was silent: everything is cancelled (%s)", answer)
            return True
    return False


def main() -> int:
    """Be the watchdog's process: orders come by standard input, then beats."""
    orders = json.loads(_first_line(0))
    if not await_silence(0, orders["silent_s"], on_crash=orders["on_crash"]):
        return 0
    return 0 if asyncio.run(_cancel_by_rest(orders)) else 1


async def _cancel_by_rest(orders: dict[str, Any]) -> bool:
    path, folder = orders["key_file"], orders["nonce_dir"]
    credentials = Credentials.from_env() if path is None else Credentials.from_file(path)
    rest = RestClient(
        credentials,
        endpoints=Endpoints(rest_url=orders["rest_url"], ca_file=orders["ca_file"]),
        settings=RestSettings(queue_wait_s=5.0),
        nonces=None if folder is None else FileNonces(folder, credentials.key_id),
    )
    try:
        return await cancel_until_done(rest.cancel_all)
    finally:
        await rest.close()


def _first_line(descriptor: int) -> bytes:
    """Read one line and not a byte more: beats follow it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            raise SystemExit(2)
        line += byte
    return bytes(line)


if __name__ == "__main__":
    sys.exit(main())
