"""Sweeps ask in the order that proves something, page by page, and prove nothing when they are not whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kraken_fast.errors import DecodeError
from kraken_fast.orders.resolution import Sweep
from kraken_fast.orders.sweep import PAGES_MAX, carry_out


class Rest:
    """Answers from lists, and keeps what was asked."""

    def __init__(self, opened: int = 0, closed: int = 0, fills: int = 0) -> None:
        self.asked: list[str] = []
        self.opened = [SimpleNamespace(order_id=f"OPEN{n}") for n in range(opened)]
        self.closed = [SimpleNamespace(order_id=f"CLOSED{n}") for n in range(closed)]
        self.fills = [SimpleNamespace(order_id=f"FILLED{n}") for n in range(fills)]

    async def fetch_open_orders(self) -> Any:
        self.asked.append("open")
        return tuple(self.opened)

    async def fetch_closed_orders(self, *, ofs: int, **_: Any) -> Any:
        self.asked.append(f"closed {ofs}")
        return SimpleNamespace(orders=tuple(self.closed[ofs : ofs + 50]))

    async def fetch_fills(self, *, ofs: int, **_: Any) -> Any:
        self.asked.append(f"fills {ofs}")
        return SimpleNamespace(trades=tuple(self.fills[ofs : ofs + 50]))

    async def query_orders(self, *, order_ids: Any) -> Any:
        self.asked.append(f"query {len(order_ids)}")
        return tuple(SimpleNamespace(order_id=order_id) for order_id in order_ids)


async def found(rest: Rest, *order_ids: str, since_s: int | None = 1, with_fills: bool = True) -> list[str]:
    answers = await carry_out(rest, Sweep(order_ids, since_s, None, with_fills))  # type: ignore[arg-type]
    return [order.order_id for order in answers.orders]


async def test_open_before_closed_before_fills() -> None:
    rest = Rest(2, 60, 3)
    names = await found(rest)
    assert rest.asked == ["open", "closed 0", "closed 50", "fills 0", "query 3"]
    assert len(names) == 65 and names[-1] == "FILLED2"


async def test_what_was_found_is_not_asked_for_again() -> None:
    rest = Rest(1)
    await found(rest, "OPEN0", "X", with_fills=False)
    assert rest.asked == ["open", "closed 0", "query 1"]
    rest = Rest()
    await found(rest, *(f"O{n}" for n in range(120)), since_s=None)
    assert rest.asked == ["query 50", "query 50", "query 20"]


async def test_more_pages_than_are_read_are_no_whole_sweep() -> None:
    for rest in (Rest(closed=50 * PAGES_MAX), Rest(fills=50 * PAGES_MAX)):
        with pytest.raises(DecodeError, match="pages"):
            await found(rest)
