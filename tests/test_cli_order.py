"""The verb `order`, against an exchange in a box: what is sent, what is asked, what it says and with which status."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from kraken_fast.cli.app import program

RUNNER = CliRunner()
PLACE = ("add", "BTC/USD", "buy", "0.001")


def order(*options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "kraken_fast", "order", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def facts(*options: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(order(*options, "--json").stdout)
    return told


def test_an_order_is_placed_and_how_it_ended_is_told() -> None:
    told = facts(*PLACE, "--price", "66000.0", "--tif", "ioc", "--sim", "--yes")
    assert (told["status"], told["filled_qty"], told["side"]) == ("filled", "0.00100000", "buy")
    assert told["fees"][0][0] == "USD" and told["order_id"].startswith("O")


def test_an_order_is_amended_by_its_name() -> None:
    assert facts("amend", "demo", "--price", "50000.0", "--sim", "-y")["limit_price"] == "50000.0"


def test_what_breaks_a_rule_is_refused_with_the_rule() -> None:
    refused = order(*PLACE, "--price", "66000.01", "--sim", "--yes", status=2)
    assert refused.stderr == "kraken-fast: limit_price='66000.01': BTC/USD has steps of 0.1: 66000.0 or 66000.1\n"
    assert "an open order of this account" in order("cancel", "nothing", "--sim", "-y", status=2).stderr


def test_what_the_exchange_refuses_is_a_failed_check() -> None:
    refused = order("add", "BTC/USD", "buy", "100000", "--price", "30000.0", "--sim", "-y", status=1)
    assert "EOrder:Insufficient funds" in refused.stderr and refused.stdout == ""


def test_an_order_may_be_checked_only() -> None:
    told = facts(*PLACE, "--price", "30000.0", "--sim", "--validate")
    assert told["type"] == "checked" and told["limit_price"] == "30000.0"


def test_where_nobody_can_be_asked_nothing_is_sent() -> None:
    assert "--yes" in order(*PLACE, "--price", "30000.0", "--sim", status=2).stderr


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [(b"y\n", 0, "status=open"), (b"\x03", 130, "Send it?")],
)
def test_it_asks_before_it_sends(answer: bytes, status: int, words: str) -> None:
    pid, handle = pty.fork()
    if pid == 0:
        what = ["-m", "kraken_fast", "order", *PLACE, "--price", "30000.0", "--sim"]
        os.execv(sys.executable, [sys.executable, *what])
    said, is_answered, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([handle], [], [], 0.5)[0]:
            continue
        try:
            data = os.read(handle, 4096)
        except OSError:  # Linux says so at the end of a terminal
            break
        said += data
        if b"[y/N]" in said and not is_answered:
            os.write(handle, answer)
            is_answered = True
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = said.decode()
    assert "buy 0.001 BTC/USD limit at 30000.0, worth 30.0000" in text and "market: bid " in text
    assert (code, words in text, "status=" in text) == (status, True, status == 0), text


def test_a_box_of_our_own_and_an_address_exclude_each_other() -> None:
    result = RUNNER.invoke(program(), ["order", *PLACE, "-y", "--sim", "--ws-url", "ws://127.0.0.1:1/v2"])
    assert result.exit_code == 2


def test_without_a_key_it_says_where_one_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRAKEN_API_KEY", "KRAKEN_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    result = RUNNER.invoke(program(), ["order", *PLACE, "-y"])
    assert result.exit_code == 2 and "KRAKEN_API_KEY" in result.stderr
