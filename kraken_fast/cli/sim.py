"""`sim`: the exchange in a box as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..errors import ConfigError
from ..sim import Exchange
from .output import one_line_errors, run, say, symbol_list

PORT_MAX = 65_535

COMMAND_BYTES_MAX = 1 << 16


def sim(
    symbols: Annotated[
        str, typer.Option(help="Symbols, comma-separated; all for every recorded pair.", show_default="a handful")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of everything that happens by chance.")] = 0,
    rate: Annotated[float, typer.Option(help="Actions of the crowd per second and symbol.", min=0)] = 20.0,
    host: Annotated[
        str, typer.Option(help="Address to bind. Its key is printed, market data needs none: stay on loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the WebSocket; 0 takes any free one.", min=0, max=PORT_MAX)] = 0,
    rest_port: Annotated[int, typer.Option(help="Of REST; 0 takes any free one.", min=0, max=PORT_MAX)] = 0,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve wss and https on localhost, with an authority of its own.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Read faults from standard input, and end with it; see below.")
    ] = False,
) -> None:
    """Run an exchange in a box until interrupted.

    Prints one line of JSON once it serves: ws_url, ws_auth_url and ws_l3_url (market data; executions, balances and
    orders; level 3), rest_url, api_key and api_secret of an account with round balances, and, with --tls, ca_file. It
    needs no account of yours, and forgets everything when it ends.

    With --control each line of standard input is a JSON object, answered by one line: {"inject": "bad_checksum",
    "symbol": "BTC/USD", "count": 1} begins a fault (kinds and parameters: kraken_fast.sim.faults), {"clear":
    "bad_checksum"} ends a kind and {"clear": null} all; the answer tells how often each kind has fired.
    """
    names = symbol_list(symbols)
    with one_line_errors():
        exchange = Exchange(
            "all" if names == ["all"] else names or None,
            seed=seed,
            rate=rate,
            host=host,
            ws_port=port,
            rest_port=rest_port,
            tls=tls,
        )
        run(_serve(exchange, control=control))


async def _serve(exchange: Exchange, *, control: bool) -> None:
    async with exchange:
        say(json.dumps(exchange.addresses()))
        if control:
            await _obey(exchange)
        else:
            await asyncio.Event().wait()


async def _obey(exchange: Exchange) -> None:
    """Carry out what standard input says, until it ends."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    # A thread, because standard input may be a file, which no loop can wait for; a daemon, because nobody can wake it.
    threading.Thread(target=_read_lines, args=(asyncio.get_running_loop(), lines.put_nowait), daemon=True).start()
    while line := await lines.get():
        try:
            _command(exchange, json.loads(line))
        except (ValueError, TypeError) as error:  # ConfigError is a ValueError
            say(json.dumps({"error": str(error)}))
        else:
            say(json.dumps({"fired": dict(exchange.faults.fired)}))


def _read_lines(loop: asyncio.AbstractEventLoop, put: Callable[[bytes], None]) -> None:
    """Hand over every line of standard input, and an empty one at its end."""
    # Unbuffered: a thread that holds a buffer's lock when the interpreter ends would abort the process.
    with contextlib.suppress(RuntimeError), open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as raw:
        while line := raw.readline(COMMAND_BYTES_MAX):
            loop.call_soon_threadsafe(put, line)
        loop.call_soon_threadsafe(put, b"")


def _command(exchange: Exchange, command: Any) -> None:
    if isinstance(command, dict) and "inject" in command:
        exchange.faults.inject(command.pop("inject"), **command)
    elif isinstance(command, dict) and command.keys() == {"clear"}:
        exchange.faults.clear(command["clear"])
    elif command != {}:
        raise ConfigError("command", command, "an object with inject, or with clear, or an empty one")
