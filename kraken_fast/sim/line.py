"""One TCP connection of a WebSocket client, as bytes: upgrade, frames, session, and the faults of all three.

Theory of operation. A line is in one of four states. UPGRADE collects the HTTP request; OPEN reads frames and
hands texts to the session; CLOSED has an `ending` and gives out what is left; DEAD says nothing any more but
keeps its socket (hanging, half open). Bytes come in by `receive`; `poll` gives the bytes that may leave now.
Whoever owns the socket writes them, and ends the connection the way `ending` says once `poll` has nothing
left.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING, Literal

from .faces import Face, face_of
from .frames import (
    CLOSE_BAD_TEXT,
    CLOSE_NORMAL,
    OP_CLOSE,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    Frame,
    FrameError,
    FrameReader,
    accept_key,
    close_payload,
    encode_frame,
)
from .message import Message
from .session import WsSession
from .texts import NS_PER_S
from .wire import Wire

if TYPE_CHECKING:
    from .core import ExchangeCore
    from .faults import Fault

HEADERS_MAX_BYTES = 16_384


class State(Enum):
    """Where a line is in its life."""

    UPGRADE = "upgrade"
    OPEN = "open"
    CLOSED = "closed"
    DEAD = "dead"


class Line:
    """One connection.

    Args:
        core: the exchange.
        number: counts the exchange's connections from 1.
        rng: chance of this line and its session.
        refused: the connection limiter says no.

    Attributes:
        session: the protocol session, greeted once the upgrade is through.
        ending: how the connection is to end when `poll` has nothing left: "fin", "rst", or None to go on.
    """

    def __init__(self, core: ExchangeCore, number: int, rng: random.Random, *, refused: bool = False) -> None:
        self.number = number
        self.state = State.UPGRADE
        self.ending: Literal["fin", "rst"] | None = None
        self.session = WsSession(core, number, rng, self._send, self.close, lambda: self._kill("rst"))
        self._core = core
        self._refused = refused
        self._wire = Wire(core.faults, number)
        self._head = bytearray()
        self._reader = FrameReader()
        self._held_in = bytearray()
        self._next_ping_ns = core.now_ns()
        if core.faults.holds("hang", number):
            self.state = State.DEAD

    @property
    def reading(self) -> bool:
        """Whether the owner of the socket should read from it."""
        return self._core.faults.holds("stall_read", self.number) is None

    @property
    def deadline_ns(self) -> int | None:
        """When `poll` must be called next, at the latest; None when only bytes can change anything."""
        if self.state is State.DEAD or self._hole("down"):
            return None
        times = [] if self._wire.next_due_ns is None else [self._wire.next_due_ns]
        if self.state is State.OPEN:
            times.append(self.session.deadline_ns)
            if self._core.faults.rules("ping_flood"):
                times.append(self._next_ping_ns)
        return min(times, default=None)

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.state in (State.CLOSED, State.DEAD):
            return
        if self._hole("up"):
            self._held_in += data
            return
        if self._held_in:
            data, self._held_in = bytes(self._held_in) + data, bytearray()
        if self.state is State.UPGRADE:
            self._head += data
            self._upgrade()
        else:
            self._reader.feed(data)
            self._read_frames()

    def poll(self) -> list[bytes]:
        """Do what the time demands and give the bytes that may leave now, one item a segment."""
        now_ns = self._core.now_ns()
        if self._core.faults.armed:
            self._strike(now_ns)
        if self._held_in and not self._hole("up"):
            self.receive(b"")
        if self.state is State.OPEN:
            self.session.poll()
        if self.state is State.DEAD or self._hole("down"):
            return []
        segments = self._wire.take(now_ns)
        if self._core.faults.armed:
            segments = self._cut(segments)
        if self._wire.full:
            self._kill("rst")
        return segments

    @property
    def finished(self) -> bool:
        """Whether the connection is to be ended now, the way `ending` says."""
        return self.ending is not None and (self.ending == "rst" or self._wire.next_due_ns is None)

    def close(self, code: int = CLOSE_NORMAL, reason: str = "") -> None:
        """Send a close frame and end the connection."""
        if self.state is State.OPEN:
            self._write(encode_frame(OP_CLOSE, close_payload(code, reason)))
            self._end("fin")

    def lost(self) -> None:
        """Take note that the client is gone."""
        self.session.leave()
        self.state = State.CLOSED
        self._wire.clear()

    def _send(self, message: Message) -> None:
        if self.state is not State.OPEN:
            return
        if self._core.faults.armed:
            self._write(self.session.tamper.frames(message))
        else:
            self._write(message.frame)

    def hurry(self) -> None:
        """Send at once what a fault still holds back."""
        self._wire.hurry(self._core.now_ns())

    def _write(self, data: bytes) -> None:
        self._wire.write(data, self._core.now_ns())

    def _end(self, ending: Literal["fin", "rst"]) -> None:
        self.session.leave()
        self.state = State.CLOSED
        self.ending = ending

    def _kill(self, ending: Literal["fin", "rst"]) -> None:
        self._wire.clear()
        self._end(ending)

    def _upgrade(self) -> None:
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > HEADERS_MAX_BYTES:
                self._answer(431, "Request Header Fields Too Large")
            return
        head, _, rest = bytes(self._head).partition(b"\r\n\r\n")
        path, headers = _read_request(head)
        if fault := self._core.faults.fire("upgrade_status", session=self.number):
            self._answer(fault["status"], "Refused", fault["body"], fault["headers"])
        elif self._refused:
            self._answer(429, "Too Many Requests", "error code: 1015", {"Retry-After": "600"})
        elif (
            path is None
            or headers.get("upgrade", "").lower() != "websocket"
            or "sec-websocket-key" not in headers
        ):
            self._answer(400, "Bad Request")
        elif (face := face_of(path, headers.get("host", ""))) is None:
            self._answer(404, "Not Found")
        else:
            self._agree(headers["sec-websocket-key"], face)
            if rest:
                self._reader.feed(rest)
                self._read_frames()

    def _agree(self, key: str, face: Face) -> None:
        faults, number = self._core.faults, self.number
        accept = accept_key(key.encode())
        if faults.fire("accept_key_wrong", session=number):
            accept = accept_key(b"another key")
        extra = ""
        if fault := faults.fire("header_flood", session=number):
            extra = f"X-Flood: {'x' * 1000}\r\n" * (fault["size_bytes"] // 1011 + 1)
        if fault := faults.fire("unoffered", session=number):
            if fault["extension"]:
                extra += f"Sec-WebSocket-Extensions: {fault['extension']}\r\n"
            if fault["subprotocol"]:
                extra += f"Sec-WebSocket-Protocol: {fault['subprotocol']}\r\n"
        self._write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Accept: "
            + accept
            + b"\r\n"
            + extra.encode()
            + b"\r\n"
        )
        self.state = State.OPEN
        self._head.clear()
        self.session.face = face
        self.session.open()

    def _answer(
        self, status: int, reason: str, body: str = "", headers: dict[str, str] | None = None
    ) -> None:
        given = {"Content-Type": "text/html", "Connection": "close", **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        payload = body.encode()
        head = f"HTTP/1.1 {status} {reason}\r\n{lines}Content-Length: {len(payload)}\r\n\r\n"
        self._write(head.encode() + payload)
        self._end("fin")

    def _read_frames(self) -> None:
        try:
            while self.state is State.OPEN and (frame := self._reader.next()) is not None:
                self._take(frame)
        except FrameError as error:
            self.close(error.code, error.reason)

    def _take(self, frame: Frame) -> None:
        if frame.opcode == OP_PING:
            if not self._core.faults.fire("no_pong", session=self.number):
                self._write(encode_frame(OP_PONG, frame.payload))
        elif frame.opcode == OP_CLOSE:
            if not self._core.faults.fire("no_close_reply", session=self.number):
                self._write(encode_frame(OP_CLOSE, frame.payload[:2]))
                self._end("fin")
        elif frame.opcode != OP_PONG:
            try:
                frame.payload.decode()
            except UnicodeDecodeError:
                raise FrameError(CLOSE_BAD_TEXT, "text is not UTF-8") from None
            self.session.receive(frame.payload)

    def _hole(self, direction: str) -> Fault | None:
        fault = self._core.faults.holds("hole", self.number)
        return fault if fault is not None and fault["direction"] in (direction, "both") else None

    def _strike(self, now_ns: int) -> None:
        """Carry out the faults that act on a line by themselves."""
        faults, where = self._core.faults, {"session": self.number}
        if self.state is not State.DEAD and faults.holds("half_open", self.number):
            self.session.leave()
            self.state = State.DEAD
        if self.state is not State.OPEN:
            return
        while fault := faults.fire("raw", **where):
            self._write(fault["data"])
        if fault := faults.fire("len64", **where):
            self._write(bytes([0x80 | OP_TEXT, 127]) + fault["size_bytes"].to_bytes(8, "big"))
        if fault := faults.holds("ping_flood", self.number):
            self._flood(fault["rate"], now_ns)
        if fault := faults.fire("double_close", **where):
            frame = encode_frame(OP_CLOSE, close_payload(fault["code"]))
            self._write(frame + encode_frame(OP_TEXT, b'{"channel":"heartbeat"}') + frame)
            self._end("fin")
        elif fault := faults.fire("close", **where):
            self.close(fault["code"], fault["reason"])

    def _flood(self, rate: float, now_ns: int) -> None:
        pause_ns = max(1, int(NS_PER_S / rate))
        due = min((now_ns - self._next_ping_ns) // pause_ns + 1, int(rate) + 1)
        if due > 0:
            self._write(encode_frame(OP_PING, b"flood") * due)
            self._next_ping_ns = now_ns + pause_ns

    def _cut(self, segments: list[bytes]) -> list[bytes]:
        """Cut the stream where a `rst` or `fin` fault wants it cut."""
        ending: Literal["fin", "rst"]
        for ending in ("rst", "fin"):
            for fault in self._core.faults.rules(ending):
                before = self._wire.taken_bytes - sum(map(len, segments))
                if self.ending == "rst" or self._wire.taken_bytes < fault["after_bytes"]:
                    continue
                if self._core.faults.fire_rule(fault, session=self.number):
                    kept = b"".join(segments)[: max(0, fault["after_bytes"] - before)]
                    self._kill(ending)
                    return [kept] if kept else []
        return segments


def _read_request(head: bytes) -> tuple[str | None, dict[str, str]]:
    """Give the path of an HTTP GET, without its query, and its headers; None when it is none."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    method, _, rest = request_line.partition(" ")
    target, _, version = rest.partition(" ")
    if method != "GET" or not version.startswith("HTTP/1."):
        return None, headers
    return target.partition("?")[0], headers
