"""Balances: totals as told, wallets as computed, every ledger entry once."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from accountwire import Account, at, expected_fields, taken_fields
from judge import same

from kraken_fast.core.balance_store import BalanceStore, BalanceUpdate
from kraken_fast.types import Wallet

D = Decimal


def holding(asset: str, balance: str, *wallets: tuple[str, str, str]) -> dict[str, Any]:
    rows = [{"type": kind, "id": name, "balance": D(amount)} for kind, name, amount in wallets]
    return {"asset": asset, "asset_class": "currency", "wallets": rows, "balance": D(balance)}


def entry(asset: str, ledger_id: str, amount: str, balance: str, **more: Any) -> dict[str, Any]:
    return {
        "ledger_id": ledger_id, "ref_id": "R", "timestamp": at(5), "type": "trade", "asset": asset,
        "asset_class": "currency", "category": "trade", "wallet_type": "spot", "wallet_id": "main",
        "amount": D(amount), "fee": D("0.0000"), "balance": D(balance), **more,
    }  # fmt: skip


def started() -> Account:
    account = Account()
    account.start(
        [holding("USD", "100.0000", ("spot", "main", "60.0000"), ("earn", "flex", "40.0000")), holding("BTC", "1.50")],
        "balances",
    )
    return account


def test_totals_and_wallets_follow_the_ledger() -> None:
    account = started()
    store = account.balances
    assert store.totals() == {"USD": D(100), "BTC": D("1.5")}
    account.feed("balances", [entry("USD", "L1", "-10.5000", "89.4000", fee=D("0.1000"))])
    account.feed("balances", [entry("USD", "L2", "2.0000", "91.4000", wallet_type="earn", wallet_id="flex")])
    account.feed("balances", [entry("ETH", "L3", "0.00000001", "0.00000001", wallet_type=None, wallet_id=None)])
    assert str(store.get("USD")) == "91.4000"
    assert set(store.wallets("USD")) == {Wallet("spot", "main", D("49.4")), Wallet("earn", "flex", D(42))}
    assert store.wallets("ETH") == (Wallet("spot", "main", D("0.00000001")),)
    assert (store.get("XXX"), store.wallets("XXX"), store.last_update("XXX")) == (None, (), None)
    assert store.assets == ("USD", "BTC", "ETH")
    assert [update.ledger_id for update in store.entries] == ["L1", "L2", "L3"]
    last = store.last_update("USD")
    assert last is not None
    assert last.key == "L2"
    assert repr(last) == "<BalanceUpdate USD 91.4000 trade 2.0000>"
    assert (store.is_live, store.messages, store.copies) == (True, 4, 0)


def test_a_snapshot_replaces_everything() -> None:
    account = started()
    account.feed("balances", [entry("ETH", "L3", "1.0", "1.0")])
    account.start([holding("USD", "5.0000", ("spot", "main", "5.0000"))], "balances")
    assert account.balances.totals() == {"USD": D(5)}
    assert account.balances.wallets("USD") == (Wallet("spot", "main", D(5)),)
    assert account.snapshots == ["balances", "balances"]


def test_a_copy_of_an_entry_moves_nothing() -> None:
    account = started()
    row = entry("USD", "L1", "-10.0000", "90.0000")
    account.feed("balances", [row])
    account.feed("balances", [entry("USD", "L2", "-10.0000", "80.0000")])
    told = len(account.told)
    account.feed("balances", [row], sequence=2)
    store = account.balances
    assert (store.copies, len(account.told), store.get("USD")) == (1, told, D(80))
    assert account.gaps == [("balances", 4, 2)]
    assert dict(zip(["a", "b"], [store.is_live, store.gaps], strict=True)) == {"a": False, "b": 1}
    assert not store.apply(BalanceUpdate(asset="USD", balance=D(90), ledger_id="L1", amount=D(-10)))


def test_an_entry_found_afterwards_moves_no_newer_total() -> None:
    account = started()
    account.feed("balances", [entry("USD", "L2", "-10.0000", "80.0000")])
    update = account.balances.last_update("USD")
    assert update is not None
    assert update.timestamp_ns is not None
    older = BalanceUpdate(
        asset="USD", balance=D(90), ledger_id="L1", amount=D(-10), timestamp_ns=update.timestamp_ns - 1
    )
    newer = BalanceUpdate(
        asset="USD", balance=D(70), ledger_id="L3", amount=D(-10), timestamp_ns=update.timestamp_ns + 1
    )
    store = account.balances
    assert store.apply(older)
    assert store.get("USD") == D(80)
    assert store.apply(newer)
    assert store.get("USD") == D(70)
    assert [entry.ledger_id for entry in store.entries] == ["L2", "L1", "L3"]
    before_bare = store.get("USD")  # an entry that tells no balance moves none
    bare = BalanceUpdate(asset="USD", balance=None, ledger_id="L8", amount=D(-1), timestamp_ns=2**62)
    assert store.apply(bare)
    assert store.entries[-1] is bare
    assert store.get("USD") == before_bare


@pytest.mark.parametrize("row", [holding("USD", "1.5", ("earn", "bonded", "1.5")), entry("X", "L", "-1.0", "2.0")])
def test_every_member_is_read_and_can_be_built(row: dict[str, Any]) -> None:
    account = Account()
    account.feed("balances", [{**row, "user": "U", "subtype": "spotfromfutures"}], kind="snapshot")
    (update,) = account.told
    assert same(taken_fields(update), expected_fields({**row, "user": "U", "subtype": "spotfromfutures"}))
    ours = BalanceUpdate(**update.fields())
    assert ours.fields() == update.fields()
    assert (ours.recovered, update.recovered, update.snapshot) == (True, False, True)


@pytest.mark.parametrize("bad", [{"balance": 1.5}, {"asset": 5}, {"wallets": [("a", "b", 0.5)]}, {"nothing": 1}])
def test_what_the_protocol_does_not_know_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        BalanceUpdate(**{"asset": "USD", "balance": D(1), **bad})


def test_random_ledgers_against_plain_sums() -> None:
    """S12: totals and wallets equal the exchange's ledger after every message."""
    random = Random(20_261_122)
    account = started()
    assets = ["USD", "BTC", "ETH", "DOGE"]
    wallets = [("spot", "main"), ("earn", "flex"), ("earn", "bonded")]
    truth: dict[tuple[str, str, str], Decimal] = {}
    account.start([], "balances")
    for number in range(1_500):
        asset, (kind, name) = random.choice(assets), random.choice(wallets)
        amount = D(random.randrange(-(10**12), 10**12)).scaleb(-random.randrange(0, 11))
        fee = D(random.randrange(10**4)).scaleb(-10)
        key = (asset, kind, name)
        truth[key] = truth.get(key, D(0)) + amount - fee
        total = sum((value for (held, _, _), value in truth.items() if held == asset), D(0))
        row = entry(asset, f"L{number}", f"{amount:f}", f"{total:f}", fee=fee, wallet_type=kind, wallet_id=name)
        account.feed("balances", [row])
        if random.random() < 0.02:
            for held in assets:
                ours = {(held, kind, name): balance for kind, name, balance in account.balances.wallets(held)}
                assert ours == {key: value for key, value in truth.items() if key[0] == held}
        assert account.balances.get(asset) == total
    assert account.balances.is_live
    assert len(account.balances.entries) == 1_000


