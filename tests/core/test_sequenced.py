"""The numbers of private messages: what is in order, what is not, and who hears of it."""

from __future__ import annotations

import pytest
from accountwire import Account, happened, message, pending

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.line import Line


@pytest.mark.fault("O12", kind="U")
@pytest.mark.parametrize("got", [1, 2, 4, 5, 1_000_000])
def test_any_number_but_the_next_is_told_and_ends_the_trust(got: int) -> None:
    """S14: the store is flagged until a snapshot, and goes on taking in what comes."""
    account = Account()
    account.start()
    account.report(**pending())
    assert account.orders.expected_sequence == 3
    account.feed("executions", [happened("O2", "new")], sequence=got)
    assert account.gaps == [("executions", 3, got)]
    assert (account.orders.is_live, account.orders.quality, account.orders.gaps) == (False, "stale", 1)
    assert account.orders.get("O2") is not None
    account.report(**happened("O2", "canceled"))
    assert (len(account.gaps), account.orders.is_live) == (1, False), "in order again, and not live all the same"
    account.start([pending()])
    assert (account.orders.is_live, account.orders.expected_sequence) == (True, 2)


@pytest.mark.fault("O13", kind="U")
def test_numbers_begin_anew_with_a_connection() -> None:
    account = Account()
    account.start()
    account.report(**pending())
    account.decoder.new_epoch()
    assert (account.orders.is_live, account.balances.is_live, account.orders.expected_sequence) == (False, False, 1)
    account.start([pending()])
    account.report(**happened("O1", "new"))
    assert (account.gaps, account.orders.is_live, account.orders.gaps) == ([], True, 0)


def test_the_channels_are_numbered_apart() -> None:
    account = Account()
    account.start()
    account.start([], "balances")
    account.feed("executions", [pending()], sequence=3)
    assert (account.orders.is_live, account.balances.is_live) == (False, True)


def test_updates_without_a_snapshot_are_never_live() -> None:
    account = Account()
    account.report(**pending())
    account.report(**happened("O1", "new"))
    assert (account.gaps, account.orders.is_live, account.orders.open_count) == ([], False, 1)


@pytest.mark.parametrize(
    ("raw", "channels"),
    [
        (b'{"channel":"executions","type":"update","data":[{"order_id":"O1"}],"sequence":2}', ["executions"]),
        (b'{"channel":"balances","type":"update","data":[{', ["balances"]),
        (b'{"channel":"executions","type":"update","data":[{"order_id":"O1","exec_type":"new"}]}', ["executions"]),
        (b'{"chan', ["executions", "balances"]),
        (b'{"channel":"book","type":"update","data":[{', []),
        (b"proxy restarting", []),
    ],
)
def test_what_cannot_be_understood_ends_the_trust(raw: bytes, channels: list[str]) -> None:
    account = Account()
    account.start()
    account.start([], "balances")
    assert not account.decoder.feed(raw)
    assert account.gaps == [(channel, 2, None) for channel in channels]
    assert account.orders.is_live == ("executions" not in channels)
    assert account.balances.is_live == ("balances" not in channels)
    assert len(account.errors) == 1


def test_quality_and_age_follow_the_line() -> None:
    clock = ManualClock(monotonic_ns=1_000)
    decoder = Decoder(Line(clock))
    store = decoder.want_executions()
    assert (store.quality, store.age_ms, store.source) == ("none", None, "websocket")
    decoder.feed(message("executions", [], 1, "snapshot"))
    clock.advance(1_000_000_000)
    assert (store.quality, store.age_ms) == ("live", 1_000.0)
    decoder.feed(b'{"channel":"heartbeat"}')
    assert store.age_ms == 0.0
    clock.advance(1_600_000_000)
    assert store.quality == "stale"
    decoder.feed(message("executions", [], 5))
    clock.advance(1_000_000)
    decoder.feed(b'{"channel":"heartbeat"}')
    assert (store.quality, store.age_ms) == ("stale", 1.0)
