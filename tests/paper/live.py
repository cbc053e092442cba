"""A live market without I/O: a second exchange in a box, whose public messages go straight to a decoder."""

from __future__ import annotations

from kraken_fast.core.clock import ManualClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.line import Line
from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.market import Market
from kraken_fast.sim.message import Message

BTC = "BTC/USD"
START_NS = 1_790_000_000_000_000_000
HEARTBEAT = b'{"channel":"heartbeat"}'
SUSPECT_NS = 1_500_000_000


class LiveMarket:
    """Public channels of BTC/USD.

    Args:
        depth: of the book.
        levels: price levels a side that the crowd keeps up.

    Attributes:
        told: the messages so far, by channel.
    """

    def __init__(self, *, seed: int = 3, depth: int = 10, levels: int = 30) -> None:
        self.clock = ManualClock(monotonic_ns=1_000_000_000, epoch_ns=START_NS)
        self.core = ExchangeCore(
            [BTC], seed=seed, now_ns=lambda: self.clock.epoch_ns, rate=0.0, levels=levels, accounts=[]
        )
        self.told: list[Message] = []
        self.callbacks = Callbacks()
        line = Line(self.clock, suspect_ns=SUSPECT_NS)
        self.decoder = Decoder(line, self.callbacks)
        self.decoder.want_book(BTC, depth)
        self.decoder.want_trades(BTC)
        self._depth = depth
        self._feed = self.core.feed(BTC)
        self.decoder.new_epoch()
        self.tell(self.core.listing.message("snapshot"))
        self._feed.subscribe(self, "book", depth)
        self._feed.subscribe(self, "trade", None)
        self.core.instrument_subscribers[self] = None  # type: ignore[index]  # it only delivers
        self.snapshot("book")
        self.snapshot("trade")

    @property
    def market(self) -> Market:
        """The live market."""
        return self.core.market(BTC)

    def snapshot(self, channel: str) -> None:
        """Tell a snapshot."""
        parameter = self._depth if channel == "book" else None
        self.deliver(self._feed.snapshot(channel, parameter, self.clock.epoch_ns))

    def deliver(self, message: Message) -> None:
        """Take a message of the exchange."""
        self.told.append(message)
        self.tell(message.text)

    def tell(self, text: str) -> None:
        """Give a message to the decoder."""
        self.decoder.feed(text.encode())

    def step(self, count: int = 1, pause_ns: int = 1_000_000) -> None:
        """Let the crowd act."""
        for _ in range(count):
            self.clock.advance(pause_ns)
            self.market.step(self.clock.epoch_ns)

    def silence(self, ns: int) -> None:
        """Let time pass in which nothing comes."""
        self.clock.advance(ns)
