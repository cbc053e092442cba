"""A line: its clock, its name, its epoch and when it was heard."""

from __future__ import annotations

import pytest

from kraken_fast.core.clock import ManualClock, SystemClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.line import Line


def test_a_line_hears_through_its_decoder() -> None:
    line = Line(ManualClock(monotonic_ns=7), name="B")
    decoder = Decoder(line)
    assert (line.name, line.epoch, line.last_heard_ns) == ("B", 0, None)
    decoder.feed(b'{"channel":"heartbeat"}')
    assert line.last_heard_ns == 7
    decoder.feed(b"nonsense", recv_ns=9)
    assert line.last_heard_ns == 9, "any whole text counts, understood or not"
    decoder.feed(b"\xff", recv_ns=11)
    assert line.last_heard_ns == 9, "what is not UTF-8 is no text"
    decoder.new_epoch()
    assert line.epoch == 1


def test_defaults() -> None:
    line = Line()
    assert isinstance(line.clock, SystemClock)
    assert line.name == "A"
    with pytest.raises(AttributeError):
        line.epoch = 5
