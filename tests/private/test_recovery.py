"""Recovery's own part: what a fill of REST becomes, crawls that fail in the middle, giving up, audits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from rest_box import SECOND, World

from kraken_fast.core.execution import Execution
from kraken_fast.core.order_store import OrderStore
from kraken_fast.errors import ExchangeError, KrakenFastError, RequestTimeoutError
from kraken_fast.private.reconcile import FillKeeper
from kraken_fast.private.recovery import Recovery, fill_of
from kraken_fast.rest.answers import TradeInfo
from kraken_fast.rest.history import AccountHistory
from kraken_fast.types import Fee

D = Decimal
PAGE = 50


def info(number: int, time_ns: int) -> TradeInfo:
    return TradeInfo(
        exec_id=f"T{number:06}",
        order_id="O1",
        symbol="BTC/USD",
        exch_ns=time_ns,
        side="buy",
        ord_type="limit",
        price=D(60_000),
        cost=D(600),
        fee=D("1.5"),
        qty=D("0.01"),
        trade_id=number,
        maker=True,
    )


def streamed(number: int, time_ns: int, *, recovered: bool = False) -> Execution:
    facts = {"order_id": "O1", "exec_type": "trade", "exec_id": f"T{number:06}"}
    return Execution(**facts, timestamp_ns=time_ns, recovered=recovered)


@pytest.mark.parametrize(("preference", "asset"), [("fciq", "USD"), ("fcib", "BTC"), (None, "")])
def test_a_fill_of_rest_has_its_orders_ids_and_fee_asset(preference: str | None, asset: str) -> None:
    orders = OrderStore()
    orders.apply(Execution(order_id="O1", exec_type="new", cl_ord_id="mine", fee_ccy_pref=preference))
    fill = fill_of(info(7, 5 * SECOND), orders.get("O1"))
    assert (fill.exec_type, fill.exec_id, fill.cl_ord_id, fill.trade_id) == ("trade", "T000007", "mine", 7)
    assert (fill.last_qty, fill.last_price, fill.cost, fill.liquidity_ind) == (D("0.01"), D(60_000), D(600), "m")
    assert fill.fees == (Fee(asset, D("1.5")),) and fill.recovered
    assert fill_of(info(7, 5 * SECOND), None).cl_ord_id is None


class Scene:
    """A keeper that was lost with fills missing, and REST that has them."""

    def __init__(self, world: World, *, missed: int, page: int = PAGE) -> None:
        self.world = world
        self.now_ns = world.clock.epoch_ns
        self.truth = [info(number, self.now_ns + number * SECOND) for number in range(missed + 10)]
        self.keeper: FillKeeper[Execution] = FillKeeper()
        self.got: list[Execution] = []
        self.errors: list[KrakenFastError] = []
        self.shown = missed + 10
        self.pages = 0
        self.gave_up = 0
        self.recovery = Recovery(
            self.keeper,
            history=self.history,
            order_of=lambda _order_id: None,
            clock=world.clock,
            deliver=self.deliver,
            gave_up=self.give_up,
        )
        self.keeper.on_snapshot([], exchange_ns=self.now_ns - SECOND, at_ns=0)
        for row in self.truth[:10]:
            self.got += self.keeper.on_stream(streamed(row.trade_id or 0, row.exch_ns))
        self.keeper.on_lost()
        last = [streamed(row.trade_id or 0, row.exch_ns, recovered=True) for row in self.truth[-PAGE:]]
        self.got += self.keeper.on_snapshot(last, exchange_ns=self.truth[-1].exch_ns, at_ns=0)

    def deliver(self, fills: list[Execution]) -> None:
        self.got += fills
        self.recovery.poke()

    def give_up(self) -> None:
        self.gave_up += 1

    def history(self, start_s: int | None, end_s: int | None) -> AsyncIterator[TradeInfo]:
        async def fetch(_end: int, ofs: int) -> tuple[list[TradeInfo], int]:
            self.pages += 1
            await asyncio.sleep(0.1)
            if self.errors:
                raise self.errors.pop(0)
            until_ns = (end_s or 1 << 40) * SECOND
            start_ns = (start_s or 0) * SECOND
            rows = [row for row in self.truth[: self.shown] if start_ns < row.exch_ns <= until_ns]
            rows.reverse()
            return rows[ofs : ofs + PAGE], len(rows)

        return AccountHistory(fetch, lambda row: (row.exec_id, row.exch_ns), end_s=1 << 40)

    def ids(self) -> list[str | None]:
        return [fill.exec_id for fill in self.got]


@pytest.mark.fault("R14", kind="D")
def test_a_crawl_that_fails_in_the_middle_goes_on_there() -> None:
    world = World()

    async def main() -> None:
        scene = Scene(world, missed=200)
        assert scene.keeper.wants_rest
        scene.recovery.poke()
        await asyncio.sleep(0.25)
        scene.errors = [RequestTimeoutError("TradesHistory", 10.0)] * 3
        await asyncio.sleep(20)
        assert scene.ids() == [row.exec_id for row in scene.truth] and scene.keeper.is_live
        assert scene.pages == 5 + 3 and scene.recovery.crawls == 1
        await scene.recovery.close()

    world.run(main())


def test_what_no_repetition_cures_leads_to_giving_up_and_the_audit_mends_it() -> None:
    world = World()

    async def main() -> None:
        scene = Scene(world, missed=200)
        scene.errors = [ExchangeError("EGeneral:Permission denied")] * 1000
        scene.recovery.poke()
        await asyncio.sleep(61)
        assert not scene.keeper.is_live and scene.gave_up == 0
        await asyncio.sleep(3)
        assert scene.keeper.is_live and scene.gave_up == 1
        assert len(scene.got) == 10 + PAGE
        await asyncio.sleep(62)
        scene.errors.clear()
        await asyncio.sleep(60)
        assert sorted(map(str, scene.ids())) == [row.exec_id for row in scene.truth] and scene.keeper.late == 150
        await scene.recovery.close()

    world.run(main())


def test_progress_resets_the_time_to_give_up() -> None:
    world = World()

    async def main() -> None:
        scene = Scene(world, missed=200)
        scene.shown = 60
        scene.recovery.poke()
        for _ in range(3):
            await asyncio.sleep(50)
            scene.shown += 20
        await asyncio.sleep(50)
        assert scene.gave_up == 0 and not scene.keeper.is_live
        scene.shown = 210
        await asyncio.sleep(21)
        assert scene.ids() == [row.exec_id for row in scene.truth]
        await scene.recovery.close()

    world.run(main())


@pytest.mark.fault("P09", kind="D")
def test_closing_in_the_middle_is_prompt_and_final() -> None:
    world = World()

    async def main() -> None:
        scene = Scene(world, missed=200)
        scene.recovery.poke()
        await asyncio.sleep(0.15)
        await scene.recovery.close()
        pages = scene.pages
        scene.recovery.poke()
        await asyncio.sleep(100)
        assert scene.pages == pages

    world.run(main())
