"""The exchange on paper over a live decoder: whose rules, states and times it has, and when its orders wait."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from kraken_fast.core.handler import Callbacks
from kraken_fast.errors import ConfigError, StaleDataError, UnknownSymbolError
from kraken_fast.events import SourceChange
from kraken_fast.paper.exchange import MarketClock, PaperExchange
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.drafts import draft
from kraken_fast.sim.params import Params
from kraken_fast.sim.records import Order
from kraken_fast.sim.refusals import RestError

from .live import BTC, HEARTBEAT, SUSPECT_NS, LiveMarket

USD = {"USD": Decimal(1_000_000), "BTC": Decimal(10)}


class Paper:
    """An exchange on paper, and the live one that it mirrors."""

    def __init__(self, **options: Any) -> None:
        self.live = LiveMarket(**{key: options.pop(key) for key in ("seed", "depth", "levels") if key in options})
        self.notices: list[SourceChange] = []
        self.system: str | None = None
        self.exchange = PaperExchange(
            self.live.decoder,
            [BTC],
            clock=self.live.clock,
            system=lambda: self.system,
            notice=self.notices.append,
            **{"balances": USD, **options},
        )
        ears = self.exchange.ears()
        assert isinstance(ears, Callbacks)
        self.live.callbacks.forward = ears

    def order(self, side: str, qty: str, price: str = "", kind: str = "limit", **fields: Any) -> Order:
        """Place an order; gives it as it then is."""
        exchange, market = self.exchange, self.exchange.market(BTC)
        exchange.refresh()
        given = {"type": side, "ordertype": kind, "volume": qty, "price": price, **fields}
        params = Params({name: value for name, value in given.items() if value})
        now_ns = exchange.clock.now_ns()
        asked = draft(params, market.pair, market.trades[-1].price, now_ns)
        exchange.core.desk.charge(exchange.account, BTC, 1, now_ns)
        exchange.core.desk.admit(asked.order, now_ns)
        return exchange.core.desk.place(exchange.account, asked, now_ns)

    def check(self) -> None:
        """Assert that everything adds up, and that the mirror is the live book."""
        market = self.exchange.market(BTC)
        market._check()  # noqa: SLF001 - what every structure offers its tests
        self.exchange.core.desk._check()  # noqa: SLF001
        check_money(self.exchange.core, USD)


def best(paper: Paper, side: str) -> Decimal:
    bids, asks = paper.live.core.book(BTC).top(1)
    return (bids if side == "buy" else asks)[0][0]


def test_a_market_order_takes_what_stands_in_the_live_book() -> None:
    paper = Paper()
    ask, qty = paper.live.core.book(BTC).asks[0]
    order = paper.order("buy", f"{qty}", kind="market")
    assert (order.status, order.cost) == ("closed", (ask * qty).quantize(Decimal("0.00001"), "ROUND_DOWN"))
    assert paper.live.core.book(BTC).asks[0] == (ask, qty), "the live market knows nothing of it"


def test_fees_go_by_the_volume_that_is_said() -> None:
    rates = []
    for volume in (0, 60_000):
        order = Paper(volume_usd=Decimal(volume)).order("buy", "0.001", kind="market")
        rates.append(round(order.fee / order.cost * 100, 2))
    assert rates == [Decimal("0.40"), Decimal("0.24")]


def test_a_resting_order_is_filled_by_live_trades() -> None:
    paper = Paper()
    market = paper.live.market
    (price, ahead), (_, next_qty) = paper.live.core.book(BTC).bids[:2]
    order = paper.order("buy", "0.5", f"{price}")
    paper.live.clock.advance(1_000_000)
    market.submit("sell", ahead, None, paper.live.clock.epoch_ns)
    assert paper.exchange.account.orders[order.order_id].filled == 0  # just those who stood before
    market.submit("sell", next_qty, None, paper.live.clock.epoch_ns)
    assert paper.exchange.account.orders[order.order_id].filled == min(next_qty, Decimal("0.5"))
    assert all(fill.maker and fill.price == price for fill in paper.exchange.account.executions.values())
    paper.check()


def test_pairs_states_are_the_live_ones() -> None:
    paper = Paper()
    paper.live.core.set_pair(BTC, status="cancel_only")
    with pytest.raises(RestError, match="cancel_only"):
        paper.order("buy", "0.01", "60000")
    paper.live.core.set_pair(BTC, status="post_only")
    with pytest.raises(RestError, match="post_only"):
        paper.order("buy", "0.01", "60000")
    assert paper.order("buy", "0.01", "60000", oflags="post").status == "open"


def test_the_engines_state_is_the_live_one() -> None:
    paper = Paper()
    paper.system = "maintenance"
    with pytest.raises(RestError, match="Unavailable"):
        paper.order("buy", "0.01", "60000")
    paper.system = "something new"  # what is not understood changes nothing
    with pytest.raises(RestError, match="Unavailable"):
        paper.order("buy", "0.01", "60000")
    paper.system = "online"
    assert paper.order("buy", "0.01", "60000").status == "open"


def test_new_precisions_cancel_and_begin_anew() -> None:
    paper = Paper()
    order = paper.order("buy", "0.01", "60000")
    paper.live.core.set_pair(BTC, price_precision=2)
    paper.exchange.refresh()
    assert paper.exchange.account.orders[order.order_id].status == "canceled"
    assert BTC in paper.exchange.fills_wait  # the live book has the old decimals still
    paper.live.decoder.new_epoch()
    paper.live.snapshot("book")
    paper.exchange.refresh()
    assert paper.exchange.fills_wait == {}
    assert paper.order("buy", "0.001", kind="market").status == "closed"


@pytest.mark.fault("N03", kind="U")
def test_orders_wait_while_the_line_is_silent_and_the_user_is_told() -> None:
    paper = Paper()
    resting = paper.order("buy", "0.01", f"{best(paper, 'buy')}")
    paper.live.silence(SUSPECT_NS + 1)
    paper.exchange.refresh()
    assert paper.exchange.fills_wait == {BTC: "the live book is stale"}
    assert [(event.symbol, event.new) for event in paper.notices] == [(BTC, "none")]
    assert paper.order("buy", "0.01", kind="market").status == "canceled"
    waiting = paper.order("buy", "0.001", "100000")
    assert (waiting.status, waiting.filled) == ("open", 0)
    paper.live.tell(HEARTBEAT.decode())
    paper.exchange.refresh()
    assert paper.exchange.account.orders[waiting.order_id].status == "closed"
    assert not next(iter(paper.exchange.account.executions.values())).maker
    assert paper.exchange.account.orders[resting.order_id].status == "open"
    assert [event.new for event in paper.notices] == ["none", "websocket"]
    paper.check()


@pytest.mark.fault("D01", kind="U")
def test_orders_wait_while_the_live_book_is_not_verified() -> None:
    paper = Paper()
    resting = paper.order("sell", "0.01", f"{best(paper, 'sell')}")
    paper.live.clock.advance(1_000_000)
    bid = best(paper, "buy") - 5
    paper.live.tell(
        f'{{"channel":"book","type":"update","data":[{{"symbol":"{BTC}","bids":[{{"price":{bid},"qty":1.00000000}}],'
        '"asks":[],"checksum":1,"timestamp":"2026-09-21T13:33:20.500000Z"}]}'
    )
    assert paper.live.decoder.book(BTC).quality != "live"  # type: ignore[union-attr]
    paper.live.market.submit("buy", Decimal(1), None, paper.live.clock.epoch_ns)
    paper.exchange.refresh()
    assert not paper.exchange.account.executions
    assert BTC in paper.exchange.fills_wait
    paper.live.snapshot("book")
    paper.exchange.refresh()
    assert paper.exchange.fills_wait == {}
    assert paper.exchange.account.orders[resting.order_id].live


def test_a_post_only_order_from_a_blind_time_is_cancelled_if_it_would_take() -> None:
    paper = Paper()
    paper.live.silence(SUSPECT_NS + 1)
    would = paper.order("buy", "0.01", "100000", oflags="post")
    rests = paper.order("buy", "0.01", "60000", oflags="post")
    paper.live.tell(HEARTBEAT.decode())
    paper.exchange.refresh()
    orders = paper.exchange.account.orders
    assert (orders[would.order_id].status, orders[would.order_id].reason) == ("canceled", "Post only order")
    assert orders[rests.order_id].status == "open"


@pytest.mark.parametrize("seed", range(4))
def test_on_a_living_market_fills_stay_within_what_was_told(seed: int) -> None:
    paper = Paper(seed=seed, depth=10, levels=15)
    paper.exchange.core.desk.limit_orders = False
    rng = Random(seed)
    exchange, live = paper.exchange, paper.live
    kinds: Counter[str] = Counter()
    for _ in range(400):
        live.step(rng.randrange(1, 6))
        volume_before, fills_before = _traded(paper), len(exchange.account.executions)
        live.step()
        new = list(exchange.account.executions.values())[fills_before:]
        told = _traded(paper) - volume_before
        through_levels = sum(fill.qty for fill in new if fill.maker)
        # Fills by live levels that reach a resting order are no trades; they are bounded by what these levels show.
        assert through_levels <= told + _shown(paper)
        kinds.update("maker" if fill.maker else "taker" for fill in new)
        _act(paper, rng, kinds)
        paper.check()
    assert kinds["maker"] > 3
    assert kinds["taker"] > 3


def _act(paper: Paper, rng: Random, kinds: Counter[str]) -> None:
    side = rng.choice(("buy", "sell"))
    away = Decimal(rng.randrange(-30, 30)) / 10
    price = best(paper, side) - away if side == "buy" else best(paper, side) + away
    before = len(paper.exchange.account.executions)
    if rng.random() < 0.1:
        paper.order(side, "0.002", kind="market")
    else:
        paper.order(side, "0.002", f"{price}")
    orders = paper.exchange.account.live_orders()
    if len(orders) > 20:
        paper.exchange.core.desk.cancel(paper.exchange.account, orders[0], paper.exchange.clock.now_ns(), "test")
    kinds["taker"] += len(paper.exchange.account.executions) - before


def _traded(paper: Paper) -> Decimal:
    return sum((trade.qty for trade in paper.live.market.trades), Decimal(0))


def _shown(paper: Paper) -> Decimal:
    bids, asks = paper.live.core.book(BTC).top(10)
    return sum((qty for _, qty in (*bids, *asks)), Decimal(0))


def test_time_is_never_behind_the_live_market_and_never_goes_back() -> None:
    live = LiveMarket()
    clock = MarketClock(live.clock)
    began = clock.now_ns()
    clock.saw(began - 5)
    assert clock.now_ns() == began
    clock.saw(began + 7)
    assert clock.now_ns() == began + 7
    live.clock.step_wall(-10_000_000_000)
    assert clock.now_ns() == began + 7
    live.clock.advance(3)
    assert clock.now_ns() == began + 10


@pytest.mark.parametrize(
    ("balances", "words"),
    [({"USD": 1.5}, "float"), ({"NOPE": 1}, "listed"), ({"USD": "0.00001"}, "decimals"), ({"USD": -1}, "negative")],
)
def test_balances_are_exact_and_of_known_assets(balances: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Paper(balances=balances)


def test_assets_are_the_live_ones() -> None:
    paper = Paper(balances={"USD": "1.2345", "BTC": "0.0000000001"})
    assert paper.exchange.account.balances["BTC"] == Decimal("0.0000000001")


def test_what_the_live_exchange_does_not_list_cannot_be_traded() -> None:
    live = LiveMarket()
    with pytest.raises(UnknownSymbolError):
        PaperExchange(live.decoder, ["BTC/USDX"], clock=live.clock, balances={})


def test_without_a_live_price_there_is_no_market() -> None:
    live = LiveMarket()
    live.decoder.want_trades("ETH/USD")
    live.decoder.instruments["ETH/USD"] = live.decoder.instruments[BTC]
    with pytest.raises(ConfigError, match="book and trade"):
        PaperExchange(live.decoder, ["ETH/USD"], clock=live.clock, balances={})
    live.decoder.want_book("ETH/USD", 10)
    with pytest.raises(StaleDataError):
        PaperExchange(live.decoder, ["ETH/USD"], clock=live.clock, balances={})


def test_what_is_remembered_is_bounded_and_balances_stay() -> None:
    paper = Paper(history_max=5)
    paper.exchange.core.desk.limit_orders = False
    kept = paper.order("buy", "0.001", "50000")
    for _ in range(30):
        paper.live.step()
        paper.order("buy", "0.0001", kind="market")
        paper.check()
        account = paper.exchange.account
        assert len(account.orders) <= 11
        assert len(account.ledger) <= 2 + 11 * 2 * 3
        assert len(account.events) <= 11 * 8
    assert account.orders[kept.order_id].live
    assert account.balances["BTC"] == USD["BTC"] + Decimal("0.0030")
