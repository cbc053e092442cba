"""The reference of level 3 against published checksums."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.reference import checksum, loads
from kraken_fast.sim.reference3 import QueuedOrder, ReferenceLevel3, checksum3, checksum3_text

DATA = Path(__file__).parent.parent / "data"
VECTORS: list[dict[str, Any]] = [
    vector
    for vector in json.loads((DATA / "checksum-vectors.json").read_text())["vectors"]
    if vector["kind"] == "level3"
]
MESSAGES: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((DATA / "messages-v2.json").read_text())["messages"]
    if message["id"].startswith("level3.")
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_every_published_checksum_verifies(vector: dict[str, Any]) -> None:
    book = ReferenceLevel3(vector["depth"])
    for raw, expected in zip(vector["raw"], vector["expected_crc"], strict=True):
        assert book.apply_raw(raw) == expected
        assert book.checksum() == expected


def test_the_vectors_hold_five_messages() -> None:
    assert sum(len(vector["raw"]) for vector in VECTORS) == 5


def test_text_is_the_published_one_and_proves_the_queues() -> None:
    vector = VECTORS[0]
    book = ReferenceLevel3(10)
    book.apply_raw(vector["raw"][0])
    bids = [list(queue) for queue in book.bids]
    assert checksum3_text(book.asks, bids) == vector["snapshot_asks_string"] + vector["snapshot_bids_string"]
    assert checksum(*reversed(book.levels())) == vector["variants"]["same_book_aggregated_as_level2"]
    bids[0][:2] = bids[0][1::-1]
    assert checksum3(book.asks, bids) == vector["variants"]["first_two_orders_of_best_bid_swapped"]


def test_the_messages_of_the_catalogue_verify_one_after_another() -> None:
    book = ReferenceLevel3(10)
    for name in ("snapshot", "update.add", "update.modify", "update.delete"):
        raw = MESSAGES[f"level3.{name}"]
        assert book.apply_raw(raw) == book.checksum(), name
    assert book.position("OB4AAA-QK2ZT-7YHXR3") == (1, Decimal("0.01200000"))
    assert book.position("OB1AAA-QK2ZT-7YHXR3") is None


def update(*rows: str) -> Any:
    return loads(
        f'{{"channel":"level3","type":"update","data":[{{"symbol":"A/B","bids":[{",".join(rows)}],"asks":[]}}]}}'
    )


def row(event: str, order_id: str, price: str = "1.0", qty: str = "1") -> str:
    return (
        f'{{"event":"{event}","order_id":"{order_id}","limit_price":{price},"order_qty":{qty},"timestamp":"t"}}'
    )


def test_queues_are_kept() -> None:
    book = ReferenceLevel3(2)
    book.apply(update(row("add", "A"), row("add", "B"), row("add", "C", "2.0"), row("add", "D", "0.5")))
    assert [[order.order_id for order in queue] for queue in book.bids] == [["C"], ["A", "B"]]
    book.apply(update(row("modify", "A", qty="0.5")))
    assert book.position("B") == (1, Decimal("0.5"))
    book.apply(update(row("modify", "A", price="2.0")))
    assert book.position("A") == (1, Decimal(1))
    book.apply(update(row("delete", "B")))
    assert book.levels()[0] == ((Decimal("2.0"), Decimal(2)),)
    assert book.bids[0][0] == QueuedOrder("C", Decimal("2.0"), Decimal(1), "t")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="delete of Z: not held"):
        ReferenceLevel3(10).apply(update(row("delete", "Z")))
    with pytest.raises(ValueError, match="not a level-3 message"):
        ReferenceLevel3(10).apply({"channel": "book", "type": "update", "data": [{}]})
