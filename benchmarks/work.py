"""Decode, apply and verify frames of a file, so often: what callgrind and py-spy look at. Nothing else is imported.

    python -m benchmarks.work FILE ROUNDS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks


def write(path: Path, opening: list[bytes], frames: list[bytes], depth: int) -> None:
    """Write a file for `main`: a line of facts, then a line for each frame."""
    facts = json.dumps({"depth": depth, "opening": len(opening)}).encode()
    path.write_bytes(b"\n".join([facts, *opening, *frames]))


def run_child(decoder: Decoder, frames: list[bytes], rounds: int) -> None:
    """Do the work; its name is where a flame graph begins."""
    for _ in range(rounds):
        decoder.feed_all(frames)


def main() -> None:
    """Read the file, and work."""
    first, *frames = Path(sys.argv[1]).read_bytes().split(b"\n")
    facts = json.loads(first)
    decoder = Decoder(handler=Callbacks(), create=True, create_depth=facts["depth"])
    decoder.feed_all(frames[: facts["opening"]])
    run_child(decoder, frames[facts["opening"] :], int(sys.argv[2]))


if __name__ == "__main__":
    main()
