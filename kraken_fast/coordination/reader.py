"""Reading: the freshest replica that can be trusted, chosen at the moment of reading; REST when no line has one.

    strict                      a live value of a line, young enough, or StaleDataError
    a line serves it            that
    REST serves it (`health`)   the value of REST that is held, else what a line has, else a call
    a line has it, too old      a call, if REST is within its share
    nothing                     NoSourceError, with every source's reason

Of two values that are not live the one that was proven current last is given, whatever its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import check_ohlc_interval
from ..core.arbiter import Arbiter
from ..core.market import Candle
from ..core.shape import aged_book, aged_ticker, candle_of
from ..errors import ConfigError, KrakenFastError, NoSourceError, StaleDataError, UnknownSymbolError
from ..names import canonical_symbol
from ..rest.endpoints import RestClient
from ..session import Session
from ..types import Quality
from .fallback import RestSource
from .health import Source, Switch
from .lines import Lines
from .readings import Candles, Trades
from .shares import ShareLedger

REST_AGE_MS = 5_000.0
"""A value from REST is given for so long unless a reader says otherwise."""


class Reader:
    """Answers reads.

    Args:
        symbols: what is subscribed.
        channels: of it.
        interval: of the candles that lines bring, minutes.
        lines, rest, client: the sources.
        switches: which source serves what.
        shares: counts.
        rest_wait_s: how long a read waits for REST.
    """

    def __init__(
        self,
        *,
        symbols: tuple[str, ...],
        channels: tuple[str, ...],
        interval: int,
        lines: Lines,
        rest: RestSource,
        client: RestClient,
        switches: Mapping[tuple[str, str], Switch],
        shares: ShareLedger,
        rest_wait_s: float,
    ) -> None:
        self._symbols = dict.fromkeys(symbols)
        self._channels = channels
        self._interval = interval
        self._lines = lines
        self._arbiter: Arbiter = lines.arbiter
        self._clock = lines.clock
        self._rest = rest
        self._client = client
        self._switches = switches
        self._ledger = shares
        self._rest_wait_s = rest_wait_s

    def known(self, symbol: str) -> str:
        """Give the one name of a symbol that is subscribed."""
        for name in (symbol, canonical_symbol(symbol)):
            if name in self._symbols:
                return name
        raise UnknownSymbolError.among(symbol, self._symbols)

    def _of_lines(self, channel: str, symbol: str) -> Any:
        return self._arbiter.read_book(symbol) if channel == "book" else self._arbiter.read_ticker(symbol)

    def _of_rest(self, channel: str, symbol: str) -> Any:
        held = self._rest.value(channel, symbol)
        if held is None:
            return None
        value, age_ms = held
        return aged_book(value, age_ms) if channel == "book" else aged_ticker(value, age_ms)

    def _read(self, channel: str, symbol: str, max_age_ms: float | None, *, strict: bool) -> Any:
        """Choose among what is there; None if REST has to be asked."""
        self.check_channel(channel)
        name, now_ns = self.known(symbol), self._clock.monotonic_ns
        value = self._of_lines(channel, name)
        is_live = value is not None and value.quality == "live" and not (strict and getattr(value, "crossed", False))
        is_young = is_live and _is_within(value, max_age_ms)
        if strict and not is_young:
            self._ledger.refused(now_ns)
            raise _stale(channel, name, value)
        serves_rest = self._switches[channel, name].source is Source.REST
        if is_young and (strict or not serves_rest):
            self._ledger.served("websocket", now_ns)
            return value
        held = self._of_rest(channel, name)
        bound_ms = REST_AGE_MS if max_age_ms is None else max_age_ms
        if held is not None and held.age_ms <= bound_ms and (is_live or _is_younger(held, value)):
            self._rest.note_read(channel, name)
            self._ledger.served("rest", now_ns, emergency=True)
            return held
        if is_young:
            self._ledger.served("websocket", now_ns)
            return value
        if is_live and not self._ledger.may_spend(now_ns):
            self._ledger.refused(now_ns)
            raise _stale(channel, name, value)
        return None

    async def get(self, channel: str, symbol: str, max_age_ms: float | None, *, strict: bool) -> Any:
        """Get a book or ticker; see `UnifiedDataCoordinator.get_order_book`."""
        value = self._read(channel, symbol, max_age_ms, strict=strict)
        return value if value is not None else await self._read_rest(channel, self.known(symbol), max_age_ms)

    async def _read_rest(self, channel: str, name: str, max_age_ms: float | None) -> Any:
        """Ask REST; if it has nothing, the last of the lines is given as what it is, or nothing at all."""
        is_emergency = not self.is_live(channel, name)
        try:
            await self._rest.ask(channel, name, self._rest_wait_s)
        except NoSourceError as error:
            value = self._of_lines(channel, name)
            if value is not None and _is_within(value, max_age_ms):
                self._ledger.served("websocket", self._clock.monotonic_ns)
                return value
            self._ledger.refused(self._clock.monotonic_ns)
            reasons = {**self._lines.reasons(channel, name), **error.reasons}
            raise NoSourceError(f"{channel} {name}", reasons) from error
        held, value = self._of_rest(channel, name), self._of_lines(channel, name)
        suffices = value is not None and value.quality == "live" and _is_within(value, max_age_ms)
        if suffices or _is_younger(value, held):
            held = value  # a line came back, or said something, while REST was asked
        if not _is_within(held, max_age_ms):
            self._ledger.refused(self._clock.monotonic_ns)
            raise StaleDataError(f"{channel} {name}", held.quality, held.age_ms)
        self._ledger.served(held.source, self._clock.monotonic_ns, emergency=is_emergency)
        return held

    def is_live(self, channel: str, name: str) -> bool:
        """Tell whether a line has a live one."""
        find = self._arbiter.book if channel == "book" else self._arbiter.ticker
        return find(name) is not None

    def now(self, channel: str, symbol: str, *, strict: bool) -> Any:
        """Give what there is, without waiting."""
        try:
            value = self._read(channel, symbol, None, strict=strict)
        except StaleDataError:
            if strict:
                raise
            value = None
        name = self.known(symbol)
        if value is None:
            self._rest.note_read(channel, name)
            value = self._of_lines(channel, name)
            held = self._of_rest(channel, name)
            if _is_younger(held, value):
                value = held
            if value is None:
                self._ledger.refused(self._clock.monotonic_ns)
                reasons = self._lines.reasons(channel, name)
                raise NoSourceError(f"{channel} {name}", {**reasons, "rest": self._rest.reason(channel, name)})
            self._ledger.served(value.source, self._clock.monotonic_ns, emergency=True)
        return value

    # Trades and candles ------------------------------------------------------------------------------------------

    async def trades(self, symbol: str, max_age_ms: float | None, *, strict: bool) -> Trades:
        """Get the last public trades; see the coordinator."""
        self.check_channel("trade")
        name, now_ns = self.known(symbol), self._clock.monotonic_ns
        log = self._arbiter.trades_of(name).log
        alive = self._lines.delivers("trade", name)
        if alive:
            age_ms = _heard_age_ms(alive, now_ns)
            if max_age_ms is None or age_ms <= max_age_ms:
                self._ledger.served("websocket", now_ns)
                return Trades(symbol=name, trades=log.recent(), source="websocket", age_ms=age_ms, quality="live")
        if strict:
            raise StaleDataError(f"trades {name}", "stale" if log.count else "none")
        held = self._rest.value("trade", name)
        if held is None or held[1] > (REST_AGE_MS if max_age_ms is None else max_age_ms):
            if alive and not self._ledger.may_spend(now_ns):
                raise StaleDataError(f"trades {name}", "live", _heard_age_ms(alive, now_ns))
            try:
                await self._rest.ask("trade", name, self._rest_wait_s)
            except NoSourceError as error:
                raise NoSourceError(
                    f"trades {name}", {**self._lines.reasons("trade", name), **error.reasons}
                ) from error
            held = self._rest.value("trade", name)
        assert held is not None
        self._ledger.served("rest", self._clock.monotonic_ns, emergency=not alive)
        return Trades(symbol=name, trades=log.recent(), source="rest", age_ms=held[1], quality="rest")

    async def candles(
        self, symbol: str, interval: int | None, max_age_ms: float | None, *, strict: bool
    ) -> Candles:
        """Get candles; see the coordinator."""
        name, now_ns = self.known(symbol), self._clock.monotonic_ns
        minutes = self._interval if interval is None else check_ohlc_interval(interval)
        alive = self._lines.delivers("ohlc", name) if minutes == self._interval else []
        candles = self._arbiter.candles_of(name, minutes).log.recent() if alive else ()
        if candles:
            age_ms = _heard_age_ms(alive, now_ns)
            if max_age_ms is None or age_ms <= max_age_ms:
                self._ledger.served("websocket", now_ns)
                return _candles(name, minutes, candles, "websocket", age_ms, "live")
        if strict:
            raise StaleDataError(f"candles {name}", "stale" if candles else "none")
        bound_s = (REST_AGE_MS if max_age_ms is None else max_age_ms) / 1000
        if alive and not self._ledger.may_spend(now_ns):
            raise NoSourceError(f"candles {name}", {"rest": "its share of what is read is used up"})
        is_subscribed = "ohlc" in self._channels and minutes == self._interval
        purpose = "emergency" if is_subscribed and not alive else "read"
        self._ledger.called(purpose, now_ns)
        try:
            page = await self._client.fetch_candles(symbol=name, interval=minutes, max_age_s=bound_s)
        except KrakenFastError as error:
            raise NoSourceError(
                f"candles {name}", {**self._lines.reasons("ohlc", name), "rest": str(error)}
            ) from error
        self._ledger.served("rest", self._clock.monotonic_ns, emergency=purpose == "emergency")
        shaped = tuple(
            candle_of(
                name,
                minutes,
                (row.open, row.high, row.low, row.close, row.vwap, row.qty),
                trades=row.trades,
                begin_ns=row.begin_ns,
                closed=row.closed,
                asked_ns=now_ns,
            )
            for row in page.candles
        )
        return _candles(name, minutes, shaped, "rest", bound_s * 1000, "rest")

    def check_channel(self, channel: str) -> None:
        """Refuse what was not asked for when the coordinator was made."""
        if channel not in self._channels:
            raise ConfigError("channels", channel, f"one of those asked for: {', '.join(self._channels)}")


def _is_within(value: Any, max_age_ms: float | None) -> bool:
    """Whether a value is no older than that; one that was never proven is older than anything."""
    return max_age_ms is None or (value.age_ms is not None and value.age_ms <= max_age_ms)


def _is_younger(value: Any, other: Any) -> bool:
    """Whether there is a value, and what there is else was proven current before it, or never."""
    if value is None or value.age_ms is None:
        return value is not None and other is None
    return other is None or other.age_ms is None or value.age_ms < other.age_ms


def _heard_age_ms(sessions: list[Session], now_ns: int) -> float:
    """Give how long ago the line that was heard last was heard."""
    return (now_ns - max(session.decoder.line.last_heard_ns or 0 for session in sessions)) / 1e6


def _stale(channel: str, name: str, value: Any) -> StaleDataError:
    if value is None:
        return StaleDataError(f"{channel} {name}", "none")
    quality = "crossed" if getattr(value, "crossed", False) else value.quality
    return StaleDataError(f"{channel} {name}", quality, value.age_ms)


def _candles(
    name: str, minutes: int, candles: tuple[Candle, ...], source: str, age_ms: float, quality: Quality
) -> Candles:
    return Candles(symbol=name, interval=minutes, candles=candles, source=source, age_ms=age_ms, quality=quality)
