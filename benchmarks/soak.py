"""Load and soak: both lines of a coordinator under a paced flood. How old is what is told, what is lost, what grows?

    python -m benchmarks.soak                                50,000 messages a second for 60 s over two lines
    python -m benchmarks.soak --rate 100000 --seconds 10     a burst
    python -m benchmarks.soak --rate 10000 --minutes 30 --kill-every 20
    python -m benchmarks.soak --slow-reader 100              and somebody who reads so many events a second
    chrt -f 1 python -m benchmarks.soak                      on a machine that others use too

A server in a process of its own sends the same frames over every line, each with the time of its sending as its
exchange time: the age of a state is the time from there to the callback, on one clock. With --kill-every it closes one
of the lines in turn. A state that was sent on a line that lived and never told is lost; it fails the run, and so does
an age or a growth of memory beyond its bound. The sum goes to --results, which benchmarks/reliability.py reads.

Where others want the processors, ages are the scheduler's: a kernel that does not preempt lets whoever wakes wait for a
tick or more, and nice counts within one session only. `chrt` puts the run before all else; the sum says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from kraken_fast import Dropped, Endpoints, UnifiedDataCoordinator
from kraken_fast.core.book import OrderBook
from kraken_fast.sim.frames import OP_TEXT, encode_frame

from . import ROOT, corpus
from .loopback import open_session

AGE_P99_MS, GROWTH_MIB = 5.0, 64.0
SLICE_S = 0.001
SAMPLE = 7
"""Every so manieth state is timed; a prime, so that no symbol is preferred."""

PONG = encode_frame(OP_TEXT, b'{"method":"pong","time_in":"2026-11-22T00:00:00.000000Z",'
                             b'"time_out":"2026-11-22T00:00:00.000000Z"}')  # fmt: skip
HEARTBEAT = encode_frame(OP_TEXT, b'{"channel":"heartbeat"}')


# The server ----------------------------------------------------------------------------------------------------


class Stamper:
    """Writes each frame with the time at which it leaves."""

    def __init__(self, texts: list[str]) -> None:
        self._parts: list[tuple[bytes, bytes]] = []
        for text in texts:
            frame = encode_frame(OP_TEXT, text.encode())
            at = frame.index(b'"timestamp":"') + len(b'"timestamp":"')
            assert frame[at + 19 : at + 20] == b"."
            self._parts.append((frame[:at], frame[at + 27 :]))
        self._next = 0
        self._last_us = 0

    @property
    def begins(self) -> bool:
        """Whether the tape is at its beginning, where its snapshots fit."""
        return self._next == 0

    def slice(self, most: int) -> tuple[bytes, int]:
        """Give the next frames, no further than to the end of the tape, and how many; no two have the same time."""
        parts, at, us = self._parts, self._next, max(self._last_us + 1, time.time_ns() // 1000)
        count = min(most, len(parts) - at)
        out: list[bytes] = []
        second, prefix = -1, b""
        for i in range(us, us + count):
            if i // 1_000_000 != second:
                second = i // 1_000_000
                prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode()
            head, tail = parts[at]
            at += 1
            out += (head, prefix, b"%06dZ" % (i % 1_000_000), tail)
        self._next, self._last_us = at % len(parts), us + count - 1
        return b"".join(out), count


class Flood:
    """Serves any number of clients with the same paced stream."""

    def __init__(self, symbols: int, rate: int, seconds: float, lines: int, kill_every: float) -> None:
        self._tape = corpus.tape(symbols, messages=max(corpus.MESSAGES, 2 * symbols))
        self._rate, self._seconds, self._lines, self._kill_every = rate, seconds, lines, kill_every
        self._clients: list[socket.socket] = []
        self._waiting: list[socket.socket] = []
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self.kills = 0

    def run(self) -> None:
        """Serve until all is sent; print the port first and the sum last."""
        listener = socket.create_server(("127.0.0.1", 0))
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        while len(self._waiting) < self._lines:
            self._arrived.wait(0.1)
        sent = self._send()
        print(json.dumps({"sent": sent, "kills": self.kills}), flush=True)
        time.sleep(2.0)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self._welcome, args=(client,), daemon=True).start()

    def _welcome(self, client: socket.socket) -> None:
        try:
            open_session(client, self._tape)
        except OSError:
            client.close()
            return
        client.settimeout(5.0)
        with self._lock:
            self._waiting.append(client)
        self._arrived.set()

    def _send(self) -> int:
        stamper = Stamper(list(self._tape.texts()))
        time.sleep(1.0)  # for the client to have taken the snapshots
        began, sent, killed = time.monotonic(), 0, 0
        while (now := time.monotonic() - began) < self._seconds:
            due = int(now * self._rate) - sent
            if due <= 0:
                time.sleep(SLICE_S)
                self._answer()
                continue
            if stamper.begins:
                self._admit()
            data, count = stamper.slice(min(due, max(50, self._rate // 500)))
            sent += count
            if self._kill_every and now // self._kill_every > killed:
                killed += 1
                self._kill()
            self._to_all(data)
        return sent

    def _admit(self) -> None:
        """Let those join whose snapshots are those of the beginning."""
        with self._lock:
            self._clients += self._waiting
            self._waiting.clear()

    def _to_all(self, data: bytes) -> None:
        with self._lock:
            for client in tuple(self._clients):
                try:
                    client.sendall(data)
                except OSError:
                    self._clients.remove(client)

    def _kill(self) -> None:
        with self._lock:
            if len(self._clients) > 1:
                self._clients.pop(0).close()
                self.kills += 1

    def _answer(self) -> None:
        """Whatever a client says while the stream runs is a ping."""
        with self._lock:
            readable, _, _ = select.select(self._clients, (), (), 0)
            for client in readable:
                try:
                    if client.recv(65_536):
                        client.sendall(PONG + HEARTBEAT)
                    else:
                        self._clients.remove(client)
                except OSError:
                    self._clients.remove(client)


# The client ----------------------------------------------------------------------------------------------------


def rss_mib() -> float:
    """Resident memory now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


