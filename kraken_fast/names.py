"""One name a pair: Kraken's older spellings turned into WebSocket v2's, `XXBTZUSD`, `XBTUSD`, `XBT/USD` into `BTC/USD`.

By rules that need no list of pairs, so that a feed can be opened with any spelling. Only ids of the table lose their X
or Z: stripping by rule would break XTZ and XCN. Whether the pair exists, the exchange says.

Source: rest.md section 5, from a dump of 732 assets and 1,670 pairs.
"""

from __future__ import annotations

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
"""Altnames of REST that WebSocket v2 spells otherwise."""

OLD_IDS = {
    **{
        f"X{name}": name
        for name in ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC")
    },
    **{f"Z{name}": name for name in ("ARS", "AUD", "CAD", "COP", "EUR", "GBP", "JPY", "MXN", "USD")},
}
"""Asset ids that differ from their altname."""

QUOTES = ("USDT", "USDC", "PYUSD", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "XBT", "BTC", "ETH", "DOT")
"""What a name without slash may end in; the longest that fits counts."""


def canonical_asset(name: str) -> str:
    """Give an asset's WebSocket v2 name.

    >>> canonical_asset("XXBT"), canonical_asset("XDG"), canonical_asset("ZUSD"), canonical_asset("XTZ")
    ('BTC', 'DOGE', 'USD', 'XTZ')
    """
    name = OLD_IDS.get(name, name)
    return RENAMED.get(name, name)


def canonical_symbol(name: str) -> str:
    """Give a pair's WebSocket v2 symbol; what is in no known spelling comes back as it is.

    >>> [canonical_symbol(name) for name in ("XBT/USD", "XXBTZUSD", "XBTUSDT", "XDG/EUR", "BTC/USD", "?")]
    ['BTC/USD', 'BTC/USD', 'BTC/USDT', 'DOGE/EUR', 'BTC/USD', '?']
    """
    base, slash, quote = name.partition("/")
    if not slash:
        base, quote = _split(name)
    return f"{canonical_asset(base)}/{canonical_asset(quote)}" if base and quote else name


def _split(name: str) -> tuple[str, str]:
    if name[:4] in OLD_IDS and name[4:] in OLD_IDS:
        return name[:4], name[4:]
    quote = max((quote for quote in QUOTES if name.endswith(quote)), key=len, default="")
    base = name.removesuffix(quote)
    return (base, quote) if quote and len(base) > 1 else ("", "")
