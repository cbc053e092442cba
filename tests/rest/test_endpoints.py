"""Every endpoint against its example: what is sent, and what record the answer becomes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rest_box import World, ok

from kraken_fast.config import RestSettings
from kraken_fast.errors import (
    ConfigError,
    DecodeError,
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    UnknownSymbolError,
)
from kraken_fast.rest.catalogue import ENDPOINTS
from kraken_fast.rest.endpoints import RestClient
from kraken_fast.rest.http import HttpResponse

EXAMPLES = {
    example["name"]: example
    for example in json.loads((Path(__file__).parent.parent / "data" / "rest-examples.json").read_text())["spot"]
}
PAIRS = EXAMPLES["AssetPairs"]["response"]["result"]
BTC = "BTC/USD"
D = Decimal
CL_ORD_ID = "6d1b345e-2821-40e2-ad83-4ecb18a06876"
JAN_1_NS = 1_767_225_600 * 10**9

CALLS: dict[str, Callable[[RestClient], Any]] = {
    "Time": lambda c: c.fetch_time(),
    "SystemStatus": lambda c: c.fetch_status(),
    "MaintenanceSchedule": lambda c: c.fetch_maintenance(),
    "Assets": lambda c: c.fetch_assets(assets=["BTC", "USD", "USDT", "USD.HOLD"]),
    "AssetPairs": lambda c: c.fetch_pairs(symbols=[BTC, "SHIB/USD"]),
    "Ticker": lambda c: c.fetch_tickers(symbols=[BTC, "SHIB/USD"]),
    "OHLC": lambda c: c.fetch_candles(symbol=BTC, interval=1, since_s=1767225480),
    "Depth": lambda c: c.fetch_depth(symbol=BTC, count=2),
    "GroupedBook": lambda c: c.fetch_grouped_book(symbol=BTC),
    "Level3": lambda c: c.fetch_level3(symbol="XBTUSD", depth=10),
    "Trades": lambda c: c.fetch_trades(symbol=BTC, since_ns=JAN_1_NS, count=2),
    "Spread": lambda c: c.fetch_spread(symbol=BTC),
    "PreTrade": lambda c: c.fetch_pre_trade(symbol=BTC),
    "PostTrade": lambda c: c.fetch_post_trade(from_ts="2026-01-01T00:00:00Z", count=1000),
    "GetWebSocketsToken": lambda c: c.fetch_websockets_token(),
    "GetApiKeyInfo": lambda c: c.fetch_key_info(),
    "Balance": lambda c: c.fetch_balances(),
    "BalanceEx": lambda c: c.fetch_extended_balances(),
    "CreditLines": lambda c: c.fetch_credit_lines(),
    "TradeBalance": lambda c: c.fetch_trade_balance(asset="USD"),
    "TradeVolume": lambda c: c.fetch_trade_volume(symbols=[BTC]),
    "OpenOrders": lambda c: c.fetch_open_orders(trades=True, cl_ord_id=CL_ORD_ID),
    "ClosedOrders": lambda c: c.fetch_closed_orders(
        ofs=0, closetime="both", start=1767139200, end=1767312000
    ),
    "QueryOrders": lambda c: c.query_orders(
        order_ids=["OAAAAA-BBBBB-CCCCCC", "ODDDDD-EEEEE-FFFFFF"], trades=True
    ),
    "OrderAmends": lambda c: c.fetch_order_amends(order_id="OAAAAA-BBBBB-CCCCCC"),
    "TradesHistory": lambda c: c.fetch_fills(
        kind="all", start=1767139200, ofs=0, ledgers=True, consolidate_taker=True
    ),
    "QueryTrades": lambda c: c.query_fills(exec_ids=["TAAAAA-BBBBB-CCCCCC"]),
    "OpenPositions": lambda c: c.fetch_open_positions(calculate=True),
    "Ledgers": lambda c: c.fetch_ledgers(assets=["USD", "BTC"], kind="trade", ofs=0),
    "QueryLedgers": lambda c: c.query_ledgers(ledger_ids=["LAAAAA-BBBBB-CCCCCC"]),
    "AddExport": lambda c: c.add_export(
        report="trades", description="year 2025", fields="all", start_s=1735689600, end_s=1767225600
    ),
    "ExportStatus": lambda c: c.fetch_exports(report="trades"),
    "RetrieveExport": lambda c: c.retrieve_export(report_id="TCJA"),
    "RemoveExport": lambda c: c.remove_export(report_id="TCJA"),
    "AddOrder": lambda c: c.add_order(
        symbol=BTC,
        side="buy",
        ord_type="limit",
        price="61000.0",
        qty=D("0.015"),
        flags=["post"],
        cl_ord_id=CL_ORD_ID,
        deadline=datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC),
    ),
    "AddOrderBatch": lambda c: c.add_orders(
        symbol=BTC, orders=EXAMPLES["AddOrderBatch"]["body"]["orders"], deadline=None
    ),
    "AmendOrder": lambda c: c.amend_order(cl_ord_id=CL_ORD_ID, limit_price="61010.0", post_only=True, deadline=None),
    "EditOrder": lambda c: c.edit_order(
        symbol=BTC, order_id="OAAAAA-BBBBB-CCCCCC", price="61010.0", qty="0.015", deadline=None
    ),
    "CancelOrder": lambda c: c.cancel_order(order_id="OAAAAA-BBBBB-CCCCCC"),
    "CancelAll": lambda c: c.cancel_all(),
    "CancelAllOrdersAfter": lambda c: c.cancel_all_after(timeout_s=60),
    "CancelOrderBatch": lambda c: c.cancel_orders(order_ids=["OAAAAA-BBBBB-CCCCCC", "ODDDDD-EEEEE-FFFFFF"]),
}

SAME = {"pair": {"XBTUSD": "XXBTZUSD", "XBTUSD,SHIBUSD": "XXBTZUSD,SHIBUSD"}}
"""Names in the examples that mean the same as ours."""


def answer_of(name: str, alternative: str = "") -> HttpResponse:
    example = EXAMPLES[name]
    response = example["alternatives"][alternative] if alternative else example["response"]
    if isinstance(response, str):
        return HttpResponse(200, {}, b"PK\x03\x04zip")
    return HttpResponse(200, {}, json.dumps(response).encode())


def ask(name: str, answer: HttpResponse, call: Callable[[RestClient], Any]) -> tuple[Any, World]:
    """Call one endpoint; the list of pairs and the key's check are answered too."""
    world = World(AssetPairs=ok(PAIRS))
    results: list[Any] = []

    async def main() -> None:
        settings = RestSettings(limits=False)
        async with world.client(RestClient, settings=settings, allow_withdraw=True) as client:
            await client.instruments()
            world.port.answers[name] = answer
            results.append(await call(client))

    world.run(main())
    return results[0], world


