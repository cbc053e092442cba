# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""What can be read of a level-3 book: prices as a level-2 book has them, orders in their queues, where one stands."""

from decimal import Decimal

from ..types import Level, QueuedOrder, QueuePosition

from cpython.mem cimport PyMem_Free
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint32_t
from libc.string cimport memcmp

from .book cimport Stamp
from .checksum cimport TOP
from .defs cimport BOOK_VALID
from .fixed cimport fixed_decimal


cdef tuple STATE_NAMES = ("empty", "syncing", "valid", "unverified", "invalid")


cdef object _stamp_ns(const Stamp* stamp):
    return None if stamp.us == INT64_MIN else <object>stamp.us * 1000 + stamp.ns


cdef class Level3:
    """What can be read of a level-3 book, live or copied. Best first; within a price, the order of the queue.

    Attributes:
        symbol: as on WebSocket v2, `BTC/USD`.
        depth: price levels a side as subscribed.
        price_scale, qty_scale: decimals of `*_raw` integers, -1 before any is known.
        checksum: the exchange's, of the last applied message.
        order_count: orders held, both sides.
    """

    def __dealloc__(self):
        PyMem_Free(self.orders)
        PyMem_Free(self.levels)
        PyMem_Free(self.table)
        PyMem_Free(self.bid_side.places)
        PyMem_Free(self.ask_side.places)

    cdef int32_t find_order(self, const char* order_id, int size, uint32_t hash) noexcept:
        cdef uint32_t place = hash & self.mask
        cdef int32_t index
        if self.table is NULL:
            return -1
        while self.table[place]:
            index = self.table[place] - 1
            if (self.orders[index].hash == hash and self.orders[index].size == size
                    and memcmp(self.orders[index].order_id, order_id, size) == 0):
                return index
            place = (place + 1) & self.mask
        return -1

    @property
    def state(self):
        """One of empty, syncing, valid, unverified, invalid."""
        return STATE_NAMES[self._state]

    @property
    def is_valid(self):
        """Whether the checksum agreed on the last message."""
        return self._state == BOOK_VALID

    @property
    def crossed(self):
        """Whether the best bid is at or above the best ask, which a healthy market never shows."""
        if not self.bid_side.count or not self.ask_side.count:
            return False
        return (self.bid_side.places[self.bid_side.count - 1].key
                >= -self.ask_side.places[self.ask_side.count - 1].key)

    @property
    def verified_depth(self):
        """How many price levels a side are proven: the checksum covers ten; all, as long as no message was lost."""
        if self._state != BOOK_VALID:
            return 0
        return min(self.depth, <int>TOP) if self._doubtful else self.depth

    cdef object _best(self, const Ladder* side, int sign, bint qty):
        cdef const Place* place
        if not side.count:
            return None
        place = &side.places[side.count - 1]
        if qty:
            return self._decimal_qty(self._qty_from(self.levels[place.level].head, False))
        return fixed_decimal(sign * place.key, self.price_scale)

    @property
    def best_bid(self):
        """Highest bid as Decimal, None without bids."""
        return self._best(&self.bid_side, 1, False)

    @property
    def best_ask(self):
        """Lowest ask as Decimal, None without asks."""
        return self._best(&self.ask_side, -1, False)

    @property
    def best_bid_qty(self):
        """Quantity of all orders at the best bid as Decimal, None without bids."""
        return self._best(&self.bid_side, 1, True)

    @property
    def best_ask_qty(self):
        """Quantity of all orders at the best ask as Decimal, None without asks."""
        return self._best(&self.ask_side, -1, True)

    @property
    def bids(self):
        """Bids by price, as a level-2 book has them: a tuple of Level(price, qty)."""
        return self._levels(&self.bid_side)

    @property
    def asks(self):
        """Asks by price, as a level-2 book has them: a tuple of Level(price, qty)."""
        return self._levels(&self.ask_side)

    @property
    def bids_raw(self):
        """Bids by price as a tuple of (price_raw, qty_raw)."""
        return self._levels_raw(&self.bid_side)

    @property
    def asks_raw(self):
        """Asks by price as a tuple of (price_raw, qty_raw)."""
        return self._levels_raw(&self.ask_side)

    @property
    def bid_orders(self):
        """All orders of the bid side as a tuple of QueuedOrder, best price first, each price in queue order."""
        return self._orders_of(&self.bid_side)

    @property
    def ask_orders(self):
        """All orders of the ask side as a tuple of QueuedOrder, best price first, each price in queue order."""
        return self._orders_of(&self.ask_side)

    @property
    def exch_ns(self):
        """Exchange time of the last applied message, ns since epoch; None when it carried none."""
        return _stamp_ns(&self.stamp)

    @property
    def updated_ns(self):
        """Arrival of the last applied message, monotonic ns; None before the first."""
        return self.changed_ns if self.changed_ns else None

    def queue_position(self, str order_id not None):
        """Where an order stands: a QueuePosition, or None if it is not in the book.

        Cost: O(orders before it at its price), and O(log levels).
        """
        cdef bytes text = order_id.encode()
        cdef int32_t order = self.find_order(text, len(text), hash_of(text, len(text)))
        cdef Queue* level
        cdef Ladder* side
        cdef int before = 0
        cdef int32_t other
        if order < 0:
            return None
        level = &self.levels[self.orders[order].level]
        side = &self.bid_side if level.side > 0 else &self.ask_side
        other = self.orders[order].ahead
        while other >= 0:
            before += 1
            other = self.orders[other].ahead
        return QueuePosition(
            "bid" if level.side > 0 else "ask",
            fixed_decimal(level.side * level.key, self.price_scale),
            fixed_decimal(self.orders[order].qty, self.qty_scale),
            before, self._decimal_qty(self._qty_from(self.orders[order].ahead, True)),
            level.count - before - 1, side.count - 1 - find_place(side, level.key),
        )

    cdef object _qty_from(self, int32_t order, bint ahead):
        """Sum of the quantities from an order on, to the queue's end or to its head; it may be beyond an int64."""
        cdef int64_t total = 0
        cdef object beyond = 0
        while order >= 0:
            if total > INT64_MAX - self.orders[order].qty:
                beyond += total
                total = 0
            total += self.orders[order].qty
            order = self.orders[order].ahead if ahead else self.orders[order].next
        return beyond + total

    cdef object _decimal_qty(self, object mantissa):
        if mantissa <= INT64_MAX:
            return fixed_decimal(mantissa, self.qty_scale)
        return Decimal(f"{mantissa}E-{self.qty_scale}")

    cdef tuple _levels(self, const Ladder* side):
        return tuple([
            Level(fixed_decimal(price, self.price_scale), self._decimal_qty(qty))
            for price, qty in self._levels_raw(side)
        ])

    cdef tuple _levels_raw(self, const Ladder* side):
        cdef int i
        cdef list rows = []
        cdef Queue* level
        for i in range(side.count - 1, -1, -1):
            level = &self.levels[side.places[i].level]
            rows.append((level.side * level.key, self._qty_from(level.head, False)))
        return tuple(rows)

    cdef tuple _orders_of(self, const Ladder* side):
        cdef int i
        cdef int32_t order
        cdef list rows = []
        cdef Queue* level
        cdef Queued* held
        for i in range(side.count - 1, -1, -1):
            level = &self.levels[side.places[i].level]
            price = fixed_decimal(level.side * level.key, self.price_scale)
            order = level.head
            while order >= 0:
                held = &self.orders[order]
                rows.append(QueuedOrder(
                    held.order_id[:held.size].decode(), price, fixed_decimal(held.qty, self.qty_scale),
                    _stamp_ns(&held.stamp),
                ))
                order = held.next
        return tuple(rows)

    def __repr__(self):
        return f"<{type(self).__name__} {self.symbol} {self.state} bid {self.best_bid} ask {self.best_ask}>"
