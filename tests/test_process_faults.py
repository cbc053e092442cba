"""Faults of the process that the client lives in: stopped, interrupted, out of descriptors, without its extension."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import kraken_fast
from kraken_fast.core.capture import CaptureWriter
from kraken_fast.core.clock import SystemClock
from kraken_fast.core.decode import Decoder
from kraken_fast.sim import Exchange

PACKAGE = Path(kraken_fast.__file__).parent


def child(code: str, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """Start a program that imports what is tested here."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings,
    )  # fmt: skip


WATCHER = """
    import asyncio, json, sys, time
    import kraken_fast

    async def main():
        async with kraken_fast.connect(["BTC/USD"], ws_url=sys.argv[1], rest_url=sys.argv[2]) as feed:
            last = time.monotonic()
            while True:
                book = feed.book("BTC/USD")
                now = time.monotonic()
                print(json.dumps([now, now - last, feed.state, book.quality, book.age_ms]), flush=True)
                last = now
                await asyncio.sleep(0.02)

    asyncio.run(main())
"""


@pytest.mark.fault("P06", kind="L")
async def test_a_stopped_process_wakes_up_stale_and_recovers() -> None:
    """SIGSTOP for longer than a line may be silent: the first value after it is not called live, then all heals."""
    async with Exchange(["BTC/USD"], seed=3) as box:
        watcher = child(WATCHER, box.ws_url, box.rest_url)
        assert watcher.stdout is not None
        try:
            for _ in range(30):
                line = json.loads(await asyncio.to_thread(watcher.stdout.readline))
            assert line[3] == "live"
            watcher.send_signal(signal.SIGSTOP)
            await asyncio.sleep(4.0)
            watcher.send_signal(signal.SIGCONT)
            woke = None
            while True:
                line = json.loads(await asyncio.to_thread(watcher.stdout.readline))
                if woke is None and line[1] > 3.0:
                    woke = line[0]
                    assert line[3] != "live" or line[4] < 1500, line
                elif woke is not None and line[3] == "live":
                    assert line[0] - woke <= 5.0
                    break
        finally:
            watcher.kill()
            watcher.communicate()


@pytest.mark.fault("P15", kind="L")
@pytest.mark.parametrize("ending", ["interrupt", "exit"])
async def test_the_interpreter_ends_with_a_live_line(ending: str) -> None:
    """Ctrl-C, or an end without closing: prompt, the exit status kept, no traceback of ours."""
    program = """
        import asyncio, sys
        import kraken_fast

        async def main():
            feed = kraken_fast.connect(["BTC/USD"], ws_url=sys.argv[1], rest_url=sys.argv[2])
            await feed.open()
            print("open", flush=True)
            if sys.argv[3] == "exit":
                raise SystemExit(7)
            async with feed_closing(feed):
                await asyncio.sleep(60)

        class feed_closing:
            def __init__(self, feed): self.feed = feed
            async def __aenter__(self): return self
            async def __aexit__(self, *_): await self.feed.close()

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(130)
    """
    async with Exchange(["BTC/USD"], seed=3) as box:
        process = child(program, box.ws_url, box.rest_url, ending)
        assert process.stdout is not None
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == "open"
        began = time.monotonic()
        if ending == "interrupt":
            process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate)
        assert time.monotonic() - began <= 5.0
        assert process.returncode == (130 if ending == "interrupt" else 7)
        assert "Traceback" not in err, err


@pytest.mark.fault("P11", kind="L")
async def test_out_of_descriptors_a_new_line_waits_and_the_old_one_lives() -> None:
    program = """
        import asyncio, os, resource, sys
        import kraken_fast

        async def main():
            def connect():
                return kraken_fast.connect(["BTC/USD"], ws_url=sys.argv[1], rest_url=sys.argv[2], ready_s=1.0)

            async with connect() as first:
                held = []
                resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
                try:
                    while True:
                        held.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    pass
                try:
                    await connect().open()
                    print("opened")
                except kraken_fast.ConnectError as error:
                    print("refused", "Too many open files" in str(error))
                print(first.state, first.book("BTC/USD").quality)
                for each in held:
                    os.close(each)
                async with connect() as second:
                    print(second.state, second.book("BTC/USD").quality)

        asyncio.run(main())
    """
    async with Exchange(["BTC/USD"], seed=3) as box:
        process = child(program, box.ws_url, box.rest_url)
        out, err = await asyncio.to_thread(process.communicate)
        assert out.splitlines() == ["refused True", "live live", "live live"], out + err


@pytest.mark.fault("P05", kind="L")
async def test_the_hot_path_makes_no_garbage_for_the_collector() -> None:
    """Thousands of messages leave no tracked object behind and nothing for the collector to find."""

    def held(*packages: str) -> int:
        return sum(str(type(each).__module__).startswith(packages) for each in gc.get_objects())

    gc.collect()
    of_others = held("kraken_fast.core")  # what other tests of this process left alive
    async with (
        Exchange(["BTC/USD", "ETH/USD"], seed=5, rate=300.0) as box,
        kraken_fast.connect(["BTC/USD", "ETH/USD"], ws_url=box.ws_url, rest_url=box.rest_url) as feed,
    ):
        feed.on_book = lambda book: None
        await asyncio.sleep(0.3)
        session = feed._session
        gc.collect()
        gc.disable()
        try:
            # The box lives in this process too: only objects of the client's core and transport count.
            before = held("kraken_fast.core", "picows")
            messages = session.decoder.messages
            await asyncio.sleep(1.5)
            taken = session.decoder.messages - messages
            after = held("kraken_fast.core", "picows")
            assert taken > 200
            assert held("kraken_fast.core") - of_others < 100, "a store per symbol, not an object per message"
            assert after - before < taken // 10
        finally:
            gc.enable()


@pytest.mark.fault("P16", kind="U")
def test_a_missing_extension_is_a_clear_import_error(tmp_path: Path) -> None:
    copy = tmp_path / "kraken_fast"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "book.*.so"))
    done = subprocess.run(
        [sys.executable, "-c", "import kraken_fast; kraken_fast.connect"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'kraken_fast.core.book'" in done.stderr
    # No instruction is chosen at build time that another CPU of the architecture lacks.
    setup = Path(__file__).parent.parent / "setup.py"
    assert "-march=" not in setup.read_text().replace("No -march", "")


@pytest.mark.fault("P17", kind="U")
def test_what_a_callback_keeps_is_never_freed_memory(tmp_path: Path) -> None:
    """Objects that outlive their message, their store and their decoder read as they did; ASan runs this too."""
    import corpus

    messages = [corpus.catalogue()[f"{name}.snapshot"] for name in ("book", "trade", "ohlc", "ticker")]
    kept: list[Any] = []
    decoder = Decoder(create=True, create_depth=10)
    for raw in messages:
        buffer = bytearray(raw)
        decoder.feed(buffer)
        buffer[:] = b"\xff" * len(buffer)
    book, ticker = decoder.book("BTC/USD"), decoder.ticker("BTC/USD")
    assert book is not None
    trades = [log for symbol in decoder.kept_symbols() if (log := decoder.trades(symbol)) is not None]
    kept += [book, book.snapshot(), book.bids, *[trade for log in trades for trade in log.recent()]]
    kept += [] if ticker is None else [ticker, ticker.snapshot()]
    facts = repr(kept)
    del decoder, trades, book, ticker
    gc.collect()
    writer = CaptureWriter(tmp_path / "capture", SystemClock())  # reuses memory that was given back
    writer.close()
    assert repr(kept) == facts
