"""`kraken-fast simulate`: a user's strategy through faults; failures are told with a replay command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kraken_fast.cli.simulate import World, plans_of, read_strictly, seeds_of, strategy_of
from kraken_fast.errors import ConfigError
from kraken_fast.sim.plan import draw

STRATEGIES = """
import asyncio

async def careful(feed):
    while True:
        await asyncio.sleep(1)

async def careless(feed):
    while True:
        for symbol in feed.symbols:
            feed.book(symbol, strict=True)      # StaleDataError, as soon as a line is lost
        await asyncio.sleep(0.01)

async def particular(feed):
    assert feed.symbols == ("BTC/USD", "ETH/USD"), feed.symbols
    async for event in feed:
        if type(event).__name__ == "Trade":
            return
    raise AssertionError("no trade came")
"""


def simulate(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "strategies.py").write_text(STRATEGIES)
    command = [sys.executable, "-m", "kraken_fast", "simulate", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_seeds_run_and_the_sum_is_told(tmp_path: Path) -> None:
    done = simulate("--seeds", "3", "--strategy", "strategies:careful", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    *seeds, found = map(json.loads, done.stdout.splitlines())
    assert [line["seed"] for line in seeds] == [0, 1, 2]
    assert found["seeds"] == 3 and found["failed"] == [] and found["faults"] > 10
    assert found["simulated_s"] >= 180


def test_a_careless_strategy_fails_with_a_small_plan_and_a_replay_command(tmp_path: Path) -> None:
    done = simulate("--seeds", "2-2", "--strategy", "strategies:careless", "--shrink-runs", "4", folder=tmp_path)
    assert done.returncode == 1
    assert "StaleDataError" in done.stdout
    assert "strategies.py:11: feed.book(symbol, strict=True)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Replay: kraken-fast simulate --plan plan-2.json --strategy strategies:careless\n" in done.stdout
    again = simulate("--plan", "plan-2.json", "--strategy", "strategies:careless", "--json", folder=tmp_path)
    told = json.loads(again.stdout.splitlines()[0])
    assert told["failure"] and told["failure"] in done.stdout


def test_a_strategy_gets_the_markets_and_channels_it_asks_for(tmp_path: Path) -> None:
    options = ("--symbols", "BTC/USD,ETH/USD", "--channels", "book,trade")
    done = simulate("--seeds", "1", "--strategy", "strategies:particular", *options, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_seed_is_one_result() -> None:
    first, again = (World(draw(5), read_strictly).run() for _ in range(2))
    assert first == again
    assert first.failure == ""


def test_wrong_arguments_are_refused() -> None:
    assert seeds_of("57-58") == range(57, 59)
    for text in ("x", "0", "5-4", ""):
        with pytest.raises(ConfigError):
            seeds_of(text)
    with pytest.raises(ConfigError, match="plan"):
        plans_of("1", "", "", Path(__file__))
    for text in ("nowhere:nothing", "json:nothing", "json", "json:__name__", "json:loads"):
        with pytest.raises(ConfigError):
            strategy_of(text)
