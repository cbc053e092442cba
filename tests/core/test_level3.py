"""The level-3 book: the published vectors, planted damage, queues, and what becomes of a book that mismatches."""

from __future__ import annotations

import zlib
from decimal import Decimal
from random import Random
from typing import Any

import corpus
import pytest
from level3wire import Event, Hearer, ReferenceLevel3, Twins3, compare, level3_message
from report import note

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.level3 import Level3Book, Level3Snapshot
from kraken_fast.core.line import Line
from kraken_fast.errors import DecodeError
from kraken_fast.sim.reference import loads

D = Decimal
VECTORS = corpus.level3_vectors()
PUBLISHED = next(vector for vector in VECTORS if vector["id"] == "level3-docs-guide")
SEQUENCE = next(vector for vector in VECTORS if vector["id"] != "level3-docs-guide")
CATALOGUE = {name: raw for name, raw in corpus.private_catalogue().items() if name.startswith("level3")}


def order(what: str, name: str, price: str, qty: str, nanos: int = 0) -> Event:
    return (what, name, D(price), D(qty), nanos)


@pytest.mark.parametrize("portable", [False, True], ids=["best path", "portable"])
def test_every_vector_verifies(portable: bool) -> None:
    verified = 0
    for vector in VECTORS:
        decoder = Decoder(handler=Hearer(), portable=portable)
        book = decoder.want_level3(vector["symbol"], vector["depth"])
        reference = ReferenceLevel3(vector["depth"])
        for raw, expected in zip(vector["raw"], vector["expected_crc"], strict=True):
            assert decoder.feed(raw.encode(), strict=True)
            reference.apply(loads(raw))
            assert book.is_valid
            assert book.checksum == expected == reference.checksum()
            book._check()  # type: ignore[attr-defined]
            compare(book, reference)
        verified += book.verified
        assert (book.mismatched, book.dropped, book.strays) == (0, 0, 0)
    note("level-3 vectors verified", f"{verified} of 5")
    assert verified == 5


def test_the_catalogue_verifies() -> None:
    decoder = Decoder(handler=Hearer(), create=True)
    for name in ("level3.snapshot", "level3.update.add", "level3.update.modify", "level3.update.delete"):
        assert decoder.feed(CATALOGUE[name], strict=True)
        book = decoder.level3("BTC/USD")
        assert book is not None
        assert book.is_valid, name
    assert len(CATALOGUE) == 4
    assert (book.depth, book.verified, decoder.count_of("level3")) == (10, 4, 4)


def test_the_capture_of_2024_is_read_to_the_last_order() -> None:
    """Kept by its finder with most of its orders cut out, so its checksum is of a book that nobody has any more."""
    for raw in corpus.recorded_lines("acks-errors-private-2024-2025.jsonl"):
        message = loads(raw)
        if not isinstance(message, dict) or message.get("channel") != "level3" or message["type"] != "snapshot":
            continue
        hearer = Hearer()
        hearer.__dict__["on_level3_lost"] = lambda book, _reason: book.give_up_verifying()
        decoder = Decoder(handler=hearer, create=True)
        assert decoder.feed(raw, strict=True)
        (book,) = hearer.books
        reference = ReferenceLevel3(10)
        reference.apply(message)
        compare(book, reference)
        assert book.state == "unverified"


def damage(message: Any, side: str, index: int, what: str) -> None:
    rows = message["data"][0][side]
    if what == "drop":
        del rows[index]
    elif what == "swap":
        rows[index], rows[index + 1] = rows[index + 1], rows[index]
    elif what == "qty":
        rows[index]["order_qty"] += D("0.00000001")
    else:
        rows[index]["limit_price"] += D("0.1")


def as_events(rows: Any) -> list[Event]:
    return [(row.get("event", ""), row["order_id"], row["limit_price"], row["order_qty"], 0) for row in rows]


