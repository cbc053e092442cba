"""An account over real sockets, on both loops: streams, faults, and no trace of a token anywhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kraken_fast
from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import AuthError, PermissionDeniedError
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import Exchange
from kraken_fast.sim.account import NewAccount

BTC = "BTC/USD"
D = Decimal
pytestmark = pytest.mark.both_loops


def account_of(ex: Exchange, **others: Any) -> kraken_fast.Account:
    credentials = others.pop("credentials", None) or Credentials(ex.api_key, ex.api_secret)
    rest = RestClient(
        credentials,
        endpoints=Endpoints(rest_url=ex.rest_url),
        nonces=MemoryNonces(),
        nonce_unit="ns",
        settings=RestSettings(limits=False),
        needs=others.pop("needs", ()),
    )
    return kraken_fast.connect_account(rest=rest, ws_url=ex.ws_auth_url, rest_url=ex.rest_url, **others)


def box(**facts: Any) -> Exchange:
    return Exchange([BTC], seed=5, rate=0.0, limit_calls=False, **facts)


async def until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


async def buy(account: kraken_fast.Account, qty: str) -> str:
    placed = await account.rest.add_order(symbol=BTC, side="buy", ord_type="market", qty=qty, flags=["fciq"])
    return str(placed.order_id)


@pytest.mark.fault("O09", kind="L")
@pytest.mark.fault("O11", kind="L")
async def test_orders_fills_and_balances_over_sockets_and_a_reset() -> None:
    async with box() as ex:
        account = account_of(ex)
        async with account:
            seen: list[Any] = []
            reader = asyncio.ensure_future(_collect(account, seen))
            await asyncio.sleep(0)
            first = await buy(account, "0.01")
            await until(lambda: (order := account.order(first)) is not None and order.status == "filled")
            assert account.balance("BTC", strict=True).total == ex.account.balances["BTC"] == D("10.01")
            with ex.faults.inject("refuse"):
                ex.faults.inject("rst")
                await until(lambda: account.quality != "live")
                await buy(account, "0.02")
            await until(lambda: account.quality == "live" and len(account.fills()) == len(ex.account.executions))
            assert [fill.exec_id for fill in account.fills()] == list(ex.account.executions)
            assert account.fills()[0].recovered is False and account.fills()[-1].recovered is True
            await until(lambda: account.balance("BTC").total == D("10.03"))
            reader.cancel()
            fills = [event for event in seen if isinstance(event, kraken_fast.Execution) and event.exec_id]
            assert [fill.exec_id for fill in fills] == list(ex.account.executions)
            assert any(isinstance(event, kraken_fast.AccountGap) for event in seen)
        await account.rest.close()


async def _collect(account: kraken_fast.Account, into: list[Any]) -> None:
    async for event in account:
        into.append(event)  # noqa: PERF401 - it never ends by itself


@pytest.mark.fault("A04", kind="L")
async def test_a_missing_permission_is_named_before_anything_is_subscribed() -> None:
    permissions = ["query-funds", "query-open-trades", "query-closed-trades", "create-ws-token"]
    async with box(accounts=[NewAccount(permissions=permissions)]) as ex:
        account = account_of(ex, needs=("query-ledger",))
        with pytest.raises(PermissionDeniedError, match='"Query ledger entries"'):
            await account.open()
        await account.rest.close()


@pytest.mark.fault("A05", kind="L")
async def test_a_wrong_key_stops_everything_private() -> None:
    async with box() as ex:
        account = account_of(ex, credentials=Credentials("SIMKEYwrong", ex.api_secret))
        with pytest.raises(AuthError):
            await account.open()
        with pytest.raises(AuthError):
            await account.rest.fetch_balances()
        assert account.state == "down" and account.tokens.fetches == 0
        await account.rest.close()


@pytest.mark.fault("P09", kind="L")
async def test_closing_while_opening_is_prompt_and_leaves_no_task() -> None:
    async with box() as ex:
        before = asyncio.all_tasks()
        for delay_s in (0.0, 0.005, 0.02, 0.05):
            account = account_of(ex)
            opening = asyncio.ensure_future(account.open())
            await asyncio.sleep(delay_s)
            opening.cancel()
            begin = time.monotonic()
            await asyncio.wait([opening])
            await account.close()
            await account.close()
            await account.rest.close()
            assert time.monotonic() - begin < 1.0 + 0.2
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before


@pytest.mark.fault("X01", kind="L")
@pytest.mark.fault("X07", kind="L")
async def test_no_token_in_logs_recordings_reprs_or_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    record, shown = tmp_path / "private.kfc", []
    async with box() as ex:
        account = account_of(ex, record=record)
        account.on_notice = lambda event: shown.append(repr(event))
        async with account:
            await buy(account, "0.01")
            ex.faults.inject("token", count=2)
            ex.faults.inject("rst")
            await until(lambda: account.line.connections == 2 and account.quality == "live")
            shown += [repr(account), repr(vars(account)), repr(account.tokens), repr(vars(account.line))]
            shown += [repr(vars(account.line.subscriptions)), repr(asyncio.all_tasks())]
            shown += [repr(row) for row in (*account.fills(), *account.balances().values(), *account.open_orders())]
        await account.rest.close()
        tokens = list(ex.core.private.tokens._tokens)
        assert len(tokens) >= 2
        outputs = [caplog.text.encode(), record.read_bytes(), *(text.encode() for text in shown)]
        secrets = [*tokens, ex.api_key, ex.api_secret]
        for secret in secrets:
            coded = base64.b64encode(secret.encode()).decode()
            forms = (secret, coded, secret.encode().hex(), secret.replace("/", "\\/"))
            assert not [output for output in outputs for form in forms if form.encode() in output]
        assert b"executions" in outputs[1], "the recording has what came"


@pytest.mark.fault("P02", kind="L")
async def test_a_slow_reader_loses_nothing_silently() -> None:
    async with box() as ex:
        account = account_of(ex, events_max=5)
        async with account:
            events = account.events()
            for _ in range(4):
                await buy(account, "0.001")
            await until(lambda: len(account.fills()) >= 4)
            first = await anext(events)
            assert isinstance(first, kraken_fast.Dropped) and first.count > 0
            await events.aclose()
        await account.rest.close()


@pytest.mark.fault("P03", kind="L")
async def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with box() as ex:
        account, told = account_of(ex), []

        def bad(_value: object) -> None:
            raise ZeroDivisionError

        account.on_fill = account.on_order = bad
        account.on_balance = told.append
        async with account:
            await buy(account, "0.01")
            await until(lambda: len(told) >= 2 and account.fills())
            assert account.callback_failures >= 2 and account.line.connections == 1
            assert account.quality == "live" and "callback raised" in caplog.text
        await account.rest.close()
