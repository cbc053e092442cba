"""`balance`, `orders`, `ticker`, `ohlc` and `rest`: the REST client by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from ..auth import Credentials
from ..config import PUBLIC_REST_URL, Endpoints, RestSettings
from ..errors import ConfigError
from ..rest.catalogue import endpoint_of
from ..rest.endpoints import RestClient
from ..rest.nonce import MemoryNonces
from .boxed import BoxProcess
from .output import InputError, console, one_line_errors, plain, run, say, symbol_list
from .tables import table

RestUrl = Annotated[str, typer.Option("--rest-url", help="The exchange's REST.")]
CaFile = Annotated[
    str | None, typer.Option(help="PEM file of the only authorities to trust.", show_default="the system's")
]
KeyFile = Annotated[
    str | None,
    typer.Option(help="TOML file with api_key and api_secret.", show_default="KRAKEN_API_KEY and _SECRET"),
]
Keyring = Annotated[
    str | None, typer.Option(help="Name of a key in the system's keyring.", show_default="none")
]
Sim = Annotated[
    bool, typer.Option("--sim", help="Ask an exchange in a box of our own, with an account in it, not the real one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, numbers as text.")]

RATE_PER_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Which exchange, and whose key."""

    rest_url: str
    ca_file: str | None
    key_file: str | None = None
    keyring: str | None = None
    sim: bool = False

    def __post_init__(self) -> None:
        if self.sim and self.rest_url != PUBLIC_REST_URL:
            raise ConfigError("sim", True, "left out with --rest-url")

    def credentials(self) -> Credentials | None:
        """Find the key. Raises ConfigError when a source of it is there, and wrong."""
        return Credentials.find(key_file=self.key_file, keyring_name=self.keyring)

    def key(self) -> Credentials:
        """Find the key, where there has to be one."""
        found = self.credentials()
        if found is None:
            raise InputError("no key: set KRAKEN_API_KEY and KRAKEN_API_SECRET, or give --key-file or --keyring")
        return found

    @asynccontextmanager
    async def client(self, *, private: bool = False) -> AsyncIterator[RestClient]:
        """Make a client, and close it. Raises ConfigError when a key is needed and there is none."""
        async with AsyncExitStack() as stack:
            if self.sim:
                box = await stack.enter_async_context(BoxProcess(*(() if private else ("--symbols", "all"))))
                client = box_client(box)
            else:
                credentials = self.key() if private else None
                client = RestClient(
                    credentials,
                    endpoints=Endpoints(rest_url=self.rest_url, ca_file=self.ca_file),
                    settings=RestSettings(public_rate_per_s=RATE_PER_S),
                )
            stack.push_async_callback(client.close)
            yield client


def box_client(box: BoxProcess) -> RestClient:
    """Make a client of a box; its key is forgotten with it, so nothing of it is kept on disk."""
    return RestClient(
        Credentials(box.api_key, box.api_secret),
        endpoints=Endpoints(rest_url=box.rest_url),
        nonces=MemoryNonces(),
        nonce_unit="ns",
    )


def call_once(where: Where, ask: Callable[[RestClient], Awaitable[Any]], *, private: bool = False) -> Any:
    """Open a client, ask, close it."""

    async def main() -> Any:
        async with where.client(private=private) as client:
            return await ask(client)

    return run(main())


