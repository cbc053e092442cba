# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""Level-2 order book: two sorted arrays of integers and the exchange's checksum over their ten best.

Theory. Each side is one array of (key, qty), sorted, best last, with slack at both ends. An insert or a removal shifts
the shorter part, and cutting the worst level off is moving an index: a book of depth 1,000 costs what one of depth 10
costs, because nearly all that happens, happens near the best price. Keys are prices, negated for asks, so both sides
run the same code. The checksum tokens of the ten best ride along in an array of their own.

Life of a book: EMPTY -> SYNCING (asked for) -> VALID (snapshot verified) -> INVALID (mismatch or loss) -> SYNCING ...
UNVERIFIED is for a pair whose checksum keeps disagreeing: applied and checked on, never called live, VALID again only
through a verified snapshot. Nothing of an older epoch of the line is applied: updates need a snapshot of this one, and
every update since, in whatever state.

Invariants (`_check`): keys strictly rise, quantities are positive, at most `depth` levels a side, the cached checksum
equals the one computed from scratch.

Bench: benchmarks/bench_book.py.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t
from libc.string cimport memcpy, memmove

from decimal import Decimal
from operator import index

from ..types import Level

from .checksum cimport HAS_CLMUL, TOP, Token, finish, join_tokens, level_token
from .defs cimport (
    BOOK_INVALID, BOOK_SYNCING, BOOK_UNVERIFIED, BOOK_VALID,
    FAILED, IGNORED, MISMATCH, OK, REFUSED, BookState, Status,
)
from .fixed cimport SCALE_MAX, fixed_decimal, fixed_float, rescale
from .line cimport Line


cdef enum:
    DEPTH_MAX = 1000        # the exchange's deepest book
    LINEAR = 16             # levels searched one by one before bisecting: nearly every change is nearer

cdef tuple STATE_NAMES = ("empty", "syncing", "valid", "unverified", "invalid")


# ---------------------------------------------------------------------------------------------- one side

cdef inline int _count(const Side* side) noexcept nogil:
    return side.hi - side.lo


