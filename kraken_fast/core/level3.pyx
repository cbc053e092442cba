# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Level-3 order book: every order in the queue of its price, and the exchange's checksum over all of them.

Theory. Orders lie in one array, chained into queues; a queue belongs to a price level; a side is a sorted array of its
levels, best last, as in book.pyx. Orders are found by their id through open addressing. So a change costs the same in
a book of ten levels and of a thousand: nearly all that happens, happens near the best price.

The checksum covers the orders of the ten best levels in queue order. Each order has its token (checksum.pyx), each
level the token of its queue: an order that joins at the back is one step more, any other change has its level computed
anew, each side keeps the token of its ten best levels. Only what a message touched is computed.

The depth counts price levels. Levels that fall out of it take their orders along, without a message.

Two things the exchange's texts leave open are decided by its checksum. Where the orders of a snapshot, as they come,
do not verify, but sorted by their times do, queues go by time from then on. And where a modify that raises a quantity
does not verify with the order in its place, but does at the back of its queue, raised orders go there from then on.

The life of a book is that of an OrderBook. Source: websocket-v2 channel level3.
Bench: benchmarks/bench_account.py.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint32_t
from libc.string cimport memcmp, memcpy, memmove, memset

from .book cimport Stamp
from .checksum cimport HAS_CLMUL, TOP, Token, follow, join_texts, level_token, seal
from .defs cimport (
    BOOK_INVALID, BOOK_SYNCING, BOOK_UNVERIFIED, BOOK_VALID, FAILED, IGNORED, MISMATCH, OK, REFUSED, BookState, Status,
)
from .fixed cimport SCALE_MAX, rescale
from .line cimport Line
from .queues cimport Ladder, Level3, Place, Queue, Queued, find_place, hash_of
from .tables cimport (
    QUEUED_EVENT, QUEUED_ORDER_ID, QUEUED_PRICE, QUEUED_QTY, QUEUED_TIMESTAMP, Item, Value,
)


cdef enum:
    DEPTH_MAX = 1_000
    ORDERS_MAX = 200_000         # of one book
    RAISED_MAX = 8
    CHUNK = 15                   # orders whose tokens are joined at once


# ---------------------------------------------------------------------------------------------- small steps

cdef inline bint _is(const Value* value, const char* text, int size) noexcept nogil:
    return value.size == size and memcmp(value.text, text, size) == 0


cdef Status _fit(Item* items, int count, int price_scale, int qty_scale) noexcept:
    cdef Value* price
    cdef Value* qty
    cdef int i
    for i in range(count):
        price = &items[i].values[<int>QUEUED_PRICE]
        qty = &items[i].values[<int>QUEUED_QTY]
        if price.digits != price_scale:
            if rescale(price.num, price.digits, price_scale, &price.num) != OK:
                return REFUSED
            price.digits = price_scale
        if qty.digits != qty_scale:
            if rescale(qty.num, qty.digits, qty_scale, &qty.num) != OK:
                return REFUSED
            qty.digits = qty_scale
    return OK


cdef Status _fit_both(Item* bids, int bid_count, Item* asks, int ask_count, int price_scale, int qty_scale) noexcept:
    if _fit(bids, bid_count, price_scale, qty_scale) != OK:
        return REFUSED
    return _fit(asks, ask_count, price_scale, qty_scale)


cdef void _widest(const Item* items, int count, int* price_digits, int* qty_digits) noexcept:
    cdef int i
    for i in range(count):
        price_digits[0] = max(price_digits[0], items[i].values[<int>QUEUED_PRICE].digits)
        qty_digits[0] = max(qty_digits[0], items[i].values[<int>QUEUED_QTY].digits)


cdef inline bint _is_later(const Stamp* a, const Stamp* b) noexcept nogil:
    return a.us > b.us or (a.us == b.us and a.ns > b.ns)


