"""Fill a decoder's stores in a process that has done nothing else, and tell what they weigh.

    python -m benchmarks.weigh DEPTH [traced] < FRAMES

Started by bench_memory.py, which writes the symbols in one line and then the frames, one a line. Nothing but the
decoder is imported and nothing is freed before the first reading, so that growth cannot hide in memory that is free
already.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import tracemalloc
from pathlib import Path

from kraken_fast.core.decode import Decoder

MB = 1e6


def resident_bytes() -> int:
    """Give the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Weigh what the stores were made of (traced), and by what the process grew."""
    depth, is_traced = int(sys.argv[1]), "traced" in sys.argv
    lines = sys.stdin.buffer
    symbols: list[str] = json.loads(lines.readline())
    frames = [line[:-1] for line in lines]
    warm = Decoder()
    warm.want_book("warm/up", depth)
    gc.collect()
    if is_traced:
        tracemalloc.start()
    before = resident_bytes()
    decoder = Decoder()
    for symbol in symbols:
        decoder.want_book(symbol, depth)
        decoder.want_ticker(symbol)
        decoder.want_trades(symbol)
    understood = decoder.feed_all(frames)
    gc.collect()
    grown = resident_bytes() - before
    stored = tracemalloc.get_traced_memory()[0] if is_traced else 0
    assert understood == len(frames)
    assert all(book is not None and book.is_valid for book in map(decoder.book, symbols))
    print(json.dumps({"stored_mb": stored / MB, "grown_mb": grown / MB}))


if __name__ == "__main__":
    main()
