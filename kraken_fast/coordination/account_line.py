"""The account's own line, kept by the coordinator: opened beside the public ones, again when it was given up.

Theory of operation. One task. It asks what the key may do; where a right is missing, that is told once and the account
is read by REST. Else it opens an `Account` and waits for its end, which only a line that gave up has; losses are the
line's own affair. What cannot be opened is tried again a minute later: until then, and whenever the stream is not
live, `AccountSource` asks REST. Nothing that happens here keeps a public line or a reader waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..errors import AuthError, ConfigError, KrakenFastError
from ..events import Degraded, Event, LineChange
from ..private.account import NEEDS, Account
from ..rest.endpoints import RestClient

_log = logging.getLogger("kraken_fast.coordinator")

RETRY_S = 60.0
"""Between two openings: the first was tried for all of `ready_s`, and a line that gave up was told to stay away."""


class AccountLine:
    """Keeps an account open. To `AccountSource` it is a stream that is live or is not.

    Args:
        make: makes an account that was not opened yet.
        client: of the same key.
        on_event: told of what happens to the line, and why there is none.

    Attributes:
        account: the one in use, None before the first and while there is none.
    """

    def __init__(
        self, make: Callable[[], Account], client: RestClient, on_event: Callable[[Event], None]
    ) -> None:
        self.account: Account | None = None
        self._make = make
        self._client = client
        self._on_event = on_event
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._settled = asyncio.Event()

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="kraken_fast account")

    @property
    def is_settled(self) -> bool:
        """Whether it is known by now if there is a stream."""
        return self._settled.is_set()

    async def settle(self, within_s: float) -> None:
        """Wait until it is known whether there will be a stream, at most so long."""
        # Not wait_for: before Python 3.12 it may swallow a cancellation that comes with the event.
        try:
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        except TimeoutError:
            _log.warning("the account's line is not open yet; REST tells of the account meanwhile")

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.account is not None:
            await self.account.close()

    async def _keep(self) -> None:
        while True:
            try:
                await self._open()
            except (AuthError, ConfigError) as error:
                self._tell(f"{error}; REST tells of the account")
                return
            except KrakenFastError as error:
                self._tell(f"{error}; REST tells of the account, next attempt in {RETRY_S:g} s")
            else:
                await self._ended.wait()
                self._tell(f"its line was given up; REST tells of the account, next attempt in {RETRY_S:g} s")
            finally:
                self._settled.set()
            await asyncio.sleep(RETRY_S)

    async def _open(self) -> None:
        """Open an account.

        Raises:
            ConfigError: the key lacks something that the streams need, or may not be shown there.
            KrakenFastError: it could not be opened.
        """
        if self.account is not None:
            await self.account.close()
            self.account = None
        info = await self._client.fetch_key_info()
        lacking = sorted(set(NEEDS).difference(info.permissions))
        if lacking:
            rights = ", ".join(lacking)
            raise ConfigError("exchange_client", "***", f"a key that may also {rights}, for its account to be streamed")
        self._ended.clear()
        account = self._make()
        account.on_notice = self._on_notice
        self.account = account
        await account.open()
        self._settled.set()

    def _on_notice(self, event: Event) -> None:
        self._on_event(event)
        if isinstance(event, LineChange) and event.new == "closed":
            self._ended.set()

    def _tell(self, reason: str) -> None:
        self._on_event(Degraded("account", reason))

    # What AccountSource asks -------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the line: down, backoff, connecting, live, suspect, closed."""
        return "down" if self.account is None else self.account.state

    @property
    def quality(self) -> str:
        """How far orders can be trusted; none while there is no account."""
        return "none" if self.account is None else self.account.quality

    @property
    def age_ms(self) -> float | None:
        """How long ago they were proven current."""
        return None if self.account is None else self.account.age_ms

    def balances(self) -> dict[str, Any]:
        """Give what was told of each asset."""
        return {} if self.account is None else self.account.balances()

    def open_orders(self) -> tuple[Any, ...]:
        """Give the orders that are open."""
        return () if self.account is None else self.account.open_orders()
