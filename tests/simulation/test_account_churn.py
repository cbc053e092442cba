"""Fills without number while the line dies again and again: each told once and in order.

`KRAKEN_FAST_FULL=1` runs 100,000 fills across 1,000 disconnects; otherwise a twentieth of that.
"""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest
import report

from .accounts import AccountWorld

FULL = os.environ.get("KRAKEN_FAST_FULL", "") not in ("", "0")
FILLS, GAPS = (100_000, 1000) if FULL else (5_000, 50)

KINDS = ("rst", "down", "fin", "seq_gap", "hole", "truncated", "lag", "twice")
QTY = "0.0001"
PRICES = {"buy": "60000", "sell": "60100"}


class Churn:
    """Trades at the exchange, and what happens to the line meanwhile."""

    def __init__(self, world: AccountWorld, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.resting: dict[str, str] = {}
        self.kinds: dict[str, int] = {}

    @property
    def disconnects(self) -> int:
        """Gaps so far in which the line was lost: one of the sequence alone is none."""
        return sum(self.kinds.values()) - self.kinds.get("seq_gap", 0)

    def trade(self, count: int) -> None:
        """Let so many fills happen now."""
        for _ in range(count):
            side = self.rng.choice(("buy", "sell"))
            order_id = self.resting.get(side, "")
            order = self.world.account.live_order(order_id)
            if order is None:
                order_id = self.resting[side] = self.world.limit(side, "0.5", PRICES[side])
            self.world.hit(order_id, QTY)

    async def spread(self, count: int, seconds: float) -> None:
        """Let fills happen over a time."""
        for _ in range(10):
            self.trade(count // 10)
            await asyncio.sleep(seconds / 10)
        self.trade(count % 10)

    async def gap(self, fills: int) -> None:
        """Lose the line or the sequence, with fills in it."""
        world, kind = self.world, self.rng.choice(KINDS)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind == "seq_gap":
            world.faults.inject("drop", channel="executions", count=self.rng.randint(1, 3))
            self.trade(fills)
        elif kind == "hole":
            with world.faults.inject("hole", direction="down"):
                await self.spread(fills, 3.5)
        elif kind == "down":
            with world.faults.inject("refuse"):
                world.faults.inject("rst")
                await self.spread(fills, 1.0)
        else:
            if kind == "truncated":
                world.faults.inject("snapshot_truncated", channel="executions", rows=self.rng.randint(0, 20))
            if kind == "lag":
                world.faults.inject("lag", endpoint="TradesHistory", count=2, seconds=self.rng.choice((1, 5)))
            world.faults.inject("fin" if kind == "fin" else "rst")
            self.trade(fills)
            if kind == "twice":  # again, perhaps before anything was recovered
                await world.until(lambda: len(world.core.sessions) == 1, 60.0, 0.01)
                await asyncio.sleep(self.rng.random() * 0.1)
                world.faults.inject("rst")
                self.trade(3)


@pytest.mark.fault("O09", kind="D")
@pytest.mark.fault("O10", kind="D")
@pytest.mark.fault("S13", kind="D")
def test_every_fill_once_and_in_order_over_disconnects() -> None:
    world = AccountWorld(seed=2026, tier="pro")
    world.clear()
    churn = Churn(world, Random(2026))
    per_gap = FILLS // GAPS

    async def main() -> None:
        async with world.connect() as account:
            while churn.disconnects < GAPS:
                await world.until(lambda: account.state == "live" and account.line.is_up, 120.0, 0.05)
                lost = churn.rng.choice((0, 3, 40, 50, 80, 90))
                await churn.spread(max(0, per_gap - lost), 20.0)
                await churn.gap(min(lost, per_gap))
                await asyncio.sleep(churn.rng.choice((0.0, 0.5, 5.0, 60.0)))
            churn.trade(20)
            await world.until(lambda: account.quality == "live" and len(world.fills) >= len(world.truth()), 70.0, 0.1)
            await asyncio.sleep(70.0)
            world.check_fills()
            gaps = [gap for gap in world.gaps if gap.channel == "executions"]
            assert all(gap.healed for gap in gaps)
            for order_id, order in world.account.orders.items():
                known = account.order(order_id)
                assert known is not None and known.cum_qty == order.filled
            recovered = sum(fill.recovered for fill in world.fills)
            report.note(
                "fills across disconnects (account and box, virtual time)",
                f"{len(world.fills):,} of {len(world.truth()):,} told once and in order, {recovered:,} recovered, "
                f"{churn.disconnects:,} disconnects, {len(gaps):,} gaps healed, "
                f"{world.http.count('TradesHistory'):,} calls of TradesHistory in {world.now_s / 3600:.1f} h",
            )

    world.run(main())