@pytest.mark.parametrize("what", ["drop", "qty", "price", "swap"])
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_planted_damage_is_found(side: str, what: str) -> None:
    raw = PUBLISHED["raw"][0]
    count = len(loads(raw)["data"][0][side])
    caught = 0
    for index in range(count - (what == "swap")):
        message = loads(raw)
        rows = message["data"][0][side]
        if what == "swap" and (
            rows[index]["limit_price"] != rows[index + 1]["limit_price"]
            or rows[index]["order_qty"] == rows[index + 1]["order_qty"]
        ):
            continue  # the order of prices says nothing, and equal orders change places unseen
        damage(message, side, index, what)
        data = message["data"][0]
        hearer = Hearer()
        decoder = Decoder(handler=hearer)
        book = decoder.want_level3("BTC/USD", 10)
        decoder.feed(
            level3_message(
                "snapshot", as_events(data["bids"]), as_events(data["asks"]), int(data["checksum"]), "BTC/USD"
            )
        )
        assert (book.state, book.order_count, hearer.lost) == ("invalid", 0, [("BTC/USD", "snapshot")]), index
        caught += 1
    assert caught >= 1


def test_a_mismatching_update_invalidates_this_book_alone() -> None:
    hearer = Hearer()
    decoder = Decoder(handler=hearer)
    books = [decoder.want_level3(symbol, 10) for symbol in ("A/B", "C/D")]
    for symbol in ("A/B", "C/D"):
        decoder.feed(level3_message("snapshot", [], [], 0, symbol), strict=True)
    row = order("add", "O1", "1.0", "2.0")
    assert decoder.feed(level3_message("update", [row], [], 12345), strict=True)
    assert (books[0].state, books[1].state, hearer.lost) == ("invalid", "valid", [("A/B", "checksum")])
    assert decoder.feed(level3_message("update", [row], [], 12345), strict=True)
    assert (books[0].dropped, books[0].order_count, books[0].quality) == (1, 0, "none")
    decoder.feed(level3_message("snapshot", [], [], 0), strict=True)
    assert books[0].is_valid
    assert hearer.snapshots == [("level3", "A/B"), ("level3", "C/D"), ("level3", "A/B")]


def test_a_modify_with_another_price_goes_to_the_back_of_the_new_one() -> None:
    twins = Twins3(10)
    twins.send("snapshot", [order("", "B1", "100.0", "1.0"), order("", "B2", "99.0", "2.0")], [])
    twins.send("update", [order("modify", "B1", "99.0", "1.0")], [])
    position = twins.book.queue_position("B1")
    assert position is not None
    assert position.orders_ahead == 1


def test_levels_beyond_the_depth_go_with_their_orders() -> None:
    """Ghosts: 11 levels at depth 10, and back again, which the exchange tells with adds."""
    twins = Twins3(10)
    rows = [order("", f"B{number}{part}", f"{100 - number}.0", "1.0") for number in range(10) for part in "ab"]
    twins.send("snapshot", rows, [])
    twins.send("update", [order("add", "N", "101.0", "7.0")], [])
    assert (len(twins.book.bids), twins.book.order_count) == (10, 19)
    assert twins.book.queue_position("B9a") is None
    twins.send(
        "update",
        [
            order("delete", "N", "101.0", "7.0"),
            order("add", "B9a", "91.0", "1.0", 1),
            order("add", "B9b", "91.0", "1.0", 2),
        ],
        [],
    )
    assert (len(twins.book.bids), twins.book.order_count) == (10, 20)


@pytest.mark.fault("D13", kind="U")
def test_a_repeated_add_keeps_its_place_and_strays_are_counted() -> None:
    twins = Twins3(10)
    twins.send("snapshot", [order("", "B1", "100.0", "1.0"), order("", "B2", "100.0", "2.0")], [])
    checksum = twins.reference.checksum()
    for row in (order("add", "B1", "100.0", "1.0"), order("delete", "X", "9.0", "1"), order("modify", "X", "9.0", "1")):
        assert twins.decoder.feed(level3_message("update", [row], [], checksum), strict=True)
        assert twins.book.is_valid
    assert twins.book.strays == 2
    twins.compare()


