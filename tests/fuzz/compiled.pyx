# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Two targets of targets.py once more, their judges in C: a tenth of the time. Built and run by tests/libfuzzer.py.

The references are arrays that are searched from end to end; nothing of them is shared with what they judge but the
names of its structs, by which they look at what is held without a Python object in between.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memset

from kraken_fast.core.book cimport OrderBook, PriceQty, RawLevel, Side, Stamp, digits_of
from kraken_fast.core.defs cimport BOOK_VALID, OK
from kraken_fast.core.level3 cimport Level3Book
from kraken_fast.core.queues cimport Ladder, Queue, Queued

from kraken_fast.core.decode import Decoder


cdef extern from "zlib.h":
    unsigned long crc32(unsigned long crc, const unsigned char* text, unsigned int size)


cdef enum:
    PRICES = 80                # 64 small ones, then 9 * 10**k
    ROWS = 40                  # in one message


cdef int64_t[PRICES] PRICE
cdef int64_t[14] POWER
cdef int[6] DEPTHS


def _fill():
    for i in range(64):
        PRICE[i] = i
    for i in range(16):
        PRICE[64 + i] = 9 * 10**i
    for i in range(14):
        POWER[i] = 10**i
    for i, depth in enumerate((1, 2, 5, 10, 25, 30)):
        DEPTHS[i] = depth


_fill()


# The book ----------------------------------------------------------------------------------------------------------

cdef class Levels:
    """Quantities of both sides, bids first, by the place of their price in PRICE."""
    cdef int64_t[2][PRICES] qty
    cdef char[1600] text
    cdef int size

    cdef int cut(self, int side, int depth) noexcept:
        """Keep the best; give how many there are, and write those that the checksum covers."""
        cdef int i, place, count = 0
        for i in range(PRICES):
            place = i if side else PRICES - 1 - i
            if self.qty[side][place] == 0:
                continue
            count += 1
            if count > depth:
                self.qty[side][place] = 0
            elif count <= 10:
                if PRICE[place]:
                    self.write(PRICE[place])
                self.write(self.qty[side][place])
        return min(count, depth)

    cdef void write(self, int64_t number) noexcept:
        self.size += snprintf(&self.text[self.size], 24, b"%lld", <long long>number)

    cdef bint holds(self, const Side* held, int side, int count) noexcept:
        """Whether a side of a book is the same, level by level."""
        cdef const PriceQty* level = held.levels + held.hi
        cdef int i, place
        if held.hi - held.lo != count:
            return False
        for i in range(PRICES):
            place = i if side else PRICES - 1 - i
            if self.qty[side][place]:
                level -= 1
                if level.key != PRICE[place] * (-1 if side else 1) or level.qty != self.qty[side][place]:
                    return False
        return True


cdef Levels _levels = Levels()


