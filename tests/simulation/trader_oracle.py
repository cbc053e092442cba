"""The oracle of a trader: what must hold of account, orders and REST whenever an instant is over.

Its knowledge is its own: the exchange's books, the bytes that the client reads and writes, the calls at REST's port,
and what the trader asked for. Numbers of invariants are those of the fault catalogue, section 3; `counts` tells how
often each was checked.

Checked here: S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S29 S33 S34, and by `trader_swarm` V01 V03 to V07 V09.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kraken_fast.core.execution import Execution
from kraken_fast.orders.live_order import Order
from kraken_fast.orders.records import OrderState
from kraken_fast.rest.http import HttpRequest, HttpResponse

from .accounts import BTC, AccountWorld, S
from .trader_wire import CHANNELS, PrivateDownstream, Upstream, name_of, orders_of

_S = OrderState
ABSENT = (_S.REJECTED, _S.NOT_PLACED, _S.NOT_SENT)
ENDED = (_S.FILLED, _S.CANCELED, _S.EXPIRED)
PROOFS = {"journal", "wire", "reply", "event", "query", "absence", "correction"}
ADDS = ("AddOrder", "AddOrderBatch")
ORDER_CALLS = (*ADDS, "EditOrder", "AmendOrder", "CancelOrder", "CancelAll", "CancelOrderBatch", "CancelAllOrdersAfter")
SWEEP_NS = 250_000_000
LOCKOUT_NS = 900 * S
"""What a client has to take a lockout for. Source: faults.md A06."""

_TOKEN = re.compile(rb'"token":"([^"]+)"')

LEGAL: dict[OrderState, tuple[OrderState, ...]] = {
    _S.DRAFT: (_S.JOURNALLED,),
    _S.JOURNALLED: (_S.SENT, _S.NOT_SENT, _S.UNKNOWN),
    _S.SENT: (_S.ACKED, _S.OPEN, _S.PARTIAL, *ENDED, _S.UNKNOWN, _S.REJECTED, _S.NOT_SENT),
    _S.UNKNOWN: (_S.ACKED, _S.OPEN, _S.PARTIAL, *ENDED, _S.REJECTED, _S.NOT_PLACED),
    _S.ACKED: (_S.OPEN, _S.PARTIAL, *ENDED),
    _S.OPEN: (_S.PARTIAL, *ENDED),
    _S.PARTIAL: ENDED,
    _S.CANCELED: (_S.FILLED,),
    _S.EXPIRED: (_S.FILLED,),
}
"""S18. Source: faults.md section 0, Order state. What ended otherwise opens again by a correction alone."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


class Witness(logging.Handler):
    """Hears every word of the log, whatever its level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: deque[str] = deque(maxlen=1000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it as it would be written, its traceback too."""
        self.lines.append(self.format(record))


