cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .book cimport Stamp
from .checksum cimport Token
from .defs cimport FAILED, BookState, Status
from .line cimport Line
from .queues cimport Ladder, Level3
from .tables cimport Item


@cython.final
cdef class Level3Book(Level3):
    cdef readonly Line line
    cdef bint portable
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
    cdef Token _queue_token(self, int32_t order) noexcept
    cdef int32_t _new_order(self) except -1
    cdef Status _grow_table(self) except FAILED
    cdef void _forget(self, int32_t order) noexcept


@cython.final
cdef class Level3Snapshot(Level3):
    cdef readonly str quality
    cdef readonly object age_ms
    cdef readonly str source