cdef inline Stamp _stamp_of(const Item* item) noexcept nogil:
    cdef Stamp stamp
    stamp.us = INT64_MIN
    stamp.ns = 0
    if item.seen >> QUEUED_TIMESTAMP & 1:
        stamp.us = item.values[<int>QUEUED_TIMESTAMP].num
        stamp.ns = item.values[<int>QUEUED_TIMESTAMP].digits
    return stamp


# ---------------------------------------------------------------------------------------------- keeping

cdef class Level3Book(Level3):
    """A live level-3 book, kept by one line. Read it inside a callback or between awaits; copy it with `snapshot()`.

    Args:
        symbol: as on WebSocket v2.
        depth: price levels a side as subscribed, 1 to 1,000.
        line: the connection that fills it; None makes one of its own.
        price_scale, qty_scale: decimals of the pair; -1 takes them from the first snapshot's text.
        portable: True avoids carry-less multiplication even where the CPU has it.

    Attributes:
        messages, verified, mismatched: applied, and how their checksums did.
        dropped: updates that came while no snapshot was held.
        strays: changes of orders that are not held, which a whole book never sees.
    """

    def __init__(
        self, str symbol, int depth=10, *, Line line=None, int price_scale=-1, int qty_scale=-1, bint portable=False,
    ):
        if not 1 <= depth <= DEPTH_MAX:
            raise ValueError(f"depth={depth}: must be 1 to {DEPTH_MAX}")
        if not -1 <= price_scale <= SCALE_MAX or not -1 <= qty_scale <= SCALE_MAX:
            raise ValueError(f"price_scale={price_scale}, qty_scale={qty_scale}: must be -1 to {SCALE_MAX}")
        self.symbol = symbol
        self.depth = depth
        self.line = Line() if line is None else line
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.portable = portable or not HAS_CLMUL
        self.stamp.us = INT64_MIN
        self.free_order = self.free_level = -1
        self._grow_table()

    cdef Status apply(
        self, bint snapshot, Item* bids, int bid_count, Item* asks, int ask_count, uint32_t checksum, int64_t recv_ns,
        Stamp stamp,
    ) except FAILED:
        cdef Status result
        cdef int i
        if snapshot:
            result = self._replace(bids, bid_count, asks, ask_count, checksum)
        elif not self._complete or (self._state != BOOK_VALID and self._state != BOOK_UNVERIFIED):
            self.dropped += 1
            return IGNORED
        elif self.order_count + bid_count + ask_count > ORDERS_MAX or (
                self._fit_update(bids, bid_count, asks, ask_count) != OK):
            return REFUSED
        else:
            self._raised_count = 0
            for i in range(bid_count):
                self._change(&self.bid_side, 1, &bids[i])
            for i in range(ask_count):
                self._change(&self.ask_side, -1, &asks[i])
            self._cut(&self.bid_side)
            self._cut(&self.ask_side)
            result = OK if self.computed_checksum() == checksum or self._raise_verifies(checksum) else MISMATCH
        if result == REFUSED:
            return REFUSED
        self.checksum = checksum
        if snapshot:
            self._complete = True
        self.changed_ns = recv_ns
        self.stamp = stamp
        self.messages += 1
        if result == OK:
            self.verified += 1
            self.proven_ns = recv_ns
            if snapshot:
                self._state = BOOK_VALID
                self._doubtful = False
            return OK
        self.mismatched += 1
        if self._state != BOOK_UNVERIFIED:
            self._state = BOOK_INVALID
        return MISMATCH

    cdef Status _fit_update(self, Item* bids, int bid_count, Item* asks, int ask_count) noexcept:
        cdef int price_digits = 0, qty_digits = 0
        if self.price_scale < 0 and (bid_count or ask_count):      # first orders after an empty snapshot
            _widest(bids, bid_count, &price_digits, &qty_digits)
            _widest(asks, ask_count, &price_digits, &qty_digits)
            if price_digits > SCALE_MAX or qty_digits > SCALE_MAX:
                return REFUSED
            self.price_scale = price_digits
            self.qty_scale = qty_digits
        return _fit_both(bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale)

    cdef Status _replace(self, Item* bids, int bid_count, Item* asks, int ask_count, uint32_t checksum) except FAILED:
        """Load a snapshot at the pair's scales, or at those of its text if only those verify; see OrderBook."""
        cdef int price_digits = 0, qty_digits = 0
        cdef bint known = self.price_scale >= 0 and self.qty_scale >= 0
        cdef bint loaded = False
        if bid_count + ask_count > ORDERS_MAX:
            return REFUSED
        _widest(bids, bid_count, &price_digits, &qty_digits)
        _widest(asks, ask_count, &price_digits, &qty_digits)
        if known and _fit_both(bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale) == OK:
            loaded = True
            if self._load_either(bids, bid_count, asks, ask_count, checksum):
                return OK
            if price_digits == self.price_scale and qty_digits == self.qty_scale:
                return MISMATCH
        if bid_count == 0 and ask_count == 0:
            return OK if self._load(bids, bid_count, asks, ask_count, checksum) else MISMATCH
        if price_digits <= SCALE_MAX and qty_digits <= SCALE_MAX and (
                _fit_both(bids, bid_count, asks, ask_count, price_digits, qty_digits) == OK):
            if self._load_either(bids, bid_count, asks, ask_count, checksum):
                self.price_scale = price_digits
                self.qty_scale = qty_digits
                return OK
            if not known:
                self.price_scale = price_digits
                self.qty_scale = qty_digits
                return MISMATCH
            if _fit_both(bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale) == OK:
                self._load(bids, bid_count, asks, ask_count, checksum)
                return MISMATCH
        return MISMATCH if loaded else REFUSED

    cdef bint _load_either(
        self, const Item* bids, int bid_count, const Item* asks, int ask_count, uint32_t checksum,
    ) except -1:
        """Load with queues as they come and, where that does not verify, by the orders' times."""
        if self._load(bids, bid_count, asks, ask_count, checksum):
            return True
        self._by_time = not self._by_time
        if self._load(bids, bid_count, asks, ask_count, checksum):
            return True
        self._by_time = not self._by_time
        return False

    cdef bint _load(
        self, const Item* bids, int bid_count, const Item* asks, int ask_count, uint32_t checksum,
    ) except -1:
        cdef int i
        self._clear()
        for i in range(bid_count):
            self._change(&self.bid_side, 1, &bids[i])
        for i in range(ask_count):
            self._change(&self.ask_side, -1, &asks[i])
        self._cut(&self.bid_side)
        self._cut(&self.ask_side)
        return self.computed_checksum() == checksum

    cdef bint _raise_verifies(self, uint32_t checksum) noexcept:
        """Whether the checksum agrees with the orders that this message raised at the back of their queues."""
        cdef int i
        cdef int32_t order, level
        if self._raised_count == 0 or self._raised_count > RAISED_MAX or self._raised_to_back:
            return False
        for i in range(self._raised_count):
            order = self._raised[i]
            level = self.orders[order].level
            self._unlink(order)
            self._append(order, level)
            self._touch(&self.bid_side if self.levels[level].side > 0 else &self.ask_side, level)
        if self.computed_checksum() != checksum:
            return False
        self._raised_to_back = True
        return True

    # ------------------------------------------------------------------------------------------ one change

    cdef Status _change(self, Ladder* side, int sign, const Item* item) except FAILED:
        """Apply one order of a message: of a snapshot, an `add`, a `modify`, or a `delete`."""
        cdef const Value* order_id = &item.values[<int>QUEUED_ORDER_ID]
        cdef const Value* event = &item.values[<int>QUEUED_EVENT]
        cdef int64_t qty = item.values[<int>QUEUED_QTY].num
        cdef int64_t key = sign * item.values[<int>QUEUED_PRICE].num
        cdef uint32_t hash = hash_of(order_id.text, order_id.size)
        cdef int32_t order = self.find_order(order_id.text, order_id.size, hash)
        cdef Queued* held
        cdef Queue* level
        if not item.seen >> QUEUED_EVENT & 1 or _is(event, b"add", 3):
            if order >= 0:
                held = &self.orders[order]
                if self.levels[held.level].key == key and self.levels[held.level].side == sign and held.qty == qty:
                    return OK                    # told again: it keeps its place
                self._remove(self._side_of(order), order)
            return self._add(side, sign, item, hash) if qty else OK
        if order < 0:
            self.strays += 1
            return OK
        held = &self.orders[order]
        level = &self.levels[held.level]
        if _is(event, b"delete", 6) or qty == 0:
            self._remove(self._side_of(order), order)
        elif level.key != key or level.side != sign:
            self._remove(self._side_of(order), order)
            return self._add(side, sign, item, hash)
        else:
            if qty > held.qty:
                if self._raised_count < RAISED_MAX:
                    self._raised[self._raised_count] = order
                self._raised_count += 1
            if self._raised_to_back and qty > held.qty:
                self._unlink(order)
                self._append(order, held.level)
            held.qty = qty
            held.token = level_token(sign * key, qty)
            self._touch(side, held.level)
        return OK

    cdef Ladder* _side_of(self, int32_t order) noexcept:
        return &self.bid_side if self.levels[self.orders[order].level].side > 0 else &self.ask_side

    cdef Status _add(self, Ladder* side, int sign, const Item* item, uint32_t hash) except FAILED:
        cdef int64_t price = item.values[<int>QUEUED_PRICE].num
        cdef const Value* order_id = &item.values[<int>QUEUED_ORDER_ID]
        cdef int32_t order = self._new_order()
        cdef int32_t level = self._level_at(side, sign, sign * price)
        cdef Queued* held = &self.orders[order]
        cdef Queue* queue = &self.levels[level]
        cdef uint32_t place
        held.size = order_id.size
        memcpy(held.order_id, order_id.text, order_id.size)      # SAFE: the decoder refuses ids above ORDER_ID_MAX
        held.qty = item.values[<int>QUEUED_QTY].num
        held.stamp = _stamp_of(item)
        held.token = level_token(price, held.qty)
        held.hash = hash
        self._append(order, level)
        self.order_count += 1
        if queue.tail == order and not queue.stale:
            queue.token = follow(queue.token, held.token)
            side.changed = True
        else:
            self._touch(side, level)
        place = hash & self.mask
        while self.table[place]:
            place = (place + 1) & self.mask
        self.table[place] = order + 1
        return OK

    cdef void _append(self, int32_t order, int32_t level) noexcept:
        """Put an order behind all of its queue, or behind all that are not later where queues go by time."""
        cdef Queued* held = &self.orders[order]
        cdef Queue* queue = &self.levels[level]
        cdef int32_t ahead = queue.tail
        if self._by_time:
            while ahead >= 0 and _is_later(&self.orders[ahead].stamp, &held.stamp):
                ahead = self.orders[ahead].ahead
        held.level = level
        held.ahead = ahead
        held.next = queue.head if ahead < 0 else self.orders[ahead].next
        if ahead < 0:
            queue.head = order
        else:
            self.orders[ahead].next = order
        if held.next < 0:
            queue.tail = order
        else:
            self.orders[held.next].ahead = order
        queue.count += 1

    cdef void _unlink(self, int32_t order) noexcept:
        cdef Queued* held = &self.orders[order]
        cdef Queue* queue = &self.levels[held.level]
        if held.ahead < 0:
            queue.head = held.next
        else:
            self.orders[held.ahead].next = held.next
        if held.next < 0:
            queue.tail = held.ahead
        else:
            self.orders[held.next].ahead = held.ahead
        queue.count -= 1

    cdef void _remove(self, Ladder* side, int32_t order) noexcept:
        cdef int32_t level = self.orders[order].level
        self._unlink(order)
        self._touch(side, level)
        self._forget(order)
        if self.levels[level].count == 0:
            self._drop_level(side, find_place(side, self.levels[level].key))

    cdef void _touch(self, Ladder* side, int32_t level) noexcept:
        self.levels[level].stale = True
        side.changed = True

    # ------------------------------------------------------------------------------------------ levels

    cdef int32_t _level_at(self, Ladder* side, int sign, int64_t key) except -2:
        cdef int place = find_place(side, key)
        cdef int32_t index
        cdef Queue* level
        cdef Queue* more_levels
        cdef Place* more
        if place >= 0 and side.places[place].key == key:
            return side.places[place].level
        place += 1
        if side.count == side.capacity:
            more = <Place*>PyMem_Realloc(side.places, (2 * side.capacity + 16) * sizeof(Place))
            if more is NULL:
                raise MemoryError()
            side.places = more
            side.capacity = 2 * side.capacity + 16
        if self.free_level < 0:
            more_levels = <Queue*>PyMem_Realloc(self.levels, (2 * self.levels_capacity + 32) * sizeof(Queue))
            if more_levels is NULL:
                raise MemoryError()
            self.levels = more_levels
            for index in range(2 * self.levels_capacity + 31, self.levels_capacity - 1, -1):
                self.levels[index].head = self.free_level
                self.free_level = index
            self.levels_capacity = 2 * self.levels_capacity + 32
        index = self.free_level
        level = &self.levels[index]
        self.free_level = level.head
        memset(level, 0, sizeof(Queue))
        level.key = key
        level.side = sign
        level.head = level.tail = -1
        memmove(side.places + place + 1, side.places + place, (side.count - place) * sizeof(Place))
        side.places[place].key = key
        side.places[place].level = index
        side.count += 1
        side.changed = True
        return index

    cdef void _drop_level(self, Ladder* side, int place) noexcept:
        cdef int32_t index = side.places[place].level
        side.count -= 1
        memmove(side.places + place, side.places + place + 1, (side.count - place) * sizeof(Place))
        self.levels[index].head = self.free_level
        self.free_level = index
        side.changed = True

    cdef void _cut(self, Ladder* side) noexcept:
        """Let the worst levels beyond the depth go, with their orders: after the whole message, never within it."""
        cdef int32_t order, behind
        cdef int extra = side.count - self.depth
        cdef int i
        if extra <= 0:
            return
        for i in range(extra):
            order = self.levels[side.places[i].level].head
            while order >= 0:
                behind = self.orders[order].next
                self._forget(order)
                order = behind
            self.levels[side.places[i].level].head = self.free_level
            self.free_level = side.places[i].level
        side.count -= extra
        memmove(side.places, side.places + extra, side.count * sizeof(Place))
        side.changed = True

    # ------------------------------------------------------------------------------------------ the checksum

    cdef Token _joined(self, Ladder* side) noexcept:
        cdef Token[TOP] tokens
        cdef Queue* level
        cdef int i, count = min(side.count, <int>TOP)
        if side.changed:
            for i in range(count):
                level = &self.levels[side.places[side.count - 1 - i].level]
                if level.stale:
                    level.token = self._queue_token(level.head)
                    level.stale = False
                tokens[i] = level.token
            side.token = join_texts(tokens, count, self.portable)
            side.changed = False
        return side.token

    cdef Token _queue_token(self, int32_t order) noexcept:
        cdef Token[CHUNK + 1] tokens             # of what was joined so far, and of the orders behind it
        cdef int count = 1
        tokens[0].crc = tokens[0].length = 0
        while order >= 0:
            tokens[count] = self.orders[order].token
            order = self.orders[order].next
            count += 1
            if count > CHUNK and order >= 0:
                tokens[0] = join_texts(tokens, count, self.portable)
                count = 1
        return join_texts(tokens, count, self.portable)

    cdef uint32_t computed_checksum(self) noexcept:
        cdef Token[2] sides
        sides[0] = self._joined(&self.ask_side)
        sides[1] = self._joined(&self.bid_side)
        return seal(join_texts(sides, 2, self.portable))

    # ------------------------------------------------------------------------------------------ room for orders

    cdef int32_t _new_order(self) except -1:
        cdef int32_t index
        cdef Queued* more
        if self.free_order < 0:
            more = <Queued*>PyMem_Realloc(self.orders, (2 * self.orders_capacity + 32) * sizeof(Queued))
            if more is NULL:
                raise MemoryError()
            self.orders = more
            for index in range(2 * self.orders_capacity + 31, self.orders_capacity - 1, -1):
                self.orders[index].next = self.free_order
                self.free_order = index
            self.orders_capacity = 2 * self.orders_capacity + 32
        if 2 * (self.order_count + 1) > <int>self.mask:
            self._grow_table()
        index = self.free_order
        self.free_order = self.orders[index].next
        return index

    cdef Status _grow_table(self) except FAILED:
        cdef uint32_t size = 4 * (self.mask + 1) if self.table is not NULL else 128
        cdef int32_t* larger = <int32_t*>PyMem_Calloc(size, sizeof(int32_t))
        cdef int32_t* smaller = self.table
        cdef uint32_t i, place
        if larger is NULL:
            raise MemoryError()
        if smaller is not NULL:
            for i in range(self.mask + 1):
                if smaller[i]:
                    place = self.orders[smaller[i] - 1].hash & (size - 1)
                    while larger[place]:
                        place = (place + 1) & (size - 1)
                    larger[place] = smaller[i]
        PyMem_Free(smaller)
        self.table = larger
        self.mask = size - 1
        return OK

    cdef void _forget(self, int32_t order) noexcept:
        """Free an order, and close the hole it leaves in the table."""
        cdef uint32_t hole = self.orders[order].hash & self.mask
        cdef uint32_t place, home
        while self.table[hole] != order + 1:
            hole = (hole + 1) & self.mask
        place = hole
        while True:
            place = (place + 1) & self.mask
            if not self.table[place]:
                break
            home = self.orders[self.table[place] - 1].hash & self.mask
            if ((place - home) & self.mask) >= ((place - hole) & self.mask):     # its home is not behind the hole
                self.table[hole] = self.table[place]
                hole = place
        self.table[hole] = 0
        self.orders[order].next = self.free_order
        self.free_order = order
        self.order_count -= 1

    cdef void _clear(self) noexcept:
        cdef int32_t i
        memset(self.table, 0, (self.mask + 1) * sizeof(int32_t))
        self.free_order = self.free_level = -1
        for i in range(self.orders_capacity - 1, -1, -1):
            self.orders[i].next = self.free_order
            self.free_order = i
        for i in range(self.levels_capacity - 1, -1, -1):
            self.levels[i].head = self.free_level
            self.free_level = i
        self.order_count = 0
        self.bid_side.count = self.ask_side.count = 0
        self.bid_side.changed = self.ask_side.changed = True

    # ------------------------------------------------------------------------------------------ trust

    cdef void invalidate_to(self, BookState state) noexcept:
        self._state = state
        if state != BOOK_UNVERIFIED:
            self._complete = False

    cdef void drop_if_invalid(self) noexcept:
        if self._state == BOOK_INVALID:
            self._complete = False
            self._clear()

    cdef void set_scales(self, int price_scale, int qty_scale) noexcept:
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self._complete = False
        self._clear()                          # integers of the old scales would read as other prices

    @property
    def quality(self):
        """live: VALID and its line was heard within the last 1.5 s. Else stale, unverified, or none."""
        if self._state == BOOK_VALID:
            return "live" if self.line.is_fresh() else "stale"
        if self._state == BOOK_UNVERIFIED:
            return "unverified"
        return "stale" if self.proven_ns and self.order_count else "none"

    @property
    def age_ms(self):
        """Milliseconds since the line last proved this book current; None if it never did."""
        cdef int64_t proven = self.proven_ns
        if not proven:
            return None
        if self._state == BOOK_VALID and self.line.heard_ns > proven:
            proven = self.line.heard_ns        # any message proves a book on which nothing was lost
        return max(0.0, (self.line.clock.now_ns() - proven) / 1e6)

    @property
    def source(self):
        """Where the values come from."""
        return "websocket"

    @property
    def queues_go_by_time(self):
        """Whether the exchange's checksum showed that queues go by the orders' times, not by arrival."""
        return self._by_time

    def snapshot(self):
        """Copy into an immutable Level3Snapshot. Cost: a memcpy of 112 bytes an order."""
        return _copy(self)

    def invalidate(self):
        """Distrust the book until the next verified snapshot; what it holds stays readable as stale."""
        self.invalidate_to(BOOK_INVALID)

    def await_snapshot(self):
        """Note that a snapshot was asked for; updates before it are dropped."""
        self.invalidate_to(BOOK_SYNCING)

    def give_up_verifying(self):
        """Go on without trust: the exchange's checksum keeps disagreeing for this pair."""
        self.invalidate_to(BOOK_UNVERIFIED)

    def _check(self):
        """Assert every invariant; for tests."""
        cdef Ladder* side
        cdef Queue* level
        cdef int which, i, orders = 0
        cdef int32_t order, ahead
        cdef uint32_t kept = self.computed_checksum()
        for which in range(2):
            side = &self.bid_side if which else &self.ask_side
            assert side.count <= self.depth
            for i in range(side.count):
                level = &self.levels[side.places[i].level]
                assert level.key == side.places[i].key and (i == 0 or side.places[i - 1].key < level.key)
                assert level.side == (1 if which else -1)
                order, ahead, count = level.head, -1, 0
                while order >= 0:
                    assert self.orders[order].qty > 0 and self.orders[order].ahead == ahead
                    assert self.orders[order].level == side.places[i].level
                    assert self.find_order(
                        self.orders[order].order_id, self.orders[order].size, self.orders[order].hash) == order
                    count += 1
                    ahead, order = order, self.orders[order].next
                assert count == level.count > 0 and level.tail == ahead
                orders += level.count
                level.stale = True
            side.changed = True
        assert orders == self.order_count
        assert kept == self.computed_checksum()
        assert self._state != BOOK_VALID or kept == self.checksum


