"""Private reads, and the exports. Never shared or kept, but for the token, whose fetches are joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ConfigError, DecodeError
from ..answers import (
    Amend,
    AssetBalance,
    CreditLimits,
    CreditLine,
    CreditLines,
    ExportReport,
    ExtendedBalance,
    FillPage,
    KeyInfo,
    LedgerEntry,
    LedgerPage,
    MarketPosition,
    OrderInfo,
    OrderPage,
    PairFee,
    Position,
    TradeBalance,
    TradeInfo,
    TradeVolume,
    WebSocketsToken,
)
from ..instruments import split_suffix
from ..records import keyed, number, read_record, text
from .base import TypedCalls

QUERY_ORDERS_MAX = 50
QUERY_OTHERS_MAX = 20


class AccountCalls(TypedCalls):
    """Private reads. `max_age_s` accepts a kept answer of that age; by default there is none."""

    # The key -----------------------------------------------------------------------------------------------------

    async def fetch_websockets_token(self) -> WebSocketsToken:
        """Fetch a token for the private stream; whoever asks while one is being fetched gets that one.

        Raises:
            PermissionDeniedError: the key lacks create-ws-token.

        Source: rest.md section 8, GetWebSocketsToken.
        """

        def parse(row: Any, asked_ns: int) -> WebSocketsToken:
            return read_record(WebSocketsToken, row, self.names, recv_ns=asked_ns)

        return await self._read("GetWebSocketsToken", {}, parse, max_age_s=0)

    async def fetch_key_info(self) -> KeyInfo:
        """Fetch what the key may do, and where its nonces are. Needs no permission.

        Source: rest.md section 8, GetApiKeyInfo.
        """
        return await self._ask("GetApiKeyInfo", {}, lambda row: read_record(KeyInfo, row, self.names))

    # Money -------------------------------------------------------------------------------------------------------

    async def fetch_balances(self, *, max_age_s: float = 0.0) -> tuple[AssetBalance, ...]:
        """Fetch all balances, those of zero too. Source: rest.md section 8, Balance."""

        def parse(rows: Any, _asked_ns: int) -> tuple[AssetBalance, ...]:
            return tuple(
                AssetBalance(**self._of_asset(key), balance=number(amount, self.names))
                for key, amount in _object(rows, "Balance").items()
            )

        return await self._read("Balance", {}, parse, max_age_s=max_age_s)

    async def fetch_extended_balances(self, *, max_age_s: float = 0.0) -> tuple[ExtendedBalance, ...]:
        """Fetch all balances with what open orders hold. Source: rest.md section 8, BalanceEx."""

        def parse(rows: Any, _asked_ns: int) -> tuple[ExtendedBalance, ...]:
            return tuple(
                read_record(ExtendedBalance, row, self.names, **self._of_asset(key))
                for key, row in _object(rows, "BalanceEx").items()
            )

        return await self._read("BalanceEx", {}, parse, max_age_s=max_age_s)

    async def fetch_credit_lines(self) -> CreditLines:
        """Fetch credit lines; empty for accounts without. Source: rest.md section 8, CreditLines."""

        def parse(row: Any) -> CreditLines:
            if row is None:
                return CreditLines()
            lines = tuple(
                read_record(CreditLine, line, self.names, asset=self.names.asset(key), asset_id=key)
                for key, line in (row.get("asset_details") or {}).items()
            )
            limits = read_record(CreditLimits, row.get("limits_monitor") or {}, self.names)
            return CreditLines(lines=lines, limits=limits)

        return await self._ask("CreditLines", {}, parse)

    async def fetch_trade_balance(self, *, asset: str = "USD") -> TradeBalance:
        """Fetch margin figures, in one asset. Source: rest.md section 8, TradeBalance."""
        params = {"asset": self.names.asset_id(asset)}
        return await self._ask("TradeBalance", params, lambda row: read_record(TradeBalance, row, self.names))

    async def fetch_trade_volume(self, *, symbols: Iterable[str] | None = None) -> TradeVolume:
        """Fetch the 30-day volume, and the fees of the pairs that are named.

        Source: rest.md section 8, TradeVolume.
        """
        names = await self.instruments()
        pair = None if symbols is None else ",".join(map(names.pair_id, symbols))

        def fees(rows: Mapping[str, Any] | None) -> tuple[PairFee, ...]:
            return tuple(
                read_record(PairFee, row, names, symbol=names.symbol_or_name(key))
                for key, row in (rows or {}).items()
            )

        def parse(row: Any) -> TradeVolume:
            return TradeVolume(
                currency=names.asset(row["currency"]),
                volume=number(row["volume"], names),
                fees=fees(row.get("fees")),
                fees_maker=fees(row.get("fees_maker")),
            )

        return await self._ask("TradeVolume", {"pair": pair}, parse)

    # Orders ------------------------------------------------------------------------------------------------------

    async def fetch_open_orders(
        self,
        *,
        trades: bool = False,
        userref: int | None = None,
        cl_ord_id: str | None = None,
        max_age_s: float = 0.0,
    ) -> tuple[OrderInfo, ...]:
        """Fetch all open orders. Source: rest.md section 8, OpenOrders."""
        names = await self.instruments()
        params = {"trades": trades or None, "userref": userref, "cl_ord_id": cl_ord_id}

        def parse(row: Any, _asked_ns: int) -> tuple[OrderInfo, ...]:
            return keyed(OrderInfo, _object(row, "OpenOrders").get("open"), names, "order_id")

        if not max_age_s:  # an answer to a question that left earlier proves nothing of what came since
            return await self._ask("OpenOrders", params, lambda row: parse(row, 0))
        return await self._read("OpenOrders", params, parse, max_age_s=max_age_s)

    async def fetch_closed_orders(
        self,
        *,
        trades: bool = False,
        userref: int | None = None,
        cl_ord_id: str | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        ofs: int | None = None,
        closetime: str | None = None,
        without_count: bool = False,
    ) -> OrderPage:
        """Fetch a page of closed orders, newest first. `iter_closed_orders` pages.

        Args:
            trades: with the ids of their fills.
            userref, cl_ord_id: only those.
            start: after this, seconds since epoch or an order id.
            end: up to this.
            ofs: rows to skip.
            closetime: whether start and end mean `open`, `close`, or `both`.
            without_count: faster.

        Source: rest.md section 8, ClosedOrders.
        """
        names = await self.instruments()
        params = {
            "trades": trades or None,
            "userref": userref,
            "cl_ord_id": cl_ord_id,
            "start": start,
            "end": end,
            "ofs": ofs,
            "closetime": closetime,
            "without_count": without_count or None,
        }

        def parse(row: Any) -> OrderPage:
            orders = keyed(OrderInfo, _object(row, "ClosedOrders").get("closed"), names, "order_id")
            return OrderPage(orders=orders, count=row.get("count"))

        return await self._ask("ClosedOrders", params, parse)

    async def query_orders(
        self, *, order_ids: Iterable[str], trades: bool = False, consolidate_taker: bool = False
    ) -> tuple[OrderInfo, ...]:
        """Fetch orders by id, 50 at most. An id that is not known is left out.

        Source: rest.md section 8, QueryOrders. There is no query by cl_ord_id: see `fetch_open_orders`.
        """
        names = await self.instruments()
        txid = _ids("order_ids", order_ids, QUERY_ORDERS_MAX)
        params = {"txid": txid, "trades": trades or None, "consolidate_taker": consolidate_taker}
        return await self._ask("QueryOrders", params, lambda rows: keyed(OrderInfo, rows, names, "order_id"))

    async def fetch_order_amends(self, *, order_id: str) -> tuple[Amend, ...]:
        """Fetch the states of an order's terms, oldest first. Source: rest.md section 8, OrderAmends."""

        def parse(row: Any) -> tuple[Amend, ...]:
            return tuple(
                read_record(Amend, each, self.names) for each in _object(row, "OrderAmends")["amends"]
            )

        return await self._ask("OrderAmends", {"order_id": order_id}, parse)

    # Fills, positions, ledgers -----------------------------------------------------------------------------------

    async def fetch_fills(
        self,
        *,
        kind: str | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        ofs: int | None = None,
        ledgers: bool = False,
        consolidate_taker: bool = False,
        without_count: bool = False,
    ) -> FillPage:
        """Fetch a page of our fills, newest first. `iter_fills` pages.

        Args:
            kind: all, any position, closed position, closing position or no position.
            start: after this, seconds since epoch or a trade id.
            end: up to this.
            ofs: rows to skip.
            ledgers: with the ids of their ledger entries.
            consolidate_taker: merge the fills of one taker order; not merged they match the stream's executions.
            without_count: faster.

        Source: rest.md section 8, TradesHistory.
        """
        names = await self.instruments()
        params = {
            "type": kind,
            "start": start,
            "end": end,
            "ofs": ofs,
            "ledgers": ledgers or None,
            "consolidate_taker": consolidate_taker,
            "without_count": without_count or None,
        }

        def parse(row: Any) -> FillPage:
            trades = keyed(TradeInfo, _object(row, "TradesHistory").get("trades"), names, "exec_id")
            return FillPage(trades=trades, count=row.get("count"))

        return await self._ask("TradesHistory", params, parse)

    async def query_fills(self, *, exec_ids: Iterable[str]) -> tuple[TradeInfo, ...]:
        """Fetch fills by id, 20 at most. Source: rest.md section 8, QueryTrades."""
        names = await self.instruments()
        params = {"txid": _ids("exec_ids", exec_ids, QUERY_OTHERS_MAX)}
        return await self._ask("QueryTrades", params, lambda rows: keyed(TradeInfo, rows, names, "exec_id"))

    async def fetch_open_positions(
        self, *, position_ids: Iterable[str] | None = None, calculate: bool = False
    ) -> tuple[Position, ...]:
        """Fetch open margin positions; with `calculate` their value and net too.

        Source: rest.md section 8, OpenPositions.
        """
        names = await self.instruments()
        txid = None if position_ids is None else ",".join(position_ids)

        def parse(rows: Any) -> tuple[Position, ...]:
            return keyed(Position, rows, names, "position_id")

        return await self._ask("OpenPositions", {"txid": txid, "docalcs": calculate or None}, parse)

    async def fetch_market_positions(self) -> tuple[MarketPosition, ...]:
        """Fetch open margin positions, those of one pair and side as one.

        Source: rest.md section 8, OpenPositions with consolidation.
        """
        names = await self.instruments()

        def parse(rows: Any) -> tuple[MarketPosition, ...]:
            # Nothing is an empty object in one form and an empty list in the other.
            return tuple(read_record(MarketPosition, row, names) for row in rows) if rows else ()

        return await self._ask("OpenPositions", {"consolidation": "market"}, parse)

    async def fetch_ledgers(
        self,
        *,
        assets: Iterable[str] | None = None,
        kind: str | None = None,
        start: int | str | None = None,
        end: int | str | None = None,
        ofs: int | None = None,
        without_count: bool = False,
    ) -> LedgerPage:
        """Fetch a page of movements of money, newest first. `iter_ledgers` pages.

        Source: rest.md section 8, Ledgers.
        """
        params = {
            "asset": None if assets is None else ",".join(map(self.names.asset_id, assets)),
            "type": kind,
            "start": start,
            "end": end,
            "ofs": ofs,
            "without_count": without_count or None,
        }

        def parse(row: Any) -> LedgerPage:
            entries = keyed(LedgerEntry, _object(row, "Ledgers").get("ledger"), self.names, "ledger_id")
            return LedgerPage(entries=entries, count=row.get("count"))

        return await self._ask("Ledgers", params, parse)

    async def query_ledgers(self, *, ledger_ids: Iterable[str]) -> tuple[LedgerEntry, ...]:
        """Fetch movements of money by id, 20 at most. Source: rest.md section 8, QueryLedgers."""
        params = {"id": _ids("ledger_ids", ledger_ids, QUERY_OTHERS_MAX)}
        return await self._ask(
            "QueryLedgers", params, lambda rows: keyed(LedgerEntry, rows, self.names, "ledger_id")
        )

    # Exports -----------------------------------------------------------------------------------------------------

    async def add_export(
        self,
        *,
        report: str,
        description: str,
        format: str = "CSV",  # noqa: A002 - the exchange's name
        fields: str | None = None,
        start_s: int | None = None,
        end_s: int | None = None,
    ) -> str:
        """Ask for a report of trades or ledgers. Returns its id. Source: rest.md section 8, AddExport."""
        params = {
            "report": report,
            "format": format,
            "description": description,
            "fields": fields,
            "starttm": start_s,
            "endtm": end_s,
        }
        return await self._ask("AddExport", params, lambda row: text(row["id"], self.names))

    async def fetch_exports(self, *, report: str) -> tuple[ExportReport, ...]:
        """Fetch the state of the reports of trades or ledgers. Source: rest.md section 8, ExportStatus."""

        def parse(rows: Any) -> tuple[ExportReport, ...]:
            return tuple(read_record(ExportReport, row, self.names) for row in rows)

        return await self._ask("ExportStatus", {"report": report}, parse)

    async def retrieve_export(self, *, report_id: str) -> bytes:
        """Fetch a report, as a zip file. Source: rest.md section 8, RetrieveExport."""

        def parse(body: Any) -> bytes:
            if not isinstance(body, bytes):
                raise DecodeError("RetrieveExport", 0, "", "not a zip file")
            return body

        return await self._ask("RetrieveExport", {"id": report_id}, parse)

    async def remove_export(self, *, report_id: str, kind: str = "delete") -> bool:
        """Delete a report, or `cancel` one that is being made. Source: rest.md section 8, RemoveExport."""
        params = {"id": report_id, "type": kind}
        return await self._ask("RemoveExport", params, lambda row: any(row.get(each) is True for each in row))

    def _of_asset(self, key: str) -> dict[str, str]:
        base, suffix = split_suffix(key)
        return {"asset": self.names.asset(base), "kind": suffix, "asset_id": key}


def _object(rows: Any, endpoint: str) -> Mapping[str, Any]:
    if not isinstance(rows, Mapping):
        raise DecodeError(endpoint, 0, "", "not an object")
    return rows


def _ids(field: str, ids: Iterable[str], most: int) -> str:
    listed = [ids] if isinstance(ids, str) else list(ids)
    if not 1 <= len(listed) <= most:
        raise ConfigError(field, f"{len(listed)} ids", f"1 to {most} ids")
    return ",".join(listed)