def crc_of(*orders: tuple[str, str]) -> int:
    text = "".join(price.replace(".", "") + qty.replace(".", "").lstrip("0") for price, qty in orders)
    return zlib.crc32(text.encode())


def test_queues_by_time_are_told_by_the_checksum() -> None:
    """The official Go SDK sorts queues by time, other clients trust the order of arrival: the checksum decides."""
    hearer = Hearer()
    decoder = Decoder(handler=hearer)
    book = decoder.want_level3("A/B", 10)
    rows = [order("", "B1", "10.0", "1.0", 9), order("", "B2", "10.0", "2.0", 5)]
    decoder.feed(level3_message("snapshot", rows, [], crc_of(("10.0", "2.0"), ("10.0", "1.0"))), strict=True)
    assert (book.is_valid, book.queues_go_by_time, [row.order_id for row in book.bid_orders]) == (
        True, True, ["B2", "B1"],
    )  # fmt: skip
    crc = crc_of(("10.0", "2.0"), ("10.0", "3.0"), ("10.0", "1.0"))
    decoder.feed(level3_message("update", [order("add", "B3", "10.0", "3.0", 7)], [], crc), strict=True)
    assert book.is_valid
    book._check()  # type: ignore[attr-defined]
    decoder.feed(level3_message("snapshot", rows, [], crc_of(("10.0", "1.0"), ("10.0", "2.0"))), strict=True)
    assert (book.is_valid, book.queues_go_by_time) == (True, False)


def test_a_raised_order_goes_where_the_checksum_says() -> None:
    twins = Twins3(10)
    twins.send("snapshot", [order("", "B1", "10.0", "1.0"), order("", "B2", "10.0", "2.0")], [])
    raised = order("modify", "B1", "10.0", "5.0")
    crc = crc_of(("10.0", "2.0"), ("10.0", "5.0"))
    assert twins.decoder.feed(level3_message("update", [raised], [], crc), strict=True)
    assert twins.book.is_valid
    assert [row.order_id for row in twins.book.bid_orders] == ["B2", "B1"]
    raised = order("modify", "B2", "10.0", "6.0")
    crc = crc_of(("10.0", "5.0"), ("10.0", "6.0"))
    assert twins.decoder.feed(level3_message("update", [raised], [], crc), strict=True)
    assert twins.book.is_valid, "learned"
    twins.book._check()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "row",
    [
        '{"event":"add","order_id":"","limit_price":1.0,"order_qty":1.0}',
        '{"event":"add","order_id":"' + "x" * 40 + '","limit_price":1.0,"order_qty":1.0}',
        '{"event":"grow","order_id":"x","limit_price":1.0,"order_qty":1.0}',
        '{"order_id":"x","limit_price":1.0,"order_qty":1.0}',
        '{"event":"add","order_id":"x","limit_price":-1.0,"order_qty":1.0}',
        '{"event":"add","order_id":"x","limit_price":1.0}',
        '{"event":"add","limit_price":1.0,"order_qty":1.0}',
        '{"event":"add","order_id":"x","limit_price":1.0,"order_qty":1e30}',
        '{"event":"add","order_id":"x","limit_price":1.0,"order_qty":0.0000000000000000001}',
        "5",
    ],
)
def test_an_order_that_cannot_be_is_refused(row: str) -> None:
    twins = Twins3(10)
    twins.send("snapshot", [order("", "B1", "10.0", "1.0")], [])
    raw = '{"channel":"level3","type":"update","data":[{"checksum":1,"symbol":"A/B","bids":[ROW],"asks":[]}]}'
    with pytest.raises(DecodeError, match="level3 A/B"):
        twins.decoder.feed(raw.replace("ROW", row).encode(), strict=True)
    assert (twins.book.state, twins.hearer.lost) == ("invalid", [("A/B", "malformed")])


