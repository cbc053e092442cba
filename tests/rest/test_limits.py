"""Limits: the exchange's counters are used to the full and never reached; who is urgent goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
import report
from rest_box import SECOND, World

from kraken_fast.core.clock import ManualClock
from kraken_fast.errors import RateLimitError
from kraken_fast.rest.catalogue import Priority
from kraken_fast.rest.limits import TIERS, CallCounter, Lane, NoPace, Pace, PublicPace, Tier


class KrakensCounter:
    """The exchange's side, as rest.md section 4.1 tells it."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.level = 0.0
        self.at_ns = 0
        self.accepted = 0.0

    def arrives(self, cost: float, now_ns: int) -> bool:
        self.level = max(0.0, self.level - (now_ns - self.at_ns) * self.tier.decay_per_s / SECOND) + cost
        self.at_ns = now_ns
        if self.level > self.tier.points_max + 1e-6:
            return False
        self.accepted += cost
        return True


def lane_of(world: World, pace: Pace, *, parallel: int = 1) -> Lane:
    return Lane("test", pace, world.clock, parallel=parallel)


@pytest.mark.fault("L01", kind="D")
@pytest.mark.parametrize("cost", [1, 4])
@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_full_pace_for_an_hour_is_never_refused_and_uses_the_allowance(tier: Tier, cost: int) -> None:
    world = World()
    theirs = KrakensCounter(tier)
    theirs.at_ns = world.clock.monotonic_ns
    lane = lane_of(world, CallCounter(tier))
    rng = Random(3)
    refused = 0

    async def main() -> None:
        nonlocal refused
        start = world.seconds
        while world.seconds - start < 3600:
            await lane.enter(Priority.QUERY, cost, wait_max_s=1000)
            await asyncio.sleep(rng.uniform(0.001, 0.4))  # there
            refused += not theirs.arrives(cost, world.clock.monotonic_ns)
            await asyncio.sleep(rng.uniform(0.001, 0.4))  # and back
            lane.leave(cost)
        allowance = tier.points_max + tier.decay_per_s * (world.seconds - start)
        used = theirs.accepted / allowance
        report.note(f"REST allowance used, {tier.name}, calls of {cost}", f"{used:.1%}, {refused} refused")
        assert refused == 0
        assert used >= 0.9

    world.run(main())


@pytest.mark.fault("L01", kind="D")
def test_a_refusal_corrects_the_model_and_a_second_one_the_tier() -> None:
    counter = CallCounter(TIERS["pro"])
    counter.refused(0, 0.0)
    assert counter.level(0) == 20
    assert counter.wait_ns(1, 0) == 5 * SECOND
    assert counter.wait_ns(0, 0) == 0  # cancels are never blocked by pacing
    assert counter.tier.name == "pro"
    counter.refused(10 * SECOND, 30.0)
    assert counter.tier.name == "intermediate"
    assert counter.wait_ns(1, 10 * SECOND) == 30 * SECOND
    counter.refused(100 * SECOND, 0.0)
    counter.refused(200 * SECOND, 0.0)
    assert counter.tier.name == "starter"
    counter.refused(10_000 * SECOND, 0.0)
    assert counter.refusals == 1


@pytest.mark.fault("R11", kind="D")
def test_public_calls_keep_their_distance_and_their_rate() -> None:
    world = World()
    lane = lane_of(world, PublicPace(), parallel=4)
    times: list[float] = []

    async def one() -> None:
        await lane.enter(Priority.QUERY, 1, wait_max_s=1000)
        times.append(world.seconds)
        await asyncio.sleep(0.01)
        lane.leave(1)

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(65)))
        gaps = [b - a for a, b in pairwise(times)]
        assert min(gaps) >= 0.1 - 1e-9
        assert times[4] - times[0] <= 0.41  # a small burst at once
        assert 59 <= times[-1] - times[0] <= 61  # then one a second

    world.run(main())


def test_a_refusal_slows_public_calls_for_ten_minutes() -> None:
    pace = PublicPace()
    pace.begin(1, 0)
    pace.refused(0, 0.0)
    assert pace.wait_ns(1, 0) == 5 * SECOND
    pace.begin(1, 5 * SECOND)
    assert pace.wait_ns(1, 5 * SECOND) == 2 * SECOND
    pace.refused(7 * SECOND, 60.0)
    assert pace.wait_ns(1, 7 * SECOND) == 60 * SECOND
    assert pace.wait_ns(1, 700 * SECOND) == 0
    assert pace.refusals == 0


