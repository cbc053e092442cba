"""Shares: counted over a rolling minute, and REST is refused beyond its own."""

from __future__ import annotations

import pytest

from kraken_fast.coordination.shares import PURPOSES, ShareLedger, Shares
from kraken_fast.errors import ConfigError

S = 1_000_000_000


def test_shares_are_those_of_the_last_minute() -> None:
    ledger = ShareLedger()
    ledger.served("websocket", 0, count=95)
    ledger.served("rest", 1 * S, count=5)
    ledger.called("read", 1 * S)
    ledger.served("rest", 2 * S, emergency=True)
    ledger.refused(2 * S)
    window = ledger.window(3 * S)
    assert (window.websocket, window.rest, window.emergency, window.refused) == (95, 5, 1, 1)
    assert window.websocket_share == 0.95
    assert window.rest_share == pytest.approx(1 / 96)
    later = ledger.window(61 * S + 1)
    assert (later.websocket, later.rest, later.emergency) == (0, 0, 1)
    assert ledger.whole().websocket == 95


def test_rest_may_spend_within_its_share_and_emergencies_are_exempt() -> None:
    ledger = ShareLedger(0.95, 0.05)
    assert not ledger.may_spend(0), "nothing was read yet"
    ledger.delivered(19, 0)
    assert ledger.may_spend(0)
    ledger.called("check", 0)
    assert not ledger.may_spend(0)
    for purpose in ("start", "account", "probe", "emergency"):
        for _ in range(50):
            ledger.called(purpose, 0)
    ledger.delivered(38, 0)
    assert ledger.may_spend(0), "what is exempt does not count"
    ledger.delivered(38, 0)
    assert ledger.window(0).websocket == 38, "a total, not an increment"


@pytest.mark.parametrize("seed", range(5))
def test_whoever_asks_first_is_never_beyond_the_share(seed: int) -> None:
    from random import Random

    rng, ledger, total = Random(seed), ShareLedger(0.95, 0.05), 0
    for step in range(3000):
        now_ns = step * S // 10
        total += rng.randrange(5)
        ledger.delivered(total, now_ns)
        if ledger.may_spend(now_ns):
            ledger.called(rng.choice(["read", "check", "fill"]), now_ns)
            assert ledger.window(now_ns).rest_share <= 0.05


@pytest.mark.parametrize(("websocket", "rest"), [(1.1, 0.0), (0.5, -0.1), (0.96, 0.05), (float("nan"), 0.0)])
def test_ratios_that_cannot_be(websocket: float, rest: float) -> None:
    with pytest.raises(ConfigError):
        ShareLedger(websocket, rest)


def test_nothing_is_not_a_breach() -> None:
    nothing = Shares(0, 0, 0, 0, dict.fromkeys(PURPOSES, 0))
    assert (nothing.websocket_share, nothing.rest_share) == (1.0, 0.0)
