"""The verbs on REST, against an exchange in a box that runs beside them."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kraken_fast.cli.app import app
from kraken_fast.cli.rest import as_text
from kraken_fast.cli.trades import read_time
from kraken_fast.errors import ConfigError
from kraken_fast.sim import Exchange

RUNNER = CliRunner()


class Box:
    """An exchange in a thread of its own."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.facts: dict[str, str] = {}
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))
        self.loop: asyncio.AbstractEventLoop
        self.over: asyncio.Event

    async def main(self) -> None:
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        async with Exchange(["BTC/USD", "ETH/USD"], seed=5, rate=200) as exchange:
            await asyncio.sleep(1)
            self.facts = exchange.addresses()
            self.ready.set()
            await self.over.wait()


@pytest.fixture(scope="module")
def box() -> Iterator[dict[str, str]]:
    made = Box()
    made.thread.start()
    assert made.ready.wait(30)
    yield made.facts
    made.loop.call_soon_threadsafe(made.over.set)
    made.thread.join(10)


@pytest.fixture(autouse=True)
def key(box: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KRAKEN_API_KEY", box["api_key"])
    monkeypatch.setenv("KRAKEN_API_SECRET", box["api_secret"])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def run(box: dict[str, str], *words: str, status: int = 0) -> str:
    done = RUNNER.invoke(app, [*words, "--rest-url", box["rest_url"]])
    assert done.exit_code == status, done.output
    assert box["api_secret"] not in done.output
    assert box["api_key"] not in done.output
    return done.output


def test_tickers_and_candles(box: dict[str, str]) -> None:
    assert "BTC/USD" in run(box, "ticker", "BTC/USD", "ETHUSD")
    rows = json.loads(run(box, "ticker", "BTC/USD,ETH/USD", "--json"))
    assert [row["symbol"] for row in rows] == ["BTC/USD", "ETH/USD"]
    assert isinstance(rows[0]["bid"], str)
    assert json.loads(run(box, "ohlc", "BTC/USD", "--interval", "1", "--json"))[-1]["closed"] is False
    assert "Volume" in run(box, "ohlc", "BTC/USD")


def test_an_unknown_symbol_is_wrong_usage_with_suggestions(box: dict[str, str]) -> None:
    assert "did you mean BTC/USD" in run(box, "ticker", "BTC/USDX", status=2)


def test_balances_and_orders(box: dict[str, str]) -> None:
    assert "BTC" in run(box, "balance")
    assert json.loads(run(box, "balance", "--all", "--json"))
    assert "no orders" in run(box, "orders")
    placed = run(
        box, "rest", "AddOrder", "pair=XBTUSD", "type=buy", "ordertype=limit", "price=1000", "volume=0.01"
    )
    order_id = json.loads(placed)["txid"][0]
    assert order_id in run(box, "orders")
    assert json.loads(run(box, "orders", "--json"))[0]["terms"]["symbol"] == "BTC/USD"
    assert json.loads(run(box, "rest", "/0/private/CancelOrder", f"txid={order_id}"))["count"] == 1
    assert order_id in run(box, "orders", "--closed")


def test_rest_prints_what_came_and_refuses_what_it_should(box: dict[str, str]) -> None:
    assert json.loads(run(box, "rest", "/0/public/Time"))["unixtime"] > 1_700_000_000
    assert "allow_money_out" in run(box, "rest", "/0/private/Withdraw", "asset=XBT", status=2)
    assert "KEY=VALUE" in run(box, "rest", "Time", "nonsense", status=2)
    assert "path" in run(box, "rest", "nonsense", status=2)
    assert "Unknown asset pair" in run(box, "rest", "Ticker", "pair=NOPE", status=3)


def test_a_private_verb_without_a_key_says_where_to_put_one(
    box: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KRAKEN_API_KEY")
    assert "KRAKEN_API_KEY" in run(box, "balance", status=2)
    monkeypatch.delenv("KRAKEN_API_SECRET")
    assert "--key-file" in run(box, "balance", status=2)


def test_trades_go_into_a_file_and_on_from_a_cursor(box: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--csv", str(path))
    cursor = said.split("--since ")[1].split()[0]
    run(box, "trades", "BTC/USD", "--since", cursor, "--csv", str(path))
    rows = list(csv.DictReader(path.open()))
    ids = [int(row["trade_id"]) for row in rows]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert rows[0]["time"].endswith("Z")
    line = run(box, "trades", "BTC/USD", "--since", "2020-01-01").splitlines()[0].split()
    assert line[0] == str(ids[0])
    assert "left out with --csv" in run(
        box, "trades", "BTC/USD", "--since", "2020-01-01", "--csv", "a", "--parquet", "b", status=2
    )


def test_parquet_is_an_extra(box: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(path), status=2)
        assert "kraken_fast[parquet]" in said
        return
    run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(path))
    ids = parquet.read_table(path)["trade_id"].to_pylist()
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_the_doctor_finds_everything_in_order_or_says_what_is_not(box: dict[str, str]) -> None:
    said = run(box, "doctor", "--ws-url", box["ws_url"])
    for what in (
        "core",
        "REST host",
        "WS host",
        "TLS",
        "clock",
        "REST",
        "exchange",
        "key",
        "nonce",
        "tier",
        "rate budget",
    ):
        assert f"ok  {what}" in said
    gone = {**box, "rest_url": "http://127.0.0.1:9"}
    said = run(gone, "doctor", "--ws-url", box["ws_url"], status=1)
    assert "BAD REST host" in said
    assert "ok  WS host" in said


def test_small_things() -> None:
    assert as_text({"a": (b"x",)}) == '{\n  "a": [\n    "b\'x\'"\n  ]\n}'
    with pytest.raises(ConfigError):
        read_time("yesterday")
