"""Recorded and catalogued messages, and a JSON printer that writes the same message in every legal way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

DATA = Path(__file__).parent / "data"

DECIMAL_KEYS = frozenset(
    [
        "price",
        "qty",
        "bid",
        "bid_qty",
        "ask",
        "ask_qty",
        "last",
        "volume",
        "vwap",
        "low",
        "high",
        "open",
        "close",
        "change",
        "change_pct",
        "volume_usd",
        "qty_increment",
        "cost_min",
        "margin_initial",
        "position_limit_long",
        "position_limit_short",
        "tick_size",
        "price_increment",
        "qty_min",
        "collateral_value",
        "margin_rate",
        "multiplier",
        "order_qty",
        "cum_qty",
        "cum_cost",
        "avg_price",
        "limit_price",
        "stop_price",
        "last_qty",
        "last_price",
        "cost",
        "fee_usd_equiv",
        "balance",
        "amount",
        "fee",
    ]
)
"""Keys whose numbers may be written with an exponent; all others are integers."""


class Number(str):
    """The text of a number, so that printing it again changes nothing."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """The members of an object, in order, duplicates kept."""


def book_vectors() -> list[dict[str, Any]]:
    """Every level-2 vector of checksum-vectors.json."""
    vectors = json.loads((DATA / "checksum-vectors.json").read_text())["vectors"]
    return [vector for vector in vectors if vector["kind"] == "book"]


def catalogue() -> dict[str, bytes]:
    """Every message that a client of the public endpoint can receive, by its id in messages-v2.json."""
    return {
        message["id"]: message["raw"].encode()
        for message in json.loads((DATA / "messages-v2.json").read_text())["messages"]
        if message["direction"] == "server->client" and message["endpoint"] in ("public", "any")
    }


def private_catalogue() -> dict[str, bytes]:
    """Every message of a private channel, level3 included, by its id in messages-v2.json."""
    return {
        message["id"]: message["raw"].encode()
        for message in json.loads((DATA / "messages-v2.json").read_text())["messages"]
        if message["direction"] == "server->client" and message["id"].startswith(("exec.", "bal.", "level3."))
    }


def level3_vectors() -> list[dict[str, Any]]:
    """Every level-3 vector of checksum-vectors.json."""
    vectors = json.loads((DATA / "checksum-vectors.json").read_text())["vectors"]
    return [vector for vector in vectors if vector["kind"] == "level3"]


def instrument_snapshot() -> bytes:
    """The one recorded `instrument` snapshot: 683 pairs, 296 assets."""
    return gzip.decompress((DATA / "instrument-snapshot-2024.jsonl.gz").read_bytes()).strip()


def recorded_lines(name: str) -> list[bytes]:
    """The messages of a `.jsonl` file, as on the wire."""
    return (DATA / name).read_bytes().splitlines()


def parse(raw: bytes) -> Any:
    """Parse JSON into Members, lists, strings, Numbers, booleans and None."""
    return json.loads(raw, parse_float=Number, parse_int=Number, object_pairs_hook=Members)


class Printer:
    """Writes a parsed message in another legal form.

    Args:
        random: where the choices come from.
        shuffle: members in any order.
        space: white space wherever it may stand.
        escape: keys and strings with escapes in them.
        extra: members nobody knows, nested ones too.
        exponent: numbers in exponent form.
    """

    def __init__(
        self,
        random: Random,
        *,
        shuffle: bool = False,
        space: bool = False,
        escape: bool = False,
        extra: bool = False,
        exponent: bool = False,
    ) -> None:
        self.random = random
        self.shuffle = shuffle
        self.space = space
        self.escape = escape
        self.extra = extra
        self.exponent = exponent

    def write(self, value: Any) -> bytes:
        return (self._gap() + self._value(value, "") + self._gap()).encode()

    def _value(self, value: Any, key: str) -> str:
        if isinstance(value, Members):
            members = list(value)
            if self.extra and self.random.random() < 0.4:
                members.append((f"extra{len(members)}", self._unknown(3)))
            if self.shuffle:
                self.random.shuffle(members)
            return "{" + ",".join(self._member(name, item) for name, item in members) + "}"
        if isinstance(value, list):
            return (
                "["
                + self._gap()
                + ",".join(self._gap() + self._value(v, key) + self._gap() for v in value)
                + "]"
            )
        if isinstance(value, Number):
            return self._number(value) if self.exponent and key in DECIMAL_KEYS else str(value)
        return self._string(value) if isinstance(value, str) else json.dumps(value)

    def _member(self, name: str, value: Any) -> str:
        return f"{self._gap()}{self._string(name)}{self._gap()}:{self._gap()}{self._value(value, name)}{self._gap()}"

    def _gap(self) -> str:
        return "".join(self.random.choices(" \t\r\n", k=self.random.randrange(3))) if self.space else ""

    def _string(self, text: str) -> str:
        if not self.escape:
            return json.dumps(text)
        return '"' + "".join(self._char(c) for c in text) + '"'

    def _char(self, char: str) -> str:
        choice = self.random.random()
        if char == "/" and choice < 0.5:
            return "\\/"
        if choice < 0.2:
            escaped = json.dumps(char)[1:-1] if ord(char) > 127 else f"\\u{ord(char):04x}"
            return escaped.upper().replace("\\U", "\\u") if choice < 0.1 else escaped
        return json.dumps(char, ensure_ascii=False)[1:-1]

    def _number(self, text: Number) -> str:
        if self.random.random() < 0.5 or "e" in text.lower():
            return str(text)
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", str(text))
        whole, _, decimals = digits.partition(".")
        letter = self.random.choice("eE")
        mantissa = (whole + decimals).lstrip("0") or "0"
        shift = -len(decimals)
        if self.random.random() < 0.5 and len(mantissa) > 1:
            place = self.random.randrange(1, len(mantissa))
            mantissa, shift = f"{mantissa[:place]}.{mantissa[place:]}", shift + len(mantissa) - place
        plus = "+" if shift >= 0 and self.random.random() < 0.5 else ""
        return f"{sign}{mantissa}{letter}{plus}{shift}"

    def _unknown(self, depth: int) -> Any:
        kind = self.random.randrange(8 if depth else 6)
        if kind == 6:
            return [self._unknown(depth - 1) for _ in range(self.random.randrange(4))]
        if kind == 7:
            return Members((f"k{i}", self._unknown(depth - 1)) for i in range(self.random.randrange(4)))
        return [Number("-1.5E+300"), Number("0"), 'te"\\xt\u00e9\U0001f419', True, None, ""][kind]
