"""Which faults of the catalogue are survived, by severity, and which are not, by name.

    python tests/survival.py            the tests that claim a fault, collected without running them
    python tests/survival.py --run      those tests run; what failed, or was skipped, is not survived
    python tests/survival.py --security the security items, each with the tests or the reason that hold it

A fault is survived when at least one test that names it by its marker passed and none failed. The list is
data/faults.json. Exit status 1 when a goal is missed, or a test names a fault that nobody knows.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from results import append

HERE = Path(__file__).resolve().parent
CATALOGUE = json.loads((HERE / "data" / "faults.json").read_text())
SEVERITY: dict[str, int] = {fault["id"]: fault["severity"] for fault in CATALOGUE["faults"]}
TITLES: dict[str, str] = {row["id"]: row["title"] for rows in CATALOGUE.values() for row in rows}
SECURITY: list[str] = [row["id"] for row in CATALOGUE["security"]]

MEANING = {1: "wrong data or money lost silently", 2: "outage or bound missed", 3: "degraded", 4: "cosmetic"}
GOALS = {1: 86, "all": 160}
"""All of severity 1, and so many of all 178."""

KINDS = frozenset("DLUZ")


def faults_of(reports: Iterable[object]) -> set[str]:
    """Give the ids that these reports carry; a file that could not be collected has a report without properties."""
    return {str(value) for each in reports for name, value in getattr(each, "user_properties", ()) if name == "fault"}


def survived(stats: dict[str, list[object]]) -> set[str]:
    """Give the faults of which a test passed and none failed."""
    failed = faults_of([*stats.get("failed", []), *stats.get("error", [])])
    return faults_of(stats.get("passed", [])) - failed


def table(ids: set[str], verb: str) -> list[str]:
    """Write how many of each severity, and the missing ones by name."""
    known, total = Counter(SEVERITY.values()), Counter(SEVERITY[each] for each in ids if each in SEVERITY)
    lines = [
        f"severity {each} ({MEANING[each]}): {total[each]} of {known[each]}" for each in sorted(known)
    ]
    lines.append(f"faults {verb}: {total.total()} of {known.total()}")
    secured = ids & set(SECURITY)
    lines.append(f"security items {verb} by a test: {len(secured)} of {len(SECURITY)}")
    lines += [f"missing: {each} (severity {SEVERITY[each]}) {TITLES[each]}" for each in SEVERITY if each not in ids]
    return lines


def security_table() -> list[str]:
    """Write what holds each security item."""
    held = tomllib.loads((HERE / "security.toml").read_text())
    lines = []
    for each in SECURITY:
        marked, tests, reason = (held[each].get(name) for name in ("faults", "tests", "reason"))
        lines.append(f"{each} {TITLES[each]}")
        if marked:
            lines.append(f"    tests of {', '.join(marked)}")
        lines += [f"    {test}" for test in tests or ()]
        if reason:
            lines.append(f"    {reason}")
    tested = sum(bool(row.get("faults") or row.get("tests")) for row in held.values())
    return [*lines, f"{len(SECURITY)} items: {tested} with tests, {len(held) - tested} with a reason"]


def is_enough(ids: set[str]) -> bool:
    """Tell whether the goals are met."""
    worst = sum(SEVERITY.get(each) == 1 for each in ids)
    return worst >= GOALS[1] and len(ids & SEVERITY.keys()) >= GOALS["all"]


class _Claims:
    """Gathers what the collected tests claim, or what became of them."""

    def __init__(self) -> None:
        self.claimed: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.survived: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("fault"):
                self.claimed[mark.args[0]] += 1
                if mark.args[0] not in TITLES or not set(mark.kwargs.get("kind", "")) <= KINDS:
                    self.unknown.append(f"{item.nodeid}: {mark.args} {mark.kwargs}")
        items[:] = [item for item in items if item.get_closest_marker("fault")]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self.survived = survived(terminalreporter.stats)


def main(arguments: list[str]) -> int:
    """Collect, or run, and print the table."""
    if "--security" in arguments:
        print("\n".join(security_table()))
        return 0
    is_run = "--run" in arguments
    claims = _Claims()
    options = [each for each in arguments if each != "--run"]
    results = None
    if "--results" in options:
        at = options.index("--results")
        results = Path(options[at + 1])
        del options[at : at + 2]
    if not is_run:
        options += ["--collect-only", "-qq", "--no-header", "--no-summary"]
    status = pytest.main([*options, str(HERE)], plugins=[claims])
    ids = claims.survived if is_run else set(claims.claimed)
    print("\n".join(table(ids, "survived" if is_run else "claimed")))
    for each in claims.unknown:
        print(f"not in the catalogue: {each}")
    if results is not None and is_run:
        known = ids & SEVERITY.keys()
        worst = sum(SEVERITY[each] == 1 for each in known)
        append(results, "survival", survived=len(known), faults=len(SEVERITY), severity_1=worst)
    return int(bool(status) or bool(claims.unknown) or not is_enough(ids))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
