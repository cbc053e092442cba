"""An exchange in a box: Kraken's side of the wire, for tests of this package and of your bot.

`Exchange` serves it on sockets, `ExchangeCore` is the same without any I/O, `ReferenceBook` is the oracle. It
is an independent second implementation and imports nothing of the compiled core: that is what makes it a
judge.

| I want to...                                  | open            |
|-----------------------------------------------|-----------------|
| know what one market does, event by event     | `market.py`     |
| see how a book update gets its rows           | `feedbook.py`, `level3.py` |
| see the exact words of a refusal              | `requests.py`, `drafts.py`, `admission.py` |
| see why a private call was let in or refused  | `gate.py`       |
| know what an account owns and did             | `account.py`, `records.py` |
| follow an order from acceptance to its end    | `desk.py`       |
| see how a fill becomes money                  | `clearing.py`   |
| see what a REST endpoint answers              | `public.py`, `private.py`, `queries.py`, `entry.py` |
| see which host serves what, and who may ask   | `faces.py`, `tokens.py` |
| see what an account's channels say            | `streams.py`, `stream_rows.py` |
| follow an order that came over the WebSocket  | `ws_orders.py`, `ws_trading.py`, `trade_fields.py` |
| break something on purpose                    | `faults.py`; what it does to orders: `mishaps.py` |
| run it in virtual time                        | `core.py`       |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .account import NewAccount
    from .core import ExchangeCore
    from .exchange import Exchange, serve
    from .reference import ReferenceBook
    from .reference3 import ReferenceLevel3

__all__ = ["Exchange", "ExchangeCore", "NewAccount", "ReferenceBook", "ReferenceLevel3", "serve"]

_HOMES = {
    "Exchange": "exchange",
    "ExchangeCore": "core",
    "NewAccount": "account",
    "ReferenceBook": "reference",
    "ReferenceLevel3": "reference3",
    "serve": "exchange",
}


def __getattr__(name: str) -> Any:
    # Imported on demand: who wants the reference book does not pay for an HTTP server.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
