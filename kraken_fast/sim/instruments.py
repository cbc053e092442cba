"""The pairs and assets that the exchange lists: recorded ones, in today's wire form, with their REST names.

The recording is of 2024; `class` and `ws_display_price_precision`, which the channel has gained since, are
added. Kraken's REST API calls most things as the WebSocket does, and 21 assets and some 40 pairs otherwise:
those are tables, because no rule gives them (a leading X or Z may belong to the name: XTZ, ZRX).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal

from ..errors import UnknownSymbolError
from .texts import shortest

PairStatus = Literal[
    "online",
    "post_only",
    "limit_only",
    "cancel_only",
    "reduce_only",
    "maintenance",
    "work_in_progress",
    "delisted",
]

# REST names what WebSocket v2 calls otherwise, before any X or Z is put in front.
ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}

# The assets of REST whose id differs from their altname (a dump of 732 assets had these 21 and no other).
LEGACY_ASSET_IDS = {
    **{name: f"X{name}" for name in ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP")},
    **{name: f"Z{name}" for name in ("ARS", "AUD", "CAD", "COP", "EUR", "GBP", "JPY", "MXN", "USD")},
    "FEE": "KFEE",
    "ZEC": "XZEC",
}

# The pairs of REST whose id is made of the ids of their assets; every other pair's id is its altname.
_LEGACY_QUOTES = {
    "BTC": "CAD EUR GBP JPY USD",
    "DOGE": "BTC",
    "ETC": "BTC ETH EUR USD",
    "ETH": "BTC CAD EUR GBP JPY USD",
    "EUR": "USD",
    "GBP": "USD",
    "LTC": "BTC EUR JPY USD",
    "MLN": "BTC ETH EUR USD",
    "REP": "BTC ETH EUR USD",
    "USD": "CAD JPY",
    "XLM": "AUD BTC EUR GBP USD",
    "XMR": "BTC EUR USD",
    "XRP": "BTC CAD EUR JPY USD",
    "ZEC": "BTC EUR USD",
}
LEGACY_PAIRS = frozenset(
    f"{base}/{quote}" for base, quotes in _LEGACY_QUOTES.items() for quote in quotes.split()
)


def asset_altname(asset: str) -> str:
    """Give REST's short name of an asset.

    >>> asset_altname("BTC"), asset_altname("XTZ")
    ('XBT', 'XTZ')
    """
    return ALTNAMES.get(asset, asset)


def asset_id(asset: str) -> str:
    """Give REST's internal id of an asset.

    >>> asset_id("BTC"), asset_id("USD"), asset_id("USDT")
    ('XXBT', 'ZUSD', 'USDT')
    """
    altname = asset_altname(asset)
    return LEGACY_ASSET_IDS.get(altname, altname)


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset as the `instrument` channel lists it."""

    id: str
    status: str
    precision: int
    precision_display: int
    borrowable: bool
    collateral_value: Decimal
    margin_rate: Decimal | None

    def wire(self) -> str:
        """Write the asset as one object of the `instrument` channel."""
        rate = "" if self.margin_rate is None else f',"margin_rate":{shortest(self.margin_rate)}'
        return (
            f'{{"id":"{self.id}","status":"{self.status}","precision":{self.precision},'
            f'"precision_display":{self.precision_display},"borrowable":{_bool(self.borrowable)},'
            f'"collateral_value":{shortest(self.collateral_value)},"class":"currency"{rate}}}'
        )


