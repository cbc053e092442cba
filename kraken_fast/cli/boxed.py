"""The exchange in a box as a child process: it shares neither the loop nor the interpreter of the client under test."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from types import TracebackType
from typing import Any, Self

import typer

from ..errors import ConnectError

START_S = 30.0
STOP_S = 5.0


class BoxEndedError(typer.Exit):
    """The child ended by itself, and said why on standard error: the verb ends with its status, and says no more."""


class BoxProcess:
    """Runs `kraken-fast sim --control`; it ends with us, however we end, because its standard input does.

    Args:
        options: of `kraken-fast sim`.
    """

    def __init__(self, *options: str) -> None:
        self._options = options
        self._child: Process
        self.ws_url = ""
        self.ws_auth_url = ""
        self.rest_url = ""
        self.ca_file = ""
        self.api_key = ""
        self.api_secret = ""

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "kraken_fast", "sim", "--control", *self._options,
            stdin=PIPE, stdout=PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            addresses = await self._answer(START_S)
        except BaseException:
            await self._stop()
            raise
        self.ws_url, self.rest_url = addresses["ws_url"], addresses["rest_url"]
        self.ws_auth_url = addresses["ws_auth_url"]
        self.ca_file = addresses.get("ca_file", "")
        self.api_key, self.api_secret = addresses.get("api_key", ""), addresses.get("api_secret", "")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def inject(self, kind: str, **parameters: Any) -> None:
        """Begin a fault."""
        await self._command({"inject": kind, **parameters})

    async def clear(self, kind: str | None = None) -> None:
        """End all faults of a kind, or all."""
        await self._command({"clear": kind})

    async def fired(self) -> dict[str, int]:
        """Give how often each kind of fault has fired."""
        counts: dict[str, int] = await self._command({})
        return counts

    async def _command(self, command: dict[str, Any]) -> Any:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command).encode() + b"\n")
        return (await self._answer(STOP_S))["fired"]

    async def _answer(self, within_s: float) -> dict[str, Any]:
        assert self._child.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                line = await self._child.stdout.readline()
        except TimeoutError:
            raise ConnectError(f"the exchange in a box said nothing for {within_s:g} s") from None
        if not line:
            raise BoxEndedError(await self._child.wait())
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _stop(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
