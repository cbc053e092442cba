"""The verbs put together: one program, one set of exit statuses."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

VERBS = {
    "demo": "demo", "watch": "watch", "top": "top", "sim": "sim", "simulate": "simulate", "record": "record",
    "replay": "replay", "check": "check", "ticker": "rest", "ohlc": "rest", "trades": "trades", "account": "account",
    "balance": "rest", "orders": "rest", "rest": "rest", "doctor": "doctor",
}  # fmt: skip
"""Each verb's function and the file that it is in. `order` has verbs of its own."""

STATUSES = (
    "Exit status: 0 fine, 1 a check failed or the exchange refused, 2 wrong usage (an unknown symbol or an unreadable "
    "file too), 3 network, 130 Ctrl-C, 143 terminated."
)


def program(only: str | None = None) -> typer.Typer:
    """Put the verbs together, or bring the one that is wanted: the files of the others take most of a start."""
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
    app.callback()(_options)
    for verb, home in VERBS.items():
        if only in (None, verb):
            app.command(epilog=STATUSES)(getattr(import_module(f".{home}", __package__), verb))
    if only in (None, "order"):
        app.add_typer(import_module(".order", __package__).order_app, epilog=STATUSES)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kraken-fast {version('kraken_fast')}")
        raise typer.Exit


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
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        program(wanted if wanted in {*VERBS, "order"} else None)(prog_name="kraken-fast")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    return 0
