"""Seconds of the load that benchmarks/soak.py keeps up for a minute: nothing lost, memory bounded, slow readers too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report import note

from kraken_fast.core import book

SECONDS = os.environ.get("KRAKEN_FAST_SOAK_S", "3")
"""60 in CI; the half hour is `python -m benchmarks.soak --rate 10000 --minutes 30`."""

ROOT = Path(__file__).resolve().parent.parent


def soak(tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run it, and read what it left."""
    results = tmp_path / "results.jsonl"
    # The package that is tested, also where it is not the one in the working folder.
    installed = str(Path(book.__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([installed, str(ROOT)]), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "benchmarks.soak", *options, "--results", str(results)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert results.exists(), done.stdout + done.stderr
    line: dict[str, Any] = json.loads(results.read_text())
    return line


@pytest.mark.fault("P10", kind="L")
def test_a_burst_of_a_hundred_thousand_a_second_fits_into_memory(tmp_path: Path) -> None:
    found = soak(tmp_path, "--rate", "100000", "--seconds", "3")
    assert found["sent"] > 100_000
    assert (found["lost"], found["went_back"]) == (0, 0)
    assert found["growth_mib"] <= 64.0


def test_a_steady_load_over_two_lines_loses_nothing(tmp_path: Path) -> None:
    found = soak(tmp_path, "--rate", "10000", "--seconds", SECONDS)
    assert (found["lost"], found["went_back"]) == (0, 0)
    assert found["growth_mib"] <= 64.0
    note(f"load of 10,000/s for {SECONDS} s: age p50, p99 in ms", f"{found['age_p50_ms']}, {found['age_p99_ms']}")


@pytest.mark.fault("P01", kind="L")
def test_a_slow_reader_is_bounded_and_holds_up_nobody(tmp_path: Path) -> None:
    found = soak(tmp_path, "--rate", "10000", "--seconds", "2", "--slow-reader", "20")
    assert (found["lost"], found["went_back"]) == (0, 0)
    slow = found["slow_reader"]
    assert slow["waiting at most"] <= 1000 + 4
    assert slow["coalesced"] > 10_000
    assert slow["read"] >= 10