cdef class Level3Snapshot(Level3):
    """An immutable copy of a level-3 book at one moment.

    Attributes:
        quality: live, stale, unverified, rest or none, at the moment of the copy.
        age_ms: how long before the copy the values were last proven current; None if never.
        source: where the values come from.
    """

    def __init__(self):
        raise TypeError("Level3Snapshot is made by Level3Book.snapshot()")


cdef void* _copied(const void* data, size_t size) except NULL:
    cdef void* copy = PyMem_Malloc(max(size, <size_t>1))
    if copy is NULL:
        raise MemoryError()
    if size:
        memcpy(copy, data, size)
    return copy


cdef Level3Snapshot _copy(Level3Book book):
    cdef Level3Snapshot copy = Level3Snapshot.__new__(Level3Snapshot)
    copy.symbol = book.symbol
    copy.depth = book.depth
    copy.price_scale = book.price_scale
    copy.qty_scale = book.qty_scale
    copy.checksum = book.checksum
    copy.order_count = book.order_count
    copy._state = book._state
    copy._doubtful = book._doubtful
    copy.stamp = book.stamp
    copy.changed_ns = book.changed_ns
    copy.proven_ns = book.proven_ns
    copy.quality = book.quality
    copy.age_ms = book.age_ms
    copy.source = book.source
    copy.mask = book.mask
    copy.table = <int32_t*>_copied(book.table, (book.mask + 1) * sizeof(int32_t))
    copy.orders = <Queued*>_copied(book.orders, book.orders_capacity * sizeof(Queued))
    copy.levels = <Queue*>_copied(book.levels, book.levels_capacity * sizeof(Queue))
    copy.bid_side.places = <Place*>_copied(book.bid_side.places, book.bid_side.count * sizeof(Place))
    copy.ask_side.places = <Place*>_copied(book.ask_side.places, book.ask_side.count * sizeof(Place))
    copy.bid_side.count = book.bid_side.count
    copy.ask_side.count = book.ask_side.count
    return copy
