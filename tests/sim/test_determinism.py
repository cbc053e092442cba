"""The same seed and the same clock give the same bytes, in this process and in others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from conftest import Box
box = Box(["BTC/USD", "ETH/USD"], seed=3, rate=50)
clients = [box.open(), box.open()]
box.faults.inject("bad_checksum", probability=0.1, count=None)
public = ("book", "ticker", "trade", "ohlc")
box.faults.inject("mutate", probability=0.1, count=None, channel=public)
for client in clients:
    for channel in public:
        client.subscribe(channel, ["BTC/USD", "ETH/USD"])
trader, queues = box.trader(), box.open("/l3/v2")
clients += [trader, queues]
queues.subscribe("level3", ["BTC/USD"], token=trader.token)
box.faults.inject("accept_no_reply", probability=0.2, count=None)
box.faults.inject("cancel_race_fill", probability=0.5, count=None)
last = float(box.core.market("BTC/USD").trades[-1].price)
for number in range(40):
    side, sign = (("buy", -1), ("sell", 1))[number % 2]
    order = {"order_type": "limit", "side": side, "order_qty": 0.01, "symbol": "BTC/USD"}
    trader.order("add_order", cl_ord_id=f"mine-{number}", limit_price=round(last + sign * number, 1), **order)
    box.run(0.1)
    if number % 4 == 3:
        trader.order("cancel_order", cl_ord_id=[f"mine-{number - 1}", f"mine-{number}"])
box.run(1)
raw = b"".join(segment for client in clients for segment in client.segments)
print(len(raw), hashlib.sha256(raw).hexdigest())
"""


def _run(hash_seed: str) -> str:
    folder = os.path.dirname(__file__)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, folder],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_same_bytes_under_different_hash_seeds() -> None:
    first, second = _run("0"), _run("4242")
    assert first == second
    assert int(first.split()[0]) > 50_000


def _digest(make_box: Any, seed: int, clients: int = 1) -> str:
    box = make_box(["BTC/USD"], seed=seed, rate=50)
    opened = [box.open() for _ in range(clients)]
    for client in opened:
        client.subscribe("book", ["BTC/USD"])
    box.run(3)
    books = [text for text in opened[0].texts if '"channel":"book","type"' in text]
    return hashlib.sha256("".join(books).encode()).hexdigest()


def test_another_seed_gives_another_market_and_another_client_does_not(make_box: Any) -> None:
    assert _digest(make_box, 1) == _digest(make_box, 1)
    assert _digest(make_box, 1) != _digest(make_box, 2)
    assert _digest(make_box, 1) == _digest(make_box, 1, clients=3)


def test_how_often_the_clock_is_looked_at_does_not_matter(make_box: Any) -> None:
    coarse, fine = (make_box(["BTC/USD"], rate=50) for _ in range(2))
    for box, pause in ((coarse, 0.5), (fine, 0.01)):
        box.open().subscribe("book", ["BTC/USD"])
        for _ in range(int(2 / pause)):
            box.clock.sleep(pause)
            box.core.advance()
            box.poll()
    assert coarse.clients[0].messages("book") == fine.clients[0].messages("book")
