"""What fills what on paper: each rule by hand-made books and trades, then all of them against random markets."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kraken_fast.paper import market as paper_market
from kraken_fast.sim.refusals import RestError

from .paper_box import PaperBox

BIDS = [("99", "2"), ("98", "3"), ("97", "5")]
ASKS = [("101", "2"), ("102", "3"), ("103", "5")]


@pytest.fixture
def box() -> PaperBox:
    box = PaperBox()
    box.book(BIDS, ASKS)
    return box


# Taking ------------------------------------------------------------------------------------------------------


def test_a_market_order_takes_live_levels_price_by_price_as_taker(box: PaperBox) -> None:
    order = box.order("buy", "4", kind="market")
    assert box.fills(order) == [("101", "2", "taker"), ("102", "2", "taker")]
    state = box.state(order)
    assert (state.status, state.cost) == ("closed", Decimal(406))
    assert state.fee == Decimal("1.624")  # 0.40 % of 406
    assert box.account.balances["USD"] == Decimal(1_000_000) - 406 - Decimal("1.624")


def test_a_sell_takes_bids(box: PaperBox) -> None:
    assert box.fills(box.order("sell", "3", "98")) == [("99", "2", "taker"), ("98", "1", "taker")]


def test_what_is_left_of_a_limit_rests_and_of_ioc_goes(box: PaperBox) -> None:
    resting = box.order("buy", "3", "101")
    assert box.fills(resting) == [("101", "2", "taker")]
    assert box.state(resting).status == "open"
    gone = box.order("sell", "9", "99", timeinforce="IOC", stptype="cancel-oldest")
    assert box.state(gone).status == "canceled"
    assert box.state(resting).status == "canceled"  # one's own order in the way, as the box does it
    assert box.fills(gone) == [("99", "2", "taker")]


def test_fill_or_kill_looks_at_live_liquidity(box: PaperBox) -> None:
    assert box.state(box.order("buy", "6", "102", timeinforce="FOK")).status == "canceled"
    assert box.state(box.order("buy", "5", "102", timeinforce="FOK")).status == "closed"


def test_deeper_than_the_live_book_there_is_nothing(box: PaperBox) -> None:
    order = box.order("buy", "50", kind="market")
    assert box.state(order).status == "canceled"
    assert sum(Decimal(qty) for _, qty, _ in box.fills(order)) == 10


def test_the_same_liquidity_is_taken_once(box: PaperBox) -> None:
    box.order("buy", "2", "101")
    second = box.order("buy", "2", "101")
    assert box.fills(second) == []
    box.cancel(second)
    box.book(BIDS, ASKS)  # the live level did not change
    assert box.fills(box.order("buy", "2", "101", timeinforce="IOC")) == []
    box.book(BIDS, [("101", "2.5"), *ASKS[1:]])  # it gained half a coin
    assert box.fills(box.order("buy", "2", "101", timeinforce="IOC")) == [("101", "0.5", "taker")]


def test_a_level_that_went_and_came_again_is_new(box: PaperBox) -> None:
    box.order("buy", "2", "101")
    box.book(BIDS, ASKS[1:])
    box.book(BIDS, ASKS)
    assert box.fills(box.order("buy", "2", "101")) == [("101", "2", "taker")]


def test_a_level_that_shrank_below_what_was_taken_gives_only_what_it_gains(box: PaperBox) -> None:
    box.order("buy", "2", "101")
    box.book(BIDS, [("101", "0.5"), *ASKS[1:]])
    box.book(BIDS, [("101", "2"), *ASKS[1:]])
    assert box.fills(box.order("buy", "2", "101", timeinforce="IOC")) == [("101", "1.5", "taker")]


def test_what_was_taken_out_of_sight_is_remembered() -> None:
    box = PaperBox(depth=2)
    box.book(BIDS[:2], ASKS[:2])
    box.order("buy", "5", "102")
    box.book(BIDS[:2], [("100", "1"), ("100.5", "1")])  # 101 and 102 are beyond the depth now
    box.book(BIDS[:2], ASKS[:2])
    assert box.fills(box.order("buy", "5", "102", timeinforce="IOC")) == []
    box.book(BIDS[:2], [("100", "1"), ("101.5", "1")])  # 101 is in sight, and empty; 102 is not
    box.book(BIDS[:2], ASKS[:2])
    assert box.fills(box.order("buy", "5", "102", timeinforce="IOC")) == [("101", "2", "taker")]


def test_a_level_taken_in_part_may_leave_the_sight() -> None:
    box = PaperBox(depth=2)
    box.book(BIDS[:2], ASKS[:2])
    box.order("buy", "3", "102")
    box.book(BIDS[:2], [("100", "1"), ("100.5", "1")])
    box.book(BIDS[:2], ASKS[:2])
    assert box.fills(box.order("buy", "5", "102", timeinforce="IOC")) == [("102", "2", "taker")]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_market, "TAKEN_MAX", 3)
    box = PaperBox(depth=1)
    for price in range(120, 100, -1):
        box.book([("50", "1")], [(str(price), "1")])
        box.order("buy", "1", str(price))
        box.book([("50", "1")], [("60", "1")])
    outside = box.market._outside["sell"]  # noqa: SLF001 - the bound is what is tested
    assert sorted(outside.taken) == [101, 102, 103, 104]


# Resting -----------------------------------------------------------------------------------------------------


def test_a_resting_order_waits_until_those_ahead_have_traded(box: PaperBox) -> None:
    order = box.order("buy", "1", "99")  # behind 2
    box.trade("sell", "99", "1.5")
    assert box.fills(order) == []
    box.trade("sell", "99", "0.5")
    assert box.fills(order) == []
    box.trade("sell", "99", "0.4")
    assert box.fills(order) == [("99", "0.4", "maker")]
    box.trade("sell", "99", "5")
    assert box.fills(order) == [("99", "0.4", "maker"), ("99", "0.6", "maker")]
    assert box.state(order).fee == Decimal("0.2475")  # 0.25 % of 99


def test_a_trade_larger_than_the_queue_fills_with_its_rest(box: PaperBox) -> None:
    order = box.order("buy", "5", "99")
    box.trade("sell", "99", "3")
    assert box.fills(order) == [("99", "1", "maker")]


def test_cancellations_of_others_move_nobody_forward(box: PaperBox) -> None:
    order = box.order("buy", "1", "99")
    box.book([("99", "0.1"), *BIDS[1:]], ASKS)
    box.trade("sell", "99", "1")
    assert box.fills(order) == []


def test_a_trade_through_the_price_fills_at_the_orders_price(box: PaperBox) -> None:
    order = box.order("buy", "3", "99")
    box.trade("sell", "98", "2")
    assert box.fills(order) == [("99", "2", "maker")]


def test_trades_of_the_other_side_and_worse_prices_do_not_fill(box: PaperBox) -> None:
    bid, ask = box.order("buy", "1", "99"), box.order("sell", "1", "101")
    box.trade("buy", "99", "9")
    box.trade("sell", "99.5", "9")
    box.trade("buy", "100.5", "9")
    assert box.fills(bid) == box.fills(ask) == []
    box.trade("buy", "101.1", "9")
    assert box.fills(ask) == [("101", "1", "maker")]


def test_one_trade_fills_several_orders_no_more_than_it_was(box: PaperBox) -> None:
    best = box.order("buy", "1", "100")
    first, second = box.order("buy", "1", "99"), box.order("buy", "9", "99")
    box.trade("sell", "99", "5")
    assert box.fills(best) == [("100", "1", "maker")]
    assert box.fills(first) == [("99", "1", "maker")]  # 5 less 1 less the 2 ahead
    assert box.fills(second) == [("99", "1", "maker")]


def test_a_live_level_that_reaches_a_resting_order_fills_it_as_maker(box: PaperBox) -> None:
    order = box.order("buy", "3", "100")
    box.book(BIDS, [("99.5", "1"), *ASKS])
    assert box.fills(order) == [("100", "1", "maker")]
    box.book(BIDS, [("99.5", "1"), *ASKS])
    assert box.fills(order) == [("100", "1", "maker")]
    box.book(BIDS, [("99.5", "1"), ("100", "0.5"), *ASKS])
    assert box.fills(order) == [("100", "1", "maker"), ("100", "0.5", "maker")]


def test_a_trade_from_before_the_order_does_not_fill_it(box: PaperBox) -> None:
    seen_ns = box.now_ns
    order = box.order("buy", "1", "100")
    box.trade("sell", "98", "9", exch_ns=seen_ns)
    assert box.fills(order) == []
    box.trade("sell", "98", "9", exch_ns=seen_ns + 1)
    assert box.fills(order) == [("100", "1", "maker")]


def test_an_order_beyond_the_known_depth_is_queued_when_its_level_comes_into_sight() -> None:
    box = PaperBox(depth=2)
    box.book(BIDS[:2], ASKS[:2])
    order = box.order("buy", "1", "97")
    box.trade("sell", "97", "9")  # nobody knows what stood ahead
    assert box.fills(order) == []
    box.book(BIDS[1:], ASKS[:2])
    box.trade("sell", "97", "5")
    assert box.fills(order) == []
    box.trade("sell", "97", "0.3")
    assert box.fills(order) == [("97", "0.3", "maker")]


def test_less_keeps_the_place_and_more_loses_it(box: PaperBox) -> None:
    order = box.order("buy", "2", "99")
    box.trade("sell", "99", "2")
    for qty, filled in (("1.5", "0.5"), ("3", "")):
        state = box.state(order)
        box.now_ns += 1_000_000
        box.core.desk.amend(box.account, state, replace(state, qty=Decimal(qty)), box.now_ns)
        box.trade("sell", "99", "0.5")
        assert [qty for _, qty, _ in box.fills(order)][-1:] == ([filled] if filled else ["0.5"])
    assert box.state(order).filled == Decimal("0.5")


def test_an_iceberg_shows_its_next_part_at_the_end_of_the_queue(box: PaperBox) -> None:
    order = box.order("buy", "3", "99", kind="iceberg", displayvol="1")
    box.trade("sell", "99", "2")
    box.trade("sell", "99", "9")
    assert box.fills(order) == [("99", "1", "maker")]
    box.trade("sell", "99", "2.5")  # 2 stand before the second part
    assert box.fills(order)[1:] == [("99", "0.5", "maker")]
    box.trade("sell", "98.5", "9")  # through: all of it
    assert box.state(order).status == "closed"


def test_post_only_is_refused_when_it_would_take(box: PaperBox) -> None:
    with pytest.raises(RestError, match="Post only"):
        box.order("buy", "1", "101", oflags="post")
    assert box.state(box.order("buy", "1", "100", oflags="post")).status == "open"


# Triggers ----------------------------------------------------------------------------------------------------


def test_triggers_look_at_live_trades_and_not_at_fills_on_paper(box: PaperBox) -> None:
    stop = box.order("buy", "1", "101", kind="stop-loss")
    box.order("buy", "1", "101")  # a fill on paper at the trigger's price
    assert box.state(stop).status == "open"
    box.trade("buy", "101", "0.1")
    assert box.fills(stop) == [("101", "1", "taker")]


def test_a_trigger_is_not_pulled_while_nothing_is_to_be_seen(box: PaperBox) -> None:
    stop = box.order("sell", "1", "98", kind="stop-loss")
    box.blind()
    box.trade("sell", "97", "1")
    assert box.state(stop).status == "open"
    box.book(BIDS, ASKS)
    assert box.fills(stop) == [("99", "1", "taker")]


# Not live ----------------------------------------------------------------------------------------------------


def test_nothing_is_filled_while_the_live_book_is_not_live(box: PaperBox) -> None:
    order = box.order("buy", "1", "100")
    box.blind()
    box.trade("sell", "90", "9")
    assert box.fills(order) == []
    assert box.fills(box.order("buy", "1", "200", timeinforce="IOC")) == []
    box.book(BIDS, ASKS)
    assert box.fills(order) == []
    box.trade("sell", "90", "9")
    assert box.fills(order) == [("100", "1", "maker")]


def test_trades_from_before_the_book_was_back_do_not_fill(box: PaperBox) -> None:
    order = box.order("buy", "1", "100")
    box.blind()
    box.book(BIDS, ASKS)
    back_ns = box.now_ns
    box.trade("sell", "90", "9", exch_ns=back_ns - 10)
    assert box.fills(order) == []


def test_an_order_that_came_meanwhile_takes_live_prices_when_they_are_back(box: PaperBox) -> None:
    box.blind()
    order = box.order("buy", "3", "102")
    box.book(BIDS, ASKS)
    assert box.fills(order) == [("101", "2", "taker"), ("102", "1", "taker")]
    assert box.fills(box.order("buy", "3", "102", timeinforce="IOC")) == [("102", "2", "taker")]


def test_what_was_taken_is_remembered_over_a_blind_time(box: PaperBox) -> None:
    box.order("buy", "2", "101")
    box.blind()
    box.book(BIDS, ASKS)
    assert box.fills(box.order("buy", "2", "101", timeinforce="IOC")) == []


def test_new_precisions_begin_anew(box: PaperBox) -> None:
    order = box.order("buy", "1", "100")
    box.core.set_pair("BTC/USD", price_precision=2)
    assert box.state(order).status == "canceled"
    assert box.market.is_blind
    box.book([("99.25", "1")], [("99.75", "1")])
    assert box.fills(box.order("buy", "1", "99.75")) == [("99.75", "1", "taker")]


# All of them -------------------------------------------------------------------------------------------------


class Shown:
    """What the live market showed: at each price what stood there at first, and all that came."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], Decimal] = {}
        self.total: dict[tuple[str, str], Decimal] = {}

    def book(self, side: str, rows: list[tuple[str, str]]) -> None:
        told = {(side, price): Decimal(qty) for price, qty in rows}
        for key, qty in told.items():
            gained = qty - self.now.get(key, Decimal(0))
            if gained > 0:
                self.total[key] = self.total.get(key, Decimal(0)) + gained
        for key in [key for key in self.now if key[0] == side]:
            del self.now[key]
        self.now.update(told)


