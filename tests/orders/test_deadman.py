"""The dead man's switch as arithmetic on times."""

from __future__ import annotations

from kraken_fast.orders.deadman import DeadMansSwitch, SwitchState

S = 1_000_000_000


def armed(at_s: int = 0) -> DeadMansSwitch:
    switch = DeadMansSwitch(timeout_s=60, renew_s=15)
    switch.arm(at_s * S)
    assert switch.is_due(at_s * S)
    switch.sent(at_s * S)
    switch.renewed(at_s * S, at_s * S)
    return switch


def test_it_is_renewed_every_15_s_and_expires_by_the_last_sending() -> None:
    switch = armed()
    assert switch.due_ns() == 15 * S and not switch.is_due(15 * S - 1) and switch.is_due(15 * S)
    switch.sent(15 * S)
    switch.renewed(15 * S, 16 * S)
    assert switch.expires_ns == 75 * S and switch.renewals == 2


def test_a_renewal_that_fails_is_repeated_soon() -> None:
    switch = armed()
    assert switch.is_due(15 * S)
    switch.sent(15 * S)
    assert switch.due_ns() == 17 * S and switch.expires_ns == 60 * S


def test_once_lapsed_it_stays_so_until_armed_again() -> None:
    switch = armed()
    assert not switch.is_due(60 * S) and switch.state is SwitchState.LAPSED
    switch.renewed(59 * S, 61 * S)
    assert switch.state is SwitchState.LAPSED and switch.due_ns() is None
    switch.arm(70 * S)
    assert switch.is_due(70 * S)


def test_it_warns_once_after_30_s() -> None:
    switch = armed()
    assert not switch.wants_warning(30 * S - 1)
    assert switch.wants_warning(30 * S) and not switch.wants_warning(31 * S)
    switch.renewed(31 * S, 31 * S)
    assert switch.wants_warning(61 * S) and switch.warnings == 2


def test_disarmed_it_wants_nothing() -> None:
    switch = armed()
    switch.disarm()
    assert (switch.due_ns(), switch.expires_ns, switch.is_due(100 * S)) == (None, None, False)
    assert not switch.wants_warning(100 * S)
