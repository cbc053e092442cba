"""What can go wrong with one REST call, before it is carried out or after.

What matters to a client is whether the call was carried out although no good answer came. Here it is, for
every kind: `idle_close`, `status`, `redirect`, `retry_after` and `errors` do not carry it out;
`act_then_fail`, `body`, `slow_drip`, `late` and `deliver_twice` do.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .faults import Faults
from .texts import NS_PER_MS

HTML = b"<html>\n<head><title>%d Origin Error</title></head>\n<body>...</body>\n</html>"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Response:
    """What REST answers, and how the answer travels.

    Attributes:
        delay_ns: how much later it leaves.
        drip_ns: it leaves byte by byte, one in this time; 0 for all at once.
        cut_at: the connection is dropped after so many bytes of the body, at 0 before any answer; None for
            not at all.
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay_ns: int = 0
    drip_ns: int = 0
    cut_at: int | None = None


def page(status: int, body: str = "") -> Response:
    """Give what an edge answers that could not reach the exchange."""
    text = body.encode() or HTML % status
    return Response(text, status, {"Content-Type": "text/html; charset=UTF-8"})


def spoiled(faults: Faults, name: str, act: Callable[[], Response]) -> Response:
    """Carry a call out, or not, and answer as the faults demand.

    Args:
        faults: the rules.
        name: of the endpoint, such as AddOrder.
        act: carries the call out.
    """
    if not faults.armed:
        return act()
    refused = _before(faults, name)
    if refused is not None:
        return refused
    answer = act()
    if faults.fire("deliver_twice", endpoint=name):
        answer = act()
    if fault := faults.fire("act_then_fail", endpoint=name):
        answer = page(fault["code"], fault["body"]) if fault["code"] else replace(answer, cut_at=0)
    if fault := faults.fire("body", endpoint=name):
        answer = damaged(answer, fault["form"], fault["size_bytes"])
    if fault := faults.fire("late", endpoint=name):
        answer = replace(answer, delay_ns=int(fault["ms"] * NS_PER_MS))
    if fault := faults.fire("slow_drip", endpoint=name):
        answer = replace(answer, drip_ns=int(fault["interval_ms"] * NS_PER_MS))
    warned = faults.fire("warnings", endpoint=name)
    return answer if warned is None else _warned(answer, warned["warnings"])


def _before(faults: Faults, name: str) -> Response | None:
    """Give the answer of a fault that keeps the call from being carried out."""
    if faults.fire("idle_close", endpoint=name):
        return Response(b"", cut_at=0)
    if fault := faults.fire("status", endpoint=name):
        answer = page(fault["code"], fault["body"])
        return replace(answer, headers={**answer.headers, **fault["headers"]})
    if fault := faults.fire("redirect", endpoint=name):
        return Response(b"", fault["code"], {"Location": fault["location"]})
    if fault := faults.fire("retry_after", endpoint=name):
        answer = page(fault["code"])
        return replace(answer, headers={**answer.headers, "Retry-After": str(fault["seconds"])})
    if fault := faults.fire("errors", endpoint=name):
        shapes: dict[str, dict[str, object]] = {
            "absent": {},
            "null": {"result": None},
            "empty": {"result": {}},
        }
        results = shapes[fault["result"]]
        return Response(json.dumps({"error": list(fault["errors"]), **results}).encode())
    return None


def damaged(answer: Response, form: str, size_bytes: int) -> Response:
    """Damage a body: html, empty, truncated, cut, wrong_type, huge or gzip_bomb.

    Raises:
        ValueError: there is no such damage.
    """
    body = answer.body
    if form == "html":
        return page(200)
    if form == "empty":
        return replace(answer, body=b"")
    if form == "truncated":  # what HTTP announces is what comes, but it is half of the JSON
        return replace(answer, body=body[: len(body) // 2])
    if form == "cut":  # the connection ends before what HTTP announced
        return replace(answer, cut_at=max(1, len(body) // 2))
    if form == "wrong_type":
        return replace(answer, body=b'{"error":[],"result":42}')
    if form == "huge":
        return replace(answer, body=b'{"error":[],"result":"' + b"x" * size_bytes + b'"}')
    if form == "gzip_bomb":
        return replace(answer, body=_bomb(size_bytes), headers={**answer.headers, "Content-Encoding": "gzip"})
    raise ValueError(f"form={form!r}: no such damage")


def _bomb(size_bytes: int) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as out:
        for at in range(0, size_bytes, _CHUNK_BYTES):
            out.write(b" " * min(_CHUNK_BYTES, size_bytes - at))
    return packed.getvalue()


def _warned(answer: Response, warnings: Sequence[str]) -> Response:
    """Put warnings before a good answer: it stays a success."""
    parsed = json.loads(answer.body)
    return replace(answer, body=json.dumps({**parsed, "error": [*warnings, *parsed["error"]]}).encode())
