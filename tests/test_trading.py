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
from kraken_fast.orders.records import OrderState
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import Exchange
from kraken_fast.trading import Trading, connect_trading

BTC = "BTC/USD"
D = Decimal


def trading_of(ex: Exchange, folder: Path, **others: Any) -> Trading:
    """Prepare trading on a box."""
    rest = RestClient(
        Credentials(ex.api_key, ex.api_secret),
        endpoints=Endpoints(rest_url=ex.rest_url),
        nonces=MemoryNonces(),
        nonce_unit="ns",
        settings=RestSettings(limits=False),
    )
    others.setdefault("journal", folder / "orders.journal")
    return connect_trading(
        [BTC], rest=rest, ws_url=ex.ws_auth_url, public_ws_url=ex.ws_url, rest_url=ex.rest_url, **others
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
