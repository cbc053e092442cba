"""`trades`: public trades into a file or the terminal, from any time on, to be continued."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import Progress

from ..config import PUBLIC_REST_URL
from ..core.clock import SystemClock
from ..errors import ConfigError
from ..rest.answers import RestTrade
from ..rest.endpoints import RestClient
from ..rest.history import TradeHistory
from .output import InputError, one_line_errors, plain, say
from .rest import AsJson, CaFile, RestUrl, Sim, Where, call_once, time_of

COLUMNS = ("trade_id", "time", "exch_ns", "side", "ord_type", "price", "qty")
BATCH_ROWS = 10_000
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Sink(Protocol):
    """Takes trades."""

    def add(self, trade: RestTrade) -> None:
        """Take one."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class Lines:
    """Trades as lines of text, or of JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def add(self, trade: RestTrade) -> None:
        """Print one."""
        row = row_of(trade)
        say(json.dumps(row) if self._as_json else " ".join(map(str, row.values())))

    def close(self) -> None:
        """Nothing is left."""


class Csv:
    """Trades as CSV; a file that is there is continued."""

    def __init__(self, path: Path) -> None:
        try:
            is_new = not path.exists() or path.stat().st_size == 0
            self._file = path.open("a", newline="", encoding="ascii")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        self._writer = csv.writer(self._file)
        if is_new:
            self._writer.writerow(COLUMNS)

    def add(self, trade: RestTrade) -> None:
        """Write one."""
        self._writer.writerow(row_of(trade).values())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Parquet:
    """Trades as Parquet, prices and quantities as text: they are exact that way."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow  # noqa: PLC0415 - an extra
            from pyarrow import parquet  # noqa: PLC0415
        except ModuleNotFoundError as missing:
            raise InputError("--parquet needs pyarrow: pip install 'kraken_fast[parquet]'") from missing
        self._arrow = pyarrow
        whole, text = pyarrow.int64(), pyarrow.string()
        kinds = {"trade_id": whole, "exch_ns": whole}
        self._schema = pyarrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])
        if path.exists():  # it would be overwritten, and what a cursor leaves out would be lost
            raise InputError(f"{path} is there already; a Parquet file cannot be continued: name another")
        try:
            self._writer = parquet.ParquetWriter(str(path), self._schema)
        except OSError as error:
            raise InputError(f"{path}: cannot be written") from error
        self._rows: list[dict[str, Any]] = []

    def add(self, trade: RestTrade) -> None:
        """Keep one; many are written together."""
        self._rows.append(row_of(trade))
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


def trades(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    since: Annotated[str, typer.Option(help="From here on: 1h (ago), 2026-01-31, 2026-01-31T12:00, or a cursor.")],
    until: Annotated[str | None, typer.Option(help="Up to here, likewise.", show_default="now")] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write CSV; a file that is there goes on.")
    ] = None,
    parquet_file: Annotated[Path | None, typer.Option("--parquet", help="Write Parquet.")] = None,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Fetch public trades, each once and none left out, to the terminal or a file.

    Prints the cursor at the end, and when it is interrupted: --since CURSOR goes on after the last trade.
    """
    with one_line_errors():
        if csv_file is not None and parquet_file is not None:
            raise ConfigError("parquet", str(parquet_file), "left out with --csv")
        is_cursor = ":" in since and "-" not in since
        now_ns = SystemClock().epoch_ns
        since_ns = 0 if is_cursor else read_time(since, now_ns)
        until_ns = None if until is None else read_time(until, now_ns)

        async def crawl(client: RestClient) -> None:
            known = (await client.instruments()).symbol(symbol)  # before a file is made
            sink: Sink = (
                Csv(csv_file) if csv_file else Parquet(parquet_file) if parquet_file else Lines(as_json=as_json)
            )
            history = client.iter_trades(
                symbol=known, since_ns=since_ns, until_ns=until_ns, cursor=since if is_cursor else ""
            )
            try:
                with progress(shown=not isinstance(sink, Lines)) as bar:
                    await _fill(sink, history, bar, known, until_ns or client.clock.epoch_ns)
            finally:
                sink.close()
                print(
                    f"{history.rows} trades; continue with --since {history.cursor or since}",
                    file=sys.stderr,
                )
            for gap in history.gaps:
                print(f"the exchange left out trades {gap.first} to {gap.last}", file=sys.stderr)

        call_once(Where(rest_url, ca_file, sim=sim), crawl)


async def _fill(sink: Sink, history: TradeHistory, bar: Progress, symbol: str, end_ns: int) -> None:
    """Put all trades into a sink, and show how far it is."""
    task = bar.add_task(symbol, total=1.0)
    begin_ns = 0
    async for trade in history:
        sink.add(trade)
        begin_ns = begin_ns or trade.exch_ns
        done = (trade.exch_ns - begin_ns) / max(1, end_ns - begin_ns)
        bar.update(task, completed=done, description=f"{symbol} {time_of(trade.exch_ns)}")


@contextmanager
def progress(*, shown: bool) -> Iterator[Progress]:
    """Show how far a crawl is, on the terminal that standard error is."""
    out = Console(stderr=True)
    with Progress(console=out, disable=not (shown and out.is_terminal), transient=True) as bar:
        yield bar


def row_of(trade: RestTrade) -> dict[str, Any]:
    """Give a trade as a row."""
    return {
        "trade_id": trade.trade_id,
        "time": f"{datetime.fromtimestamp(trade.exch_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{trade.exch_ns % 10**9:09d}Z",
        "exch_ns": trade.exch_ns,
        "side": trade.side,
        "ord_type": trade.ord_type,
        "price": plain(trade.price),
        "qty": plain(trade.qty),
    }


def read_time(text: str, now_ns: int) -> int:
    """Read a date or a time, UTC unless it says otherwise, or how long ago, as nanoseconds since epoch.

    >>> read_time("2026-01-01", 0), read_time("2026-01-01T01:00+01:00", 0), read_time("2m", 200 * 10**9)
    (1767225600000000000, 1767225600000000000, 80000000000)
    """
    if ago := re.fullmatch(r"([0-9]{1,9})([smhdw])", text):
        return max(0, now_ns - int(ago[1]) * UNIT_S[ago[2]] * 10**9)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("time", text, "such as 2026-01-31, 2026-01-31T12:00, or 1h for an hour ago") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 10**9
