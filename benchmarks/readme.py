"""Write the newest kept figures into README.md: `python -m benchmarks.readme [--check]`.

The tables stand between markers and are never edited by hand. `--check` writes nothing and fails where README and
results differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from . import ROOT, reliability
from .gates import HERE, Gate, load, with_unit

README = ROOT / "README.md"
MARKERS = "<!-- {}: python -m benchmarks.readme -->\n", "\n<!-- end of {} -->"

QUOTED = (
    "decode.book_ns", "decode.book_p99_ns", "decode.book_vs_orjson", "decode.book_vs_idiomatic",
    "decode.symbols_1000_vs_orjson", "book.depth_1000_vs_10", "stores.trade_ns", "stores.ticker_ns", "stores.ohlc_ns",
    "account.balances_ns", "account.executions_ns", "account.level3_ns", "delivery.callback_ns",
    "memory.stores_depth_100_mb", "end_to_end.plain_per_cpu_s", "end_to_end.plain_vs_websockets",
    "end_to_end.tls_per_cpu_s", "end_to_end.uvloop_plain_p50_us", "end_to_end.uvloop_tls_p50_us",
    "coordinator.two_lines_vs_one", "orders.add_order_us", "import.beyond_picows_ms",
)  # fmt: skip


def newest() -> dict[str, Any]:
    """Give the last run of all suites that was kept, on whatever machine."""
    lines = [json.loads(line) for path in (HERE / "results").glob("*.jsonl") for line in path.read_text().splitlines()]
    whole = [line for line in lines if set(QUOTED) <= line["figures"].keys()]
    if not whole:
        sys.exit("no whole run is kept; make one with `python -m benchmarks.gates --save RELEASE`")
    return max(whole, key=lambda line: str(line["date"]))


def row(gate: Gate, measured: float) -> str:
    """Give one promise as a line of the table."""
    bound = "at least" if gate.at_least is not None else "at most"
    verdict = "" if gate.margin(measured) >= 1 else " (missed)"
    return f"| {gate.promise} | {bound} {with_unit(gate.goal, gate.unit)} | {with_unit(measured, gate.unit)}{verdict} |"


def figures(run: dict[str, Any]) -> list[str]:
    """Give what was measured, as lines."""
    gates = {gate.figure: gate for gate in load()}
    machine = run["machine"]
    origin = f"{machine['cpu']}, Python {machine['python']}, commit {run['commit']}, by `{run['command']}`"
    return [
        f"Measured {run['date'][:10]} on {origin}.",
        "",
        "| what | promised | measured |",
        "|---|---|---|",
        *(row(gates[figure], run["figures"][figure]) for figure in QUOTED),
    ]


def trials() -> list[str]:
    """Give what was done to break it, as lines."""
    found = reliability.rows(reliability.lines_of(reliability.RESULTS))
    table = [f"| {what} | {text} | {at[:10]} |" for what, text, at in found]
    return ["| what | how much | when |", "|---|---|---|", *table]


def main() -> int:
    """Write, or compare. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where they differ")
    options = parser.parse_args()
    old = new = README.read_text()
    for name, lines in (("figures", figures(newest())), ("trials", trials())):
        begin, end = (marker.format(name) for marker in MARKERS)
        before, opened, rest = new.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            print(f"README.md needs one pair of markers: {begin.strip()} ... {end.strip()}")
            return 1
        new = before + begin + "\n".join(lines) + end + after
    if options.check:
        print(f"README.md {'quotes' if new == old else 'differs from'} the newest results")
        return int(new != old)
    README.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
