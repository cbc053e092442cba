"""Plays a tape: a market feed whose messages were written beforehand.

To sessions a reel looks like the feed of a market (`feed.MarketFeed`), so acknowledgements, heartbeats, snapshots and
all faults are those of every exchange in a box; only the messages come ready. A book's state is worked out when
somebody asks for a snapshot, from the rows played so far.
"""

from __future__ import annotations

from .feed import Parameter, Subscriber
from .market import BookTruth
from .message import Message
from .reference import checksum
from .requests import Refusal, Request
from .tape import Reel, Row, Tape, book_text
from .texts import NS_PER_S

_LAG_MAX_NS = NS_PER_S


class ReelFeed:
    """One pair of a tape, as far as it was played.

    Args:
        reel: what it plays.
        depth: the tape's.
    """

    def __init__(self, reel: Reel, depth: int) -> None:
        self.played = 0
        self.subscribers: dict[Subscriber, None] = {}
        self.reel = reel
        self._depth = depth

    def subscribe(self, subscriber: Subscriber, _channel: str, _parameter: Parameter) -> None:
        """Begin to tell a subscriber; the snapshot is asked for separately."""
        self.subscribers[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, _channel: str, _parameter: Parameter) -> None:
        """Tell a subscriber no more."""
        self.subscribers.pop(subscriber, None)

    def snapshot(self, channel: str, _parameter: Parameter, _now_ns: int) -> Message:
        """Write the book as it is now. Cost: O(messages played in this round)."""
        bids, asks = self._sides()
        rows: list[Row] = [(True, *level) for level in bids]
        rows += [(False, *level) for level in asks]
        text = book_text(self.reel.pair, "snapshot", rows, bids, asks)
        return Message(text, "snapshot", channel, self.reel.pair.symbol)

    def truth(self, now_ns: int) -> BookTruth:
        """Give the book as it is now, to the tape's depth."""
        pair, (bids, asks) = self.reel.pair, self._sides()
        exact_bids, exact_asks = (
            tuple((pair.price(ticks), pair.qty(lots)) for ticks, lots in side) for side in (bids, asks)
        )
        return BookTruth(pair.symbol, now_ns, exact_bids, exact_asks, checksum(exact_asks, exact_bids))

    def _sides(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Work out the levels in scope: bids and asks, best first, (ticks, lots)."""
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for (is_bid, ticks), lots in self.reel.start.items():
            sides[is_bid][ticks] = lots
        for rows in self.reel.rows[: self.played % len(self.reel.updates)]:
            for is_bid, ticks, lots in rows:
                if lots:
                    sides[is_bid][ticks] = lots
                else:
                    sides[is_bid].pop(ticks, None)
            for side, worst in zip(sides, (max, min), strict=True):
                while len(side) > self._depth:
                    del side[worst(side)]
        asks, bids = sides
        return sorted(bids.items(), reverse=True), sorted(asks.items())


class TapePlayer:
    """Plays a tape at its rate, round and round.

    Args:
        tape: what to play.
        rate: messages a second of all pairs together; 0 leaves playing to the caller.
        now_ns: when it begins.
    """

    def __init__(self, tape: Tape, rate: float, now_ns: int) -> None:
        self.tape = tape
        self.feeds = {symbol: ReelFeed(reel, tape.depth) for symbol, reel in tape.reels.items()}
        self._rate = rate
        self._began_ns = now_ns
        self._due = 0  # messages played since then
        self._at = 0
        self._turns = [
            (self.feeds[symbol], Message(text, "update", "book", symbol))
            for symbol, text in zip(tape.order, tape.texts(), strict=True)
        ]

    @property
    def next_ns(self) -> int | None:
        """When the next message is due, or None if never."""
        return self._began_ns + int((self._due + 1) * NS_PER_S / self._rate) if self._rate else None

    def advance(self, now_ns: int, messages_max: int) -> None:
        """Play what is due by now, at most so many messages; more than a second behind, let the rest be."""
        if not self._rate:
            return
        due = int((now_ns - self._began_ns) * self._rate / NS_PER_S) - self._due
        count = max(0, min(due, messages_max))
        self.play(count)
        self._due += count
        if (due - count) * NS_PER_S > _LAG_MAX_NS * self._rate:
            self._began_ns, self._due = now_ns, 0

    def play(self, count: int) -> None:
        """Play so many messages now. Cost: some 2 us a message and subscriber."""
        while count > 0:
            turns = self._turns[self._at : self._at + count]
            for feed, message in turns:
                feed.played += 1
                for subscriber in tuple(feed.subscribers):
                    subscriber.deliver(message)
            count -= len(turns)
            self._at = (self._at + len(turns)) % len(self._turns)

    def check(self, request: Request) -> None:
        """Refuse what is not on the tape.

        Raises:
            Refusal: another channel than book, or another depth than the tape's.
        """
        if request.channel == "instrument":
            return
        if request.channel != "book":
            raise Refusal("Channel not on this tape", request.method, req_id=request.req_id)
        if request.parameter != self.tape.depth:
            raise Refusal("Subscription depth not supported", request.method, req_id=request.req_id)
