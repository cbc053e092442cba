"""Other people's instruments, run on a child that does the work and nothing else; each is optional."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from . import ROOT, work
from .corpus import Corpus

CALLGRIND_ROUNDS = 3
FLAME_MESSAGES = 6_000_000
TOOL_S = 120.0
FUNCTIONS_MAX = 25
SAMPLES_PER_S = 250

HOT = {
    "decode": ("on_message", "understand"),
    "decode_market": ("take_book",),
    "scan": ("scan", "_usual", "_members", "_rows", "_levels_list"),
    "book": ("apply", "_set_all", "_set", "_find", "_insert", "_remove"),
    "checksum": ("level_token", "join_tokens", "finish"),
    "symbols": ("find",),
}
"""Functions whose lines are shown where callgrind cannot tell which are hot."""


class MissingToolError(Exception):
    """An instrument is not installed, or may not be used here."""


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=TOOL_S)
    except subprocess.CalledProcessError as failed:
        last = (failed.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MissingToolError(f"{Path(command[0]).name} failed: {last[:200]}") from failed
    except subprocess.TimeoutExpired as failed:
        raise MissingToolError(f"{Path(command[0]).name} took more than {failed.timeout:g} s") from failed


def _child(folder: Path, frames: Corpus, rounds: int) -> list[str]:
    """Write the frames, once, and give the command of a child that works on them."""
    file = folder / "frames"
    if not file.exists():
        work.write(file, frames.opening, frames.frames, frames.depth)
    return [sys.executable, "-m", work.__name__, str(file), str(rounds)]


def callgrind(frames: Corpus) -> dict[str, Any]:
    """Count instructions a message, by function: one run subtracted from a longer one, so starting counts nothing."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MissingToolError("valgrind is not installed")
    counts: list[Counter[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for rounds in (1, 1 + CALLGRIND_ROUNDS):
            out = Path(folder) / str(rounds)
            tool = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}"]
            toggle = ["--toggle-collect=*Decoder*feed_all*"]
            _run([*tool, *toggle, *_child(Path(folder), frames, rounds)])
            counts.append(_self_costs(out.read_text()))
    messages = CALLGRIND_ROUNDS * len(frames.frames)
    spent = counts[1] - counts[0]
    functions = [(name, count / messages) for name, count in spent.most_common(FUNCTIONS_MAX)]
    total = sum(spent.values()) / messages
    if not total:
        raise MissingToolError("valgrind saw none of our functions")
    return {"total": total, "functions": functions}


def _self_costs(text: str) -> Counter[str]:
    """Add up what callgrind counted in each function itself, calls excluded."""
    costs: Counter[str] = Counter()
    names: dict[str, str] = {}
    function, is_call = "", False
    for line in text.splitlines():
        if found := re.match(r"fn=\((\d+)\)(?: (.*))?", line):
            if found[2]:
                names[found[1]] = found[2]
            function = names.get(found[1], "?")
        elif found := re.match(r"cfn=\((\d+)\)(?: (.*))?", line):
            if found[2]:
                names[found[1]] = found[2]
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+\-*\d]", line):
            if not is_call:
                costs[_readable(function)] += int(line.split()[1])
            is_call = False
    return costs


def _readable(name: str) -> str:
    """Shorten Cython's names.

    >>> _readable("__pyx_f_11kraken_fast_4core_6decode_7Decoder_understand")
    'decode.Decoder.understand'
    """
    name = name.partition("'")[0]
    found = re.match(r"__pyx_(?:f|fuse|pf|pw|tp)\w*?_11kraken_fast_4core_(\w+)", name)
    if not found:
        return name
    parts, rest = [], found[1]
    while piece := re.match(r"(\d+)", rest):
        size = int(piece[1])
        start = len(piece[1])
        if len(rest) < start + size:
            break
        parts.append(rest[start : start + size])
        rest = rest[start + size :].removeprefix("_")
    return ".".join([*parts, rest]) if rest else ".".join(parts)


def flame(frames: Corpus) -> list[tuple[str, int]]:
    """Sample the child's stacks, native frames included: (frames joined by semicolons, samples)."""
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if py_spy is None:
        raise MissingToolError("py-spy is not installed")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stacks"
        options = ["--native", "--format", "raw", "--rate", str(SAMPLES_PER_S), "--output", str(out)]
        rounds = max(1, FLAME_MESSAGES // len(frames.frames))
        _run([py_spy, "record", *options, "--", *_child(Path(folder), frames, rounds)])
        stacks = []
        for line in out.read_text().splitlines():
            stack, _, samples = line.rpartition(" ")
            names = [_readable(frame.partition(" (")[0]) for frame in stack.split(";")]
            if "run_child" in names:
                stacks.append((";".join(names[names.index("run_child") :]), int(samples)))
        return stacks


def _hot(instructions: dict[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Give the names of the hot functions by module: those that callgrind found, or those that we know of."""
    if instructions is None:
        return HOT
    found: dict[str, tuple[str, ...]] = {}
    for name, _ in instructions["functions"]:
        module, _, rest = name.partition(".")
        if (ROOT / "kraken_fast" / "core" / f"{module}.pyx").exists():
            found[module] = (*found.get(module, ()), rest.rpartition(".")[2])
    return found


def annotated(instructions: dict[str, Any] | None = None) -> dict[str, list[tuple[int, int, str]]]:
    """Give the lines of hot functions that Cython's report colours: (line, Python calls in it, text), by module."""
    try:
        from Cython.Compiler.Main import CompilationOptions, compile_single, default_options
    except ImportError:
        raise MissingToolError("Cython is not installed") from None
    found: dict[str, list[tuple[int, int, str]]] = {}
    core = ROOT / "kraken_fast" / "core"
    with tempfile.TemporaryDirectory() as folder:
        for module, names in _hot(instructions).items():
            source = core / f"{module}.pyx"
            target = Path(folder) / f"{module}.c"
            options = CompilationOptions(
                default_options, output_file=str(target), annotate=True, language_level=3, include_path=[str(ROOT)]
            )
            compile_single(str(source), options, f"kraken_fast.core.{module}")
            page = target.with_suffix(".html").read_text()
            scores = {int(line): int(score) for score, line in _SCORED.findall(page)}
            lines = _hot_lines(source.read_text().splitlines(), names)
            found[module] = [(number, scores[number], text) for number, text in lines if scores.get(number)]
    return found


_SCORED = re.compile(r'<pre class="cython line score-(\d+)"[^>]*>[^<]*<span class="">0*(\d+)</span>')


def _hot_lines(lines: list[str], names: tuple[str, ...]) -> list[tuple[int, str]]:
    """Give the lines inside the functions of these names, numbered from 1."""
    found: list[tuple[int, str]] = []
    indent: int | None = None
    for number, line in enumerate(lines, 1):
        depth = len(line) - len(line.lstrip())
        if head := re.match(r"\s*(?:cdef|cpdef|def)\b[^(=]*?(\w+)\(", line):
            indent = depth if head[1] in names else None
        elif line.strip() and indent is not None and depth <= indent:
            indent = None
        if indent is not None:
            found.append((number, line))
    return found