@dataclass(frozen=True, slots=True)
class Margin:
    """What a marginable pair lists besides."""

    initial: Decimal
    position_limit_long: int
    position_limit_short: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair as the `instrument` channel lists it; increments are one unit of their precision."""

    symbol: str
    base: str
    quote: str
    status: PairStatus
    qty_precision: int
    price_precision: int
    cost_precision: int
    marginable: bool
    has_index: bool
    cost_min: Decimal
    qty_min: Decimal
    margin: Margin | None

    @property
    def price_increment(self) -> Decimal:
        """The step of prices."""
        return Decimal(1).scaleb(-self.price_precision)

    @property
    def qty_increment(self) -> Decimal:
        """The step of quantities."""
        return Decimal(1).scaleb(-self.qty_precision)

    @property
    def altname(self) -> str:
        """REST's short name, such as XBTUSD."""
        return asset_altname(self.base) + asset_altname(self.quote)

    @property
    def wsname(self) -> str:
        """The name of the first WebSocket API, which REST still gives, such as XBT/USD."""
        return f"{asset_altname(self.base)}/{asset_altname(self.quote)}"

    @property
    def rest_id(self) -> str:
        """The key under which REST answers, such as XXBTZUSD."""
        return asset_id(self.base) + asset_id(self.quote) if self.symbol in LEGACY_PAIRS else self.altname

    def price(self, ticks: int) -> Decimal:
        """Make a price of so many increments, padded to the pair's precision."""
        return Decimal(ticks).scaleb(-self.price_precision)

    def qty(self, lots: int) -> Decimal:
        """Make a quantity of so many increments, padded to the pair's precision."""
        return Decimal(lots).scaleb(-self.qty_precision)

    def with_precision(self, price: int | None = None, qty: int | None = None) -> Pair:
        """Give the same pair with other precisions."""
        return replace(
            self,
            price_precision=self.price_precision if price is None else price,
            qty_precision=self.qty_precision if qty is None else qty,
        )

    def with_status(self, status: PairStatus) -> Pair:
        """Give the same pair in another state."""
        return replace(self, status=status)

    def wire(self) -> str:
        """Write the pair as one object of the `instrument` channel."""
        margin = ""
        if self.margin is not None:
            margin = (
                f'"margin_initial":{shortest(self.margin.initial)},'
                f'"position_limit_long":{self.margin.position_limit_long},'
                f'"position_limit_short":{self.margin.position_limit_short},'
            )
        tick = shortest(self.price_increment)
        return (
            f'{{"symbol":"{self.symbol}","base":"{self.base}","quote":"{self.quote}",'
            f'"status":"{self.status}",'
            f'"qty_precision":{self.qty_precision},"qty_increment":{shortest(self.qty_increment)},'
            f'"price_precision":{self.price_precision},"cost_precision":{self.cost_precision},'
            f'"marginable":{_bool(self.marginable)},"has_index":{_bool(self.has_index)},'
            f'"ws_display_price_precision":{self.price_precision},'
            f'"cost_min":{shortest(self.cost_min)},{margin}'
            f'"tick_size":{tick},"price_increment":{tick},"qty_min":{shortest(self.qty_min)}}}'
        )


class Listing:
    """The pairs that one exchange lists and the assets that they are made of.

    Args:
        symbols: what to list, or None for everything recorded.

    Raises:
        UnknownSymbolError: a symbol was not recorded; near ones are suggested.
    """

    def __init__(self, symbols: Iterable[str] | None = None) -> None:
        assets, recorded = _recorded()
        wanted = list(recorded) if symbols is None else list(dict.fromkeys(symbols))
        for symbol in wanted:
            if symbol not in recorded:
                raise unknown_symbol(symbol, recorded)
        self.pairs: dict[str, Pair] = {symbol: recorded[symbol] for symbol in wanted}
        used = {asset for pair in self.pairs.values() for asset in (pair.base, pair.quote)}
        if symbols is None:
            used = set(assets)
        self.assets: dict[str, Asset] = {name: asset for name, asset in assets.items() if name in used}
        self._symbols: dict[str, str] = {}

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Listing:
        """List pairs that may be made up; an asset that was not recorded looks like DOGE."""
        assets, _ = _recorded()
        listing = cls(())
        listing.pairs = {pair.symbol: pair for pair in pairs}
        names = dict.fromkeys(asset for pair in listing.pairs.values() for asset in (pair.base, pair.quote))
        listing.assets = {name: assets.get(name) or replace(assets["DOGE"], id=name) for name in names}
        return listing

    def pair(self, symbol: str) -> Pair:
        """Give a listed pair.

        Raises:
            UnknownSymbolError: it is not listed here.
        """
        try:
            return self.pairs[symbol]
        except KeyError:
            raise unknown_symbol(symbol, self.pairs) from None

    def named(self, name: str) -> Pair | None:
        """Give the pair that REST knows by this name: symbol, id, altname or wsname; None if none."""
        if not self._symbols:
            self._symbols = _aliases(self.pairs)  # made when first asked for: a tape has a thousand pairs
        symbol = self._symbols.get(name)
        return None if symbol is None else self.pairs[symbol]

    def message(self, kind: str) -> str:
        """Write the whole listing as one `instrument` message."""
        return instrument_message(kind, self.assets.values(), self.pairs.values())


