"""`record`: write down what an exchange sends, as it comes, to be replayed bit by bit."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..config import PUBLIC_REST_URL, PUBLIC_WS_URL, check_symbols
from ..core.capture import CaptureWriter
from ..core.clock import SystemClock
from ..errors import ConfigError
from ..feed import CHANNELS, Feed, connect
from ..replay import EventHash
from .boxed import BoxProcess
from .output import Status, console, fail, one_line_errors, run, say, symbol_list

LOOK_S = 0.2
MIB = 1 << 20


def record(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    to: Annotated[str, typer.Option(metavar="FILE", help="A new one; .kfcap is a good ending.")],
    channel: Annotated[
        str, typer.Option(help="Any of book, ticker, trade, ohlc, comma-separated; all for each.")
    ] = "book",
    depth: Annotated[int, typer.Option(help="Levels a side of the books: 10, 25, 100, 500 or 1000.")] = 10,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so long.", show_default="until Ctrl-C", min=0)
    ] = None,
    rotate: Annotated[
        int, typer.Option(help="Begin a new part when one has grown to so many MiB; 0 never.", min=0)
    ] = 256,
    compress: Annotated[bool, typer.Option("--compress", help="Turn finished parts into .zst files.")] = False,
    sim: Annotated[
        bool, typer.Option("--sim", help="Record an exchange in a box of our own, not the real one.")
    ] = False,
    ws_url: Annotated[str, typer.Option(help="The exchange's WebSocket v2.")] = PUBLIC_WS_URL,
    rest_url: Annotated[str, typer.Option(help="The exchange's REST.")] = PUBLIC_REST_URL,
    ca_file: Annotated[
        str | None, typer.Option(help="PEM file of the only authorities to trust.", show_default="the system's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Record every message of some symbols, with its arrival time and what happened to the line.

    Prints what was recorded, and the hash of all events: `kraken-fast replay` comes to the same. If the disk fills up,
    recording ends with status 1, what was written stays readable.
    """
    with one_line_errors():
        names = symbol_list(channel)
        if sim and (ws_url, rest_url) != (PUBLIC_WS_URL, PUBLIC_REST_URL):
            raise ConfigError("sim", True, "left out with --ws-url or --rest-url")
        names = list(CHANNELS) if names == ["all"] else names
        try:
            writer = CaptureWriter(to, SystemClock(), rotate_bytes=rotate * MIB, compress=compress)
        except OSError as error:
            fail(f"{to}: {error.strerror or error}; name another file", Status.USAGE)
        try:
            events = EventHash()
            addresses = (ws_url, rest_url, ca_file)
            run(_record(check_symbols(symbols), names, depth, writer, events, seconds, addresses, sim=sim))
        finally:
            writer.close()
            if not writer.frames:
                Path(to).unlink(missing_ok=True)
        _tell(writer, events, as_json=as_json)
        if writer.error is not None:
            fail(f"recording stopped: {writer.error}", Status.CHECK_FAILED)


async def _record(
    symbols: tuple[str, ...],
    channels: list[str],
    depth: int,
    writer: CaptureWriter,
    events: EventHash,
    seconds: float | None,
    addresses: tuple[str, str, str | None],
    *,
    sim: bool,
) -> None:
    async with AsyncExitStack() as stack:
        ws_url, rest_url, ca_file = addresses
        if sim:
            box = await stack.enter_async_context(BoxProcess("--symbols", ",".join(symbols)))
            ws_url, rest_url = box.ws_url, box.rest_url
        feed = connect(
            symbols, channels=channels, book_depth=depth, ws_url=ws_url, rest_url=rest_url, ca_file=ca_file,
            record=writer, handler=events,
        )  # fmt: skip
        await stack.enter_async_context(feed)
        await _watch(feed, writer, seconds)


async def _watch(feed: Feed, writer: CaptureWriter, seconds: float | None) -> None:
    """Show how it goes, until time is up, Ctrl-C, the disk is full, or the line is closed."""
    out = console()
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    with out.status("Recording") as status:
        while feed.state != "closed" and writer.error is None and (until is None or loop.time() < until):
            status.update(f"Recording to {writer.path}: {writer.frames:,} frames, line {feed.state}, Ctrl-C ends")
            pause = LOOK_S if until is None else min(LOOK_S, max(0.0, until - loop.time()))
            try:
                await asyncio.sleep(pause)
            except asyncio.CancelledError:
                if until is None:
                    return  # Ctrl-C is how one ends it
                raise


def _tell(writer: CaptureWriter, events: EventHash, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "file": writer.path, "parts": writer.parts, "frames": writer.frames, "dropped": writer.dropped,
            "events": dict(events.events), "hash": events.value,
        }  # fmt: skip
        say(json.dumps(facts))
        return
    parts = f" in {writer.parts} parts" if writer.parts > 1 else ""
    lost = f", {writer.dropped:,} lost because the disk was too slow" if writer.dropped else ""
    say(f"{writer.frames:,} frames to {writer.path}{parts}{lost}; event hash {events.value}")