QTY = st.integers(1, 40).map(lambda tenths: f"{Decimal(tenths) / 10}")
TICKS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    mid = draw(st.integers(96, 104))
    sides = []
    for sign in (-1, 1):
        price, rows = mid, []
        for gap in draw(TICKS):
            price += sign * gap
            rows.append((str(price), draw(QTY)))
        sides.append(rows)
    return sides[0], sides[1]


SIDES = st.sampled_from(["buy", "sell"])
PRICES = st.integers(90, 110).map(str)
ACTS = st.one_of(
    st.tuples(st.just("book"), books()),
    st.tuples(st.just("trade"), st.tuples(SIDES, PRICES, QTY)),
    st.tuples(st.just("limit"), st.tuples(SIDES, QTY, PRICES)),
    st.tuples(st.just("iceberg"), st.tuples(SIDES, QTY, PRICES)),
    st.tuples(st.just("market"), st.tuples(SIDES, QTY)),
    st.tuples(st.just("stop"), st.tuples(SIDES, QTY, PRICES)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("blind"), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([2, 10]), st.lists(ACTS, min_size=5, max_size=40))
def test_fills_never_exceed_what_the_live_market_showed(depth: int, acts: list[tuple[str, object]]) -> None:
    """Besides, after each act `check` runs: money adds up, holds are covered, the mirror is what is left."""
    box, shown = PaperBox(depth=depth, balances={"USD": Decimal(5_000), "BTC": Decimal(20)}), Shown()
    traded: Decimal
    for kind, what in acts:
        before = set(box.account.executions)
        was_blind = box.market.is_blind
        traded = Decimal(0)
        try:
            traded = act(box, shown, kind, what, depth)
        except RestError:
            continue
        new = [fill for key, fill in box.account.executions.items() if key not in before]
        if kind == "blind" or (was_blind and kind != "book"):
            assert not new
        if kind == "trade":
            # A trade may set off stops, which then take from the book.
            assert sum((fill.qty for fill in new if fill.maker), Decimal(0)) <= traded
        for fill in new:
            order = box.account.orders[fill.order_id]
            if order.limit_price is not None:
                assert fill.price <= order.limit_price if fill.side == "buy" else fill.price >= order.limit_price
            if fill.maker:
                assert fill.price == order.limit_price
    taken: dict[tuple[str, str], Decimal] = {}
    for fill in box.account.executions.values():
        if not fill.maker:
            key = ("sell" if fill.side == "buy" else "buy", f"{fill.price.normalize():f}")
            taken[key] = taken.get(key, Decimal(0)) + fill.qty
    for key, qty in taken.items():
        assert qty <= shown.total[key], key


def act(box: PaperBox, shown: Shown, kind: str, what: object, depth: int) -> Decimal:
    if kind == "book":
        bids, asks = (rows[:depth] for rows in what)  # type: ignore[attr-defined]
        shown.book("buy", bids)
        shown.book("sell", asks)
        box.book(bids, asks)
    elif kind == "trade":
        side, price, qty = what  # type: ignore[misc]
        box.trade(side, price, qty)
        return Decimal(qty)
    elif kind == "limit":
        box.order(*what)  # type: ignore[misc]
    elif kind == "iceberg":
        side, qty, price = what  # type: ignore[misc]
        box.order(side, qty, price, kind="iceberg", displayvol=f"{(Decimal(qty) / 3).quantize(Decimal('0.01'))}")
    elif kind == "market":
        box.order(*what, kind="market")  # type: ignore[misc]
    elif kind == "stop":
        box.order(*what, kind="stop-loss")  # type: ignore[misc]
    elif kind == "cancel":
        live = box.account.live_orders()
        if live:
            box.cancel(live[int(what) % len(live)].order_id)  # type: ignore[call-overload]
    else:
        box.blind()
    return Decimal(0)
