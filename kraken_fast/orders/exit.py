"""The end of a trading process: no new orders, what is in flight is settled, then open orders as the settings say.

Theory of operation. `leave` leaves open orders where they are, `cancel` cancels ours, `ask` asks a function of the
owner's. All of it has a bound; what is not known by then stays in the journal, and the next start looks for it. A
second signal ends at once.

Source: faults.md P08.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import KrakenFastError
from .entry import OrderEntry
from .live_order import Order
from .records import OrderState

_log = logging.getLogger("kraken_fast.orders")

Policy = Literal["leave", "cancel"]
Ask = Callable[[Sequence[Order]], Policy]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How an end went.

    Attributes:
        policy: what was done.
        open: orders that the exchange still holds. unknown: orders whose outcome is open; the journal has them.
        cancelled: orders that a cancel ended.
        took_s: how long it took.
        was_cut: a second signal, or the bound, ended it.
    """

    policy: Policy
    open: tuple[Order, ...]
    unknown: tuple[Order, ...]
    cancelled: tuple[Order, ...]
    took_s: float
    was_cut: bool


async def leave_market(entry: OrderEntry, *, ask: Ask | None = None, cut: asyncio.Event | None = None) -> ExitReport:
    """Stop trading as the settings say, and close order entry.

    Args:
        entry: what ends.
        ask: decides for the policy `ask`; without it orders are left.
        cut: set it to end at once.
    """
    began_ns = entry.clock.monotonic_ns
    entry.kill("the process is ending")
    mine = [order for order in entry.table.orders() if order.state.may_be_live]
    policy = _policy_of(entry, mine, ask)
    work = asyncio.ensure_future(_settle(entry, mine, policy))
    waits = [work] if cut is None else [work, asyncio.ensure_future(cut.wait())]
    await asyncio.wait(waits, timeout=entry.settings.exit_s, return_when=asyncio.FIRST_COMPLETED)
    was_cut = not work.done()
    for task in waits:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    report = ExitReport(
        policy=policy,
        open=tuple(order for order in mine if order.state.is_live),
        unknown=tuple(order for order in mine if order.state in (OrderState.SENT, OrderState.UNKNOWN)),
        cancelled=tuple(order for order in mine if order.state is OrderState.CANCELED),
        took_s=(entry.clock.monotonic_ns - began_ns) / 1e9,
        was_cut=was_cut,
    )
    _log.warning(
        "trading ended (%s): %d orders open, %d unknown, %d cancelled, after %.1f s",
        policy, len(report.open), len(report.unknown), len(report.cancelled), report.took_s,
    )  # fmt: skip
    await entry.close()
    return report


def _policy_of(entry: OrderEntry, mine: Sequence[Order], ask: Ask | None) -> Policy:
    wanted = entry.settings.on_exit
    if wanted == "ask":
        return "leave" if ask is None or not mine else ask(mine)
    return wanted


async def _settle(entry: OrderEntry, mine: Sequence[Order], policy: Policy) -> None:
    for order in mine:
        while order.state in (OrderState.JOURNALLED, OrderState.SENT):
            await order.settled()
    if policy == "leave":
        return
    while left := [order for order in mine if order.state.may_be_live]:
        try:
            await entry.cancel_order(order=left)
        except KrakenFastError as error:
            _log.warning("cancelling at the end: %s", error)
            await asyncio.sleep(0.5)
            continue
        for order in left:
            if order.state.is_live:
                await order.done()
        if all(order.state is OrderState.UNKNOWN for order in left):
            await asyncio.sleep(0.25)


class ExitOnSignal:
    """Ends trading on SIGTERM and SIGINT; a second one cuts it short.

    Args:
        entry: what ends.
        ask: see `leave_market`.

    Attributes:
        report: how it went; resolves when trading has ended.
    """

    def __init__(self, entry: OrderEntry, *, ask: Ask | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.report: asyncio.Future[ExitReport] = loop.create_future()
        self._entry = entry
        self._ask = ask
        self._cut = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        for number in SIGNALS:
            loop.add_signal_handler(number, self.on_signal)

    def on_signal(self) -> None:
        """A signal came."""
        if self._task is not None:
            self._cut.set()
            return
        self._task = asyncio.get_running_loop().create_task(self._end())

    def close(self) -> None:
        """Leave the signals to whoever had them before."""
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def _end(self) -> None:
        try:
            self.report.set_result(await leave_market(self._entry, ask=self._ask, cut=self._cut))
        except BaseException as error:
            self.report.set_exception(error)
            raise
        finally:
            self.close()
