"""The order book: its life, its trust, its scales, its copies. That its levels are right is in tests/property."""

from __future__ import annotations

import zlib
from decimal import Decimal, localcontext

import pytest
from bookwire import Twins, book_message

from kraken_fast.core.book import Book, BookSnapshot, OrderBook
from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.line import Line
from kraken_fast.types import Level

BIDS, ASKS = [(100, 5), (99, 6)], [(101, 7), (103, 8)]


@pytest.fixture
def twins() -> Twins:
    twins = Twins(10, (1, 3))
    twins.send("snapshot", BIDS, ASKS)
    return twins


def wrong(twins: Twins, kind: str = "update") -> None:
    """Feed a message whose checksum cannot be right."""
    assert twins.decoder.feed(book_message(kind, [(98, 1)], [(104, 1)], twins.scales, 1))


def test_reading() -> None:
    book = OrderBook("A/B", 10, price_scale=1, qty_scale=3)
    assert (book.state, book.quality, book.age_ms, book.updated_ns, book.exch_ns) == (
        "empty",
        "none",
        None,
        None,
        None,
    )
    assert book.apply_snapshot(BIDS, ASKS, checksum=zlib.crc32(b"10171038" + b"1005996"), recv_ns=7)
    assert book.bids == (Level(Decimal("10.0"), Decimal("0.005")), Level(Decimal("9.9"), Decimal("0.006")))
    assert book.bids_raw == tuple(BIDS)
    assert book.asks_raw == tuple(ASKS)
    assert (book.best_bid_raw, book.best_ask_raw, book.best_bid_float, book.best_ask_float) == (
        100,
        101,
        10.0,
        10.1,
    )
    assert (str(book.mid), book.mid_float, str(book.spread), book.updated_ns) == ("10.05", 10.05, "0.1", 7)
    assert (book.source, book.messages, book.verified) == ("websocket", 1, 1)
    assert repr(book) == "<OrderBook A/B valid bid 10.0 ask 10.1>"


def test_middle_and_spread_are_exact_at_the_extremes() -> None:
    largest = 2**63 - 1
    for scale in (0, 18):
        book = OrderBook("A/B", 10, price_scale=scale, qty_scale=0)
        book.apply_snapshot([(largest - 2, 1)], [(largest, 1)])
        with localcontext(prec=3):
            assert book.mid == Decimal(f"{(2 * largest - 2) * 5}E-{scale + 1}")
            assert book.spread == Decimal(f"2E-{scale}")
        assert book.mid_float == pytest.approx(9.223372036854776e18 / 10**scale)
        assert not book.crossed
        book.apply_update([(largest, 1)], [(largest, 0)])
        assert book.best_ask is None
        assert book.mid is None
        assert not book.crossed, "one side alone crosses nothing"


@pytest.mark.parametrize(
    ("bids", "asks", "error"),
    [
        ([(-1, 1)], [], ValueError), ([(1, -1)], [], ValueError), ([(2**63, 1)], [], OverflowError),
        ([(1.5, 1)], [], TypeError), ([(1, 1, 1)], [], ValueError), ([], [("1", 1)], TypeError),
    ],
)  # fmt: skip
def test_wrong_rows_change_nothing(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], error: type
) -> None:
    book = OrderBook("A/B", 10, price_scale=1, qty_scale=3)
    book.apply_snapshot(BIDS, ASKS)
    with pytest.raises(error):
        book.apply_update(bids, asks)
    assert book.bids_raw == tuple(BIDS)
    assert book.is_valid
    assert book.messages == 1


@pytest.mark.parametrize("checksum", [-1, 2**32])
def test_a_checksum_has_32_bits(checksum: int) -> None:
    book = OrderBook("A/B", 10, price_scale=1, qty_scale=3)
    with pytest.raises(ValueError, match="32 bits"):
        book.apply_snapshot(BIDS, ASKS, checksum=checksum)


