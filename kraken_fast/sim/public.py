"""The public endpoints: what anybody may ask about assets, pairs and markets.

Answers are keyed by the pair's id whatever name was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from .candles import CANDLES_MAX, INTERVALS
from .instruments import Pair, asset_altname, asset_id
from .params import plain_decimal
from .public_rows import (
    VENUE,
    asset_row,
    candle_row,
    depth_rows,
    described,
    gapless,
    grouped,
    no_ticker_row,
    pair_row,
    post_trade_row,
    pre_trade_rows,
    ticker_row,
    trade_row,
)
from .refusals import RestError
from .rows import long_price
from .texts import NS_PER_S, rfc3339

if TYPE_CHECKING:
    from .core import ExchangeCore

DEPTH_MAX = 500
TRADES_PER_CALL_MAX = 1000
GROUPED_DEPTHS = (10, 25, 100, 250, 1000)
GROUPINGS = (1, 5, 10, 25, 50, 100, 250, 500, 1000)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_INFO_KEYS = {
    "info": None,
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_level"),
}


Endpoint = Callable[[Mapping[str, str]], Any]


class PublicApi:
    """The public endpoints of one exchange.

    Args:
        core: the exchange.
    """

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self.endpoints: dict[str, Endpoint] = {
            "Time": self._time,
            "SystemStatus": self._system_status,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "OHLC": self._ohlc,
            "Trades": self._trades,
            "Spread": self._spread,
            "GroupedBook": self._grouped_book,
            "PreTrade": self._pre_trade,
            "PostTrade": self._post_trade,
            "MaintenanceSchedule": lambda _: {"events": []},
        }

    def _time(self, _: Mapping[str, str]) -> Any:
        seconds = self._core.now_ns() // NS_PER_S
        now = datetime.fromtimestamp(seconds, UTC)
        date = f"{_DAYS[now.weekday()]}, {now.day:2d} {_MONTHS[now.month - 1]} {now:%y %H:%M:%S} +0000"
        return {"unixtime": seconds, "rfc1123": date}

    def _system_status(self, _: Mapping[str, str]) -> Any:
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
        return {name if modern else asset_id(name): asset_row(listed[name]) for name in chosen}

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
            row = pair_row(pair, modern)
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
            key: ticker_row(self._core.market(pair.symbol)) if pair.symbol in opened else no_ticker_row(pair)
            for key, pair in pairs
        }

    def _depth(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        count = _integer(params, "count", 100)
        if not 1 <= count <= DEPTH_MAX:
            raise RestError("EGeneral:Invalid arguments")
        market = self._core.market(pair.symbol)
        sides = (("asks", market.engine.asks), ("bids", market.engine.bids))
        return {key: {name: depth_rows(side, count, market) for name, side in sides}}

    def _ohlc(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        interval = _integer(params, "interval", 1)
        if interval not in INTERVALS:
            raise RestError("EGeneral:Invalid arguments")
        since_ns = _integer(params, "since", 0) * NS_PER_S
        market = self._core.market(pair.symbol)
        candles = list(gapless(market.candles[interval], self._core.now_ns()))[-CANDLES_MAX:]
        last_s = candles[-2 if len(candles) > 1 else -1].begin_ns // NS_PER_S
        rows = [candle_row(candle, pair) for candle in candles if candle.begin_ns >= since_ns]
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
        return {key: [trade_row(trade, pair) for trade in chosen], "last": str(last_ns)}

    def _spread(self, params: Mapping[str, str]) -> Any:
        key, pair = self._pair(params)
        since_s = _integer(params, "since", 0)
        rows = [
            [time_ns // NS_PER_S, long_price(quote.bid, pair), long_price(quote.ask, pair)]
            for time_ns, quote in self._core.market(pair.symbol).quotes
            if time_ns // NS_PER_S >= since_s
        ]
        return {key: rows, "last": rows[-1][0] if rows else since_s}

    def _grouped_book(self, params: Mapping[str, str]) -> Any:
        _, pair = self._pair(params)
        depth, grouping = _integer(params, "depth", 10), _integer(params, "grouping", 1)
        if depth not in GROUPED_DEPTHS or grouping not in GROUPINGS:
            raise RestError("EGeneral:Invalid arguments")
        engine = self._core.market(pair.symbol).engine
        return {
            "pair": pair.symbol,
            "grouping": grouping,
            "bids": grouped(engine.bids, depth, grouping * pair.price_increment, pair),
            "asks": grouped(engine.asks, depth, grouping * pair.price_increment, pair),
        }

    def _pre_trade(self, params: Mapping[str, str]) -> Any:
        pair = self._symbol(params)
        market = self._core.market(pair.symbol)
        return {
            "symbol": pair.symbol,
            **described(pair),
            "venue": VENUE,
            "system": "CLOB",
            "bids": pre_trade_rows(market.engine.bids, market),
            "asks": pre_trade_rows(market.engine.asks, market),
        }

    def _post_trade(self, params: Mapping[str, str]) -> Any:
        count = _integer(params, "count", TRADES_PER_CALL_MAX)
        if not 1 <= count <= TRADES_PER_CALL_MAX:
            raise RestError("EGeneral:Invalid arguments")
        after_ns, until_ns = _iso_ns(params, "from_ts"), _iso_ns(params, "to_ts")
        symbols = [self._symbol(params).symbol] if params.get("symbol") else list(self._core.opened)
        found = sorted(
            (trade.time_ns, symbol, trade)
            for symbol in symbols
            for trade in self._core.market(symbol).trades
            if (after_ns is None or trade.time_ns > after_ns)
            and (until_ns is None or trade.time_ns <= until_ns)
        )
        # Without a beginning the newest are given, with one the first after it: so a cursor walks on.
        found = found[-count:] if after_ns is None else found[:count]
        pairs = self._core.listing.pairs
        rows = [post_trade_row(trade, pairs[symbol]) for _, symbol, trade in found]
        last_ts = rows[-1]["trade_ts"] if rows else params.get("from_ts") or rfc3339(self._core.now_ns(), 9)
        return {"last_ts": last_ts, "count": len(rows), "trades": rows}

    def _symbol(self, params: Mapping[str, str]) -> Pair:
        pair = self._core.listing.named(params.get("symbol") or "")
        if pair is None:
            raise RestError("EQuery:Unknown asset pair")
        return pair

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
    since = plain_decimal(params["since"], "")
    return int(since * NS_PER_S if since < 10_000_000_000 else since)


def _key(pair: Pair, modern: bool) -> str:
    return pair.symbol if modern else pair.rest_id


def _iso_ns(params: Mapping[str, str], name: str) -> int | None:
    """Read a time such as 2026-01-01T00:00:00.123456789Z, None if it is missing."""
    text = params.get(name)
    if not text:
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(f"{whole}+00:00")
        rest_ns = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    except ValueError:
        raise RestError("EGeneral:Invalid arguments") from None
    return int(moment.timestamp()) * NS_PER_S + rest_ns
