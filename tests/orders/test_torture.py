"""Thousands of orders under random faults, in virtual time: none twice, none forgotten, none falsely called rejected.

    KRAKEN_FAST_TORTURE=10000 pytest tests/orders/test_torture.py        # the full figure; 1,000 otherwise
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from random import Random
from typing import Any

import pytest
from order_box import CrashError, OrderWorld
from report import note

from kraken_fast.errors import KrakenFastError
from kraken_fast.orders.live_order import Order
from kraken_fast.orders.records import OrderState

ORDERS = int(os.environ.get("KRAKEN_FAST_TORTURE", "1000"))
ROUND = 20
S = 1_000_000_000

ABSENT = (OrderState.REJECTED, OrderState.NOT_PLACED, OrderState.NOT_SENT)
"""What the client says of orders that the exchange does not have."""

LATE_NS = 50_000_000
"""What the virtual way of a message takes, both ways with the box's own time."""


class Torture:
    """One run of a seed. Its own notes of what was asked are the judge's, not the client's."""

    def __init__(self, seed: int, orders: int) -> None:
        self.world = OrderWorld(seed=seed, limit_orders=False)
        self.rng = Random(f"{seed}/torture")
        self.left = orders
        self.asked: list[str] = []
        self.verdicts: dict[str, Order] = {}
        self.fired: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.late: list[Any] = []
        self.number = 0

    async def main(self) -> None:
        await self.open()
        while self.left > 0:
            count = min(self.left, ROUND)
            self.left -= count
            await self.round(count)
        self.world.faults.clear()
        await self.all_known()
        self.judge()

    async def open(self) -> None:
        entry = await self.world.open(wait=False)
        entry.table.on_order = self.on_order
        before = self.world.clock.monotonic_ns
        await asyncio.wait_for(entry.start(), 400)
        for order in entry.table.orders():
            self.verdicts[order.name] = order
            assert order.state is not OrderState.UNKNOWN, "trading was allowed before all was known"
        self.counts["starts"] += 1
        self.counts["start_s_max"] = max(
            self.counts["start_s_max"], (self.world.clock.monotonic_ns - before) // S
        )

    def on_order(self, order: Order, before: OrderState) -> None:
        """Keep when an unknown outcome became known, and hold it against its bound."""
        self.verdicts[order.name] = order
        now_ns = self.world.clock.monotonic_ns
        if before is not OrderState.UNKNOWN or not order.deadline_ns:
            return
        late_ns = now_ns - order.deadline_ns
        had_gap = not order.sent_ns or any(ns >= order.sent_ns for ns in self.world.gaps_ns)
        kind = order.evidence[-1].kind
        self.counts[f"unknown, by {kind}"] += 1
        bound_ns = (62 if had_gap else 2) * S + LATE_NS
        if kind == "event":  # a message named it: known at once, and whenever it came
            bound_ns = max(bound_ns, late_ns)
        if late_ns > bound_ns:
            self.late.append((order.name, late_ns / S, had_gap, order.evidence))
        self.counts["latest_ms, gapless" if not had_gap else "latest_ms, gap"] = max(
            self.counts["latest_ms, gapless" if not had_gap else "latest_ms, gap"], late_ns // 1_000_000
        )

    # A round -----------------------------------------------------------------------------------------------------

    async def round(self, count: int) -> None:
        self.deadline_s = self.rng.choice([0.5, 2.0, 5.0])
        self.break_things()
        tasks = [asyncio.ensure_future(self.one()) for _ in range(count)]
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.uniform(0, 0.05))
            self.drop()
        done, _ = await asyncio.wait(tasks, timeout=1.0, return_when=asyncio.FIRST_EXCEPTION)
        crashed = any(isinstance(task.exception(), CrashError) for task in done)
        if not crashed and self.rng.random() < 0.05:
            crashed = True
            self.counts["crash, between"] += 1
        if crashed:
            self.world.kill()
            self.counts["crashes"] += 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(self.rng.uniform(0.1, 8))
            await self.open()
        else:
            await asyncio.gather(*tasks)
        # What is open is looked up before the next gap: each burst of unknowns costs REST points that decay slowly.
        if self.world.entry.table.unknown or self.rng.random() < 0.5:
            self.world.faults.clear()
            await self.all_known()
            await self.tidy()

    async def one(self) -> None:
        world, rng = self.world, self.rng
        self.number += 1
        name = f"t{self.number}"
        self.asked.append(name)
        terms = world.buy(cl_ord_id=name)
        kind = rng.random()
        if kind < 0.3:
            terms.update(limit_price=world.quote("BTC/USD").ask, order_qty="0.0001", time_in_force="ioc")
        elif kind < 0.5:
            del terms["cl_ord_id"]
            userref = 1_000_000 + self.number
            self.asked[-1] = f"#{userref}"
            terms.update(order_userref=userref)
        await asyncio.sleep(rng.uniform(0, 0.02))
        try:
            await world.entry.add_order(**terms, deadline_s=self.deadline_s)
        except KrakenFastError as error:
            self.counts[type(error).__name__] += 1
        else:
            self.counts["acknowledged"] += 1

    def break_things(self) -> None:
        """Choose a few faults; most rounds have few kinds, some have many."""
        world, rng = self.world, self.rng
        world.faults.clear()
        plans: list[tuple[str, dict[str, Any]]] = [
            ("accept_no_reply", {"count": rng.randint(1, 4)}),
            ("accept_then_reset", {"count": 1}),
            ("request_lost", {"count": rng.randint(1, 4)}),
            ("request_lost", {"count": 1, "reset": True}),
            ("reply_late", {"count": 3, "ms": rng.choice([300, 2500, 6000])}),
            ("reply_twice", {"count": 5}),
            ("event_before_reply", {}),
            ("arrive_late", {"count": 2, "ms": rng.choice([200, 1500, 6000])}),
            ("reject", {"count": 2, "error": "EOrder:Insufficient funds"}),
            ("reject", {"count": 2, "error": "EService:Unavailable"}),
            ("reject", {"count": 1, "error": "EService:Deadline elapsed"}),
            ("seq_gap", {}),
            ("status", {"endpoint": "OpenOrders", "count": 2}),
            ("act_then_fail", {"endpoint": "AddOrder", "count": 2, "code": rng.choice([0, 502, 520])}),
            ("status", {"endpoint": "AddOrder", "count": 1}),
            ("lag", {"endpoint": "OpenOrders", "seconds": 30}),
            ("lag", {"endpoint": "ClosedOrders", "seconds": 55}),
        ]
        for kind, how in rng.sample(plans, rng.choice([0, 1, 1, 2, 3, 6])):
            is_rest = kind in ("status", "lag", "act_then_fail", "seq_gap")
            world.faults.inject(kind, **({} if is_rest else {"endpoint": "add_order"}), **how)
            self.fired[kind] += 1
        if rng.random() < 0.15:
            self.world.line.refuses_writes = True
            world.loop.call_later(0.5, self.write_again)
        if rng.random() < 0.3:
            where = rng.choice(["before journal", "torn journal", "after journal", "before send", "after send"])
            self.counts[f"crash, {where}"] += 1
            world.storage.tears_at = rng.randint(1, 150)
            if "journal" in where:
                world.storage.crash_at = where
            else:
                world.line.crash_at = where

    def write_again(self) -> None:
        self.world.line.refuses_writes = False

    def drop(self) -> None:
        self.counts["drops"] += 1
        self.world.line.drop()

    async def all_known(self) -> None:
        self.world.storage.crash_at = self.world.line.crash_at = ""
        table = self.world.entry.table
        for _ in range(700):
            waiting = [order for order in table.orders() if order.state in (OrderState.SENT, OrderState.JOURNALLED)]
            if not table.unknown and not waiting and self.world.line.is_up:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"still unknown after 70 s: {list(table.unknown.values())[:3]}")

    async def tidy(self) -> None:
        """Cancel what rests, so that the run stays small."""
        try:
            await self.world.entry.cancel_all()
        except KrakenFastError:
            self.counts["tidy_failed"] += 1
        await asyncio.sleep(0.1)

    # The verdict -------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        truth = self.world.truth()
        counts = self.counts
        counts["duplicates"] = sum(len(orders) > 1 for orders in truth.values())
        counts["orphans"] = sum(name not in self.verdicts for name in truth)
        for name, orders in truth.items():
            order = self.verdicts.get(name)
            if order is None:
                continue
            counts["falsely_rejected"] += order.state in ABSENT
            counts["still_unknown"] += order.state is OrderState.UNKNOWN
            counts["wrong_fills"] += order.state.is_final and order.filled_qty != orders[0].filled
        for name, order in self.verdicts.items():
            counts["falsely_accepted"] += order.state not in ABSENT and name not in truth
        counts["placed"] = len(truth)
        counts["asked"] = len(self.asked)
        counts["late"] = len(self.late)


@pytest.mark.fault("O02", kind="D")
@pytest.mark.fault("O26", kind="D")
def test_orders_under_random_faults() -> None:
    total: Counter[str] = Counter()
    left, seed = ORDERS, 0
    while left > 0:
        seed += 1
        run = Torture(seed, min(left, 500))
        left -= 500
        try:
            run.world.run(run.main())
        except BaseException:
            print(f"seed {seed}")
            raise
        for name, value in run.counts.items():
            total[name] = max(total[name], value) if "latest" in name or "max" in name else total[name] + value
        bad = {name: run.counts[name] for name in (
            "duplicates", "orphans", "falsely_rejected", "falsely_accepted", "still_unknown", "wrong_fills"
        )}  # fmt: skip
        assert not any(bad.values()), (seed, bad)
        assert not run.late, (seed, run.late[:3])
    assert total["asked"] == ORDERS
    assert total["crashes"] and total["drops"] and total["OutcomeUnknownError"]
    note("orders under random faults", dict(sorted(total.items())))
