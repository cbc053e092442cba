"""Faults of network, WebSocket and process, in virtual time through the whole client: bounds hold exactly.

What a row of the catalogue asks of two lines, of REST or of orders is tested where those are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from kraken_fast import ClosedError, ConnectError, Feed, OrderBook, StaleDataError
from kraken_fast.sim.network import ADDRESS, DEAD_ADDRESS, HOST, Route

from .harness import SYMBOLS, Simulation, close_codes, is_live, requests

WAY_S = 0.005
"""From the exchange to the client, on the default route."""

DETECT_S = 0.005
RECOVER_S = 1.0
"""Bounds of N01: from the arrival of the loss to DOWN, and until all is live again."""


def assert_nothing_live(feed: Feed) -> None:
    """No book is called live, and strict reads say so."""
    for symbol in feed.symbols:
        assert feed.book(symbol).quality in ("stale", "none")
        with pytest.raises(StaleDataError):
            feed.book(symbol, strict=True)


# Network: N ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param("rst", "reset by peer", marks=pytest.mark.fault("N01", kind="D")),
        pytest.param("fin", "end of stream without a close frame", marks=pytest.mark.fault("N02", kind="D")),
    ],
)
def test_loss_is_seen_at_once_and_healed(kind: str, reason: str) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)
    at_loss: list[str] = []

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            feed_notice = feed.on_notice

            def notice(event: Any) -> None:
                assert feed_notice is not None
                feed_notice(event)
                if getattr(event, "new", "") == "down":
                    at_loss.extend(feed.book(symbol).quality for symbol in SYMBOLS)

            feed.on_notice = notice
            begun_s = sim.now_s
            sim.faults.inject(kind)
            await sim.until(lambda: feed.state != "live", WAY_S + DETECT_S, step_s=0.0005)
            assert_nothing_live(feed)
            assert reason in sim.changes(begun_s)[0][2]
            await sim.until(lambda: is_live(feed), RECOVER_S)
            assert feed.stats().connections == 2
            await sim.sleep(5)

    sim.run(main())
    assert sim.faults.fired[kind] == 1
    assert len(at_loss) == len(SYMBOLS), "the loss was told once"
    # Told of it in the very callback, a reader must already find nothing live.
    assert "live" not in at_loss


@pytest.mark.fault("N03", kind="D")
@pytest.mark.parametrize("rate", [0.0, 20.0])
def test_silence_is_stale_then_down(rate: float) -> None:
    sim = Simulation(SYMBOLS, rate=rate)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(3.3)
            sim.faults.inject("hole", session=sim.core.sessions[0].number, direction="both")
            await sim.sleep(2 * WAY_S)  # what was on its way has come
            last_s = sim.now_s - feed._session.connection.silent_ms / 1e3  # type: ignore[union-attr]
            await sim.until(lambda: not is_live(feed), last_s + 1.501 - sim.now_s)
            assert sim.now_s >= last_s + 1.499, "not before either"
            assert_nothing_live(feed)
            await sim.until(lambda: feed.state == "suspect", last_s + 1.501 - sim.now_s + 0.002)
            await sim.until(lambda: feed.state != "suspect", last_s + 3.002 - sim.now_s, step_s=0.0005)
            assert sim.now_s >= last_s + 2.998
            assert ("down", "line silent for 3001 ms") in [change[1:] for change in sim.changes()]
            await sim.until(lambda: is_live(feed), RECOVER_S)

    sim.run(main())
    assert sim.faults.fired["hole"] == 1


@pytest.mark.fault("N08", kind="D")
def test_jitter_is_no_death() -> None:
    sim = Simulation(SYMBOLS, rate=20.0, route=lambda _n: Route(jitter_ms=500.0))
    stamps: dict[str, list[int]] = {}

    async def main() -> None:
        async with sim.connect() as feed:
            log = feed.on_book

            def on_book(book: OrderBook) -> None:
                assert log is not None
                log(book)
                stamps.setdefault(book.symbol, []).append(book.exch_ns or 0)

            feed.on_book = on_book
            while sim.now_s < 120:
                await sim.sleep(0.01)
                assert is_live(feed), "no stale flag while frames flow"
            assert feed.stats().connections == 1
            assert feed.stats().books_mismatched == 0

    sim.run(main())
    assert all(sorted(times) == times and len(times) > 1000 for times in stamps.values())


@pytest.mark.fault("N09", kind="D")
def test_one_byte_segments_change_nothing() -> None:
    def deliver(size_bytes: int) -> tuple[str, int]:
        sim = Simulation(SYMBOLS, rate=10.0)
        if size_bytes:
            sim.faults.inject("slice", size_bytes=size_bytes)

        async def main() -> None:
            async with sim.connect(channels=("book", "ticker", "trade", "ohlc")):
                await sim.sleep(20)

        sim.run(main())
        assert sim.faults.fired["slice"] == bool(size_bytes)
        return sim.log.digest(), sim.loop.turns

    whole, turns = deliver(0)
    sliced, more_turns = deliver(1)
    assert sliced == whole
    assert more_turns > 50 * turns, "each byte was a read of its own"
    assert deliver(7)[0] == whole


@pytest.mark.fault("N10", kind="D")
def test_many_frames_in_one_segment_then_a_part() -> None:
    def deliver(*, together: bool) -> tuple[dict[str, list[str]], int]:
        route = Route(coalesce_ms=200.0) if together else Route()
        sim = Simulation(SYMBOLS, rate=20.0, keep=None, route=lambda _n: route)
        if together:
            sim.faults.inject("slice", size_bytes=100, gap_ms=1)  # so reads end in the middle of frames
        reads = 0

        async def main() -> None:
            nonlocal reads
            async with sim.connect() as feed:
                await sim.sleep(30)
                assert feed.stats().books_mismatched == 0
                reads = feed._session.connection.listener.messages_per_read_max  # type: ignore[union-attr]

        sim.run(main())
        books: dict[str, list[str]] = {symbol: [] for symbol in SYMBOLS}
        for line in sim.log.tail:
            _, what, *rest = line.split(" ")
            if what == "book":
                books[rest[0]].append(" ".join(rest))
        return books, reads

    one_by_one, few = deliver(together=False)
    together, many = deliver(together=True)
    assert many > 5 > few, "messages_per_read_max tells the difference"
    for symbol in SYMBOLS:
        # Both subscribed at times of their own: they must agree from the later snapshot to the earlier end.
        first, second = one_by_one[symbol], together[symbol]
        begin = max(first.index(second[1]), 1)
        end = min(len(first) - begin, len(second) - 1)
        assert end > 300
        assert first[begin : begin + end] == second[1 : 1 + end]


@pytest.mark.fault("N12", kind="D")
def test_flapping_backs_off_within_the_budget() -> None:
    sim = Simulation(["BTC/USD"], rate=5.0)

    async def main() -> None:
        async with sim.connect() as feed:
            while sim.now_s < 600:
                await sim.until(lambda: feed.state == "live", 60.0, step_s=0.05)
                await sim.sleep(2)
                sim.faults.inject("rst")
                await sim.until(lambda: feed.state != "live", 0.1)
            waits = [later - earlier for earlier, later in pairwise(sim.attempts_s())]
            assert max(waits[:3]) < 2.5, "three instant tries"
            assert max(waits[6:]) > 10.0, "then the pause grows"
            assert len(sim.network.attempts_ns) <= 100
            # Short of thirty stable seconds nothing is forgiven; after them the next tries are instant again.
            await sim.until(lambda: feed.state == "live", 60.0)
            await sim.sleep(29)
            assert feed._session.connection._backoff.tries > 3  # type: ignore[union-attr]
            await sim.sleep(2)
            begun_s = sim.now_s
            sim.faults.inject("rst")
            await sim.until(lambda: feed.state != "live", 0.1)
            await sim.until(lambda: is_live(feed), RECOVER_S)
            assert sim.attempts_s()[-1] - begun_s < 0.2

    sim.run(main())
    # S22 was checked by the oracle in every window; the exchange itself would have refused after 150.


def test_budget_bounds_attempts_that_fail_at_once() -> None:
    """What the backoff alone would allow, the budget cuts: 100 in any 600 s."""
    sim = Simulation(["BTC/USD"], rate=0.0)

    async def main() -> None:
        async with sim.connect() as feed:
            sim.faults.inject("refuse")
            connection = feed._session.connection
            assert connection is not None
            connection._backoff.CAP_S = connection._backoff.BASE_S = 0.1
            sim.faults.inject("rst")
            await sim.sleep(1500)

    sim.run(main())
    assert 200 <= len(sim.network.attempts_ns) <= 301


@pytest.mark.fault("N13", kind="D")
def test_names_that_do_not_resolve() -> None:
    sim = Simulation(SYMBOLS)
    sim.network.dns_down = True

    async def main() -> None:
        sim.loop.call_later(40, lambda: setattr(sim.network, "dns_down", False))
        async with sim.connect(ready_s=120) as feed:
            # The pause that was drawn before the name came back is the one backoff step that is allowed.
            last = [change for change in sim.changes() if change[1] == "backoff"][-1]
            assert sim.now_s - 40 <= float(last[2].split()[3]) + 0.1
            assert any("cannot resolve" in reason for _, _, reason in sim.changes())
            assert is_live(feed)

    sim.run(main())
    assert sim.network.lookups > 4
    assert sim.network.lookups == len([1 for _, new, _ in sim.changes() if new == "connecting"]), "no cache"


@pytest.mark.fault("N13", kind="D")
def test_names_that_never_resolve_are_an_error_of_ours() -> None:
    sim = Simulation(SYMBOLS)
    sim.network.dns_down = True

    async def main() -> None:
        with pytest.raises(ConnectError, match="cannot resolve"):
            await sim.connect().open()

    sim.run(main())


@pytest.mark.fault("N13", kind="D")
def test_dead_address_first() -> None:
    sim = Simulation(SYMBOLS)
    sim.network.hosts[HOST] = [DEAD_ADDRESS, ADDRESS]

    async def main() -> None:
        async with sim.connect() as feed:
            assert is_live(feed)
            # RFC 8305: the next address has its turn after 250 ms, not after a time-out of five seconds.
            assert sim.now_s < 0.25 + 0.1

    sim.run(main())
    assert len(sim.network.attempts_ns) == 2


@pytest.mark.fault("N14", kind="D")
def test_connecting_that_hangs_is_abandoned() -> None:
    sim = Simulation(SYMBOLS)

    async def main() -> None:
        async with sim.connect() as feed:
            sim.network.syn_lost = True
            sim.faults.inject("rst")
            await sim.sleep(12)
            sim.network.syn_lost = False
            await sim.until(lambda: is_live(feed), 6.0)

    sim.run(main())
    assert_each_attempt_took_five_seconds(sim, at_least=2)


@pytest.mark.fault("N15", kind="D")
def test_upgrade_that_drips_is_abandoned() -> None:
    sim = Simulation(SYMBOLS)

    async def main() -> None:
        async with sim.connect() as feed:
            sim.faults.inject("rst")
            drip = sim.faults.inject("drip", interval_ms=1000)
            await sim.sleep(12)
            assert drip.fired >= 2
            drip.clear()
            await sim.until(lambda: is_live(feed), 6.0)

    sim.run(main())
    assert_each_attempt_took_five_seconds(sim, at_least=2)


def assert_each_attempt_took_five_seconds(sim: Simulation, at_least: int) -> None:
    """T_connect, exactly."""
    changes = sim.changes()
    took = [
        later[0] - earlier[0]
        for earlier, later in pairwise(changes)
        if (earlier[1], later[1]) == ("connecting", "down")
    ]
    assert len(took) >= at_least
    assert all(seconds == pytest.approx(5.0, abs=1e-6) for seconds in took)


@pytest.mark.fault("N18", kind="D")
def test_network_gone_for_ten_minutes() -> None:
    symbols = [*SYMBOLS, "SOL/USD", "ETH/BTC", "XRP/USD", "LTC/USD", "ADA/USD", "DOT/USD", "LINK/USD"]
    sim = Simulation(symbols, rate=2.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade", "ohlc")) as feed:
            await sim.sleep(5)
            hole = sim.faults.inject("hole", direction="both")
            sim.network.listening.clear()
            await sim.sleep(600)
            assert_nothing_live(feed)
            sim.network.listening.add(ADDRESS)
            hole.clear()
            healed_s = sim.now_s
            await sim.until(lambda: is_live(feed), 30.0 + 15.0 * len(symbols) / 1000)
            assert len([at for at in sim.attempts_s() if at >= healed_s]) == 1, "one line, one wave"
            asked = [r for at, r in requests(sim) if at >= healed_s and r["method"] == "subscribe"]
            assert len(asked) == 5, "one request a channel, not one a symbol"
            await sim.sleep(10)

    sim.run(main())
    assert len(sim.network.attempts_ns) <= 100


# WebSocket: W --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("W09", kind="D")
@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013])
def test_close_codes(code: int) -> None:
    sim = Simulation(SYMBOLS)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            begun_s = sim.now_s
            sim.faults.inject("close", code=code, reason="proxy restarting")
            await sim.until(lambda: feed.state != "live", WAY_S + DETECT_S)
            change = sim.changes(begun_s)[0]
            assert change[1] == "down"
            assert str(code) in change[2]
            assert "proxy restarting" in change[2]
            await sim.until(lambda: is_live(feed), 10.0)
            pause_s = sim.attempts_s()[-1] - begun_s
            if code in (1008, 1013):
                assert 5.0 <= pause_s <= 5.2
            else:
                assert pause_s <= 0.2
            assert close_codes(sim) == [code], "a close frame is answered in kind"

    sim.run(main())


@pytest.mark.fault("W09", kind="D")
@pytest.mark.parametrize("code", [0, 1005, 1006, 1015, 2999])
def test_illegal_close_codes(code: int) -> None:
    sim = Simulation(SYMBOLS)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            begun_s = sim.now_s
            sim.faults.inject("close", code=code)
            await sim.until(lambda: feed.state != "live", WAY_S + DETECT_S)
            await sim.until(lambda: is_live(feed), RECOVER_S)
            assert close_codes(sim) == [1002]
            assert sim.changes(begun_s)[0][1] == "down"

    sim.run(main())


def test_line_that_dies_before_its_status_is_subscribed_anew() -> None:
    """Seed 19 of the swarm: the wait for the status ended after the line had, and the next line was never asked."""
    sim = Simulation(SYMBOLS)

    async def main() -> None:
        async with sim.connect() as feed:
            sim.core.set_system_status("maintenance")  # so that five seconds lie between two attempts
            sim.network.wake()
            await sim.sleep(0.1)
            sim.faults.inject("bad_utf8", message="status")
            sim.faults.inject("rst")
            await sim.until(lambda: feed.stats().connections == 2 and feed.state == "backoff", 6.0)
            await sim.until(lambda: feed.state == "live", 6.0)
            await sim.until(lambda: is_live(feed), 0.1)

    sim.run(main())


@pytest.mark.fault("W12", kind="D")
def test_unanswered_ping_is_no_death_while_data_flows() -> None:
    """Of WebSocket's own kind, and one answer of the exchange's lost: only when nothing is answered at all, N05."""
    sim = Simulation(SYMBOLS)
    sim.faults.inject("no_pong")

    async def main() -> None:
        async with sim.connect() as feed:
            connection = feed._session.connection
            assert connection is not None
            connection.listener.transport.send_ping(b"there?")
            await sim.sleep(20)
            assert sim.faults.fired["no_pong"] == 1
            for _ in range(5):
                sim.faults.inject("drop", count=1, message="pong")
                await sim.sleep(8)
            assert sim.faults.fired["drop"] == 5
            assert connection.app_pings_sent > 30
            assert feed.stats().connections == 1
            assert is_live(feed)

    sim.run(main())
    assert [new for _, new, _ in sim.changes()][-2:] == ["live", "closed"]


@pytest.mark.fault("W17", kind="D")
def test_callback_that_raises() -> None:
    """A user's exception is counted; what was decoded stands, the line is not touched, other callbacks go on."""
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "trade")) as feed:
            calls = 0

            def on_book(_book: OrderBook) -> None:
                nonlocal calls
                calls += 1
                raise KeyError("a bot's own mistake")

            feed.on_book = on_book
            trades = sim.log.count
            await sim.sleep(10)
            assert feed.stats().callback_failures == calls > 100
            assert sim.log.count > trades, "trades are delivered as before"
            assert feed.stats().connections == 1
            assert is_live(feed)

    sim.run(main())


