"""How faults change what one session sends: messages first, then the frames that carry them."""

from __future__ import annotations

import heapq
import random
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from .faults import Fault, Faults
from .frames import OP_BINARY, OP_CONTINUATION, OP_PING, OP_TEXT, encode_frame
from .message import Message
from .texts import NS_PER_MS

_CHECKSUM = re.compile(r'"checksum":(\d+)')
_NUMBER = re.compile(r'"(price|qty|last|close)":([0-9.]+)')


def _replace_number(text: str, number: Callable[[str], str]) -> str:
    return _NUMBER.sub(lambda found: f'"{found[1]}":{number(found[2])}', text, count=1)


MUTATIONS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "truncated": lambda text: text[: len(text) * 2 // 3],
        "trailing": lambda text: text + "}",
        "two_objects": lambda text: text + text,
        "bom": lambda text: "\ufeff" + text,
        "empty": lambda text: "",
        "not_json": lambda text: "CloudFlare WebSocket proxy restarting",
        "array": lambda text: f"[{text}]",
        "null_data": lambda text: re.sub(r'"data":.*', '"data":null}', text),
        "duplicate_key": lambda text: text.replace('"type":', '"type":"update","type":', 1),
        "missing_type": lambda text: re.sub(r'"type":"[a-z]+",', "", text, count=1),
        "missing_checksum": lambda text: _CHECKSUM.sub('"unknown":0', text),
        "huge_checksum": lambda text: _CHECKSUM.sub('"checksum":4294967296', text),
        "string_number": lambda text: _replace_number(text, lambda number: f'"{number}"'),
        "null_number": lambda text: _replace_number(text, lambda number: "null"),
        "nan": lambda text: _replace_number(text, lambda number: "NaN"),
        "negative": lambda text: _replace_number(text, lambda number: f"-{number}"),
        "too_many_digits": lambda text: _replace_number(text, lambda number: "9" * 60 + ".1"),
        "deep": lambda text: text.replace(
            '"data":', '"extra":' + "[" * 100_000 + "]" * 100_000 + ',"data":', 1
        ),
        "lone_surrogate": lambda text: text.replace('"symbol":"', '"symbol":"\\ud800', 1),
    }
)
"""Damages by name. What they leave is never a message to apply."""

HARMLESS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "unknown_keys": lambda text: text.replace("{", '{"unknown":{"a":[1,null,"\\"}"]},', 1),
        "white_space": lambda text: text.replace(",", " ,\n\t ").replace(":{", " : {"),
        "escaped_key": lambda text: text.replace('"price":', '"\\u0070rice":'),
        "other_order": lambda text: re.sub(r'^\{("channel":"\w+"),("type":"\w+"),', r"{\2,\1,", text),
        "exponent": lambda text: _replace_number(text, lambda number: f"{number}e0"),
    }
)
"""Changes that a careful client reads as if nothing had happened; for `mutate` like the others."""