def test_precision_comes_from_instruments_from_text_or_from_both() -> None:
    pair = (
        '{"symbol":"A/B","base":"A","quote":"B","status":"online","qty_precision":8,"price_precision":PLACES}'
    )

    def instrument(places: int) -> bytes:
        row = pair.replace("PLACES", str(places))
        return f'{{"channel":"instrument","type":"update","data":{{"assets":[],"pairs":[{row}]}}}}'.encode()

    hearer = Hearer()
    decoder = Decoder(handler=hearer)
    book = decoder.want_level3("A/B", 10)
    decoder.feed(instrument(2), strict=True)
    assert (book.price_scale, book.qty_scale) == (2, 8)
    decoder.feed(level3_message("snapshot", [order("", "B", "1.5", "2")], [], zlib.crc32(b"150200000000")), strict=True)
    assert book.is_valid, "padded to the pair's precision"
    decoder.feed(instrument(3), strict=True)
    assert (book.state, book.price_scale, hearer.lost) == ("invalid", 3, [("A/B", "precision")])
    decoder.feed(level3_message("snapshot", [order("", "B", "1.5", "2.0")], [], zlib.crc32(b"1520")), strict=True)
    assert (book.is_valid, book.price_scale, book.qty_scale) == (True, 1, 1), "the checksum knows better"


def test_trust_over_a_book_s_life() -> None:
    clock = ManualClock(monotonic_ns=1)
    decoder = Decoder(Line(clock), Hearer())
    book = decoder.want_level3("A/B", 10)
    assert (book.state, book.quality, book.age_ms, book.source) == ("empty", "none", None, "websocket")
    row = order("", "B", "1.5", "2.0")
    decoder.feed(level3_message("snapshot", [row], [], zlib.crc32(b"1520")), strict=True)
    clock.advance(1_000_000_000)
    assert (book.quality, book.age_ms, book.updated_ns) == ("live", 1_000.0, 1)
    clock.advance(600_000_000)
    assert book.quality == "stale"
    copy = book.snapshot()
    decoder.feed(b'{"channel":"level3","type":"upd')
    assert (book.state, book.verified_depth, decoder.malformed) == ("valid", 10, 1)
    decoder.new_epoch()
    assert (book.state, book.quality, book.order_count) == ("invalid", "stale", 1)
    again = order("add", "B", "1.5", "2.0")
    decoder.feed(level3_message("update", [again], [], zlib.crc32(b"1520")), strict=True)
    assert book.dropped == 1
    book.await_snapshot()
    assert book.state == "syncing"
    book.give_up_verifying()
    assert book.quality == "unverified"
    assert isinstance(copy, Level3Snapshot)
    assert (copy.quality, copy.age_ms, copy.is_valid) == ("stale", 1_600.0, True)
    with pytest.raises(TypeError):
        Level3Snapshot()


def test_a_snapshot_of_it_does_not_change_any_more() -> None:
    twins = Twins3(10)
    twins.send("snapshot", [order("", "B1", "10.0", "1.0"), order("", "B2", "10.0", "2.0")], [])
    copy = twins.book.snapshot()
    orders, bids = copy.bid_orders, copy.bids
    twins.send("snapshot", [order("", "B9", "11.0", "1.0")], [order("", "A9", "12.0", "1.0")])
    assert (copy.bid_orders, copy.bids, copy.asks, copy.best_ask) == (orders, bids, (), None)
    position = copy.queue_position("B2")
    assert position is not None
    assert (position.orders_ahead, copy.queue_position("B9")) == (1, None)
    del twins
    assert copy.queue_position("B2") == position
    assert Level3Book("A/B").snapshot().bids == ()