def balance(
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Sim = False,
    all_: Annotated[bool, typer.Option("--all", help="Those of zero too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the balances of the account, and what open orders hold of them."""
    with one_line_errors():
        where = Where(rest_url, ca_file, key_file, keyring, sim)
        rows = call_once(where, lambda client: client.fetch_extended_balances(), private=True)
        rows = [row for row in rows if all_ or row.balance or row.hold_trade]
        if as_json:
            return say(as_text(rows))
        drawn = table("Asset", "Kind", "Balance", "On hold", "Available")
        for row in sorted(rows, key=lambda row: (row.asset, row.kind)):
            drawn.add_row(
                row.asset, row.kind or "spot", *map(plain, (row.balance, row.hold_trade, row.available))
            )
        return show(drawn, rows, "no balances")


def orders(
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Sim = False,
    closed: Annotated[bool, typer.Option("--closed", help="The last 50 closed ones instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the open orders of the account, or the last closed ones."""

    async def ask(client: RestClient) -> Any:
        return (await client.fetch_closed_orders()).orders if closed else await client.fetch_open_orders()

    with one_line_errors():
        rows = call_once(Where(rest_url, ca_file, key_file, keyring, sim), ask, private=True)
        if as_json:
            return say(as_text(rows))
        drawn = table("Order", "Opened", "Symbol", "Side", "Type", "Price", "Qty", "Filled", "Status")
        for row in rows:
            terms = row.terms
            numbers = map(plain, (terms.price, row.qty, row.filled_qty))
            drawn.add_row(
                row.order_id,
                time_of(row.opened_ns),
                terms.symbol,
                terms.side,
                terms.ord_type,
                *numbers,
                row.status,
            )
        return show(drawn, rows, "no orders")


def ticker(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Show tickers; one call, however many symbols."""
    with one_line_errors():
        wanted = [name for text in symbols for name in symbol_list(text)]
        rows = call_once(Where(rest_url, ca_file, sim=sim), lambda client: client.fetch_tickers(symbols=wanted))
        if as_json:
            return say(as_text(rows))
        drawn = table("Symbol", "Bid", "Ask", "Last", "Volume 24 h", "Low 24 h", "High 24 h")
        for row in rows:
            numbers = (row.bid, row.ask, row.last, row.qty_24h, row.low_24h, row.high_24h)
            drawn.add_row(row.symbol, *map(plain, numbers))
        return show(drawn, rows, "no tickers")


def ohlc(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USD.")],
    interval: Annotated[int, typer.Option(help="Minutes of a candle.")] = 60,
    last: Annotated[int, typer.Option(help="So many of the newest; 720 are kept.", min=1, max=721)] = 24,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    sim: Sim = False,
    as_json: AsJson = False,
) -> None:
    """Show candles, the running one last."""
    with one_line_errors():
        page = call_once(
            Where(rest_url, ca_file, sim=sim),
            lambda client: client.fetch_candles(symbol=symbol, interval=interval),
        )
        rows = page.candles[-last:]
        if as_json:
            return say(as_text(rows))
        drawn = table("From", "Open", "High", "Low", "Close", "Volume", "Trades")
        for row in rows:
            numbers = map(plain, (row.open, row.high, row.low, row.close, row.qty))
            drawn.add_row(time_of(row.begin_ns), *numbers, str(row.trades))
        return show(drawn, rows, "no candles")


def rest(
    path: Annotated[str, typer.Argument(help="Such as /0/public/Time, or a name such as Balance.")],
    params: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As Kraken names them.")
    ] = None,
    rest_url: RestUrl = PUBLIC_REST_URL,
    ca_file: CaFile = None,
    key_file: KeyFile = None,
    keyring: Keyring = None,
    sim: Sim = False,
    allow_money_out: Annotated[
        bool, typer.Option("--allow-money-out", help="Needed for withdrawals and transfers.")
    ] = False,
) -> None:
    """Call any endpoint and print its result as JSON, numbers as they came."""

    async def ask(client: RestClient) -> Any:
        return await client.call(path, fields, allow_money_out=allow_money_out)

    with one_line_errors():
        fields = {}
        for text in params or []:
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise ConfigError("parameter", text, "KEY=VALUE")
            fields[key] = value
        private = endpoint_of(path).is_private
        say(as_text(call_once(Where(rest_url, ca_file, key_file, keyring, sim), ask, private=private)))


def show(drawn: Table, rows: Iterable[Any], nothing: str) -> None:
    """Print a table, or that there is nothing."""
    if rows:
        console().print(drawn)
    else:
        say(nothing)


def as_text(value: Any) -> str:
    """Write anything as JSON; records as objects, Decimals as text."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return plain(value)
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def time_of(ns: int | None) -> str:
    """Write a time as UTC."""
    return "-" if ns is None else f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"
