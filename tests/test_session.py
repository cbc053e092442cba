"""A session by itself, over loopback: a line that is kept subscribed without any feed around it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from kraken_fast.config import Endpoints
from kraken_fast.errors import ClosedError, ConfigError
from kraken_fast.events import LineChange, Refused
from kraken_fast.session import Session, SessionSettings, settings_of
from kraken_fast.sim import Exchange

pytestmark = pytest.mark.both_loops


def session_of(ex: Exchange, notices: list[Any]) -> Session:
    return Session(Endpoints(ws_url=ex.ws_url, rest_url=ex.rest_url), SessionSettings(), notices.append)


async def until(condition: Any, within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


async def test_ready_when_all_deliver_or_were_refused() -> None:
    notices: list[Any] = []
    async with Exchange(["BTC/USD"], seed=3, rate=50.0) as ex:
        session = session_of(ex, notices)
        session.want("instrument")
        session.want("book", ["BTC/USD", "NO/SUCH"], depth=10)
        book = session.decoder.book("BTC/USD")
        assert book is not None
        assert session.awaited is not None
        await asyncio.wait_for(session.start(), 5.0)
        assert book.is_valid and session.awaited is None
        assert [notice.error.symbol for notice in notices if isinstance(notice, Refused)] == ["NO/SUCH"]
        with pytest.raises(ClosedError):
            session.start()
        await session.close()
        assert not session.is_open and book.quality == "stale"
        await session.close()


async def test_everything_wanted_is_restored_after_a_loss() -> None:
    notices: list[Any] = []
    async with Exchange(["BTC/USD", "ETH/USD"], seed=3, rate=50.0) as ex:
        session = session_of(ex, notices)
        session.want("book", ["BTC/USD"], depth=10)
        await asyncio.wait_for(session.start(), 5.0)
        session.want("book", ["ETH/USD"], depth=10)
        found = [session.decoder.book(symbol) for symbol in ("BTC/USD", "ETH/USD")]
        books = [book for book in found if book is not None]
        await until(lambda: books[1].is_valid)
        ex.faults.inject("rst")
        await until(lambda: session.connections == 2 and all(book.quality == "live" for book in books))
        session.unwant("book", ["BTC/USD"])
        await until(lambda: session.subscriptions.phase("book", "BTC/USD") is None)
        gone, stays = (book.messages for book in books)
        await until(lambda: books[1].messages > stays + 5)
        assert books[0].messages == gone
        await session.close()
        assert [n.new for n in notices if isinstance(n, LineChange)][-1] == "closed"


async def test_closing_while_opening_ends_the_wait() -> None:
    async with Exchange(["BTC/USD"]) as ex:
        with ex.faults.inject("hang"):
            session = session_of(ex, [])
            session.want("instrument")
            ready = session.start()
            await asyncio.sleep(0.05)
            await session.close()
            with pytest.raises(ClosedError):
                await ready


@pytest.mark.parametrize("wrong", [{"ready_s": 0}, {"events_max": 0}, {"ready_s": True}])
async def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        settings_of("private", {}, **{"ready_s": 1.0, "events_max": 1, **wrong})
    with pytest.raises(ConfigError, match="depth"):
        settings_of("private", {"depth": 3}, ready_s=1.0, events_max=1)
    assert settings_of("private", {}, ready_s=1.0, events_max=1).name == "private"
