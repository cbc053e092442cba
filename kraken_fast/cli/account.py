"""`account`: balances, open orders and fills of an account, live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..account_records import AccountBalance, AccountGap
from ..config import PRIVATE_WS_URL, PUBLIC_REST_URL
from ..core.balance_store import BalanceUpdate
from ..core.execution import Execution
from ..errors import ConfigError
from ..events import Dropped, Event, LineChange, Refused
from ..private.account import Account, connect_account
from .boxed import BoxProcess
from .output import console, one_line_errors, plain, run, say
from .rest import AsJson, CaFile, KeyFile, Keyring, Where, box_client
from .tables import QUALITY_STYLES, shown, table

DRAW_S = 0.2
FILLS_SHOWN = 8
WIDE = 110
"""Columns from which on a fill is shown with its order."""
SIM_PAUSE_S = 1.0
"""Between the small orders that make something happen in a box of our own."""

SIM_SYMBOL, SIM_QTY = "BTC/USD", "0.001"


def account(
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so long.", show_default="until Ctrl-C", min=0)
    ] = None,
    ws_url: Annotated[str, typer.Option(help="The exchange's private WebSocket v2.")] = PRIVATE_WS_URL,
    rest_url: Annotated[str, typer.Option(help="The exchange's REST.")] = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Annotated[
        bool, typer.Option("--sim", help="Watch an account in a box of our own, where small orders trade.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch an account live: balances with what orders hold of them, open orders, and every fill once.

    Draws tables on a terminal. Into a pipe, or with --json, it prints a line for each event; fills that were missed
    while the line was down are marked `recovered`.
    """
    with one_line_errors():
        if sim and (ws_url, rest_url) != (PRIVATE_WS_URL, PUBLIC_REST_URL):
            raise ConfigError("sim", True, "left out with --ws-url and --rest-url")
        where = Where(rest_url, ca_file, key_file, keyring)
        run(_watch(where, ws_url, seconds, sim=sim, as_json=as_json))


@asynccontextmanager
async def _opened(where: Where, ws_url: str, *, sim: bool) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        if sim:
            box = await stack.enter_async_context(BoxProcess())
            client = box_client(box)
            stack.push_async_callback(client.close)
            made = connect_account(rest=client, ws_url=box.ws_auth_url, rest_url=box.rest_url)
        else:
            made = connect_account(
                where.key(), ws_url=ws_url, rest_url=where.rest_url, ca_file=where.ca_file
            )
        yield await stack.enter_async_context(made)


async def _watch(where: Where, ws_url: str, seconds: float | None, *, sim: bool, as_json: bool) -> None:
    out = console()
    async with _opened(where, ws_url, sim=sim) as opened:
        trading = asyncio.ensure_future(_trade(opened)) if sim else None
        try:
            async with asyncio.timeout(seconds):
                is_drawn = out.is_terminal and not as_json
                await (_draw(opened, out) if is_drawn else _print(opened, as_json=as_json))
        except TimeoutError:
            pass
        finally:
            if trading is not None:
                trading.cancel()
                await asyncio.wait([trading])
        if trading is not None and not trading.cancelled():
            trading.result()  # raises what ended it


async def _trade(opened: Account) -> None:
    """Buy and sell a little, in a box."""
    while True:
        for side in ("buy", "sell"):
            await opened.rest.add_order(symbol=SIM_SYMBOL, side=side, ord_type="market", qty=SIM_QTY, flags=["fciq"])
            await asyncio.sleep(SIM_PAUSE_S)


# -------------------------------------------------------------------------------------------- for people


async def _draw(opened: Account, out: Console) -> None:
    with Live(console=out, auto_refresh=False) as live:
        while opened.state != "closed":
            quality = Text(opened.quality, style=QUALITY_STYLES.get(opened.quality, "red"))
            foot = Text.assemble("line ", opened.state, ", fills ", quality, ", Ctrl-C ends", style="dim")
            balances, orders = balance_table(opened), order_table(opened)
            rows = out.height - 6 - balances.row_count - orders.row_count
            fills = fill_table(opened, max(1, rows), is_wide=out.width >= WIDE)
            live.update(Group(balances, "", orders, "", fills, foot), refresh=True)
            await asyncio.sleep(DRAW_S)


