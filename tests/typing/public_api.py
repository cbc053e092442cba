"""The public names as a user writes them. Checked by mypy, never run."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import assert_type

import kraken_fast
from kraken_fast import (
    BookSnapshot,
    Candle,
    Decoder,
    Feed,
    Level,
    OrderBook,
    OutcomeUnknownError,
    RestClient,
    StaleDataError,
    TickerSnapshot,
    Trade,
    UnknownSymbolError,
)
from kraken_fast.sim import Exchange


async def by_callback() -> None:
    def on_book(book: OrderBook) -> None:
        assert_type(book.symbol, str)
        assert_type(book.best_bid, Decimal | None)
        assert_type(book.best_bid_float, float | None)
        assert_type(book.best_bid_raw, int | None)
        assert_type(book.is_valid, bool)

    def on_trade(trade: Trade) -> None:
        assert_type(trade.price, Decimal)
        assert_type(trade.trade_id, int)

    async with kraken_fast.connect(["BTC/USD"], channels=("book", "trade")) as feed:
        assert_type(feed, Feed)
        feed.on_book = on_book
        feed.on_trade = on_trade
        feed.on_book = None


async def by_iteration() -> None:
    async with kraken_fast.connect(["BTC/USD"], channels=("book", "ticker", "trade", "ohlc")) as feed:
        async for event in feed:
            match event:
                case BookSnapshot():
                    assert_type(event.bids, tuple[Level, ...])
                    assert_type(event.quality, kraken_fast.types.Quality)
                case TickerSnapshot():
                    assert_type(event.last, Decimal | None)
                case Candle():
                    assert_type(event.closed, bool)
                case _:
                    pass


async def by_reading() -> Decimal | None:
    async with kraken_fast.connect(["BTC/USD"], book_depth=100) as feed:
        try:
            book = feed.book("BTC/USD", strict=True)
        except StaleDataError as error:
            assert_type(error.quality, str)
            return None
        except UnknownSymbolError as error:
            assert_type(error.symbol, str)
            return None
        assert_type(book, BookSnapshot)
        assert_type(feed.latency.percentile(99.0), int | None)
        assert_type(feed.stats().messages, int)
        return book.mid


def without_a_network(messages: list[bytes]) -> int:
    decoder = Decoder(create=True)
    assert_type(decoder.feed(messages[0]), bool)
    return decoder.feed_all(messages)


async def against_the_box() -> None:
    async with Exchange(["BTC/USD"], seed=7) as exchange:
        exchange.faults.inject("bad_checksum", symbol="BTC/USD")
        async with kraken_fast.connect(["BTC/USD"], ws_url=exchange.ws_url, rest_url=exchange.rest_url) as feed:
            feed.book("BTC/USD")


async def an_account() -> None:
    async with kraken_fast.connect_account(since_ns=0) as account:
        assert_type(account, kraken_fast.Account)
        assert_type(account.balance("USD", strict=True), kraken_fast.AccountBalance)
        assert_type(account.balance("USD").free, Decimal | None)
        assert_type(account.fills(), tuple[kraken_fast.Execution, ...])
        assert_type(account.quality, kraken_fast.types.Quality)
        async with kraken_fast.connect_level3(["BTC/USD"], rest=account.rest, tokens=account.tokens) as feed:
            assert_type(feed, kraken_fast.Level3Feed)
            assert_type(feed.queue_position("BTC/USD", "O1"), kraken_fast.types.QueuePosition | None)


async def trade() -> None:
    settings = kraken_fast.OrderSettings(
        on_exit="cancel", limits=kraken_fast.OrderLimits(order_notional_max=Decimal(1000), collar=Decimal("0.02"))
    )
    async with kraken_fast.connect_trading(["BTC/USD"], journal="orders.journal", settings=settings) as trading:
        assert_type(trading, kraken_fast.Trading)
        assert_type(trading.account, kraken_fast.Account)
        assert_type(trading.orders, kraken_fast.OrderEntry)
        assert_type(trading.quote("BTC/USD"), kraken_fast.Quote | None)
        order = await trading.orders.add_order(
            symbol="BTC/USD", side="buy", order_type="limit", order_qty="0.01", limit_price=Decimal("50000.0")
        )
        assert_type(order, kraken_fast.Order)
        assert_type(order.state, kraken_fast.OrderState)
        assert_type(order.fills, tuple[kraken_fast.Fill, ...])
        assert_type(order.evidence, list[kraken_fast.Evidence])
        assert_type(order.avg_price, Decimal | None)
        await trading.orders.amend_order(order=order, limit_price=50001)
        assert_type(await trading.orders.cancel_order(order=order), kraken_fast.Cancelled)
        stop = kraken_fast.NewOrder(
            symbol="BTC/USD",
            order_type="stop-loss-limit",
            side="sell",
            order_qty="0.01",
            limit_price="39900.0",
            triggers=kraken_fast.Triggers(price="40000.0"),
            conditional=kraken_fast.Conditional(order_type="limit", limit_price="50000.0"),
        )
        assert_type(await trading.orders.check_order(stop), kraken_fast.Checked)
        assert_type(await trading.orders.batch_add(symbol="BTC/USD", orders=[stop]), tuple[kraken_fast.Order, ...])
        assert_type(trading.account.open_orders(), tuple[kraken_fast.AccountOrder, ...])
    assert_type(trading.report, kraken_fast.ExitReport | None)


async def by_rest(client: RestClient) -> None:
    ticker = await client.fetch_ticker(symbol="BTC/USD")
    assert_type(ticker.bid, Decimal)
    placed = await client.add_order(
        symbol="BTC/USD", side="buy", ord_type="limit", qty="0.1", price=ticker.bid, deadline=timedelta(seconds=5)
    )
    assert_type(placed.order_id, str | None)
    assert_type(await client.sync_time(), float)
    history = client.iter_candles(symbol="BTC/USD", cursor="")
    assert_type([candle.begin_ns async for candle in history], list[int])
    assert_type(history.cursor, str)
    assert_type(history.lost, tuple[int, int] | None)
    assert_type((await client.fetch_market_positions())[0].qty, Decimal)
    assert_type([charge.points for charge in client.charges("CancelOrder", {"txid": "O1"})], list[float])
    try:
        await client.cancel_orders(order_ids=["O1"])
    except OutcomeUnknownError as error:
        assert_type(error.order_ids, tuple[str, ...])
        assert_type(error.cl_ord_ids, tuple[str | None, ...])


async def on_paper() -> None:
    async with kraken_fast.connect_paper(["BTC/USD"], balances={"USD": "10000", "BTC": 1}) as trading:
        assert_type(trading, kraken_fast.PaperTrading)
        assert_type(trading.waiting, dict[str, str])
        order = await trading.orders.add_order(symbol="BTC/USD", side="buy", order_type="market", order_qty="0.01")
        await order.filled()
        assert_type(trading.account.balance("USD"), kraken_fast.AccountBalance)


def against_a_recording() -> Decimal:
    async def strategy(trading: kraken_fast.PaperTrading) -> None:
        await trading.orders.add_order(symbol="BTC/USD", side="buy", order_type="market", order_qty="0.01")

    result = kraken_fast.backtest(["monday.kfcap"], strategy, symbols=["BTC/USD"], balances={"USD": 10_000})
    assert_type(result, kraken_fast.BacktestResult)
    return result.gain()