@pytest.mark.parametrize("depth", [0, -1, 1001])
def test_depth_is_bounded(depth: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        OrderBook("A/B", depth)


@pytest.mark.parametrize("scales", [(19, 0), (0, 19), (60, 60), (-2, 0), (0, -2)])
def test_scales_are_those_of_an_int64(scales: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="-1 to 18"):
        OrderBook("A/B", 10, price_scale=scales[0], qty_scale=scales[1])


def test_integers_need_scales() -> None:
    with pytest.raises(ValueError, match="must be known"):
        OrderBook("A/B").apply_snapshot(BIDS, ASKS)


@pytest.mark.fault("D12", kind="U")
def test_a_crossed_book_says_so(twins: Twins) -> None:
    twins.send("update", [(101, 1)], [])
    assert twins.book.crossed
    assert twins.book.is_valid, "locked"
    twins.send("update", [(102, 1)], [])
    assert twins.book.crossed
    assert twins.book.spread == Decimal("-0.1")
    assert twins.book.snapshot().crossed
    twins.send("update", [(102, 0), (101, 0)], [])
    assert not twins.book.crossed


# ------------------------------------------------------------------------------------------------ life


def test_a_mismatch_empties_the_book_and_updates_wait_for_a_snapshot(twins: Twins) -> None:
    wrong(twins)
    book = twins.book
    assert (book.state, book.bids, book.asks, book.quality, book.verified_depth) == (
        "invalid",
        (),
        (),
        "none",
        0,
    )
    assert (book.mismatched, twins.witness.lost) == (1, [("A/B", "checksum")])
    assert twins.decoder.feed(book_message("update", [(98, 1)], [], twins.scales, 1))
    assert book.dropped == 1
    book.await_snapshot()
    assert book.state == "syncing"
    assert twins.decoder.feed(book_message("update", [(98, 1)], [], twins.scales, 1))
    assert book.dropped == 2
    twins.send("snapshot", BIDS, ASKS)


def test_a_mismatching_snapshot_leaves_the_book_empty_and_invalid(twins: Twins) -> None:
    wrong(twins, "snapshot")
    assert (twins.book.state, twins.book.bids, twins.book.asks) == ("invalid", (), ())
    assert twins.witness.lost == [("A/B", "snapshot")]
    assert (twins.book.price_scale, twins.book.qty_scale) == twins.scales
    twins.send("snapshot", BIDS, ASKS)


@pytest.mark.fault("K18", kind="U")
def test_a_second_snapshot_replaces_the_book_at_once(twins: Twins) -> None:
    seen: list[tuple[object, object]] = []
    twins.witness.book = lambda book: seen.append((book.bids_raw, book.asks_raw))
    twins.send("snapshot", [(50, 1)], [(60, 2)])
    assert seen == [(((50, 1),), ((60, 2),))]
    assert twins.witness.snapshots == [("book", "A/B"), ("book", "A/B")]


@pytest.mark.fault("K17", kind="U")
def test_updates_before_the_snapshot_of_this_epoch_are_dropped() -> None:
    twins = Twins(10, (1, 3))
    update = book_message("update", [(98, 1)], [], twins.scales, 1)
    assert twins.decoder.feed(update)
    assert (twins.book.dropped, twins.book.bids) == (1, ())
    twins.send("snapshot", BIDS, ASKS)
    twins.decoder.new_epoch()
    assert (twins.book.state, twins.book.bids_raw) == ("invalid", tuple(BIDS)), "kept, as stale"
    assert twins.book.quality == "stale"
    assert twins.decoder.feed(update)
    assert twins.book.dropped == 2
    assert twins.book.bids_raw == tuple(BIDS)
    twins.send("snapshot", ASKS[:0], ASKS)


@pytest.mark.fault("K19", kind="U")
def test_what_nobody_wants_any_more_is_dropped_and_counted(twins: Twins) -> None:
    twins.decoder.unwant("book", "A/B")
    wrong(twins)
    assert (twins.decoder.unwanted, twins.book.mismatched, twins.witness.lost) == (1, 0, [])
    assert twins.decoder.book("A/B") is None


def test_unverified_goes_on_without_trust(twins: Twins) -> None:
    twins.book.give_up_verifying()
    wrong(twins)
    book = twins.book
    assert (book.state, book.quality, book.verified_depth, book.is_valid) == (
        "unverified",
        "unverified",
        0,
        False,
    )
    assert book.bids_raw == ((100, 5), (99, 6), (98, 1))
    assert book.mismatched == 1
    assert len(twins.witness.events) == 3, "and is told, as what it is"
    twins.reference.apply({"channel": "book", "type": "update", "data": [{"bids": [{"price": "9.8", "qty": "0.001"}],
                           "asks": [{"price": "10.4", "qty": "0.001"}]}]})  # fmt: skip
    right = book_message("update", [], [], twins.scales, twins.reference.checksum())
    assert twins.decoder.feed(right, strict=True)
    assert (book.state, book.verified) == ("unverified", 2), "a right update is no proof of the whole"
    twins.send("snapshot", BIDS, ASKS)


def test_unverified_from_a_mismatching_snapshot_keeps_what_the_owner_chose_to_keep() -> None:
    twins = Twins(10, (1, 3))
    twins.witness.__dict__["on_book_lost"] = lambda book, _reason: book.give_up_verifying()
    wrong(twins, "snapshot")
    assert (twins.book.state, twins.book.bids_raw) == ("unverified", ((98, 1),))
    wrong(twins)
    assert twins.book.dropped == 0


@pytest.mark.parametrize("how", ["fresh", "invalidated", "mismatched", "new epoch", "rescaled"])
def test_unverified_applies_nothing_without_a_snapshot(how: str) -> None:
    """The owner gives up after the levels were dropped or a message was lost: updates alone make no book."""
    twins = Twins(10, (1, 3))
    if how != "fresh":
        twins.send("snapshot", BIDS, ASKS)
    if how == "invalidated":
        twins.book.invalidate()
    elif how == "mismatched":
        wrong(twins)
    elif how == "new epoch":
        twins.decoder.new_epoch()
    twins.book.give_up_verifying()
    if how == "rescaled":
        twins.tell_scales((2, 3))
    before = twins.book.bids_raw
    wrong(twins)
    assert (twins.book.dropped, twins.book.bids_raw, twins.book.state) == (1, before, "unverified")
    wrong(twins, "snapshot")
    wrong(twins)
    assert (twins.book.dropped, twins.book.state, len(twins.book.bids_raw)) == (1, "unverified", 1)


def test_quality_and_age_follow_the_line() -> None:
    clock = ManualClock(monotonic_ns=10**12)
    decoder = Decoder(Line(clock))
    book = decoder.want_book("A/B", 10)
    decoder.feed(book_message("snapshot", BIDS, ASKS, (1, 3), zlib.crc32(b"101710381005996")), strict=True)
    assert (book.quality, book.age_ms) == ("live", 0.0)
    clock.advance(1_500_000_000)
    assert (book.quality, book.age_ms) == ("live", 1500.0)
    clock.advance(1)
    assert book.quality == "stale"
    decoder.feed(b'{"channel":"heartbeat"}')
    assert (book.quality, book.age_ms) == ("live", 0.0), "any message proves a book on which nothing was lost"
    book.invalidate()
    assert book.quality == "stale"
    assert (book.age_ms or 0) > 1500


# ------------------------------------------------------------------------------------------------ scales


@pytest.mark.fault("K15", kind="U")
@pytest.mark.parametrize("new", [(2, 3), (0, 3), (1, 5), (4, 8)])
@pytest.mark.parametrize("first", ["instrument", "book"])
def test_a_precision_change_costs_one_resync(twins: Twins, new: tuple[int, int], first: str) -> None:
    twins.scales = new
    if first == "instrument":
        twins.tell_scales(new)
        assert (twins.book.state, twins.book.bids) == ("invalid", ()), "integers of the old scales would lie"
        assert twins.witness.lost == [("A/B", "precision")]
        twins.send("snapshot", BIDS, ASKS)
    else:
        twins.send("snapshot", BIDS, ASKS)
        twins.tell_scales(new)
        assert twins.witness.lost == []
    twins.send("update", [(98, 1)], [(101, 0)])
    assert (twins.book.price_scale, twins.book.qty_scale) == new


def test_an_update_finer_than_the_pair_is_refused_and_resynchronised(twins: Twins) -> None:
    assert not twins.decoder.feed(book_message("update", [(9_805, 1)], [], (2, 3), 1))
    assert twins.book.state == "invalid"
    assert twins.book.bids_raw == tuple(BIDS)
    assert twins.witness.errors[0].symbol == "A/B"
    assert twins.witness.errors[0].channel == "book"
    assert twins.decoder.count_of("book") == 1


@pytest.mark.fault("D11", kind="U")
@pytest.mark.parametrize("row", [(10**11, 1), (1, 10**11), (92_233_720_369, 1), (2**63 - 1, 1)])
@pytest.mark.parametrize("kind", ["update", "snapshot"])
def test_a_number_too_wide_at_the_scale_of_its_pair_is_refused(kind: str, row: tuple[int, int]) -> None:
    twins = Twins(10, (8, 8))
    twins.send("snapshot", BIDS, ASKS)
    raw = book_message(kind, [row, (1, 1)], [], (0, 0), 1).replace(b'"price":1,', b'"price":1.00000001,')
    assert not twins.decoder.feed(raw.replace(b'"qty":1}', b'"qty":1.00000001}'))
    assert twins.witness.errors[0].reason == "a number does not fit the pair's precision"
    assert twins.book.bids_raw == tuple(BIDS)
    assert twins.book.state == "invalid"


def test_text_without_its_zeros_is_padded_to_the_pair(twins: Twins) -> None:
    raw = book_message("snapshot", BIDS, ASKS, (1, 3), zlib.crc32(b"101710381005996"))
    assert twins.decoder.feed(
        raw.replace(b"10.0", b"10").replace(b"0.005", b"5e-3").replace(b"9.9", b"9.900"), strict=True
    )
    twins.compare()


def test_scales_come_from_the_text_where_nobody_tells_them() -> None:
    twins = Twins(10, (3, 7), told=False)
    assert (twins.book.price_scale, twins.book.qty_scale) == (-1, -1)
    twins.send("snapshot")
    assert (twins.book.price_scale, twins.book.qty_scale) == (-1, -1), "an empty snapshot has none"
    twins.send("update", [], ASKS)
    assert (twins.book.price_scale, twins.book.qty_scale) == (3, 7)


# ------------------------------------------------------------------------------------------------ copies


def test_a_copy_never_changes(twins: Twins) -> None:
    copy = twins.book.snapshot()
    facts = (
        copy.bids,
        copy.asks,
        copy.state,
        copy.checksum,
        copy.quality,
        copy.age_ms,
        copy.exch_ns,
        copy.mid,
    )
    twins.send("update", [(100, 0), (95, 4)], [(100, 1)])
    twins.send("snapshot", [], [])
    wrong(twins)
    assert facts == (
        copy.bids,
        copy.asks,
        copy.state,
        copy.checksum,
        copy.quality,
        copy.age_ms,
        copy.exch_ns,
        copy.mid,
    )
    assert copy.quality == "live"
    assert copy.source == "websocket"
    for name in ("symbol", "bids", "state", "quality", "depth", "best_bid"):
        with pytest.raises(AttributeError):
            setattr(copy, name, None)
    with pytest.raises(AttributeError):
        copy.new = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        BookSnapshot()


def test_what_was_made_without_its_maker_is_an_empty_book() -> None:
    for book in (Book(), BookSnapshot.__new__(BookSnapshot)):
        assert (book.bids, book.best_ask, book.mid, book.state, book.crossed) == (
            (),
            None,
            None,
            "empty",
            False,
        )


def test_doubt_lasts_until_the_next_verified_snapshot() -> None:
    twins = Twins(25, (1, 3))
    twins.send("snapshot", BIDS, ASKS)
    assert not twins.decoder.feed(b'{"channel":"book","type":"update","data":[{"sym')
    assert (twins.book.state, twins.book.verified_depth) == ("valid", 10)
    assert twins.book.snapshot().verified_depth == 10
    twins.decoder.feed(book_message("update", [], [], twins.scales, twins.reference.checksum()), strict=True)
    assert twins.book.verified_depth == 10
    twins.send("snapshot", BIDS, ASKS)
    assert twins.book.verified_depth == 25
