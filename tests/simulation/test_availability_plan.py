"""Under named plans of faults: how much of the time values could be had, and that none stale was called live."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

import pytest
from report import note

from kraken_fast import StaleDataError, UnifiedDataCoordinator

from .coordination import World


@dataclass(frozen=True, slots=True)
class Plan:
    """A line is killed or frozen every so often; by chance, or amidst so many, all are, and nobody can connect."""

    name: str
    seconds: int
    strike_every_s: tuple[float, float]
    double_share: float
    double_every: int
    freeze_s: tuple[float, float]
    max_age_ms: int
    books: float
    """The least availability of books: in an outage of all lines REST brings one a second of them, but all tickers."""


ROUGH = Plan("rough", 600, (4.0, 12.0), 0.05, 1_000_000, (0.2, 6.0), 5_000, 0.99)
STEADY = Plan("steady", 1800, (10.0, 20.0), 0.0, 120, (0.2, 3.0), 5_000, 0.999)
"""That of benchmarks/endurance.py, half an hour of it: some 120 strikes, one of them at all lines."""

STALE_S = 1.5 + 0.25
"""A live value may be as old as silence is tolerated, and the watch's pause."""


async def strike(world: World, plan: Plan, rng: Random, *, double: bool) -> None:
    """Do what the plan says once."""
    lines = list(world.core.lines)
    if not lines:
        return
    freeze_s = rng.uniform(*plan.freeze_s)
    if rng.random() < plan.double_share or double:
        for number in lines:
            world.faults.inject(rng.choice(["rst", "fin", "half_open"]), session=number)
        with world.faults.inject("refuse", count=None):
            await asyncio.sleep(freeze_s)
        return
    number = rng.choice(lines)
    kind = rng.choice(["rst", "fin", "half_open", "hole", "close", "bad_checksum", "drop"])
    if kind == "hole":
        with world.faults.inject("hole", session=number):
            await asyncio.sleep(freeze_s)
    else:
        world.faults.inject(kind, session=number)


async def read(world: World, coordinator: UnifiedDataCoordinator, counts: dict[str, int]) -> None:
    """Read strictly and otherwise, ten times a second; what is called live was published a moment ago."""
    while True:
        for symbol in world.symbols:
            truth = world.truth[symbol]
            try:
                book = coordinator.book(symbol, strict=True)
            except StaleDataError:
                counts["refused"] += 1
                continue
            counts["live"] += 1
            assert book.exch_ns is not None
            place = truth.at[book.exch_ns // 1000, book.checksum]
            if place + 1 < len(truth.facts):
                superseded_s = (world.timeline.wall_ns() / 1000 - truth.facts[place + 1][0]) / 1e6
                counts["stale"] += superseded_s > STALE_S
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("plan", [ROUGH, STEADY], ids=lambda plan: plan.name)
def test_values_can_be_had_under_a_plan_of_faults(plan: Plan) -> None:
    world, rng = World(["BTC/USD", "ETH/USD"], seed=91, rate=10), Random(17)
    counts = {"live": 0, "refused": 0, "stale": 0}
    tasks: list[int] = []

    async def main() -> dict[str, float]:
        async with world.coordinator(max_age_ms=plan.max_age_ms) as coordinator:
            reading = asyncio.create_task(read(world, coordinator, counts))
            while world.now_s < plan.seconds:
                await asyncio.sleep(rng.uniform(*plan.strike_every_s))
                is_double = len(tasks) % plan.double_every == plan.double_every // 2
                await strike(world, plan, rng, double=is_double)
                tasks.append(len(asyncio.all_tasks()))
                assert not reading.done(), reading.exception()
            reading.cancel()
            await asyncio.sleep(1)
            books.update(coordinator.availability("book"))
            return coordinator.availability()

    books: dict[str, float] = {}
    available = world.run(main())
    note(
        f"{plan}: availability of tickers, books; reads live, refused, stale among live",
        (
            *(round(min(shares.values()), 5) for shares in (available, books)),
            *(counts[name] for name in ("live", "refused", "stale")),
        ),
    )
    assert min(available.values()) >= 0.999
    assert min(books.values()) >= plan.books
    assert counts["stale"] == 0
    assert counts["live"] > 5_000
    assert max(tasks) < 20
    for symbol in world.symbols:
        ids = world.trade_ids[symbol]
        assert ids == sorted(set(ids))
        assert world.judge(symbol)[1] == 0
