"""The house rules as tests: who may import whom, how long things get, and words that have one place or none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kraken_fast"
CORE = PACKAGE / "core"

KINDS = (".py", ".pyx", ".pxd", ".pyi")
SOURCES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in KINDS)
PYTHON = [path for path in SOURCES if path.suffix == ".py"]
TESTS = sorted(path for top in ("tests", "benchmarks") for path in (ROOT / top).rglob("*") if path.suffix in KINDS)
COMPILED = sorted(CORE.glob("*.pyx"))

LINES_MAX = 760
LONGER: dict[str, int] = {}
COLUMNS_MAX = 120

# Which floor a module stands on: it imports from its own or from below.
FLOORS = [
    {"errors", "types", "names"},
    {"core"},
    {"config", "policy", "subscription_records", "auth", "nonce", "http", "catalogue", "error_table", "sharing"},
    {"records", "rest_types", "instruments", "limits", "envelope", "rest_request", "exchange_time"},
    {"engine_limits", "key_check", "rest_clock", "rest_sender", "order_records", "order_rules", "journal", "deadman"},
    {"order_request", "order_settings", "order_rate", "live_order", "order_line", "order_rest"},
    {"order_table", "order_restore"},
    {"pretrade", "resolution"},
    {"order_sweep"},
    {"dial", "subscriptions", "transport", "events", "replay", "rest", "history", "tokens"},
    {"session", "endpoints", "order_core", "order_cancels", "orders", "shares", "readings", "health", "availability"},
    {"feed", "lines", "clients", "delivery", "fallback", "account_source"},
    {"gaps", "validate", "reader"},
    {"metrics"},
    {"coordinator"},
    {"cli", "examples", "__main__"},
]
SIM_MAY = {"errors", "types", "sim"}
CORE_MAY = {"errors", "types", "core"}

THIRD_PARTY_HOMES = {
    "picows": ("transport.py", "dial.py", "core/listener", "core/frames"),
    "aiofastnet": ("transport.py", "dial.py"),
    "aiohttp": ("http.py", "sim/server.py"),
    "prometheus_client": ("metrics.py",),
    "trustme": ("sim/tls.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "uvloop": ("cli/output.py",),
    "sortedcontainers": ("sim/",),
}

BANNED = {
    r"^\s*except\s*:": "name what is caught",
    r"except (Base)?Exception( as \w+)?:\s*(\n\s*)?(pass|\.\.\.)\s*$": "an error that nobody sees",
    r"\btime\.time\(": "time comes from a Clock",
    r"\bdatetime\.(now|utcnow|today)\(": "time comes from a Clock",
    r"(?<![\w.])random\.(random|choice|choices|randint|randrange|shuffle|uniform|gauss|sample|seed|expovariate)\(":
        "randomness comes from a generator that was passed in",
    r"\b(TODO|FIXME|XXX|HACK)\b": "write an issue",
    r"(?<![\w.])/(home|root|Users|tmp|work)/\w": "a path of one machine",
    r"\bbreakpoint\(|\bpdb\b": "a debugger",
}  # fmt: skip

FLOATS_ARGUED = {"percentile"}
"""Functions of the core whose float is neither a price nor a quantity."""

FLOAT_WORDS = re.compile(r"(?<![\w.])(float\(|double\b|strtod|atof|PyFloat_\w+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Give every module that a file imports or cimports, absolute and dotted, with its line."""
    package = list(path.relative_to(ROOT).parent.parts)
    if path.suffix in (".py", ".pyi"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                where = ".".join([*base, *filter(None, [node.module])])
                if node.module is None:
                    yield from ((f"{where}.{alias.name}", node.lineno) for alias in node.names)
                else:
                    yield where, node.lineno
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r"\s*from\s+(\.*)([\w.]*)\s+c?import\s+(\w*)", line):
            dots, module, first = found.groups()
            base = package[: len(package) - len(dots) + 1] if dots else []
            yield ".".join([*base, *filter(None, [module or first])]), number
        elif found := re.match(r"\s*c?import\s+([\w.]+)", line):
            yield found[1], number


def ours_of(path: Path) -> Iterator[tuple[list[str], int]]:
    for module, line in imports_of(path):
        parts = module.split(".")
        if parts[0] == "kraken_fast" and len(parts) > 1:
            yield parts[1:], line


def code_of(path: Path) -> str:
    """Give a file without its comments and docstrings."""
    text = re.sub(r'[rb]?"""(?:[^"\\]|\\.|"(?!""))*"""', '""', path.read_text())
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())


def test_there_is_something_to_look_at() -> None:
    assert len(COMPILED) > 10
    assert {"errors", "types"} <= {path.stem for path in PYTHON}
    assert dict(imports_of(CORE / "decode.pyx"))["kraken_fast.core.stores"]
    assert dict(imports_of(CORE / "decode.pyx"))["kraken_fast.errors"]


# Floors ------------------------------------------------------------------------------------------------------


