"""Trades on an exchange in a box and is killed, again and again: forks a child for each line that it reads.

    python order_victim.py ws_port rest_url key_file folder seed

A line is the place where the child is to kill itself: `before journal`, `after journal`, `before send`, `after send`, a
number of milliseconds, or `end`, with which it lives. What a child was asked and what it learned goes to `folder/log`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from order_box import BTC, BoxLine

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.errors import KrakenFastError
from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.journal import FileStorage, Journal, Sync
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import FileNonces
from kraken_fast.types import Instrument

_, PORT, REST_URL, KEY_FILE, FOLDER, SEED = sys.argv


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalStorage(FileStorage):
    """A journal's file that kills its process at a place."""

    where = ""
    left = 0

    def append(self, data: bytes) -> None:
        is_intent = b'{"k":"add"' in data
        if is_intent:
            self.left -= 1
        if is_intent and self.left <= 0 and self.where == "before journal":
            die()
        super().append(data)
        if is_intent and self.left <= 0 and self.where == "after journal":
            die()


class MortalLine(BoxLine):
    """A line that kills its process at a place."""

    where = ""
    left = 0

    def send(self, text: bytes) -> str:
        is_add = b'"add_order"' in text
        if is_add:
            self.left -= 1
        if is_add and self.left <= 0 and self.where == "before send":
            die()
        outcome = super().send(text)
        if is_add and self.left <= 0 and self.where == "after send":
            die()
        return outcome


async def trade(where: str, number: int) -> None:
    rng = Random(f"{SEED}/{number}")
    log = os.open(Path(FOLDER) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(*words: object) -> None:
        os.write(log, (" ".join(map(str, words)) + "\n").encode())

    clock = SystemClock()
    credentials = Credentials.from_file(KEY_FILE)
    rest = RestClient(
        credentials,
        endpoints=Endpoints(rest_url=REST_URL),
        settings=RestSettings(tier="pro", limits=False),
        nonces=FileNonces(FOLDER, credentials.key_id),
        nonce_unit="ns",
    )
    token = await rest.fetch_websockets_token()
    world: Any = SimpleNamespace(clock=clock, gaps_ns=[])
    line = MortalLine(world, token.token.reveal().decode())
    line.host, line.port, line.reconnect_s = "127.0.0.1", int(PORT), 0.05
    pairs = await rest.fetch_pairs(symbols=[BTC])
    pair = Instrument(BTC, "BTC", "USD", "online", 1, 8, 5, pairs[0].tick_size, None, pairs[0].qty_min, None)
    storage = MortalStorage(Path(FOLDER) / "orders.journal")
    entry = OrderEntry(
        line,  # type: ignore[arg-type]
        journal=Journal(storage, clock, sync=Sync.NEVER),
        instruments={BTC: pair}.get,
        rest=rest,
        settings=OrderSettings(tier="pro", deadline_s=0.5, answer_s=0.5, rest_lag_s=1.0),
        clock=clock,
        rng=rng,
    )
    starting = asyncio.ensure_future(entry.start())
    await asyncio.sleep(0)
    running = asyncio.ensure_future(line.run())
    await starting
    for order in entry.table.orders():
        tell("restored", order.name, order.state.name)
    if where.isdigit():
        threading.Timer(int(where) / 1000, die).start()
    elif where != "end":
        storage.where = line.where = where
        storage.left = line.left = rng.randint(1, 5)
    for each in range(0 if where == "end" else 10_000):
        name = f"k{number}-{each}"
        tell("asked", name)
        is_taker = rng.random() < 0.3
        try:
            order = await entry.add_order(
                symbol=BTC, side="buy", order_type="limit", order_qty="0.0002", cl_ord_id=name,
                limit_price="90000.0" if is_taker else "30000.0", time_in_force="ioc" if is_taker else None,
            )  # fmt: skip
            tell("known", name, order.state.name)
            if rng.random() < 0.7 and not is_taker:
                await entry.cancel_order(order=order)
        except KrakenFastError as error:
            tell("failed", name, type(error).__name__)
    line.is_open = False
    await entry.close()
    running.cancel()
    await rest.close()


def main() -> None:
    for number, text in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            asyncio.run(trade(text.strip(), number))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


main()
