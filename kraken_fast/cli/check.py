"""`check`: does a recording verify? Its messages go through the compiled core, as they would from the socket."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.table import Table

from ..config import LineSettings, check_book_depth
from ..core.book import OrderBook
from ..core.decode import Decoder
from ..core.handler import Handler
from ..types import BOOK_DEPTHS, Ack
from .output import InputError, Status, console, one_line_errors, plain

HEAD_BYTES = 8192
"""How much of a file is looked at to tell text from something else."""

NOT_DECODED = frozenset({"executions", "balances", "level3"})
"""Channels that the exchange has and this version leaves alone: known, so their messages are not counted at all."""


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """What became of one symbol's book messages.

    Attributes:
        messages: all of them; those before a snapshot, or after a loss, are neither verified nor mismatched.
        best_bid, best_ask: price and quantity at the end, as text with the pair's decimals; None for an empty side.
    """

    messages: int
    verified: int
    mismatched: int
    best_bid: tuple[str, str] | None
    best_ask: tuple[str, str] | None


class Checker(Handler):
    """Feeds messages to a decoder and keeps count.

    After a mismatch a live client drops the book and asks for a new snapshot. A recording answers no questions, so here
    the book is kept and each later message is judged by itself.

    Args:
        depth: of every book; None takes that of the acknowledgement in the recording, else the smallest that holds
            the snapshot.
    """

    def __init__(self, depth: int | None = None) -> None:
        self.not_understood = 0
        self._decoder = Decoder(handler=self, create=True, create_depth=depth or 0)
        self._depth = depth
        self._acked: set[str] = set()
        self._replaced: dict[str, Counter[str]] = {}

    def take(self, message: bytes) -> None:
        """Take one message."""
        if self._depth is None and b"snapshot" in message:
            self._fit_depth(message)
        if not self._decoder.feed(message) and not _is_left_alone(message):
            self.not_understood += 1

    def results(self) -> dict[str, SymbolResult]:
        """Give the result of every symbol that had a book message, in the order of their first."""
        results = {}
        for symbol in self._decoder.kept_symbols():
            book = self._decoder.book(symbol)
            if book is None:
                continue
            count = _counts(book) + self._replaced.get(symbol, Counter())
            if count["messages"]:
                results[symbol] = SymbolResult(
                    messages=count["messages"],
                    verified=count["verified"],
                    mismatched=count["mismatched"],
                    best_bid=_best(book.best_bid, book.best_bid_qty),
                    best_ask=_best(book.best_ask, book.best_ask_qty),
                )
        return results

    def on_book_lost(self, book: OrderBook, reason: str) -> None:
        """Go on judging a book that did not verify."""
        if reason in ("checksum", "snapshot"):
            book.give_up_verifying()

    def on_ack(self, ack: Ack) -> None:
        """Learn the depth of a book from its acknowledgement."""
        result = ack.result
        if self._depth is None and ack.success and ack.method == "subscribe" and isinstance(result, dict):
            symbol, depth = result.get("symbol"), result.get("depth")
            if result.get("channel") == "book" and isinstance(symbol, str) and depth in BOOK_DEPTHS:
                self._acked.add(symbol)
                self._keep(symbol, depth)

    def _fit_depth(self, message: bytes) -> None:
        """Choose the depth by the snapshot, where no acknowledgement told it. Snapshots are rare: json will do."""
        try:
            parsed = json.loads(message)
            if parsed["channel"] != "book" or parsed["type"] != "snapshot":
                return
            sizes = {row["symbol"]: max(len(row["bids"]), len(row["asks"])) for row in parsed["data"]}
        except (ValueError, LookupError, TypeError, RecursionError):
            return  # the decoder will say what is wrong with it
        for symbol, size in sizes.items():
            if isinstance(symbol, str) and symbol not in self._acked:
                self._keep(symbol, next((depth for depth in BOOK_DEPTHS if depth >= size), max(BOOK_DEPTHS)))

    def _keep(self, symbol: str, depth: int) -> None:
        book = self._decoder.book(symbol)
        if book is not None and book.depth != depth:
            self._replaced[symbol] = self._replaced.get(symbol, Counter()) + _counts(book)
        self._decoder.want_book(symbol, depth)


def _counts(book: OrderBook) -> Counter[str]:
    return Counter(
        messages=book.messages + book.dropped, verified=book.verified, mismatched=book.mismatched
    )


def _best(price: Any, qty: Any) -> tuple[str, str] | None:
    return None if price is None else (plain(price) or "", plain(qty) or "")


def _is_left_alone(message: bytes) -> bool:
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and parsed.get("channel") in NOT_DECODED


def messages(path: str) -> Iterator[bytes]:
    """Read a recording: one message a line, blank lines skipped; `-` is standard input.

    Raises:
        InputError: it cannot be read, is not text, or holds a line longer than any message may be.
    """
    bytes_max = LineSettings().message_bytes_max
    name = "standard input" if path == "-" else path
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file:
            _require_text(file, name)
            number = 0
            while line := file.readline(bytes_max + 1):
                number += 1
                if len(line) > bytes_max:
                    raise InputError(f"{name}: line {number} is longer than {bytes_max >> 20} MiB")
                if stripped := line.strip():
                    yield stripped
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error


def _require_text(file: BinaryIO, name: str) -> None:
    head = file.peek(HEAD_BYTES)[:HEAD_BYTES]  # type: ignore[attr-defined] # a BufferedReader, as open() gives it
    try:
        is_text = b"\0" not in head
        head.partition(b"\n")[0][: HEAD_BYTES - 4].decode()
    except UnicodeDecodeError as error:
        is_text = error.reason == "unexpected end of data"  # cut within a character
    if not is_text:
        raise InputError(f"{name}: not a text file with one message a line; `kraken-fast replay` reads recordings")


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Recordings, in order; - is standard input.")],
    depth: Annotated[
        int | None, typer.Option(help="Levels a side of every book: 10, 25, 100, 500 or 1000.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Verify recorded messages, one a line, against the exchange's checksums.

    Without --depth a book has the depth that its subscribe acknowledgement names, else the smallest that holds its
    snapshot.

    verified and mismatched count the checksums that were compared. An update that comes before any snapshot cannot be
    compared and is neither. After a mismatch the book is kept and each later message is judged by itself, so one lost
    message may show as several mismatches.

    Not understood is what is malformed or of an unknown channel. Acknowledgements, and the channels executions,
    balances and level3, are known and not counted. Status 1 on any mismatch, whatever was not understood.
    """
    with one_line_errors():
        checker = Checker(None if depth is None else check_book_depth(depth))
        for path in files:
            for message in messages(path):
                checker.take(message)
        results = checker.results()
        if as_json:
            _print_json(results, checker.not_understood)
        else:
            _print_table(results, checker.not_understood)
        if any(result.mismatched for result in results.values()):
            raise typer.Exit(Status.CHECK_FAILED)


def _print_json(results: dict[str, SymbolResult], not_understood: int) -> None:
    symbols = {
        symbol: {name: getattr(result, name) for name in SymbolResult.__slots__} for symbol, result in results.items()
    }
    print(json.dumps({"symbols": symbols, "not_understood": not_understood}))


def _print_table(results: dict[str, SymbolResult], not_understood: int) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("Symbol")
    for heading in ("Messages", "Verified", "Mismatched", "Not compared", "Best bid", "Best ask"):
        table.add_column(heading, justify="right", overflow="fold")
    for symbol, result in results.items():
        table.add_row(
            symbol,
            str(result.messages),
            str(result.verified),
            f"[red]{result.mismatched}[/]" if result.mismatched else "0",
            str(result.messages - result.verified - result.mismatched),
            " x ".join(result.best_bid or ("none",)),
            " x ".join(result.best_ask or ("none",)),
        )
    shown = console()
    if results:
        shown.print(table)
    else:
        shown.print("No book message.")
    shown.print(f"Not understood: {not_understood}")