def test_core_imports_only_errors_and_types() -> None:
    bad = [
        f"{name_of(path)}:{line} imports {parts[0]}"
        for path in SOURCES
        if CORE in path.parents
        for parts, line in ours_of(path)
        if parts[0] not in CORE_MAY
    ]
    assert not bad, "\n".join(bad)


def test_the_box_is_an_independent_judge() -> None:
    bad = [
        f"{name_of(path)}:{line} imports {parts[0]}"
        for path in SOURCES
        if PACKAGE / "sim" in path.parents
        for parts, line in ours_of(path)
        if parts[0] not in SIM_MAY
    ]
    assert not bad, "\n".join(bad)


def test_only_the_command_line_imports_the_box() -> None:
    bad = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        if not {PACKAGE / "sim", PACKAGE / "cli"} & set(path.parents)
        for parts, line in ours_of(path)
        if parts[0] == "sim"
    ]
    assert not bad, "\n".join(bad)


def test_imports_go_down() -> None:
    floor_of = {module: number for number, floor in enumerate(FLOORS) for module in floor}
    bad = []
    for path in PYTHON:
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own in ("sim", "__init__"):
            continue
        assert own in floor_of, f"{own} has no floor: add it to FLOORS, and think where it belongs"
        bad += [
            f"{name_of(path)}:{line} imports {parts[0]}, which stands above it"
            for parts, line in ours_of(path)
            if parts[0] != "sim" and floor_of.get(parts[0], 99) > floor_of[own]
        ]
    assert not bad, "\n".join(bad)


def test_inside_the_core_imports_have_no_circle() -> None:
    needs: dict[str, set[str]] = {}
    for path in [*COMPILED, *CORE.glob("*.pxd")]:
        needs.setdefault(path.stem, set()).update(
            parts[1] for parts, _ in ours_of(path) if parts[0] == "core" and len(parts) > 1 and parts[1] != path.stem
        )
    done: set[str] = set()
    while needs:
        ready = {module for module, others in needs.items() if others <= done}
        assert ready, f"these import each other: {sorted(needs)}"
        done |= ready
        for module in ready:
            del needs[module]


@pytest.mark.parametrize("library", THIRD_PARTY_HOMES)
def test_a_library_has_its_place(library: str) -> None:
    homes = THIRD_PARTY_HOMES[library]
    bad = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        for module, line in imports_of(path)
        if module.split(".")[0] == library and not str(path.relative_to(PACKAGE)).startswith(homes)
    ]
    assert not bad, "\n".join(bad)


# Mirrors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", COMPILED, ids=lambda path: path.stem)
def test_a_compiled_module_has_its_header_and_its_stub(module: Path) -> None:
    assert module.with_suffix(".pxd").exists(), "the .pxd is the contract"
    assert module.with_suffix(".pyi").exists(), "without a .pyi its users see Any"


def test_every_module_has_its_tests() -> None:
    untested = [
        name_of(path)
        for path in [*COMPILED, *(path for path in PYTHON if path.stem not in ("__init__", "__main__"))]
        if CORE in path.parents or path.parent == PACKAGE
        if not list((ROOT / "tests").rglob(f"test_{path.stem}*.py"))
    ]
    assert not untested, "\n".join(untested)


def test_no_generated_file_stands_beside_a_source() -> None:
    assert [name_of(path) for kind in ("*.c", "*.cpp", "*.html") for path in PACKAGE.rglob(kind)] == []


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").read_text() == ""


# Sizes -------------------------------------------------------------------------------------------------------


def test_files_stay_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in [*SOURCES, *TESTS]}
    assert {name: lines for name, lines in lengths.items() if lines > LONGER.get(name, LINES_MAX)} == {}


def test_lines_stay_short() -> None:
    bad = [
        f"{name_of(path)}:{number}"
        for path in [*SOURCES, *TESTS]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]
    assert not bad, "\n".join(bad)


# Words -------------------------------------------------------------------------------------------------------


def test_banned_words() -> None:
    bad = []
    for path in SOURCES:
        code = code_of(path)
        for pattern, reason in BANNED.items():
            found = re.finditer(pattern, code, re.MULTILINE)
            bad += [f"{name_of(path)}: {match[0].strip()!r} - {reason}" for match in found]
    assert not bad, "\n".join(bad)


def test_prints_only_on_the_command_line() -> None:
    bad = [
        name_of(path)
        for path in SOURCES
        if PACKAGE / "cli" not in path.parents and re.search(r"(?<![\w.])print\(", code_of(path))
    ]
    assert not bad, "\n".join(bad)


def test_in_the_core_floats_are_born_in_functions_that_say_so() -> None:
    bad = []
    for path in COMPILED:
        inside = ""
        for number, line in enumerate(code_of(path).splitlines(), 1):
            if found := re.match(r"\s*(?:cdef|cpdef|def)\b[^(=]*?(\w+)\(", line):
                inside = found[1]
            if FLOAT_WORDS.search(line) and not inside.endswith("_float") and inside not in FLOATS_ARGUED:
                bad.append(f"{name_of(path)}:{number} in {inside}: {line.strip()}")
    assert not bad, "\n".join(bad)
