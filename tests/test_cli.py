"""The command line as its users meet it: real processes, real pipes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kraken_fast import Endpoints, UnifiedDataCoordinator
from kraken_fast.cli.top import Board
from kraken_fast.sim import Exchange

DATA = Path(__file__).parent / "data"
ENVIRONMENT = {**os.environ, "PYTHONSAFEPATH": "1", "TERM": "dumb", "COLUMNS": "80"}


def kraken_fast(*arguments: str, stdin: bytes = b"", status: int = 0) -> tuple[str, str]:
    """Run the program to its end. Returns what it wrote to its two outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "kraken_fast", *arguments],
        input=stdin,
        capture_output=True,
        timeout=30,
        env=ENVIRONMENT,
        check=False,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, out + err
    assert "Traceback" not in err, err
    return out, err


@contextmanager
def box(*options: str) -> Iterator[dict[str, str]]:
    """Run `kraken-fast sim` and give what it announced."""
    child = subprocess.Popen(
        [sys.executable, "-m", "kraken_fast", "sim", *options], stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
    )
    try:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 128 + signal.SIGINT
    finally:
        child.kill()
        child.communicate()


def one_line(err: str) -> str:
    assert err.startswith("kraken-fast: "), err
    assert err.count("\n") == 1, err
    return err


# check ---------------------------------------------------------------------------------------------------------

BOOKS = {
    vector["id"]: [text.encode() for text in vector["raw"]]
    for vector in json.loads((DATA / "checksum-vectors.json").read_text())["vectors"]
    if vector["kind"] == "book"
}
RECORDING = max(BOOKS.values(), key=len)
"""BTC/USD, depth 10: a snapshot and 509 updates."""

UNCHANGED = {
    "messages": 510,
    "verified": 510,
    "mismatched": 0,
    "best_bid": ["29430.4", "11.93517449"],
    "best_ask": ["29430.5", "0.00560461"],
}


def check(messages: list[bytes], *options: str, status: int = 0) -> dict[str, Any]:
    """Run `check --json` on messages from standard input."""
    out, err = kraken_fast("check", "--json", *options, "-", stdin=b"\n".join(messages), status=status)
    assert err == ""
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def ack(depth: int) -> bytes:
    result = {"channel": "book", "depth": depth, "snapshot": True, "symbol": "BTC/USD"}
    return json.dumps({"method": "subscribe", "req_id": 1, "result": result, "success": True}).encode()


def test_check_verifies_the_long_recording() -> None:
    assert check(RECORDING) == {"symbols": {"BTC/USD": UNCHANGED}, "not_understood": 0}


def test_check_verifies_all_recorded_and_published_books(tmp_path: Path) -> None:
    files = []
    for name, messages in BOOKS.items():
        (tmp_path / name).write_bytes(b"\n".join(messages))
        files.append(str(tmp_path / name))
    out, _ = kraken_fast("check", "--json", *files)
    results = json.loads(out)["symbols"].values()
    print(f"\ncheck: {sum(result['verified'] for result in results)} of 554 book messages verified")
    assert sum(result["messages"] for result in results) == 554
    assert sum(result["verified"] for result in results) == 554


def test_check_takes_files_in_order_and_standard_input_between(tmp_path: Path) -> None:
    first, last = tmp_path / "first", tmp_path / "last"
    first.write_bytes(b"\n".join(RECORDING[:100]))
    last.write_bytes(b"\r\n\r\n".join([*RECORDING[200:], b""]))
    out, _ = kraken_fast("check", "--json", str(first), "-", str(last), stdin=b"\n".join(RECORDING[100:200]))
    assert json.loads(out)["symbols"]["BTC/USD"] == UNCHANGED


def test_check_tells_one_wrong_checksum_from_all_others() -> None:
    wrong = [message.replace(b'"checksum":3111681483', b'"checksum":1') for message in RECORDING]
    assert check(wrong, status=1)["symbols"]["BTC/USD"] == {**UNCHANGED, "verified": 509, "mismatched": 1}


