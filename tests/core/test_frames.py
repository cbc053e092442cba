"""The frame policy against a plain reading of RFC 6455, and UTF-8 against Python's own decoder."""

from __future__ import annotations

import itertools
import random

import pytest

from kraken_fast.core.frames import FramePolicy, is_utf8

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# What may follow a text that breaks off inside a character. Python's incremental decoder is no judge of that: it waits
# for the third byte of a surrogate, though no third byte could save it.
TAILS = [b""] + [bytes([first]) + b"\x80" * more for first in (0x80, 0x90, 0xA0, 0xBF) for more in range(3)]


def can_become_utf8(data: bytes) -> bool:
    return any(decodes(data + tail) for tail in TAILS)


class Reference:
    """The same rules, written for reading: everything kept, everything joined, Python's decoder for UTF-8."""

    def __init__(self, message_bytes_max: int, fragments_max: int) -> None:
        self.message_bytes_max = message_bytes_max
        self.fragments_max = fragments_max
        self.kind: int | None = None
        self.parts: list[bytes] = []
        self.code = 0

    def feed(self, opcode: int, payload: bytes, *, fin: bool, reserved: bool) -> tuple[str, bytes | None]:
        if self.code:
            return "nothing", None
        if reserved or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            return self.fail(1002)
        if opcode >= CLOSE:
            return self.control(opcode, payload, fin)
        if (opcode == CONTINUATION) == (self.kind is None):
            return self.fail(1002)
        if opcode != CONTINUATION:
            self.kind, self.parts = opcode, []
        self.parts.append(payload)
        whole = b"".join(self.parts)
        if len(whole) > self.message_bytes_max or len(self.parts) > self.fragments_max:
            return self.fail(1009)
        fragmented = len(self.parts) > 1 or not fin
        if self.kind == TEXT and fragmented and not (decodes(whole) if fin else can_become_utf8(whole)):
            return self.fail(1007)
        if not fin:
            return "nothing", None
        kind, self.kind = self.kind, None
        return ("text" if kind == TEXT else "binary"), whole

    def control(self, opcode: int, payload: bytes, fin: bool) -> tuple[str, bytes | None]:
        if not fin or len(payload) > 125:
            return self.fail(1002)
        if opcode != CLOSE:
            return ("ping" if opcode == PING else "pong"), payload
        if len(payload) == 1:
            return self.fail(1002)
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        legal = (*range(1000, 1004), *range(1007, 1015), *range(3000, 5000))
        if payload and code not in legal:
            return self.fail(1002)
        if not decodes(payload[2:]):
            return self.fail(1007)
        self.code = code
        return "close", payload[2:]

    def fail(self, code: int) -> tuple[str, None]:
        self.code = code
        return "fail", None


PIECES = [
    b"",
    b"a",
    b"{}",
    b"\xc3",
    b"\xa9",
    b"\xe2\x82",
    b"\xac",
    b"\xff",
    b"\xed\xa0",
    b"x" * 30,
    b"\xf4\x8f\xbf\xbf",
]


@pytest.mark.fault("W05", kind="Z")
@pytest.mark.fault("W06", kind="Z")
@pytest.mark.fault("W07", kind="Z")
@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_frames_is_judged_like_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        limits = rng.choice([20, 64, 1000]), rng.choice([1, 3, 100])
        policy = FramePolicy(message_bytes_max=limits[0], fragments_max=limits[1])
        reference = Reference(*limits)
        for _ in range(rng.randint(1, 25)):
            opcode = rng.choice(
                [TEXT, TEXT, BINARY, CONTINUATION, CONTINUATION, CONTINUATION, PING, rng.randrange(16)]
            )
            payload = b"".join(rng.choices(PIECES, k=rng.choice([0, 1, 1, 2, 3])))
            if opcode == CLOSE:
                payload = rng.choice(
                    [b"", b"x", rng.randrange(65536).to_bytes(2, "big") + payload, b"\x03\xe8" + payload]
                )
            fin, reserved = rng.random() < 0.6, rng.random() < 0.01
            expected = reference.feed(opcode, payload, fin=fin, reserved=reserved)
            assert policy.feed(opcode, payload, fin=fin, reserved=reserved) == expected
            assert policy.close_code == reference.code
            assert policy.kept_bytes[0] <= limits[0]
            assert policy.kept_bytes[1] <= max(4096, limits[0])


