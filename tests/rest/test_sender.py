"""What decides when one call leaves: the breaker, the key's nonce, the exchange's limits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest
from rest_box import KEY_INFO, SECOND, Call, World, ok, refusal

from kraken_fast.config import RestSettings
from kraken_fast.errors import (
    CircuitOpenError,
    ConfigError,
    ConnectError,
    NonceError,
    RateLimitError,
    UnavailableError,
)
from kraken_fast.rest.client import RestCore
from kraken_fast.rest.http import HttpResponse
from kraken_fast.rest.nonce import UNITS, KeyState, MemoryNonces

PAGE = HttpResponse(502, {}, b"<html>502</html>")
BALANCE = ok({"ZUSD": "1.5"})


async def never(_call: Call) -> HttpResponse:
    await asyncio.sleep(10_000)
    raise AssertionError


# The breaker -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("R10", kind="D")
@pytest.mark.parametrize("seed", range(5))
def test_after_a_long_outage_the_breaker_closes_within_thirty_seconds_and_calls_come_back_paced(seed: int) -> None:
    world = World(Time=ConnectError("refused"))
    rng = Random(seed)

    async def main() -> None:
        async with world.client(RestCore, key=False) as client:
            outage_s = world.seconds + 120 + rng.uniform(0, 60)
            while world.seconds < outage_s:
                with pytest.raises((ConnectError, CircuitOpenError)):
                    await client.call("Time")
                await asyncio.sleep(0.5)
            probes = len(world.port.calls)
            assert probes <= 25  # one in each opening, which had grown to 30 s
            world.port.answers["Time"] = ok({})
            healthy = world.seconds
            while client.stats().breakers["public"] != "closed":
                with suppress(CircuitOpenError):
                    await client.call("Time")
                await asyncio.sleep(0.1)
            assert world.seconds - healthy <= 30.1
            # Everybody comes back at once: never closer than 100 ms, and one a second in the long run.
            before, begin = len(world.port.calls), world.seconds
            await asyncio.gather(*(client.call("Time") for _ in range(40)))
            times = [call.at_ns for call in world.port.calls[before:]]
            assert all(b - a >= 100_000_000 for a, b in pairwise(times))
            assert world.seconds - begin >= 40 - 6

    world.run(main())


@pytest.mark.fault("R08", kind="D")
@pytest.mark.fault("R10", kind="D")
def test_an_open_breaker_says_when_to_come_back_and_closes_after_the_outage() -> None:
    world = World(Time=PAGE, Balance=BALANCE, AddOrder=ok({}))

    async def main() -> None:
        async with world.client(RestCore, settings=RestSettings(limits=False)) as client:
            while client.stats().breakers["public"] == "closed":
                with pytest.raises(UnavailableError):
                    await client.call("Time")
            sent, at = len(world.port.calls), world.clock.monotonic_ns
            with pytest.raises(CircuitOpenError) as caught:
                await client.call("Time")
            assert world.clock.monotonic_ns == at  # at once; benchmarks hold the 100 us: rest.breaker_us
            assert 0 < caught.value.retry_after_s <= 1.1
            assert len(world.port.calls) == sent
            assert await client.call("Balance") == {"ZUSD": "1.5"}  # another class of calls
            await asyncio.sleep(caught.value.retry_after_s)
            world.port.answers["Time"] = ok({})
            assert await client.call("Time") == {}
            assert client.stats().breakers == {"public": "closed", "private": "closed", "orders": "closed"}

    world.run(main())


@pytest.mark.fault("R09", kind="D")
def test_one_probe_at_a_time() -> None:
    world = World(Time=PAGE)

    async def slow(_call: Call) -> HttpResponse:
        await asyncio.sleep(0.5)
        return ok({})

    async def main() -> None:
        async with world.client(RestCore, key=False, settings=RestSettings(limits=False)) as client:
            while client.stats().breakers["public"] == "closed":
                with pytest.raises(UnavailableError):
                    await client.call("Time")
            await asyncio.sleep(1.2)
            world.port.answers["Time"] = slow
            sent = len(world.port.calls)
            probe, *others = [asyncio.create_task(client.call("Time")) for _ in range(20)]
            refused = await asyncio.gather(*others, return_exceptions=True)
            assert all(isinstance(error, CircuitOpenError) for error in refused)
            assert await probe == {}
            assert len(world.port.calls) == sent + 1

    world.run(main())


# Nonces --------------------------------------------------------------------------------------------------------------


class NonceJudge:
    """The exchange's side of a key: refuses what is not above the highest nonce."""

    def __init__(self, highest: int = 0) -> None:
        self.highest = highest
        self.refused = 0

    def __call__(self, call: Call) -> HttpResponse:
        if call.nonce <= self.highest:
            self.refused += 1
            return refusal("EAPI:Invalid nonce")
        self.highest = call.nonce
        return ok(KEY_INFO)


