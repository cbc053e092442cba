"""The book feed against the truth: at every depth, after every message, over many instruments and seeds."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from kraken_fast.sim.feedbook import DEPTHS
from kraken_fast.sim.reference import ReferenceBook, loads


def _shape(rows: list[Any], held: set[Any]) -> str:
    """Name the rows of one side: D delete, R refill after it, C change of a held level, N new level."""
    letters, last = [], ""
    for row in rows:
        if row["qty"] == 0:
            last = "D"
        elif last == "D":
            last = "R"
        else:
            last = "C" if row["price"] in held else "N"
        letters.append(last)
    return "".join(letters)


@pytest.mark.parametrize(
    ("symbol", "levels", "steps"),
    [
        ("BTC/USD", 40, 1500),
        ("BTC/JPY", 150, 800),  # price_precision 0
        ("SHIB/USD", 30, 800),  # qty_precision 5, price far below 1
        ("DOGE/BTC", 12, 800),  # barely more than ten levels
        ("ETH/BTC", 5, 800),  # a thin book, always wholly in scope
        ("ADA/EUR", 1100, 250),  # deeper than the deepest subscription
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_depth_equals_the_truth_after_every_message(
    make_box: Any, symbol: str, levels: int, steps: int, seed: int
) -> None:
    box = make_box([symbol], seed=seed, levels=levels)
    clients = {depth: box.open() for depth in DEPTHS}
    books = {depth: ReferenceBook(depth) for depth in DEPTHS}
    for depth, client in clients.items():
        client.subscribe("book", [symbol], depth=depth)
        assert books[depth].apply_raw(client.texts[-1]) == books[depth].checksum()
    market = box.core.market(symbol)
    for _ in range(steps):
        market.step()
        for depth, client in clients.items():
            book = books[depth]
            for text in client.poll():
                assert book.apply_raw(text) == book.checksum()
            engine = market.engine
            assert book.bids == [(level.price, level.qty) for level in islice(engine.bids, depth)]
            assert book.asks == [(level.price, level.qty) for level in islice(engine.asks, depth)]
    truth = market.truth()
    assert books[1000].checksum_text() == truth.checksum_text()
    assert books[10].bids == list(truth.top(10)[0])


def test_shapes_and_sizes_are_those_of_the_recorded_book(make_box: Any) -> None:
    box = make_box(["BTC/USD"], levels=250)
    client = box.open()
    client.subscribe("book", ["BTC/USD"], depth=10)
    book = ReferenceBook(10)
    book.apply_raw(client.texts[-1])
    shapes: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    for _ in range(6000):
        box.core.market("BTC/USD").step()
        for text in client.poll():
            (data,) = loads(text)["data"]
            held = {price for price, _ in book.bids + book.asks}
            for side in ("bids", "asks"):
                if data[side]:
                    shapes[_shape(data[side], held)] += 1
            sizes[len(data["bids"]) + len(data["asks"])] += 1
            book.apply_raw(text)
    messages = sizes.total()
    assert 0.54 < sizes[1] / messages < 0.64
    assert 1.4 < sum(size * count for size, count in sizes.items()) / messages < 1.7
    assert max(sizes) <= 14
    assert {"C", "N", "DR", "DRN", "DRC", "CN", "CC"} <= set(shapes)
    assert shapes["C"] > shapes["DRN"] < shapes["DR"]


def test_stamps_rise_strictly_and_a_snapshot_bears_the_last_change(box: Any) -> None:
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    for _ in range(200):
        box.core.market("BTC/USD").step(box.start_ns)  # a clock that stands still
    client.poll()
    stamps = [message["data"][0]["timestamp"] for message in client.messages("book")]
    assert stamps == sorted(set(stamps))
    box.clock.sleep(60)
    late = box.open()
    late.subscribe("book", ["BTC/USD"])
    assert late.messages("book")[0]["data"][0]["timestamp"] == stamps[-1]


def test_an_order_that_trades_and_rests_shows_on_both_sides_of_one_message(box: Any) -> None:
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    market = box.core.market("BTC/USD")
    best = market.engine.asks.at(0)
    before = len(client.texts)
    market.submit("buy", best.qty + market.pair.qty_min, best.price)
    client.poll()
    (message,) = [loads(text) for text in client.texts[before:]]
    (data,) = message["data"]
    assert data["asks"][0] == {"price": best.price, "qty": 0}
    assert len(data["asks"]) == 2, "the level that comes into scope follows the removal"
    assert data["bids"] == [{"price": best.price, "qty": market.pair.qty_min}]


def test_an_empty_side_and_an_empty_book_are_told_and_checksummed(make_box: Any) -> None:
    box = make_box(["BTC/USD"], levels=5)
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    market = box.core.market("BTC/USD")
    market.clear("buy")
    market.clear("sell")
    book = ReferenceBook(10)
    for text in [
        text for text in client.poll() + client.texts if '"book"' in text and '"method"' not in text
    ]:
        if book.bids or book.asks or "snapshot" in text:
            assert book.apply_raw(text) == book.checksum()
    assert (book.bids, book.asks, book.checksum()) == ([], [], 0)
    late = box.open()
    late.subscribe("book", ["BTC/USD"])
    assert '"bids":[],"asks":[],"checksum":0' in late.texts[-1]


def test_text_is_exact(box: Any) -> None:
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    text = client.texts[-1]
    assert text.startswith(
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":'
    )
    (data,) = loads(text)["data"]
    assert list(data) == ["symbol", "bids", "asks", "checksum", "timestamp"]
    for row in data["bids"] + data["asks"]:
        assert row["price"].as_tuple().exponent == -1
        assert row["qty"].as_tuple().exponent == -8
    assert " " not in text
    assert [row["price"] for row in data["bids"]] == sorted(
        (row["price"] for row in data["bids"]), reverse=True
    )
    assert [row["price"] for row in data["asks"]] == sorted(row["price"] for row in data["asks"])
