"""The client against the exchange in a box, on real sockets: every endpoint, shared keys, full pace."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import report
from rest_box import Boxed, World

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import (
    AuthError,
    ConfigError,
    ExchangeError,
    LockoutError,
    NonceError,
    OrderRejectedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
)
from kraken_fast.rest.catalogue import ENDPOINTS
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import AioHttp, HttpRequest, HttpResponse
from kraken_fast.rest.nonce import FileNonces
from kraken_fast.sim import Exchange
from kraken_fast.sim.account import NewAccount

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


class Overheard(AioHttp):
    """Keeps every request, as somebody on the way might."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[HttpRequest] = []

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        self.heard.append(request)
        return await super().fetch(request)


@pytest.mark.fault("X20", kind="L")
async def test_an_order_that_is_played_back_is_refused(box: Exchange, tmp_path: Path) -> None:
    port = Overheard()
    async with client_of(box, tmp_path, http=port) as client:
        await client.add_order(symbol=BTC, side="buy", ord_type="limit", qty="0.01", price=1000, cl_ord_id="kf-1")
        (order,) = [each for each in port.heard if each.url.endswith("/AddOrder")]
        assert b"deadline" in order.body
        for _ in range(3):
            answer = await port.fetch(order)
            assert json.loads(answer.body)["error"] == ["EAPI:Invalid nonce"]
        assert len(await client.fetch_open_orders()) == 1


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


@pytest.mark.fault("L02", kind="L")
@pytest.mark.fault("L03", kind="L")
@pytest.mark.fault("L07", kind="L")
async def test_the_engines_limits_over_sockets(tmp_path: Path) -> None:
    account = NewAccount(tier="intermediate")
    terms = {"symbol": BTC, "side": "buy", "ord_type": "limit", "qty": "0.01", "price": "100.0", "deadline": None}
    async with Exchange([BTC], rate=0, accounts=[account]) as box:
        # Who keeps no count is refused for certain, and nothing of it is in the book.
        async with client_of(box, tmp_path) as careless:
            for _ in range(80):
                await careless.add_order(**terms)
            with pytest.raises(OrderRejectedError, match="Orders limit exceeded"):
                await careless.add_order(**terms)
            with pytest.raises(RateLimitError) as caught:
                for _ in range(100):
                    with suppress(OrderRejectedError):
                        await careless.add_order(**terms)
            assert (caught.value.retryable, caught.value.sent) == (True, False)
            assert len(await careless.fetch_open_orders()) == len(box.account.live_orders()) == 80
        box.account.engine_points.clear()
        async with client_of(box, tmp_path, settings=RestSettings(tier="intermediate")) as careful:
            await careful.instruments()
            assert (await careful.cancel_all()).count == 80
            placed = [await careful.add_order(**terms) for _ in range(30)]
            for order in placed:  # 8 points each, far above the threshold of 125
                assert (await careful.cancel_order(order_id=order.order_id)).count == 1  # never waits, never refused
            with pytest.raises(RateLimitError, match="not sent|Not sent"):
                await careful.call("AddOrder", {"pair": "XBTUSD"}, wait_max_s=0)


@pytest.mark.fault("L04", kind="L")
async def test_who_is_told_to_wait_waits(box: Exchange, tmp_path: Path) -> None:
    async with client_of(box, tmp_path, settings=RestSettings()) as client:
        await client.fetch_balances()
        box.faults.inject("retry_after", endpoint="Balance", seconds=2, count=1)
        begin = client.clock.monotonic_ns
        await client.fetch_balances()
        assert client.clock.monotonic_ns - begin >= 5e9  # the counter's own pause is longer still
        assert box.faults.fired["retry_after"] == 1


@pytest.mark.fault("A06", kind="L")
async def test_a_locked_out_key_is_left_alone_by_the_next_process_too(box: Exchange, tmp_path: Path) -> None:
    async with client_of(box, tmp_path) as client:
        await client.fetch_balances()
        box.faults.inject("lockout", endpoint="Balance", seconds=900, count=1)
        with pytest.raises(LockoutError) as caught:
            await client.fetch_balances()
        assert caught.value.retry_after_s >= 900
        box.faults.inject("errors", endpoint="GetApiKeyInfo", errors=("EGeneral:Permission denied",))
        restarted = client_of(box, tmp_path)
        for each in (client, restarted):
            with pytest.raises(LockoutError):
                await each.fetch_balances()
            assert (await each.fetch_time()).unix_s
        await restarted.close()
        assert not box.faults.fired.get("errors")  # nothing private was sent


