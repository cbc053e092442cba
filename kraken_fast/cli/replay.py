"""`replay`: a recording once more, through the compiled core, as it was live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from ..core.book import OrderBook
from ..errors import CaptureError, ConfigError, printable
from ..replay import EventHash, Record, Replayer, parts_of, read
from .output import InputError, Status, console, one_line_errors, plain

TELL_EVERY = 5_000
"""Records between two moves of the progress bar."""


def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Recordings; parts are found by themselves.")],
    pace: Annotated[
        float | None,
        typer.Option(help="1 keeps the recorded pace, 10 is ten times faster.", show_default="full speed"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replay recordings: the same messages, the same events, the same hash as live.

    Prints for each symbol how many book messages there were and whether they verified, and a hash over all events,
    which is that of the live session. A file that was cut or damaged is replayed up to the exact byte, which is named,
    and the status is 1; so it is on any mismatch.
    """
    with one_line_errors():
        if pace is not None and not 0 < pace <= 1e6:
            raise ConfigError("pace", pace, "more than 0 and at most 1,000,000")
        parts = [part for file in files for part in parts_of(file)]
        for part in parts:
            if not part.is_file():
                raise InputError(f"{part}: no such file")
        events = EventHash()
        replayer = Replayer(events)
        damage = _play(parts, replayer, pace, is_shown=not as_json)
        if damage is not None and not damage.offset and not replayer.frames:
            raise InputError(f"{damage.path}: no recording of ours; `kraken-fast check` reads messages as text")
        (_print_json if as_json else _print)(replayer, events, damage)
        if damage is not None or any(book.mismatched for book in _books(replayer)):
            raise typer.Exit(Status.CHECK_FAILED)


def _play(parts: list[Path], replayer: Replayer, pace: float | None, *, is_shown: bool) -> CaptureError | None:
    """Play everything; give what ended it before its end."""
    out = console()
    columns = (TextColumn("Replaying {task.fields[name]}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    records = read(parts) if pace is None else _paced(read(parts), pace)
    with Progress(*columns, console=out, transient=True, disable=not (is_shown and out.is_terminal)) as progress:
        name = parts[0].name + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
        # What is compressed grows as it is read: the bar then shows speed alone.
        total = None if any(part.suffix == ".zst" for part in parts) else sum(part.stat().st_size for part in parts)
        task = progress.add_task("", total=total, name=name)
        try:
            done = since = 0
            for number, record in enumerate(records):
                replayer.take(record)
                since = since + record.end - done if record.end > done else since + record.end
                done = record.end
                if pace is not None or number % TELL_EVERY == 0:
                    progress.advance(task, since)
                    since = 0
        except CaptureError as damage:
            return damage
    return None


def _paced(records: Iterable[Record], pace: float) -> Iterator[Record]:
    """Hold every record back until its time has come; pauses between two files count as none."""
    began_s = time.monotonic()
    first_ns: int | None = None
    for record in records:
        first_ns = record.recv_ns if first_ns is None else first_ns
        due_s = began_s + (record.recv_ns - first_ns) / 1e9 / pace
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield record


def _books(replayer: Replayer) -> list[OrderBook]:
    decoder = replayer.decoder
    return [book for symbol in decoder.kept_symbols() if (book := decoder.book(symbol)) is not None]


def _print_json(replayer: Replayer, events: EventHash, damage: CaptureError | None) -> None:
    symbols = {
        book.symbol: {
            "messages": book.messages, "verified": book.verified, "mismatched": book.mismatched,
            "best_bid": plain(book.best_bid), "best_ask": plain(book.best_ask),
        }
        for book in _books(replayer)
    }  # fmt: skip
    facts = {
        "symbols": symbols, "frames": replayer.frames, "line_events": dict(replayer.events),
        "events": dict(events.events), "not_understood": replayer.not_understood, "hash": events.value,
        "damage": None if damage is None else {"file": damage.path, "offset": damage.offset, "reason": damage.reason},
    }  # fmt: skip
    print(json.dumps(facts))


def _print(replayer: Replayer, events: EventHash, damage: CaptureError | None) -> None:
    out = console()
    books = _books(replayer)
    if books:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("Symbol")
        for heading in ("Messages", "Verified", "Mismatched", "Best bid", "Best ask"):
            table.add_column(heading, justify="right")
        for book in books:
            wrong = f"[red]{book.mismatched}[/]" if book.mismatched else "0"
            best = (plain(book.best_bid) or "none", plain(book.best_ask) or "none")
            table.add_row(book.symbol, str(book.messages), str(book.verified), wrong, *best)
        out.print(table)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(events.events.items())) or "no events"
    line = ", ".join(f"{name} {count}" for name, count in replayer.events.items() if name not in ("begin", "end"))
    out.print(f"{replayer.frames:,} frames, {told}" + (f"; line: {line}" if line else ""))
    if replayer.not_understood:
        out.print(f"{replayer.not_understood:,} messages not understood")
    out.print(f"event hash {events.value}")
    if damage is not None:
        out.print(f"[red]{printable(str(damage), 500)}[/]; everything before it was replayed", soft_wrap=True)
