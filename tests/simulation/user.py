"""The user of a run: opens the feed, does what the plan says, and closes it, whatever the faults do meanwhile."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from kraken_fast import Feed
from kraken_fast.errors import ClosedError, KrakenFastError, StaleDataError
from kraken_fast.events import EventStream
from kraken_fast.sim.plan import Act, Plan

from .harness import Simulation


class User:
    """One user with one feed at a time."""

    def __init__(self, sim: Simulation, plan: Plan) -> None:
        self.feed: Feed = self._connect(sim, plan)
        self._sim = sim
        self._plan = plan
        self._restart: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def _connect(sim: Simulation, plan: Plan) -> Feed:
        return sim.connect(channels=plan.channels, book_depth=plan.depth, ready_s=30.0)

    def act(self, act: Act) -> None:
        """Do what the plan says."""
        if act.kind in ("unsubscribe", "late_subscribe"):
            self._leave(act)
        elif act.kind == "read_strictly":
            self._spawn(self._read_strictly(act))
        elif act.kind == "slow_reader":
            self._spawn(self._read_slowly(act))
        elif act.kind == "raise":
            self._sim.raise_in.add(act.settings["channel"])
            self._sim.loop.call_later(act.lasts_s, partial(self._sim.raise_in.discard, act.settings["channel"]))
        elif self._restart is None or self._restart.done():
            self._restart = asyncio.get_running_loop().create_task(self._begin_again(act.settings["is_crash"]))

    async def settle(self) -> None:
        """Let what was begun end: a restart under way, tasks that read."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._restart is not None:
            await self._restart
        self.feed.subscribe(self.feed.symbols)

    def _spawn(self, main: Any) -> None:
        task = asyncio.get_running_loop().create_task(main)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sim.oracle.keep(error)

    def _leave(self, act: Act) -> None:
        symbol = self._plan.symbols[act.settings["pick"] % len(self._plan.symbols)]
        self.feed.unsubscribe([symbol])
        self._sim.oracle.forget(symbol)
        self._sim.loop.call_later(act.lasts_s, lambda: self.feed.subscribe([symbol]))

    async def _read_strictly(self, act: Act) -> None:
        """Whatever a strict read gives is judged like a book that was delivered."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + act.lasts_s
        while loop.time() < end_s:
            for symbol in self._plan.symbols:
                try:
                    self._sim.oracle.on_read(self.feed.book(symbol, strict=True))
                except (StaleDataError, KeyError):
                    continue  # refused, or not subscribed to at present
            await asyncio.sleep(act.settings["each_ms"] / 1e3)

    async def _read_slowly(self, act: Act) -> None:
        """Iterate slower than events come; every one is read, or counted as dropped."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + act.lasts_s
        try:
            stream = self.feed.events(size=act.settings["size"])
        except ClosedError:
            return  # a restart is under way
        reader = self._sim.oracle.on_stream(stream, act.settings["size"])
        try:
            while loop.time() < end_s:
                await asyncio.sleep(act.settings["each_ms"] / 1e3)
                if (event := await self._next(stream)) is None:
                    return
                reader.took(event)
        finally:
            reader.over()
            await stream.aclose()

    @staticmethod
    async def _next(stream: EventStream) -> Any:
        try:
            async with asyncio.timeout(5.0):
                return await anext(stream)
        except (TimeoutError, StopAsyncIteration):
            return None

    async def _begin_again(self, is_crash: bool) -> None:
        """End the feed, as a crash does or in good order, and open another until it opens."""
        if is_crash:
            self._sim.network.lose_machine()
        await self.feed.close()
        while True:
            self._sim.oracle.forget_all()
            self.feed = self._connect(self._sim, self._plan)
            try:
                await self.feed.open()
            except KrakenFastError:
                continue  # not within `ready_s`: the next attempt
            return
