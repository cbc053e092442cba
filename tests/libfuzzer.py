"""Runs one target of tests/fuzz/targets.py under libFuzzer, the core built with ASan and UBSan.

    python tests/libfuzzer.py book                      until stopped
    python tests/libfuzzer.py all --runs 10000000       each target so often; new inputs go to build/corpus
    python tests/libfuzzer.py book --keep               afterwards the smallest inputs that reach as much, into the tree
    python tests/libfuzzer.py book --again crash-...    one input again

Needs clang. An input that breaks a target is left in build/ as crash-...; the exit status is then not 0.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from instrumented import BUILDS, ask, build, environment
from results import append

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "fuzz" / "corpus"
FOUND = BUILDS / "corpus"
NAMES = ("scanner", "decoder", "book", "level3", "capture", "frames", "account")
LENGTHS = {"scanner": 60, "decoder": 1200, "book": 90, "level3": 200, "capture": 300, "frames": 160, "account": 60}
"""Longest input: beyond it a case costs more than it finds."""
JUDGED = {"decoder": 64, "account": 8}
"""Targets whose judge takes longer than all else: it looks at one case of so many, and at each that found something."""

INTERRUPTED = 72
"""libFuzzer's status after Ctrl-C."""

INSIDE = """
import sys
sys.setdlopenflags(sys.getdlopenflags() | 0x100)  # RTLD_GLOBAL: instrumented modules find the engine
sys.path[:0] = [{tests!r}, {builds!r}]
import kf_libfuzzer
sys.setdlopenflags(sys.getdlopenflags() & ~0x100)
from fuzz.targets import TARGETS
import compiled
kf_libfuzzer.run([{script!r}, *sys.argv[2:]], getattr(compiled, sys.argv[1], TARGETS[sys.argv[1]]))
"""

COMPILE = """
from Cython.Build import cythonize
from setuptools import Extension, setup
extension = Extension("compiled", [{source!r}], extra_compile_args=[{optimize!r}, "-w"], libraries=["z"])
setup(name="compiled", ext_modules=cythonize([extension], build_dir={builds!r}, include_path=[{tree!r}]))
"""


def build_driver() -> None:
    """Compile the engine into a Python module."""
    source, target = HERE / "fuzz" / "driver.c", BUILDS / "kf_libfuzzer.so"
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return
    library = ask("clang", "-print-file-name=libclang_rt.fuzzer_no_main-x86_64.a")
    include = sysconfig.get_path("include")
    command = ["clang", "-O1", "-shared", "-fPIC", "-shared-libsan", "-fsanitize=address", "-I", include, str(source)]
    subprocess.run([*command, library, "-lstdc++", "-lm", "-o", str(target)], check=True)


def build_judges(tree: Path, into: Path, optimize: str = "-O2") -> None:
    """Compile the targets whose judge is in C, without instruments: it is the core whose ways are to be found."""
    work = into / "judges"
    code = COMPILE.format(
        source=str(HERE / "fuzz" / "compiled.pyx"), builds=str(work), tree=str(tree), optimize=optimize
    )
    command = [sys.executable, "-c", code, "-q", "build_ext", "--build-lib", str(into), "--build-temp", str(work)]
    subprocess.run(command, cwd=into, check=True)


def run(target: str, *options: str, tree: Path, quiet: bool, judged: int = 1) -> tuple[int, str]:
    """Run the engine, the slow judge looking at one case of `judged`; give its status and what it printed."""
    script, inside = BUILDS / f"again-{target}", BUILDS / f"inside-{target}.py"
    inside.write_text(INSIDE.format(tests=str(HERE), builds=str(BUILDS), script=str(script)))
    command = [sys.executable, "-P", str(inside), target]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')  # merging starts itself anew for each chunk
    script.chmod(0o700)
    command += options
    found = environment("fuzz", tree)
    found["FUZZ_CASES"], found["FUZZ_JUDGED"] = "1", str(judged)
    done = subprocess.Popen(command, cwd=BUILDS, env=found, stderr=subprocess.PIPE, text=True)
    lines = []
    assert done.stderr is not None
    for line in done.stderr:
        lines.append(line)
        if not quiet or not line.startswith("#"):
            sys.stderr.write(line)
    return done.wait(), "".join(lines[-400:])


def fuzz(target: str, options: argparse.Namespace, tree: Path) -> int:
    """One target: run, keep, note the figures."""
    seeds, found = CORPUS / target, FOUND / target
    seeds.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    if options.again:
        return run(target, str(options.again.resolve()), tree=tree, quiet=False)[0]
    settings = [f"-max_len={LENGTHS[target]}", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096",
                "-print_funcs=0", "-detect_leaks=0"]  # fmt: skip
    status, text = run(
        target, *settings, f"-runs={options.runs}", f"-max_total_time={options.seconds}", "-reload=0",
        str(found), str(seeds), tree=tree, quiet=options.quiet, judged=JUDGED.get(target, 1),
    )  # fmt: skip
    if target in JUDGED and status == 0:  # all that reached something new, before the slow judge
        status, _ = run(target, *settings, "-runs=0", str(found), str(seeds), tree=tree, quiet=options.quiet)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    count = int(executed[1]) if executed else 0
    print(f"{target}: {count} executions, status {status}, coverage {covered[-1] if covered else '?'}", flush=True)
    if options.results is not None:
        append(options.results, "fuzz", target=target, executions=count, judged=JUDGED.get(target, 1),
               crashed=status not in (0, INTERRUPTED))
    if options.keep and status == 0:
        kept = BUILDS / f"{target}-kept"
        kept.mkdir(exist_ok=True)
        for old in kept.iterdir():
            old.unlink()
        run(target, *settings[:1], "-merge=1", str(kept), str(found), str(seeds), tree=tree, quiet=True)
        smallest = sorted(kept.iterdir(), key=lambda path: path.stat().st_size)[: options.kept_max]
        for path in smallest:
            (seeds / path.name[:12]).write_bytes(path.read_bytes())
    return status


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0, help="at most; 0 for no bound")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--kept-max", type=int, default=150)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--quiet", action="store_true", help="without the engine's progress")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    tree = build("fuzz")
    build_driver()
    build_judges(tree, BUILDS)
    os.chdir(BUILDS)
    targets = NAMES if options.target == "all" else (options.target,)
    present = [each for each in targets if each in _present()]
    return max(abs(fuzz(target, options, tree)) for target in present)


def _present() -> set[str]:
    """Name the targets that there are."""
    text = (HERE / "fuzz" / "targets.py").read_text()
    return set(re.findall(r'^    "(\w+)": \w+,$', text, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
