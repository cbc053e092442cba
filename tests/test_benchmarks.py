"""The benchmarks' own tests: every promise is measured by something, and judging works. How fast is not tested here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
GATES: list[dict[str, Any]] = tomllib.loads((BENCHMARKS / "gates.toml").read_text())["gate"]

# `benchmarks` is found beside us and takes the uncompiled tree off the path by itself.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}

IN_PROCESS = ("account", "book", "checksum", "decode", "delivery", "stores")


def run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_promises_are_made_once_and_whole() -> None:
    assert len({gate["promise"] for gate in GATES}) == len({gate["figure"] for gate in GATES}) == len(GATES) >= 25
    for gate in GATES:
        assert set(gate) - {"at_least", "at_most", "tripwire"} == {"promise", "figure", "unit", "basis"}
        assert ("at_least" in gate) != ("at_most" in gate)
        assert gate["basis"] in ("ratio", "absolute")
        assert (BENCHMARKS / f"bench_{gate['figure'].partition('.')[0]}.py").exists()


def test_no_suite_is_forgotten() -> None:
    suites = {path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py")}
    assert suites - {gate["figure"].partition(".")[0] for gate in GATES} <= {"checksum"}


@pytest.fixture(scope="module")
def smoke() -> dict[str, Any]:
    only = [word for suite in IN_PROCESS for word in ("--only", suite)]
    done = run("benchmarks.gates", "--smoke", "--json", *only)
    assert done.returncode in (0, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"status": done.returncode}


def test_the_smoke_run_measures_every_promise_of_its_suites(smoke: dict[str, Any]) -> None:
    wanted = {gate["figure"] for gate in GATES if gate["figure"].partition(".")[0] in IN_PROCESS}
    assert wanted <= smoke["figures"].keys()
    assert {row["figure"] for row in smoke["gates"]} == wanted


def beyond_its_tripwire(row: dict[str, Any]) -> bool:
    if row["tripwire"] is None:
        return bool(row["margin"] < 1)
    least = row["at_least"] is not None
    return bool(row["measured"] < row["tripwire"] if least else row["measured"] > row["tripwire"])


def test_only_a_ratio_beyond_its_tripwire_fails_a_brief_run(smoke: dict[str, Any]) -> None:
    broken = [row for row in smoke["gates"] if row["basis"] == "ratio" and beyond_its_tripwire(row)]
    assert smoke["status"] == bool(broken)


FAR_FROM_PROMISED = {"account.executions_vs_orjson"}
"""Less than half of the promise is reached: each of them is in the way of a release, none of a change."""


def test_a_tripwire_lies_below_the_promise_but_not_far() -> None:
    for gate in GATES:
        if "tripwire" in gate and gate["figure"] not in FAR_FROM_PROMISED:
            assert gate["basis"] == "ratio", gate
            goal = gate.get("at_least") or gate["at_most"]
            assert 0.6 <= (gate["tripwire"] / goal if "at_least" in gate else goal / gate["tripwire"]) < 1, gate


def test_margins_point_the_right_way(smoke: dict[str, Any]) -> None:
    for row in smoke["gates"]:
        measured, least, most = row["measured"], row["at_least"], row["at_most"]
        is_met = measured >= least if least is not None else measured <= most
        assert is_met == (row["margin"] >= 1)


def test_figures_are_appended_never_overwritten(tmp_path: Path) -> None:
    program = (
        "from benchmarks.gates import save; from pathlib import Path; import sys;"
        "paths = {save('9.9', {'a.b': 1.0}, Path(sys.argv[1])) for _ in range(2)}; print(len(paths), paths.pop())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    count, path = done.stdout.split()
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert (count, len(lines)) == ("1", 2)
    assert lines[0]["figures"] == {"a.b": 1.0}
    assert lines[0].keys() == {"date", "commit", "command", "machine", "figures"}


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").glob("*.jsonl")), ids=lambda path: path.stem)
def test_kept_results_can_be_read(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert json.loads(line)["figures"]


def test_the_readme_quotes_the_newest_results_of_a_whole_run() -> None:
    done = run("benchmarks.readme", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rivals_meet_on_the_same_frames() -> None:
    done = run("benchmarks.rivals", "--json", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    timings = json.loads(done.stdout)["timings"]
    assert len(timings) >= 4
    assert all(timing["median_ns"] > 0 for timing in timings.values())


def test_two_reports_can_be_compared(tmp_path: Path) -> None:
    for name, ns in (("before", 300.0), ("after", 200.0)):
        report = {
            "scenario": "decode", "corpus": "book", "commit": name, "stages": {"+ apply, verify": {"median_ns": ns}},
            "latency": [], "missing": {}, "instructions": {"total": 10 * ns, "functions": [["scan.scan", ns]]},
        }  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    done = run("benchmarks.profiling", "--compare", str(tmp_path / "before"), str(tmp_path / "after"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("-33.3%") == 3
