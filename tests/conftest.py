"""What holds for every test: which loops it runs on, the figures printed at the end, and fixtures of many modules."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import report
import survival
import trustme
import uvloop

# Processes that tests start see the installed package too, not the uncompiled tree that they are started in.
os.environ["PYTHONSAFEPATH"] = "1"

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 - the hook's signature
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is marked `both_loops` on both, everything else on asyncio's."""
    return LOOPS if item.get_closest_marker("both_loops") else {"asyncio": asyncio.new_event_loop}


def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: a third of a run is waiting, for sockets, clocks and processes."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test's report carry the ids of the faults that it survives."""
    for item in items:
        for mark in item.iter_markers("fault"):
            item.user_properties.append(("fault", mark.args[0]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process that runs a part of the tests: hand its figures to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["notes"] = {name: str(value) for name, value in report.notes().items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of such a process."""
    for name, value in getattr(node, "workeroutput", {}).get("notes", {}).items():
        report.note(name, value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of `report`, and which faults of the catalogue every one of their tests survived."""
    survived = sorted(survival.survived(terminalreporter.stats))
    figures = report.notes()
    if survived:
        figures = {**figures, f"faults survived ({len(survived)})": " ".join(survived)}
    if figures:
        terminalreporter.section("figures")
        for name, value in figures.items():
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its certificate, as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(params=["plain", "tls"])
def wire(request: pytest.FixtureRequest, authority: trustme.CA, ca_file: str) -> dict[str, Any]:
    """Arguments of `serve` and `line_to` for a plain and for a secure line."""
    if request.param == "plain":
        return {"serve": {}, "line": {}}
    return {"serve": {"tls": authority.issue_cert("localhost")}, "line": {"ca_file": ca_file}}
