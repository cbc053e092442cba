"""The public REST API without I/O: a request in, a response out.

Kraken answers refusals with status 200 and an error list. Answers are keyed by the pair's id whatever name
was asked for; prices come with more decimals than the pair has, Depth quantities with three, Ticker sizes in
whole lots. Those oddities are the real exchange's and are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .candles import CANDLES_MAX, INTERVALS, Candle, CandleSeries, Trade
from .engine import BookSide
from .fees import SCHEDULE
from .instruments import Asset, Pair, asset_altname, asset_id
from .market import Market
from .refusals import RestError
from .rows import long_price
from .texts import NS_PER_S, padded, rfc3339

if TYPE_CHECKING:
    from .core import ExchangeCore

DEPTH_MAX = 500
TRADES_PER_CALL_MAX = 1000

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_INFO_KEYS = {
    "info": None,
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_level"),
}


@dataclass(frozen=True, slots=True)
class Response:
    """What REST answers."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class RestApi:
    """The public endpoints of one exchange.

    Args:
        core: the exchange.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._public: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "Time": self._time,
            "SystemStatus": self._system_status,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "OHLC": self._ohlc,
            "Trades": self._trades,
            "Spread": self._spread,
        }

    def handle(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str], address: str
    ) -> Response:
        """Answer one request.

        Args:
            method: of HTTP. Public endpoints are read with GET; POST has not worked on them since 2024.
            path: such as /0/public/Time.
            query: of the URL, undecoded.
            body: of a private call.
            headers: by lower-case name.
            address: of the caller.
        """
        try:
            if path.startswith("/0/private/"):
                result = self._private(method, path, body, headers, address)
            else:
                result = self._public_result(method, path, query)
        except RestError as error:
            return _json({"error": [str(error)]})
        return _json({"error": [], "result": result})

    def _private(self, method: str, path: str, body: bytes, headers: Mapping[str, str], address: str) -> Any:
        if method != "POST":
            raise RestError("EGeneral:Unknown method")
        return self._core.private.handle(path, body, headers, address)

    def _public_result(self, method: str, path: str, query: str) -> Any:
        prefix, _, name = path.rpartition("/")
        endpoint = self._public.get(name)
        if prefix != "/0/public" or endpoint is None or method != "GET":
            raise RestError("EGeneral:Unknown method")
        return endpoint(dict(parse_qsl(query, keep_blank_values=True)))

    def _time(self, params: Mapping[str, str]) -> Any:
        seconds = self._core.now_ns() // NS_PER_S
        now = datetime.fromtimestamp(seconds, UTC)
        date = f"{_DAYS[now.weekday()]}, {now.day:2d} {_MONTHS[now.month - 1]} {now:%y %H:%M:%S} +0000"
        return {"unixtime": seconds, "rfc1123": date}

    def _system_status(self, params: Mapping[str, str]) -> Any:
        return {
            "status": self._core.system_status,
            "timestamp": rfc3339(self._core.now_ns(), 0),
            "upcoming_maintenance": [],
            "emergency": [],
        }

    def _assets(self, params: Mapping[str, str]) -> Any:
        if _tokenized(params):
            return {}
        listed = self._core.listing.assets
        names = {alias: asset for asset in listed for alias in (asset, asset_altname(asset), asset_id(asset))}
        wanted = _split(params.get("asset"))
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise RestError("EQuery:Unknown asset")
        chosen = [names[name] for name in wanted] or list(listed)
        modern = _modern(params)
        return {name if modern else asset_id(name): _asset(listed[name]) for name in chosen}

    def _asset_pairs(self, params: Mapping[str, str]) -> Any:
        if _tokenized(params):
            return {}
        info = params.get("info", "info")
        if info not in _INFO_KEYS:
            raise RestError("EGeneral:Invalid arguments")
        modern = _modern(params)
        result = {}
        listed = self._core.listing.pairs.values()
        for key, pair in self._pairs(params) or [(_key(pair, modern), pair) for pair in listed]:
            row = _pair(pair, modern)
            keys = _INFO_KEYS[info]
            if keys is not None:
                # With `info=margin` the second key has another name than in the whole row.
                row["margin_level"] = row["margin_stop"]
                row = {key: row[key] for key in keys}
            result[key] = row
        return result

    def _ticker(self, params: Mapping[str, str]) -> Any:
        if _tokenized(params):
            return {}
        modern = _modern(params)
        tradable = self._core.tradable.values()
        pairs = self._pairs(params) or [(_key(pair, modern), pair) for pair in tradable]
        # Unless named, a market that nobody has opened stays closed and shows zeros, as one without a book.
        opened = self._core.opened if "pair" not in params else self._core.listing.pairs
        return {
            key: _ticker(self._core.market(pair.symbol)) if pair.symbol in opened else _no_ticker(pair)
            for key, pair in pairs
        }

    def _depth(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        count = _integer(params, "count", 100)
        if not 1 <= count <= DEPTH_MAX:
            raise RestError("EGeneral:Invalid arguments")
        market = self._core.market(pair.symbol)
        sides = (("asks", market.engine.asks), ("bids", market.engine.bids))
        return {key: {name: _levels(side, count, market) for name, side in sides}}

    def _ohlc(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        interval = _integer(params, "interval", 1)
        if interval not in INTERVALS:
            raise RestError("EGeneral:Invalid arguments")
        since_ns = _integer(params, "since", 0) * NS_PER_S
        market = self._core.market(pair.symbol)
        candles = list(_gapless(market.candles[interval], self._core.now_ns()))[-CANDLES_MAX:]
        last_s = candles[-2 if len(candles) > 1 else -1].begin_ns // NS_PER_S
        rows = [_candle(candle, pair) for candle in candles if candle.begin_ns >= since_ns]
        return {key: rows, "last": last_s}

    def _trades(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        count = _integer(params, "count", TRADES_PER_CALL_MAX)
        if not 1 <= count <= TRADES_PER_CALL_MAX:
            raise RestError("EGeneral:Invalid arguments")
        trades = self._core.market(pair.symbol).trades
        if "since" not in params:
            chosen = list(trades)[-count:]
            since_ns = 0
        else:
            since_ns = _since_ns(params)
            chosen = list(islice((trade for trade in trades if trade.time_ns > since_ns), count))
        last_ns = chosen[-1].time_ns if chosen else since_ns
        return {key: [_trade(trade, pair) for trade in chosen], "last": str(last_ns)}

    def _spread(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        since_s = _integer(params, "since", 0)
        rows = [
            [time_ns // NS_PER_S, long_price(quote.bid, pair), long_price(quote.ask, pair)]
            for time_ns, quote in self._core.market(pair.symbol).quotes
            if time_ns // NS_PER_S >= since_s
        ]
        return {key: rows, "last": rows[-1][0] if rows else since_s}

    def _pair(self, params: Mapping[str, str]) -> tuple[str, Pair]:
        pairs = self._pairs(params)
        if len(pairs) != 1:
            raise RestError("EGeneral:Invalid arguments")
        return pairs[0]

    def _pairs(self, params: Mapping[str, str]) -> list[tuple[str, Pair]]:
        """Find the pairs asked for, each with the key that answers it.

        The key is the pair's id whatever name was used, but a name with a slash answers as asked:
        python-kraken-sdk 3.5.1 looks up `BTC/USD` in the answer to `pair=BTC/USD`.
        """
        found = []
        for name in _split(params.get("pair")):
            pair = self._core.listing.named(name)
            if pair is None:
                raise RestError("EQuery:Unknown asset pair")
            found.append((name if "/" in name else _key(pair, _modern(params)), pair))
        return found


def _json(answer: Mapping[str, Any]) -> Response:
    return Response(json.dumps(answer, separators=(",", ":")).encode())


def _split(names: str | None) -> list[str]:
    return [name for name in (names or "").split(",") if name]


def _modern(params: Mapping[str, str]) -> bool:
    return params.get("assetVersion") == "1"


def _tokenized(params: Mapping[str, str]) -> bool:
    """Tell whether only tokenized assets are asked for, of which none was recorded."""
    return "tokenized_asset" in (params.get("aclass"), params.get("aclass_base"), params.get("asset_class"))


def _integer(params: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(params.get(name, default))
    except ValueError:
        raise RestError("EGeneral:Invalid arguments") from None


def _since_ns(params: Mapping[str, str]) -> int:
    """Read a `since` of Trades: nanoseconds, but seconds are understood too."""
    try:
        since = Decimal(params["since"])
    except ArithmeticError:
        raise RestError("EGeneral:Invalid arguments") from None
    return int(since * NS_PER_S if since < 10_000_000_000 else since)


def _key(pair: Pair, modern: bool) -> str:
    return pair.symbol if modern else pair.rest_id


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _number(number: Decimal) -> int | float:
    """Give a short decimal as a JSON number; it is written with the same digits."""
    return int(number) if number == number.to_integral_value() else float(number)


def _asset(asset: Asset) -> dict[str, Any]:
    row: dict[str, Any] = {
        "aclass": "currency",
        "altname": asset_altname(asset.id),
        "decimals": asset.precision,
        "display_decimals": asset.precision_display,
    }
    if asset.collateral_value:
        row["collateral_value"] = _number(asset.collateral_value)
    row["status"] = asset.status
    if asset.margin_rate is not None:
        row["margin_rate"] = _plain(asset.margin_rate)
    return row


def _fees(*, maker: bool) -> list[list[int | float]]:
    """Give the schedule as JSON numbers: volume and percent."""
    return [[_number(tier.volume), _number(tier.percent(maker=maker))] for tier in SCHEDULE]


def _pair(pair: Pair, modern: bool) -> dict[str, Any]:
    leverage = [] if pair.margin is None else list(range(2, int(1 / pair.margin.initial) + 1))
    quote = pair.quote if modern else asset_id(pair.quote)
    row: dict[str, Any] = {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": pair.base if modern else asset_id(pair.base),
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit" if pair.qty_precision == 8 else f"unit{pair.qty_precision}",
        "cost_decimals": pair.cost_precision,
        "pair_decimals": pair.price_precision,
        "lot_decimals": pair.qty_precision,
        "lot_multiplier": 1,
        "leverage_buy": leverage,
        "leverage_sell": leverage,
        "fees": _fees(maker=False),
        "fees_maker": _fees(maker=True),
        "fee_volume_currency": "USD" if modern else "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": _plain(pair.qty_min),
        "costmin": _plain(pair.cost_min),
        "tick_size": format(pair.price_increment, "f"),
        "status": pair.status,
        "execution_venue": "international",
    }
    if pair.margin is not None:
        row["long_position_limit"] = pair.margin.position_limit_long
        row["short_position_limit"] = pair.margin.position_limit_short
    return row


def _ticker(market: Market) -> dict[str, Any]:
    pair, ticker, quote = market.pair, market.ticker(), market.quote()
    last = market.trades[-1]
    today = market.candles[1440].running

    def price(number: Decimal) -> str:
        return long_price(number, pair)

    def lots(best: Decimal, qty: Decimal) -> list[str]:
        # Whole lots, never none where there is a price: best sizes cannot be read from here.
        count = max(1, int(qty)) if best else 0
        return [price(best), str(count), f"{count}.000"]

    return {
        "a": lots(quote.ask, quote.ask_qty),
        "b": lots(quote.bid, quote.bid_qty),
        "c": [price(last.price), padded(last.qty, pair.qty_precision)],
        "v": [padded(today.volume, pair.qty_precision), padded(ticker.volume, pair.qty_precision)],
        "p": [price(today.vwap), price(ticker.vwap)],
        "t": [today.trades, ticker.trades],
        "l": [price(today.low), price(ticker.low)],
        "h": [price(today.high), price(ticker.high)],
        "o": price(today.open),
    }


def _no_ticker(pair: Pair) -> dict[str, Any]:
    price, qty = long_price(Decimal(0), pair), padded(Decimal(0), pair.qty_precision)
    best = [price, "0", "0.000"]
    two = [price, price]
    return {
        "a": best,
        "b": best,
        "c": [price, qty],
        "v": [qty, qty],
        "p": two,
        "t": [0, 0],
        "l": two,
        "h": two,
        "o": price,
    }


def _levels(side: BookSide, count: int, market: Market) -> list[list[Any]]:
    seconds = market.changed_ns // NS_PER_S
    return [
        [long_price(level.price, market.pair), padded(level.qty, 3), seconds] for level in side.best(count)
    ]


def _gapless(series: CandleSeries, now_ns: int) -> Iterable[Candle]:
    """Give every interval from the first trade until now; those without trades repeat the last close."""
    span_ns = series.interval * 60 * NS_PER_S
    due_ns, close = 0, Decimal(0)
    for candle in [*series, None]:
        end_ns = now_ns + 1 if candle is None else candle.begin_ns
        while due_ns and due_ns < end_ns:
            yield Candle(due_ns, close, close, close, close)
            due_ns += span_ns
        if candle is not None:
            yield candle
            due_ns, close = candle.begin_ns + span_ns, candle.close


def _candle(candle: Candle, pair: Pair) -> list[Any]:
    prices = (candle.open, candle.high, candle.low, candle.close, candle.vwap)
    return [
        candle.begin_ns // NS_PER_S,
        *(padded(price, pair.price_precision) for price in prices),
        padded(candle.volume, pair.qty_precision),
        candle.trades,
    ]


def _trade(trade: Trade, pair: Pair) -> list[Any]:
    seconds, rest_ns = divmod(trade.time_ns, NS_PER_S)
    return [
        long_price(trade.price, pair),
        padded(trade.qty, pair.qty_precision),
        float(f"{seconds}.{rest_ns // 100:07d}"),
        "b" if trade.side == "buy" else "s",
        "m" if trade.ord_type == "market" else "l",
        "",
        trade.trade_id,
    ]
