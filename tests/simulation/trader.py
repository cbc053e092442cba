"""A trader in virtual time: real private line, account, order entry and REST client, and a journal that outlives it.

    run = TraderRun(draw_trader(7))
    run.go()

What the trader does comes from the plan; its notes of what it asked for are the judge's (`trader_oracle`), not the
client's. A crash ends everything of the client at once and begins again with the journal, the key's nonce and the
clock that are left.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

from order_box import CrashError, CrashingStorage

from kraken_fast.errors import KrakenFastError
from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.journal import Journal, Sync
from kraken_fast.orders.live_order import Order
from kraken_fast.orders.records import NewOrder, OrderState
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.policy import AttemptBudget, MemoryAttempts
from kraken_fast.private.account import Account
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim.plan import Act, Plan
from kraken_fast.types import Instrument

from .accounts import BTC, AccountWorld, S

TICK, LOT = Decimal("0.1"), Decimal("0.00001")
SWITCH_S = 60


class CrashingLine:
    """The private line as order entry sees it; the process dies where the plan says so."""

    def __init__(self, line: Any) -> None:
        self.crash_at = ""
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)

    def send(self, text: bytes) -> Any:
        """Send, and die before or after it."""
        is_add = b'"add_order"' in text or b'"batch_add"' in text
        if self.crash_at == "before send" and is_add:
            raise CrashError
        written = self._line.send(text)
        if self.crash_at == "after send" and is_add:
            raise CrashError
        return written


class Process:
    """One life of the client."""

    def __init__(self, trader: Trader) -> None:
        world = trader.world
        self.trader = trader
        self.is_dead = False
        self.storage = CrashingStorage(trader.journal_bytes)
        self.rest = world.rest()
        self.account: Account = world.connect(
            rest=self.rest, budget=trader.budget, since_ns=trader.since_ns, known=trader.known, ready_s=30.0
        )
        self.account.on_fill = trader.oracle.on_fill
        self.line = CrashingLine(self.account.line)
        self.entry = OrderEntry(
            self.line,  # type: ignore[arg-type]
            journal=Journal(self.storage, world.clock, sync=Sync.NEVER),
            instruments=trader.instrument,
            rest=self.rest,
            settings=OrderSettings(tier=trader.tier, deadline_s=2.0, switch_s=SWITCH_S),
            clock=world.clock,
            rng=Random(f"{world.seed}/entry {trader.lives}"),
        )
        self.entry.table.on_order = lambda order, before: trader.oracle.on_order(self, order, before)

    async def begin(self) -> None:
        """Open the account and take up what the journal left open: order entry listens before the line is up."""
        starting = asyncio.ensure_future(self.entry.start())
        others = [asyncio.ensure_future(self.account.tokens.get()) for _ in range(self.trader.other_lines)]
        await asyncio.sleep(0)
        try:
            await self.account.open()
            await starting
        finally:
            for task in (starting, *others):
                task.cancel()
            await asyncio.wait([starting])
            await asyncio.gather(*others, return_exceptions=True)

    async def end(self) -> None:
        """Close in good order."""
        self.is_dead = True
        await self.entry.close()
        await self.account.close()
        await self.rest.close()

    async def kill(self) -> bytes:
        """Die: nothing is said, written or sent any more. Gives the journal as it lies there."""
        self.is_dead = True
        left = self.storage.read()
        self.entry._is_closed = True
        if self.entry._timer is not None:
            self.entry._timer.cancel()
        self.trader.world.network.lose_machine()
        for task in [*self.rest._sender.acting, *self.rest._queued, *self.entry._tasks]:
            task.cancel()
        await self.account.close()
        await self.rest.close()
        return left


class Trader:
    """The user: trades in bursts, crashes, fills its disk, and begins again."""

    def __init__(self, world: AccountWorld, plan: Plan, oracle: Any) -> None:
        self.world = world
        self.plan = plan
        self.oracle = oracle
        self.tier = "pro"
        self.budget = AttemptBudget(MemoryAttempts())
        self.journal_bytes = b""
        self.since_ns: int | None = None
        self.known: tuple[str, ...] = ()
        self.lives = 0
        self.orders = 0
        self.wants_switch = False
        self.other_lines = 2 if any(act.kind == "other_lines" for act in plan.acts) else 0
        """Lines of the same key that begin whenever the client does, such as those of level 3: each wants a token."""
        self.process: Process | None = None
        self._again: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._bursts: list[asyncio.Task[Any]] = []

    def instrument(self, symbol: str) -> Instrument | None:
        """Give the rules of a pair."""
        pair = self.world.core.listing.pairs.get(symbol)
        if pair is None:
            return None
        return Instrument(
            symbol, pair.base, pair.quote, pair.status, pair.price_precision, pair.qty_precision, pair.cost_precision,
            pair.price_increment, pair.qty_increment, pair.qty_min, pair.cost_min,
        )  # fmt: skip

    # Living and dying --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Begin, and again until it opens."""
        while True:
            self.lives += 1
            self.oracle.on_birth()
            process = self.process = Process(self)
            try:
                await process.begin()
            except KrakenFastError:
                self.oracle.on_death()
                self.journal_bytes = process.storage.read()
                await process.end()
                continue
            except CrashError:  # a journal that was told to tear
                await self._die(process)
                continue
            if self.wants_switch:
                process.entry.arm_switch()
            return

    async def end(self) -> None:
        """End in good order."""
        if self._again is not None:
            await self._again
        self._forget_tasks()
        if self.process is not None:
            await self.process.end()

    def _forget_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    async def _die(self, process: Process) -> None:
        self._forget_tasks()
        self.oracle.on_death()
        told = self.oracle.fills[-50:]
        if told:
            self.since_ns = max(fill.timestamp_ns or 0 for fill in told)
            self.known = tuple(fill.exec_id for fill in told if fill.exec_id)
        self.journal_bytes = await process.kill()
        # The system lets go of the lock of a process that is gone; what it wrote stays.
        self.world.nonces = MemoryNonces(self.world.nonces.read())

    async def _crash(self, pause_s: float) -> None:
        assert self.process is not None
        await self._die(self.process)
        await asyncio.sleep(pause_s)
        await self.begin()

    def crash_now(self, pause_s: float) -> None:
        """Die, unless that is under way."""
        if self._again is None or self._again.done():
            self._again = asyncio.get_running_loop().create_task(self._crash(pause_s))

    # The plan ----------------------------------------------------------------------------------------------------

    def act(self, act: Act) -> None:
        """Do what the plan says."""
        process = self.process
        if act.kind == "trade":
            self._bursts.append(asyncio.get_running_loop().create_task(self._burst(act)))
        elif act.kind == "wall_step":
            self.world.clock.step_wall(act.settings["seconds"] * S)
            self.oracle.wall_steps += 1
        elif act.kind == "switch":
            self.wants_switch = True
            if self.is_ready:
                assert process is not None
                process.entry.arm_switch()
        elif act.kind == "journal_fails" and process is not None:
            process.storage.fails = True
            self.world.loop.call_later(act.lasts_s, partial(setattr, process.storage, "fails", False))
        elif act.kind == "crash" and self.is_ready:
            self._plan_crash(act)

    def _plan_crash(self, act: Act) -> None:
        assert self.process is not None
        where, pause_s = act.settings["where"], act.settings["pause_ms"] / 1e3
        self.pause_s = pause_s
        if where == "now":
            self.crash_now(pause_s)
        elif "journal" in where:
            self.process.storage.tears_at = 20 + act.settings["pause_ms"] % 100
            self.process.storage.crash_at = where
        else:
            self.process.line.crash_at = where

    @property
    def is_ready(self) -> bool:
        """Whether a client is up."""
        return (self._again is None or self._again.done()) and self.process is not None and not self.process.is_dead

    def stop(self) -> None:
        """Trade no more; who waits may wait."""
        for burst in self._bursts:
            burst.cancel()
        if self.process is not None:
            self.process.storage.crash_at = self.process.line.crash_at = ""
            self.process.storage.fails = False

    async def _burst(self, act: Act) -> None:
        rng, loop = Random(act.settings["number"]), asyncio.get_running_loop()
        end_s = loop.time() + act.lasts_s
        while loop.time() < end_s:
            await asyncio.sleep(rng.random() * 2 * act.settings["each_ms"] / 1e3)
            kind, number = rng.random(), rng.randrange(1 << 30)
            if self.is_ready:
                self._tasks.append(loop.create_task(self._one(kind, Random(number))))
                self._tasks = [task for task in self._tasks if not task.done()]

    async def _one(self, kind: float, rng: Random) -> None:
        process = self.process
        assert process is not None
        try:
            if kind < 0.55:
                await self._add(process.entry, rng)
            elif kind < 0.8:
                await self._cancel(process, rng)
            elif kind < 0.9:
                await self._amend(process.entry, rng)
            elif kind < 0.97:
                await self._batch(process.entry, rng)
            else:
                await process.entry.cancel_mine()
        except KrakenFastError as error:
            self.oracle.on_error(error)
        except CrashError:
            self.crash_now(self.pause_s)

    # What it asks for --------------------------------------------------------------------------------------------

    def _terms(self, rng: Random) -> dict[str, Any]:
        book = self.world.core.book(BTC)
        side = rng.choice(("buy", "sell"))
        own, other = (book.bids, book.asks) if side == "buy" else (book.asks, book.bids)
        best = (own or other or [(Decimal(60_000), None)])[0][0]
        away = TICK * rng.choice((0, 1, 5, 50, 5000)) * (-1 if side == "buy" else 1)
        price = best + away
        terms: dict[str, Any] = {
            "symbol": BTC, "side": side, "order_type": "limit", "order_qty": LOT * rng.randint(20, 300),
            "limit_price": price,
        }  # fmt: skip
        draw = rng.random()
        if draw < 0.2 and other:
            terms.update(limit_price=other[0][0], time_in_force="ioc")
        elif draw < 0.3:
            terms.update(post_only=True)
        elif draw < 0.35:
            terms.update(limit_price=price + Decimal("0.05"))  # off the tick: never leaves
        elif draw < 0.4:
            terms.update(order_qty=str(terms["order_qty"]) + "000")  # zeros are no other value
        return terms

    def _named(self, terms: dict[str, Any], rng: Random) -> dict[str, Any]:
        self.orders += 1
        if rng.random() < 0.25:
            terms["order_userref"] = 1_000_000 + self.orders
            name = f"#{terms['order_userref']}"
        else:
            name = terms["cl_ord_id"] = f"t{self.orders}"
        self.oracle.on_asked(name, terms)
        return terms

    async def _add(self, entry: OrderEntry, rng: Random) -> None:
        await entry.add_order(**self._named(self._terms(rng), rng), deadline_s=rng.choice((0.5, 2.0, 5.0)))

    async def _batch(self, entry: OrderEntry, rng: Random) -> None:
        orders = []
        for _ in range(rng.randint(2, 4)):
            terms = self._named(self._terms(rng), rng)
            orders.append(NewOrder(**{**terms, "symbol": ""}))
        await entry.batch_add(symbol=BTC, orders=orders)

    def _live(self, entry: OrderEntry, rng: Random) -> Order | None:
        live = [order for order in entry.table.orders() if order.state.is_live]
        return rng.choice(live) if live else None

    async def _cancel(self, process: Process, rng: Random) -> None:
        order = self._live(process.entry, rng)
        if order is not None:
            self.oracle.on_cancel_asked(process, order)
            await process.entry.cancel_order(order=order)

    async def _amend(self, entry: OrderEntry, rng: Random) -> None:
        order = self._live(entry, rng)
        if order is None or order.limit_price is None or order.cl_ord_id is None:
            return
        price = order.limit_price + TICK * rng.choice((-30, -1, 1, 30))
        self.oracle.on_amend_asked(order, price)
        await entry.amend_order(order=order, limit_price=price)

    async def settle(self) -> None:
        """Let what was begun end; nothing new is asked."""
        self.stop()
        if self._again is not None:
            await self._again
        if not self.is_ready or self.process is None:
            await self.begin()


def settled(order: Order) -> bool:
    """Whether nothing about an order is open."""
    return order.state not in (OrderState.JOURNALLED, OrderState.SENT, OrderState.UNKNOWN)
