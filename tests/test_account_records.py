"""What an account tells: what is free follows from what is held, and unknown stays unknown."""

from __future__ import annotations

from decimal import Decimal

from kraken_fast.account_records import AccountBalance


def test_free_is_total_less_hold_and_unknown_while_the_hold_is() -> None:
    facts = {"asset": "USD", "total": Decimal("100.5"), "quality": "live", "age_ms": 3.0}
    known = AccountBalance(hold=Decimal("0.5"), hold_source="rest", **facts)  # type: ignore[arg-type]
    assert known.free == Decimal(100) and known.total_source == "stream"
    unknown = AccountBalance(hold=None, hold_source="none", **facts)  # type: ignore[arg-type]
    assert unknown.free is None
