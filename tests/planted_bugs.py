"""Bugs to plant in the client, one at a time: each a small change that a careless hand might make.

An edit is (file, old text, new text); the old text must occur exactly once, so a bug that no longer fits the source
fails loudly instead of planting nothing. Run by `planted.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One bug.

    Attributes:
        name: what it does, short.
        edits: (file under kraken_fast, old text, new text).
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]


def _bug(name: str, *edits: tuple[str, str, str]) -> Bug:
    return Bug(name, edits)


BOOK, DECODE, MARKET = "core/book.pyx", "core/decode.pyx", "core/market.pyx"

BUGS = [
    # The book.
    _bug("no truncation after an update", (BOOK, "    if _count(side) > depth:  ", "    if _count(side) > 2 * depth + 50:  ")),
    _bug("removals are kept as levels of quantity 0", (BOOK, "        if qty:\n", "        if qty >= 0:\n")),
    _bug("the checksum is ignored", (BOOK, "            result = OK if checksum < 0 or self.computed_checksum() == checksum else MISMATCH\n        if result", "            result = OK\n        if result")),
    _bug("sides swapped in the checksum", (BOOK, "return finish(_join(&self.ask_side, self.portable), _join(&self.bid_side, self.portable), self.portable)", "return finish(_join(&self.bid_side, self.portable), _join(&self.ask_side, self.portable), self.portable)")),
    _bug("a mismatched book stays valid", (BOOK, "            self._state = BOOK_INVALID         #", "            pass         #")),
    _bug("a snapshot is merged instead of replacing", (BOOK, "        _clear(&self.bid_side)\n        _clear(&self.ask_side)\n        _set_all", "        _set_all")),
    _bug("a changed quantity keeps its old checksum token", (BOOK, "            if better < TOP:\n                side.tokens[better].length = 0\n                side.changed = True\n            return OK", "            if better < TOP:\n                side.changed = True\n            return OK")),
    _bug("bisecting is off by one below the 16 best", (BOOK, "            i = middle - 1\n", "            i = middle\n            if low == i - 1:\n                break\n")),
    _bug("a changed precision rereads old integers", (BOOK, "        self._drop()                           #", "        pass                                   #")),
    _bug("quality live means valid, however silent the line", (BOOK, 'return "live" if self.line.is_fresh() else "stale"', 'return "live"')),
    _bug("an unverified book is called live", (BOOK, 'return "unverified"', 'return "live"')),
    _bug("the age of a book is that of its last change seen from nowhere", (BOOK, "        return max(0.0, (self.line.clock.now_ns() - proven) / 1e6)", "        return 0.0")),
    _bug("prices pass through floats", ("core/fixed.pyx", "    return Decimal(PyUnicode_DecodeASCII(buf, length, NULL))", "    return Decimal(repr(float(PyUnicode_DecodeASCII(buf, length, NULL))))")),
    _bug("values are fresh for ten seconds of silence", ("core/line.pyx", "<= self.suspect_ns", "<= 10_000_000_000")),
    # The decoder and the stores.
    _bug("a new connection does not begin a new epoch", (DECODE, "        self.line.epoch += 1\n", "")),
    _bug("books live on into the next connection", (DECODE, "                slot.book.invalidate_to(BOOK_INVALID)", "                pass")),
    _bug("only the first symbol of a batch loses its book with the line", (DECODE, "                slot.book.invalidate_to(BOOK_INVALID)", "                slot.book.invalidate_to(BOOK_INVALID)\n                break")),
    _bug("a gap in trades goes undeclared", (MARKET, "            gap_first[0] = self.last_id + 1\n", "")),
    _bug("a gap in trades names one too few", (MARKET, "            gap_first[0] = self.last_id + 1\n", "            gap_first[0] = self.last_id + 2\n")),
    _bug("repeated trades are delivered again", (MARKET, "        if trade.trade_id <= self.last_id:\n", "        if trade.trade_id == self.last_id:\n")),
    _bug("a trade takes its quantity's decimals from its price", (DECODE, "trade.qty_digits = values[TRADE_QTY].digits", "trade.qty_digits = values[TRADE_PRICE].digits")),
    _bug("a candle changes after its close without a word", (MARKET, "return CANDLE_UPDATED if position == self.count else CANDLE_CORRECTED", "return CANDLE_UPDATED")),
    _bug("a ticker of the last connection is called live", (MARKET, '"live" if self.epoch == self.line.epoch and self.line.is_fresh()', '"live" if self.line.is_fresh()')),
    _bug("the rest of a fragmented message is taken for the whole", ("core/frames.pyx", "        message.data = self._kept\n        message.size = self._kept_size\n", "        message.data = data\n        message.size = size\n")),
    # The session and its subscriptions.
    _bug("a lost symbol takes all others with it", ("session.py", "        now_ns = self.clock.monotonic_ns\n        self._note(\"book_lost\"", "        now_ns = self.clock.monotonic_ns\n        for name in self.decoder.kept_symbols():\n            if (other := self.decoder.book(name)) is not None:\n                other.invalidate()\n        self._note(\"book_lost\"")),
    _bug("a lost book is not asked for again", ("subscriptions.py", "        entry.resyncs.begun_ns.append(now_ns)\n        self._leave(entry)", "        entry.resyncs.begun_ns.append(now_ns)")),
    _bug("nothing is subscribed to after a reconnect", ("subscriptions.py", "            if entry.phase is Phase.IDLE:\n                self._queue(entry)\n            if entry.is_unverified", "            if entry.phase is Phase.IDLE and not self._req_id:\n                self._queue(entry)\n            if entry.is_unverified")),
    _bug("acknowledgements of the last connection still count", ("subscriptions.py", "            if entry.phase is not Phase.REFUSED:\n                self._enter(entry, Phase.IDLE)\n\n    def on_ack", "            if entry.phase not in (Phase.REFUSED, Phase.DELIVERING):\n                self._enter(entry, Phase.IDLE)\n\n    def on_ack")),
    _bug("an acknowledgement is taken for data", ("subscriptions.py", "elif entry.channel in OWES_SNAPSHOT and not entry.snapshot_seen:", "elif False:")),
    _bug("an unanswered request is never repeated", ("subscriptions.py", "            if entry.asked < 2 or (request.is_subscribe and not entry.wanted):\n                self._repeat(entry, request)\n            elif request.is_subscribe:\n                self._lose(", "            if request.is_subscribe:\n                continue\n            elif request.is_subscribe:\n                self._lose(")),
    _bug("what is lost is never tried again", ("subscriptions.py", "        elif entry.phase is Phase.LOST:\n            entry.asked = entry.unserved = 0\n            if entry.was_acked:", "        elif entry.phase is Phase.LOST:\n            return\n            if entry.was_acked:")),
    _bug("an unverified book is never retried", ("subscriptions.py", "        if entry.phase is Phase.DELIVERING:\n            self._resync_now(entry, now_ns)", "        if entry.phase is Phase.LOST:\n            self._resync_now(entry, now_ns)")),
    _bug("a user's exception recycles the line", ("session.py", 'if channel.startswith("on_") and self.connection', "if self.connection")),
    _bug("closing leaves the watch running", ("session.py", "            self._watch_timer.cancel()\n            self._watch_timer = None\n        if self.ready", "            self._watch_timer = None\n        if self.ready")),
    _bug("the watch spins", ("session.py", "call_later(WATCH_S, self._watch)", "call_later(WATCH_S / 1000, self._watch)")),
    # The line.
    _bug("silence is never judged", ("transport.py", "        if self._is_armed:\n            self._judge_silence(now_ns)", "        if False:\n            self._judge_silence(now_ns)")),
    _bug("reconnecting without pause and without a budget", ("policy.py", "        return floor_s + self._rng.uniform(0.0, ceiling)", "        return 0.0"), ("transport.py", "        if self._budget is None:\n            return 0.0\n", "        if True:\n            return 0.0\n")),
    _bug("a lost line stays live until silence shows", ("session.py", "        if new in (LineState.DOWN, LineState.CLOSED):\n", "        if new is LineState.CLOSED:\n")),
    _bug("sockets of lost connections are left open", ("transport.py", "        if protocol is not None:\n            self._release(protocol, linger_s)\n", "        if protocol is None:\n            self._release(protocol, linger_s)\n")),
    # What the user gets.
    _bug("a strict read gives anything", ("feed.py", '    if quality != "live":\n', '    if quality == "none":\n')),
    _bug("events that were dropped are not counted", ("events.py", "            self._lost += 1\n", "")),
    _bug("a reader's backlog has no bound", ("events.py", "        if len(self._single) >= self._size:\n", "        if len(self._single) < 0:\n")),
    _bug("the newest event is dropped instead of the oldest, uncounted", ("events.py", "            self._single.popleft()\n            self._lost += 1\n            self.dropped += 1\n", "            return\n")),
]  # fmt: skip
