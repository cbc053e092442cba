"""Movements of money that a gap of `balances` kept from us: the snapshot after it has totals only, REST has each.

Theory of operation. Streamed movements pass at once, whatever is missing before them: totals are the stream's. After a
gap the ledger is read from a little before the last movement that is known, soon, for most are there by then, and once
more when REST's own lag is over; what was not streamed is delivered then, oldest first, marked as recovered. Gaps that
come meanwhile are read together. A reading that fails is made again.

Once: ids of movements are remembered, `SEEN_MAX` of them; what is not newer than a forgotten one counts as known.

Source: rest.md sections 8, Ledgers, 11 and 12; faults.md O12.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from ..core.balance_store import BalanceUpdate
from ..core.clock import Clock
from ..errors import KrakenFastError
from ..policy import SECOND_NS
from ..rest.answers import LedgerEntry
from .reconcile import AUDIT_AFTER_NS, REST_SLACK_NS, ROUNDED_NS, SEEN_MAX

_log = logging.getLogger("kraken_fast.account")

SOON_S, AGAIN_S = 1.0, 30.0
"""After the gap; after a reading that failed."""


def update_of(entry: LedgerEntry) -> BalanceUpdate:
    """Make an update of what REST tells of a movement; in which wallet it was, REST does not say."""
    return BalanceUpdate(
        asset=entry.asset,
        balance=entry.balance,
        timestamp_ns=entry.exch_ns,
        amount=entry.amount,
        fee=entry.fee,
        ledger_id=entry.ledger_id,
        ref_id=entry.refid,
        type=entry.kind,
        subtype=entry.subtype or None,
    )


class Movements:
    """See the module's text.

    Args:
        history: gives movements after a whole second since epoch, newest first.
        clock: monotonic time.
        deliver: takes a movement that was not streamed.
        whole: told when all that a gap kept from us was delivered: why there was one, the exchange's time before it,
            and the number of movements.
    """

    def __init__(
        self,
        history: Callable[[int | None], AsyncIterator[LedgerEntry]],
        clock: Clock,
        deliver: Callable[[BalanceUpdate], None],
        whole: Callable[[str, int, int], None],
    ) -> None:
        self.newest_ns = 0
        """The exchange's time of the last movement that is known, or of our beginning."""
        self._history = history
        self._clock = clock
        self._deliver = deliver
        self._whole = whole
        self._began_ns = 0
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._forgotten_ns = 0
        self._gap: tuple[str, int] | None = None  # why, and the exchange's time before it
        self._closed_ns = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, exchange_ns: int) -> None:
        """The stream begins: what happened before this time of the exchange is not ours to tell."""
        if not self._began_ns:
            self._began_ns = exchange_ns
            self.newest_ns = max(self.newest_ns, exchange_ns)

    def on_stream(self, update: BalanceUpdate) -> None:
        """A movement was streamed, or a snapshot told a total."""
        if update.ledger_id:
            self._remember(update.ledger_id, update.timestamp_ns or 0)

    def on_gap(self, reason: str, from_ns: int) -> None:
        """A gap is over; `from_ns` is `newest_ns` as it began."""
        self._gap = self._gap or (reason, from_ns)
        self._closed_ns = self._clock.monotonic_ns
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._read(), name="kraken_fast movements")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _read(self) -> None:
        await asyncio.sleep(SOON_S)
        count = 0
        while self._gap is not None:
            reason, from_ns = self._gap
            closed_ns, began_ns = self._closed_ns, self._clock.monotonic_ns
            found = await self._missing(from_ns)
            for entry in found or ():
                self._remember(entry.ledger_id, entry.exch_ns)
                self._deliver(update_of(entry))
                count += 1
            left_s = (self._closed_ns + AUDIT_AFTER_NS - self._clock.monotonic_ns) / SECOND_NS
            if found is not None and closed_ns == self._closed_ns and began_ns >= closed_ns + AUDIT_AFTER_NS:
                self._gap = self._task = None
                self._whole(reason, from_ns, count)
                return
            await asyncio.sleep(max(left_s, AGAIN_S if found is None else SOON_S))

    async def _missing(self, from_ns: int) -> list[LedgerEntry] | None:
        """Give the movements after a time that were not streamed, oldest first; None if REST fails."""
        try:
            start_s = (from_ns - REST_SLACK_NS) // SECOND_NS
            rows = [entry async for entry in self._history(start_s if from_ns else None)]
        except KrakenFastError as error:
            _log.warning("the ledger could not be read: %s", error)
            return None
        oldest_ns = max(self._began_ns, self._forgotten_ns) - ROUNDED_NS
        return [entry for entry in reversed(rows) if entry.ledger_id not in self._seen and entry.exch_ns > oldest_ns]

    def _remember(self, ledger_id: str, exch_ns: int) -> None:
        self._seen[ledger_id] = exch_ns
        self.newest_ns = max(self.newest_ns, exch_ns)
        if len(self._seen) > SEEN_MAX:
            _, forgotten_ns = self._seen.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, forgotten_ns + 2 * ROUNDED_NS)
