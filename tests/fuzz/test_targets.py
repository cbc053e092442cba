"""Every fuzz target over its corpus and some thousand mutations of it. The long runs: `python tests/libfuzzer.py`."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from report import note

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


@pytest.mark.parametrize("name", [*TARGETS, *PLAIN])
def test_target(name: str) -> None:
    random = Random(f"{SEED}/{name}")
    corpus = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    target = {**TARGETS, **PLAIN}[name]
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
