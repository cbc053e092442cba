cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .book cimport Stamp
from .checksum cimport Token
from .defs cimport FAILED, BookState, Status
from .line cimport Line
from .tables cimport Item


cdef enum:
    ORDER_ID_MAX = 39        # bytes; the exchange's have 19


cdef struct Queued:
    # One order in a queue. Free ones are chained by `next`.
    char[ORDER_ID_MAX] order_id
    uint8_t size             # of order_id
    int64_t qty
    Stamp stamp
    Token token              # its share of the checksum
    uint32_t hash
    int32_t level            # into levels
    int32_t next             # behind it, -1 at the end of the queue
    int32_t ahead            # before it, -1 at its head


cdef struct Queue:
    # One price level. Free ones are chained by `head`.
    int64_t key              # price of a bid, negated price of an ask: the best is the largest
    int32_t head
    int32_t tail
    int32_t count
    int32_t side             # 1 for bids, -1 for asks
    bint stale               # `token` is to be computed
    Token token              # of all its orders in their order


cdef struct Place:
    int64_t key
    int32_t level


cdef struct Ladder:
    Place* places            # sorted by key, best last, `count` of them
    int32_t count
    int32_t capacity
    bint changed             # the ten best moved since `token` was computed
    Token token


cdef class Level3:
    cdef readonly str symbol
    cdef readonly int depth            # price levels a side as subscribed
    cdef readonly int price_scale
    cdef readonly int qty_scale
    cdef readonly uint32_t checksum
    cdef readonly int order_count
    cdef BookState _state
    cdef bint _doubtful
    cdef Queued* orders
    cdef Queue* levels
    cdef int32_t* table                # open addressing over order ids: index + 1, 0 is free
    cdef uint32_t mask
    cdef int32_t orders_capacity
    cdef int32_t levels_capacity
    cdef int32_t free_order
    cdef int32_t free_level
    cdef Ladder bid_side
    cdef Ladder ask_side
    cdef Stamp stamp
    cdef int64_t changed_ns
    cdef int64_t proven_ns

    cdef int32_t find_order(self, const char* order_id, int size, uint32_t hash) noexcept
    cdef tuple _levels(self, const Ladder* side)
    cdef tuple _levels_raw(self, const Ladder* side)
    cdef tuple _orders_of(self, const Ladder* side)
    cdef object _qty_from(self, int32_t order, bint ahead)
    cdef object _decimal_qty(self, object mantissa)
    cdef object _best(self, const Ladder* side, int sign, bint qty)


@cython.final
cdef class Level3Book(Level3):
    cdef readonly Line line
    cdef bint _complete
    cdef bint _by_time                 # queues go by the orders' times, not by the order of arrival
    cdef bint _raised_to_back          # a modify that raises the quantity sends the order to the back
    cdef int32_t[8] _raised            # orders that this message raised
    cdef int _raised_count
    cdef readonly uint64_t messages
    cdef readonly uint64_t verified
    cdef readonly uint64_t mismatched
    cdef readonly uint64_t dropped     # updates that came while no snapshot was held
    cdef readonly uint64_t strays      # changes of orders that are not held

    # As OrderBook.apply; items are rows of `bids` and `asks`, rescaled in place.
    cdef Status apply(
        self, bint snapshot, Item* bids, int bid_count, Item* asks, int ask_count, uint32_t checksum, int64_t recv_ns,
        Stamp stamp,
    ) except FAILED
    cdef void invalidate_to(self, BookState state) noexcept
    cdef void drop_if_invalid(self) noexcept
    cdef void set_scales(self, int price_scale, int qty_scale) noexcept
    cdef uint32_t computed_checksum(self) noexcept
    cdef void _clear(self) noexcept
    cdef Status _replace(self, Item* bids, int bid_count, Item* asks, int ask_count, uint32_t checksum) except FAILED
    cdef Status _fit_update(self, Item* bids, int bid_count, Item* asks, int ask_count) noexcept
    cdef bint _raise_verifies(self, uint32_t checksum) noexcept
    cdef Ladder* _side_of(self, int32_t order) noexcept
    cdef bint _load(self, const Item* bids, int bid_count, const Item* asks, int ask_count, uint32_t checksum) except -1
    cdef bint _load_either(
        self, const Item* bids, int bid_count, const Item* asks, int ask_count, uint32_t checksum,
    ) except -1
    cdef Status _change(self, Ladder* side, int sign, const Item* item) except FAILED
    cdef Status _add(self, Ladder* side, int sign, const Item* item, uint32_t hash) except FAILED
    cdef void _append(self, int32_t order, int32_t level) noexcept
    cdef void _unlink(self, int32_t order) noexcept
    cdef void _remove(self, Ladder* side, int32_t order) noexcept
    cdef int32_t _level_at(self, Ladder* side, int sign, int64_t key) except -2
    cdef void _drop_level(self, Ladder* side, int place) noexcept
    cdef void _touch(self, Ladder* side, int32_t level) noexcept
    cdef void _cut(self, Ladder* side) noexcept
    cdef Token _joined(self, Ladder* side) noexcept
    cdef int32_t _new_order(self) except -1
    cdef Status _grow_table(self) except FAILED
    cdef void _forget(self, int32_t order) noexcept


@cython.final
cdef class Level3Snapshot(Level3):
    cdef readonly str quality
    cdef readonly object age_ms
    cdef readonly str source
