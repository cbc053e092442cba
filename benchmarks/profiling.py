"""Where the time goes: one command leaves a folder with report.html and report.json.

    python -m benchmarks.profiling decode                      one symbol, 217-byte frames
    python -m benchmarks.profiling full --symbols 1000         the whole pipeline, a thousand symbols
    python -m benchmarks.profiling loopback                    over a socket, server in another process
    python -m benchmarks.profiling full --recording FILE       what `kraken-fast record` wrote
    python -m benchmarks.profiling --compare A B               what changed from report A to report B

Where they are installed, callgrind (valgrind), py-spy and Cython add instruction counts, a flame graph and annotated
lines; what is missing is named in the report.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kraken_fast.core.capture import CaptureWriter
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.decode import Decoder
from kraken_fast.core.handler import Callbacks
from kraken_fast.core.latency import Histogram

from . import bench_end_to_end, corpus, rivals, tools
from .bench_capture import ROUND_MS, SHARED_MEMORY, appender
from .bench_decode import latencies
from .corpus import Corpus
from .effort import FULL
from .report import html
from .timing import Contestant, Timing, commit, machine, race
from .weigh import resident_bytes

SCENARIOS = ("decode", "full", "loopback")
PERCENTILES = (0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
MEMORY_STEPS = 20
Step = tuple[str, Callable[[], Any]]


# What is measured ----------------------------------------------------------------------------------------------


def frames_of_recording(path: str) -> Corpus:
    """Give the messages of a capture as a corpus; its books begin anew with every pass, at their snapshots."""
    from kraken_fast.replay import Replayer, parts_of, read

    frames, replayer = [], Replayer()
    for record in read(parts_of(path)):
        replayer.take(record)
        if record.kind == "frame":
            frames.append(record.payload)
    return Corpus(Path(path).name, [], frames, tuple(replayer.decoder.kept_symbols()), 0)


def stages(frames: Corpus) -> dict[str, Timing]:
    """Time the pipeline, each time with one stage more, in turns."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if Path(SHARED_MEMORY).is_dir() else None) as folder:
        writer = CaptureWriter(Path(folder) / "stage.kfcap", SystemClock())
        count = len(frames.frames)
        unwanted = Decoder()
        contestants = {
            "copy, scan, look up": Contestant(lambda: unwanted.feed_all(frames.frames), count),
            "+ apply, verify": _fed(frames, None),
            "+ empty Python callback": _fed(frames, lambda _book: None),
            "+ read the best bid (float)": _fed(frames, lambda book: book.best_bid_float),
            "orjson.loads, for comparison": rivals.orjson_alone(frames),
        }
        found = race(contestants, round_ms=FULL.round_ms / 2)
        recording = {"recording, by itself": appender(writer, frames.frames)}
        found |= race(recording, round_ms=ROUND_MS)
        writer.close()
    return found


def _fed(frames: Corpus, callback: Any) -> Contestant:
    callbacks = Callbacks()
    callbacks.book = callback
    decoder = Decoder(handler=callbacks, create=True, create_depth=frames.depth)
    decoder.feed_all(frames.opening)
    return Contestant(lambda: decoder.feed_all(frames.frames), len(frames.frames))