class Client:
    """A coordinator, and what it is told."""

    def __init__(self) -> None:
        self.told = 0
        self.ages_us = array("q")
        self.last_us: dict[str, int] = {}
        self.went_back = 0
        self.notices: dict[str, int] = {}
        self.slow: dict[str, int] = {}

    def on_book(self, book: OrderBook) -> None:
        """Count a state, and time some."""
        self.told += 1
        if self.told % SAMPLE == 0:
            us = book.exch_ns // 1000
            self.ages_us.append(time.time_ns() // 1000 - us)
            self.went_back += us < self.last_us.get(book.symbol, 0)
            self.last_us[book.symbol] = us

    def on_notice(self, event: Any) -> None:
        """Count what happens."""
        name = type(event).__name__
        if name == "LineChange":
            name = f"line {event.new}"
        self.notices[name] = self.notices.get(name, 0) + 1

    async def read_slowly(self, coordinator: UnifiedDataCoordinator, rate: int, size: int) -> None:
        """Iterate at a pace; what waits is bounded, what is dropped is told."""
        stream = coordinator.events(size=size)
        while True:
            await asyncio.sleep(1 / rate)
            event = await anext(stream)
            name = "told of dropped" if isinstance(event, Dropped) else "read"
            self.slow[name] = self.slow.get(name, 0) + 1
            self.slow["coalesced"] = stream.coalesced
            waiting = len(stream._single) + len(stream._latest)
            self.slow["waiting at most"] = max(self.slow.get("waiting at most", 0), waiting)


async def measure(options: argparse.Namespace, server: subprocess.Popen[str]) -> dict[str, Any]:
    """Run the client against the server until it is done."""
    assert server.stdout is not None
    port = json.loads(server.stdout.readline())["port"]
    client = Client()
    names = corpus._names(options.symbols)
    coordinator = UnifiedDataCoordinator(
        None, names, channels=("book",), lines=options.lines, check_s=0,
        endpoints=Endpoints(ws_url=f"ws://127.0.0.1:{port}/v2", rest_url=f"http://127.0.0.1:{port}"),
    )  # fmt: skip
    coordinator.on_book, coordinator.on_notice = client.on_book, client.on_notice
    async with coordinator:
        base_told, base_mib = client.told, rss_mib()
        peak_mib, done = base_mib, asyncio.ensure_future(asyncio.to_thread(server.stdout.readline))
        reader = None
        if options.slow_reader:
            reader = asyncio.ensure_future(client.read_slowly(coordinator, options.slow_reader, 1000))
        while not done.done():
            await asyncio.sleep(0.2)
            peak_mib = max(peak_mib, rss_mib())
        await asyncio.sleep(0.5)
        if reader is not None:
            reader.cancel()
        facts = json.loads(done.result())
    ages = sorted(client.ages_us)
    return {
        "rate": options.rate, "seconds": options.seconds, "lines": options.lines, "symbols": options.symbols,
        "sent": facts["sent"], "told": client.told - base_told, "lost": facts["sent"] - (client.told - base_told),
        "kills": facts["kills"], "went_back": client.went_back,
        **{f"age_p{name}_ms": round(ages[min(len(ages) - 1, int(len(ages) * part))] / 1000, 3)
           for name, part in (("50", 0.5), ("99", 0.99), ("999", 0.999))},
        "load_average": round(os.getloadavg()[0], 1), "is_real_time": os.sched_getscheduler(0) != os.SCHED_OTHER,
        "growth_mib": round(peak_mib - base_mib, 1), "notices": client.notices, "slow_reader": client.slow,
    }  # fmt: skip


def main() -> int:
    """Serve or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--lines", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=0.0)
    parser.add_argument("--slow-reader", type=int, default=0)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes:
        options.seconds = 60 * options.minutes
    if options.serve:
        Flood(options.symbols, options.rate, options.seconds, options.lines, options.kill_every).run()
        return 0
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", *sys.argv[1:]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server, asyncio.Runner(
        loop_factory=uvloop.new_event_loop
    ) as runner:
        try:
            found = runner.run(measure(options, server))
        finally:
            server.terminate()
    problems = [
        text for is_bad, text in (
            (found["lost"] != 0 or found["went_back"], "states were lost, told twice, or went back"),
            (found["age_p99_ms"] > AGE_P99_MS, f"p99 age over {AGE_P99_MS:g} ms"),
            (found["growth_mib"] > GROWTH_MIB, f"memory grew by more than {GROWTH_MIB:g} MiB"),
        ) if is_bad
    ]  # fmt: skip
    for name, value in found.items():
        print(f"{name:14} {value}")
    print("; ".join(problems) or "all bounds held")
    if options.results is not None:
        line = {"what": "load", "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "processors": len(os.sched_getaffinity(0)), **found, "problems": problems}  # fmt: skip
        with options.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