def test_check_finds_a_lost_message() -> None:
    found = check([*RECORDING[:4], *RECORDING[5:]], status=1)["symbols"]["BTC/USD"]
    assert found["messages"] == found["verified"] + found["mismatched"] == 509
    assert found["mismatched"] >= 1


def test_check_compares_nothing_before_a_snapshot() -> None:
    found = check(RECORDING[1:])["symbols"]["BTC/USD"]
    assert found == {"messages": 509, "verified": 0, "mismatched": 0, "best_bid": None, "best_ask": None}


@pytest.mark.parametrize(
    ("before", "options"),
    [([], ["--depth", "25"]), ([ack(25)], [])],
    ids=["told", "acknowledged"],
)
def test_check_keeps_the_depth_that_it_is_told(before: list[bytes], options: list[str]) -> None:
    # Kept deeper than it was subscribed, this book goes wrong: 60 of its 510 checksums still agree.
    found = check([*before, *RECORDING], *options, status=1)["symbols"]["BTC/USD"]
    assert (found["messages"], found["verified"]) == (510, 60)


def test_check_prefers_the_option_to_the_acknowledgement() -> None:
    assert check([ack(25), *RECORDING], "--depth", "10")["symbols"]["BTC/USD"] == UNCHANGED


def test_check_counts_what_it_does_not_understand_and_goes_on() -> None:
    strange = [b'"proxy restarting"', b"{", b'{"channel":"unheard_of","data":[]}', b'{"channel":"book"}']
    known = [b'{"channel":"heartbeat"}', ack(10), b'{"channel":"executions","type":"update","data":[],"sequence":1}']
    assert check([*strange, *known, *RECORDING]) == {"symbols": {"BTC/USD": UNCHANGED}, "not_understood": 4}


def test_check_draws_a_table_that_fits_no_matter_where() -> None:
    out, err = kraken_fast("check", "-", stdin=b"\n".join(RECORDING))
    assert err == ""
    assert "29430.4 x 11.93517449" in out
    assert "\x1b" not in out


def test_check_refuses_what_is_no_recording(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)))
    latin = tmp_path / "latin"
    latin.write_bytes("größe\n".encode("latin-1"))
    capture = tmp_path / "capture"
    capture.write_bytes(b"KFCAP\0")
    assert "kraken-fast replay" in one_line(kraken_fast("check", str(capture), status=2)[1])
    assert "kraken-fast check" in one_line(kraken_fast("replay", str(latin), status=2)[1])
    for path, why in ((tmp_path, "directory"), (tmp_path / "none", "No such file"), (binary, "text"), (latin, "text")):
        out, err = kraken_fast("check", str(path), status=2)
        assert out == ""
        assert why in one_line(err)