def walk(random: Random, twins: Twins3, steps: int, span: int) -> None:
    """Adds, modifies, deletes, sweeps and moves around a price, several in one message."""
    names = 0
    for _ in range(steps):
        rows: list[list[Event]] = [[], []]
        held = [twins.reference.orders(which) for which in (0, 1)]
        for which, sign in ((0, -1), (1, 1)):
            used: set[str] = set()
            for _ in range(random.choice([0, 1, 1, 2, 6])):
                price = D(10_000 + sign * random.randrange(1, span)).scaleb(-1)
                qty = D(random.randrange(1, 10 ** random.randrange(1, 12))).scaleb(-8)
                known = [row for row in held[which] if row[0] not in used]
                choice = random.random()
                if choice < 0.5 or not known:
                    names += 1
                    rows[which].append(("add", f"O{names:05d}-XXXXX-{names:06d}"[:19], price, qty, names))
                    continue
                name, at, before, nanos = random.choice(known[:8] if random.random() < 0.7 else known)
                used.add(name)
                if choice < 0.75:
                    rows[which].append(("delete", name, at, before, names))
                elif choice < 0.95:
                    rows[which].append(("modify", name, at, min(qty, before), nanos % 10**9))
                else:
                    rows[which].append(("modify", name, price, qty, nanos % 10**9))
        twins.send("update", rows[0], rows[1])


@pytest.mark.parametrize(("depth", "steps", "span"), [(1, 150, 6), (10, 400, 14), (10, 200, 60), (100, 60, 150)])
@pytest.mark.parametrize("portable", [False, True], ids=["best path", "portable"])
def test_a_long_random_walk(depth: int, steps: int, span: int, portable: bool) -> None:
    random = Random(20_261_122 + depth + span)
    twins = Twins3(depth, portable=portable)
    first = [("", f"B{n}", D(9_999 - n).scaleb(-1), D(n + 1).scaleb(-8), n) for n in range(span)]
    twins.send("snapshot", first, [("", f"A{n}", D(10_001 + n).scaleb(-1), D(15).scaleb(-8), n) for n in range(span)])
    walk(random, twins, steps, span)
    assert (twins.book.mismatched, twins.book.dropped, twins.book.strays) == (0, 0, 0)
    note("level-3 walks compared with the reference", "4 walks of 60 to 400 messages, depths 1 to 100, both paths")


@pytest.mark.parametrize("portable", [False, True], ids=["best path", "portable"])
def test_many_orders_at_one_price_and_in_all(portable: bool) -> None:
    """Long queues, more digits than powers are kept for, a growing table, orders that go from within their runs."""
    twins = Twins3(1000, portable=portable)
    random = Random(3)
    rows = [order("", f"O{n}", f"{100 - n % 700 / 10:.1f}", f"{n % 97 + 1}.5", n) for n in range(3_000)]
    twins.send("snapshot", rows, [])
    names = [row[1] for row in rows]
    random.shuffle(names)
    price = {row[1]: (row[2], row[3]) for row in rows}
    for part in range(0, 3_000, 250):
        twins.send("update", [("delete", name, *price[name], 0) for name in names[part : part + 250]], [])
    assert twins.book.order_count == 0
    twins.send("update", [order("add", f"Q{n}", "50.0", "1.5") for n in range(2_000)], [])
    assert twins.book.best_bid_qty == D("3000.0")


@pytest.mark.parametrize("scales", [(19, 0), (0, 19), (60, 60), (-2, 0), (0, -2)])
def test_scales_are_those_of_an_int64(scales: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="-1 to 18"):
        Level3Book("A/B", 10, price_scale=scales[0], qty_scale=scales[1])


def test_depths_are_those_that_can_be() -> None:
    for depth in (0, 1001):
        with pytest.raises(ValueError, match="depth"):
            Level3Book("A/B", depth)
    decoder = Decoder()
    book = decoder.want_level3("A/B", 10)
    assert decoder.want_level3("A/B", 10) is book
    assert decoder.want_level3("A/B", 100) is not book
    decoder.unwant("level3", "A/B")
    assert decoder.level3("A/B") is None
    decoder.feed(level3_message("snapshot", [], [], 0), strict=True)
    assert decoder.unwanted == 1
    assert repr(book) == "<Level3Book A/B empty bid None ask None>"
