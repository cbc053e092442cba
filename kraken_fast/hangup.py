"""Noticing that a socket was reset, where the event loop reports it once and then never again.

libuv ends its watch of a descriptor at the first error and reports that error once. picows' transport reads once for
it, and if what it reads is data that came before the reset, the reset itself is never read: the line looks open and
silent until something is written or the silence is judged, seconds later. asyncio's own loops report an error as often
as it is asked for, so they need none of this. Seen with uvloop 0.23, libuv 1.48 and aiofastnet 1.2.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from errno import ECONNRESET


class HangupWatch:
    """Tells once when a socket has failed. It reads nothing from it.

    The kernel tells an epoll descriptor of errors whether it asked for any event or not, and such a descriptor can
    itself be watched by a loop. Cost: one descriptor a line, and nothing while the line lives.

    Args:
        sock: a connected socket.
        on_hangup: called with the reason one turn of the loop after the failure, so that the transport has read by
            then what came before it.
    """

    def __init__(self, sock: socket.socket, on_hangup: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_hangup = on_hangup
        self._epoll: select.epoll | None = select.epoll()
        self._epoll.register(sock.fileno(), select.EPOLLONESHOT)
        self._loop.add_reader(self._epoll.fileno(), self._on_event)

    def close(self) -> None:
        """End the watch. May be called again."""
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            self._loop.remove_reader(epoll.fileno())
            epoll.close()

    def _on_event(self) -> None:
        self.close()
        self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        if self._sock.fileno() < 0:
            return  # the transport noticed by itself
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._on_hangup(f"[Errno {error or ECONNRESET}] {os.strerror(error or ECONNRESET)}")