def book(bytes data):
    """As `book` of targets.py."""
    cdef const unsigned char* raw = data
    cdef const unsigned char* row
    cdef int size = len(data), at = 2, i, count, place, side, snapshot = 1
    cdef int bids, asks
    cdef int[2] counts
    cdef RawLevel[2][ROWS] rows
    cdef RawLevel* level
    cdef Stamp stamp
    cdef OrderBook held
    if size < 2:
        return
    stamp.us, stamp.ns = INT64_MIN, 0
    held = OrderBook("A/B", DEPTHS[raw[0] % 6], price_scale=1, qty_scale=2, portable=raw[1] & 1)
    memset(_levels.qty, 0, sizeof(_levels.qty))
    while at < size:
        count = min(raw[at] % ROWS, (size - at - 1) // 3)
        counts[0] = counts[1] = 0
        for i in range(count):
            row = raw + at + 1 + 3 * i
            place = row[0] & 0x3F if row[0] < 0xF0 else 9 if row[0] == 0xF0 else 64 + (row[0] & 0x0F)
            side = row[2] >> 7
            level = &rows[side][counts[side]]
            level.price, level.qty = PRICE[place], row[1] * POWER[row[2] % 14]
            level.price_digits, level.qty_digits = 1, 2
            counts[side] += 1
            _levels.qty[side][place] = level.qty
        at += 1 + 3 * (raw[at] % ROWS)
        _levels.size = 0
        asks = _levels.cut(1, held.depth)
        bids = _levels.cut(0, held.depth)
        assert held.apply(
            snapshot, rows[0], counts[0], rows[1], counts[1], digits_of(1, 2),
            crc32(0, <const unsigned char*>_levels.text, _levels.size), 0, stamp,
        ) == OK
        assert _levels.holds(&held.bid_side, 0, bids), held
        assert _levels.holds(&held.ask_side, 1, asks), held
        snapshot = 0
        held._check()


# Level 3 -----------------------------------------------------------------------------------------------------------

cdef enum:
    NAMES = 40                 # of orders, a side
    TEXT = 4096                # of one message's side


cdef struct Order:
    int price                  # in tenths; 0 for an order that is not held
    int64_t qty
    int nanos
    int arrived


cdef class Queues:
    """Orders of both sides, bids first, by the number in their name."""
    cdef Order[2][NAMES] orders
    cdef int arrivals
    cdef int[2][NAMES] sorted
    cdef char[2 * NAMES * 24] text
    cdef int size

    cdef void take(self, int side, int name, int event, int price, int64_t qty, int nanos) noexcept:
        """Do what an event says: 0 add, 1 modify, 2 delete."""
        cdef Order* order = &self.orders[side][name]
        if event == 1 and order.price == price:
            order.qty = qty
        elif event == 2 or (event == 1 and order.price == 0):
            order.price = 0
        else:
            self.arrivals += 1
            order.price, order.qty, order.nanos, order.arrived = price, qty, nanos, self.arrivals

    cdef bint precedes(self, int side, int one, int other) noexcept:
        cdef const Order* a = &self.orders[side][one]
        cdef const Order* b = &self.orders[side][other]
        if a.price != b.price:
            return (a.price < b.price) == side
        return a.arrived < b.arrived

    cdef int cut(self, int side, int depth) noexcept:
        """Keep the best prices; give how many orders there are, sorted, and write those that the checksum covers."""
        cdef int i, place, count = 0, prices = 0, last = 0, kept = 0
        cdef Order* order
        for i in range(NAMES):
            if self.orders[side][i].price:
                place = count
                while place > 0 and self.precedes(side, i, self.sorted[side][place - 1]):
                    self.sorted[side][place] = self.sorted[side][place - 1]
                    place -= 1
                self.sorted[side][place] = i
                count += 1
        for i in range(count):
            order = &self.orders[side][self.sorted[side][i]]
            prices += order.price != last
            last = order.price
            if prices > depth:
                order.price = 0
                continue
            kept += 1
            if prices <= 10:
                self.size += snprintf(
                    &self.text[self.size], 24, b"%d%lld", order.price, <long long>order.qty)
        return kept

    cdef bint holds(self, Level3Book book, const Ladder* ladder, int side, int count) noexcept:
        """Whether a side of a book is the same, order by order."""
        cdef int i, place = ladder.count - 1, held = -1
        cdef const Order* order
        cdef const Queue* queue
        cdef const Queued* queued
        cdef char[8] name
        cdef int size
        for i in range(count):
            order = &self.orders[side][self.sorted[side][i]]
            if held < 0:
                if place < 0:
                    return False
                queue = &book.levels[ladder.places[place].level]
                held = queue.head
                place -= 1
            queued = &book.orders[held]
            size = snprintf(name, 8, b"O%d%d", side, self.sorted[side][i])
            if (
                queue.key != order.price * (-1 if side else 1) or queued.qty != order.qty or queued.size != size
                or memcmp(queued.order_id, name, size)
                or queued.stamp.us * 1000 + queued.stamp.ns != SECOND_NS + order.nanos
            ):
                return False
            held = queued.next
        return place < 0 and held < 0


cdef int64_t SECOND_NS = 1_795_342_501_000_000_000     # of the times below
cdef Queues _queues = Queues()
cdef char[2][TEXT] _texts
_decoder = Decoder()
cdef list _books = [_decoder.want_level3(f"D{depth}/USD", depth) for depth in (10, 100)]


cdef int _row(char* to, int event, int side, int name, int price, int64_t qty, int nanos) noexcept:
    """Write an order of a message, -1 the event for one of a snapshot."""
    cdef const char* begin = b'{'
    if event >= 0:
        begin = b'{"event":"add",' if event == 0 else b'{"event":"modify",' if event == 1 else b'{"event":"delete",'
    return snprintf(
        to, 200, b'%s"order_id":"O%d%d","limit_price":%d.%d,"order_qty":%lld.%08lld,'
        b'"timestamp":"2026-11-22T10:15:01.%09dZ"},',
        begin, side, name, price // 10, price % 10, <long long>(qty // 100_000_000), <long long>(qty % 100_000_000),
        nanos,
    )


def level3(bytes data):
    """As `level3` of targets.py."""
    cdef const unsigned char* raw = data
    cdef const unsigned char* row
    cdef int size = len(data), at = 1, i, count, side, name, price, event, snapshot = 1
    cdef int bids, asks
    cdef int64_t qty
    cdef int[2] sizes
    cdef bint[2][NAMES] there
    cdef char[2 * TEXT + 300] message
    cdef Level3Book book
    if size == 0:
        return
    book = _books[raw[0] & 1]
    memset(_queues.orders, 0, sizeof(_queues.orders))
    while at < size:
        count = min(raw[at] % 16, (size - at - 1) // 4)
        sizes[0] = sizes[1] = 0
        for side in range(2):
            for i in range(NAMES):
                there[side][i] = _queues.orders[side][i].price != 0
        for i in range(count):
            row = raw + at + 1 + 4 * i
            side, name, price = row[0] >> 7, row[1] % NAMES, row[2] % 32 + 1 + (40 if row[0] >> 7 else 0)
            event = -1 if snapshot else row[0] % 3
            if event <= 0 and there[side][name]:
                continue  # the exchange adds an order once; of a message that came twice nothing changes
            there[side][name] = event != 2
            qty = (row[3] + 1) * POWER[row[2] >> 5]
            sizes[side] += _row(&_texts[side][sizes[side]], event, side, name, price, qty, row[3])
            _queues.take(side, name, max(event, 0), price, qty, row[3])
        at += 1 + 4 * (raw[at] % 16)
        _queues.size = 0
        asks = _queues.cut(1, book.depth)
        bids = _queues.cut(0, book.depth)
        count = snprintf(
            message, sizeof(message), b'{"channel":"level3","type":"%s","data":[{"timestamp":"2026-11-22T10:15:01.5Z",'
            b'"checksum":%u,"symbol":"D%d/USD","bids":[%.*s],"asks":[%.*s]}]}',
            <const char*>b"snapshot" if snapshot else <const char*>b"update",
            <uint32_t>crc32(0, <const unsigned char*>_queues.text, _queues.size), book.depth,
            max(sizes[0] - 1, 0), _texts[0], max(sizes[1] - 1, 0), _texts[1],
        )
        assert _decoder.feed(message[:count], strict=True)
        assert book._state == BOOK_VALID, message[:count]
        assert _queues.holds(book, &book.bid_side, 0, bids), message[:count]
        assert _queues.holds(book, &book.ask_side, 1, asks), message[:count]
        snapshot = 0
        book._check()
