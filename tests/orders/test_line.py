"""Order entry and its lines fit each other by shape."""

from __future__ import annotations

from kraken_fast.orders.entry import OrderEntry
from kraken_fast.orders.line import LineListener, TradingLine


def test_order_entry_hears_all_that_a_line_tells() -> None:
    told = {name for name in vars(LineListener) if name.startswith("on_")}
    assert told == {"on_up", "on_down", "on_reply", "on_executions", "on_status", "on_rate_limit"}
    assert all(callable(getattr(OrderEntry, name)) for name in told)


def test_what_a_line_offers() -> None:
    assert {"is_up", "token", "send", "gapless_since", "listen"} <= set(vars(TradingLine))