def test_names_that_differ_in_a_nul_are_two_assets() -> None:
    account = started()
    for number, name in enumerate(("A", "A\0", "", "\0", "ABCDEFGH", "ABCDEFGH\0", "A", "A\0", "\0"), 1):
        account.feed("balances", [entry(name, f"L{number}", "1", str(number))])
    totals = account.balances.totals()
    del totals["USD"], totals["BTC"]
    assert totals == {"A": 7, "A\0": 8, "": 3, "\0": 9, "ABCDEFGH": 5, "ABCDEFGH\0": 6}


def test_a_store_that_is_begun_anew_knows_nothing() -> None:
    account = started()
    store = account.balances
    store.__init__()  # type: ignore[misc]
    assert (store.assets, store.entries) == ((), ())
    for name in ("USD", "BTC", "ETH"):
        account.feed("balances", [entry(name, f"L{name}", "1", "7")])
    assert store.totals() == {"USD": 7, "BTC": 7, "ETH": 7}


def test_assets_are_bounded() -> None:
    account = Account()
    account.start([holding(f"A{number}", "1.0") for number in range(10_002)], "balances")
    assert (len(account.balances.assets), account.balances.dropped) == (10_000, 2)


def test_a_store_of_its_own() -> None:
    store = BalanceStore()
    assert (store.quality, store.age_ms, store.is_live, store.expected_sequence) == ("none", None, False, 1)
