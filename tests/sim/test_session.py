"""One WebSocket v2 session: greetings, answers, heartbeats, channels."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kraken_fast.sim.reference import loads

CATALOGUE: dict[str, str] = {
    message["id"]: message["raw"]
    for message in json.loads((Path(__file__).parent.parent / "data" / "messages-v2.json").read_text())[
        "messages"
    ]
}
_TIME = re.compile(r'"time_(in|out)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"')


def timeless(text: str) -> str:
    """Take the times out of an answer, after checking their form."""
    assert len(_TIME.findall(text)) == 2, text
    return _TIME.sub('"time"', text)


def test_the_greeting_is_a_status_of_the_form_seen_in_2026(box: Any) -> None:
    client = box.open()
    (text,) = client.texts
    recorded = CATALOGUE["status.online"]
    number = re.compile(r'"connection_id":(\d+)')
    assert number.sub("", text) == number.sub("", recorded)
    assert client.head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head


def test_connection_ids_need_64_unsigned_bits(box: Any) -> None:
    ids = [box.open().messages("status")[0]["data"][0]["connection_id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert max(ids) > 1 << 63
    assert max(ids) < 1 << 64


@pytest.mark.parametrize(
    ("request_id", "answer_id"),
    [
        ("req.ping", "pong"),
        ("req.sub.ohlc", "ack.sub.ohlc"),
        ("req.sub.trade", "ack.sub.trade"),
        ("req.sub.book", "ack.sub.book"),
        ("req.sub.instrument", "ack.sub.instrument"),
    ],
)
def test_answers_have_the_recorded_bytes(box: Any, request_id: str, answer_id: str) -> None:
    client = box.open()
    client.send(CATALOGUE[request_id])
    assert timeless(client.texts[1]) == timeless(CATALOGUE[answer_id])


@pytest.mark.parametrize("channel", ["ticker", "book", "trade", "ohlc", "instrument"])
def test_unsubscribing_is_acknowledged_with_the_recorded_bytes_and_ends_the_feed(
    box: Any, channel: str
) -> None:
    client = box.open()
    symbols = None if channel == "instrument" else ["BTC/USD"]
    client.subscribe(channel, symbols)
    client.send(CATALOGUE[f"req.unsub.{channel}"])
    assert timeless(client.texts[-1]) == timeless(CATALOGUE[f"ack.unsub.{channel}"])
    told = len(client.texts)
    box.step(100)
    box.core.set_pair("BTC/USD", status="post_only")
    box.poll()
    assert len(client.texts) == told


def test_each_symbol_is_answered_by_itself(box: Any) -> None:
    client = box.open()
    client.send(CATALOGUE["req.sub.ticker"])
    acks = [text for text in client.texts if '"method"' in text]
    assert timeless(acks[0]) == timeless(CATALOGUE["ack.sub.ticker"])
    assert [loads(text)["result"]["symbol"] for text in acks] == ["BTC/USD", "ETH/USD"]
    assert len({re.search('"time_in":"([^"]+)"', text)[1] for text in acks}) == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("request_text", "answer_id"),
    [
        ("not json", "err.malformed"),
        ("[1]", "err.malformed"),
        ('{"method":7}', "err.malformed"),
        (
            '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]},"req_id":"31"}',
            "err.malformed",
        ),
        ('{"method":"ping","params":null,"req_id":31}', "err.ping_params"),
        ('{"method":"sing","req_id":31}', "err.unsupported_event"),
        (
            '{"method":"subscribe","channel":"book","symbol":["ETH/USDC"],"req_id":31}',
            "err.field",
        ),
        ('{"method":"subscribe","params":{"channel":"books","symbol":["BTC/USD"]},"req_id":31}', "err.name"),
        (
            '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":50},"req_id":31}',
            "err.depth",
        ),
        (
            '{"method":"subscribe","params":{"channel":"book","symbol":["XBT/USDT"]},"req_id":31}',
            "err.pair_not_supported",
        ),
        (
            '{"method":"subscribe","params":{"channel":"book","symbol":["UNKNOWN"]},"req_id":31}',
            "err.pair_format",
        ),
        (
            '{"method":"unsubscribe","params":{"channel":"book","symbol":["BTC/USD"]},"req_id":31}',
            "err.subscription_not_found",
        ),
        ('{"method":"subscribe","params":{"channel":"status"},"req_id":31}', "err.symbol_not_found"),
    ],
)
def test_refusals_have_the_recorded_bytes_and_the_session_goes_on(
    box: Any, request_text: str, answer_id: str
) -> None:
    client = box.open()
    client.send(request_text)
    assert timeless(client.texts[1]) == timeless(CATALOGUE[answer_id])
    client.subscribe("book", ["BTC/USD"])
    assert client.messages("book")


def test_a_second_subscription_is_refused_whatever_its_parameter(box: Any) -> None:
    client = box.open()
    client.subscribe("book", ["BTC/USD"], depth=10)
    client.subscribe("ohlc", ["BTC/USD"], interval=1)
    for depth in (10, 25):
        client.ask(
            {
                "method": "subscribe",
                "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": depth},
                "req_id": 31,
            }
        )
        assert timeless(client.texts[-1]) == timeless(CATALOGUE["err.already_subscribed"])
    client.ask(
        {
            "method": "subscribe",
            "params": {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5},
            "req_id": 31,
        }
    )
    assert timeless(client.texts[-1]) == timeless(CATALOGUE["err.ohlc_second_interval"])


def test_unsubscribing_needs_the_parameter(box: Any) -> None:
    client = box.open()
    client.subscribe("book", ["BTC/USD"], depth=25)
    (answer,) = client.ask({"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}})
    assert (answer["method"], answer["error"], answer["symbol"]) == (
        "subscribe",
        "Subscription Not Found",
        "BTC/USD",
    )


def test_one_bad_symbol_harms_no_other(box: Any) -> None:
    client = box.open()
    answers = client.subscribe("trade", ["BTC/USD", "XBT/USD", "ETH/USD"])
    assert [answer.get("error") for answer in answers] == [None, "Currency pair not supported XBT/USD", None]


def test_unknown_params_are_named(box: Any) -> None:
    (answer,) = box.open().subscribe("trade", ["BTC/USD"], depth=10)
    assert answer["error"] == "Unsupported field: 'depth' for the given msg type: subscribe"


def test_heartbeats_come_every_second_from_the_first_subscription_on(make_box: Any) -> None:
    box = make_box(rate=30)
    client = box.open()
    box.run(5)
    assert len(client.texts) == 1, "no heartbeat without a subscription"
    client.subscribe("book", ["BTC/USD"])
    box.run(10)
    assert client.texts.count('{"channel":"heartbeat"}') == 10
    assert len(client.messages("book")) > 50, "and it keeps coming on a busy feed"


def test_a_session_without_subscription_is_closed_after_a_minute_of_silence(box: Any) -> None:
    silent, talking, subscribed = box.open(), box.open(), box.open()
    subscribed.subscribe("book", ["BTC/USD"])
    box.run(50)
    talking.ask({"method": "ping"})
    box.run(12)
    assert silent.line.ending == "fin"
    assert silent.frames[-1] == (0x88, b"\x03\xe8")
    assert talking.line.ending is subscribed.line.ending is None


def test_status_changes_are_told_to_everyone_without_connection_id(box: Any) -> None:
    client = box.open()
    box.core.set_system_status("post_only")
    box.poll()
    assert client.texts[-1] == CATALOGUE["status.post_only"]
    assert box.rest("SystemStatus")["result"]["status"] == "post_only"


def test_nothing_happens_in_maintenance(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=100)
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    box.core.set_system_status("maintenance")
    box.run(3)
    assert len(client.messages("book")) == 1
    box.core.set_system_status("online")
    box.run(1)
    assert len(client.messages("book")) > 30


def test_what_a_long_sleep_leaves_undone_is_not_caught_up(make_box: Any) -> None:
    box = make_box(["BTC/USD"], rate=100)
    client = box.open()
    client.subscribe("book", ["BTC/USD"])
    box.clock.sleep(3600)
    box.core.advance(steps_max=50)
    box.poll()
    assert 10 < len(client.messages("book")) <= 51
    assert box.core.market("BTC/USD").next_step_ns > box.clock.time_ns


def test_the_instrument_snapshot_lists_all_recorded_pairs(make_box: Any) -> None:
    client = make_box("all").open()
    client.subscribe("instrument")
    (message,) = client.messages("instrument")
    assert (len(message["data"]["pairs"]), len(message["data"]["assets"])) == (683, 296)
    keys = list(loads(CATALOGUE["instrument.snapshot.shortest"])["data"]["pairs"][0])
    (btc,) = [pair for pair in message["data"]["pairs"] if pair["symbol"] == "BTC/USD"]
    assert list(btc) == keys
    assert '"qty_increment":1e-08' in client.texts[-1]


def test_trades_are_consecutive_and_share_a_stamp_with_their_taker(box: Any) -> None:
    client = box.open()
    client.subscribe("trade", ["BTC/USD"], snapshot=True)
    box.step(600)
    snapshot, *updates = client.messages("trade")
    assert len(snapshot["data"]) == 50
    assert list(snapshot["data"][0]) == list(loads(CATALOGUE["trade.snapshot"])["data"][0])
    ids = [trade["trade_id"] for message in (snapshot, *updates) for trade in message["data"]]
    assert len(ids) > 80
    assert all(after == before + 1 for before, after in pairwise(ids))
    assert ids[-1] == box.core.market("BTC/USD").trades[-1].trade_id
    for message in updates:
        assert len({(trade["timestamp"], trade["side"], trade["ord_type"]) for trade in message["data"]}) == 1
    assert any(len(message["data"]) > 1 for message in updates)


def test_a_trade_subscription_brings_no_snapshot_unless_asked(box: Any) -> None:
    client = box.open()
    (ack,) = client.subscribe("trade", ["BTC/USD"])
    assert ack["result"]["snapshot"] is False


def test_tickers_follow_trades_or_the_best_prices(box: Any) -> None:
    trades, best = box.open(), box.open()
    trades.subscribe("ticker", ["BTC/USD"])
    best.subscribe("ticker", ["BTC/USD"], event_trigger="bbo")
    trades.subscribe("trade", ["BTC/USD"])
    best.subscribe("book", ["BTC/USD"])
    box.step(400)
    assert len(trades.messages("ticker")) == 1 + len(trades.messages("trade"))
    quotes = [
        tuple(message["data"][0][key] for key in ("bid", "bid_qty", "ask", "ask_qty"))
        for message in best.messages("ticker")
    ]
    assert len(quotes) > 20
    assert all(before != after for before, after in pairwise(quotes))
    snapshot = trades.messages("ticker")[0]["data"][0]
    assert list(snapshot) == list(loads(CATALOGUE["ticker.snapshot"])["data"][0])


def test_candles_and_ticker_are_what_the_trades_say(box: Any) -> None:
    client = box.open()
    client.subscribe("trade", ["BTC/USD"])
    client.subscribe("ticker", ["BTC/USD"])
    client.subscribe("ohlc", ["BTC/USD"], interval=1)
    box.step(300)
    market = box.core.market("BTC/USD")
    candle = client.messages("ohlc")[-1]["data"][0]
    begin = market.candles[1].running.begin_ns
    inside = [trade for trade in market.trades if trade.time_ns >= begin]
    assert candle["open"] == inside[0].price
    assert candle["close"] == inside[-1].price
    assert candle["high"] == max(trade.price for trade in inside)
    assert candle["low"] == min(trade.price for trade in inside)
    assert candle["trades"] == len(inside)
    assert candle["volume"] == sum(trade.qty for trade in inside)
    assert candle["interval_begin"].endswith(".000000000Z")
    ticker = client.messages("ticker")[-1]["data"][0]
    everything = list(market.trades)
    assert ticker["volume"] == sum(trade.qty for trade in everything)
    assert ticker["trades"] == len(everything)
    assert (ticker["low"], ticker["high"]) == (
        min(trade.price for trade in everything),
        max(trade.price for trade in everything),
    )
    assert ticker["last"] == everything[-1].price
    assert ticker["change"] == everything[-1].price - everything[0].price
    cost = sum(trade.price * trade.qty for trade in everything)
    assert abs(ticker["vwap"] - cost / ticker["volume"]) <= market.pair.price_increment / 2


def test_candles_have_the_recorded_form(box: Any) -> None:
    client = box.open()
    client.subscribe("ohlc", ["BTC/USD"], interval=1)
    (snapshot,) = client.messages("ohlc")
    recorded = loads(CATALOGUE["ohlc.snapshot"])
    assert list(snapshot) == list(recorded)
    assert list(snapshot["data"][0]) == list(recorded["data"][0])
    assert len(snapshot["timestamp"]) == len(recorded["timestamp"])
    assert 1 < len(snapshot["data"]) <= 13
    begins = [row["interval_begin"] for row in snapshot["data"]]
    assert begins == sorted(set(begins))
    assert snapshot["data"][0]["timestamp"][:16] == begins[1][:16], (
        "the row's stamp is the end of its interval"
    )


def test_figures_older_than_a_day_drop_out(box: Any) -> None:
    market = box.core.market("BTC/USD")
    before = market.trades[-1].price
    box.clock.sleep(24 * 3600 + 60)
    market.submit("buy", market.pair.qty_min, None, box.clock.now_ns())
    ticker = market.ticker()
    assert (ticker.trades, ticker.volume) == (1, market.pair.qty_min)
    assert ticker.low == ticker.high == ticker.last
    assert ticker.change == ticker.last - before


def test_a_changed_pair_is_told_and_its_book_goes_on_with_the_new_precision(box: Any) -> None:
    client = box.open()
    client.subscribe("instrument")
    client.subscribe("book", ["BTC/USD"])
    box.core.set_pair("BTC/USD", price_precision=2)
    box.step(30)
    update = client.messages("instrument")[-1]
    assert update["data"]["pairs"][0]["price_precision"] == 2
    assert update["data"]["assets"] == []
    rows = client.messages("book")[-1]["data"][0]
    assert (rows["bids"] + rows["asks"])[0]["price"].as_tuple().exponent == -2
    box.core.market("BTC/USD").engine._check()


def test_the_snapshot_can_come_a_while_after_the_acknowledgement(make_box: Any) -> None:
    box = make_box(["BTC/USD"], snapshot_delay_ms=100, rate=200)
    client = box.open()
    (ack,) = client.subscribe("book", ["BTC/USD"])
    box.run(0.09)
    assert not client.messages("book"), "and no update precedes it"
    box.run(0.5)
    assert client.messages("book")[0]["type"] == "snapshot"
    assert len(client.messages("book")) > 10
    assert ack["success"] is True
