"""A maker in a few lines: one post-only order below the best bid, amended as the bid moves, cancelled at the end.

    asyncio.run(make("BTC/USD", journal="maker.journal"))        # with a key in the environment

It buys whatever it is filled with: a skeleton to start from, not a strategy.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..errors import OrderRejectedError
from ..orders.live_order import Order
from ..orders.settings import OrderLimits, OrderSettings
from ..trading import Trading, connect_trading

SETTINGS = OrderSettings(
    on_exit="cancel",  # Ctrl-C, SIGTERM and errors too: nothing of ours stays in the book
    limits=OrderLimits(order_notional_max=Decimal(1000), collar=Decimal("0.01"), needs_quote=True),
)


@dataclass(slots=True)
class Made:
    """What it did: the orders that it placed, and how often it amended one."""

    orders: list[Order]
    amends: int = 0


async def make(
    symbol: str, *, journal: str | Path, seconds: float = 10.0, qty: str = "0.001", ticks: int = 10, **options: Any
) -> Made:
    """Quote one side of one market.

    Args:
        symbol: such as BTC/USD.
        journal: of the orders.
        seconds: for how long.
        qty: of the order, in base units.
        ticks: how far below the best bid.
        options: further arguments of `connect_trading`.
    """
    made = Made([])
    async with connect_trading([symbol], journal=journal, settings=SETTINGS, **options) as trading:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await _quote(trading, symbol, qty, ticks, made)
            await asyncio.sleep(0.25)
    return made


async def _quote(trading: Trading, symbol: str, qty: str, ticks: int, made: Made) -> None:
    quote, step = trading.quote(symbol), trading.feed.instrument(symbol).price_increment
    if quote is None or quote.bid is None or step is None:
        return  # no live book: what stands, stands
    price = quote.bid - ticks * step
    order = made.orders[-1] if made.orders else None
    try:
        if order is None or order.state.is_final:
            made.orders.append(
                await trading.orders.add_order(
                    symbol=symbol, side="buy", order_type="limit", order_qty=qty, limit_price=price, post_only=True
                )
            )
        elif order.state.is_live and order.limit_price != price and len(order.possible_terms) == 1:
            await trading.orders.amend_order(order=order, limit_price=price, post_only=True)
            made.amends += 1
    except OrderRejectedError:
        return  # the market moved through our price, or the order was filled meanwhile: look again
