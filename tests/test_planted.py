"""The bugs to plant still fit the source, and one is planted and caught. All of them: `python tests/planted.py`."""

from __future__ import annotations

import planted
import pytest

BUGS = planted.read_bugs()


def test_there_are_enough_and_each_has_its_name() -> None:
    assert len(BUGS) >= 25
    assert len({bug.name for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_fits_the_source_and_changes_it(bug: planted.Bug) -> None:
    for file, old, new in bug.edits:
        assert (planted.SOURCES / file).read_text().count(old) == 1, f"{file}: {old!r}"
        assert old != new


def test_a_planted_bug_is_caught() -> None:
    (bug,) = [bug for bug in BUGS if bug.name == "a lost line stays live until silence shows"]
    verdict = planted.judge(bug, 20)
    assert verdict.seed is not None, verdict.word
    assert verdict.word == "S09"
