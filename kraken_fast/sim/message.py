"""One message on its way to a client, and the texts of the public channels."""

from __future__ import annotations

from collections.abc import Iterable

from .candles import Candle, CandleSeries, Trade
from .frames import OP_TEXT, encode_frame
from .instruments import Pair
from .market import TickerTruth
from .texts import padded, rfc3339

HEARTBEAT_TEXT = '{"channel":"heartbeat"}'


class Message:
    """A text, and what faults ask about it. All its receivers share it, so it is framed only once."""

    __slots__ = ("_frame", "channel", "kind", "symbol", "text")

    def __init__(self, text: str, kind: str, channel: str = "", symbol: str = "") -> None:
        self.text = text
        self.kind = kind
        self.channel = channel
        self.symbol = symbol
        self._frame: bytes | None = None

    def __repr__(self) -> str:
        return f"Message({self.kind} {self.channel} {self.symbol}: {self.text[:120]})"

    @property
    def frame(self) -> bytes:
        """The message as one WebSocket frame."""
        if self._frame is None:
            self._frame = encode_frame(OP_TEXT, self.text.encode())
        return self._frame

    def with_text(self, text: str) -> Message:
        """Give the same message with another text."""
        return Message(text, self.kind, self.channel, self.symbol)


def ticker_text(kind: str, ticker: TickerTruth, pair: Pair) -> str:
    """Write a `ticker` message, in the order of keys seen since October 2026."""
    price, qty = pair.price_precision, pair.qty_precision
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{ticker.symbol}",'
        f'"bid":{padded(ticker.bid, price)},"bid_qty":{padded(ticker.bid_qty, qty)},'
        f'"ask":{padded(ticker.ask, price)},"ask_qty":{padded(ticker.ask_qty, qty)},'
        f'"last":{padded(ticker.last, price)},"volume":{padded(ticker.volume, qty)},'
        f'"vwap":{padded(ticker.vwap, price)},"low":{padded(ticker.low, price)},'
        f'"high":{padded(ticker.high, price)},"change":{padded(ticker.change, price)},'
        f'"change_pct":{padded(ticker.change_pct, 2)},"trades":{ticker.trades},'
        f'"timestamp":"{rfc3339(ticker.time_ns)}"}}]}}'
    )


def trade_text(kind: str, trades: Iterable[Trade], pair: Pair) -> str:
    """Write a `trade` message."""
    rows = ",".join(
        f'{{"symbol":"{pair.symbol}","side":"{trade.side}",'
        f'"price":{padded(trade.price, pair.price_precision)},'
        f'"qty":{padded(trade.qty, pair.qty_precision)},"ord_type":"{trade.ord_type}",'
        f'"trade_id":{trade.trade_id},"timestamp":"{rfc3339(trade.time_ns)}"}}'
        for trade in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def ohlc_text(kind: str, candles: Iterable[Candle], series: CandleSeries, pair: Pair, now_ns: int) -> str:
    """Write an `ohlc` message. A row's own `timestamp` is the end of its interval, whatever the docs say."""
    price, qty = pair.price_precision, pair.qty_precision
    rows = ",".join(
        f'{{"symbol":"{pair.symbol}","open":{padded(candle.open, price)},"high":{padded(candle.high, price)},'
        f'"low":{padded(candle.low, price)},"close":{padded(candle.close, price)},"trades":{candle.trades},'
        f'"volume":{padded(candle.volume, qty)},"vwap":{padded(candle.vwap, price)},'
        f'"interval_begin":"{rfc3339(candle.begin_ns, 9)}","interval":{series.interval},'
        f'"timestamp":"{rfc3339(series.end_ns(candle))}"}}'
        for candle in candles
    )
    return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{rfc3339(now_ns, 9)}","data":[{rows}]}}'


def status_text(system: str, connection_id: int | None) -> str:
    """Write a `status` message; one that is pushed when the state changes names no connection."""
    connection = "" if connection_id is None else f'"connection_id":{connection_id},'
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10",'
        f'"system":"{system}","api_version":"v2",{connection}"upcoming_maintenance":[],"emergency":[]}}]}}'
    )
