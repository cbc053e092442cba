"""The bases that take and do nothing, and the sink that hands messages to Python."""

from __future__ import annotations

import pickle

import pytest

from kraken_fast.core.sink import MessageSink, PySink

from ..virtual import VirtualLoop, run_virtual
from ..wire import BINARY, TEXT, frame
from .test_listener import Bench


def test_python_gets_text_and_binary_as_bytes_with_their_arrival() -> None:
    texts: list[tuple[bytes, int]] = []
    binaries: list[tuple[bytes, int]] = []

    async def main(loop: VirtualLoop) -> None:
        sink = PySink(lambda *message: texts.append(message), lambda *message: binaries.append(message))
        bench = Bench(loop, sink=sink)
        await bench.connect()
        await bench.receive(frame(TEXT, b""), frame(TEXT, "é".encode()), frame(BINARY, b"\x00\xff"))
        now = loop.clock.monotonic_ns
        assert texts == [(b"", now), ("é".encode(), now)]
        assert binaries == [(b"\x00\xff", now)]
        assert bench.listener.binary_ignored == 0
        await bench.receive(frame(TEXT, b"\xff"))
        assert len(texts) == 2
        assert bench.owner.calls[-1] == ("closed", 1007, "text is not UTF-8", False)
        bench.peer.transport.abort()

    run_virtual(main)


def test_sinks_hold_pointers_and_are_not_pickled() -> None:
    for sink in (MessageSink(), PySink(print)):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(sink)