def _aliases(pairs: Mapping[str, Pair]) -> dict[str, str]:
    """Give the symbol for every name that somebody may call a pair by."""
    return {
        alias: pair.symbol
        for pair in pairs.values()
        for alias in (pair.symbol, pair.base + pair.quote, pair.altname, pair.wsname, pair.rest_id)
    }


def instrument_message(kind: str, assets: Iterable[Asset] = (), pairs: Iterable[Pair] = ()) -> str:
    """Write one `instrument` message; `data` is an object here, unlike everywhere else."""
    asset_rows = ",".join(asset.wire() for asset in assets)
    pair_rows = ",".join(pair.wire() for pair in pairs)
    return (
        f'{{"channel":"instrument","type":"{kind}","data":{{"assets":[{asset_rows}],"pairs":[{pair_rows}]}}}}'
    )


def unknown_symbol(symbol: str, known: Iterable[str]) -> UnknownSymbolError:
    """Build the error for a symbol that is not among `known`, with the names that look like it."""
    names = {altname: name for name, altname in ALTNAMES.items()}
    modern = "/".join(names.get(part, part) for part in symbol.upper().split("/"))
    return UnknownSymbolError(symbol, tuple(difflib.get_close_matches(modern, list(known), n=3)))


def start_price(pair: Pair) -> int:
    """Guess a price for a pair of which none was recorded, in ticks.

    Kraken sets `qty_min` and `cost_min` to about 6.50 and 0.50 of the same money, so thirteen times their
    quotient is near the real price. Bounded below so that a book has room under its best bid.
    """
    return max(1_000, int(pair.cost_min * 13 / pair.qty_min / pair.price_increment))


@cache
def _recorded() -> tuple[Mapping[str, Asset], Mapping[str, Pair]]:
    raw = resources.files(__package__).joinpath("data/instruments-2024.json").read_text("utf-8")
    data = json.loads(raw, parse_float=Decimal)["data"]
    assets = {row["id"]: _asset(row) for row in data["assets"]}
    return assets, {row["symbol"]: _pair(row) for row in data["pairs"]}


def _asset(row: Mapping[str, Any]) -> Asset:
    rate = row.get("margin_rate")
    return Asset(
        id=row["id"],
        status=row["status"],
        precision=row["precision"],
        precision_display=row["precision_display"],
        borrowable=row["borrowable"],
        collateral_value=Decimal(row["collateral_value"]),
        margin_rate=None if rate is None else Decimal(rate),
    )


def _pair(row: Mapping[str, Any]) -> Pair:
    margin = None
    if "margin_initial" in row:
        margin = Margin(
            Decimal(row["margin_initial"]), row["position_limit_long"], row["position_limit_short"]
        )
    pair = Pair(
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        status=row["status"],
        qty_precision=row["qty_precision"],
        price_precision=row["price_precision"],
        cost_precision=row["cost_precision"],
        marginable=row["marginable"],
        has_index=row["has_index"],
        cost_min=Decimal(row["cost_min"]),
        qty_min=Decimal(row["qty_min"]),
        margin=margin,
    )
    assert pair.price_increment == Decimal(row["price_increment"]), row
    assert pair.qty_increment == Decimal(row["qty_increment"]), row
    return pair


def _bool(value: bool) -> str:
    return "true" if value else "false"
