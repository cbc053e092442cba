"""The verbs put together: one program, one set of exit statuses."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from .account import account
from .check import check
from .demo import demo
from .doctor import doctor
from .order import order_app
from .record import record
from .replay import replay
from .rest import balance, ohlc, orders, rest, ticker
from .sim import sim
from .simulate import simulate
from .top import top
from .trades import trades
from .watch import watch

STATUSES = (
    "Exit status: 0 fine, 1 a check failed or the exchange refused, 2 wrong usage (an unknown symbol or an unreadable "
    "file too), 3 network, 130 Ctrl-C, 143 terminated."
)

app = typer.Typer(
    name="kraken-fast",
    help="Kraken market data, checksum-verified, and an exchange in a box to try it against.",
    epilog=STATUSES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (
    demo, watch, top, sim, simulate, record, replay, check,
    ticker, ohlc, trades, account, balance, orders, rest, doctor,
):
    app.command(epilog=STATUSES)(_verb)
app.add_typer(order_app, epilog=STATUSES)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kraken-fast {version('kraken_fast')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run() -> int:
    """Parse the arguments and run a verb. Returns the exit status."""
    # What the library logs is said in our own words; without a handler Python would print it into the tables.
    logging.getLogger("kraken_fast").addHandler(logging.NullHandler())
    try:
        app(prog_name="kraken-fast")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    return 0
