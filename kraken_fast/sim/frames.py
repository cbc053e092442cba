"""WebSocket framing, server side, without I/O (RFC 6455).

Our own rather than a library's, for three reasons: faults need every byte (reserved bits, wrong lengths,
masked server frames, frames cut anywhere), the same code has to run in virtual time where there is no socket,
and it is short. Extensions are never negotiated.
"""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

OP_CONTINUATION = 0x0
OP_TEXT = 0x1
OP_BINARY = 0x2
OP_CLOSE = 0x8
OP_PING = 0x9
OP_PONG = 0xA

CLOSE_NORMAL = 1000
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_BAD_TEXT = 1007
CLOSE_TOO_BIG = 1009

MESSAGE_MAX_BYTES = 1 << 20
"""Longest message taken from a client. A subscription to every pair is some 12 kB."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Frame(NamedTuple):
    """One frame of a client, unmasked."""

    opcode: int
    fin: bool
    payload: bytes


class FrameError(Exception):
    """The client broke the framing rules; `code` is the close code that answers it."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


def accept_key(key: bytes) -> bytes:
    """Compute the answer to a Sec-WebSocket-Key.

    >>> accept_key(b"dGhlIHNhbXBsZSBub25jZQ==")
    b's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def encode_frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv: int = 0,
    length_bytes: int | None = None,
    mask: bytes | None = None,
) -> bytes:
    """Write one frame.

    Args:
        opcode: what it is.
        payload: what it carries.
        fin: whether it ends its message.
        rsv: reserved bits, 1 to 7; no extension gives them a meaning here, so anything but 0 is a fault.
        length_bytes: 0, 2 or 8 to force that form of the length; by default the shortest, as the RFC demands.
        mask: four bytes to mask with, which a server must not do.
    """
    size = len(payload)
    head = bytearray([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if mask else 0
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65_536 else 8
    if length_bytes == 0:
        head.append(mask_bit | size)
    else:
        head.append(mask_bit | (126 if length_bytes == 2 else 127))
        head += size.to_bytes(length_bytes, "big")
    if mask:
        return bytes(head) + mask + apply_mask(payload, mask)
    return bytes(head) + payload


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload: the same operation both ways.

    >>> apply_mask(apply_mask(b"hello", b"abcd"), b"abcd")
    b'hello'
    """
    size = len(payload)
    pad = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def close_payload(code: int, reason: str = "") -> bytes:
    """Write the payload of a close frame."""
    return code.to_bytes(2, "big") + reason.encode()[:123]


class FrameReader:
    """Takes a client's bytes, gives its frames and, joined from their fragments, its messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._opcode = OP_CONTINUATION

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._buffer += data

    def next(self) -> Frame | None:
        """Give the next control frame or whole message, or None until more bytes come.

        Raises:
            FrameError: the client broke a rule; nothing more can be read.
        """
        while (frame := self._next_frame()) is not None:
            if frame.opcode >= OP_CLOSE:
                return frame
            whole = self._join(frame)
            if whole is not None:
                return whole
        return None

    def _join(self, frame: Frame) -> Frame | None:
        if (frame.opcode == OP_CONTINUATION) != bool(self._opcode):
            raise FrameError(CLOSE_PROTOCOL_ERROR, "fragments out of order")
        self._opcode = self._opcode or frame.opcode
        self._fragments.append(frame.payload)
        if sum(map(len, self._fragments)) > MESSAGE_MAX_BYTES:
            raise FrameError(CLOSE_TOO_BIG, "message too big")
        if not frame.fin:
            return None
        whole = Frame(self._opcode, True, b"".join(self._fragments))
        self._fragments.clear()
        self._opcode = OP_CONTINUATION
        return whole

    def _next_frame(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, size = buffer[0] & 0x0F, buffer[1] & 0x7F
        self._check_head(buffer[0], buffer[1])
        at = 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(buffer[2 : 2 + width], "big")
            at += width
            if len(buffer) < at:
                return None
        if size > MESSAGE_MAX_BYTES:
            raise FrameError(CLOSE_TOO_BIG, "frame too big")
        if len(buffer) < at + 4 + size:
            return None
        mask = bytes(buffer[at : at + 4])
        payload = apply_mask(bytes(buffer[at + 4 : at + 4 + size]), mask)
        fin = bool(buffer[0] & 0x80)
        del buffer[: at + 4 + size]
        return Frame(opcode, fin, payload)

    @staticmethod
    def _check_head(first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise FrameError(CLOSE_PROTOCOL_ERROR, "reserved bits set")
        if opcode not in (OP_CONTINUATION, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG):
            raise FrameError(CLOSE_PROTOCOL_ERROR, "unknown opcode")
        if not second & 0x80:
            raise FrameError(CLOSE_PROTOCOL_ERROR, "client frame not masked")
        if opcode >= OP_CLOSE and (not first & 0x80 or second & 0x7F > 125):
            raise FrameError(CLOSE_PROTOCOL_ERROR, "control frame fragmented or too long")
