"""Random orders of several accounts among the crowd: at every step no money is made, lost or promised twice."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, get_args

import pytest

from kraken_fast.sim.account import NewAccount
from kraken_fast.sim.clearing import check_money
from kraken_fast.sim.records import ExecType

PAIRS = ("XBTUSD", "ETHUSD", "ETHXBT")
NAMES = ("alice", "bob", "carol")
STEPS = 2500


class Trader:
    """Does at random what an account can do."""

    def __init__(self, box: Any, rng: random.Random) -> None:
        self.box = box
        self.rng = rng
        self.answers: list[bytes] = []

    def act(self) -> None:
        account = self.box.core.accounts[self.rng.choice(NAMES)]
        live = account.live_orders()
        actions = [self.add] * 6 + [self.add_batch] + [self.amend, self.edit, self.cancel] * 2 * bool(live)
        name, params = self.rng.choice(actions)(live)
        as_json = name == "AddOrderBatch"
        self.answers.append(self.box.post(name, params, key=account.keys[0], as_json=as_json).body)

    def add(self, _: Any) -> Any:
        name = self.rng.choice(PAIRS)
        return "AddOrder", {"pair": name, **self.order(name)}

    def add_batch(self, _: Any) -> Any:
        name = self.rng.choice(PAIRS)
        return "AddOrderBatch", {"pair": name, "orders": [self.order(name) for _ in range(3)]}

    def order(self, name: str) -> dict[str, str]:
        rng = self.rng
        market = self.box.core.market(self.box.core.listing.named(name).symbol)
        last, pair = market.trades[-1].price, market.pair
        price = last * Decimal(rng.randint(970, 1030)) / 1000
        kind = rng.choice(
            ["limit"] * 6
            + ["iceberg", "market", "stop-loss", "take-profit", "stop-loss-limit"]
            + ["trailing-stop", "trailing-stop-limit"]
        )
        fields = {
            "type": rng.choice(["buy", "sell"]),
            "ordertype": kind,
            "volume": str(pair.qty(int(pair.qty_min / pair.qty_increment * rng.randint(1, 300)))),
            "stptype": rng.choice(["cancel-newest", "cancel-oldest", "cancel-both"]),
            "oflags": rng.choice(["", "fcib", "fciq"]),
        }
        if kind == "iceberg":
            parts = Decimal(rng.randint(1, 15))
            unit = pair.qty_increment
            fields["displayvol"] = str(
                (Decimal(fields["volume"]) / parts).quantize(unit, rounding="ROUND_UP")
            )
        if kind != "market":
            fields["price"] = str(price.quantize(pair.price_increment))
        if kind == "stop-loss-limit":
            fields["price2"] = rng.choice(["-1%", "+1%", "#0.5%"])
        if kind.startswith("trailing"):
            fields["price"] = rng.choice(["+1%", "+0.2%", "+3%"])
            fields["price2"] = rng.choice(["+0.1%", "-0.1%"])
        if kind == "limit":
            fields["timeinforce"] = rng.choice(["GTC"] * 4 + ["IOC", "FOK"])
            if rng.random() < 0.2:
                fields["close[ordertype]"], fields["close[price]"] = "limit", "#2%"
            elif fields["timeinforce"] == "GTC" and rng.random() < 0.2:
                fields["oflags"] = "post"
            elif rng.random() < 0.1:
                fields |= {"timeinforce": "GTD", "expiretm": "+10"}
        elif kind == "market" and fields["type"] == "buy" and rng.random() < 0.3:
            fields |= {"oflags": "viqc", "volume": str(pair.cost_min * rng.randint(1, 2000))}
        return fields

    def amend(self, live: Any) -> Any:
        order = self.rng.choice(live)
        changes = {"order_qty": str((order.qty * self.rng.randint(1, 20) / 10).quantize(order.qty))}
        if self.rng.random() < 0.5:
            changes = {"limit_price": f"{self.rng.choice('+-')}{self.rng.randint(0, 30) / 10}%"}
        return "AmendOrder", {"txid": order.order_id, **changes}

    def edit(self, live: Any) -> Any:
        order = self.rng.choice(live)
        pair = self.box.core.listing.pairs[order.symbol].altname
        return "EditOrder", {"txid": order.order_id, "pair": pair, "price": "#1%"}

    def cancel(self, live: Any) -> Any:
        return "CancelOrder", {"txid": self.rng.choice(live).order_id}


def make(make_box: Any, seed: int) -> Any:
    balances = {"USD": 500_000, "BTC": 5, "ETH": 50}
    accounts = [NewAccount(name, balances, tier="pro") for name in NAMES]
    symbols = ["BTC/USD", "ETH/USD", "ETH/BTC"]
    return make_box(symbols, seed=seed, accounts=accounts, rate=2.0, limit_calls=False, limit_orders=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_money_is_made_lost_or_promised_twice(make_box: Any, seed: int) -> None:
    box = make(make_box, seed)
    trader = Trader(box, random.Random(seed))
    deposits = {"USD": Decimal(1_500_000), "BTC": Decimal(15), "ETH": Decimal(150)}
    for step in range(STEPS):
        trader.act()
        box.clock.sleep(0.1)
        box.core.advance()
        if step % 10 == 0:
            box.core.desk._check()
            check_money(box.core, deposits)
            for symbol in deposits and box.core.listing.pairs:
                box.core.market(symbol).engine._check()
    events = [event for account in box.core.accounts.values() for event in account.events]
    seen = {event.exec_type for event in events}
    assert seen == set(get_args(ExecType)) - {"restated"}, "that one only a fault makes"
    reasons = {event.order.reason for event in events if event.exec_type == "canceled"}
    assert len(reasons) >= 4, reasons
    assert sum(event.exec_type == "trade" for event in events) > 500


def test_the_same_seed_and_clock_give_the_same_answers(make_box: Any) -> None:
    runs = []
    for _ in range(2):
        trader = Trader(make(make_box, 5), random.Random(5))
        for _ in range(300):
            trader.act()
            trader.box.clock.sleep(0.1)
            trader.box.core.advance()
        runs.append(trader.answers)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 100


def test_the_books_as_they_were_are_what_they_were(make_box: Any) -> None:
    box = make(make_box, 6)
    trader = Trader(box, random.Random(6))
    account = box.core.accounts["alice"]
    seen = []
    for _ in range(200):
        trader.act()
        box.clock.sleep(0.1)
        box.core.advance()
        # A market's stamps may run ahead of the clock by microseconds: look when they have been overtaken.
        seen.append((box.clock.time_ns + 10**6, dict(account.balances), dict(account.orders)))
        box.clock.sleep(0.01)
    for time_ns, balances, orders in seen[::20]:
        books = account.as_of(time_ns)
        assert books.balances == balances
        assert books.orders == orders