cdef Status _open(Side* side, int sign, int depth) except FAILED:
    cdef int capacity = depth + max(6, depth // 8)
    side.levels = <PriceQty*>PyMem_Malloc(capacity * sizeof(PriceQty))
    if side.levels is NULL:
        raise MemoryError()
    side.capacity = capacity
    side.sign = sign
    _clear(side)
    return OK


cdef void _clear(Side* side) noexcept:
    # A snapshot comes best first and so grows downwards: it starts at the top, with a little room above.
    side.lo = side.hi = side.capacity - 3
    side.joined.crc = side.joined.length = 0
    side.changed = False


cdef Status _make_room(Side* side) except FAILED:
    # Centre the levels in the array, which is first doubled if they nearly fill it.
    cdef int count = _count(side)
    cdef int capacity = side.capacity
    cdef int lo
    cdef PriceQty* larger
    if count + 4 > capacity:
        larger = <PriceQty*>PyMem_Realloc(side.levels, 2 * capacity * sizeof(PriceQty))
        if larger is NULL:
            raise MemoryError()
        side.levels = larger
        side.capacity = capacity = 2 * capacity
    lo = (capacity - count) // 2
    memmove(side.levels + lo, side.levels + side.lo, count * sizeof(PriceQty))
    side.lo = lo
    side.hi = lo + count
    return OK


cdef inline int _find(const Side* side, int64_t key) noexcept nogil:
    """The highest index whose key is not above `key`, lo - 1 if there is none."""
    cdef const PriceQty* best = side.levels + side.hi - 1
    cdef int near = min(_count(side), LINEAR)
    cdef int better = 0
    cdef int i, low, middle
    for i in range(near):           # no way out: where it would be taken cannot be guessed (bench_book)
        better += (best - i).key > key
    i = side.hi - 1 - better
    if better < LINEAR:
        return i
    low = side.lo - 1               # levels[low] <= key < levels[i + 1] holds from here on
    while low < i:
        middle = low + (i - low + 1) // 2
        if side.levels[middle].key > key:
            i = middle - 1
        else:
            low = middle
    return i


cdef inline Status _set(Side* side, int64_t key, int64_t qty) except FAILED:
    cdef int i = _find(side, key)
    cdef int better = side.hi - 1 - i      # levels above place i
    if i < side.lo or side.levels[i].key != key:
        # A removal of what is not held: nothing to do.
        return _insert(side, key, qty, i + 1) if qty else OK
    if not qty:
        _remove(side, i, better)
        return OK
    side.levels[i].qty = qty
    if better < TOP:
        _count_in(side, better)
    return OK


cdef inline void _count_in(Side* side, int better) noexcept:
    """Compute the token of the level that has so many better ones; it is one of the ten best."""
    cdef const PriceQty* level = &side.levels[side.hi - 1 - better]
    side.tokens[better] = level_token(side.sign * level.key, level.qty)
    side.changed = True


cdef inline void _remove(Side* side, int i, int better) noexcept:
    cdef PriceQty* levels = side.levels
    cdef int worse = i - side.lo
    if better <= worse:
        memmove(levels + i, levels + i + 1, better * sizeof(PriceQty))
        side.hi -= 1
    else:
        memmove(levels + side.lo + 1, levels + side.lo, worse * sizeof(PriceQty))
        side.lo += 1
    if better < TOP:
        memmove(&side.tokens[better], &side.tokens[better + 1], (TOP - 1 - better) * sizeof(Token))
        side.changed = True
        if _count(side) >= TOP:            # the eleventh has become the tenth
            _count_in(side, TOP - 1)


cdef inline Status _insert(Side* side, int64_t key, int64_t qty, int place) except FAILED:
    cdef int better = side.hi - place
    cdef int worse = place - side.lo
    cdef PriceQty* levels
    if (side.hi == side.capacity) if better <= worse else (side.lo == 0):
        _make_room(side)
        place = side.hi - better
    levels = side.levels
    if better <= worse:
        memmove(levels + place + 1, levels + place, better * sizeof(PriceQty))
        side.hi += 1
    else:
        memmove(levels + side.lo - 1, levels + side.lo, worse * sizeof(PriceQty))
        side.lo -= 1
        place -= 1
    levels[place].key = key
    levels[place].qty = qty
    if better < TOP:
        memmove(&side.tokens[better + 1], &side.tokens[better], (TOP - 1 - better) * sizeof(Token))
        _count_in(side, better)
    return OK


cdef inline Status _fit(RawLevel* levels, int count, int price_scale, int qty_scale) noexcept:
    """Bring all levels to the book's scales, or report that one does not fit."""
    cdef int i
    for i in range(count):
        if levels[i].price_digits != price_scale:
            if rescale(levels[i].price, levels[i].price_digits, price_scale, &levels[i].price) != OK:
                return REFUSED
            levels[i].price_digits = price_scale
        if levels[i].qty_digits != qty_scale:
            if rescale(levels[i].qty, levels[i].qty_digits, qty_scale, &levels[i].qty) != OK:
                return REFUSED
            levels[i].qty_digits = qty_scale
    return OK


cdef inline Status _fit_both(
    RawLevel* bids, int bid_count, RawLevel* asks, int ask_count, int price_scale, int qty_scale,
) noexcept:
    if _fit(bids, bid_count, price_scale, qty_scale) != OK:
        return REFUSED
    return _fit(asks, ask_count, price_scale, qty_scale)


cdef inline void _widest(const RawLevel* levels, int count, int* price_digits, int* qty_digits) noexcept:
    cdef int i
    for i in range(count):
        price_digits[0] = max(price_digits[0], levels[i].price_digits)
        qty_digits[0] = max(qty_digits[0], levels[i].qty_digits)


cdef Status _set_all(Side* side, const RawLevel* levels, int count, int depth, bint portable) except FAILED:
    cdef int i
    for i in range(count):
        _set(side, side.sign * levels[i].price, levels[i].qty)
    if _count(side) > depth:               # after the whole message, never within it
        side.lo = side.hi - depth
    if side.changed:                       # else all was below the ten best
        side.joined = join_tokens(side.tokens, min(_count(side), TOP), portable)
        side.changed = False
    return OK


# ---------------------------------------------------------------------------------------------- reading

cdef class Book:
    """What can be read of a book, live or copied. Prices fall on the bid side and rise on the ask side, best first.

    Attributes:
        symbol: as on WebSocket v2, `BTC/USD`.
        depth: levels a side as subscribed; fewer are held when the market is thin.
        price_scale, qty_scale: decimals of `*_raw` integers, -1 before any is known.
        checksum: the exchange's, of the last applied message.
    """

    def __dealloc__(self):
        PyMem_Free(self.bid_side.levels)
        PyMem_Free(self.ask_side.levels)

    cdef int64_t best_bid_key(self) noexcept:
        cdef Side* side = &self.bid_side
        return side.levels[side.hi - 1].key if _count(side) else INT64_MIN

    cdef int64_t best_ask_key(self) noexcept:
        cdef Side* side = &self.ask_side
        return -side.levels[side.hi - 1].key if _count(side) else INT64_MAX

    cdef bint is_crossed(self) noexcept:
        return _count(&self.bid_side) > 0 and _count(&self.ask_side) > 0 and self.best_bid_key() >= self.best_ask_key()

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
        return self.is_crossed()

    @property
    def verified_depth(self):
        """How many levels a side are proven: the checksum covers ten; all, as long as no message was lost."""
        if self._state != BOOK_VALID:
            return 0
        return min(self.depth, TOP) if self._doubtful else self.depth

    @property
    def best_bid(self):
        """Highest bid as Decimal, None without bids."""
        cdef Side* side = &self.bid_side
        return fixed_decimal(side.levels[side.hi - 1].key, self.price_scale) if _count(side) else None

    @property
    def best_ask(self):
        """Lowest ask as Decimal, None without asks."""
        cdef Side* side = &self.ask_side
        return fixed_decimal(-side.levels[side.hi - 1].key, self.price_scale) if _count(side) else None

    @property
    def best_bid_qty(self):
        """Quantity at the best bid as Decimal, None without bids."""
        cdef Side* side = &self.bid_side
        return fixed_decimal(side.levels[side.hi - 1].qty, self.qty_scale) if _count(side) else None

    @property
    def best_ask_qty(self):
        """Quantity at the best ask as Decimal, None without asks."""
        cdef Side* side = &self.ask_side
        return fixed_decimal(side.levels[side.hi - 1].qty, self.qty_scale) if _count(side) else None

    @property
    def best_bid_raw(self):
        """Highest bid as integer at `price_scale`, None without bids."""
        cdef Side* side = &self.bid_side
        return side.levels[side.hi - 1].key if _count(side) else None

    @property
    def best_ask_raw(self):
        """Lowest ask as integer at `price_scale`, None without asks."""
        cdef Side* side = &self.ask_side
        return -side.levels[side.hi - 1].key if _count(side) else None

    @property
    def best_bid_float(self):
        """Highest bid as float, for signals; None without bids."""
        cdef Side* side = &self.bid_side
        return fixed_float(side.levels[side.hi - 1].key, self.price_scale) if _count(side) else None

    @property
    def best_ask_float(self):
        """Lowest ask as float, for signals; None without asks."""
        cdef Side* side = &self.ask_side
        return fixed_float(-side.levels[side.hi - 1].key, self.price_scale) if _count(side) else None

    @property
    def spread(self):
        """Best ask minus best bid as Decimal, None if a side is empty; negative when crossed."""
        if not _count(&self.bid_side) or not _count(&self.ask_side):
            return None
        return fixed_decimal(self.best_ask_key() - self.best_bid_key(), self.price_scale)

    @property
    def mid(self):
        """Middle of best bid and best ask as Decimal, exact (one more decimal), None if a side is empty."""
        cdef int64_t bid = self.best_bid_key(), ask = self.best_ask_key()
        if not _count(&self.bid_side) or not _count(&self.ask_side):
            return None
        if self.price_scale == SCALE_MAX or bid > INT64_MAX // 10 or ask > INT64_MAX // 10:
            return Decimal(f"{(<object>bid + ask) * 5}E-{self.price_scale + 1}")
        return fixed_decimal((bid + ask) * 5, self.price_scale + 1)

    @property
    def mid_float(self):
        """Middle of best bid and best ask as float, None if a side is empty."""
        cdef double ask
        if not _count(&self.bid_side) or not _count(&self.ask_side):
            return None
        ask = fixed_float(self.best_ask_key(), self.price_scale)
        return (ask + fixed_float(self.best_bid_key(), self.price_scale)) / 2

    @property
    def bids(self):
        """All bids as a tuple of Level(price, qty), best first. Cost: O(levels), two Decimals each."""
        return self._levels(&self.bid_side)

    @property
    def asks(self):
        """All asks as a tuple of Level(price, qty), best first. Cost: O(levels), two Decimals each."""
        return self._levels(&self.ask_side)

    @property
    def bids_raw(self):
        """All bids as a tuple of (price_raw, qty_raw), best first."""
        return self._levels_raw(&self.bid_side)

    @property
    def asks_raw(self):
        """All asks as a tuple of (price_raw, qty_raw), best first."""
        return self._levels_raw(&self.ask_side)

    @property
    def exch_ns(self):
        """Exchange time of the last applied message, ns since epoch; None when it carried none."""
        return None if self.stamp.us == INT64_MIN else <object>self.stamp.us * 1000 + self.stamp.ns

    @property
    def updated_ns(self):
        """Arrival of the last applied message, monotonic ns; None before the first."""
        return self.changed_ns if self.changed_ns else None

    cdef tuple _levels(self, const Side* side):
        cdef int i
        cdef list rows = []
        for i in range(side.hi - 1, side.lo - 1, -1):
            rows.append(Level(
                fixed_decimal(side.sign * side.levels[i].key, self.price_scale),
                fixed_decimal(side.levels[i].qty, self.qty_scale),
            ))
        return tuple(rows)

    cdef tuple _levels_raw(self, const Side* side):
        cdef int i
        cdef list rows = []
        for i in range(side.hi - 1, side.lo - 1, -1):
            rows.append((side.sign * side.levels[i].key, side.levels[i].qty))
        return tuple(rows)

    def __repr__(self):
        return f"<{type(self).__name__} {self.symbol} {self.state} bid {self.best_bid} ask {self.best_ask}>"


# ---------------------------------------------------------------------------------------------- keeping

cdef class OrderBook(Book):
    """A live book, kept by one line. Read it inside a callback or between awaits; copy it with `snapshot()`.

    Args:
        symbol: as on WebSocket v2.
        depth: levels a side as subscribed, 1 to 1,000.
        line: the connection that fills it; None makes one of its own.
        price_scale, qty_scale: decimals of the pair; -1 takes them from the first snapshot's text.
        portable: True avoids carry-less multiplication even where the CPU has it.

    Attributes:
        messages, verified, mismatched: applied, and how their checksums did.
        duplicates: of `messages`, copies of the one before.
        dropped: updates that came while no snapshot was held.
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
        self.portable = portable or not HAS_CLMUL
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.stamp.us = INT64_MIN
        _open(&self.bid_side, 1, depth)
        _open(&self.ask_side, -1, depth)

    cdef Status apply(
        self, bint snapshot, RawLevel* bids, int bid_count, RawLevel* asks, int ask_count, int64_t digits,
        int64_t checksum, int64_t recv_ns, Stamp stamp,
    ) except FAILED:
        cdef Status result
        if snapshot:
            result = self._replace(bids, bid_count, asks, ask_count, checksum)
        elif not self._complete or (self._state != BOOK_VALID and self._state != BOOK_UNVERIFIED):
            self.dropped += 1
            return IGNORED
        elif self.price_scale < 0 and self._take_scales(bids, bid_count, asks, ask_count) != OK:
            return REFUSED
        elif digits != digits_of(self.price_scale, self.qty_scale) and _fit_both(
                bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale) != OK:
            return REFUSED
        else:
            if bid_count:
                _set_all(&self.bid_side, bids, bid_count, self.depth, self.portable)
            if ask_count:
                _set_all(&self.ask_side, asks, ask_count, self.depth, self.portable)
            result = OK if checksum < 0 or self.computed_checksum() == checksum else MISMATCH
        if result == REFUSED:
            return REFUSED
        if stamp.us == self.stamp.us and stamp.ns == self.stamp.ns and checksum == self.checksum and self.messages:
            self.duplicates += stamp.us != INT64_MIN
        self.checksum = <uint32_t>checksum if checksum >= 0 else self.computed_checksum()
        self.begins = snapshot
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
            self._state = BOOK_INVALID         # complete for now: its owner may choose to go on UNVERIFIED
        return MISMATCH

    cdef uint32_t computed_checksum(self) noexcept:
        return finish(self.ask_side.joined, self.bid_side.joined, self.portable)

    cdef Status _replace(
        self, RawLevel* bids, int bid_count, RawLevel* asks, int ask_count, int64_t checksum,
    ) except FAILED:
        """Load a snapshot at the pair's scales, or at those of its text if only those verify.

        The text has a say because the exchange pads every number to the pair's precision: when that has just changed
        and the instrument message is still on its way, the checksum tells which of the two is right.
        """
        cdef int price_digits = 0, qty_digits = 0
        cdef bint known = self.price_scale >= 0 and self.qty_scale >= 0
        cdef bint loaded = False
        _widest(bids, bid_count, &price_digits, &qty_digits)
        _widest(asks, ask_count, &price_digits, &qty_digits)
        if known and _fit_both(bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale) == OK:
            loaded = True
            if self._load(bids, bid_count, asks, ask_count, checksum):
                return OK
            if price_digits == self.price_scale and qty_digits == self.qty_scale:
                return MISMATCH
        if not known and bid_count == 0 and ask_count == 0:
            return OK if self._load(bids, bid_count, asks, ask_count, checksum) else MISMATCH
        if price_digits > SCALE_MAX or qty_digits > SCALE_MAX:
            return MISMATCH if loaded else REFUSED
        if _fit_both(bids, bid_count, asks, ask_count, price_digits, qty_digits) == OK:
            if self._load(bids, bid_count, asks, ask_count, checksum) or not loaded:
                self.price_scale = price_digits
                self.qty_scale = qty_digits
                return OK if checksum < 0 or self.computed_checksum() == checksum else MISMATCH
        if not loaded:
            return REFUSED
        _fit_both(bids, bid_count, asks, ask_count, self.price_scale, self.qty_scale)
        self._load(bids, bid_count, asks, ask_count, checksum)
        return MISMATCH

    cdef bint _load(
        self, const RawLevel* bids, int bid_count, const RawLevel* asks, int ask_count, int64_t checksum,
    ) except -1:
        _clear(&self.bid_side)
        _clear(&self.ask_side)
        _set_all(&self.bid_side, bids, bid_count, self.depth, self.portable)
        _set_all(&self.ask_side, asks, ask_count, self.depth, self.portable)
        return checksum < 0 or self.computed_checksum() == checksum

    cdef Status _take_scales(self, const RawLevel* bids, int bid_count, const RawLevel* asks, int ask_count) noexcept:
        """Take the scales from the first levels after an empty snapshot, when nobody told them."""
        cdef int price_digits = 0, qty_digits = 0
        _widest(bids, bid_count, &price_digits, &qty_digits)
        _widest(asks, ask_count, &price_digits, &qty_digits)
        if price_digits > SCALE_MAX or qty_digits > SCALE_MAX:
            return REFUSED
        if bid_count or ask_count:
            self.price_scale = price_digits
            self.qty_scale = qty_digits
        return OK

    cdef void invalidate_to(self, BookState state) noexcept:
        self._state = state
        if state != BOOK_UNVERIFIED:
            self._complete = False

    cdef void drop_if_invalid(self) noexcept:
        if self._state == BOOK_INVALID:
            self._drop()

    cdef void set_scales(self, int price_scale, int qty_scale) noexcept:
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self._drop()                           # integers of the old scales would read as other prices

    cdef void _drop(self) noexcept:
        self._complete = False
        _clear(&self.bid_side)
        _clear(&self.ask_side)

    @property
    def quality(self):
        """live: VALID and its line was heard within the last 1.5 s. Else stale, unverified, or none."""
        if self._state == BOOK_VALID:
            return "live" if self.line.is_fresh() else "stale"
        if self._state == BOOK_UNVERIFIED:
            return "unverified"
        return "stale" if self.proven_ns and (_count(&self.bid_side) or _count(&self.ask_side)) else "none"

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

    def snapshot(self):
        """Copy into an immutable BookSnapshot. Cost: two memcpy of 16 bytes a level."""
        cdef BookSnapshot copy = BookSnapshot.__new__(BookSnapshot)
        copy.symbol = self.symbol
        copy.depth = self.depth
        copy.price_scale = self.price_scale
        copy.qty_scale = self.qty_scale
        copy.checksum = self.checksum
        copy._state = self._state
        copy._doubtful = self._doubtful
        copy.stamp = self.stamp
        copy.changed_ns = self.changed_ns
        copy.proven_ns = self.proven_ns
        copy.quality = self.quality
        copy.age_ms = self.age_ms
        copy.source = self.source
        _copy_side(&copy.bid_side, &self.bid_side)
        _copy_side(&copy.ask_side, &self.ask_side)
        return copy

    def apply_snapshot(self, bids, asks, *, checksum=None, int64_t recv_ns=0):
        """Replace the whole book.

        Args:
            bids: (price_raw, qty_raw) pairs at the book's scales.
            asks: the same.
            checksum: uint32 from the wire, None to take the computed one.
            recv_ns: arrival, monotonic ns.

        Returns:
            True if the checksum agreed and the book is VALID; False leaves it INVALID and empty.
        """
        return self._apply_rows(True, bids, asks, checksum, recv_ns)

    def apply_update(self, bids, asks, *, checksum=None, int64_t recv_ns=0):
        """Apply one update: rows in order, qty 0 removes, then truncate to the depth, then verify.

        Args and result as `apply_snapshot`; an update without a held snapshot is dropped (False).
        """
        return self._apply_rows(False, bids, asks, checksum, recv_ns)

    def _apply_rows(self, bint snapshot, bids, asks, checksum, int64_t recv_ns):
        if self.price_scale < 0 or self.qty_scale < 0:
            raise ValueError("price_scale and qty_scale must be known before integers can be applied")
        rows = [(index(price), index(qty)) for side in (bids, asks) for price, qty in side]      # a float raises
        if any(price < 0 or qty < 0 for price, qty in rows):
            raise ValueError("prices and quantities in a book are not negative")
        if checksum is not None and not 0 <= checksum <= 0xFFFFFFFF:
            raise ValueError(f"checksum={checksum}: must fit 32 bits")
        return _apply_integers(self, snapshot, rows, len(bids), -1 if checksum is None else checksum, recv_ns) == OK

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
        cdef Side* side
        cdef int i, which
        cdef Token[2] fresh
        cdef Token[TOP] tokens
        for which in range(2):
            side = &self.bid_side if which else &self.ask_side
            assert 0 <= side.lo <= side.hi <= side.capacity
            assert _count(side) <= self.depth
            for i in range(side.lo, side.hi):
                assert side.levels[i].qty > 0
                assert i == side.lo or side.levels[i - 1].key < side.levels[i].key
            for i in range(min(_count(side), TOP)):
                tokens[i] = level_token(side.sign * side.levels[side.hi - 1 - i].key, side.levels[side.hi - 1 - i].qty)
            fresh[which] = join_tokens(tokens, min(_count(side), TOP), True)
        assert finish(fresh[0], fresh[1], True) == self.computed_checksum()
        assert self._state != BOOK_VALID or self.computed_checksum() == self.checksum


cdef class BookSnapshot(Book):
    """An immutable copy of a book at one moment.

    Attributes:
        quality: live, stale, unverified, rest or none, at the moment of the copy.
        age_ms: how long before the copy the values were last proven current; None if never.
        source: where the values come from.
    """

    def __init__(self):
        raise TypeError("BookSnapshot is made by OrderBook.snapshot()")


cdef Status _copy_side(Side* copy, const Side* side) except FAILED:
    cdef int count = _count(side)
    copy[0] = side[0]
    copy.levels = <PriceQty*>PyMem_Malloc(max(count, 1) * sizeof(PriceQty))
    if copy.levels is NULL:
        raise MemoryError()
    memcpy(copy.levels, side.levels + side.lo, count * sizeof(PriceQty))
    copy.lo = 0
    copy.hi = copy.capacity = count
    return OK


cdef Status _apply_integers(
    OrderBook book, bint snapshot, list rows, int bid_count, int64_t checksum, int64_t recv_ns,
) except FAILED:
    cdef int i, count = len(rows)
    cdef Stamp stamp
    cdef Status result
    cdef RawLevel* levels = <RawLevel*>PyMem_Malloc(max(count, 1) * sizeof(RawLevel))
    if levels is NULL:
        raise MemoryError()
    stamp.us = INT64_MIN
    stamp.ns = 0
    try:
        for i in range(count):
            levels[i].price = rows[i][0]
            levels[i].qty = rows[i][1]
            levels[i].price_digits = book.price_scale
            levels[i].qty_digits = book.qty_scale
        result = book.apply(
            snapshot, levels, bid_count, levels + bid_count, count - bid_count, -1, checksum, recv_ns, stamp,
        )
        if result == MISMATCH:
            book.drop_if_invalid()
        return result
    finally:
        PyMem_Free(levels)