def floats_in(value: Any) -> bool:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(floats_in(getattr(value, each.name)) for each in dataclasses.fields(value))
    return any(map(floats_in, value)) if isinstance(value, tuple) else isinstance(value, float)


def test_every_endpoint_has_its_call() -> None:
    assert set(CALLS) == set(ENDPOINTS)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_sent_and_what_comes_of_the_answer(name: str) -> None:
    example = EXAMPLES[name]
    result, world = ask(name, answer_of(name), CALLS[name])
    call = world.port.named(name)[-1]
    assert call.request.method == example["method"]
    sent = {key: value for key, value in call.params.items() if key != "nonce"}
    expected = {
        key: value
        for key, value in (example.get("body") or example.get("query") or {}).items()
        if key != "nonce"
    }
    if not example.get("content_type", "").endswith("json"):
        expected = {key: SAME.get(key, {}).get(value, value) for key, value in expected.items()}
    if name == "AddOrder":
        expected["deadline"] = "2026-01-01T00:00:10.000Z"
    if name == "QueryOrders":
        expected["consolidate_taker"] = "false"
    if name == "AddOrderBatch":
        expected["pair"] = "XXBTZUSD"
    assert sent == expected
    assert not floats_in(result)
    assert result is not None


@pytest.mark.parametrize(
    ("name", "alternative"),
    [
        (name, alternative)
        for name in CALLS
        for alternative, response in EXAMPLES[name].get("alternatives", {}).items()
        if isinstance(response, dict) and not response["error"] and alternative != "validate=true"
    ],
)
def test_other_forms_of_an_answer_are_understood(name: str, alternative: str) -> None:
    result, _ = ask(name, answer_of(name, alternative), CALLS[name])
    assert result is not None


def first(name: str) -> Any:
    result, _ = ask(name, answer_of(name), CALLS[name])
    return result


