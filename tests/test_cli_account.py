"""The verb `account`, against an exchange in a box."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from decimal import Decimal

import pytest
from rich.console import Console
from rich.measure import Measurement
from typer.testing import CliRunner

from kraken_fast.account_records import AccountGap
from kraken_fast.cli.account import balance_table, facts_of, fill_table, order_table
from kraken_fast.cli.app import program
from kraken_fast.events import Dropped, LineChange

from .simulation.accounts import AccountWorld

RUNNER = CliRunner()


def lines_of(*options: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "kraken_fast", "account", "--sim", "--seconds", "3", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_it_prints_what_happens_as_json_numbers_as_text() -> None:
    told = [json.loads(line) for line in lines_of("--json")]
    kinds = {facts["type"] for facts in told}
    assert {"balance", "pending_new", "new", "fill", "filled", "ledger"} <= kinds
    fill = next(facts for facts in told if facts["type"] == "fill")
    assert Decimal(fill["last_qty"]) > 0 and fill["recovered"] is False and fill["fees"][0][0] == "USD"


def test_into_a_pipe_it_prints_lines() -> None:
    fills = [line for line in lines_of() if line.startswith("fill ")]
    told = re.compile(r" symbol=BTC/USD .* last_price=[\d.]+ last_qty=[\d.]+ .*fees=[\d.]+USD")
    assert any(told.search(line) for line in fills), fills
    assert not any("None" in line or "False" in line for line in fills)


def test_a_box_of_our_own_and_an_address_exclude_each_other() -> None:
    result = RUNNER.invoke(program(), ["account", "--sim", "--ws-url", "ws://127.0.0.1:1/v2"])
    assert result.exit_code == 2


def test_without_a_key_it_says_where_one_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRAKEN_API_KEY", "KRAKEN_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    result = RUNNER.invoke(program(), ["account"])
    assert result.exit_code == 2 and "KRAKEN_API_KEY" in result.output


def test_the_tables_show_balances_orders_and_fills() -> None:
    world = AccountWorld()
    world.clear()

    async def main() -> None:
        async with world.connect() as account:
            order_id = world.limit("buy", "0.5", "60000")
            world.hit(order_id, "0.2")
            await asyncio.sleep(0.1)
            out = Console(width=200, record=True, quiet=True)
            with out.capture() as got:
                out.quiet = False
                for drawn in (balance_table(account), order_table(account), fill_table(account, 8, is_wide=True)):
                    out.print(drawn)
            text = got.get()
            narrow = fill_table(account, 8, is_wide=False)
            assert Measurement.get(out, out.options, narrow).maximum <= 80 and narrow.row_count == 1
            assert "10.2" in text and order_id in text and world.truth()[0] in text
            assert "partially_filled" in text and "stream" in text

    world.run(main())


def test_every_event_has_its_facts() -> None:
    gap = AccountGap("executions", "line lost", 1, 2, 3, healed=True)
    assert facts_of(gap) == {
        "type": "gap", "channel": "executions", "reason": "line lost", "fills": 3, "healed": True,
    }  # fmt: skip
    assert facts_of(Dropped(3)) == {"type": "dropped", "count": 3}
    assert (facts_of(LineChange("live", "down", "reset")) or {})["state"] == "down"


def test_the_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    RUNNER.invoke(program(), ["account", "--sim", "--seconds", "0"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
