"""Some seeds of the swarms beside the feed's: lines of a coordinator with and without REST, orders alone."""

from __future__ import annotations

import pytest

from .others import ORDERS, run_lines, run_orders


@pytest.mark.fault("S11", kind="D")
@pytest.mark.fault("S24", kind="D")
@pytest.mark.parametrize("seed", range(4))
def test_lines(seed: int) -> None:
    assert run_lines(seed) > 100


def test_orders() -> None:
    assert run_orders(1) == ORDERS
