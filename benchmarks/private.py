"""Frames of the private channels and of level 3, made from a seed in the forms seen on the wire.

All go round. Executions and balances are numbered, so each round begins with a snapshot, and there are more orders than
a store keeps closed ones: those of the round before are new again. Level 3 deletes what it adds.
"""

from __future__ import annotations

import random
import zlib
from functools import cache

from kraken_fast.sim.texts import rfc3339

from .corpus import MESSAGES, SEED, Corpus

_START_NS = 1_760_000_000_000_000_000


@cache
def executions(orders: int = 1_200) -> Corpus:
    """Give lives of five reports: pending_new, new, two trades, filled. 424 bytes a message on average."""
    rng, texts = random.Random(f"{SEED}/executions"), []
    for number in range(orders):
        order, client = _id("O", rng), f"{rng.getrandbits(128):032x}"
        qty, price = rng.randint(2, 10**6), rng.randint(600_000, 680_000)
        first = rng.randint(1, qty - 1)
        time = rfc3339(_START_NS + number * 1_000_000)
        texts.append(
            f'"order_id":"{order}","symbol":"BTC/USD","order_qty":{qty / 1e8:.8f},"cum_cost":0.00000,'
            f'"time_in_force":"GTC","exec_type":"pending_new","side":"buy","order_type":"limit","cl_ord_id":"{client}",'
            f'"limit_price_type":"static","limit_price":{price / 10:.1f},"stop_price":0.0,'
            f'"order_status":"pending_new","fee_usd_equiv":0.0000,"fee_ccy_pref":"fciq","timestamp":"{time}"'
        )
        texts.append(
            f'"timestamp":"{time}","order_status":"new","exec_type":"new","cl_ord_id":"{client}","order_id":"{order}"'
        )
        for part, cum in ((first, first), (qty - first, qty)):
            texts.append(
                f'"order_id":"{order}","cl_ord_id":"{client}","exec_id":"{_id("T", rng)}","exec_type":"trade",'
                f'"trade_id":{96_120_501 + len(texts)},"symbol":"BTC/USD","side":"buy","last_qty":{part / 1e8:.8f},'
                f'"last_price":{price / 10:.1f},"liquidity_ind":"m","cost":{part * price / 1e9:.5f},'
                f'"order_type":"limit","timestamp":"{time}","order_status":"partially_filled",'
                f'"cum_qty":{cum / 1e8:.8f},'
                f'"cum_cost":{cum * price / 1e9:.5f},"avg_price":{price / 10:.1f},"fee_usd_equiv":1.0525,'
                '"fees":[{"asset":"USD","qty":1.05249}]'
            )
        texts.append(
            f'"timestamp":"{time}","order_status":"filled","exec_type":"filled","cum_qty":{qty / 1e8:.8f},'
            f'"cum_cost":{qty * price / 1e9:.5f},"fee_usd_equiv":4.2100,"avg_price":{price / 10:.1f},'
            f'"cl_ord_id":"{client}","order_id":"{order}"'
        )
    return _numbered("executions", texts)


@cache
def balances(messages: int = MESSAGES) -> Corpus:
    """Give ledger entries of trades: base, then quote."""
    rng, texts = random.Random(f"{SEED}/balances"), []
    for number in range(messages):
        asset, digits = (("BTC", 10), ("USD", 4))[number % 2]
        texts.append(
            f'"ledger_id":"{_id("L", rng)}","ref_id":"{_id("T", rng)}",'
            f'"timestamp":"{rfc3339(_START_NS + number * 1_000_000)}","type":"trade","asset":"{asset}",'
            f'"asset_class":"currency","category":"trade","wallet_type":"spot","wallet_id":"main",'
            f'"amount":{rng.randint(-(10**6), 10**6) / 10**4:.{digits}f},"fee":{rng.randint(0, 99) / 10**4:.{digits}f},'
            f'"balance":{rng.randint(10**6, 10**9) / 10**4:.{digits}f}'
        )
    return _numbered("balances", texts)


