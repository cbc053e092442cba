"""Every fuzz target over its corpus and some thousand mutations of it. The long runs: `python tests/libfuzzer.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from libfuzzer import build_judges
from report import note

from kraken_fast.core import book

from .plain_targets import PLAIN
from .targets import TARGETS

CASES = int(os.environ.get("FUZZ_CASES", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261122"))
CORPUS = Path(__file__).parent / "corpus"


def mutated(random: Random, data: bytes, other: bytes) -> bytes:
    """Change a few bytes, cut, repeat, or join with another."""
    raw = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(raw) + 1)
        kind = random.randrange(5)
        if kind == 0 and place < len(raw):
            raw[place] = random.randrange(256)
        elif kind == 1:
            raw[place:place] = random.randbytes(random.choice((1, 2, 8)))
        elif kind == 2:
            del raw[place : place + random.randrange(1, 9)]
        elif kind == 3:
            raw[place:place] = raw[place : place + random.randrange(1, 40)]
        else:
            raw[place:] = other[random.randrange(len(other) + 1) :]
    return bytes(raw)


def judge(name: str, target: Callable[[bytes], None]) -> None:
    """Show a target its corpus and mutations of it."""
    random = Random(f"{SEED}/{name}")
    corpus = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    for data in [b"", *corpus]:
        target(data)
    for _ in range(CASES):
        data = mutated(random, random.choice(corpus), random.choice(corpus))
        try:
            target(data)
        except BaseException:
            print("case:", data)
            raise
    note(f"fuzz target {name}: cases judged", len(corpus) + CASES)


@pytest.mark.parametrize("name", [*TARGETS, *PLAIN])
def test_target(name: str) -> None:
    judge(name, {**TARGETS, **PLAIN}[name])


def test_judges_in_c_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_judges(Path(book.__file__).parents[2], tmp_path, "-O0")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        import compiled

        for name in ("book", "level3"):
            judge(name, getattr(compiled, name))
    finally:
        sys.modules.pop("compiled", None)
