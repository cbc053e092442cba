"""The account's own line: opened by the coordinator, first to be read while it is live, REST whenever it is not."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from report import note

from kraken_fast import ConfigError, Degraded, LineChange, NoSourceError, StaleDataError
from kraken_fast.account_records import AccountGap
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.faces import PRIVATE
from kraken_fast.sim.network import HOST

from .coordination import World

URL = f"wss://ws-auth.{HOST}/v2"


def private_session(world: World) -> int | None:
    """Give the number of the private line's session at the exchange."""
    return next((session.number for session in world.core.sessions if session.face is PRIVATE), None)


def account_sources(world: World) -> list[tuple[float, str]]:
    return world.sources("", "account")


async def order(coordinator: Any, price: int = 1000) -> Any:
    return await coordinator.client.add_order(
        symbol="BTC/USD", side="buy", ord_type="limit", qty=Decimal("0.01"), price=Decimal(price)
    )


def test_balances_and_orders_come_from_its_own_line() -> None:
    world = World(["BTC/USD"], seed=81)

    async def main() -> None:
        async with world.coordinator(key=True, account_url=URL, check_s=0) as coordinator:
            calls = len(world.http.calls)
            balance = await coordinator.get_balance("USD", strict=True)
            assert (balance.source, balance.quality, balance.hold) == ("websocket", "live", 0)
            assert balance.age_ms < 2_000
            balances = await coordinator.get_balances(strict=True, max_age_ms=2_000)
            assert balances.source == "websocket"
            assert balances["USD"].total == balance.total
            truth = next(iter(world.core.accounts.values()))
            assert balance.total == truth.balances["USD"]
            assert (await coordinator.get_open_orders(strict=True)).orders == ()
            assert len(world.http.calls) <= calls + 1, "holds are asked for once; reads ask for nothing"

            await order(coordinator)
            await world.until(coordinator.account.open_orders, 1)
            orders = await coordinator.get_open_orders(strict=True)
            assert (orders.source, len(orders.orders)) == ("websocket", 1)
            held = await coordinator.get_balance("USD", strict=True)
            assert (held.hold, held.hold_source) == (10, "orders")
            assert held.free == held.total - 10
            shares = coordinator.shares(whole=True)
            assert shares.calls["account"] == 0
            assert account_sources(world)[0][1] == "websocket"

    world.run(main())


@pytest.mark.parametrize("kind", ["rst", "half_open"])
@pytest.mark.fault("N01", kind="D")
@pytest.mark.fault("N03", kind="D")
def test_a_line_that_dies_is_replaced_by_rest_and_comes_back(kind: str) -> None:
    world = World(["BTC/USD"], seed=82)

    async def main() -> None:
        async with world.coordinator(key=True, account_url=URL, check_s=0) as coordinator:
            await order(coordinator)
            await world.until(coordinator.account.open_orders, 1)
            begun_s = world.now_s
            where = {"session": private_session(world)}
            world.faults.inject(kind, **where)
            with world.faults.inject("refuse", count=None):
                await world.until(lambda: coordinator.account.quality != "live", 1.9)
                lost_s = world.now_s - begun_s
                if kind == "rst":
                    assert lost_s <= 0.01
                begun_s = world.now_s
                balance, orders = await asyncio.gather(coordinator.get_balance("USD"), coordinator.get_open_orders())
                took_s = world.now_s - begun_s
            note(f"private line {kind}: s until it is known, and of the first read by REST", (lost_s, round(took_s, 3)))
            assert (balance.source, balance.quality) == ("rest", "rest")
            assert balance.hold >= 10, "the box holds the fee too"
            assert (orders.source, len(orders.orders)) == ("rest", 1)
            assert took_s <= 0.1 + 2 * world.rtt_s, "one behind the other: a key's calls keep the order of its nonces"
            with pytest.raises(StaleDataError):
                await coordinator.get_balance("USD", strict=True)
            await world.until(lambda: coordinator.account.quality == "live", 6)
            await asyncio.sleep(0.2)
            assert (await coordinator.get_balance("USD", strict=True)).source == "websocket"
            assert [source for _, source in account_sources(world)] == ["websocket", "rest", "websocket"]

    world.run(main())
    assert world.changes(AccountGap), "what the line missed is told"
    assert {event.line for _, event in world.changes(LineChange)} == {"A", "B", "private"}


def test_rest_gone_too_is_told_and_no_balance_is_invented() -> None:
    world = World(["BTC/USD"], seed=83)

    async def main() -> None:
        async with world.coordinator(key=True, account_url=URL, check_s=0) as coordinator:
            world.http.is_down = True
            world.faults.inject("rst", session=private_session(world))
            with world.faults.inject("refuse", count=None):
                await world.until(lambda: coordinator.account.quality != "live", 1)
                with pytest.raises(NoSourceError):
                    await coordinator.get_balance("USD")

    world.run(main())


def test_a_key_that_lacks_a_right_is_read_by_rest_and_that_is_told() -> None:
    world = World(["BTC/USD"], seed=84)
    may = ("query-funds", "query-open-trades", "query-closed-trades", "query-ledger")
    world.core.accounts.clear()
    world.core.open_account(NewAccount(permissions=may))

    async def main() -> None:
        async with world.coordinator(key=True, account_url=URL, check_s=0) as coordinator:
            assert world.now_s < 5, "nothing waits for what will not come"
            assert coordinator.account is None
            assert (await coordinator.get_balance("USD")).source == "rest"
            (told,) = [str(event) for _, event in world.changes(Degraded) if event.component == "account"]
            assert "create-ws-token" in told
            await asyncio.sleep(130)
            assert len(world.changes(Degraded)) == 1, "a right that is missing is not asked for again"

    world.run(main())


def test_an_exchange_that_lets_nobody_in_is_asked_again_a_minute_later() -> None:
    world = World(["BTC/USD"], seed=85)

    async def main() -> None:
        world.network.hosts.pop(f"ws-auth.{HOST}")
        async with world.coordinator(key=True, account_url=URL, check_s=0, ready_s=3) as coordinator:
            assert coordinator.source("BTC/USD") == "websocket", "public data does not wait for it"
            assert (await coordinator.get_balance("USD")).source == "rest"
            world.network.hosts[f"ws-auth.{HOST}"] = world.network.hosts[HOST]
            await world.until(lambda: coordinator._account_line.quality == "live", 70, 0.1)
            await asyncio.sleep(0.2)
            assert (await coordinator.get_balance("USD", strict=True)).source == "websocket"

    world.run(main())
    assert [event.component for _, event in world.changes(Degraded)] == ["account"]


def test_no_line_is_opened_where_none_is_wanted_or_known() -> None:
    world = World(["BTC/USD"], seed=86)

    async def main() -> None:
        for settings in ({"account": False, "account_url": URL}, {}):
            async with world.coordinator(key=True, check_s=0, **settings) as coordinator:
                assert coordinator.account is None
                assert (await coordinator.get_balance("USD")).source == "rest"
                assert private_session(world) is None
        with pytest.raises(ConfigError):
            world.coordinator(key=True, account_url="http://elsewhere")

    world.run(main())