def test_market_records() -> None:
    ticker = first("Ticker")[0]
    assert (ticker.symbol, ticker.bid, ticker.ask, ticker.last) == (
        BTC,
        D("61234.4"),
        D("61234.5"),
        D("61234.5"),
    )
    assert (ticker.qty_24h, ticker.trades_24h) == (D("2190.11873420"), 70991)
    candles = first("OHLC")
    assert [candle.closed for candle in candles.candles] == [True, True, False]
    assert candles.candles[0].vwap == D("61220.4")
    assert candles.last_ns == 1767225540 * 10**9
    book = first("Depth")
    assert (book.bids[0].price, book.asks[0].qty) == (D("61234.4"), D("0.136"))
    assert first("GroupedBook").bids[0].qty == D("1.00171200")
    trades = first("Trades")
    assert trades.last_ns == 1767225602982277754
    assert [trade.trade_id for trade in trades.trades] == [92001001, 92001002]
    assert trades.trades[0].exch_ns == 1767225600971744500
    assert (trades.trades[0].side, trades.trades[0].ord_type) == ("buy", "limit")
    assert first("PostTrade").trades[0].exch_ns == 1767225602982277754
    assert first("Level3").asks[0].order_id == "ODDDDD-EEEEE-FFFFFF"
    assert first("Spread").rows[1].ask == D("61234.6")
    assert first("PreTrade").bids[0].count == 3
    pair = first("AssetPairs")[0]
    assert (pair.symbol, pair.tick_size, pair.base, pair.fees[1].percent) == (BTC, D("0.1"), "BTC", D("0.35"))
    assert first("SystemStatus").upcoming_maintenance[0].start_ns == 1767603600 * 10**9
    assert first("Assets")[0].asset == "BTC"


def test_account_records() -> None:
    balances = {(row.asset, row.kind): row.balance for row in first("Balance")}
    assert balances["USD", ""] == D("1204.5510")
    assert balances["BTC", "F"] == D("0.0040000000")
    assert first("BalanceEx")[0].available == D("286.0335")
    order = first("OpenOrders")[0]
    assert (order.order_id, order.terms.symbol, order.terms.price) == (
        "OAAAAA-BBBBB-CCCCCC",
        BTC,
        D("61000.0"),
    )
    assert order.opened_ns == 1767225601121142000
    assert (order.userref, order.expire_ns, order.flags) == (None, None, ("fciq",))
    closed = first("ClosedOrders")
    assert (closed.count, closed.orders[1].userref, closed.orders[1].cl_ord_id) == (2, 1234, None)
    fill = first("TradesHistory").trades[0]
    assert (fill.symbol, fill.trade_id, fill.maker, fill.ledgers) == (
        BTC,
        92001002,
        True,
        ("LAAAAA-BBBBB-CCCCCC",),
    )
    assert first("Ledgers").entries[0].amount == D("-305.0000")
    assert first("OpenPositions")[0].net == D("2.3445")
    assert first("OrderAmends")[0].exch_ns == 1767225601121000000
    assert first("TradeVolume").fees[0].symbol == BTC
    info = first("GetApiKeyInfo")
    assert (info.nonce, info.nonce_window, info.valid_until_ns) == (1767225600123456789, 0, None)
    token = first("GetWebSocketsToken")
    assert "Xm9z" not in repr(token)
    assert token.is_usable(token.recv_ns + 800 * 10**9)
    assert not token.is_usable(token.recv_ns + 811 * 10**9)
    assert first("CreditLines").lines[0].available_credit == 50000
    assert first("RetrieveExport").startswith(b"PK")


def test_trading_records() -> None:
    assert first("AddOrder").order_id == "OAAAAA-BBBBB-CCCCCC"
    validated, _ = ask(
        "AddOrder",
        answer_of("AddOrder", "validate=true"),
        lambda c: c.add_order(symbol=BTC, side="buy", ord_type="market", qty="1", validate=True, deadline=None),
    )
    assert validated.order_id is None
    placed, refused = first("AddOrderBatch")
    assert (placed.order_id, placed.error, placed.cl_ord_id) == (
        "OAAAAA-BBBBB-CCCCCC",
        None,
        "kf-000000000000018",
    )
    assert (refused.order_id, refused.error) == (None, "EOrder:Insufficient funds")
    assert first("CancelAllOrdersAfter").trigger_ns == (1767225663) * 10**9
    off, _ = ask(
        "CancelAllOrdersAfter",
        answer_of("CancelAllOrdersAfter", "disarm timeout=0"),
        lambda c: c.cancel_all_after(timeout_s=0),
    )
    assert off.trigger_ns is None
    assert first("EditOrder").original_id == "OAAAAA-BBBBB-CCCCCC"


@pytest.mark.fault("C07", kind="U")
def test_records_cannot_be_changed() -> None:
    for name in ("Ticker", "Balance", "OpenOrders"):
        record = first(name)[0]
        with pytest.raises((AttributeError, TypeError)):
            record.symbol = "x"


@pytest.mark.parametrize("symbol", ["BTC/USDX", "btc/usd", "XBT-USD", "", "../x", "BTC/USD\0"])
def test_an_unknown_symbol_is_refused_with_suggestions_and_nothing_is_sent(symbol: str) -> None:
    world = World(AssetPairs=ok(PAIRS))

    async def main() -> None:
        async with world.client(RestClient, key=False) as client:
            with pytest.raises(UnknownSymbolError) as caught:
                await client.fetch_ticker(symbol=symbol)
            if len(symbol) > 6:
                assert BTC in caught.value.suggestions
        assert [call.name for call in world.port.calls] == ["AssetPairs"]

    world.run(main())