@pytest.mark.fault("W17", kind="D")
def test_exception_in_our_own_call_stack_recycles_the_line() -> None:
    """One that leaves state in doubt ends the connection: nothing dead looks alive."""
    sim = Simulation(SYMBOLS, rate=20.0)
    sim.oracle.plants_errors = True

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(1)
            raised: list[float] = []
            subscriptions = feed._session.subscriptions
            on_mismatch = subscriptions.on_checksum_mismatch

            def fail(*args: Any, **kwargs: Any) -> None:
                if not raised:
                    raised.append(sim.now_s)
                    raise RuntimeError("planted")
                on_mismatch(*args, **kwargs)

            subscriptions.on_checksum_mismatch = fail  # type: ignore[method-assign]
            sim.faults.inject("bad_checksum", symbol="BTC/USD")
            await sim.until(lambda: bool(raised), 2.0)
            await sim.until(lambda: feed.state != "live", 0.05)
            assert sim.now_s - raised[0] <= 0.05
            await sim.until(lambda: is_live(feed), RECOVER_S)
            assert feed.stats().connections == 2

    sim.run(main())


# Process: P ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("P04", kind="D")
@pytest.mark.parametrize("timers_first", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("seconds", [2, 10])
def test_blocked_loop_is_no_silent_line(seconds: int, *, timers_first: bool) -> None:
    sim = Simulation(SYMBOLS, rate=20.0, timers_first=timers_first)

    async def main() -> None:
        async with sim.connect() as feed:
            await sim.sleep(2)
            sim.loop.block(seconds)
            assert not is_live(feed), "what nobody read for so long is not live"
            await sim.until(lambda: is_live(feed), 1.0)
            await sim.sleep(5)
            assert feed.stats().connections == 1, "no false death"
            assert feed.stats().books_mismatched == 0
            lag_ms = feed._session.connection.loop_lag_ms_max  # type: ignore[union-attr]
            assert seconds * 1000 - 500 <= lag_ms <= seconds * 1000

    sim.run(main())
    assert "down" not in [new for _, new, _ in sim.changes()]


def break_names(sim: Simulation) -> None:
    """Attempts fail, so the line waits."""
    sim.network.dns_down = True


def lose_syn(sim: Simulation) -> None:
    """Connecting hangs."""
    sim.network.syn_lost = True


def hang(sim: Simulation) -> None:
    """The upgrade is never answered."""
    sim.faults.inject("hang")


def nothing(_sim: Simulation) -> None:
    """Opening in full swing."""


@pytest.mark.fault("P09", kind="D")
@pytest.mark.parametrize("prepare", [break_names, lose_syn, hang, nothing])
@pytest.mark.parametrize("after_s", [0.0, 0.0005, 0.003, 0.012, 0.018, 0.03, 0.7])
def test_close_while_opening(prepare: Callable[[Simulation], None], after_s: float) -> None:
    sim = Simulation(SYMBOLS)
    prepare(sim)

    async def main() -> None:
        feed = sim.connect()
        opening = asyncio.ensure_future(feed.open())
        await sim.sleep(after_s)
        await assert_closes(sim, feed)
        await asyncio.wait([opening], timeout=1.0)
        assert opening.done(), "who waits for the opening learns of the end"
        error = opening.exception()
        assert error is None or isinstance(error, ClosedError)

    sim.run(main())


@pytest.mark.fault("P09", kind="D")
@pytest.mark.parametrize("kind", ["", "rst", "hole", "bad_checksum", "hang", "half_open", "no_close_reply"])
@pytest.mark.parametrize("after_s", [0.0, 0.006, 0.02, 0.5, 2.0, 3.5])
def test_close_in_every_state(kind: str, after_s: float) -> None:
    sim = Simulation(SYMBOLS, rate=20.0)

    async def main() -> None:
        feed = sim.connect(channels=("book", "trade"))
        await feed.open()
        await sim.sleep(1)
        if kind:
            sim.faults.inject(kind)
        if kind == "hang":
            sim.faults.inject("rst")
        await sim.sleep(after_s)
        await assert_closes(sim, feed)

    sim.run(main())


async def assert_closes(sim: Simulation, feed: Feed) -> None:
    """V07 and P09: within a second; twice is fine; nothing is left; afterwards it is closed."""
    begun_s = sim.now_s
    await feed.close()
    assert sim.now_s - begun_s <= 1.0
    await feed.close()
    with pytest.raises(ClosedError):
        feed.events()
    with pytest.raises(ClosedError):
        await feed.open()
    await sim.sleep(0)
    await sim.sleep(0)
    assert feed.state == "closed"
    mine = {asyncio.current_task()}
    left = [task for task in asyncio.all_tasks() if task not in mine and "open" not in repr(task)]
    assert not left
    timers = [timer for timer in sim.loop.pending_timers if "kraken_fast" in repr(timer)]
    assert not timers
    await sim.sleep(0.1)
    assert not sim.network.connections, "no socket is left"


@pytest.mark.parametrize("kind", ["", "no_heartbeat"])
def test_idle_client_sleeps(kind: str) -> None:
    """V08: at most 50 turns of the loop a second when nothing happens, also while reconnecting."""
    sim = Simulation(SYMBOLS, rate=0.0)

    async def main() -> None:
        async with sim.connect(channels=("book", "ticker", "trade")) as feed:
            await sim.sleep(1)
            if kind:
                sim.faults.inject(kind)
            turns = sim.loop.turns
            await sim.sleep(60)
            assert sim.loop.turns - turns <= 50 * 60
            assert feed.stats().messages > 0

    sim.run(main())