def test_check_bounds_a_line(tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        for _ in range(33):
            file.write(b" " * (1 << 20))
    assert "line 1 is longer than 32 MiB" in one_line(kraken_fast("check", str(endless), status=2)[1])


def test_check_refuses_a_depth_that_does_not_exist() -> None:
    assert "one of 10, 25" in one_line(kraken_fast("check", "--depth", "11", "-", status=2)[1])


def test_check_ends_quietly_when_its_reader_does() -> None:
    command = f"{sys.executable} -m kraken_fast check --json - | true"
    done = subprocess.run(
        command, shell=True, input=b"\n".join(RECORDING), capture_output=True, timeout=60, env=ENVIRONMENT, check=False
    )
    assert done.stderr == b""


# sim -----------------------------------------------------------------------------------------------------------


def test_sim_announces_itself_and_ends_on_ctrl_c() -> None:
    with box() as told:
        assert told.keys() == {"ws_url", "ws_auth_url", "ws_l3_url", "rest_url", "api_key", "api_secret"}
        assert told["ws_url"].startswith("ws://127.0.0.1:")


def test_sim_with_tls_leaves_nothing_behind() -> None:
    with box("--tls", "--symbols", "BTC/USD") as told:
        ca_file = Path(told["ca_file"])
        assert b"BEGIN CERTIFICATE" in ca_file.read_bytes()
        out, _ = kraken_fast(
            "watch", "BTC/USD", "--json", "--seconds", "0.5", "--ws-url", told["ws_url"], "--ca-file", str(ca_file)
        )
        assert json.loads(out.splitlines()[0])["quality"] == "live"
        refused = kraken_fast("watch", "BTC/USD", "--ws-url", told["ws_url"], status=3)[1]
        assert "certificate" in one_line(refused).lower()
    assert not ca_file.parent.exists()


def test_sim_takes_faults_from_standard_input_and_ends_with_it() -> None:
    commands = [{"inject": "drop", "symbol": "BTC/USD"}, {"inject": "what"}, {"clear": None}, 7, {}]
    lines = b"".join(json.dumps(command).encode() + b"\n" for command in commands)
    out, err = kraken_fast("sim", "--control", stdin=lines)
    answers = [json.loads(line) for line in out.splitlines()][1:]
    assert [next(iter(answer)) for answer in answers] == ["fired", "error", "fired", "error", "fired"]
    assert err == ""


def test_sim_says_what_is_wrong() -> None:
    assert "unknown symbol 'NO/SUCH'" in one_line(kraken_fast("sim", "--symbols", "NO/SUCH", status=2)[1])
    with box() as told:
        port = told["ws_url"].rpartition(":")[2].removesuffix("/v2")
        assert "address already in use" in one_line(kraken_fast("sim", "--port", port, status=3)[1])


# watch ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Iterator[list[str]]:
    """Options that lead `watch` to an exchange in a box."""
    with box("--symbols", "BTC/USD,ETH/USD", "--rate", "200", "--seed", "5") as told:
        yield ["--ws-url", told["ws_url"], "--rest-url", told["rest_url"]]


def test_watch_prints_every_channel_as_json(market: list[str]) -> None:
    out, err = kraken_fast(
        "watch", "BTC/USD", "ETH/USD", "--channel", "book,ticker,trades,candles", "--json", "--seconds", "2", *market
    )
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["type"] for event in events} >= {"book", "ticker", "trade", "candle"}
    assert {event.get("symbol") for event in events} >= {"BTC/USD", "ETH/USD"}
    books = [event for event in events if event["type"] == "book"]
    assert all(book["quality"] == "live" and len(book["bids"]) == 10 for book in books)
    assert err == ""


def test_watch_prints_a_line_an_event_into_a_pipe(market: list[str]) -> None:
    out, _ = kraken_fast("watch", "BTC/USD", "--seconds", "0.5", *market)
    assert out.startswith("book BTC/USD live ")
    assert "\x1b" not in out


def test_watch_names_a_refused_symbol(market: list[str]) -> None:
    assert "NO/SUCH" in one_line(kraken_fast("watch", "NO/SUCH", *market, status=2)[1])
    out, _ = kraken_fast("watch", "BTC/USD", "NO/SUCH", "--json", "--seconds", "0.5", *market)
    assert "NO/SUCH" in json.loads(out.splitlines()[0])["error"]


def test_watch_ends_on_ctrl_c(market: list[str]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "kraken_fast", "watch", "BTC/USD", *market],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=10)
    assert (child.returncode, err) == (130, b"")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["watch", "BTC/USD", "--channel", "level3"], "book, ticker, trades, candles"),
        (["watch", "BTC/USD", "--depth", "11"], "10, 25, 100, 500, 1000"),
        (["watch", "BTC/USD", "--interval", "2"], "1, 5, 15"),
        (["watch", "BTC/USD", "--ws-url", "ws://example.com"], "wss://"),
        (["demo", "--symbols", ","], "at least one symbol"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], why: str) -> None:
    assert why in one_line(kraken_fast(*arguments, status=2)[1])


@pytest.mark.parametrize("module", ["app", "demo"])
def test_ctrl_c_while_it_starts_is_no_traceback(module: str) -> None:
    program = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "kraken_fast.cli." + sys.argv[2]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from kraken_fast.cli import main
