"""Two more swarms beside that of the feed: lines of a coordinator that die and freeze, orders under random faults.

Each is judged by its own subject's judge; here a failure gets the number of its invariant in the catalogue.
"""

from __future__ import annotations

import asyncio
from random import Random

from orders.test_torture import ABSENT, Torture

from kraken_fast.orders.live_order import Order
from kraken_fast.orders.records import OrderState
from kraken_fast.sim.network import Route

from .coordination import World
from .swarm import RunError
from .test_failover import is_level, strike

STRIKES, ORDERS = 12, 60
"""Of one seed."""

OF_ORDERS = {
    "duplicates": "S15",
    "orphans": "S17",
    "falsely_rejected": "S16",
    "falsely_accepted": "S16",
    "still_unknown": "V03",
    "wrong_picture": "S13",
    "amends_falsely_rejected": "S16",
    "amends_falsely_accepted": "S16",
    "amends_unknown": "V03",
    "late": "V03",
}


class Watched(Torture):
    """S16 at every moment, not only at the end: who was once called absent is never found at the exchange."""

    def __init__(self, seed: int, orders: int) -> None:
        super().__init__(seed, orders)
        self.called_absent: set[str] = set()

    def on_order(self, order: Order, before: OrderState) -> None:
        """Note the verdict."""
        super().on_order(order, before)
        if order.state in ABSENT:
            self.called_absent.add(order.name)


async def outage(world: World, rng: Random) -> None:
    """Lose all lines for a while, REST too now and then."""
    world.http.is_down = rng.random() < 0.3
    with world.faults.inject("refuse"):
        world.faults.inject("rst", count=2)
        await asyncio.sleep(rng.uniform(0.5, 6.0))
    world.http.is_down = False
    await asyncio.sleep(1.0)


def run_lines(seed: int) -> int:
    """Kill and freeze lines of a coordinator; give how many states were told.

    Raises:
        RunError: S05, S07, S11, S24 or V01 does not hold, or S01 of what was told.
    """
    rng = Random(f"lines/{seed}")
    base_ms, skew_ms, jitter_ms = rng.uniform(0.1, 40), rng.choice((0.0, rng.uniform(0, 150))), rng.choice((0, 0, 80))
    world = World(
        ["BTC/USD", "ETH/USD"],
        seed=seed,
        rate=15,
        route=lambda number: Route(base_ms, base_ms + skew_ms * (number % 2), jitter_ms),
    )
    loses_all = rng.random() < 0.3

    async def main() -> None:
        async with world.coordinator(check_s=0) as coordinator:
            await world.until(lambda: is_level(coordinator, "BTC/USD"), 5)
            for _ in range(STRIKES):
                if loses_all and rng.random() < 0.5:
                    await outage(world, rng)
                else:
                    await strike(world, coordinator, rng)
                await world.until(lambda: all(is_level(coordinator, each) for each in world.symbols), 40, 0.02)

    try:
        world.run(main())
        for symbol in world.symbols:
            missing, twice = world.judge(symbol)
            is_whole = loses_all or missing == 0
            assert is_whole and twice == 0, f"{symbol}: {missing} states missing, {twice} told twice"
        assert not world.violations, world.violations[0]
    except Exception as error:
        text = str(error)
        word = _word_of_lines(text) if isinstance(error, AssertionError) else type(error).__name__
        raise RunError(word, text) from error
    return sum(len(told) for told in world.told.values())


def _word_of_lines(text: str) -> str:
    if text[:3] in ("S11", "S24"):
        return text[:3]
    return "V01" if "not true within" in text else "S07" if "trades" in text else "S05"


def run_orders(seed: int) -> int:
    """Place orders under random faults; give how many were asked for.

    Raises:
        RunError: S13, S15, S16, S17 or V03 does not hold.
    """
    run = Watched(seed, ORDERS)
    try:
        run.world.run(run.main())
    except Exception as error:
        word = "V03" if "still unknown" in str(error) else type(error).__name__
        raise RunError(word, str(error)) from error
    if found := sorted(run.called_absent & run.world.truth().keys()):
        raise RunError("S16", f"{len(found)} orders were called absent and are at the exchange: {found[:3]}")
    for name, word in OF_ORDERS.items():
        if run.counts[name]:
            raise RunError(word, f"{name}: {run.counts[name]}")
    return run.counts["asked"]
