"""Public reads, and Level3, which is public data behind a key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...config import check_ohlc_interval
from ...errors import DecodeError, ExchangeError, UnknownSymbolError
from ..answers import (
    AssetInfo,
    CandlePage,
    ExchangeStatus,
    Level3Page,
    Maintenance,
    PairInfo,
    PostTrade,
    PreTrade,
    RestBook,
    RestCandle,
    RestLevel,
    RestTicker,
    RestTrade,
    ServerTime,
    SpreadPage,
    SpreadRow,
    TradePage,
)
from ..records import Names, listed, moment, number, read_record, text, whole
from ..sharing import Batcher
from .base import TypedCalls, parsed, the_pair

ALL_FROM = 100
"""From so many pairs on the ticker of all is asked for: one short address, and 0.1 MB compressed."""

_SIDES = {"b": "buy", "s": "sell"}
_TYPES = {"m": "market", "l": "limit"}

_LEVEL = (("price", number), ("qty", number), ("changed_ns", moment))
_SPREAD = (("exch_ns", moment), ("bid", number), ("ask", number))
_TRADE = (
    ("price", number),
    ("qty", number),
    ("exch_ns", moment),
    ("side", lambda value, _names: _SIDES[value]),
    ("ord_type", lambda value, _names: _TYPES.get(value, value)),
    ("misc", text),
    ("trade_id", whole),
)
_CANDLE = (
    ("begin_ns", moment),
    ("open", number),
    ("high", number),
    ("low", number),
    ("close", number),
    ("vwap", number),
    ("qty", number),
    ("trades", whole),
)


class MarketCalls(TypedCalls):
    """Public reads.

    `max_age_s` says how old a kept answer may be (None: 3 to 5 s, 0: none), `stale_s` how old if the call fails.
    """

    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        self._tickers: Batcher[str, RestTicker] = Batcher(
            self._fetch_tickers, window_s=self.settings.batch_window_s
        )

    async def fetch_time(self) -> ServerTime:
        """Fetch the exchange's clock. Source: rest.md section 7, Time."""
        return await self._read("Time", {}, lambda row, _: read_record(ServerTime, row, self.names))

    async def fetch_status(self, *, max_age_s: float | None = None) -> ExchangeStatus:
        """Fetch the state of the exchange. Source: rest.md section 13, SystemStatus."""
        return await self._read(
            "SystemStatus",
            {},
            lambda row, _: read_record(ExchangeStatus, row, self.names),
            max_age_s=max_age_s,
        )

    async def fetch_maintenance(self, *, max_age_s: float | None = None) -> tuple[Maintenance, ...]:
        """Fetch what is planned for the next seven days. Source: rest.md section 7, MaintenanceSchedule."""

        def parse(row: Any, _asked_ns: int) -> tuple[Maintenance, ...]:
            return tuple(read_record(Maintenance, each, self.names) for each in row["events"])

        return await self._read("MaintenanceSchedule", {}, parse, max_age_s=max_age_s)

    async def fetch_assets(
        self, *, assets: Iterable[str] | None = None, max_age_s: float | None = None
    ) -> tuple[AssetInfo, ...]:
        """Fetch assets, all if none are named. Source: rest.md section 5, Assets."""

        def parse(rows: Any, _asked_ns: int) -> tuple[AssetInfo, ...]:
            if not isinstance(rows, Mapping):
                raise DecodeError("Assets", 0, "", "not an object")
            self.names.add_assets(rows)
            return tuple(
                read_record(AssetInfo, row, self.names, asset=self.names.asset(key), asset_id=key)
                for key, row in rows.items()
            )

        wanted = None if assets is None else ",".join(map(self.names.asset_id, assets))
        return await self._read("Assets", {"asset": wanted}, parse, max_age_s=max_age_s)

    async def fetch_pairs(
        self, *, symbols: Iterable[str] | None = None, info: str | None = None, max_age_s: float | None = None
    ) -> tuple[PairInfo, ...]:
        """Fetch pairs and their rules, all if none are named.

        Args:
            symbols: such as BTC/USD.
            info: info, leverage, fees or margin: only a part of the members.
            max_age_s: see the class.

        Raises:
            UnknownSymbolError: nothing was sent.

        Source: rest.md section 6, AssetPairs.
        """
        names = await self.instruments()
        wanted = None if symbols is None else ",".join(map(names.pair_id, symbols))

        def parse(rows: Any, _asked_ns: int) -> tuple[PairInfo, ...]:
            if not isinstance(rows, Mapping):
                raise DecodeError("AssetPairs", 0, "", "not an object")
            return tuple(
                read_record(PairInfo, row, names, symbol=names.symbol_or_name(key), pair_id=key)
                for key, row in rows.items()
            )

        return await self._read("AssetPairs", {"pair": wanted, "info": info}, parse, max_age_s=max_age_s)

    async def fetch_ticker(
        self, *, symbol: str, max_age_s: float | None = None, stale_s: float = 0.0
    ) -> RestTicker:
        """Fetch one ticker. Those asked for within a few milliseconds of each other become one call.

        Source: rest.md sections 7 and 11, Ticker.
        """
        return (await self.fetch_tickers(symbols=[symbol], max_age_s=max_age_s, stale_s=stale_s))[0]

    async def fetch_tickers(
        self, *, symbols: Iterable[str] | None = None, max_age_s: float | None = None, stale_s: float = 0.0
    ) -> tuple[RestTicker, ...]:
        """Fetch tickers in the order asked for, or all; one call, however many.

        Raises:
            UnknownSymbolError: nothing was sent.
        """
        names = await self.instruments()
        wanted = names.symbols if symbols is None else names.symbols_of(symbols)
        age_s = self._ticker_age_s if max_age_s is None else max_age_s
        found = {name: self._shared.kept(("Ticker", name), age_s) for name in wanted}
        missing = [name for name in wanted if found[name] is None]
        if missing:
            try:
                found |= await self._tickers.get(missing)
            except Exception:
                found |= {name: self._shared.kept(("Ticker", name), stale_s) for name in missing}
                if None in (found[name] for name in wanted):
                    raise
        for name in wanted:
            if found[name] is None and symbols is not None:
                raise UnknownSymbolError(name)
        return tuple(ticker for name in wanted if (ticker := found[name]) is not None)

    @property
    def _ticker_age_s(self) -> float:
        return self.settings.cache_s.get("Ticker", 3.0)

    async def _fetch_tickers(self, wanted: tuple[str, ...]) -> dict[str, RestTicker]:
        names = await self.instruments()
        asked_ns = self.clock.monotonic_ns
        pair = ",".join(map(names.pair_id, wanted)) if len(wanted) < ALL_FROM else None
        try:
            answer = await self.call("Ticker", {"pair": pair})
        except ExchangeError as error:
            # One pair was taken off the list since: which, the answer does not tell.
            if error.code != "EQuery:Unknown asset pair" or len(wanted) == 1:
                raise
            answer = await self.call("Ticker")

        def parse(rows: Any) -> dict[str, RestTicker]:
            named = ((names.symbol_or_name(key), row) for key, row in rows.items())
            return {name: _ticker(name, row, asked_ns, names) for name, row in named}

        tickers = parsed("Ticker", {}, parse, answer)
        for name, ticker in tickers.items():
            self._shared.keep(("Ticker", name), ticker, asked_ns, self._ticker_age_s)
        return tickers

    async def fetch_candles(
        self, *, symbol: str, interval: int = 1, since_s: int | None = None, max_age_s: float | None = None
    ) -> CandlePage:
        """Fetch candles: 720 closed ones at most, and the running one. Older ones are not to be had.

        Args:
            symbol: such as BTC/USD.
            interval: minutes, of those that the exchange offers.
            since_s: those that begin later, seconds since epoch. Whether the one that begins then comes too, sources
                disagree: count on both.
            max_age_s: see the class.

        Source: rest.md section 7, OHLC.
        """
        params = {
            "pair": await self._pair_id(symbol),
            "interval": check_ohlc_interval(interval),
            "since": since_s,
        }
        name = await self._symbol(symbol)

        def parse(row: Any, _asked_ns: int) -> CandlePage:
            last_ns = moment(row.get("last", 0), self.names)
            rows = listed(RestCandle, the_pair(row, "OHLC"), _CANDLE, self.names)
            newest_ns = max((candle.begin_ns for candle in rows), default=0)
            # Named so that it holds in both forms that were seen: `last` is the newest closed one, or the running one.
            candles = tuple(
                RestCandle(**{**_fields(candle), "symbol": name, "closed": candle.begin_ns < newest_ns})
                for candle in rows
            )
            return CandlePage(symbol=name, candles=candles, last_ns=last_ns)

        return await self._read("OHLC", params, parse, max_age_s=max_age_s)

    async def fetch_depth(self, *, symbol: str, count: int = 100, max_age_s: float | None = None) -> RestBook:
        """Fetch a book of up to 500 levels a side. Quantities have three decimals only: see `fetch_grouped_book`.

        Source: rest.md section 7, Depth.
        """
        params = {"pair": await self._pair_id(symbol), "count": count}
        name = await self._symbol(symbol)

        def parse(row: Any, asked_ns: int) -> RestBook:
            sides = the_pair(row, "Depth")
            bids, asks = (listed(RestLevel, sides[side], _LEVEL, self.names) for side in ("bids", "asks"))
            return RestBook(symbol=name, bids=bids, asks=asks, recv_ns=asked_ns)

        return await self._read("Depth", params, parse, max_age_s=max_age_s)

    async def fetch_grouped_book(
        self, *, symbol: str, depth: int = 10, grouping: int = 1, max_age_s: float | None = None
    ) -> RestBook:
        """Fetch a book with whole quantities: depth 10, 25, 100, 250 or 1000; grouping 1 is the plain book.

        Source: rest.md section 7, GroupedBook.
        """
        name = await self._symbol(symbol)
        params = {"pair": name, "depth": depth, "grouping": grouping}

        def parse(row: Any, asked_ns: int) -> RestBook:
            bids, asks = (
                tuple(read_record(RestLevel, level, self.names) for level in row[side])
                for side in ("bids", "asks")
            )
            return RestBook(symbol=name, bids=bids, asks=asks, recv_ns=asked_ns)

        return await self._read("GroupedBook", params, parse, max_age_s=max_age_s)

    async def fetch_level3(self, *, symbol: str, depth: int = 100) -> Level3Page:
        """Fetch a book order by order; depth 0 (all), 10, 25, 100, 250 or 1000. Needs query-open-trades.

        Source: rest.md section 7, Level3.
        """
        params = {"pair": await self._symbol(symbol), "depth": depth}
        return await self._ask("Level3", params, lambda row: read_record(Level3Page, row, self.names))

    async def fetch_trades(
        self,
        *,
        symbol: str,
        since_ns: int | None = None,
        count: int | None = None,
        max_age_s: float | None = None,
    ) -> TradePage:
        """Fetch trades after a time, oldest first, 1000 at most; without one the newest. `iter_trades` pages.

        Source: rest.md section 7, Trades.
        """
        params = {"pair": await self._pair_id(symbol), "since": since_ns, "count": count}
        name = await self._symbol(symbol)

        def parse(row: Any, _asked_ns: int) -> TradePage:
            trades = listed(RestTrade, the_pair(row, "Trades"), _TRADE, self.names)
            named = tuple(RestTrade(**{**_fields(trade), "symbol": name}) for trade in trades)
            return TradePage(symbol=name, trades=named, last_ns=whole(row["last"], self.names))

        return await self._read("Trades", params, parse, max_age_s=max_age_s)

    async def fetch_spread(
        self, *, symbol: str, since_s: int | None = None, max_age_s: float | None = None
    ) -> SpreadPage:
        """Fetch best prices of the last while, about 200. Source: rest.md section 7, Spread."""
        params = {"pair": await self._pair_id(symbol), "since": since_s}
        name = await self._symbol(symbol)

        def parse(row: Any, _asked_ns: int) -> SpreadPage:
            rows = listed(SpreadRow, the_pair(row, "Spread"), _SPREAD, self.names)
            return SpreadPage(symbol=name, rows=rows, last_ns=moment(row["last"], self.names))

        return await self._read("Spread", params, parse, max_age_s=max_age_s)

    async def fetch_pre_trade(self, *, symbol: str, max_age_s: float | None = None) -> PreTrade:
        """Fetch the ten best levels with their counts of orders. Source: rest.md section 7, PreTrade."""
        params = {"symbol": await self._symbol(symbol)}
        return await self._read(
            "PreTrade", params, lambda row, _: read_record(PreTrade, row, self.names), max_age_s=max_age_s
        )

    async def fetch_post_trade(
        self,
        *,
        symbol: str | None = None,
        from_ts: str | None = None,
        to_ts: str | None = None,
        count: int | None = None,
        max_age_s: float | None = None,
    ) -> PostTrade:
        """Fetch published trades of one pair, or of all.

        Args:
            symbol: None for all.
            from_ts: after this, RFC 3339; `last_ts` of the page before.
            to_ts: up to this, RFC 3339.
            count: up to 1000.
            max_age_s: see the class.

        Source: rest.md section 7, PostTrade.
        """
        names = await self.instruments()
        params = {
            "symbol": None if symbol is None else names.symbol(symbol),
            "from_ts": from_ts,
            "to_ts": to_ts,
            "count": count,
        }
        return await self._read(
            "PostTrade", params, lambda row, _: read_record(PostTrade, row, names), max_age_s=max_age_s
        )


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _ticker(name: str, row: Any, asked_ns: int, names: Names) -> RestTicker:
    (bid, *_), (ask, *_), (last, last_qty), qty, vwap = row["b"], row["a"], row["c"], row["v"], row["p"]
    return RestTicker(
        symbol=name,
        bid=number(bid, names),
        ask=number(ask, names),
        last=number(last, names),
        last_qty=number(last_qty, names),
        qty_today=number(qty[0], names),
        qty_24h=number(qty[1], names),
        vwap_today=number(vwap[0], names),
        vwap_24h=number(vwap[1], names),
        trades_today=whole(row["t"][0], names),
        trades_24h=whole(row["t"][1], names),
        low_today=number(row["l"][0], names),
        low_24h=number(row["l"][1], names),
        high_today=number(row["h"][0], names),
        high_24h=number(row["h"][1], names),
        open_today=number(row["o"], names),
        recv_ns=asked_ns,
    )
