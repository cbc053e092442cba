from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .book cimport Stamp
from .checksum cimport Token
from .defs cimport BookState
from .load cimport load8


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


cdef enum:
    LINEAR = 16              # levels searched one by one before bisecting: nearly every change is nearer


cdef inline uint32_t hash_of(const char* text, int size) noexcept nogil:
    # Eight bytes at a time, the last of them once more where they do not come out even: ids have 19.
    cdef uint64_t h = size
    cdef int i = 0
    while i + 8 <= size:
        h = (h ^ load8(text + i)) * <uint64_t>0x9E3779B97F4A7C15
        h ^= h >> 32
        i += 8
    if size > 8:
        h = (h ^ load8(text + size - 8)) * <uint64_t>0x9E3779B97F4A7C15
    elif size < 8:
        for i in range(size):
            h = (h ^ <uint64_t><unsigned char>text[i]) * <uint64_t>0x9E3779B97F4A7C15
    return <uint32_t>(h >> 32 ^ h)


cdef inline int find_place(const Ladder* side, int64_t key) noexcept nogil:
    """The highest place whose key is not above `key`, -1 if there is none."""
    cdef int i = side.count - 1
    cdef int stop = max(i - LINEAR, -1)
    cdef int low, middle
    while i > stop and side.places[i].key > key:
        i -= 1
    if i > stop or stop < 0:
        return i
    low = -1
    while low < i:
        middle = low + (i - low + 1) // 2
        if side.places[middle].key > key:
            i = middle - 1
        else:
            low = middle
    return i
