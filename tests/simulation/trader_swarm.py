"""One run of a trader: a minute of orders under the faults of a plan, then healing within bounds, to nothing left over.

`python tests/simulate.py --who trader --seeds 200` runs the first 200 seeds, cuts down the plan of each that fails and
prints how to replay it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kraken_fast.errors import KrakenFastError
from kraken_fast.orders.deadman import SwitchState
from kraken_fast.rest.http import HttpRequest, HttpResponse
from kraken_fast.sim.acts import Stage
from kraken_fast.sim.faults import Faults
from kraken_fast.sim.plan import Plan
from kraken_fast.sim.trader_plan import draw_trader

from .accounts import AccountWorld, BoxHttp
from .harness import EventLog
from .swarm import RunError, word_of
from .trader import Trader
from .trader_oracle import TraderOracle

LINE_S = 35.0
"""V01: the line is live within so long after the faults."""

UNKNOWN_S = 5.0 + 62.0
"""V03: the deadline of the last order, and 62 s, however many are unknown."""

RETRY_S = 61.0
"""What was declared lost is tried again once a minute."""

GAP_S, BREAKER_S = 10.0, 35.0

SWITCH_S, KEPT_S, MARGIN_NS = 20.0, 45.0, 20_000_000_000
"""V09: the switch is as it should be within so long, and from then on never closer to firing than this. Source: O24."""


class JudgedHttp(BoxHttp):
    """REST of the box, with the judge at its door."""

    oracle: TraderOracle

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """See `HttpPort`."""
        name = self.oracle.on_call(request)
        answer: HttpResponse | None = None
        try:
            answer = await super().fetch(request)
        finally:
            self.oracle.on_answer(name, answer)
        return answer


class TraderRun:
    """One run of one plan.

    Attributes:
        log: what happened, to the byte the same for the same plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = world = AccountWorld(
            seed=plan.seed,
            rate=plan.rate,
            route=lambda _number: plan.route,
            tier="pro",
            limit_orders=True,
            timers_first=plan.timers_first,
        )
        self.log = EventLog(world.timeline)
        self.oracle = TraderOracle(world, self.log.add)
        world.http = JudgedHttp(world, 0.04)
        world.http.oracle = self.oracle
        self.trader = self.oracle.trader = Trader(world, plan, self.oracle)
        self.stage = Stage(plan, world.loop, world.core, world.network)
        self.stage.on_user_act = self.trader.act

    @property
    def faults(self) -> Faults:
        """The exchange's faults."""
        return self.world.faults

    @property
    def now_s(self) -> float:
        """Virtual seconds since the start."""
        return self.world.now_s

    def go(self) -> None:
        """Run it.

        Raises:
            RunError: an invariant or a bound did not hold; the text holds the plan and the command that replays it.
        """
        with _explained(self), _heard(self.oracle):
            self.world.run(self._live())

    async def _live(self) -> None:
        world, trader = self.world, self.trader
        await trader.begin()
        try:
            self.stage.begin()
            await asyncio.sleep(self.plan.faults_s)
            self.stage.heal()
            await asyncio.wait_for(trader.settle(), 200.0)
            await self._converge()
        finally:
            await trader.end()
        await asyncio.sleep(1)
        assert not world.network.connections, f"V07: {world.network.connections}"
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"V07: {left}"
        self.oracle.counts["V07"] += 1

    async def _until(self, name: str, condition: Any, within_s: float) -> None:
        begin_s = self.world.now_s
        while not condition():
            assert self.world.now_s - begin_s < within_s, f"{name}: not within {within_s} s: {self._now()}"
            await asyncio.sleep(0.05)
        self.oracle.counts[name] += 1

    def _now(self) -> str:
        process = self.trader.process
        assert process is not None
        unknown = list(process.entry.table.unknown.values())[:3]
        how = f"{process.account.state}, {process.account.quality}, {process.entry._blocked!r}"
        return f"{how}, {unknown}, {self._differences()}"

    async def _converge(self) -> None:
        process, world = self.trader.process, self.world
        assert process is not None
        entry, account = process.entry, process.account
        await self._until("V01", lambda: account.state == "live", LINE_S)
        await self._until("V03", lambda: entry.is_ready and not entry.table.unknown, UNKNOWN_S)
        await self._until("V05", lambda: account.quality == "live", RETRY_S + GAP_S)
        await self._until("V04", lambda: not self._differences(), UNKNOWN_S)
        await self._until("V06", self._breakers_closed, 0.1 + BREAKER_S)
        await self._until("V09", self._is_switch_kept, SWITCH_S)
        await self._keep_switch()
        gaps = [gap for gap in world.gaps if gap.channel == "executions"][-1:]
        assert all(gap.healed for gap in gaps), f"V05: {gaps}"

    def _differences(self) -> list[str]:
        """V04: what of open orders, fills and balances is not as the exchange has it."""
        process, truth = self.trader.process, self.world.account
        assert process is not None
        table, account = process.entry.table, process.account
        live = {order.order_id for order in truth.live_orders()}
        ours = {order.order_id for order in (*table.live.values(), *table.external.values())}
        opened = {order.order_id for order in account.open_orders()}
        totals = account.line.balances.totals()
        told, made = [fill.exec_id for fill in self.oracle.fills], list(truth.executions)
        found = {
            f"order entry has {sorted(map(str, ours ^ live))} too many or too few": ours != live,
            f"the account has {sorted(opened ^ live)} too many or too few": opened != live,
            f"balances are {totals}": totals != {asset: truth.balances[asset] for asset in totals},
            f"{len(told)} of {len(made)} fills were told, or not in order": told != made,
            **{
                f"{order} filled {truth.orders[order.order_id].filled}": order.filled_qty
                != truth.orders[order.order_id].filled
                for order in table.orders()
                if order.order_id in truth.orders
            },
        }
        return [text for text, differs in found.items() if differs]

    def _breakers_closed(self) -> bool:
        """V06: the next calls find every breaker closed, or close it."""
        process = self.trader.process
        assert process is not None
        states = process.rest.stats().breakers
        if all(state == "closed" for state in states.values()):
            return True
        if not self.world.loop.time() % 1.0 > 0.9:
            self.trader._tasks.append(asyncio.ensure_future(self._probe(states)))
        return False

    async def _probe(self, states: dict[str, str]) -> None:
        process = self.trader.process
        assert process is not None
        calls = {"public": "Time", "private": "OpenOrders", "orders": "CancelAll"}
        for name in [name for name, state in states.items() if state == "open"]:
            try:
                await process.rest.call(calls[name], {})
            except KrakenFastError:
                continue  # not yet

    def _is_switch_kept(self) -> bool:
        """V09: the switch is as the policy says: armed and renewed, or off; a lapsed one waits for its owner."""
        process, truth = self.trader.process, self.world.account
        assert process is not None
        state = process.entry.switch.state
        if state is SwitchState.ARMED:
            return truth.cancel_at_ns is not None and truth.cancel_at_ns - self.world.core.now_ns() >= MARGIN_NS
        if self.trader.wants_switch:
            return state is SwitchState.LAPSED
        return state is SwitchState.OFF and truth.cancel_at_ns is None

    async def _keep_switch(self) -> None:
        """V09: what is armed never comes close to firing."""
        process = self.trader.process
        assert process is not None
        end_s = self.world.now_s + KEPT_S
        while process.entry.switch.state is SwitchState.ARMED and self.world.now_s < end_s:
            assert self._is_switch_kept(), f"V09: {self.world.account.cancel_at_ns} is too near"
            await asyncio.sleep(0.5)


@contextmanager
def _heard(oracle: TraderOracle) -> Iterator[None]:
    """Let the oracle hear the whole log while this lasts (S29), and nobody else."""
    logger, disabled = logging.getLogger("kraken_fast"), logging.root.manager.disable
    level, propagates = logger.level, logger.propagate
    logging.disable(logging.NOTSET)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(oracle.witness)
    try:
        yield
    finally:
        logger.removeHandler(oracle.witness)
        logger.setLevel(level)
        logger.propagate = propagates
        logging.disable(disabled)


@contextmanager
def _explained(run: TraderRun) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        last, plan = "\n".join(run.log.tail), run.plan
        raise RunError(
            word_of(error),
            f"{error}\n\n{plan}\n\nThe last events:\n{last}\n\nAt {run.world.now_s:.6f} s, step {run.oracle.checks}: "
            f"{error}\nReplay: python tests/simulate.py --who trader --seeds {plan.seed}-{plan.seed}",
        ) from error


def run_trader(plan: Plan) -> TraderRun:
    """Run one plan; see `TraderRun.go`."""
    run = TraderRun(plan)
    run.go()
    return run


def run_trader_seed(seed: int) -> TraderRun:
    """Run one seed."""
    return run_trader(draw_trader(seed))
