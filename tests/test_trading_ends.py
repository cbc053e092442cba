"""How trading ends over real sockets: by a signal, with a watchdog, with what fails on the way, with others there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_trading import BTC, box, resting, trading_of, until

from kraken_fast.config import Endpoints
from kraken_fast.core.clock import SystemClock
from kraken_fast.errors import ClosedError, ConfigError
from kraken_fast.orders.journal import FileStorage, Journal
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.orders.watchdog import Watchdog, WatchdogSettings
from kraken_fast.paper.face import connect_paper
from kraken_fast.sim import Exchange

CHILD = """
import asyncio, sys
from pathlib import Path

from kraken_fast.auth import Credentials
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.trading import connect_trading

key, folder, ws_url, public_ws_url, rest_url, loop = sys.argv[1:]

async def main():
    async with connect_trading(
        ["BTC/USD"], Credentials.from_file(key), journal=Path(folder) / "orders.journal",
        settings=OrderSettings(on_exit="cancel"), ws_url=ws_url, public_ws_url=public_ws_url, rest_url=rest_url,
    ) as trading:
        await trading.orders.add_order(
            symbol="BTC/USD", side="buy", order_type="limit", order_qty="0.01", limit_price="30000.0"
        )
        print("placed", flush=True)
        await asyncio.sleep(30)

if loop == "uvloop":
    import uvloop
    uvloop.run(main())
asyncio.run(main())
"""


def key_of(ex: Exchange, folder: Path) -> Path:
    key = folder / "key.toml"
    key.write_text(f'api_key = "{ex.api_key}"\napi_secret = "{ex.api_secret}"\n')
    key.chmod(0o600)
    return key


async def close_rest(*all_trading: Any) -> None:
    for trading in all_trading:
        await trading.account.rest.close()


@asynccontextmanager
async def child(ex: Exchange, folder: Path, loop: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run CHILD in a process of its own, which does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(key_of(ex, folder)), str(folder), ex.ws_auth_url, ex.ws_url, ex.rest_url, loop,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.fault("P08", kind="L")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_sigterm_cancels_what_is_open_and_ends_the_process_with_143(tmp_path: Path, loop: str) -> None:
    async with box() as ex:
        async with child(ex, tmp_path, loop) as process:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                assert await process.stdout.readline() == b"placed\n"
                (order,) = ex.account.orders.values()
                assert order.live
                process.send_signal(signal.SIGTERM)
                _, told = await process.communicate()
        assert process.returncode == 128 + signal.SIGTERM, told.decode()
        assert ex.account.orders[order.order_id].status == "canceled", told.decode()
        assert b"Traceback" not in told and ex.api_secret.encode() not in told


@pytest.mark.fault("P08", kind="L")
async def test_a_sigterm_while_it_opens_ends_the_process_with_143(tmp_path: Path) -> None:
    """Nothing was placed: what was opened is closed, and nobody waits for a line that does not come."""
    async with box() as ex:
        ex.faults.inject("no_snapshot", channel="executions")
        async with child(ex, tmp_path, "asyncio") as process:
            async with asyncio.timeout(30):
                while not (tmp_path / "orders.journal").exists():
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)
                process.send_signal(signal.SIGTERM)
                _, told = await process.communicate()
        assert process.returncode == 128 + signal.SIGTERM, told.decode()
        assert b"Traceback" not in told and not ex.account.orders


async def test_a_watchdog_watches_while_trading_is_open_and_leaves_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with box() as ex:
        calm = trading_of(ex, tmp_path, watchdog=key_of(ex, tmp_path))
        async with calm:
            assert calm.watchdog is not None and calm.watchdog.is_running
            order = await calm.orders.add_order(**resting())
        assert not calm.watchdog.is_running
        assert ex.account.orders[order.order_id].live, "an end in order is no silence"
        dog = Watchdog(
            settings=WatchdogSettings(silent_s=0.9, beat_s=0.1),
            key_file=key_of(ex, tmp_path),
            endpoints=Endpoints(rest_url=ex.rest_url),
        )
        async with trading_of(ex, tmp_path, watchdog=dog) as hung:
            found = hung.orders.table.find(order.name)
            assert found is not None
            async with asyncio.timeout(20):
                while not found.state.is_final:  # it may be starting yet
                    time.sleep(1.5)  # noqa: ASYNC251 - the loop hangs
                    await asyncio.sleep(0.1)
        assert not ex.account.orders[order.order_id].live
        await close_rest(calm, hung)


async def test_a_watchdog_that_does_not_start_lets_trading_go_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with box() as ex:
        trading = trading_of(ex, tmp_path, watchdog=key_of(ex, tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "nowhere"))
            with pytest.raises(FileNotFoundError):
                await trading.open()
        assert trading.account.state == "closed" and not ex.sessions
        async with trading_of(ex, tmp_path) as again:  # the journal was let go
            assert again.orders.is_ready
        await close_rest(trading, again)


@pytest.mark.parametrize("answer", [RuntimeError("nobody is there"), "yes"], ids=["raises", "rubbish"])
async def test_an_end_that_fails_leaves_orders_and_closes_everything(tmp_path: Path, answer: Any) -> None:
    def ask(_mine: Sequence[Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with box() as ex:
        trading = trading_of(ex, tmp_path, ask=ask, settings=OrderSettings(on_exit="ask"))
        await trading.open()
        order = await trading.orders.add_order(**resting())
        with pytest.raises((RuntimeError, ConfigError)):
            await trading.close()
        assert ex.account.orders[order.order_id].live
        await until(lambda: not ex.sessions)
        async with trading_of(ex, tmp_path) as again:  # the journal was let go
            assert again.orders.table.find(order.name) is not None
        with pytest.raises(ClosedError):
            await asyncio.wait_for(order.done(), 1)
        await close_rest(trading, again)


async def test_one_account_has_one_who_trades_at_a_time(tmp_path: Path) -> None:
    async with box() as ex:
        first = trading_of(ex, tmp_path)
        async with first.account:

            def over_it(name: str) -> Any:
                return trading_of(ex, tmp_path, account=first.account, journal=tmp_path / name)

            async with over_it("one") as one:
                with pytest.raises(ConfigError, match="nobody else trades"):
                    await over_it("two").open()
                order = await one.orders.add_order(**resting())  # its answers still come here
                assert order.state.is_live
            failures = one.orders.table.counts.journal_failures
            async with over_it("two") as two:
                other = two.orders.table.find(order.order_id)
                assert other is not None and other.is_external
                await two.orders.cancel_order(order=other)
                await other.done()
            assert one.orders.table.counts.journal_failures == failures, "who has ended hears no more"
        await close_rest(first)


async def test_paper_does_not_touch_the_journal_of_real_orders(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "orders.journal")
    journal = Journal(storage, SystemClock())
    with pytest.raises(ConfigError, match="paper knows no real order"):
        connect_paper([BTC], balances={"USD": 1}, journal=journal)
    journal.close()
