"""Timing on machines that are not ours alone: contestants take turns in one process, and medians are told.

What counts is the thread's own CPU time, so that a neighbour who takes the core costs nothing but the cold caches he
leaves behind. Those, and the clock speed, hit all contestants alike; a ratio of two medians of the same race is
therefore what gates rest on, and an absolute figure is only reported.
"""

from __future__ import annotations

import gc
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns, thread_time_ns

from . import ROOT

ROUNDS = 5
SLICES = 8
"""A round is cut into so many slices, and contestants change after each: a disturbance of 50 ms hits all of them."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that can be timed.

    Attributes:
        run: does the work once over.
        count: units of work in one `run`, messages mostly.
    """

    run: Callable[[], object]
    count: int


@dataclass(frozen=True, slots=True)
class Timing:
    """What came out, in ns a unit.

    Attributes:
        rounds_ns: every round, in order.
    """

    rounds_ns: tuple[float, ...]

    @property
    def median_ns(self) -> float:
        """The figure that is quoted."""
        return statistics.median(self.rounds_ns)

    @property
    def best_ns(self) -> float:
        """The quickest round: nearest to what the code itself takes."""
        return min(self.rounds_ns)

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, against their median."""
        return (max(self.rounds_ns) - min(self.rounds_ns)) / self.median_ns

    def facts(self) -> dict[str, float]:
        """Give what a report quotes."""
        return {"median_ns": self.median_ns, "best_ns": self.best_ns, "spread": self.spread}


def race(contestants: Mapping[str, Contestant], *, rounds: int = ROUNDS, round_ms: float = 80.0) -> dict[str, Timing]:
    """Time contestants in turns.

    Args:
        contestants: by name.
        rounds: of each contestant.
        round_ms: CPU time of one round; work that is shorter is repeated within it, longer work is done once.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection would hit whoever happens to run; those who make garbage are spared its price
    try:
        slices = {name: _slices(contestant.run, round_ms) for name, contestant in contestants.items()}
        for _ in range(rounds):
            took = dict.fromkeys(contestants, 0.0)
            for turn in range(SLICES):
                for name, contestant in contestants.items():
                    count, repeats = slices[name]
                    if turn < count:
                        took[name] += _time(contestant.run, repeats) / count
            for name, contestant in contestants.items():
                times[name].append(took[name] / contestant.count)
    finally:
        if was_enabled:
            gc.enable()
    return {name: Timing(tuple(each)) for name, each in times.items()}


def ratio(timings: Mapping[str, Timing], slower: str, faster: str) -> float:
    """Tell how many times faster one contestant was than another: the median of the rounds' own ratios."""
    pairs = zip(timings[slower].rounds_ns, timings[faster].rounds_ns, strict=True)
    return statistics.median(slow / fast for slow, fast in pairs)


def _slices(run: Callable[[], object], round_ms: float) -> tuple[int, int]:
    """Warm up, and find in how many slices, and how often in each, the work fills a round."""
    once_ns = min(_time(run, 1) for _ in range(2))
    runs = max(1, round(round_ms * 1e6 / max(1.0, once_ns)))
    return (SLICES, runs // SLICES) if runs >= SLICES else (runs, 1)


def _time(run: Callable[[], object], repeats: int) -> float:
    """Time so many runs in a row; give ns a run."""
    began = thread_time_ns()
    for _ in range(repeats):
        run()
    return (thread_time_ns() - began) / repeats


def wall_ns(run: Callable[[], object]) -> int:
    """Time one call by the wall clock."""
    began = perf_counter_ns()
    run()
    return perf_counter_ns() - began


def machine() -> dict[str, str]:
    """Tell what a figure was measured on."""
    model = "unknown CPU"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = f"{names[0].partition(':')[2].strip()} x{len(names)}" if names else model
    return {"cpu": model, "system": platform.platform(), "python": platform.python_version()}


def commit() -> str:
    """Give the commit of the checkout that measures, with a plus if files differ from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
