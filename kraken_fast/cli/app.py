"""The verbs put together: one program, one set of exit statuses."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

VERBS = {
    "demo": "demo", "watch": "watch", "top": "top", "sim": "sim", "simulate": "simulate", "record": "record",
    "replay": "replay", "check": "check", "ticker": "rest", "ohlc": "rest", "trades": "trades", "account": "account",
    "balance": "rest", "orders": "rest", "rest": "rest", "doctor": "doctor", "order": "order",
}  # fmt: skip
"""Every verb, in the order of `--help`, and its file."""

STATUSES = (
    "Exit status: 0 fine, 1 a check failed or the exchange refused, 2 wrong usage (an unknown symbol or an unreadable "
    "file too), 3 network, 130 Ctrl-C, 143 terminated."
)


class Verbs(TyperGroup):
    """Imports a verb when it is asked for: all of them together take most of a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All verbs, as `--help` shows them."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make one of them; None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f".{VERBS[cmd_name]}", __package__)
        made = getattr(module, f"{cmd_name}_app", None)  # of a verb that has verbs of its own
        if made is None:
            made = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            made.command(cmd_name)(getattr(module, cmd_name))
        command = get_command(made)
        command.epilog = STATUSES
        return command


app = typer.Typer(
    name="kraken-fast",
    cls=Verbs,
    help="Kraken market data, checksum-verified, and an exchange in a box to try it against.",
    epilog=STATUSES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
