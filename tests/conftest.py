"""What holds for every test: the figures of `report` are printed when the run ends."""

from __future__ import annotations

import pytest
import report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = report.notes()
    if figures:
        terminalreporter.section("figures")
        for name, value in figures.items():
            terminalreporter.write_line(f"{name}: {value}")
