"""`order add|amend|cancel|cancel-all|watch`: orders by hand, checked first, asked about, and known before it ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..config import PRIVATE_WS_URL, PUBLIC_REST_URL, PUBLIC_WS_URL
from ..core.execution import Execution
from ..core.order_store import AccountOrder
from ..errors import (
    ConfigError,
    InvalidOrderError,
    JournalError,
    OrderBlockedError,
    OrderEndedError,
    OutcomeUnknownError,
)
from ..orders.journal import Journal, MemoryStorage
from ..orders.live_order import Order
from ..orders.records import NewOrder, OrderType, Side, TimeInForce, Triggers
from ..private.account import Account, connect_account
from ..trading import Trading, connect_trading
from .account import facts_of, line_of
from .boxed import BoxProcess
from .output import Status, fail, one_line_errors, plain, run, say
from .rest import AsJson, CaFile, KeyFile, Keyring, RestUrl, Where, box_client

DEMO = "demo"
"""Name of the order that rests in a box of our own, to try the verbs on."""

END_S = 5.0
"""How long is waited for an order to end that was cancelled."""

WsUrl = Annotated[str, typer.Option(help="The exchange's private WebSocket v2.")]
PublicWsUrl = Annotated[str, typer.Option(help="Its public one, for rules and prices.")]
JournalFile = Annotated[
    Path | None, typer.Option("--journal", help="Where orders are on record.", show_default="the user's, by key")
]
Sim = Annotated[
    bool, typer.Option("--sim", help=f"In an exchange in a box of our own, where an order named {DEMO} rests.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send it without asking.")]
Name = Annotated[str, typer.Argument(metavar="ORDER", help="The exchange's id of it, or its cl_ord_id.")]

order_app = typer.Typer(
    name="order",
    help="Place, amend, cancel and watch orders. Nothing is sent before it was checked and you said yes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Which exchange, whose key, which journal."""

    where: Where
    ws_url: str
    public_ws_url: str = PUBLIC_WS_URL
    journal: Path | None = None
    sim: bool = False

    def __post_init__(self) -> None:
        urls = (self.ws_url, self.public_ws_url, self.where.rest_url)
        if self.sim and urls != (PRIVATE_WS_URL, PUBLIC_WS_URL, PUBLIC_REST_URL):
            raise ConfigError("sim", True, "left out with --ws-url, --public-ws-url and --rest-url")

    @asynccontextmanager
    async def trading(self, symbol: str) -> AsyncIterator[Trading]:
        """Open trading; in a box of our own with an order that rests."""
        async with AsyncExitStack() as stack:
            if not self.sim:
                yield await stack.enter_async_context(self._real(symbol))
                return
            box = await stack.enter_async_context(BoxProcess())
            client = box_client(box)
            stack.push_async_callback(client.close)
            journal = Journal(MemoryStorage(), client.clock)
            made = connect_trading(
                [symbol], rest=client, journal=journal, ws_url=box.ws_auth_url, public_ws_url=box.ws_url,
                rest_url=box.rest_url,
            )  # fmt: skip
            opened = await stack.enter_async_context(made)
            await _rest_one(opened)
            yield opened

    def _real(self, symbol: str) -> Trading:
        credentials = self.where.key()
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        journal = self.journal or Path(state) / "kraken_fast" / f"orders-{credentials.key_id}.journal"
        return connect_trading(
            [symbol], credentials, journal=journal, sync="always", ws_url=self.ws_url,
            public_ws_url=self.public_ws_url, rest_url=self.where.rest_url, ca_file=self.where.ca_file,
        )  # fmt: skip

    @asynccontextmanager
    async def account(self) -> AsyncIterator[Account]:
        """Open the account alone: to watch needs no journal."""
        async with AsyncExitStack() as stack:
            if self.sim:
                yield (await stack.enter_async_context(self.trading("BTC/USD"))).account
                return
            made = connect_account(
                self.where.key(), ws_url=self.ws_url, rest_url=self.where.rest_url, ca_file=self.where.ca_file
            )
            yield await stack.enter_async_context(made)


