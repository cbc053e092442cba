"""The client against the exchange in a box, on real sockets: every endpoint, shared keys, full pace."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import report

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.endpoints import RestClient
from kraken_fast.errors import (
    AuthError,
    ConfigError,
    OrderRejectedError,
    PermissionDeniedError,
)
from kraken_fast.nonce import FileNonces
from kraken_fast.sim import Exchange

BTC = "BTC/USD"
PROCESSES = 8
CALLS = 10_000


@pytest.fixture
async def box() -> AsyncIterator[Exchange]:
    async with Exchange([BTC, "ETH/USD"], seed=3, limit_calls=False, limit_orders=False) as made:
        yield made


def client_of(box: Exchange, tmp_path: Path, **others: Any) -> RestClient:
    others.setdefault("settings", RestSettings(limits=False))
    credentials = others.pop("credentials", None) or Credentials(box.api_key, box.api_secret)
    nonces = FileNonces(tmp_path, credentials.key_id)
    return RestClient(credentials, endpoints=Endpoints(rest_url=box.rest_url), nonces=nonces, **others)


async def test_reads_of_every_kind(box: Exchange, tmp_path: Path) -> None:
    async with client_of(box, tmp_path) as client:
        assert (await client.fetch_time()).unix_s > 1_700_000_000
        assert (await client.fetch_status()).status == "online"
        assert await client.fetch_maintenance() == ()
        assert {asset.asset for asset in await client.fetch_assets()} >= {"BTC", "USD", "ETH"}
        assert {pair.symbol for pair in await client.fetch_pairs()} == {BTC, "ETH/USD"}
        ticker = await client.fetch_ticker(symbol=BTC)
        assert ticker.bid < ticker.ask
        assert (await client.fetch_candles(symbol=BTC)).candles
        depth = await client.fetch_depth(symbol=BTC)
        grouped = await client.fetch_grouped_book(symbol=BTC)
        assert depth.bids[0].price < depth.asks[0].price
        assert grouped.bids[0].price < grouped.asks[0].price
        assert (await client.fetch_level3(symbol=BTC)).bids
        assert (await client.fetch_spread(symbol=BTC)).symbol == BTC
        assert (await client.fetch_pre_trade(symbol=BTC)).symbol == BTC
        await client.fetch_trades(symbol=BTC)
        await client.fetch_post_trade()
        assert (await client.fetch_websockets_token()).expires_s == 900
        assert "query-funds" in (await client.fetch_key_info()).permissions
        assert await client.fetch_balances()
        assert (await client.fetch_extended_balances())[0].available >= 0
        assert await client.fetch_open_orders() == ()
        assert await client.fetch_open_positions() == ()
        assert (await client.fetch_closed_orders()).orders == ()
        assert (await client.fetch_trade_balance()).equity >= 0
        assert (await client.fetch_trade_volume(symbols=[BTC])).fees
        assert (await client.fetch_ledgers()).entries
        await client.fetch_credit_lines()
        assert await client.fetch_exports(report="ledgers") == ()
        assert client.stats().nonce_errors == 0


@pytest.mark.fault("X17", kind="L")
async def test_an_order_from_birth_to_end(box: Exchange, tmp_path: Path) -> None:
    async with client_of(box, tmp_path) as client:
        book = await client.fetch_grouped_book(symbol=BTC)
        far = book.bids[0].price * Decimal("0.9")
        far = far.quantize(Decimal("0.1"))
        placed = await client.add_order(
            symbol=BTC,
            side="buy",
            ord_type="limit",
            qty="0.01",
            price=far,
            cl_ord_id="kf-1",
            flags=["post", "fciq"],
        )
        (order,) = await client.fetch_open_orders(cl_ord_id="kf-1")
        assert (order.order_id, order.terms.symbol, order.terms.price) == (placed.order_id, BTC, far)
        await client.amend_order(cl_ord_id="kf-1", limit_price=far - 10)
        assert len(await client.fetch_order_amends(order_id=order.order_id)) == 2
        assert (await client.cancel_order(cl_ord_id="kf-1")).count == 1
        with pytest.raises(OrderRejectedError):
            await client.cancel_order(cl_ord_id="kf-1")
        bought = await client.add_order(symbol=BTC, side="buy", ord_type="market", qty="0.01", flags=["fciq"])
        (done,) = await client.query_orders(order_ids=[str(bought.order_id)], trades=True)
        assert (done.status, done.filled_qty) == ("closed", Decimal("0.01"))
        fills = [fill async for fill in client.iter_fills()]
        assert sum(fill.qty for fill in fills) == Decimal("0.01")
        assert await client.query_fills(exec_ids=[fills[0].exec_id])
        ledgers = [entry async for entry in client.iter_ledgers()]
        assert await client.query_ledgers(ledger_ids=[ledgers[0].ledger_id])
        assert {row.order_id async for row in client.iter_closed_orders()} == {
            placed.order_id,
            bought.order_id,
        }
        rows = await client.add_orders(
            symbol=BTC,
            orders=[
                {"type": "buy", "ordertype": "limit", "volume": volume, "price": far}
                for volume in (Decimal("0.01"), Decimal(10_000_000))
            ],
        )
        assert rows[0].order_id
        assert "Insufficient funds" in str(rows[1].error)
        assert (await client.cancel_orders(order_ids=[str(rows[0].order_id)])).count == 1
        assert (await client.cancel_all()).count == 0
        assert (await client.cancel_all_after(timeout_s=60)).trigger_ns
        assert (await client.cancel_all_after(timeout_s=0)).trigger_ns is None
        trades = [trade.trade_id async for trade in client.iter_trades(symbol=BTC)]
        assert trades == list(range(trades[0], trades[0] + len(trades)))


@pytest.mark.fault("A04", kind="L")
@pytest.mark.fault("A05", kind="L")
async def test_keys_that_are_wrong_or_may_too_little(box: Exchange, tmp_path: Path) -> None:
    wrong = Credentials(box.api_key, "d3Jvbmc=")
    client = client_of(box, tmp_path, credentials=wrong)
    for _ in range(3):
        with pytest.raises(AuthError, match="signature"):
            await client.fetch_balances()
    assert client.stats().calls <= 3
    await client.close()
    needy = client_of(box, tmp_path / "b", needs=["export-data", "withdraw-funds"])
    with pytest.raises(PermissionDeniedError, match="withdraw-funds"):
        await needy.open()
    await needy.close()


@pytest.mark.fault("C06", kind="L")
@pytest.mark.fault("A07", kind="L")
@pytest.mark.fault("X19", kind="L")
async def test_eight_processes_share_a_key_while_clocks_step_back(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import asyncio, json, sys
        from random import Random
        from kraken_fast.auth import Credentials
        from kraken_fast.config import Endpoints, RestSettings
        from kraken_fast.core.clock import ManualClock, SystemClock
        from kraken_fast.nonce import FileNonces
        from kraken_fast.rest import RestCore
        facts = json.loads(sys.stdin.read())
        class Stepping:
            real, offset_ns, rng = SystemClock(), 0, Random(facts["number"])
            @property
            def monotonic_ns(self): return self.real.monotonic_ns
            @property
            def epoch_ns(self):
                if self.rng.random() < 0.02: self.offset_ns = -self.rng.randrange(3600 * 10**9)
                return self.real.epoch_ns + self.offset_ns
        async def main():
            who = Credentials(facts["key"], facts["secret"])
            client = RestCore(who, endpoints=Endpoints(rest_url=facts["url"]), settings=RestSettings(limits=False),
                              clock=Stepping(), nonces=FileNonces(facts["folder"], who.key_id))
            async with client:
                for _ in range(facts["calls"]):
                    await client.call("Balance")
                print(json.dumps({"nonce_errors": client.stats().nonce_errors, "retries": client.stats().retries}))
        asyncio.run(main())
    """)
    async with Exchange([BTC], rate=0, limit_calls=False) as box:
        warm = Credentials(box.api_key, box.api_secret)
        async with client_of(box, tmp_path, credentials=warm, nonce_unit="ns"):
            pass
        facts = {"key": box.api_key, "secret": box.api_secret, "url": box.rest_url, "folder": str(tmp_path)}

        async def one(number: int) -> dict[str, int]:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            text = json.dumps({**facts, "number": number, "calls": CALLS // PROCESSES}).encode()
            out, _ = await child.communicate(text)
            assert child.returncode == 0
            result: dict[str, int] = json.loads(out)
            return result

        results = await asyncio.gather(*(one(number) for number in range(PROCESSES)))
    report.note(
        "nonce errors, 8 processes on one key, 10,000 calls", sum(each["nonce_errors"] for each in results)
    )
    assert sum(each["nonce_errors"] + each["retries"] for each in results) == 0


@pytest.mark.fault("X41", kind="U")
async def test_a_real_key_is_not_shown_to_a_box(box: Exchange, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in a box"):
        client_of(box, tmp_path, credentials=Credentials("realLooking", "c2VjcmV0"))
