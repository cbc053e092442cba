"""Assets, pairs, books, candles and trades as public REST writes them.

Prices come with more decimals than the pair has, Depth quantities with three, Ticker sizes in whole lots.
Those oddities are the real exchange's and are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from .candles import Candle, CandleSeries, Trade
from .engine import BookSide
from .fees import SCHEDULE
from .ids import derived
from .instruments import Asset, Pair, asset_altname, asset_id
from .market import Market
from .rows import long_price
from .texts import NS_PER_S, padded, rfc3339

VENUE = "PGSL"
PRE_TRADE_LEVELS = 10

_NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ether",
    "SOL": "Solana",
    "DOGE": "Dogecoin",
    "USD": "US Dollars",
    "EUR": "Euro",
}


def asset_row(asset: Asset) -> dict[str, Any]:
    """Write an asset as Assets does."""
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


def pair_row(pair: Pair, modern: bool) -> dict[str, Any]:
    """Write a pair as AssetPairs does; `modern` names are those of WebSocket v2."""
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


def gapless(series: CandleSeries, now_ns: int) -> Iterable[Candle]:
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


def candle_row(candle: Candle, pair: Pair) -> list[Any]:
    """Write a candle as OHLC does."""
    prices = (candle.open, candle.high, candle.low, candle.close, candle.vwap)
    return [
        candle.begin_ns // NS_PER_S,
        *(padded(price, pair.price_precision) for price in prices),
        padded(candle.volume, pair.qty_precision),
        candle.trades,
    ]


def trade_row(trade: Trade, pair: Pair) -> list[Any]:
    """Write a trade as Trades does."""
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


def ticker_row(market: Market) -> dict[str, Any]:
    """Write the ticker of a market that has been opened."""
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


def no_ticker_row(pair: Pair) -> dict[str, Any]:
    """Write the ticker of a pair without a book: zeros, not nulls."""
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


def depth_rows(side: BookSide, count: int, market: Market) -> list[list[Any]]:
    """Write the best levels of a side as Depth does."""
    seconds = market.changed_ns // NS_PER_S
    return [
        [long_price(level.price, market.pair), padded(level.qty, 3), seconds] for level in side.best(count)
    ]


def grouped(side: BookSide, depth: int, step: Decimal, pair: Pair) -> list[dict[str, str]]:
    """Write a side in groups of prices: asks count at the upper end of their group, bids at the lower."""
    rounding = ROUND_CEILING if side.side == "sell" else ROUND_FLOOR
    groups: dict[Decimal, Decimal] = {}
    for level in side:
        price = (level.price / step).to_integral_value(rounding) * step
        if price not in groups and len(groups) == depth:
            break
        groups[price] = groups.get(price, Decimal(0)) + level.qty
    return [{"price": long_price(price, pair), "qty": padded(qty, 8)} for price, qty in groups.items()]


def described(pair: Pair) -> dict[str, str]:
    """Give what PreTrade and PostTrade say about a pair."""
    return {
        "description": f"{_NAMES.get(pair.base, pair.base)} / {_NAMES.get(pair.quote, pair.quote)}",
        "base_asset": pair.base,
        "base_notation": "UNIT",
        "quote_asset": pair.quote,
        "quote_notation": "MONE",
    }


def pre_trade_rows(side: BookSide, market: Market) -> list[dict[str, Any]]:
    """Write the ten best levels with the number of their orders and the time of the newest."""
    return [
        {
            "side": side.side.upper(),
            "price": padded(level.price, market.pair.price_precision),
            "qty": padded(level.qty, 8),
            "count": len(level.orders),
            "submission_ts": rfc3339(max(order.time_ns for order in level.orders.values())),
            "publication_ts": rfc3339(market.changed_ns),
        }
        for level in side.best(PRE_TRADE_LEVELS)
    ]


def post_trade_row(trade: Trade, pair: Pair) -> dict[str, str]:
    """Write a trade with nanoseconds; its id is a text that has nothing to do with the number."""
    time = rfc3339(trade.time_ns, 9)
    return {
        "trade_id": derived("T", pair.symbol, trade.trade_id),
        "price": padded(trade.price, pair.price_precision),
        "quantity": padded(trade.qty, 8),
        "symbol": pair.symbol,
        **described(pair),
        "trade_venue": VENUE,
        "trade_ts": time,
        "publication_venue": VENUE,
        "publication_ts": time,
    }


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _number(number: Decimal) -> int | float:
    """Give a short decimal as a JSON number; it is written with the same digits."""
    return int(number) if number == number.to_integral_value() else float(number)
