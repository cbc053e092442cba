"""Memory after many messages: flat, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from report import note

STRETCH_ROUNDS = 100

PROGRAM = """
import gc, json, resource, sys
from random import Random

sys.path.insert(0, sys.argv[1])
import corpus
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks

messages = list(corpus.catalogue().values())
long = next(v for v in corpus.book_vectors() if v["id"].endswith("long"))
random = Random(1)
messages += [raw.encode() for raw in long["raw"]] * 3
messages += [raw[: random.randrange(len(raw))] for raw in messages[:300]] + [b"\\xff", b"", b'{"channel":"x"}']
messages += [b'{"channel":"ticker","data":"' + b"x" * 300_000 + b'"']
kept = []

def callback(told):
    kept[:] = [told.snapshot() if hasattr(told, "snapshot") else told]
    if len(repr(told)) % 7 == 0:
        raise ValueError

def round():
    callbacks = Callbacks()
    callbacks.book = callbacks.ticker = callbacks.trade = callbacks.candle = callback
    decoder = Decoder(handler=callbacks, create=True)
    for raw in messages:
        decoder.feed(raw)
        decoder.last_error
    decoder.new_epoch()
    for symbol in decoder.kept_symbols():
        decoder.unwant("trade", symbol)
    return decoder

def measure():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return sys.getallocatedblocks(), int(statm.read().split()[1]) * resource.getpagesize()

live = round()
for _ in range(100):     # until what Python caches for logging is there
    round()
figures = [measure()]
fed = 0
for _ in range(4):
    for _ in range(int(sys.argv[2])):
        round()
        live.feed_all([raw for raw in messages if len(raw) < 1000])
        fed += 2 * len(messages)
    figures.append(measure())
print(json.dumps([fed, figures]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_hundred_thousand_messages_leave_nothing_behind() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(STRETCH_ROUNDS)],
        capture_output=True,
        text=True,
        check=True,
    )
    fed, figures = json.loads(run.stdout)
    # A leak grows in every stretch; what Python keeps for itself (interned names, free lists) comes in single steps.
    grown = [min(b[i] - a[i] for a, b in pairwise(figures[1:])) for i in range(2)]
    note("growth over mixed messages", f"{fed}: {grown[0]} blocks, {grown[1] // 1024} KiB a stretch")
    assert fed >= 100_000
    assert grown[0] < STRETCH_ROUNDS, (
        figures
    )  # less than an object a round: 5 to 30 come and stay without a leak
    assert grown[1] <= 250_000, figures