@pytest.mark.fault("A09", kind="L")
async def test_another_program_on_the_key_is_told_and_never_fought(box: Exchange, tmp_path: Path) -> None:
    async with client_of(box, tmp_path) as client:
        await client.fetch_balances()
        highest = box.account.keys[0].nonce
        box.account.keys[0].nonce = 100 * highest  # somebody else counts in another unit
        with pytest.raises(NonceError, match="another program") as caught:
            await client.fetch_balances()
        assert "its window" in str(caught.value)
        assert client.stats().nonce_errors <= 3
        with pytest.raises(OutcomeUnknownError):
            await client.add_order(symbol=BTC, side="buy", ord_type="market", qty="0.01", deadline=None)
        assert not box.account.orders


@pytest.mark.fault("O03", kind="L")
@pytest.mark.parametrize("code", [0, 502, 504, 520])
async def test_an_order_whose_answer_failed_is_live_once_and_found_by_its_id(
    box: Exchange, tmp_path: Path, code: int
) -> None:
    async with client_of(box, tmp_path) as client:
        box.faults.inject("act_then_fail", endpoint="AddOrder", code=code)
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.add_order(
                symbol=BTC, side="buy", ord_type="limit", qty="0.01", price="100.0", cl_ord_id="kf-9", deadline=None
            )
        assert caught.value.cl_ord_ids == ("kf-9",)
        (order,) = await client.fetch_open_orders(cl_ord_id="kf-9")
        assert order.cl_ord_id == "kf-9"
        assert len(box.account.orders) == box.faults.fired["act_then_fail"] == 1


def test_every_endpoint_is_answered_by_the_box() -> None:
    world = World()
    boxed = Boxed(world, way_s=0.01, limit_calls=False, limit_orders=False)

    async def main() -> None:
        async with boxed.client(RestClient, settings=RestSettings(limits=False)) as client:
            await public_calls(client)
            await order_calls(client)
            await account_calls(client)
            await export_calls(client)
            assert client.stats().nonce_errors == 0
        called = {call.name for call in boxed.port.calls}
        assert called == set(ENDPOINTS)
        assert len(called) == 42

    world.run(main())


async def public_calls(client: RestClient) -> None:
    assert await client.sync_time() <= 0.1
    assert (await client.fetch_status()).status == "online"
    assert await client.fetch_maintenance() == ()
    assert {"BTC", "USD"} <= {asset.asset for asset in await client.fetch_assets()}
    assert [pair.symbol for pair in await client.fetch_pairs()] == [BTC]
    assert [row.symbol for row in await client.fetch_tickers()] == [BTC]
    assert (await client.fetch_candles(symbol=BTC, interval=5)).candles
    assert (await client.fetch_depth(symbol=BTC, count=10)).asks
    assert len((await client.fetch_grouped_book(symbol=BTC, depth=10)).bids) == 10
    assert (await client.fetch_spread(symbol=BTC)).rows
    assert (await client.fetch_pre_trade(symbol=BTC)).asks
    assert (await client.fetch_trades(symbol=BTC)).trades
    assert (await client.fetch_post_trade(symbol=BTC)).trades


