"""The private line and whoever trades over it fit each other by shape."""

from __future__ import annotations

import pytest

from kraken_fast.orders.entry import OrderEntry
from kraken_fast.private.line import LineListener, TradingLine
from kraken_fast.private.session import PrivateSession


def public(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


@pytest.mark.parametrize(("protocol", "kind"), [(LineListener, OrderEntry), (TradingLine, PrivateSession)])
def test_one_has_what_the_other_needs(protocol: type, kind: type) -> None:
    assert {name for name in public(protocol) if not hasattr(kind, name)} == set()


def test_nothing_was_added_unseen() -> None:
    assert public(LineListener) == {
        "on_up", "on_down", "on_reply", "on_executions", "on_status", "on_rate_limit"
    }  # fmt: skip
    assert public(TradingLine) == {"is_up", "token", "send", "gapless_since", "listen"}