def _numbered(channel: str, rows: list[str]) -> Corpus:
    opening = [f'{{"channel":"{channel}","type":"snapshot","data":[],"sequence":1}}'.encode()]
    frames = [
        f'{{"channel":"{channel}","type":"update","data":[{{{row}}}],"sequence":{number}}}'.encode()
        for number, row in enumerate(rows, 2)
    ]
    return Corpus(channel, opening, frames, ())


@cache
def level3(depth: int = 10, messages: int = MESSAGES) -> Corpus:
    """Give a level-3 book of `depth` price levels and one change a message near its best prices."""
    return _Level3(depth).render(messages)


class _Level3:
    """Queues by price; what the messages add lies behind the orders that were there, and goes again."""

    def __init__(self, depth: int) -> None:
        self.rng, self.depth = random.Random(f"{SEED}/level3"), depth
        self.sides: tuple[dict[int, dict[str, int]], dict[int, dict[str, int]]] = ({}, {})
        self.best: tuple[list[int], list[int]] = ([], [])
        for which, sign in ((0, -1), (1, 1)):
            prices = [640_000 + sign * (1 + 2 * level) for level in range(depth)]
            self.best[which].extend(prices[:10])
            for price in prices:
                orders = {_id("O", self.rng): self._qty() for _ in range(self.rng.choice((1, 1, 2, 3, 5)))}
                self.sides[which][price] = orders
        self.guests: list[tuple[int, int, str]] = []

    def _qty(self) -> int:
        return self.rng.randint(1_000, 10**9)

    def checksum(self) -> int:
        """CRC-32 over the orders of the ten best levels."""
        text = "".join(
            f"{price}{qty}"
            for which in (1, 0)
            for price in self.best[which]
            for qty in self.sides[which][price].values()
        )
        return zlib.crc32(text.encode())

    def render(self, messages: int) -> Corpus:
        """Write the snapshot and the changes, the last of which take every guest away."""
        opening = self._message("snapshot", [
            (which, "", order, price, qty)
            for which in (0, 1)
            for price, queue in self.sides[which].items()
            for order, qty in queue.items()
        ])  # fmt: skip
        frames = [self._message("update", [self._change()]) for _ in range(messages)]
        while self.guests:
            frames.append(self._message("update", [self._leave()]))
        return Corpus(f"level3, depth {self.depth}", [opening], frames, ("BTC/USD",), self.depth)

    def _change(self) -> tuple[int, str, str, int, int]:
        choice = self.rng.random()
        if len(self.guests) < 5 or (choice < 0.4 and len(self.guests) < 40):
            which = self.rng.randrange(2)
            price = self.best[which][min(int(self.rng.expovariate(0.5)), 9)]
            guest, qty = (which, price, _id("O", self.rng)), self._qty()
            self.guests.append(guest)
            self.sides[which][price][guest[2]] = qty
            return which, "add", guest[2], price, qty
        if choice < 0.8:
            return self._leave()
        which, price, order = self.rng.choice(self.guests)
        queue = self.sides[which][price]
        queue[order] = max(1, queue[order] - self.rng.randint(1, 1_000))
        return which, "modify", order, price, queue[order]

    def _leave(self) -> tuple[int, str, str, int, int]:
        which, price, order = self.guests.pop(self.rng.randrange(len(self.guests)))
        return which, "delete", order, price, self.sides[which][price].pop(order)

    def _message(self, kind: str, events: list[tuple[int, str, str, int, int]]) -> bytes:
        rows: tuple[list[str], list[str]] = ([], [])
        for which, event, order, price, qty in events:
            rows[which].append(
                ("{" + f'"event":"{event}",' if event else "{")
                + f'"order_id":"{order}","limit_price":{price / 10:.1f},"order_qty":{qty // 10**8}.{qty % 10**8:08d},'
                f'"timestamp":"{rfc3339(_START_NS, 9)}"' + "}"
            )
        return (
            f'{{"channel":"level3","type":"{kind}","data":[{{"timestamp":"{rfc3339(_START_NS, 9)}",'
            f'"checksum":{self.checksum()},"symbol":"BTC/USD","bids":[{",".join(rows[0])}],'
            f'"asks":[{",".join(rows[1])}]}}]}}'
        ).encode()


def _id(kind: str, rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16))
    return f"{kind}{letters[:5]}-{letters[5:10]}-{letters[10:]}"
