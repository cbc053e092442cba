"""A recorded market, traded on paper in virtual time: the same fills in each run, and only what the record allows."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.core.capture import CaptureWriter
from kraken_fast.errors import CaptureError, ConfigError, StaleDataError
from kraken_fast.orders.records import NewOrder
from kraken_fast.paper.backtest import BacktestResult, backtest
from kraken_fast.paper.face import PaperTrading

from .live import BTC, LiveMarket

FUNDS = {"USD": 100_000, "BTC": 2}
SECONDS = 20


class RecordedMarket(LiveMarket):
    """A live market that writes what a feed would."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.writer: CaptureWriter | None = None
        self.path = path
        super().__init__(**settings)

    def tell(self, text: str) -> None:
        """Give a message to the decoder and to the record."""
        if self.writer is None:
            self.writer = CaptureWriter(self.path, self.clock)
            self.writer.note("opened", self.clock.monotonic_ns, epoch=1)
            self.tell(
                '{"method":"subscribe","req_id":1,"result":{"channel":"book","depth":10,"snapshot":true,'
                f'"symbol":"{BTC}"}},"success":true}}'
            )
        self.writer.append(text.encode(), self.clock.monotonic_ns)
        super().tell(text)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "btc.kfcap"
    live = RecordedMarket(path, levels=15)
    live.step(SECONDS * 20, pause_ns=50_000_000)
    assert live.writer is not None
    live.writer.close()
    return path


async def quoting(trading: PaperTrading) -> None:
    """Stand at both sides, and renew twice a second."""
    while True:
        quote = trading.quote(BTC)
        assert quote is not None
        for side, price in (("buy", quote.bid), ("sell", quote.ask)):
            order = NewOrder(symbol=BTC, side=side, order_type="limit", order_qty="0.002", limit_price=price)
            await trading.orders.submit(order)
        await asyncio.sleep(0.5)
        await trading.orders.cancel_all()


def run(recording: Path, seed: int = 1, strategy: Any = quoting, **options: Any) -> BacktestResult:
    return backtest([recording], strategy, symbols=[BTC], balances=FUNDS, seed=seed, **options)


def test_each_run_gives_the_same_fills(recording: Path) -> None:
    first, second = run(recording), run(recording)
    assert first == second
    assert len(first.fills) > 10
    assert {fill.maker for fill in first.fills} == {True}
    assert not first.is_finished
    assert SECONDS - 1 < first.ran_s <= SECONDS


def test_what_happens_by_chance_changes_names_and_not_fills(recording: Path) -> None:
    def facts(result: BacktestResult) -> list[Any]:
        return [(fill.time_ns, fill.side, fill.price, fill.qty, fill.fee) for fill in result.fills]

    one, other = run(recording, 1), run(recording, 2)
    assert facts(one) == facts(other)
    assert one.fills != other.fills  # their ids


def test_the_books_of_the_result_add_up(recording: Path) -> None:
    result = run(recording)
    cost = sum((fill.cost if fill.side == "buy" else -fill.cost for fill in result.fills), Decimal(0))
    assert result.balances["USD"] == result.deposits["USD"] - cost - result.fees["USD"]
    bought = sum((fill.qty if fill.side == "buy" else -fill.qty for fill in result.fills), Decimal(0))
    assert result.balances["BTC"] == result.deposits["BTC"] + bought
    assert result.gain() == bought * result.prices[BTC] - cost - result.fees["USD"]
    with pytest.raises(ConfigError):
        result.gain("EUR")
    assert f"{len(result.fills)} fills" in str(result) and f"{result.balances['USD']:f} USD" in str(result)


def test_latency_makes_a_difference(recording: Path) -> None:
    assert run(recording, latency_ms=400.0).fills != run(recording).fills


def test_a_strategy_may_end_by_itself_and_hear_the_market(recording: Path) -> None:
    prices: list[Decimal] = []

    async def strategy(trading: PaperTrading) -> None:
        trading.feed.on_trade = lambda trade: prices.append(trade.price)
        async for _ in trading.feed:
            if len(prices) > 3:
                break
        order = await trading.orders.add_order(symbol=BTC, side="buy", order_type="market", order_qty="0.001")
        await order.filled()

    result = run(recording, strategy=strategy)
    assert result.is_finished
    assert result.ran_s < SECONDS
    assert {fill.maker for fill in result.fills} == {False}
    assert sum(fill.qty for fill in result.fills) == Decimal("0.001")


def test_a_fill_is_told_at_once(recording: Path) -> None:
    delays: list[int] = []

    async def strategy(trading: PaperTrading) -> None:
        while len(delays) < 3:
            quote = trading.quote(BTC)
            assert quote is not None
            order = NewOrder(symbol=BTC, side="buy", order_type="limit", order_qty="0.002", limit_price=quote.bid)
            placed = await trading.orders.submit(order)
            await placed.filled()
            delays.append(trading.exchange.clock.now_ns() - (placed.fills[-1].exch_ns or 0))

    run(recording, strategy=strategy)
    assert max(delays) <= 2_000_000


def test_what_a_strategy_raises_comes_out(recording: Path) -> None:
    async def strategy(_trading: PaperTrading) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(recording, strategy=strategy)


def test_what_a_strategy_raises_when_the_recording_ends_comes_out_too(recording: Path) -> None:
    async def strategy(_trading: PaperTrading) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError("at the end")

    with pytest.raises(ZeroDivisionError, match="at the end"):
        run(recording, strategy=strategy)


def test_a_recording_without_the_books_is_refused(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ETH/USD"):
        backtest([recording], quoting, symbols=["ETH/USD"], balances=FUNDS)
    cut = tmp_path / "cut.kfcap"
    cut.write_bytes(recording.read_bytes()[:-7])
    with pytest.raises(CaptureError):
        run(cut)


def test_a_recording_whose_book_is_never_live_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.kfcap"
    live = RecordedMarket(path)
    assert live.writer is not None
    live.writer.close()
    data = path.read_bytes()
    at = data.index(b'"channel":"book","type":"snapshot"')
    with pytest.raises((StaleDataError, CaptureError)):
        path.write_bytes(data[: at - 26])
        run(path)
