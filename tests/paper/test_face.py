"""Paper mode as users have it: over loopback, against a second exchange in a box that serves its public side only."""

from __future__ import annotations

import asyncio
import gc
import weakref
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kraken_fast
from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints
from kraken_fast.core.clock import SystemClock
from kraken_fast.errors import ConfigError, ExchangeError, InvalidOrderError, UnknownSymbolError
from kraken_fast.events import SourceChange
from kraken_fast.orders.journal import Journal, MemoryStorage
from kraken_fast.orders.records import OrderState
from kraken_fast.orders.settings import OrderLimits, OrderSettings
from kraken_fast.paper.face import PaperTrading, connect_paper
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import MemoryNonces
from kraken_fast.sim import Exchange
from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.faces import PUBLIC
from kraken_fast.trading import Trading, connect_trading

BTC = "BTC/USD"
FUNDS: dict[str, Decimal | int | str] = {"USD": "100000.5", "BTC": 2}


def live(**settings: Any) -> Exchange:
    return Exchange([BTC], **{"seed": 7, "rate": 0.0, "accounts": [], **settings})


def paper(ex: Exchange, **settings: Any) -> PaperTrading:
    where = {"ws_url": ex.ws_url, "rest_url": ex.rest_url}
    return connect_paper([BTC], **{"balances": FUNDS, "seed": 1, **where, **settings})


async def until(condition: Any, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)


async def bot(trading: Trading) -> list[Any]:
    """Trade a little; gives what it saw. It does not know where."""
    quote = trading.quote(BTC)
    assert quote is not None
    assert quote.bid is not None
    seen: list[Any] = [trading.account.balance("USD").total, trading.account.balance("BTC").total]
    maker = await trading.orders.add_order(
        symbol=BTC, side="buy", order_type="limit", order_qty="0.5", limit_price=quote.bid - 100, post_only=True
    )
    await trading.orders.amend_order(order=maker, order_qty="0.4", limit_price=quote.bid - 200)
    await until(lambda: maker.limit_price == quote.bid - 200)
    await until(lambda: len(trading.account.open_orders()) == 1)
    taker = await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.01")
    await taker.filled()
    await trading.orders.cancel_order(order=maker)
    await maker.done()
    try:
        await trading.orders.add_order(
            symbol=BTC, side="buy", order_type="limit", order_qty="900", limit_price=quote.bid - 200
        )
    except ExchangeError as error:
        seen.append(error.code)
    await until(lambda: trading.account.balance("BTC").total == seen[1] + Decimal("0.01"))
    seen += [maker.state, taker.state, taker.filled_qty, taker.avg_price, dict(taker.fees)]
    seen += [trading.account.balance("USD").total, [fill.last_qty for fill in trading.account.fills()]]
    return seen


@pytest.mark.both_loops
async def test_a_bot_changes_one_line() -> None:
    """The same bot, once on a real account of a box and once on paper over the same market, sees the same."""
    key = NewAccount(balances=FUNDS)
    async with live(accounts=[key]) as ex:
        async with paper(ex) as on_paper:
            seen = await bot(on_paper)
        credentials = Credentials(ex.api_key, ex.api_secret)
        rest = RestClient(credentials, endpoints=Endpoints(rest_url=ex.rest_url), nonces=MemoryNonces())
        journal = Journal(MemoryStorage(), SystemClock())
        async with connect_trading(
            [BTC], rest=rest, journal=journal, public_ws_url=ex.ws_url, ws_url=ex.ws_auth_url, rest_url=ex.rest_url
        ) as trading:
            assert await bot(trading) == seen


async def test_nothing_but_public_subscriptions_reaches_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    async with live() as ex:
        calls: list[str] = []
        http = ex.core.http

        def spy(method: str, path: str, *rest: Any, **more: Any) -> Any:
            calls.append(path)
            return http(method, path, *rest, **more)

        monkeypatch.setattr(ex.core, "http", spy)
        async with paper(ex) as trading:
            await bot(trading)
            assert [session.face for session in ex.sessions] == [PUBLIC]
            channels = {channel for session in ex.sessions for channel, _ in session.subscriptions}
        assert channels == {"instrument", "book", "trade"}
        assert ex.asked == []
        assert calls == []
        assert not ex.core.accounts


async def test_a_resting_order_is_filled_by_a_live_trade() -> None:
    async with live() as ex, paper(ex) as trading:
        bid, ahead = ex.book(BTC).bids[0]
        order = await trading.orders.add_order(
            symbol=BTC, side="buy", order_type="limit", order_qty="0.0001", limit_price=bid
        )
        ex.market(BTC).submit("sell", ahead)
        ex.market(BTC).submit("sell", Decimal("0.001"))
        ex.flush()
        async with asyncio.timeout(5):
            await order.filled()
        assert [fill.liquidity for fill in order.fills] == ["m"]


async def test_an_order_meets_the_market_as_it_is_when_it_comes() -> None:
    async with live() as ex, paper(ex) as trading:
        (_, first_qty), (second, _) = ex.book(BTC).asks[:2]
        ex.market(BTC).submit("buy", first_qty)
        ex.flush()
        await until(lambda: trading.quote(BTC).ask == second)
        order = await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.0001")
        await order.filled()
        assert [fill.price for fill in order.fills] == [second]


