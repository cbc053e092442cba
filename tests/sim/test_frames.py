"""WebSocket framing, server side."""

from __future__ import annotations

from typing import Any

import pytest

from kraken_fast.sim.frames import (
    MESSAGE_MAX_BYTES,
    OP_BINARY,
    OP_CLOSE,
    OP_CONTINUATION,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    FrameReader,
    encode_frame,
)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_any_length_survives_any_segmentation(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    data = encode_frame(OP_BINARY, payload, mask=b"\x00\xff\x10\x99")
    for chunk in (1, 3, len(data)) if size < 1000 else (997, len(data)):
        reader = FrameReader()
        found = []
        for at in range(0, len(data), chunk):
            reader.feed(data[at : at + chunk])
            while (frame := reader.next()) is not None:
                found.append(frame.payload)
        assert found == [payload]


def test_fragments_are_joined_and_control_frames_pass_between_them(box: Any) -> None:
    client = box.open()
    client.send_frame(OP_TEXT, b'{"method":', fin=False)
    client.send_frame(OP_PING, b"now")
    client.send_frame(OP_CONTINUATION, b'"ping"}')
    assert client.frames[-2] == (0x80 | OP_PONG, b"now")
    assert '"method":"pong"' in client.texts[-1]


def test_a_ping_is_answered_and_a_close_too(box: Any) -> None:
    client = box.open()
    client.send_frame(OP_CLOSE, b"\x03\xe9going")
    assert client.frames[-1] == (0x80 | OP_CLOSE, b"\x03\xe9")
    assert client.line.finished
    assert client.line.ending == "fin"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(OP_TEXT, b"{}"), 1002),  # not masked
        (encode_frame(OP_TEXT, b"{}", mask=b"mask", rsv=4), 1002),
        (encode_frame(3, b"{}", mask=b"mask"), 1002),
        (encode_frame(OP_CONTINUATION, b"{}", mask=b"mask"), 1002),
        (
            encode_frame(OP_TEXT, b"{", mask=b"mask", fin=False) + encode_frame(OP_TEXT, b"{", mask=b"mask"),
            1002,
        ),
        (encode_frame(OP_PING, b"", mask=b"mask", fin=False), 1002),
        (encode_frame(OP_TEXT, b"\xff", mask=b"mask"), 1007),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009),
        (encode_frame(OP_TEXT, b"x" * MESSAGE_MAX_BYTES, mask=b"mask", fin=False) * 2, 1002),
    ],
)
def test_a_client_that_breaks_the_rules_is_told_so_and_dropped(box: Any, data: bytes, code: int) -> None:
    client = box.open()
    client.line.receive(data)
    client.poll()
    opcode, payload = client.frames[-1]
    assert (opcode, int.from_bytes(payload[:2], "big")) == (0x80 | OP_CLOSE, code)
    assert client.line.finished


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n", b"404"),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"garbage\r\n\r\n", b"400"),
        (b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 20_000, b"431"),
    ],
)
def test_what_is_no_upgrade_is_refused(box: Any, request_bytes: bytes, status: bytes) -> None:
    client = box.connect()
    client.line.receive(request_bytes)
    client.poll()
    answer = client.raw if not client.head else client.head
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert client.line.finished