class Tamper:
    """Applies the message faults of one session.

    Args:
        faults: the rules.
        number: the session's number, for rules that name one.
        rng: chance of random mutations.
    """

    def __init__(self, faults: Faults, number: int, rng: random.Random) -> None:
        self._faults = faults
        self._number = number
        self._rng = rng
        self._late: list[tuple[int, int, Message]] = []
        self._late_count = 0
        self._held: dict[tuple[str, str], Message] = {}

    @property
    def next_due_ns(self) -> int | None:
        """When the next delayed message is due."""
        return self._late[0][0] if self._late else None

    @property
    def holding(self) -> bool:
        """Whether a message waits for the next one, with which it changes places."""
        return bool(self._held)

    def due(self, now_ns: int) -> Iterator[Message]:
        """Give the delayed messages whose time has come."""
        while self._late and self._late[0][0] <= now_ns:
            yield heapq.heappop(self._late)[2]

    def hold_back(self, message: Message, due_ns: int) -> None:
        """Keep a message for later."""
        self._late_count += 1
        heapq.heappush(self._late, (due_ns, self._late_count, message))

    def messages(self, message: Message, now_ns: int) -> list[Message]:
        """Give what is sent in place of a message, in order."""
        if message.channel and self._silenced(message):
            return []
        if self._fire("drop", message):
            return []
        if message.kind == "ack":
            return self._acks(message, now_ns)
        if fault := self._fire("delay", message):
            self.hold_back(message, now_ns + fault["ms"] * NS_PER_MS)
            return []
        message = self._changed(message)
        key = (message.channel, message.symbol)
        if key in self._held:
            return [message, self._held.pop(key)]
        if message.kind == "update" and self._fire("swap", message):
            self._held[key] = message
            return []
        return [message, message] if self._fire("duplicate", message) else [message]

    def frames(self, message: Message) -> bytes:
        """Give the bytes that carry a message."""
        payload = message.text.encode(errors="surrogatepass")
        if self._fire("binary", message):
            return encode_frame(OP_BINARY, payload)
        if self._fire("bad_utf8", message):
            return encode_frame(OP_TEXT, payload[:-1] + b"\xff")
        if fault := self._fire("rsv", message):
            return encode_frame(OP_TEXT, payload, rsv=fault["bits"])
        if fault := self._fire("opcode", message):
            return encode_frame(fault["opcode"], payload)
        if self._fire("mask", message):
            return encode_frame(OP_TEXT, payload, mask=b"\x01\x02\x03\x04")
        if fault := self._fire("length", message):
            return encode_frame(OP_TEXT, payload, length_bytes=fault["width_bytes"])
        if fault := self._fire("fragment", message):
            return b"".join(_fragments(payload, fault["size_bytes"]))
        if self._fire("interleave_control", message):
            first, second = _fragments(payload, len(payload) // 2 + 1)
            return first + encode_frame(OP_PING, b"between") + second
        return message.frame

    def _silenced(self, message: Message) -> bool:
        if message.kind == "heartbeat":
            return self._fire("no_heartbeat", message) is not None
        return message.kind in ("snapshot", "update") and self._fire("heartbeat_only", message) is not None

    def _acks(self, message: Message, now_ns: int) -> list[Message]:
        if self._fire("no_ack", message):
            return []
        if fault := self._fire("late_ack", message):
            self.hold_back(message, now_ns + fault["ms"] * NS_PER_MS)
            return []
        if fault := self._fire("stray_ack", message):
            stray = re.sub(r'"req_id":\d+', f'"req_id":{fault["req_id"]}', message.text)
            return [message.with_text(stray), message]
        return [message, message] if self._fire("duplicate_ack", message) else [message]

    def _changed(self, message: Message) -> Message:
        if message.channel in ("book", "level3") and self._fire("bad_checksum", message):
            text = _CHECKSUM.sub(lambda found: f'"checksum":{int(found[1]) ^ 1}', message.text)
            message = message.with_text(text)
        if message.kind == "snapshot" and (fault := self._fire("huge_snapshot", message)):
            padding = "x" * fault["size_bytes"]
            message = message.with_text(message.text.replace("{", f'{{"padding":"{padding}",', 1))
        if message.channel and (fault := self._fire("mutate", message)):
            message = message.with_text(self._mutation(fault)(message.text))
        return message

    def _mutation(self, fault: Fault) -> Callable[[str], str]:
        name = fault["mutation"]
        if name == "random":
            name = self._rng.choice(list(MUTATIONS))
        return MUTATIONS[name] if name in MUTATIONS else HARMLESS[name]

    def _fire(self, kind: str, message: Message) -> Fault | None:
        return self._faults.fire(
            kind, session=self._number, channel=message.channel, symbol=message.symbol, message=message.kind
        )


def _fragments(payload: bytes, size: int) -> list[bytes]:
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return [
        encode_frame(OP_TEXT if at == 0 else OP_CONTINUATION, part, fin=at == len(parts) - 1)
        for at, part in enumerate(parts)
    ]
