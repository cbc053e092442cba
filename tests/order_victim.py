"""Trades on an exchange in a box and is killed, again and again: forks a child for each line that it reads.

    python order_victim.py ws_auth_url ws_url rest_url key_file folder seed

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

from kraken_fast.auth import Credentials
from kraken_fast.config import Endpoints, RestSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.errors import KrakenFastError
from kraken_fast.orders.journal import FileStorage, Journal, Sync
from kraken_fast.orders.settings import OrderSettings
from kraken_fast.private.line import Written
from kraken_fast.private.session import PrivateSession
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.nonce import FileNonces
from kraken_fast.trading import connect_trading

BTC = "BTC/USD"
_, WS_URL, PUBLIC_WS_URL, REST_URL, KEY_FILE, FOLDER, SEED = sys.argv


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


class MortalLine:
    """The private line, whose process kills itself at a place."""

    where = ""
    left = 0

    def __init__(self, session: PrivateSession) -> None:
        self._send = session.send
        session.send = self.send  # type: ignore[method-assign]

    def send(self, text: bytes) -> Written:
        is_add = b'"add_order"' in text
        if is_add:
            self.left -= 1
        if is_add and self.left <= 0 and self.where == "before send":
            die()
        outcome = self._send(text)
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
    storage = MortalStorage(Path(FOLDER) / "orders.journal")
    trading = connect_trading(
        [BTC],
        rest=rest,
        journal=Journal(storage, clock, sync=Sync.NEVER),
        settings=OrderSettings(tier="pro", deadline_s=0.5, answer_s=0.5, rest_lag_s=1.0),
        ws_url=WS_URL,
        public_ws_url=PUBLIC_WS_URL,
        rest_url=REST_URL,
        rng=rng,
    )
    line = MortalLine(trading.account.line)
    await trading.open()
    entry = trading.orders
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
    await trading.close()
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
