"""The hook for recording sees every text message, and its failure costs nothing but the recording."""

from __future__ import annotations

from kraken_fast.core.tee import Tee

from ..virtual import VirtualLoop, run_virtual
from ..wire import TEXT, frame
from .test_listener import Bench


def test_the_base_writes_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        bench = Bench(loop, tee=Tee())
        await bench.connect()
        await bench.receive(frame(TEXT, b"1"))
        assert bench.texts == [b"1"]
        assert bench.listener.sink_errors == 0
        bench.peer.transport.abort()

    run_virtual(main)