@pytest.mark.fault("W09", kind="U")
def test_every_close_code() -> None:
    for code in range(65536):
        policy = FramePolicy()
        verdict = policy.feed(CLOSE, code.to_bytes(2, "big"))
        legal = code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code <= 4999
        assert (verdict, policy.close_code) == ((("close", b""), code) if legal else (("fail", None), 1002))


def test_after_the_end_nothing_is_accepted() -> None:
    for end in ((CLOSE, b""), (CONTINUATION, b"")):
        policy = FramePolicy()
        policy.feed(*end)
        for opcode in range(16):
            assert policy.feed(opcode, b"{}") == ("nothing", None)


@pytest.mark.fault("W02", kind="Z")
def test_the_sum_of_fragments_is_bounded_and_so_is_the_memory() -> None:
    cap = 1 << 20
    policy = FramePolicy(message_bytes_max=cap, fragments_max=1 << 30)
    part = b"x" * 1000
    fed = 0
    verdict, _ = policy.feed(TEXT, part, fin=False)
    while verdict == "nothing":
        fed += len(part)
        assert policy.kept_bytes[0] == fed <= cap
        assert policy.kept_bytes[1] <= cap
        verdict, _ = policy.feed(CONTINUATION, part, fin=False)
    assert (verdict, policy.close_code, policy.reason) == ("fail", 1009, "message too long")
    assert fed == cap // 1000 * 1000


def test_a_message_of_exactly_the_cap_is_fine() -> None:
    policy = FramePolicy(message_bytes_max=100, fragments_max=2)
    assert policy.feed(TEXT, b"x" * 100) == ("text", b"x" * 100)
    assert policy.feed(TEXT, b"x" * 50, fin=False) == ("nothing", None)
    assert policy.feed(CONTINUATION, b"x" * 50) == ("text", b"x" * 100)
    assert policy.feed(BINARY, b"x" * 101) == ("fail", None)
    assert policy.close_code == 1009


def test_bad_text_fails_at_the_first_impossible_byte() -> None:
    """Autobahn 6.4: an impossible sequence is not waited out to the end of its message."""
    policy = FramePolicy()
    assert policy.feed(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4", fin=False) == (
        "nothing",
        None,
    )
    assert policy.feed(CONTINUATION, b"\x90", fin=False) == ("fail", None)
    assert policy.close_code == 1007


def test_limits_must_be_positive() -> None:
    for limits in ({"message_bytes_max": 0}, {"fragments_max": 0}):
        with pytest.raises(ValueError, match="positive"):
            FramePolicy(**limits)


@pytest.mark.fault("W07", kind="Z")
def test_utf8_agrees_with_pythons_decoder() -> None:
    edges = [
        0x00,
        0x41,
        0x7F,
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
    ]
    edges += [0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    for size in (1, 2):
        for data in itertools.product(range(256), repeat=size):
            assert is_utf8(bytes(data)) == decodes(bytes(data)), bytes(data)
    for size in (3, 4):
        for data in itertools.product(edges, repeat=size):
            assert is_utf8(bytes(data)) == decodes(bytes(data)), bytes(data)
    rng = random.Random(7)
    for _ in range(20_000):
        text = "".join(chr(rng.choice([65, 0xE9, 0x20AC, 0x1F600, 0xFFFF])) for _ in range(rng.randrange(30)))
        mutated = bytearray(text.encode())
        if mutated and rng.random() < 0.5:
            mutated[rng.randrange(len(mutated))] = rng.choice(edges)
        assert is_utf8(bytes(mutated)) == decodes(bytes(mutated)), mutated


@pytest.mark.parametrize("seed", range(10))
def test_text_split_anywhere_is_judged_as_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(300):
        text = "".join(
            chr(rng.choice([65, 66, 0xE9, 0x20AC, 0x1F600])) for _ in range(rng.randint(1, 40))
        ).encode()
        if rng.random() < 0.5:
            cut = rng.randrange(len(text))
            text = text[:cut] + bytes([rng.randrange(256)]) + text[cut + 1 :]
        policy = FramePolicy()
        verdict = policy.feed(TEXT, b"", fin=False)
        rest = text
        while rest and verdict[0] == "nothing":
            size = rng.randint(1, 9)
            verdict = policy.feed(CONTINUATION, rest[:size], fin=False)
            rest = rest[size:]
        if verdict[0] == "nothing":
            verdict = policy.feed(CONTINUATION, b"")
        assert verdict == (("text", text) if decodes(text) else ("fail", None))
