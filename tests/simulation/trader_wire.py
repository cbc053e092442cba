"""What a trader's judge reads off the wire by itself: an account's numbered messages, and the requests that left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kraken_fast.sim.frames import OP_TEXT, FrameReader

from .records import Downstream

CHANNELS = ("executions", "balances")


@dataclass
class Numbered:
    """One channel on one connection, as far as it was read.

    Attributes:
        is_whole: a snapshot came, and every message since carried the next number.
        totals: of `balances`, by asset.
        last_id: the ledger's entry that was told last; empty after a snapshot.
    """

    number: int = 0
    is_whole: bool = False
    totals: dict[str, Decimal] = field(default_factory=dict)
    last_id: str = ""

    def take(self, message: dict[str, Any]) -> None:
        """Take a message as it was read."""
        is_snapshot = message["type"] == "snapshot"
        self.is_whole = is_snapshot or (self.is_whole and message["sequence"] == self.number + 1)
        self.number = message["sequence"]
        if message["channel"] != "balances":
            return
        if is_snapshot:
            self.totals, self.last_id = {}, ""
        for row in message["data"]:
            self.totals[row["asset"]] = row["balance"]
            self.last_id = row.get("ledger_id", "")


class PrivateDownstream(Downstream):
    """What of one private connection the client has read.

    Attributes:
        system: the engine's state as it was told last.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        super().__init__(symbols)
        self.channels = {name: Numbered() for name in CHANNELS}
        self.system = ""

    def _take(self, text: bytes, now_ns: int) -> None:
        self.text_ns = now_ns
        message = json.loads(text, parse_float=Decimal)
        channel = message.get("channel")
        if channel in self.channels:
            self.channels[channel].take(message)
        elif channel == "status":
            self.system = message["data"][0]["system"]


class Upstream:
    """The requests of one connection, as the client writes them."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._head = b""
        self._has_head = False

    def take(self, data: bytes) -> list[str]:
        """Give the texts that are whole now."""
        if not self._has_head:
            self._head += data
            _, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return []
            self._has_head = True
        self._reader.feed(data)
        texts = []
        while (frame := self._reader.next()) is not None:
            if frame.opcode == OP_TEXT:
                texts.append(frame.payload.decode())
        return texts


def orders_of(text: str) -> list[dict[str, str]]:
    """Give the orders of an adding request, amounts as text; nothing of any other request."""
    request = json.loads(text, parse_float=str, parse_int=str)
    if request["method"] == "add_order":
        return [request["params"]]
    return list(request["params"]["orders"]) if request["method"] == "batch_add" else []


def name_of(order: dict[str, Any]) -> str:
    """Give what order entry calls an order."""
    return str(order.get("cl_ord_id") or f"#{order['order_userref']}")
