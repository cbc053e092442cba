"""The client's end of a connection without a socket: what a protocol asks of any transport.

It calls itself secure, because picows then writes through it and not to a raw socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

_PLAIN = object()
"""Stands for an ssl_object: a transport that has one is written through and never past."""


class SocketlessTransport(asyncio.Transport):
    """See the module's text. How bytes come and go is the subclass's.

    Args:
        number: of the connection.
        protocol: of the client.
        extra: what else `get_extra_info` tells.
    """

    def __init__(self, number: int, protocol: asyncio.BaseProtocol, **extra: object) -> None:
        super().__init__({"socket": _Socket(number), "ssl_object": _PLAIN, **extra})
        self._protocol = protocol
        self._is_closing = False
        self._is_reading = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Give the protocol."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Tell whether what arrives is read."""
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        """Leave what arrives where it is."""
        self._is_reading = False

    def can_write_eof(self) -> bool:
        """Tell that a half-closed connection is not offered."""
        return False

    def deliver(self, data: bytes) -> None:
        """Give the protocol what came, in its own buffer if it has one."""
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(data)
            return
        view: Any = memoryview(data)
        while view and not self._is_closing:
            room = memoryview(protocol.get_buffer(-1))
            size = min(len(room), len(view))
            room[:size] = view[:size]
            view = view[size:]
            protocol.buffer_updated(size)


class _Socket:
    """What picows asks a socket: options, and a descriptor that no system call accepts."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return -self._number

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        return 0
