"""What all verbs share: exit statuses, errors as one line, and how numbers are written."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from enum import IntEnum
from typing import NoReturn, TypeVar

import typer
from rich.console import Console

from ..errors import (
    ExchangeError,
    KrakenFastError,
    SubscriptionError,
    UnavailableError,
    UsageError,
    printable,
)

PIPE_COLUMNS = 240
"""Width of a table that goes into a pipe, where nobody sees lines wrap and cut cells would be a loss."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_Result = TypeVar("_Result")


class Status(IntEnum):
    """Exit statuses, as `--help` names them."""

    FINE = 0
    CHECK_FAILED = 1
    USAGE = 2
    NETWORK = 3
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class SignalledError(Exception):
    """The process was asked to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class InputError(Exception):
    """A file cannot be used, or is missing; the text says which and why."""


def console() -> Console:
    """Standard output, for people: no colours unless it is a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def say(line: str) -> None:
    """Print one line now, whoever reads it."""
    print(line, flush=True)


def fail(message: str, status: Status) -> NoReturn:
    """Say in one line what is wrong and end."""
    print(f"kraken-fast: {printable(message, 1000)}", file=sys.stderr)
    raise typer.Exit(status)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what can go wrong into one line and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None
    except SignalledError as signalled:
        raise typer.Exit(128 + signalled.number) from None
    except BrokenPipeError:
        # Whoever read us has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Status.FINE) from None
    except (UsageError, SubscriptionError, InputError) as error:
        fail(str(error), Status.USAGE)
    except (KrakenFastError, OSError) as error:
        is_refusal = isinstance(error, ExchangeError) and not isinstance(error, UnavailableError)
        fail(reason_of(error), Status.CHECK_FAILED if is_refusal else Status.NETWORK)


def reason_of(error: Exception) -> str:
    """Say in a few words why something failed; some of Python's errors say nothing themselves.

    >>> reason_of(TimeoutError()), reason_of(FileNotFoundError(2, "No such file or directory", "x.csv"))
    ('no answer in time', 'x.csv: No such file or directory')
    """
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    name = getattr(error, "filename", None)
    return f"{name}: {reason}" if name else reason


def run(main: Coroutine[object, object, _Result]) -> _Result:
    """Run a coroutine on the fastest loop there is, so that Ctrl-C and SIGTERM let it clean up."""
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ModuleNotFoundError):  # the extra `fast`
        from uvloop import new_event_loop  # noqa: PLC0415 - where it is installed
    signalled: list[int] = []

    async def watched() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end(number: int) -> None:
            signalled.append(number)
            task.cancel()

        # Ctrl-C by hand too: Python leaves it ignored where a shell started us in the background.
        for number in SIGNALS:
            loop.add_signal_handler(number, end, number)
        try:
            return await main
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)  # uvloop leaves those of a closed loop behind

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(watched())
        except asyncio.CancelledError:
            if signalled:
                raise SignalledError(signalled[0]) from None
            raise


def plain(number: Decimal | None) -> str | None:
    """Write a number with all its decimals and never with an exponent.

    >>> plain(Decimal("0.00000001")), plain(None)
    ('0.00000001', None)
    """
    return None if number is None else format(number, "f")


def symbol_list(text: str) -> list[str]:
    """Split symbols at commas and spaces.

    >>> symbol_list("BTC/USD, ETH/USD")
    ['BTC/USD', 'ETH/USD']
    """
    return text.replace(",", " ").split()
