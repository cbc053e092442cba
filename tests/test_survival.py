"""The catalogue of faults is whole, every marker names one of it, and only what passed counts as survived."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import survival


def test_the_catalogue_is_whole() -> None:
    assert Counter(survival.SEVERITY.values()) == {1: 86, 2: 68, 3: 22, 4: 2}
    assert len(survival.SEVERITY) == 178
    assert len(survival.CATALOGUE["invariants"]) == 43
    assert [f"X{n:02}" for n in range(1, 53)] == survival.SECURITY


def test_every_marker_names_a_known_fault() -> None:
    pattern = re.compile(r'mark\.fault\(\s*"(\w+)"')
    files = Path(__file__).parent.rglob("*.py")
    named = {(match, path.name) for path in files for match in pattern.findall(path.read_text())}
    assert len(named) > 100
    assert sorted(each for each in named if each[0] not in survival.TITLES) == []


def test_what_failed_once_or_never_passed_is_not_survived() -> None:
    def report(*ids: str) -> SimpleNamespace:
        return SimpleNamespace(user_properties=[("fault", each) for each in ids])

    stats: dict[str, list[object]] = {
        "passed": [report("N01", "N02"), report("N03"), report()],
        "failed": [report("N02")],
        "skipped": [report("N04")],
        "error": [SimpleNamespace()],
    }
    assert survival.survived(stats) == {"N01", "N03"}
    text = "\n".join(survival.table({"N01", "N03", "X01"}, "survived"))
    assert "severity 1 (wrong data or money lost silently): 1 of 86" in text
    assert "faults survived: 2 of 178" in text
    assert "missing: N04 (severity 1)" in text
    assert "missing: N03" not in text
    assert not survival.is_enough({"N01"})
    assert survival.is_enough(set(survival.SEVERITY))
