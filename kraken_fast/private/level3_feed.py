"""`connect_level3(...)`: books order by order, verified after every message, from their own host and with a token.

A `Level3Feed` keeps one line to the level-3 host. Its books tell the queue of every price, and where an order stands in
it; aggregated they are level-2 books. As everywhere, a book whose checksum disagrees is asked for anew, alone.

Source: websocket-v2.md section 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ..auth import Credentials
from ..config import LEVEL3_WS_URL, PUBLIC_REST_URL, Endpoints, check_level3_depth, check_symbols
from ..core.capture import CaptureWriter
from ..core.level3 import Level3Book, Level3Snapshot
from ..errors import StaleDataError, SubscriptionError, UnknownSymbolError
from ..events import Event
from ..names import canonical_symbol
from ..rest.endpoints import RestClient
from ..session import Session, SessionSettings, settings_of
from ..subscription_records import Event as SubscriptionEvent
from ..subscription_records import EventKind
from ..types import QueuePosition
from .face import PrivateFace, client_of
from .tokens import Tokens

NEEDS = ("create-ws-token", "query-open-trades")


def connect_level3(
    symbols: Iterable[str],
    credentials: Credentials | None = None,
    *,
    depth: int = 10,
    rest: RestClient | None = None,
    tokens: Tokens | None = None,
    ws_url: str = LEVEL3_WS_URL,
    rest_url: str = PUBLIC_REST_URL,
    ca_file: str | Path | None = None,
    ready_s: float = 20.0,
    events_max: int = 10_000,
    record: str | Path | CaptureWriter | None = None,
    **advanced: Any,
) -> Level3Feed:
    """Prepare a feed of level-3 books; `async with` opens it.

    Args:
        symbols: as on WebSocket v2, at most 200. The exchange lets 40, 8 or 2 a second be subscribed, by depth.
        credentials: of the key; None to look where `Credentials.find` does.
        depth: 10, 100 or 1000 price levels a side.
        rest: a client of the same key to use instead of one made here; it is not closed.
        tokens: those of an `Account` of the same key, to share.
        ws_url: the level-3 host; plain ws:// only for a loopback host.
        rest_url: its REST address, likewise.
        ca_file: the only authorities to trust, for an exchange in a box with TLS.
        ready_s: how long opening may take until every symbol delivers or was refused.
        events_max: one-by-one events that may wait for a slow iterator; books are coalesced.
        record: a file, made anew, that gets every message as it came; or a CaptureWriter, closed with the feed.
        advanced: fields of `session.SessionSettings`.

    Raises:
        ConfigError: a setting is wrong, or there is no key; nothing was sent.
    """
    settings = settings_of("level3", advanced, ready_s=ready_s, events_max=events_max)
    endpoints = Endpoints(ws_url=ws_url, rest_url=rest_url, ca_file=ca_file)
    return Level3Feed(
        client_of(credentials, rest, endpoints, settings, NEEDS),
        symbols=check_symbols(symbols),
        depth=check_level3_depth(depth),
        endpoints=endpoints,
        settings=settings,
        ready_s=ready_s,
        events_max=events_max,
        record=record,
        owns_rest=rest is None,
        tokens=tokens,
    )


class _Level3Session(Session):
    """A session whose books are level-3 ones."""

    def on_level3_lost(self, book: Level3Book, reason: str) -> None:
        """A book can no longer be trusted: ask for it anew, or learn that asking is of no use."""
        now_ns = self.clock.monotonic_ns
        self._note("level3_lost", symbol=book.symbol, reason=reason)
        if reason in ("checksum", "snapshot"):
            self.subscriptions.on_checksum_mismatch(
                book.symbol, now_ns, in_snapshot=reason == "snapshot", channel="level3"
            )
        else:
            self.subscriptions.resync("level3", book.symbol, reason, now_ns)
        self._take_events()  # now: what the book holds is dropped on return unless it is declared unverified
        self.pump_soon()

    def _distrust(self, event: SubscriptionEvent) -> None:
        book = self.decoder.level3(event.symbol)
        if book is None:
            return
        if event.kind is EventKind.UNVERIFIED:
            self._note("level3_unverified", symbol=book.symbol)
            book.give_up_verifying()
        elif book.is_valid:  # by a snapshot that came while it was being left
            book.await_snapshot()


class Level3Feed(PrivateFace):
    """Level-3 books of one line. Made by `connect_level3`; an async context manager, and iterable while open.

    Attributes:
        symbols, depth: as asked for.
        on_book: called with the live Level3Book after each of its messages; it is reused, valid during the call.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        symbols: tuple[str, ...],
        depth: int,
        endpoints: Endpoints,
        settings: SessionSettings,
        ready_s: float,
        events_max: int,
        record: str | Path | CaptureWriter | None,
        owns_rest: bool,
        tokens: Tokens | None,
    ) -> None:
        super().__init__(
            rest,
            settings,
            ready_s=ready_s,
            events_max=events_max,
            record=record,
            owns_rest=owns_rest,
            tokens=tokens,
        )
        self.symbols = symbols
        self.depth = depth
        self.on_book: Callable[[Level3Book], None] | None = None
        self.line = _Level3Session(endpoints, settings, self._tell, tokens=self.tokens)
        self.line.level3 = self._on_level3
        self.line.want("level3", symbols, depth=depth)

    def _on_level3(self, book: Level3Book) -> None:
        for stream in self._streams:
            stream.put_latest(("level3", book.symbol), partial(_copied, book))
        if self.on_book is not None:
            self._call(self.on_book, book)

    @property
    def refused(self) -> dict[tuple[str, str], SubscriptionError]:
        """What the exchange refused or never served, by (channel, symbol); a copy."""
        return dict(self.line.refused)

    def live_book(self, symbol: str) -> Level3Book:
        """The store itself, for hot code: no copy, changes with the next message.

        Raises:
            UnknownSymbolError: not subscribed to.
        """
        book = self.line.decoder.level3(symbol) or self.line.decoder.level3(canonical_symbol(symbol))
        if book is None:
            raise UnknownSymbolError.among(symbol, dict.fromkeys(self.symbols))
        return book

    def book(self, symbol: str, *, strict: bool = False) -> Level3Snapshot:
        """Copy the latest book of a symbol. Its `quality` tells how far to trust it.

        Raises:
            UnknownSymbolError: not subscribed to.
            StaleDataError: strict, and the book is not live, or crossed.
        """
        book = self.live_book(symbol)
        if strict and (book.quality != "live" or book.crossed):
            raise StaleDataError(f"level3 {symbol}", "crossed" if book.crossed else book.quality, book.age_ms)
        return book.snapshot()

    def queue_position(self, symbol: str, order_id: str, *, strict: bool = True) -> QueuePosition | None:
        """Tell where an order stands in the queue of its price; None if it is not within the book's depth.

        Raises:
            UnknownSymbolError: not subscribed to.
            StaleDataError: strict, and the book is not live.
        """
        book = self.live_book(symbol)
        if strict and book.quality != "live":
            raise StaleDataError(f"level3 {symbol}", book.quality, book.age_ms)
        return book.queue_position(order_id)


def _copied(book: Level3Book) -> Event:
    return book.snapshot()