async def test_while_the_line_is_down_orders_wait_and_the_user_is_told() -> None:
    async with live() as ex, paper(ex) as trading:
        told: list[SourceChange] = []
        trading.account.on_notice = lambda event: told.append(event) if isinstance(event, SourceChange) else None
        ask = ex.book(BTC).asks[0][0]
        ex.faults.inject("refuse")
        ex.faults.inject("rst")
        ex.flush()
        await until(lambda: trading.waiting)
        assert list(trading.waiting) == [BTC]
        order = await trading.orders.add_order(
            symbol=BTC, side="buy", order_type="limit", order_qty="0.0001", limit_price=ask
        )
        await asyncio.sleep(0.05)
        assert order.state is OrderState.OPEN
        ex.faults.clear()
        async with asyncio.timeout(10):
            await order.filled()
        assert [(change.channel, change.symbol, change.new) for change in told] == [
            ("paper", BTC, "none"),
            ("paper", BTC, "websocket"),
        ]
        assert trading.waiting == {}


async def test_limits_of_our_own_and_rules_of_the_pair_hold() -> None:
    limits = OrderLimits(collar=Decimal("0.01"))
    async with live() as ex, paper(ex, settings=OrderSettings(limits=limits)) as trading:
        ask = ex.book(BTC).asks[0][0]
        for fields in ({"limit_price": ask * 2, "order_qty": "0.001"}, {"limit_price": ask, "order_qty": "0.00000001"}):
            with pytest.raises(InvalidOrderError):
                await trading.orders.add_order(symbol=BTC, side="buy", order_type="limit", **fields)
        assert not trading.exchange.account.orders


async def test_the_dead_mans_switch_and_the_end_work_as_configured() -> None:
    settings = OrderSettings(switch_s=60, on_exit="cancel")
    async with live() as ex:
        async with paper(ex, settings=settings) as trading:
            await trading.orders.add_order(
                symbol=BTC, side="buy", order_type="limit", order_qty="0.001", limit_price="50000"
            )
            trading.orders.arm_switch()
            await until(lambda: trading.exchange.account.cancel_at_ns is not None)
        assert trading.report is not None
        assert len(trading.report.cancelled) == 1
        assert [order.status for order in trading.exchange.account.orders.values()] == ["canceled"]


async def test_latency_is_felt() -> None:
    async with live() as ex, paper(ex, latency_ms=30.0) as trading:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.001")
        assert loop.time() - began >= 0.06


async def test_a_journal_on_paper_is_none_of_real_orders(tmp_path: Path) -> None:
    path = tmp_path / "orders.journal"
    path.write_bytes(b"")
    async with live() as ex, paper(ex, journal=path) as trading:
        await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.001")
    assert path.read_bytes() == b""
    assert b"BTC/USD" in (tmp_path / "orders.journal.paper").read_bytes()


async def test_a_feed_that_is_given_keeps_its_callbacks_and_stays_open() -> None:
    async with live() as ex:
        books: list[str] = []
        feed = kraken_fast.connect([BTC], channels=("book", "trade"), ws_url=ex.ws_url, rest_url=ex.rest_url)
        feed.on_book = lambda book: books.append(book.symbol)
        async with feed:
            async with paper(ex, feed=feed) as trading:
                order = await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.001")
                await order.filled()
                assert trading.feed is feed
            gone = weakref.ref(trading.exchange)
            del trading
            count = len(books)
            ex.advance(5)
            await until(lambda: len(books) > count)
            assert feed.state == "live"
            gc.collect()
            assert gone() is None, "what has ended is not told of the market any more"
            assert feed._session.forward is None, "nor is it passed through"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"balances": {"USD": 1.5}}, "balances"),
        ({"balances": {"USD": -1}}, "balances"),
        ({"balances": {"USD": "much"}}, "balances"),
        ({"volume_usd": "NaN"}, "volume_usd"),
        ({"tier": "gold"}, "tier"),
        ({"volume_usd": 1.5}, "volume_usd"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"book_depth": 7}, "book_depth"),
        ({"history_max": 0}, "history_max"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        connect_paper([BTC], **{"balances": FUNDS, **settings})


def test_a_feed_without_trades_is_refused() -> None:
    with pytest.raises(ConfigError, match="book and trade"):
        connect_paper([BTC], balances=FUNDS, feed=kraken_fast.connect([BTC]))


async def test_what_the_exchange_does_not_list_is_named() -> None:
    async with live() as ex:
        with pytest.raises((UnknownSymbolError, kraken_fast.SubscriptionError), match="NOPE"):
            await connect_paper(["NOPE/USD"], balances=FUNDS, ws_url=ex.ws_url, rest_url=ex.rest_url).open()
        assert not ex.sessions or all(not session.subscriptions for session in ex.sessions)


async def test_the_key_is_shown_nowhere() -> None:
    async with live() as ex, paper(ex) as trading:
        secret = trading.exchange.account.keys[0].secret
        assert secret not in repr(trading) + repr(trading.account) + repr(trading.exchange.account.keys)
