"""One typed, keyword-only method for each REST endpoint, and no logic: that is in `client`.

| calls                                              | file         |
|----------------------------------------------------|--------------|
| time, status, instruments, prices, books, trades   | `market.py`  |
| the key, balances, orders, fills, ledgers, exports | `account.py` |
| add, amend, edit, cancel                           | `trading.py` |
| long lists as iterators                            | `crawls.py`  |
| names, sharing, caching: what all of them use      | `base.py`    |
"""

from __future__ import annotations

from .crawls import Crawls
from .trading import TradingCalls


class RestClient(Crawls, TradingCalls):
    """Kraken's REST API.

        async with RestClient(Credentials.find()) as client:
            ticker = await client.fetch_ticker(symbol="BTC/USD")
            balances = await client.fetch_balances()

    Symbols are WebSocket v2's (`BTC/USD`) everywhere; other spellings are understood. Numbers are exact. Waiting for
    the exchange's limits is part of a call; `wait_max_s` bounds it, `stats()` shows it. Arguments: see `RestCore`.
    """


__all__ = ["RestClient"]