sys.exit(main())
"""
    command = [sys.executable, "-c", program, "demo", module]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, b"")


async def test_top_fits_its_screen() -> None:
    symbols = ["BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"]
    async with Exchange(symbols) as ex, UnifiedDataCoordinator(
        None, symbols, endpoints=Endpoints(ex.ws_url, ex.rest_url)
    ) as coordinator:
        for width, height in ((80, 24), (80, 50), (130, 24), (130, 50)):
            out = Console(width=width, height=height)
            with out.capture() as got:
                out.print(Board(coordinator).picture(width, height))
            text = got.get()
            assert text.count("\n") <= height and "events" in text and "…" not in text
            assert ("host" in text, "figures" in text) == (width == 130, height == 50)


def test_watch_tells_a_refused_connection() -> None:
    _, err = kraken_fast("watch", "BTC/USD", "--ws-url", "ws://127.0.0.1:9/v2", "--timeout", "1", status=3)
    assert "127.0.0.1:9" in one_line(err)


# demo ----------------------------------------------------------------------------------------------------------


def test_demo_recovers_from_both_faults() -> None:
    out, err = kraken_fast("demo", "--seconds", "4", "--json", "--seed", "3")
    told = json.loads(out)
    assert err == ""
    assert told["ok"] is True
    assert (told["mismatched"], told["connections"], told["not_understood"]) == (1, 2, 0)
    assert told["verified"] > 100
    assert [recovery["fault"] for recovery in told["recoveries"]] == ["bad_checksum", "rst"]
    assert all(recovery["ms"] is not None for recovery in told["recoveries"])


def test_demo_hands_on_what_the_box_refuses() -> None:
    assert "NO/SUCH" in one_line(kraken_fast("demo", "--symbols", "NO/SUCH", status=2)[1])


# all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["", "demo", "watch", "sim", "check"])
def test_help_names_the_exit_statuses(verb: str) -> None:
    out, _ = kraken_fast(*filter(None, [verb]), "--help")
    assert "Exit status: 0 fine" in out


def test_version() -> None:
    assert kraken_fast("--version")[0].startswith("kraken-fast 0.")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    done = subprocess.run(
        [sys.executable, "-m", "kraken_fast", "demo"],
        capture_output=True, text=True, env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kraken-fast needs typer: pip install 'kraken_fast[cli]'\n"


# top -----------------------------------------------------------------------------------------------------------


def test_top_tells_once_what_a_coordinator_does() -> None:
    out, _ = kraken_fast("top", "BTC/USD", "--sim", "--json", "--seconds", "1")
    facts = json.loads(out)
    assert [line["state"] for line in facts["lines"]] == ["live", "live"]
    assert facts["books"]["BTC/USD"]["served_by"] == "websocket"
    assert facts["books"]["BTC/USD"]["quality"] == "live"
    assert facts["sources"]["websocket"] == 1
    assert (facts["account"]["source"], facts["account"]["line"]) == ("websocket", "live")
    assert set(facts["stages_ns"]) == {"travelling", "decoding", "delivering"}


def test_top_draws_what_a_person_reads() -> None:
    out, _ = kraken_fast("top", "BTC/USD", "--sim", "--trouble", "--seconds", "1.5")
    for word in ("lines", "books", "events", "BTC/USD", "websocket", "availability", "account", "travelling"):
        assert word in out


@pytest.mark.parametrize("verb", [("top", "NO/SUCH", "--sim"), ("record", "NO/SUCH", "--sim", "--to", "never.kfc")])
def test_what_the_box_refuses_is_one_line_and_its_status(verb: tuple[str, ...]) -> None:
    assert "NO/SUCH" in one_line(kraken_fast(*verb, status=2)[1])


def test_a_verb_brings_no_other_verbs_files() -> None:
    code = "import sys; from kraken_fast.cli.app import program; program('check'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    loaded = done.stdout.split()
    assert "kraken_fast.cli.check" in loaded
    assert not {"kraken_fast.cli.watch", "kraken_fast.cli.rest", "kraken_fast.cli.order", "aiohttp"} & {*loaded}
