"""The Autobahn cases, run by kosoku's fuzzing server against our transport as an echo client.

301 cases without compression: 247 outside group 9, of which at most 1 may fail, and 54 of limits and performance, of
which none may. Case 7.1.2 sends two close frames at once; picows looks one frame ahead, answers the second with 1002
before we see the first, and nothing above it can change that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from random import Random

import kosoku
import pytest
import report
from kosoku._kosoku import CaseResult

from kraken_fast.config import Endpoints, LineSettings
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.sink import PySink
from kraken_fast.transport import Connection, LineState

from .wire import each_loop

# Case 9.3.1 sends 4 MiB in fragments of 64 bytes; our default of 1,024 fragments would rightly refuse it.
SETTINGS = LineSettings(fragments_max=1 << 17, unsent_bytes_max=1 << 26)
PARALLEL = 8


class Echo:
    """Echoes what comes, and ends with the first connection."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.ended = asyncio.Event()
        self.connection: Connection

    def on_up(self, _epoch: int) -> None: ...

    def on_down(self, _reason: Exception, _epoch: int) -> None:
        self.ended.set()

    def on_state(self, _old: LineState, new: LineState, _reason: str) -> None:
        if new is LineState.CLOSED:
            self.ended.set()

    def on_error(self, error: Exception, _count: int) -> None:
        raise error

    def on_text(self, text: bytes, _recv_ns: int) -> None:
        self.texts.append(text[:16])
        self.connection.listener.send(text)

    def on_binary(self, data: bytes, _recv_ns: int) -> None:
        self.connection.listener.send(data, binary=True)


async def visit(url: str, *, echo: bool = True) -> list[bytes]:
    """Make one connection and stay until the server ends it. Returns how the texts began."""
    client = Echo()
    texts: list[bytes] = []
    sink = PySink(client.on_text, client.on_binary) if echo else PySink(lambda text, _ns: texts.append(text))
    client.connection = Connection(
        Endpoints(ws_url=url), client, sink, clock=SystemClock(), rng=Random(1), settings=SETTINGS
    )
    client.connection.start()
    await client.ended.wait()
    await client.connection.close()
    return texts


async def run_cases(include: list[str] | None, exclude: list[str] | None) -> list[CaseResult]:
    async with kosoku.run_fuzzingserver(include, exclude, host="127.0.0.1", port=0) as server:
        base = f"ws://127.0.0.1:{server.port}"
        count = int((await visit(f"{base}/getCaseCount", echo=False))[0])
        gate = asyncio.Semaphore(PARALLEL)

        async def run_case(index: int) -> None:
            async with gate:
                await visit(f"{base}/runCase?case={index}&agent=kraken_fast")

        await asyncio.gather(*(run_case(index) for index in range(1, count + 1)))
        await visit(f"{base}/updateReports?agent=kraken_fast")
        try:
            results = await server.get_result()
        except kosoku.FailureError as failure:
            results = list(failure.results)
    return results


def failed(results: list[CaseResult], what: str) -> list[str]:
    """Note the count for the run's summary; return the cases that failed."""
    verdicts = Counter(result.behavior.value for result in results)
    bad = [result.case_id for result in results if not result.passed]
    report.note(
        f"Autobahn, {what}",
        f"{len(results) - len(bad)} of {len(results)} passed, {dict(verdicts)}, failed: {bad}",
    )
    return bad


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="kraken_fast")


@pytest.mark.fault("W06", kind="L")
@pytest.mark.fault("W07", kind="L")
@each_loop
async def test_cases_of_the_protocol() -> None:
    results = await run_cases(None, ["9.*", "12.*", "13.*"])
    assert len(results) == 247
    assert len(failed(results, "without groups 9, 12, 13")) <= 1


@each_loop
async def test_cases_of_limits_and_performance() -> None:
    results = await run_cases(["9.*"], None)
    assert len(results) == 54
    assert failed(results, "group 9") == []