async def _rest_one(opened: Trading) -> None:
    quote = opened.quote(opened.feed.symbols[0])
    assert quote is not None
    assert quote.bid is not None
    await opened.orders.add_order(
        symbol=opened.feed.symbols[0], side="buy", order_type="limit", order_qty="0.01", cl_ord_id=DEMO,
        limit_price=quote.bid - quote.bid % 100 - 1000,
    )  # fmt: skip


def _ending(main: Coroutine[Any, Any, None]) -> None:
    """Run a verb; what a limit of ours refused is a failed check, as what the exchange refused is."""

    async def judged() -> None:
        try:
            await main
        except (OrderBlockedError, OrderEndedError, JournalError) as error:
            fail(str(error), Status.CHECK_FAILED)
        except OutcomeUnknownError as error:
            fail(f"{error}; the journal has it, `order watch {error.cl_ord_id}` follows it", Status.NETWORK)

    run(judged())


def _check_can_ask(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise ConfigError("yes", False, "given as --yes where nobody can be asked; nothing was sent")


async def _confirm(what: str, *, yes: bool) -> None:
    """Ask before something is sent; the lines go on meanwhile. Ends with status 1 when the answer is no."""
    if yes:
        return
    print(f"{what}\nSend it? [y/N]: ", end="", file=sys.stderr, flush=True)
    loop, handle = asyncio.get_running_loop(), sys.stdin.fileno()
    is_there = loop.create_future()
    loop.add_reader(handle, is_there.set_result, None)
    try:
        await is_there
    finally:
        loop.remove_reader(handle)
    if os.read(handle, 1024).strip().lower() not in (b"y", b"yes"):
        fail("nothing was sent", Status.CHECK_FAILED)


# ------------------------------------------------------------------------------------------------------ verbs


@order_app.command("add")
def add(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    side: Annotated[str, typer.Argument(metavar="buy|sell")],
    qty: Annotated[str, typer.Argument(metavar="QTY", help="In base units.")],
    price: Annotated[str | None, typer.Option(help="The limit; without one it is a market order.")] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Of the order, such as stop-loss.", show_default="limit or market")
    ] = None,
    trigger: Annotated[str | None, typer.Option(help="Price at which a stop or take-profit fires.")] = None,
    time_in_force: Annotated[str | None, typer.Option("--tif", help="gtc, ioc or fok.")] = None,
    post_only: Annotated[bool, typer.Option("--post-only", help="Cancelled rather than taking.")] = False,
    cl_ord_id: Annotated[str | None, typer.Option(help="Your name of it.", show_default="made")] = None,
    deadline: Annotated[float | None, typer.Option(help="Seconds after which it is refused.", min=0.5, max=60)] = None,
    validate: Annotated[bool, typer.Option("--validate", help="Have it checked only; nothing is placed.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for its end.", min=0, max=86_400)] = 0.0,
    yes: Yes = False,
    ws_url: WsUrl = PRIVATE_WS_URL,
    public_ws_url: PublicWsUrl = PUBLIC_WS_URL,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    journal: JournalFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Place an order: by the pair's rules, after a question, once, and it is known what became of it."""
    with one_line_errors():
        _check_can_ask(yes=yes or validate)
        wanted = NewOrder(
            symbol=symbol,
            side=_one_of("side", side, get_args(Side)),
            order_type=_one_of("type", kind or ("market" if price is None else "limit"), get_args(OrderType)),
            order_qty=qty,
            limit_price=price,
            triggers=None if trigger is None else Triggers(price=trigger),
            time_in_force=None if time_in_force is None else _one_of("tif", time_in_force, get_args(TimeInForce)),
            post_only=post_only or None,
            cl_ord_id=cl_ord_id,
        )
        desk = Desk(Where(rest_url, ca_file, key_file, keyring), ws_url, public_ws_url, journal, sim=sim)
        _ending(_add(desk, wanted, deadline, wait, validate=validate, yes=yes, as_json=as_json))


async def _add(
    desk: Desk, wanted: NewOrder, deadline_s: float | None, wait_s: float, *, validate: bool, yes: bool, as_json: bool
) -> None:
    async with desk.trading(wanted.symbol) as opened:
        checked = await opened.orders.check_order(wanted)
        if validate:
            facts = {"type": "checked", **_texts(checked.params), "warnings": list(checked.warnings)}
            say(json.dumps(facts) if as_json else line_of(facts))
            return
        await _confirm(_asked(wanted, opened), yes=yes)
        order = await opened.orders.submit(wanted, deadline_s=deadline_s)
        if wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await order.done()
        elif wanted.limit_price is None or wanted.time_in_force in ("ioc", "fok"):
            await _end_of(order)
        _say_order(order, as_json=as_json)


def _asked(wanted: NewOrder, opened: Trading) -> str:
    """Say in words what is about to be sent, and what the market is."""
    terms = f"{wanted.side} {wanted.order_qty} {wanted.symbol} {wanted.order_type}"
    if wanted.limit_price is not None:
        worth = Decimal(str(wanted.order_qty)) * Decimal(str(wanted.limit_price))
        terms += f" at {wanted.limit_price}, worth {worth:f}"
    if wanted.triggers is not None:
        terms += f", when the price reaches {wanted.triggers.price}"
    quote = opened.quote(wanted.symbol)
    return f"{terms}\nmarket: bid {quote.bid}, ask {quote.ask}" if quote is not None else f"{terms}\nmarket: not known"


@order_app.command("amend")
def amend(
    name: Name,
    qty: Annotated[str | None, typer.Option(help="The new quantity, what is filled included.")] = None,
    price: Annotated[str | None, typer.Option(help="The new limit.")] = None,
    trigger: Annotated[str | None, typer.Option(help="The new trigger price.")] = None,
    post_only: Annotated[bool, typer.Option("--post-only", help="Refused rather than taking.")] = False,
    yes: Yes = False,
    ws_url: WsUrl = PRIVATE_WS_URL,
    public_ws_url: PublicWsUrl = PUBLIC_WS_URL,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    journal: JournalFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Change an open order in place: it keeps its id and its fills."""

    async def main(desk: Desk) -> None:
        async with desk.trading("BTC/USD") as opened:
            order = _find(opened, name)
            changes = (("qty", qty), ("price", price), ("trigger", trigger))
            said = ", ".join(f"new {key} {value}" for key, value in changes if value is not None)
            await _confirm(f"{order.name}, {_terms(order)}: {said}", yes=yes)
            await opened.orders.amend_order(
                order=order, order_qty=qty, limit_price=price, trigger_price=trigger, post_only=post_only or None
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):  # the answer is an acknowledgement; the event has the terms
                    while order.amending is not None and order.amending.state == "acknowledged":
                        await order.settled()
            _say_order(order, as_json=as_json)

    _at_desk(main, Where(rest_url, ca_file, key_file, keyring), ws_url, public_ws_url, journal, yes=yes, sim=sim)


@order_app.command("cancel")
def cancel(
    names: Annotated[list[str], typer.Argument(metavar="ORDER", help="The exchange's ids, or cl_ord_ids.")],
    yes: Yes = False,
    ws_url: WsUrl = PRIVATE_WS_URL,
    public_ws_url: PublicWsUrl = PUBLIC_WS_URL,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    journal: JournalFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Cancel orders, and say how each ended."""

    async def main(desk: Desk) -> None:
        async with desk.trading("BTC/USD") as opened:
            found = [_find(opened, name) for name in names]
            await _confirm("\n".join(f"cancel {order.name}, {_terms(order)}" for order in found), yes=yes)
            await opened.orders.cancel_order(order=found)
            for order in found:
                await _end_of(order)
                _say_order(order, as_json=as_json)

    _at_desk(main, Where(rest_url, ca_file, key_file, keyring), ws_url, public_ws_url, journal, yes=yes, sim=sim)


@order_app.command("cancel-all")
def cancel_all(
    yes: Yes = False,
    ws_url: WsUrl = PRIVATE_WS_URL,
    public_ws_url: PublicWsUrl = PUBLIC_WS_URL,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    journal: JournalFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Cancel every open order of the account, whoever placed it."""

    async def main(desk: Desk) -> None:
        async with desk.trading("BTC/USD") as opened:
            count = len(opened.account.open_orders())
            await _confirm(f"cancel all {count} open orders of the account", yes=yes)
            facts = {"type": "cancelled", "count": await opened.orders.cancel_all()}
            say(json.dumps(facts) if as_json else line_of(facts))

    _at_desk(main, Where(rest_url, ca_file, key_file, keyring), ws_url, public_ws_url, journal, yes=yes, sim=sim)


@order_app.command("watch")
def watch(
    name: Name,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", show_default="at its end", min=0)] = None,
    ws_url: WsUrl = PRIVATE_WS_URL,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Follow an open order: a line for each of its events, until it ends."""

    async def main(desk: Desk) -> None:
        async with desk.account() as opened:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _follow(opened, name, as_json=as_json)

    _at_desk(main, Where(rest_url, ca_file, key_file, keyring), ws_url, PUBLIC_WS_URL, None, yes=True, sim=sim)


async def _follow(opened: Account, name: str, *, as_json: bool) -> None:
    events = opened.events()
    order = _known(opened, name)
    facts: dict[str, Any] = {"type": "order", "order_id": order.order_id, "cl_ord_id": order.cl_ord_id}
    facts |= {key: getattr(order, key) for key in ("symbol", "side", "order_type", "status")}
    facts |= {key: plain(getattr(order, key)) for key in ("order_qty", "limit_price", "cum_qty")}
    say(json.dumps(facts) if as_json else line_of(facts))
    while order.is_open:
        event = await anext(events)
        if isinstance(event, Execution) and event.order_id == order.order_id:
            told = facts_of(event)
            assert told is not None
            say(json.dumps(told) if as_json else line_of(told))


def _at_desk(
    main: Callable[[Desk], Coroutine[Any, Any, None]],
    where: Where,
    ws_url: str,
    public_ws_url: str,
    journal: Path | None,
    *,
    yes: bool,
    sim: bool,
) -> None:
    with one_line_errors():
        _check_can_ask(yes=yes)
        _ending(main(Desk(where, ws_url, public_ws_url, journal, sim=sim)))


# ------------------------------------------------------------------------------------------------------ words


def _one_of(field: str, text: str, allowed: tuple[str, ...]) -> Any:
    if text not in allowed:
        raise InvalidOrderError(field, text, f"must be one of {', '.join(allowed)}")
    return text


def _known(opened: Account, name: str) -> AccountOrder:
    order = opened.order(name)
    if order is None:
        raise InvalidOrderError("order", name, "must name an open order of this account")
    return order


def _find(opened: Trading, name: str) -> Order:
    """Find an open order, ours or another's, by either of its names."""
    found = opened.orders.table.find(name) or opened.orders.table.find(_known(opened.account, name).order_id)
    if found is None or found.state.is_final:
        raise InvalidOrderError("order", name, "must name an open order of this account")
    return found


def _terms(order: Order) -> str:
    terms = f"{order.side} {plain(order.remaining_qty)} {order.symbol} {order.order_type}"
    return terms if order.limit_price is None else f"{terms} at {plain(order.limit_price)}"


async def _end_of(order: Order) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await order.done()


def _say_order(order: Order, *, as_json: bool) -> None:
    facts: dict[str, Any] = {"type": "order", "status": order.status}
    facts |= {name: getattr(order, name) for name in ("order_id", "cl_ord_id", "symbol", "side", "order_type")}
    numbers = ("order_qty", "limit_price", "filled_qty", "avg_price")
    facts |= {name: plain(getattr(order, name)) for name in numbers}
    facts["fees"] = [[asset, plain(amount)] for asset, amount in order.fees.items()]
    facts["reason"] = order.reason or None
    say(json.dumps(facts) if as_json else line_of(facts))


def _texts(params: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(value) if isinstance(value, Decimal) else value for key, value in params.items()}


