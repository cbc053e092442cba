cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t

from .checksum cimport TOP, Token
from .defs cimport BookState, Status, FAILED
from .line cimport Line


cdef struct PriceQty:
    # key is the price of a bid and the negated price of an ask: on both sides the best level is the largest.
    int64_t key
    int64_t qty


cdef struct Side:
    PriceQty* levels         # sorted by key, best last, in [lo, hi); owned by the book
    int32_t lo
    int32_t hi
    int32_t capacity
    int32_t sign             # 1 for bids, -1 for asks
    bint changed             # the ten best moved since `joined` was computed
    Token joined             # the tokens as one
    Token[TOP] tokens        # of the ten best, best first


cdef struct RawLevel:
    # One level as the wire wrote it: mantissa and number of decimals of each number, neither negative.
    int64_t price
    int64_t qty
    int16_t price_digits
    int16_t qty_digits


cdef inline uint32_t digits_of(int price_digits, int qty_digits) noexcept nogil:
    """Both numbers of decimals of a level as one."""
    return <uint32_t>price_digits | <uint32_t>qty_digits << 16


cdef struct Stamp:
    # Exchange time: microseconds since epoch and the nanoseconds beyond; absent when us is INT64_MIN.
    int64_t us
    int32_t ns


cdef class Book:
    cdef readonly str symbol
    cdef readonly int depth            # levels a side as subscribed
    cdef readonly int price_scale      # decimals of every price, -1 before any is known
    cdef readonly int qty_scale
    cdef readonly uint32_t checksum    # the exchange's, of the last applied message
    cdef BookState _state
    cdef bint _doubtful                # a message of this symbol may have been lost below the ten best
    cdef Side bid_side
    cdef Side ask_side
    cdef Stamp stamp
    cdef int64_t changed_ns            # arrival of the last applied message
    cdef int64_t proven_ns             # arrival of the last message whose checksum agreed

    cdef int64_t best_bid_key(self) noexcept
    cdef int64_t best_ask_key(self) noexcept
    cdef bint is_crossed(self) noexcept
    cdef tuple _levels(self, const Side* side)
    cdef tuple _levels_raw(self, const Side* side)


@cython.final
cdef class OrderBook(Book):
    cdef readonly Line line
    cdef bint portable
    cdef bint _complete                # a snapshot of this epoch was applied, and every update since
    cdef bint begins                   # the last applied message was a snapshot
    cdef object seat                   # what an arbiter of several lines knows of this book, or None
    cdef readonly uint64_t messages    # applied
    cdef readonly uint64_t verified
    cdef readonly uint64_t mismatched
    cdef readonly uint64_t duplicates  # of `messages`: same time and checksum as the one before
    cdef readonly uint64_t dropped     # updates that came while no snapshot was held

    # digits: digits_of() that all levels have in common, -1 if that is not known.
    # checksum: the wire's uint32, or -1 to take the computed one.
    # OK verified, MISMATCH applied and wrong (the book is then INVALID, or stays UNVERIFIED),
    # REFUSED a number does not fit and nothing changed, IGNORED dropped. Levels are rescaled in place.
    cdef Status apply(
        self, bint snapshot, RawLevel* bids, int bid_count, RawLevel* asks, int ask_count, int64_t digits,
        int64_t checksum, int64_t recv_ns, Stamp stamp,
    ) except FAILED
    cdef void invalidate_to(self, BookState state) noexcept
    cdef uint32_t computed_checksum(self) noexcept
    cdef Status _replace(
        self, RawLevel* bids, int bid_count, RawLevel* asks, int ask_count, int64_t checksum,
    ) except FAILED
    cdef bint _load(
        self, const RawLevel* bids, int bid_count, const RawLevel* asks, int ask_count, int64_t checksum,
    ) except -1
    # After a mismatch nothing proves what is held: it goes, unless the owner chose to go on UNVERIFIED.
    cdef void drop_if_invalid(self) noexcept
    cdef void _drop(self) noexcept
    cdef Status _take_scales(self, const RawLevel* bids, int bid_count, const RawLevel* asks, int ask_count) noexcept
    cdef void set_scales(self, int price_scale, int qty_scale) noexcept


@cython.final
cdef class BookSnapshot(Book):
    cdef readonly str quality
    cdef readonly object age_ms
    cdef readonly str source