@pytest.mark.fault("C08", kind="U")
@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.add_order(symbol=BTC, side="buy", ord_type="limit", qty=0.1),
        lambda c: c.add_order(symbol=BTC, side="buy", ord_type="market", qty=1, cl_ord_id="a", userref=1),
        lambda c: c.add_order(
            symbol=BTC, side="buy", ord_type="market", qty=1, cl_ord_id="a", close={"ordertype": "limit"}
        ),
        lambda c: c.add_order(
            symbol=BTC, side="buy", ord_type="market", qty=1, deadline=datetime.fromisoformat("2026-01-01")
        ),
        lambda c: c.add_orders(symbol=BTC, orders=[{}]),
        lambda c: c.add_orders(symbol=BTC, orders=[{"volume": 1.5}, {}]),
        lambda c: c.cancel_order(),
        lambda c: c.cancel_order(cl_ord_id="x" * 19),
        lambda c: c.amend_order(cl_ord_id="kf\u202e"),
        lambda c: c.add_orders(symbol=BTC, orders=[{"cl_ord_id": 'a"\0'}, {}]),
        lambda c: c.cancel_order(order_id="O", cl_ord_id="c"),
        lambda c: c.amend_order(qty=1),
        lambda c: c.cancel_orders(),
        lambda c: c.cancel_all_after(timeout_s=86_400),
        lambda c: c.query_orders(order_ids=[]),
        lambda c: c.query_fills(exec_ids=["T"] * 21),
        lambda c: c.fetch_candles(symbol=BTC, interval=2),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(call: Callable[[RestClient], Any]) -> None:
    world = World(AssetPairs=ok(PAIRS))

    async def main() -> None:
        async with world.client(RestClient) as client:
            with pytest.raises((InvalidOrderError, ConfigError)):
                await call(client)
        assert {call.name for call in world.port.calls} <= {"AssetPairs", "GetApiKeyInfo"}

    world.run(main())


@pytest.mark.parametrize(
    "name", [name for name in CALLS if name not in ("RetrieveExport", "CancelAll", "RemoveExport")]
)
@pytest.mark.parametrize("result", [None, [], "x", 5, {"a": 1}])
def test_a_result_of_another_form_is_a_decode_error_or_empty(name: str, result: Any) -> None:
    try:
        ask(name, ok(result), CALLS[name])
    except OutcomeUnknownError:
        assert ENDPOINTS[name].acts
    except (DecodeError, UnknownSymbolError):
        assert not ENDPOINTS[name].acts


def test_a_conditional_close_goes_out_as_nested_form_keys() -> None:
    world = World(AssetPairs=ok(PAIRS), AddOrder=ok({"descr": {"order": "x"}, "txid": ["O1"]}))

    async def main() -> None:
        async with world.client(RestClient) as client:
            await client.add_order(
                symbol=BTC,
                side="buy",
                ord_type="limit",
                qty="1",
                price="1",
                close={"ordertype": "limit", "price": "+5%"},
                deadline=None,
            )
        assert world.port.named("AddOrder")[0].params["close[price]"] == "+5%"

    world.run(main())


def test_positions_of_one_market_come_as_one() -> None:
    row = {"pair": "XXBTZUSD", "positions": "2", "type": "buy", "leverage": "2.00", "cost": "610.0", "fee": "1.5",
           "vol": "0.01", "vol_closed": "0.0", "margin": "122.0"}  # fmt: skip
    (position,), world = ask("OpenPositions", ok([row]), lambda c: c.fetch_market_positions())
    assert world.port.named("OpenPositions")[0].params["consolidation"] == "market"
    assert (position.symbol, position.positions, position.qty, position.leverage) == (BTC, 2, D("0.01"), "2.00")
    for nothing in ([], {}):
        assert ask("OpenPositions", ok(nothing), lambda c: c.fetch_market_positions())[0] == ()


def test_all_tickers_are_one_call_without_names() -> None:
    rows, world = ask("Ticker", answer_of("Ticker"), lambda c: c.fetch_tickers())
    assert {row.symbol for row in rows} >= {BTC, "SHIB/USD"}
    assert len(world.port.named("Ticker")) == 1


def test_cancelling_what_is_gone_says_so() -> None:
    with pytest.raises(OrderRejectedError, match="Unknown order"):
        ask("CancelOrder", answer_of("CancelOrder", "already_gone"), CALLS["CancelOrder"])
