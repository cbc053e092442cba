"""Names: Kraken's many spellings of assets and pairs, translated both ways. Ours are WebSocket v2's: `BTC`, `BTC/USD`.

REST knows an asset by its id (`XXBT`), its altname (`XBT`) and, on balances, with a suffix (`XBT.F`); a pair by its id
(`XXBTZUSD`), its altname (`XBTUSD`) and its wsname (`XBT/USD`). Rules such as "strip a leading X" are wrong (XTZ, XCN),
so pairs come from `AssetPairs`, and so do the assets in them; the ids of 21 old assets are known beforehand.

Source: rest.md section 5, from a dump of 732 assets and 1,670 pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UnknownSymbolError
from ..names import OLD_IDS, RENAMED

IDS = {**OLD_IDS, "KFEE": "FEE"}
"""The only asset ids that differ from the altname, of 732."""

SUFFIXES = ("F", "B", "S", "M", "P", "T", "HOLD")
"""Kinds of balances: earning, bonded, staked, opted in, parachain, tokenized, on hold."""


def split_suffix(name: str) -> tuple[str, str]:
    """Split the kind of balance from an asset's name.

    >>> split_suffix("XBT.F"), split_suffix("ETH2.S"), split_suffix("XXBT"), split_suffix("A.BC")
    (('XBT', 'F'), ('ETH2', 'S'), ('XXBT', ''), ('A.BC', ''))
    """
    base, dot, suffix = name.rpartition(".")
    # Bonded kinds carry their days, such as DOT28.S and ATOM21.S; the days belong to the base here.
    return (base, suffix) if dot and suffix in SUFFIXES else (name, "")


class InstrumentRegistry:
    """Translates names. Empty of pairs until `add_pairs`.

    >>> names = InstrumentRegistry()
    >>> names.add_pairs({"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}})
    >>> names.symbol("XBTUSD"), names.pair_id("BTC/USD"), names.asset("XBT.F"), names.asset_id("BTC")
    ('BTC/USD', 'XXBTZUSD', 'BTC.F', 'XXBT')
    """

    def __init__(self) -> None:
        self._asset_of: dict[str, str] = {}
        self._asset_id_of: dict[str, str] = {}
        self._symbols_of: dict[str, dict[str, None]] = {}
        self._id_of: dict[str, str] = {}
        for asset_id, altname in IDS.items():
            self._add_asset(asset_id, altname)

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, in the order of `AssetPairs`."""
        return tuple(self._id_of)

    def add_assets(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Learn from the result of `Assets`."""
        for asset_id, row in rows.items():
            if not split_suffix(asset_id)[1]:
                self._add_asset(asset_id, str(row.get("altname", asset_id)))

    def add_pairs(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Learn from the result of `AssetPairs`, and the assets that its rows name."""
        for pair_id, row in rows.items():
            wsname = row.get("wsname")
            if isinstance(wsname, str) and wsname.count("/") == 1:
                for asset_id, altname in zip((row["base"], row["quote"]), wsname.split("/"), strict=True):
                    self._add_asset(str(asset_id), altname)
            symbol = f"{self.asset(str(row['base']))}/{self.asset(str(row['quote']))}"
            self._id_of.setdefault(symbol, pair_id)
            names = (symbol, pair_id, row.get("altname"), wsname, symbol.replace("/", ""))
            for name in names:
                if isinstance(name, str) and name:
                    self._symbols_of.setdefault(name, {})[symbol] = None

    def symbol(self, name: str) -> str:
        """Give the symbol of a pair in any spelling.

        Raises:
            UnknownSymbolError: no pair, or several, are called so; with the nearest symbols.
        """
        if name in self._id_of:
            return name
        found = self._symbols_of.get(name, {})
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise UnknownSymbolError(name, tuple(found))
        plain = _spelled_out(name)
        raise (
            UnknownSymbolError.among(plain, self._id_of)
            if plain == name
            else UnknownSymbolError(name, UnknownSymbolError.among(plain, self._id_of).suggestions)
        )

    def symbols_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Give the symbols of several pairs, each once."""
        return tuple(dict.fromkeys(map(self.symbol, names)))

    def pair_id(self, name: str) -> str:
        """Give the id by which REST keys its answers, such as `XXBTZUSD`.

        Raises:
            UnknownSymbolError: as `symbol`.
        """
        return self._id_of[self.symbol(name)]

    def symbol_or_name(self, name: str) -> str:
        """Give the symbol of a pair that an answer names; a pair that is no longer listed keeps its name."""
        found = self._symbols_of.get(name, {})
        return next(iter(found)) if len(found) == 1 else name

    def asset(self, name: str) -> str:
        """Give our name of an asset in any spelling; a suffix stays, and what is not known stays as it is."""
        base, suffix = split_suffix(name)
        ours = self._asset_of.get(base, RENAMED.get(base, base))
        return f"{ours}.{suffix}" if suffix else ours

    def asset_id(self, name: str) -> str:
        """Give the id of an asset in any spelling; a suffix stays on the altname, as REST has it."""
        base, suffix = split_suffix(name)
        if suffix:
            return name
        return self._asset_id_of.get(self.asset(base), base)

    def _add_asset(self, asset_id: str, altname: str) -> None:
        ours = RENAMED.get(altname, altname)
        for spelling in (asset_id, altname, ours):
            self._asset_of.setdefault(spelling, ours)
        self._asset_id_of.setdefault(ours, asset_id)


def _spelled_out(name: str) -> str:
    """Bring a name nearer to ours, so that suggestions are good: XBT-USD becomes BTC/USD."""
    text = name.upper().replace("-", "/").replace("_", "/").replace(" ", "")
    return "/".join(RENAMED.get(part, part) for part in text.split("/"))
