"""Every fault really happens, and is counted. What a client makes of it is tested with the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.errors import ConfigError
from kraken_fast.sim.faults import KINDS
from kraken_fast.sim.reference import ReferenceBook, loads
from kraken_fast.sim.tamper import HARMLESS, MUTATIONS


def inject(box: Any, kind: str, **settings: Any) -> Any:
    return box.faults.inject(kind, **settings)


def subscribed(box: Any, channel: str = "book", **params: Any) -> Any:
    client = box.open()
    client.subscribe(channel, ["BTC/USD"], **params)
    return client


def books(client: Any) -> list[str]:
    return [text for text in client.texts if text.startswith('{"channel":"book"')]


# The plan itself.


def test_unknown_kinds_and_parameters_are_refused(box: Any) -> None:
    with pytest.raises(ConfigError, match="kind='typo': must be one of refuse"):
        box.faults.inject("typo")
    with pytest.raises(ConfigError, match="a parameter of latency: ms, jitter_ms"):
        box.faults.inject("latency", seconds=3)


def test_counts_probability_after_and_matching(box: Any) -> None:
    faults = box.faults
    fault = faults.inject("nack", symbol="BTC/USD", count=2, after=1)
    fired = [faults.fire("nack", symbol="BTC/USD") is not None for _ in range(5)]
    assert fired == [False, True, True, False, False]
    assert (fault.fired, fault.left, fault.active) == (2, 0, False)
    faults.inject("nack", symbol=("ETH/USD", "SOL/USD"))
    assert faults.fire("nack", symbol="BTC/USD") is None
    assert faults.fire("nack", symbol="SOL/USD") is not None
    faults.clear()
    assert not faults.armed
    with faults.inject("nack", probability=0.25):
        hits = sum(faults.fire("nack") is not None for _ in range(1000))
    assert 200 < hits < 300
    assert faults.fire("nack") is None
    assert faults.fired["nack"] == 3 + hits


def test_a_fault_of_one_session_leaves_the_others_alone(box: Any) -> None:
    first, second = subscribed(box), subscribed(box)
    box.faults.inject("drop", count=None, session=first.line.session)
    box.step(20)
    assert len(books(first)) == 1
    assert len(books(second)) > 5


# The connection and the upgrade.


def test_refuse(box: Any) -> None:
    with inject(box, "refuse"), pytest.raises(ConnectionRefusedError):
        box.connect()
    assert box.faults.fired["refuse"] == 1
    box.open()


def test_hang(box: Any) -> None:
    with inject(box, "hang"):
        client = box.open()
    box.run(30)
    assert client.segments == []
    assert box.faults.fired["hang"] == 1


def test_upgrade_status(box: Any) -> None:
    inject(box, "upgrade_status", status=403, body="<html>no</html>", headers={"Retry-After": "60"}, count=1)
    client = box.open()
    assert client.head.startswith(b"HTTP/1.1 403 ")
    assert b"Retry-After: 60" in client.head
    assert client.raw == b"<html>no</html>"
    assert client.line.finished
    assert box.open().texts, "only once"


def test_wrong_accept_key(box: Any) -> None:
    inject(box, "accept_key_wrong")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in box.open().head


def test_header_flood(box: Any) -> None:
    inject(box, "header_flood", size_bytes=100_000)
    assert len(box.open().head) > 100_000


def test_unoffered(box: Any) -> None:
    inject(box, "unoffered", subprotocol="chat")
    head = box.open().head
    assert b"Sec-WebSocket-Extensions: permessage-deflate" in head
    assert b"Sec-WebSocket-Protocol: chat" in head


# The line as bytes.


@pytest.mark.parametrize("ending", ["rst", "fin"])
def test_cut_at_once_and_at_an_exact_byte(box: Any, ending: str) -> None:
    now, later = subscribed(box), box.open()
    fault = inject(box, ending, session=now.line.session)
    box.poll()
    assert (now.line.ending, fault.fired, later.line.ending) == (ending, 1, None)
    sent = len(b"".join(later.segments))
    inject(box, ending, session=later.line.session, after_bytes=sent + 100)
    later.subscribe("book", ["BTC/USD"])
    assert len(b"".join(later.segments)) == sent + 100
    assert later.line.ending == ending


def test_half_open_is_for_ever(box: Any) -> None:
    client = subscribed(box)
    inject(box, "half_open")
    box.poll()
    box.faults.clear()
    before = len(client.segments)
    client.ask({"method": "ping"})
    box.step(20)
    box.run(120)
    assert len(client.segments) == before
    assert (client.line.ending, box.faults.fired["half_open"]) == (None, 1)


def test_a_hole_swallows_nothing_and_tells_all_afterwards(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=50)
    client = subscribed(box)
    with inject(box, "hole"):
        box.run(5)
        assert len(client.messages("heartbeat")) == 0
    box.run(1)
    assert len(client.messages("heartbeat")) == 6
    book = ReferenceBook(10)
    assert all(book.apply_raw(text) == book.checksum() for text in books(client))
    assert box.faults.fired["hole"] == 1


def test_a_hole_the_other_way(box: Any) -> None:
    client = box.open()
    with inject(box, "hole", direction="up"):
        assert client.ask({"method": "ping", "req_id": 5}) == []
    box.poll()
    assert client.messages()[-1]["method"] == "pong"


def test_stall_read(box: Any) -> None:
    client = box.open()
    with inject(box, "stall_read"):
        assert client.line.reading is False
    assert client.line.reading is True


def test_latency(box: Any) -> None:
    client = box.open()
    inject(box, "latency", ms=200, jitter_ms=100)
    client.send({"method": "ping"})
    box.run(0.19)
    assert len(client.texts) == 1
    box.run(0.12)
    assert len(client.texts) == 2


def test_slice(box: Any) -> None:
    inject(box, "slice", size_bytes=3)
    client = subscribed(box)
    assert {len(segment) for segment in client.segments} <= {1, 2, 3}
    assert len(books(client)) == 1


def test_drip_begins_at_the_upgrade(box: Any) -> None:
    inject(box, "drip", interval_ms=1000)
    client = box.open()
    box.run(10.5)
    assert client.segments == [bytes([byte]) for byte in b"HTTP/1.1 10"]


def test_bandwidth(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=200)
    client = subscribed(box)
    before = len(b"".join(client.segments))
    inject(box, "bandwidth", bytes_per_s=5000)
    box.run(4)
    assert 15_000 < len(b"".join(client.segments)) - before < 25_000


# The line as frames.


def frames_after(box: Any, kind: str, **settings: Any) -> list[tuple[int, bytes]]:
    client = subscribed(box)
    fault = inject(box, kind, **settings)
    before = len(client.frames)
    client.send({"method": "ping"})
    assert fault.fired >= 1
    frames: list[tuple[int, bytes]] = client.frames[before:]
    return frames


def test_raw_bytes(box: Any) -> None:
    client = subscribed(box)
    inject(box, "raw", data=b"\x89\x02hi")
    box.poll()
    assert client.frames[-1] == (0x89, b"hi")


def test_a_text_out_of_nowhere(box: Any) -> None:
    client = box.open()
    inject(box, "text", text='{"channel":"new","data":[]}')
    box.poll()
    assert client.texts[-1] == '{"channel":"new","data":[]}'


def test_fragments(box: Any) -> None:
    frames = frames_after(box, "fragment", size_bytes=20, count=1)
    assert frames[0][0] == 0x01
    assert [opcode for opcode, _ in frames[1:]] == [0x00] * (len(frames) - 2) + [0x80]
    assert loads(b"".join(payload for _, payload in frames))["method"] == "pong"


def test_control_frames_between_fragments(box: Any) -> None:
    opcodes = [opcode for opcode, _ in frames_after(box, "interleave_control", count=1)]
    assert opcodes == [0x01, 0x89, 0x80]


@pytest.mark.parametrize(
    ("kind", "settings", "opcode"),
    [("rsv", {"bits": 2}, 0xA1), ("opcode", {"opcode": 11}, 0x8B), ("binary", {}, 0x82)],
)
def test_heads_of_frames(box: Any, kind: str, settings: dict[str, Any], opcode: int) -> None:
    assert frames_after(box, kind, **settings)[0][0] == opcode


def test_masked_frames_and_lengths_that_are_too_long(box: Any) -> None:
    client = subscribed(box)
    inject(box, "mask")
    client.line.receive(b"")
    before = len(client.segments)
    client.send({"method": "ping"})
    assert client.segments[before][1] & 0x80
    client.raw = b""
    inject(box, "length", width_bytes=8)
    before = len(client.segments)
    client.send({"method": "ping"})
    assert client.segments[before][:3] == b"\x81\x7f\x00"
    inject(box, "len64", size_bytes=1 << 63)
    box.poll()
    assert client.segments[-1] == b"\x81\x7f\x80" + bytes(7)


def test_text_that_is_not_utf8(box: Any) -> None:
    assert frames_after(box, "bad_utf8")[0][1].endswith(b"\xff")


def test_ping_flood(box: Any) -> None:
    client = subscribed(box)
    inject(box, "ping_flood", rate=1000)
    box.run(1)
    assert 900 < sum(opcode == 0x89 for opcode, _ in client.frames) < 1100


def test_no_pong(box: Any) -> None:
    client = box.open()
    inject(box, "no_pong")
    client.send_frame(0x9, b"x")
    assert client.frames[-1][0] != 0x8A


def test_close(box: Any) -> None:
    client = subscribed(box)
    inject(box, "close", code=1012, reason="restarting")
    box.poll()
    assert client.frames[-1] == (0x88, b"\x03\xf4restarting")
    assert client.line.finished
    assert box.core.sessions == []


def test_double_close(box: Any) -> None:
    client = subscribed(box)
    inject(box, "double_close")
    box.poll()
    assert [opcode for opcode, _ in client.frames[-3:]] == [0x88, 0x81, 0x88]


def test_no_close_reply(box: Any) -> None:
    client = subscribed(box)
    inject(box, "no_close_reply")
    client.send_frame(0x8, b"\x03\xe8")
    box.run(3)
    assert client.line.ending is None


# Messages.


def test_drop_duplicate_and_swap(box: Any) -> None:
    clean, client = subscribed(box), subscribed(box)
    for kind in ("drop", "duplicate", "swap"):
        inject(box, kind, session=client.line.session)
        box.step(5)
    box.step(5)
    assert box.faults.fired == {"drop": 1, "duplicate": 1, "swap": 1}
    told, truth = books(client), books(clean)
    assert told[1] == truth[2], "the first update is lost"
    assert len(told) == len(truth), "one less and one more"
    assert sorted(set(told)) == sorted(set(truth) - {truth[1]})
    twice = next(at for at, text in enumerate(told) if told.count(text) == 2)
    assert told[twice] == told[twice + 1]
    assert told != sorted(told, key=truth.index), "two have changed places"


def test_delay(box: Any) -> None:
    client = subscribed(box)
    inject(box, "delay", ms=100, channel="book")
    box.step(10)
    stamps = [loads(text)["data"][0]["timestamp"] for text in books(client)]
    box.run(0.1)
    late = [loads(text)["data"][0]["timestamp"] for text in books(client)]
    assert late[:-1] == stamps
    assert late[-1] < stamps[1]


def test_bad_checksum_spoils_nothing_else(box: Any) -> None:
    client = subscribed(box)
    fault = inject(box, "bad_checksum", symbol="BTC/USD", count=2)
    box.step(30)
    book = ReferenceBook(10)
    wrong = [book.apply_raw(text) != book.checksum() for text in books(client)]
    assert wrong == [False, True, True] + [False] * (len(wrong) - 3)
    assert fault.fired == 2


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_every_mutation_damages(box: Any, mutation: str) -> None:
    client = subscribed(box)
    inject(box, "mutate", mutation=mutation, channel="book")
    box.step(8)
    truth = box.core.market("BTC/USD").truth()
    damaged = client.texts[2]
    assert box.faults.fired["mutate"] == 1
    try:
        book = ReferenceBook(10)
        book.apply_raw(books(client)[0])
        carried = book.apply_raw(damaged)
        assert carried != book.checksum() or mutation in ("duplicate_key", "lone_surrogate", "deep", "bom")
    except Exception:
        assert truth.bids


@pytest.mark.parametrize("mutation", sorted(HARMLESS))
def test_every_harmless_change_changes_the_text_and_not_the_meaning(box: Any, mutation: str) -> None:
    changed, clean = subscribed(box), subscribed(box)
    inject(box, "mutate", mutation=mutation, count=None, session=changed.line.session, message="update")
    box.step(20)
    pairs = list(zip(books(clean)[1:], changed.texts[3:], strict=False))
    assert pairs
    one, other = ReferenceBook(10, 1, 8), ReferenceBook(10, 1, 8)
    for book in (one, other):
        book.apply_raw(books(clean)[0])
    updates = [text for text in changed.texts if loads(text).get("type") == "update"][1:]
    for text, twin in zip(books(clean)[1:], updates, strict=True):
        assert text != twin
        assert one.apply_raw(text) == other.apply_raw(twin) == other.checksum()


def test_no_snapshot(box: Any) -> None:
    inject(box, "no_snapshot", channel="book")
    client = subscribed(box)
    box.step(10)
    assert {message["type"] for message in client.messages("book")} == {"update"}


def test_late_snapshot_comes_after_updates_and_is_fresh(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=50)
    inject(box, "late_snapshot", ms=500)
    client = subscribed(box)
    box.run(1)
    kinds = [message["type"] for message in client.messages("book")]
    at = kinds.index("snapshot")
    assert at > 3
    assert kinds.count("snapshot") == 1
    book = ReferenceBook(10)
    assert all(book.apply_raw(text) == book.checksum() for text in books(client)[at:])


def test_second_snapshot(box: Any) -> None:
    client = subscribed(box)
    inject(box, "second_snapshot", channel="book")
    box.step(10)
    kinds = [message["type"] for message in client.messages("book")]
    assert kinds[:3] == ["snapshot", "snapshot", "update"]
    book = ReferenceBook(10)
    assert all(book.apply_raw(text) == book.checksum() for text in books(client))


def test_huge_snapshot(box: Any) -> None:
    inject(box, "huge_snapshot", size_bytes=300_000)
    assert len(subscribed(box).texts[-1]) > 300_000


def test_no_heartbeat_and_heartbeat_only(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=50)
    client = subscribed(box)
    with inject(box, "no_heartbeat"):
        box.run(3)
        assert len(client.messages("heartbeat")) == 0
        assert len(client.messages("book")) > 50
    told = len(client.messages("book"))
    with inject(box, "heartbeat_only"):
        box.run(3)
        assert len(client.messages("heartbeat")) == 3
        assert len(client.messages("book")) == told


# Requests.


def test_no_ack(box: Any) -> None:
    inject(box, "no_ack", count=1)
    client = subscribed(box)
    assert [message.get("channel") for message in client.messages()] == ["status", "book"]


def test_ack_then_silence(box: Any) -> None:
    inject(box, "ack_then_silence", channel="book", count=1)
    client = subscribed(box)
    client.subscribe("trade", ["BTC/USD"], snapshot=True)
    box.step(50)
    assert not client.messages("book")
    assert len(client.messages("trade")) > 1


def test_nack(box: Any) -> None:
    inject(box, "nack", symbol="ETH/USD")
    answers = box.open().subscribe("trade", ["BTC/USD", "ETH/USD"])
    assert [answer.get("error") for answer in answers] == [None, "Currency pair not supported ETH/USD"]


def test_duplicate_late_and_stray_acks(box: Any) -> None:
    client = box.open()
    inject(box, "duplicate_ack", count=1)
    assert len(client.subscribe("trade", ["BTC/USD"])) == 2
    inject(box, "stray_ack", count=1)
    answers = client.subscribe("trade", ["ETH/USD"])
    assert [answer["req_id"] for answer in answers] == [999_999_999, 1]
    inject(box, "late_ack", count=1, ms=50)
    assert "channel" in client.subscribe("book", ["BTC/USD"])[0]
    box.run(0.06)
    assert client.messages()[-1]["result"]["channel"] == "book"


def test_message_rate(box: Any) -> None:
    client = box.open()
    inject(box, "msg_rate", after=2, count=1)
    answers = [client.ask({"method": "ping", "req_id": at})[0] for at in range(4)]
    assert [answer["method"] for answer in answers] == ["pong", "pong", "subscribe", "pong"]
    assert {key: answers[2][key] for key in ("error", "success")} == {
        "error": "Exceeded msg rate",
        "success": False,
    }
    assert "req_id" not in answers[2]


# The exchange.


def test_system_status(box: Any) -> None:
    client = box.open()
    inject(box, "system_status", status="cancel_only")
    box.run(0)
    assert client.messages("status")[-1]["data"][0]["system"] == "cancel_only"


def test_pair_status_and_delisting(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=50)
    client = subscribed(box)
    client.subscribe("instrument")
    inject(box, "pair_status", symbol="BTC/USD", status="delisted")
    box.run(0)
    told = len(client.messages("book"))
    box.run(2)
    assert client.messages("instrument")[-1]["data"]["pairs"][0]["status"] == "delisted"
    assert len(client.messages("book")) == told
    (answer,) = box.open().subscribe("book", ["BTC/USD"])
    assert answer["error"] == "Currency pair not supported BTC/USD"


def test_precision(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=50)
    client = subscribed(box)
    client.subscribe("instrument")
    inject(box, "precision", symbol="BTC/USD", price=0, qty=5)
    box.run(1)
    pair = client.messages("instrument")[-1]["data"]["pairs"][0]
    assert (pair["price_precision"], pair["qty_precision"]) == (0, 5)
    fresh = subscribed(box)
    box.run(1)
    book = ReferenceBook(10)
    assert all(book.apply_raw(text) == book.checksum() for text in books(fresh))
    assert len(books(fresh)) > 10
    assert "." not in json.dumps([str(price) for price, _ in book.bids])


def test_connection_limiter(make_box: Any) -> None:
    box = make_box(limit_connections=True)
    heads = [box.open().head[9:12] for _ in range(152)]
    assert heads == [b"101"] * 150 + [b"429"] * 2
    box.clock.sleep(601)
    assert box.open().head[9:12] == b"101"


def test_every_kind_is_tested() -> None:
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in tested] == []
