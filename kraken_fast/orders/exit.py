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
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from ..errors import ConfigError, KrakenFastError
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
    failure, *_ = await asyncio.gather(*waits, return_exceptions=True)
    if isinstance(failure, Exception):
        _log.error("the end of trading failed; orders are as they were", exc_info=failure)
    report = ExitReport(
        policy=policy,
        open=tuple(order for order in mine if order.state.is_live),
        unknown=tuple(order for order in mine if order.state in (OrderState.SENT, OrderState.UNKNOWN)),
        cancelled=tuple(order for order in mine if order.state is OrderState.CANCELED),
        took_s=(entry.clock.monotonic_ns - began_ns) / 1e9,
        was_cut=was_cut,
    )
    _log.log(
        logging.WARNING if report.open or report.unknown or was_cut else logging.INFO,
        "trading ended (%s): %d orders open, %d unknown, %d cancelled, after %.1f s",
        policy, len(report.open), len(report.unknown), len(report.cancelled), report.took_s,
    )  # fmt: skip
    await entry.close()
    return report


def _policy_of(entry: OrderEntry, mine: Sequence[Order], ask: Ask | None) -> Policy:
    wanted = entry.settings.on_exit
    if wanted == "ask":
        wanted = "leave" if ask is None or not mine else ask(mine)
        if wanted not in get_args(Policy):
            raise ConfigError("ask", wanted, f"a function that gives one of {', '.join(get_args(Policy))}")
    return wanted


async def _settle(entry: OrderEntry, mine: Sequence[Order], policy: Policy) -> None:
    for order in mine:
        while order.state in (OrderState.JOURNALLED, OrderState.SENT):
            await order.settled()
    if policy == "leave":
        return
    while left := [order for order in mine if order.state.may_be_live]:
        try:
            if _is_dear(entry, left) and not entry.table.external:  # all at once takes others' with them
                await entry.cancel_all()
            else:
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


def _is_dear(entry: OrderEntry, orders: Sequence[Order]) -> bool:
    """Whether cancelling one by one takes more than a pair's counter has; all at once is a point a pair."""
    costs: Counter[str] = Counter()
    for order in orders:
        costs[order.symbol] += entry.cancel_cost(order)
    now_ns = entry.clock.monotonic_ns
    return any(entry.table.budget.pair(symbol).wait_ns(cost, now_ns) > 0 for symbol, cost in costs.items())


class ExitOnSignal:
    """Ends trading on SIGTERM and SIGINT, then the task that traded; a second signal cuts the end short.

    Args:
        end: ends trading; waited for.
        cut: set by a second signal.
        task: cancelled when trading has ended.

    Attributes:
        number: of the first signal, None while none came.
    """

    def __init__(self, end: Callable[[], Awaitable[Any]], cut: asyncio.Event, task: asyncio.Task[Any]) -> None:
        self.number: int | None = None
        self._loop = asyncio.get_running_loop()
        self._end = end
        self._cut = cut
        self._task = task
        self._ending: asyncio.Task[None] | None = None
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self.on_signal, number)

    @classmethod
    def take(cls, end: Callable[[], Awaitable[Any]], cut: asyncio.Event) -> Self | None:
        """Take the signals for the running task, unless somebody else has SIGTERM, or this is no main thread."""
        task = asyncio.current_task()
        is_free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if task is None or not is_free or threading.current_thread() is not threading.main_thread():
            return None
        return cls(end, cut, task)

    def on_signal(self, number: int) -> None:
        """A signal came."""
        if self._ending is not None:
            self._cut.set()
            return
        self.number = number
        self._ending = self._loop.create_task(self._run(), name="kraken_fast ends by signal")

    def close(self) -> None:
        """Leave the signals to whoever had them before."""
        for number, handler in self._before.items():
            self._loop.remove_signal_handler(number)
            if handler is not None:  # None: not Python's
                signal.signal(number, handler)

    async def _run(self) -> None:
        try:
            await self._end()
        finally:
            self._task.cancel()