@pytest.mark.fault("R11", kind="D")
def test_orders_and_cancels_go_before_queries_before_history() -> None:
    world = World()
    lane = lane_of(world, CallCounter(TIERS["starter"]))
    order: list[str] = []

    async def one(name: str, priority: Priority, cost: float) -> None:
        await lane.enter(priority, cost, wait_max_s=1000)
        order.append(name)
        await asyncio.sleep(0.05)
        lane.leave(cost)

    async def main() -> None:
        first = asyncio.create_task(one("first", Priority.QUERY, 15))
        await asyncio.sleep(0.01)
        waiting = [
            asyncio.create_task(one("history", Priority.HISTORY, 4)),
            asyncio.create_task(one("query", Priority.QUERY, 1)),
            asyncio.create_task(one("cancel", Priority.ORDER, 0)),
        ]
        await asyncio.sleep(0)
        assert lane.waiting == 3
        begin = world.seconds
        await waiting[2]
        assert world.seconds - begin < 0.15  # only what was under way
        await asyncio.gather(first, *waiting)
        assert order == ["first", "cancel", "query", "history"]
        assert lane.waiting == 0

    world.run(main())


@pytest.mark.fault("L01", kind="D")
def test_what_is_reserved_is_left_for_what_is_urgent() -> None:
    """Pro: 20 points, one back each second. 13 are wanted in 10 s: until then 17 may be used, of what is full at 20."""
    world = World()
    counter = CallCounter(TIERS["pro"])
    lane = Lane("test", counter, world.clock, parallel=1, reserved_wait_ns=counter.reserved_wait_ns)
    begin = world.seconds
    counter.reserved = [(world.clock.monotonic_ns + 10 * SECOND, 13)]
    went: list[tuple[str, float]] = []

    async def ask(name: str, priority: Priority, cost: float) -> None:
        await lane.enter(priority, cost, wait_max_s=100)
        lane.leave(cost)
        went.append((name, round(world.seconds - begin)))

    async def main() -> None:
        for number in range(4):
            await ask(f"read {number}", Priority.QUERY, 4)
        reading = asyncio.ensure_future(ask("read 4", Priority.QUERY, 4))
        await ask("cancel", Priority.ORDER, 0)
        await asyncio.sleep(10)
        assert not reading.done()
        await ask("proof", Priority.URGENT, 13)
        counter.reserved = ()
        await reading

    world.run(main())
    assert went == [
        ("read 0", 0), ("read 1", 0), ("read 2", 0), ("read 3", 0), ("cancel", 0), ("proof", 10), ("read 4", 13),
    ]  # fmt: skip


def test_who_will_not_wait_is_told_how_long_it_would_be() -> None:
    world = World()
    lane = lane_of(world, CallCounter(TIERS["starter"]))

    async def main() -> None:
        await lane.enter(Priority.QUERY, 15, wait_max_s=0)
        lane.leave(15)
        with pytest.raises(RateLimitError) as caught:
            await lane.enter(Priority.QUERY, 1, wait_max_s=0)
        assert 3.0 < caught.value.retry_after_s < 3.1
        assert not caught.value.sent
        assert lane.wait_s() == pytest.approx(caught.value.retry_after_s)
        busy = asyncio.create_task(lane.enter(Priority.QUERY, 1, wait_max_s=100))
        await asyncio.sleep(0)
        with pytest.raises(RateLimitError):
            await lane.enter(Priority.QUERY, 4, wait_max_s=14)  # would fit alone, not behind the other
        await busy

    world.run(main())


def test_the_queue_is_bounded() -> None:
    world = World()
    lane = Lane("test", CallCounter(TIERS["starter"]), world.clock, parallel=1, waiting_max=2)

    async def main() -> None:
        await lane.enter(Priority.QUERY, 15, wait_max_s=0)
        tasks = [asyncio.create_task(lane.enter(Priority.QUERY, 1, wait_max_s=900)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RateLimitError):
            await lane.enter(Priority.QUERY, 1, wait_max_s=900)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(main())


@pytest.mark.fault("R13", kind="D")
@pytest.mark.parametrize("seed", range(20))
def test_cancelled_waiters_leave_no_slot_behind(seed: int) -> None:
    world = World()
    lane = lane_of(world, NoPace())
    rng = Random(seed)

    async def one() -> None:
        await lane.enter(Priority.QUERY, 1, wait_max_s=100)
        try:
            await asyncio.sleep(rng.uniform(0, 0.02))
        finally:
            lane.leave(1)

    async def main() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(30)]
        for task in tasks:
            await asyncio.sleep(rng.uniform(0, 0.01))
            if rng.random() < 0.5:
                rng.choice(tasks).cancel()
            del task
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(one(), 1)
        assert (lane.waiting, lane._under_way) == (0, 0)

    world.run(main())


@pytest.mark.parametrize("make", [NoPace, PublicPace, lambda: CallCounter(TIERS["pro"])])
def test_every_pace_lets_the_first_call_go(make: Callable[[], Pace]) -> None:
    assert make().wait_ns(1, ManualClock().monotonic_ns) == 0
