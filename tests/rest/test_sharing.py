"""Sharing: one call for many readers, nothing old given as fresh."""

from __future__ import annotations

import asyncio

import pytest
from rest_box import World

from kraken_fast.rest.sharing import KEPT_MAX, Batcher, Shared


class Source:
    def __init__(self, delay_s: float = 0.1) -> None:
        self.calls = 0
        self.cancelled = 0
        self.error: Exception | None = None
        self.delay_s = delay_s

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


@pytest.mark.fault("R12", kind="D")
def test_readers_in_flight_share_and_what_is_old_is_fetched_once() -> None:
    world = World()
    shared, source = Shared(world.clock), Source()

    async def main() -> None:
        assert set(await asyncio.gather(*(shared.get("k", source, age_s=3) for _ in range(50)))) == {1}
        await asyncio.sleep(2.89)
        assert await shared.get("k", source, age_s=3) == 1
        await asyncio.sleep(0.02)
        assert set(await asyncio.gather(*(shared.get("k", source, age_s=3) for _ in range(50)))) == {2}
        assert await shared.get("k", source, age_s=0) == 3
        assert source.calls == 3

    world.run(main())


@pytest.mark.fault("R08", kind="D")
def test_a_failure_gives_what_is_older_only_to_who_asked_so() -> None:
    world = World()
    shared, source = Shared(world.clock), Source()

    async def main() -> None:
        await shared.get("k", source, age_s=3)
        await asyncio.sleep(10)
        source.error = OSError("down")
        assert await shared.get("k", source, age_s=3, stale_s=60) == 1
        with pytest.raises(OSError, match="down"):
            await shared.get("k", source, age_s=3)
        with pytest.raises(OSError, match="down"):
            await shared.get("k", source, age_s=3, stale_s=5)

    world.run(main())


@pytest.mark.fault("R13", kind="D")
def test_one_reader_who_leaves_does_not_take_the_others_with_him() -> None:
    world = World()
    shared, source = Shared(world.clock), Source()

    async def main() -> None:
        readers = [asyncio.create_task(shared.get("k", source, age_s=3)) for _ in range(3)]
        await asyncio.sleep(0.01)
        readers[0].cancel()
        assert await readers[1] == 1
        others = [asyncio.create_task(shared.get("j", source, age_s=3)) for _ in range(2)]
        await asyncio.sleep(0.01)
        for reader in others:
            reader.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert source.cancelled == 1
        assert not shared._flights

    world.run(main())


def test_what_is_kept_is_bounded() -> None:
    world = World()
    shared = Shared(world.clock)
    for key in range(KEPT_MAX + 10):
        shared.keep(key, key, world.clock.monotonic_ns, 3)
    assert shared.kept(0, 100) is None
    assert shared.kept(KEPT_MAX, 100) == KEPT_MAX
    assert len(shared._kept) == KEPT_MAX


def test_what_nobody_takes_from_here_any_more_goes() -> None:
    world = World()
    shared, source = Shared(world.clock), Source(0)

    async def main() -> None:
        for page in range(100):
            await shared.get(("once", page), source, age_s=0)
        assert not shared._kept, "nobody may be given these"
        for page in range(300):
            await shared.get(("page", page), source, age_s=3)
            await asyncio.sleep(10)
        assert len(shared._kept) <= 13, "a minute of them, and until the next look"
        await shared.get("hour", source, age_s=3600)
        for page in range(300):
            await shared.get(("later", page), source, age_s=3)
            await asyncio.sleep(10)
        assert shared.kept("hour", 3600) is not None

    world.run(main())


def test_requests_within_a_window_become_one() -> None:
    world = World()
    asked: list[tuple[str, ...]] = []

    async def fetch(keys: tuple[str, ...]) -> dict[str, str]:
        asked.append(keys)
        await asyncio.sleep(0.1)
        return {key: key.lower() for key in keys}

    async def main() -> None:
        batcher = Batcher(fetch, window_s=0.004)
        answers = await asyncio.gather(*(batcher.get([f"K{i % 40}"]) for i in range(200)))
        assert answers[7]["K7"] == "k7"
        assert len(asked) == 1
        assert len(asked[0]) == 40
        await batcher.get(["X"])
        assert asked[1] == ("X",)

    world.run(main())
