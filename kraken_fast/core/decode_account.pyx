# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""From scanned messages to the account: executions, balances.

Each function takes the message that the scanner holds into its store, and tells the handler. The whole message is
checked before anything is taken in. Its number is checked then: whatever is out of order is told, and taken in all the
same, because each row is a fact; what was taken in before is not told again but by a snapshot of executions, which is
told whole: what it does not hold says something too.
"""

from libc.stdint cimport int64_t, uint64_t

from .balance_store cimport BalanceStore, BalanceUpdate, new_balance_update
from .defs cimport FAILED, OK, Status
from .execution cimport Execution, nested, new_execution
from .fields cimport text_of
from .load cimport low_bit
from .order_store cimport AccountOrder, OrderStore
from .scan cimport Scanner
from .sequenced cimport Sequenced
from .stores cimport Stores
from .tables cimport (
    EXEC_CONTINGENT, EXEC_CUM_QTY, EXEC_DISPLAY_QTY, EXEC_LAST_PRICE, EXEC_LAST_QTY, EXEC_ORDER_ID, EXEC_ORDER_QTY,
    EXEC_ORDER_USERREF, EXEC_SYMBOL, EXEC_TRIGGERS, HEAD_SEQUENCE, NUMBER_CUT, NUMBER_WIDE, Record, Value,
)


cdef uint64_t UNSIGNED = (
    <uint64_t>1 << EXEC_CUM_QTY | <uint64_t>1 << EXEC_LAST_QTY | <uint64_t>1 << EXEC_LAST_PRICE
    | <uint64_t>1 << EXEC_ORDER_QTY | <uint64_t>1 << EXEC_DISPLAY_QTY
)
cdef uint64_t NESTED = <uint64_t>1 << EXEC_TRIGGERS | <uint64_t>1 << EXEC_CONTINGENT


cdef Status _follow(Stores stores, Sequenced store, bint snapshot, int64_t recv_ns, bint* in_sequence) except FAILED:
    """Check the message's number. REFUSED, as every refused message is, when it carries none."""
    cdef uint64_t expected = store.next_number if store.next_number else 1
    cdef uint64_t number
    if not stores.scanner.head.seen >> HEAD_SEQUENCE & 1:
        return stores.refuse(NULL, b"sequence is missing", "")
    number = <uint64_t>stores.scanner.head.values[<int>HEAD_SEQUENCE].num
    in_sequence[0] = store.follows(snapshot, number, recv_ns)
    if not in_sequence[0]:
        stores.tell(stores.handler.on_sequence_gap, (store.channel, expected, number))
    return OK


cdef const char* _fault_of(const Record* row):
    """Why a row cannot be, NULL if it can."""
    cdef const Value* values = &row.values[0]
    cdef int slot
    cdef uint64_t rest = row.seen & UNSIGNED
    while rest:
        if _is_negative(&values[low_bit(rest)]):
            return b"a quantity or price is negative"
        rest &= rest - 1
    slot = EXEC_ORDER_USERREF
    if row.seen >> slot & 1 and (values[slot].digits or values[slot].form & (NUMBER_WIDE | NUMBER_CUT)):
        return b"order_userref is not an integer"
    if values[<int>EXEC_ORDER_ID].size == 0:
        return b"order_id is empty"
    if row.seen & NESTED:
        try:
            for slot in (EXEC_TRIGGERS, EXEC_CONTINGENT):
                if row.seen >> slot & 1:
                    nested(slot, text_of(&values[slot]))
        except (ValueError, ArithmeticError):
            return b"triggers or contingent are not what they should be"
    return NULL


cdef bint _is_negative(const Value* value) noexcept:
    return value.text[0] == c'-' if value.form & (NUMBER_WIDE | NUMBER_CUT) else value.num < 0


cdef Status take_executions(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
    cdef OrderStore store = stores.orders
    cdef Record* row
    cdef Value* order_id
    cdef AccountOrder order
    cdef Execution execution, origin
    cdef const char* fault
    cdef bint in_sequence = True
    cdef int i
    if store is None:
        if not stores.create:
            stores.unwanted += 1
            return OK
        store = stores.want_executions()
    for i in range(scan.record_count):
        fault = _fault_of(&scan.records[i])
        if fault is not NULL:
            return stores.refuse(NULL, fault, "")
    if _follow(stores, store, snapshot, recv_ns, &in_sequence) != OK:
        return OK
    if snapshot:
        store.begin_snapshot()
    for i in range(scan.record_count):
        row = &scan.records[i]
        order_id = &row.values[<int>EXEC_ORDER_ID]
        order = store.named(order_id.text, order_id.size)
        origin = None
        if order is not None and not row.seen >> EXEC_SYMBOL & 1:
            origin = order.told_at(EXEC_SYMBOL)
        execution = new_execution(row, scan.items, snapshot, scan.head.values[<int>HEAD_SEQUENCE].num, origin)
        # A snapshot is told whole, known trades too: what it holds, and what it does not, is what it says.
        if order is None or store.take(execution, order, in_sequence) == OK or snapshot:
            stores.handler.on_execution(execution, order)
    if snapshot:
        store.end_snapshot()
        stores.tell(stores.handler.on_snapshot, ("executions", ""))
    return OK


cdef Status take_balances(Stores stores, bint snapshot, int64_t recv_ns) except FAILED:
    cdef Scanner scan = stores.scanner
    cdef BalanceStore store = stores.balances
    cdef BalanceUpdate update
    cdef bint in_sequence = True
    cdef int i
    if store is None:
        if not stores.create:
            stores.unwanted += 1
            return OK
        store = stores.want_balances()
    if _follow(stores, store, snapshot, recv_ns, &in_sequence) != OK:
        return OK
    if snapshot:
        store.begin_snapshot()
    for i in range(scan.record_count):
        update = new_balance_update(
            &scan.records[i], scan.items, snapshot, scan.head.values[<int>HEAD_SEQUENCE].num,
        )
        if store.take(update, in_sequence) == OK:
            stores.handler.on_balance(update)
    if snapshot:
        stores.tell(stores.handler.on_snapshot, ("balances", ""))
    return OK
