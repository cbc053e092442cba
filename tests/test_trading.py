"""Trading from end to end, over real sockets: orders, unknown outcomes, crashes, keys, journals, the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.errors import JournalError, OutcomeUnknownError, PermissionDeniedError
from kraken_fast.orders.live_order import Order
from kraken_fast.orders.records import NewOrder, OrderState
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import Exchange
from kraken_fast.sim.account import NewAccount
from kraken_fast.trading import Trading, connect_trading

BTC = "BTC/USD"
D = Decimal


def trading_of(ex: Exchange, folder: Path, **others: Any) -> Trading:
    """Prepare trading on a box."""
    if "account" not in others:
        others["rest"] = RestClient(
            Credentials(ex.api_key, ex.api_secret),
            endpoints=Endpoints(rest_url=ex.rest_url),
            nonces=MemoryNonces(),
            nonce_unit="ns",
            settings=RestSettings(limits=False),
        )
    others.setdefault("journal", folder / "orders.journal")
    return connect_trading(
        [BTC], ws_url=ex.ws_auth_url, public_ws_url=ex.ws_url, rest_url=ex.rest_url, **others
    )


def box(**facts: Any) -> Exchange:
    return Exchange([BTC], seed=5, rate=0.0, limit_calls=False, **facts)


async def until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


def resting(**others: Any) -> dict[str, Any]:
    """Give the terms of an order that rests."""
    terms = {"symbol": BTC, "side": "buy", "order_type": "limit", "order_qty": "0.01", "limit_price": "30000.0"}
    return {**terms, **others}


@pytest.mark.both_loops
async def test_an_order_is_placed_amended_cancelled_and_another_filled(tmp_path: Path) -> None:
    async with box() as ex:
        trading = trading_of(ex, tmp_path)
        async with trading:
            quote = trading.quote(BTC)
            assert quote is not None and quote == (ex.book(BTC).bids[0][0], ex.book(BTC).asks[0][0])
            order = await trading.orders.add_order(**resting())
            assert order.order_id is not None and ex.account.orders[order.order_id].live
            await trading.orders.amend_order(order=order, limit_price="31000.0")
            await until(lambda: order.limit_price == D("31000.0"))
            await trading.orders.cancel_order(order=order)
            assert (await order.done()).state is OrderState.CANCELED
            taker = await trading.orders.add_order(**resting(limit_price="66000.0", order_qty="0.001"))
            await taker.filled()
            await until(lambda: trading.account.balance("BTC").total == ex.account.balances["BTC"] == D("10.001"))
            assert [fill.exec_id for fill in taker.fills] == [fill.exec_id for fill in trading.account.fills()]
            assert set(taker.fees) == {"USD"}
        await trading.account.rest.close()


@pytest.mark.fault("O02", kind="L")
async def test_a_reset_after_acceptance_is_resolved_by_the_next_snapshot_and_nothing_is_sent_again(
    tmp_path: Path,
) -> None:
    async with box() as ex:
        trading = trading_of(ex, tmp_path)
        async with trading:
            ex.faults.inject("accept_then_reset", endpoint="add_order")
            with pytest.raises(OutcomeUnknownError) as caught:
                await trading.orders.add_order(**resting(cl_ord_id="lost"))
            order = caught.value.order
            assert isinstance(order, Order) and order.state is OrderState.UNKNOWN
            await asyncio.wait_for(order.resolved(), 5)
            assert order.state is OrderState.OPEN and order.evidence[-1].kind == "event"
            assert [each.cl_ord_id for each in ex.account.orders.values()] == ["lost"]
            (both,) = [await trading.orders.batch_add(symbol=BTC, orders=[_new("a"), _new("b")])]
            assert [each.cl_ord_id for each in both] == ["a", "b"] and all(each.state.is_live for each in both)
        await trading.account.rest.close()


def _new(name: str) -> NewOrder:
    return NewOrder(
        order_type="limit", side="buy", order_qty="0.01", limit_price="30000.0", cl_ord_id=name
    )  # fmt: skip


@pytest.mark.fault("A04", kind="L")
async def test_a_key_that_may_not_trade_is_refused_in_plain_words_before_anything_opens(tmp_path: Path) -> None:
    rights = ["query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "create-ws-token"]
    async with box(accounts=[NewAccount(permissions=rights)]) as ex:
        trading = trading_of(ex, tmp_path)
        with pytest.raises(PermissionDeniedError, match='"Create and modify orders"'):
            await trading.open()
        await trading.account.rest.close()
        again = trading_of(ex, tmp_path)  # the journal was let go
        with pytest.raises(PermissionDeniedError):
            await again.open()
        await again.account.rest.close()


async def test_one_journal_has_one_writer_and_an_end_leaves_or_cancels(tmp_path: Path) -> None:
    async with box() as ex:
        first = trading_of(ex, tmp_path)
        async with first:
            left = await first.orders.add_order(**resting(cl_ord_id="left"))
            second = trading_of(ex, tmp_path)
            with pytest.raises(JournalError, match="another process writes it"):
                await second.open()
            await second.account.rest.close()
        assert ex.account.orders[left.order_id].live and first.report is not None and len(first.report.open) == 1
        await first.account.rest.close()
        next_one = trading_of(ex, tmp_path, settings=OrderSettings(on_exit="cancel"))
        async with next_one:
            found = next_one.orders.table.find("left")
            assert found is not None and found.state.is_live and not found.is_external
        assert not ex.account.orders[left.order_id].live
        await next_one.account.rest.close()
