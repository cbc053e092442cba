"""Settings of order entry refuse what makes no sense."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kraken_fast.errors import ConfigError
from kraken_fast.orders.settings import OrderLimits, OrderSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline_s": 0.4}, {"deadline_s": 61.0}, {"answer_s": 0}, {"cancel_s": -1}, {"on_unknown": "resend"},
        {"when_limited": "push"}, {"on_exit": "run"}, {"tier": "gold"}, {"switch_s": 20}, {"switch_s": 90_000},
        {"rate_wait_max_s": 4000},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_setting_names_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        OrderSettings(**wrong)
    assert caught.value.field in wrong


def test_limits_are_exact_and_positive() -> None:
    with pytest.raises(ConfigError, match=r'Decimal\("0.05"\)'):
        OrderLimits(collar=0.05)  # type: ignore[arg-type]
    for wrong in ({"collar": Decimal(0)}, {"order_notional_max": Decimal(-1)}, {"open_orders_max": 0}):
        with pytest.raises(ConfigError):
            OrderLimits(**wrong)  # type: ignore[arg-type]
    OrderLimits(needs_quote=True)
    OrderSettings(switch_s=60)
