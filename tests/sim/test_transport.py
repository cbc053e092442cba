"""The client's end of a connection without a socket: bytes in the protocol's own buffer, and nothing after the end."""

from __future__ import annotations

import asyncio

from kraken_fast.sim.transport import SocketlessTransport


class Buffered(asyncio.BufferedProtocol):
    """Takes four bytes at a time."""

    def __init__(self) -> None:
        self.room = bytearray(4)
        self.data = b""
        self.transport = SocketlessTransport(7, self)

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint == -1
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.room[:nbytes]
        if self.data.endswith(b"end"):
            self.transport._is_closing = True


def test_what_does_not_fit_comes_in_parts_until_the_end() -> None:
    protocol = Buffered()
    protocol.transport.deliver(b"up to an end, and what follows it")
    assert protocol.data == b"up to an end"


def test_it_passes_for_a_secure_socket_that_no_system_call_accepts() -> None:
    transport = SocketlessTransport(7, asyncio.Protocol(), peername=("paper", 0))
    assert transport.get_extra_info("ssl_object") is not None
    assert transport.get_extra_info("socket").fileno() < 0
    assert transport.get_extra_info("peername") == ("paper", 0)
    assert transport.is_reading()
    transport.pause_reading()
    assert not transport.is_reading()
