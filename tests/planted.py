"""Plants bugs in a copy of the client, one at a time, and sees whether the swarm catches each: does the net have holes?

    python tests/planted.py                     all bugs of planted_bugs.toml, up to 200 seeds each
    python tests/planted.py "gap in trades"     those whose name holds this
    python tests/planted.py --seeds 50 --jobs 2

A bug in Python is a change of text; one in the compiled core is compiled anew, that module alone, with -O1. Prints each
bug with the first seed that caught it and what it broke. Exit status 1 if one slips through, or no longer fits the
source.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from results import append

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "kraken_fast"
SECONDS_MAX = 1800
"""For one bug: 200 seeds take a few minutes on a quiet machine."""


@dataclass(frozen=True)
class Bug:
    """One bug: its name, the edits that make it (file under kraken_fast, old text, new text), and whose swarm hunts."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    who: str = "feed"


def read_bugs() -> list[Bug]:
    """Read planted_bugs.toml."""
    found = tomllib.loads((ROOT / "tests" / "planted_bugs.toml").read_text())["bug"]
    return [
        Bug(bug["name"], tuple((e["file"], e["old"], e["new"]) for e in bug["edit"]), bug.get("who", "feed"))
        for bug in found
    ]


class MisfitError(Exception):
    """The source is no longer what the bug was written for."""


@dataclass
class Verdict:
    """What became of one bug."""

    bug: Bug
    seed: int | None
    word: str
    seconds: float


def built_package() -> Path:
    """Find the compiled modules: beside the sources, or where the package is installed."""
    if any((SOURCES / "core").glob("*.so")):
        return SOURCES
    spec = importlib.util.find_spec("kraken_fast")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def copy_package(to: Path) -> Path:
    """Copy sources and compiled modules."""
    package = to / "kraken_fast"
    shutil.copytree(SOURCES, package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for module in (built_package() / "core").glob("*.so"):
        shutil.copy2(module, package / "core")
    return package


def plant(bug: Bug, package: Path) -> None:
    """Make the edits, and compile what was compiled.

    Raises:
        MisfitError: an old text does not occur exactly once.
    """
    changed = set()
    for name, old, new in bug.edits:
        path = package / name
        text = path.read_text()
        if text.count(old) != 1:
            raise MisfitError(f"{bug.name}: occurs {text.count(old)} times in {name}: {old!r}")
        path.write_text(text.replace(old, new))
        changed.add(path)
    for path in sorted(changed):
        if path.suffix == ".pyx":
            compile_module(path, package.parent)


def compile_module(path: Path, root: Path) -> None:
    """Compile one module in place of the one that was copied."""
    c_file = path.with_suffix(".c")
    name = path.relative_to(root)
    run([sys.executable, "-m", "cython", "-3", str(name), "-o", str(c_file)], root)
    target = path.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
    target.unlink()
    include = sysconfig.get_path("include")
    run(["gcc", "-O1", "-w", "-shared", "-fPIC", "-I", include, str(c_file), "-o", str(target)], root)
    c_file.unlink()


def run(command: list[str], where: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    return subprocess.run(
        command, cwd=where, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


def judge(bug: Bug, seeds: int) -> Verdict:
    """Plant a bug and run seeds until one catches it."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        package = copy_package(Path(folder))
        try:
            plant(bug, package)
        except (MisfitError, subprocess.CalledProcessError) as error:
            told = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            return Verdict(bug, None, told[-300:], time.monotonic() - begun)
        command = [
            sys.executable, str(ROOT / "tests" / "simulate.py"), "--seeds", str(seeds), "--jobs", "1", "--fail-fast",
            "--shrink-runs", "0", "--who", bug.who,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": ""}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return Verdict(bug, None, f"ran for {SECONDS_MAX} s", time.monotonic() - begun)
    seconds = time.monotonic() - begun
    if not done.stdout:
        return Verdict(bug, None, done.stderr[-300:], seconds)
    lines = done.stdout.splitlines()
    failing = json.loads(lines[-1])["failing_seeds"]
    if not failing:
        return Verdict(bug, None, "", seconds)
    return Verdict(bug, failing[0], lines[0].partition("FAILED: ")[2], seconds)


def chosen(names: Iterable[str]) -> list[Bug]:
    """Pick bugs by parts of their names; all without any."""
    wanted = list(names)
    return [bug for bug in read_bugs() if not wanted or any(part in bug.name for part in wanted)]


def main() -> int:
    """Plant all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    bugs = chosen(options.names)
    verdicts = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for verdict in pool.map(lambda bug: judge(bug, options.seeds), bugs):
            verdicts.append(verdict)
            caught = "NOT CAUGHT" if verdict.seed is None else f"seed {verdict.seed}: {verdict.word}"
            told = verdict.word if verdict.seed is None else ""
            print(f"{verdict.bug.name:70} {caught:24} {verdict.seconds:6.1f} s {told}", flush=True)
    caught_count = sum(verdict.seed is not None for verdict in verdicts)
    print(f"{caught_count} of {len(bugs)} planted bugs caught within {options.seeds} seeds")
    if options.results is not None:
        seeds = {verdict.bug.name: verdict.seed for verdict in verdicts}
        append(options.results, "planted", planted=len(bugs), caught=caught_count, seeds_max=options.seeds, seeds=seeds)
    return int(caught_count < len(bugs))


if __name__ == "__main__":
    sys.exit(main())
