"""Every refusal of the box is one of Kraken's, and every one of them is provoked by a test."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import kraken_fast.sim

SIM = Path(kraken_fast.sim.__file__).parent
KNOWN = json.loads((Path(__file__).parent.parent / "data" / "errors.json").read_text())["errors"]


def texts() -> Iterator[str]:
    """Give every text that a `RestError` is made of, up to where it depends on the request."""
    for path in SIM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            text = node.args[0]
            if node.func.id == "invalid" and isinstance(text, ast.Constant):
                yield f"EGeneral:Invalid arguments:{text.value!s}"
            elif node.func.id == "RestError" and isinstance(text, ast.Constant):
                yield str(text.value)
            elif node.func.id == "RestError" and isinstance(text, ast.JoinedStr):
                head = text.values[0]
                assert isinstance(head, ast.Constant)
                yield str(head.value).rstrip(":")


def test_every_refusal_is_one_of_krakens() -> None:
    found = set(texts())
    assert len(found) > 40
    unknown = [text for text in found if not any(text == key or text.startswith(f"{key}:") for key in KNOWN)]
    assert unknown == []


def test_every_refusal_is_provoked_by_a_test() -> None:
    tests = "".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)
    )
    assert sorted(text for text in set(texts()) if f'"{text}' not in tests) == []
