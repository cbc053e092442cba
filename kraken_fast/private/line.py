"""What a private line offers to whoever trades over it, and what it tells. `PrivateSession` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from ..core.execution import Execution
from ..types import Ack, SystemStatus

Written = Literal["written", "never_left"]


class LineListener(Protocol):
    """Who hears the line. Every method is called in the order in which things arrived."""

    def on_up(self) -> None:
        """The line is subscribed to `executions`, and its snapshot was told."""
        ...

    def on_down(self, reason: str) -> None:
        """The line ended: requests without an answer will get none."""
        ...

    def on_reply(self, ack: Ack) -> None:
        """The exchange answered a request, whoever sent it."""
        ...

    def on_executions(self, rows: Sequence[Execution], *, snapshot: bool) -> None:
        """Reports; a snapshot lists all open orders, and comes before `on_up`."""
        ...

    def on_status(self, status: SystemStatus) -> None:
        """The exchange told its state."""
        ...

    def on_rate_limit(self, points_max: int) -> None:
        """The acknowledgement of `executions` told the threshold of the trading counter."""
        ...


class TradingLine(Protocol):
    """A private line."""

    @property
    def is_up(self) -> bool:
        """Whether requests may be sent and their events will come."""
        ...

    @property
    def token(self) -> str:
        """The token of this line, for requests. Only while it is up."""
        ...

    def send(self, text: bytes) -> Written:
        """Write a message. `never_left` if it is certain, by state, that no byte of it left or ever will."""
        ...

    def gapless_since(self, monotonic_ns: int) -> bool:
        """Whether `executions` is up, and missed nothing since that time."""
        ...

    def listen(self, listener: LineListener | None) -> None:
        """Have everything told to a listener, None for nobody. A line that is up tells its snapshot anew.

        Raises:
            ConfigError: somebody else listens; answers can be told to one only.
        """
        ...
