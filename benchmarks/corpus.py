"""Seeded, realistic frames of Kraken's WebSocket v2.

A book message that moves nothing measures nothing, and one with a wrong checksum measures the wrong path. So the frames
come out of the exchange in a box: markets with a crowd, every checksum right, in the exchange's own number text and
key order. The same arguments give the same bytes on every machine.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.message import Message
from kraken_fast.sim.session import WsSession

BEGIN_NS = 1_767_225_600_000_000_000
"""The corpus plays on 2026-01-01."""

STEP_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Messages of one session in the order of the wire, acknowledgements and heartbeats left out.

    Attributes:
        snapshots: the first message of each channel and symbol.
        updates: all that followed.
    """

    snapshots: list[bytes]
    updates: list[bytes]

    @property
    def bytes_mean(self) -> float:
        """Mean size of an update."""
        return sum(map(len, self.updates)) / len(self.updates)


def market_messages(
    channel: str, symbols: Sequence[str] = ("BTC/USD",), *, updates: int = 5_000, depth: int = 10, seed: int = 1
) -> Corpus:
    """Let markets run until there are so many updates of a channel."""
    now_ns = BEGIN_NS
    core = ExchangeCore(symbols, seed=seed, now_ns=lambda: now_ns, rate=100.0)
    sent: list[Message] = []
    session = WsSession(core, 1, random.Random(seed), sent.append, lambda _code, _reason: None)
    parameters = {"book": {"depth": depth}, "ticker": {"event_trigger": "bbo"}, "ohlc": {"interval": 1}}
    session.receive(
        json.dumps(
            {
                "method": "subscribe",
                "params": {
                    "channel": channel,
                    "symbol": list(symbols),
                    "snapshot": True,
                    **parameters.get(channel, {}),
                },
            }
        ).encode()
    )
    corpus = Corpus([], [])
    while len(corpus.updates) < updates:
        now_ns += STEP_NS
        core.advance()
        session.poll()
        for message in sent:
            kind, text = message.kind, message.text
            if message.channel == channel and kind in ("snapshot", "update"):
                (corpus.snapshots if kind == "snapshot" else corpus.updates).append(text.encode())
        sent.clear()
    del corpus.updates[updates:]
    return corpus