def latency(frames: Corpus) -> dict[str, Any]:
    """Time message by message, from arrival to the end of the callback, clock readings included."""
    histogram = Histogram()
    for _ in range(max(3, 100_000 // len(frames.frames))):
        for upper, times in latencies(frames).buckets():
            for _ in range(times):
                histogram.record(upper)
    return _percentiles("decoder, message by message", histogram)


def _percentiles(name: str, histogram: Histogram) -> dict[str, Any]:
    return {"name": name, "count": histogram.count, "points": [(q, histogram.percentile(q)) for q in PERCENTILES]}


def socket_latency(loop: str, *, tls: bool) -> dict[str, Any]:
    """Time single frames from a readable socket to the end of the callback."""
    histogram = Histogram()
    for ns in bench_end_to_end.latencies_ns(loop, tls=tls):
        histogram.record(ns)
    return _percentiles(f"{loop}, {'TLS' if tls else 'plain'}: socket to callback", histogram)


def flood(*, tls: bool) -> float:
    """Give ns of client CPU a message in a flood over loopback."""
    messages = FULL.messages // (4 if tls else 1)
    return 1e9 / bench_end_to_end.throughput(bench_end_to_end.ours, messages=messages, tls=tls)


def memory(frames: Corpus) -> list[tuple[int, float]]:
    """Feed on and on; give (messages, MB that the process has grown by)."""
    decoder = Decoder(create=True, create_depth=frames.depth)
    before = resident_bytes()
    points = [(0, 0.0)]
    decoder.feed_all(frames.opening)
    for _ in range(MEMORY_STEPS):
        decoder.feed_all(frames.frames)
        points.append((decoder.messages, max(0.0, (resident_bytes() - before) / 1e6)))
    return points


def steps(scenario: str, frames: Corpus, report: dict[str, Any]) -> dict[str, Step]:
    """List what a scenario measures: key of the report -> (what the progress bar says, how)."""
    listed: dict[str, Step] = {
        "stages": ("stages", lambda: {name: timing.facts() for name, timing in stages(frames).items()}),
        "latency": ("latency", lambda: [latency(frames)]),
    }
    if scenario in ("full", "loopback"):
        listed["memory"] = ("memory", lambda: memory(frames))
    if scenario == "loopback":
        listed["flood"] = ("flood", lambda: {"plain": flood(tls=False), "TLS, one record a frame": flood(tls=True)})
        modes = [(loop, tls) for loop in bench_end_to_end.LOOPS for tls in (False, True)]
        listed["socket_latency"] = (
            "socket latency",
            lambda: [socket_latency(loop, tls=tls) for loop, tls in modes],
        )
    listed["instructions"] = ("callgrind", lambda: tools.callgrind(frames))
    listed["flame"] = ("py-spy", lambda: tools.flame(frames))
    listed["annotated"] = ("annotated lines", lambda: tools.annotated(report.get("instructions")))
    return listed


def collect(scenario: str, frames: Corpus, console: Console) -> dict[str, Any]:
    """Measure everything; give the report. What could not be measured says why under `missing`."""
    report: dict[str, Any] = {
        "scenario": scenario, "corpus": frames.name, "messages": len(frames.frames), "mean_bytes": frames.mean_bytes,
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "machine": machine(),
        "missing": {},
    }  # fmt: skip
    listed = steps(scenario, frames, report)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=len(listed))
        for key, (name, run) in listed.items():
            progress.update(task, description=name)
            try:
                report[key] = run()
            except tools.MissingToolError as missing:
                report["missing"][name] = str(missing)
            progress.advance(task)
    return report


# What changed ----------------------------------------------------------------------------------------------------


def flat(report: dict[str, Any]) -> dict[str, float]:
    """Give the figures of a report that can be compared, by name."""
    found = {f"{name} (ns)": facts["median_ns"] for name, facts in report.get("stages", {}).items()}
    for curve in report.get("latency", []) + report.get("socket_latency", []):
        points = {float(q): ns for q, ns in curve["points"]}
        found |= {f"{curve['name']} p{q:g} (ns)": points[q] for q in (50.0, 99.0, 99.9)}
    found |= {f"flood, {name} (ns of CPU)": ns for name, ns in report.get("flood", {}).items()}
    if "instructions" in report:
        found["instructions a message"] = report["instructions"]["total"]
        found |= {f"instructions in {name}": count for name, count in report["instructions"]["functions"][:12]}
    if "memory" in report:
        found["grown by (MB)"] = report["memory"][-1][1]
    return found


def compare(first: dict[str, Any], second: dict[str, Any]) -> Table:
    """Set two reports side by side. Instruction counts tell a change of a percent, times one of ten."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column(f"{second['corpus']}, {second['scenario']}")
    for heading in (first["commit"], second["commit"], "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    before, after = flat(first), flat(second)
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            table.add_row(name, *(("-" if value is None else f"{value:,.1f}") for value in (old, new)), "")
            continue
        change = (new - old) / old if old else 0.0
        bound = 0.01 if name.startswith("instructions") else 0.1
        colour = "green" if change < -bound else "red" if change > bound else "dim"
        table.add_row(name, f"{old:,.1f}", f"{new:,.1f}", f"[{colour}]{change:+.1%}[/]")
    return table


def load(folder: str) -> dict[str, Any]:
    """Read a report, named by its folder or its JSON."""
    path = Path(folder)
    report: dict[str, Any] = json.loads((path / "report.json" if path.is_dir() else path).read_text())
    return report


# The command -----------------------------------------------------------------------------------------------------


def corpus_of(options: argparse.Namespace) -> Corpus:
    """Give the frames that the options name."""
    if options.recording:
        return frames_of_recording(options.recording)
    return corpus.books(options.symbols, options.depth)


def main() -> int:
    """Profile, or compare."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profiling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS, default="decode")
    parser.add_argument("--symbols", type=int, default=1, help="books, interleaved (1)")
    parser.add_argument("--depth", type=int, default=10, help="levels a side (10)")
    parser.add_argument("--recording", metavar="FILE", help="a capture instead of made-up frames")
    parser.add_argument("--to", metavar="FOLDER", help="where the report goes (profile-<scenario>-<commit>)")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two report folders")
    options = parser.parse_args()
    out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if options.compare:
        out.print(compare(*map(load, options.compare)))
        return 0
    frames = corpus_of(options)
    folder = Path(options.to or f"profile-{options.scenario}-{commit().rstrip('+')}")
    folder.mkdir(parents=True, exist_ok=True)
    report = collect(options.scenario, frames, Console(stderr=True))
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    (folder / "report.html").write_text(html(report))
    out.print(f"{folder / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
