"""The verbs on REST, against an exchange in a box that runs beside them."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner

from kraken_fast.cli.app import program
from kraken_fast.cli.doctor import check_tls, examine
from kraken_fast.cli.rest import Where, as_text
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
    done = RUNNER.invoke(program(), [*words, "--rest-url", box["rest_url"]])
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
    assert "/0/private/Name" in run(box, "rest", "Withdraw", status=2)
    assert "Unknown asset pair" in run(box, "rest", "Ticker", "pair=NOPE", status=1)


def test_without_a_key_it_says_where_one_may_be(box: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KRAKEN_API_KEY")
    monkeypatch.delenv("KRAKEN_API_SECRET")
    assert "no key: set KRAKEN_API_KEY" in run(box, "balance", status=2)


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
    line = run(box, "trades", "BTC/USD", "--since", "1h").splitlines()[0].split()
    assert line[0] == str(ids[0])
    assert "left out with --csv" in run(
        box, "trades", "BTC/USD", "--since", "2020-01-01", "--csv", "a", "--parquet", "b", status=2
    )


def test_parquet_holds_the_same_trades(box: dict[str, str], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path, text = tmp_path / "trades.parquet", tmp_path / "trades.csv"
    said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(path))
    until = said.split("--since ")[1].split()[0].split(":")[1]
    run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--csv", str(text))
    table = parquet.read_table(path)
    assert table.schema.names == list(csv.DictReader(text.open()).fieldnames or [])
    assert str(table.schema.field("trade_id").type) == str(table.schema.field("exch_ns").type) == "int64"
    rows = [{name: str(value) for name, value in row.items()} for row in table.to_pylist()]
    assert rows == [row for row in csv.DictReader(text.open()) if int(row["trade_id"]) <= int(until)]
    said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(path), status=2)
    assert "cannot be continued" in said
    said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(tmp_path / "no" / "x"), status=2)
    assert "cannot be written" in said


def test_parquet_is_an_extra(box: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "trades.parquet"
    said = run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--parquet", str(path), status=2)
    assert "kraken_fast[parquet]" in said
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_named_and_none_is_made_for_nothing(
    box: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "no" / "trades.csv"
    assert str(path) in run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--csv", str(path), status=2)
    path = tmp_path / "trades.csv"
    said = run(box, "trades", "NOPE/USD", "--since", "2020-01-01", "--csv", str(path), status=2)
    assert "unknown symbol" in said
    assert not path.exists()
    row = json.loads(run(box, "trades", "BTC/USD", "--since", "2020-01-01", "--json").splitlines()[0])
    assert isinstance(row["price"], str)


class Archive(BaseHTTPRequestHandler):
    """An exchange with trades without end, 1,000 a page, an hour each from 2020 on."""

    PAIR: ClassVar = {"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}}
    BEGIN_S = 1_577_836_800

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        first = max(0, (int(query.get("since", 0)) // 10**9 - self.BEGIN_S) // 3600 + 1)
        rows = [["7.0", "1.5", self.BEGIN_S + n * 3600, "b", "l", "", n + 1] for n in range(first, first + 1000)]
        result: Any = {"XXBTZUSD": rows, "last": str((self.BEGIN_S + (first + 999) * 3600) * 10**9)}
        if "AssetPairs" in self.path:
            result = self.PAIR
        body = json.dumps({"error": [], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_long_crawl_shows_a_bar_ends_cleanly_on_ctrl_c_and_goes_on(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path, words = tmp_path / "trades.csv", ["--rest-url", f"http://127.0.0.1:{server.server_address[1]}"]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "kraken_fast", "trades", "BTC/USD", "--since", "2020-01-01", "--csv", str(path), *words],
        stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    shown, is_told = b"", False
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the terminal's other end is closed
            break
        if re.search(rb"BTC/USD 2020-\d\d-\d\d.*\d+%", shown) and not is_told:
            is_told = True
            child.send_signal(signal.SIGINT)
    os.close(ours)
    assert child.wait(20) == 128 + signal.SIGINT, shown
    assert b"Traceback" not in shown
    assert child.stdout is not None
    assert child.stdout.read() == b""
    told = re.search(rb"(\d+) trades; continue with --since (\d+:\d+)", shown)
    assert told is not None, shown
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == int(told[1]) > 0
    until = ["--until", "2020-06-01", "--csv", str(path), *words]
    assert RUNNER.invoke(program(), ["trades", "BTC/USD", "--since", told[2].decode(), *until]).exit_code == 0
    ids = [int(row["trade_id"]) for row in csv.DictReader(path.open())]
    assert ids == list(range(1, 1 + 24 * 152 + 1))
    server.shutdown()
    server.server_close()


def test_every_verb_works_in_a_box_of_its_own_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KRAKEN_API_KEY")
    monkeypatch.delenv("KRAKEN_API_SECRET")
    for words in (
        ["balance"],
        ["ticker", "XBTUSD"],
        ["rest", "OpenOrders"],
        ["trades", "BTC/USD", "--since", "2020-01-01"],
    ):
        done = RUNNER.invoke(program(), [*words, "--sim"])
        assert done.exit_code == 0, done.output
        assert len(done.output) > 10
    assert not list(tmp_path.iterdir())
    done = RUNNER.invoke(program(), ["ticker", "BTC/USD", "--sim", "--rest-url", "http://127.0.0.1:9"])
    assert done.exit_code == 2
    assert "left out with --rest-url" in done.output


def test_the_doctor_finds_everything_in_order_or_says_what_is_not(box: dict[str, str]) -> None:
    said = run(box, "doctor", "--ws-url", box["ws_url"])
    for what in ("core", "REST host", "REST TLS", "WS host", "WS TLS", "REST", "exchange", "clock", "key", "nonce",
                 "tier", "rate budget"):  # fmt: skip
        assert f"ok  {what}" in said
    findings = json.loads(run(box, "doctor", "--ws-url", box["ws_url"], "--json"))
    assert all(each["is_good"] and not each["advice"] for each in findings)


def test_each_red_line_of_the_doctor_says_what_to_do(
    box: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = {**box, "rest_url": "http://127.0.0.1:9"}
    said = run(gone, "doctor", "--ws-url", "ws://127.0.0.1:9", status=1)
    for what in ("REST host", "WS host", "REST", "clock", "key"):
        (line,) = [each for each in said.splitlines() if each.startswith(f"BAD {what:<12} ")]
        fact, _, advice = line.removeprefix(f"BAD {what}").partition(";")
        assert len(fact.strip()) > 5, line
        assert len(advice.strip()) > 10, line
    monkeypatch.setenv("KRAKEN_API_SECRET", "d3Jvbmc=")
    said = run(box, "doctor", "--ws-url", box["ws_url"], status=1)
    assert "BAD key" in said
    assert "correct this one" in said
    path = tmp_path / "key.toml"
    path.write_text("x")
    path.chmod(0o644)
    assert "chmod 600" in run(box, "doctor", "--ws-url", box["ws_url"], "--key-file", str(path), status=1)


async def test_the_doctor_tells_a_certificate_that_is_not_the_exchanges() -> None:
    async with Exchange(["BTC/USD"], rate=0, tls=True) as exchange:
        findings = await examine(Where(exchange.rest_url, None), exchange.ws_url)
        by_name = {each.what: each for each in findings}
        assert not by_name["REST TLS"].is_good
        assert not by_name["WS TLS"].is_good
        assert "certificate" in by_name["REST TLS"].advice
        assert exchange.ca_file is not None
        good = await check_tls("REST", "localhost", int(exchange.rest_url.rpartition(":")[2]), str(exchange.ca_file))
        assert good.is_good
        assert "TLSv1" in good.fact


def test_small_things() -> None:
    assert as_text({"a": (b"x",)}) == '{\n  "a": [\n    "b\'x\'"\n  ]\n}'
    for text in ("yesterday", "h", "1y", "-1h", "9999999999h"):
        with pytest.raises(ConfigError):
            read_time(text, 0)
    assert read_time("90m", 10**18) == 10**18 - 5400 * 10**9
    assert read_time("1w", 0) == 0
