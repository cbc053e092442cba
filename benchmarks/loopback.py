"""A server that floods: the exchange in a box opens the session, prepared frames follow.

    python -m benchmarks.loopback --symbols 1 --rounds 100 [--tls]

serves one client after the other: prints its port and authority as a line of JSON, and plays the whole tape `--rounds`
times to each, as fast as it is taken. With TLS every frame is a record of its own, as the exchange sends them when it
is not busy.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kraken_fast.sim import ExchangeCore
from kraken_fast.sim.frames import OP_TEXT, encode_frame
from kraken_fast.sim.tape import Tape
from kraken_fast.sim.tls import Authority

from . import ROOT, corpus

START_S = 60.0
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    port: int
    ca_file: str | None
    messages: int

    @property
    def url(self) -> str:
        """The address for a WebSocket client."""
        return f"{'wss' if self.ca_file else 'ws'}://{'localhost' if self.ca_file else '127.0.0.1'}:{self.port}/v2"


def open_session(connection: socket.socket, tape: Tape) -> None:
    """Be the exchange until every book of the tape is subscribed; on return all snapshots were sent."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    core = ExchangeCore(tape=tape, seed=1, now_ns=time.time_ns, rate=0)
    assert core.player is not None
    line = core.connect()
    while not all(feed.subscribers for feed in core.player.feeds.values()):
        data = connection.recv(65_536)
        if not data:
            raise ConnectionError("the client left")
        line.receive(data)
        for segment in line.poll():
            connection.sendall(segment)


def frames_of(tape: Tape) -> list[bytes]:
    """Frame the whole tape."""
    return [encode_frame(OP_TEXT, text.encode()) for text in tape.texts()]


def listen(folder: Path | None) -> tuple[socket.socket, ssl.SSLContext | None, str | None]:
    """Bind any port of loopback; with a folder to put the authority into, for TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    if folder is None:
        return listener, None, None
    from random import Random

    from kraken_fast.sim.faults import Faults

    authority = Authority()
    return listener, authority.context(Faults(Random(0))), str(authority.write(folder))


def _serve(tape: Tape, rounds: int, folder: Path | None) -> None:
    listener, context, ca_file = listen(folder)
    frames = frames_of(tape)
    facts = {"port": listener.getsockname()[1], "ca_file": ca_file, "messages": len(frames) * rounds}
    print(json.dumps(facts), flush=True)
    whole = b"".join(frames)
    while True:
        connection, _ = listener.accept()
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                open_session(connection, tape)
                for _ in range(rounds):
                    if context is not None:
                        for frame in frames:
                            connection.sendall(frame)
                    else:
                        for at in range(0, len(whole), CHUNK_BYTES):
                            connection.sendall(whole[at : at + CHUNK_BYTES])
                while connection.recv(65_536):
                    pass
        except OSError:
            continue


@contextmanager
def flood(symbols: int = 1, *, messages: int, tls: bool = False) -> Iterator[Address]:
    """Run a server in a process of its own, each client of which gets at least so many messages."""
    rounds = max(1, messages // corpus.MESSAGES)
    command = [sys.executable, "-m", __spec__.name, "--symbols", str(symbols), "--rounds", str(rounds)]
    child = subprocess.Popen([*command, *(["--tls"] if tls else [])], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield Address(**json.loads(child.stdout.readline()))
    finally:
        child.terminate()
        child.wait(START_S)


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loopback", description=__doc__)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    tape = corpus.tape(options.symbols, messages=max(corpus.MESSAGES, 2 * options.symbols))
    if options.tls:
        with tempfile.TemporaryDirectory() as folder:
            _serve(tape, options.rounds, Path(folder))
    _serve(tape, options.rounds, None)


if __name__ == "__main__":
    main()
