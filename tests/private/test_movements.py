"""Movements of money that a gap of `balances` hid: each told once, by REST, however late it is."""

from __future__ import annotations

import asyncio

import pytest

from kraken_fast.core.balance_store import BalanceUpdate
from kraken_fast.core.clock import ManualClock
from kraken_fast.private import movements
from kraken_fast.private.movements import Movements

from ..simulation.accounts import AccountWorld

BID = "60000"


def world() -> AccountWorld:
    made = AccountWorld()
    made.clear()
    return made


@pytest.mark.fault("O12", kind="D")
@pytest.mark.parametrize("lag_s", [0, 40])
def test_movements_that_a_gap_kept_from_us_are_told_once(lag_s: int) -> None:
    """Those of a lost line, of a lost message, and of a second gap before the first was read."""
    w = world()

    async def main() -> None:
        order_id = w.limit("buy", "0.6", BID)
        w.hit(order_id, "0.1")  # before we came: not ours to tell
        await asyncio.sleep(2)
        before = set(w.account.ledger)
        async with w.connect() as account:
            w.hit(order_id, "0.1")
            await asyncio.sleep(3)
            if lag_s:
                w.faults.inject("lag", endpoint="Ledgers", seconds=lag_s)
            else:
                w.faults.inject("status", endpoint="Ledgers", code=502, count=4)
            w.faults.inject("rst")
            w.hit(order_id, "0.1")
            await asyncio.sleep(10)
            w.hit(order_id, "0.1")
            await asyncio.sleep(1)
            w.faults.inject("drop", channel="balances", count=1)
            w.hit(order_id, "0.1")
            await asyncio.sleep(100)
            told = [update for update in w.balances if update.ledger_id]
            ids = [update.ledger_id for update in told]
            assert len(ids) == len(set(ids)) and set(ids) == set(w.account.ledger) - before
            recovered = [update for update in told if update.recovered]
            assert len(recovered) == 3 and all(update.type == "trade" for update in recovered)
            for update in recovered:
                truth = w.account.ledger[update.ledger_id]
                assert (update.asset, update.amount, update.balance) == (truth.asset, truth.amount, truth.balance)
            gaps = [gap for gap in w.gaps if gap.channel == "balances"]
            assert [gap.healed for gap in gaps] == [False, False, True] and gaps[-1].fills == 3
            assert gaps[-1].since_ns == gaps[0].since_ns < gaps[-1].until_ns
            assert account.quality == "live"

    w.run(main())


def test_what_is_forgotten_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are remembered within a bound; older ones count as known."""
    monkeypatch.setattr(movements, "SEEN_MAX", 5)
    kept = Movements(lambda _start: iter(()), ManualClock(), print, print)  # type: ignore[arg-type,return-value]
    kept.begin(1_000_000_000)
    for number in range(10):
        time_ns = 2_000_000_000 + number * 10_000_000
        kept.on_stream(BalanceUpdate(asset="USD", balance=1, ledger_id=f"L{number}", timestamp_ns=time_ns))
    assert len(kept._seen) == 5 and kept.newest_ns == 2_090_000_000
    assert 2_040_000_000 < kept._forgotten_ns < 2_050_000_000