class TraderOracle:
    """See the module's text. `trader` is set by whoever makes the run."""

    def __init__(self, world: AccountWorld, log: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self.checks = 0
        self.fills: list[Execution] = []
        self.asked: dict[str, dict[str, Any]] = {}
        self.called_absent: set[str] = set()
        self.wall_steps = 0
        self.witness = Witness()
        self.trader: Any = None
        self.last_nonce = 0
        self._world = world
        self._log = log
        self._kept: BaseException | None = None
        self._is_over = False
        self._down: dict[int, PrivateDownstream] = {}
        self._up: dict[int, Upstream] = {}
        self._last = 0
        self._adds: Counter[str] = Counter()
        self._amends: dict[str, set[Decimal]] = {}
        self._filled: dict[str, Decimal] = {}
        self._told: set[str] = set()
        self._cancels: dict[str, tuple[int, Any]] = {}
        self._at_port: Counter[str] = Counter()
        self._token = "", 0, 0
        self._calls: deque[tuple[int, int, int]] = deque()
        self._locked_until_ns = 0
        self._swept_ns = 0
        self._ledger: list[dict[str, Decimal]] = []
        self._ledger_at: dict[str, int] = {}
        self._seen_events = 0
        self._names_at_exchange: Counter[str] = Counter()
        self._known_ids: set[str] = set()
        world.network.on_wire = self._on_wire
        world.network.on_send = self._on_send
        world.loop.on_quiet = self._on_quiet

    # Saying so ---------------------------------------------------------------------------------------------------

    def expect(self, holds: object, invariant: str, text: Callable[[], str]) -> None:
        """Count a check; keep and raise the violation if it fails."""
        self.counts[invariant] += 1
        if not holds:
            error = ViolationError(f"{invariant}: after {self._world.now_s:.6f} s, seed {self._world.seed}: {text()}")
            # Much of the client survives what its callbacks raise: the first one is raised when the instant is over.
            self._kept = self._kept or error
            raise error

    # What it hears -----------------------------------------------------------------------------------------------

    def _on_wire(self, direction: str, number: int, data: bytes | None) -> None:
        if direction != "down" or data is None:
            return
        down = self._down.get(number)
        if down is None:
            down = self._down[number] = PrivateDownstream([BTC])
            self._down.pop(number - 10, None)
        self._last = max(self._last, number)
        down.feed(data, self._world.timeline.now_ns)

    def _on_send(self, number: int, data: bytes) -> None:
        up = self._up.get(number)
        if up is None:
            up = self._up[number] = Upstream()
            self._up.pop(number - 10, None)
        for text in up.take(data):
            method = text[: text.find(",")]
            self._log(f"sends {method}")
            orders = orders_of(text) if "add" in method else []
            if orders:
                self._check_state(number, orders)
            for order in orders:
                self._check_add(order)
            if "cancel_order" in method:
                for name in [name for name in self._cancels if f'"{name.lstrip("#")}"' in text]:
                    self._check_cancel(name)

    def _check_state(self, number: int, orders: list[dict[str, str]]) -> None:
        """S34 and S22: no order leaves that the state which the client has read forbids."""
        down = self._down.get(number)
        system = "" if down is None else down.system
        self.expect(system not in ("maintenance", "cancel_only"), "S34", lambda: f"{orders} left during {system}")
        if system == "post_only":
            is_fine = all(str(order.get("post_only")) == "True" for order in orders)
            self.expect(is_fine, "S22", lambda: f"{orders} left while only post-only orders are taken")

    def _check_add(self, order: dict[str, str]) -> None:
        """S15, S19 and S20: one request for an intent, journalled before, with the caller's numbers."""
        name = name_of(order)
        self._adds[name] += 1
        self.expect(self._adds[name] == 1, "S15", lambda: f"{name} was sent {self._adds[name]} times")
        journal = self.trader.process.storage.read()
        self.expect(f'"{name}"'.encode() in journal, "S19", lambda: f"{name} left before the journal knew of it")
        asked, pair = self.asked[name], self._world.core.listing.pairs[BTC]
        for field, step in (("order_qty", pair.qty_increment), ("limit_price", pair.price_increment)):
            text = order[field]
            is_plain = text.replace(".", "", 1).isdigit()
            is_same = is_plain and Decimal(text) == Decimal(str(asked[field])) and not Decimal(text) % step
            self.expect(is_same, "S20", lambda f=field, t=text: f"{name}: {f} {asked[f]} left as {t}")
        self.expect(Decimal(order["order_qty"]) >= pair.qty_min, "S20", lambda: f"{order} is below the minimum")

    def on_asked(self, name: str, terms: dict[str, Any]) -> None:
        """The trader asks for an order."""
        self.asked[name] = dict(terms)

    def on_amend_asked(self, order: Order, price: Decimal) -> None:
        """The trader asks for another limit."""
        self._amends.setdefault(order.name, set()).add(price)

    def on_cancel_asked(self, process: Any, order: Order) -> None:
        """S33: the cancel of an order that is known to live leaves at once, whatever is waiting."""
        status = process.entry.status
        may_leave = process.account.line.is_up and (status is None or status.system != "maintenance")
        if may_leave and order.state.is_live and (order.cl_ord_id or order.order_id):
            self._cancels[order.cl_ord_id or str(order.order_id)] = self._world.timeline.now_ns, process

    def _check_cancel(self, name: str) -> None:
        asked_ns, _ = self._cancels.pop(name)
        late_ns = self._world.timeline.now_ns - asked_ns
        self.expect(late_ns == 0, "S33", lambda: f"the cancel of {name} left {late_ns} ns after it was asked for")

    def on_error(self, error: Exception) -> None:
        """What the trader was told."""
        self._log(f"error {type(error).__name__}")
        self._check_words(repr(error) + str(error))

    def on_birth(self) -> None:
        """A client begins, and knows what its journal says."""
        self._log("begins")
        self._filled.clear()

    def on_death(self) -> None:
        """A client is gone: what was asked of it comes to nothing."""
        self._log("is gone")
        self._cancels.clear()
        self._at_port.clear()
        self._token = "", 0, 0

    def on_fill(self, fill: Execution) -> None:
        """S13: each execution once, and as the exchange made it."""
        self.fills.append(fill)
        self._log(f"fill {fill.exec_id} {fill.last_qty} {fill.last_price}")
        made = self._world.account.executions.get(fill.exec_id)
        self.expect(fill.exec_id not in self._told, "S13", lambda: f"{fill} was told before")
        self._told.add(str(fill.exec_id))
        facts = (fill.order_id, fill.last_qty, fill.last_price, fill.side)
        is_true = made is not None and facts == (made.order_id, made.qty, made.price, made.side)
        self.expect(is_true, "S13", lambda: f"{facts}, the exchange made {made}")
        # What REST tells of a fill has its cost and fee to more decimals than the stream shows.
        self.expect(
            made is None or fill.cost is None or abs(fill.cost - made.cost) <= Decimal("0.01"),
            "S13", lambda: f"{fill}: cost {fill.cost}, the exchange made {made}",
        )  # fmt: skip

    def on_order(self, process: Any, order: Order, before: OrderState) -> None:
        """S16 and S18: what is said of an order is legal, never less than before, and true."""
        if process.is_dead:
            return
        self._log(f"order {order.name} {before.value} -> {order.state.value} {order.filled_qty}")
        now = order.state
        kind, _, detail = order.evidence[-1]
        if not order.is_external:
            is_legal = now in LEGAL.get(before, ()) or kind == "correction"
            self.expect(is_legal, "S18", lambda: f"{order}: {before.value} -> {now.value} by {kind}")
        if before is _S.UNKNOWN:
            self.expect(kind in PROOFS and detail, "S16", lambda: f"{order} left UNKNOWN without evidence")
        if now in ABSENT:
            self.called_absent.add(order.name)
            self.expect(not self._names_at_exchange[order.name], "S16", lambda: f"{order} is at the exchange")
        elif order.name in self.asked:
            self.called_absent.discard(order.name)
        if now in ENDED and order.order_id is not None:
            made = self._world.account.orders.get(order.order_id)
            self.expect(made is not None and not made.live, "S16", lambda: f"{order} lives at the exchange: {made}")

    # REST's port -------------------------------------------------------------------------------------------------

    def on_call(self, request: HttpRequest) -> str:
        """A call leaves."""
        now_ns = self._world.timeline.now_ns
        path = urlsplit(request.url).path
        name = path.rpartition("/")[2]
        self._log(f"calls {name}")
        if "/private/" not in path:
            return name
        fields = {key: values[0] for key, values in parse_qs((request.body or b"").decode()).items()}
        if "nonce" not in fields and (request.body or b"")[:1] == b"{":
            import orjson  # noqa: PLC0415 - a few calls have a body of JSON

            fields = {key: str(value) for key, value in orjson.loads(request.body or b"{}").items()}
        nonce = int(fields["nonce"])
        self.expect(nonce > self.last_nonce, "S21", lambda: f"{name}: nonce {nonce} after {self.last_nonce}")
        self.last_nonce = nonce
        self.expect(now_ns >= self._locked_until_ns, "S22", lambda: f"{name} was called during a lockout")
        if name in ADDS and "cl_ord_id" in fields and fields.get("validate") != "true":
            self._adds[fields["cl_ord_id"]] += 1
            self.expect(self._adds[fields["cl_ord_id"]] == 1, "S23", lambda: f"{fields['cl_ord_id']} was sent again")
        self._at_port[name] += 1
        if name == "GetWebSocketsToken":
            self.expect(self._at_port[name] == 1, "S24", lambda: f"{self._at_port[name]} tokens are being fetched")
            self.expect(not self._has_token(now_ns), "S24", lambda: "a token is fetched though one has just come")
        return name

    def _has_token(self, now_ns: int) -> bool:
        """Whether a token came within the last second that is good, and that nobody refused."""
        text, came_ns, refusals = self._token
        token = self._world.core.private.tokens._tokens.get(text)
        is_good = token is not None and token.lives(self._world.core.now_ns())
        return is_good and now_ns - came_ns < S and refusals == self._world.faults.fired["token"]

    def on_answer(self, name: str, answer: HttpResponse | None) -> None:
        """A call is over."""
        self._at_port[name] = max(0, self._at_port[name] - 1)
        if name == "GetWebSocketsToken" and answer is not None and (told := _TOKEN.search(answer.body)):
            self._token = told[1].decode(), self._world.timeline.now_ns, self._world.faults.fired["token"]
        if answer is not None and b"EGeneral:Temporary lockout" in answer.body:
            self._locked_until_ns = self._world.timeline.now_ns + LOCKOUT_NS

    # What it checks when an instant is over ----------------------------------------------------------------------

    def _on_quiet(self) -> None:
        if self._is_over or self.trader is None:
            return
        try:
            if self._kept is None:
                self._check()
            if self._kept is not None:
                raise self._kept
        except BaseException:
            self._is_over = True
            raise

    def _check(self) -> None:
        self.checks += 1
        news = self._take_events()
        process = self.trader.process
        if process is None or process.is_dead:
            return
        self._check_cancels_left()
        account = process.account
        down = self._down.get(self._last)
        connection = account.line.connection
        if down is not None and connection is not None and account.state in ("live", "suspect"):
            for name in CHANNELS:
                store = account.line.orders if name == "executions" else account.line.balances
                heard = down.channels[name]
                is_flagged = store.quality != "live"
                self.expect(heard.is_whole or is_flagged, "S14", lambda n=name: f"{n} is live after a gap")
                if name == "balances" and not is_flagged:
                    self._check_balances(account.line.balances.totals(), heard)
        now_ns = self._world.timeline.now_ns
        if news or now_ns - self._swept_ns >= SWEEP_NS:
            self._swept_ns = now_ns
            self._check_orders(process)
            self._check_rest(process)
            self._check_log()
            attempts = [ns for ns in self._world.network.attempts_ns if ns > now_ns - 600 * S]
            self.expect(len(attempts) <= 100, "S22", lambda: f"{len(attempts)} attempts within 600 s")

    def _take_events(self) -> bool:
        """Take note of what happened at the exchange since."""
        account = self._world.account
        while len(self._ledger) < len(account.ledger):
            entry = list(account.ledger.values())[len(self._ledger)]
            self._ledger_at[entry.ledger_id] = len(self._ledger)
            last = self._ledger[-1] if self._ledger else {}
            self._ledger.append({**last, entry.asset: entry.balance})
        news = len(account.events) > self._seen_events
        for event in account.events[self._seen_events :]:
            order = event.order
            name = order.cl_ord_id or (f"#{order.userref}" if order.userref else "")
            if order.order_id not in self._known_ids:
                self._known_ids.add(order.order_id)
                if name in self.asked:
                    self._names_at_exchange[name] += 1
                    twice = self._names_at_exchange[name]
                    self.expect(twice == 1, "S15", lambda n=name, t=twice: f"the exchange has {t} orders of {n}")
                    is_absent = name in self.called_absent
                    self.expect(not is_absent, "S16", lambda n=name: f"{n} was called absent, and came")
        self._seen_events = len(account.events)
        return news

    def _check_cancels_left(self) -> None:
        for name, (asked_ns, process) in tuple(self._cancels.items()):
            if asked_ns < self._world.timeline.now_ns:
                continue
            is_up = process.account.line.is_up
            self.expect(not is_up, "S33", lambda n=name: f"the cancel of {n} did not leave")
            del self._cancels[name]

    def _check_balances(self, totals: dict[str, Decimal], heard: Any) -> None:
        """S12: what is called live is the ledger as of the last message that was read."""
        place = self._ledger_at.get(heard.last_id)
        truth = heard.totals if place is None else self._ledger[place]
        self.expect(totals == truth, "S12", lambda: f"{totals}, the ledger has {truth} as of {heard.last_id}")
        if place is None:
            self.expect(totals in self._ledger[-200:], "S12", lambda: f"{totals} never were the balances")

    def _check_orders(self, process: Any) -> None:
        """S13 and S18 of each order, S17 of all that live."""
        truth = self._world.account
        table = process.entry.table
        for order in table.orders():
            made = truth.orders.get(order.order_id) if order.order_id else None
            filled = order.filled_qty
            last = self._filled.get(order.name, Decimal(0))
            self.expect(filled >= last, "S18", lambda o=order: f"{o}: had more")
            self._filled[order.name] = max(filled, last)
            most = Decimal(0) if made is None else made.filled
            self.expect(filled <= most, "S13", lambda o=order, m=most: f"{o}: the exchange filled {m}")
            ids = [fill.exec_id for fill in order.fills]
            self.expect(len(ids) == len(set(ids)), "S13", lambda o=order: f"{o}: {o.fills}")
        if not process.entry.is_ready:
            return
        for made in truth.live_orders():
            name = made.cl_ord_id or (f"#{made.userref}" if made.userref else made.order_id)
            known = table.find(name)
            is_held = name not in self.asked or (known is not None and known.state.may_be_live)
            self.expect(is_held, "S17", lambda m=made, k=known: f"{m} lives, and the client has {k}")

    def _check_rest(self, process: Any) -> None:
        """S23: repeats are a tenth of a minute's calls at most, seen from each; a lone one is free. S24: one probe."""
        stats, now_ns = process.rest.stats(), self._world.timeline.now_ns
        if self._calls and self._calls[-1][1] > stats.calls:
            self._calls.clear()  # another life
        last = self._calls[-1][2] if self._calls else 0
        while len(self._calls) > 1 and self._calls[1][0] < now_ns - 60 * S:
            self._calls.popleft()
        self._calls.append((now_ns, stats.calls, stats.retries))
        if stats.retries > last:
            first = self._calls[0] if self._calls[0][0] < now_ns - 60 * S else (0, 0, 0)
            calls, retries = stats.calls - first[1], stats.retries - first[2]
            self.expect(retries <= max(1, calls // 10), "S23", lambda: f"{retries} repeats of {calls} calls in 60 s")
        for name, state in stats.breakers.items():
            if state == "half-open":
                self.counts["S24"] += 1
                flying = sum(count for each, count in self._at_port.items() if _class_of(each) == name)
                self.expect(flying <= 1, "S24", lambda n=name, f=flying: f"{f} calls probe {n}")

    def _check_log(self) -> None:
        lines = self.witness.lines
        while lines:
            self._check_words(lines.popleft())
        self._check_words(self.trader.process.storage.read()[-2000:].decode("utf-8", "replace"))

    def _check_words(self, text: str) -> None:
        """S29: no secret in any word that leaves."""
        for secret in self._secrets():
            self.expect(secret not in text, "S29", lambda: "a secret stands in the log, an error or the journal")

    def _secrets(self) -> list[str]:
        key = self._world.account.keys[0]
        tokens = list(self._world.core.private.tokens._tokens)[-3:]
        return [key.secret, key.key, *tokens]


def _class_of(name: str) -> str:
    return "orders" if name in ORDER_CALLS else "private"
