"""A bot's skeleton: two symbols, two hot lines, REST as the third source, and the ccxt instance that it has already.

    import ccxt
    exchange = ccxt.kraken({"apiKey": ..., "secret": ...})
    asyncio.run(watch(exchange, seconds=60))

Without an exchange it works on public data: `python -m kraken_fast.examples.bot`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..coordination.coordinator import UnifiedDataCoordinator
from ..coordination.readings import Balance
from ..core.book import Book
from ..errors import NoSourceError, StaleDataError
from ..events import Event, SourceChange

SYMBOLS = ["BTC/USDT", "SHIB/USDT"]

_log = logging.getLogger("bot")


@dataclass(slots=True)
class Findings:
    """What the bot saw.

    Attributes:
        balance: of USDT, None without a key.
        mids: the last middle of each book.
        quotes: how often it would have quoted, and how often it refused to, because nothing was live.
        refused: see quotes.
        changes: of source.
    """

    balance: Balance | None
    mids: dict[str, Decimal]
    quotes: int = 0
    refused: int = 0
    changes: int = 0


async def watch(exchange: Any = None, *, seconds: float = 10.0, settings: Mapping[str, Any] | None = None) -> Findings:
    """Run the bot.

    Args:
        exchange: None, Credentials, a RestClient, or a ccxt kraken instance, whose key and addresses are taken.
        seconds: for how long.
        settings: further arguments of `UnifiedDataCoordinator`.
    """
    coordinator = UnifiedDataCoordinator(
        exchange_client=exchange, symbols=SYMBOLS, websocket_ratio=0.95, rest_ratio=0.05, **(settings or {})
    )
    found = Findings(balance=None, mids={})

    def on_book(book: Book) -> None:
        # Called within the message that changed the book: keep it short. The book is only valid during the call.
        if book.mid is not None:
            found.mids[book.symbol] = book.mid

    def on_notice(event: Event) -> None:
        if isinstance(event, SourceChange):
            found.changes += 1
            _log.info("%s %s: from %s to %s", event.symbol, event.channel, event.old, event.new)

    coordinator.on_book = on_book
    coordinator.on_notice = on_notice
    await coordinator.start()
    try:
        if coordinator.client.has_key:
            found.balance = await coordinator.get_balance("USDT")  # WebSocket first, REST fallback
            _log.info("USDT: %s free of %s, says %s", found.balance.free, found.balance.total, found.balance.source)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            for symbol in SYMBOLS:
                await _consider(coordinator, symbol, found)
            await asyncio.sleep(0.25)
    finally:
        await coordinator.close()
    return found


async def _consider(coordinator: UnifiedDataCoordinator, symbol: str, found: Findings) -> None:
    """Decide on one symbol: only a proven book is good enough for a price, a ticker of any source for the rest."""
    try:
        book = await coordinator.get_order_book(symbol, strict=True, max_age_ms=1_500)
    except StaleDataError as error:
        found.refused += 1
        _log.info("no quotes: %s", error)
        return
    try:
        ticker = await coordinator.get_ticker(symbol)
    except NoSourceError as error:
        found.refused += 1
        _log.info("no ticker: %s", error)
        return
    found.quotes += 1
    _log.debug("%s mid %s, last %s from %s", symbol, book.mid, ticker.last, ticker.source)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(watch())
