"""Tokens: one fetch for all, a successor before it is needed, bounded repetition, and no trace of them anywhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
from random import Random
from typing import Any

import pytest
from rest_box import World, ok, refusal

from kraken_fast.errors import AuthError, ClosedError, PermissionDeniedError
from kraken_fast.private.tokens import Tokens
from kraken_fast.rest.endpoints import RestClient

CANARY = "HmV7qk0pXo3Yd1r9sT/4nB+ZcLw8eUj2GfRaQ5xIt6k"


class Counter:
    """Answers GetWebSocketsToken with tokens that count up."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self, _call: Any) -> Any:
        self.given += 1
        return ok({"token": f"token{self.given}", "expires": 900})


def tokens_of(world: World) -> Tokens:
    client = world.client(RestClient)
    return Tokens(client.fetch_websockets_token, clock=world.clock, rng=Random(1))


def text(secret: Any) -> str:
    return str(secret.reveal().decode())


def calls(world: World) -> int:
    return len(world.port.named("GetWebSocketsToken"))


def test_all_who_ask_share_one_fetch_and_a_caller_that_gives_up_harms_nobody() -> None:
    world = World(GetWebSocketsToken=Counter())
    world.port.latency_s = 0.2

    async def main() -> None:
        tokens = tokens_of(world)
        asked = [asyncio.ensure_future(tokens.get()) for _ in range(50)]
        await asyncio.sleep(0.05)
        asked[0].cancel()
        got = await asyncio.gather(*asked[1:])
        assert {text(each) for each in got} == {"token1"} and calls(world) == 1
        assert text(await tokens.get()) == "token1" and calls(world) == 1
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A01", kind="D")
def test_a_successor_comes_at_half_time_and_none_past_its_age_is_given() -> None:
    world = World(GetWebSocketsToken=Counter())

    async def main() -> None:
        tokens = tokens_of(world)
        assert text(await tokens.get()) == "token1"
        await asyncio.sleep(449)
        assert text(await tokens.get()) == "token1"
        await asyncio.sleep(2)
        assert text(await tokens.get()) == "token2" and calls(world) == 2
        world.port.answers["GetWebSocketsToken"] = refusal("EService:Unavailable")
        await asyncio.sleep(600)
        usable = tokens.usable
        assert usable is not None and text(usable) == "token2", "600 s old: an outage of REST costs nothing yet"
        await asyncio.sleep(250)
        assert tokens.usable is None, "850 s old: past nine tenths of its 15 minutes"
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A02", kind="D")
def test_a_refused_token_is_not_given_again_and_a_late_refusal_spares_its_successor() -> None:
    world = World(GetWebSocketsToken=Counter())

    async def main() -> None:
        tokens = tokens_of(world)
        first = await tokens.get()
        tokens.refuse(first)
        second = await tokens.get()
        tokens.refuse(first)
        assert text(await tokens.get()) == text(second) == "token2"
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A03", kind="D")
def test_while_the_endpoint_is_down_one_fetch_is_under_way_and_it_backs_off() -> None:
    world = World(GetWebSocketsToken=refusal("EService:Unavailable"))
    in_flight = most = 0

    async def slowly(_call: Any) -> Any:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.5)
        in_flight -= 1
        return refusal("EService:Unavailable")

    world.port.answers["GetWebSocketsToken"] = slowly

    async def main() -> None:
        tokens = tokens_of(world)
        asked = [asyncio.ensure_future(tokens.get()) for _ in range(20)]
        await asyncio.sleep(600)
        assert most == 1
        assert 5 < calls(world) < 120, "the backoff's cap is 30 s, on average 15"
        assert tokens.usable is None and tokens.error is not None
        assert not any(each.done() for each in asked)
        world.port.answers["GetWebSocketsToken"] = Counter()
        await asyncio.sleep(60)
        assert {text(each.result()) for each in asked} == {"token1"} and tokens.error is None
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A04", kind="D")
def test_a_missing_permission_is_named_in_plain_words_and_not_asked_for_twice() -> None:
    world = World(GetWebSocketsToken=refusal("EGeneral:Permission denied"))

    async def main() -> None:
        tokens = tokens_of(world)
        with pytest.raises(PermissionDeniedError, match='lacks create-ws-token ."WebSocket interface" in') as hit:
            await tokens.get()
        assert hit.value.permission == "create-ws-token"
        await asyncio.sleep(3600)
        assert calls(world) == 1
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A05", kind="D")
def test_a_key_that_is_not_accepted_is_never_tried_again() -> None:
    world = World(GetWebSocketsToken=refusal("EAPI:Invalid key"))

    async def main() -> None:
        tokens = tokens_of(world)
        for _ in range(5):
            with pytest.raises(AuthError):
                await tokens.get()
        await asyncio.sleep(3600)
        assert calls(world) == 1
        await tokens.close()

    world.run(main())


@pytest.mark.fault("A06", kind="D")
def test_a_lockout_is_waited_out() -> None:
    world = World(GetWebSocketsToken=[refusal("EGeneral:Temporary lockout"), ok({"token": "later", "expires": 900})])

    async def main() -> None:
        tokens = tokens_of(world)
        asked = asyncio.ensure_future(tokens.get())
        await asyncio.sleep(899)
        assert calls(world) == 1 and not asked.done()
        assert text(await asked) == "later" and world.seconds >= 900
        await tokens.close()

    world.run(main())


@pytest.mark.fault("P09", kind="D")
def test_closing_during_a_fetch_is_prompt_and_leaves_nothing() -> None:
    world = World(GetWebSocketsToken=Counter())
    world.port.latency_s = 5.0

    async def main() -> None:
        tokens = tokens_of(world)
        asked = asyncio.ensure_future(tokens.get())
        await asyncio.sleep(0.1)
        begin = world.seconds
        await tokens.close()
        await tokens.close()
        with pytest.raises(ClosedError):
            await asked
        with pytest.raises(ClosedError):
            await tokens.get()
        assert world.seconds - begin < 1.0

    world.run(main())


def test_the_token_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(
        GetWebSocketsToken=[
            ok({"token": CANARY, "expires": 900}),
            ok({"token": CANARY, "expires": "soon"}),
            refusal("EGeneral:Permission denied"),
        ]
    )

    async def main() -> None:
        tokens = tokens_of(world)
        token = await tokens.get()
        shown = [repr(tokens), str(tokens), repr(token), f"{token}", repr(vars(tokens)), repr(asyncio.all_tasks())]
        with pytest.raises(TypeError):
            pickle.dumps(token)
        tokens.refuse(token)
        with pytest.raises(PermissionDeniedError) as hit:
            await tokens.get()
        assert "no token, next attempt" in caplog.text, "the answer that was not understood, which held one"
        shown += [repr(hit.value), str(hit.value), caplog.text]
        await tokens.close()
        forms = (CANARY, base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex(), CANARY.replace("/", "\\/"))
        assert not [each for each in shown for form in forms if form in each]

    world.run(main())


def test_closing_wipes_the_token() -> None:
    world = World(GetWebSocketsToken=Counter())

    async def main() -> None:
        tokens = tokens_of(world)
        token = await tokens.get()
        await tokens.close()
        assert len(token) == 0 and tokens.usable is None

    world.run(main())
