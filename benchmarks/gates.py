"""Check every promise of gates.toml: `python -m benchmarks.gates [--smoke] [--only SUITE] [--json] [--save RELEASE]`.

Prints promise, measured and margin. Exit status 1 if a ratio is not met; absolute figures are reported only. A brief
run (`--smoke`, of CI) fails only beyond a tripwire, which leaves room for a machine that others load. `--save`
appends what was measured to the file of this machine and release in results/, which is never edited.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from .effort import FULL, SMOKE, Effort
from .timing import commit, machine

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Gate:
    """One promise. `figure` is suite.name; of `at_least` and `at_most` one is set.

    `tripwire` is what a brief run on a machine that others load must still show; None where that is the promise.
    """

    promise: str
    figure: str
    unit: str
    basis: Literal["ratio", "absolute"]
    at_least: float | None = None
    at_most: float | None = None
    tripwire: float | None = None

    @property
    def suite(self) -> str:
        """Which bench_<suite>.py measures it."""
        return self.figure.partition(".")[0]

    @property
    def goal(self) -> float:
        """The promised figure."""
        goal = self.at_least if self.at_least is not None else self.at_most
        assert goal is not None, self.figure
        return goal

    def margin(self, measured: float) -> float:
        """How many times better than promised; below 1 it is broken."""
        if self.at_least is not None:
            return measured / self.goal
        return self.goal / measured if measured > 0 else float("inf")

    def trips(self, measured: float) -> bool:
        """Tell whether a brief run must fail: the figure is beyond what noise explains."""
        if self.tripwire is None:
            return self.margin(measured) < 1.0
        return measured < self.tripwire if self.at_least is not None else measured > self.tripwire


def load(path: Path = HERE / "gates.toml") -> list[Gate]:
    """Read the promises."""
    return [Gate(**entry) for entry in tomllib.loads(path.read_text())["gate"]]


def measure(suites: Iterable[str], effort: Effort, console: Console) -> dict[str, float]:
    """Run suites one after the other; give their figures by full name."""
    measured: dict[str, float] = {}
    names = list(dict.fromkeys(suites))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for number, suite in enumerate(names, 1):
            task = progress.add_task(f"{suite} ({number} of {len(names)})")
            figures = import_module(f"{__package__}.bench_{suite}").figures(effort)
            measured |= {f"{suite}.{name}": value for name, value in figures.items()}
            progress.remove_task(task)
    return measured


def failures(gates: Iterable[Gate], measured: dict[str, float], *, brief: bool = False) -> list[Gate]:
    """Give the ratios that are not met; of a brief run, those beyond their tripwire."""
    return [
        gate
        for gate in gates
        if gate.basis == "ratio"
        and (gate.trips(measured[gate.figure]) if brief else gate.margin(measured[gate.figure]) < 1.0)
    ]


def with_unit(value: float, unit: str) -> str:
    """Write a figure with its unit, to three digits or so."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _table(gates: Iterable[Gate], measured: dict[str, float], *, brief: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("Promise")
    for heading in ("Promised", "Measured", "Margin"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for gate in gates:
        margin = gate.margin(measured[gate.figure])
        bound = "at least" if gate.at_least is not None else "at most"
        missed = "[red]NOT MET[/]" if gate.basis == "ratio" else "[yellow]missed[/]"
        if brief and margin < 1 and not gate.trips(measured[gate.figure]):
            missed = f"[yellow]missed, within the tripwire of {gate.tripwire:g} {gate.unit}[/]"
        verdict = "[green]met[/]" if margin >= 1 else missed
        table.add_row(
            gate.promise,
            f"{bound} {with_unit(gate.goal, gate.unit)}",
            with_unit(measured[gate.figure], gate.unit),
            f"{margin:.2f}x",
            verdict if gate.basis == "ratio" else f"{verdict} [dim](reported only)[/]",
        )
    return table


def save(release: str, measured: dict[str, float], folder: Path = HERE / "results") -> Path:
    """Append one line of JSON to the file of this machine and release."""
    facts = machine()
    name = re.sub(r"[^a-z0-9.]+", "-", f"{release} {facts['cpu']}".lower()).strip("-")
    path = folder / f"{name}.jsonl"
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": "python -m benchmarks.gates",
        "machine": facts,
        "figures": {name: round(value, 4) for name, value in measured.items()},
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return path


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="measure briefly, under two minutes")
    parser.add_argument("--only", action="append", metavar="SUITE", help="only these suites")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", metavar="RELEASE", help="append the figures to results/")
    parser.add_argument("--list", action="store_true", help="name the gates and measure nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, judge. Returns the exit status."""
    options = _parse(arguments)
    gates = [gate for gate in load() if not options.only or gate.suite in options.only]
    if options.list:
        print(json.dumps([asdict(gate) for gate in gates], indent=1))
        return 0
    suites = options.only or [gate.suite for gate in gates]
    measured = measure(suites, SMOKE if options.smoke else FULL, Console(stderr=True))
    broken = failures(gates, measured, brief=options.smoke)
    if options.json:
        rows: list[dict[str, Any]] = [
            {**asdict(gate), "measured": measured[gate.figure], "margin": gate.margin(measured[gate.figure])}
            for gate in gates
        ]
        print(json.dumps({"commit": commit(), "machine": machine(), "gates": rows, "figures": measured}))
    else:
        out = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
        facts = machine()
        out.print(f"[dim]{facts['cpu']}, {facts['system']}, Python {facts['python']}, commit {commit()}[/]")
        out.print(_table(gates, measured, brief=options.smoke))
        unmet = len(failures(gates, measured))
        out.print(f"{sum(gate.basis == 'ratio' for gate in gates) - unmet} ratios met, {unmet} not met")
        if options.smoke:
            out.print(f"{len(broken)} beyond their tripwire")
    if options.save:
        print(f"appended to {save(options.save, measured)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
