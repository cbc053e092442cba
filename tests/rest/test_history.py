"""Long lists: no row lost, none doubled, whatever moves meanwhile and wherever one stops."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from rest_box import Boxed, Call, World, ok, refusal

from kraken_fast.config import RestSettings
from kraken_fast.errors import ConfigError, KrakenFastError
from kraken_fast.rest.answers import RestTrade, TradePage
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.history import AccountHistory, TradeHistory

PAIRS = {"XXBTZUSD": {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD"}}


class Ledger:
    """Rows newest first, of which new ones and late ones appear while somebody reads."""

    def __init__(self, seed: int, count: int = 230) -> None:
        self.rng = Random(seed)
        self.rows = [(f"L{n}", n // 3) for n in range(count)]  # three rows an instant
        self.end = self.rows[-1][1]
        self.late = 0

    async def fetch(self, end: int, ofs: int) -> tuple[list[tuple[str, int]], int]:
        if self.rng.random() < 0.5:
            self.rows.append((f"new{len(self.rows)}", self.end + 1 + len(self.rows)))
        if self.rng.random() < 0.3:
            self.late += 1
            self.rows.insert(len(self.rows), (f"late{self.late}", self.end))
        seen = sorted((row for row in self.rows if row[1] <= end), key=lambda row: -row[1])
        return seen[ofs : ofs + 50], len(seen)

    def crawl(self, cursor: str = "") -> AccountHistory[tuple[str, int]]:
        return AccountHistory(self.fetch, lambda row: row, end_s=self.end, cursor=cursor)


@pytest.mark.fault("R14", kind="D")
@pytest.mark.parametrize("seed", range(20))
async def test_a_moving_list_is_given_whole_and_each_row_once(seed: int) -> None:
    ledger = Ledger(seed)
    crawl = ledger.crawl()
    rows = [row async for row in crawl]
    given = [row_id for row_id, _ in rows if row_id.startswith("L")]
    assert sorted(given) == sorted(f"L{n}" for n in range(230))
    assert len(rows) == len(set(rows)) == crawl.rows
    assert crawl.pages >= 5


@pytest.mark.fault("R14", kind="D")
@pytest.mark.parametrize("seed", range(20))
async def test_a_crawl_goes_on_from_its_cursor(seed: int) -> None:
    ledger, rng = Ledger(seed), Random(seed)
    rows: list[tuple[str, int]] = []
    cursor = ""
    for _ in range(100):
        crawl = ledger.crawl(cursor)
        stop = rng.randrange(1, 90)
        async for row in crawl:
            rows.append(row)
            if crawl.rows == stop:
                break
        else:
            break
        cursor = crawl.cursor
    given = [row_id for row_id, _ in rows if row_id.startswith("L")]
    assert sorted(given) == sorted(f"L{n}" for n in range(230))


class Tape:
    """Public trades with bursts of one nanosecond."""

    def __init__(self, seed: int, count: int = 400, page: int = 50) -> None:
        rng = Random(seed)
        self.page = page
        self.trades: list[RestTrade] = []
        now_ns = 10**18
        for number in range(1, count + 1):
            now_ns += rng.choice([0, 0, 0, 1, 1000])
            self.trades.append(
                RestTrade(
                    symbol="X", trade_id=number, price=1, qty=1, exch_ns=now_ns, side="buy", ord_type="limit"
                )  # type: ignore[arg-type]
            )

    async def fetch(self, since_ns: int) -> TradePage:
        rows = tuple(trade for trade in self.trades if trade.exch_ns > since_ns)[: self.page]
        return TradePage(symbol="X", trades=rows, last_ns=rows[-1].exch_ns if rows else since_ns)

    def crawl(self, cursor: str = "", until_ns: int | None = None) -> TradeHistory:
        return TradeHistory(self.fetch, since_ns=0, page_max=self.page, cursor=cursor, until_ns=until_ns)


@pytest.mark.fault("R14", kind="D")
@pytest.mark.parametrize("seed", range(20))
async def test_trades_come_once_each_though_pages_end_within_a_nanosecond(seed: int) -> None:
    tape, rng = Tape(seed), Random(seed)
    ids: list[int] = []
    cursor = ""
    while True:
        crawl = tape.crawl(cursor)
        stop = rng.randrange(1, 120)
        async for trade in crawl:
            ids.append(trade.trade_id)
            if crawl.rows == stop:
                break
        else:
            break
        cursor = crawl.cursor
        assert not crawl.gaps
    assert ids == list(range(1, 401))


async def test_a_missing_trade_is_told() -> None:
    tape = Tape(1)
    del tape.trades[100:103]
    crawl = tape.crawl()
    assert len([trade async for trade in crawl]) == 397
    assert [(gap.first, gap.last) for gap in crawl.gaps] == [(101, 103)]


async def test_a_crawl_ends_where_it_is_told() -> None:
    tape = Tape(2)
    until_ns = tape.trades[200].exch_ns
    ids = [trade.trade_id async for trade in tape.crawl(until_ns=until_ns)]
    assert ids == [trade.trade_id for trade in tape.trades if trade.exch_ns <= until_ns]


@pytest.mark.parametrize("cursor", ["x", "1:2", "1:2:3:4:5", "a:b:c:d", "-1:2:3:x"])
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        Ledger(1).crawl(cursor)
    with pytest.raises(ConfigError, match="cursor"):
        Tape(1).crawl("1:2:3" if cursor == "1:2" else cursor)


# Through the client ----------------------------------------------------------------------------------------------


def fill(number: int) -> dict[str, Any]:
    return {
        "ordertxid": "O", "pair": "XXBTZUSD", "time": number, "type": "buy", "ordertype": "limit", "price": "1",
        "cost": "1", "fee": "0", "vol": "1",
    }  # fmt: skip


def test_the_client_pages_fills_and_closed_candles() -> None:
    def history(call: Call) -> Any:
        ofs = int(call.params["ofs"])
        return ok(
            {"trades": {f"T{n}": fill(n) for n in range(119 - ofs, max(-1, 69 - ofs), -1)}, "count": 120}
        )

    def candles(call: Call) -> Any:
        since = int(call.params["since"])
        rows = [[t, "1", "1", "1", "1", "1", "1", 1] for t in range(0, 601, 60) if t >= since]
        return ok({"XXBTZUSD": rows, "last": 540})

    world = World(AssetPairs=ok(PAIRS), TradesHistory=history, OHLC=candles)

    async def main() -> None:
        async with world.client(RestClient, settings=RestSettings(limits=False)) as client:
            crawl = client.iter_fills()
            assert [row.exec_id async for row in crawl] == [f"T{n}" for n in range(119, -1, -1)]
            assert (crawl.total, crawl.pages) == (120, 3)
            begins = [c.begin_ns // 10**9 async for c in client.iter_candles(symbol="BTC/USD", since_s=300)]
            assert begins == [360, 420, 480, 540]

    world.run(main())


@pytest.mark.fault("R14", kind="D")
@pytest.mark.parametrize("kind", ["ledgers", "fills", "closed"])
def test_rows_that_come_between_the_pages_lose_and_double_nothing(kind: str) -> None:
    world = World()
    boxed = Boxed(world, way_s=0.01, limit_calls=False, limit_orders=False)
    market = {"symbol": "BTC/USD", "ord_type": "market", "qty": "0.001", "deadline": None}

    async def main() -> None:
        async with boxed.client(RestClient, settings=RestSettings(limits=False)) as client:
            for number in range(130):
                await client.add_order(side=("buy", "sell")[number % 2], **market)
            account = next(iter(boxed.core.accounts.values()))
            rows = {"ledgers": account.ledger, "fills": account.executions, "closed": account.orders}[kind]
            expected = set(rows)
            await asyncio.sleep(2)
            given: list[str] = []
            cursor = ""
            for stop in (60, 30, 10_000):  # in three sittings
                crawl: Any = {
                    "ledgers": client.iter_ledgers, "fills": client.iter_fills, "closed": client.iter_closed_orders
                }[kind](cursor=cursor)  # fmt: skip
                async for row in crawl:
                    given.append(getattr(row, {"ledgers": "ledger_id", "fills": "exec_id", "closed": "order_id"}[kind]))
                    if len(given) % 20 == 0:
                        await client.add_order(side="buy", **market)
                    if crawl.rows == stop:
                        break
                cursor = crawl.cursor
            assert len(given) == len(set(given))
            assert set(given) == expected

    world.run(main())


@pytest.mark.fault("R14", kind="D")
def test_candles_go_on_from_a_cursor_and_tell_what_is_gone() -> None:
    world = World()
    boxed = Boxed(world, way_s=0.01, rate=5.0)

    async def main() -> None:
        async with boxed.client(RestClient, settings=RestSettings(limits=False)) as client:
            begins: list[int] = []
            cursor = ""
            for minutes in (0, 3, 0, 17):
                await asyncio.sleep(60 * minutes)
                crawl = client.iter_candles(symbol="BTC/USD", interval=1, cursor=cursor)
                begins += [candle.begin_ns async for candle in crawl]
                cursor = crawl.cursor
                assert crawl.lost is None
                assert crawl.rows == crawl.total
            steps = {b - a for a, b in pairwise(begins)}
            assert steps == {60 * 10**9}
            late = client.iter_candles(symbol="BTC/USD", interval=1, since_s=begins[0] // 10**9 - 3600)
            first = (await anext(late)).begin_ns
            assert late.lost is not None
            assert late.lost[1] == first - 60 * 10**9
            with pytest.raises(ConfigError, match="cursor"):
                client.iter_candles(symbol="BTC/USD", cursor="x")

    world.run(main())


@pytest.mark.fault("L06", kind="D")
def test_two_hundred_readers_of_tickers_make_at_most_three_calls() -> None:
    pairs = {
        f"K{n}USD": {"altname": f"K{n}USD", "wsname": f"K{n}/USD", "base": f"K{n}", "quote": "ZUSD"}
        for n in range(1000)
    }
    row = {"a": ["2", "1", "1"], "b": ["1", "1", "1"], "c": ["1", "1"], "v": ["1", "1"], "p": ["1", "1"], "t": [1, 1],
           "l": ["1", "1"], "h": ["1", "1"], "o": "1"}  # fmt: skip

    def ticker(call: Call) -> Any:
        return ok(dict.fromkeys(call.params.get("pair", ",".join(pairs)).split(","), row))

    world = World(AssetPairs=ok(pairs), Ticker=ticker)
    world.port.latency_s = 0.05

    async def main() -> None:
        async with world.client(RestClient, key=False) as client:
            tickers = await asyncio.gather(*(client.fetch_ticker(symbol=f"K{n}/USD") for n in range(200)))
            assert [ticker.symbol for ticker in tickers] == [f"K{n}/USD" for n in range(200)]
            assert len(world.port.calls) <= 3
            # A stampede: a thousand symbols, each asked for ten times a second, for a minute.
            before = len(world.port.calls)
            begin = world.seconds
            for _ in range(600):
                await asyncio.gather(*(client.fetch_ticker(symbol=f"K{n}/USD") for n in range(0, 1000, 50)))
                await asyncio.sleep(0.1)
            seconds = world.seconds - begin
            assert len(world.port.calls) - before <= seconds / 3 + 1
            times = [call.at_ns for call in world.port.calls]
            assert all(b - a >= 100_000_000 for a, b in pairwise(times))

    world.run(main())


@pytest.mark.fault("R08", kind="D")
def test_while_the_exchange_is_away_an_old_ticker_is_given_to_who_asks_so_with_its_age() -> None:
    row = {"a": ["2", "1", "1"], "b": ["1", "1", "1"], "c": ["1", "1"], "v": ["1", "1"], "p": ["1", "1"], "t": [1, 1],
           "l": ["1", "1"], "h": ["1", "1"], "o": "1"}  # fmt: skip
    world = World(AssetPairs=ok(PAIRS), Ticker=ok({"XXBTZUSD": row}))

    async def main() -> None:
        async with world.client(RestClient, key=False) as client:
            await client.fetch_ticker(symbol="BTC/USD")
            await asyncio.sleep(20)
            world.port.answers["Ticker"] = ConnectionError("away")
            old = await client.fetch_ticker(symbol="BTC/USD", stale_s=60)
            assert (world.clock.monotonic_ns - old.recv_ns) / 1e9 >= 20
            with pytest.raises(ConnectionError):
                await client.fetch_ticker(symbol="BTC/USD")

    world.run(main())


@pytest.mark.fault("A03", kind="D")
def test_while_no_token_is_to_be_had_one_fetch_is_under_way_and_public_calls_go_on() -> None:
    world = World(GetWebSocketsToken=refusal("EAPI:Rate limit exceeded"), Time=ok({}))
    under_way = most = 0

    async def slow(_call: Call) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.5)
        under_way -= 1
        return refusal("EService:Busy")

    world.port.answers["GetWebSocketsToken"] = slow

    async def main() -> None:
        async with world.client(RestClient) as client:
            for _ in range(10):
                waiting = [asyncio.create_task(client.fetch_websockets_token()) for _ in range(20)]
                await asyncio.sleep(0.1)
                begin = world.seconds
                await client.call("Time", wait_max_s=5)
                assert world.seconds - begin < 5
                errors = await asyncio.gather(*waiting, return_exceptions=True)
                assert all(isinstance(error, KrakenFastError) for error in errors)
            assert most == 1
            assert len(world.port.named("GetWebSocketsToken")) <= 10 * 1.1 + 1

    world.run(main())


def test_one_token_is_fetched_for_all_who_wait_for_one() -> None:
    world = World(GetWebSocketsToken=ok({"token": "t0ken", "expires": 900}))
    world.port.latency_s = 0.5

    async def main() -> None:
        async with world.client(RestClient) as client:
            tokens = await asyncio.gather(*(client.fetch_websockets_token() for _ in range(20)))
            assert len({id(token) for token in tokens}) == 1
            assert len(world.port.named("GetWebSocketsToken")) == 1
            await client.fetch_websockets_token()  # and never an old one
            assert len(world.port.named("GetWebSocketsToken")) == 2

    world.run(main())