async def order_calls(client: RestClient) -> None:
    bid = (await client.fetch_grouped_book(symbol=BTC)).bids[0].price
    far = (bid / 2).quantize(Decimal("0.1"))
    terms = {"symbol": BTC, "side": "buy", "ord_type": "limit", "qty": "0.01", "price": far}
    checked = await client.add_order(**terms, validate=True)
    assert checked.order_id is None
    for ord_type, prices in (
        ("iceberg", {"price": far, "display_qty": "0.005"}),
        ("stop-loss", {"price": bid * 2 // 1}),
        ("take-profit-limit", {"price": far, "price2": far - 1}),
        ("trailing-stop", {"price": "+5%"}),
    ):
        placed = await client.add_order(**{**terms, "qty": "0.02", "ord_type": ord_type, **prices})
        assert (await client.cancel_order(order_id=placed.order_id)).count == 1
    closing = await client.add_order(**terms, close={"ordertype": "limit", "price": "+5%"}, userref=7)
    assert (await client.fetch_open_orders(userref=7))[0].userref == 7
    assert closing.close_description
    placed = await client.add_order(**terms)
    edited = await client.edit_order(symbol=BTC, order_id=str(placed.order_id), price=far - 1)
    assert edited.original_id == placed.order_id
    with pytest.raises(OrderRejectedError, match="Unknown order"):
        await client.cancel_order(order_id=str(placed.order_id))
    await client.amend_order(order_id=edited.order_id, qty="0.02")
    amends = await client.fetch_order_amends(order_id=edited.order_id)
    assert [amend.qty for amend in amends] == [Decimal("0.01"), Decimal("0.02")]
    row = {"type": "sell", "ordertype": "limit", "volume": "0.01", "price": bid * 2 // 1}
    rows = await client.add_orders(symbol=BTC, orders=[row, row])
    assert (await client.cancel_orders(order_ids=[str(each.order_id) for each in rows])).count == 2
    assert (await client.cancel_all_after(timeout_s=60)).trigger_ns
    assert (await client.cancel_all()).count == 2
    with pytest.raises(OrderRejectedError, match="Cannot open position"):
        await client.add_order(**terms, leverage=2)
    with pytest.raises(OrderRejectedError, match="No position exists"):
        await client.add_order(**terms, reduce_only=True)
    with pytest.raises(OrderRejectedError, match="Unknown position"):
        await client.add_order(**{**terms, "ord_type": "settle-position", "qty": 0, "price": None}, leverage=2)


async def account_calls(client: RestClient) -> None:
    bought = await client.add_order(symbol=BTC, side="buy", ord_type="market", qty="0.05")
    (done,) = await client.query_orders(order_ids=[str(bought.order_id)], trades=True)
    assert done.filled_qty == Decimal("0.05")
    fills = {fill.exec_id: fill async for fill in client.iter_fills()}
    assert set(fills) == set(done.trades)
    assert sum(fill.qty for fill in fills.values()) == Decimal("0.05")
    assert fills.keys() >= {fill.exec_id for fill in await client.query_fills(exec_ids=done.trades[:20])}
    assert (await client.fetch_fills()).trades[0] in fills.values()
    assert len((await client.fetch_closed_orders()).orders) >= 6
    page = await client.fetch_ledgers(assets=["BTC"], kind="trade")
    assert sum([each.amount async for each in client.iter_ledgers(assets=["BTC"], kind="trade")]) == Decimal("0.05")
    assert await client.query_ledgers(ledger_ids=[page.entries[0].ledger_id])
    spot = {row.asset: row.balance for row in await client.fetch_balances()}
    assert {row.asset: row.available for row in await client.fetch_extended_balances()} == spot
    assert (await client.fetch_trade_balance()).equity > 0
    assert (await client.fetch_trade_volume(symbols=[BTC])).volume > 0
    assert (await client.fetch_credit_lines()).lines == ()
    assert await client.fetch_open_positions(calculate=True) == await client.fetch_market_positions() == ()
    assert (await client.fetch_level3(symbol=BTC)).asks
    assert (await client.fetch_websockets_token()).is_usable(client.clock.monotonic_ns)
    assert (await client.fetch_key_info()).nonce > 0


async def export_calls(client: RestClient) -> None:
    report_id = await client.add_export(report="ledgers", description="all of it")
    with pytest.raises(ExchangeError, match="Not ready"):
        await client.retrieve_export(report_id=report_id)
    await asyncio.sleep(10)
    (row,) = await client.fetch_exports(report="ledgers")
    assert (row.report_id, row.status) == (report_id, "Processed")
    archive = zipfile.ZipFile(io.BytesIO(await client.retrieve_export(report_id=report_id)))
    lines = archive.read("ledgers.csv").decode().splitlines()
    assert len(lines) == 1 + len([entry async for entry in client.iter_ledgers()])
    assert await client.remove_export(report_id=report_id)
    with pytest.raises(ExchangeError, match="Deleted"):
        await client.retrieve_export(report_id=report_id)


@pytest.mark.fault("A12", kind="D")
def test_a_key_with_a_password_of_its_own_needs_it_in_every_call() -> None:
    world = World()
    boxed = Boxed(world, accounts=[NewAccount(otp="one-two-three")])

    async def main() -> None:
        for otp in (None, lambda: "four"):
            boxed.otp = otp
            client = boxed.client(RestClient)
            for _ in range(3):
                with pytest.raises(AuthError, match="one-time password"):
                    await client.fetch_balances()
            await client.close()
        assert len(boxed.port.calls) == 2  # never tried again by itself
        boxed.otp = lambda: "one-two-three"
        async with boxed.client(RestClient) as client:
            assert await client.fetch_balances()

    world.run(main())


@pytest.mark.fault("A12", kind="D")
def test_a_key_for_other_addresses_is_refused_once() -> None:
    world = World()
    boxed = Boxed(world, accounts=[NewAccount(ip_allowlist=["203.0.113.7"])])

    async def main() -> None:
        client = boxed.client(RestClient)
        for _ in range(3):
            with pytest.raises(AuthError, match="Invalid key"):
                await client.fetch_balances()
        assert len(boxed.port.calls) == 1

    world.run(main())


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
        from kraken_fast.rest.nonce import FileNonces
        from kraken_fast.rest.client import RestCore
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
