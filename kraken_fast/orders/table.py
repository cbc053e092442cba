"""All orders of one account, and every request without an answer: what each message proves about them.

Theory of operation. An order is drafted, written to the journal, then given to the wire, and from then on only
evidence moves it. Answers are matched by the number of their request, events by `cl_ord_id`, else by the exchange's
id, else by a unique `order_userref`; whichever comes first counts, the other repeats it. An answer that says neither
yes nor a proven no makes the order `UNKNOWN`, as does the end of the line or of patience; `resolution` then looks for
evidence. Nothing here sends anything twice, and nothing here does I/O but through the journal that it is given.

Invariants. Every order of ours that the exchange may have is in `_names`; an intent was in the journal before `begin`;
tables are bounded: ended orders are forgotten after `ENDED_MAX` others, answered requests after `PENDING_MAX`.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from ..core.execution import Execution
from ..errors import ExchangeError, JournalError, OrderRejectedError, OutcomeUnknownError
from ..rest.error_table import CallFacts, error_of
from ..types import Ack
from .journal import Journal
from .live_order import ZERO, Amending, Order
from .rate import TradingBudget
from .records import OrderState
from .request import encode_params

_log = logging.getLogger("kraken_fast.orders")

ENDED_MAX = 10_000
EXTERNAL_MAX = 10_000
PENDING_MAX = 20_000

_REFUSED_AT_THE_GATE = re.compile(
    r"Unsupported (field|event)|\w+ field must be |Token\(s\) not found|Malformed request|Currency pair not "
)
"""Refusals that carry no code: the request was not read as an order. Source: websocket-v2.md section 6."""

_S = OrderState


@dataclass(slots=True)
class Pending:
    """A request on the wire.

    Attributes:
        orders: what it is about, in its order.
        expected: how many answers it gets.
        cost: points that it reserves of the pair's counter until the answer.
        then: told of each answer, for requests that are no orders.
        amending: the change that it asks for: by the time of its answer the order may have another under way.
    """

    method: str
    sent_ns: int
    orders: tuple[Order, ...] = ()
    symbol: str = ""
    expected: int = 1
    cost: float = 0.0
    then: Callable[[Ack], None] | None = None
    answers: int = 0
    is_ended: bool = False
    amending: Amending | None = None


@dataclass(slots=True)
class Counts:
    """What happened so far.

    Attributes:
        strays: answers to no request of ours. doubled: further answers to one request.
        corrections: ends that the exchange contradicted.
    """

    sent: int = 0
    acked: int = 0
    rejected: int = 0
    unknown: int = 0
    resolved: int = 0
    not_placed: int = 0
    fills: int = 0
    strays: int = 0
    doubled: int = 0
    corrections: int = 0
    journal_failures: int = 0
    callback_failures: int = 0
    by_evidence: Counter[str] = field(default_factory=Counter)


class OrderTable:
    """See the module's text.

    Args:
        journal: where intents and their ends are written.
        budget: counters of the pairs, which answers and events correct.

    Attributes:
        on_order: told of every order that changed its state, with the state before.
        unknown: orders whose outcome is open, by name. amending: those whose terms are.
    """

    def __init__(self, journal: Journal, budget: TradingBudget) -> None:
        self.journal = journal
        self.budget = budget
        self.counts = Counts()
        self.unknown: dict[str, Order] = {}
        self.amending: dict[str, Order] = {}
        self.external: dict[str, Order] = {}
        self.live: dict[str, Order] = {}
        self.on_order: Callable[[Order, OrderState], None] | None = None
        self._names: dict[str, Order] = {}
        self._order_ids: dict[str, Order] = {}
        self._ended: deque[Order] = deque()
        self._pending: dict[int, Pending] = {}
        self._open_of: Counter[str] = Counter()
        self._at_ns = 0

    # Looking up --------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Order | None:
        """Find an order by `cl_ord_id`, `#` and `order_userref`, or the exchange's id."""
        return self._names.get(name) or self._order_ids.get(name) or self.external.get(name)

    def is_ours(self, order_id: str) -> bool:
        """Whether an order of ours bears this id of the exchange."""
        return order_id in self._order_ids

    def orders(self) -> tuple[Order, ...]:
        """Give all orders of ours that are remembered."""
        return tuple(self._names.values())

    def open_count(self, symbol: str) -> int:
        """Orders of a pair that the exchange may have: ours, and known ones of others."""
        return self._open_of[symbol]

    def open_notional(self, symbol: str | None = None) -> Decimal:
        """Worth, in the quote unit, of what may still be filled of our orders with a limit. Cost: O(live orders)."""
        return sum(
            (
                (order.remaining_qty or ZERO) * order.limit_price
                for order in [*self.live.values(), *self.unknown.values()]
                if order.limit_price is not None and (symbol is None or order.symbol == symbol)
            ),
            ZERO,
        )

    # An intent's way to the wire ---------------------------------------------------------------------------------

    def write_intents(self, kind: bytes, orders: Sequence[Order], params: bytes, at_ns: int, epoch_ns: int) -> None:
        """Journal orders that one request is about to ask for, and keep them.

        Args:
            kind: add, batch or edit.
            orders: drafts; their deadlines are set.
            params: of the request, as encoded, without the token.
            at_ns, epoch_ns: our monotonic time and the exchange's.

        Raises:
            JournalError: nothing was written, and nothing may be sent; the orders are not kept.
        """
        first = orders[0]
        names = orjson.dumps([order.name for order in orders])
        replaces = b"null" if first.replaces is None else orjson.dumps(first.replaces)
        self.journal.append(
            b'{"k":"%b","n":%b,"t":%d,"d":%d,"r":%b,"p":%b}'
            % (kind, names, epoch_ns, first.deadline_epoch_ns, replaces, params)
        )
        for order in orders:
            self._names[order.name] = order
            order.sent_epoch_ns = epoch_ns
            order.watch(self._moved)
            order.move(_S.JOURNALLED, "journal", at_ns, self.journal.name)

    def write_amend(self, order: Order, params: bytes, epoch_ns: int, deadline_epoch_ns: int) -> None:
        """Journal a change of terms that is about to be asked for. Raises as `write_intents`."""
        self.journal.append(
            b'{"k":"amend","n":%s,"t":%d,"d":%d,"p":%s}'
            % (orjson.dumps(order.name), epoch_ns, deadline_epoch_ns, params)
        )

    def write_nameless(self, order: Order) -> None:
        """Journal that an edit is about to go by REST, where it loses its name. Raises as `write_intents`."""
        self.journal.append(_nameless_record(order))
        order.is_nameless = True

    def begin(self, req_id: int, pending: Pending) -> None:
        """A request is about to be given to the wire: its answer may come before the wire returns."""
        if len(self._pending) >= PENDING_MAX:
            self._forget_pending()
        self._pending[req_id] = pending
        if pending.cost:
            self.budget.pair(pending.symbol).begin(pending.cost)

    def sent(self, orders: Iterable[Order], at_ns: int, how: str) -> None:
        """The wire took the orders' request."""
        for order in orders:
            order.sent_ns = at_ns
            self.counts.sent += 1
            order.move(_S.SENT, "wire", at_ns, how)

    def never_left(self, req_id: int, at_ns: int) -> None:
        """The wire did not take a request: no byte of it left."""
        pending = self._pending.pop(req_id)
        self._end(pending, at_ns)

    def give_up(self, orders: Iterable[Order], error: Exception, at_ns: int) -> None:
        """Orders never left, by any way, for certain."""
        for order in orders:
            reason = error if isinstance(error, ExchangeError) else OrderRejectedError("EKrakenFast:Not sent")
            if reason is not error and isinstance(reason, OrderRejectedError):
                reason.detail = str(error)
            order.reject(reason, at_ns, _S.NOT_SENT, "wire")

    def lose(self, order: Order, why: str, at_ns: int) -> None:
        """An order's outcome is open: its answer does not come, or says nothing."""
        if order.move(_S.UNKNOWN, "wire", at_ns, why):
            self.counts.unknown += 1

    def lose_amend(self, order: Order, why: str, at_ns: int) -> None:
        """The outcome of a change of terms is open."""
        amending = order.amending
        if amending is not None and amending.state == "sent":
            amending.state = "unknown"
            order.add_evidence("wire", at_ns, f"amend unknown: {why}")
            self.amending[order.name] = order
            if order.state.is_final:
                self.end_amend(order, at_ns)
            order.wake()

    # What is heard -----------------------------------------------------------------------------------------------

    def on_reply(self, ack: Ack, at_ns: int) -> Pending | None:
        """Apply an answer. Returns the request that it answers, None if it is no news to any."""
        pending = None if ack.req_id is None else self._pending.get(ack.req_id)
        if pending is None:
            self.counts.strays += 1
            return None
        pending.answers += 1
        if pending.answers > pending.expected:
            self.counts.doubled += 1
            return None
        self._end(pending, at_ns)
        self._at_ns = at_ns
        if ack.error is not None and "ate limit exceeded" in ack.error and pending.symbol:
            self.budget.pair(pending.symbol).refused(at_ns)
        if not pending.orders:
            pass  # a check, or a cancel: `then` takes the answer
        elif pending.method in ("add_order", "edit_order"):
            self.settle(pending.orders[0], ack, pending.method, at_ns)
        elif pending.method == "batch_add":
            self._settle_batch(pending.orders, ack, at_ns)
        elif pending.method == "amend_order" and pending.amending is pending.orders[0].amending:
            self._settle_amend(pending.orders[0], ack, at_ns)
        if pending.then is not None:
            pending.then(ack)
        return pending

    def settle(self, order: Order, ack: Ack, method: str, at_ns: int) -> None:
        """Apply the answer to one order's request."""
        result = ack.result if isinstance(ack.result, dict) else {}
        if ack.success:
            self.accept(order, result, at_ns)
        else:
            self.refuse(order, ack.error or "", method, at_ns)

    def accept(self, order: Order, row: dict[str, Any], at_ns: int) -> None:
        """The exchange says that it has an order."""
        theirs = row.get("cl_ord_id")
        if order.cl_ord_id is not None and theirs not in (None, order.cl_ord_id):
            self.counts.strays += 1
            self.lose(order, f"the answer names {theirs}", at_ns)
            return
        order_id = row.get("order_id")
        if isinstance(order_id, str) and order_id:
            self._name(order, order_id)
        if not order.acked_ns:
            order.acked_ns = at_ns
            self.counts.acked += 1
        order.move(_S.ACKED, "reply", at_ns, f"accepted as {order_id}")
        other = self.external.get(order.order_id or "") if order.is_nameless else None
        if other is not None:
            self._drop_external(other.name)
            order.absorb(other, at_ns)

    def refuse(self, order: Order, text: str, method: str, at_ns: int) -> None:
        """The exchange's text says that an order was refused, or leaves it open."""
        error = classify(text, method, order.cl_ord_id)
        if isinstance(error, OutcomeUnknownError):
            self.lose(order, f"answered {text or 'nothing that can be read'}", at_ns)
        elif order.reject(error, at_ns):
            self.counts.rejected += 1

    def _settle_batch(self, orders: tuple[Order, ...], ack: Ack, at_ns: int) -> None:
        result = ack.result
        rows = result.get("orders") if isinstance(result, dict) else result
        if not isinstance(rows, list) or len(rows) != len(orders):
            for order in orders:
                if ack.success or not ack.error:
                    self.lose(order, "the answer does not name each order", at_ns)
                else:
                    self.refuse(order, ack.error, "batch_add", at_ns)
            return
        for order, row in zip(orders, rows, strict=True):
            if isinstance(row, dict) and row.get("order_id"):
                self.accept(order, row, at_ns)
            else:
                text = row.get("error") if isinstance(row, dict) else None
                self.refuse(order, str(text or ack.error or ""), "batch_add", at_ns)

    def _settle_amend(self, order: Order, ack: Ack, at_ns: int) -> None:
        amending = order.amending
        if amending is None:
            return
        if ack.success:
            if isinstance(ack.result, dict):
                amending.amend_id = ack.result.get("amend_id")
            self.settle_amend(order, "acknowledged", at_ns, f"amend taken as {amending.amend_id}")
            return
        error = classify(ack.error or "", "amend_order", order.cl_ord_id)
        if isinstance(error, OutcomeUnknownError):
            self.lose_amend(order, f"answered {ack.error}", at_ns)
        else:
            self.settle_amend(order, "rejected", at_ns, f"amend refused: {ack.error}")

    def settle_amend(self, order: Order, state: str, at_ns: int, detail: str, kind: str = "reply") -> None:
        """It is known what became of a change of terms."""
        amending = order.amending
        if amending is None or not (amending.is_open or amending.state == "acknowledged"):
            return
        was_done, amending.state = amending.state == "acknowledged", state
        order.add_evidence(kind, at_ns, detail)
        self.amending.pop(order.name, None)
        if state == "acknowledged":
            order.order_qty = amending.visible.get("order_qty", order.order_qty)
            order.limit_price = amending.visible.get("limit_price", order.limit_price)
        if not was_done:
            self._write_amended(order, state)
        order.wake()

    def end_amend(self, order: Order, at_ns: int) -> None:
        """The order of an open change of terms has ended: its last terms say what became of the change."""
        amending = order.amending
        if amending is not None and amending.state == "unknown":
            is_shown = amending.is_shown(order.order_qty, order.limit_price)
            state = "moot" if is_shown is None else "applied" if is_shown else "not applied"
            self.settle_amend(order, state, at_ns, "the order ended with these terms", order.evidence[-1].kind)

    def _write_amended(self, order: Order, state: str) -> None:
        is_done = b"true" if state in ("acknowledged", "applied") else b"false"
        self._write_end(b'{"k":"amended","n":%s,"done":%s}' % (orjson.dumps(order.name), is_done))

    def on_execution(self, row: Execution, at_ns: int) -> Order | None:
        """Apply one row of `executions`. Returns the order that it is about, None if it is about none that lives."""
        order = self._order_of(row)
        if order is None:
            return None
        self._at_ns = at_ns
        if row.order_id:
            self._name(order, row.order_id)
        fills = len(order.fills) if row.exec_type == "trade" else 0
        was_amending = order.amending is not None and order.amending.is_open
        order.take(row, at_ns)
        if row.exec_type == "trade":
            self.counts.fills += len(order.fills) - fills
        if was_amending and order.amending is not None and order.amending.state == "applied":
            self.amending.pop(order.name, None)
            self._write_amended(order, "applied")
        ratecount = row.ratecount
        if ratecount is not None and order.symbol:
            self.budget.pair(order.symbol).correct(float(ratecount), at_ns)
        return order

    def _order_of(self, row: Execution) -> Order | None:
        order = self._names.get(row.cl_ord_id) if row.cl_ord_id else None
        if order is None and row.order_id:
            order = self._order_ids.get(row.order_id) or self.external.get(row.order_id)
        if order is None and row.order_userref:
            order = self._names.get(f"#{row.order_userref}")
            if order is not None and order.order_id not in (None, row.order_id):
                order = None  # its close order, which bears the same number
        begins = row.exec_type not in ("trade", "filled", "canceled", "expired")
        if order is None and row.order_id and begins and not row.recovered:  # a query may show what has ended since
            order = self._add_external(row)
        return order

    def _add_external(self, row: Execution) -> Order:
        if len(self.external) >= EXTERNAL_MAX:
            self._drop_external(next(iter(self.external)))
        order = Order(row.order_id, row.symbol or "", {}, is_external=True)
        order.cl_ord_id, order.order_userref = row.cl_ord_id, row.order_userref
        order.watch(self._moved)
        order.state = _S.SENT  # by somebody
        self._open_of[order.symbol] += 1
        self.external[row.order_id] = order
        return order

    def _drop_external(self, order_id: str) -> None:
        order = self.external.pop(order_id)
        self._open_of[order.symbol] -= 1

    # Verdicts of `resolution` ------------------------------------------------------------------------------------

    def absent(self, order: Order, at_ns: int, proof: str) -> None:
        """It is proven that the exchange does not have an order and never will."""
        error = OrderRejectedError("EKrakenFast:Not placed", detail=proof, endpoint="add_order", retryable=True)
        if order.reject(error, at_ns, _S.NOT_PLACED, "absence"):
            self.counts.not_placed += 1

    # Inside ------------------------------------------------------------------------------------------------------

    def _name(self, order: Order, order_id: str) -> None:
        if order.order_id == order_id and order_id in self._order_ids:
            return
        order.order_id = order.order_id or order_id
        if not order.is_external:
            self._order_ids[order_id] = order
            self._write_end(b'{"k":"ack","n":%s,"o":%s}' % (orjson.dumps(order.name), orjson.dumps(order_id)))

    def _moved(self, order: Order, before: OrderState) -> None:
        now = order.state
        if before.may_be_live != now.may_be_live:
            self._open_of[order.symbol] += 1 if now.may_be_live else -1
        if now.is_live and not order.is_external:
            self.live[order.name] = order
        elif before.is_live:
            self.live.pop(order.name, None)
        if before is _S.UNKNOWN:
            self.unknown.pop(order.name, None)
            self.counts.resolved += 1
            self.counts.by_evidence[order.evidence[-1].kind] += 1
        if now is _S.UNKNOWN:
            self.unknown[order.name] = order
        if now.is_final:
            self._finish(order, before)
        if self.on_order is not None:
            try:
                self.on_order(order, before)
            except Exception:  # noqa: BLE001 - the order's life goes on whatever its listener does
                self.counts.callback_failures += 1
                _log.exception("a listener failed on %s (%d so far)", order.name, self.counts.callback_failures)

    def _finish(self, order: Order, before: OrderState) -> None:
        if order.is_external:
            if order.order_id in self.external:
                del self.external[order.order_id]
            return
        self.end_amend(order, order.changed_ns)
        self._write_end(
            b'{"k":"end","n":%s,"s":%s,"q":"%s"}'
            % (orjson.dumps(order.name), orjson.dumps(order.status), format(order.filled_qty, "f").encode())
        )
        if before.is_final:
            return
        self._ended.append(order)
        if len(self._ended) > ENDED_MAX:
            self._forget(self._ended.popleft())

    def _forget(self, order: Order) -> None:
        self._names.pop(order.name, None)
        if order.order_id is not None:
            self._order_ids.pop(order.order_id, None)

    def _write_end(self, record: bytes) -> None:
        """Write what only shortens the work of the next start: without it the order is looked up again."""
        try:
            self.journal.append(record, forced=False)
        except JournalError as error:
            self.counts.journal_failures += 1
            _log.error("%s", error)

    def _end(self, pending: Pending, at_ns: int) -> None:
        if not pending.is_ended:
            pending.is_ended = True
            if pending.cost:
                self.budget.pair(pending.symbol).end(pending.cost, at_ns)

    def expire(self, pending: Pending, at_ns: int) -> None:
        """A request's answer is no longer waited for; it may still come."""
        self._end(pending, at_ns)

    def _forget_pending(self) -> None:
        for req_id in list(self._pending)[: PENDING_MAX // 2]:
            self._end(self._pending[req_id], self._at_ns)
            del self._pending[req_id]

    def pending(self, req_id: int) -> Pending | None:
        """Give a request by its number, while it is remembered."""
        return self._pending.get(req_id)

    def open_requests(self) -> tuple[Pending, ...]:
        """Give the requests that still lack answers."""
        return tuple(pending for pending in self._pending.values() if pending.answers < pending.expected)

    def open_records(self) -> Iterable[bytes]:
        """Give the journal's records of all orders that have not ended, for its compaction."""
        for order in self._names.values():
            if not order.state.is_final:
                yield b'{"k":"add","n":%s,"t":%d,"d":%d,"r":%s,"p":%s}' % (
                    orjson.dumps([order.name]),
                    order.sent_epoch_ns,
                    order.deadline_epoch_ns,
                    orjson.dumps(order.replaces),
                    encode_params(order.params),
                )
                if order.order_id is not None:
                    yield b'{"k":"ack","n":%s,"o":%s}' % (orjson.dumps(order.name), orjson.dumps(order.order_id))
                if order.is_nameless:
                    yield _nameless_record(order)
                yield from _terms_records(order)

    def restore(self, order: Order, at_ns: int) -> None:
        """Take back an order that the journal of an earlier run left open."""
        self._names[order.name] = order
        order.watch(self._moved)
        order.state = _S.JOURNALLED
        order.add_evidence("journal", at_ns, "left open by an earlier run")
        if order.order_id is not None:
            self._order_ids[order.order_id] = order
            order.state = _S.SENT
            order.move(_S.ACKED, "journal", at_ns, f"accepted as {order.order_id} in an earlier run")
        else:
            order.move(_S.UNKNOWN, "journal", at_ns, "whether it was sent is not known")
        if order.amending is not None:
            self.amending[order.name] = order
            order.add_evidence("journal", at_ns, "what became of its last amend is not known")


def _nameless_record(order: Order) -> bytes:
    """Give the record of an edit by REST with all its terms, by which it is found again."""
    return b'{"k":"nameless","n":%s,"p":%s}' % (orjson.dumps(order.name), encode_params(order.params))


def _terms_records(order: Order) -> Iterable[bytes]:
    """Give the records of an order's terms where they are not those it was sent with, or may be others yet."""
    name = orjson.dumps(order.name)
    terms = {"order_qty": order.order_qty, "limit_price": order.limit_price}
    changed = {key: value for key, value in terms.items() if value is not None and value != order.params.get(key)}
    record = b'{"k":"amend","n":%s,"t":%d,"d":%d,"p":%s}'
    if changed:
        yield record % (name, order.sent_epoch_ns, order.deadline_epoch_ns, encode_params(changed))
        yield b'{"k":"amended","n":%s,"done":true}' % name
    amending = order.amending
    if amending is not None and amending.is_open:
        yield record % (name, order.sent_epoch_ns, amending.deadline_epoch_ns, encode_params(amending.new))


def classify(text: str, method: str, cl_ord_id: str | None) -> ExchangeError | OutcomeUnknownError:
    """Make the error of an answer's text.

    >>> classify("EOrder:Insufficient funds", "add_order", None).retryable
    False
    >>> type(classify("EService:Deadline elapsed", "add_order", None)).__name__
    'OutcomeUnknownError'
    """
    if _REFUSED_AT_THE_GATE.match(text):
        return OrderRejectedError(text, endpoint=method)
    call = CallFacts(method, acts=True, repeatable="cancel" in method, cl_ord_id=cl_ord_id)
    return error_of([text or "EGeneral:Internal error"], call)



