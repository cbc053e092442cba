"""What is read of a level-3 book: where an order stands, and prices as a level-2 book has them."""

from __future__ import annotations

from decimal import Decimal

import corpus
from level3wire import Event, Hearer, ReferenceLevel3, Twins3, as_level2

from kraken_fast.core.checksum import book_checksum
from kraken_fast.core.decode import Decoder
from kraken_fast.sim.reference import loads
from kraken_fast.types import QueuePosition

D = Decimal
PUBLISHED = next(vector for vector in corpus.level3_vectors() if vector["id"] == "level3-docs-guide")


def order(what: str, name: str, price: str, qty: str, nanos: int = 0) -> Event:
    return (what, name, D(price), D(qty), nanos)


def test_where_an_order_stands() -> None:
    twins = Twins3(10)
    twins.send(
        "snapshot",
        [order("", "B1", "100.0", "1.0"), order("", "B2", "100.0", "2.0"), order("", "B3", "99.0", "3.0")],
        [order("", "A1", "101.0", "5.0")],
    )
    twins.send("update", [order("add", "B4", "100.0", "4.0")], [])
    position = twins.book.queue_position
    assert position("B4") == QueuePosition("bid", D("100.0"), D("4.0"), 2, D("3.0"), 0, 0)
    twins.send("update", [order("delete", "B1", "100.0", "1.0"), order("modify", "B2", "100.0", "1.5")], [])
    assert position("B4") == QueuePosition("bid", D("100.0"), D("4.0"), 1, D("1.5"), 0, 0)
    assert position("B2") == QueuePosition("bid", D("100.0"), D("1.5"), 0, D("0.0"), 1, 0)
    assert position("B3") == QueuePosition("bid", D("99.0"), D("3.0"), 0, D("0.0"), 0, 1)
    assert position("A1") == QueuePosition("ask", D("101.0"), D("5.0"), 0, D("0.0"), 0, 0)
    assert position("B1") is None
    book = twins.book
    assert (book.best_bid, book.best_bid_qty, book.best_ask, book.best_ask_qty) == (
        D("100.0"), D("5.5"), D("101.0"), D("5.0"),
    )  # fmt: skip
    assert (book.crossed, book.verified_depth) == (False, 10)


def test_its_prices_are_the_level_2_book_s() -> None:
    """The published book, aggregated, has the level-2 checksum that the vector names."""
    decoder = Decoder(handler=Hearer())
    book = decoder.want_level3("BTC/USD", 10)
    decoder.feed(PUBLISHED["raw"][0].encode(), strict=True)
    reference = ReferenceLevel3(10)
    reference.apply(loads(PUBLISHED["raw"][0]))
    level2 = as_level2(reference, 10)
    assert [tuple(level) for level in book.bids] == level2.bids
    assert [tuple(level) for level in book.asks] == level2.asks
    assert book_checksum(book.asks_raw, book.bids_raw) == PUBLISHED["variants"]["same_book_aggregated_as_level2"]


def test_quantities_at_one_price_may_sum_beyond_an_int64() -> None:
    twins = Twins3(10)
    most = f"{2**63 - 1}"
    twins.send("snapshot", [order("", f"B{n}", "1", most) for n in range(5)], [])
    assert twins.book.best_bid_qty == 5 * (2**63 - 1)
    position = twins.book.queue_position("B4")
    assert position is not None
    assert position.qty_ahead == 4 * (2**63 - 1)
