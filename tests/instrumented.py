"""Builds the compiled core with sanitizers, in a copy of the tree, and runs commands against that copy.

    python tests/instrumented.py asan [pytest arguments]     the core's suite under ASan and UBSan (gcc)
    python tests/instrumented.py debug [pytest arguments]    with bounds, None and overflow checks of Cython
    python tests/instrumented.py fuzz                        build only, for tests/libfuzzer.py (clang)

Without arguments `asan` and `debug` run tests/core, tests/property and tests/fuzz. The copy is kept under build/ and
built again only where sources changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build"
SUITE = ["tests/core", "tests/property", "tests/fuzz", "-q", "-p", "no:cacheprovider", "--capture=sys"]

SANITIZE = "-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined -g1 -w"
# Cython's own wrappers add 0 to a null pointer, which clang objects to and gcc does not.
CLANG = "-shared-libsan -fsanitize=fuzzer-no-link -fno-sanitize=pointer-overflow"
KINDS = {
    "asan": {"CC": "gcc", "LDSHARED": f"gcc -shared {SANITIZE}", "CFLAGS": SANITIZE},
    "fuzz": {
        "CC": "clang",
        "LDSHARED": f"clang -shared {SANITIZE} {CLANG}",
        "CFLAGS": f"{SANITIZE} {CLANG}",
    },
    "debug": {},
}
DIRECTIVES = {"boundscheck": "True", "wraparound": "True", "nonecheck": "True", "initializedcheck": "True",
              "overflowcheck": "True"}  # fmt: skip


def ask(*command: str) -> str:
    """Run a command and give what it prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(kind: str, tree: Path) -> dict[str, str]:
    """What a process needs to run on that build."""
    found = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    found.setdefault("PYTHONMALLOC", "malloc")  # so that ASan sees small blocks too; `pymalloc` is four times as fast
    found["ASAN_OPTIONS"] = "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16"
    found["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    if kind == "asan":
        libraries = [ask("gcc", f"-print-file-name={name}") for name in ("libasan.so", "libubsan.so", "libstdc++.so")]
        found["LD_PRELOAD"] = " ".join(libraries)
    elif kind == "fuzz":
        # The engine before ASan, which has empty hooks of the same names for coverage.
        found["LD_PRELOAD"] = f"{BUILDS}/kf_libfuzzer.so " + ask("clang", "-print-file-name=libclang_rt.asan-x86_64.so")
        found["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
    return found


def build(kind: str) -> Path:
    """Bring the copy up to date and compile what changed; give its folder."""
    tree = BUILDS / kind
    tree.mkdir(parents=True, exist_ok=True)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree)
    kept = {path.relative_to(ROOT) for path in (ROOT / "kraken_fast").rglob("*") if path.is_file()}
    for path in kept:
        if path.suffix not in (".so", ".pyc"):
            to = tree / path
            to.parent.mkdir(parents=True, exist_ok=True)
            if not to.exists() or to.stat().st_mtime < (ROOT / path).stat().st_mtime:
                shutil.copy2(ROOT / path, to)
                if kind == "debug" and path.suffix == ".pyx":
                    with_checks(to)
    # Optimized little, for traces that can be read; the fortified calls hide from ASan.
    setup = tree / "setup.py"
    text = setup.read_text().replace('"-O3", "-g0",', '"-O1", "-g1",')
    setup.write_text(text.replace('"-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",', ""))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tree, env={**os.environ, **KINDS[kind]}, check=True)
    return tree


def with_checks(path: Path) -> None:
    """Switch on what the head of a module switches off."""
    head, _, rest = path.read_text().partition("\n")
    for name, value in DIRECTIVES.items():
        if f"{name}=" in head:
            head = head.replace(f"{name}=False", f"{name}={value}")
        elif head.startswith("# cython:"):
            head += f", {name}={value}"
    path.write_text(head + "\n" + rest)


def main() -> int:
    """Build, and run the suite."""
    if len(sys.argv) < 2 or sys.argv[1] not in KINDS:
        print(__doc__)
        return 2
    kind, arguments = sys.argv[1], sys.argv[2:] or SUITE
    tree = build(kind)
    if kind == "fuzz":
        return 0
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(kind, tree), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