def balance_table(opened: Account) -> Any:
    """One row an asset that there is any of."""
    drawn = table("Asset", "Total", "On hold", "Free", "Hold by", "Quality")
    for asset, row in sorted(opened.balances().items()):
        if row.total or row.hold:
            quality = Text(row.quality, style=QUALITY_STYLES.get(row.quality, "red"))
            drawn.add_row(asset, plain(row.total), shown(row.hold), shown(row.free), row.hold_source, quality)
    return drawn


def order_table(opened: Account) -> Any:
    """One row an open order."""
    drawn = table("Order", "Symbol", "Side", "Type", "Price", "Qty", "Filled", "Status")
    for order in opened.open_orders():
        numbers = map(shown, (order.limit_price, order.order_qty, order.cum_qty))
        drawn.add_row(order.order_id, order.symbol or "-", order.side, order.order_type, *numbers, order.status)
    return drawn


def fill_table(opened: Account, rows: int, *, is_wide: bool) -> Any:
    """The last fills, newest first; where there is room, with the order that each is of."""
    drawn = table("Fill", *(["Order"] if is_wide else []), "Symbol", "Side", "Price", "Qty", "Fee", "Came by")
    for fill in reversed(opened.fills()[-min(rows, FILLS_SHOWN):]):
        fees = " ".join(f"{plain(fee.qty)} {fee.asset}" for fee in fill.fees)
        numbers = map(shown, (fill.last_price, fill.last_qty))
        source = "recovery" if fill.recovered else "stream"
        names = (fill.exec_id, fill.order_id) if is_wide else (fill.exec_id,)
        drawn.add_row(*names, fill.symbol, fill.side, *numbers, fees or "-", source)
    return drawn


# -------------------------------------------------------------------------------------------- line by line


async def _print(opened: Account, *, as_json: bool) -> None:
    events = opened.events()
    for asset, row in sorted(opened.balances().items()):
        _say({"type": "balance", "asset": asset, **_numbers(row)}, as_json=as_json)
    async for event in events:
        facts = facts_of(event)
        if facts is not None:
            _say(facts, as_json=as_json)


def _say(facts: dict[str, Any], *, as_json: bool) -> None:
    say(json.dumps(facts) if as_json else line_of(facts))


def line_of(facts: dict[str, Any]) -> str:
    """Give facts as a line that a person reads: the kind first, then what is known, each with its name."""
    shown_facts = {name: fact for name, fact in facts.items() if fact not in (None, False, []) and name != "exch_ns"}
    if fees := shown_facts.get("fees"):
        shown_facts["fees"] = "+".join(f"{qty}{asset}" for asset, qty in fees)
    kind = shown_facts.pop("type")
    return " ".join([kind, *(f"{name}={fact}" for name, fact in shown_facts.items())])


def _numbers(row: AccountBalance) -> dict[str, Any]:
    sums = {"total": plain(row.total), "hold": plain(row.hold), "free": plain(row.free)}
    return {**sums, "hold_source": row.hold_source, "quality": row.quality}


def facts_of(event: Event) -> dict[str, Any] | None:
    """Give an event as plain facts, numbers as text; None for one that `account` does not show."""
    match event:
        case Execution():
            names = ("order_id", "cl_ord_id", "symbol", "side", "order_status", "exec_id")
            facts: dict[str, Any] = {"type": "fill" if event.exec_type == "trade" else event.exec_type}
            facts |= {name: getattr(event, name) for name in names}
            numbers = ("limit_price", "order_qty", "last_price", "last_qty", "cum_qty")
            facts |= {name: plain(getattr(event, name)) for name in numbers}
            fees = [[fee.asset, plain(fee.qty)] for fee in event.fees]
            return {**facts, "fees": fees, "recovered": event.recovered, "exch_ns": event.timestamp_ns}
        case BalanceUpdate():
            sums = {name: plain(getattr(event, name)) for name in ("amount", "fee", "balance")}
            return {"type": "ledger", "asset": event.asset, "kind": event.type, **sums, "ledger_id": event.ledger_id}
        case AccountGap():
            what = {"type": "gap", "channel": event.channel, "reason": event.reason}
            return {**what, "fills": event.fills, "healed": event.healed}
        case LineChange():
            return {"type": "line", "state": event.new, "reason": event.reason}
        case Refused():
            return {"type": "refused", "error": str(event.error)}
        case Dropped():
            return {"type": "dropped", "count": event.count}
    return None
