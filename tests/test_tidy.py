"""The house rules as tests: who may import whom, how long things get, and words that have one place or none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
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

# Which floor a module or package stands on: it imports from its own or from below.
FLOORS = [
    {"errors", "types", "names", "account_records"},
    {"core"},
    {"config", "policy", "auth"},
    {"rest"},
    {"subscription_records", "private/tokens"},
    {"hangup", "dial", "subscriptions", "transport", "events", "replay"},
    {"session", "fanout"},
    {"feed", "private"},
    {"orders"},
    {"trading"},
    {"coordination", "paper"},
    {"cli", "examples", "__main__"},
]
SIM_MAY = {"errors", "types", "sim"}
CORE_MAY = {"errors", "types", "core"}

THIRD_PARTY_HOMES = {
    "picows": ("transport.py", "dial.py", "core/listener", "core/frames"),
    "aiofastnet": ("transport.py", "dial.py"),
    "aiohttp": ("rest/http.py", "sim/server.py"),
    "prometheus_client": ("coordination/metrics.py",),
    "opentelemetry": ("coordination/telemetry.py",),
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


@cache
def imports_of(path: Path) -> list[tuple[str, int]]:
    """Give every module that a file imports or cimports, absolute and dotted, with its line."""
    return list(_imports_in(path))


def _imports_in(path: Path) -> Iterator[tuple[str, int]]:
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


@cache
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


def test_only_the_command_line_and_paper_mode_import_the_box() -> None:
    bad = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        if not {PACKAGE / "sim", PACKAGE / "cli", PACKAGE / "paper"} & set(path.parents)
        for parts, line in ours_of(path)
        if parts[0] == "sim"
    ]
    assert not bad, "\n".join(bad)


def floor_of(parts: list[str]) -> int:
    """Give the floor of a module of ours, by itself if it has one of its own, else by its package."""
    for name in ("/".join(parts[:2]), parts[0]):
        for number, floor in enumerate(FLOORS):
            if name in floor:
                return number
    raise AssertionError(f"{parts} has no floor: add it to FLOORS, and think where it belongs")


def test_imports_go_down() -> None:
    bad = []
    for path in PYTHON:
        own = [*path.relative_to(PACKAGE).with_suffix("").parts]
        if own[0] in ("sim", "__init__"):
            continue
        bad += [
            f"{name_of(path)}:{line} imports {'.'.join(parts)}, which stands above it"
            for parts, line in ours_of(path)
            if parts[0] != "sim" and floor_of(parts) > floor_of(own)
        ]
    assert not bad, "\n".join(bad)


def lines_for_types(path: Path) -> set[int]:
    """Give the lines that only a type checker reads."""
    return {
        line
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }


@pytest.mark.parametrize("package", ["core", "rest", "private", "orders", "coordination", "paper", "sim"])
def test_inside_a_package_imports_have_no_circle(package: str) -> None:
    needs: dict[str, set[str]] = {}
    for path in SOURCES:
        own = [*path.relative_to(PACKAGE).with_suffix("").parts]
        if own[0] == package and len(own) > 1 and own[-1] != "__init__":
            # Parts of the box know the whole that they are parts of, by its type and no more.
            passed_over = lines_for_types(path) if package == "sim" else set()
            needs.setdefault(own[1], set()).update(
                parts[1]
                for parts, line in ours_of(path)
                if parts[0] == package and len(parts) > 1 and parts[1] != own[1] and line not in passed_over
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


@pytest.mark.parametrize("package", ["", "core", "rest", "private", "orders", "coordination", "paper"])
def test_every_module_has_its_tests(package: str) -> None:
    places = (ROOT / "tests" / package, ROOT / "tests" / "simulation")
    untested = [
        name_of(path)
        for path in SOURCES
        if path.parent == PACKAGE / package and path.suffix in (".py", ".pyx") and not path.stem.startswith("__")
        if not any(list(place.glob(f"test_{path.stem}*.py")) for place in places)
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
