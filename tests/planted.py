"""Plants bugs in a copy of the client, one at a time, and sees whether the swarm catches each: does the net have holes?

    python tests/planted.py                     all bugs of planted_bugs.toml, up to 200 seeds each
    python tests/planted.py "gap in trades"     those whose name holds this
    python tests/planted.py --seeds 50 --jobs 2
    python tests/planted.py --list              what caught each when it was last hunted; plants nothing

A bug in Python is a change of text; one in the compiled core is compiled anew, that module alone, with -O1. Prints each
bug with a seed that caught it and what it broke: the one of the last time is tried first, then all in their order. Exit
status 1 if one slips through, or no longer fits the source.
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
from typing import Any

from results import append, read

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "kraken_fast"
RESULTS = ROOT / "benchmarks" / "reliability.jsonl"
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


def judge(bug: Bug, seeds: int, tried_first: int | None = None) -> Verdict:
    """Plant a bug and run seeds until one catches it."""
    begun = time.monotonic()
    verdict = Verdict(bug, None, "", 0.0)
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        try:
            plant(bug, copy_package(Path(folder)))
            if tried_first is not None:
                verdict.seed, verdict.word = hunt(bug, f"{tried_first}-{tried_first}", folder)
            if verdict.seed is None:
                verdict.seed, verdict.word = hunt(bug, str(seeds), folder)
        except MisfitError as error:
            verdict.word = str(error)
        except subprocess.CalledProcessError as error:
            verdict.word = str(error.stderr)[-300:]
        except subprocess.TimeoutExpired:
            verdict.word = f"ran for {SECONDS_MAX} s"
    verdict.seconds = time.monotonic() - begun
    return verdict


def hunt(bug: Bug, seeds: str, folder: str) -> tuple[int | None, str]:
    """Run seeds against the package in a folder; give the first that fails and what it broke, or what else happened."""
    command = [
        sys.executable, str(ROOT / "tests" / "simulate.py"), "--seeds", seeds, "--jobs", "1", "--fail-fast",
        "--shrink-runs", "0", "--who", bug.who,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONSAFEPATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    if not done.stdout:
        return None, done.stderr[-300:]
    lines = done.stdout.splitlines()
    failing = json.loads(lines[-1])["failing_seeds"]
    return (failing[0], lines[0].partition("FAILED: ")[2]) if failing else (None, "")


def last_verdicts(path: Path) -> dict[str, dict[str, Any]]:
    """Read what became of each bug that there is when it was hunted last."""
    names = {bug.name for bug in read_bugs()}
    return {line["bug"]: line for line in read(path) if line["what"] == "planted bug" and line["bug"] in names}


def chosen(names: Iterable[str]) -> list[Bug]:
    """Pick bugs by parts of their names; all without any."""
    wanted = list(names)
    return [bug for bug in read_bugs() if not wanted or any(part in bug.name for part in wanted)]


def tell(name: str, seed: int | None, word: str, more: str) -> None:
    """Print one row."""
    caught = f"seed {seed}: {word}" if seed is not None else f"NOT CAUGHT {word}"
    print(f"{name:70} {caught:24} {more}", flush=True)


def main() -> int:
    """Plant all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="each verdict is appended here")
    options = parser.parse_args()
    bugs, known = chosen(options.names), last_verdicts(options.results)
    if options.list:
        for bug in bugs:
            line = known.get(bug.name, {"seed": None, "word": "", "at": "never hunted"})
            tell(bug.name, line["seed"], line["word"], line["at"][:16])
        caught_count = sum(known.get(bug.name, {}).get("seed") is not None for bug in bugs)
        print(f"{caught_count} of {len(bugs)} planted bugs caught")
        return int(caught_count < len(bugs))
    caught_count = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for verdict in pool.map(
            lambda bug: judge(bug, options.seeds, known.get(bug.name, {}).get("seed")), bugs
        ):
            caught_count += verdict.seed is not None
            tell(verdict.bug.name, verdict.seed, verdict.word, f"{verdict.seconds:.1f} s")
            append(
                options.results, "planted bug", bug=verdict.bug.name, seed=verdict.seed, word=verdict.word,
                seeds_max=options.seeds,
            )  # fmt: skip
    print(f"{caught_count} of {len(bugs)} planted bugs caught within {options.seeds} seeds")
    return int(caught_count < len(bugs))


if __name__ == "__main__":
    sys.exit(main())
