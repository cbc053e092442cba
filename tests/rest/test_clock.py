"""Deadlines are in the exchange's time, within 100 ms, however wrong the local clock is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import report
from rest_box import Boxed, Call, World, ok, refusal

from kraken_fast.config import RestSettings
from kraken_fast.errors import ConnectError, InvalidOrderError, OrderRejectedError, OutcomeUnknownError
from kraken_fast.policy import SECOND_NS
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpResponse
from kraken_fast.sim.account import NewAccount

LIMIT = {"symbol": "BTC/USD", "side": "buy", "ord_type": "limit", "qty": "0.1", "price": "10"}


def deadline_of(call: Call) -> float:
    return datetime.fromisoformat(call.params["deadline"]).timestamp()


@pytest.mark.fault("A11", kind="D")
@pytest.mark.parametrize("step_s", [0, 90, -90, 3600])
def test_a_deadline_is_right_though_the_local_clock_is_not(step_s: int) -> None:
    world = World()
    boxed = Boxed(world, way_s=0.1, accounts=[NewAccount(tier="pro")])

    async def main() -> None:
        async with boxed.client(RestClient, settings=RestSettings(tier="pro")) as client:
            world.clock.step_wall(step_s * SECOND_NS)
            worst_s = 0.0
            for _ in range(10):
                await client.add_order(**LIMIT)
                call = boxed.port.calls[-1]
                sent_s = (call.at_ns + world.timeline.wall_ns() - world.clock.monotonic_ns) / SECOND_NS
                worst_s = max(worst_s, abs(deadline_of(call) - sent_s - 5))
                await asyncio.sleep(3)
            report.note("error of a deadline, clock 90 s wrong, trip up to 0.2 s", f"{worst_s * 1000:.0f} ms")
            assert worst_s <= client.exchange_time.error_ns(world.clock.monotonic_ns) / SECOND_NS + 0.002
            assert worst_s <= 0.1
            assert client.stats().nonce_errors == 0

    world.run(main())


@pytest.mark.fault("A11", kind="D")
def test_without_the_exchanges_time_an_order_with_a_deadline_does_not_leave() -> None:
    world = World(Time=ConnectError("refused"), AssetPairs=ok({}), AddOrder=ok({"txid": ["O1"]}))

    async def main() -> None:
        async with world.client(RestClient) as client:
            with pytest.raises(InvalidOrderError, match="not known"):
                await client.call("AddOrder", {"pair": "XBTUSD", "deadline": timedelta(seconds=5)})
            assert not world.port.named("AddOrder")
            assert await client.call("AddOrder", {"pair": "XBTUSD"}) == {"txid": ["O1"]}

    world.run(main())


@pytest.mark.fault("A11", kind="D")
def test_the_date_of_a_private_answer_tells_time_and_that_of_a_kept_one_does_not() -> None:
    date = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    world = World(Balance=HttpResponse(200, date, b'{"error":[],"result":{}}'), Ticker=HttpResponse(
        200, {"date": "Thu, 01 Jan 2026 01:00:00 GMT"}, b'{"error":[],"result":{}}'))  # fmt: skip

    async def main() -> None:
        async with world.client(RestClient) as client:
            await client.call("Ticker")
            assert not client.exchange_time.is_known
            await client.call("Balance")
            now_ns = world.clock.monotonic_ns
            at_s = client.exchange_time.now_ns(now_ns) / SECOND_NS
            assert abs(at_s - datetime(2026, 1, 1, tzinfo=UTC).timestamp() - 0.5) < 0.01
            assert client.exchange_time.error_ns(now_ns) <= 0.51 * SECOND_NS

    world.run(main())


@pytest.mark.fault("A11", kind="D")
def test_a_deadline_counts_from_the_sending_not_from_the_asking() -> None:
    world = World()
    boxed = Boxed(world)

    async def main() -> None:
        async with boxed.client(RestClient) as client:
            await client.sync_time()
            busy = [asyncio.create_task(client.fetch_balances()) for _ in range(8)]
            busy += [asyncio.create_task(client.query_orders(order_ids=["O"])) for _ in range(8)]
            await asyncio.sleep(0)
            await client.add_order(**LIMIT)  # waits for what is under way
            (call,) = [call for call in boxed.port.calls if call.name == "AddOrder"]
            sent_s = (call.at_ns + world.timeline.wall_ns() - world.clock.monotonic_ns) / SECOND_NS
            assert abs(deadline_of(call) - sent_s - 5) <= 0.1
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    world.run(main())


@pytest.mark.parametrize("wanted", [timedelta(seconds=1), timedelta(seconds=61), datetime(2020, 1, 1, tzinfo=UTC)])
def test_a_deadline_that_the_exchange_would_refuse_does_not_leave(wanted: Any) -> None:
    world = World()
    boxed = Boxed(world)

    async def main() -> None:
        async with boxed.client(RestClient) as client:
            await client.sync_time()
            with pytest.raises(InvalidOrderError, match="deadline"):
                await client.add_order(**LIMIT, deadline=wanted)
            assert not [call for call in boxed.port.calls if call.name == "AddOrder"]

    world.run(main())


@pytest.mark.fault("O30", kind="D")
def test_a_deadline_that_is_over_when_the_engine_comes_to_it() -> None:
    world = World()
    boxed = Boxed(world)

    async def main() -> None:
        async with boxed.client(RestClient) as client:
            at = datetime.fromtimestamp(world.timeline.wall_ns() / SECOND_NS - 5, UTC)
            with pytest.raises(OutcomeUnknownError, match="Deadline elapsed"):
                await client.add_order(**LIMIT, cl_ord_id="kf-1", deadline=at)
            # one query settles it
            assert await client.fetch_open_orders(cl_ord_id="kf-1") == ()

    world.run(main())


def test_measuring_is_shared_and_ends() -> None:
    world = World()
    boxed = Boxed(world)

    async def main() -> None:
        async with boxed.client(RestClient) as client:
            errors = await asyncio.gather(*(client.sync_time() for _ in range(5)))
            asked = [call for call in boxed.port.calls if call.name == "Time"]
            assert len(asked) <= 8
            assert max(errors) < 0.25  # trips take up to 0.4 s here
            assert min(errors) == max(errors) or max(errors) <= 0.1

    world.run(main())


def test_an_exchange_that_tells_no_time_is_said_to() -> None:
    world = World(Time=ok({"unixtime": "x"}), AddOrder=refusal("EOrder:x"))

    async def main() -> None:
        async with world.client(RestClient, key=False, settings=RestSettings(limits=False)) as client:
            assert await client.sync_time() == float("inf")
        async with world.client(RestClient) as client:
            with pytest.raises(InvalidOrderError):
                await client.call("AddOrder", {"deadline": timedelta(seconds=5)})
            with pytest.raises(OrderRejectedError):
                await client.call("AddOrder", {})

    world.run(main())
