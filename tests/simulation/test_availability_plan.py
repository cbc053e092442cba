"""Ten minutes under a named plan of faults: how much of the time values could be had, and none stale called live."""

from __future__ import annotations

import asyncio
from random import Random

from report import note

from kraken_fast import StaleDataError, UnifiedDataCoordinator

from .coordination import World

PLAN = {
    "name": "rough",
    "seconds": 600,
    "strike_every_s": (4.0, 12.0),
    "double_share": 0.05,
    "freeze_s": (0.2, 6.0),
    "max_age_ms": 5_000,
}
"""A line is killed or frozen every 4 to 12 s; one time in twenty all are, and nobody can connect for up to 6 s."""

STALE_S = 1.5 + 0.25
"""A live value may be as old as silence is tolerated, and the watch's pause."""


async def strike(world: World, rng: Random) -> None:
    """Do what the plan says once."""
    lines = list(world.core.lines)
    if not lines:
        return
    freeze_s = rng.uniform(*PLAN["freeze_s"])  # type: ignore[misc]
    if rng.random() < PLAN["double_share"]:  # type: ignore[operator]
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


def test_a_rough_ten_minutes() -> None:
    world, rng = World(["BTC/USD", "ETH/USD"], seed=91, rate=10), Random(17)
    counts = {"live": 0, "refused": 0, "stale": 0}
    tasks: list[int] = []

    async def main() -> dict[str, float]:
        async with world.coordinator(max_age_ms=PLAN["max_age_ms"]) as coordinator:
            reading = asyncio.create_task(read(world, coordinator, counts))
            while world.now_s < PLAN["seconds"]:  # type: ignore[operator]
                await asyncio.sleep(rng.uniform(*PLAN["strike_every_s"]))  # type: ignore[misc]
                await strike(world, rng)
                tasks.append(len(asyncio.all_tasks()))
                assert not reading.done(), reading.exception()
            reading.cancel()
            await asyncio.sleep(1)
            books.update(coordinator.availability("book"))
            return coordinator.availability()

    books: dict[str, float] = {}
    available = world.run(main())
    note(
        f"plan {PLAN}: availability of tickers, books; reads live, refused, stale among live",
        (
            *(round(min(shares.values()), 5) for shares in (available, books)),
            *(counts[name] for name in ("live", "refused", "stale")),
        ),
    )
    assert min(available.values()) >= 0.999
    assert counts["stale"] == 0
    assert counts["live"] > 5_000
    assert max(tasks) < 20
    for symbol in world.symbols:
        ids = world.trade_ids[symbol]
        assert ids == sorted(set(ids))
        assert world.judge(symbol)[1] == 0