@pytest.mark.fault("A07", kind="D")
@pytest.mark.fault("A08", kind="D")
def test_private_calls_never_overtake_each_other_whatever_the_clock_does() -> None:
    judge = NonceJudge()
    world = World(Balance=judge, GetApiKeyInfo=judge)
    world.port.latency_s = 0.001
    settings = RestSettings(limits=False, queue_max=100_000)

    async def main() -> None:
        clients = [world.client(RestCore, settings=settings, nonce_unit="ns") for _ in range(4)]
        for step in range(10):
            await asyncio.gather(*(client.call("Balance") for client in clients for _ in range(25)))
            world.clock.step_wall((-1) ** step * (step + 1) * 1_000 * SECOND)
        assert judge.refused == 0
        assert len(world.port.calls) == 1004

    world.run(main())


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_of_a_key_is_found_without_spoiling_it(unit: str) -> None:
    world = World()
    used = UNITS[unit](world.clock.epoch_ns - SECOND)
    judge = NonceJudge(used)
    world.port.answers |= {"GetApiKeyInfo": judge, "Balance": judge}

    async def main() -> None:
        store = MemoryNonces()
        client = world.client(RestCore, nonces=store)
        await client.call("Balance")
        assert judge.refused == list(UNITS).index(unit)
        assert judge.highest < 2 * used
        assert store.read().unit == unit
        assert store.read().confirmed
        await world.client(RestCore, nonces=store).call("Balance")
        assert judge.refused == list(UNITS).index(unit)

    world.run(main())


@pytest.mark.fault("A09", kind="D")
def test_an_invalid_nonce_is_reported_and_healed_once_for_reads(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Balance=[refusal("EAPI:Invalid nonce"), BALANCE])

    async def main() -> None:
        async with world.client(RestCore) as client:
            assert await client.call("Balance") == {"ZUSD": "1.5"}
            assert client.stats().nonce_errors == 1
            assert "another program" in caplog.text
            assert "its window 0" in caplog.text
            world.port.answers["Balance"] = refusal("EAPI:Invalid nonce")
            await asyncio.sleep(61)
            with pytest.raises(NonceError, match="another program"):
                await client.call("Balance")
        assert len(world.port.named("Balance")) == 4

    world.run(main())


@pytest.mark.fault("A10", kind="D")
def test_a_store_that_lies_in_the_future_is_refused_before_anything_is_sent() -> None:
    world = World()

    async def main() -> None:
        store = MemoryNonces(KeyState(last=world.clock.epoch_ns, unit="ms", confirmed=True))
        with pytest.raises(ConfigError, match="new key"):
            await world.client(RestCore, nonces=store).open()
        assert not world.port.calls

    world.run(main())


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("L04", kind="D")
def test_throttled_until_a_time_is_obeyed_to_the_second() -> None:
    world = World(Balance=BALANCE)

    async def main() -> None:
        async with world.client(RestCore) as client:
            until_s = world.clock.epoch_ns // SECOND + 30
            world.port.answers["Balance"] = [refusal(f"EService: Throttled: {until_s}"), BALANCE]
            assert await client.call("Balance") == {"ZUSD": "1.5"}
            assert world.clock.epoch_ns >= until_s * SECOND
            assert len(world.port.named("Balance")) == 2

    world.run(main())


@pytest.mark.fault("L01", kind="D")
def test_after_a_refusal_the_counter_counts_as_full() -> None:
    world = World(Balance=[refusal("EAPI:Rate limit exceeded"), BALANCE], Time=ok({}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            begin = world.seconds
            await client.call("Balance")
            assert world.seconds - begin >= 5
            assert client.stats().points > 14
            with pytest.raises(RateLimitError):
                await client.call("Balance", wait_max_s=0)

    world.run(main())


@pytest.mark.fault("R11", kind="D")
def test_public_calls_do_not_wait_for_private_ones() -> None:
    world = World(Balance=BALANCE, Time=ok({}))

    async def main() -> None:
        async with world.client(RestCore) as client:
            private = [asyncio.create_task(client.call("Balance")) for _ in range(20)]
            await asyncio.sleep(0.01)
            assert client.stats().waiting > 0
            assert client.stats().private_wait_s > 0
            begin = world.seconds
            await client.call("Time")
            assert world.seconds == begin
            await asyncio.gather(*private)

    world.run(main())
